// How an engine ends.
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

class Closing : public StoreTest {};
COGWORK_ON_EACH_STORE(Closing);

EngineOptions with_grace(Duration grace) {
  EngineOptions options;
  options.grace = grace;
  return options;
}

TEST_P(Closing, WaitsForWhatExecutesAndBeginsNothing) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(10, "block", 2, 2));
  const auto waits = w.submit(tree_of(1), false);
  const auto ended = w.submit(tree_of(1));
  w.wait(ended);
  gate.wait_for(2);
  const auto quiet = w.engine->begin_close();
  EXPECT_FALSE(quiet->done());
  EXPECT_THROW(w.submit(tree_of(1)), EngineClosed) << "it is closing";
  EXPECT_THROW(w.engine->start(waits, "ann", ""), EngineClosed);
  EXPECT_THROW(w.signal(id, Signal::PAUSE), EngineClosed);
  EXPECT_EQ(w.engine->state(id), S::RUNNING) << "questions are still answered";
  CloseReport report;
  std::thread closer([&] { report = w.engine->close({}, false); });
  EXPECT_FALSE(w.engine->closed());
  gate.open();
  closer.join();
  EXPECT_TRUE(w.engine->closed());
  EXPECT_TRUE(report.all_durable);
  ASSERT_EQ(report.left.size(), 2u) << "what has ended is not left";
  const auto& left = *std::find_if(report.left.begin(), report.left.end(), [&](const auto& l) { return l.labor == id; });
  EXPECT_EQ(left.sequences, 10u);
  EXPECT_EQ(left.sequences_ended, 0u);
  EXPECT_EQ(left.interrupted, 0u);
  EXPECT_EQ(left.state, S::RUNNING);
  const auto labor = w.engine->store()->read_labor(id, true);
  EXPECT_EQ(labor.jobs[0].state, S::COMPLETED);
  EXPECT_EQ(labor.jobs[1].state, S::NOT_STARTED);
  EXPECT_EQ(gate.entered(), 2);
}

TEST_P(Closing, AfterItsGraceWhatExecutesIsInterruptedAndThenLeft) {
  auto store = reopened();
  Gate gate;
  Id id;
  {
    EngineWorld w(store, with_grace(5ms), {{"deaf", [&](const Call&) { return gate.enter(), Outcome{}; }}});
    auto labor = tree_of(2, "deaf", 2);
    labor.jobs[1].cog_path = "polite";
    id = w.submit(labor);
    w.workers.wait_for_running(2);
    const auto report = w.engine->close(10ms, false);
    ASSERT_EQ(report.left.size(), 1u);
    EXPECT_EQ(report.left[0].interrupted, 2u);
    EXPECT_TRUE(report.all_durable);
    EXPECT_EQ(store->read_labor(id, true).jobs[0].attempts[0].status, A::OPEN);
    gate.open();
  }
  EngineWorld w(store, {}, {{"deaf", [](const Call&) { return Outcome{}; }}});
  w.workers.wait_for_calls("polite", 1);
  const auto job = store->read_job(id.with_ordinal(3), true);
  ASSERT_GE(job.attempts.size(), 1u);
  EXPECT_EQ(job.attempts[0].status, A::INTERRUPTED);
  w.signal(id, Signal::STOP, true)->completion().wait();
  const auto done = w.wait(id);
  EXPECT_EQ(done.jobs[0].state, S::COMPLETED);
  expect_sound_tree(done);
  expect_sound_history(*store);
}

TEST_P(Closing, WithInterruptAFinalAnswerCounts) {
  auto store = reopened();
  Id id;
  {
    std::shared_ptr<PullQueue> queue;
    EngineWorld w(store, with_grace(60s),
                  {{"done",
                    [&](const Call& call) {
                      queue->sleep(call, 1h);
                      return call.cancelled() ? Outcome{} : answer(A::FAILURE_NO_RETRIES, "not asked to end");
                    }},
                   {"never", [&](const Call& call) {
                      queue->sleep(call, 1h);
                      return answer(A::FAILURE_NO_RETRIES, "half of it is done");
                    }}});
    queue = w.engine->jobs();
    auto labor = tree_of(3, "done", 3, 2);
    labor.tasks[0].tolerated_failures.number = -1;
    labor.jobs[2].cog_path = "never";
    labor.jobs[4].cog_path = "polite";
    id = w.submit(labor);
    w.workers.wait_for_running(3);
    const auto report = w.engine->close({}, true);
    ASSERT_EQ(report.left.size(), 1u);
    EXPECT_EQ(report.left[0].interrupted, 1u);
    EXPECT_EQ(report.left[0].sequences_ended, 1u);
    queue.reset();
  }
  const auto labor = store->read_labor(id, true);
  EXPECT_EQ(labor.jobs[0].state, S::COMPLETED);
  EXPECT_EQ(labor.jobs[1].state, S::NOT_STARTED);
  EXPECT_EQ(labor.jobs[2].state, S::FAILED);
  EXPECT_EQ(labor.sequences[1].state, S::FAILED);
  EXPECT_EQ(labor.jobs[4].attempts[0].status, A::OPEN) << "R2: on_interrupt decides at the next opening";
}

