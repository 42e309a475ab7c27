// Crises (G8): latches that are set and lifted while Labors run, and while none do.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cogwork/engine/latch.h"
#include "cogwork/engine/stored.h"
#include "support/core_world.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

std::shared_ptr<CogRegistry> cogs_called(const std::vector<std::string>& names) {
  auto cogs = std::make_shared<CogRegistry>();
  for (const auto& name : names) {
    CogInfo info;
    info.name = name;
    info.origin = "test:" + name;
    info.defaults.idempotent = true;
    cogs->add(info);
  }
  return cogs;
}

Latch latch_of(const std::vector<std::string>& tags = {}, const std::string& prefix = {},
               const std::vector<std::string>& cogs = {}) {
  Latch latch;
  latch.tags = tags;
  latch.name_prefix = prefix;
  latch.cogs = cogs;
  latch.by = "bob";
  latch.note = "INC-12";
  return latch;
}

Labor named(Labor labor, const std::string& name, const std::vector<Text>& tags = {}) {
  labor.name = Text(name);
  labor.tags = tags;
  return labor;
}

const LatchStatus& status_of(const std::vector<LatchStatus>& all, const Id& id) {
  for (const auto& status : all) {
    if (status.latch.id == id) return status;
  }
  throw NotFound("no such latch");
}

// ---- what matches ----

TEST(LatchMatches, G8KindsAreAndedValuesAreAnyOf) {
  Labor labor;
  labor.name = "edge upgrade";
  labor.tags = {"edge", "prod"};
  labor.cogs = {{"upgrade", "m:upgrade"}, {"healthy", "m:healthy"}};
  const struct {
    Latch latch;
    bool holds;
  } cases[] = {
      {latch_of(), true},
      {latch_of({"edge"}), true},
      {latch_of({"core", "prod"}), true},
      {latch_of({"core"}), false},
      {latch_of({"edg"}), false},
      {latch_of({}, "edge"), true},
      {latch_of({}, "Edge"), false},
      {latch_of({}, "", {"healthy"}), true},
      {latch_of({}, "", {"upgrade_all", "none"}), false},
      {latch_of({"edge"}, "edge", {"upgrade"}), true},
      {latch_of({"edge"}, "edge", {"none"}), false},
      {latch_of({"edge"}, "core", {"upgrade"}), false},
      {latch_of({"core"}, "edge", {"upgrade"}), false},
  };
  for (const auto& c : cases) EXPECT_EQ(matches(c.latch, labor), c.holds) << describe(c.latch);
}

TEST(LatchMatches, IsToldInWords) {
  EXPECT_EQ(describe(latch_of()), "all Labors");
  EXPECT_EQ(describe(latch_of({"edge", "core"}, "edge-", {"upgrade"})), "tag edge or core, name \"edge-*\", cog upgrade");
}

TEST(LatchRecord, ComesBackAsItWas) {
  auto store = make_memory_store();
  Random random(1);
  Latch latch = latch_of({"a", "b"}, "x", {"c"});
  latch.id = Id::make(random);
  latch.since = kStart;
  Latch lifted = latch;
  lifted.id = Id::make(random);
  lifted.since = kStart - 1s;
  lifted.lifted = kStart + 5s;
  lifted.lifted_by = "carl";
  lifted.lifted_note = "mended";
  Batch batch;
  batch.records = {to_record(latch), to_record(lifted)};
  store->apply(batch);
  EXPECT_EQ(read_latches(*store), (std::vector{lifted, latch})) << "in the order of setting";
}

TEST(LatchRecord, OneThatCannotBeReadIsNotPassedOver) {
  for (const char* bytes : {"", "\x80", "\xc1", "\x81\xa3new\x01"}) {
    auto store = make_memory_store();
    Batch batch;
    batch.records.push_back({RecordKind::LATCH, "k", Text(bytes)});
    store->apply(batch);
    EXPECT_THROW(read_latches(*store), StorageError);
    EXPECT_THROW(CoreWorld(store, cogs_called({"ok"}), kStart, 1, {}), StorageError) << "nobody knows what it holds";
  }
}

// ---- the order of things ----

