// What an engine makes of a store that another one left (R1-R4).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "cogwork/engine/engine.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using A = AttemptStatus;

class Recovery : public StoreTest {};
COGWORK_ON_EACH_STORE(Recovery);

std::vector<A> statuses(const Job& job) {
  std::vector<A> found;
  for (const auto& attempt : job.attempts) found.push_back(attempt.status);
  return found;
}

void set_on_interrupt(Labor& labor, OnInterrupt what) {
  for (auto& job : labor.jobs) job.options.on_interrupt = static_cast<std::int8_t>(what);
}

/// An engine whose process "dies": nothing is stored after `die`, and what its calls answer is lost.
class DyingWorld {
 public:
  explicit DyingWorld(const std::shared_ptr<Storage>& inner)
      : store(std::make_shared<FaultyStore>(inner)),
        world(store, options(), {{"block", [this](const Call&) { return gate.enter(), Outcome{}; }}}) {}
  ~DyingWorld() { die(); }
  void die() {
    store->die_at(store->applies() + 1, FaultyStore::LastCommit::LOST);
    gate.open();
  }
  static EngineOptions options() {
    EngineOptions options;
    options.grace = 1ms;
    return options;
  }

  Gate gate;
  std::shared_ptr<FaultyStore> store;
  EngineWorld world;
};

TEST_P(Recovery, R1WhatWasToStartStartsAndWhatWaitsForItsStartWaits) {
  auto store = reopened();
  Id starts, waits;
  {
    EngineWorld w(store);
    starts = w.submit(tree_of(2), false);
    waits = w.submit(tree_of(2), false);
  }
  auto labor = store->read_labor(starts, false);
  labor.state = S::NOT_STARTED;  // as after a crash between the tree and its start
  store->write_labor_state(labor);
  EngineWorld w(store);
  EXPECT_EQ(w.engine->taken_up().size(), 2u);
  EXPECT_EQ(w.wait(starts).state, S::COMPLETED);
  EXPECT_EQ(w.engine->state(waits), S::ADMIN_NOT_STARTED);
  w.engine->start(waits, "ann", "");
  EXPECT_EQ(w.wait(waits).state, S::COMPLETED);
  expect_sound_history(*store);
}

TEST_P(Recovery, R1AnEngineMayLeaveWhatWasUnfinished) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store);
    id = w.submit(tree_of(2), false);
  }
  EngineOptions options;
  options.recover = false;
  EngineWorld w(store, options);
  EXPECT_TRUE(w.engine->taken_up().empty());
  EXPECT_EQ(w.engine->state(id), S::ADMIN_NOT_STARTED);
  EXPECT_THROW(w.engine->start(id, "ann", ""), SignalNotAllowed);
  EXPECT_THROW(w.signal(id, Signal::STOP), SignalNotAllowed);
  EXPECT_THROW(w.engine->end_of(id), SignalNotAllowed);
  EXPECT_EQ(w.engine->progress(id).tasks.size(), 1u);
  EXPECT_EQ(w.engine->find_task(id, "task"), id.with_ordinal(1));
  EXPECT_EQ(w.engine->find_task(id.with_ordinal(1), "host1"), id.with_ordinal(4));
  EXPECT_EQ(w.wait(w.submit(tree_of(1))).state, S::COMPLETED);
}

TEST_P(Recovery, R2RetryRunsAgainAndUsesUpNoRetry) {
  auto store = reopened();
  Id id;
  {
    DyingWorld dying(store);
    auto labor = tree_of(3, "block", 2, 2);
    set_on_interrupt(labor, OnInterrupt::RETRY);
    id = dying.world.submit(labor);
    dying.gate.wait_for(2);
  }
  EngineWorld w(
      store, {},
      {{"block", [](const Call& call) { return call.request().number == 2 ? Outcome{} : answer(A::FAILURE, "not yet"); }}});
  const auto done = w.wait(id);
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::INTERRUPTED, A::SUCCESS}));
  EXPECT_EQ(done.jobs[1].state, S::FAILED) << "no retry is left of none";
  EXPECT_EQ(statuses(done.jobs[1]), (std::vector<A>{A::FAILURE}));
  expect_sound_tree(done);
  expect_sound_history(*store);
}

TEST_P(Recovery, R2FailEndsTheJobFailed) {
  auto store = reopened();
  Id id;
  {
    DyingWorld dying(store);
    auto labor = tree_of(1, "block");
    set_on_interrupt(labor, OnInterrupt::FAIL);
    labor.jobs[0].options.retries = 5;
    id = dying.world.submit(labor);
    dying.gate.wait_for(1);
  }
  EngineWorld w(store, {}, {{"block", [](const Call&) { return Outcome{}; }}});
  const auto done = w.wait(id);
  EXPECT_EQ(done.state, S::FAILED);
  EXPECT_EQ(done.reason, Reason::MAX_FAILURES);
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::INTERRUPTED}));
  EXPECT_EQ(w.workers.calls("block"), 0);
  expect_sound_history(*store);
}

