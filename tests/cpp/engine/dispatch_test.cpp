// Who gets a worker, and what becomes of calls (X7-X13).
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

class Dispatch : public StoreTest {};
COGWORK_ON_EACH_STORE(Dispatch);

std::vector<A> statuses(const Job& job) {
  std::vector<A> found;
  for (const auto& attempt : job.attempts) found.push_back(attempt.status);
  return found;
}

EngineOptions options_of(int workers, Duration grace = 50ms) {
  EngineOptions options;
  options.workers = workers;
  options.grace = grace;
  return options;
}

TEST_P(Dispatch, X12CountersSayWhatExecutesAndWhatWasProcessed) {
  Gate gate;
  EngineWorld w(reopened(), options_of(2), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(with_checks(tree_of(5, "block", 3, 2), {"ok"}, {}));
  gate.wait_for(2);
  auto stats = w.engine->stats();
  EXPECT_EQ(stats.labors.executing, 1u);
  EXPECT_EQ(stats.tasks.executing, 1u);
  EXPECT_EQ(stats.sequences.executing, 3u);
  EXPECT_EQ(stats.jobs.executing, 2u);
  EXPECT_EQ(stats.jobs.processed, 1u) << "checks count as Jobs";
  EXPECT_EQ(stats.sequences.processed, 0u);
  gate.open();
  w.wait(id);
  stats = w.engine->stats();
  for (const auto* counter : {&stats.labors, &stats.tasks, &stats.sequences, &stats.jobs}) EXPECT_EQ(counter->executing, 0u);
  EXPECT_EQ(stats.labors.processed, 1u);
  EXPECT_EQ(stats.tasks.processed, 1u);
  EXPECT_EQ(stats.sequences.processed, 5u);
  EXPECT_EQ(stats.jobs.processed, 11u);
}

TEST_P(Dispatch, X13AnAttemptsStartIsRecordedOnlyWhenAWorkerIsFree) {
  Gate gate;
  EngineWorld w(reopened(), options_of(2), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(6, "block", 4));
  gate.wait_for(2);
  const auto labor = w.engine->store()->read_labor(id, true);
  int recorded = 0, sequences = 0;
  for (const auto& job : labor.jobs) {
    recorded += job.attempts.empty() ? 0 : 1;
    EXPECT_EQ(job.state, job.attempts.empty() ? S::NOT_STARTED : S::RUNNING);
  }
  for (const auto& sequence : labor.sequences) sequences += sequence.state == S::RUNNING ? 1 : 0;
  EXPECT_EQ(recorded, 2);
  EXPECT_EQ(sequences, 4) << "concurrency is of Sequences; workers are of Jobs";
  EXPECT_EQ(w.engine->stats().queued_jobs, 2u);
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_EQ(gate.most(), 2);
}

TEST_P(Dispatch, X13ChecksHaveRoomOfTheirOwn) {
  Gate gate;
  EngineWorld w(reopened(), options_of(2), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto blocking = w.submit(tree_of(4, "block", 4));
  gate.wait_for(2);
  auto feed = w.engine->changes(Id{}, {});
  const auto checked = w.submit(with_checks(tree_of(1), {"ok", "ok", "ok"}, {"ok"}));
  int completed = 0;
  while (completed < 4) {
    const auto ready = feed->ready();
    const auto changes = feed->poll();
    for (const auto& c : changes) completed += c.labor == checked && c.to == S::COMPLETED ? 1 : 0;
    if (changes.empty()) ready->wait();
  }
  EXPECT_EQ(w.engine->store()->read_sequence(checked.with_ordinal(6)).state, S::RUNNING);
  EXPECT_EQ(w.workers.calls("ok"), 4) << "its Job waits for a worker, its checks did not";
  gate.open();
  w.wait(blocking);
  EXPECT_EQ(w.wait(checked).state, S::COMPLETED);
}

TEST_P(Dispatch, X13ConcurrencyIsReachedAndNeverPassed) {
  Gate gate;
  EngineWorld w(reopened(), options_of(16), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(40, "block", 7, 2));
  gate.wait_for(7);
  EXPECT_EQ(w.engine->stats().queued_jobs, 0u);
  EXPECT_EQ(w.engine->stats().sequences.executing, 7u);
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
  EXPECT_EQ(gate.most(), 7);
}

TEST_P(Dispatch, X7AJobReadsTheOutputsOfThoseBeforeIt) {
  std::mutex mutex;
  std::vector<std::vector<SequenceOutputs::Output>> seen;
  EngineWorld w(reopened(), {}, {{"look", [&](const Call& call) {
                                    const std::lock_guard lock(mutex);
                                    seen.push_back(call.request().outputs());
                                    return output(std::string(1, static_cast<char>(seen.size())));
                                  }}});
  auto labor = tree_of(2, "look", 1, 3);
  labor.jobs[1].name = "second";
  labor.jobs[1].options.retries = 1;
  EXPECT_EQ(w.wait(w.submit(labor)).state, S::COMPLETED);
  ASSERT_EQ(seen.size(), 6u);
  using Outputs = std::vector<SequenceOutputs::Output>;
  EXPECT_EQ(seen[0], Outputs{});
  EXPECT_EQ(seen[1], (Outputs{{"look", "\x01"}}));
  EXPECT_EQ(seen[2], (Outputs{{"look", "\x01"}, {"second", "\x02"}}));
  EXPECT_EQ(seen[3], Outputs{}) << "another Sequence";
}

TEST_P(Dispatch, X8ACallThatReturnsWithinTheGraceIsTimedOutAndRetried) {
  EngineWorld w(reopened(), options_of(4, 10s));
  auto labor = tree_of(1, "polite");
  labor.jobs[0].options.timeout = 10ms;
  labor.jobs[0].options.retries = 2;
  const auto done = w.wait(w.submit(labor));
  EXPECT_EQ(done.jobs[0].state, S::FAILED);
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::TIMED_OUT, A::TIMED_OUT, A::TIMED_OUT}));
  EXPECT_EQ(done.jobs[0].attempts[0].error, "timed out\nasked to end");
  EXPECT_EQ(w.engine->stats().workers.abandoned_ever, 0u);
}

