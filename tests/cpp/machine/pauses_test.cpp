// Pauses and Resumes (G1-G5a, X2a): ranks, what is kept, and what acknowledgements say.
#include <gtest/gtest.h>

#include <algorithm>

#include "cogwork/machine/signal_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

constexpr Signal kPauses[] = {Signal::PAUSE, Signal::ADMIN_PAUSE, Signal::CRISIS_PAUSE};      // by rank
constexpr Signal kResumes[] = {Signal::RESUME, Signal::ADMIN_RESUME, Signal::CRISIS_RESUME};  // by rank
constexpr State kShown[] = {S::RUNNING, S::PAUSED, S::ADMIN_PAUSED, S::CRISIS_PAUSED};        // by the highest rank
const ObjectRef kLevels[] = {ObjectRef{}, task_ref(0), sequence_ref(0)};

std::vector<State> path_of(const MachineWorld& w, ObjectRef object) {
  std::vector<State> path;
  for (const auto& c : w.history) {
    if (c.kind == Change::Kind::STATE && c.ordinal == ordinal_of(w.labor(), object)) path.push_back(c.to);
  }
  return path;
}

/// The highest rank (1 to 3) in a set of them (bit 0: user), 0: none.
int highest_of(int ranks) { return ranks & 4 ? 3 : ranks & 2 ? 2 : ranks & 1 ? 1 : 0; }

/// G5, G5a in full: every set of holds on Labor, Task and Sequence (8 x 8 x 8), what each of the three shows, and which Resume each of them
/// takes; then the state after it.
TEST(Pauses, G5aEverySetOfHoldsOnThreeLevels) {
  for (int sets = 0; sets < 512; ++sets) {
    const int own[] = {sets & 7, (sets >> 3) & 7, (sets >> 6) & 7};
    MachineWorld w(LaborBuilder().task(1, 2).build());
    w.durable = false;  // nothing is handed over: each pause settles at once
    w.start();
    // A rank that weighs already cannot be added below it, so: lower ranks first, and of one rank the lower object first.
    for (int rank = 0; rank < 3; ++rank) {
      for (int level = 2; level >= 0; --level) {
        if (!(own[level] & (1 << rank))) continue;
        const auto ack = w.signal(kLevels[level], kPauses[rank]);
        ASSERT_TRUE(w.acked(ack)) << sets;
        ASSERT_TRUE(w.acks[ack].applied) << sets;
      }
    }
    const int weighs[] = {own[0], own[0] | own[1], own[0] | own[1] | own[2]};
    for (int level = 0; level < 3; ++level) {
      ASSERT_EQ(state_of(w.labor(), kLevels[level]), kShown[highest_of(weighs[level])]) << sets << " level " << level;
    }
    for (int level = 0; level < 3; ++level) {
      for (int rank = 0; rank < 3; ++rank) {
        MachineWorld after = w;
        const auto ticket = after.signal(kLevels[level], kResumes[rank]);
        const bool allowed = highest_of(weighs[level]) == rank + 1 && (own[level] & (1 << rank)) != 0;
        int left[] = {own[0], own[1], own[2]};
        if (allowed) left[level] &= ~(1 << rank);
        const int weigh[] = {left[0], left[0] | left[1], left[0] | left[1] | left[2]};
        for (int l = 0; l < 3; ++l) {
          ASSERT_EQ(state_of(after.labor(), kLevels[l]), kShown[highest_of(weigh[l])])
              << sets << " level " << level << " rank " << rank;
        }
        if (level == 0 && !allowed) {
          ASSERT_EQ(after.refusals.size(), 1u) << sets;
        } else {
          ASSERT_EQ(after.acks.at(ticket).applied, allowed) << sets << " level " << level << " rank " << rank;
        }
        // A pause is taken where its rank is above what weighs, and nowhere else.
        MachineWorld paused = w;
        const auto pause = paused.signal(kLevels[level], kPauses[rank]);
        const bool taken = rank + 1 > highest_of(weighs[level]);
        ASSERT_EQ(paused.acks.contains(pause) && paused.acks[pause].applied, taken)
            << sets << " level " << level << " rank " << rank;
      }
    }
  }
}

