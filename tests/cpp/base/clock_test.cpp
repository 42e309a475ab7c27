#include "cogwork/base/clock.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cogwork {
namespace {

TEST(Clock, TheSystemsTellsTheWallTime) {
  const auto clock = make_system_clock();
  const auto wall = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  const auto told = clock->now();
  EXPECT_LT(std::chrono::abs(told - wall), std::chrono::seconds(2));
}

TEST(Clock, TheSystemsNeverGoesBack) {
  const auto clock = make_system_clock();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&clock] {
      auto last = clock->now();
      for (int i = 0; i < 20'000; ++i) {
        const auto now = clock->now();
        ASSERT_GE(now, last);
        last = now;
      }
    });
  }
  for (auto& t : threads) t.join();
}

TEST(Clock, AManualOneStandsStill) {
  ManualClock clock(from_micros(1'000'000));
  EXPECT_EQ(clock.now(), from_micros(1'000'000));
  EXPECT_EQ(clock.now(), from_micros(1'000'000));
  clock.advance(std::chrono::seconds(2));
  EXPECT_EQ(clock.now(), from_micros(3'000'000));
  clock.set(from_micros(5));
  EXPECT_EQ(to_micros(clock.now()), 5);
}

TEST(Time, TheEpochStandsForNever) {
  EXPECT_FALSE(is_set(never));
  EXPECT_TRUE(is_set(from_micros(1)));
  EXPECT_TRUE(is_set(from_micros(-1)));
}

}  // namespace
}  // namespace cogwork