TEST_P(Dispatch, X8aX9ALateAnswerIsDropped) {
  Gate gate;
  auto store = reopened();
  EngineWorld w(store, options_of(1, 10ms), {{"deaf", [&](const Call&) { return gate.enter(), output("\x07"); }}});
  auto labor = tree_of(2, "deaf");
  labor.jobs[0].options.timeout = 10ms;
  labor.jobs[1].cog_path = "ok";
  labor.tasks[0].tolerated_failures.number = 1;
  const auto id = w.submit(labor);
  const auto done = w.wait(id);
  EXPECT_EQ(done.jobs[0].state, S::FAILED);
  EXPECT_EQ(done.jobs[1].state, S::COMPLETED) << "its worker was replaced";
  EXPECT_EQ(w.engine->stats().workers.abandoned, 1);
  const auto before = store->last_change();
  gate.open();
  gate.wait_until_empty();
  w.wait(w.submit(tree_of(1)));
  while (w.engine->stats().workers.abandoned > 0) std::this_thread::yield();
  EXPECT_EQ(w.engine->stats().workers.abandoned_ever, 1u);
  EXPECT_EQ(store->read_labor(id, true), done);
  EXPECT_TRUE(history_of(*store, id).back().number <= before);
}

TEST_P(Dispatch, X8aG3aAnInterruptingStopLeavesACallThatDoesNotEnd) {
  Gate gate;
  // So long a grace is enough for the polite one, however late it is woken.
  EngineWorld w(reopened(), options_of(2, 1s), {{"deaf", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  auto labor = tree_of(2, "deaf", 2);
  labor.jobs[1].cog_path = "polite";
  const auto id = w.submit(labor);
  w.workers.wait_for_running(2);
  const auto ack = w.signal(id, Signal::STOP, true);
  const auto done = w.wait(id);
  ack->completion().wait();
  EXPECT_EQ(done.state, S::STOPPED);
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::STOPPED}));
  EXPECT_EQ(done.jobs[0].attempts[0].error, "interrupted, still running");
  EXPECT_EQ(done.jobs[0].attempts[0].marks, Attempt::STILL_RUNNING);
  EXPECT_EQ(statuses(done.jobs[1]), (std::vector<A>{A::STOPPED}));
  EXPECT_EQ(done.jobs[1].attempts[0].marks, 0);
  EXPECT_EQ(w.engine->stats().workers.abandoned, 1);
  EXPECT_EQ(w.wait(w.submit(tree_of(6, "ok", 2))).state, S::COMPLETED);
  gate.open();
}

