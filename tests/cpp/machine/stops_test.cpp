// STOP and the ends of things (S6, G1-G3a, G6, G7): the fine print.
#include <gtest/gtest.h>

#include <algorithm>

#include "cogwork/machine/end_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

/// Who the history names for that state of that object; nothing: it never came to it.
std::optional<std::string> who_made(const MachineWorld& w, ObjectRef object, State state) {
  for (const auto& c : w.history) {
    if (c.kind == Change::Kind::STATE && c.ordinal == ordinal_of(w.labor(), object) && c.to == state) return c.by.str();
  }
  return std::nullopt;
}
Ticket stop_by(MachineWorld& w, ObjectRef object, const char* who, bool interrupt = false) {
  static Ticket ticket = 5000;
  w.step(input::Signalled{object, Signal::STOP, interrupt, ++ticket, who, "why"});
  w.settle();
  return ticket;
}

TEST(Stops, S6ALaborThatNeverRanIsStoppedAtOnce) {
  for (const auto state : {S::NOT_STARTED, S::ADMIN_NOT_STARTED}) {
    auto labor = LaborBuilder().task(1).build();
    labor.state = state;
    MachineWorld w(labor);
    const auto stop = w.signal(Signal::STOP);
    EXPECT_EQ(w.state(), S::STOPPED);
    EXPECT_TRUE(w.acks.at(stop).applied);
    EXPECT_TRUE(w.ended);
    EXPECT_EQ(w.labor().started, never);
    EXPECT_EQ(w.task(0).state, S::NOT_STARTED);
    EXPECT_EQ(who_made(w, {}, S::STOPPING), std::nullopt) << "straight to STOPPED";
  }
}

TEST(Stops, S6OnlyWhatHasNotStartedIsStarted) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  for (int n = 0; n < 3; ++n) {
    const auto before = w.labor();
    w.step(input::Start{77, "bob", {}});
    ASSERT_EQ(w.refusals.size(), static_cast<std::size_t>(n + 1)) << name_of(before.state);
    EXPECT_EQ(w.labor(), before);
    if (n == 0) w.signal(Signal::STOP);  // STOPPING, then STOPPED
    if (n == 1) w.finish(0);
  }
  EXPECT_EQ(w.state(), S::STOPPED);
}

TEST(Stops, D7TheHistorySaysWhoStoppedWhat) {
  MachineWorld w(
      LaborBuilder().task(4, 2).with([](Task& t) { t.concurrency.number = 3, t.tolerated_failures.number = -1; }).build());
  w.start();
  stop_by(w, sequence_ref(0), "ann");
  w.finish(0);
  EXPECT_EQ(who_made(w, sequence_ref(0), S::STOPPING), "ann");
  EXPECT_EQ(who_made(w, sequence_ref(0), S::STOPPED), "ann");
  stop_by(w, sequence_ref(1), "carl");  // still executing when all is stopped
  stop_by(w, {}, "bob");
  stop_by(w, sequence_ref(2), "dora");  // was stopping anyhow
  w.finish_all();
  EXPECT_EQ(who_made(w, sequence_ref(1), S::STOPPED), "carl");
  EXPECT_EQ(who_made(w, sequence_ref(2), S::STOPPED), "bob");
  EXPECT_EQ(who_made(w, task_ref(0), S::STOPPED), "bob");
  EXPECT_EQ(who_made(w, {}, S::STOPPED), "bob");
}

TEST(Stops, D7WhoStoppedOneSequenceIsNotNamedForWhatACheckStopsLater) {
  MachineWorld w(LaborBuilder()
                     .task(2, 2, 0, 1)
                     .with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 5, t.cont_check_interval = 10s; })
                     .build());
  w.start();
  w.finish(0);
  stop_by(w, sequence_ref(0), "ann");
  w.finish(1);
  w.pass(10s);
  w.finish(0, A::FAILURE);
  w.finish(3);
  ASSERT_EQ(w.sequence(1).state, S::STOPPED);
  EXPECT_EQ(who_made(w, sequence_ref(1), S::STOPPED), "");
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(who_made(w, {}, S::FAILED), "") << "nor for the end of the Labor";
}

