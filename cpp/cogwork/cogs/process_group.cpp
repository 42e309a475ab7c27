#include "cogwork/cogs/process_group.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

namespace cogwork {
namespace {

struct Process {
  char state = '?';
  int group = -1;
};

/// Nothing where it has gone meanwhile.
std::optional<Process> read_process(const char* pid) {
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "/proc/%s/stat", pid);
  const int file = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::array<char, 512> text;
  const auto size = read(file, text.data(), text.size() - 1);
  close(file);
  if (size <= 0) return std::nullopt;
  text[static_cast<std::size_t>(size)] = '\0';
  // "12 (a name, which may hold anything) S 1 12 ...": state, parent, group.
  const char* behind = std::strrchr(text.data(), ')');
  Process process;
  if (!behind || std::sscanf(behind, ") %c %*d %d", &process.state, &process.group) != 2) return std::nullopt;
  return process;
}

}  // namespace

bool group_exists(int group) { return kill(-group, 0) == 0 || errno == EPERM; }

bool group_runs(int group) {
  if (!group_exists(group)) return false;
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir("/proc"), &closedir);
  if (!all) return true;
  bool seen = false;
  while (const dirent* entry = readdir(all.get())) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    const auto process = read_process(entry->d_name);
    if (!process || process->group != group) continue;
    if (process->state != 'Z' && process->state != 'X') return true;
    seen = true;
  }
  return !seen && group_exists(group);  // another /proc than ours, or one that hides the processes of others
}

}  // namespace cogwork
