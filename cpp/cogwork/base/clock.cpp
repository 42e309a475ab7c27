#include "cogwork/base/clock.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace cogwork {
namespace {

constexpr Duration kSmallestJump = std::chrono::seconds(1);
/// Two readings that are this close together are taken as one moment.
constexpr Duration kOneMoment = std::chrono::milliseconds(50);
constexpr int kMostReadings = 10;

// Not by way of std::chrono::system_clock: its nanoseconds end in 2262.
std::int64_t read_micros(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  constexpr std::int64_t kMostSeconds = INT64_MAX / 1'000'000 - 1;
  return std::clamp<std::int64_t>(t.tv_sec, -kMostSeconds, kMostSeconds) * 1'000'000 + t.tv_nsec / 1000;
}

Time wall_time() {
  const auto wall = std::clamp(from_micros(read_micros(CLOCK_REALTIME)), kEarliest, kLatest);
  return is_set(wall) ? wall : wall + Duration(1);  // the epoch stands for "never"
}

class SystemClock final : public Clock {
 public:
  Now now() override {
    // The wall first: a thread that is held up between the two makes it too early, never too late, and RecordTime mends that.
    const auto wall = wall_time();
    const Now now{wall, BootClock::now()};
    const Duration jumped = offset_of(now) - offset_.load(std::memory_order_relaxed);
    if (jumped >= kSmallestJump || jumped <= -kSmallestJump) [[unlikely]]
      look_closely();
    return now;
  }

  ClockJumps jumps() const override {
    const std::lock_guard lock(mutex_);
    return jumps_;
  }

 private:
  static Duration offset_of(Now now) { return now.wall.time_since_epoch() - now.steady.time_since_epoch(); }

  /// Reads both clocks at one moment; whoever was held up between the two readings tries again.
  static Now read() {
    Now now;
    for (int i = 0; i < kMostReadings; ++i) {
      const auto before = BootClock::now();
      now.wall = wall_time();
      now.steady = BootClock::now();
      if (now.steady - before < kOneMoment) break;
    }
    return now;
  }

  void look_closely() {
    const auto now = read();
    const std::lock_guard lock(mutex_);
    const Duration jumped = offset_of(now) - offset_.load(std::memory_order_relaxed);
    if (jumped < kSmallestJump && jumped > -kSmallestJump) return;
    offset_.store(offset_of(now), std::memory_order_relaxed);
    jumps_ = {jumps_.count + 1, jumped, now.wall};
  }

  std::atomic<Duration> offset_{offset_of(read())};
  mutable std::mutex mutex_;
  ClockJumps jumps_;  // guarded by mutex_
};

}  // namespace

BootClock::time_point BootClock::now() noexcept {
#ifdef CLOCK_BOOTTIME
  return time_point(Duration(read_micros(CLOCK_BOOTTIME)));
#else
  return time_point(Duration(read_micros(CLOCK_MONOTONIC)));  // macOS: it counts sleep
#endif
}

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace cogwork