TEST(Stops, G2ARefusalNamesWhoCausedTheState) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.now = from_micros(36'120'000'000);  // 10:02
  w.start();
  w.signal(Signal::PAUSE);  // by ann
  stop_by(w, {}, "bob");
  w.signal(Signal::RESUME);
  ASSERT_EQ(w.refusals.size(), 1u);
  EXPECT_EQ(w.refusals[0].message,
            "cannot RESUME a Labor that is STOPPING (by bob 10:02 \"why\"); it is being stopped, and ends when its running "
            "attempts have");
  EXPECT_EQ(w.refusals[0].state, S::STOPPING);
  w.finish(0);
  w.signal(Signal::RESUME);
  EXPECT_NE(w.refusals.back().message.find("STOPPED (by bob 10:02"), std::string::npos) << w.refusals.back().message;

  // A hold that an ended Labor still had is not what ended it.
  MachineWorld over(LaborBuilder().task(1).build());
  over.start();
  over.signal(Signal::PAUSE);
  over.finish(0);
  over.signal(Signal::RESUME);
  EXPECT_NE(over.refusals.at(0).message.find("COMPLETED"), std::string::npos);
  EXPECT_EQ(over.refusals.at(0).message.find("by ann"), std::string::npos) << over.refusals.at(0).message;

  MachineWorld unstarted(LaborBuilder().task(1).build());
  unstarted.signal(Signal::PAUSE);
  EXPECT_EQ(unstarted.refusals.at(0).message,
            "cannot PAUSE a Labor that is NOT_STARTED; it has not started: start runs it, stop ends it");
}

TEST(Stops, G2NothingOfAnEndedLaborTakesASignal) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  w.finish(0, A::FAILURE);
  ASSERT_EQ(w.state(), S::FAILED);
  const auto before = w.labor();
  for (const auto object : {task_ref(0), task_ref(1), sequence_ref(0), sequence_ref(1), sequence_ref(2)}) {
    for (int s = 0; s < kSignals; ++s) {
      const auto ack = w.signal(object, static_cast<Signal>(s));
      EXPECT_FALSE(w.acks.at(ack).applied);
      EXPECT_EQ(w.acks.at(ack).state, state_of(before, object));
    }
  }
  EXPECT_EQ(w.labor(), before);
}

TEST(Stops, X2aAStopToWhatHasNotStartedIsIgnored) {
  MachineWorld w(LaborBuilder().task(2).task(1).build());
  w.start();
  for (const auto object : {task_ref(1), sequence_ref(1)}) {
    const auto stop = w.signal(object, Signal::STOP, true);
    EXPECT_FALSE(w.acks.at(stop).applied);
    EXPECT_EQ(w.acks.at(stop).state, S::NOT_STARTED);
  }
  w.finish(0), w.finish(1), w.finish(2);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Stops, G6AStopDoesNotWaitForAPauseToSettle) {
  for (const auto pause : {Signal::PAUSE, Signal::ADMIN_PAUSE, Signal::CRISIS_PAUSE}) {
    MachineWorld w(LaborBuilder().task(1, 2).build());
    w.start();
    w.signal(pause);
    const auto stop = w.signal(Signal::STOP);
    EXPECT_EQ(w.state(), S::STOPPING);
    EXPECT_EQ(w.task(0).state, S::STOPPING);
    EXPECT_EQ(w.sequence(0).state, S::STOPPING);
    EXPECT_FALSE(w.acked(stop));
    w.finish(0);
    EXPECT_EQ(w.state(), S::STOPPED);
    EXPECT_TRUE(w.acks.at(stop).applied);

    MachineWorld settled(LaborBuilder().task(1, 2).build());
    settled.start();
    settled.signal(pause);
    settled.finish(0);
    EXPECT_TRUE(settled.acks.at(settled.signal(Signal::STOP)).applied) << "nothing executes: it is its end";
    EXPECT_EQ(settled.state(), S::STOPPED);
    EXPECT_EQ(who_made(settled, {}, S::STOPPING), "ann") << "by way of STOPPING";
  }
}

