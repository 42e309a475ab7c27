// Sections 1-4 by rule number.
#include <gtest/gtest.h>

#include "cogwork/machine/end_rules.h"
#include "cogwork/machine/signal_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

TEST(Executing, X1TasksInOrderAndAFailedOneFailsTheLabor) {
  MachineWorld w(LaborBuilder().task(1).task(1).task(1).build());
  w.start();
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.finish(0);
  EXPECT_EQ(w.task(1).state, S::RUNNING);
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::MAX_FAILURES);
  EXPECT_EQ(w.task(2).state, S::NOT_STARTED);
  EXPECT_TRUE(w.ended);
}

TEST(Executing, X1NoTaskIsEnteredWhileTheLaborIsHeld) {
  MachineWorld w(LaborBuilder().task(1).task(1).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.finish(0);
  EXPECT_EQ(w.state(), S::PAUSED);
  EXPECT_EQ(w.task(0).state, S::COMPLETED);
  EXPECT_EQ(w.task(1).state, S::NOT_STARTED);
  w.signal(Signal::RESUME);
  EXPECT_EQ(w.task(1).state, S::RUNNING);
}

TEST(Executing, X2NoSequenceStartsBeforeAllChecksHaveCompleted) {
  MachineWorld w(LaborBuilder().task(1, 1, 2, 1).build());
  w.start();
  EXPECT_EQ(w.handed.size(), 3u) << "pre-checks and the first round at the same time";
  w.finish(0);
  w.finish(2);
  EXPECT_EQ(w.sequence(0).state, S::NOT_STARTED);
  w.finish(1);
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
}

TEST(Executing, X2TheFirstCheckToFailDecidesTheReason) {
  for (const auto& [first, reason] : {std::pair{0u, Reason::PRE_CHECK_FAILURE}, std::pair{1u, Reason::CONT_CHECK_FAILURE}}) {
    MachineWorld w(LaborBuilder().task(1, 1, 1, 1).build());
    w.start();
    w.finish(first, A::FAILURE);
    EXPECT_EQ(w.task(0).state, S::RUNNING) << "attempts that execute finish";
    w.finish(1 - first, A::FAILURE);
    EXPECT_EQ(w.task(0).state, S::FAILED);
    EXPECT_EQ(w.task(0).reason, reason);
    EXPECT_EQ(w.labor().reason, reason);
    EXPECT_EQ(w.sequence(0).state, S::NOT_STARTED);
  }
}

TEST(Executing, X2ACheckThatWaitsForItsRetryEndsStoppedAndOneThatNeverBeganStays) {
  MachineWorld w(LaborBuilder().task(1, 1, 3, 0).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 10s; }).build(),
                 2);
  w.start();
  ASSERT_EQ(w.handed.size(), 2u);
  w.durable = false;
  w.finish(0, A::FAILURE);  // waits for its retry; the third gets its worker, but its record is not durable yet
  w.finish(1, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.job(0).state, S::STOPPED);
  EXPECT_EQ(w.job(1).state, S::FAILED);
  EXPECT_EQ(w.job(2).state, S::STOPPED);
  EXPECT_EQ(w.statuses(2), "WITHDRAWN");
  EXPECT_EQ(w.task(0).state, S::FAILED);
  EXPECT_EQ(w.task(0).reason, Reason::PRE_CHECK_FAILURE);
}

TEST(Executing, X2aPauseOnEntryAndEntryDelayRunSideBySide) {
  MachineWorld w(LaborBuilder().task(1).with([](Task& t) { t.pause_on_entry = true, t.entry_delay = 10s; }).build());
  w.start();
  EXPECT_EQ(w.task(0).state, S::ADMIN_PAUSED);
  EXPECT_EQ(w.state(), S::RUNNING) << "held by itself";
  w.pass(8s);
  w.signal(task_ref(0), Signal::ADMIN_RESUME);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  EXPECT_TRUE(w.handed.empty()) << "its delay is not over";
  w.pass(2s);
  EXPECT_EQ(w.handed.size(), 1u);
}

