// Held Jobs (R2): who is held, what may be decided, and what becomes of the Labor meanwhile.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

void decide(MachineWorld& w, std::uint32_t job, Decision decision, Ticket ticket = 1000) {
  w.step(input::Decided{job, decision, ticket, "ann", "looked at it"});
  w.settle();
}
Labor holding(LaborBuilder& b) {
  return b.jobs([](Job& j) { j.options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::HOLD); }).build();
}
/// Two Sequences side by side, of two Jobs each; their first ones executed when the engine died.
MachineWorld two_held() {
  MachineWorld w(
      holding(LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 1; })));
  w.start();
  return taken_up(w, 5s);
}
bool is_held(const MachineWorld& w, std::uint32_t job) { return w.job(job).held; }
const Change* last_decision(const MachineWorld& w) {
  const auto found =
      std::find_if(w.history.rbegin(), w.history.rend(), [](const Change& c) { return c.kind == Change::Kind::DECISION; });
  return found == w.history.rend() ? nullptr : &*found;
}

TEST(Held, R2TheJobStaysRunningAndItsLaborIsHeldAtAdminRank) {
  const auto w = two_held();
  for (const auto j : {0u, 2u}) {
    EXPECT_EQ(w.job(j).state, S::RUNNING);
    EXPECT_TRUE(is_held(w, j));
    EXPECT_EQ(w.statuses(j), "INTERRUPTED");
  }
  EXPECT_EQ(w.machine.held(), (std::set<std::uint32_t>{0, 2}));
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  EXPECT_EQ(w.sequence(0).state, S::ADMIN_PAUSED);
  ASSERT_EQ(w.labor().holds.size(), 1u);
  EXPECT_EQ(w.labor().holds[0].by, "the engine");
  const auto note = w.labor().holds[0].note.str();
  EXPECT_NE(note.find("'task0/host0 cog', 'task0/host1 cog'"), std::string::npos) << note;
  EXPECT_NE(note.find("cogwork decide"), std::string::npos) << note;
  EXPECT_TRUE(w.handed.empty());
  EXPECT_EQ(w.machine.waiting_for(w.steady()), "2 Jobs are held, and must be decided");
  const auto shown = std::find_if(w.history.begin(), w.history.end(), [](const Change& c) { return c.to == S::ADMIN_PAUSED; });
  ASSERT_NE(shown, w.history.end());
  EXPECT_EQ(shown->by, "the engine") << "D7: who";
}

TEST(Held, R2AdminResumeIsRefusedUntilEachIsDecidedAndIsNeededThen) {
  auto w = two_held();
  w.signal(Signal::ADMIN_RESUME);
  ASSERT_EQ(w.refusals.size(), 1u);
  EXPECT_EQ(w.refusals[0].state, S::ADMIN_PAUSED);
  const auto why = w.refusals[0].message;
  EXPECT_EQ(why.rfind("cannot ADMIN_RESUME a Labor that is ADMIN_PAUSED while 2 Jobs of it are held: 'task0/host0 cog' (", 0), 0u)
      << why;
  EXPECT_NE(why.find("'task0/host1 cog'"), std::string::npos) << why;
  EXPECT_NE(why.find("engine.decide("), std::string::npos) << why;
  EXPECT_TRUE(w.history.back().refused) << "G9";

  decide(w, 0, Decision::RERUN);
  w.signal(Signal::ADMIN_RESUME);
  ASSERT_EQ(w.refusals.size(), 2u);
  EXPECT_NE(w.refusals[1].message.find("while a Job of it is held"), std::string::npos) << w.refusals[1].message;
  decide(w, 2, Decision::RERUN);
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  EXPECT_TRUE(w.handed.empty()) << "it still needs its ADMIN_RESUME";
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_TRUE(w.is_handed(0) && w.is_handed(2));
}

// ---- R1: signals that were stored while nobody ran it ----

