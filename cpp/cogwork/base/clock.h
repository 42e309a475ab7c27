#pragma once

#include <memory>

#include "cogwork/base/time.h"

namespace cogwork {

/// Where the engine reads the time. One of its seams: tests and simulations pass a clock of their own.
/// Any thread may call `now`.
class Clock {
 public:
  virtual ~Clock() = default;

  /// The wall time. It never goes back while the process lives.
  virtual Time now() = 0;
};

/// Wall time that is carried by the monotonic clock, so that a step of the system's clock backwards neither
/// reorders what is recorded nor stretches a time-out. A step forwards of more than a second (a laptop that
/// slept, a first synchronisation) is followed: deadlines are wall time (R3).
std::unique_ptr<Clock> make_system_clock();

/// A clock that stands still until it is told to move. For tests and simulation; one thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start) : now_(start) {}
  Time now() override { return now_; }
  void advance(Duration by) { now_ += by; }
  void set(Time t) { now_ = t; }

 private:
  Time now_;
};

}  // namespace cogwork