TEST(Pauses, G4TheWayToAPauseIsPausingAlsoWhereNothingExecutes) {
  MachineWorld w(LaborBuilder().task(2).with([](Task& t) { t.entry_delay = 60s; }).build());
  w.start();
  const auto pause = w.signal(Signal::PAUSE);
  EXPECT_TRUE(w.acks.at(pause).applied);
  EXPECT_EQ(path_of(w, {}), (std::vector{S::RUNNING, S::PAUSING, S::PAUSED}));
}

TEST(Pauses, G4SequencesThatRunGoTheSameWayAndOthersStay) {
  MachineWorld w(LaborBuilder().task(4, 2).with([](Task& t) { t.concurrency.number = 2; }).build());
  w.start();
  w.finish(0), w.finish(1);  // one has completed, two run, one has not started
  w.signal(task_ref(0), Signal::ADMIN_PAUSE);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::COMPLETED, S::PAUSING, S::PAUSING, S::NOT_STARTED}));
  EXPECT_EQ(w.state(), S::RUNNING) << "held where it was sent, and below";
  w.finish(2);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::COMPLETED, S::ADMIN_PAUSED, S::PAUSING, S::NOT_STARTED}));
  EXPECT_EQ(w.task(0).state, S::PAUSING);
  w.finish(4);
  EXPECT_EQ(w.task(0).state, S::ADMIN_PAUSED);
  w.pass(1h);
  EXPECT_TRUE(w.handed.empty());
  w.signal(task_ref(0), Signal::ADMIN_RESUME);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::COMPLETED, S::RUNNING, S::RUNNING, S::NOT_STARTED}));
  EXPECT_TRUE(w.is_handed(3) && w.is_handed(5));
}

TEST(Pauses, G4ATaskIsPausedOnceItsChecksHaveEndedToo) {
  MachineWorld w(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 5s; }).build());
  w.start();
  w.finish(0);
  w.pass(5s);
  const auto pause = w.signal(task_ref(0), Signal::PAUSE);
  w.finish(1);
  EXPECT_EQ(w.sequence(0).state, S::PAUSED);
  EXPECT_EQ(w.task(0).state, S::PAUSING);
  EXPECT_FALSE(w.acked(pause));
  w.finish(0);
  EXPECT_EQ(w.task(0).state, S::PAUSED);
  EXPECT_TRUE(w.acks.at(pause).applied);
}

TEST(Pauses, G4ASequenceThatIsHeldDoesNotHoldTheOthersNorTheChecks) {
  MachineWorld w(
      LaborBuilder().task(3, 2, 0, 1).with([](Task& t) { t.concurrency.number = 2, t.cont_check_interval = 5s; }).build());
  w.start();
  w.finish(0);
  w.signal(sequence_ref(0), Signal::PAUSE);
  w.finish(1);
  w.finish(3), w.finish(4), w.finish(5), w.finish(6);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::PAUSED, S::COMPLETED, S::COMPLETED}));
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.pass(5s);
  EXPECT_TRUE(w.is_handed(0)) << "rounds go on";
  w.finish(0);
  w.pass(1h);
  EXPECT_EQ(w.state(), S::RUNNING);
}

TEST(Pauses, X3ASequenceThatIsHeldKeepsItsPlace) {
  MachineWorld w(LaborBuilder().task(2, 2).build());
  w.start();
  w.signal(sequence_ref(0), Signal::PAUSE);
  w.finish(0);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::PAUSED, S::NOT_STARTED})) << "started and not ended";
}

