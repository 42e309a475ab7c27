// Signals as those who send them see it (G1, G2, G9).
#include <gtest/gtest.h>

#include <atomic>

#include "cogwork/engine/engine.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

class Signals : public StoreTest {};
COGWORK_ON_EACH_STORE(Signals);

std::vector<Change> signals_of(Storage& store, const Id& labor) {
  auto changes = history_of(store, labor);
  std::erase_if(changes, [](const Change& c) { return c.kind != Change::Kind::SIGNAL; });
  return changes;
}

TEST_P(Signals, G1TheCallReturnsAtOnceAndItsAckIsDoneWhenAllHasSettled) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(4, "block", 2));
  gate.wait_for(2);
  const auto ack = w.signal(id, Signal::PAUSE);
  EXPECT_FALSE(ack->done());
  EXPECT_EQ(ack->state(), S::UNKNOWN);
  EXPECT_FALSE(ack->applied());
  EXPECT_EQ(w.engine->state(id), S::PAUSING);
  gate.open();
  ack->completion().wait();
  EXPECT_EQ(ack->state(), S::PAUSED);
  EXPECT_TRUE(ack->applied());
  EXPECT_EQ(w.engine->store()->read_labor(id, false).state, S::PAUSED);
  EXPECT_EQ(gate.entered(), 2) << "nothing is executing";
  w.signal(id, Signal::RESUME)->completion().wait();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  expect_sound_history(*w.engine->store());
}

TEST_P(Signals, G1APauseThatAStopReplacedIsDoneWithIt) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(2, "block"));
  gate.wait_for(1);
  const auto pause = w.signal(id, Signal::PAUSE);
  const auto stop = w.signal(id, Signal::STOP);
  const auto again = w.signal(id, Signal::STOP);
  EXPECT_FALSE(pause->done());
  EXPECT_FALSE(stop->done());
  gate.open();
  for (const auto& ack : {pause, stop, again}) ack->completion().wait();
  EXPECT_FALSE(pause->applied());
  EXPECT_TRUE(stop->applied());
  EXPECT_TRUE(again->applied());
  EXPECT_EQ(pause->state(), S::STOPPED);
  EXPECT_EQ(w.wait(id).state, S::STOPPED);
}

TEST_P(Signals, G1AcksOfASlowStoreWaitForIt) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  const auto id = w.submit(tree_of(1), false);
  store->hold();
  const auto stop = w.signal(id, Signal::STOP);
  store->wait_for_held();
  EXPECT_FALSE(stop->done());
  EXPECT_EQ(w.engine->state(id), S::STOPPED) << "the engine's state at once";
  EXPECT_EQ(store->read_labor(id, false).state, S::ADMIN_NOT_STARTED) << "what is read is what is durable";
  // It has ended, if not durably: a signal now is refused, and recorded behind its end.
  EXPECT_THROW(w.signal(id, Signal::PAUSE), SignalNotAllowed);
  store->release();
  stop->completion().wait();
  EXPECT_TRUE(stop->applied());
  EXPECT_THROW(w.signal(id, Signal::RESUME), SignalNotAllowed);
  w.engine->close({}, false);
  EXPECT_EQ(signals_of(*store, id).size(), 3u);
  expect_sound_history(*store);
}

TEST_P(Signals, G2AnErrorNamesTheSignalTheStateWhoCausedItAndWhatHelps) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(2, "block"));
  gate.wait_for(1);
  const auto pause = w.signal(id, Signal::CRISIS_PAUSE);
  gate.open();
  pause->completion().wait();
  try {
    w.signal(id, Signal::RESUME);
    FAIL() << "it was taken";
  } catch (const SignalNotAllowed& error) {
    const std::string what = error.what();
    for (const auto* part : {"cannot RESUME a Labor that is CRISIS_PAUSED", "by ann", "why", "crisis_resume"}) {
      EXPECT_NE(what.find(part), std::string::npos) << what;
    }
    EXPECT_EQ(error.signal(), static_cast<int>(Signal::RESUME));
    EXPECT_EQ(error.state(), static_cast<int>(S::CRISIS_PAUSED));
  }
  const auto ignored = w.signal(id.with_ordinal(1), Signal::RESUME);
  ignored->completion().wait();
  EXPECT_FALSE(ignored->applied()) << "a Task ignores it";
  EXPECT_EQ(ignored->state(), S::CRISIS_PAUSED);
  w.signal(id, Signal::CRISIS_RESUME);
  w.wait(id);
  int refused = 0;
  for (const auto& change : signals_of(*w.engine->store(), id)) {
    EXPECT_EQ(change.by, "ann");
    EXPECT_EQ(change.note, "why");
    refused += change.refused ? 1 : 0;
  }
  EXPECT_EQ(refused, 2) << "G9: refused ones too";
}

