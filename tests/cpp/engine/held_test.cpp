// Held Jobs in an engine (R2), and what is sent to a Labor that waits for its Cogs (R4).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "cogwork/base/error.h"
#include "cogwork/engine/stored.h"
#include "cogwork/engine/stored_signal.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using A = AttemptStatus;

class Held : public StoreTest {
 protected:
  /// A Labor of `count` Sequences whose first Jobs, not idempotent, were executing when their engine closed.
  Id interrupted(const std::shared_ptr<Storage>& store, std::uint32_t count = 2, std::uint32_t jobs = 2) {
    Gate gate;
    EngineOptions options;
    options.grace = 1ms;
    EngineWorld w(store, options, {{"work", [&](const Call&) { return gate.enter(), Outcome{}; }}});
    auto labor = tree_of(count, "work", count, jobs);
    labor.tasks[0].tolerated_failures.number = 1;
    for (auto& job : labor.jobs) job.options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::HOLD);
    const auto id = w.submit(labor);
    gate.wait_for(static_cast<int>(count));
    w.engine->close({}, true);
    gate.open();
    return id;
  }
  static std::map<std::string, Function> works() {
    return {{"work", [](const Call&) { return Outcome{}; }}};
  }
  static Id job(const Id& labor, std::uint32_t sequence, std::uint32_t jobs = 2) {
    return labor.with_ordinal(3 + sequence * (jobs + 1));
  }
};
COGWORK_ON_EACH_STORE(Held);

std::string refused(const std::function<void()>& act) {
  try {
    act();
  } catch (const SignalNotAllowed& error) {
    return error.what();
  }
  ADD_FAILURE() << "it was taken";
  return {};
}

TEST_P(Held, R2ItsLaborIsTakenUpAndHeldAndSaysWhichJobs) {
  auto store = reopened();
  const auto id = interrupted(store);
  EngineWorld w(store, {}, works());
  EXPECT_EQ(w.engine->taken_up(), std::vector<Id>{id});
  EXPECT_TRUE(w.engine->stats().waiting.empty());
  const auto stats = w.engine->stats();
  ASSERT_EQ(stats.held.size(), 2u);
  EXPECT_EQ(stats.held_count, 2u);
  EXPECT_EQ(stats.held[0].job, job(id, 0));
  EXPECT_EQ(stats.held[1].target, "host1");
  EXPECT_EQ(stats.held[1].labor_name, "tree");
  const auto progress = w.engine->progress(id);
  EXPECT_EQ(progress.state, S::ADMIN_PAUSED);
  EXPECT_EQ(progress.held.size(), 2u);
  EXPECT_EQ(progress.tasks[0].waiting, "2 Jobs are held, and must be decided");
  EXPECT_NE(refused([&] { w.signal(id, Signal::ADMIN_RESUME); }).find(job(id, 0).text()), std::string::npos);
  w.engine->close({}, false);
  EXPECT_EQ(w.workers.calls("work"), 0);
  const auto stored = store->read_job(job(id, 0), true);
  EXPECT_TRUE(stored.held);
  EXPECT_EQ(stored.state, S::RUNNING);
  expect_sound_history(*store);
}

TEST_P(Held, R2EachDecisionIsDurableWhenItReturns) {
  auto store = reopened();
  const auto id = interrupted(store, 3);
  EngineWorld w(store, {}, works());
  w.engine->decide({job(id, 0), Decision::RERUN, "ann", "safe"});
  EXPECT_FALSE(store->read_job(job(id, 0), true).held);
  EXPECT_EQ(store->read_job(job(id, 0), true).attempts[0].decision, Decision::RERUN);
  w.engine->decide({job(id, 1), Decision::COMPLETED, "ann", "looked"});
  EXPECT_EQ(store->read_job(job(id, 1), true).state, S::COMPLETED);
  w.engine->decide({job(id, 2), Decision::FAILED, "bob", ""});
  EXPECT_EQ(store->read_sequence(id.with_ordinal(8)).state, S::FAILED);
  EXPECT_EQ(w.engine->state(id), S::ADMIN_PAUSED);
  w.signal(id, Signal::ADMIN_RESUME)->completion().wait();
  const auto done = w.wait(id);
  EXPECT_EQ(done.state, S::COMPLETED);
  EXPECT_EQ(done.jobs[2].attempts.size(), 1u) << "R5: none began after the decision";
  EXPECT_EQ(w.workers.calls("work"), 3);
  std::vector<std::pair<Decision, Text>> decided;
  for (const auto& c : history_of(*store, id)) {
    if (c.kind == Change::Kind::DECISION) decided.emplace_back(c.decision, c.by);
  }
  EXPECT_EQ(decided, (std::vector<std::pair<Decision, Text>>{
                         {Decision::RERUN, "ann"}, {Decision::COMPLETED, "ann"}, {Decision::FAILED, "bob"}}));
  expect_sound_tree(done);
  expect_sound_history(*store);
}