TEST(Stops, G3AFailingAttemptWhileStopping) {
  for (const bool retries_left : {true, false}) {
    MachineWorld w(LaborBuilder().task(1).jobs([&](Job& j) { j.options.retries = retries_left ? 1 : 0; }).build());
    w.start();
    const auto stop = w.signal(Signal::STOP);
    w.finish(0, A::FAILURE);
    EXPECT_EQ(w.statuses(0), "FAILURE");
    EXPECT_EQ(w.job(0).state, retries_left ? S::STOPPED : S::FAILED) << "what had failed keeps its true end";
    EXPECT_EQ(w.sequence(0).state, retries_left ? S::STOPPED : S::FAILED);
    // G7: no Sequence is STOPPED or NOT_STARTED, and the failures exceed the budget.
    EXPECT_EQ(w.state(), retries_left ? S::STOPPED : S::FAILED);
    EXPECT_EQ(w.labor().reason, retries_left ? Reason::NO_FAILURE : Reason::MAX_FAILURES);
    EXPECT_EQ(w.acks.at(stop).applied, retries_left);
  }
}

TEST(Stops, G7SequencesUnderAStop) {
  MachineWorld w(
      LaborBuilder().task(5, 2).with([](Task& t) { t.concurrency.number = 4, t.tolerated_failures.number = -1; }).build());
  w.start();
  w.finish(2);  // the second has its last Job executing
  w.signal(Signal::STOP);
  w.finish(0);                         // its second Job does not begin
  w.finish(3);                         // its last Job
  w.finish(4, A::FAILURE_NO_RETRIES);  // a Job that failed
  w.finish(6);
  EXPECT_EQ(w.sequence_states(), (std::vector{S::STOPPED, S::COMPLETED, S::FAILED, S::STOPPED, S::NOT_STARTED}));
  EXPECT_EQ(w.job(1).state, S::NOT_STARTED);
  EXPECT_EQ(w.task(0).state, S::STOPPED);
}

TEST(Stops, G7WhatWasDecidedBeforeTheStopKeepsItsReason) {
  // By the budget.
  MachineWorld budget(LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 2; }).build());
  budget.start();
  budget.finish(0, A::FAILURE);
  budget.signal(Signal::STOP);
  budget.finish(2);
  EXPECT_EQ(budget.sequence(1).state, S::STOPPED);
  EXPECT_EQ(budget.state(), S::FAILED);
  EXPECT_EQ(budget.labor().reason, Reason::MAX_FAILURES);

  // By a check.
  MachineWorld check(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  check.start();
  check.finish(0);
  check.pass(10s);
  check.finish(0, A::FAILURE);
  check.signal(Signal::STOP);
  check.finish(1);
  EXPECT_EQ(check.state(), S::FAILED);
  EXPECT_EQ(check.labor().reason, Reason::CONT_CHECK_FAILURE);

  // Not decided before, so not decided by it: the failure that exceeds the budget came while STOPPING.
  MachineWorld late(LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 2; }).build());
  late.start();
  late.signal(Signal::STOP);
  late.finish(0, A::FAILURE);
  late.finish(2);
  EXPECT_EQ(late.state(), S::STOPPED);
  EXPECT_EQ(late.task(0).reason, Reason::NO_FAILURE);
}

TEST(Stops, G7ARoundUnderWayThatFailsWhileStopping) {
  const auto at_a_round = [](MachineWorld& w, bool all_done) {
    w.start();
    w.finish(0);
    w.pass(10s);
    ASSERT_TRUE(w.is_handed(0));
    if (all_done) w.finish(1);
    w.signal(Signal::STOP);
    EXPECT_EQ(w.task(0).state, S::STOPPING) << "attempts that are executing finish";
  };
  const auto tree = [](int retries) {
    return LaborBuilder()
        .task(1, 1, 0, 1)
        .with([](Task& t) { t.cont_check_interval = 10s; })
        .jobs([&](Job& j) { j.options.retries = retries; })
        .build();
  };
  MachineWorld failed(tree(0));
  at_a_round(failed, true);
  failed.finish(0, A::FAILURE);
  EXPECT_EQ(failed.state(), S::FAILED);
  EXPECT_EQ(failed.labor().reason, Reason::CONT_CHECK_FAILURE);

  MachineWorld retry(tree(1));  // X6a: a check that ends STOPPED has not failed
  at_a_round(retry, true);
  retry.finish(0, A::FAILURE);
  EXPECT_EQ(retry.job(0).state, S::STOPPED);
  EXPECT_EQ(retry.state(), S::COMPLETED) << "all its Sequences had completed, and no round begins while STOPPING";

  MachineWorld passed(tree(0));
  at_a_round(passed, true);
  passed.finish(0);
  EXPECT_EQ(passed.state(), S::COMPLETED);

  MachineWorld cut(LaborBuilder().task(1, 2, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }).build());
  at_a_round(cut, false);
  cut.finish(0, A::FAILURE);
  cut.finish(1);
  EXPECT_EQ(cut.state(), S::STOPPED) << "a Sequence is STOPPED: that goes before the round";
}

