#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <mutex>
#include <span>
#include <type_traits>

#include "cogwork/base/error.h"
#include "cogwork/storage/owner_lock.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_exam.h"
#include "cogwork/storage/sqlite_file.h"
#include "cogwork/storage/sqlite_guard.h"
#include "cogwork/storage/sqlite_mend.h"
#include "cogwork/storage/sqlite_place.h"
#include "cogwork/storage/sqlite_reader.h"
#include "cogwork/storage/sqlite_schema.h"
#include "cogwork/storage/sqlite_writer.h"
#include "cogwork/storage/stores.h"

namespace cogwork {
namespace {

/// Labors in a file (T4), with SQLite. Commits go through one connection that only the writing thread uses; each reading call
/// borrows one of a pool, whose transactions never make the writer wait. See docs/internals/stored-format.md.
class SqliteStore final : public Storage, public std::enable_shared_from_this<SqliteStore> {
 public:
  SqliteStore(SqlitePlace place, OpenMode mode) : place_(std::move(place)), mode_(mode), idle_(SqliteFile::of(place_)) {
    if (mode_ == OpenMode::OWNER) {
      make_private_file();
      open_for_writing();
    } else {
      reading([](SqliteReader&) { return 0; });  // what is wrong with the file is said now
    }
  }

  /// The writer's connection closes after the readers', and as the last one moves the log into the file.
  ~SqliteStore() override { let_go(); }

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
    if (batch.empty()) return;
    if (guard_) keep_files();
    if (!writer_ || writer_->broken()) {
      writer_.reset();
      open_for_writing();
    }
    writer_->apply(batch);
    if (!guard_) return;
    if (!batch.history.empty()) {
      last_ = {batch.history.back().first, batch.history.back().link};
      owner_->committed(last_);
    }
    guard_->note();
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
    have_writer();
    auto file = lock_owner_file(place_.real, place_.shown, owner, [this](const LastCommit& last) { require_left(last); });
    have_writer();  // the owner before may have let go of it meanwhile
    set_guard(std::make_shared<SqliteGuard>(place_));
    owner_ = file.get();
    last_ = {};
    return std::make_unique<Lock>(weak_from_this(), std::move(file));
  }

  std::optional<OwnerSeen> seen_owner() const override { return look_at_owner_file(place_.real); }

  std::string name() const override { return place_.shown; }
  std::string folder() const override { return std::filesystem::path(place_.real).parent_path().string(); }

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
    Lock(std::weak_ptr<SqliteStore> store, std::unique_ptr<OwnerLock> file) : store_(std::move(store)), file_(std::move(file)) {}
    ~Lock() override {
      if (const auto store = store_.lock()) store->let_go();
    }
    void announce(const Owner& owner) override { file_->announce(owner); }
    std::optional<Owner> died() const override { return file_->died(); }

   private:
    std::weak_ptr<SqliteStore> store_;
    std::unique_ptr<OwnerLock> file_;  // after that
  };