TEST(LatchCore, D6ItIsInForceBeforeItIsDurableAndAnsweredWhenItIs) {
  CoreWorld w(make_memory_store(), cogs_called({"ok"}), kStart, 1, {});
  const auto labor = w.submit(tree_of(3), true);
  w.make_durable();
  w.make_durable();
  ASSERT_EQ(w.jobs.calls().size(), 1u);
  const auto latch = w.crisis_pause(latch_of());
  EXPECT_FALSE(latch->answered);
  EXPECT_EQ(w.core.state(labor->id), S::PAUSING);
  const auto status = w.core.crises(false).at(0);
  EXPECT_FALSE(status.durable);
  EXPECT_EQ(status.labors, 1u);
  EXPECT_EQ(status.attempts, 1u);
  ASSERT_EQ(status.executing.size(), 1u);
  EXPECT_EQ(status.executing[0].labor, labor->id);
  w.make_durable(1);
  EXPECT_TRUE(latch->answered) << "its record comes before the states that follow from it";
  EXPECT_EQ(w.store->read_labor(labor->id, false).state, S::RUNNING);
  EXPECT_EQ(read_latches(*w.store).at(0).note, "INC-12");
  const auto settled = w.core.settled(latch->id);
  w.make_durable();
  EXPECT_FALSE(settled->done()) << "one still executes";
  w.finish(w.jobs, w.jobs.calls().begin()->first, {});
  EXPECT_EQ(w.core.state(labor->id), S::CRISIS_PAUSED);
  EXPECT_FALSE(settled->done()) << "D4";
  w.make_durable();
  EXPECT_TRUE(settled->applied());
  EXPECT_EQ(w.core.crises(false).at(0).attempts, 0u);
}

TEST(LatchCore, G8NothingGoesOnBeforeItIsDurableThatItMay) {
  CoreWorld w(make_memory_store(), cogs_called({"ok"}), kStart, 1, {});
  const auto labor = w.submit(tree_of(2), true);
  w.make_durable();
  const auto latch = w.crisis_pause(latch_of());
  w.make_durable();
  const auto lift = w.crisis_resume(latch->id);
  ASSERT_TRUE(lift->ack) << "G1: taken";
  EXPECT_EQ(w.core.state(labor->id), S::CRISIS_PAUSED);
  EXPECT_TRUE(w.core.crises(false).at(0).lifting);
  EXPECT_TRUE(w.crisis_resume(latch->id)->error) << "it is being lifted already";
  w.make_durable();
  EXPECT_EQ(w.core.state(labor->id), S::RUNNING);
  EXPECT_FALSE(lift->ack->done()) << "its states are not durable yet";
  w.make_durable();
  EXPECT_TRUE(lift->ack->applied());
  EXPECT_EQ(w.jobs.calls().size(), 1u);
  EXPECT_TRUE(w.core.crises(false).empty());
  ASSERT_EQ(w.core.crises(true).size(), 1u);
  EXPECT_EQ(w.core.crises(true)[0].latch.lifted_by, "carl");
  EXPECT_TRUE(w.crisis_resume(latch->id)->error);
}

TEST(LatchCore, G8WhatIsStoredWhileItIsSetIsHeldToo) {
  CoreWorld w(make_memory_store(), cogs_called({"ok"}), kStart, 1, {});
  const auto labor = w.submit(tree_of(2), true);
  const auto waits = w.submit(tree_of(2), false);
  const auto latch = w.crisis_pause(latch_of());
  w.make_durable();
  w.make_durable();
  EXPECT_EQ(w.core.state(labor->id), S::CRISIS_PAUSED);
  EXPECT_EQ(w.core.state(waits->id), S::ADMIN_NOT_STARTED);
  State started = S::UNKNOWN;
  w.core.start(waits->id, "ann", "", [&](const std::shared_ptr<Ack>& ack, const std::exception_ptr&) { started = ack->state(); });
  w.turn();
  w.make_durable();
  EXPECT_EQ(started, S::CRISIS_PAUSED);
  EXPECT_EQ(w.core.executing(), 0u);
  EXPECT_EQ(w.core.crises(false)[0].labors, 2u);
  EXPECT_EQ(history_of(*w.store, waits->id).at(0).note, "latch " + latch->id.text().substr(0, 8) + ": INC-12; started by ann");
}

TEST(LatchCore, G8TwoLatchesOnOneLabor) {
  CoreWorld w(make_memory_store(), cogs_called({"ok"}), kStart, 1, {});
  const auto both = w.submit(named(tree_of(2), "edge", {"edge"}), true);
  const auto one = w.submit(named(tree_of(2), "core"), true);
  w.make_durable();
  const auto all = w.crisis_pause(latch_of());
  const auto edge = w.crisis_pause(latch_of({"edge"}));
  w.make_durable();
  EXPECT_EQ(w.core.progress(both->id)->latches.size(), 2u);
  w.crisis_resume(all->id);
  w.make_durable();
  EXPECT_EQ(w.core.state(both->id), S::CRISIS_PAUSED);
  EXPECT_EQ(w.core.state(one->id), S::RUNNING);
  const auto refused = w.signal({both->id, Signal::CRISIS_RESUME, false, "ann", ""});
  ASSERT_TRUE(refused->error);
  try {
    std::rethrow_exception(refused->error);
  } catch (const SignalNotAllowed& error) {
    EXPECT_NE(std::string(error.what()).find(edge->id.text()), std::string::npos) << error.what();
  }
  w.crisis_resume(edge->id);
  w.make_durable();
  EXPECT_EQ(w.core.state(both->id), S::RUNNING);
}

