#include "cogwork/storage/sqlite_connection.h"

#include <SQLiteCpp/Exception.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "cogwork/base/descriptor.h"
#include "cogwork/base/error.h"
#include "cogwork/storage/faulty_disk.h"

namespace cogwork {
namespace {

struct Verdict {
  bool temporary;
  const char* why;
  const char* remedy;
};

/// SQLite's locks that all connections share, outer ones first. A fork copies them as they are, and one that another thread held at that moment
/// would never be given back in the child, where the first use of SQLite, with a file of its own, would wait for it.
constexpr int kShared[] = {SQLITE_MUTEX_STATIC_PRNG, SQLITE_MUTEX_STATIC_MAIN, SQLITE_MUTEX_STATIC_OPEN,
                           SQLITE_MUTEX_STATIC_VFS1, SQLITE_MUTEX_STATIC_VFS2, SQLITE_MUTEX_STATIC_VFS3,
                           SQLITE_MUTEX_STATIC_LRU,  SQLITE_MUTEX_STATIC_PMEM, SQLITE_MUTEX_STATIC_MEM};

void take_shared() {
  for (const int lock : kShared) sqlite3_mutex_enter(sqlite3_mutex_alloc(lock));
}
void give_shared_back() {
  for (auto lock = std::rbegin(kShared); lock != std::rend(kShared); ++lock) sqlite3_mutex_leave(sqlite3_mutex_alloc(*lock));
}

/// Once; after SQLite has made its locks.
bool prepare_for_forks() {
  return sqlite3_initialize() == SQLITE_OK && pthread_atfork(take_shared, give_shared_back, give_shared_back) == 0;
}

Verdict judge(int extended_code) {
  switch (extended_code) {
    case SQLITE_READONLY_DBMOVED:
      return {true, "the file was moved, removed or replaced while it was open", "put it back under its name"};
    case SQLITE_READONLY_ROLLBACK:
    case SQLITE_READONLY_RECOVERY:
      return {true, "a process died while it wrote to the file, and nobody has brought it in order since",
              "open an engine on it, which does that"};
    case SQLITE_IOERR_NOMEM: return {true, "there is no memory left", "free some"};
    case SQLITE_IOERR_SHMMAP:
      return {true, "its file system has no shared memory (mmap), which the index of the log needs, or there is no memory left",
              "put the store on a local disk"};
    default: break;
  }
  switch (extended_code & 0xff) {
    case SQLITE_FULL: return {true, "the disk is full", "free some space on it"};
    case SQLITE_IOERR: return {true, "the disk or file system reports an error", "look at the disk, and at the system's log"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {true, "another program holds a lock on the file", "end what else has it open for writing, an sqlite3 shell say"};
    case SQLITE_CANTOPEN:
      return {true, "the file, or its -wal or -shm file beside it, cannot be opened",
              "look whether its folder exists and who may read and write there; of a medium that is read-only, copy all of them to "
              "a folder "
              "that can be written"};
    case SQLITE_PERM:
    case SQLITE_READONLY: return {true, "the file or its folder may not be written", "give this user the right to write both"};
    case SQLITE_NOMEM: return {true, "there is no memory left", "free some"};
    case SQLITE_INTERRUPT: return {true, "it was interrupted", "try again"};
    case SQLITE_PROTOCOL: return {true, "the locks of the file are contended", "try again"};
    case SQLITE_TOOBIG:
      return {false, "a value is too large for SQLite, which holds 1,000,000,000 bytes in one row",
              "keep large data in a file and store its name"};
    case SQLITE_CORRUPT:
      return {false, "the file is damaged", "restore a copy, or save what can be read with the sqlite3 shell's .recover"};
    case SQLITE_NOTADB: return {false, "the file is not an SQLite database", "give another file"};
    default: return {false, "SQLite refuses it", "this is an error in cogwork or in the file"};
  }
}

/// SQLite says of a file system without locks what it says of a lock that somebody holds. Asked of another file in the same folder, as closing
/// one of the store's would drop what is locked there. Empty: it has locks, or it cannot be told.
std::string why_no_locks(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  Descriptor file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) {
    const auto probe = folder / (".cogwork-probe-" + std::to_string(getpid()));
    file.reset(open(probe.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file) unlink(probe.c_str());
  }
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_len = 1;
  if (!file || fcntl(file.get(), F_SETLK, &range) == 0) return {};
  return "its file system has no locks (" + std::system_category().message(errno) + "), without which SQLite does not work";
}

/// Whether that is why a file cannot be opened: SQLite does not say.
bool has_no_descriptor() {
  const Descriptor any(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return !any && (errno == EMFILE || errno == ENFILE);
}

/// A path as a URI's: all but plain characters as %XX.
std::string uri_of(const std::string& path) {
  static constexpr char hex[] = "0123456789ABCDEF";
  std::string uri = "file://";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        (c != '\0' && std::strchr("/-_.~", c) != nullptr)) {
      uri += c;
    } else {
      uri += {'%', hex[byte >> 4], hex[byte & 15]};
    }
  }
  return uri;
}

int open_flags(SqliteConnection::Kind kind) {
  switch (kind) {
    case SqliteConnection::Kind::WRITER: return SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    case SqliteConnection::Kind::READER: return SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    case SqliteConnection::Kind::SNAPSHOT: return SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
  }
  return 0;
}

}  // namespace

void throw_sqlite(const SqlitePlace& place, std::string_view doing, int extended_code, const char* message) {
  Verdict verdict = judge(extended_code);
  const std::string no_locks = (extended_code & 0xff) == SQLITE_BUSY ? why_no_locks(place.real) : "";
  if (!no_locks.empty()) verdict = {true, no_locks.c_str(), "put the store on a local disk"};
  if ((extended_code & 0xff) == SQLITE_CANTOPEN && has_no_descriptor()) {
    verdict = {true, "this process has as many files and sockets open as its limit allows (ulimit -n)", "close some, or raise it"};
  }
  std::string text = "cannot ";
  text += doing;
  text += " " + place.shown + ": " + verdict.why;
  if (message != nullptr && *message != '\0') text += std::string(" (SQLite: ") + message + ")";
  text += std::string("; ") + verdict.remedy;
  if ((extended_code & 0xff) == SQLITE_CORRUPT) throw DamagedStore(text);
  throw StorageError(text, verdict.temporary);
}

SqliteConnection::SqliteConnection(const SqlitePlace& place, Kind kind) : place_(place) {
  [[maybe_unused]] static const bool prepared = prepare_for_forks();
  try {
    const auto file = kind == Kind::SNAPSHOT ? uri_of(place.real) + "?immutable=1" : place.real;
    database_ = std::make_unique<SQLite::Database>(file.c_str(), open_flags(kind), 0, faulty_disk_vfs());
  } catch (const SQLite::Exception& error) {
    throw_sqlite(place_, "open", error.getExtendedErrorCode(), error.what());
  }
  sqlite3_extended_result_codes(handle(), 1);
  // A writer that meets a lock waits a little before the committer's own back-off takes over; a reader of a log meets one only
  // while somebody recovers it after a crash.
  sqlite3_busy_timeout(handle(), kind == Kind::WRITER ? 2000 : 500);
  execute("PRAGMA temp_store = MEMORY", "open");
  // The file may be anybody's: what it says runs nothing, and pages that cannot be are noticed.
  execute("PRAGMA trusted_schema = OFF", "open");
  execute("PRAGMA cell_size_check = ON", "open");
  if (kind == Kind::WRITER) {
    // 4 MiB. Rows are written in the order of their keys, so that a page is hardly ever looked at again; 64 MiB saved a run of 100,000
    // Jobs 0.05 reads a Job from the system's own cache, and were most of what the engine grew by.
    execute("PRAGMA cache_size = -4096", "open");
    // Debian's SQLite overwrites what is removed with zeros, which doubles the cost of each change; nothing here is secret
    // beyond the file's own permissions.
    execute("PRAGMA secure_delete = OFF", "open");
    execute("PRAGMA foreign_keys = ON", "open");
  } else {
    execute("PRAGMA cache_size = -4096", "open");
    execute("PRAGMA query_only = ON", "open");
    // No mmap, here or above: with it an I/O error, or a file that somebody cuts, is a SIGBUS that ends the process.
    execute("PRAGMA mmap_size = 0", "open");
    // Closing must not start to move the log into the file: that is the owner's affair, and it may take long.
    sqlite3_db_config(handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
}

void SqliteConnection::execute(const char* sql, std::string_view doing) {
  if (sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw_sqlite(place_, doing, sqlite3_extended_errcode(handle()), sqlite3_errmsg(handle()));
  }
}

std::int64_t SqliteConnection::number(const char* sql) {
  SqliteStatement statement(*this, sql, "read");
  const std::int64_t value = statement.step() ? statement.number(0) : 0;
  statement.reset();
  return value;
}

std::string SqliteConnection::word(const char* sql) {
  SqliteStatement statement(*this, sql, "open");
  std::string value = statement.step() ? std::string(statement.bytes(0)) : std::string();
  statement.reset();
  return value;
}

SqliteStatement::SqliteStatement(SqliteConnection& connection, std::string_view sql, std::string_view doing)
    : connection_(&connection), doing_(doing) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection.handle(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  statement_.reset(statement);
  if (code != SQLITE_OK) fail(code);
}

void SqliteStatement::fail(int code) {
  // The message is the connection's; resetting may change it.
  const std::string message = sqlite3_errmsg(connection_->handle());
  if (statement_) sqlite3_reset(raw());
  throw_sqlite(connection_->place(), doing_, code, message.c_str());
}

SqliteStatement& SqliteStatement::bind_text(int place, std::string_view value) {
  if (value.empty()) return bind_null(place);
  return done(sqlite3_bind_text64(raw(), place, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8));
}

SqliteStatement& SqliteStatement::bind_blob(int place, std::string_view value) {
  if (value.empty()) return bind_null(place);
  return done(sqlite3_bind_blob64(raw(), place, value.data(), value.size(), SQLITE_STATIC));
}

SqliteStatement& SqliteStatement::bind_id(int place, const Id& id) {
  return done(sqlite3_bind_blob(raw(), place, id.bytes.data(), static_cast<int>(id.bytes.size()), SQLITE_STATIC));
}

bool SqliteStatement::step() {
  const int code = sqlite3_step(raw());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) fail(code);
  sqlite3_reset(raw());
  return false;
}

int SqliteStatement::run() {
  const int code = sqlite3_step(raw());
  if (code != SQLITE_DONE) fail(code);
  const int changes = sqlite3_changes(connection_->handle());
  sqlite3_reset(raw());
  return changes;
}

std::string_view SqliteStatement::bytes(int column) const {
  // The pointer first: asking for it may convert the value, and with it the size.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(raw(), column));
  const auto size = sqlite3_column_bytes(raw(), column);
  return data == nullptr ? std::string_view() : std::string_view(data, static_cast<std::size_t>(size));
}

Id SqliteStatement::id(int column) const {
  const auto value = bytes(column);
  Id id;
  if (value.size() != id.bytes.size()) {
    throw StorageError("cannot read " + connection_->place().shown + ": an id in it is not of 16 bytes; the file is damaged",
                       false);
  }
  std::memcpy(id.bytes.data(), value.data(), value.size());
  return id;
}

}  // namespace cogwork