TEST(Executing, X2aAPauseIsKeptForWhatHasNotStarted) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  const auto kept = w.signal(sequence_ref(1), Signal::PAUSE);
  ASSERT_TRUE(w.acked(kept));
  EXPECT_TRUE(w.acks[kept].applied);
  EXPECT_EQ(w.acks[kept].state, S::NOT_STARTED);
  const auto same = w.signal(sequence_ref(1), Signal::PAUSE);
  EXPECT_FALSE(w.acks[same].applied) << "a rank that already weighs is ignored";
  EXPECT_TRUE(w.acks[w.signal(sequence_ref(1), Signal::ADMIN_PAUSE)].applied);
  EXPECT_TRUE(w.acks[w.signal(sequence_ref(1), Signal::ADMIN_RESUME)].applied) << "its Resume takes it back";
  EXPECT_FALSE(w.acks[w.signal(task_ref(1), Signal::STOP)].applied);
  w.finish(0);
  EXPECT_EQ(w.sequence(1).state, S::PAUSED);
  EXPECT_TRUE(w.handed.empty());
  w.signal(sequence_ref(1), Signal::RESUME);
  EXPECT_EQ(w.sequence(1).state, S::RUNNING);
}

TEST(Executing, X3ConcurrencyIsACeilingAndTheBudgetEndsTheTask) {
  MachineWorld w(LaborBuilder().task(10).with([](Task& t) { t.concurrency.number = 3, t.tolerated_failures.number = 1; }).build());
  w.start();
  EXPECT_EQ(w.handed.size(), 3u);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.handed.size(), 3u) << "one is tolerated";
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.handed.size(), 2u) << "no further Sequence starts";
  EXPECT_EQ(w.task(0).reason, Reason::MAX_FAILURES);
  w.finish(2);
  EXPECT_EQ(w.task(0).state, S::RUNNING) << "those that run go on to their own end";
  w.finish(3);
  EXPECT_EQ(w.task(0).state, S::FAILED);
  EXPECT_EQ(w.sequence(2).state, S::COMPLETED);
  EXPECT_EQ(w.sequence(4).state, S::NOT_STARTED);
}

TEST(Executing, X3StrictCountsWhatIsInFlight) {
  MachineWorld w(LaborBuilder()
                     .task(10)
                     .with([](Task& t) { t.concurrency.number = 8, t.tolerated_failures.number = 2, t.strict = true; })
                     .build());
  w.start();
  EXPECT_EQ(w.handed.size(), 3u);
  w.finish_all(A::FAILURE);
  EXPECT_EQ(w.task(0).failures, 3u) << "never exceeded by more than one";
  EXPECT_EQ(w.task(0).state, S::FAILED);

  MachineWorld one(LaborBuilder().task(3).with([](Task& t) { t.concurrency.number = 3, t.strict = true; }).build());
  one.start();
  EXPECT_EQ(one.handed.size(), 1u) << "tolerated_failures=0 is one at a time";
}

TEST(Executing, X3MinusOneIsNoLimit) {
  MachineWorld w(LaborBuilder().task(5).with([](Task& t) { t.tolerated_failures.number = -1, t.strict = true; }).build());
  w.start();
  for (std::uint32_t i = 0; i < 5; ++i) w.finish(i, A::FAILURE);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_EQ(w.task(0).failures, 5u);
}

TEST(Executing, X4EveryLossCounts) {
  MachineWorld w(LaborBuilder()
                     .task(4)
                     .with([](Task& t) { t.concurrency.number = 4, t.tolerated_failures.number = 4; })
                     .jobs([](Job& j) { j.options.timeout = 5s; })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  w.finish(1, A::CRASHED);
  w.pass(5s);
  EXPECT_EQ(w.interrupted.size(), 2u);
  w.finish(2);
  w.signal(sequence_ref(3), Signal::STOP, true);
  w.finish(3, A::FAILURE);
  EXPECT_EQ(w.task(0).failures, 4u);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Executing, X5PassedFailuresAndX6bTheBudgetIsJudgedWhenTheEntryEnds) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .with([](Task& t) { t.tolerated_failures.number = 1, t.pass_failures = true; })
                     .task(1, 1, 1, 1)
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  ASSERT_EQ(w.task(1).state, S::RUNNING);
  EXPECT_EQ(w.task(1).failures, 1u);
  EXPECT_EQ(w.handed.size(), 2u) << "it runs its entry checks";
  w.finish_all();
  EXPECT_EQ(w.task(1).state, S::FAILED);
  EXPECT_EQ(w.task(1).reason, Reason::MAX_FAILURES);
  EXPECT_EQ(w.sequence(1).state, S::NOT_STARTED) << "and starts no Sequence";
}

