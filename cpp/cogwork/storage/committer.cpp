#include "cogwork/storage/committer.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>

#include "cogwork/base/error.h"
#include "cogwork/base/thread.h"

namespace cogwork {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
using Units = std::vector<CommitUnit>;

template <typename T>
void append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

/// Several units as one batch, made by moving and not by copying; they can be taken apart again.
class Merged {
 public:
  explicit Merged(Units units) : units_(std::move(units)) {
    if (units_.size() == 1) return;
    std::size_t writes = 0, history = 0, records = 0;
    for (const auto& unit : units_) {
      writes += unit.batch.writes.size();
      history += unit.batch.history.size();
      records += unit.batch.records.size();
    }
    batch_.writes.reserve(writes);
    batch_.history.reserve(history);
    batch_.records.reserve(records);
    sizes_.reserve(units_.size());
    for (auto& unit : units_) {
      sizes_.push_back({unit.batch.writes.size(), unit.batch.history.size(), unit.batch.records.size()});
      append(batch_.writes, unit.batch.writes);
      append(batch_.history, unit.batch.history);
      append(batch_.records, unit.batch.records);
      unit.batch = {};
    }
  }

  const Batch& batch() const { return units_.size() == 1 ? units_.front().batch : batch_; }
  const Units& units() const { return units_; }
  /// The rows are not needed any more. To be called before they are reported: who submitted a large tree takes it back without a copy where
  /// nobody else holds it.
  void let_go() {
    batch_ = {};
    for (auto& unit : units_) unit.batch = {};
  }

  Units take_apart() && {
    if (units_.size() == 1) return std::move(units_);
    std::size_t write = 0, row = 0, record = 0;
    const auto back = [](auto& from, std::size_t& at, std::size_t count, auto& to) {
      const auto first = from.begin() + static_cast<std::ptrdiff_t>(at);
      to.assign(std::make_move_iterator(first), std::make_move_iterator(first + static_cast<std::ptrdiff_t>(count)));
      at += count;
    };
    for (std::size_t i = 0; i < units_.size(); ++i) {
      back(batch_.writes, write, sizes_[i].writes, units_[i].batch.writes);
      back(batch_.history, row, sizes_[i].history, units_[i].batch.history);
      back(batch_.records, record, sizes_[i].records, units_[i].batch.records);
    }
    return std::move(units_);
  }

 private:
  struct Sizes {
    std::size_t writes, history, records;
  };
  Units units_;
  std::vector<Sizes> sizes_;
  Batch batch_;
};

constexpr auto kPatience = std::chrono::seconds(10);
constexpr auto kPatiencePerRow = std::chrono::microseconds(50);  // far more than a row costs

/// How long a write of that batch may take before the store is taken to hang.
std::chrono::steady_clock::duration patience_with(const Batch& batch) {
  std::size_t rows = batch.writes.size() + batch.history.size() + batch.records.size();
  for (const auto& write : batch.writes) {
    if (const auto* tree = std::get_if<WriteLabor>(&write)) rows += tree->labor->jobs.size();
  }
  return kPatience + kPatiencePerRow * static_cast<std::int64_t>(rows);
}

/// What the storage thread does. It shares this with the Committer, which may end while a write hangs.
class StorageWork {
 public:
  StorageWork(std::shared_ptr<Storage> store, std::function<void(std::vector<CommitResult>)> done, std::function<void()> trouble,
              Backoff backoff, std::size_t most_units)
      : store_(std::move(store)),
        done_(std::move(done)),
        trouble_(std::move(trouble)),
        fresh_backoff_(backoff),
        backoff_(backoff),
        most_units_(std::max<std::size_t>(1, most_units)) {}

  // ---- any thread ----

  void commit(Units units) {
    if (units.empty()) return;
    {
      const std::lock_guard lock(mutex_);
      outstanding_ += units.size();
      std::move(units.begin(), units.end(), std::back_inserter(queue_));
    }
    work_.notify_one();
  }

  StoreHealth health() const {
    const std::lock_guard lock(mutex_);
    StoreHealth health = health_;
    if (!writing_) return health;
    health.writing_since = writing_->since;
    const auto time = std::chrono::steady_clock::now() - writing_->began;
    health.hangs = time >= writing_->patience;
    if (!health.hangs) return health;
    health.degraded = true;
    health.since = writing_->since;
    health.reason = "a write has been under way for " +
                    std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) +
                    " s and has not returned: the store, or the disk below it, hangs";
    return health;
  }

