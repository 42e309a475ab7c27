#include "cogwork/cogs/process_group.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace cogwork {
namespace {

/// The start of /proc/PID/stat; empty where the process has gone meanwhile.
std::string stat_of(const char* pid) {
  const int fd = open((std::string("/proc/") + pid + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::array<char, 256> bytes;  // the name, of 64 bytes at most, stands before what is asked for
  const auto size = read(fd, bytes.data(), bytes.size());
  close(fd);
  return size > 0 ? std::string(bytes.data(), static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

bool group_lives(int group) {
  if (kill(-group, 0) != 0 && errno != EPERM) return false;
  DIR* processes = opendir("/proc");
  if (!processes) return true;  // no way to tell the dead ones
  bool any = false, lives = false;
  while (const auto* entry = readdir(processes)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    const auto stat = stat_of(entry->d_name);
    const auto name_end = stat.rfind(") ");  // the name may hold anything, brackets too
    if (name_end == stat.npos) continue;
    any = true;
    char state = 0;
    int parent = 0, its_group = 0;
    if (std::sscanf(stat.c_str() + name_end + 2, "%c %d %d", &state, &parent, &its_group) != 3) continue;
    if (its_group == group && state != 'Z' && state != 'X') {
      lives = true;
      break;
    }
  }
  closedir(processes);
  return lives || !any;
}

}  // namespace cogwork
