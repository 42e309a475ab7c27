// The clock of an engine is set while something waits, or was wrong when something was stored (X8, R3, M2).
#include <gtest/gtest.h>

#include "support/core_world.h"
#include "support/engine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using A = AttemptStatus;

constexpr Duration kSteps[] = {Duration(0), 3600s, -3600s, 24h * 3650, -24h * 3650};

struct OneCall {
  explicit OneCall(std::shared_ptr<Storage> store = make_memory_store(), Time now = kStart)
      : world(std::move(store), one_cog(), now, 1, {}) {}
  Id begin(Labor labor) {
    const auto submitted = world.submit(std::move(labor), true);
    for (int i = 0; i < 3; ++i) world.make_durable();
    return submitted->id;
  }
  AttemptKey key() { return world.jobs.calls().begin()->first; }
  const ScriptedExecutor::Call& call() { return world.jobs.calls().begin()->second; }
  void answer(Outcome outcome) { world.finish(world.jobs, key(), std::move(outcome)); }
  void pass(Duration span) {
    const auto until = world.clock.now().steady + span;
    while (world.next && *world.next <= until) {
      world.advance_to(*world.next);
      world.make_durable();
    }
    world.advance_to(until);
  }
  CoreWorld world;
};
Labor with_time_out(Duration timeout) {
  auto labor = tree_of(1);
  labor.jobs[0].options.timeout = timeout;
  return labor;
}

TEST(EngineClocks, X8TheTimeOutGoesByAClockThatNobodySets) {
  for (const auto step : kSteps) {
    OneCall one;
    one.begin(with_time_out(60s));
    one.pass(1s);
    one.world.clock.jump(step);
    one.pass(58s);
    ASSERT_EQ(one.world.jobs.calls().size(), 1u);
    EXPECT_FALSE(one.call().asked_to_end) << step / 1s;
    one.pass(1s);
    EXPECT_TRUE(one.call().asked_to_end) << step / 1s;
  }
}

TEST(EngineClocks, X8TheTimeOutCountsFromTheCallOfTheCog) {
  OneCall one;
  const auto id = one.begin(with_time_out(5s));
  one.world.jobs.set_called(one.key(), std::nullopt);
  one.pass(3600s);
  EXPECT_FALSE(one.call().asked_to_end) << "no worker has taken it";
  one.world.jobs.set_called(one.key(), one.world.clock.now().steady);
  one.pass(4s);
  EXPECT_FALSE(one.call().asked_to_end);
  one.pass(1s);
  EXPECT_TRUE(one.call().asked_to_end);
  one.answer({});
  EXPECT_EQ(one.world.core.state(id), S::FAILED);
}

TEST(EngineClocks, X8AnAnswerThatWasThereBeforeTheTimeOutWasNoticedCounts) {
  OneCall one;
  const auto id = one.begin(with_time_out(5s));
  one.world.clock.advance(3600s);  // the process was stopped, say: nobody looked for an hour
  one.world.advance_to(one.world.clock.now().steady);
  EXPECT_TRUE(one.call().asked_to_end);
  Outcome outcome;
  outcome.unasked = true;
  one.answer(outcome);
  for (int i = 0; i < 3; ++i) one.world.make_durable();
  EXPECT_EQ(one.world.store->read_labor(id, false).state, S::COMPLETED);
}

TEST(EngineClocks, M2AStepForwardsAndBackIsSaidAndDatesNoOtherLabor) {
  OneCall one;
  const auto met = one.begin(tree_of(2));
  one.world.clock.jump(24h);
  one.answer({});
  one.world.make_durable();
  one.world.clock.jump(-24h);
  one.pass(1s);
  one.answer({});
  one.world.make_durable();
  const auto labor = one.world.store->read_labor(met, true);
  EXPECT_EQ(labor.state, S::COMPLETED);
  EXPECT_EQ(labor.ended, kStart + 24h + 1s) << "its times never go back";
  const auto other = one.begin(tree_of(1));
  EXPECT_EQ(one.world.store->read_labor(other, true).started, kStart + 1s);
  Stats stats;
  one.world.core.fill(stats);
  EXPECT_EQ(stats.clock.count, 2u);
  EXPECT_EQ(stats.clock.last, -24h);
  expect_sound_history(*one.world.store);
}

