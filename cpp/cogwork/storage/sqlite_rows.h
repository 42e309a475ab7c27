#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "cogwork/base/text.h"
#include "cogwork/model/labor.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

// How values of the model are rows of SQLite, both ways: the one place that knows the order of columns.
//
// Keys. A Task, Sequence or Job is found under its Labor's key << 32 | its ordinal, so a Labor's rows lie together, in the
// order of the tree, and its objects need no index by id.
//
// Room. SQLite overwrites a row in place where its size stays the same, and else moves its neighbours about and splits pages.
// So the rows that change on every start and end are written at their final size from the beginning: a time that is not set is a
// number as long as a time, and `room` is zeros that give way as attempts and states fill in.

inline constexpr std::int64_t kOrdinals = std::int64_t{1} << 32;
inline std::int64_t row_key(std::int64_t labor_key, std::uint32_t ordinal) { return labor_key * kOrdinals + ordinal; }
inline std::uint32_t row_ordinal(std::int64_t key) { return static_cast<std::uint32_t>(key & (kOrdinals - 1)); }

/// The statements' texts. `?1` is the key throughout; the columns follow in the order in which they are read. An update leaves out
/// where the object stands in the tree, which is bound all the same.
struct RowSql {
  const char* insert;
  const char* update;
  const char* columns;
};
extern const RowSql kLaborSql, kTaskSql, kSequenceSql, kJobSql;

/// What a statement refers to while it runs, beyond the row itself.
struct RowScratch {
  std::string tags, cogs, holds, provenance, attempts;
};

void bind_labor(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch);
/// Of kLaborSql.update: the fields that change.
void bind_labor_state(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch);
void bind_task(SqliteStatement& statement, std::int64_t key, const Task& task, RowScratch& scratch);
void bind_sequence(SqliteStatement& statement, std::int64_t key, const Sequence& sequence, RowScratch& scratch);
void bind_job(SqliteStatement& statement, std::int64_t key, const Job& job, RowScratch& scratch);

/// A column holds what no row of cogwork's does: a number out of range, text that is none, bytes that cannot be read. Says which and why, and
/// not of which row, which whoever reads it knows.
class DamagedRow : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Columns in the order of RowSql::columns. Throw DamagedRow.
Labor labor_from(const SqliteStatement& row);
/// Of a row that is damaged, its id and name if they can be read, and the state UNKNOWN.
Labor labor_or_what_is_left(const SqliteStatement& row);
Task task_from(const SqliteStatement& row, Interner& intern);
Sequence sequence_from(const SqliteStatement& row, Interner& intern);
Job job_from(const SqliteStatement& row, Interner& intern, bool output);
/// Of the `args` in that column.
Text args_from(const SqliteStatement& row, int column);
/// first, the Labor's id, at, count, changes, link.
HistoryRow history_from(const SqliteStatement& row);

/// A change numbered above this was numbered by nobody: half of what SQLite can count.
inline constexpr std::int64_t kMostChanges = std::int64_t{1} << 62;

}  // namespace cogwork