/// A kill at each moment between a latch that is set, the states that follow from it, and its lifting.
TEST(LatchCore, R1AKillAtAnyMoment) {
  for (std::size_t set_units = 0; set_units < 4; ++set_units) {
    for (std::size_t lift_units = 0; lift_units < 3; ++lift_units) {
      SCOPED_TRACE(std::to_string(set_units) + " units of the latch, " + std::to_string(lift_units) + " of its lifting");
      auto store = make_memory_store();
      Id labor;
      bool set = false, lifted = false;
      {
        CoreWorld w(store, cogs_called({"ok"}), kStart, 1, {});
        const auto submitted = w.submit(tree_of(2), true);
        w.make_durable();
        labor = submitted->id;
        const auto latch = w.crisis_pause(latch_of());
        w.make_durable(set_units);
        set = latch->answered;
        EXPECT_EQ(set, set_units > 1) << "before it there is the start of the Labor";
        if (set && set_units == 3) {
          w.make_durable();
          w.crisis_resume(latch->id);
          w.make_durable(lift_units);
          lifted = lift_units > 0;
        }
      }
      CoreWorld next(store, cogs_called({"ok"}), kStart + 60s, 2, {});
      EXPECT_EQ(next.core.state(labor), set && !lifted ? S::CRISIS_PAUSED : S::RUNNING);
      next.make_durable();
      EXPECT_EQ(next.jobs.calls().size(), set && !lifted ? 0u : 1u);
      expect_sound_history(*store);
    }
  }
}

TEST(LatchCore, LiftedOnesAreKeptAndNotForEver) {
  auto store = make_memory_store();
  Id last;
  {
    CoreWorld w(store, cogs_called({"ok"}), kStart, 1, {});
    for (std::size_t i = 0; i < kMostLifted + 20; ++i) {
      const auto latch = w.crisis_pause(latch_of());
      w.make_durable();
      w.clock.advance(1s);
      w.crisis_resume(latch->id);
      if (i % 3 == 0) w.make_durable();  // else several are on their way
      last = latch->id;
    }
    w.make_durable();
    w.make_durable();
    EXPECT_EQ(w.core.crises(true).size(), kMostLifted);
    EXPECT_EQ(w.core.crises(true).back().latch.id, last) << "the ones lifted last";
  }
  EXPECT_EQ(read_latches(*store).size(), kMostLifted);
  const auto latch = store_latch(*store, latch_of(), {}, *make_system_clock());
  lift_stored(*store, latch.id, "carl", "", {}, *make_system_clock());
  EXPECT_EQ(read_latches(*store).size(), kMostLifted);
  CoreWorld next(store, cogs_called({"ok"}), kStart, 2, {});
  EXPECT_EQ(next.core.crises(true).back().latch.id, latch.id);
}

TEST(LatchCore, TooManyAreRefused) {
  CoreWorld w(make_memory_store(), cogs_called({"ok"}), kStart, 1, {});
  for (std::size_t i = 0; i < kMostInForce; ++i) w.crisis_pause(latch_of({"t" + std::to_string(i)}));
  const auto refused = w.crisis_pause(latch_of());
  EXPECT_TRUE(refused->error);
  w.make_durable();
  EXPECT_THROW(store_latch(*w.store, latch_of(), {}, *make_system_clock()), Error);
}

// ---- in an engine ----

class LatchEngine : public StoreTest {};
COGWORK_ON_EACH_STORE(LatchEngine);