TEST(Checks, X6RoundsComeAtTheirIntervalAfterTheLastEnded) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  ASSERT_TRUE(w.is_handed(1));
  w.pass(9s);
  EXPECT_FALSE(w.is_handed(0));
  w.pass(1s);
  EXPECT_TRUE(w.is_handed(0));
  EXPECT_EQ(w.job(0).state, S::RUNNING);
  w.pass(5s);
  w.finish(0);
  EXPECT_EQ(w.job(0).rounds, 2u);
  w.pass(9s);
  EXPECT_FALSE(w.is_handed(0));
  w.pass(1s);
  EXPECT_TRUE(w.is_handed(0));
}

TEST(Checks, X6AFailingCheckStopsTheTask) {
  auto labor = LaborBuilder()
                   .task(4, 2, 0, 2)
                   .with([](Task& t) { t.concurrency.number = 3, t.cont_check_interval = 10s, t.tolerated_failures.number = -1; })
                   .jobs([](Job& j) { j.options.retries = 2, j.options.retry_delay = 60s; })
                   .build();
  MachineWorld w(labor);
  w.start();
  w.finish(0);
  w.finish(1);
  w.finish(2, A::FAILURE);  // of the first Sequence: waits for its retry
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.task(0).reason, Reason::CONT_CHECK_FAILURE);
  EXPECT_EQ(w.task(0).state, S::RUNNING) << "Task and Sequences show RUNNING meanwhile";
  EXPECT_EQ(w.sequence(0).state, S::STOPPED) << "a Job that waits for its retry reacts at once";
  EXPECT_EQ(w.sequence(1).state, S::RUNNING);
  w.finish(4);  // its first Job; the second does not begin
  EXPECT_EQ(w.sequence(1).state, S::STOPPED);
  EXPECT_EQ(w.job(5).state, S::NOT_STARTED);
  w.finish(6, A::FAILURE);  // retries left, but it is being stopped
  EXPECT_EQ(w.job(6).state, S::STOPPED);
  w.finish(1);  // of the failing round, attempts that execute finish
  EXPECT_EQ(w.task(0).state, S::FAILED);
  EXPECT_EQ(w.sequence(3).state, S::NOT_STARTED);
}

TEST(Checks, X6aTheLastRoundLooksAtWhatWasChanged) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 40s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  EXPECT_EQ(w.task(0).state, S::RUNNING) << "it bakes";
  w.pass(40s);
  ASSERT_TRUE(w.is_handed(0)) << "rounds go on during the bake";
  w.finish(0);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.pass(20s);
  ASSERT_TRUE(w.is_handed(0)) << "the last round";
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.task(0).state, S::FAILED);
  EXPECT_EQ(w.task(0).reason, Reason::CONT_CHECK_FAILURE) << "it counts";
}

TEST(Checks, X6aWhereBothAreDueItIsTheLastOneThatBegins) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 30s, t.bake = 30s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  w.pass(30s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0);
  EXPECT_EQ(w.task(0).state, S::COMPLETED);
  EXPECT_EQ(w.job(0).rounds, 2u);
}

TEST(Checks, X6aARoundUnderWayIsWaitedForAndCounts) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(1);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.finish(0);
  ASSERT_TRUE(w.is_handed(0)) << "then the last round, without a bake at once";
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Checks, X6bTheFirstCauseIsKeptAndRoundsGoOn) {
  MachineWorld w(
      LaborBuilder().task(3, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s, t.concurrency.number = 2; }).build());
  w.start();
  w.finish(0);
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.task(0).reason, Reason::MAX_FAILURES);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0)) << "rounds go on while Sequences run";
  w.finish(0, A::FAILURE);
  w.finish(3);
  EXPECT_EQ(w.sequence(1).state, S::STOPPED) << "a check that fails then stops them";
  EXPECT_EQ(w.task(0).reason, Reason::MAX_FAILURES) << "but does not change the reason";
  EXPECT_EQ(w.task(0).state, S::FAILED);
}

