#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <unordered_set>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"

namespace cogwork {
namespace {

const char* kind_name(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::LABOR: return "Labor";
    case ObjectKind::TASK: return "Task";
    case ObjectKind::SEQUENCE: return "Sequence";
    case ObjectKind::JOB: return "Job";
  }
  return "object";
}

/// What a search looks at, taken when it began.
class ListStream final : public LaborStream {
 public:
  explicit ListStream(std::vector<Labor> labors) : labors_(std::move(labors)) {}
  std::optional<Labor> next() override {
    if (place_ == labors_.size()) return std::nullopt;
    return std::move(labors_[place_++]);
  }

 private:
  std::vector<Labor> labors_;
  std::size_t place_ = 0;
};

/// The store that keeps nothing beyond its own life (T4). Everything lies under one lock; what goes in or comes out is a copy.
class MemoryStore final : public Storage {
 public:
  Labor read_labor(const Id& id, bool full) override {
    const std::shared_lock lock(mutex_);
    const Labor& labor = need(id, ObjectKind::LABOR, 0);
    return full ? labor : without_tables(labor);
  }

  Task read_task(const Id& id) override {
    const std::shared_lock lock(mutex_);
    const auto [labor, index] = find(id, ObjectKind::TASK);
    return labor.tasks[index];
  }

  Sequence read_sequence(const Id& id) override {
    const std::shared_lock lock(mutex_);
    const auto [labor, index] = find(id, ObjectKind::SEQUENCE);
    return labor.sequences[index];
  }

  Job read_job(const Id& id, bool full) override {
    const std::shared_lock lock(mutex_);
    const auto [labor, index] = find(id, ObjectKind::JOB);
    Job job = labor.jobs[index];
    if (!full) {
      job.args = {};
      for (auto& attempt : job.attempts) attempt.output = {};
    }
    return job;
  }

  std::unique_ptr<LaborStream> labors(const LaborFilter& filter) override {
    const std::shared_lock lock(mutex_);
    std::vector<const Labor*> found;
    for (const auto& [id, labor] : labors_) {
      if (matches(filter, labor)) found.push_back(&labor);
    }
    const auto place = [](const Labor* labor) { return std::pair(labor->submitted, labor->id); };
    std::sort(found.begin(), found.end(),
              [&](const Labor* a, const Labor* b) { return filter.newest_first ? place(b) < place(a) : place(a) < place(b); });
    if (filter.limit && found.size() > *filter.limit) found.resize(*filter.limit);
    std::vector<Labor> copies;
    copies.reserve(found.size());
    for (const auto* labor : found) copies.push_back(without_tables(*labor));
    return std::make_unique<ListStream>(std::move(copies));
  }

  void apply(const Batch& batch) override {
    const std::unique_lock lock(mutex_);
    check(batch);  // all that can fail fails here, before anything is changed
    for (const auto& op : batch.writes) {
      std::visit([this](const auto& write) { put(write); }, op);
    }
    for (const auto& row : batch.history) {
      auto& rows = rows_of_[row.labor];
      rows.insert(std::upper_bound(rows.begin(), rows.end(), row.first), row.first);
      history_.emplace(row.first, row);
    }
    for (const auto& record : batch.records) {
      if (record.value) {
        records_[{record.kind, record.key}] = *record.value;
      } else {
        records_.erase({record.kind, record.key});
      }
    }
  }

  void history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) override {
    // In pieces, each copied under the lock and handed out without it, so that `row` may use the store.
    const std::uint64_t last = last_change();
    for (;;) {
      std::vector<HistoryRow> piece;
      {
        const std::shared_lock lock(mutex_);
        if (labor.is_nil()) {
          auto it = history_.upper_bound(since);
          if (it != history_.begin() && holds(std::prev(it)->second, since)) --it;
          for (; it != history_.end() && it->first <= last && piece.size() < kPiece; ++it) piece.push_back(it->second);
        } else if (const auto found = rows_of_.find(labor); found != rows_of_.end()) {
          const auto& rows = found->second;
          auto it = std::upper_bound(rows.begin(), rows.end(), since);
          if (it != rows.begin() && holds(history_.at(*std::prev(it)), since)) --it;
          for (; it != rows.end() && *it <= last && piece.size() < kPiece; ++it) piece.push_back(history_.at(*it));
        }
      }
      for (const auto& one : piece) {
        if (!row(one)) return;
      }
      if (piece.size() < kPiece) return;
      since = piece.back().first + piece.back().count - 1;
    }
  }