TEST(Pauses, G5AResumeWhilePausingWithdrawsThePendingPause) {
  for (const auto object : kLevels) {
    MachineWorld w(LaborBuilder().task(1, 2).build());
    w.start();
    const auto user = w.signal(object, Signal::PAUSE);
    const auto crisis = w.signal(object, Signal::CRISIS_PAUSE);
    EXPECT_EQ(state_of(w.labor(), object), S::PAUSING);
    const auto refused = w.signal(object, Signal::RESUME);  // not the pending rank
    EXPECT_EQ(w.acked(refused), object.kind != ObjectKind::LABOR);
    EXPECT_EQ(w.refusals.size(), object.kind == ObjectKind::LABOR ? 1u : 0u);
    const auto lift = w.signal(object, Signal::CRISIS_RESUME);
    EXPECT_TRUE(w.acks.at(lift).applied);
    EXPECT_EQ(w.acks.at(lift).state, S::PAUSING) << "the lower one is remembered";
    EXPECT_FALSE(w.acks.at(crisis).applied) << "G1: withdrawn";
    EXPECT_FALSE(w.acked(user));
    w.finish(0);
    EXPECT_EQ(state_of(w.labor(), object), S::PAUSED);
    EXPECT_TRUE(w.acks.at(user).applied);
    w.signal(object, Signal::RESUME);
    EXPECT_EQ(state_of(w.labor(), object), S::RUNNING);
    EXPECT_TRUE(w.is_handed(1));
  }
}

TEST(Pauses, G5APauseThatIsWithdrawnBeforeAnythingEndedHasChangedNothing) {
  MachineWorld w(LaborBuilder().task(2, 2).with([](Task& t) { t.concurrency.number = 2; }).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.signal(Signal::RESUME);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::RUNNING, S::RUNNING}));
  EXPECT_EQ(w.handed.size(), 2u);
  EXPECT_EQ(w.statuses(0), "OPEN");
  w.finish(0);
  EXPECT_TRUE(w.is_handed(1));
}

TEST(Pauses, G1APauseIsDoneWhereverItIsReplaced) {
  // By a STOP from above.
  MachineWorld above(LaborBuilder().task(1, 2).build());
  above.start();
  const auto pause = above.signal(sequence_ref(0), Signal::PAUSE);
  const auto stop = above.signal(Signal::STOP);
  EXPECT_FALSE(above.acked(pause)) << "done when the STOP is";
  above.finish(0);
  EXPECT_FALSE(above.acks.at(pause).applied);
  EXPECT_EQ(above.acks.at(pause).state, S::STOPPED);
  EXPECT_TRUE(above.acks.at(stop).applied);

  // By the end of its Task, which a failing check stops.
  MachineWorld check(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 5s; }).build());
  check.start();
  check.finish(0);
  check.pass(5s);
  const auto on_sequence = check.signal(sequence_ref(0), Signal::PAUSE);
  check.finish(0, A::FAILURE);
  EXPECT_FALSE(check.acked(on_sequence));
  check.finish(1);
  EXPECT_FALSE(check.acks.at(on_sequence).applied);
  EXPECT_EQ(check.acks.at(on_sequence).state, S::STOPPED);
}

TEST(Pauses, G1ALowerPauseUnderAHigherOneFromAboveIsApplied) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  const auto low = w.signal(sequence_ref(0), Signal::PAUSE);
  w.signal(Signal::CRISIS_PAUSE);
  w.finish(0);
  EXPECT_TRUE(w.acks.at(low).applied);
  EXPECT_EQ(w.acks.at(low).state, S::CRISIS_PAUSED);
}

TEST(Pauses, G1TheAckOfAResumeTellsTheStateThatFollowsFromIt) {
  // The second Task begins beyond its budget (X6b): with the Resume its entry begins, and with that it ends.
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .with([](Task& t) { t.tolerated_failures.number = 1, t.pass_failures = true; })
                     .task(1)
                     .with([](Task& t) { t.pause_on_entry = true; })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  ASSERT_EQ(w.task(1).state, S::ADMIN_PAUSED);
  const auto resume = w.signal(task_ref(1), Signal::ADMIN_RESUME);
  EXPECT_EQ(w.task(1).state, S::FAILED);
  EXPECT_EQ(w.acks.at(resume).state, S::FAILED);
  EXPECT_TRUE(w.acks.at(resume).applied) << "it released what it was to release";
}