  bool flush(std::optional<SteadyTime> deadline) {
    std::unique_lock lock(mutex_);
    const auto settled = [this] { return outstanding_ == 0 || stop_; };
    if (deadline) {
      settled_.wait_until(lock, *deadline, settled);
    } else {
      settled_.wait(lock, settled);
    }
    return outstanding_ == 0;
  }

  Committer::Figures figures() const {
    const std::lock_guard lock(mutex_);
    return {commits_, units_, outstanding_};
  }

  /// Whether the thread is at its end, or just before it.
  bool end(SteadyTime deadline, std::shared_ptr<void> keeps) {
    {
      std::unique_lock lock(mutex_);
      stop_ = true;
      work_.notify_all();
      stopped_.notify_all();
      settled_.notify_all();
      if (ended_.wait_until(lock, deadline, [this] { return over_; })) return true;
      keeps_ = std::move(keeps);
    }
    const std::lock_guard lock(telling_);
    silent_ = true;
    return false;
  }

  // ---- the thread ----

  void run() {
#ifdef __linux__
    pthread_setname_np(pthread_self(), "cogwork-store");
#endif
    while (auto units = take()) {
      if (!units->empty()) write(std::move(*units));
      retry_stuck();
    }
    const std::lock_guard lock(mutex_);
    over_ = true;
    ended_.notify_all();
  }

 private:
  /// How a call of the store ended.
  struct Verdict {
    enum Kind : std::uint8_t { DURABLE, TEMPORARY, LASTING } kind;
    std::string error;
  };
  /// A Labor whose own writes fail; what it wants written lies here, in its order.
  struct Stuck {
    std::deque<CommitUnit> units;
    Backoff backoff;
    SteadyTime next_try;
    std::string error;
  };

  /// A call of the store that has not returned.
  struct Writing {
    Time since;
    SteadyTime began;
    std::chrono::steady_clock::duration patience;
  };