  std::uint64_t last_change() override {
    const std::shared_lock lock(mutex_);
    if (history_.empty()) return 0;
    const auto& row = std::prev(history_.end())->second;
    return row.first + row.count - 1;
  }

  std::array<std::uint8_t, 16> last_link(const Id& labor) override {
    const std::shared_lock lock(mutex_);
    const auto found = rows_of_.find(labor);
    return found == rows_of_.end() ? std::array<std::uint8_t, 16>{} : history_.at(found->second.back()).link;
  }
  Time last_time(const Id& labor) override {
    const std::shared_lock lock(mutex_);
    const auto found = rows_of_.find(labor);
    return found == rows_of_.end() ? never : history_.at(found->second.back()).at;
  }

  Account read_account(const Id& id) override {
    const std::shared_lock lock(mutex_);
    Account account{need(id, ObjectKind::LABOR, 0), {}};
    if (const auto found = rows_of_.find(id); found != rows_of_.end()) {
      for (const auto first : found->second) account.history.push_back(history_.at(first));
    }
    return account;
  }

  std::vector<Record> records(RecordKind kind) override {
    const std::shared_lock lock(mutex_);
    std::vector<Record> found;
    for (auto it = records_.lower_bound({kind, Text()}); it != records_.end() && it->first.first == kind; ++it) {
      found.push_back({kind, it->first.second, it->second});
    }
    return found;
  }

  std::unique_ptr<StoreLock> lock(const Owner& owner) override {
    const std::lock_guard guard(ownership_->mutex);
    if (ownership_->owner) throw StoreInUse(in_use_message(name(), *ownership_->owner));
    ownership_->owner = owner;
    return std::make_unique<Lock>(ownership_);
  }

  std::string name() const override { return "memory:"; }

 private:
  static constexpr std::size_t kPiece = 1024;

  struct Ownership {
    std::mutex mutex;
    std::optional<Owner> owner;
  };
  class Lock final : public StoreLock {
   public:
    explicit Lock(std::shared_ptr<Ownership> ownership) : ownership_(std::move(ownership)) {}
    ~Lock() override {
      const std::lock_guard guard(ownership_->mutex);
      ownership_->owner.reset();
    }

   private:
    std::shared_ptr<Ownership> ownership_;
  };

  static bool holds(const HistoryRow& row, std::uint64_t since) { return row.first + row.count - 1 > since; }

  const Labor& need(const Id& id, ObjectKind kind, std::uint32_t ordinal) const {
    const auto it = labors_.find(id.labor());
    if (it == labors_.end() || id.ordinal() != ordinal) {
      throw NotFound(std::string("there is no ") + kind_name(kind) + " " + id.text() + " in memory:");
    }
    return it->second;
  }

  struct Found {
    const Labor& labor;
    std::uint32_t index;
  };
  Found find(const Id& id, ObjectKind kind) const {
    const auto it = labors_.find(id.labor());
    if (it != labors_.end()) {
      const auto object = find_ordinal(it->second, id.ordinal());
      if (object && object->kind == kind) return {it->second, object->index};
    }
    throw NotFound(std::string("there is no ") + kind_name(kind) + " " + id.text() + " in memory:");
  }

  // ---- what a batch asks for, checked ----

