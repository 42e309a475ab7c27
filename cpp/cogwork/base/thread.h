#pragma once

#include <csignal>
#include <functional>
#include <thread>

namespace cogwork {

/// Blocks all signals in this thread while it lives, and restores the mask whatever happens: a thread that is made meanwhile inherits the
/// blocked mask, so signals go to the host's own threads, and Ctrl-C reaches Python's.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// Starts a thread of cogwork's own, with all signals blocked. `what` says in an error what it was for ("the engine's scheduler").
/// Throws ResourceError where the system gives no thread; the caller's signal mask is as before then, too. Any thread.
std::thread start_thread(const char* what, std::function<void()> run);

}  // namespace cogwork
