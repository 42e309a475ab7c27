#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// A store that fails as it is told, around one that does not. Everything but `apply` is the inner store's.
///
/// - `fail`: from the n-th apply on, so many of them fail, temporarily or for good; nothing of a failing one is stored.
/// - `poison`: each apply that touches the Labor fails for good, until `heal`.
/// - `die_at`: at the n-th apply the process "dies": that call and all after it throw, and what a process would find later is
///   in `inner()` - with or without the commit that was under way, which a real one cannot know either.
/// - `hold` and `release`: applies wait, so that a test decides what queues up meanwhile, or as in a store that hangs. `hold_reads`: reads of
///   objects do.
/// Any thread.
class FaultyStore final : public Storage {
 public:
  enum class LastCommit { LOST, KEPT };

  explicit FaultyStore(std::shared_ptr<Storage> inner) : inner_(std::move(inner)) {}

  void fail(std::uint64_t from_apply, std::uint64_t times, bool temporary, std::string why = "made to fail") {
    const std::lock_guard lock(mutex_);
    faults_.push_back({from_apply, times, [temporary, why] { throw StorageError(why, temporary); }});
  }
  /// Any exception, for what a store in another language may throw.
  void fail_with(std::uint64_t from_apply, std::uint64_t times, std::function<void()> raise) {
    const std::lock_guard lock(mutex_);
    faults_.push_back({from_apply, times, std::move(raise)});
  }
  /// No fault lasts any longer.
  void mend() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
  }
  void poison(const Id& labor, std::string why = "poisoned") {
    const std::lock_guard lock(mutex_);
    poisoned_[labor] = std::move(why);
  }
  void heal(const Id& labor) {
    const std::lock_guard lock(mutex_);
    poisoned_.erase(labor);
  }
  void die_at(std::uint64_t apply, LastCommit last) {
    const std::lock_guard lock(mutex_);
    death_ = apply;
    last_commit_ = last;
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void hold_reads() {
    const std::lock_guard lock(mutex_);
    reads_held_ = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = reads_held_ = false;
    moved_.notify_all();
  }
  /// Waits until so many reads have come to a `hold_reads`.
  void wait_for_held_reads(int count) {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [&] { return waiting_reads_ >= count; });
  }
  /// Waits until an apply has come to a `hold`.
  void wait_for_held() {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [this] { return waiting_ > 0; });
  }

  std::uint64_t applies() const {
    const std::lock_guard lock(mutex_);
    return applies_;
  }
  bool dead() const {
    const std::lock_guard lock(mutex_);
    return dead_;
  }
  /// The Labors of each apply that was stored, in the order of its writes.
  std::vector<std::vector<Id>> stored() const {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  const std::shared_ptr<Storage>& inner() const { return inner_; }

  void apply(const Batch& batch) override {
    std::function<void()> raise;
    bool dying = false;
    {
      std::unique_lock lock(mutex_);
      if (held_) {
        ++waiting_;
        moved_.notify_all();
        moved_.wait(lock, [this] { return !held_; });
        --waiting_;
      }
      ++applies_;
      if (dead_) throw StorageError("the process is dead", true);
      if (death_ != 0 && applies_ >= death_) dying = dead_ = true;
      for (const auto& fault : faults_) {
        if (applies_ >= fault.from && applies_ - fault.from < fault.times) raise = fault.raise;
      }
      for (const auto& labor : labors_of(batch)) {
        if (const auto it = poisoned_.find(labor); it != poisoned_.end()) {
          raise = [why = it->second] { throw StorageError(why, false); };
        }
      }
    }
    if (dying) {
      if (last_commit_ == LastCommit::KEPT) inner_->apply(batch);
      throw StorageError("the process died", true);
    }
    if (raise) raise();
    inner_->apply(batch);
    const std::lock_guard lock(mutex_);
    stored_.push_back(labors_of(batch));
  }

  Labor read_labor(const Id& id, bool full) override { return read().read_labor(id, full); }
  Task read_task(const Id& id) override { return read().read_task(id); }
  Sequence read_sequence(const Id& id) override { return read().read_sequence(id); }
  Job read_job(const Id& id, bool full) override { return read().read_job(id, full); }
  std::unique_ptr<LaborStream> labors(const LaborFilter& filter) override { return inner_->labors(filter); }
  void history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) override {
    inner_->history(labor, since, row);
  }
  std::uint64_t last_change() override { return inner_->last_change(); }
  std::array<std::uint8_t, 16> last_link(const Id& labor) override { return inner_->last_link(labor); }
  Time last_time(const Id& labor) override { return inner_->last_time(labor); }
  std::vector<Record> records(RecordKind kind) override { return inner_->records(kind); }
  std::unique_ptr<StoreLock> lock(const Owner& owner) override { return inner_->lock(owner); }
  std::string name() const override { return inner_->name(); }
  std::string identity() const override { return inner_->identity(); }

  /// The Labors that a batch writes to, one for each write and history row.
  static std::vector<Id> labors_of(const Batch& batch) {
    struct Of {
      Id operator()(const WriteLabor& write) const { return write.labor->id; }
      Id operator()(const WriteLaborState& write) const { return write.labor->id; }
      Id operator()(const WriteTask& write) const { return write.labor; }
      Id operator()(const WriteSequence& write) const { return write.labor; }
      Id operator()(const WriteJob& write) const { return write.labor; }
    };
    std::vector<Id> labors;
    for (const auto& write : batch.writes) labors.push_back(std::visit(Of{}, write));
    for (const auto& row : batch.history) labors.push_back(row.labor);
    return labors;
  }

 private:
  struct Fault {
    std::uint64_t from, times;
    std::function<void()> raise;
  };

  Storage& read() {
    std::unique_lock lock(mutex_);
    if (reads_held_) {
      ++waiting_reads_;
      moved_.notify_all();
      moved_.wait(lock, [this] { return !reads_held_; });
      --waiting_reads_;
    }
    return *inner_;
  }

  const std::shared_ptr<Storage> inner_;
  mutable std::mutex mutex_;
  std::condition_variable moved_;
  std::vector<Fault> faults_;
  std::map<Id, std::string> poisoned_;
  std::uint64_t death_ = 0;
  LastCommit last_commit_ = LastCommit::LOST;
  bool dead_ = false;
  bool held_ = false, reads_held_ = false;
  int waiting_ = 0, waiting_reads_ = 0;
  std::uint64_t applies_ = 0;
  std::vector<std::vector<Id>> stored_;
};

}  // namespace cogwork