TEST(Pauses, G3AWithdrawnAttemptUsesUpNoRetryAndTheJobStaysRunning) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1; }).build());
  w.durable = false;
  w.start();
  for (int n = 0; n < 4; ++n) {
    w.signal(sequence_ref(0), Signal::PAUSE);
    EXPECT_EQ(w.job(0).state, S::RUNNING);
    w.signal(sequence_ref(0), Signal::RESUME);
  }
  EXPECT_EQ(w.statuses(0), "WITHDRAWN WITHDRAWN WITHDRAWN WITHDRAWN OPEN");
  w.durable = true;
  w.settle();
  EXPECT_EQ(w.handed, std::vector<std::uint32_t>{0}) << "five records became durable, one of them counts";
  w.finish(0, A::FAILURE);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.job(0).state, S::FAILED);
  EXPECT_EQ(w.job(0).attempts.size(), 6u);
  EXPECT_EQ(w.job(0).attempts.back().number, 6u);
}

TEST(Pauses, G3OnlyWhatIsHeldIsWithdrawn) {
  MachineWorld w(
      LaborBuilder().task(2, 1, 0, 1).with([](Task& t) { t.concurrency.number = 2, t.cont_check_interval = 5s; }).build());
  w.start();
  w.finish(0);
  w.finish(1, A::SUCCESS);
  w.durable = false;
  w.pass(5s);
  ASSERT_EQ(w.opened.size(), 1u);
  w.signal(sequence_ref(1), Signal::PAUSE);
  EXPECT_EQ(w.job(0).attempts.back().status, A::OPEN) << "a check is not held by a Sequence";
  w.signal(task_ref(0), Signal::PAUSE);
  EXPECT_EQ(w.job(0).attempts.back().status, A::WITHDRAWN);
  EXPECT_EQ(w.job(0).state, S::RUNNING);
}

TEST(Pauses, G3AJobThatWaitedForItsWorkerWaitsForTheResumeToo) {
  MachineWorld w(LaborBuilder().task(2).with([](Task& t) { t.concurrency.number = 2; }).build(), 1);
  w.start();
  w.signal(sequence_ref(1), Signal::PAUSE);
  EXPECT_EQ(w.sequence(1).state, S::PAUSED);
  w.finish(0);
  EXPECT_TRUE(w.handed.empty()) << "its worker is free now, and it is held";
  EXPECT_EQ(w.job(1).state, S::NOT_STARTED);
  w.signal(sequence_ref(1), Signal::RESUME);
  EXPECT_TRUE(w.is_handed(1));
}

TEST(Pauses, G3ATimeOutGoesOnUnderAPauseAndItsRetryWaits) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 5s, j.options.retries = 1; }).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.pass(5s);
  EXPECT_EQ(w.interrupted.size(), 1u);
  EXPECT_EQ(w.state(), S::PAUSING) << "it executes until it is closed";
  w.finish(0);
  EXPECT_EQ(w.state(), S::PAUSED);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT");
  w.signal(Signal::RESUME);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT OPEN");
}

