// Entries, checks and budgets (X2, X3, X5, X6-X6b, X11): the fine print.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

// ---- X2: the entry ----

TEST(Entry, X2TheFirstToFailIsTheFirstThatHasNoTryLeft) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 10s; }).build());
  w.start();
  w.finish(0, A::FAILURE);  // the pre-check has a retry left
  EXPECT_EQ(w.task(0).reason, Reason::NO_FAILURE);
  w.finish(1, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.task(0).reason, Reason::CONT_CHECK_FAILURE);
  EXPECT_EQ(w.job(0).state, S::STOPPED) << "it waited for its retry";
  EXPECT_EQ(w.state(), S::FAILED);
}

TEST(Entry, X2WhatExecutesFinishesAndNothingElseBegins) {
  MachineWorld w(LaborBuilder().task(1, 1, 5).jobs([](Job& j) { j.options.retries = 1; }).build(), 4);
  w.start();
  ASSERT_EQ(w.handed.size(), 4u);
  w.finish(0, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  EXPECT_EQ(w.job(4).state, S::NOT_STARTED) << "it had no worker, and gets none";
  w.finish(1, A::SUCCESS);
  w.finish(2, A::FAILURE);  // a retry is left, and no new attempt begins
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.finish(3, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.job(1).state, S::COMPLETED);
  EXPECT_EQ(w.job(2).state, S::STOPPED);
  EXPECT_EQ(w.statuses(2), "FAILURE");
  EXPECT_EQ(w.job(3).state, S::FAILED);
  EXPECT_EQ(w.job(4).state, S::NOT_STARTED);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.sequence(0).state, S::NOT_STARTED);
}

TEST(Entry, X2AnEntryUnderAPauseGoesOnAfterIt) {
  MachineWorld w(LaborBuilder().task(1, 1, 2, 1).build(), 2);
  w.start();
  w.signal(task_ref(0), Signal::PAUSE);
  w.finish(0);
  w.finish(1);
  EXPECT_EQ(w.task(0).state, S::PAUSED);
  EXPECT_EQ(w.job(2).state, S::NOT_STARTED) << "no check begins while paused";
  w.signal(task_ref(0), Signal::RESUME);
  EXPECT_EQ(w.handed, std::vector<std::uint32_t>{2});
  w.finish(2);
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
}

TEST(Entry, X2AnEntryThatEndsUnderAPauseStartsNothing) {
  MachineWorld w(LaborBuilder().task(1, 1, 1).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.finish(0);
  EXPECT_EQ(w.state(), S::PAUSED);
  EXPECT_EQ(w.sequence(0).state, S::NOT_STARTED);
  w.signal(Signal::RESUME);
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
}

// ---- X3, X5, X6b: the budget ----

TEST(Budget, X3StrictGivesBackWhatSucceeds) {
  MachineWorld w(LaborBuilder()
                     .task(10)
                     .with([](Task& t) { t.concurrency.number = 8, t.tolerated_failures.number = 2, t.strict = true; })
                     .build());
  w.start();
  ASSERT_EQ(w.handed.size(), 3u);
  w.finish(0);
  EXPECT_EQ(w.handed.size(), 3u) << "0 + 2 <= 2: one more";
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.handed.size(), 2u) << "1 + 2 > 2";
  w.finish(2);
  EXPECT_EQ(w.handed.size(), 2u) << "1 + 1 <= 2: one more";
  w.finish(3, A::FAILURE);
  EXPECT_EQ(w.handed.size(), 1u);
  w.finish(4, A::FAILURE);
  EXPECT_EQ(w.task(0).failures, 3u);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.sequence(5).state, S::NOT_STARTED);
}

TEST(Budget, X3StrictWithPassedFailures) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .with([](Task& t) { t.tolerated_failures.number = 1, t.pass_failures = true; })
                     .task(5)
                     .with([](Task& t) { t.concurrency.number = 5, t.tolerated_failures.number = 2, t.strict = true; })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.handed.size(), 2u) << "1 + 0, 1 + 1";
}

