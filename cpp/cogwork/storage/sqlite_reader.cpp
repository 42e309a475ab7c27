#include "cogwork/storage/sqlite_reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "cogwork/base/error.h"
#include "cogwork/model/structure.h"
#include "cogwork/storage/sqlite_rows.h"
#include "cogwork/storage/sqlite_schema.h"

namespace cogwork {
namespace {

std::int64_t as_signed(std::uint64_t number) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(number, std::numeric_limits<std::int64_t>::max()));
}

constexpr std::int64_t kSmallestIndex = 32 * 1024;  // SQLite makes it longer by such pieces

constexpr const char* kRestore = "; the file is damaged, restore a copy";

/// Reads a row, or says of which object one is damaged, and how.
template <typename Read>
auto row_of_object(const SqlitePlace& place, const char* kind, const Id& id, const Read& read) {
  try {
    return read();
  } catch (const DamagedRow& error) {
    const auto of = id.ordinal() == 0 ? std::string() : " of the Labor " + id.labor().text();
    throw DamagedStore("cannot read the " + std::string(kind) + " " + id.text() + of + " from " + place.shown + ": " +
                       error.what() + kRestore);
  }
}

const std::string& labor_sql() {
  static const std::string sql = std::string("SELECT ") + kLaborSql.columns + " FROM labors WHERE key = ?1";
  return sql;
}

/// The conditions of a filter as SQL, and the values of its question marks.
class SearchSql {
 public:
  explicit SearchSql(const LaborFilter& filter) {
    sql_ = "SELECT l.key FROM labors AS l WHERE true";
    if (!filter.states.empty()) {
      sql_ += " AND (l.state IN (";
      for (const auto state : filter.states) sql_ += std::to_string(static_cast<int>(state)) + ",";
      sql_.back() = ')';
      // What is damaged is in none of the states.
      const bool any = std::ranges::find(filter.states, State::UNKNOWN) != filter.states.end();
      sql_ += any ? " OR l.state NOT IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))" : ")";
    }
    // Byte by byte, hence the casts: LIKE and GLOB read signs in a name, and on texts substr counts characters.
    if (!filter.name_prefix.empty()) affix(filter.name_prefix, static_cast<std::int64_t>(filter.name_prefix.size()), "1, ");
    if (!filter.name_suffix.empty()) affix(filter.name_suffix, -static_cast<std::int64_t>(filter.name_suffix.size()), "");
    any_of("labor_tags", "tag", filter.tags);
    any_of("labor_targets", "target", filter.targets);
    any_of("labor_cogs", "cog", filter.cogs);
    if (filter.submit_begin) {
      sql_ += " AND l.submitted >= ?";
      numbers(to_micros(*filter.submit_begin));
    }
    if (filter.submit_end) {
      sql_ += " AND l.submitted < ?";
      numbers(to_micros(*filter.submit_end));
    }
    sql_ += filter.newest_first ? " ORDER BY l.submitted DESC, l.id DESC" : " ORDER BY l.submitted, l.id";
    if (filter.limit) {
      sql_ += " LIMIT ?";
      numbers(as_signed(*filter.limit));
    }
  }

  const std::string& sql() const { return sql_; }
  void bind(SqliteStatement& statement) const {
    int place = 0;
    for (const auto& value : values_) {
      ++place;
      switch (value.kind) {
        case Value::NUMBER: statement.bind(place, value.number); break;
        case Value::TEXT: statement.bind_text(place, value.bytes); break;
        case Value::BLOB: statement.bind_blob(place, value.bytes); break;
      }
    }
  }

 private:
  struct Value {
    enum Kind : std::uint8_t { NUMBER, TEXT, BLOB } kind;
    std::int64_t number;
    std::string bytes;
  };