input::Signalled stored(Signal signal, ObjectRef object = {}, Ticket ticket = 500) {
  return {object, signal, false, ticket, "root", "lunch", from_micros(1'700'000'000'000'001)};
}
MachineWorld two_executing() {
  MachineWorld w(
      holding(LaborBuilder().task(3, 2).with([](Task& t) { t.concurrency.number = 2, t.tolerated_failures.number = 1; })));
  w.start();
  return w;
}
std::vector<Signal> refused_signals(const MachineWorld& w) {
  std::vector<Signal> found;
  for (const auto& c : w.history) {
    if (c.kind == Change::Kind::SIGNAL && c.refused) found.push_back(c.signal);
  }
  return found;
}

TEST(Held, R1AStoredPauseStandsBesideTheEnginesHold) {
  for (const auto pause : {Signal::PAUSE, Signal::CRISIS_PAUSE}) {
    auto w = taken_up(two_executing(), 5s, {stored(pause)});
    EXPECT_TRUE(refused_signals(w).empty());
    EXPECT_TRUE(w.acks.at(500).applied);
    EXPECT_EQ(w.labor().holds.size(), 2u);
    EXPECT_EQ(w.machine.held().size(), 2u);
    const auto sent = std::find_if(w.history.begin(), w.history.end(), [](const Change& c) { return c.by == "root"; });
    ASSERT_NE(sent, w.history.end());
    EXPECT_EQ(sent->sent, from_micros(1'700'000'000'000'001));
    if (pause == Signal::CRISIS_PAUSE) w.signal(Signal::CRISIS_RESUME);
    decide(w, 0, Decision::RERUN), decide(w, 2, Decision::RERUN);
    w.signal(Signal::ADMIN_RESUME);
    if (pause == Signal::PAUSE) {
      EXPECT_EQ(w.state(), S::PAUSED) << "the operator had paused it";
      w.signal(Signal::RESUME);
    }
    EXPECT_EQ(w.state(), S::RUNNING);
  }
}

TEST(Held, R1AStoredResumeReleasesItsPauseBeforeJobsAreAskedAbout) {
  auto dead = two_executing();
  dead.signal(Signal::PAUSE);
  ASSERT_EQ(dead.state(), S::PAUSING);
  auto w = taken_up(dead, 5s, {stored(Signal::RESUME)});
  EXPECT_TRUE(refused_signals(w).empty());
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  decide(w, 0, Decision::COMPLETED), decide(w, 2, Decision::COMPLETED);
  EXPECT_TRUE(w.handed.empty());
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(w.state(), S::RUNNING);
}

TEST(Held, R1SoWithTheHoldOfAnEarlierEngine) {
  auto dead = taken_up(two_executing(), 5s);
  ASSERT_EQ(dead.state(), S::ADMIN_PAUSED);
  auto w = taken_up(dead, 5s, {stored(Signal::PAUSE)});
  EXPECT_TRUE(refused_signals(w).empty());
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  EXPECT_EQ(w.labor().holds.size(), 2u);
  auto again = taken_up(w, 5s, {stored(Signal::RESUME)});
  EXPECT_TRUE(refused_signals(again).empty());
  EXPECT_EQ(again.labor().holds.size(), 1u);
  decide(again, 0, Decision::FAILED), decide(again, 2, Decision::COMPLETED);
  auto decided = taken_up(again, 5s, {stored(Signal::PAUSE)});
  EXPECT_TRUE(refused_signals(decided).empty()) << "the hold stays when all was decided";
  auto released = taken_up(decided, 5s, {stored(Signal::ADMIN_RESUME)});
  EXPECT_TRUE(refused_signals(released).empty());
  EXPECT_EQ(released.state(), S::PAUSED);
}

TEST(Held, R1AStoredAdminPauseTakesThePlaceOfTheEnginesHold) {
  for (const bool earlier : {false, true}) {
    auto w = taken_up(earlier ? taken_up(two_executing(), 5s) : two_executing(), 5s, {stored(Signal::ADMIN_PAUSE)});
    EXPECT_TRUE(refused_signals(w).empty());
    ASSERT_EQ(w.labor().holds.size(), 1u);
    EXPECT_EQ(w.labor().holds[0].by, "root");
    w.signal(Signal::ADMIN_RESUME);
    EXPECT_EQ(refused_signals(w).size(), 1u) << "R2: while a Job is undecided";
    decide(w, 0, Decision::RERUN), decide(w, 2, Decision::RERUN);
    w.signal(Signal::ADMIN_RESUME);
    EXPECT_EQ(w.state(), S::RUNNING);
  }
}

TEST(Held, R1AStoredStopEndsWhatWouldBeAskedAbout) {
  auto w = taken_up(two_executing(), 5s, {stored(Signal::STOP)});
  EXPECT_TRUE(w.machine.held().empty());
  EXPECT_EQ(w.state(), S::STOPPED);
  EXPECT_EQ(w.job(0).state, S::STOPPED);
  auto one = taken_up(two_executing(), 5s, {stored(Signal::STOP, sequence_ref(0))});
  EXPECT_EQ(one.sequence(0).state, S::STOPPED);
  EXPECT_EQ(one.machine.held(), (std::set<std::uint32_t>{2})) << "the other one is asked about";
}

TEST(Held, R1WhatIsNotAllowedIsRefusedAsEver) {
  auto w = taken_up(two_executing(), 5s, {stored(Signal::RESUME), stored(Signal::ADMIN_RESUME, {}, 501)});
  EXPECT_EQ(refused_signals(w), (std::vector<Signal>{Signal::RESUME, Signal::ADMIN_RESUME}));
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  auto twice = taken_up(two_executing(), 5s, {stored(Signal::PAUSE), stored(Signal::PAUSE, {}, 501)});
  EXPECT_EQ(refused_signals(twice), std::vector<Signal>{Signal::PAUSE});
  auto and_back = taken_up(two_executing(), 5s, {stored(Signal::PAUSE), stored(Signal::RESUME, {}, 501)});
  EXPECT_TRUE(refused_signals(and_back).empty());
  EXPECT_EQ(and_back.labor().holds.size(), 1u);
  EXPECT_FALSE(and_back.acks.at(500).applied) << "G1: withdrawn";
}

TEST(Held, R2RerunUsesUpNoRetry) {
  MachineWorld w(holding(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1; })));
  w.start();
  w.finish(0, A::FAILURE);
  auto again = taken_up(w);
  decide(again, 0, Decision::RERUN);
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(again.statuses(0), "FAILURE INTERRUPTED OPEN");
  auto third = taken_up(again);
  EXPECT_TRUE(is_held(third, 0)) << "it may be interrupted again";
  decide(third, 0, Decision::RERUN);
  third.signal(Signal::ADMIN_RESUME);
  third.finish(0, A::FAILURE);
  EXPECT_EQ(third.statuses(0), "FAILURE INTERRUPTED INTERRUPTED FAILURE");
  EXPECT_EQ(third.job(0).state, S::FAILED) << "two attempts counted";
}

TEST(Held, R2CompletedEndsItWithoutASuccessfulAttempt) {
  auto w = two_held();
  decide(w, 0, Decision::COMPLETED);
  EXPECT_EQ(w.job(0).state, S::COMPLETED);
  EXPECT_FALSE(is_held(w, 0));
  EXPECT_EQ(w.statuses(0), "INTERRUPTED");
  EXPECT_EQ(w.job(0).attempts[0].decision, Decision::COMPLETED);
  EXPECT_EQ(w.job(0).attempts[0].error,
            "the engine ended while this attempt was executing; ann decided: completed \"looked at it\"");
  EXPECT_EQ(w.sequence(0).state, S::ADMIN_PAUSED);
  decide(w, 2, Decision::RERUN);
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_TRUE(w.is_handed(1)) << "the next Job of its Sequence";
  w.finish(1), w.finish(2), w.finish(3), w.finish(4), w.finish(5);
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Held, R2FailedEndsItAndCounts) {
  auto w = two_held();
  decide(w, 0, Decision::FAILED);
  EXPECT_EQ(w.job(0).state, S::FAILED);
  EXPECT_EQ(w.sequence(0).state, S::FAILED);
  EXPECT_EQ(w.task(0).failures, 1u);
  decide(w, 2, Decision::FAILED);
  EXPECT_EQ(w.state(), S::FAILED) << "G7: while paused, an object with nothing left to do ends";
  EXPECT_EQ(w.labor().reason, Reason::MAX_FAILURES);
}

TEST(Held, D7ADecisionIsRecordedWithWhoWhenAndWhy) {
  auto w = two_held();
  w.now += 3s;
  decide(w, 2, Decision::FAILED, 77);
  const auto* c = last_decision(w);
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->decision, Decision::FAILED);
  EXPECT_EQ(c->ordinal, w.job(2).ordinal);
  EXPECT_EQ(c->at, w.now);
  EXPECT_EQ(c->by, "ann");
  EXPECT_EQ(c->note, "looked at it");
  EXPECT_EQ(c->from, S::RUNNING);
  EXPECT_EQ(c->to, S::FAILED);
  EXPECT_FALSE(c->refused);
  ASSERT_TRUE(w.acked(77));
  EXPECT_EQ(w.acks[77].state, S::FAILED);
}

TEST(Held, R2OnlyAHeldJobIsDecided) {
  auto w = two_held();
  decide(w, 0, Decision::RERUN);
  const struct {
    std::uint32_t job;
    const char* says;
  } rows[] = {
      {0, "is RUNNING and not held: 'rerun' was decided"}, {1, "is NOT_STARTED and not held"}, {4, "is NOT_STARTED and not held"}};
  for (const auto& row : rows) {
    const auto before = w.labor();
    w.refusals.clear();
    decide(w, row.job, Decision::COMPLETED);
    ASSERT_EQ(w.refusals.size(), 1u);
    EXPECT_FALSE(w.refusals[0].signal);
    EXPECT_EQ(w.refusals[0].state, w.job(row.job).state);
    EXPECT_NE(w.refusals[0].message.find(row.says), std::string::npos) << w.refusals[0].message;
    EXPECT_EQ(w.labor(), before);
    EXPECT_TRUE(last_decision(w)->refused) << "G9";
  }
}

TEST(Held, R2StopEndsThemStopped) {
  for (const auto object : {ObjectRef{}, task_ref(0)}) {
    auto w = two_held();
    const auto ack = w.signal(object, Signal::STOP);
    EXPECT_EQ(w.state(), S::STOPPED);
    EXPECT_TRUE(w.acked(ack));
    for (const auto j : {0u, 2u}) {
      EXPECT_EQ(w.job(j).state, S::STOPPED);
      EXPECT_FALSE(is_held(w, j));
      EXPECT_EQ(w.job(j).attempts[0].decision, Decision::NONE);
    }
  }
  auto w = two_held();
  w.signal(sequence_ref(0), Signal::STOP);
  EXPECT_EQ(w.job(0).state, S::STOPPED);
  EXPECT_EQ(w.machine.held(), std::set<std::uint32_t>{2});
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
}

TEST(Held, R2NobodyIsAskedAboutWhatIsBeingStopped) {
  const auto running = [] {
    MachineWorld w(holding(LaborBuilder().task(2, 1, 0, 1).with([](Task& t) {
      t.concurrency.number = 2, t.tolerated_failures.number = -1, t.cont_check_interval = 10s;
    })));
    w.start();
    w.finish(0);
    return w;
  };
  auto stopping = running();
  stopping.signal(Signal::STOP);
  auto again = taken_up(stopping);
  EXPECT_EQ(again.state(), S::STOPPED);
  EXPECT_EQ(again.job(1).state, S::STOPPED);

  auto by_itself = running();
  by_itself.signal(sequence_ref(0), Signal::STOP);
  again = taken_up(by_itself);
  EXPECT_EQ(again.job(1).state, S::STOPPED);
  EXPECT_EQ(again.machine.held(), std::set<std::uint32_t>{2});

  auto check = running();
  check.pass(10s);
  check.finish(0, A::FAILURE);
  again = taken_up(check);
  EXPECT_EQ(again.job(1).state, S::STOPPED) << "X6: a check is stopping the Task";
  EXPECT_EQ(again.labor().reason, Reason::CONT_CHECK_FAILURE);
}

TEST(Held, R2ACheckThatFailsByTheRecoveryStopsWhatWouldBeHeld) {
  auto labor = holding(LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = 10s; }));
  labor.jobs[0].options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::FAIL);
  MachineWorld w(labor);
  w.start();
  w.finish(0);
  w.pass(10s);
  ASSERT_EQ(w.handed.size(), 2u);
  const auto again = taken_up(w);
  EXPECT_EQ(again.job(0).state, S::FAILED);
  EXPECT_EQ(again.job(1).state, S::STOPPED);
  EXPECT_EQ(again.state(), S::FAILED);
  EXPECT_TRUE(again.labor().holds.empty());
}