TEST(Budget, X3ConcurrencyAboveTheNumberOfSequences) {
  MachineWorld w(LaborBuilder().task(2).with([](Task& t) { t.concurrency.number = INT64_MAX; }).build());
  w.start();
  EXPECT_EQ(w.handed.size(), 2u);
  w.finish_all();
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Budget, X5FailuresArePassedOnAndOn) {
  const auto tolerant = [](Task& t) { t.tolerated_failures.number = 2, t.pass_failures = true; };
  MachineWorld w(LaborBuilder().task(1).with(tolerant).task(1).with(tolerant).task(1).with(tolerant).task(1).build());
  w.start();
  w.finish(0, A::FAILURE);
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.task(2).failures, 2u) << "its own and those passed to it";
  w.finish(2, A::FAILURE);
  EXPECT_EQ(w.task(2).failures, 3u);
  EXPECT_EQ(w.task(2).state, S::FAILED);
  EXPECT_EQ(w.task(2).reason, Reason::MAX_FAILURES);
  EXPECT_EQ(w.task(3).failures, 0u);
}

TEST(Budget, X5WithoutPassFailuresTheNextBeginsWithNone) {
  MachineWorld w(LaborBuilder().task(1).with([](Task& t) { t.tolerated_failures.number = 1; }).task(1).build());
  w.start();
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.task(1).failures, 0u);
  EXPECT_EQ(w.task(1).state, S::RUNNING);
}

/// A Task that starts with one passed failure, and tolerates none.
Labor beyond_its_budget(std::uint32_t pre_checks, std::uint32_t cont_checks) {
  return LaborBuilder()
      .task(1)
      .with([](Task& t) { t.tolerated_failures.number = 1, t.pass_failures = true; })
      .task(2, 1, pre_checks, cont_checks)
      .task(1)
      .build();
}

TEST(Budget, X6bBeyondItFromTheStartWithoutChecksItEndsAtOnce) {
  MachineWorld w(beyond_its_budget(0, 0));
  w.start();
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.task(1).state, S::FAILED);
  EXPECT_EQ(w.task(1).reason, Reason::MAX_FAILURES);
  EXPECT_EQ(w.labor().reason, Reason::MAX_FAILURES);
  EXPECT_EQ(w.sequence(1).state, S::NOT_STARTED);
}

TEST(Budget, X6bACheckThatFailsInTheEntryDecidesFirst) {
  MachineWorld w(beyond_its_budget(1, 1));
  w.start();
  w.finish(0, A::FAILURE);
  ASSERT_TRUE(w.is_handed(1) && w.is_handed(2));
  w.finish(1, A::FAILURE);
  w.finish(2);
  EXPECT_EQ(w.task(1).reason, Reason::PRE_CHECK_FAILURE);
}

TEST(Budget, X6bAStopBeforeTheEntryEndsDecidesFirst) {
  MachineWorld w(beyond_its_budget(1, 0));
  w.start();
  w.finish(0, A::FAILURE);
  w.signal(task_ref(1), Signal::STOP);
  w.finish(1);
  EXPECT_EQ(w.task(1).state, S::STOPPED);
  EXPECT_EQ(w.task(1).reason, Reason::NO_FAILURE);
  EXPECT_EQ(w.state(), S::STOPPED);
}

TEST(Budget, X6bWithTheBudgetGoneThereIsNoLastRoundButTheOneUnderWayIsWaitedFor) {
  MachineWorld w(LaborBuilder().task(2, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.task(0).state, S::RUNNING) << "a round is under way";
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.task(0).state, S::FAILED);
  EXPECT_EQ(w.task(0).reason, Reason::MAX_FAILURES) << "the first cause is kept";

  MachineWorld none(LaborBuilder().task(2, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s, t.bake = 60s; }).build());
  none.start();
  none.finish(0);
  none.finish(1, A::FAILURE);
  EXPECT_EQ(none.state(), S::FAILED) << "no bake, no last round";
  EXPECT_EQ(none.job(0).rounds, 1u);
}