  void numbers(std::int64_t value) { values_.push_back({Value::NUMBER, value, {}}); }
  void blob(std::string_view bytes) { values_.push_back({Value::BLOB, 0, std::string(bytes)}); }
  void affix(const std::string& bytes, std::int64_t size, const char* from) {
    sql_ += std::string(" AND substr(CAST(l.name AS BLOB), ") + from + "?) = ?";
    numbers(size);
    blob(bytes);
  }
  void any_of(const char* table, const char* column, const std::vector<std::string>& words) {
    if (words.empty()) return;
    sql_ += std::string(" AND l.key IN (SELECT labor FROM ") + table + " WHERE " + column + " IN (";
    for (const auto& word : words) {
      sql_ += word.empty() ? "''," : "?,";
      if (!word.empty()) values_.push_back({Value::TEXT, 0, word});
    }
    sql_.back() = ')';
    sql_ += ")";
  }

  std::string sql_;
  std::vector<Value> values_;
};

}  // namespace

bool has_sqlite_log(const SqlitePlace& place) {
  struct stat about {};
  return stat((place.real + "-wal").c_str(), &about) == 0 || stat((place.real + "-journal").c_str(), &about) == 0;
}

/// One consistent view for several statements. Ends without a word: it only read.
class SqliteReader::Transaction {
 public:
  explicit Transaction(SqliteConnection& connection) : connection_(connection) { connection.execute("BEGIN", "read"); }
  ~Transaction() { sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

 private:
  SqliteConnection& connection_;
};

SqliteReader::SqliteReader(const SqlitePlace& place, SqliteConnection::Kind kind)
    : place_(place), kind_(kind), signature_(signature()), connection_(place, kind) {
  {
    const Transaction transaction(connection_);
    check_schema(look_at(connection_), place_, false, false);
    check_tables(connection_, kSqliteSchema);
  }
  if (kind_ != SqliteConnection::Kind::SNAPSHOT) signature_ = signature();  // SQLite makes a log that is not there
}

SqliteReader::Signature SqliteReader::signature() const {
  Signature signature;
  struct stat about {};
  const auto look = [&about](const std::string& path) { return stat(path.c_str(), &about) == 0; };
  const bool snapshot = kind_ == SqliteConnection::Kind::SNAPSHOT;
  if (look(place_.real)) {
    signature.device = about.st_dev;
    signature.inode = about.st_ino;
    if (snapshot) {
      signature.size = about.st_size;
      signature.seconds = about.st_mtim.tv_sec;
      signature.nanoseconds = about.st_mtim.tv_nsec;
    }
  }
  if (snapshot) {
    signature.has_log = has_sqlite_log(place_);
  } else {
    if (look(place_.real + "-wal")) signature.log = about.st_ino;
    // One that was cut must not be looked at where it is mapped.
    if (look(place_.real + "-shm") && about.st_size >= kSmallestIndex) signature.index = about.st_ino;
  }
  return signature;
}

bool SqliteReader::current() const { return signature() == signature_; }

bool SqliteReader::likely_current() const {
  if (is_snapshot()) return current();
  struct stat about {};
  return stat((place_.real + "-shm").c_str(), &about) == 0 && about.st_ino == signature_.index && about.st_size >= kSmallestIndex &&
         stat(place_.real.c_str(), &about) == 0 && about.st_ino == signature_.inode;
}

SqliteStatement& SqliteReader::kept(std::unique_ptr<SqliteStatement>& slot, std::string_view sql, std::string_view doing) {
  if (!slot) slot = std::make_unique<SqliteStatement>(connection_, sql, doing);
  return *slot;
}

void SqliteReader::not_found(const char* what, const Id& id) const {
  throw NotFound(std::string("there is no ") + what + " " + id.text() + " in " + place_.shown);
}

std::int64_t SqliteReader::find_key(const Id& labor) {
  auto& find = kept(find_labor_, "SELECT key FROM labors WHERE id = ?1", "read");
  find.bind_id(1, labor);
  if (!find.step()) return 0;
  const auto key = find.number(0);
  find.reset();
  return key;
}

Labor SqliteReader::read_labor(const Id& id, bool full) {
  const Transaction transaction(connection_);
  return labor_with_key(find_key(id), id, full);
}

Account SqliteReader::read_account(const Id& id) {
  const Transaction transaction(connection_);
  const std::int64_t key = find_key(id);
  Account account{labor_with_key(key, id, true), {}};
  auto& rows = kept(account_,
                    "SELECT h.first, l.id, h.at, h.count, h.changes, h.link FROM history AS h JOIN labors AS l ON l.key = h.labor "
                    "WHERE h.labor = ?1 ORDER BY h.first",
                    "read the history of");
  const StatementGuard guard(rows);
  rows.bind(1, key);
  while (rows.step()) account.history.push_back(history_row(rows));
  return account;
}

HistoryRow SqliteReader::history_row(const SqliteStatement& row) const {
  try {
    return history_from(row);
  } catch (const DamagedRow& error) {
    throw DamagedStore("cannot read the history of " + place_.shown + ": of the row of change " + std::to_string(row.number(0)) +
                       ", " + error.what() + kRestore);
  }
}

std::vector<Id> SqliteReader::labor_ids(std::string_view prefix, std::size_t most) {
  // The index of ids is one of bytes: a text that begins so is a range of them.
  Id low, high;
  high.bytes.fill(0xff);
  std::size_t digits = 0;
  for (const char c : prefix) {
    if (c == '-') continue;
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0 || digits == 2 * low.bytes.size()) return {};
    const unsigned shift = digits % 2 == 0 ? 4 : 0;
    auto& a = low.bytes[digits / 2];
    auto& b = high.bytes[digits / 2];
    a = static_cast<std::uint8_t>(a | static_cast<unsigned>(value) << shift);
    b = static_cast<std::uint8_t>((b & ~(0x0fU << shift)) | static_cast<unsigned>(value) << shift);
    ++digits;
  }
  auto& rows = kept(ids_, "SELECT id FROM labors WHERE id BETWEEN ?1 AND ?2 ORDER BY id", "search");
  const StatementGuard guard(rows);
  rows.bind_id(1, low).bind_id(2, high);
  std::vector<Id> found;
  while (found.size() < most && rows.step()) {
    const auto bytes = rows.bytes(0);
    if (bytes.size() != low.bytes.size()) continue;  // damaged: nobody can name it
    Id id;
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    if (id.text().starts_with(prefix)) found.push_back(id);  // its dashes stand where they were typed
  }
  return found;
}

