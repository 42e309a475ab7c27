#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/engine/core.h"
#include "cogwork/engine/take_up.h"
#include "cogwork/model/validate.h"
#include "cogwork/storage/stores.h"

namespace cogwork::test {

/// A time of day for lives that begin at no special one.
inline constexpr Time kStart = from_micros(1'700'000'000'000'000);

/// The Cog `ok`, which may run again.
inline std::shared_ptr<CogRegistry> one_cog() {
  auto cogs = std::make_shared<CogRegistry>();
  CogInfo info;
  info.name = "ok";
  info.origin = "test:ok";
  info.defaults.idempotent = true;
  cogs->add(info);
  return cogs;
}

/// A committer without a thread: units queue up until the test makes some of them durable.
class ScriptedCommitter final : public Committer {
 public:
  explicit ScriptedCommitter(std::shared_ptr<Storage> store) : store_(std::move(store)) {}

  void commit(std::vector<CommitUnit> units) override { std::move(units.begin(), units.end(), std::back_inserter(queue_)); }
  StoreHealth health() const override { return {}; }
  bool flush(std::optional<std::chrono::steady_clock::time_point>) override { return queue_.empty(); }
  Figures figures() const override { return {commits_, units_, queue_.size()}; }
  bool stop(std::chrono::steady_clock::time_point, std::shared_ptr<void>) override { return true; }

  std::size_t queued() const { return queue_.size(); }
  /// The writes of this Labor fail for good: they wait, and whatever else there is overtakes them.
  void poison(const Id& labor) { poisoned_.insert(labor); }
  void heal_all() { poisoned_.clear(); }

  /// One commit of up to `most` units, in order; what is poisoned waits, or is given up where it asks for that.
  std::vector<CommitResult> make_durable(std::size_t most) {
    std::vector<CommitResult> results;
    std::deque<CommitUnit> later;
    Batch batch;
    while (!queue_.empty() && most > 0) {
      auto unit = std::move(queue_.front());
      queue_.pop_front();
      if (poisoned_.contains(unit.labor)) {
        if (unit.give_up_on_error) {
          results.push_back({unit.token, "poisoned"});
        } else {
          later.push_back(std::move(unit));
        }
        continue;
      }
      --most;
      std::move(unit.batch.writes.begin(), unit.batch.writes.end(), std::back_inserter(batch.writes));
      std::move(unit.batch.history.begin(), unit.batch.history.end(), std::back_inserter(batch.history));
      std::move(unit.batch.records.begin(), unit.batch.records.end(), std::back_inserter(batch.records));
      results.push_back({unit.token, {}});
      ++units_;
    }
    std::move(later.rbegin(), later.rend(), std::front_inserter(queue_));
    if (!batch.empty()) {
      store_->apply(batch);
      ++commits_;
    }
    return results;
  }

 private:
  std::shared_ptr<Storage> store_;
  std::deque<CommitUnit> queue_;
  std::set<Id> poisoned_;
  std::uint64_t commits_ = 0, units_ = 0;
};

/// An executor without threads: calls lie here until the test answers them. Checks that nothing begins before its record (D2, D3).
class ScriptedExecutor final : public Executor {
 public:
  ScriptedExecutor(Storage& store, Clock& clock, int places, bool checks)
      : store_(store), clock_(clock), places_(places), checks_(checks) {}

  void start(AttemptRequest request) override {
    EXPECT_EQ(request.check, checks_);
    const auto stored = store_.read_job(request.job, true);
    EXPECT_EQ(stored.state, State::RUNNING) << "D2";
    EXPECT_TRUE(!stored.attempts.empty() && stored.attempts.back().open() && stored.attempts.back().number == request.number)
        << "D2: " << request.job.text() << " is called before the record that it starts is durable";
    if (!request.check) {
      const auto labor = store_.read_labor(request.job.labor(), true);
      const auto& sequence = labor.sequences[stored.sequence];
      EXPECT_TRUE(is_under_way(sequence.state)) << "D3";
      for (auto before = sequence.first_job; labor.jobs[before].ordinal < stored.ordinal; ++before) {
        EXPECT_EQ(labor.jobs[before].state, State::COMPLETED) << "D3";
      }
      EXPECT_EQ(request.outputs().size(), stored.ordinal - labor.jobs[sequence.first_job].ordinal) << "X7";
    }
    EXPECT_TRUE(calls_.emplace(request.key, Call{request.job, request.check, false, clock_.now().steady}).second);
    EXPECT_LE(calls_.size(), static_cast<std::size_t>(places_)) << "X13";
    ++started_;
  }
  std::optional<SteadyTime> called(AttemptKey key) const override {
    const auto found = calls_.find(key);
    return found == calls_.end() ? std::nullopt : found->second.called;
  }
  void interrupt(AttemptKey key) override {
    if (const auto found = calls_.find(key); found != calls_.end()) found->second.asked_to_end = true;
  }
  void abandon(AttemptKey key) override {
    EXPECT_EQ(calls_.erase(key), 1u) << "X8a";
    abandoned_.push_back(key);
  }

  struct Call {
    Id job;
    bool check = false;
    bool asked_to_end = false;
    std::optional<SteadyTime> called;  ///< Nothing: no worker has taken it.
  };
  const std::map<AttemptKey, Call>& calls() const { return calls_; }
  /// When a worker took that call; nothing: none has.
  void set_called(AttemptKey key, std::optional<SteadyTime> when) { calls_.at(key).called = when; }
  const std::vector<AttemptKey>& abandoned() const { return abandoned_; }
  std::uint64_t started() const { return started_; }
  void remove(AttemptKey key) { calls_.erase(key); }

 private:
  Storage& store_;
  Clock& clock_;
  const int places_;
  const bool checks_;
  std::map<AttemptKey, Call> calls_;
  std::vector<AttemptKey> abandoned_;
  std::uint64_t started_ = 0;
};

/// A whole engine in one thread, from one seed: its core, with a clock, a committer and executors that the test moves by hand. `die()` ends
/// it as a kill would; the next life is another world on the same store.
class CoreWorld {
 public:
  CoreWorld(std::shared_ptr<Storage> store_in, std::shared_ptr<CogRegistry> cogs_in, Time now, std::uint64_t seed,
            EngineOptions options)
      : store(std::move(store_in)),
        cogs(std::move(cogs_in)),
        clock(now),
        committer(store),
        jobs(*store, clock, options.workers, false),
        checks(*store, clock, options.workers, true),
        feeds(std::make_shared<FeedHub>(store, store->last_change())),
        core(seams(seed), options, store->last_change()) {
    open_core(core, *store, *cogs, EngineOptions{});
    turn();
  }

  std::shared_ptr<Storage> store;
  std::shared_ptr<CogRegistry> cogs;
  ManualClock clock;
  ScriptedCommitter committer;
  ScriptedExecutor jobs, checks;
  std::shared_ptr<FeedHub> feeds;
  Core core;
  std::optional<SteadyTime> next;

  /// What the scheduler thread does after each call.
  void turn() {
    core.tick();
    next = core.settle();
  }
  struct Submitted {
    bool answered = false;
    Id id;
    std::exception_ptr error;
  };
  std::shared_ptr<Submitted> submit(Labor labor, bool start, const std::string& fingerprint = {}) {
    std::vector<Fault> faults;
    validate(labor, *cogs, faults);
    EXPECT_TRUE(faults.empty());
    complete(labor, *cogs);
    labor.cogs = origins_of(labor, *cogs);
    auto answer = std::make_shared<Submitted>();
    core.submit(std::make_shared<Labor>(std::move(labor)), fingerprint, start, "tester", [answer](Id id, std::exception_ptr error) {
      *answer = {true, id, std::move(error)};
    });
    turn();
    return answer;
  }
  struct Sent {
    bool answered = false;
    std::shared_ptr<Ack> ack;
    std::exception_ptr error;
    Id object;
    Signal signal = Signal::STOP;
  };
  std::shared_ptr<Sent> signal(const SignalOrder& order) {
    auto answer = std::make_shared<Sent>();
    answer->object = order.object;
    answer->signal = order.signal;
    core.signal(order, [answer](std::shared_ptr<Ack> ack, std::exception_ptr error) {
      answer->answered = true;
      answer->ack = std::move(ack);
      answer->error = std::move(error);
    });
    turn();
    return answer;
  }
  std::shared_ptr<Submitted> crisis_pause(Latch latch) {
    auto answer = std::make_shared<Submitted>();
    core.crisis_pause(std::move(latch), [answer](const LatchSet& set, std::exception_ptr error) {
      if (error) {
        *answer = {true, {}, std::move(error)};
        return;
      }
      answer->id = set.id;  // in force already
      set.recorded->completion().on_done([answer, closed = set.recorded.get()] {
        answer->answered = true;
        if (closed->closed()) answer->error = closed_error();
      });
    });
    turn();
    return answer;
  }
  std::shared_ptr<Sent> crisis_resume(const Id& latch) {
    auto answer = std::make_shared<Sent>();
    answer->signal = Signal::CRISIS_RESUME;
    core.crisis_resume(latch, "carl", "mended", [answer](std::shared_ptr<Ack> ack, std::exception_ptr error) {
      answer->answered = true;
      answer->ack = std::move(ack);
      answer->error = std::move(error);
    });
    turn();
    return answer;
  }
  void make_durable(std::size_t units = SIZE_MAX) {
    auto results = committer.make_durable(units);
    if (!results.empty()) core.committed(std::move(results));
    turn();
  }
  void finish(ScriptedExecutor& executor, AttemptKey key, Outcome outcome) {
    executor.remove(key);
    core.outcome(key, std::move(outcome));
    turn();
  }
  void advance_to(SteadyTime t) {
    clock.advance(std::max(t - clock.now().steady, Duration(0)));
    turn();
  }

  /// What must hold between any two calls.
  void expect_sound() {
    for (const auto* executor : {&jobs, &checks}) {
      for (const auto& [key, call] : executor->calls()) {
        const auto state = core.state(call.job.labor());
        if (!state) {
          ADD_FAILURE() << "X1: a call outlives its Labor";
          continue;
        }
        EXPECT_FALSE(is_paused(*state)) << "G4: paused means that nothing is executing";
        EXPECT_FALSE(has_ended(*state)) << "X1";
      }
    }
  }

 private:
  CoreSeams seams(std::uint64_t seed) {
    CoreSeams s;
    s.clock = &clock;
    s.committer = &committer;
    s.cogs = cogs.get();
    s.jobs = &jobs;
    s.checks = &checks;
    s.async_calls = &jobs;
    s.feeds = feeds;
    s.random = Random(seed);
    return s;
  }
};

}  // namespace cogwork::test