TEST(Held, R2AHeldCheckIsDecidedToo) {
  const auto entry = [] {
    MachineWorld w(holding(LaborBuilder().task(1, 1, 1, 1)));
    w.start();
    return taken_up(w);
  };
  auto w = entry();
  EXPECT_EQ(w.machine.held(), (std::set<std::uint32_t>{0, 1}));
  decide(w, 0, Decision::COMPLETED);
  decide(w, 1, Decision::COMPLETED);
  EXPECT_EQ(w.job(1).rounds, 1u);
  w.signal(Signal::ADMIN_RESUME);
  EXPECT_TRUE(w.is_handed(2));

  auto lost = entry();
  decide(lost, 0, Decision::FAILED);
  EXPECT_EQ(lost.job(1).state, S::STOPPED) << "X2: a check that fails stops the Task, held ones too";
  EXPECT_EQ(lost.state(), S::FAILED);
  EXPECT_EQ(lost.labor().reason, Reason::PRE_CHECK_FAILURE);

  auto rerun = entry();
  decide(rerun, 0, Decision::RERUN);
  decide(rerun, 1, Decision::COMPLETED);
  rerun.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(rerun.handed, std::vector<std::uint32_t>{0});
}

TEST(Held, R2ItIsStillHeldAfterTheNextRecoveryAndOnlyOnce) {
  auto w = taken_up(taken_up(two_held(), 1s), 1s);
  EXPECT_EQ(w.machine.held(), (std::set<std::uint32_t>{0, 2}));
  EXPECT_EQ(w.labor().holds.size(), 1u);
  EXPECT_EQ(w.statuses(0), "INTERRUPTED");
  EXPECT_EQ(w.state(), S::ADMIN_PAUSED);
  EXPECT_TRUE(w.history.empty()) << "nothing has changed";
}