TEST_P(Dispatch, G3G3aACallThatNobodyHasTakenIsWithdrawnByAnInterruptingStop) {
  auto store = reopened();
  auto cogs = std::make_shared<CogRegistry>();
  CogInfo info;
  info.name = "ok";
  info.origin = "test:ok";
  cogs->add(info);
  Engine engine(store, cogs, {});
  Submission s;
  s.labor = tree_of(2, "ok", 1);
  const auto id = engine.submit(std::move(s));
  while (engine.stats().workers.queued < 1) std::this_thread::yield();
  const auto ack = engine.signal({id, Signal::STOP, true, "ann", ""});
  ack->completion().wait();
  EXPECT_TRUE(ack->applied());
  const auto done = store->read_labor(id, true);
  EXPECT_EQ(done.state, S::STOPPED);
  EXPECT_EQ(done.jobs[0].state, S::STOPPED);
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::WITHDRAWN}));
  EXPECT_EQ(engine.stats().jobs.executing, 0u);
}

TEST_P(Dispatch, X10ACogThatCrashedTooOftenIsRefused) {
  EngineWorld w(reopened(), {}, {{"crash", [](const Call&) { return answer(A::CRASHED, "signal 11"); }}});
  auto labor = tree_of(1, "crash");
  labor.jobs[0].options.retries = 10;
  const auto done = w.wait(w.submit(labor));
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::CRASHED, A::CRASHED, A::CRASHED, A::CRASHED, A::FAILURE_NO_RETRIES}));
  EXPECT_NE(done.jobs[0].attempts[4].error.str().find("crashed 4 times"), std::string::npos);
  w.cogs->reset("crash");
  EXPECT_EQ(w.wait(w.submit(tree_of(1, "crash"))).jobs[0].attempts[0].status, A::CRASHED);
}

TEST_P(Dispatch, X13AsyncCallsAreNotLimitedByWorkers) {
  EngineWorld w(reopened(), options_of(1), {}, {"coroutine"});
  const auto id = w.submit(with_checks(tree_of(60, "coroutine", 50), {"coroutine"}, {}));
  w.workers.wait_for_calls("coroutine", 1);
  for (const auto key : w.workers.async_calls()) w.workers.finish_async(key, {});
  w.workers.wait_for_running(50);
  EXPECT_EQ(w.engine->stats().async_calls.running, 50);
  EXPECT_EQ(w.workers.most(), 50);
  while (w.workers.calls("coroutine") < 61 || w.workers.running() > 0) {
    for (const auto key : w.workers.async_calls()) w.workers.finish_async(key, {});
    std::this_thread::yield();
  }
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(Dispatch, X8AsyncCallsAreCancelledAndLeftLikeAnyOther) {
  EngineWorld w(reopened(), options_of(1, 1s), {}, {"coroutine"});
  auto labor = tree_of(1, "coroutine");
  labor.jobs[0].options.timeout = 300ms;  // by then it has been taken, and within the grace its cancel is heard
  labor.jobs[0].options.retries = 1;
  auto done = w.wait(w.submit(labor));
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::TIMED_OUT, A::TIMED_OUT}));
  EXPECT_EQ(done.jobs[0].attempts[1].marks, 0);
  w.workers.deafen();
  done = w.wait(w.submit(labor));
  EXPECT_EQ(statuses(done.jobs[0]), (std::vector<A>{A::TIMED_OUT}));
  EXPECT_EQ(done.jobs[0].attempts[0].marks, Attempt::STILL_RUNNING);
  EXPECT_EQ(w.engine->stats().async_calls.abandoned, 1);
  for (const auto key : w.workers.async_calls()) w.workers.finish_async(key, {});
}

