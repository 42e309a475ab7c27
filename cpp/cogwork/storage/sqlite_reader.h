#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_exam.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// Whether the file has a log beside it: an engine has it open, or did not close it.
bool has_sqlite_log(const SqlitePlace& place);

/// A connection that reads, with its statements. One thread at a time; never makes a writer wait. Each call sees one state of the
/// store: what lies between two commits.
class SqliteReader {
 public:
  /// Throws where the file is none of cogwork's, or of another version.
  SqliteReader(const SqlitePlace& place, SqliteConnection::Kind kind);

  Labor read_labor(const Id& id, bool full);
  Task read_task(const Id& id);
  Sequence read_sequence(const Id& id);
  Job read_job(const Id& id, bool full);

  /// The keys of the Labors that pass, in the order of the search.
  std::vector<std::int64_t> search(const LaborFilter& filter);
  /// Labors without tables, by key. One that is gone is left out; one that is damaged is UNKNOWN, and has what can be read of it.
  std::vector<Labor> labors(std::span<const std::int64_t> keys);
  /// The next rows that hold a change above `since` and begin at `last` or below; at most `most`.
  std::vector<HistoryRow> history(const Id& labor, std::uint64_t since, std::uint64_t last, std::size_t most);
  /// A Labor with all of its history.
  Account read_account(const Id& id);
  /// Ids of Labors whose text begins with `prefix`, in their order.
  std::vector<Id> labor_ids(std::string_view prefix, std::size_t most);
  std::uint64_t last_change();
  std::array<std::uint8_t, 16> last_link(const Id& labor);
  Time last_time(const Id& labor);
  std::vector<Record> records(RecordKind kind);
  FileExam examine();

  /// Whether what this connection read is what the file holds. A snapshot is not when somebody has written since; another is not when the file,
  /// its log or the log's index has been replaced, which SQLite itself does not see.
  bool current() const;
  /// The same at half the cost, before a read that would fail where it is wrong: a log that was replaced alone is not seen.
  bool likely_current() const;
  bool is_snapshot() const { return kind_ == SqliteConnection::Kind::SNAPSHOT; }

 private:
  /// Which files these are; of one that is read as a snapshot also what tells that somebody wrote to it.
  struct Signature {
    std::uint64_t device = 0, inode = 0, log = 0, index = 0;
    std::int64_t size = 0, seconds = 0, nanoseconds = 0;
    bool has_log = false;
    bool operator==(const Signature&) const = default;
  };
  class Transaction;

  Signature signature() const;
  /// Prepared at its first use.
  SqliteStatement& kept(std::unique_ptr<SqliteStatement>& slot, std::string_view sql, std::string_view doing);
  std::int64_t find_key(const Id& labor);
  HistoryRow history_row(const SqliteStatement& row) const;
  /// More rows than that do not fit into the file. Within a transaction, as the next.
  std::size_t most_rows();
  Labor labor_with_key(std::int64_t key, const Id& id, bool full);
  /// The row of the object with that id, ready to be read.
  SqliteStatement& row_of(std::unique_ptr<SqliteStatement>& slot, const std::string& sql, const Id& id, const char* what);
  [[noreturn]] void not_found(const char* what, const Id& id) const;

  SqlitePlace place_;
  SqliteConnection::Kind kind_;
  Signature signature_;
  SqliteConnection connection_;
  std::unique_ptr<SqliteStatement> find_labor_, labor_, task_, sequence_, job_, job_args_, tasks_, sequences_, jobs_, args_,
      history_all_, history_labor_, account_, ids_, last_change_, last_link_, last_time_, records_;
};

}  // namespace cogwork
