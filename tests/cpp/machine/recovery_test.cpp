// A machine built from what was stored (R1-R3, R5): the fine print. Held Jobs are in held_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

void on_interrupt(Labor& labor, std::initializer_list<std::uint32_t> jobs, OnInterrupt what) {
  for (const auto j : jobs) labor.jobs[j].options.on_interrupt = static_cast<std::int8_t>(what);
}

TEST(Recovered, R1WhatHadNotStartedStartsUnlessItWasHeldBack) {
  MachineWorld fresh(LaborBuilder().task(1).build());
  fresh.step(input::Recovered{});
  fresh.settle();
  EXPECT_EQ(fresh.state(), S::RUNNING);
  EXPECT_TRUE(fresh.is_handed(0));

  auto labor = LaborBuilder().task(1).build();
  labor.state = S::ADMIN_NOT_STARTED;
  MachineWorld back(labor);
  back.step(input::Recovered{});
  EXPECT_EQ(back.labor(), labor);
  back.start();
  EXPECT_TRUE(back.is_handed(0));
}

TEST(Recovered, R2FailEndsTheJobFailed) {
  auto labor =
      LaborBuilder().task(3).with([](Task& t) { t.concurrency.number = 2; }).jobs([](Job& j) { j.options.retries = 5; }).build();
  on_interrupt(labor, {0}, OnInterrupt::FAIL);
  MachineWorld w(labor);
  w.start();
  auto again = taken_up(w, 1s);
  EXPECT_EQ(again.statuses(0), "INTERRUPTED");
  EXPECT_EQ(again.job(0).state, S::FAILED);
  EXPECT_EQ(again.task(0).reason, Reason::MAX_FAILURES) << "it counts";
  EXPECT_TRUE(again.is_handed(1)) << "those that run go on to their own end";
  again.finish(1);
  EXPECT_EQ(again.state(), S::FAILED);
  EXPECT_EQ(again.sequence(2).state, S::NOT_STARTED);
}

TEST(Recovered, R2ChecksThatFailStopTheRestButAllOfThemFail) {
  auto labor = LaborBuilder()
                   .task(2, 1, 0, 4)
                   .with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = -1, t.cont_check_interval = 10s; })
                   .build();
  on_interrupt(labor, {1, 2, 5}, OnInterrupt::FAIL);
  MachineWorld w(labor);
  w.start();
  for (std::uint32_t c = 0; c < 4; ++c) w.finish(c);
  w.pass(10s);
  ASSERT_EQ(w.handed.size(), 6u);
  w.finish(3);
  auto again = taken_up(w);
  EXPECT_EQ(again.state(), S::FAILED);
  EXPECT_EQ(again.job(0).state, S::STOPPED) << "RETRY, while a check is stopping the Task";
  EXPECT_EQ(again.job(0).attempts.back().status, A::INTERRUPTED);
  EXPECT_EQ(again.job(1).state, S::FAILED);
  EXPECT_EQ(again.job(2).state, S::FAILED) << "FAIL, while a check is stopping the Task";
  EXPECT_EQ(again.job(3).state, S::COMPLETED);
  EXPECT_EQ(again.job(4).state, S::STOPPED);
  EXPECT_EQ(again.job(5).state, S::FAILED);
  for (const auto& j : again.labor().jobs) {
    for (const auto& a : j.attempts) EXPECT_FALSE(a.open());
  }
}

TEST(Recovered, R2WhileStoppingRetryEndsStoppedAndFailFailed) {
  for (const bool whole : {true, false}) {
    auto labor = LaborBuilder()
                     .task(2, 2, 0, 1)
                     .with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = -1, t.cont_check_interval = 10s; })
                     .build();
    on_interrupt(labor, {3}, OnInterrupt::FAIL);
    MachineWorld w(labor);
    w.start();
    w.finish(0);
    w.pass(10s);
    if (whole) {
      w.signal(Signal::STOP);
    } else {
      w.signal(sequence_ref(0), Signal::STOP);
      w.signal(sequence_ref(1), Signal::STOP);
    }
    ASSERT_EQ(w.handed.size(), 3u);
    auto again = taken_up(w);
    EXPECT_EQ(again.job(1).state, S::STOPPED);
    EXPECT_EQ(again.sequence(0).state, S::STOPPED);
    EXPECT_EQ(again.job(3).state, S::FAILED);
    EXPECT_EQ(again.sequence(1).state, S::FAILED);
    if (whole) {
      EXPECT_EQ(again.job(0).state, S::STOPPED) << "checks included";
      EXPECT_EQ(again.state(), S::STOPPED);
    } else {
      EXPECT_TRUE(again.is_handed(0)) << "its Task goes on";
      EXPECT_EQ(again.state(), S::RUNNING);
    }
  }
}