TEST(Stops, G7AStopInTheBakeFindsNothingLeftToStop) {
  MachineWorld w(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.bake = 60s, t.cont_check_interval = 1000s; }).build());
  w.start();
  w.finish(0);
  w.finish(1);
  const auto stop = w.signal(Signal::STOP);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_FALSE(w.acks.at(stop).applied);
}

TEST(Stops, G7AStopInTheEntryAndBeforeIt) {
  MachineWorld waiting(LaborBuilder().task(1, 1, 1).with([](Task& t) { t.entry_delay = 10s; }).build());
  waiting.start();
  EXPECT_TRUE(waiting.acks.at(waiting.signal(Signal::STOP)).applied);
  EXPECT_EQ(waiting.task(0).state, S::STOPPED);
  EXPECT_EQ(waiting.job(0).state, S::NOT_STARTED);

  MachineWorld checking(LaborBuilder().task(1, 1, 2).build(), 1);
  checking.start();
  checking.signal(task_ref(0), Signal::STOP);
  EXPECT_EQ(checking.job(1).state, S::NOT_STARTED) << "it had no worker yet";
  checking.finish(0, A::FAILURE);
  EXPECT_EQ(checking.job(0).state, S::FAILED);
  EXPECT_EQ(checking.task(0).state, S::STOPPED) << "its Sequence is NOT_STARTED";
  EXPECT_EQ(checking.state(), S::STOPPED);

  MachineWorld decided(LaborBuilder().task(1, 1, 2).build());
  decided.start();
  decided.finish(0, A::FAILURE);
  decided.signal(task_ref(0), Signal::STOP);
  decided.finish(1);
  EXPECT_EQ(decided.state(), S::FAILED) << "decided before the STOP";
  EXPECT_EQ(decided.labor().reason, Reason::PRE_CHECK_FAILURE);
}

TEST(Stops, G7BetweenTwoTasksThatALaborIsHeldFrom) {
  MachineWorld w(LaborBuilder().task(1).task(1).build());
  w.start();
  w.signal(Signal::PAUSE);
  w.finish(0);
  w.signal(Signal::STOP);
  EXPECT_EQ(w.state(), S::STOPPED) << "its last Task is NOT_STARTED";
  EXPECT_EQ(w.task(0).state, S::COMPLETED);
}

TEST(Stops, G7ALaborWhoseLastTaskCompletesUnderTheStopHasCompleted) {
  MachineWorld w(LaborBuilder().task(1).task(1).build());
  w.start();
  w.finish(0);
  const auto stop = w.signal(Signal::STOP);
  w.finish(1);
  EXPECT_EQ(w.state(), S::COMPLETED);
  EXPECT_FALSE(w.acks.at(stop).applied);
}

TEST(Stops, G7ASequenceStoppedByItselfSpendsTheBudget) {
  MachineWorld w(LaborBuilder().task(3, 2).build());
  w.start();
  w.signal(sequence_ref(0), Signal::STOP);
  EXPECT_EQ(w.task(0).state, S::RUNNING);
  w.finish(0);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::MAX_FAILURES) << "tolerated_failures is 0";
  EXPECT_EQ(w.sequence(1).state, S::NOT_STARTED);
}

TEST(Stops, G7WhilePausedWithNothingLeftToDoItEnds) {
  for (const auto object : {ObjectRef{}, task_ref(0), sequence_ref(0)}) {
    MachineWorld w(LaborBuilder().task(1, 2).build());
    w.start();
    w.finish(0);
    const auto pause = w.signal(object, Signal::PAUSE);
    w.finish(1);
    EXPECT_EQ(w.state(), S::COMPLETED);
    EXPECT_FALSE(w.acks.at(pause).applied) << "its own end came first";
  }
  // The budget goes while it is paused.
  MachineWorld w(LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 1; }).build());
  w.start();
  w.signal(task_ref(0), Signal::PAUSE);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.state(), S::FAILED);
}