// ---- X6: rounds ----

TEST(Rounds, X6TheEntrysRoundEndsWithTheEntry) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(1);
  w.pass(50s);
  EXPECT_FALSE(w.is_handed(1)) << "the entry is not over";
  w.finish(0);
  w.pass(9s);
  EXPECT_FALSE(w.is_handed(1));
  w.pass(1s);
  EXPECT_TRUE(w.is_handed(1));
  EXPECT_FALSE(w.is_handed(0)) << "pre-checks run once";
}

TEST(Rounds, X6ARoundEndsWithTheSlowestOfItsChecksAndItsRetries) {
  MachineWorld w(LaborBuilder()
                     .task(1, 1, 0, 2)
                     .with([](Task& t) { t.cont_check_interval = 10s; })
                     .jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 20s; })
                     .build());
  w.start();
  w.finish(0), w.finish(1);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0) && w.is_handed(1)) << "all of them at once";
  w.finish(0);
  w.finish(1, A::FAILURE);
  w.pass(20s);
  ASSERT_TRUE(w.is_handed(1));
  EXPECT_FALSE(w.is_handed(0)) << "the round is not over";
  w.finish(1);
  EXPECT_EQ(w.job(1).rounds, 2u);
  EXPECT_EQ(w.job(1).attempts.back().number, 2u) << "numbered within its round";
  w.pass(9s);
  EXPECT_TRUE(std::none_of(w.handed.begin(), w.handed.end(), [](auto j) { return j < 2; }));
  w.pass(1s);
  EXPECT_TRUE(w.is_handed(0) && w.is_handed(1));
}

TEST(Rounds, X6TriesAreCountedAnewInEachRound) {
  MachineWorld w(LaborBuilder()
                     .task(1, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = 10s; })
                     .jobs([](Job& j) { j.options.retries = 1; })
                     .build());
  w.start();
  for (int round = 1; round <= 3; ++round) {
    w.finish(0, A::FAILURE);
    w.finish(0);
    EXPECT_EQ(w.job(0).rounds, static_cast<std::uint32_t>(round));
    w.pass(10s);
  }
}

TEST(Rounds, X6AFailingRoundsChecksThatHadNotBegunDoNot) {
  MachineWorld w(LaborBuilder().task(1, 3, 0, 3).with([](Task& t) { t.cont_check_interval = 10s; }).build(), 3);
  w.start();
  w.finish(0), w.finish(1), w.finish(2);
  w.pass(10s);
  ASSERT_TRUE(w.is_handed(0) && w.is_handed(1));  // the Sequence has the third worker
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.job(2).state, S::COMPLETED) << "of the round before: it stays";
  EXPECT_FALSE(w.is_handed(2));
  w.finish(1);
  w.finish(3);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.job(2).rounds, 1u);
}

