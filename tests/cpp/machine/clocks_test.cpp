// What waits, and by which clock (X8, R3): the wall clock is set while something waits, or while no engine runs.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "cogwork/model/wire.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

constexpr Duration kSteps[] = {Duration(0), 3600s, -3600s, 24h * 3650, -24h * 3650};

/// A Labor that waits for something of that length, and what shows that the wait is over.
struct Wait {
  const char* name;
  Duration length;
  std::function<MachineWorld()> begin;
  std::function<bool(const MachineWorld&)> over;
};

const std::vector<Wait>& waits() {
  static const std::vector<Wait> kWaits = {
      {"retry_delay", 40s,
       [] {
         MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 40s; }).build());
         w.start();
         w.finish(0, A::FAILURE);
         return w;
       },
       [](const MachineWorld& w) { return w.is_handed(0); }},
      {"a later retry_delay", 120s,
       [] {
         MachineWorld w(LaborBuilder()
                            .task(1)
                            .jobs([](Job& j) { j.options.retries = 2, j.options.retry_delay = 40s, j.options.retry_backoff = 3; })
                            .build());
         w.start();
         w.finish(0, A::FAILURE);
         w.pass(40s);
         w.finish(0, A::FAILURE);
         return w;
       },
       [](const MachineWorld& w) { return w.is_handed(0); }},
      {"entry_delay", 40s,
       [] {
         MachineWorld w(LaborBuilder().task(1).with([](Task& t) { t.entry_delay = 40s; }).build());
         w.start();
         return w;
       },
       [](const MachineWorld& w) { return w.is_handed(0); }},
      {"cont_check_interval", 40s,
       [] {
         MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 40s; }).build());
         w.start();
         w.finish(0);
         return w;
       },
       [](const MachineWorld& w) { return w.job(0).attempts.size() == 2; }},
      {"bake", 40s,
       [] {
         MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 1000s, t.bake = 40s; }).build());
         w.start();
         w.finish(0);
         w.finish(1);
         return w;
       },
       [](const MachineWorld& w) { return w.is_handed(0); }},
  };
  return kWaits;
}

TEST(Clocks, R3AStepOfTheWallClockNeitherShortensNorLengthensAWait) {
  for (const auto& wait : waits()) {
    for (const auto step : kSteps) {
      SCOPED_TRACE(std::string(wait.name) + ", a step of " + std::to_string(step / 1s) + " s");
      auto w = wait.begin();
      w.pass(10s);
      w.set_clock(step);
      w.pass(wait.length - 11s);
      EXPECT_FALSE(wait.over(w)) << "too soon";
      w.pass(1s);
      EXPECT_TRUE(wait.over(w)) << "too late";
    }
  }
}

TEST(Clocks, R3TheTimeWithoutAnEngineCountsButNoWaitIsLongerThanItself) {
  for (const auto& wait : waits()) {
    for (const auto down : {Duration(0), Duration(15s), Duration(100s), Duration(-3600s), Duration(-24h * 3650)}) {
      SCOPED_TRACE(std::string(wait.name) + ", down for " + std::to_string(down / 1s) + " s by the wall clock");
      auto dead = wait.begin();
      dead.pass(10s);
      auto w = taken_up(dead, down);
      const Duration left = std::clamp<Duration>(wait.length - 10s - down, 0s, wait.length);
      if (left > 0s) {
        w.pass(left - 1s);
        EXPECT_FALSE(wait.over(w)) << "too soon";
        w.pass(1s);
      }
      EXPECT_TRUE(wait.over(w)) << "too late";
    }
  }
}

TEST(Clocks, R3NothingThatWaitsInPartsWaitsLonger) {
  // Each engine dies after ten seconds, and each finds a clock that is an hour behind.
  for (const auto& wait : waits()) {
    SCOPED_TRACE(wait.name);
    auto w = wait.begin();
    for (int life = 0; life < 3 && !wait.over(w); ++life) {
      w.pass(10s);
      w = taken_up(w, -3600s);
    }
    w.pass(wait.length);
    EXPECT_TRUE(wait.over(w));
  }
}

TEST(Clocks, X8ATimeOutIsLeftAloneByTheWallClock) {
  for (const auto step : kSteps) {
    MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 60s; }).build());
    w.start();
    w.pass(1s);
    w.set_clock(step);
    w.pass(58s);
    EXPECT_TRUE(w.interrupted.empty()) << step / 1s;
    w.pass(1s);
    EXPECT_EQ(w.interrupted.size(), 1u) << step / 1s;
  }
}

TEST(Clocks, X8ATimeOutCountsFromTheCallOfTheCog) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 10s; }).build());
  w.start();
  w.called[0] = std::nullopt;
  w.pass(35s);
  EXPECT_TRUE(w.interrupted.empty()) << "no worker has taken it";
  w.called[0] = w.steady();  // 35 s after it was handed over
  w.pass(9s);
  EXPECT_TRUE(w.interrupted.empty());
  w.pass(1s);
  EXPECT_EQ(w.interrupted.size(), 1u);
  w.finish(0);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT");
}

