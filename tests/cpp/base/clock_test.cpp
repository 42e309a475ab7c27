#include "cogwork/base/clock.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cogwork {
namespace {

using namespace std::chrono_literals;

TEST(Clock, TheSystemsTellsTheWallTime) {
  const auto clock = make_system_clock();
  const auto wall = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  EXPECT_LT(std::chrono::abs(clock->wall() - wall), 2s);
  EXPECT_EQ(clock->jumps().count, 0u);
}

TEST(Clock, TheSystemsSteadyTimeNeverGoesBack) {
  const auto clock = make_system_clock();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&clock] {
      auto last = clock->now().steady;
      for (int i = 0; i < 20'000; ++i) {
        const auto now = clock->now().steady;
        ASSERT_GE(now, last);
        last = now;
      }
    });
  }
  for (auto& t : threads) t.join();
}

TEST(Clock, AManualOneStandsStill) {
  ManualClock clock(from_micros(1'000'000));
  const auto begun = clock.now();
  EXPECT_EQ(begun.wall, from_micros(1'000'000));
  EXPECT_EQ(clock.now().steady, begun.steady);
  clock.advance(2s);
  EXPECT_EQ(clock.wall(), from_micros(3'000'000));
  EXPECT_EQ(clock.now().steady, begun.steady + 2s);
  clock.jump(-1s);
  EXPECT_EQ(clock.wall(), from_micros(2'000'000));
  EXPECT_EQ(clock.now().steady, begun.steady + 2s);
  EXPECT_EQ(clock.jumps().count, 1u);
  EXPECT_EQ(clock.jumps().last, -1s);
}

TEST(Time, TheEpochStandsForNever) {
  EXPECT_FALSE(is_set(never));
  EXPECT_TRUE(is_set(from_micros(1)));
  EXPECT_TRUE(is_set(from_micros(-1)));
}

TEST(Time, ALateMomentDoesNotOverflow) {
  const SteadyTime now{1s};
  EXPECT_EQ(later(now, 2s), SteadyTime(3s));
  EXPECT_EQ(later(now, Duration::max()), kNeverDue);
  EXPECT_EQ(later(kNeverDue, 1s), kNeverDue);
  EXPECT_EQ(later(now, kNeverDue - now), kNeverDue);
}

// ---- what a Labor's records get ----

TEST(RecordTime, FollowsTheWallClock) {
  ManualClock clock(from_micros(1'000'000));
  RecordTime time(never, clock.now());
  clock.advance(1s);
  EXPECT_EQ(time.stamp(clock.now()).wall, clock.wall());
  clock.jump(3600s);
  EXPECT_EQ(time.stamp(clock.now()).wall, clock.wall()) << "forwards";
}

TEST(RecordTime, NeverGoesBackAndGoesOnAtThePaceOfTheSteadyClock) {
  ManualClock clock(from_micros(1'700'000'000'000'000));
  RecordTime time(never, clock.now());
  const auto before = time.stamp(clock.now()).wall;
  clock.jump(-10s);
  EXPECT_EQ(time.stamp(clock.now()).wall, before);
  clock.advance(3s);
  EXPECT_EQ(time.stamp(clock.now()).wall, before + 3s);
  clock.jump(10s);
  EXPECT_EQ(time.stamp(clock.now()).wall, clock.wall()) << "caught up";
}

TEST(RecordTime, GoesOnFromWhatWasRecordedUnderAClockThatWasAhead) {
  ManualClock clock(from_micros(1'700'000'000'000'000));
  RecordTime time(clock.wall() + 24h, clock.now());
  clock.advance(5s);
  EXPECT_EQ(time.stamp(clock.now()).wall, from_micros(1'700'000'000'000'000) + 24h + 5s);
  EXPECT_EQ(time.stamp(clock.now()).steady, clock.now().steady);
}

TEST(RecordTime, HoldsBefore1970) {
  ManualClock clock(from_micros(-1'000'000'000));
  RecordTime time(never, clock.now());
  clock.advance(1s);
  EXPECT_EQ(time.stamp(clock.now()).wall, from_micros(-999'000'000));
}

}  // namespace
}  // namespace cogwork
