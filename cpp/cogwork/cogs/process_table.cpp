#include "cogwork/cogs/process_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace cogwork {
namespace {

/// `folder`: /proc, or the current one where `path` is absolute.
std::optional<ProcessRow> read_stat(int folder, const char* path) {
  const int file = openat(folder, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::array<char, 512> text;
  const auto size = read(file, text.data(), text.size() - 1);
  close(file);
  if (size <= 0) return std::nullopt;
  text[static_cast<std::size_t>(size)] = '\0';
  // "12 (a name, which may hold anything) S 1 12 12 ...": state, parent, group, session; the start is the 22nd field.
  const char* name = std::strchr(text.data(), '(');
  const char* behind = std::strrchr(text.data(), ')');
  if (!name || !behind) return std::nullopt;
  ProcessRow row;
  std::uint64_t started = 0;
  if (std::sscanf(behind, ") %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &row.state,
                  &row.parent, &row.group, &row.session, &started) != 5) {
    return std::nullopt;
  }
  row.pid = std::atoi(text.data());
  row.started = static_cast<std::uint32_t>(started);
  const auto length = std::min<std::size_t>(static_cast<std::size_t>(behind - name - 1), row.name.size() - 1);
  std::copy_n(name + 1, length, row.name.data());
  return row;
}

}  // namespace

std::optional<ProcessRow> read_process(int pid) {
  std::array<char, 32> path;
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", pid);
  return read_stat(AT_FDCWD, path.data());
}

ProcessTable ProcessTable::read() {
  ProcessTable table;
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir("/proc"), &closedir);
  if (!all) return table;
  const int folder = dirfd(all.get());
  std::array<char, 32> path;
  while (const dirent* entry = readdir(all.get())) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    std::snprintf(path.data(), path.size(), "%.20s/stat", entry->d_name);
    errno = 0;
    if (const auto row = read_stat(folder, path.data())) {
      table.rows_.push_back(*row);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
      return table;
    }
  }
  table.complete_ = !table.rows_.empty();
  return table;
}

const ProcessRow* ProcessTable::find(int pid) const {
  const auto found = std::ranges::find(rows_, pid, &ProcessRow::pid);
  return found == rows_.end() ? nullptr : &*found;
}

bool number_in_use(int fd, int number) {
  const bool used = fcntl(fd, F_SETOWN, number) == 0 || errno != ESRCH;
  fcntl(fd, F_SETOWN, 0);
  return used;
}

}  // namespace cogwork