TEST(Recovered, R2InterruptedAttemptsUseUpNoRetry) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1; }).build());
  w.start();
  w.finish(0, A::FAILURE);
  auto again = taken_up(taken_up(taken_up(w)));
  EXPECT_EQ(again.statuses(0), "FAILURE INTERRUPTED INTERRUPTED INTERRUPTED OPEN");
  again.finish(0, A::FAILURE);
  EXPECT_EQ(again.job(0).state, S::FAILED) << "two attempts counted";
}

TEST(Recovered, R3DelaysOfARetryCountFromItsEndWithTheirBackoff) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) { j.options.retries = 3, j.options.retry_delay = 10s, j.options.retry_backoff = 3; })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  w.pass(10s);
  w.finish(0, A::FAILURE);  // its third attempt begins after 30 s
  auto again = taken_up(w, 20s);
  EXPECT_TRUE(again.handed.empty());
  again.pass(9s);
  EXPECT_TRUE(again.handed.empty());
  again.pass(1s);
  EXPECT_TRUE(again.is_handed(0));
  EXPECT_TRUE(taken_up(w, 31s).is_handed(0));
}

TEST(Recovered, R3EntriesGoOnWhereTheyWere) {
  const auto tree = [] {
    return LaborBuilder().task(1, 1, 1, 1).with([](Task& t) { t.entry_delay = 10s, t.pause_on_entry = true; }).build();
  };
  MachineWorld w(tree());
  w.start();
  auto again = taken_up(w, 4s);
  EXPECT_EQ(again.task(0).state, S::ADMIN_PAUSED);
  EXPECT_EQ(again.task(0).holds.size(), 1u);
  again.signal(task_ref(0), Signal::ADMIN_RESUME);
  again.pass(5s);
  EXPECT_TRUE(again.handed.empty());
  again.pass(1s);
  EXPECT_EQ(again.handed.size(), 2u) << "ten seconds after it was entered";

  again.finish(1);
  auto third = taken_up(again);
  EXPECT_EQ(third.handed, std::vector<std::uint32_t>{0}) << "what had passed is not run again";
  EXPECT_EQ(third.sequence(0).state, S::NOT_STARTED);
  third.finish(0);
  EXPECT_TRUE(third.is_handed(2));
}

TEST(Recovered, R3TheNextRoundCountsFromTheEndOfTheEntry) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 1).with([](Task& t) { t.cont_check_interval = 30s; }).build());
  w.start();
  w.finish(1);
  w.pass(20s);
  w.finish(0);  // the entry ends with its pre-check
  auto again = taken_up(w, 15s);
  EXPECT_FALSE(again.is_handed(1)) << "35 s after its own end, 15 s after the entry's";
  again.pass(14s);
  EXPECT_FALSE(again.is_handed(1));
  again.pass(1s);
  EXPECT_TRUE(again.is_handed(1));
}

TEST(Recovered, R3ARoundThatWasDueMeanwhileBegins) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 30s; }).build());
  w.start();
  w.finish(0);
  EXPECT_TRUE(taken_up(w, 31s).is_handed(0));
}

TEST(Recovered, R3ARoundUnderWayGoesOnWithoutTheChecksThatPassed) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 3).with([](Task& t) { t.cont_check_interval = 10s; }).build(), 3);
  w.start();
  w.finish(0), w.finish(1), w.finish(2);
  w.pass(10s);
  w.finish(0);
  ASSERT_TRUE(w.is_handed(1) && w.is_handed(2));
  auto again = taken_up(w, 5s);
  EXPECT_FALSE(again.is_handed(0));
  EXPECT_TRUE(again.is_handed(1) && again.is_handed(2));
  EXPECT_EQ(again.job(1).attempts.back().round, 2u);
  EXPECT_EQ(again.job(1).attempts.back().number, 2u);
  again.finish(1), again.finish(2);
  EXPECT_EQ(again.job(1).rounds, 2u);
  again.pass(9s);
  EXPECT_FALSE(again.is_handed(0));
  again.pass(1s);
  EXPECT_TRUE(again.is_handed(0));
}

