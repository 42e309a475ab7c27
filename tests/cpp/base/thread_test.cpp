#include "cogwork/base/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

bool blocked(int signal) {
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return sigismember(&now, signal) == 1;
}

TEST(Thread, SignalsAreTheHostsOwn) {
  bool inside = false;
  start_thread("a test", [&] { inside = blocked(SIGINT); }).join();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(blocked(SIGINT));
}

// In a child: a limit on the address space leaves no room for a thread's stack.
TEST(Thread, WithoutAThreadItIsAnErrorAndTheMaskIsAsBefore) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory does not fit below the limit";
#endif
  const auto child = fork();
  if (child == 0) {
    const rlimit none{1 << 20, 1 << 20};
    setrlimit(RLIMIT_AS, &none);
    try {
      start_thread("a test", [] {}).join();
    } catch (const ResourceError& error) {
      const bool names_it = std::string(error.what()).find("a test") != std::string::npos;
      _exit(names_it && !blocked(SIGINT) ? 0 : 3);
    } catch (...) {
      _exit(4);
    }
    _exit(5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace cogwork
