// The whole engine in one thread, from one seed: its seams are enough (D1-D4, X13, R1-R5).
#include "cogwork/engine/core.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "support/core_world.h"
#include "support/engine_world.h"
#include "support/random_labor.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using A = AttemptStatus;

/// Many lives of one store: engines that run it, are killed or closed, and take it up again.
class Lives {
 public:
  explicit Lives(std::uint64_t seed) : random_(seed) {
    options_.workers = static_cast<int>(1 + random_.below(5));
    options_.grace = 2s;
    open();
  }

  void go(int lives, int steps_each) {
    for (; lives > 0 && !testing::Test::HasFailure(); --lives) {
      for (int i = 0; i < steps_each && !testing::Test::HasFailure(); ++i) step();
      end_life();
    }
  }

  /// Lets go of everything that is held, and answers every call, until all Labors have ended.
  void drain() {
    w().committer.heal_all();
    for (int i = 0; i < 100'000 && !testing::Test::HasFailure(); ++i) {
      release_all();
      w().make_durable();
      finish_all();
      if (unfinished().empty() && w().committer.queued() == 0) break;
      if (w().jobs.calls().empty() && w().checks.calls().empty() && w().committer.queued() == 0 && w().next) {
        w().advance_to(*w().next);
      }
      w().expect_sound();
    }
    EXPECT_TRUE(unfinished().empty()) << "something does not come to its end";
    EXPECT_EQ(w().core.executing(), 0u);
    Stats stats;
    w().core.fill(stats);
    for (const auto* counter : {&stats.labors, &stats.tasks, &stats.sequences, &stats.jobs}) {
      EXPECT_EQ(counter->executing, 0u) << "X12";
    }
    for (const auto& sent : sent_) {
      EXPECT_TRUE(sent->answered) << "G1: taken at once";
      if (sent->ack) {
        EXPECT_TRUE(sent->ack->done()) << "G1: a signal was never acknowledged";
      }
    }
    for (const auto& submitted : submitted_) EXPECT_TRUE(submitted->answered);
    for (const auto& answered : decisions_) EXPECT_TRUE(*answered) << "R2: a decision was never answered";
    for (auto stream = store->labors({}); auto labor = stream->next();) {
      expect_sound_tree(store->read_labor(labor->id, true), !held_back(labor->id));
    }
    expect_sound_history(*store);
    expect_one_labor_a_client();
    end_feed();
  }

  std::shared_ptr<Storage> store = make_memory_store();
  std::uint64_t calls() const { return calls_; }
  std::size_t labors() const { return ids_.size(); }

 private:
  CoreWorld& w() { return *world_; }

  void open() {
    world_ = std::make_unique<CoreWorld>(store, cogs_, now_, random_.next(), options_);
    sent_.clear();
    submitted_.clear();
    begun_.clear();
    decisions_.clear();
    feed_from_ = store->last_change();
    feed_ = w().feeds->open(Id{}, std::nullopt, false);
    seen_.clear();
  }

  void end_life() {
    auto& core = w().core;
    for (const auto& sent : sent_) {
      if (!sent->ack || !sent->ack->done() || sent->signal != Signal::STOP || !sent->ack->applied()) continue;
      EXPECT_TRUE(has_ended(store->read_labor(sent->object.labor(), true).state) || sent->object.ordinal() != 0) << "D4";
    }
    if (random_.chance(0.6)) {  // killed: what was not committed is lost, and perhaps the news of the last commit
      if (random_.chance(0.5)) w().committer.make_durable(random_.below(w().committer.queued() + 1));
    } else {
      auto quiet = std::make_shared<Completion>();
      core.begin_close(quiet);
      w().turn();
      for (auto n = random_.below(20); n > 0; --n) step();
      if (!quiet->done()) {
        if (random_.chance(0.5)) core.interrupt_all();
        w().turn();
        for (int i = 0; i < 100 && !quiet->done(); ++i) {
          finish_all();
          if (!quiet->done() && w().next && random_.chance(0.3)) w().advance_to(*w().next);
        }
        EXPECT_TRUE(quiet->done()) << "it does not come to rest";
      }
      w().committer.heal_all();
      while (w().committer.queued() > 0) w().make_durable();
      const auto report = core.finish();
      for (const auto& left : report.left) EXPECT_FALSE(has_ended(left.state));
      for (const auto& sent : sent_) {
        EXPECT_TRUE(sent->answered);
        if (sent->ack) {
          EXPECT_TRUE(sent->ack->done());
        }
      }
      for (const auto& submitted : submitted_) EXPECT_TRUE(submitted->answered);
      end_feed();
    }
    calls_ += w().jobs.started() + w().checks.started();
    now_ = w().clock.wall() + Duration(static_cast<std::int64_t>(random_.below(100'000'000)));
    feed_.reset();
    world_.reset();
    expect_sound_history(*store);
    open();
  }