TEST_P(LatchEngine, G8ByTagPrefixAndCogExactlyTheMatchingOnes) {
  Gate gate;
  const auto block = [&](const Call&) { return gate.enter(), Outcome{}; };
  EngineWorld w(reopened(), {}, {{"block", block}, {"other", block}, {"check", [](const Call&) { return Outcome{}; }}});
  const std::vector<Id> ids = {
      w.submit(named(tree_of(2, "block"), "edge 1", {"edge"})),
      w.submit(named(tree_of(2, "block"), "edge 2", {"edge", "prod"})),
      w.submit(named(tree_of(2, "other"), "core 1", {"core"})),
      w.submit(named(with_checks(tree_of(2, "other"), {"check"}, {}), "core 2")),
  };
  gate.wait_for(4);
  const struct {
    Latch latch;
    std::vector<bool> held;
  } cases[] = {
      {latch_of({"edge"}), {true, true, false, false}},
      {latch_of({"prod", "core"}), {false, true, true, false}},
      {latch_of({}, "core"), {false, false, true, true}},
      {latch_of({}, "", {"block"}), {true, true, false, false}},
      {latch_of({}, "", {"check"}), {false, false, false, true}},
      {latch_of({"edge"}, "edge 2"), {false, true, false, false}},
      {latch_of(), {true, true, true, true}},
      {latch_of({"nobody"}), {false, false, false, false}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(describe(c.latch));
    const auto latch = w.engine->crisis_pause(c.latch);
    for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(w.engine->state(ids[i]), c.held[i] ? S::PAUSING : S::RUNNING) << i;
    const auto status = w.engine->crises().at(0);
    EXPECT_EQ(status.labors, static_cast<std::uint64_t>(std::count(c.held.begin(), c.held.end(), true)));
    const auto ack = w.engine->crisis_resume(latch, "carl", "mended");
    ack->completion().wait();
    EXPECT_TRUE(ack->applied());
    for (const auto& id : ids) EXPECT_EQ(w.engine->state(id), S::RUNNING);
  }
  gate.open();
  for (const auto& id : ids) EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  expect_sound_history(*w.engine->store());
}

TEST_P(LatchEngine, G8ItsAckIsDoneWhenNothingExecutesAndThatIsDurable) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(4, "block", 2));
  gate.wait_for(2);
  const auto latch = w.engine->crisis_pause(latch_of());
  const auto settled = w.engine->latch_settled(latch);
  EXPECT_FALSE(settled->done());
  EXPECT_EQ(w.engine->crises()[0].attempts, 2u);
  gate.open();
  settled->completion().wait();
  EXPECT_TRUE(settled->applied());
  EXPECT_EQ(w.engine->store()->read_labor(id, false).state, S::CRISIS_PAUSED);
  EXPECT_EQ(gate.entered(), 2);
  EXPECT_THROW(w.signal(id, Signal::CRISIS_RESUME), SignalNotAllowed);
  w.signal(id, Signal::STOP)->completion().wait();
  EXPECT_EQ(w.wait(id).state, S::STOPPED) << "G6";
  EXPECT_EQ(w.engine->crises()[0].labors, 0u);
}

