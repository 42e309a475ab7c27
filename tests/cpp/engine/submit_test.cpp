// Submitting and starting (S3-S6, D1).
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "cogwork/engine/engine.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

class Submitting : public StoreTest {};
COGWORK_ON_EACH_STORE(Submitting);

std::size_t labors_in(Storage& store) {
  std::size_t count = 0;
  for (auto stream = store.labors({}); stream->next();) ++count;
  return count;
}

Labor known_as(const std::string& client_id, Labor labor) {
  labor.client_id = client_id;
  return labor;
}

TEST_P(Submitting, S4D1SubmitReturnsOnceTheWholeTreeIsDurable) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  store->hold();
  std::atomic<bool> returned{false};
  Id id;
  std::thread submitter([&] {
    id = w.submit(with_checks(tree_of(3, "ok", 2, 2), {"ok"}, {"ok"}), false);
    returned = true;
  });
  store->wait_for_held();
  EXPECT_FALSE(returned);
  EXPECT_EQ(labors_in(*store), 0u);
  store->release();
  submitter.join();
  const auto labor = store->read_labor(id, true);
  EXPECT_EQ(labor.id, id);
  EXPECT_TRUE(is_set(labor.submitted));
  EXPECT_EQ(labor.sequences.size(), 3u);
  ASSERT_EQ(labor.jobs.size(), 8u);
  std::set<std::uint32_t> ordinals;
  for (const auto& job : labor.jobs) ordinals.insert(job.ordinal);
  EXPECT_EQ(ordinals.size(), 8u) << "ids are set";
  EXPECT_EQ(store->read_job(id.with_ordinal(labor.jobs[2].ordinal), true).args, "\x80");
}

TEST_P(Submitting, S1NothingIsStoredWhereThereIsAnError) {
  EngineWorld w(reopened());
  auto labor = tree_of(3, "okk");
  labor.sequences[1].target = {};
  try {
    w.submit(labor);
    FAIL() << "it was taken";
  } catch (const ValidationError& error) {
    EXPECT_GE(error.issues().size(), 2u) << "not just the first";
  }
  EXPECT_EQ(labors_in(*w.engine->store()), 0u);
  EXPECT_EQ(w.engine->stats().labors.executing, 0u);
}

TEST_P(Submitting, S3TheSameClientIdTwiceIsOneLaborAndStoresNothing) {
  auto store = reopened();
  EngineWorld w(store);
  const auto id = w.submit(known_as("INC-1", tree_of(2)), true, "a");
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  const auto before = store->last_change();
  EXPECT_EQ(w.submit(known_as("INC-1", tree_of(2)), true, "a"), id);
  EXPECT_EQ(store->last_change(), before);
  EXPECT_EQ(labors_in(*store), 1u);
  EXPECT_EQ(w.workers.calls("ok"), 2);
}

TEST_P(Submitting, S3OtherContentsUnderOneClientIdAreAnError) {
  EngineWorld w(reopened());
  const auto id = w.submit(known_as("INC-1", tree_of(2)), false, "a");
  try {
    w.submit(known_as("INC-1", tree_of(3)), false, "b");
    FAIL() << "it was taken";
  } catch (const ValidationError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("INC-1"), std::string::npos) << what;
    EXPECT_NE(what.find(id.text()), std::string::npos) << what;
  }
  EXPECT_EQ(labors_in(*w.engine->store()), 1u);
}

TEST_P(Submitting, S3SixteenThreadsSubmitEachLaborOnce) {
  auto store = reopened();
  EngineWorld w(store);
  constexpr int kClients = 8, kThreads = 16;
  std::vector<std::set<Id>> ids(kClients);
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kClients; ++i) {
        const int c = (i + t) % kClients;
        const auto id = w.submit(known_as("client" + std::to_string(c), tree_of(1)), t % 2 == 0, "same");
        const std::lock_guard lock(mutex);
        ids[static_cast<std::size_t>(c)].insert(id);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& one : ids) {
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(w.wait(*one.begin()).state, S::COMPLETED);
  }
  EXPECT_EQ(labors_in(*store), 8u);
  EXPECT_EQ(w.workers.calls("ok"), 8);
}

TEST_P(Submitting, S3HoldsAcrossAReopenedEngine) {
  Id ended, waiting;
  {
    EngineWorld w(reopened());
    ended = w.submit(known_as("ended", tree_of(1)), true, "a");
    w.wait(ended);
    waiting = w.submit(known_as("waiting", tree_of(1)), false, "a");
  }
  EngineWorld w(reopened());
  EXPECT_EQ(w.submit(known_as("ended", tree_of(1)), true, "a"), ended);
  EXPECT_THROW(w.submit(known_as("ended", tree_of(2)), true, "b"), ValidationError);
  EXPECT_EQ(w.submit(known_as("waiting", tree_of(1)), true, "a"), waiting);
  EXPECT_EQ(w.wait(waiting).state, S::COMPLETED);
  EXPECT_EQ(labors_in(*w.engine->store()), 2u);
}