  /// What has queued up, as soon as there is something; empty where a stuck Labor's time has come; nothing at the end.
  std::optional<Units> take() {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return stop_ || !queue_.empty(); };
    if (stuck_.empty()) {
      work_.wait(lock, ready);
    } else {
      const auto next = std::min_element(stuck_.begin(), stuck_.end(), [](const auto& a, const auto& b) {
                          return a.second.next_try < b.second.next_try;
                        })->second.next_try;
      work_.wait_until(lock, next, ready);
    }
    if (stop_) return std::nullopt;
    Units units;
    if (queue_.size() <= most_units_) {
      units.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.end()));
      queue_.clear();
    } else {
      const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(most_units_);
      units.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
      queue_.erase(queue_.begin(), end);
    }
    return units;
  }

  void write(Units units) {
    if (!stuck_.empty()) {  // later units of a stuck Labor wait behind its earlier ones
      Units free;
      for (auto& unit : units) {
        if (const auto it = stuck_.find(unit.labor); it != stuck_.end()) {
          it->second.units.push_back(std::move(unit));
        } else {
          free.push_back(std::move(unit));
        }
      }
      units = std::move(free);
      if (units.empty()) return;
    }
    Merged merged(std::move(units));
    const auto verdict = apply_until_clear(merged.batch());
    if (!verdict) return;  // stopped
    if (verdict->kind == Verdict::DURABLE) {
      merged.let_go();
      report(merged.units(), {});
    } else {
      narrow_down(std::move(merged).take_apart(), verdict->error);
    }
  }

  /// The batch is refused for good. Its Labors one by one: each is another's equal, and only those that fail wait.
  void narrow_down(Units units, const std::string& error) {
    std::unordered_map<Id, std::size_t> places;
    std::vector<Units> labors;
    for (auto& unit : units) {
      const auto [it, added] = places.emplace(unit.labor, labors.size());
      if (added) labors.emplace_back();
      labors[it->second].push_back(std::move(unit));
    }
    const bool alone = labors.size() == 1;
    for (auto& own : labors) {
      const Id labor = own.front().labor;
      auto rest = write_one_labor(std::move(own), alone ? std::optional(error) : std::nullopt);
      if (stopping()) return;
      if (!rest.units.empty()) stick(labor, std::move(rest));
    }
  }

  struct Rest {
    std::deque<CommitUnit> units;  ///< From the first that fails on.
    std::string error;
  };

  /// Writes what can be written of one Labor, in order. `error`: all of it in one has just been tried, and failed so.
  Rest write_one_labor(Units units, std::optional<std::string> error) {
    if (!error) {
      Merged merged(std::move(units));
      const auto verdict = apply_until_clear(merged.batch());
      if (!verdict) return {};
      if (verdict->kind == Verdict::DURABLE) {
        merged.let_go();
        report(merged.units(), {});
        return {};
      }
      error = verdict->error;
      units = std::move(merged).take_apart();
    }
    const bool single = units.size() == 1;
    for (auto unit = units.begin(); unit != units.end(); ++unit) {
      if (!single) {
        const auto verdict = apply_until_clear(unit->batch);
        if (!verdict) return {};
        if (verdict->kind == Verdict::DURABLE) {
          report_one(*unit, {});
          continue;
        }
        error = verdict->error;
      }
      if (unit->give_up_on_error) {
        report_one(*unit, error);
        continue;
      }
      Rest rest;
      rest.error = *error;
      std::move(unit, units.end(), std::back_inserter(rest.units));
      return rest;
    }
    return {};
  }

  void stick(const Id& labor, Rest rest) {
    Backoff backoff = fresh_backoff_;
    fresh_backoff_.next();  // so that the next one to be stuck draws other delays
    fresh_backoff_.reset();
    const auto next_try = std::chrono::steady_clock::now() + backoff.next();
    stuck_.emplace(labor, Stuck{std::move(rest.units), backoff, next_try, std::move(rest.error)});
    tell_health();
  }

  void retry_stuck() {
    for (auto it = stuck_.begin(); it != stuck_.end();) {
      Stuck& stuck = it->second;
      if (stopping()) return;
      if (stuck.next_try > std::chrono::steady_clock::now()) {
        ++it;
        continue;
      }
      // The first unit alone: that is the one that failed. Once it is through, the others are tried together.
      Units first;
      first.push_back(std::move(stuck.units.front()));
      stuck.units.pop_front();
      Rest rest = write_one_labor(std::move(first), std::nullopt);
      if (stopping()) return;
      if (rest.units.empty() && !stuck.units.empty()) {
        Units others(std::make_move_iterator(stuck.units.begin()), std::make_move_iterator(stuck.units.end()));
        stuck.units.clear();
        rest = write_one_labor(std::move(others), std::nullopt);
        if (stopping()) return;
      }
      if (rest.units.empty()) {
        it = stuck_.erase(it);
      } else {
        std::move(stuck.units.begin(), stuck.units.end(), std::back_inserter(rest.units));
        stuck.units = std::move(rest.units);
        stuck.error = std::move(rest.error);
        stuck.next_try = std::chrono::steady_clock::now() + stuck.backoff.next();
        ++it;
      }
      tell_health();
    }
  }

  // ---- one call of the store ----

  /// Tries for as long as the error is a temporary one; nothing overtakes. Nothing: the committer is to stop.
  std::optional<Verdict> apply_until_clear(const Batch& batch) {
    for (;;) {
      if (stopping()) return std::nullopt;
      Verdict verdict = apply_once(batch);
      if (verdict.kind != Verdict::TEMPORARY) {
        if (!waiting_for_.empty()) {
          waiting_for_.clear();
          backoff_.reset();
          tell_health();
        }
        return verdict;
      }
      const bool news = waiting_for_ != verdict.error;
      waiting_for_ = std::move(verdict.error);
      if (news) tell_health();
      std::unique_lock lock(mutex_);
      const auto until = std::chrono::steady_clock::now() + backoff_.next();
      stopped_.wait_until(lock, until, [this] { return stop_; });
    }
  }

  Verdict apply_once(const Batch& batch) {
    Verdict verdict{Verdict::DURABLE, {}};
    note_writing(Writing{now(), std::chrono::steady_clock::now(), patience_with(batch)});
    try {
      store_->apply(batch);
    } catch (const StorageError& error) {
      verdict = {error.temporary() ? Verdict::TEMPORARY : Verdict::LASTING, error.what()};
    } catch (const std::bad_alloc&) {
      verdict = {Verdict::TEMPORARY, "there is no memory left"};
    } catch (const std::exception& error) {
      verdict = {Verdict::LASTING, error.what()};
    } catch (...) {
      verdict = {Verdict::LASTING, "the store failed with an error of an unknown kind"};
    }
    const std::lock_guard lock(mutex_);
    writing_.reset();
    if (verdict.kind == Verdict::DURABLE) {
      ++commits_;
    } else {
      ++health_.failed_writes;
      if (verdict.error.empty()) verdict.error = "the store failed and gave no reason";
    }
    return verdict;
  }

  void note_writing(Writing writing) {
    const std::lock_guard lock(mutex_);
    writing_ = writing;
  }

  static Time now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

  bool stopping() const {
    const std::lock_guard lock(mutex_);
    return stop_;
  }

  // ---- saying so ----

  void report(const Units& units, const std::optional<std::string>& error) {
    std::vector<CommitResult> results;
    results.reserve(units.size());
    for (const auto& unit : units) results.push_back({unit.token, error});
    send(std::move(results), error.has_value());
  }
  void report_one(const CommitUnit& unit, const std::optional<std::string>& error) {
    send({CommitResult{unit.token, error}}, error.has_value());
  }
  void send(std::vector<CommitResult> results, bool failed) {
    const auto count = results.size();
    tell([&] {
      if (done_) done_(std::move(results));
    });
    // After the call: whoever has flushed may count on having been told.
    const std::lock_guard lock(mutex_);
    if (!failed) units_ += count;
    outstanding_ -= count;
    if (outstanding_ == 0) settled_.notify_all();
  }

  void tell_health() {
    {
      const std::lock_guard lock(mutex_);
      const bool degraded = !waiting_for_.empty() || !stuck_.empty();
      if (degraded && !health_.degraded) {
        health_.since = now();
      }
      health_.degraded = degraded;
      health_.stuck.clear();
      for (const auto& [labor, stuck] : stuck_) health_.stuck.push_back(labor);
      health_.reason = !waiting_for_.empty() ? waiting_for_ : !stuck_.empty() ? stuck_.begin()->second.error : std::string();
      if (!degraded) health_.since = never;
    }
    tell([&] {
      if (trouble_) trouble_();
    });
  }

  template <typename Say>
  void tell(Say say) {
    const std::lock_guard lock(telling_);
    if (!silent_) say();
  }

  const std::shared_ptr<Storage> store_;
  const std::function<void(std::vector<CommitResult>)> done_;
  const std::function<void()> trouble_;

  // The thread's own.
  Backoff fresh_backoff_;
  Backoff backoff_;
  const std::size_t most_units_;
  std::map<Id, Stuck> stuck_;
  std::string waiting_for_;  ///< The temporary error that holds everything back.

  mutable std::mutex mutex_;
  std::condition_variable work_;     ///< Something queued up, or the end.
  std::condition_variable stopped_;  ///< The end.
  std::condition_variable settled_;  ///< Nothing outstanding.
  std::condition_variable ended_;    ///< The thread is over.
  std::deque<CommitUnit> queue_;
  std::size_t outstanding_ = 0;
  std::uint64_t commits_ = 0;
  std::uint64_t units_ = 0;
  StoreHealth health_;
  std::optional<Writing> writing_;
  bool stop_ = false;
  bool over_ = false;
  std::shared_ptr<void> keeps_;  ///< Let go of with the thread.

  std::mutex telling_;   ///< Held while somebody is told; taken under no other, and mutex_ may be taken under it.
  bool silent_ = false;  ///< guarded by telling_
};

