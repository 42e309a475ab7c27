// Latches as one Labor meets them (G8): one more hold, from above the Labor.
#include <gtest/gtest.h>

#include <algorithm>

#include "cogwork/machine/signal_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

Labor two_by_two() {
  return LaborBuilder().task(2, 2).with([](Task& t) { t.concurrency.number = 2; }).task(1).build();
}

/// The changes of state of the Labor itself.
std::vector<Change> path_of(const MachineWorld& w) {
  std::vector<Change> path;
  for (const auto& c : w.history) {
    if (c.kind == Change::Kind::STATE && c.ordinal == 0) path.push_back(c);
  }
  return path;
}

TEST(Latches, G8ARunningLaborPausesAndItsAckIsDoneWhenNothingExecutes) {
  MachineWorld w(two_by_two());
  w.start();
  ASSERT_EQ(w.handed.size(), 2u);
  const auto ticket = w.weigh("l1");
  EXPECT_EQ(w.state(), S::PAUSING);
  EXPECT_FALSE(w.acked(ticket));
  w.finish(w.handed.front());
  EXPECT_FALSE(w.acked(ticket)) << "one still executes";
  w.finish(w.handed.front());
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::CRISIS_PAUSED, S::CRISIS_PAUSED, S::NOT_STARTED}));
  ASSERT_TRUE(w.acked(ticket));
  EXPECT_TRUE(w.acks[ticket].applied);
  EXPECT_TRUE(w.handed.empty());
  EXPECT_TRUE(w.labor().holds.empty()) << "it is no hold of the Labor's own";
  // D7, G9: who, why, and which latch.
  EXPECT_EQ(path_of(w).back().by, "bob");
  EXPECT_EQ(path_of(w).back().note, "latch l1: INC-12");
  EXPECT_EQ(w.machine.waiting_for(w.steady()), "held by latch l1 of bob \"INC-12\" (CRISIS_PAUSED)");

  const auto lift = w.weigh("", "l1");
  ASSERT_TRUE(w.acked(lift));
  EXPECT_TRUE(w.acks[lift].applied);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(path_of(w).back().by, "carl");
  EXPECT_EQ(path_of(w).back().note, "latch l1 lifted: mended");
  for (int i = 0; i < 2; ++i) w.finish_all();
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Latches, G8ALatchThatIsLiftedWhilePausingWithdrawsThePause) {
  MachineWorld w(two_by_two());
  w.start();
  const auto set = w.weigh("l1");
  const auto lift = w.weigh("", "l1");
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_FALSE(w.acks.at(set).applied);
  EXPECT_TRUE(w.acks.at(lift).applied);
  for (int i = 0; i < 3; ++i) w.finish_all();
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Latches, G3WhatWasNotHandedOverIsWithdrawn) {
  MachineWorld w(two_by_two());
  w.durable = false;
  w.start();
  ASSERT_EQ(w.opened.size(), 2u);
  const auto ticket = w.weigh("l1");
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  EXPECT_TRUE(w.acks.at(ticket).applied);
  w.durable = true;
  w.settle();
  EXPECT_TRUE(w.handed.empty()) << "its record became durable after the latch";
  EXPECT_EQ(w.statuses(0), "WITHDRAWN");
  w.weigh("", "l1");
  EXPECT_EQ(w.handed.size(), 2u);
}

TEST(Latches, G8WhatIsStartedUnderALatchIsPausedInsteadOfRunning) {
  for (const State from : {S::NOT_STARTED, S::ADMIN_NOT_STARTED}) {
    auto labor = two_by_two();
    labor.state = from;
    MachineWorld w(labor, 1000, MachineWorld::weight("l1"));
    w.start();
    EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
    ASSERT_EQ(path_of(w).size(), 1u) << "it never was RUNNING";
    EXPECT_EQ(path_of(w)[0].by, "bob");
    EXPECT_EQ(path_of(w)[0].note, "latch l1: INC-12; started by tester");
    EXPECT_TRUE(w.ready.empty());
    EXPECT_EQ(w.task(0).state, S::NOT_STARTED) << "X1: no Task is entered";
    EXPECT_EQ(w.acks.begin()->second.state, S::CRISIS_PAUSED);
    w.weigh("", "l1");
    EXPECT_EQ(w.state(), S::RUNNING);
    EXPECT_EQ(w.handed.size(), 2u);
  }
}

TEST(Latches, G8ALaborThatWaitsForItsStartIsNoDifferentUntilThen) {
  auto labor = two_by_two();
  labor.state = S::ADMIN_NOT_STARTED;
  MachineWorld w(labor);
  const auto ticket = w.weigh("l1");
  EXPECT_EQ(w.state(), S::ADMIN_NOT_STARTED);
  EXPECT_TRUE(w.acks.at(ticket).applied) << "nothing of it executes";
  w.signal(Signal::STOP);
  EXPECT_EQ(w.state(), S::STOPPED) << "S6";
}

