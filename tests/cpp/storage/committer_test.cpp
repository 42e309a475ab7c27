#include "cogwork/storage/committer.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"
#include "support/faulty_store.h"

namespace cogwork {
namespace {

using std::chrono::milliseconds;

class CommitterTest : public testing::Test {
 protected:
  void start(std::size_t most_units = 4096) {
    committer = make_committer(
        store,
        [this](std::vector<CommitResult> results) {
          const std::lock_guard lock(mutex);
          calls.push_back(results.size());
          for (auto& result : results) {
            done.push_back(result.token);
            if (result.error) errors[result.token] = *result.error;
          }
          news.notify_all();
        },
        [this] {
          const auto health = committer->health();
          const std::lock_guard lock(mutex);
          healths.push_back(health);
          news.notify_all();
        },
        Backoff(milliseconds(1), milliseconds(20), Random(1)), most_units);
  }

  /// A Labor that is stored already.
  Labor stored_labor() {
    Labor labor = make_labor();
    store->inner()->write_labor(labor);
    return labor;
  }

  /// The next write of a Labor's Job, recognisable by `rounds`.
  CommitUnit unit(const Labor& labor, std::uint64_t token) {
    CommitUnit out;
    out.labor = labor.id;
    out.token = token;
    Job job = labor.jobs[0];
    job.rounds = static_cast<std::uint32_t>(token);
    out.batch.writes.push_back(WriteJob{labor.id, job});
    out.batch.history.push_back(history_row(labor.id, token, 1));
    return out;
  }
  CommitUnit submit(const Labor& labor, std::uint64_t token) {
    CommitUnit out;
    out.labor = labor.id;
    out.token = token;
    out.give_up_on_error = true;
    out.batch.writes.push_back(write_of(labor));
    return out;
  }
  void commit(CommitUnit one) {
    std::vector<CommitUnit> units;
    units.push_back(std::move(one));
    committer->commit(std::move(units));
  }
  bool flush(milliseconds wait = std::chrono::seconds(20)) { return committer->flush(std::chrono::steady_clock::now() + wait); }
  /// Waits until `what` holds.
  template <typename What>
  bool eventually(What what) {
    std::unique_lock lock(mutex);
    return news.wait_for(lock, std::chrono::seconds(20), what);
  }
  std::vector<std::uint64_t> done_tokens() {
    const std::lock_guard lock(mutex);
    return done;
  }