TEST(Recovered, R3TriesOfACheckAreThoseOfItsRound) {
  MachineWorld w(LaborBuilder()
                     .task(1, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = 10s; })
                     .jobs([](Job& j) { j.options.retries = 1; })
                     .build());
  w.start();
  for (int round = 1; round <= 2; ++round) {
    w.finish(0, A::FAILURE);
    w.finish(0);
    w.pass(10s);
  }
  auto again = taken_up(w);
  again.finish(0, A::FAILURE);
  ASSERT_TRUE(again.is_handed(0)) << "one retry is left in the third round";
  again.finish(0, A::FAILURE);
  EXPECT_EQ(again.job(0).state, S::FAILED);
}

TEST(Recovered, R3ARoundThatBeganBeforeTheSequencesEndedIsNotTheLast) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0));
  w.pass(1s);
  w.finish(1);
  auto again = taken_up(w);
  ASSERT_TRUE(again.is_handed(0));
  again.finish(0);
  EXPECT_EQ(again.state(), S::RUNNING) << "X6a: nothing has looked at the change yet";
  ASSERT_TRUE(again.is_handed(0));
  again.finish(0);
  EXPECT_EQ(again.state(), S::COMPLETED);
}

TEST(Recovered, R3ASequenceThatWasStoppedBeforeStillCounts) {
  MachineWorld w(
      LaborBuilder().task(2, 2).with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 1; }).build());
  w.start();
  w.signal(sequence_ref(0), Signal::STOP);
  w.finish(0);
  ASSERT_EQ(w.sequence(0).state, S::STOPPED);
  auto again = taken_up(w);
  again.finish(2);
  again.signal(Signal::STOP);
  again.finish(3);
  EXPECT_EQ(again.sequence(1).state, S::COMPLETED);
  EXPECT_EQ(again.state(), S::STOPPED) << "G7: one of its Sequences is STOPPED";
}

TEST(Recovered, R3TheBakeAndTheLastRound) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 1000s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  auto baking = taken_up(w, 40s);
  EXPECT_TRUE(baking.handed.empty());
  baking.pass(20s);
  ASSERT_TRUE(baking.is_handed(0));
  auto last = taken_up(baking, 5s);
  ASSERT_TRUE(last.is_handed(0)) << "it was interrupted";
  last.finish(0);
  EXPECT_EQ(last.state(), S::COMPLETED) << "and it was the last round";
  EXPECT_EQ(last.job(0).rounds, 2u);
}

TEST(Recovered, R3TheBakeBeginsAtTheEndThatARecoveryBroughtAbout) {
  auto labor = LaborBuilder()
                   .task(2, 1, 0, 1)
                   .with([](Task& t) {
                     t.concurrency.number = 2, t.tolerated_failures.number = 1, t.cont_check_interval = 1000s, t.bake = 60s;
                   })
                   .build();
  on_interrupt(labor, {2}, OnInterrupt::FAIL);
  MachineWorld w(labor);
  w.start();
  w.finish(0);
  w.finish(1);
  auto again = taken_up(w, 100s);
  EXPECT_EQ(again.sequence(1).state, S::FAILED);
  again.pass(59s);
  EXPECT_TRUE(again.handed.empty()) << "the last Sequence ended with the recovery";
  again.pass(1s);
  EXPECT_TRUE(again.is_handed(0));
}

/// X6, X6a: a round that is due when the last Sequence has ended does not begin; the last one does, where the Task would complete.
TEST(Recovered, X6aNoRoundBeginsThatFellDueWhileTheLastSequenceEnded) {
  for (const std::int64_t tolerated : {0, -1}) {
    auto labor = LaborBuilder()
                     .task(1, 1, 0, 1)
                     .with([&](Task& t) { t.cont_check_interval = 3s, t.tolerated_failures.number = tolerated; })
                     .build();
    on_interrupt(labor, {1}, OnInterrupt::FAIL);
    MachineWorld w(labor);
    w.start();
    w.pass(3s);
    w.finish(0);  // the entry, 3 s; the next round is due at 6 s
    w.pass(2s);
    auto again = taken_up(w, 4s);  // died at 5 s, back at 9 s
    EXPECT_EQ(again.sequence(0).state, S::FAILED);
    if (tolerated == 0) {
      EXPECT_EQ(again.state(), S::FAILED) << "at 9 s";
      EXPECT_EQ(again.job(0).rounds, 1u);
      continue;
    }
    ASSERT_TRUE(again.is_handed(0)) << "the last round, which is the only one";
    again.pass(3s);
    again.finish(0);
    EXPECT_EQ(again.state(), S::COMPLETED) << "at 12 s";
    EXPECT_EQ(again.job(0).rounds, 2u);
  }
}

