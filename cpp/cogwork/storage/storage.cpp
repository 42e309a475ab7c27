#include "cogwork/storage/storage.h"

#include <algorithm>
#include <utility>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

Batch one(WriteOp op) {
  Batch batch;
  batch.writes.push_back(std::move(op));
  return batch;
}

}  // namespace

void Storage::write_labor(const Labor& labor) { apply(one(WriteLabor{std::make_shared<const Labor>(labor)})); }

void Storage::write_labor_state(const Labor& labor) {
  apply(one(WriteLaborState{std::make_shared<const Labor>(without_tables(labor))}));
}

void Storage::write_task(const Id& labor, const Task& task) { apply(one(WriteTask{labor, task})); }

void Storage::write_sequence(const Id& labor, const Sequence& sequence) { apply(one(WriteSequence{labor, sequence})); }

void Storage::write_job(const Id& labor, const Job& job) { apply(one(WriteJob{labor, job})); }

Account Storage::read_account(const Id& labor) {
  static constexpr int kTries = 50;
  const auto rows_of = [&] {
    std::vector<HistoryRow> rows;
    history(labor, 0, [&rows](const HistoryRow& row) {
      rows.push_back(row);
      return true;
    });
    return rows;
  };
  auto before = rows_of();
  for (int tries = 0; tries < kTries; ++tries) {
    auto tree = read_labor(labor, true);
    auto after = rows_of();
    if (before == after) return {std::move(tree), std::move(after)};
    before = std::move(after);
  }
  throw StorageError("cannot read the Labor " + labor.text() + " with its history from " + name() +
                         ": it changes all the time; try again when less of it is under way",
                     true);
}

std::vector<Id> Storage::labor_ids(std::string_view prefix, std::size_t most) {
  std::vector<Id> found;
  for (auto stream = labors({}); auto labor = stream->next();) {
    if (labor->id.text().starts_with(prefix)) found.push_back(labor->id);
  }
  std::sort(found.begin(), found.end());
  if (found.size() > most) found.resize(most);
  return found;
}

}  // namespace cogwork
