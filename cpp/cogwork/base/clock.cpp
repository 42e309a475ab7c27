#include "cogwork/base/clock.h"

#include <algorithm>
#include <mutex>

namespace cogwork {
namespace {

class SystemClock final : public Clock {
 public:
  Time now() override {
    const auto wall = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    const auto steady = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    auto carried = anchor_wall_ + std::chrono::duration_cast<Duration>(steady - anchor_steady_);
    if (wall > carried + std::chrono::seconds(1)) {
      anchor_wall_ = carried = wall;
      anchor_steady_ = steady;
    }
    return last_ = std::max(last_, carried);
  }

 private:
  std::mutex mutex_;
  Time anchor_wall_ = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  std::chrono::steady_clock::time_point anchor_steady_ = std::chrono::steady_clock::now();
  Time last_ = never;
};

}  // namespace

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace cogwork