TEST(Held, R2DecisionsOutliveAKill) {
  auto w = two_held();
  decide(w, 0, Decision::RERUN);
  decide(w, 2, Decision::COMPLETED);
  auto again = taken_up(w);
  EXPECT_TRUE(again.machine.held().empty());
  EXPECT_EQ(again.state(), S::ADMIN_PAUSED) << "it still needs its ADMIN_RESUME";
  EXPECT_TRUE(again.handed.empty());
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_TRUE(again.is_handed(0) && again.is_handed(3));
  EXPECT_EQ(again.job(2).attempts[0].decision, Decision::COMPLETED);
}

TEST(Held, G5ThePausesOfPeopleStandBesideIt) {
  MachineWorld w(holding(LaborBuilder().task(1, 2)));
  w.start();
  w.signal(Signal::PAUSE);
  w.signal(Signal::CRISIS_PAUSE);
  auto again = taken_up(w);
  ASSERT_EQ(again.labor().holds.size(), 3u);
  EXPECT_EQ(again.state(), S::CRISIS_PAUSED);
  again.signal(Signal::ADMIN_RESUME);
  ASSERT_EQ(again.refusals.size(), 1u) << "G5: not the rank in force";
  EXPECT_NE(again.refusals[0].message.find("crisis_resume releases it"), std::string::npos);
  decide(again, 0, Decision::COMPLETED);
  again.signal(Signal::CRISIS_RESUME);
  EXPECT_EQ(again.state(), S::ADMIN_PAUSED);
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(again.state(), S::PAUSED);
  again.signal(Signal::RESUME);
  EXPECT_TRUE(again.is_handed(1));
}