TEST(EngineClocks, R3WhatWasStoredUnderAClockThatWasAheadDoesNotWaitForIt) {
  for (const auto ahead : {Duration(24h), Duration(24h * 3650)}) {
    auto store = make_memory_store();
    Id retry, delay;
    {
      OneCall one(store, kStart + ahead);
      auto labor = tree_of(1);
      labor.jobs[0].options.retries = 1;
      labor.jobs[0].options.retry_delay = 3s;
      retry = one.begin(std::move(labor));
      Outcome failed;
      failed.status = A::FAILURE;
      one.answer(failed);
      one.world.make_durable();
      labor = tree_of(1);
      labor.tasks[0].entry_delay = 3s;
      delay = one.begin(std::move(labor));
      one.pass(1s);
    }
    OneCall one(store, kStart);
    Stats stats;
    one.world.core.fill(stats);
    EXPECT_GE(stats.records_ahead, ahead);
    EXPECT_TRUE(one.world.jobs.calls().empty());
    one.pass(3s);
    EXPECT_EQ(one.world.jobs.calls().size(), 2u) << "no wait is longer than its own length";
    while (!one.world.jobs.calls().empty()) {
      one.answer({});
      one.world.make_durable();
    }
    one.world.make_durable();
    for (const auto& id : {retry, delay}) {
      const auto labor = store->read_labor(id, true);
      EXPECT_EQ(labor.state, S::COMPLETED);
      EXPECT_GT(labor.ended, labor.started) << "M2";
      Time last = never;
      for (const auto& c : history_of(*store, id)) {
        EXPECT_GE(c.at, last) << "D7: in order";
        last = c.at;
      }
    }
    expect_sound_history(*store);
  }
}

TEST(EngineClocks, M2AnEngineBefore1970) {
  OneCall one(make_memory_store(), from_micros(-300'000'000'000'000));
  const auto id = one.begin(tree_of(1));
  one.pass(1s);
  one.answer({});
  one.world.make_durable();
  const auto labor = one.world.store->read_labor(id, true);
  EXPECT_TRUE(is_set(labor.submitted) && is_set(labor.started) && is_set(labor.ended));
  EXPECT_EQ(labor.ended - labor.started, 1s);
  EXPECT_EQ(one.world.store->last_time(id), labor.ended);
}

// ---- R1: what is stored while no engine runs, and in which order ----

class StoredOrder : public StoreTest {};
COGWORK_ON_EACH_STORE(StoredOrder);

TEST_P(StoredOrder, R1SignalsAreAppliedInTheOrderOfSendingAlsoIfTheClockWasSetBack) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store);
    id = w.submit(tree_of(1), false);
  }
  ManualClock clock(kStart);
  const auto leave = [&](Signal signal, bool start = false) {
    StoredSignal stored;
    stored.order = {id, signal, false, "ann", ""};
    stored.start = start;
    stored.at = clock.wall();
    store_signal(*store, stored, this_process("ann", "test", clock.wall()), clock);
    clock.jump(-3600s);
  };
  leave(Signal::RESUME, true);
  leave(Signal::PAUSE);
  leave(Signal::RESUME);
  leave(Signal::PAUSE);
  EngineWorld w(store);
  EXPECT_EQ(w.engine->state(id), S::PAUSED) << "the last word was a pause";
  w.signal(id, Signal::RESUME);
  w.wait(id);
  std::vector<Time> sent;
  for (const auto& c : history_of(*store, id)) {
    if (is_set(c.sent) && sent.size() < 4) sent.push_back(c.sent);
    EXPECT_FALSE(c.refused);
  }
  EXPECT_EQ(sent, (std::vector<Time>{kStart, kStart - 3600s, kStart - 7200s, kStart - 10800s})) << "when they were sent";
  expect_sound_history(*store);
}

}  // namespace
}  // namespace cogwork::test