TEST(Rounds, X6SequencesUnderAFailingRoundEndAsUnderAStop) {
  MachineWorld w(LaborBuilder()
                     .task(5, 2, 0, 1)
                     .with([](Task& t) { t.concurrency.number = 4, t.tolerated_failures.number = -1, t.cont_check_interval = 10s; })
                     .build(),
                 4);
  w.start();
  w.finish(0);
  w.finish(1);              // the first Sequence has its last Job executing
  w.finish(3, A::FAILURE);  // the second has failed, the fifth begins
  w.finish(5);              // the third: its second Job
  ASSERT_EQ(w.sequence_states(), (std::vector{S::RUNNING, S::FAILED, S::RUNNING, S::RUNNING, S::RUNNING}));
  w.durable = false;
  w.finish(7);  // the fourth: the record of its second Job's attempt is not durable yet
  w.durable = true;
  std::erase_if(w.opened, [](const auto& o) { return o.job != 8; });
  const auto withdrawn = w.opened;
  w.opened.clear();
  w.now += 10s;
  w.step(input::Tick{});
  w.step(input::Begin{0});
  w.settle();
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0, A::FAILURE);
  ASSERT_EQ(withdrawn.size(), 1u);
  EXPECT_EQ(w.statuses(8), "WITHDRAWN");
  EXPECT_EQ(w.job(8).state, S::STOPPED);
  EXPECT_EQ(w.sequence(3).state, S::STOPPED);
  w.step(input::Recorded{withdrawn[0].job, withdrawn[0].serial});
  EXPECT_FALSE(w.is_handed(8));
  w.finish(2);
  EXPECT_EQ(w.sequence(0).state, S::COMPLETED) << "its last Job completed";
  w.finish(6, A::FAILURE);
  EXPECT_EQ(w.sequence(2).state, S::FAILED);
  w.finish_all();
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::CONT_CHECK_FAILURE);
}

TEST(Rounds, X6TheStatesShowRunningMeanwhile) {
  MachineWorld w(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.pass(10s);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  EXPECT_EQ(w.sequence(0).state, S::RUNNING);
  EXPECT_EQ(w.task(0).reason, Reason::CONT_CHECK_FAILURE) << "decided already";
  w.pass(1h);
  EXPECT_FALSE(w.is_handed(0)) << "no further round";
  w.finish(1);
  EXPECT_EQ(w.state(), S::FAILED);
}

// ---- X6a: the end ----

TEST(Rounds, X6aTheBakeRunsFromTheLastSequencesEnd) {
  MachineWorld w(LaborBuilder().task(2, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 1000s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.pass(100s);
  w.finish(1);
  w.pass(100s);
  w.finish(2);
  w.pass(59s);
  EXPECT_TRUE(w.handed.empty());
  w.pass(1s);
  ASSERT_TRUE(w.is_handed(0));
  w.pass(10s);
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_EQ(w.job(0).rounds, 2u);
}

TEST(Rounds, X6aARoundThatOutlastsTheBakeIsNotTheLast) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 30s, t.bake = 40s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  w.pass(30s);
  ASSERT_TRUE(w.is_handed(0)) << "it began during the bake";
  w.pass(20s);
  w.finish(0);
  ASSERT_TRUE(w.is_handed(0)) << "the last one begins at once: its time is over";
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_EQ(w.job(0).rounds, 3u);
}

TEST(Rounds, X6aARoundUnderWayThatFailsCountsAndItsRetriesAreWaitedFor) {
  MachineWorld w(LaborBuilder()
                     .task(1, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = 10s; })
                     .jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 5s; })
                     .build());
  w.start();
  w.finish(0);
  w.pass(10s);
  w.finish(1);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.state(), S::RUNNING);
  w.pass(5s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::CONT_CHECK_FAILURE);
  EXPECT_EQ(w.sequence(0).state, S::COMPLETED);
}

TEST(Rounds, X6aARoundThatIsDueAtTheVeryEndOfTheLastSequenceDoesNotBegin) {
  for (const bool fails : {false, true}) {
    MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
    w.start();
    w.finish(0);
    w.now += 10s;  // the end of the Sequence comes before the Tick
    w.finish(1, fails ? A::FAILURE : A::SUCCESS);
    EXPECT_EQ(w.is_handed(0), !fails) << "the last round, where the Task would complete";
    w.finish_all();
    EXPECT_EQ(w.job(0).rounds, fails ? 1u : 2u);
    EXPECT_EQ(w.state(), fails ? S::FAILED : S::COMPLETED);
  }
}