TEST_P(Closing, ACallThatNobodyHasTakenWasNotExecuting) {
  auto store = reopened();
  auto cogs = std::make_shared<CogRegistry>();
  CogInfo info;
  info.name = "risky";
  info.origin = "test:risky";
  cogs->add(info);  // not idempotent: HOLD, had it begun
  Id id;
  {
    Engine engine(store, cogs, with_grace(60s));
    Submission s;
    s.labor = tree_of(3, "risky", 2);
    id = engine.submit(std::move(s));
    while (engine.stats().workers.queued < 2) std::this_thread::yield();
    const auto report = engine.close({}, true);
    ASSERT_EQ(report.left.size(), 1u);
    EXPECT_EQ(report.left[0].interrupted, 0u);
  }
  EXPECT_EQ(store->read_labor(id, true).jobs[0].attempts[0].status, A::WITHDRAWN);
  ScriptedWorkers workers({{"risky", [](const Call&) { return Outcome{}; }}});
  auto engine = std::make_unique<Engine>(store, cogs, EngineOptions{});
  workers.serve(engine->jobs());
  EXPECT_TRUE(engine->stats().waiting.empty()) << "there is nothing to decide";
  engine->end_of(id)->completion().wait();
  EXPECT_EQ(store->read_labor(id, false).state, S::COMPLETED);
  engine->close({}, false);
}

TEST_P(Closing, TwiceGivesTheSameReportAndAllElseSaysThatItIsClosed) {
  EngineWorld w(reopened());
  const auto id = w.submit(tree_of(1), false);
  const auto first = w.engine->close({}, false);
  const auto second = w.engine->close(0s, true);
  EXPECT_EQ(first.left.size(), 1u);
  EXPECT_EQ(second.left.size(), 1u);
  EXPECT_EQ(second.left[0].labor, id);
  EXPECT_THROW(w.submit(tree_of(1)), EngineClosed);
  EXPECT_THROW(w.engine->start(id, "", ""), EngineClosed);
  EXPECT_THROW(w.signal(id, Signal::STOP), EngineClosed);
  EXPECT_THROW(w.engine->state(id), EngineClosed);
  EXPECT_THROW(w.engine->end_of(id), EngineClosed);
  EXPECT_THROW(w.engine->progress(id), EngineClosed);
  EXPECT_THROW(w.engine->find_task(id, "task"), EngineClosed);
  EXPECT_THROW(w.engine->changes(id, {}), EngineClosed);
  EXPECT_THROW(w.engine->stats(), EngineClosed);
  EXPECT_THROW(w.engine->recheck_waiting(), EngineClosed);
  EXPECT_EQ(w.engine->store()->read_labor(id, false).state, S::ADMIN_NOT_STARTED) << "the store is still read";
  EngineWorld next(w.engine->store());  // and free
}

TEST_P(Closing, TheSecondCloseMayInterruptWhatTheFirstWaitsFor) {
  EngineWorld w(reopened());
  w.submit(tree_of(1, "polite"));
  w.workers.wait_for_running(1);
  CloseReport reports[2];
  std::thread first([&] { reports[0] = w.engine->close({}, false); });
  const auto quiet = w.engine->begin_close();
  EXPECT_FALSE(quiet->done());
  reports[1] = w.engine->close({}, true);
  first.join();
  for (const auto& report : reports) {
    ASSERT_EQ(report.left.size(), 1u);
    EXPECT_EQ(report.left[0].interrupted, 1u);
  }
}