TEST(Held, G5APersonsAdminPauseIsNotDoubledAndIsNotReleasedEither) {
  MachineWorld w(holding(LaborBuilder().task(1)));
  w.start();
  w.signal(Signal::ADMIN_PAUSE);
  auto again = taken_up(w);
  ASSERT_EQ(again.labor().holds.size(), 1u);
  EXPECT_EQ(again.labor().holds[0].by, "ann");
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(again.refusals.size(), 1u);
  decide(again, 0, Decision::RERUN);
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_TRUE(again.is_handed(0));
}

TEST(Held, G5aOwnPausesBelowAreReleasedAsEver) {
  MachineWorld w(holding(LaborBuilder().task(1)));
  w.start();
  w.signal(task_ref(0), Signal::ADMIN_PAUSE);
  auto again = taken_up(w);
  const auto ack = again.signal(task_ref(0), Signal::ADMIN_RESUME);
  ASSERT_TRUE(again.acked(ack));
  EXPECT_TRUE(again.acks[ack].applied) << "the Labor's hold weighs on";
  EXPECT_EQ(again.task(0).state, S::ADMIN_PAUSED);
  EXPECT_TRUE(is_held(again, 0));
}

TEST(Held, R2TheOthersOfItsLaborWaitForItToo) {
  auto labor = holding(LaborBuilder().task(2).with([](Task& t) { t.concurrency.number = 2; }));
  labor.jobs[1].options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::RETRY);
  MachineWorld w(labor);
  w.start();
  auto again = taken_up(w);
  EXPECT_TRUE(again.handed.empty()) << "RETRY, but its Labor is held";
  EXPECT_FALSE(is_held(again, 1));
  decide(again, 0, Decision::COMPLETED);
  again.signal(Signal::ADMIN_RESUME);
  EXPECT_EQ(again.handed, std::vector<std::uint32_t>{1});
}

