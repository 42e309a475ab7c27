// What running attempts say is stored while they run: in commits that happen anyway, and else in one of its own after a while.
#include <gtest/gtest.h>

#include "cogwork/cogs/labor_log.h"
#include "cogwork/engine/unstored_logs.h"
#include "support/core_world.h"
#include "support/engine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;

class StoredLogs : public testing::Test {
 protected:
  StoredLogs() {
    CogInfo info;
    info.name = "ok";
    info.origin = "test:ok";
    cogs_->add(info);
    EngineOptions options;
    options.workers = 4;
    world_ = std::make_unique<CoreWorld>(store_, cogs_, kStart, 1, options);
  }
  CoreWorld& w() { return *world_; }

  /// A Labor of that many one-Job Sequences, side by side, whose calls have begun.
  Id begun(std::uint32_t sequences) {
    auto answer = w().submit(tree_of(sequences, "ok", sequences), true);
    for (int i = 0; i < 10 && w().jobs.calls().size() < sequences; ++i) w().make_durable();
    EXPECT_EQ(w().jobs.calls().size(), sequences);
    return answer->id;
  }
  void say(const Id& labor, AttemptKey key, const std::string& text) {
    AttemptRequest request;
    request.key = key;
    request.job = w().jobs.calls().at(key).job;
    w().core.log_of(labor)->add(request, text);
    w().core.said(labor);
    w().turn();
  }
  std::string stored(AttemptKey key) { return store_->read_job(w().jobs.calls().at(key).job, true).attempts.back().log.str(); }
  AttemptKey first() { return w().jobs.calls().begin()->first; }

  std::shared_ptr<Storage> store_ = make_memory_store();
  std::shared_ptr<CogRegistry> cogs_ = std::make_shared<CogRegistry>();
  std::unique_ptr<CoreWorld> world_;
};

TEST_F(StoredLogs, NoCommitIsMadeForALineAtOnce) {
  const auto labor = begun(1);
  say(labor, first(), "on my way");
  EXPECT_EQ(w().committer.queued(), 0u);
}

TEST_F(StoredLogs, AfterAWhileACommitIsMadeForThem) {
  const auto labor = begun(1);
  say(labor, first(), "on my way");
  say(labor, first(), "half way");
  ASSERT_TRUE(w().next);
  w().advance_to(w().clock.now().steady + UnstoredLogs::kLatest);
  EXPECT_EQ(w().committer.queued(), 1u);
  w().make_durable();
  EXPECT_EQ(stored(first()), "on my way\nhalf way");
}

TEST_F(StoredLogs, TheyGoWithACommitThatHappensAnyway) {
  const auto labor = begun(2);
  const auto [one, other] = std::pair(w().jobs.calls().begin()->first, w().jobs.calls().rbegin()->first);
  say(labor, one, "on my way");
  w().finish(w().jobs, other, Outcome{});
  w().make_durable();
  EXPECT_EQ(stored(one), "on my way");
}

TEST_F(StoredLogs, OfOneLaborAtMostOnceASecond) {
  const auto labor = begun(3);
  std::vector<AttemptKey> keys;
  for (const auto& [key, call] : w().jobs.calls()) keys.push_back(key);
  say(labor, keys[0], "one");
  w().finish(w().jobs, keys[1], Outcome{});
  w().make_durable();
  say(labor, keys[0], "two");
  w().finish(w().jobs, keys[2], Outcome{});
  w().make_durable();
  EXPECT_EQ(stored(keys[0]), "one") << "a second has not passed";
  w().advance_to(w().clock.now().steady + UnstoredLogs::kLatest);
  w().make_durable();
  EXPECT_EQ(stored(keys[0]), "one\ntwo");
}

TEST_F(StoredLogs, NothingPilesUpForAStoreThatFails) {
  const auto labor = begun(2);
  const auto [one, other] = std::pair(w().jobs.calls().begin()->first, w().jobs.calls().rbegin()->first);
  w().finish(w().jobs, other, Outcome{});  // on its way, and does not arrive
  for (int i = 0; i < 20; ++i) {
    say(labor, one, "line");
    w().advance_to(w().clock.now().steady + UnstoredLogs::kLatest);
  }
  EXPECT_EQ(w().committer.queued(), 1u);
}

TEST_F(StoredLogs, AreBounded) {
  const auto labor = begun(1);
  for (int i = 0; i < 45; ++i) {
    say(labor, first(), std::string(2000, 'x'));
    w().advance_to(w().clock.now().steady + UnstoredLogs::kLatest);
    w().make_durable();
  }
  const auto log = stored(first());
  EXPECT_LT(log.size(), std::size_t{65} << 10);
  EXPECT_TRUE(log.ends_with("more lines were dropped")) << log.substr(log.size() - 60);
}

TEST_F(StoredLogs, X8aACallThatIsClosedWhileItGoesOnKeepsWhatItSaid) {
  const auto labor = begun(1);
  const auto job = w().jobs.calls().begin()->second.job;
  say(labor, first(), "cannot be ended");
  w().signal({labor, Signal::STOP, true, "tester", ""});
  for (int i = 0; i < 10 && w().next && !w().jobs.calls().empty(); ++i) w().advance_to(*w().next);
  w().make_durable();
  const auto attempt = store_->read_job(job, true).attempts.back();
  EXPECT_EQ(attempt.error, "interrupted, still running");
  EXPECT_EQ(attempt.log, "cannot be ended");
}

TEST_F(StoredLogs, AnAnswerBringsTheWholeLog) {
  const auto labor = begun(1);
  const auto job = w().jobs.calls().begin()->second.job;
  say(labor, first(), "a line");
  Outcome outcome;
  outcome.log = "a line\nand another";
  w().finish(w().jobs, first(), outcome);
  w().make_durable();
  EXPECT_EQ(store_->read_job(job, true).attempts.back().log, "a line\nand another");
}

TEST_F(StoredLogs, ClosingStoresAllOfThem) {
  const auto labor = begun(1);
  const auto key = first();
  say(labor, key, "on my way");
  w().core.begin_close(std::make_shared<Completion>());
  w().core.store_logs();
  w().turn();
  w().make_durable();
  EXPECT_EQ(stored(key), "on my way");
}

}  // namespace
}  // namespace cogwork::test