TEST(Recovered, R3PausesStayAndPausingBecomesItsPauseAtEachRank) {
  constexpr std::pair<Signal, State> rows[] = {
      {Signal::PAUSE, S::PAUSED}, {Signal::ADMIN_PAUSE, S::ADMIN_PAUSED}, {Signal::CRISIS_PAUSE, S::CRISIS_PAUSED}};
  for (const auto& [pause, state] : rows) {
    for (const auto object : {ObjectRef{}, task_ref(0), sequence_ref(0)}) {
      MachineWorld w(LaborBuilder().task(1, 2).build());
      w.start();
      w.signal(object, pause);
      ASSERT_EQ(state_of(w.labor(), object), S::PAUSING);
      auto again = taken_up(w);
      EXPECT_EQ(state_of(again.labor(), object), state);
      EXPECT_EQ(again.sequence(0).state, state);
      EXPECT_TRUE(again.handed.empty());
      const auto resume = pause == Signal::PAUSE         ? Signal::RESUME
                          : pause == Signal::ADMIN_PAUSE ? Signal::ADMIN_RESUME
                                                         : Signal::CRISIS_RESUME;
      again.signal(object, resume);
      EXPECT_EQ(again.state(), S::RUNNING);
      EXPECT_EQ(again.statuses(0), "INTERRUPTED OPEN");
    }
  }
}

TEST(Recovered, R3KeptPausesAreKept) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  w.signal(sequence_ref(1), Signal::PAUSE);
  w.signal(task_ref(1), Signal::ADMIN_PAUSE);
  auto again = taken_up(w);
  again.finish(0);
  EXPECT_EQ(again.sequence(1).state, S::PAUSED);
  again.signal(sequence_ref(1), Signal::RESUME);
  again.finish(1);
  EXPECT_EQ(again.task(1).state, S::ADMIN_PAUSED);
}

TEST(Recovered, R3BetweenTwoTasks) {
  MachineWorld w(LaborBuilder().task(1).task(1).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.finish(0);
  auto again = taken_up(w);
  EXPECT_EQ(again.state(), S::PAUSED);
  EXPECT_EQ(again.task(1).state, S::NOT_STARTED);
  again.signal(Signal::RESUME);
  EXPECT_TRUE(again.is_handed(1));
}

TEST(Recovered, R3EndedObjectsAreNotRunAgain) {
  MachineWorld w(
      LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 1; }).build());
  w.start();
  w.finish(0);
  w.finish(2, A::FAILURE);
  auto again = taken_up(w);
  EXPECT_EQ(again.statuses(0), "SUCCESS");
  EXPECT_EQ(again.statuses(2), "FAILURE");
  EXPECT_EQ(again.handed, (std::vector<std::uint32_t>{1, 4}));
  EXPECT_EQ(again.task(0).failures, 1u);
  again.finish(1), again.finish(4), again.finish(5);
  EXPECT_EQ(again.state(), S::COMPLETED);
}

TEST(Recovered, X11ARoundThatFailedIsInTheHistoryOnce) {
  MachineWorld w(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  for (int n = 0; n < 3; ++n) {
    w.pass(10s);
    w.finish(0, n == 2 ? A::FAILURE : A::SUCCESS);
  }
  ASSERT_EQ(w.job(0).state, S::FAILED);
  auto again = taken_up(w);
  ASSERT_EQ(again.state(), S::FAILED);
  EXPECT_TRUE(
      std::none_of(again.history.begin(), again.history.end(), [&](const Change& c) { return c.ordinal == w.job(0).ordinal; }));
}

}  // namespace
}  // namespace cogwork::test
