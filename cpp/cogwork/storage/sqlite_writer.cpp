#include "cogwork/storage/sqlite_writer.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/storage/sqlite_schema.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostKeys = 4096;
/// A row's key has 31 bits for its Labor.
constexpr std::int64_t kMostLabors = std::numeric_limits<std::int32_t>::max();

/// Each once, in order: an index is written fastest from one end to the other.
void sort_distinct(std::vector<std::string_view>& words) {
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
}

}  // namespace

SqliteWriter::SqliteWriter(const SqlitePlace& place)
    : connection_(place, SqliteConnection::Kind::WRITER),
      begin_(connection_, "BEGIN IMMEDIATE", "begin to write to"),
      commit_(connection_, "COMMIT", "write to"),
      find_labor_(connection_, "SELECT key FROM labors WHERE id = ?1", "look up a Labor in"),
      next_key_(connection_, "SELECT coalesce(max(key), 0) + 1 FROM labors", "write a Labor to"),
      insert_labor_(connection_, kLaborSql.insert, "write a Labor to"),
      insert_task_(connection_, kTaskSql.insert, "write a Labor to"),
      insert_sequence_(connection_, kSequenceSql.insert, "write a Labor to"),
      insert_job_(connection_, kJobSql.insert, "write a Labor to"),
      insert_args_(connection_, "INSERT INTO args(key, args) VALUES(?1, ?2)", "write the args of a Job to"),
      insert_tag_(connection_, "INSERT INTO labor_tags(tag, labor) VALUES(coalesce(?1, ''), ?2)", "write a Labor to"),
      insert_cog_(connection_, "INSERT INTO labor_cogs(cog, labor) VALUES(coalesce(?1, ''), ?2)", "write a Labor to"),
      insert_target_(connection_, "INSERT INTO labor_targets(target, labor) VALUES(coalesce(?1, ''), ?2)", "write a Labor to"),
      update_labor_(connection_, kLaborSql.update, "write the state of a Labor to"),
      update_task_(connection_, kTaskSql.update, "write a Task to"),
      update_sequence_(connection_, kSequenceSql.update, "write a Sequence to"),
      update_job_(connection_, kJobSql.update, "write a Job to"),
      insert_history_(connection_, "INSERT INTO history(first, labor, at, count, changes, link) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                      "write to the history in"),
      put_record_(connection_, "INSERT OR REPLACE INTO records(kind, key, value) VALUES(?1, coalesce(?2, ''), coalesce(?3, x''))",
                  "write a record to"),
      remove_record_(connection_, "DELETE FROM records WHERE kind = ?1 AND key = coalesce(?2, '')", "remove a record from") {}

void SqliteWriter::apply(const Batch& batch) {
  if (batch.empty()) return;
  // A commit into a file that has lost its name would be acknowledged and never seen again. Looking costs a microsecond.
  int moved = 0;
  if (sqlite3_file_control(connection_.handle(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0) {
    throw_sqlite(connection_.place(), "write to", SQLITE_READONLY_DBMOVED, "");
  }
  begin_.run();
  try {
    for (const auto& op : batch.writes) {
      std::visit([this](const auto& write) { put(write); }, op);
    }
    for (const auto& row : batch.history) put(row);
    for (const auto& record : batch.records) put(record);
    commit_.run();
  } catch (...) {
    roll_back();
    throw;
  }
}

void SqliteWriter::roll_back() {
  keys_.clear();                              // some may be of Labors that this batch was to bring
  if (!connection_.in_transaction()) return;  // SQLite has rolled it back by itself
  sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  broken_ = connection_.in_transaction();
}

std::int64_t SqliteWriter::find_key(const Id& labor) {
  if (const auto it = keys_.find(labor); it != keys_.end()) return it->second;
  find_labor_.bind_id(1, labor);
  if (!find_labor_.step()) return 0;
  const std::int64_t key = find_labor_.number(0);
  find_labor_.reset();
  if (keys_.size() >= kMostKeys) keys_.clear();
  keys_.emplace(labor, key);
  return key;
}

std::int64_t SqliteWriter::need_key(const Id& labor, const char* what, std::uint32_t ordinal) {
  const std::int64_t key = find_key(labor.labor());
  if (key == 0) missing(labor, what, ordinal);
  return key;
}

void SqliteWriter::missing(const Id& labor, const char* what, std::uint32_t ordinal) const {
  throw StorageError("cannot write the " + std::string(what) + " " + labor.with_ordinal(ordinal).text() + " to " +
                         connection_.place().shown + ": it is not there; write_labor comes first",
                     false);
}

void SqliteWriter::put(const WriteLabor& write) {
  const Labor& labor = *write.labor;
  std::int64_t key = find_key(labor.id);
  if (key != 0) {
    remove_tree(key);
  } else {
    next_key_.step();
    key = next_key_.number(0);
    next_key_.reset();
    if (key > kMostLabors) {
      throw StorageError("cannot write a Labor to " + connection_.place().shown + ": it holds as many as it can; take another file",
                         false);
    }
  }
  bind_labor(insert_labor_, key, labor, scratch_);
  insert_labor_.run();
  for (const auto& task : labor.tasks) {
    bind_task(insert_task_, row_key(key, task.ordinal), task, scratch_);
    insert_task_.run();
  }
  for (const auto& sequence : labor.sequences) {
    bind_sequence(insert_sequence_, row_key(key, sequence.ordinal), sequence, scratch_);
    insert_sequence_.run();
  }
  for (const auto& job : labor.jobs) {
    bind_job(insert_job_, row_key(key, job.ordinal), job, scratch_);
    insert_job_.run();
  }
  for (const auto& job : labor.jobs) {
    if (job.args.empty()) continue;
    insert_args_.bind(1, row_key(key, job.ordinal)).bind_blob(2, job.args);
    insert_args_.run();
  }

  const auto insert_words = [key](SqliteStatement& insert, std::vector<std::string_view>& words) {
    sort_distinct(words);
    for (const auto word : words) {
      insert.bind_text(1, word).bind(2, key);
      insert.run();
    }
    words.clear();
  };
  std::vector<std::string_view> words(labor.tags.begin(), labor.tags.end());
  insert_words(insert_tag_, words);
  // Neighbours mostly call the same Cog: most of a million names need not be sorted.
  for (const auto& job : labor.jobs) {
    if (words.empty() || words.back() != job.cog_path.view()) words.push_back(job.cog_path);
  }
  insert_words(insert_cog_, words);
  words.reserve(labor.sequences.size());
  for (const auto& sequence : labor.sequences) words.push_back(sequence.target);
  insert_words(insert_target_, words);

  if (keys_.size() >= kMostKeys) keys_.clear();
  keys_.emplace(labor.id, key);
}

void SqliteWriter::remove_tree(std::int64_t key) {
  // The words first, found by way of the rows that go: the tables of words have no index by Labor.
  for (const char* sql : {
           "DELETE FROM labor_tags WHERE labor = ?1",
           "DELETE FROM labor_cogs WHERE labor = ?1 AND cog IN (SELECT coalesce(cog, '') FROM jobs WHERE key BETWEEN ?2 AND ?3)",
           "DELETE FROM labor_targets WHERE labor = ?1 AND target IN (SELECT coalesce(target, '') FROM sequences WHERE key BETWEEN "
           "?2 AND ?3)",
           "DELETE FROM tasks WHERE key BETWEEN ?2 AND ?3",
           "DELETE FROM sequences WHERE key BETWEEN ?2 AND ?3",
           "DELETE FROM jobs WHERE key BETWEEN ?2 AND ?3",
           "DELETE FROM args WHERE key BETWEEN ?2 AND ?3",
       }) {
    SqliteStatement remove(connection_, sql, "replace a Labor in");
    const std::string_view text(sql);
    if (text.find("?1") != text.npos) remove.bind(1, key);
    if (text.find("?2") != text.npos) remove.bind(2, row_key(key, 0)).bind(3, row_key(key, UINT32_MAX));
    remove.run();
  }
}

void SqliteWriter::put(const WriteLaborState& write) {
  const Labor& labor = *write.labor;
  bind_labor_state(update_labor_, need_key(labor.id, "Labor", 0), labor, scratch_);
  if (update_labor_.run() == 0) missing(labor.id, "Labor", 0);
}

void SqliteWriter::put(const WriteTask& write) {
  const std::uint32_t ordinal = write.task.ordinal;
  bind_task(update_task_, row_key(need_key(write.labor, "Task", ordinal), ordinal), write.task, scratch_);
  if (update_task_.run() == 0) missing(write.labor, "Task", ordinal);
}

void SqliteWriter::put(const WriteSequence& write) {
  const std::uint32_t ordinal = write.sequence.ordinal;
  bind_sequence(update_sequence_, row_key(need_key(write.labor, "Sequence", ordinal), ordinal), write.sequence, scratch_);
  if (update_sequence_.run() == 0) missing(write.labor, "Sequence", ordinal);
}

void SqliteWriter::put(const WriteJob& write) {
  const std::uint32_t ordinal = write.job.ordinal;
  bind_job(update_job_, row_key(need_key(write.labor, "Job", ordinal), ordinal), write.job, scratch_);
  if (update_job_.run() == 0) missing(write.labor, "Job", ordinal);
}

void SqliteWriter::put(const HistoryRow& row) {
  const std::string_view link(reinterpret_cast<const char*>(row.link.data()), row.link.size());
  insert_history_.bind(1, static_cast<std::int64_t>(row.first)).bind(2, need_key(row.labor, "history of the Labor", 0));
  insert_history_.bind(3, to_micros(row.at)).bind(4, row.count).bind_blob(5, row.changes).bind_blob(6, link);
  insert_history_.run();
}

void SqliteWriter::put(const Record& record) {
  auto& statement = record.value ? put_record_ : remove_record_;
  statement.bind(1, static_cast<int>(record.kind)).bind_text(2, record.key);
  if (record.value) statement.bind_blob(3, *record.value);
  statement.run();
}

}  // namespace cogwork