TEST(Rounds, X6aAPauseInTheBakeHoldsTheLastRound) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 1000s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  EXPECT_TRUE(w.acks.at(w.signal(task_ref(0), Signal::PAUSE)).applied);
  w.pass(100s);
  EXPECT_TRUE(w.handed.empty());
  EXPECT_EQ(w.task(0).state, S::PAUSED) << "there is something left to do";
  w.signal(task_ref(0), Signal::RESUME);
  ASSERT_TRUE(w.is_handed(0)) << "its time was over";
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Rounds, X6aOfTwoThatFellDueDuringAPauseOnlyTheLastBegins) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 40s, t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  w.signal(task_ref(0), Signal::PAUSE);
  w.pass(100s);
  w.signal(task_ref(0), Signal::RESUME);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_EQ(w.job(0).rounds, 2u);
}

TEST(Rounds, G4ARoundThatFallsDueDuringAPauseIsNotWaitedFor) {
  MachineWorld w(
      LaborBuilder().task(3, 2, 0, 1).with([](Task& t) { t.concurrency.number = 2, t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.finish(1, A::FAILURE);  // the budget is gone
  w.finish(3);              // the other one's last Job begins
  w.signal(task_ref(0), Signal::PAUSE);
  w.pass(10s);
  EXPECT_FALSE(w.machine.round_under_way()) << "no round starts while pausing";
  w.finish(4);
  EXPECT_EQ(w.state(), S::FAILED) << "G7: nothing is left to do";
}

TEST(Rounds, X6aWithoutContChecksThereIsNoBake) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 0).with([](Task& t) { t.bake = 60s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Rounds, X6aATaskWithLossesThatItToleratesHasItsLastRound) {
  MachineWorld w(LaborBuilder()
                     .task(2, 1, 0, 1)
                     .with([](Task& t) { t.tolerated_failures.number = 1, t.cont_check_interval = 1000s; })
                     .build());
  w.start();
  w.finish(0);
  w.finish(1, A::FAILURE);
  w.finish(2);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

// ---- X11: what is kept of rounds, and what the history says ----

TEST(Rounds, X11AFailingRoundIsListedWithItsBeginning) {
  MachineWorld w(LaborBuilder().task(1, 2, 0, 2).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0), w.finish(1);
  for (int n = 0; n < 5; ++n) {
    w.pass(10s);
    w.finish(0), w.finish(1);
  }
  const auto listed = w.history.size();
  w.pass(10s);
  EXPECT_EQ(w.history.size(), listed) << "while it is under way nothing says that it will fail";
  const auto began = w.now;
  w.pass(3s);
  w.finish(1);
  w.finish(0, A::FAILURE);
  const auto path = [&w](std::uint32_t job) {
    std::vector<std::pair<State, std::uint32_t>> states;
    for (const auto& c : w.history) {
      if (c.kind == Change::Kind::STATE && c.ordinal == w.job(job).ordinal) states.emplace_back(c.to, c.rounds);
    }
    return states;
  };
  using P = std::vector<std::pair<State, std::uint32_t>>;
  EXPECT_EQ(path(0), (P{{S::RUNNING, 0}, {S::COMPLETED, 1}, {S::RUNNING, 6}, {S::FAILED, 6}}));
  EXPECT_TRUE(std::any_of(w.history.begin(), w.history.end(), [&](const Change& c) {
    return c.ordinal == w.job(0).ordinal && c.to == S::RUNNING && c.rounds == 6 && c.at == began;
  }));
  w.finish(2);
  ASSERT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(path(1), (P{{S::RUNNING, 0}, {S::COMPLETED, 1}, {S::COMPLETED, 7}})) << "the other's last end, and how many it passed";
  EXPECT_EQ(w.job(0).attempts.back().status, A::FAILURE);
  EXPECT_EQ(w.job(0).attempts.back().round, 7u);
}

TEST(Rounds, X11APreCheckPassesOneRound) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 0).build());
  w.start();
  w.finish(0);
  EXPECT_EQ(w.job(0).rounds, 1u);
  EXPECT_EQ(w.job(0).attempts.at(0).round, 1u);
}

}  // namespace
}  // namespace cogwork::test