  void end_feed() {
    w().feeds->close();
    look(1000);
    EXPECT_TRUE(feed_->over());
    std::set<std::uint64_t> stored;
    store->history(Id{}, feed_from_, [&](const HistoryRow& row) {
      for (std::uint64_t i = 0; i < row.count; ++i) stored.insert(row.first + i);
      return true;
    });
    EXPECT_EQ(seen_, stored) << "D7: a feed left something out";
  }
  void look(int times) {
    for (; times > 0; --times) {
      const auto piece = feed_->poll();
      if (piece.empty()) return;
      for (const auto& change : piece) EXPECT_TRUE(seen_.insert(change.number).second) << "D7: a feed brought something twice";
    }
  }

  void step() {
    auto& world = w();
    switch (random_.below(13)) {
      case 0:
        if (ids_.size() < 400 && random_.chance(0.3)) submit();
        break;
      case 1:
        if (random_.chance(0.4)) signal();
        if (random_.chance(0.4)) decide_one();
        break;
      case 2:
      case 3:
      case 4: world.make_durable(random_.chance(0.7) ? SIZE_MAX : random_.below(3)); break;
      case 5:
      case 6:
      case 7: finish_one(world.jobs); break;
      case 8: finish_one(world.checks); break;
      case 9:
        if (world.next && random_.chance(0.4)) {
          world.advance_to(*world.next);
        } else {
          world.advance_to(world.clock.now().steady + Duration(static_cast<std::int64_t>(random_.below(3'000'000))));
        }
        break;
      case 10: look(static_cast<int>(random_.below(3))); break;
      case 11:
        if (random_.chance(0.05) && !ids_.empty()) world.committer.poison(any_id());
        if (random_.chance(0.1)) world.committer.heal_all();
        // X9: who answers after his attempt was closed is not heard.
        for (const auto* executor : {&world.jobs, &world.checks}) {
          if (!executor->abandoned().empty()) world.core.outcome(executor->abandoned().back(), Outcome{});
        }
        world.core.outcome(1'000'000'000, Outcome{});
        world.turn();
        break;
      case 12:
        if (latches_wanted_) latch();
        break;
    }
    world.expect_sound();
    expect_nothing_begins_under_a_latch();
  }

  // ---- G8 ----

  struct Crisis {
    Latch latch;
    std::shared_ptr<CoreWorld::Submitted> answer;
  };
  void latch() {
    if (random_.chance(0.15) && w().core.crises(false).size() < 3) {
      Latch latch;
      latch.by = "bob";
      if (random_.chance(0.8)) latch.tags = {random_.chance(0.5) ? "a" : "b"};
      if (random_.chance(0.2)) latch.cogs = {random_.chance(0.8) ? "ok" : "none"};
      if (random_.chance(0.2)) latch.name_prefix = random_.chance(0.8) ? "tr" : "none";
      crises_.push_back({latch, w().crisis_pause(latch)});
      return;
    }
    for (const auto& status : w().core.crises(false)) {
      if (status.lifting || !random_.chance(0.15)) continue;
      lift(status.latch.id);
      return;
    }
  }
  void lift(const Id& id) {
    lifted_.insert(id);
    sent_.push_back(w().crisis_resume(id));
    EXPECT_TRUE(sent_.back()->ack);
  }
  void expect_nothing_begins_under_a_latch() {
    for (const auto* executor : {&w().jobs, &w().checks}) {
      for (const auto& [key, call] : executor->calls()) {
        if (!begun_.insert(key).second) continue;
        const auto labor = store->read_labor(call.job.labor(), false);
        EXPECT_TRUE(w().core.progress(labor.id)->latches.empty()) << "G8";
        for (const auto& crisis : crises_) {
          if (!crisis.answer->answered || crisis.answer->error || lifted_.contains(crisis.answer->id)) continue;
          EXPECT_FALSE(matches(crisis.latch, labor)) << "G8: an attempt begins under a latch that was acknowledged";
        }
      }
    }
  }

  void submit() {
    auto labor = tree_of(static_cast<std::uint32_t>(1 + random_.below(6)), "ok", static_cast<std::uint32_t>(1 + random_.below(4)),
                         static_cast<std::uint32_t>(1 + random_.below(3)));
    if (random_.chance(0.7)) labor.tags = {random_.chance(0.5) ? "a" : "b"};
    labor = with_checks(std::move(labor), std::vector<std::string>(random_.below(2), "ok"),
                        std::vector<std::string>(random_.below(2), "ok"));
    auto& task = labor.tasks[0];
    task.tolerated_failures.number = static_cast<std::int64_t>(random_.below(5)) - 1;
    task.strict = random_.chance(0.2);
    task.cont_check_interval = std::chrono::seconds(1 + random_.below(20));
    task.bake = std::chrono::seconds(random_.below(2) * 5);
    task.pause_on_entry = random_.chance(0.05);
    for (auto& job : labor.jobs) {
      job.options.retries = static_cast<std::int32_t>(random_.below(3));
      job.options.retry_delay = std::chrono::seconds(random_.below(3));
      job.options.timeout = std::chrono::seconds(1 + random_.below(30));
      job.options.on_interrupt = static_cast<std::int8_t>(random_.chance(0.2)   ? OnInterrupt::HOLD
                                                          : random_.chance(0.5) ? OnInterrupt::RETRY
                                                                                : OnInterrupt::FAIL);
    }
    if (random_.chance(0.5)) {
      // S3: now and then somebody submits what he has submitted before.
      labor = tree_of(2, "ok", 2);
      labor.client_id = "client" + std::to_string(random_.below(30));
    }
    const bool start = random_.chance(0.8);
    auto answer = w().submit(labor, start, labor.client_id.str());
    submitted_.push_back(answer);
    if (!labor.client_id.empty()) by_client_.emplace_back(labor.client_id.str(), answer);
    if (random_.chance(0.5)) w().make_durable();
    // D1: what was answered is stored.
    for (const auto& submitted : submitted_) {
      if (!submitted->answered || submitted->error || known_.contains(submitted->id)) continue;
      EXPECT_NO_THROW(store->read_labor(submitted->id, true)) << "D1";
      known_.insert(submitted->id);
      ids_.push_back(submitted->id);
    }
  }
  /// S3: whoever submitted something under one client_id, in whatever life, was told one id.
  void expect_one_labor_a_client() {
    std::map<std::string, Id> ids;
    for (const auto& [client, submitted] : by_client_) {
      if (!submitted->answered || submitted->error) continue;
      EXPECT_EQ(ids.try_emplace(client, submitted->id).first->second, submitted->id) << client;
    }
  }
  Id any_id() { return ids_[random_.below(ids_.size())]; }
  void signal() {
    if (ids_.empty()) return;
    auto signal = static_cast<Signal>(random_.below(kSignals));
    if (signal == Signal::STOP && !random_.chance(0.3)) signal = Signal::RESUME;
    const auto id = random_.chance(0.7) ? ids_[ids_.size() - 1 - random_.below(std::min<std::size_t>(ids_.size(), 5))] : any_id();
    const auto ordinal = random_.chance(0.5) ? 0 : static_cast<std::uint32_t>(random_.below(12));
    if (random_.chance(0.1)) {
      w().core.start(id, "ann", "", [](const std::shared_ptr<Ack>&, const std::exception_ptr&) {});
      w().turn();
    }
    if (!w().core.knows(id)) {  // as the engine does with what does not run
      Change change;
      change.kind = Change::Kind::SIGNAL;
      change.refused = true;
      change.signal = signal;
      w().core.record_refused(id, change, end_of_chain(*store, id));
      w().turn();
      return;
    }
    sent_.push_back(w().signal({id.with_ordinal(ordinal), signal, random_.chance(0.3), "ann", "why"}));
  }

  Outcome any_outcome(bool asked_to_end) {
    Outcome outcome;
    if (asked_to_end && random_.chance(0.2)) {
      outcome.status = A::WITHDRAWN;  // nobody had taken it
    } else if (random_.chance(asked_to_end ? 0.7 : 0.15)) {
      constexpr A kLost[] = {A::FAILURE, A::FAILURE, A::FAILURE_NO_RETRIES};
      outcome.status = kLost[random_.below(3)];
    }
    return outcome;
  }
  void finish_one(ScriptedExecutor& executor) {
    if (executor.calls().empty()) return;
    auto at = executor.calls().begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_.below(executor.calls().size())));
    w().finish(executor, at->first, any_outcome(at->second.asked_to_end));
  }
  void finish_all() {
    for (auto* executor : {&w().jobs, &w().checks}) {
      while (!executor->calls().empty()) {
        const auto [key, call] = *executor->calls().begin();
        w().finish(*executor, key, any_outcome(call.asked_to_end));
      }
    }
  }
  bool held_back(const Id& id) {
    const auto& waiting = w().core.waiting();
    return std::any_of(waiting.begin(), waiting.end(), [&](const auto& one) { return one.labor == id; });
  }
  std::vector<Id> unfinished() {
    std::vector<Id> found;
    for (auto stream = store->labors({}); auto labor = stream->next();) {
      if (!has_ended(labor->state) && !held_back(labor->id)) found.push_back(labor->id);
    }
    return found;
  }
  /// R2: about one that is held, or, now and then, about any Job.
  bool decide_one() {
    Stats stats;
    w().core.fill(stats);
    const bool any = random_.chance(0.1) && !ids_.empty();
    if (stats.held.empty() && !any) return false;
    const auto about = any ? any_id().with_ordinal(static_cast<std::uint32_t>(random_.below(12)))
                           : stats.held[random_.below(stats.held.size())].job;
    auto answer = std::make_shared<bool>(false);
    w().core.decide({about, static_cast<Decision>(1 + random_.below(3)), "ann", "looked"},
                    [answer](const std::shared_ptr<Ack>&, const std::exception_ptr&) { *answer = true; });
    w().turn();
    decisions_.push_back(answer);
    return true;
  }
  void release_all() {
    for (const auto& status : w().core.crises(false)) {
      if (!status.lifting) lift(status.latch.id);
    }
    while (true) {
      Stats stats;
      w().core.fill(stats);
      if (stats.held.empty()) break;
      decide_one();
    }
    for (const auto& id : unfinished()) {
      const auto state = w().core.state(id);
      if (!state) continue;
      if (*state == S::ADMIN_NOT_STARTED) {
        w().core.start(id, "ann", "", [](const std::shared_ptr<Ack>&, const std::exception_ptr&) {});
        w().turn();
      }
      for (std::uint32_t ordinal = 0; ordinal < 30; ++ordinal) {
        for (const auto resume : {Signal::CRISIS_RESUME, Signal::ADMIN_RESUME, Signal::RESUME}) {
          const auto object = id.with_ordinal(ordinal);
          if (w().core.state(object) == (resume == Signal::RESUME         ? S::PAUSED
                                         : resume == Signal::ADMIN_RESUME ? S::ADMIN_PAUSED
                                                                          : S::CRISIS_PAUSED)) {
            sent_.push_back(w().signal({object, resume, false, "ann", ""}));
          }
        }
      }
    }
  }

  Random random_;
  EngineOptions options_;
  std::shared_ptr<CogRegistry> cogs_ = one_cog();
  Time now_ = kStart;
  std::unique_ptr<CoreWorld> world_;
  std::vector<Id> ids_;
  std::set<Id> known_;
  std::vector<std::shared_ptr<CoreWorld::Sent>> sent_;
  std::vector<std::shared_ptr<CoreWorld::Submitted>> submitted_;
  std::vector<std::shared_ptr<bool>> decisions_;
  std::vector<std::pair<std::string, std::shared_ptr<CoreWorld::Submitted>>> by_client_;
  const bool latches_wanted_ = random_.chance(0.5);
  std::vector<Crisis> crises_;
  std::set<Id> lifted_;  // those of which it was said that they are to be
  std::set<AttemptKey> begun_;
  std::unique_ptr<ChangeFeed> feed_;
  std::uint64_t feed_from_ = 0;
  std::set<std::uint64_t> seen_;
  std::uint64_t calls_ = 0;
};

