#include "cogwork/cogs/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/cogs/process_group.h"

namespace cogwork {
namespace {

struct Record {
  std::int32_t sign = 0;
  std::int32_t group = 0;
};

/// Until all are gone, or the time is up.
void wait_until_gone(std::unordered_set<int>& groups, std::chrono::milliseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (!groups.empty()) {
    std::erase_if(groups, [](int group) { return !group_runs(group); });
    if (groups.empty() || std::chrono::steady_clock::now() >= until) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // nobody tells that a group is gone that is not one's own child
  }
}

}  // namespace

void tell_guardian(int fd, int sign, int group) {
  const Record record{sign, group};
  while (send(fd, &record, sizeof record, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

int guard(int fd, int grace_ms) {
  setsid();  // Ctrl-C in the engine's terminal is not for it
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
  std::unordered_set<int> groups;
  Record record;
  std::size_t have = 0;
  while (true) {
    const auto size = read(fd, reinterpret_cast<char*>(&record) + have, sizeof record - have);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    have += static_cast<std::size_t>(size);
    if (have < sizeof record) continue;
    have = 0;
    if (record.group <= 1) continue;  // a group of 1, or 0, is never one that an engine started
    if (record.sign > 0) {
      groups.insert(record.group);
    } else {
      groups.erase(record.group);
    }
  }
  for (const int group : groups) kill(-group, SIGTERM);
  wait_until_gone(groups, std::chrono::milliseconds(grace_ms));
  for (const int group : groups) kill(-group, SIGKILL);
  wait_until_gone(groups, std::chrono::seconds(5));
  return groups.empty() ? 0 : 1;
}

Guardian::~Guardian() {
  if (fd_ < 0) return;
  if (forget_close_on_fork(fd_)) {
    close(fd_);
    if (!groups_.empty()) return;  // it still has to do, with what could not be ended
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

int Guardian::ready() {
  if (program_.empty())
    throw Error("no process is started by an engine without a guardian, as nobody would end it with its engine");
  if (!running()) start();
  return fd_;
}

void Guardian::gone(int group) {
  if (groups_.erase(group) && fd_ >= 0) tell_guardian(fd_, -1, group);
}

void Guardian::start() {
  if (fd_ >= 0 && forget_close_on_fork(fd_)) close(fd_);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
    throw Error("no process can be started: " + std::system_category().message(errno));
  }
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  const auto grace = std::to_string(grace_ms_);
  const char* argv[] = {program_.c_str(), grace.c_str(), nullptr};
  const char* environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
#endif
  const int failed =
      posix_spawn(&pid_, program_.c_str(), &actions, nullptr, const_cast<char**>(argv), const_cast<char**>(environment));
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failed) {
    close(ends[0]);
    pid_ = fd_ = -1;
    throw Error("the guardian " + program_ + " cannot be started: " + std::system_category().message(failed) +
                "; without it no process is started, as nobody would end it with its engine");
  }
  fd_ = ends[0];
  close_on_fork(fd_);
  for (const int group : groups_) tell_guardian(fd_, +1, group);
}

}  // namespace cogwork
