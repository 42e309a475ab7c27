#include "cogwork/cogs/process_group.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

using namespace cogwork;

namespace {

/// A process that leads a group of its own.
int start(const char* script) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  const char* argv[] = {"sh", "-c", script, nullptr};
  const char* environment[] = {"PATH=/usr/bin:/bin", nullptr};
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, "/bin/sh", nullptr, &attributes, const_cast<char**>(argv), const_cast<char**>(environment)), 0);
  posix_spawnattr_destroy(&attributes);
  return pid;
}

void wait_for_end_without_reaping(int pid) {
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
}

TEST(ProcessGroup, G3aLivesAsLongAsOneOfItsProcesses) {
  const int leader = start("sleep 60 & exec sleep 60");
  EXPECT_TRUE(group_runs(leader));
  kill(-leader, SIGKILL);
  wait_for_end_without_reaping(leader);
  waitpid(leader, nullptr, 0);
}

TEST(ProcessGroup, G3aDeadProcessesThatNobodyReapsAreGone) {
  const int leader = start("exit 0");
  wait_for_end_without_reaping(leader);
  EXPECT_EQ(kill(-leader, 0), 0) << "the kernel still knows the group";
  EXPECT_FALSE(group_runs(leader));
  waitpid(leader, nullptr, 0);
  EXPECT_FALSE(group_runs(leader));
}

}  // namespace