TEST_P(Held, R2WhatIsNotHeldIsNotDecided) {
  auto store = reopened();
  const auto id = interrupted(store, 1);
  EngineWorld w(store, {}, works());
  const auto decide = [&](const Id& about) { return [&w, about] { w.engine->decide({about, Decision::COMPLETED, "ann", ""}); }; };
  EXPECT_NE(refused(decide(id.with_ordinal(4))).find("which is NOT_STARTED and not held"), std::string::npos);
  EXPECT_THROW(decide(id)(), NotFound);
  EXPECT_THROW(decide(id.with_ordinal(2))(), NotFound) << "a Sequence";
  EXPECT_THROW(decide(id.with_ordinal(99))(), NotFound);
  w.signal(id, Signal::STOP)->completion().wait();
  EXPECT_EQ(w.wait(id).jobs[0].state, S::STOPPED);
  w.engine->stats();
  EXPECT_NE(refused(decide(job(id, 0))).find("which is STOPPED and not held"), std::string::npos) << "also when it has ended";
  EXPECT_THROW(decide(id.with_ordinal(99))(), NotFound);
  EXPECT_THROW(decide(id.with_ordinal(2))(), NotFound);
  w.engine->close({}, false);
  int recorded = 0;
  for (const auto& c : history_of(*store, id)) recorded += c.kind == Change::Kind::DECISION && c.refused ? 1 : 0;
  EXPECT_EQ(recorded, 2) << "G9";
  expect_sound_history(*store);
}

TEST_P(Held, R2OneOfManyWhoDecideAtOnceIsHeard) {
  auto store = reopened();
  const auto id = interrupted(store, 4, 1);
  EngineWorld w(store, {}, works());
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t s = 0; s < 4; ++s) {
        try {
          w.engine->decide({job(id, s, 1), t % 2 ? Decision::COMPLETED : Decision::RERUN, "ann", ""});
          ++taken;
        } catch (const SignalNotAllowed&) {
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken, 4);
  if (!has_ended(w.engine->state(id))) w.signal(id, Signal::ADMIN_RESUME);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  expect_sound_history(*store);
}

TEST_P(Held, R1AStoredDecisionIsAppliedBeforeAnythingBegins) {
  auto store = reopened();
  const auto id = interrupted(store, 2);
  const auto clock = make_system_clock();
  const auto owner = this_process("ann", "test", clock->wall());
  EXPECT_EQ(stored_progress(*store, id).held_count, 2u) << "they will be held";
  const auto leave = [&](const Id& about, Decision decision) {
    StoredSignal stored;
    stored.order = {about, Signal::RESUME, false, "ann", "while nobody ran"};
    stored.decision = decision;
    stored.at = clock->wall();
    store_decision(*store, stored, owner, *clock);
  };
  leave(job(id, 0), Decision::COMPLETED);
  leave(job(id, 1), Decision::FAILED);
  EXPECT_NE(refused([&] { leave(id.with_ordinal(4), Decision::RERUN); }).find("NOT_STARTED and not held"), std::string::npos);
  EXPECT_THROW(leave(id.with_ordinal(2), Decision::RERUN), NotFound);
  StoredSignal resume;
  resume.order = {id, Signal::ADMIN_RESUME, false, "ann", ""};
  resume.at = clock->wall();
  store_signal(*store, resume, owner, *clock);
  EXPECT_EQ(store->records(RecordKind::SIGNAL).size(), 3u);
  EngineWorld w(store, {}, works());
  const auto done = w.wait(id);
  EXPECT_EQ(done.state, S::COMPLETED);
  EXPECT_EQ(done.jobs[0].attempts[0].decision, Decision::COMPLETED);
  EXPECT_EQ(done.jobs[2].state, S::FAILED);
  EXPECT_EQ(w.workers.calls("work"), 1);
  EXPECT_TRUE(store->records(RecordKind::SIGNAL).empty());
  expect_sound_history(*store);
}