Labor SqliteReader::labor_with_key(std::int64_t key, const Id& id, bool full) {
  if (key == 0) not_found("Labor", id);
  auto& row = kept(labor_, labor_sql(), "read a Labor from");
  const StatementGuard guard(row);
  row.bind(1, key);
  if (!row.step()) not_found("Labor", id);
  Labor labor = row_of_object(place_, "Labor", id, [&] { return labor_from(row); });
  if (!full) return labor;

  // What a row says of others is not believed before they are there.
  const auto most = [most = most_rows()](std::size_t first, std::size_t count) { return std::min(first + count, most); };

  Interner intern;
  const auto each = [&](std::unique_ptr<SqliteStatement>& slot, const char* table, const char* columns, const char* kind,
                        const auto& take) {
    const auto sql =
        slot ? std::string() : std::string("SELECT ") + columns + " FROM " + table + " WHERE key BETWEEN ?1 AND ?2 ORDER BY key";
    auto& rows = kept(slot, sql, "read a Labor from");
    const StatementGuard rows_guard(rows);
    rows.bind(1, row_key(key, 0)).bind(2, row_key(key, UINT32_MAX));
    while (rows.step()) {
      row_of_object(place_, kind, id.with_ordinal(row_ordinal(rows.number(0))), [&] {
        take(rows);
        return 0;
      });
    }
  };
  each(tasks_, "tasks", kTaskSql.columns, "Task", [&](const auto& rows) { labor.tasks.push_back(task_from(rows, intern)); });
  if (!labor.tasks.empty()) {
    const auto& last = labor.tasks.back();
    labor.sequences.reserve(most(last.first_sequence, last.sequence_count));
  }
  each(sequences_, "sequences", kSequenceSql.columns, "Sequence",
       [&](const auto& rows) { labor.sequences.push_back(sequence_from(rows, intern)); });
  if (!labor.sequences.empty()) {
    const auto& last = labor.sequences.back();
    labor.jobs.reserve(most(last.first_job, last.job_count));
  }
  each(jobs_, "jobs", kJobSql.columns, "Job", [&](const auto& rows) { labor.jobs.push_back(job_from(rows, intern, true)); });
  // Both in the order of keys: one walk brings them together.
  auto job = labor.jobs.begin();
  each(args_, "args", "key, args", "Job", [&](const auto& rows) {
    const auto ordinal = row_ordinal(rows.number(0));
    while (job != labor.jobs.end() && job->ordinal < ordinal) ++job;
    if (job != labor.jobs.end() && job->ordinal == ordinal) job->args = args_from(rows, 1);
  });
  if (const auto why = why_not_whole(labor); !why.empty()) {
    throw DamagedStore("cannot read the Labor " + id.text() + " from " + place_.shown + ": " + why + kRestore);
  }
  return labor;
}

