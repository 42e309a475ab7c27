#pragma once

#include <chrono>
#include <cstdint>

namespace cogwork {

/// A moment in UTC, to the microsecond (rule M2). The epoch itself stands for "never": see `never`.
using Time = std::chrono::sys_time<std::chrono::microseconds>;

/// A span of time, to the microsecond.
using Duration = std::chrono::microseconds;

inline constexpr Time never{};

constexpr bool is_set(Time t) { return t != never; }

/// Wall time that everybody can show: the years that Python's datetime holds, less one at each end for time zones. What is beyond, be it that
/// the clock says so or that a wait ends then, is moved to the nearest.
inline constexpr Time kEarliest = std::chrono::sys_days(std::chrono::year(2) / 1 / 1);
inline constexpr Time kLatest = std::chrono::sys_days(std::chrono::year(9998) / 12 / 31);

constexpr std::int64_t to_micros(Time t) { return t.time_since_epoch().count(); }
constexpr Time from_micros(std::int64_t us) { return Time{Duration{us}}; }

/// Measures waits and time-outs: it does not jump when the system's clock is set, and goes on while the machine is suspended. Only
/// differences between its moments mean anything. (CLOCK_BOOTTIME; a clock as std::chrono defines it.)
struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};
using SteadyTime = BootClock::time_point;

/// Later than every other moment: what is due then is never due.
inline constexpr SteadyTime kNeverDue = SteadyTime::max();

/// The moment `wait` after `from`. Does not overflow: at most kNeverDue.
constexpr SteadyTime later(SteadyTime from, Duration wait) {
  return wait > Duration(0) && from > kNeverDue - wait ? kNeverDue : from + wait;
}

/// One moment, by both clocks: `wall` is what is recorded and shown, `steady` is what waits and time-outs go by.
struct Now {
  Time wall = never;
  SteadyTime steady{};
};

}  // namespace cogwork