TEST(Stops, G7ACheckThatFailsStopsAPausedTaskAsIfItWereRunning) {
  MachineWorld w(LaborBuilder()
                     .task(3, 2, 0, 1)
                     .with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = -1, t.cont_check_interval = 10s; })
                     .build());
  w.start();
  w.finish(0);
  w.pass(10s);
  const auto pause = w.signal(Signal::PAUSE);
  w.finish(1);
  EXPECT_EQ(w.sequence(0).state, S::PAUSED);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.sequence(0).state, S::STOPPED) << "it is stopped where it is held";
  EXPECT_EQ(w.task(0).state, S::PAUSING);
  w.finish(3);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::CONT_CHECK_FAILURE);
  EXPECT_FALSE(w.acks.at(pause).applied);
}

TEST(Stops, G3aAnInterruptingStopReachesOnlyWhatItWasSentTo) {
  MachineWorld w(LaborBuilder()
                     .task(2, 2, 0, 1)
                     .with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 5, t.cont_check_interval = 10s; })
                     .build());
  w.start();
  w.finish(0);
  w.pass(10s);
  ASSERT_EQ(w.handed.size(), 3u);
  w.signal(sequence_ref(0), Signal::STOP, true);
  EXPECT_EQ(w.interrupted, std::vector<std::uint32_t>{1});
  EXPECT_EQ(w.sequence(0).state, S::STOPPING);
  w.finish(1, A::FAILURE);
  EXPECT_EQ(w.statuses(1), "STOPPED");
  EXPECT_EQ(w.sequence(0).state, S::STOPPED);
  EXPECT_EQ(w.state(), S::RUNNING);
  w.signal(task_ref(0), Signal::STOP, true);
  EXPECT_EQ(w.interrupted.size(), 3u) << "its checks too";
  w.finish(0, A::CRASHED);
  w.finish(3, A::SUCCESS);
  EXPECT_EQ(w.job(0).state, S::STOPPED);
  EXPECT_EQ(w.job(3).state, S::COMPLETED) << "answered before the attempt was closed: its true end";
  EXPECT_EQ(w.sequence(1).state, S::STOPPED) << "but not that of its Sequence, which had more to do";
  EXPECT_EQ(w.state(), S::STOPPED);
}

TEST(Stops, G3aAllAcksOfAStoppingObjectEndTogetherAndNobodyIsAskedTwice) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.start();
  std::vector<Ticket> stops;
  for (const bool interrupt : {false, false, true, true, false}) stops.push_back(w.signal(Signal::STOP, interrupt));
  EXPECT_EQ(w.interrupted.size(), 1u);
  for (const auto t : stops) EXPECT_FALSE(w.acked(t));
  w.finish(0, A::FAILURE);
  for (const auto t : stops) EXPECT_TRUE(w.acks.at(t).applied);
}

TEST(Stops, G3aATimeOutThatCameFirstIsATimeOut) {
  for (const int retries : {0, 1}) {
    MachineWorld w(LaborBuilder().task(1, 2).jobs([&](Job& j) { j.options.timeout = 5s, j.options.retries = retries; }).build());
    w.start();
    w.pass(5s);
    ASSERT_EQ(w.interrupted.size(), 1u);
    w.signal(Signal::STOP, true);
    EXPECT_EQ(w.interrupted.size(), 1u) << "it is being ended already";
    w.finish(0, A::SUCCESS);
    EXPECT_EQ(w.statuses(0), "TIMED_OUT");
    EXPECT_EQ(w.job(0).state, retries ? S::STOPPED : S::FAILED);
  }
}

TEST(Stops, G3aAnAttemptThatIsBeingEndedDoesNotTimeOut) {
  MachineWorld w(LaborBuilder().task(1, 2).jobs([](Job& j) { j.options.timeout = 5s; }).build());
  w.start();
  w.signal(Signal::STOP, true);
  w.pass(60s);
  EXPECT_EQ(w.interrupted.size(), 1u);
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.statuses(0), "STOPPED");
}

