#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "cogwork/base/completion.h"
#include "cogwork/base/id.h"
#include "gil.h"

namespace cogwork::bindings {

/// A file descriptor that becomes readable; closed with its last owner, so that a late completion never writes to another's.
class EventFd {
 public:
  EventFd();
  ~EventFd();
  EventFd(const EventFd&) = delete;
  int fd() const { return fd_; }
  void set();
  void clear();

 private:
  int fd_;
};

bool is_main_thread();

/// Waits for a completion so that Ctrl-C gets through: the wait is one that a signal interrupts, and Python's handlers run then. It needs no
/// descriptor. Call with the GIL held; it is released while waiting. False where `seconds` ran out. Throws what a signal handler raised.
bool wait_for(const std::shared_ptr<Completion>& completion, std::optional<double> seconds);

/// Carries completions to one asyncio loop: it watches fileno(), and drain() tells which tokens are done.
class Bridge {
 public:
  int fileno() const { return event_->fd(); }
  std::vector<std::uint64_t> drain();
  /// Returns a ticket for Completion::forget.
  std::uint64_t watch(const std::shared_ptr<Completion>& completion, std::uint64_t token);

 private:
  struct Done {
    std::mutex mutex;
    std::vector<std::uint64_t> tokens;
  };
  std::shared_ptr<EventFd> event_ = std::make_shared<EventFd>();
  std::shared_ptr<Done> done_ = std::make_shared<Done>();
};

/// An answer that comes later: a value, or an error.
template <typename T>
struct Later {
  Completion completion;
  T value{};
  std::exception_ptr error;

  T result() const {
    if (error) std::rethrow_exception(error);
    return value;
  }
};
using Pending = Later<Id>;

/// `begin` is called without the GIL, with what takes the answer, and the answer is waited for as wait_for does.
template <typename T, typename Begin>
T wait_for_answer(Begin begin) {
  const auto later = std::make_shared<Later<T>>();
  {
    const Unlocked unlocked;
    begin([later](T value, std::exception_ptr error) {
      later->value = std::move(value);
      later->error = std::move(error);
      later->completion.set();
    });
  }
  wait_for({later, &later->completion}, std::nullopt);
  return later->result();
}

}  // namespace cogwork::bindings
