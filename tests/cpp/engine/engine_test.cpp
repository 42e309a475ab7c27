// The engine with its real threads: what is durable before what (D1-D7), recovery (R1-R4), and its end.
#include "cogwork/engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "cogwork/base/random.h"
#include "cogwork/storage/stores.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

// Each on both built-in stores.
class EngineDispatch : public StoreTest {};
class EngineDurability : public StoreTest {};
class EngineEnd : public StoreTest {};
class EngineFeeds : public StoreTest {};
class EngineRecovery : public StoreTest {};
class EngineScale : public StoreTest {};
class EngineSignals : public StoreTest {};
class EngineStress : public StoreTest {};
class EngineSubmit : public StoreTest {};
COGWORK_ON_EACH_STORE(EngineDispatch);
COGWORK_ON_EACH_STORE(EngineDurability);
COGWORK_ON_EACH_STORE(EngineEnd);
COGWORK_ON_EACH_STORE(EngineFeeds);
COGWORK_ON_EACH_STORE(EngineRecovery);
COGWORK_ON_EACH_STORE(EngineScale);
COGWORK_ON_EACH_STORE(EngineSignals);
COGWORK_ON_EACH_STORE(EngineStress);
COGWORK_ON_EACH_STORE(EngineSubmit);

TEST_P(EngineDurability, D2ACogIsCalledOnlyOnceItsStartIsDurable) {
  auto store = std::make_shared<FaultyStore>(another());
  std::atomic<int> called{0};
  EngineWorld w(store, {}, {{"count", [&](const Call&) { return ++called, Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "count"), false);
  store->hold();
  std::thread starter([&] { w.engine->start(id, "tester", ""); });
  store->wait_for_held();
  EXPECT_EQ(w.engine->state(id), S::RUNNING) << "G1: the engine's state at once";
  EXPECT_EQ(store->read_labor(id, true).jobs[0].state, S::NOT_STARTED);
  EXPECT_EQ(called, 0);
  store->release();
  starter.join();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_EQ(called, 1);
}

TEST_P(EngineDurability, D3WhatDependsOnAnOutcomeStartsAfterItIsDurable) {
  auto store = std::make_shared<FaultyStore>(another());
  Gate gate;
  std::atomic<int> second{0};
  EngineWorld w(store, {}, {{"first", [&](const Call&) { return gate.enter(), Outcome{}; }}, {"second", [&](const Call&) {
                                                                                                return ++second, Outcome{};
                                                                                              }}});
  auto labor = tree_of(2);
  labor.jobs[0].cog_path = "first";
  labor.jobs[1].cog_path = "second";
  const auto id = w.submit(labor);
  gate.wait_for(1);
  store->hold();
  gate.open();
  store->wait_for_held();
  EXPECT_EQ(second, 0);
  store->release();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(EngineDurability, D4ASignalIsAcknowledgedOnceItsStatesAreDurable) {
  auto store = std::make_shared<FaultyStore>(another());
  Gate gate;
  EngineWorld w(store, {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(2, "block"));
  gate.wait_for(1);
  store->hold();
  const auto ack = w.signal(id, Signal::PAUSE);
  gate.open();
  store->wait_for_held();
  EXPECT_FALSE(ack->completion().wait_for(20ms));
  store->release();
  ack->completion().wait();
  EXPECT_TRUE(ack->applied());
  EXPECT_EQ(ack->state(), S::PAUSED);
  EXPECT_EQ(store->read_labor(id, false).state, S::PAUSED);
  w.signal(id, Signal::RESUME);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(EngineDurability, D5ManyWritesShareOneCommit) {
  EngineWorld w(another());
  const auto id = w.submit(tree_of(5000, "ok", 64));
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_LT(w.engine->stats().commits.commits, 5000u);
}

TEST_P(EngineDurability, D6AStoreThatFailsForAWhileHoldsWorkUpAndLosesNothing) {
  auto store = std::make_shared<FaultyStore>(another());
  std::atomic<int> called{0};
  EngineWorld w(store, {}, {{"count", [&](const Call&) { return ++called, Outcome{}; }}});
  const auto id = w.submit(tree_of(20, "count", 4), false);
  store->fail(store->applies() + 1, 1'000'000, true, "the disk is full");
  std::thread starter([&] { w.engine->start(id, "tester", ""); });
  Stats stats;
  while ((stats = w.engine->stats()).store.failed_writes < 4) std::this_thread::yield();
  EXPECT_TRUE(stats.store.degraded);
  EXPECT_NE(stats.store.reason.find("the disk is full"), std::string::npos);
  EXPECT_EQ(called, 0) << "nothing runs ahead of its record";
  store->mend();
  starter.join();
  const auto done = w.wait(id);
  EXPECT_EQ(done.state, S::COMPLETED);
  EXPECT_EQ(called, 20);
  EXPECT_FALSE(w.engine->stats().store.degraded) << "it goes on by itself";
  EXPECT_GE(w.engine->stats().store.failed_writes, 4u);
}

TEST_P(EngineDurability, D6AnErrorThatWaitingCannotMendHindersOnlyItsLabor) {
  auto store = std::make_shared<FaultyStore>(another());
  EngineWorld w(store);
  const auto bad = w.submit(tree_of(2), false);
  store->poison(bad);
  std::thread starter([&] { w.engine->start(bad, "tester", ""); });
  const auto good = w.submit(tree_of(10));
  EXPECT_EQ(w.wait(good).state, S::COMPLETED);
  while (w.engine->stats().store.stuck.empty()) std::this_thread::yield();
  EXPECT_EQ(w.engine->stats().store.stuck.front(), bad);
  store->heal(bad);
  starter.join();
  EXPECT_EQ(w.wait(bad).state, S::COMPLETED);
}

TEST_P(EngineDurability, D6SubmitRaisesWhatWaitingCannotMend) {
  auto store = std::make_shared<FaultyStore>(another());
  EngineWorld w(store);
  store->fail(store->applies() + 1, 1, false, "too large");
  auto labor = tree_of(1);
  labor.client_id = "once";
  EXPECT_THROW(w.submit(labor, true, "f"), StorageError);
  LaborFilter all;
  EXPECT_FALSE(store->labors(all)->next()) << "with nothing stored";
  EXPECT_EQ(w.wait(w.submit(labor, true, "f")).state, S::COMPLETED) << "and its client_id is free again";
}

TEST_P(EngineDurability, D7HistoryIsChainedNumberedAndReplaysToTheTree) {
  auto store = another();
  EngineWorld w(store);
  std::vector<Id> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(w.submit(tree_of(10, i % 3 ? "ok" : "fail", 3)));
  for (const auto& id : ids) w.wait(id);
  std::map<Id, std::array<std::uint8_t, 16>> links;
  std::uint64_t next = 1;
  store->history(Id{}, 0, [&](const HistoryRow& row) {
    EXPECT_EQ(row.first, next);
    next = row.first + row.count;
    EXPECT_EQ(chain_link(links[row.labor], row), row.link);
    links[row.labor] = row.link;
    return true;
  });
  for (const auto& id : ids) {
    const auto labor = store->read_labor(id, true);
    std::map<std::uint32_t, State> states;
    for (const auto& c : history_of(*store, id)) {
      if (c.kind == Change::Kind::STATE) states[c.ordinal] = c.to;
    }
    EXPECT_EQ(states[0], labor.state);
    for (const auto& s : labor.sequences) EXPECT_EQ(states.contains(s.ordinal) ? states[s.ordinal] : S::NOT_STARTED, s.state);
    for (const auto& j : labor.jobs) EXPECT_EQ(states.contains(j.ordinal) ? states[j.ordinal] : S::NOT_STARTED, j.state);
  }
}

TEST_P(EngineFeeds, D7ChangesComeLiveAndFromAnyPlaceWithoutLoss) {
  auto store = another();
  EngineWorld w(store);
  auto live = w.engine->changes(Id{}, std::nullopt);
  const auto id = w.submit(tree_of(3000, "ok", 16));
  w.wait(id);
  std::vector<Change> seen;
  while (true) {  // a slow reader: far more than is kept for it
    const auto ready = live->ready();
    const auto piece = live->poll();
    seen.insert(seen.end(), piece.begin(), piece.end());
    if (!seen.empty() && seen.back().number == store->last_change()) break;
    if (piece.empty()) ready->wait();
  }
  EXPECT_EQ(seen.size(), store->last_change());
  for (std::size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i].number, i + 1);

  auto from = w.engine->changes(id, 100);
  std::vector<Change> rest;
  while (!from->over()) {
    const auto piece = from->poll();
    rest.insert(rest.end(), piece.begin(), piece.end());
  }
  ASSERT_FALSE(rest.empty());
  EXPECT_EQ(rest.front().number, 101u);
  EXPECT_EQ(rest.back().number, store->last_change());
}

TEST_P(EngineDispatch, X13ConcurrencyAndWorkersAreCeilings) {
  Gate gate;
  EngineOptions options;
  options.workers = 3;
  EngineWorld w(another(), options, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(20, "block", 10));
  gate.wait_for(3);
  EXPECT_EQ(w.engine->stats().queued_jobs, 7u);
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_EQ(gate.most(), 3);
}

TEST_P(EngineDispatch, X8aACallThatDoesNotEndIsLeftAndItsWorkerReplaced) {
  Gate gate;
  EngineOptions options;
  options.workers = 1;
  options.grace = 20ms;
  EngineWorld w(another(), options, {{"deaf", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  auto labor = tree_of(1, "deaf");
  labor.jobs[0].options.timeout = 500ms;  // one that nobody had taken by then would be tried again
  labor.jobs[0].options.retries = 3;
  const auto done = w.wait(w.submit(labor));
  EXPECT_EQ(done.jobs[0].state, S::FAILED);
  EXPECT_EQ(done.jobs[0].attempts.size(), 1u);
  EXPECT_EQ(done.jobs[0].attempts[0].error, "timed out, still running");
  EXPECT_EQ(w.engine->stats().workers.abandoned, 1);
  EXPECT_EQ(w.wait(w.submit(tree_of(3))).state, S::COMPLETED) << "with its only worker occupied";
  gate.open();
}

TEST_P(EngineSubmit, S3OneClientIdIsOneLabor) {
  EngineWorld w(another());
  auto labor = tree_of(1);
  labor.client_id = "INC-12";
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::set<Id> ids;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto id = w.submit(labor, true, "same");
      const std::lock_guard lock(mutex);
      ids.insert(id);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_THROW(w.submit(labor, true, "other"), ValidationError);
}

TEST_P(EngineSignals, G2G9ASignalToWhatHasEndedIsRefusedAndRecorded) {
  auto store = another();
  EngineWorld w(store);
  const auto id = w.submit(tree_of(1));
  w.wait(id);
  EXPECT_THROW(w.signal(id, Signal::PAUSE), SignalNotAllowed);
  const auto ignored = w.signal(id.with_ordinal(1), Signal::STOP);
  EXPECT_TRUE(ignored->done());
  EXPECT_FALSE(ignored->applied());
  EXPECT_THROW(w.signal(Id{}.with_ordinal(3), Signal::STOP), NotFound);
  w.engine->close({}, false);
  int refused = 0;
  for (const auto& c : history_of(*store, id)) refused += c.kind == Change::Kind::SIGNAL && c.refused ? 1 : 0;
  EXPECT_EQ(refused, 2);
}

TEST_P(EngineRecovery, R1R3WhatWasUnfinishedGoesOn) {
  auto store = another();
  Gate gate;
  Id running, unstarted, paused;
  {
    EngineWorld w(store, {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
    running = w.submit(tree_of(6, "block", 2));
    unstarted = w.submit(tree_of(1), false);
    gate.wait_for(2);
    paused = w.submit(tree_of(3, "block"));
    gate.wait_for(3);
    w.signal(paused, Signal::PAUSE);
    w.engine->begin_close();  // before anything ends, so that nothing begins after it
    gate.open();
    const auto report = w.engine->close({}, false);
    EXPECT_EQ(report.left.size(), 3u);
    EXPECT_TRUE(report.all_durable);
    EXPECT_THROW(w.submit(tree_of(1)), EngineClosed);
  }
  EngineWorld w(store, {}, {{"block", [&](const Call&) { return Outcome{}; }}});
  EXPECT_EQ(w.engine->taken_up().size(), 3u);
  const auto done = w.wait(running);
  EXPECT_EQ(done.state, S::COMPLETED);
  for (const auto& job : done.jobs) {  // ended objects are not run again; what the close withdrew had not begun
    EXPECT_EQ(std::count_if(job.attempts.begin(), job.attempts.end(),
                            [](const Attempt& a) { return a.status != AttemptStatus::WITHDRAWN; }),
              1);
  }
  EXPECT_EQ(w.engine->state(unstarted), S::ADMIN_NOT_STARTED);
  EXPECT_EQ(w.engine->state(paused), S::PAUSED);
  w.signal(paused, Signal::RESUME);
  EXPECT_EQ(w.wait(paused).state, S::COMPLETED);
}

TEST_P(EngineRecovery, R1NothingBeginsBeforeItIsTold) {
  auto store = another();
  std::atomic<int> calls = 0;
  const std::map<std::string, Function> functions = {{"count", [&](const Call&) { return ++calls, Outcome{}; }}};
  EngineOptions later;
  later.begin_later = true;
  Id id;
  {
    EngineWorld w(store, later, functions);
    id = w.submit(tree_of(3, "count"));
    for (int i = 0; i < 10; ++i) EXPECT_EQ(w.engine->stats().queued_jobs, 1u);  // the scheduler came round each time
    EXPECT_EQ(w.engine->close({}, false).left.size(), 1u);
  }
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(store->read_labor(id, true).jobs[0].attempts.empty());
  EngineWorld w(store, later, functions);
  w.engine->begin();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_EQ(calls, 3);
}

TEST_P(EngineRecovery, R2R4WhatCannotGoOnYetSaysWhy) {
  auto store = another();
  Gate gate;
  Id risky, foreign;
  {
    EngineOptions options;
    options.grace = 10ms;
    EngineWorld w(
        store, options,
        {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}, {"other", [](const Call&) { return Outcome{}; }}});
    auto labor = tree_of(1, "block");
    labor.jobs[0].options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::HOLD);
    risky = w.submit(labor);
    foreign = w.submit(tree_of(1, "other"), false);
    gate.wait_for(1);
    const auto report = w.engine->close({}, true);
    EXPECT_EQ(report.left.size(), 2u);
    gate.open();
  }
  EngineWorld w(store, {}, {{"block", [](const Call&) { return Outcome{}; }}});
  const auto waiting = w.engine->stats().waiting;
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].labor, foreign);
  EXPECT_NE(waiting[0].why.find("'other'"), std::string::npos) << waiting[0].why;
  EXPECT_EQ(w.engine->state(risky), S::ADMIN_PAUSED);
  EXPECT_EQ(w.engine->stats().held.size(), 1u);
  CogInfo info;
  info.name = "other";
  info.origin = "test:other";
  w.cogs->add(info);
  w.engine->recheck_waiting();
  EXPECT_TRUE(w.engine->stats().waiting.empty());
  EXPECT_EQ(w.engine->state(foreign), S::ADMIN_NOT_STARTED);
}

TEST_P(EngineRecovery, R1OneEngineOwnsAStore) {
  auto store = another();
  EngineWorld w(store);
  try {
    EngineWorld second(store);
    FAIL() << "it was not refused";
  } catch (const StoreInUse& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(getpid())), std::string::npos);
  }
}

TEST_P(EngineEnd, CloseFromTwoThreadsWithWaitersAndADegradedStore) {
  auto store = std::make_shared<FaultyStore>(another());
  Gate gate;
  EngineOptions options;
  options.grace = 30ms;
  EngineWorld w(store, options, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(3, "block", 2));
  gate.wait_for(2);
  const auto end = w.engine->end_of(id);
  const auto ack = w.signal(id, Signal::PAUSE);
  store->fail(store->applies() + 1, 1'000'000, true, "gone for good");
  std::thread first([&] { w.engine->close({}, false); });
  std::thread second([&] { w.engine->close({}, true); });
  first.join();
  second.join();
  end->completion().wait();
  EXPECT_TRUE(end->closed());
  ack->completion().wait();
  EXPECT_TRUE(ack->closed());
  EXPECT_TRUE(w.engine->closed());
  gate.open();
}

TEST_P(EngineEnd, DroppedAtAnyMoment) {
  for (int i = 0; i < 30; ++i) {
    EngineOptions options;
    options.grace = 1ms;
    EngineWorld w(another(), options, {{"nap", [](const Call&) {
                                          std::this_thread::sleep_for(200us);
                                          return Outcome{};
                                        }}});
    w.submit(tree_of(200, "nap", 8));
    std::this_thread::sleep_for(std::chrono::microseconds(i * 100));
  }
}

TEST_P(EngineStress, RandomSignalsAgainstManyLabors) {
  const std::uint64_t seed = 7;
  Random random(seed);
  auto store = another();
  EngineOptions options;
  options.workers = 8;
  options.grace = 50ms;
  EngineWorld w(
      store, options,
      {{"maybe", [](const Call& call) { return call.request().key % 7 == 0 ? answer(AttemptStatus::FAILURE, "no") : Outcome{}; }}});
  std::vector<Id> ids;
  for (int i = 0; i < 40; ++i) {
    auto labor = tree_of(20, "maybe", 4);
    labor.tasks[0].tolerated_failures.number = static_cast<std::int64_t>(random.below(6)) - 1;
    for (auto& job : labor.jobs) job.options.retries = 1;
    ids.push_back(w.submit(labor));
  }
  for (int i = 0; i < 4000; ++i) {
    const auto& id = ids[random.below(ids.size())];
    auto signal = static_cast<Signal>(random.below(kSignals));
    if (signal == Signal::STOP && !random.chance(0.02)) signal = Signal::RESUME;
    const auto object = random.chance(0.5) ? id : id.with_ordinal(static_cast<std::uint32_t>(1 + random.below(20)));
    try {
      w.signal(object, signal, random.chance(0.5));
    } catch (const Error&) {
      // refused, unknown, or a Job's id: what matters is what it leaves behind
    }
  }
  for (const auto& id : ids) {
    for (std::uint32_t ordinal = 0; ordinal <= 41; ++ordinal) {
      for (const auto signal : {Signal::CRISIS_RESUME, Signal::ADMIN_RESUME, Signal::RESUME}) {
        try {
          w.signal(id.with_ordinal(ordinal), signal);
        } catch (const Error&) {
        }
      }
    }
    const auto done = w.wait(id);
    EXPECT_TRUE(has_ended(done.state));
    for (const auto& job : done.jobs) {
      int successes = 0;
      for (const auto& attempt : job.attempts) successes += attempt.status == AttemptStatus::SUCCESS ? 1 : 0;
      EXPECT_EQ(successes, job.state == S::COMPLETED ? 1 : 0);
    }
  }
}

TEST_P(EngineScale, PausingALargeLaborWritesLittle) {
  Gate gate;
  auto store = std::make_shared<FaultyStore>(another());
  EngineWorld w(store, {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto rows = [&] {  // of objects, and of the history
    std::size_t count = 0;
    for (const auto& labors : store->stored()) count += labors.size();
    return count;
  };
  const auto id = w.submit(tree_of(100'000, "block", 16));
  gate.wait_for(16);
  const auto before = store->last_change();
  const auto rows_before = rows();
  const auto ack = w.signal(id, Signal::PAUSE);
  gate.open();
  ack->completion().wait();
  EXPECT_TRUE(ack->applied());
  EXPECT_LT(store->last_change() - before, 16u * 8u);
  EXPECT_LT(rows() - rows_before, 16u * 8u);
  w.signal(id, Signal::STOP)->completion().wait();
}

}  // namespace
}  // namespace cogwork::test