TEST(Checks, X11RoundsAreCountedAndFewAttemptsKept) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 1s; }).build());
  w.start();
  w.finish(0);
  const auto listed = w.history.size();
  for (int i = 0; i < 30; ++i) {
    w.pass(1s);
    w.finish(0);
  }
  EXPECT_EQ(w.job(0).rounds, 31u);
  EXPECT_EQ(w.history.size(), listed) << "rounds that pass are counted in the history, not listed";
  ASSERT_EQ(w.job(0).attempts.size(), 11u) << "the first round's and the last ten";
  EXPECT_EQ(w.job(0).attempts[0].round, 1u);
  EXPECT_EQ(w.job(0).attempts[1].round, 22u);
  w.finish(1);
  w.finish(0);
  ASSERT_TRUE(w.ended);
  bool counted = false;
  for (const auto& c : w.history) counted |= c.ordinal == w.job(0).ordinal && c.rounds == 32;
  EXPECT_TRUE(counted) << "the last end says how many";
}

TEST(Jobs, X7InOrderAndLaterOnesStay) {
  MachineWorld w(LaborBuilder().task(1, 3).build());
  w.start();
  EXPECT_EQ(w.handed, std::vector<std::uint32_t>{0});
  w.finish(0);
  EXPECT_EQ(w.handed, std::vector<std::uint32_t>{1});
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.sequence(0).state, S::FAILED);
  EXPECT_EQ(w.job(2).state, S::NOT_STARTED);
}

TEST(Jobs, X8RetriesWithTheirDelays) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) {
                       j.options.retries = 4;
                       j.options.retry_delay = 2s;
                       j.options.retry_backoff = 3;
                       j.options.retry_max_delay = 10s;
                     })
                     .build());
  w.start();
  for (const auto delay : {2s, 6s, 10s, 10s}) {
    w.finish(0, A::FAILURE);
    w.pass(delay - 1s);
    EXPECT_FALSE(w.is_handed(0));
    w.pass(1s);
    EXPECT_TRUE(w.is_handed(0));
  }
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.job(0).state, S::FAILED);
  EXPECT_EQ(w.job(0).attempts.size(), 5u) << "up to 1 + retries";
  EXPECT_EQ(w.job(0).attempts.back().number, 5u);
}

TEST(Jobs, X8FailureNoRetriesIsNotTriedAgain) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 4; }).build());
  w.start();
  w.finish(0, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.statuses(0), "FAILURE_NO_RETRIES");
  EXPECT_EQ(w.job(0).state, S::FAILED);
}

TEST(Jobs, X8TheTimeOutRunsFromTheHandOver) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 10s, j.options.retries = 1; }).build());
  w.durable = false;
  w.start();
  ASSERT_EQ(w.opened.size(), 1u);
  w.pass(60s);  // its record takes a minute
  w.durable = true;
  w.settle();
  ASSERT_TRUE(w.is_handed(0));
  w.pass(9s);
  EXPECT_TRUE(w.interrupted.empty());
  w.pass(1s);
  EXPECT_EQ(w.interrupted, std::vector<std::uint32_t>{0});
  w.finish(0);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT OPEN") << "whatever it answered";
}

TEST(Jobs, X8aACallThatCannotBeEndedFailsItsJob) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 1s, j.options.retries = 5; }).build());
  w.start();
  w.pass(1s);
  w.finish(0, A::SUCCESS, true);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT");
  EXPECT_EQ(w.job(0).attempts[0].error, "timed out, still running");
  EXPECT_EQ(w.job(0).state, S::FAILED) << "without a further attempt";
}

TEST(Jobs, X8aACallThatLeftSomethingThatCannotBeEndedIsNotTriedAgain) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 5; }).build());
  w.start();
  w.finish(0, A::FAILURE, true);  // nobody had asked it to end
  EXPECT_EQ(w.statuses(0), "FAILURE");
  EXPECT_EQ(w.job(0).attempts[0].error, "it failed");
  EXPECT_TRUE(w.job(0).attempts[0].marks & Attempt::STILL_RUNNING);
  EXPECT_EQ(w.job(0).state, S::FAILED) << "a further attempt would run beside it";
}