TEST_P(Submitting, S3ASecondSubmitStartsALaborThatWaits) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(known_as("c", tree_of(1, "block")), false, "a");
  EXPECT_EQ(w.engine->state(id), S::ADMIN_NOT_STARTED);
  EXPECT_EQ(w.submit(known_as("c", tree_of(1, "block")), false, "a"), id);
  EXPECT_EQ(w.engine->state(id), S::ADMIN_NOT_STARTED) << "start is not compared, and False does not start";
  EXPECT_EQ(w.submit(known_as("c", tree_of(1, "block")), true, "a"), id);
  EXPECT_EQ(w.engine->store()->read_labor(id, false).state, S::RUNNING) << "the start is durable when it returns";
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(Submitting, S3S5AStartAskedForWhileTheTreeIsBeingStoredIsDurableToo) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  store->hold();
  struct Answer {
    Id id;
    S stored = S::UNKNOWN;
    Completion done;
  };
  Answer first, second;
  const auto submit = [&](bool start, Answer& answer) {
    Submission s;
    s.labor = known_as("c", tree_of(1));
    s.fingerprint = "a";
    s.start = start;
    w.engine->submit_async(std::move(s), [&](Id id, std::exception_ptr error) {
      if (!error) answer.stored = store->read_labor(answer.id = id, false).state;
      answer.done.set();
    });
  };
  submit(false, first);
  store->wait_for_held();
  submit(true, second);
  w.engine->stats();  // the scheduler has it
  // The tree is stored at once; what comes after it has to wait.
  store->fail(store->applies() + 2, 1'000'000, true, "the disk is full");
  store->release();
  while (!w.engine->stats().store.degraded) std::this_thread::yield();
  EXPECT_TRUE(first.done.done());
  EXPECT_FALSE(second.done.done()) << "a crash now would leave it waiting, though its submitter had been told that it runs";
  store->mend();
  second.done.wait();
  EXPECT_EQ(first.id, second.id);
  EXPECT_NE(second.stored, S::ADMIN_NOT_STARTED);
  EXPECT_EQ(w.wait(first.id).state, S::COMPLETED);
}

TEST_P(Submitting, S5WithoutStartALaborWaitsUntilItIsStarted) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "block"), false);
  EXPECT_EQ(w.engine->state(id), S::ADMIN_NOT_STARTED);
  EXPECT_EQ(w.engine->store()->read_labor(id, false).state, S::ADMIN_NOT_STARTED);
  w.engine->start(id, "ann", "go");
  const auto stored = w.engine->store()->read_labor(id, false);
  EXPECT_EQ(stored.state, S::RUNNING) << "durable when it returns";
  EXPECT_TRUE(is_set(stored.started));
  const auto history = history_of(*w.engine->store(), id);
  ASSERT_FALSE(history.empty());
  EXPECT_EQ(history[0].by, "ann");
  EXPECT_EQ(history[0].note, "go");
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(Submitting, S6OnlyWhatHasNotStartedCanBeStarted) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "block"));
  try {
    w.engine->start(id, "ann", "");
    FAIL() << "a running Labor was started";
  } catch (const SignalNotAllowed& error) {
    EXPECT_NE(std::string(error.what()).find("RUNNING"), std::string::npos) << error.what();
    EXPECT_EQ(error.state(), static_cast<int>(S::RUNNING));
  }
  gate.open();
  w.wait(id);
  try {
    w.engine->start(id, "ann", "");
    FAIL() << "an ended Labor was started";
  } catch (const SignalNotAllowed& error) {
    EXPECT_NE(std::string(error.what()).find("COMPLETED"), std::string::npos) << error.what();
  }
  const auto waits = w.submit(tree_of(1), false);
  EXPECT_THROW(w.engine->start(waits.with_ordinal(1), "ann", ""), NotFound) << "a Task is not started";
  EXPECT_THROW(w.engine->start(Id{}.with_ordinal(0), "ann", ""), NotFound);
  EXPECT_EQ(w.engine->state(waits), S::ADMIN_NOT_STARTED);
}

TEST_P(Submitting, S6StoppingWhatHasNotStartedEndsItAtOnce) {
  EngineWorld w(reopened());
  const auto id = w.submit(tree_of(3), false);
  const auto ack = w.signal(id, Signal::STOP);
  ack->completion().wait();
  EXPECT_TRUE(ack->applied());
  EXPECT_EQ(ack->state(), S::STOPPED);
  const auto labor = w.wait(id);
  EXPECT_EQ(labor.state, S::STOPPED);
  EXPECT_EQ(labor.tasks[0].state, S::NOT_STARTED);
  EXPECT_EQ(w.workers.calls("ok"), 0);
  const auto stats = w.engine->stats();
  EXPECT_EQ(stats.labors.executing, 0u);
  EXPECT_EQ(stats.labors.processed, 1u);
  EXPECT_EQ(stats.tasks.processed, 0u);
}

TEST_P(Submitting, SubmitAsyncAnswersFromAThreadOfTheEngine) {
  EngineWorld w(reopened());
  Completion answered;
  Id id;
  std::exception_ptr error;
  Submission s;
  s.labor = tree_of(1);
  w.engine->submit_async(std::move(s), [&](Id given, std::exception_ptr why) {
    id = given;
    error = why;
    answered.set();
  });
  answered.wait();
  EXPECT_FALSE(error);
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

}  // namespace
}  // namespace cogwork::test
