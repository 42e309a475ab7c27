// Every row of the table of signals: Labor, Task and Sequence x every state x every signal, on real machines that were brought into the
// state, against a table that was written by hand from G2-G6, S6 and X2a.
#include <gtest/gtest.h>

#include "cogwork/machine/signal_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using S = State;

/// What is to become of an object: the state right after the signal was taken, or UNKNOWN where the signal is refused or ignored.
/// Order of columns: STOP, PAUSE, CRISIS_PAUSE, ADMIN_PAUSE, RESUME, CRISIS_RESUME, ADMIN_RESUME.
struct SignalRow {
  const char* name;
  State state;
  State after[kSignals];
};
constexpr State no = S::UNKNOWN;

// One attempt is executing in RUNNING, PAUSING and STOPPING, so that nothing settles at once. PAUSING is a pending user pause.
constexpr SignalRow kLaborRows[] = {
    {"NOT_STARTED", S::NOT_STARTED, {S::STOPPED, no, no, no, no, no, no}},
    {"ADMIN_NOT_STARTED", S::ADMIN_NOT_STARTED, {S::STOPPED, no, no, no, no, no, no}},
    {"RUNNING", S::RUNNING, {S::STOPPING, S::PAUSING, S::PAUSING, S::PAUSING, no, no, no}},
    {"PAUSING", S::PAUSING, {S::STOPPING, no, S::PAUSING, S::PAUSING, S::RUNNING, no, no}},
    {"PAUSED", S::PAUSED, {S::STOPPED, no, S::CRISIS_PAUSED, S::ADMIN_PAUSED, S::RUNNING, no, no}},
    {"ADMIN_PAUSED", S::ADMIN_PAUSED, {S::STOPPED, no, S::CRISIS_PAUSED, no, no, no, S::RUNNING}},
    {"CRISIS_PAUSED", S::CRISIS_PAUSED, {S::STOPPED, no, no, no, no, S::RUNNING, no}},
    {"COMPLETED", S::COMPLETED, {no, no, no, no, no, no, no}},
    {"FAILED", S::FAILED, {no, no, no, no, no, no, no}},
    {"STOPPING", S::STOPPING, {S::STOPPING, no, no, no, no, no, no}},
    {"STOPPED", S::STOPPED, {no, no, no, no, no, no, no}},
};
// A Task or Sequence that has not started keeps a pause (X2a); without one there is nothing to release.
constexpr SignalRow kBelowRows[] = {
    {"NOT_STARTED", S::NOT_STARTED, {no, S::NOT_STARTED, S::NOT_STARTED, S::NOT_STARTED, no, no, no}},
    {"RUNNING", S::RUNNING, {S::STOPPING, S::PAUSING, S::PAUSING, S::PAUSING, no, no, no}},
    {"PAUSING", S::PAUSING, {S::STOPPING, no, S::PAUSING, S::PAUSING, S::RUNNING, no, no}},
    {"PAUSED", S::PAUSED, {S::STOPPED, no, S::CRISIS_PAUSED, S::ADMIN_PAUSED, S::RUNNING, no, no}},
    {"ADMIN_PAUSED", S::ADMIN_PAUSED, {S::STOPPED, no, S::CRISIS_PAUSED, no, no, no, S::RUNNING}},
    {"CRISIS_PAUSED", S::CRISIS_PAUSED, {S::STOPPED, no, no, no, no, S::RUNNING, no}},
    {"COMPLETED", S::COMPLETED, {no, no, no, no, no, no, no}},
    {"FAILED", S::FAILED, {no, no, no, no, no, no, no}},
    {"STOPPING", S::STOPPING, {S::STOPPING, no, no, no, no, no, no}},
    {"STOPPED", S::STOPPED, {no, no, no, no, no, no, no}},
};

/// A Labor of two Tasks, the first of two Sequences at once, each of two Jobs; `object` is the Labor, its first Task or its first
/// Sequence.
struct Case {
  MachineWorld world;
  ObjectRef object;

  explicit Case(ObjectRef ref, State state, bool latched = false) : world(tree(state)), object(ref) {
    if (latched) world.start(), world.weigh("l1");
    if (latched && state == State::CRISIS_PAUSED) world.finish_all();
    if (!latched) reach(state);
    EXPECT_EQ(current(), state);
  }
  State current() const { return state_of(world.labor(), object); }

 private:
  static Labor tree(State state) {
    auto labor = LaborBuilder()
                     .task(2, 2)
                     .with([](Task& t) {
                       t.concurrency.number = 2;
                       t.tolerated_failures.number = 0;
                     })
                     .task(1)
                     .build();
    labor.state = state == State::ADMIN_NOT_STARTED ? State::ADMIN_NOT_STARTED : State::NOT_STARTED;
    return labor;
  }
  void reach(State state) {
    auto& w = world;
    if (state == State::NOT_STARTED || state == State::ADMIN_NOT_STARTED) return;
    w.start();
    switch (state) {
      case State::PAUSING: w.signal(object, Signal::PAUSE); return;
      case State::PAUSED: w.signal(object, Signal::PAUSE), w.finish_all(); return;
      case State::ADMIN_PAUSED: w.signal(object, Signal::ADMIN_PAUSE), w.finish_all(); return;
      case State::CRISIS_PAUSED: w.signal(object, Signal::CRISIS_PAUSE), w.finish_all(); return;
      case State::STOPPING: w.signal(object, Signal::STOP); return;
      case State::STOPPED: w.signal(object, Signal::STOP), w.finish_all(); return;
      case State::COMPLETED:
        for (int i = 0; i < 4; ++i) w.finish_all();
        return;
      case State::FAILED: w.finish_all(AttemptStatus::FAILURE); return;
      default: return;
    }
  }
};