std::size_t SqliteReader::most_rows() {
  constexpr std::int64_t kSmallestRow = 20;
  return static_cast<std::size_t>(connection_.number("PRAGMA page_count") * connection_.number("PRAGMA page_size") / kSmallestRow);
}

SqliteStatement& SqliteReader::row_of(std::unique_ptr<SqliteStatement>& slot, const std::string& sql, const Id& id,
                                      const char* what) {
  const std::int64_t key = find_key(id.labor());
  if (key == 0) not_found(what, id);
  auto& row = kept(slot, sql, "read");
  row.bind(1, row_key(key, id.ordinal()));
  if (!row.step()) not_found(what, id);
  return row;
}

Task SqliteReader::read_task(const Id& id) {
  const Transaction transaction(connection_);
  static const std::string sql = std::string("SELECT ") + kTaskSql.columns + " FROM tasks WHERE key = ?1";
  auto& row = row_of(task_, sql, id, "Task");
  const StatementGuard guard(row);
  Interner intern;
  return row_of_object(place_, "Task", id, [&] { return task_from(row, intern); });
}

Sequence SqliteReader::read_sequence(const Id& id) {
  const Transaction transaction(connection_);
  static const std::string sql = std::string("SELECT ") + kSequenceSql.columns + " FROM sequences WHERE key = ?1";
  auto& row = row_of(sequence_, sql, id, "Sequence");
  const StatementGuard guard(row);
  Interner intern;
  return row_of_object(place_, "Sequence", id, [&] { return sequence_from(row, intern); });
}

Job SqliteReader::read_job(const Id& id, bool full) {
  const Transaction transaction(connection_);
  static const std::string sql = std::string("SELECT ") + kJobSql.columns + " FROM jobs WHERE key = ?1";
  auto& row = row_of(job_, sql, id, "Job");
  const StatementGuard guard(row);
  Interner intern;
  Job job = row_of_object(place_, "Job", id, [&] { return job_from(row, intern, full); });
  if (full) {
    auto& args = kept(job_args_, "SELECT args FROM args WHERE key = ?1", "read the args of a Job from");
    const StatementGuard args_guard(args);
    args.bind(1, row.number(0));
    if (args.step()) job.args = row_of_object(place_, "Job", id, [&] { return args_from(args, 0); });
  }
  return job;
}

std::vector<std::int64_t> SqliteReader::search(const LaborFilter& filter) {
  const SearchSql sql(filter);
  SqliteStatement rows(connection_, sql.sql(), "search");
  sql.bind(rows);
  std::vector<std::int64_t> keys;
  while (rows.step()) keys.push_back(rows.number(0));
  return keys;
}

std::vector<Labor> SqliteReader::labors(std::span<const std::int64_t> keys) {
  const Transaction transaction(connection_);
  auto& row = kept(labor_, labor_sql(), "read a Labor from");
  const StatementGuard guard(row);
  std::vector<Labor> found;
  found.reserve(keys.size());
  for (const auto key : keys) {
    row.bind(1, key);
    if (row.step()) found.push_back(labor_or_what_is_left(row));
    row.reset();
  }
  return found;
}