class ThreadCommitter final : public Committer {
 public:
  explicit ThreadCommitter(std::shared_ptr<StorageWork> work)
      : work_(std::move(work)), thread_(start_thread("the store", [work = work_] { work->run(); })) {}
  ~ThreadCommitter() override { stop(std::chrono::steady_clock::now() + kPatience, nullptr); }

  void commit(Units units) override { work_->commit(std::move(units)); }
  StoreHealth health() const override { return work_->health(); }
  bool flush(std::optional<SteadyTime> deadline) override { return work_->flush(deadline); }
  Figures figures() const override { return work_->figures(); }
  bool stop(SteadyTime deadline, std::shared_ptr<void> keeps) override {
    if (!thread_.joinable()) return true;
    if (work_->end(deadline, std::move(keeps))) {
      thread_.join();
      return true;
    }
    thread_.detach();
    return false;
  }

 private:
  const std::shared_ptr<StorageWork> work_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Committer> make_committer(std::shared_ptr<Storage> store, std::function<void(std::vector<CommitResult>)> done,
                                          std::function<void()> trouble, Backoff backoff, std::size_t most_units) {
  return std::make_unique<ThreadCommitter>(
      std::make_shared<StorageWork>(std::move(store), std::move(done), std::move(trouble), backoff, most_units));
}

}  // namespace cogwork