TEST_P(Held, R1AStoredDecisionThatCameTooLateIsRecordedAsRefused) {
  auto store = reopened();
  const auto id = interrupted(store, 1);
  auto random = Random(1);
  StoredSignal twice;
  twice.order = {job(id, 0), Signal::RESUME, false, "ann", ""};
  twice.decision = Decision::RERUN;
  Batch batch;
  batch.records.push_back(to_record(twice, random));
  twice.decision = Decision::FAILED;
  twice.at = from_micros(1);
  batch.records.push_back(to_record(twice, random));
  store->apply(batch);
  {
    EngineWorld w(store, {}, works());
    EXPECT_TRUE(w.engine->stats().held.empty());
    w.signal(id, Signal::STOP)->completion().wait();
  }
  std::vector<bool> refusals;
  for (const auto& c : history_of(*store, id)) {
    if (c.kind == Change::Kind::DECISION) refusals.push_back(c.refused);
  }
  EXPECT_EQ(refusals, (std::vector<bool>{false, true}));
  // And one whose Labor has ended altogether.
  Batch late;
  late.records.push_back(to_record(twice, random));
  store->apply(late);
  EngineWorld w(store, {}, works());
  w.engine->close({}, false);
  EXPECT_TRUE(store->records(RecordKind::SIGNAL).empty());
  EXPECT_TRUE(history_of(*store, id).back().refused);
  EXPECT_EQ(history_of(*store, id).back().kind, Change::Kind::DECISION);
  expect_sound_history(*store);
}

TEST_P(Held, R2KilledWhileHeldAndBetweenDecisions) {
  auto store = reopened();
  const auto id = interrupted(store, 2);
  for (int life = 0; life < 2; ++life) {
    auto dying = std::make_shared<FaultyStore>(store);
    EngineWorld w(dying, {}, works());
    EXPECT_EQ(w.engine->stats().held.size(), 2u - static_cast<std::size_t>(life));
    w.engine->decide({job(id, static_cast<std::uint32_t>(life)), life ? Decision::RERUN : Decision::COMPLETED, "ann", ""});
    dying->die_at(dying->applies() + 1, FaultyStore::LastCommit::LOST);
  }
  EngineWorld w(store, {}, works());
  EXPECT_TRUE(w.engine->stats().held.empty());
  EXPECT_EQ(w.engine->state(id), S::ADMIN_PAUSED);
  EXPECT_EQ(store->read_labor(id, false).holds.size(), 1u);
  w.signal(id, Signal::ADMIN_RESUME);
  const auto done = w.wait(id);
  EXPECT_EQ(done.state, S::COMPLETED);
  expect_sound_tree(done);
  expect_sound_history(*store);
}

TEST_P(Held, R2WhatACloseEndedIsInterruptedToo) {
  for (const bool grace : {false, true}) {
    auto store = another();
    Id id;
    {
      Gate gate;
      EngineOptions options;
      options.grace = 1ms;
      EngineWorld w(store, options, {{"work", [&](const Call&) { return gate.enter(), Outcome{}; }}});
      auto labor = tree_of(3, "work", 3);
      labor.tasks[0].tolerated_failures.number = -1;
      constexpr OnInterrupt kEach[] = {OnInterrupt::RETRY, OnInterrupt::FAIL, OnInterrupt::HOLD};
      for (int j = 0; j < 3; ++j) labor.jobs[static_cast<std::size_t>(j)].options.on_interrupt = static_cast<std::int8_t>(kEach[j]);
      id = w.submit(labor);
      gate.wait_for(3);
      const auto report = grace ? w.engine->close(Duration(1ms), false) : w.engine->close({}, true);
      ASSERT_EQ(report.left.size(), 1u);
      EXPECT_EQ(report.left[0].interrupted, 3u);
      gate.open();
    }
    EngineWorld w(store, {}, works());
    const auto held = store->read_labor(id, true);
    for (const auto& one : held.jobs) EXPECT_TRUE(one.attempts[0].open() || one.attempts[0].status == A::INTERRUPTED);
    w.engine->decide({job(id, 2, 1), Decision::RERUN, "ann", ""});
    w.signal(id, Signal::ADMIN_RESUME);
    const auto done = w.wait(id);
    for (const auto& one : done.jobs) EXPECT_EQ(one.attempts[0].status, A::INTERRUPTED);
    EXPECT_EQ(done.jobs[0].state, S::COMPLETED) << "RETRY";
    EXPECT_EQ(done.jobs[1].state, S::FAILED) << "FAIL";
    EXPECT_EQ(done.jobs[2].state, S::COMPLETED) << "HOLD, and rerun";
    EXPECT_EQ(w.workers.calls("work"), 2);
    expect_sound_history(*store);
  }
}