  static constexpr std::size_t kHistoryPiece = 256;
  static constexpr std::size_t kFirstPiece = 64;
  static constexpr std::size_t kSearchPiece = 1024;

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
        // Looked at again: a state may have changed since the Labor was found; the rest that a filter asks for does not. One that is
        // damaged may be in any.
        if (!states_.empty())
          std::erase_if(labors, [&](const Labor& labor) {
            return labor.state != State::UNKNOWN && std::ranges::find(states_, labor.state) == states_.end();
          });
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
    std::unique_ptr<OwnerLock> lock;
    if (kind.version < kSqliteSchema) {
      // Who makes or changes the tables is alone with the file. SQLite does not let others wait for the first change of its journal; and an
      // engine of the version before may be at work on the file: what it knows of the tables must not change under it.
      Owner owner;
      owner.pid = getpid();
      owner.program = kind.version == 0 ? "the making of its tables" : "a migration of its tables";
      owner.brief = true;
      lock = lock_owner_file(place_.real, place_.shown, owner, [&](const LastCommit& last) {
        if (kind.version > 0) require_left(last);
      });
      if (kind.version == 0) lock->forget_died();  // that owned another file, which had this one's name
      kind = look_at(connection);                  // somebody else may have done it meanwhile
      check_schema(kind, place_, true, true);
    }
    if (const auto mode = connection.word("PRAGMA journal_mode = WAL"); mode != "wal") {
      refuse(place_.shown, "its file system cannot hold SQLite's write-ahead log (" + mode + "); put the file on a local disk");
    }
    check_tables(connection, kind.version);
    if (kind.version < kSqliteSchema) {
      migrate_schema(connection);
      // Till then all tables lie in the log: a file that is copied without it would be an empty one.
      connection.execute("PRAGMA wal_checkpoint(TRUNCATE)", "open");
    }
    lock.reset();
    writer_ = std::make_unique<SqliteWriter>(place_);
    writer_->connection().execute("PRAGMA synchronous = FULL", "open");
    // Measured, see docs/internals/stored-format.md: larger logs write to fresh blocks for longer, which costs more than the more
    // frequent checkpoints.
    writer_->connection().execute("PRAGMA wal_autocheckpoint = 1000", "open");
    writer_->connection().execute("PRAGMA journal_size_limit = 67108864", "open");
  }

  /// Closes what is open; the writer last, which then moves the log into the file. Whatever comes later opens anew.
  void let_go() {
    const std::lock_guard lock(writer_mutex_);
    owner_ = nullptr;
    if (guard_) guard_->unlock();
    idle_.file().close_idle();
    writer_.reset();
    set_guard(nullptr);
    lost_.clear();
  }

  /// For who is about to own the store: the owner before may just be letting go of it, on another thread.
  void have_writer() {
    const std::lock_guard lock(writer_mutex_);
    if (!writer_) open_for_writing();
  }

  // ---- the files, while they are owned ----

  std::shared_ptr<SqliteGuard> guard() {
    const std::lock_guard lock(mutex_);
    return guard_;
  }
  void set_guard(std::shared_ptr<SqliteGuard> guard) {
    const std::lock_guard lock(mutex_);
    guard_.swap(guard);
  }

  /// What an owner that died committed last must be there.
  void require_left(const LastCommit& last) const {
    if (!holds_row(place_, last, false))
      throw StorageError("cannot open " + place_.shown + ": " + missing_commit(place_, last), false);
  }

  /// Before a commit: looks whether what was committed is still where it was put, and mends what can be mended. Whatever was wrong is thrown,
  /// so that somebody hears of it; what is mended is temporary, and the next try goes through.
  void keep_files() {
    owner_->keep();
    if (!lost_.empty()) throw StorageError(lost_, false);
    const auto found = guard_->look();
    switch (found) {
      case Tampering::NONE: return;
      case Tampering::LOG_RESET:
      case Tampering::FILE_TOUCHED: require_last_row(found); return guard_->note_anew();
      case Tampering::INDEX_OVERWRITTEN: guard_->discard_index(); break;
      case Tampering::LOG_MOVED:
      case Tampering::INDEX_MOVED: begin_log_anew(); break;
      case Tampering::FILE_MOVED:
        move_log_into_file(writer_->connection());
        throw_sqlite(place_, "write to", SQLITE_READONLY_DBMOVED, "");
      case Tampering::FILE_REMOVED: {
        const auto written_out = write_out(writer_->connection());
        guard_->remove_log();
        lose(found, put_in_place(place_, written_out));
      }
      case Tampering::LOG_OVERWRITTEN:
      case Tampering::FILE_OVERWRITTEN: lose(found, {});
    }
    require_last_row(found);
    guard_->note_anew();
    throw StorageError(said_of(found, place_), true);
  }

  /// Nothing is written any more, and what is in the files stays as it is.
  [[noreturn]] void lose(Tampering found, const std::string& written_out) {
    lost_ = said_of(found, place_, written_out);
    sqlite3_db_config(writer_->connection().handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    throw StorageError(lost_, false);
  }

  void require_last_row(Tampering found) {
    if (last_.first == 0 || holds_row(place_, last_, found == Tampering::FILE_TOUCHED)) return;
    lose(Tampering::FILE_OVERWRITTEN, {});
  }

  /// The log, its index, or both have lost their names; SQLite goes on with what nobody else sees, and what would be gone with this process.
  void begin_log_anew() {
    const auto alone = idle_.file().alone();
    if (!alone) throw StorageError(said_of(Tampering::LOG_MOVED, place_) + " once nobody reads it", true);
    guard_->mend_cut_index();
    if (writer_) move_log_into_file(writer_->connection());
    writer_.reset();
    guard_->clear_places();
    open_for_writing();
    if (!guard_->guard_anew()) {
      throw StorageError(
          "cannot write to " + place_.shown +
              ": its log was removed or replaced, and a connection of this process that is not cogwork's still has the "
              "old one open; close that (sqlite3, say)",
          true);
    }
  }

  /// A connection for one reading call. A reading store of a file without a log takes it as a snapshot, since SQLite would
  /// else make the log's files beside it; the call is made again where somebody wrote meanwhile.
  std::unique_ptr<SqliteReader> borrow() {
    if (auto reader = idle_.take()) return reader;
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
    const auto use = idle_.file().read();
    if (const auto guarded = guard()) guarded->mend_cut_index();
    for (int tries = 1;; ++tries) {
      auto reader = borrow();
      try {
        auto result = read(*reader);
        if (!reader->is_snapshot() || reader->current()) {
          idle_.give_back(std::move(reader));
          return result;
        }
      } catch (const StorageError&) {
        if (reader->current()) throw;
      } catch (const NotFound&) {
        if (reader->current()) {
          idle_.give_back(std::move(reader));
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
  ReaderPool idle_;
  OwnerLock* owner_ = nullptr;  ///< While the store is owned.
  std::mutex writer_mutex_;     ///< From one owner to the next.
  std::mutex mutex_;
  std::shared_ptr<SqliteGuard> guard_;  ///< Of the writing thread; others read it with the mutex.
  LastCommit last_;                     ///< Of this owner; without a number: none.
  std::string lost_;                    ///< Why nothing is written any more.
};

}  // namespace

FileExam examine_sqlite(const std::string& path) {
  const auto place = look_at_file(path, OpenMode::READER);
  try {
    auto exam = std::make_shared<SqliteStore>(place, OpenMode::READER)->examine();
    if (const auto last = left_by_dead_owner(place.real); last && !holds_row(place, *last, false))
      exam.troubles.push_back({missing_commit(place, *last), "put back what belongs to it, or restore a copy"});
    return exam;
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