  void check(const Batch& batch) const {
    std::unordered_map<Id, const Labor*> written;  // Labors that the batch itself brings
    const auto labor_of = [&](const Id& id) -> const Labor* {
      if (const auto it = written.find(id); it != written.end()) return it->second;
      const auto it = labors_.find(id);
      return it == labors_.end() ? nullptr : &it->second;
    };
    const auto check_row = [&](const Id& id, ObjectKind kind, std::uint32_t ordinal) {
      const Labor* labor = labor_of(id);
      const auto object = labor == nullptr ? std::nullopt : find_ordinal(*labor, ordinal);
      if (!object || object->kind != kind) {
        throw StorageError(std::string("cannot write the ") + kind_name(kind) + " " + id.with_ordinal(ordinal).text() +
                               " to memory: - it is not there; write_labor comes first",
                           false);
      }
    };
    struct Check {
      decltype(written)& labors;
      decltype(check_row)& row;
      void operator()(const WriteLabor& write) const { labors[write.labor->id] = write.labor.get(); }
      void operator()(const WriteLaborState& write) const { row(write.labor->id, ObjectKind::LABOR, 0); }
      void operator()(const WriteTask& write) const { row(write.labor, ObjectKind::TASK, write.task.ordinal); }
      void operator()(const WriteSequence& write) const { row(write.labor, ObjectKind::SEQUENCE, write.sequence.ordinal); }
      void operator()(const WriteJob& write) const { row(write.labor, ObjectKind::JOB, write.job.ordinal); }
    };
    for (const auto& op : batch.writes) std::visit(Check{written, check_row}, op);
    // Numbers need not go up from commit to commit: a Labor whose writes were held up brings its own later.
    std::unordered_set<std::uint64_t> numbers;
    for (const auto& row : batch.history) {
      if (labor_of(row.labor) == nullptr) {
        throw StorageError("cannot write the history of the Labor " + row.labor.text() + " to memory: - it is not there", false);
      }
      if (history_.contains(row.first) || !numbers.insert(row.first).second) {
        throw StorageError("the change " + std::to_string(row.first) + " is in the history of memory: already", false);
      }
    }
  }

  // ---- and done ----

  void put(const WriteLabor& write) { labors_.insert_or_assign(write.labor->id, *write.labor); }
  void put(const WriteLaborState& write) {
    Labor& labor = labors_.at(write.labor->id);
    labor.state = write.labor->state;
    labor.reason = write.labor->reason;
    labor.started = write.labor->started;
    labor.ended = write.labor->ended;
    labor.holds = write.labor->holds;
  }
  void put(const WriteTask& write) {
    Labor& labor = labors_.at(write.labor);
    Task& task = labor.tasks[find_ordinal(labor, write.task.ordinal)->index];
    Task next = write.task;
    next.first_job = task.first_job;
    next.pre_check_count = task.pre_check_count;
    next.cont_check_count = task.cont_check_count;
    next.first_sequence = task.first_sequence;
    next.sequence_count = task.sequence_count;
    task = std::move(next);
  }
  void put(const WriteSequence& write) {
    Labor& labor = labors_.at(write.labor);
    Sequence& sequence = labor.sequences[find_ordinal(labor, write.sequence.ordinal)->index];
    Sequence next = write.sequence;
    next.task = sequence.task;
    next.first_job = sequence.first_job;
    next.job_count = sequence.job_count;
    sequence = std::move(next);
  }
  void put(const WriteJob& write) {
    Labor& labor = labors_.at(write.labor);
    Job& job = labor.jobs[find_ordinal(labor, write.job.ordinal)->index];
    Job next = write.job;
    next.args = std::move(job.args);
    next.kind = job.kind;
    next.task = job.task;
    next.sequence = job.sequence;
    job = std::move(next);
  }

  mutable std::shared_mutex mutex_;
  std::unordered_map<Id, Labor> labors_;
  std::map<std::uint64_t, HistoryRow> history_;
  std::unordered_map<Id, std::vector<std::uint64_t>> rows_of_;
  std::map<std::pair<RecordKind, Text>, Text> records_;
  std::shared_ptr<Ownership> ownership_ = std::make_shared<Ownership>();
};

}  // namespace

std::shared_ptr<Storage> make_memory_store() { return std::make_shared<MemoryStore>(); }

}  // namespace cogwork
