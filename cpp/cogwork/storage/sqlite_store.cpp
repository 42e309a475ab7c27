#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <mutex>
#include <span>
#include <system_error>
#include <type_traits>

#include "cogwork/base/error.h"
#include "cogwork/storage/owner_lock.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_exam.h"
#include "cogwork/storage/sqlite_reader.h"
#include "cogwork/storage/sqlite_schema.h"
#include "cogwork/storage/sqlite_writer.h"
#include "cogwork/storage/stores.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;

/// Follows links to the end, also one whose file does not exist yet, so that two names of one file are one store.
fs::path resolve(fs::path path) {
  for (int links = 0; links < 40; ++links) {
    std::error_code error;
    if (fs::symlink_status(path, error).type() != fs::file_type::symlink) break;
    const auto target = fs::read_symlink(path, error);
    if (error) break;
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  std::error_code error;
  const auto parent = fs::weakly_canonical(fs::absolute(path).parent_path(), error);
  return error ? fs::absolute(path) : parent / path.filename();
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw StorageError("cannot open " + path + ": " + why, false);
}

/// What SQLite would say less well.
SqlitePlace look_at_file(const std::string& path, OpenMode mode) {
  if (path.empty()) refuse("a store", "its path is empty; give a file, or 'memory:'");
  if (path.find('\0') != path.npos) refuse("a store", "its path holds a zero byte");
  const auto real = resolve(path);
  struct stat about {};
  if (real.filename().empty()) refuse(path, "it is a folder; give a file in it, 'labors.db' say");
  if (stat(real.c_str(), &about) != 0) {
    if (errno == ENOTDIR) {
      refuse(path, real.parent_path().string() + " is not a folder");
    } else if (errno == ENOENT && mode == OpenMode::OWNER) {
      std::error_code error;
      const auto parent = real.parent_path();
      if (!fs::exists(parent, error)) refuse(path, "there is no folder " + parent.string() + "; make it first");
      if (!fs::is_directory(parent, error)) refuse(path, parent.string() + " is not a folder");
    } else if (errno == ENOENT) {
      refuse(path, "there is no such file; an engine makes it");
    } else {
      refuse(path, std::system_category().message(errno));
    }
  } else if (S_ISDIR(about.st_mode)) {
    refuse(path, "it is a folder; give a file in it, 'labors.db' say");
  } else if (!S_ISREG(about.st_mode)) {
    refuse(path, "it is not a plain file");
  } else if (about.st_nlink > 1 && mode == OpenMode::OWNER) {
    refuse(
        path,
        "the file has " + std::to_string(about.st_nlink) +
            " names (hard links), and SQLite would keep a log for each of them, which damages it; copy the file and use the copy");
  } else if (access(real.c_str(), mode == OpenMode::OWNER ? R_OK | W_OK : R_OK) != 0) {
    refuse(path, std::string("this user may not ") + (mode == OpenMode::OWNER ? "read and write" : "read") +
                     " the file; change its permissions");
  }
  return {path, real.string()};
}

/// Labors in a file (T4), with SQLite. Commits go through one connection that only the writing thread uses; each reading call
/// borrows one of a pool, whose transactions never make the writer wait. See docs/internals/stored-format.md.
class SqliteStore final : public Storage, public std::enable_shared_from_this<SqliteStore> {
 public:
  SqliteStore(SqlitePlace place, OpenMode mode) : place_(std::move(place)), mode_(mode) {
    if (mode_ == OpenMode::OWNER) {
      make_private_file();
      open_for_writing();
    } else {
      reading([](SqliteReader&) { return 0; });  // what is wrong with the file is said now
    }
  }

  // The writer's connection is declared before the readers', so it closes after them, and as the last one moves the log into
  // the file.

  Labor read_labor(const Id& id, bool full) override {
    return reading([&](SqliteReader& reader) { return reader.read_labor(id, full); });
  }
  Task read_task(const Id& id) override {
    return reading([&](SqliteReader& reader) { return reader.read_task(id); });
  }
  Sequence read_sequence(const Id& id) override {
    return reading([&](SqliteReader& reader) { return reader.read_sequence(id); });
  }
  Job read_job(const Id& id, bool full) override {
    return reading([&](SqliteReader& reader) { return reader.read_job(id, full); });
  }

  std::unique_ptr<LaborStream> labors(const LaborFilter& filter) override {
    return std::make_unique<Stream>(shared_from_this(), filter);
  }

  void apply(const Batch& batch) override {
    if (mode_ == OpenMode::READER)
      throw StorageError("cannot write to " + place_.shown + ": it was opened for reading only", false);
    if (!writer_ || writer_->broken()) {
      writer_.reset();
      open_for_writing();
    }
    writer_->apply(batch);
  }

  void history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) override {
    // In pieces, so that a slow `row` holds no transaction open; what is added meanwhile is not looked at.
    const std::uint64_t last = last_change();
    for (;;) {
      const auto rows = reading([&](SqliteReader& reader) { return reader.history(labor, since, last, kHistoryPiece); });
      for (const auto& one : rows) {
        if (!row(one)) return;
      }
      if (rows.size() < kHistoryPiece) return;
      since = rows.back().first + rows.back().count - 1;
    }
  }
  std::uint64_t last_change() override {
    return reading([](SqliteReader& reader) { return reader.last_change(); });
  }
  std::array<std::uint8_t, 16> last_link(const Id& labor) override {
    return reading([&](SqliteReader& reader) { return reader.last_link(labor); });
  }
  Time last_time(const Id& labor) override {
    return reading([&](SqliteReader& reader) { return reader.last_time(labor); });
  }
  Account read_account(const Id& labor) override {
    return reading([&](SqliteReader& reader) { return reader.read_account(labor); });
  }
  std::vector<Id> labor_ids(std::string_view prefix, std::size_t most) override {
    return reading([&](SqliteReader& reader) { return reader.labor_ids(prefix, most); });
  }
  std::vector<Record> records(RecordKind kind) override {
    return reading([&](SqliteReader& reader) { return reader.records(kind); });
  }

  std::unique_ptr<StoreLock> lock(const Owner& owner) override {
    if (mode_ == OpenMode::READER) throw StorageError("cannot lock " + place_.shown + ": it was opened for reading only", false);
    return std::make_unique<Lock>(weak_from_this(), lock_owner_file(place_.real, place_.shown, owner));
  }

  std::optional<OwnerSeen> seen_owner() const override { return look_at_owner_file(place_.real); }

  std::string name() const override { return place_.shown; }
  std::string folder() const override { return fs::path(place_.real).parent_path().string(); }

  /// The file itself, whatever it is called and however it is reached.
  std::string identity() const override {
    struct stat about {};
    if (stat(place_.real.c_str(), &about) != 0) return {};
    return "sqlite " + std::to_string(about.st_dev) + " " + std::to_string(about.st_ino);
  }

  FileExam examine() {
    return reading([](SqliteReader& reader) { return reader.examine(); });
  }

 private:
  /// Who gives the store up leaves it in one file: nobody may think of the log who copies it then.
  class Lock final : public StoreLock {
   public:
    Lock(std::weak_ptr<SqliteStore> store, std::unique_ptr<StoreLock> file) : store_(std::move(store)), file_(std::move(file)) {}
    ~Lock() override {
      if (const auto store = store_.lock()) store->let_go();
    }
    void announce(const Owner& owner) override { file_->announce(owner); }

   private:
    std::weak_ptr<SqliteStore> store_;
    std::unique_ptr<StoreLock> file_;  // after that
  };

  static constexpr std::size_t kHistoryPiece = 256;
  static constexpr std::size_t kFirstPiece = 64;
  static constexpr std::size_t kSearchPiece = 1024;
  static constexpr std::size_t kIdleReaders = 4;

  /// A search finds the keys of its Labors at once, in one transaction, and then reads the Labors in pieces, each in one of its
  /// own: a caller who takes his time, or forgets the rest, must not keep SQLite from reusing its log.
  class Stream final : public LaborStream {
   public:
    Stream(std::shared_ptr<SqliteStore> store, const LaborFilter& filter) : store_(std::move(store)), states_(filter.states) {
      keys_ = store_->reading([&](SqliteReader& reader) { return reader.search(filter); });
    }
    std::optional<Labor> next() override {
      while (piece_.empty() && place_ < keys_.size()) {
        // The first Labors come at once; who takes them all wants large pieces.
        const auto size = std::min(place_ == 0 ? kFirstPiece : kSearchPiece, keys_.size() - place_);
        const auto keys = std::span(keys_).subspan(place_, size);
        auto labors = store_->reading([&](SqliteReader& reader) { return reader.labors(keys); });
        // Looked at again: a state may have changed since the Labor was found; the rest that a filter asks for does not.
        if (!states_.empty())
          std::erase_if(labors, [&](const Labor& labor) { return std::ranges::find(states_, labor.state) == states_.end(); });
        piece_.assign(std::make_move_iterator(labors.begin()), std::make_move_iterator(labors.end()));
        place_ += size;
      }
      if (piece_.empty()) return std::nullopt;
      Labor labor = std::move(piece_.front());
      piece_.pop_front();
      return labor;
    }

   private:
    std::shared_ptr<SqliteStore> store_;
    std::vector<State> states_;
    std::vector<std::int64_t> keys_;
    std::size_t place_ = 0;
    std::deque<Labor> piece_;
  };

  /// A new store is for its user alone: args hold what they hold. SQLite gives the files beside it the same mode. Whoever wants to share
  /// it changes that with chmod.
  void make_private_file() const {
    const int fd = open(place_.real.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);  // else it is there already, or SQLite says what hinders it
  }

  void open_for_writing() {
    SqliteConnection connection(place_, SqliteConnection::Kind::WRITER);
    if (sqlite3_db_readonly(connection.handle(), "main") == 1)
      refuse(place_.shown, "this user may not write the file; change its permissions");
    auto kind = look_at(connection);
    check_schema(kind, place_, true, true);
    std::unique_ptr<StoreLock> lock;
    if (kind.version < kSqliteSchema) {
      // Who makes or changes the tables is alone with the file. SQLite does not let others wait for the first change of its journal; and an
      // engine of the version before may be at work on the file: what it knows of the tables must not change under it.
      Owner owner;
      owner.pid = getpid();
      owner.program = kind.version == 0 ? "the making of its tables" : "a migration of its tables";
      owner.brief = true;
      lock = lock_owner_file(place_.real, place_.shown, owner);
      kind = look_at(connection);  // somebody else may have done it meanwhile
      check_schema(kind, place_, true, true);
    }
    if (const auto mode = connection.word("PRAGMA journal_mode = WAL"); mode != "wal") {
      refuse(place_.shown, "its file system cannot hold SQLite's write-ahead log (" + mode + "); put the file on a local disk");
    }
    if (kind.version < kSqliteSchema) migrate_schema(connection);
    lock.reset();
    // After a crash a PRAGMA quick_check belongs here: on a connection of its own, in the background where the file is large.
    writer_ = std::make_unique<SqliteWriter>(place_);
    writer_->connection().execute("PRAGMA synchronous = FULL", "open");
    // Measured, see docs/internals/stored-format.md: larger logs write to fresh blocks for longer, which costs more than the more
    // frequent checkpoints.
    writer_->connection().execute("PRAGMA wal_autocheckpoint = 1000", "open");
    writer_->connection().execute("PRAGMA journal_size_limit = 67108864", "open");
  }

  /// Closes what is open; the writer last, which then moves the log into the file. Whatever comes later opens anew.
  void let_go() {
    std::vector<std::unique_ptr<SqliteReader>> idle;
    {
      const std::lock_guard lock(mutex_);
      idle.swap(idle_);
    }
    idle.clear();
    writer_.reset();
  }

  /// A connection for one reading call. A reading store of a file without a log takes it as a snapshot, since SQLite would
  /// else make the log's files beside it; the call is made again where somebody wrote meanwhile.
  std::unique_ptr<SqliteReader> borrow() {
    {
      const std::lock_guard lock(mutex_);
      while (!idle_.empty()) {
        auto reader = std::move(idle_.back());
        idle_.pop_back();
        if (reader->current()) return reader;
      }
    }
    if (mode_ == OpenMode::READER && !has_sqlite_log(place_)) {
      try {
        return std::make_unique<SqliteReader>(place_, SqliteConnection::Kind::SNAPSHOT);
      } catch (const StorageError&) {
        if (!has_sqlite_log(place_)) throw;  // else an engine has opened it in this very moment
      }
    }
    return std::make_unique<SqliteReader>(place_, SqliteConnection::Kind::READER);
  }

  template <typename Read>
  std::invoke_result_t<const Read&, SqliteReader&> reading(const Read& read) {
    static constexpr int kTries = 20;
    for (int tries = 1;; ++tries) {
      auto reader = borrow();
      try {
        auto result = read(*reader);
        if (reader->current()) {
          const std::lock_guard lock(mutex_);
          if (idle_.size() < kIdleReaders) idle_.push_back(std::move(reader));
          return result;
        }
      } catch (const StorageError&) {
        if (reader->current()) throw;
      } catch (const NotFound&) {
        if (reader->current()) {
          const std::lock_guard lock(mutex_);
          if (idle_.size() < kIdleReaders) idle_.push_back(std::move(reader));
          throw;
        }
      }
      if (tries == kTries) {
        throw StorageError(
            "cannot read " + place_.shown + ": it changes while it is read, without SQLite's log; is it being copied over?", true);
      }
    }
  }

  const SqlitePlace place_;
  const OpenMode mode_;
  std::unique_ptr<SqliteWriter> writer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SqliteReader>> idle_;
};

}  // namespace

FileExam examine_sqlite(const std::string& path) {
  const auto place = look_at_file(path, OpenMode::READER);
  try {
    return std::make_shared<SqliteStore>(place, OpenMode::READER)->examine();
  } catch (const DamagedStore& error) {  // even its first page
    FileExam exam;
    exam.troubles.push_back({error.what(), "restore a copy"});
    return exam;
  }
}

std::shared_ptr<Storage> open_sqlite_store(const std::string& path, OpenMode mode) {
  return std::make_shared<SqliteStore>(look_at_file(path, mode), mode);
}

}  // namespace cogwork