TEST(CoreSeams, AOneJobLaborRunsWithoutAnyThread) {
  CoreWorld w(make_memory_store(), one_cog(), kStart, 1, {});
  const auto submitted = w.submit(tree_of(1), true);
  EXPECT_FALSE(submitted->answered) << "D1";
  w.make_durable();
  ASSERT_TRUE(submitted->answered);
  EXPECT_TRUE(w.jobs.calls().empty()) << "D2: its start is not recorded yet";
  w.make_durable();
  ASSERT_EQ(w.jobs.calls().size(), 1u);
  const auto end = w.core.end_of(submitted->id);
  w.clock.advance(5s);
  w.finish(w.jobs, w.jobs.calls().begin()->first, {});
  EXPECT_EQ(w.core.state(submitted->id), S::COMPLETED);
  EXPECT_FALSE(end->completion().done());
  w.make_durable();
  EXPECT_TRUE(end->completion().done());
  EXPECT_EQ(w.committer.figures().commits, 3u) << "the tree, the start, and the end";
  const auto job = w.store->read_job(submitted->id.with_ordinal(3), true);
  EXPECT_EQ(job.attempts[0].ended - job.attempts[0].started, 5s);
}

TEST(CoreSeams, ATimeOutOfYearsTakesNoTime) {
  CoreWorld w(make_memory_store(), one_cog(), kStart, 1, {});
  auto labor = tree_of(1);
  labor.jobs[0].options.timeout = std::chrono::hours(24 * 365);
  labor.jobs[0].options.retries = 1;
  const auto submitted = w.submit(labor, true);
  w.make_durable();
  w.make_durable();
  ASSERT_TRUE(w.next);
  EXPECT_EQ(*w.next, w.clock.now().steady + std::chrono::hours(24 * 365));
  w.advance_to(*w.next);
  ASSERT_EQ(w.jobs.calls().size(), 1u);
  EXPECT_TRUE(w.jobs.calls().begin()->second.asked_to_end);
  EXPECT_EQ(*w.next, w.clock.now().steady + 2s) << "the grace (X8a)";
  w.advance_to(*w.next);
  EXPECT_TRUE(w.jobs.calls().empty());
  EXPECT_EQ(w.core.state(submitted->id), S::FAILED);
}

