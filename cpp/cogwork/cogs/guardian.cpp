#include "cogwork/cogs/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/cogs/process_group.h"

namespace cogwork {

/// A million places would be four megabytes, of which only what is used takes memory.
struct Guardian::List {
  static constexpr std::uint32_t kMost = 1u << 18;
  std::atomic<std::uint32_t> used;  // places that were ever taken: none is beyond
  std::array<GroupPlace, kMost> places;
};

namespace {

constexpr int kListInGuardian = 3;

/// Until all are gone, or the time is up.
void wait_until_gone(std::vector<int>& groups, std::chrono::milliseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!groups.empty()) {
    std::erase_if(groups, [](int group) { return !group_runs(group); });
    if (groups.empty() || std::chrono::steady_clock::now() >= until) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // nobody tells that a group is gone that is not one's own child
  }
}

}  // namespace

int guard(int pipe, int list_fd, int grace_ms) {
  setsid();  // Ctrl-C in the engine's terminal is not for it
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
  const auto* list = Guardian::map_list(list_fd);
  if (!list) return 2;
  char byte = 0;
  while (true) {
    const auto size = read(pipe, &byte, 1);
    if (size == 0 || (size < 0 && errno != EINTR)) break;
  }
  std::vector<int> groups;
  for (std::uint32_t i = 0; i < std::min(list->used.load(), Guardian::List::kMost); ++i) {
    const int group = list->places[i].load();
    if (group > 1) groups.push_back(group);  // 0 and 1 are never groups that an engine started
  }
  for (const int group : groups) kill(-group, SIGTERM);
  wait_until_gone(groups, std::chrono::milliseconds(grace_ms));
  for (const int group : groups) kill(-group, SIGKILL);
  wait_until_gone(groups, std::chrono::seconds(5));
  return groups.empty() ? 0 : 1;
}

Guardian::~Guardian() {
  if (list_) munmap(list_, sizeof(List));
  if (pipe_ < 0) return;
  if (forget_close_on_fork(pipe_)) {
    close(pipe_);
    if (taken_ > 0) return;  // it still has to do, with what could not be ended
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
}

bool Guardian::running() {
  if (pid_ < 0) return false;
  int status = 0;
  const int found = waitpid(pid_, &status, WNOHANG);
  return found == 0 || (found < 0 && errno != ECHILD && kill(pid_, 0) == 0);
}

GroupPlace& Guardian::place() {
  if (program_.empty())
    throw Error("no process is started by an engine without a guardian, as nobody would end it with its engine");
  if (!list_) make_list();
  if (!running()) start();
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    const auto next = list_->used.load();
    if (next == List::kMost) throw Error("no process can be started: " + std::to_string(next) + " run already");
    free_.push_back(&list_->places[next]);
    list_->used = next + 1;
  }
  auto& place = *free_.back();
  free_.pop_back();
  ++taken_;
  return place;
}

void Guardian::gone(GroupPlace& place) {
  place = 0;
  const std::lock_guard lock(mutex_);
  free_.push_back(&place);
  --taken_;
}

Guardian::List* Guardian::map_list(int fd) {
  void* memory = mmap(nullptr, sizeof(List), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<List*>(memory);
}

void Guardian::make_list() {
  Descriptor made(memfd_create("cogwork groups", MFD_CLOEXEC));
  if (made && ftruncate(made.get(), sizeof(List)) == 0) {
    list_fd_.reset(fcntl(made.get(), F_DUPFD_CLOEXEC, kListInGuardian + 1));  // not in the way of the guardian's own
    if (list_fd_) list_ = map_list(list_fd_.get());
  }
  if (!list_) throw Error("no process can be started: " + std::system_category().message(errno));
}

void Guardian::start() {
  if (pipe_ >= 0 && forget_close_on_fork(pipe_)) close(pipe_);
  pipe_ = -1;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error("no process can be started: " + std::system_category().message(errno));
  const auto grace = std::to_string(grace_ms_);
  const char* argv[] = {program_.c_str(), grace.c_str(), nullptr};
  const char* environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, list_fd_.get(), kListInGuardian);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, kListInGuardian + 1);
#endif
  pid_t pid = -1;
  const int failed =
      posix_spawn(&pid, program_.c_str(), &actions, nullptr, const_cast<char**>(argv), const_cast<char**>(environment));
  posix_spawn_file_actions_destroy(&actions);
  close(ends[0]);
  if (failed) {
    close(ends[1]);
    pid_ = -1;
    throw Error("the guardian " + program_ + " cannot be started: " + std::system_category().message(failed) +
                "; without it no process is started, as nobody would end it with its engine");
  }
  pid_ = pid;
  pipe_ = ends[1];
  close_on_fork(pipe_);
}

}  // namespace cogwork