TEST_P(Dispatch, C1AJobThatWaitsForAWorkerGetsTheCogThatIsRegisteredThen) {
  Gate gate;
  std::mutex mutex;
  std::vector<bool> idempotent;
  EngineWorld w(reopened(), options_of(1),
                {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}, {"look", [&](const Call& call) {
                                                                                     const std::lock_guard lock(mutex);
                                                                                     idempotent.push_back(
                                                                                         call.request().cog->defaults.idempotent);
                                                                                     return Outcome{};
                                                                                   }}});
  auto labor = tree_of(2, "look", 2);
  labor.jobs[0].cog_path = "block";
  const auto id = w.submit(labor);
  gate.wait_for(1);
  EXPECT_EQ(w.engine->stats().queued_jobs, 1u);
  CogInfo again;
  again.name = "look";
  again.origin = "test:look";
  w.cogs->add(again);
  gate.open();
  w.wait(id);
  EXPECT_EQ(idempotent, (std::vector<bool>{false})) << "it is looked up at each attempt";
}

TEST_P(Dispatch, C1ACogMayTurnFromPlainToAsyncWhileItsJobsWait) {
  Gate gate;
  EngineWorld w(reopened(), options_of(1), {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}}, {"turns"});
  w.add_cog("turns", CogKind::PLAIN);
  auto labor = tree_of(3, "turns", 3);
  labor.jobs[0].cog_path = "block";
  const auto id = w.submit(labor);
  gate.wait_for(1);
  EXPECT_EQ(w.engine->stats().queued_jobs, 2u);
  w.add_cog("turns", CogKind::ASYNC);
  gate.open();
  w.workers.wait_for_calls("turns", 2);
  for (const auto key : w.workers.async_calls()) w.workers.finish_async(key, {});
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

TEST_P(Dispatch, ProgressOfCallsIsSeenAndNeverStored) {
  Gate gate;
  std::shared_ptr<PullQueue> queue;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call& call) {
                                    queue->progress(call, 0.5, "half of it");
                                    return gate.enter(), Outcome{};
                                  }}});
  queue = w.engine->jobs();
  const auto id = w.submit(tree_of(3, "block", 2));
  gate.wait_for(2);
  const auto progress = w.engine->progress(id);
  ASSERT_EQ(progress.in_flight.size(), 2u);
  EXPECT_EQ(progress.in_flight[0].fraction, 0.5);
  EXPECT_EQ(progress.in_flight[0].message, "half of it");
  EXPECT_EQ(progress.tasks[0].sequences_under_way, 2u);
  gate.open();
  w.wait(id);
  const auto ended = w.engine->progress(id);
  EXPECT_EQ(ended.state, S::COMPLETED);
  EXPECT_EQ(ended.tasks[0].completed, 3u);
  queue.reset();
}

TEST_P(Dispatch, DeadlinesThatNobodyLivesToSeeCostNothing) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  auto labor = tree_of(1, "block");
  labor.jobs[0].options.timeout = std::chrono::hours(24 * 365 * 1000);
  const auto id = w.submit(labor);
  gate.wait_for(1);
  // A timer that had gone off at once would make the scheduler turn, and turn.
  EXPECT_EQ(w.engine->state(id), S::RUNNING);
  EXPECT_EQ(w.engine->store()->read_labor(id, true).jobs[0].attempts[0].status, A::OPEN);
  timespec before{}, after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  Completion never_set;
  EXPECT_FALSE(never_set.wait_for(200ms));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const auto used = std::chrono::seconds(after.tv_sec - before.tv_sec) + std::chrono::nanoseconds(after.tv_nsec - before.tv_nsec);
  EXPECT_LT(used, 100ms);
  gate.open();
  EXPECT_EQ(w.wait(id).state, S::COMPLETED);
}

}  // namespace
}  // namespace cogwork::test
