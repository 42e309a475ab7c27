#include "cogwork/storage/storage.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

Batch one(WriteOp op) {
  Batch batch;
  batch.writes.push_back(std::move(op));
  return batch;
}

/// "2025-06-01 10:02:33 UTC".
std::string in_words(Time t) {
  const auto seconds = static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count());
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "an unknown time";
  char text[64];
  const auto size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text, size};
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

Owner this_process(std::string user, std::string program, Time now) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return Owner{getpid(), host, std::move(user), std::move(program), now, false};
}

std::string in_use_message(std::string_view store, const Owner& owner) {
  std::string text(store);
  text += " is in use by ";
  text += owner.program.empty() ? "an engine" : owner.program;
  if (owner.pid > 0) text += ", process " + std::to_string(owner.pid);
  if (!owner.user.empty()) text += ", of " + owner.user;
  if (!owner.host.empty()) text += ", on " + owner.host;
  if (is_set(owner.since)) text += ", since " + in_words(owner.since);
  text +=
      "; one engine at a time owns a store. Close that one first, or work through it with cogwork.connect (reading needs neither).";
  return text;
}

}  // namespace cogwork