TEST(Held, X6bInATaskWhoseBudgetIsGone) {
  MachineWorld w(holding(LaborBuilder().task(3).with([](Task& t) { t.concurrency.number = 2; })));
  w.start();
  w.finish(0, A::FAILURE);
  ASSERT_EQ(w.task(0).reason, Reason::MAX_FAILURES);
  auto again = taken_up(w);
  EXPECT_TRUE(is_held(again, 1)) << "those that run go on to their own end";
  decide(again, 1, Decision::RERUN);
  again.signal(Signal::ADMIN_RESUME);
  again.finish(1);
  EXPECT_EQ(again.sequence(1).state, S::COMPLETED);
  EXPECT_EQ(again.state(), S::FAILED);
  EXPECT_EQ(again.sequence(2).state, S::NOT_STARTED);
}

TEST(Held, R3WhatWasNotExecutingIsNotAskedAbout) {
  MachineWorld w(holding(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 60s; })));
  w.start();
  w.finish(0, A::FAILURE);
  auto again = taken_up(w, 60s);
  EXPECT_EQ(again.state(), S::RUNNING);
  EXPECT_TRUE(again.is_handed(0));
}

TEST(Held, M5TheWordsOfDecisions) {
  for (const auto d : {Decision::RERUN, Decision::COMPLETED, Decision::FAILED}) EXPECT_EQ(decision_of(name_of(d)), d);
  EXPECT_EQ(decision_of("complete"), Decision::NONE);
  EXPECT_EQ(decision_of(""), Decision::NONE);
}

}  // namespace
}  // namespace cogwork::test