TEST(Jobs, X9AnAnswerThatComesTooLateChangesNothing) {
  MachineWorld w(LaborBuilder().task(1).task(1).build());
  w.start();
  w.finish(0, A::FAILURE);
  const auto before = w.labor();
  w.step(input::Ended{0, {}, false});
  w.step(input::Recorded{0, 1});
  w.step(input::Begin{0});
  EXPECT_EQ(w.labor(), before);
}

TEST(Jobs, X13AnAttemptStartsOnlyWithAWorker) {
  MachineWorld w(LaborBuilder().task(5).with([](Task& t) { t.concurrency.number = 5; }).build(), 2);
  w.start();
  EXPECT_EQ(w.handed.size(), 2u);
  EXPECT_EQ(w.sequence(4).state, S::RUNNING);
  EXPECT_EQ(w.job(4).state, S::NOT_STARTED);
  EXPECT_TRUE(w.job(4).attempts.empty());
}

TEST(Signals, G1AcksAreDoneWhenAllBelowHaveFinished) {
  MachineWorld w(LaborBuilder().task(2, 2).with([](Task& t) { t.concurrency.number = 2; }).build());
  w.start();
  const auto pause = w.signal(Signal::PAUSE);
  EXPECT_FALSE(w.acked(pause));
  EXPECT_EQ(w.state(), S::PAUSING);
  w.finish(0);
  EXPECT_EQ(w.sequence(0).state, S::PAUSED);
  EXPECT_FALSE(w.acked(pause));
  w.finish(2);
  ASSERT_TRUE(w.acked(pause));
  EXPECT_TRUE(w.acks[pause].applied);
  EXPECT_EQ(w.acks[pause].state, S::PAUSED);
  EXPECT_TRUE(w.handed.empty());
}

TEST(Signals, G1AReplacedSignalIsDoneWithItsReplacementAndNotApplied) {
  MachineWorld w(LaborBuilder().task(1).build());
  w.start();
  const auto pause = w.signal(Signal::PAUSE);
  const auto stop = w.signal(Signal::STOP);
  EXPECT_FALSE(w.acked(pause));
  w.finish(0, A::FAILURE);
  ASSERT_TRUE(w.acked(pause) && w.acked(stop));
  EXPECT_FALSE(w.acks[pause].applied);

  MachineWorld resumed(LaborBuilder().task(1).build());
  resumed.start();
  const auto withdrawn = resumed.signal(Signal::PAUSE);
  resumed.signal(Signal::RESUME);
  ASSERT_TRUE(resumed.acked(withdrawn));
  EXPECT_FALSE(resumed.acks[withdrawn].applied);

  MachineWorld over(LaborBuilder().task(1).build());
  over.start();
  const auto overtaken = over.signal(Signal::PAUSE);
  over.finish(0);
  EXPECT_EQ(over.state(), S::COMPLETED) << "G7: with nothing left to do it ends";
  EXPECT_FALSE(over.acks.at(overtaken).applied);
}

TEST(Signals, G1APauseUnderAHigherOneIsApplied) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  const auto low = w.signal(Signal::PAUSE);
  const auto high = w.signal(Signal::CRISIS_PAUSE);
  w.finish(0);
  EXPECT_EQ(w.state(), S::CRISIS_PAUSED);
  EXPECT_TRUE(w.acks.at(low).applied);
  EXPECT_TRUE(w.acks.at(high).applied);
}

TEST(Signals, G3ADelayRunsOnUnderAPause) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 10s; }).build());
  w.start();
  w.finish(0, A::FAILURE);
  const auto ack = w.signal(Signal::PAUSE);
  EXPECT_TRUE(w.acked(ack)) << "nothing executes: it reacts at once";
  w.pass(20s);
  EXPECT_TRUE(w.handed.empty());
  w.signal(Signal::RESUME);
  EXPECT_TRUE(w.is_handed(0)) << "its delay was over";
}

TEST(Signals, G3StopEndsADelayedJobAtOnce) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 10s; }).build());
  w.start();
  w.finish(0, A::FAILURE);
  const auto ack = w.signal(Signal::STOP);
  EXPECT_EQ(w.job(0).state, S::STOPPED);
  EXPECT_EQ(w.state(), S::STOPPED);
  EXPECT_TRUE(w.acks.at(ack).applied);
}