TEST(Pauses, G3AnIntervalGoesOnDuringAPause) {
  MachineWorld w(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  w.start();
  w.finish(0);
  w.pass(4s);
  w.signal(Signal::PAUSE);
  w.finish(1);
  w.pass(4s);
  w.signal(Signal::RESUME);
  EXPECT_FALSE(w.is_handed(0));
  w.pass(2s);
  EXPECT_TRUE(w.is_handed(0)) << "ten seconds after the last round, four of them paused";
}

// ---- what is kept for what has not started (X2a) ----

TEST(Pauses, X2aKeptPausesObeyTheRanks) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  const auto is_taken = [&w](ObjectRef object, Signal s) {
    const auto ack = w.signal(object, s);
    EXPECT_EQ(w.acks.at(ack).state, S::NOT_STARTED);
    return w.acks.at(ack).applied;
  };
  for (const auto object : {sequence_ref(1), task_ref(1)}) {
    EXPECT_FALSE(is_taken(object, Signal::RESUME)) << "nothing is kept";
    EXPECT_TRUE(is_taken(object, Signal::ADMIN_PAUSE));
    EXPECT_FALSE(is_taken(object, Signal::ADMIN_PAUSE));
    EXPECT_FALSE(is_taken(object, Signal::PAUSE)) << "lower";
    EXPECT_TRUE(is_taken(object, Signal::CRISIS_PAUSE));
    EXPECT_FALSE(is_taken(object, Signal::ADMIN_RESUME)) << "not the rank in force";
    EXPECT_TRUE(is_taken(object, Signal::CRISIS_RESUME));
    EXPECT_TRUE(is_taken(object, Signal::ADMIN_RESUME));
    EXPECT_TRUE(is_taken(object, Signal::PAUSE));
  }
  w.finish(0);
  EXPECT_EQ(w.sequence(1).state, S::PAUSED);
  w.signal(sequence_ref(1), Signal::RESUME);
  w.finish(1);
  EXPECT_EQ(w.task(1).state, S::PAUSED);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(w.sequence(2).state, S::NOT_STARTED);
  w.signal(task_ref(1), Signal::RESUME);
  EXPECT_TRUE(w.is_handed(2));
}

TEST(Pauses, X2aWhatWeighsFromAboveCountsForWhatIsKept) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  w.signal(Signal::ADMIN_PAUSE);
  for (const auto object : {sequence_ref(1), sequence_ref(2), task_ref(1)}) {
    EXPECT_FALSE(w.acks.at(w.signal(object, Signal::PAUSE)).applied);
    EXPECT_FALSE(w.acks.at(w.signal(object, Signal::ADMIN_PAUSE)).applied) << "a rank that already weighs";
    EXPECT_FALSE(w.acks.at(w.signal(object, Signal::ADMIN_RESUME)).applied) << "not a hold of its own";
    EXPECT_TRUE(w.acks.at(w.signal(object, Signal::CRISIS_PAUSE)).applied);
  }
  EXPECT_TRUE(w.acks.at(w.signal(sequence_ref(2), Signal::CRISIS_RESUME)).applied) << "its own, although its Task has one too";
}

TEST(Pauses, X2aPauseOnEntryAndWhatWasKept) {
  const auto tree = [] { return LaborBuilder().task(1).task(1).with([](Task& t) { t.pause_on_entry = true; }).build(); };
  // A lower one that was kept is remembered below it.
  MachineWorld lower(tree());
  lower.start();
  lower.signal(task_ref(1), Signal::PAUSE);
  lower.finish(0);
  EXPECT_EQ(lower.task(1).state, S::ADMIN_PAUSED);
  EXPECT_FALSE(lower.acks.at(lower.signal(task_ref(1), Signal::RESUME)).applied);
  EXPECT_TRUE(lower.acks.at(lower.signal(task_ref(1), Signal::ADMIN_RESUME)).applied);
  EXPECT_EQ(lower.task(1).state, S::PAUSED);
  lower.signal(task_ref(1), Signal::RESUME);
  EXPECT_TRUE(lower.is_handed(1));

  // Of its own rank: one Resume.
  MachineWorld same(tree());
  same.start();
  same.signal(task_ref(1), Signal::ADMIN_PAUSE);
  same.finish(0);
  same.signal(task_ref(1), Signal::ADMIN_RESUME);
  EXPECT_TRUE(same.is_handed(1));

  // A higher one is in force first.
  MachineWorld higher(tree());
  higher.start();
  higher.signal(task_ref(1), Signal::CRISIS_PAUSE);
  higher.finish(0);
  EXPECT_EQ(higher.task(1).state, S::CRISIS_PAUSED);
  higher.signal(task_ref(1), Signal::CRISIS_RESUME);
  EXPECT_EQ(higher.task(1).state, S::ADMIN_PAUSED);
  EXPECT_TRUE(higher.handed.empty());
}