TEST(Stops, G3WhatWasNotHandedOverIsWithdrawnAtEveryLevel) {
  for (const auto object : {ObjectRef{}, task_ref(0), sequence_ref(0)}) {
    MachineWorld w(
        LaborBuilder().task(2, 1).with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 5; }).build());
    w.durable = false;
    w.start();
    ASSERT_EQ(w.opened.size(), 2u);
    w.signal(object, Signal::STOP);
    EXPECT_EQ(w.statuses(0), "WITHDRAWN");
    EXPECT_EQ(w.job(0).state, S::STOPPED);
    EXPECT_EQ(w.sequence(0).state, S::STOPPED);
    EXPECT_EQ(w.statuses(1), object.kind == ObjectKind::SEQUENCE ? "OPEN" : "WITHDRAWN");
    w.durable = true;
    w.settle();
    EXPECT_EQ(w.handed.size(), object.kind == ObjectKind::SEQUENCE ? 1u : 0u);
  }
}

// X1, X6b, G7 as one table, written from the rules: for a Task every combination of what end_of_task is told.
TEST(EndRules, G7EveryCombinationOfATask) {
  for (int bits = 0; bits < 64; ++bits) {
    TaskFacts facts;
    facts.decided = static_cast<Reason>(bits & 3);
    facts.stopping = (bits & 4) != 0;
    facts.any_cut = (bits & 8) != 0;
    facts.round_failed = (bits & 16) != 0;
    facts.over_budget = (bits & 32) != 0;
    const auto end = end_of_task(facts);
    State state = S::COMPLETED;
    Reason reason = Reason::NO_FAILURE;
    if (facts.over_budget) state = S::FAILED, reason = Reason::MAX_FAILURES;
    if (facts.round_failed) state = S::FAILED, reason = Reason::CONT_CHECK_FAILURE;
    if (facts.stopping && facts.any_cut) state = S::STOPPED, reason = Reason::NO_FAILURE;
    if (facts.decided != Reason::NO_FAILURE) state = S::FAILED, reason = facts.decided;
    EXPECT_EQ(end.state, state) << bits;
    EXPECT_EQ(end.reason, reason) << bits;
  }
}

TEST(EndRules, G7EveryCombinationOfALabor) {
  // Its current Task (none: stopped in between), its last Task where that is another one, whether it was stopped: how it ends.
  struct Row {
    State current;
    State last;
    bool stopped;
    State end;  // UNKNOWN: it goes on
  };
  constexpr State none = S::UNKNOWN;
  constexpr State same = S::ADMIN_NOT_STARTED;  // the current Task is the last
  constexpr Row rows[] = {
      {S::COMPLETED, same, false, S::COMPLETED}, {S::COMPLETED, S::NOT_STARTED, false, none},
      {S::FAILED, same, false, S::FAILED},       {S::FAILED, S::NOT_STARTED, false, S::FAILED},
      {S::COMPLETED, same, true, S::COMPLETED},  {S::COMPLETED, S::NOT_STARTED, true, S::STOPPED},
      {S::FAILED, same, true, S::FAILED},        {S::FAILED, S::NOT_STARTED, true, S::FAILED},
      {S::STOPPED, same, true, S::STOPPED},      {S::STOPPED, S::NOT_STARTED, true, S::STOPPED},
      {none, S::NOT_STARTED, true, S::STOPPED},  {none, S::NOT_STARTED, false, none},
  };
  for (const auto& row : rows) {
    auto labor = LaborBuilder().task(1).task(1).build();
    Task* current = nullptr;
    if (row.last == same) {
      labor.tasks[0].state = S::COMPLETED;
      current = &labor.tasks[1];
    } else {
      labor.tasks[1].state = row.last;
      current = row.current == none ? nullptr : &labor.tasks[0];
      if (!current) labor.tasks[0].state = S::COMPLETED;
    }
    if (current) {
      current->state = row.current;
      if (row.current == S::FAILED) current->reason = Reason::PRE_CHECK_FAILURE;
    }
    const auto end = end_of_labor(labor, current, row.stopped);
    EXPECT_EQ(end ? end->state : none, row.end) << name_of(row.current) << " " << name_of(row.last) << " " << row.stopped;
    if (!end) continue;
    EXPECT_EQ(end->reason, row.end == S::FAILED ? Reason::PRE_CHECK_FAILURE : Reason::NO_FAILURE);
  }
}

}  // namespace
}  // namespace cogwork::test