TEST_P(Closing, WhoeverWaitsComesBack) {
  auto store = std::make_shared<FaultyStore>(reopened());
  Gate gate;
  EngineWorld w(store, with_grace(1ms), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(2, "block"));
  const auto waits = w.submit(tree_of(1), false);
  gate.wait_for(1);
  const auto ack = w.signal(id, Signal::PAUSE);
  const auto end = w.engine->end_of(id);
  auto feed = w.engine->changes(id, {});
  while (w.engine->stats().commits.queued > 0) std::this_thread::yield();
  store->fail(store->applies() + 1, 1'000'000, true, "the disk is gone");
  std::atomic<int> told{0};
  const auto expect_closed = [&](auto call) {
    return std::thread([&told, call] {
      EXPECT_THROW(call(), EngineClosed);
      ++told;
    });
  };
  auto labor = tree_of(1);
  labor.client_id = "c";
  std::vector<std::thread> threads;
  threads.push_back(expect_closed([&] { w.submit(tree_of(1)); }));
  for (int i = 0; i < 2; ++i) threads.push_back(expect_closed([&, labor] { w.submit(labor, true, "f"); }));
  threads.push_back(expect_closed([&] { w.engine->start(waits, "ann", ""); }));
  threads.emplace_back([&] {
    end->completion().wait();
    EXPECT_TRUE(end->closed());
  });
  threads.emplace_back([&] {
    ack->completion().wait();
    EXPECT_TRUE(ack->closed());
    EXPECT_FALSE(ack->applied());
  });
  threads.emplace_back([&] {
    while (!feed->over()) {
      const auto ready = feed->ready();
      if (feed->poll().empty() && !feed->over()) ready->wait();
    }
  });
  while (w.engine->stats().commits.queued < 3) std::this_thread::yield();
  const auto report = w.engine->close(0s, false);
  EXPECT_FALSE(report.all_durable);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(told, 4);
  gate.open();
}

TEST_P(Closing, RightAfterSubmitNothingIsLost) {
  auto store = reopened();
  std::vector<Id> ids;
  for (int round = 0; round < 10; ++round) {
    EngineWorld w(store, with_grace(10s), {{"work", [](const Call&) { return Outcome{}; }}});
    for (int i = 0; i < 4; ++i) ids.push_back(w.submit(tree_of(6, "work", 3, 2)));
    if (round % 2 == 0) w.engine->close({}, round % 4 == 0);  // else its destructor does
  }
  EngineWorld w(store, {}, {{"work", [](const Call&) { return Outcome{}; }}});
  for (const auto& id : ids) {
    const auto done = w.wait(id);
    EXPECT_EQ(done.state, S::COMPLETED);
    expect_sound_tree(done);
  }
  w.engine->close({}, false);
  expect_sound_history(*store);
}

TEST_P(Closing, QuestionsAndSubmitsFromOtherThreadsMeanwhile) {
  for (int round = 0; round < 10; ++round) {
    auto store = another();
    std::vector<Id> accepted;
    std::mutex mutex;
    {
      EngineWorld w(store, with_grace(10s));
      const auto id = w.submit(tree_of(3, "ok", 2));
      Gate gate;
      std::vector<std::thread> threads;
      const auto until_closed = [&](auto call) {
        threads.emplace_back([&gate, call] {
          try {
            for (int i = 0;; ++i) {
              call();
              if (i == 3) gate.enter();
            }
          } catch (const EngineClosed&) {
          }
        });
      };
      gate.open();
      until_closed([&] { w.engine->stats(); });
      until_closed([&] { w.engine->state(id); });
      until_closed([&] { w.engine->progress(id); });
      until_closed([&] { w.engine->changes(Id{}, 0)->poll(); });
      until_closed([&] { w.engine->recheck_waiting(); });
      until_closed([&] {
        try {
          w.signal(id, Signal::RESUME);
        } catch (const SignalNotAllowed&) {
        }
      });
      until_closed([&] {
        const auto one = w.submit(tree_of(2));
        const std::lock_guard lock(mutex);
        accepted.push_back(one);
      });
      gate.wait_for(7);
      w.engine->close({}, round % 2 == 0);
      for (auto& thread : threads) thread.join();
    }
    EngineWorld w(store);
    for (const auto& id : accepted) EXPECT_EQ(w.wait(id).state, S::COMPLETED);
    w.engine->close({}, false);
    expect_sound_history(*store);
  }
}

}  // namespace
}  // namespace cogwork::test