TEST(Clocks, X8AnAnswerThatWasThereBeforeTheCallWasAskedToEndCounts) {
  struct Row {
    AttemptStatus answer;
    State end;
  };
  for (const Row& row : {Row{A::SUCCESS, S::COMPLETED}, Row{A::FAILURE, S::FAILED}, Row{A::FAILURE_NO_RETRIES, S::FAILED},
                         Row{A::CRASHED, S::FAILED}}) {
    for (const bool unasked : {true, false}) {
      MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 5s; }).build());
      w.start();
      w.pass(8s);
      ASSERT_EQ(w.interrupted.size(), 1u);
      Outcome outcome;
      outcome.status = row.answer;
      outcome.unasked = unasked;
      w.handed.clear();
      w.step(input::Ended{0, outcome, false});
      EXPECT_EQ(w.job(0).attempts[0].status, unasked ? row.answer : A::TIMED_OUT) << name_of(row.answer);
      EXPECT_EQ(w.state(), unasked ? row.end : S::FAILED) << name_of(row.answer);
    }
  }
}

TEST(Clocks, X8ACallThatWasNeverMadeIsWithdrawnAlsoIfItsTimeHadRunOut) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 5s; }).build());
  w.start();
  w.pass(5s);
  ASSERT_EQ(w.interrupted.size(), 1u);
  w.finish(0, A::WITHDRAWN);
  EXPECT_EQ(w.statuses(0), "WITHDRAWN OPEN") << "it begins anew";
}

TEST(Clocks, M2RecordsOfALaborNeverGoBack) {
  MachineWorld w(LaborBuilder().task(2, 2).build());
  w.start();
  Time last = never;
  for (const auto step : kSteps) {
    w.set_clock(step);
    if (!w.handed.empty()) w.finish(w.handed.front());
    w.pass(1s);
  }
  for (const auto& c : w.history) {
    EXPECT_GE(c.at, last);
    last = c.at;
  }
  w = taken_up(w, -3600s);
  w.finish_all();
  for (const auto& c : w.history) EXPECT_GE(c.at, last);
}

TEST(Clocks, R3BeforeTheYear1970) {
  for (const auto& wait : waits()) {
    SCOPED_TRACE(wait.name);
    auto dead = wait.begin();
    dead.pass(10s);
    // As if all of it had been in 1960: never is never, and all else is shifted.
    auto labor = dead.labor();
    const auto shift = [&](Time& t) {
      if (is_set(t)) t -= 24h * 365 * 65;
    };
    for (auto& t : labor.tasks) shift(t.started), shift(t.ended);
    for (auto& s : labor.sequences) shift(s.started), shift(s.ended);
    for (auto& j : labor.jobs) {
      shift(j.started), shift(j.ended);
      for (auto& a : j.attempts) shift(a.started), shift(a.ended);
    }
    shift(labor.started);
    MachineWorld w{std::move(labor)};
    w.now = dead.now - 24h * 365 * 65;
    ASSERT_LT(w.now, never);
    w.step(input::Recovered{});
    w.settle();
    w.pass(wait.length - 11s);
    EXPECT_FALSE(wait.over(w)) << "too soon";
    w.pass(1s);
    EXPECT_TRUE(wait.over(w)) << "too late";
  }
}

TEST(Clocks, X8ADelayOfNothingStaysNothingHoweverOftenItGrows) {
  for (const double backoff : {1.0, 2.0, 1e300}) {
    MachineWorld w(
        LaborBuilder().task(1).jobs([&](Job& j) { j.options.retries = 2000, j.options.retry_backoff = backoff; }).build());
    w.start();
    for (int n = 0; n < 1500; ++n) {
      w.finish(0, A::FAILURE);
      ASSERT_TRUE(w.is_handed(0)) << n;
    }
    EXPECT_TRUE(taken_up(w).is_handed(0));
  }
}

TEST(Clocks, X8NoSumOfTheLongestTimesOverflows) {
  MachineWorld w(LaborBuilder()
                     .task(1, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = kLongestDuration, t.bake = kLongestDuration; })
                     .jobs([](Job& j) {
                       j.options.timeout = kLongestDuration, j.options.retry_delay = kLongestDuration, j.options.retries = 1;
                     })
                     .build());
  w.start();
  EXPECT_EQ(w.machine.next_wake(), w.steady() + kLongestDuration);
  w.finish(0);
  w.finish(1, A::FAILURE);
  ASSERT_TRUE(w.machine.next_wake());
  EXPECT_GT(*w.machine.next_wake(), w.steady() + 24h * 365 * 1000);
  auto again = taken_up(w, 24h);
  EXPECT_TRUE(again.handed.empty());
  EXPECT_EQ(again.machine.waiting_for(again.steady()).find('-'), std::string::npos);
}

}  // namespace
}  // namespace cogwork::test
