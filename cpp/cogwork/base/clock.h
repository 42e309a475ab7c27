#pragma once

#include <cstdint>
#include <memory>

#include "cogwork/base/time.h"

namespace cogwork {

/// How often the system's clock was set by more than a second while somebody looked at it, and what the last time did.
struct ClockJumps {
  std::uint64_t count = 0;
  Duration last{};  ///< Forwards, or backwards if below zero.
  Time at = never;  ///< The wall time right after the last jump.
};

/// Where the engine reads the time. One of its seams: tests and simulations pass a clock of their own.
/// Any thread may call its methods.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual Now now() = 0;
  /// The wall time alone. It is what the system says, and may jump either way.
  Time wall() { return now().wall; }
  virtual ClockJumps jumps() const { return {}; }
};

/// The system's clocks. Wall time is between kEarliest and kLatest.
std::unique_ptr<Clock> make_system_clock();

/// A clock that stands still until it is told to move. For tests and simulation; one thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start) : now_{start, SteadyTime(start.time_since_epoch())} {}
  Now now() override { return now_; }
  ClockJumps jumps() const override { return jumps_; }
  void advance(Duration by) {
    now_.wall += by;
    now_.steady += by;
  }
  /// Somebody sets the system's clock.
  void jump(Duration by) {
    now_.wall += by;
    jumps_ = {jumps_.count + 1, by, now_.wall};
  }

 private:
  Now now_;
  ClockJumps jumps_;
};

/// The times that one Labor's records get: wall time, but never earlier than what the Labor has recorded already. After the wall clock
/// was set back they go on from the last record at the pace of the steady clock, until the wall time has caught up.
/// One thread.
class RecordTime {
 public:
  /// latest: the latest time that is recorded already; `never` if none is.
  RecordTime(Time latest, Now now) : last_{is_set(latest) ? latest : now.wall, now.steady} {}

  Now stamp(Now now) {
    const Time carried = last_.wall + (now.steady - last_.steady);
    return last_ = {now.wall < carried ? carried : now.wall, now.steady};
  }

 private:
  Now last_;
};

}  // namespace cogwork
