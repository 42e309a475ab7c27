#include "cogwork/base/thread.h"

#include <string>
#include <system_error>
#include <utility>

#include "cogwork/base/error.h"

namespace cogwork {

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::thread start_thread(const char* what, std::function<void()> run) {
  const SignalsBlocked blocked;
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    throw ResourceError("no thread could be started for " + std::string(what) + " (" + error.code().message() +
                        "); this process or its user has as many as the limits on processes allow (ulimit -u, pids cgroup)");
  }
}

}  // namespace cogwork
