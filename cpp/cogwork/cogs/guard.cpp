#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "cogwork/cogs/guardian_list.h"
#include "cogwork/cogs/process_tree.h"

namespace cogwork {
namespace {

constexpr auto kKillTime = std::chrono::seconds(5);
constexpr auto kFirstLook = std::chrono::milliseconds(2), kLongestLook = std::chrono::milliseconds(50);

/// Signals all trees whenever it has found them to run, until none does or the time is up. Nobody tells that a process has gone
/// that is not one's own child, so it looks.
void signal_until_gone(std::vector<ProcessTree>& trees, int number, bool again, std::chrono::milliseconds most, int fd) {
  const auto until = std::chrono::steady_clock::now() + most;
  std::chrono::milliseconds pause = kFirstLook;
  for (bool first = true;; first = false) {
    const auto table = ProcessTable::read();
    for (auto& tree : trees) tree.update(table);
    std::erase_if(trees, [&](const ProcessTree& tree) { return !tree.runs(fd); });
    if (first || again) {
      for (const auto& tree : trees) tree.signal(number);
      if (number == SIGTERM) {
        for (const auto& tree : trees) tree.signal(SIGCONT);  // a stopped one could not end
      }
    }
    if (trees.empty() || std::chrono::steady_clock::now() >= until) return;
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::milliseconds>(2 * pause, kLongestLook);
  }
}

}  // namespace

GuardianList* GuardianList::map(int fd) {
  void* memory = mmap(nullptr, sizeof(GuardianList), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<GuardianList*>(memory);
}

int guard(int pipe, int list_fd, int grace_ms) {
  setsid();  // Ctrl-C in the engine's terminal is not for it
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
  const auto* list = GuardianList::map(list_fd);
  if (!list) return 2;
  char byte = 0;
  while (true) {
    const auto size = read(pipe, &byte, 1);
    if (size == 0 || (size < 0 && errno != EINTR)) break;
  }
  std::vector<ProcessTree> trees;
  for (std::uint32_t i = 0; i < std::min(list->used.load(), GuardianList::kMost); ++i) {
    const auto place = list->places[i].load();
    const auto leader = static_cast<int>(place & UINT32_MAX);
    if (leader > 1) trees.emplace_back(leader, static_cast<std::uint32_t>(place >> 32));  // an engine never started 0 or 1
  }
  signal_until_gone(trees, SIGTERM, false, std::chrono::milliseconds(grace_ms), pipe);
  signal_until_gone(trees, SIGKILL, true, kKillTime, pipe);
  return trees.empty() ? 0 : 1;
}

}  // namespace cogwork
