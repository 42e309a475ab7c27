#pragma once

#include <SQLiteCpp/Database.h>
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cogwork/base/error.h"
#include "cogwork/base/id.h"
#include "cogwork/base/text.h"

namespace cogwork {

/// Which file a connection is for: how the user called it, for messages, and where it really is.
struct SqlitePlace {
  std::string shown;
  std::string real;  ///< Absolute, without symbolic links, so that two names of one file are one store.
};

/// The file is damaged: what can be said of it, it no longer says.
class DamagedStore : public StorageError {
 public:
  explicit DamagedStore(const std::string& message) : StorageError(message, false) {}
};

/// Throws what a failure of SQLite is in cogwork: a StorageError that says what was being done, why it failed and what would
/// help, and that is temporary where waiting may help (a full disk, a lock, an I/O error) and not where it cannot (a value
/// too large, a damaged file).
[[noreturn]] void throw_sqlite(const SqlitePlace& place, std::string_view doing, int extended_code, const char* message);

/// One connection, for one thread at a time. SQLiteCpp opens and closes it.
class SqliteConnection {
 public:
  enum class Kind : std::uint8_t {
    WRITER,    ///< Makes the file where there is none.
    READER,    ///< Beside a writer, or what one left: sees its log.
    SNAPSHOT,  ///< Reads a file that has no log and takes it that nobody writes. Creates nothing, locks nothing.
  };
  SqliteConnection(const SqlitePlace& place, Kind kind);

  sqlite3* handle() const { return database_->getHandle(); }
  const SqlitePlace& place() const { return place_; }

  void execute(const char* sql, std::string_view doing);
  /// The only value of the only row.
  std::int64_t number(const char* sql);
  std::string word(const char* sql);
  bool in_transaction() const { return sqlite3_get_autocommit(handle()) == 0; }

 private:
  SqlitePlace place_;
  std::unique_ptr<SQLite::Database> database_;
};

/// A prepared statement that is kept. Values are bound by reference: they must live until the statement has run.
/// It stands beside SQLiteCpp's own since that counts a shared pointer for each value read: a Labor of a million Jobs has
/// twenty million of them.
class SqliteStatement {
 public:
  SqliteStatement(SqliteConnection& connection, std::string_view sql, std::string_view doing);

  SqliteStatement& bind(int place, std::int64_t value) { return done(sqlite3_bind_int64(raw(), place, value)); }
  SqliteStatement& bind_real(int place, double value) { return done(sqlite3_bind_double(raw(), place, value)); }
  SqliteStatement& bind_null(int place) { return done(sqlite3_bind_null(raw(), place)); }
  SqliteStatement& bind_zeros(int place, int size) { return done(sqlite3_bind_zeroblob(raw(), place, size)); }
  /// An empty text or blob is stored as NULL, which takes no room.
  SqliteStatement& bind_text(int place, std::string_view value);
  SqliteStatement& bind_blob(int place, std::string_view value);
  SqliteStatement& bind_id(int place, const Id& id);

  /// On to the next row. False at the end, where the statement is ready for the next run.
  bool step();
  /// For a statement without rows. Returns how many rows it changed.
  int run();
  void reset() { sqlite3_reset(raw()); }

  /// SQLITE_INTEGER, _FLOAT, _TEXT, _BLOB or _NULL: what the row holds, whatever the table asks for.
  int type(int column) const { return sqlite3_column_type(raw(), column); }
  const char* name(int column) const { return sqlite3_column_name(raw(), column); }
  bool is_null(int column) const { return type(column) == SQLITE_NULL; }
  std::int64_t number(int column) const { return sqlite3_column_int64(raw(), column); }
  double real(int column) const { return sqlite3_column_double(raw(), column); }
  /// Until the next step.
  std::string_view bytes(int column) const;
  Id id(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  sqlite3_stmt* raw() const { return statement_.get(); }
  SqliteStatement& done(int code) {
    if (code != SQLITE_OK) fail(code);
    return *this;
  }
  [[noreturn]] void fail(int code);

  SqliteConnection* connection_;
  std::string doing_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// Resets a statement that may be left before its last row, also by an exception.
class StatementGuard {
 public:
  explicit StatementGuard(SqliteStatement& statement) : statement_(statement) {}
  ~StatementGuard() { statement_.reset(); }
  StatementGuard(const StatementGuard&) = delete;
  StatementGuard& operator=(const StatementGuard&) = delete;

 private:
  SqliteStatement& statement_;
};

}  // namespace cogwork