std::vector<HistoryRow> SqliteReader::history(const Id& labor, std::uint64_t since, std::uint64_t last, std::size_t most) {
  // Rows hold ranges of numbers that do not overlap, so at most the last one that begins at `since` or below reaches above it.
  const Transaction transaction(connection_);
  std::vector<HistoryRow> rows;
  const auto read = [&](SqliteStatement& statement, std::int64_t key) {
    const StatementGuard guard(statement);
    statement.bind(1, as_signed(since)).bind(2, as_signed(last)).bind(3, static_cast<std::int64_t>(most));
    if (key != 0) statement.bind(4, key);
    while (statement.step()) {
      auto row = history_row(statement);
      if (row.first + row.count - 1 > since) rows.push_back(std::move(row));
    }
  };
  if (labor.is_nil()) {
    read(kept(history_all_,
              "SELECT h.first, l.id, h.at, h.count, h.changes, h.link FROM history AS h JOIN labors AS l ON l.key = h.labor "
              "WHERE h.first BETWEEN coalesce((SELECT max(first) FROM history WHERE first <= ?1), 0) AND ?2 ORDER BY h.first LIMIT "
              "?3 + 1",
              "read the history of"),
         0);
  } else if (const std::int64_t key = find_key(labor); key != 0) {
    read(kept(history_labor_,
              "SELECT h.first, l.id, h.at, h.count, h.changes, h.link FROM history AS h JOIN labors AS l ON l.key = h.labor "
              "WHERE h.labor = ?4 AND h.first BETWEEN coalesce((SELECT max(first) FROM history WHERE labor = ?4 AND first <= ?1), "
              "0) AND ?2 "
              "ORDER BY h.first LIMIT ?3 + 1",
              "read the history of"),
         key);
  }
  return rows;
}

std::uint64_t SqliteReader::last_change() {
  // A row with a damaged number is passed over: those that come must not be numbered behind it.
  auto& row =
      kept(last_change_, "SELECT first, count FROM history WHERE first <= ?1 ORDER BY first DESC LIMIT 1", "read the history of");
  const StatementGuard guard(row);
  row.bind(1, kMostChanges);
  if (!row.step()) return 0;
  const auto count = std::clamp<std::int64_t>(row.number(1), 1, UINT32_MAX);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(row.number(0), 1) + count - 1);
}

std::array<std::uint8_t, 16> SqliteReader::last_link(const Id& labor) {
  std::array<std::uint8_t, 16> link{};
  auto& row =
      kept(last_link_, "SELECT link FROM history WHERE labor = (SELECT key FROM labors WHERE id = ?1) ORDER BY first DESC LIMIT 1",
           "read the history of");
  const StatementGuard guard(row);
  row.bind_id(1, labor);
  if (row.step()) {
    const auto bytes = row.bytes(0);
    std::memcpy(link.data(), bytes.data(), std::min(bytes.size(), link.size()));
  }
  return link;
}

Time SqliteReader::last_time(const Id& labor) {
  auto& row =
      kept(last_time_, "SELECT at FROM history WHERE labor = (SELECT key FROM labors WHERE id = ?1) ORDER BY first DESC LIMIT 1",
           "read the history of");
  const StatementGuard guard(row);
  row.bind_id(1, labor);
  return row.step() ? from_micros(row.number(0)) : never;
}

std::vector<Record> SqliteReader::records(RecordKind kind) {
  std::vector<Record> found;
  auto& rows = kept(records_, "SELECT key, value FROM records WHERE kind = ?1 ORDER BY key", "read records from");
  const StatementGuard guard(rows);
  rows.bind(1, static_cast<int>(kind));
  while (rows.step()) found.push_back({kind, Text(rows.bytes(0)), Text(rows.bytes(1))});
  return found;
}

}  // namespace cogwork