// ---- R4: a Labor that waits for its Cogs ----

class Waits : public Held {};
COGWORK_ON_EACH_STORE(Waits);

TEST_P(Waits, R4StopEndsItWithoutItsCogs) {
  auto store = reopened();
  const auto begun = interrupted(store, 2);
  Id unstarted, waiting_to_start;
  {
    EngineWorld w(store, {}, works());
    unstarted = w.submit(tree_of(2, "work"), false);
    waiting_to_start = w.submit(tree_of(2, "work"), false);
  }
  auto labor = store->read_labor(unstarted, false);
  labor.state = S::NOT_STARTED;  // as after a crash between the tree and its start
  store->write_labor_state(labor);
  EngineWorld w(store);
  EXPECT_EQ(w.engine->stats().waiting.size(), 3u);
  for (const auto& id : {begun, unstarted, waiting_to_start}) {
    const auto ack = w.signal(id, Signal::STOP);
    EXPECT_FALSE(ack->stored());
    ack->completion().wait();
    EXPECT_TRUE(ack->applied());
    EXPECT_EQ(w.engine->state(id), S::STOPPED);
  }
  EXPECT_TRUE(w.engine->stats().waiting.empty());
  EXPECT_EQ(store->read_job(job(begun, 0), true).attempts[0].status, A::INTERRUPTED);
  EXPECT_FALSE(is_set(store->read_labor(unstarted, false).started)) << "S6: nothing ran";
  EXPECT_EQ(store->read_labor(unstarted, true).tasks[0].state, S::NOT_STARTED);
  EXPECT_THROW(w.signal(begun, Signal::STOP), SignalNotAllowed);
  w.engine->close({}, false);
  expect_sound_history(*store);
}

TEST_P(Waits, R4OtherSignalsAreKeptAndAppliedWhenItIsTakenUp) {
  auto store = reopened();
  Id starts;
  {
    EngineWorld first(store, {}, works());
    starts = first.submit(tree_of(1, "work"), false);
  }
  const auto id = interrupted(store, 2);
  {
    EngineWorld w(store);
    EXPECT_TRUE(w.signal(id, Signal::CRISIS_PAUSE)->stored());
    w.engine->decide({job(id, 0), Decision::COMPLETED, "ann", ""});
    EXPECT_EQ(store->records(RecordKind::SIGNAL).size(), 2u) << "durable when it returns";
    EXPECT_THROW(w.engine->decide({id.with_ordinal(4), Decision::RERUN, "ann", ""}), SignalNotAllowed);
    EXPECT_THROW(w.signal(id.with_ordinal(99), Signal::PAUSE), NotFound);
    EXPECT_TRUE(w.signal(id.with_ordinal(5), Signal::STOP)->stored()) << "of a Sequence: the others go on";
    w.engine->start(starts, "ann", "");
    w.add_cog("work");
    w.engine->recheck_waiting();  // in the same engine
    EXPECT_EQ(w.engine->state(id), S::CRISIS_PAUSED);
    w.engine->close({}, true);
  }
  EXPECT_TRUE(store->records(RecordKind::SIGNAL).empty());
  const auto labor = store->read_labor(id, true);
  EXPECT_EQ(labor.jobs[0].state, S::COMPLETED);
  EXPECT_EQ(labor.jobs[2].state, S::STOPPED);
  EXPECT_NE(store->read_labor(starts, false).state, S::ADMIN_NOT_STARTED);
  expect_sound_history(*store);
}

TEST_P(Waits, R4WhatIsKeptIsAppliedByALaterEngineToo) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store, {}, works());
    id = w.submit(tree_of(1, "work"), false);
  }
  {
    EngineWorld w(store);
    w.engine->start(id, "ann", "go");
    EXPECT_TRUE(w.signal(id, Signal::PAUSE)->stored());
  }
  EngineWorld w(store, {}, works());
  EXPECT_EQ(w.engine->state(id), S::PAUSED);
  w.signal(id, Signal::RESUME);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  expect_sound_history(*store);
}

}  // namespace
}  // namespace cogwork::test