  std::shared_ptr<FaultyStore> store = std::make_shared<FaultyStore>(make_memory_store());
  std::mutex mutex;
  std::condition_variable news;
  std::vector<std::uint64_t> done;
  std::vector<std::size_t> calls;
  std::map<std::uint64_t, std::string> errors;
  std::vector<StoreHealth> healths;
  std::unique_ptr<Committer> committer;  // goes first: its thread uses the rest
};

TEST_F(CommitterTest, D5_writes_and_reports_in_order) {
  const Labor labor = stored_labor();
  start();
  EXPECT_TRUE(flush()) << "nothing given, nothing to wait for";
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 1; i <= 500; ++i) {
    commit(unit(labor, i));
    expected.push_back(i);
  }
  ASSERT_TRUE(flush());
  EXPECT_EQ(done_tokens(), expected);
  EXPECT_EQ(store->read_job(labor.id.with_ordinal(3), true).rounds, 500U);
  EXPECT_EQ(history_rows(*store, labor.id).size(), 500U);
  EXPECT_EQ(committer->figures().units, 500U);
  EXPECT_EQ(committer->figures().queued, 0U);
  EXPECT_FALSE(committer->health().degraded);
}

TEST_F(CommitterTest, D5_what_queues_up_during_a_commit_is_one_commit) {
  const Labor labor = stored_labor(), other = stored_labor();
  start();
  store->hold();
  commit(unit(labor, 1));
  store->wait_for_held();
  for (std::uint64_t i = 2; i <= 100; ++i) commit(unit(i % 2 == 0 ? labor : other, i));
  store->release();
  ASSERT_TRUE(flush());
  EXPECT_EQ(committer->figures().commits, 2U);
  EXPECT_EQ(calls, (std::vector<std::size_t>{1, 99}));
  EXPECT_EQ(history_rows(*store, Id{}).size(), 100U);
}

TEST_F(CommitterTest, D5_at_most_so_many_units_in_one_commit) {
  const Labor labor = stored_labor();
  start(10);
  store->hold();
  commit(unit(labor, 1));
  store->wait_for_held();
  for (std::uint64_t i = 2; i <= 36; ++i) commit(unit(labor, i));
  EXPECT_EQ(committer->figures().queued, 36U);
  store->release();
  ASSERT_TRUE(flush());
  EXPECT_EQ(calls, (std::vector<std::size_t>{1, 10, 10, 10, 5}));
}

TEST_F(CommitterTest, D5_no_unit_waits_for_a_timer) {
  const Labor labor = stored_labor();
  start();
  const auto before = std::chrono::steady_clock::now();
  for (std::uint64_t i = 1; i <= 200; ++i) {
    commit(unit(labor, i));
    ASSERT_TRUE(flush());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - before, milliseconds(2000));
  EXPECT_EQ(committer->figures().commits, 200U);
}

TEST_F(CommitterTest, D5_records_and_many_writes_of_a_unit_stay_together) {
  const Labor labor = make_labor(), second = make_labor();
  start();
  store->hold();
  commit(submit(labor, 1));
  store->wait_for_held();
  CommitUnit one = submit(second, 2);
  one.batch.records.push_back({RecordKind::CLIENT_ID, "a", Text("1")});
  CommitUnit two;
  two.token = 3;
  two.batch.records.push_back({RecordKind::CLIENT_ID, "a", {}});
  two.batch.records.push_back({RecordKind::LATCH, "b", Text("2")});
  std::vector<CommitUnit> units;
  units.push_back(std::move(one));
  units.push_back(std::move(two));
  committer->commit(std::move(units));
  store->release();
  ASSERT_TRUE(flush());
  EXPECT_TRUE(store->records(RecordKind::CLIENT_ID).empty());
  EXPECT_EQ(store->records(RecordKind::LATCH).size(), 1U);
  EXPECT_EQ(store->read_labor(second.id, true), second);
}

TEST_F(CommitterTest, D6_a_temporary_error_holds_all_back_and_passes_by_itself) {
  const Labor labor = stored_labor();
  store->fail(1, 5, true, "the disk is full");
  start();
  for (std::uint64_t i = 1; i <= 20; ++i) commit(unit(labor, i));
  ASSERT_TRUE(flush());
  std::vector<std::uint64_t> expected(20);
  for (std::uint64_t i = 0; i < 20; ++i) expected[i] = i + 1;
  EXPECT_EQ(done_tokens(), expected) << "nothing overtakes";
  EXPECT_TRUE(errors.empty());
  ASSERT_TRUE(eventually([&] { return healths.size() >= 2; }));
  EXPECT_TRUE(healths.front().degraded);
  EXPECT_EQ(healths.front().reason, "the disk is full");
  EXPECT_TRUE(is_set(healths.front().since));
  EXPECT_TRUE(healths.front().stuck.empty());
  EXPECT_FALSE(healths.back().degraded);
  EXPECT_EQ(healths.back().reason, "");
  EXPECT_EQ(committer->health().failed_writes, 5U);
}

TEST_F(CommitterTest, D6_also_a_submit_waits_for_what_is_temporary) {
  const Labor labor = make_labor();
  store->fail(1, 10, true);
  start();
  commit(submit(labor, 1));
  ASSERT_TRUE(flush());
  EXPECT_TRUE(errors.empty());
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_F(CommitterTest, D6_flush_gives_up_at_its_deadline_and_the_destructor_does_not_wait) {
  const Labor labor = stored_labor();
  store->fail(1, UINT64_MAX, true);
  start();
  commit(unit(labor, 1));
  EXPECT_FALSE(flush(milliseconds(50)));
  EXPECT_TRUE(committer->health().degraded);
  EXPECT_EQ(committer->figures().queued, 1U);
  const auto before = std::chrono::steady_clock::now();
  committer.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
  EXPECT_TRUE(done.empty());
}

TEST_F(CommitterTest, D6_a_poisoned_labor_does_not_hinder_others) {
  const Labor good = stored_labor(), bad = stored_labor(), also_good = stored_labor();
  store->poison(bad.id, "an error in the store's code");
  start();
  store->hold();
  commit(unit(good, 1));
  store->wait_for_held();
  commit(unit(good, 2));
  commit(unit(bad, 3));
  commit(unit(also_good, 4));
  commit(unit(bad, 5));
  commit(unit(good, 6));
  store->release();
  ASSERT_TRUE(eventually([&] { return done.size() == 4; }));
  EXPECT_EQ(done_tokens(), (std::vector<std::uint64_t>{1, 2, 6, 4}));
  ASSERT_TRUE(eventually([&] { return !healths.empty(); }));
  EXPECT_TRUE(healths.front().degraded);
  EXPECT_EQ(healths.front().stuck, std::vector{bad.id});
  EXPECT_EQ(healths.front().reason, "an error in the store's code");

  for (std::uint64_t i = 7; i <= 30; ++i) commit(unit(i % 3 == 0 ? bad : good, i));
  ASSERT_TRUE(eventually([&] { return done.size() == 4 + 16; }));
  EXPECT_FALSE(flush(milliseconds(30)));
  EXPECT_EQ(store->read_job(bad.id.with_ordinal(3), true).rounds, 0U);

  store->heal(bad.id);
  ASSERT_TRUE(flush());
  EXPECT_EQ(store->read_job(bad.id.with_ordinal(3), true).rounds, 30U);
  std::vector<std::uint64_t> of_bad;
  for (const auto& row : history_rows(*store, bad.id)) of_bad.push_back(row.first);
  EXPECT_EQ(of_bad, (std::vector<std::uint64_t>{3, 5, 9, 12, 15, 18, 21, 24, 27, 30}));
  std::vector<std::uint64_t> reported;
  for (const auto token : done_tokens()) {
    if (std::find(of_bad.begin(), of_bad.end(), token) != of_bad.end()) reported.push_back(token);
  }
  EXPECT_EQ(reported, of_bad) << "in the Labor's own order";
  ASSERT_TRUE(eventually([&] { return !healths.back().degraded; }));
  EXPECT_TRUE(healths.back().stuck.empty());
}

TEST_F(CommitterTest, D6_within_a_labor_what_comes_before_the_failing_unit_is_written) {
  const Labor labor = stored_labor();
  start();
  store->hold();
  commit(unit(labor, 1));
  store->wait_for_held();
  commit(unit(labor, 2));
  CommitUnit broken = unit(labor, 3);
  Job stray = labor.jobs[0];
  stray.ordinal = 99;  // no store has it
  broken.batch.writes.push_back(WriteJob{labor.id, stray});
  commit(std::move(broken));
  commit(unit(labor, 4));
  store->release();
  ASSERT_TRUE(eventually([&] { return !healths.empty(); }));
  EXPECT_EQ(done_tokens(), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(store->read_job(labor.id.with_ordinal(3), true).rounds, 2U);
  EXPECT_FALSE(flush(milliseconds(30)));
  EXPECT_EQ(done_tokens().size(), 2U) << "what comes after waits";
}

TEST_F(CommitterTest, D6_a_submit_that_cannot_be_stored_is_given_up_and_says_why) {
  const Labor good = stored_labor(), bad = make_labor(), fresh = make_labor();
  store->poison(bad.id, "too large");
  start();
  store->hold();
  commit(unit(good, 1));
  store->wait_for_held();
  commit(submit(bad, 2));
  commit(submit(fresh, 3));
  commit(unit(good, 4));
  store->release();
  ASSERT_TRUE(flush());
  EXPECT_EQ(errors, (std::map<std::uint64_t, std::string>{{2, "too large"}}));
  EXPECT_EQ(done_tokens().size(), 4U);
  EXPECT_THROW(store->read_labor(bad.id, false), NotFound);
  EXPECT_EQ(store->read_labor(fresh.id, true), fresh);
  EXPECT_FALSE(committer->health().degraded);
  EXPECT_TRUE(committer->health().stuck.empty());

  commit(submit(bad, 5));  // alone
  ASSERT_TRUE(flush());
  EXPECT_EQ(errors[5], "too large");
  EXPECT_EQ(committer->figures().units, 3U);
}

TEST_F(CommitterTest, D6_whatever_a_store_throws_is_an_error_and_not_the_end) {
  const Labor labor = make_labor();
  store->fail_with(1, 1, [] { throw std::out_of_range("a bug in a store"); });
  store->fail_with(2, 1, [] { throw 7; });
  store->fail_with(3, 1, [] { throw std::bad_alloc(); });
  store->fail_with(5, 1, [] { throw NotFound("no such thing"); });
  start();
  commit(submit(labor, 1));
  ASSERT_TRUE(flush());
  commit(submit(labor, 2));
  ASSERT_TRUE(flush());
  commit(submit(labor, 3));  // no memory: tried again
  ASSERT_TRUE(flush());
  commit(submit(labor, 4));
  ASSERT_TRUE(flush());
  EXPECT_EQ(errors[1], "a bug in a store");
  EXPECT_NE(errors[2], "");
  EXPECT_FALSE(errors.contains(3));
  EXPECT_EQ(errors[4], "no such thing");
}

TEST_F(CommitterTest, D6_a_temporary_error_while_narrowing_down_is_waited_for) {
  const Labor a = stored_labor(), bad = stored_labor(), b = stored_labor();
  store->poison(bad.id);
  store->fail(3, 4, true, "the disk is full");  // the merged one is the second apply
  start();
  store->hold();
  commit(unit(a, 1));
  store->wait_for_held();
  commit(unit(a, 2));
  commit(unit(bad, 3));
  commit(unit(b, 4));
  store->release();
  ASSERT_TRUE(eventually([&] { return done.size() == 3; }));
  EXPECT_EQ(done_tokens(), (std::vector<std::uint64_t>{1, 2, 4}));
  store->heal(bad.id);
  ASSERT_TRUE(flush());
}

TEST_F(CommitterTest, D6_stops_with_stuck_labors) {
  const Labor bad = stored_labor();
  store->poison(bad.id);
  start();
  commit(unit(bad, 1));
  ASSERT_TRUE(eventually([&] { return !healths.empty(); }));
  committer.reset();
  EXPECT_TRUE(done.empty());
}

TEST_F(CommitterTest, D6_a_write_that_hangs_is_said) {
  const Labor labor = stored_labor();
  start();
  store->hold();
  commit(unit(labor, 1));
  store->wait_for_held();
  const auto health = committer->health();
  EXPECT_TRUE(is_set(health.writing_since)) << "a write is under way";
  store->release();
  ASSERT_TRUE(flush());
  EXPECT_FALSE(is_set(committer->health().writing_since));
}

TEST_F(CommitterTest, D6_stops_beside_a_write_that_hangs_and_the_lock_is_kept_until_it_returns) {
  const Labor labor = stored_labor();
  start();
  store->hold();
  commit(unit(labor, 1));
  store->wait_for_held();
  commit(unit(labor, 2));
  std::promise<void> let_go;
  auto released = let_go.get_future();
  EXPECT_FALSE(committer->stop(std::chrono::steady_clock::now(), {nullptr, [&](void*) { let_go.set_value(); }}));
  EXPECT_TRUE(committer->stop(std::chrono::steady_clock::now(), nullptr)) << "again: there is nothing to do";
  committer.reset();
  EXPECT_EQ(released.wait_for(milliseconds(20)), std::future_status::timeout) << "the write goes on";
  store->release();
  released.wait();
  EXPECT_TRUE(done_tokens().empty()) << "nobody is there to be told";
  EXPECT_EQ(store->read_job(labor.id.with_ordinal(3), true).rounds, 1U) << "and nothing more is written";
}

TEST_F(CommitterTest, D6_stops_at_once_where_nothing_hangs) {
  const Labor labor = stored_labor();
  start();
  commit(unit(labor, 1));
  ASSERT_TRUE(flush());
  bool kept = true;
  EXPECT_TRUE(
      committer->stop(std::chrono::steady_clock::now() + std::chrono::minutes(10), {nullptr, [&](void*) { kept = false; }}));
  EXPECT_FALSE(kept);
}

TEST_F(CommitterTest, D5_signals_are_for_other_threads) {
  const Labor labor = make_labor();
  sigset_t blocked;
  sigemptyset(&blocked);
  store->fail_with(1, 1, [&] { pthread_sigmask(SIG_SETMASK, nullptr, &blocked); });
  start();
  commit(submit(labor, 1));
  ASSERT_TRUE(flush());
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD}) EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGINT), 0) << "the maker's mask is as it was";
}