TEST_P(Signals, G2UnknownIdsAndJobsAreNotFound) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "block"));
  for (int ended = 0; ended < 2; ++ended) {
    EXPECT_THROW(w.signal(id.with_ordinal(3), Signal::PAUSE), NotFound) << "a Job's";
    EXPECT_THROW(w.signal(id.with_ordinal(99), Signal::PAUSE), NotFound);
    EXPECT_THROW(w.engine->state(id.with_ordinal(99)), NotFound);
    EXPECT_EQ(w.engine->state(id.with_ordinal(3)), ended ? S::COMPLETED : S::RUNNING) << "a Job has a state";
    EXPECT_THROW(w.engine->end_of(id.with_ordinal(1)), NotFound) << "a Task has no such end";
    gate.open();
    w.wait(id);
  }
  Random random(1);
  const auto stranger = Id::make(random);
  EXPECT_THROW(w.signal(stranger, Signal::STOP), NotFound);
  EXPECT_THROW(w.engine->state(stranger), NotFound);
  EXPECT_THROW(w.engine->end_of(stranger), NotFound);
  EXPECT_THROW(w.engine->progress(stranger), NotFound);
  EXPECT_THROW(w.engine->changes(stranger, {}), NotFound);
  EXPECT_THROW(w.engine->find_task(stranger, "task"), NotFound);
}

TEST_P(Signals, G9D7RefusalsOfAnEndedLaborAreOneChain) {
  auto store = reopened();
  EngineWorld w(store);
  const auto id = w.submit(tree_of(1));
  w.wait(id);
  constexpr int kThreads = 4, kEach = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_THROW(w.signal(id, Signal::PAUSE), SignalNotAllowed);
        EXPECT_FALSE(w.signal(id.with_ordinal(1), Signal::RESUME)->applied());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  w.engine->close({}, false);
  EXPECT_EQ(signals_of(*store, id).size(), 2u * kThreads * kEach);
  expect_sound_history(*store);
}

TEST_P(Signals, G9D7ARefusalThatCannotBeStoredDoesNotBreakTheChain) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  const auto id = w.submit(tree_of(1));
  w.wait(id);
  store->poison(id);
  EXPECT_THROW(w.signal(id, Signal::PAUSE), SignalNotAllowed);
  EXPECT_THROW(w.signal(id, Signal::PAUSE), SignalNotAllowed);
  while (w.engine->stats().commits.queued > 0) std::this_thread::yield();
  EXPECT_FALSE(w.engine->stats().store.degraded) << "it is given up: nobody waits for it";
  store->heal(id);
  EXPECT_THROW(w.signal(id, Signal::STOP), SignalNotAllowed);
  w.engine->close({}, false);
  // The second may have been on its way when the store was mended; it is given up, or stored, and either way the chain holds.
  EXPECT_GE(signals_of(*store, id).size(), 1u);
  EXPECT_LE(signals_of(*store, id).size(), 2u);
  expect_sound_history(*store);
}

TEST_P(Signals, G9D7SignalsAboutTheMomentOfTheEndAreOneChain) {
  auto store = reopened();
  EngineWorld w(store);
  for (int round = 0; round < 30; ++round) {
    const auto id = w.submit(tree_of(1));
    for (int refused = 0; refused < 3;) {
      try {
        w.signal(id, Signal::CRISIS_RESUME);
        FAIL() << "it was never paused";
      } catch (const SignalNotAllowed& error) {
        if (has_ended(static_cast<S>(error.state()))) ++refused;
      }
    }
  }
  w.engine->close({}, false);
  expect_sound_history(*store);
}

}  // namespace
}  // namespace cogwork::test
