#include "cogwork/cogs/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer's clone() takes the child for a fork that has memory of its own, and sees races in the parent from then on.
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);
#define clone __clone
#endif

namespace cogwork {
namespace {

constexpr std::size_t kStack = std::size_t{64} << 10;  // for the child, until it executes its file
constexpr int kMostClosed = 1 << 16;                   // of a kernel that cannot close a range of descriptors

struct Plan {
  const Spawn* what;
  int error = 0;
};

/// Takes the place of every descriptor from `first` on.
void close_from(int first) {
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
  for (int fd = first; fd < kMostClosed; ++fd) syscall(SYS_close, fd);
}

bool become(const UserIdentity& user) {
  // Not the C library's, which would change the user of all threads of the process whose memory this is.
  return syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0 &&
         syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 && syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
}

/// Between clone and exec, in the child. It shares this process's memory, whose thread waits meanwhile: so nothing here may
/// allocate, lock, or leave anything behind. System calls alone do neither.
__attribute__((no_sanitize("address", "thread", "undefined"))) int in_child(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  const auto& what = *plan.what;
  const auto prepare = [&] {
    if (what.folder && syscall(SYS_chdir, what.folder) != 0) return false;
    syscall(SYS_setsid);
    if (what.place) what.place->store(static_cast<std::uint32_t>(syscall(SYS_getpid)));
    // What this process ignores or blocks, the program does not: Python ignores SIGPIPE and SIGXFSZ, for one.
    static constexpr std::byte kDefault[128] = {};  // the kernel's struct sigaction with SIG_DFL in it
    static constexpr unsigned long kSetSize = 8;
    for (int signal = 1; signal <= 64; ++signal) syscall(SYS_rt_sigaction, signal, kDefault, nullptr, kSetSize);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, kDefault, nullptr, kSetSize);
    int count = 0;
    for (; count < 4 && what.streams[count] >= 0; ++count) {
      if (syscall(SYS_dup3, what.streams[count], count, 0) < 0) return false;
    }
    close_from(count);
    return !what.user || become(*what.user);
  };
  if (prepare()) syscall(SYS_execve, what.path, what.argv, what.environment);
  plan.error = errno;
  syscall(SYS_exit_group, 127);
  return 127;
}

}  // namespace

Spawned spawn(const Spawn& what) {
  Plan plan{&what};
  const std::unique_ptr<std::byte[]> stack(new std::byte[kStack]);
  int handle = -1;
  Spawned made;
  made.pid = clone(&in_child, stack.get() + kStack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &handle);
  if (made.pid < 0) {
    made.error = errno;
    return made;
  }
  made.handle.reset(handle);
  if (plan.error == 0) return made;
  while (waitpid(made.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  made.pid = -1;
  made.handle.reset();
  made.error = plan.error;
  return made;
}

}  // namespace cogwork