void check_rows(ObjectKind kind, const SignalRow* rows, std::size_t count) {
  for (std::size_t r = 0; r < count; ++r) {
    const auto& row = rows[r];
    for (int s = 0; s < kSignals; ++s) {
      const auto signal = static_cast<Signal>(s);
      SCOPED_TRACE(std::string(row.name) + " " + std::string(name_of(signal)));
      Case c({kind, 0}, row.state);
      const auto refusals = c.world.refusals.size();
      const auto ticket = c.world.signal(c.object, signal);
      const bool allowed = row.after[s] != no;
      EXPECT_EQ(c.current(), allowed ? row.after[s] : row.state);

      // G9: recorded, whether it was allowed or not.
      bool recorded = false;
      for (const auto& change : c.world.history) {
        if (change.kind != Change::Kind::SIGNAL || change.ordinal != ordinal_of(c.world.labor(), c.object)) continue;
        recorded |= change.signal == signal && change.refused == !allowed && change.by == "ann";
      }
      EXPECT_TRUE(recorded);

      if (kind == ObjectKind::LABOR && !allowed) {  // G2: an error
        ASSERT_EQ(c.world.refusals.size(), refusals + 1);
        EXPECT_NE(c.world.refusals.back().message.find(name_of(signal)), std::string::npos);
        EXPECT_NE(c.world.refusals.back().message.find(name_of(row.state)), std::string::npos);
      } else if (!allowed) {  // ignored, and acknowledged
        ASSERT_TRUE(c.world.acked(ticket));
        EXPECT_FALSE(c.world.acks[ticket].applied);
        EXPECT_EQ(c.world.acks[ticket].state, row.state);
      } else if (row.state == State::NOT_STARTED && kind != ObjectKind::LABOR) {  // X2a
        ASSERT_TRUE(c.world.acked(ticket));
        EXPECT_TRUE(c.world.acks[ticket].applied);
      } else {  // it is acknowledged once all has been processed
        c.world.finish_all();
        ASSERT_TRUE(c.world.acked(ticket));
        EXPECT_TRUE(c.world.acks[ticket].applied);
      }

      // The table that the machine asks, and that the docs print, says the same.
      const auto rule = signal_rule(kind == ObjectKind::LABOR, row.state, signal);
      if (allowed) {
        EXPECT_NE(rule, SignalRule::REFUSED);
      } else if (rule == SignalRule::HOLDS) {
        EXPECT_EQ(row.state, State::PAUSING);  // it depends on the pending rank
      } else if (rule == SignalRule::RELEASES) {
        EXPECT_TRUE(row.state == State::PAUSING || row.state == State::NOT_STARTED);
      } else {
        EXPECT_EQ(rule, SignalRule::REFUSED);
      }
    }
  }
}

/// G8: what a Labor takes that a latch holds, pausing or paused: it ends at a STOP, and takes nothing else.
TEST(SignalTable, G8LaborUnderALatch) {
  for (const State state : {S::PAUSING, S::CRISIS_PAUSED}) {
    for (int s = 0; s < kSignals; ++s) {
      const auto signal = static_cast<Signal>(s);
      SCOPED_TRACE(std::string(name_of(state)) + " " + std::string(name_of(signal)));
      Case c({}, state, true);
      c.world.signal(signal);
      EXPECT_EQ(signal_rule(true, state, signal, true), signal == Signal::STOP ? SignalRule::STOPS : SignalRule::REFUSED);
      if (signal == Signal::STOP) {
        EXPECT_EQ(c.current(), state == S::PAUSING ? S::STOPPING : S::STOPPED);
        continue;
      }
      EXPECT_EQ(c.current(), state);
      ASSERT_EQ(c.world.refusals.size(), 1u);
      EXPECT_NE(c.world.refusals[0].message.find("latch l1"), std::string::npos) << c.world.refusals[0].message;
      EXPECT_EQ(c.world.history.back().refused, true) << "G9";
    }
  }
}

TEST(SignalTable, G2G6LaborInEveryState) { check_rows(ObjectKind::LABOR, kLaborRows, std::size(kLaborRows)); }
TEST(SignalTable, G2G6TaskInEveryState) { check_rows(ObjectKind::TASK, kBelowRows, std::size(kBelowRows)); }
TEST(SignalTable, G2G6SequenceInEveryState) { check_rows(ObjectKind::SEQUENCE, kBelowRows, std::size(kBelowRows)); }

TEST(SignalTable, G2SaysWhoAndWhatWouldHelp) {
  const Hold hold{Rank::CRISIS, from_micros(36'120'000'000), "bob", "INC-12"};
  EXPECT_EQ(refusal(Signal::RESUME, State::CRISIS_PAUSED, &hold),
            "cannot RESUME a Labor that is CRISIS_PAUSED (by bob 10:02 \"INC-12\"); crisis_resume releases it");
  EXPECT_EQ(
      refusal(Signal::CRISIS_RESUME, State::CRISIS_PAUSED, &hold, "5f0c1d2e-0000-4000-8000-000000000000"),
      "cannot CRISIS_RESUME a Labor that is CRISIS_PAUSED (by bob 10:02 \"INC-12\", latch 5f0c1d2e-0000-4000-8000-000000000000); "
      "lifting the latch releases it: engine.crisis_resume(\"5f0c1d2e-0000-4000-8000-000000000000\")");
}

}  // namespace
}  // namespace cogwork::test
