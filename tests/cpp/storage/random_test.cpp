// The two built-in stores, given the same random work, hold the same.

#include <gtest/gtest.h>

#include <unordered_map>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

class TwoStores {
 public:
  explicit TwoStores(std::uint64_t seed) : random_(seed) { reopen(); }

  void reopen() {
    file_.reset();
    file_ = open_sqlite_store(folder_ / "labors.db", OpenMode::OWNER);
  }

  void step() {
    Batch batch;
    const auto ids_before = ids_;
    const auto known_before = known_;
    for (auto n = random_.below(6); n > 0; --n) batch.writes.push_back(write());
    for (auto n = random_.below(3); n > 0 && !ids_.empty(); --n) {
      const auto count = static_cast<std::uint32_t>(1 + random_.below(5));
      batch.history.push_back(history_row(ids_[random_.below(ids_.size())], next_change_, count));
      next_change_ += count + random_.below(2);
    }
    for (auto n = random_.below(3); n > 0; --n) {
      Record record{static_cast<RecordKind>(random_.below(4)), "key-" + std::to_string(random_.below(5)), std::nullopt};
      if (random_.chance(0.7)) record.value = Text("value-" + std::to_string(random_.below(100)));
      batch.records.push_back(std::move(record));
    }
    if (random_.chance(0.15)) {  // something that no store takes, at the end: all of the batch must go
      batch.writes.push_back(WriteTask{Id::make(random_), Task()});
      EXPECT_THROW(memory_->apply(batch), StorageError);
      EXPECT_THROW(file_->apply(batch), StorageError);
      ids_ = ids_before;
      known_ = known_before;
      return;
    }
    memory_->apply(batch);
    file_->apply(batch);
  }

  void compare() {
    for (const auto& id : ids_) ASSERT_EQ(memory_->read_labor(id, true), file_->read_labor(id, true));
    for (int i = 0; i < 10; ++i) {
      const auto filter = random_filter();
      ASSERT_EQ(all_of(*memory_->labors(filter)), all_of(*file_->labors(filter)));
    }
    for (int i = 0; i < 5; ++i) {
      const Id labor = ids_.empty() || random_.chance(0.3) ? Id{} : ids_[random_.below(ids_.size())];
      const auto since = random_.below(next_change_ + 1);
      ASSERT_EQ(history_rows(*memory_, labor, since), history_rows(*file_, labor, since));
      ASSERT_EQ(memory_->last_link(labor), file_->last_link(labor));
    }
    ASSERT_EQ(memory_->last_change(), file_->last_change());
    for (int kind = 0; kind < 4; ++kind) {
      ASSERT_EQ(memory_->records(static_cast<RecordKind>(kind)), file_->records(static_cast<RecordKind>(kind)));
    }
  }

 private:
  Sizes sizes() {
    Sizes sizes;
    sizes.results = true;
    return sizes;
  }

  WriteOp write() {
    if (ids_.empty() || random_.chance(0.2)) {
      auto labor = random_labor(random_, sizes());
      ids_.push_back(labor.id);
      known_[labor.id] = labor;
      return write_of(labor);
    }
    const Id id = ids_[random_.below(ids_.size())];
    Labor& labor = known_.at(id);
    auto other = random_labor(random_, sizes());  // where new values come from
    switch (random_.below(5)) {
      case 0:
        if (random_.chance(0.3)) {  // replaced whole
          other.id = id;
          labor = other;
          return write_of(labor);
        }
        [[fallthrough]];
      case 1: other.id = id; return WriteLaborState{std::make_shared<const Labor>(without_tables(other))};
      case 2: {
        Task task = other.tasks[0];
        task.ordinal = labor.tasks[random_.below(labor.tasks.size())].ordinal;
        return WriteTask{id, task};
      }
      case 3: {
        Sequence sequence = other.sequences[0];
        sequence.ordinal = labor.sequences[random_.below(labor.sequences.size())].ordinal;
        sequence.target = labor.sequences[*index_of(labor, sequence.ordinal)].target;  // searches go by what was submitted
        return WriteSequence{id, sequence};
      }
      default: {
        Job job = other.jobs[random_.below(other.jobs.size())];
        job.ordinal = labor.jobs[random_.below(labor.jobs.size())].ordinal;
        job.cog_path = labor.jobs[*index_of(labor, job.ordinal)].cog_path;
        return WriteJob{id, job};
      }
    }
  }

  static std::optional<std::uint32_t> index_of(const Labor& labor, std::uint32_t ordinal) {
    return find_ordinal(labor, ordinal)->index;
  }

  LaborFilter random_filter() {
    LaborFilter filter;
    for (auto n = random_.below(3); n > 0; --n) filter.states.push_back(static_cast<State>(1 + random_.below(11)));
    const Labor* some = ids_.empty() ? nullptr : &known_.at(ids_[random_.below(ids_.size())]);
    if (some != nullptr) {
      const auto name = some->name.str();
      if (random_.chance(0.2)) filter.name_prefix = name.substr(0, random_.below(name.size() + 1));
      if (random_.chance(0.2)) filter.name_suffix = name.substr(random_.below(name.size() + 1));
      if (random_.chance(0.3)) filter.targets.push_back(some->sequences[0].target.str());
      if (random_.chance(0.2)) filter.submit_begin = some->submitted;
      if (random_.chance(0.2)) filter.submit_end = some->submitted + Duration(random_.below(2));
    }
    if (random_.chance(0.3)) filter.tags = {"edge", "straße"};
    if (random_.chance(0.3)) filter.cogs.push_back(kRandomCogs[random_.below(kRandomCogs.size())]);
    filter.newest_first = random_.chance(0.5);
    if (random_.chance(0.3)) filter.limit = random_.below(4);
    return filter;
  }

  Random random_;
  ScratchFolder folder_;
  std::shared_ptr<Storage> memory_ = make_memory_store();
  std::shared_ptr<Storage> file_;
  std::vector<Id> ids_;
  std::unordered_map<Id, Labor> known_;  ///< How each was written last as a whole: its tree.
  std::uint64_t next_change_ = 1;
};

TEST(RandomWork, T5_both_stores_hold_the_same) {
  const auto seed = test_seed();
  for (std::uint64_t round = 0; round < 15; ++round) {
    SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed) + ", round " + std::to_string(round));
    TwoStores stores(seed + round);
    for (int i = 0; i < 20; ++i) {
      stores.step();
      if (i % 7 == 0) stores.reopen();
      if (i % 4 == 0) {
        ASSERT_NO_FATAL_FAILURE(stores.compare());
      }
    }
    ASSERT_NO_FATAL_FAILURE(stores.compare());
  }
}

}  // namespace
}  // namespace cogwork