TEST(Pauses, X2aPauseOnEntryIsReleasedOnlyByAnAdminResumeToTheTask) {
  MachineWorld w(LaborBuilder().task(1).with([](Task& t) { t.pause_on_entry = true; }).build());
  w.start();
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(w.refusals.size(), 1u) << "the Labor is RUNNING";
  w.signal(Signal::ADMIN_PAUSE);
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(w.task(0).state, S::ADMIN_PAUSED);
  w.pass(1h);
  EXPECT_TRUE(w.handed.empty());
  w.signal(task_ref(0), Signal::ADMIN_RESUME);
  EXPECT_TRUE(w.is_handed(0));
}

TEST(Pauses, X2aAnEntryDelayThatIsOverDuringAHoldIsOver) {
  for (const auto level : {ObjectRef{}, task_ref(0)}) {
    MachineWorld w(LaborBuilder().task(1, 1, 1).with([](Task& t) { t.entry_delay = 10s; }).build());
    w.start();
    EXPECT_EQ(w.task(0).state, S::RUNNING) << "entered";
    EXPECT_EQ(w.task(0).started, w.now);
    w.pass(5s);
    w.signal(level, Signal::PAUSE);
    w.pass(60s);
    EXPECT_TRUE(w.handed.empty());
    w.signal(level, Signal::RESUME);
    EXPECT_TRUE(w.is_handed(0));
  }
}

TEST(Pauses, X1ATaskThatPausesOnEntryIsNotEnteredWhileTheLaborIsHeld) {
  MachineWorld w(LaborBuilder().task(1).task(1).with([](Task& t) { t.pause_on_entry = true, t.entry_delay = 10s; }).build());
  w.start();
  w.signal(Signal::CRISIS_PAUSE);
  w.finish(0);
  w.pass(60s);
  EXPECT_EQ(w.task(1).state, S::NOT_STARTED);
  EXPECT_EQ(w.task(1).started, never);
  w.signal(Signal::CRISIS_RESUME);
  EXPECT_EQ(w.task(1).state, S::ADMIN_PAUSED);
  w.signal(task_ref(1), Signal::ADMIN_RESUME);
  EXPECT_TRUE(w.handed.empty()) << "its delay runs since it was entered";
  w.pass(10s);
  EXPECT_TRUE(w.is_handed(1));
}

TEST(Pauses, D7APauseIsInTheHistoryWithWhoAndWhy) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  w.step(input::Signalled{{}, Signal::CRISIS_PAUSE, false, 900, "bob", "INC-12"});
  w.finish(0);
  int found = 0;
  for (const auto& c : w.history) {
    if (c.kind == Change::Kind::SIGNAL) {
      EXPECT_EQ(c.from, S::RUNNING);
      EXPECT_EQ(c.to, S::PAUSING) << "the state right after it was taken";
      EXPECT_FALSE(c.refused);
    }
    if (c.to != S::CRISIS_PAUSED) continue;
    ++found;
    EXPECT_EQ(c.by, "bob");
    EXPECT_EQ(c.note, "INC-12");
  }
  EXPECT_EQ(found, 3) << "Labor, Task, Sequence";
}

TEST(Acknowledged, G1WhatIsIgnoredTellsTheStateAtTheEndOfTheStep) {
  struct Row {
    Signal signal;
    bool applied;
  };
  for (const Row& row : {Row{Signal::STOP, false}, Row{Signal::RESUME, false}, Row{Signal::PAUSE, true}}) {
    MachineWorld w(LaborBuilder().task(1).task(1).with([](Task& t) { t.entry_delay = 10s; }).build());
    w.start();
    w.finish(0);
    w.now += 10s;  // the entry is due with the signal's own step
    const auto ticket = w.signal(sequence_ref(1), row.signal);
    ASSERT_TRUE(w.acked(ticket)) << name_of(row.signal);
    EXPECT_EQ(w.acks.at(ticket).state, row.applied ? S::PAUSED : S::RUNNING) << name_of(row.signal);
    EXPECT_EQ(w.acks.at(ticket).applied, row.applied) << name_of(row.signal);
  }
}

}  // namespace
}  // namespace cogwork::test