TEST_F(CommitterTest, D5_callbacks_may_give_more_and_ask_for_health) {
  const Labor labor = stored_labor();
  std::atomic<std::uint64_t> next = 1;
  committer = make_committer(
      store,
      [&](std::vector<CommitResult>) {
        committer->health();
        committer->figures();
        if (next < 50) commit(unit(labor, ++next));
      },
      [&] { committer->health(); }, Backoff(milliseconds(1), milliseconds(20), Random(1)));
  commit(unit(labor, 1));
  while (committer->figures().units < 50) std::this_thread::yield();
  EXPECT_TRUE(flush());
}

TEST_F(CommitterTest, D5_and_D6_random_faults_lose_and_reorder_nothing) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    auto faulty = std::make_shared<FaultyStore>(make_memory_store());
    std::vector<Labor> labors;
    for (int i = 0; i < 5; ++i) {
      labors.push_back(make_labor());
      faulty->inner()->write_labor(labors.back());
    }
    for (std::uint64_t at = 1; at < 60; at += 1 + random.below(6)) faulty->fail(at, 1, random.chance(0.5));
    if (random.chance(0.5)) faulty->poison(labors[0].id);
    std::mutex guard;
    std::map<Id, std::vector<std::uint64_t>> given, told;
    std::map<std::uint64_t, Id> owner;
    auto under_test = make_committer(
        faulty,
        [&](std::vector<CommitResult> results) {
          const std::lock_guard lock(guard);
          for (const auto& result : results) told[owner[result.token]].push_back(result.token);
        },
        nullptr, Backoff(std::chrono::microseconds(50), milliseconds(1), Random(seed)), 1 + random.below(20));
    for (std::uint64_t token = 1; token <= 200; ++token) {
      const Labor& labor = labors[random.below(labors.size())];
      {
        const std::lock_guard lock(guard);
        given[labor.id].push_back(token);
        owner[token] = labor.id;
      }
      std::vector<CommitUnit> units;
      units.push_back(unit(labor, token));
      under_test->commit(std::move(units));
      if (random.chance(0.1)) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    std::this_thread::sleep_for(milliseconds(2));
    faulty->heal(labors[0].id);
    ASSERT_TRUE(under_test->flush(std::chrono::steady_clock::now() + std::chrono::seconds(20))) << seed;
    EXPECT_EQ(given, told) << seed;
    for (const auto& labor : labors) {
      std::vector<std::uint64_t> stored;
      for (const auto& row : history_rows(*faulty, labor.id)) stored.push_back(row.first);
      EXPECT_EQ(stored, given[labor.id]) << seed;
      if (!stored.empty()) {
        EXPECT_EQ(faulty->read_job(labor.id.with_ordinal(3), true).rounds, stored.back());
      }
    }
  }
}

}  // namespace
}  // namespace cogwork