TEST_P(Recovery, R3PausingBecomesItsPauseAndStoppingItsEnd) {
  auto store = reopened();
  Id pausing, stopping, paused;
  {
    DyingWorld dying(store);
    auto labor = tree_of(3, "block", 2);
    set_on_interrupt(labor, OnInterrupt::RETRY);
    pausing = dying.world.submit(labor);
    stopping = dying.world.submit(labor);
    paused = dying.world.submit(tree_of(2), false);
    dying.gate.wait_for(4);
    dying.world.signal(pausing, Signal::ADMIN_PAUSE);
    dying.world.signal(stopping, Signal::STOP);
    dying.world.engine->start(paused, "ann", "");
    while (dying.world.engine->stats().commits.queued > 0) std::this_thread::yield();
    EXPECT_EQ(store->read_labor(pausing, false).state, S::PAUSING);
    EXPECT_EQ(store->read_labor(stopping, false).state, S::STOPPING);
  }
  EngineWorld w(store, {}, {{"block", [](const Call&) { return Outcome{}; }}});
  const auto stopped = w.wait(stopping);
  EXPECT_EQ(stopped.state, S::STOPPED);
  EXPECT_EQ(statuses(stopped.jobs[0]), (std::vector<A>{A::INTERRUPTED}));
  EXPECT_EQ(w.engine->state(pausing), S::ADMIN_PAUSED);
  EXPECT_EQ(w.workers.calls("block"), 0) << "paused means that nothing is executing";
  w.signal(pausing, Signal::ADMIN_RESUME)->completion().wait();
  EXPECT_EQ(w.wait(pausing).state, S::COMPLETED);
  w.wait(paused);
  expect_sound_history(*store);
}

TEST_P(Recovery, R3TheTimeThatTheEngineWasDownCounts) {
  auto store = reopened();
  Id soon, late;
  {
    EngineWorld w(store);
    auto labor = tree_of(1, "fail");
    labor.jobs[0].options.retries = 1;
    labor.jobs[0].options.retry_delay = std::chrono::hours(2);
    soon = w.submit(labor);
    late = w.submit(labor);
    w.workers.wait_for_calls("fail", 2);
    w.engine->close({}, false);
  }
  // An hour for one of them, three for the other: as if the engine had been down for so long.
  for (const auto& [id, down] : {std::pair(soon, 3h), std::pair(late, 1h)}) {
    auto job = store->read_job(id.with_ordinal(3), true);
    ASSERT_EQ(statuses(job), (std::vector<A>{A::FAILURE}));
    job.attempts[0].ended -= down;
    store->write_job(id, job);
  }
  EngineWorld w(store, {}, {{"fail", [](const Call&) { return Outcome{}; }}});
  EXPECT_EQ(w.wait(soon).state, S::COMPLETED);
  EXPECT_EQ(w.engine->state(late), S::RUNNING);
  EXPECT_EQ(w.workers.calls("fail"), 1);
}

TEST_P(Recovery, R4RecheckingFromManyThreadsTakesEachLaborUpOnce) {
  auto store = reopened();
  std::vector<Id> ids;
  {
    EngineWorld w(store, {}, {{"later", [](const Call&) { return Outcome{}; }}});
    for (int i = 0; i < 40; ++i) ids.push_back(w.submit(tree_of(1, "later"), false));
  }
  for (const auto& id : ids) {
    auto labor = store->read_labor(id, false);
    labor.state = S::NOT_STARTED;
    store->write_labor_state(labor);
  }
  std::atomic<int> called{0};
  auto cogs = std::make_shared<CogRegistry>();
  ScriptedWorkers workers({{"later", [&](const Call&) { return ++called, Outcome{}; }}});
  auto engine = std::make_unique<Engine>(store, cogs, EngineOptions{});
  workers.serve(engine->jobs());
  EXPECT_EQ(engine->stats().waiting.size(), 40u);
  CogInfo info;
  info.name = "later";
  info.origin = "test:later";
  cogs->add(info);
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) threads.emplace_back([&] { engine->recheck_waiting(); });
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(engine->stats().waiting.empty());
  for (const auto& id : ids) {
    engine->end_of(id)->completion().wait();
    const auto labor = store->read_labor(id, true);
    EXPECT_EQ(labor.state, S::COMPLETED);
    EXPECT_EQ(labor.jobs[0].attempts.size(), 1u);
  }
  EXPECT_EQ(called, 40);
  engine->close({}, false);
  engine.reset();
  workers.join();
  expect_sound_history(*store);
}

}  // namespace
}  // namespace cogwork::test