TEST(Signals, G3WhatWasNotHandedOverIsWithdrawn) {
  MachineWorld w(LaborBuilder().task(1).build());
  w.durable = false;
  w.start();
  ASSERT_EQ(w.opened.size(), 1u);
  const auto ack = w.signal(Signal::PAUSE);
  EXPECT_TRUE(w.acked(ack));
  EXPECT_EQ(w.statuses(0), "WITHDRAWN");
  EXPECT_EQ(w.job(0).state, S::RUNNING) << "meanwhile";
  w.durable = true;
  w.settle();
  EXPECT_TRUE(w.handed.empty()) << "its record became durable too late";
  w.signal(Signal::RESUME);
  ASSERT_TRUE(w.is_handed(0)) << "it begins anew";
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.statuses(0), "WITHDRAWN FAILURE");

  MachineWorld stopped(LaborBuilder().task(1).build());
  stopped.durable = false;
  stopped.start();
  stopped.signal(Signal::STOP);
  EXPECT_EQ(stopped.statuses(0), "WITHDRAWN");
  EXPECT_EQ(stopped.job(0).state, S::STOPPED);
}

TEST(Signals, G3aTrueEndsAreKeptUnderAnInterruptingStop) {
  for (const auto& [status, state] : {std::pair{A::SUCCESS, S::COMPLETED}, std::pair{A::FAILURE_NO_RETRIES, S::FAILED},
                                      std::pair{A::FAILURE, S::STOPPED}, std::pair{A::CRASHED, S::STOPPED}}) {
    MachineWorld w(LaborBuilder().task(1, 2).build());
    w.start();
    const auto first = w.signal(Signal::STOP);
    const auto second = w.signal(Signal::STOP, true);
    EXPECT_EQ(w.interrupted.size(), 1u);
    w.finish(0, status);
    EXPECT_EQ(w.job(0).state, state) << name_of(status);
    EXPECT_TRUE(w.acked(first) && w.acked(second)) << "all their acks end together";
  }
  MachineWorld deaf(LaborBuilder().task(1, 2).build());
  deaf.start();
  deaf.signal(Signal::STOP, true);
  deaf.finish(0, A::SUCCESS, true);
  EXPECT_EQ(deaf.job(0).attempts[0].error, "interrupted, still running");
  EXPECT_EQ(deaf.job(0).state, S::STOPPED);
}

