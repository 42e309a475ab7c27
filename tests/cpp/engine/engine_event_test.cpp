// Engines in the history of the Labors that they concerned (D7), and Labors whose Cogs do not take their args any more (R4).
#include "cogwork/engine/engine_event.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "cogwork/history/chain.h"
#include "cogwork/history/replay.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using E = EngineEvent;

EngineOptions options_of(const std::string& user) {
  EngineOptions options;
  options.user = user;
  options.program = "rollout.py";
  return options;
}
std::vector<Change> events_of(Storage& store, const Id& labor) {
  auto changes = history_of(store, labor);
  std::erase_if(changes, [](const Change& c) { return c.kind != Change::Kind::ENGINE; });
  return changes;
}
std::vector<E> kinds(const std::vector<Change>& events) {
  std::vector<E> found;
  for (const auto& e : events) found.push_back(e.event);
  return found;
}

class EngineEvents : public StoreTest {};
COGWORK_ON_EACH_STORE(EngineEvents);

TEST_P(EngineEvents, D7OpeningAndClosingAreInTheHistoryOfWhatWasUnfinished) {
  auto store = reopened();
  Id waits, runs, done;
  Gate gate;
  const std::map<std::string, Function> functions = {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}};
  {
    EngineWorld w(store, options_of("ann"), functions);
    done = w.submit(tree_of(1));
    w.wait(done);
    waits = w.submit(tree_of(1), false);
    runs = w.submit(tree_of(2, "block"));
    gate.wait_for(1);
    w.signal(runs, Signal::PAUSE);
    gate.open();
    w.engine->close({}, false);
  }
  EXPECT_TRUE(events_of(*store, done).empty()) << "it had ended";
  EXPECT_EQ(kinds(events_of(*store, waits)), std::vector<E>{E::CLOSED});
  const auto closed = events_of(*store, runs);
  ASSERT_EQ(kinds(closed), std::vector<E>{E::CLOSED});
  EXPECT_EQ(closed[0].by, "ann");
  EXPECT_EQ(closed[0].from, S::PAUSED);
  EXPECT_EQ(closed[0].ordinal, 0u);
  const auto note = closed[0].note.str();
  EXPECT_NE(note.find("cogwork "), std::string::npos) << note;
  EXPECT_NE(note.find("rollout.py, pid " + std::to_string(getpid()) + ", on "), std::string::npos) << note;
  {
    EngineWorld w(store, options_of("bob"), functions);
    w.signal(runs, Signal::RESUME);
    EXPECT_EQ(w.wait(runs).state, S::COMPLETED);
  }
  const auto events = events_of(*store, runs);
  EXPECT_EQ(kinds(events), (std::vector<E>{E::CLOSED, E::OPENED})) << "as it closed, it had ended";
  EXPECT_EQ(events.back().by, "bob");
  EXPECT_EQ(kinds(events_of(*store, waits)), (std::vector<E>{E::CLOSED, E::OPENED, E::CLOSED}));
  expect_sound_history(*store);
  for (const auto& id : {waits, runs, done}) {
    const auto account = store->read_account(id);
    EXPECT_TRUE(check_replay(account.labor, account.history, 5).empty());
    EXPECT_TRUE(check_chain(account.history, 5).empty());
  }
}

TEST_P(EngineEvents, D7WhatRunsOnAnEngineThatLeavesItIsNotItsConcern) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store, options_of("ann"));
    id = w.submit(tree_of(1), false);
  }
  auto options = options_of("bob");
  options.recover = false;
  { EngineWorld w(store, options); }
  EXPECT_EQ(kinds(events_of(*store, id)), std::vector<E>{E::CLOSED});
}

TEST_P(EngineEvents, D7OneThatWaitsForItsCogsIsTakenUpWhenItIs) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store, options_of("ann"), {{"rare", [](const Call&) { return Outcome{}; }}});
    id = w.submit(tree_of(1, "rare"), false);
  }
  EngineWorld w(store, options_of("bob"));
  EXPECT_EQ(kinds(events_of(*store, id)), std::vector<E>{E::CLOSED});
  w.add_cog("rare");
  w.engine->recheck_waiting();
  w.engine->start(id, "ann", "");
  w.wait(id);
  EXPECT_EQ(kinds(events_of(*store, id)), (std::vector<E>{E::CLOSED, E::OPENED}));
}