TEST(CoreSeams, TheSameSeedIsTheSameHistory) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::vector<HistoryRow> rows[2];
    for (auto& own : rows) {
      Lives lives(seed);
      lives.go(5, 200);
      lives.drain();
      lives.store->history(Id{}, 0, [&](const HistoryRow& row) { return own.push_back(row), true; });
    }
    ASSERT_FALSE(rows[0].empty());
    ASSERT_EQ(rows[0], rows[1]) << seed;
  }
}

/// COGWORK_LIVES_SEED and COGWORK_LIVES repeat one world, or live longer.
TEST(CoreLives, R5WhateverHappensAllThatWasAcknowledgedComesToItsEnd) {
  const auto number = [](const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);  // NOLINT: tests have set no variables yet
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  const auto wanted = number("COGWORK_LIVES", 400);
  auto seed = number("COGWORK_LIVES_SEED", 1);
  std::uint64_t lives = 0, calls = 0, labors = 0;
  for (; lives < wanted && !HasFailure(); ++seed) {
    SCOPED_TRACE("repeat it with COGWORK_LIVES_SEED=" + std::to_string(seed) + " COGWORK_LIVES=1");
    Lives world(seed);
    world.go(8, 250);
    world.drain();
    lives += 8;
    calls += world.calls();
    labors += world.labors();
  }
  RecordProperty("calls", std::to_string(calls));
  RecordProperty("labors", std::to_string(labors));
  if (!HasFailure()) {
    EXPECT_GT(calls, wanted * 5) << "these were no lives";
  }
}

}  // namespace
}  // namespace cogwork::test