TEST(Signals, G4NoRoundStartsWhilePausedButOneThatIsDueBeginsAtTheResume) {
  MachineWorld w(LaborBuilder().task(2, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.signal(Signal::PAUSE);
  w.finish(1);
  EXPECT_EQ(w.state(), S::PAUSED);
  w.pass(30s);
  EXPECT_TRUE(w.handed.empty());
  w.signal(Signal::RESUME);
  EXPECT_EQ(w.handed, std::vector<std::uint32_t>{0});
}

TEST(Signals, G5aStatesShowTheHighestRankOfTheirOwnAndAbove) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  w.signal(sequence_ref(0), Signal::PAUSE);
  w.finish(0);
  EXPECT_EQ(w.sequence(0).state, S::PAUSED);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.signal(Signal::ADMIN_PAUSE);
  EXPECT_EQ(w.sequence(0).state, S::ADMIN_PAUSED);
  const auto not_own = w.signal(sequence_ref(0), Signal::ADMIN_RESUME);
  EXPECT_FALSE(w.acks.at(not_own).applied) << "without an own hold of that rank";
  EXPECT_FALSE(w.acks.at(w.signal(sequence_ref(0), Signal::RESUME)).applied) << "not the rank in force";
  w.signal(task_ref(0), Signal::CRISIS_PAUSE);
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(w.sequence(0).state, S::CRISIS_PAUSED);
  w.signal(task_ref(0), Signal::CRISIS_RESUME);
  EXPECT_EQ(w.sequence(0).state, S::PAUSED) << "the remembered lower pause";
  w.signal(sequence_ref(0), Signal::RESUME);
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
  EXPECT_TRUE(w.is_handed(1));
}

TEST(Signals, G7ATaskThatIsStoppedByItselfEndsTheLabor) {
  MachineWorld w(LaborBuilder().task(2, 1).with([](Task& t) { t.concurrency.number = 2; }).task(1).build());
  w.start();
  w.signal(task_ref(0), Signal::STOP);
  w.finish_all();
  EXPECT_EQ(w.task(0).state, S::COMPLETED) << "all had in fact finished";
  EXPECT_EQ(w.task(1).state, S::NOT_STARTED) << "no later Task starts";
  EXPECT_EQ(w.state(), S::STOPPED) << "its last Task is NOT_STARTED";
}

TEST(Signals, G7ASequenceThatIsStoppedByItselfIsOneFailureAndNoMore) {
  MachineWorld w(LaborBuilder().task(2, 2).with([](Task& t) { t.tolerated_failures.number = 1; }).build());
  w.start();
  w.signal(sequence_ref(0), Signal::STOP);
  w.finish(0);
  EXPECT_EQ(w.sequence(0).state, S::STOPPED);
  w.finish(2);
  w.finish(3);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_EQ(w.task(0).failures, 1u);
}

TEST(Signals, G7WhatFinishedOrWasDecidedKeepsItsTrueEnd) {
  const auto end = [](Reason decided, bool stopping, bool cut, bool round, bool over) {
    return end_of_task({decided, stopping, cut, round, over});
  };
  EXPECT_EQ(end(Reason::PRE_CHECK_FAILURE, true, true, true, true).reason, Reason::PRE_CHECK_FAILURE);
  EXPECT_EQ(end(Reason::NO_FAILURE, true, true, true, true).state, S::STOPPED);
  EXPECT_EQ(end(Reason::NO_FAILURE, true, false, true, true).reason, Reason::CONT_CHECK_FAILURE);
  EXPECT_EQ(end(Reason::NO_FAILURE, true, false, false, true).reason, Reason::MAX_FAILURES);
  EXPECT_EQ(end(Reason::NO_FAILURE, true, false, false, false).state, S::COMPLETED);
}

TEST(Scale, APauseOfALargeLaborTouchesOnlyWhatRuns) {
  MachineWorld w(LaborBuilder().task(2'000).with([](Task& t) { t.concurrency.number = 16; }).build());
  w.start();
  const auto before = w.writes;
  const auto ack = w.signal(Signal::PAUSE);
  w.finish_all();
  EXPECT_TRUE(w.acked(ack));
  EXPECT_LT(w.writes - before, 16u * 8u);
}

TEST(Recovery, R3DeadlinesAreWallTimeAndPausesStay) {
  MachineWorld w(LaborBuilder().task(2, 1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 60s; }).build());
  w.start();
  w.finish(0, A::FAILURE);
  w.signal(sequence_ref(1), Signal::PAUSE);
  MachineWorld again{Labor(w.labor())};
  again.now = w.now + 45s;
  again.step(input::Recovered{});
  again.settle();
  EXPECT_TRUE(again.handed.empty());
  again.pass(15s);
  ASSERT_TRUE(again.is_handed(0)) << "the time that the engine was down counts";
  again.finish(0);
  EXPECT_EQ(again.sequence(1).state, S::PAUSED);
}

TEST(Recovery, R2AnInterruptedAttemptIsRepeatedAndUsesUpNoRetry) {
  MachineWorld w(LaborBuilder().task(1).build());
  w.start();
  MachineWorld again{Labor(w.labor())};
  again.now = w.now + 1s;
  again.step(input::Recovered{});
  again.settle();
  EXPECT_EQ(again.statuses(0), "INTERRUPTED OPEN");
  again.finish(0);
  EXPECT_EQ(again.state(), S::COMPLETED);
}

TEST(Recovery, R3PausingBecomesItsPauseAndStoppingItsEnd) {
  MachineWorld pausing(LaborBuilder().task(1, 2).build());
  pausing.start();
  pausing.signal(Signal::PAUSE);
  MachineWorld paused{Labor(pausing.labor())};
  paused.step(input::Recovered{});
  EXPECT_EQ(paused.state(), S::PAUSED);
  EXPECT_EQ(paused.statuses(0), "INTERRUPTED");

  MachineWorld stopping(LaborBuilder().task(1, 2).build());
  stopping.start();
  stopping.signal(Signal::STOP);
  MachineWorld stopped{Labor(stopping.labor())};
  stopped.step(input::Recovered{});
  EXPECT_EQ(stopped.state(), S::STOPPED);
  EXPECT_EQ(stopped.job(0).state, S::STOPPED);
}

}  // namespace
}  // namespace cogwork::test