TEST_P(LatchEngine, D6ADegradedStoreDoesNotHoldUpThePausing) {
  auto store = std::make_shared<FaultyStore>(reopened());
  Gate gate;
  EngineWorld w(store, {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(4, "block", 2));
  gate.wait_for(2);
  store->fail(store->applies() + 1, 1'000'000, true, "the disk is full");
  Completion taken;
  LatchSet set;
  w.engine->crisis_pause_async(latch_of(), [&](LatchSet in_force, const std::exception_ptr&) {
    set = std::move(in_force);
    taken.set();
  });
  taken.wait();
  EXPECT_EQ(w.engine->state(id), S::PAUSING);
  const auto status = w.engine->crises().at(0);
  EXPECT_FALSE(status.durable);
  gate.open();
  while (w.engine->state(id) != S::CRISIS_PAUSED) std::this_thread::yield();
  while (!w.engine->stats().store.degraded) std::this_thread::yield();
  EXPECT_FALSE(set.recorded->done()) << "it is in force, and not durable";
  EXPECT_FALSE(w.engine->latch_settled(status.latch.id)->done());
  EXPECT_EQ(gate.entered(), 2) << "nothing new began";
  store->mend();
  set.recorded->completion().wait();
  EXPECT_TRUE(set.recorded->applied());
  w.engine->latch_settled(status.latch.id)->completion().wait();
  EXPECT_EQ(store->read_labor(id, false).state, S::CRISIS_PAUSED);
  w.engine->crisis_resume(status.latch.id, "carl", "");
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(LatchEngine, R1SetAndLiftedWhileNoEngineRuns) {
  const auto clock = make_system_clock();
  Id id, latch;
  auto store = reopened();
  {
    EngineWorld w(store);
    id = w.submit(tree_of(2), false);
    EXPECT_THROW(store_latch(*store, latch_of(), {}, *clock), StoreInUse);
    EXPECT_THROW(lift_stored(*store, id, "carl", "", {}, *clock), StoreInUse);
  }
  latch = store_latch(*store, latch_of(), this_process("bob", "test", clock->wall()), *clock).id;
  EXPECT_THROW(lift_stored(*store, id, "carl", "", {}, *clock), NotFound);
  EXPECT_EQ(stored_progress(*store, id).latches.size(), 1u);
  {
    EngineWorld w(store);
    EXPECT_EQ(status_of(w.engine->crises(), latch).labors, 1u);
    EXPECT_TRUE(w.engine->latch_settled(latch)->applied()) << "of what is taken up nothing executes";
    w.engine->start(id, "ann", "");
    EXPECT_EQ(w.engine->state(id), S::CRISIS_PAUSED);
  }
  lift_stored(*store, latch, "carl", "mended", {}, *clock);
  EXPECT_THROW(lift_stored(*store, latch, "carl", "", {}, *clock), NotFound) << "it was lifted";
  EngineWorld w(store);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  bool named = false;
  for (const auto& change : history_of(*store, id)) {
    named |= change.by == "carl" && change.note == "latch " + latch.text().substr(0, 8) + " lifted: mended";
  }
  EXPECT_TRUE(named) << "G9";
}

TEST_P(LatchEngine, R1WhatAnEngineDoesNotTakeUpIsLatchedAllTheSame) {
  EngineOptions none;
  none.recover = false;
  auto store = reopened();
  const auto latch = store_latch(*store, latch_of(), {}, *make_system_clock()).id;
  EngineWorld w(store, none);
  EXPECT_EQ(w.engine->crises().at(0).latch.id, latch);
  const auto id = w.submit(tree_of(1));
  EXPECT_EQ(w.engine->state(id), S::CRISIS_PAUSED);
}

/// Many threads submit, start and run Labors while latches are set and lifted at random. Judged twice: by what the calls saw when they began,
/// and by the times of all attempts and all latches, as they are stored.
TEST_P(LatchEngine, G8NoAttemptBeginsWhileALatchThatMatchesIsAcknowledged) {
  std::array<std::atomic<int>, 2> acknowledged{};  // by tag
  std::atomic<int> breaches = 0, begun = 0;
  const auto noting = [&](std::size_t tag) {
    return [&, tag](const Call&) {
      ++begun;
      if (acknowledged[tag] > 0) ++breaches;
      return Outcome{};
    };
  };
  EngineOptions options;
  options.workers = 4;
  EngineWorld w(reopened(), options, {{"a", noting(0)}, {"b", noting(1)}});
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::vector<Id> ids;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<std::uint64_t>(t));
      while (!over) {
        const bool b = random.chance(0.5);
        const bool start = random.chance(0.5);
        const auto id = w.submit(named(tree_of(3, b ? "b" : "a", 2), b ? "b" : "a", {b ? "b" : "a"}), start);
        if (!start) w.engine->start(id, "ann", "");
        const std::lock_guard lock(mutex);
        ids.push_back(id);
      }
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<std::uint64_t>(10 + t));
      for (int i = 0; i < 40; ++i) {
        const std::size_t tag = random.below(2);
        const bool by_cog = random.chance(0.5);
        const std::string value = tag == 0 ? "a" : "b";
        const auto latch = w.engine->crisis_pause(by_cog ? latch_of({}, "", {value}) : latch_of({value}));
        // From here on nothing that it matches begins. What was handed to its worker before it was set may still be on its way there.
        w.engine->latch_settled(latch)->completion().wait();
        ++acknowledged[tag];
        for (auto n = random.below(3); n > 0; --n) w.engine->stats();
        --acknowledged[tag];
        w.engine->crisis_resume(latch, "carl", "");
      }
      over = true;
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& id : ids) w.wait(id);
  EXPECT_EQ(breaches, 0) << "a call began although a latch had been acknowledged, and nothing executed any more";
  const auto latches = read_latches(*w.engine->store());
  ASSERT_EQ(latches.size(), 80u);
  for (const auto& id : ids) {
    const auto labor = w.engine->store()->read_labor(id, true);
    for (const auto& latch : latches) {
      if (!matches(latch, labor)) continue;
      for (const auto& job : labor.jobs) {
        for (const auto& attempt : job.attempts) {
          EXPECT_FALSE(attempt.started > latch.since && attempt.started < latch.lifted) << "an attempt began under a latch";
        }
      }
    }
  }
  EXPECT_EQ(begun, static_cast<int>(ids.size()) * 3);
  EXPECT_TRUE(w.engine->crises().empty());
  expect_sound_history(*w.engine->store());
}

}  // namespace
}  // namespace cogwork::test