TEST(Latches, G8PausedOnesAreEscalatedAndTheirOwnHoldsStay) {
  constexpr struct {
    Signal pause;
    State own;
    Signal resume;
  } kCases[] = {{Signal::PAUSE, S::PAUSED, Signal::RESUME},
                {Signal::ADMIN_PAUSE, S::ADMIN_PAUSED, Signal::ADMIN_RESUME},
                {Signal::CRISIS_PAUSE, S::CRISIS_PAUSED, Signal::CRISIS_RESUME}};
  for (const auto& c : kCases) {
    MachineWorld w(two_by_two());
    w.start();
    w.signal(c.pause);
    w.finish_all();
    ASSERT_EQ(w.state(), c.own);
    EXPECT_TRUE(w.acks.at(w.weigh("l1")).applied);
    EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
    // Also where the Labor has such a hold of its own: it would not be released by it.
    w.signal(c.resume);
    ASSERT_EQ(w.refusals.size(), 1u);
    EXPECT_NE(w.refusals[0].message.find("by bob 10:02 \"INC-12\", latch l1"), std::string::npos) << w.refusals[0].message;
    w.weigh("", "l1");
    EXPECT_EQ(w.state(), c.own);
    w.signal(c.resume);
    EXPECT_EQ(w.state(), S::RUNNING);
  }
}

TEST(Latches, G5aBelowTheLaborOwnHoldsAreReleasedAsUnderAnyPauseFromAbove) {
  MachineWorld w(two_by_two());
  w.start();
  w.signal(sequence_ref(0), Signal::CRISIS_PAUSE);
  w.weigh("l1");
  w.finish_all();
  EXPECT_FALSE(w.acks.at(w.signal(task_ref(0), Signal::CRISIS_RESUME)).applied) << "it has no hold of its own";
  EXPECT_TRUE(w.acks.at(w.signal(sequence_ref(0), Signal::CRISIS_RESUME)).applied);
  EXPECT_EQ(w.sequence(0).state, S::CRISIS_PAUSED) << "what weighs from above is still shown";
  EXPECT_FALSE(w.acks.at(w.signal(task_ref(1), Signal::PAUSE)).applied) << "X2a: a higher rank weighs already";
  w.weigh("", "l1");
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
}

TEST(Latches, G8OneLatchAfterAnother) {
  MachineWorld w(two_by_two());
  w.start();
  w.weigh("l1");
  w.finish_all();
  const auto before = w.history.size();
  EXPECT_TRUE(w.acks.at(w.weigh("l2")).applied);
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  EXPECT_EQ(w.history.size(), before) << "no state changed";
  w.signal(Signal::CRISIS_RESUME);
  EXPECT_NE(w.refusals[0].message.find("latch l2"), std::string::npos) << "the one that holds it now";
  w.weigh("", "l2");
  EXPECT_EQ(w.state(), S::RUNNING);
}

TEST(Latches, G6AStopEndsALaborUnderALatch) {
  MachineWorld w(two_by_two());
  w.start();
  const auto latch = w.weigh("l1");
  const auto stop = w.signal(Signal::STOP);
  EXPECT_EQ(w.state(), S::STOPPING);
  EXPECT_FALSE(w.acked(latch));
  w.finish_all();
  EXPECT_EQ(w.state(), S::STOPPED);
  EXPECT_TRUE(w.acks.at(stop).applied);
  EXPECT_TRUE(w.acked(latch)) << "nothing of it executes any more";
}

TEST(Latches, G3AJobThatWaitsForItsRetryWaitsOn) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) {
                       j.options.retries = 1;
                       j.options.retry_delay = 10s;
                     })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  w.weigh("l1");
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  w.pass(20s);
  EXPECT_TRUE(w.handed.empty());
  w.weigh("", "l1");
  EXPECT_TRUE(w.is_handed(0));
}

TEST(Latches, G4NoRoundOfChecksBeginsUnderALatch) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  ASSERT_TRUE(w.is_handed(1));
  w.weigh("l1");
  w.finish(1);
  w.pass(60s);
  EXPECT_TRUE(w.handed.empty());
  w.weigh("", "l1");
  EXPECT_TRUE(w.is_handed(0)) << "the round that is due begins with what goes on";
}

/// R1, R3: what holds after a restart is what the latches say then, whatever was stored: a latch may have been set, or lifted, meanwhile,
/// and a kill may have come between its record and the states that followed from it.
TEST(Latches, R1ARecoveredLaborObeysTheLatchesOfThatMoment) {
  for (const bool before : {false, true}) {
    for (const bool pausing : {false, true}) {
      for (const bool after : {false, true}) {
        SCOPED_TRACE(std::string(before ? "held " : "free ") + (pausing ? "while pausing, " : "settled, ") +
                     (after ? "held" : "free"));
        MachineWorld w(two_by_two());
        w.start();
        if (before) w.weigh("l1");
        if (!pausing) w.finish_all();
        MachineWorld next(w.labor(), 1000, MachineWorld::weight(after ? "l1" : "", "l1"));
        next.now = w.now;
        next.step(input::Recovered{});
        next.settle();
        EXPECT_EQ(next.state(), after ? S::CRISIS_PAUSED : S::RUNNING);
        EXPECT_EQ(next.handed.size(), after ? 0u : 2u);
        if (before && !after) {
          EXPECT_EQ(path_of(next).back().note, "latch l1 lifted: mended");
          EXPECT_EQ(path_of(next).back().by, "carl");
        }
        next.weigh("", "l1");
        while (!next.handed.empty()) next.finish_all();
        EXPECT_EQ(next.state(), S::COMPLETED);
      }
    }
  }
}

TEST(Latches, R1ALaborThatHadNotStartedIsPausedWhenItIsTakenUp) {
  MachineWorld w(two_by_two(), 1000, MachineWorld::weight("l1"));
  w.step(input::Recovered{});
  w.settle();
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  EXPECT_EQ(path_of(w)[0].note, "latch l1: INC-12");
  w.weigh("", "l1");
  EXPECT_EQ(w.handed.size(), 2u);
}

}  // namespace
}  // namespace cogwork::test