TEST(EngineDeath, D7TheNextEngineFindsItDead) {
  const auto folder = std::filesystem::temp_directory_path() / ("cogwork-engine-death-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto path = (folder / "labors.db").string();
  Id id;
  {
    auto store = open_sqlite_store(path, OpenMode::OWNER);
    auto dying = std::make_shared<FaultyStore>(store);
    EngineWorld w(dying, options_of("ann"));
    id = w.submit(tree_of(1), false);
    dying->die_at(dying->applies() + 1, FaultyStore::LastCommit::LOST);
  }
  // As a kill would have left it.
  auto dead = this_process("ann", "rollout.py", from_micros(1'700'000'000'000'000));
  dead.pid = 0x7ffffff;  // nobody's
  dead.version = "0.0.9";
  std::filesystem::remove(path + "-owner");
  {
    std::ofstream file(path + "-owner");
    file << owner_text(dead);
  }
  {  // somebody leaves a signal in between, and takes nothing of that away
    auto store = open_sqlite_store(path, OpenMode::OWNER);
    auto brief = this_process("eve", "cogwork", from_micros(1'700'000'001'000'000));
    brief.brief = true;
    const auto lock = store->lock(brief);
    ASSERT_TRUE(lock->died());
  }
  {
    auto store = open_sqlite_store(path, OpenMode::OWNER);
    EngineWorld w(store, options_of("bob"));
    const auto events = events_of(*store, id);
    w.engine->start(id, "bob", "");
    w.wait(id);
  }
  auto store = open_sqlite_store(path, OpenMode::OWNER);
  const auto events = events_of(*store, id);
  ASSERT_EQ(kinds(events), (std::vector<E>{E::DIED, E::OPENED}));
  EXPECT_EQ(events[0].by, "ann");
  EXPECT_NE(events[0].note.str().find("cogwork 0.0.9, rollout.py, pid 134217727, on "), std::string::npos) << events[0].note.view();
  EXPECT_EQ(events[1].by, "bob");
  {
    EngineWorld w(store, options_of("carl"));
    EXPECT_EQ(events_of(*store, id).size(), 2u) << "it has ended";
    id = w.submit(tree_of(1), false);
  }
  { EngineWorld w(store, options_of("carl")); }
  EXPECT_EQ(kinds(events_of(*store, id)), (std::vector<E>{E::CLOSED, E::OPENED, E::CLOSED})) << "the one before closed";
  store.reset();
  std::filesystem::remove_all(folder);
}

// ---- R4: args that do not fit any more ----

class Misfits : public StoreTest {};
COGWORK_ON_EACH_STORE(Misfits);

void no_longer_fit(CogRegistry& cogs, const std::string& cog) {
  cogs.set_args_check([cog](const std::string& name, const std::vector<std::string_view>& args) {
    std::vector<CogRegistry::Misfit> found;
    for (std::size_t i = 0; name == cog && i < args.size(); ++i) found.push_back({i, "args: 'version' is missing"});
    return found;
  });
}

TEST_P(Misfits, R4ALaborWhoseCogsDoNotTakeItsArgsAnyMoreWaitsAndOthersGoOn) {
  auto store = reopened();
  Id misfit, fits;
  {
    EngineWorld w(store, {}, {{"changed", [](const Call&) { return Outcome{}; }}});
    misfit = w.submit(tree_of(3, "changed"), false);
    fits = w.submit(tree_of(1), false);
  }
  const std::map<std::string, Function> functions = {{"changed", [](const Call&) { return Outcome{}; }}};
  EngineWorld w(store, {}, functions, {}, [](CogRegistry& registry) { no_longer_fit(registry, "changed"); });
  const auto waiting = w.engine->stats().waiting;
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].labor, misfit);
  EXPECT_EQ(
      waiting[0].why,
      "its cog 'changed' does not take the args any more of 3 Jobs: 'task/host0 changed': args: 'version' is missing; register "
      "a version of the cog that takes them, or stop the Labor");
  w.engine->start(fits, "ann", "");
  EXPECT_EQ(w.wait(fits).state, S::COMPLETED);
  w.engine->start(misfit, "ann", "");  // it is kept
  EXPECT_EQ(w.engine->state(misfit), S::ADMIN_NOT_STARTED);
  no_longer_fit(*w.cogs, "nothing");
  w.engine->recheck_waiting();
  EXPECT_TRUE(w.engine->stats().waiting.empty());
  EXPECT_EQ(w.wait(misfit).state, S::COMPLETED);
  EXPECT_EQ(w.workers.calls("changed"), 3);
}

TEST_P(Misfits, R4AStopEndsIt) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store, {}, {{"changed", [](const Call&) { return Outcome{}; }}});
    id = w.submit(tree_of(3, "changed"), false);
  }
  EngineWorld w(store, {}, {{"changed", [](const Call&) { return Outcome{}; }}}, {},
                [](CogRegistry& registry) { no_longer_fit(registry, "changed"); });
  w.signal(id, Signal::STOP)->completion().wait();
  EXPECT_EQ(store->read_labor(id, false).state, S::STOPPED);
  EXPECT_EQ(w.workers.calls("changed"), 0);
}

TEST_P(Misfits, R4OnlyWhatMayStillRunIsLookedAt) {
  auto store = reopened();
  Gate gate;
  Id id;
  const std::map<std::string, Function> functions = {{"changed", [](const Call&) { return Outcome{}; }},
                                                     {"block", [&](const Call&) { return gate.enter(), Outcome{}; }}};
  {
    EngineWorld w(store, {}, functions);
    auto labor = tree_of(3, "changed");
    labor.jobs[1].cog_path = "block";
    id = w.submit(labor);
    gate.wait_for(1);
    w.signal(id, Signal::PAUSE);
    gate.open();
    w.engine->close({}, false);
  }
  std::vector<std::size_t> looked_at;
  EngineWorld w(store, {}, functions, {}, [&](CogRegistry& registry) {
    registry.set_args_check([&](const std::string&, const std::vector<std::string_view>& args) {
      looked_at.push_back(args.size());
      return std::vector<CogRegistry::Misfit>();
    });
  });
  EXPECT_EQ(looked_at, std::vector<std::size_t>{1}) << "of three, two had ended";
  w.signal(id, Signal::RESUME);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

}  // namespace
}  // namespace cogwork::test
