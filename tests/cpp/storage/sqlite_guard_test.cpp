// What somebody does to the files of a store while an engine owns it: prevented, mended, or said - and nothing that was acknowledged is lost
// in silence.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "cogwork/base/error.h"
#include "cogwork/storage/owner_lock.h"
#include "cogwork/storage/sqlite_exam.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

bool run_sql(const std::string& file, const std::string& sql) {
  sqlite3* database = nullptr;
  const bool good = sqlite3_open(file.c_str(), &database) == SQLITE_OK &&
                    sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  return sqlite3_close(database) == SQLITE_OK && good;
}

/// How many Labors whoever reads the store finds; -1 where it cannot be read.
long count_labors(Storage& reader) {
  try {
    long count = 0;
    for (const auto& labor : all_of(*reader.labors({}))) count += reader.read_labor(labor.id, true).jobs.empty() ? 0 : 1;
    return count;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return -1;
  }
}

/// Another process, which is there before this one opens a store: a child that is forked later would share what SQLite knows in its parent.
class OtherProcess {
 public:
  OtherProcess() {
    if (pipe(ask_) != 0 || pipe(answer_) != 0) throw std::runtime_error("no pipe");
    pid_ = fork();
    if (pid_ == 0) serve();
  }
  ~OtherProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (const int fd : {ask_[0], ask_[1], answer_[0], answer_[1]}) close(fd);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  /// As any program does that opens the file with SQLite, and closes it again.
  bool sql(const std::string& file, const std::string& text = "SELECT count(*) FROM labors") { return ask('s', file, text) == 1; }
  /// Opens the file to read it, and closes it again.
  long labors(const std::string& file) { return ask('l', file); }
  /// The same with one store that stays open.
  long labors_again(const std::string& file) { return ask('a', file); }
  /// Reads the files byte by byte, and so drops the locks that it has on them.
  void drop_locks(const std::string& file) { ask('d', file); }
  /// Opens it as an engine does. 1: it was refused as being in use.
  long own(const std::string& file) { return ask('o', file); }

 private:
  static constexpr std::size_t kLine = 1024;

  long ask(char what, const std::string& file, const std::string& text = "") {
    std::string line = what + file + '\n' + text;
    line.resize(kLine);
    long said = -2;
    if (::write(ask_[1], line.data(), kLine) != static_cast<ssize_t>(kLine) ||
        read(answer_[0], &said, sizeof said) != static_cast<ssize_t>(sizeof said))
      throw std::runtime_error("the other process is gone");
    return said;
  }

  [[noreturn]] void serve() {
    std::string line(kLine, '\0');
    std::shared_ptr<Storage> kept;
    while (read(ask_[0], line.data(), kLine) == static_cast<ssize_t>(kLine)) {
      const std::string request(line.c_str());
      const auto end = request.find('\n');
      const auto file = request.substr(1, end - 1);
      const long said = answer(request[0], file, request.substr(end + 1), kept);
      if (::write(answer_[1], &said, sizeof said) != static_cast<ssize_t>(sizeof said)) break;
    }
    _exit(0);
  }
  static long answer(char what, const std::string& file, const std::string& text, std::shared_ptr<Storage>& kept) {
    try {
      if (what == 's') return run_sql(file, text) ? 1 : 0;
      if (what == 'l') return count_labors(*open_sqlite_store(file, OpenMode::READER));
      if (what == 'a') {
        if (!kept) kept = open_sqlite_store(file, OpenMode::READER);
        return count_labors(*kept);
      }
      if (what == 'd') {
        for (const char* end : {"", "-wal", "-shm"}) close(open((file + end).c_str(), O_RDONLY | O_CLOEXEC));
        return 0;
      }
      open_sqlite_store(file, OpenMode::OWNER)->lock(this_process("bob", "another", kNoon));
      return 0;
    } catch (const StoreInUse&) {
      return 1;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return -1;
    }
  }

  int ask_[2], answer_[2];
  pid_t pid_ = -1;
};

class SqliteGuardTest : public testing::Test {
 protected:
  void own() {
    store = open_sqlite_store(path, OpenMode::OWNER);
    lock = store->lock(owner);
  }
  void give_up() {
    lock.reset();
    store.reset();
  }

  /// As an engine does, with a row of the history.
  void write() {
    const Labor labor = make_labor(3);
    store->apply({{write_of(labor)}, {history_row(labor.id, ++changes, 1)}, {}});
    written.push_back(labor.id);
  }
  /// What is said when the next commit is made; "" where it is made at once. `goes_on`: the try after that is made.
  std::string said(bool goes_on = true) {
    std::string what;
    try {
      write();
    } catch (const StorageError& error) {
      what = error.what();
      EXPECT_EQ(error.temporary(), goes_on) << what;
      if (goes_on) {
        EXPECT_NO_THROW(write());
      } else {
        EXPECT_THROW(write(), StorageError) << "nothing is acknowledged any more";
      }
    }
    return what;
  }

  /// That whoever comes finds what was acknowledged: here, in another process, and in another that opens it when this one was killed.
  void expect_all() {
    const auto all = static_cast<long>(written.size());
    EXPECT_EQ(count_labors(*store), all);
    EXPECT_EQ(other.labors(path), all);
    // What a process that is killed leaves behind.
    fs::create_directory(folder / "after");
    const auto left = folder / "after/labors.db";
    for (const char* end : {"", "-wal"}) {
      if (fs::exists(path + end)) fs::copy_file(path + end, left + end);
    }
    EXPECT_EQ(other.own(left), 0);
    EXPECT_EQ(other.labors(left), all);
    fs::remove_all(folder / "after");
  }
  void expect_in(const std::string& file) { EXPECT_EQ(other.labors(file), static_cast<long>(written.size())) << file; }

  static void overwrite(const std::string& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::string bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  OtherProcess other;  // before anything is opened
  ScratchFolder folder;
  const std::string path = folder / "labors.db", log = path + "-wal", index = path + "-shm", side = path + "-owner";
  const Owner owner{getpid(), "build-3", "alice", "rollout.py", kNoon};
  std::shared_ptr<Storage> store;
  std::unique_ptr<StoreLock> lock;
  std::vector<Id> written;
  std::uint64_t changes = 0;
};

// ---- prevented ----

TEST_F(SqliteGuardTest, D5_closing_another_descriptor_of_the_files_does_not_let_others_end_the_log) {
  own();
  write();
  for (const auto& file : {path, log, index, side}) {
    close(
        open(file.c_str(), O_RDONLY | O_CLOEXEC));  // a copy that is made in this process, and drops all of its POSIX locks on them
  }
  EXPECT_TRUE(other.sql(path));
  EXPECT_TRUE(fs::exists(log));
  EXPECT_EQ(said(), "");
  expect_all();
  give_up();
  EXPECT_FALSE(fs::exists(log)) << "who owned it ends the log";
  expect_in(path);
}

TEST_F(SqliteGuardTest, D5_another_copy_of_sqlite_in_this_process_does_not_end_the_log) {
  own();
  write();
  // What such a copy does as it closes the last connection that it knows: it write-locks these bytes. Locks of one process do not
  // exclude each other, but for the guard's.
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = 0x40000002;
  range.l_len = 510;
  EXPECT_EQ(fcntl(fd, F_SETLK, &range), -1);
  close(fd);
  const int shared = open(index.c_str(), O_RDWR | O_CLOEXEC);
  range.l_start = 128;
  range.l_len = 1;
  EXPECT_EQ(fcntl(shared, F_SETLK, &range), -1) << "it would make the index anew under the engine";
  close(shared);
  EXPECT_EQ(said(), "");
  expect_all();
}

TEST_F(SqliteGuardTest, R1_readers_of_other_processes_work_beside_it_and_after_it) {
  own();
  write();
  expect_in(path);
  const auto reader = open_sqlite_store(path, OpenMode::READER);
  EXPECT_EQ(all_of(*reader->labors({})).size(), 1U);
  give_up();
  EXPECT_EQ(all_of(*reader->labors({})).size(), 1U);
  expect_in(path);
  own();
  write();
  EXPECT_EQ(all_of(*reader->labors({})).size(), 2U) << "a reader that is open sees what the next engine writes";
}

TEST_F(SqliteGuardTest, R1_a_reader_whose_locks_were_dropped_does_not_go_on_with_what_was) {
  own();
  write();
  EXPECT_EQ(other.labors_again(path), 1);
  other.drop_locks(path);
  give_up();  // which ends the log, as nobody holds a lock on it
  EXPECT_FALSE(fs::exists(log));
  own();
  write();
  EXPECT_EQ(other.labors_again(path), 2);
  give_up();
  EXPECT_EQ(other.labors_again(path), 2);
}

TEST_F(SqliteGuardTest, D5_another_program_may_move_the_log_into_the_file) {
  own();
  write();
  for (const char* mode : {"PASSIVE", "FULL", "RESTART", "TRUNCATE"}) {
    const auto sql = "PRAGMA wal_checkpoint(" + std::string(mode) + ")";
    EXPECT_TRUE(other.sql(path, sql));
    EXPECT_EQ(said(), "") << mode;
    expect_all();
  }
  EXPECT_TRUE(other.sql(path, "CREATE TABLE notes(x); DROP TABLE notes"));
  EXPECT_EQ(said(), "") << "and write";
  expect_all();
}

TEST_F(SqliteGuardTest, D5_a_file_that_was_touched_is_none_that_was_changed) {
  own();
  write();
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), nullptr, 0), 0);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
  EXPECT_EQ(said(), "");
  expect_all();
}

// ---- mended ----

/// What becomes of the log or its index, by name; each is given the file.
struct Deed {
  const char* name;
  std::function<void(const std::string&)> to;
  bool somebody_reads = false;  ///< Another process opens the store after it, and makes what is missing.
};
std::ostream& operator<<(std::ostream& out, const Deed& deed) { return out << deed.name; }

const Deed kMoves[] = {
    {"removed", [](const std::string& file) { fs::remove(file); }},
    {"renamed", [](const std::string& file) { fs::rename(file, file + ".old"); }},
    {"replaced_by_an_empty_one",
     [](const std::string& file) {
       std::ofstream(file + ".new").close();
       fs::rename(file + ".new", file);
     }},
    {"replaced_by_a_copy",
     [](const std::string& file) {
       fs::copy_file(file, file + ".new");
       fs::rename(file + ".new", file);
     }},
    {"replaced_by_nonsense",
     [](const std::string& file) {
       std::ofstream(file + ".new") << std::string(100'000, 'x');
       fs::rename(file + ".new", file);
     }},
    {"removed_and_read", [](const std::string& file) { fs::remove(file); }, true},
};

class Moved : public SqliteGuardTest, public testing::WithParamInterface<Deed> {};

TEST_P(Moved, D6_a_log_is_missed_at_the_next_commit_and_nothing_is_lost) {
  own();
  for (int i = 0; i < 3; ++i) write();
  EXPECT_EQ(all_of(*store->labors({})).size(), 3U) << "connections that read are open, too";
  GetParam().to(log);
  if (GetParam().somebody_reads) other.sql(path);
  EXPECT_SAYS(said(), "labors.db-wal");
  expect_all();
  EXPECT_EQ(said(), "");
  expect_all();
  give_up();
  EXPECT_FALSE(fs::exists(log));
  expect_in(path);
}

TEST_P(Moved, D6_an_index_is_missed_at_the_next_commit_and_nothing_is_lost) {
  own();
  for (int i = 0; i < 3; ++i) write();
  EXPECT_EQ(all_of(*store->labors({})).size(), 3U);
  GetParam().to(index);
  if (GetParam().somebody_reads) other.sql(path);
  EXPECT_SAYS(said(), "labors.db-shm");
  expect_all();
  EXPECT_EQ(said(), "");
  expect_all();
}

TEST_P(Moved, D6_both_are_missed_at_the_next_commit_and_nothing_is_lost) {
  own();
  for (int i = 0; i < 3; ++i) write();
  GetParam().to(log);
  GetParam().to(index);
  if (GetParam().somebody_reads) other.sql(path);
  EXPECT_SAYS(said(), "labors.db-");
  expect_all();
  EXPECT_EQ(said(), "");
  expect_all();
}

INSTANTIATE_TEST_SUITE_P(Deeds, Moved, testing::ValuesIn(kMoves), [](const auto& deed) { return std::string(deed.param.name); });

TEST_F(SqliteGuardTest, D6_an_index_that_is_cut_or_written_over_is_made_anew) {
  own();
  write();
  const auto earlier = bytes_of(index);
  for (int i = 0; i < 3; ++i) write();
  for (const auto& bytes :
       {std::string(), std::string(100, '\0'), std::string(32 * 1024, '\0'), std::string(32 * 1024, 'x'), earlier}) {
    overwrite(index, bytes);
    const auto found = count_labors(*store);  // it is no SIGBUS
    EXPECT_EQ(found, bytes == earlier ? 1 : static_cast<long>(written.size()));
    said();  // where only readers saw it, it is made anew already
    EXPECT_EQ(said(), "");
    expect_all();
  }
}

TEST_F(SqliteGuardTest, D6_a_database_that_is_renamed_waits_until_it_is_put_back) {
  own();
  write();
  fs::rename(path, folder / "elsewhere.db");
  for (int i = 0; i < 2; ++i) {
    try {
      write();
      FAIL() << "was stored where nobody finds it";
    } catch (const StorageError& error) {
      EXPECT_TRUE(error.temporary());
      EXPECT_SAYS(std::string(error.what()), "put it back");
    }
  }
  expect_in(folder / "elsewhere.db");  // whatever becomes of this process
  fs::rename(folder / "elsewhere.db", path);
  EXPECT_EQ(said(), "");
  expect_all();
}

TEST_F(SqliteGuardTest, D6_a_database_that_is_removed_is_written_out_again) {
  own();
  for (int i = 0; i < 3; ++i) write();
  fs::remove(path);
  const auto text = said(false);
  EXPECT_SAYS(text, "removed");
  EXPECT_SAYS(text, "written out again to " + path);
  expect_in(path);
  give_up();
  own();
  EXPECT_EQ(said(), "");
  expect_all();
}

TEST_F(SqliteGuardTest, D6_a_database_that_is_replaced_is_written_out_beside_the_other) {
  own();
  write();
  overwrite(folder / "other.db", "another file");
  fs::rename(folder / "other.db", path);
  EXPECT_SAYS(said(false), path + "-rescued");
  expect_in(path + "-rescued");
  EXPECT_EQ(bytes_of(path), "another file");
  give_up();
  EXPECT_EQ(bytes_of(path), "another file");
}

// ---- said ----

TEST_F(SqliteGuardTest, D6_after_a_log_that_was_cut_or_written_over_nothing_is_acknowledged) {
  for (int how = 0; how < 4; ++how) {
    own();
    write();
    const auto earlier = bytes_of(log);
    write();
    auto bytes = bytes_of(log);
    if (how == 0) bytes.clear();
    if (how == 1) bytes.resize(bytes.size() - 4096);
    if (how == 2) bytes = earlier;
    if (how == 3) bytes = std::string(bytes.size(), 'x');
    overwrite(log, bytes);
    const auto text = said(false);
    EXPECT_SAYS(text, "labors.db-wal");
    EXPECT_SAYS(text, "nothing more is written");
    give_up();
    for (const auto& file : {path, log, index}) fs::remove(file);
    written.clear();
  }
}

TEST_F(SqliteGuardTest, D6_after_a_copy_was_restored_over_the_file_nothing_is_acknowledged) {
  for (const bool with_log : {false, true}) {
    own();
    write();
    // So much that the database itself has grown since the copy was made.
    store->write_labor(make_labor(2'000));
    const auto file_then = bytes_of(path), log_then = bytes_of(log), index_then = bytes_of(index);
    for (int i = 0; i < 3; ++i) store->write_labor(make_labor(10'000));
    write();
    ASSERT_NE(bytes_of(path), file_then);
    overwrite(path, file_then);
    if (with_log) {
      overwrite(log, log_then);
      overwrite(index, index_then);
    }
    EXPECT_SAYS(said(false), "nothing more is written");
    give_up();
    for (const auto& file : {path, log, index}) fs::remove(file);
    written.clear();
  }
}

// ---- the owner's file ----

TEST_F(SqliteGuardTest, R1_who_removes_the_owners_file_lets_no_second_engine_in) {
  own();
  write();
  const std::function<void()> deeds[] = {
      [&] { fs::remove(side); },
      [&] { fs::rename(side, side + ".old"); },
      [&] {
        fs::remove(side);
        std::ofstream(side) << "pid: 1\n";
      },
  };
  for (const auto& deed : deeds) {
    deed();
    EXPECT_THROW(open_sqlite_store(path, OpenMode::OWNER)->lock(owner), StoreInUse);
    EXPECT_EQ(other.own(path), 1);
    EXPECT_EQ(said(), "");
    EXPECT_EQ(read_owner(bytes_of(side)).user, "alice") << "it is put back at the next commit";
  }
  EXPECT_SAYS(std::string([&] {
                try {
                  open_sqlite_store(path, OpenMode::OWNER)->lock(owner);
                } catch (const StoreInUse& error) {
                  return std::string(error.what());
                }
                return std::string();
              }()),
              "alice");
  expect_all();
  give_up();
  EXPECT_FALSE(fs::exists(side));
  own();
}

TEST_F(SqliteGuardTest, R1_what_an_owner_that_died_had_committed_is_there_or_is_said_to_be_missing) {
  std::string earlier;
  const struct {
    const char* name;
    std::function<void()> deed;
  } kDeeds[] = {
      {"", [] {}},
      {"removed", [&] { fs::remove(log); }},
      {"both removed", [&] { fs::remove(log), fs::remove(index); }},
      {"replaced by an older one", [&] { overwrite(log, earlier); }},
      {"cut", [&] { fs::resize_file(log, fs::file_size(log) - 4096); }},
      {"a bit in the middle",
       [&] {
         auto bytes = bytes_of(log);
         bytes[bytes.size() / 2] ^= 1;
         overwrite(log, bytes);
       }},
      {"an older file restored",
       [&] {
         const auto database = bytes_of(path);
         fs::remove(log);
         overwrite(path, database);
       }},
  };
  for (const auto& [name, deed] : kDeeds) {
    SCOPED_TRACE(name);
    const pid_t engine = fork();  // before this process opens the store
    if (engine == 0) {
      own();
      for (int i = 0; i < 5; ++i) {
        write();
        if (i == 2) fs::copy_file(log, folder / "earlier");
      }
      _exit(0);
    }
    waitpid(engine, nullptr, 0);
    earlier = bytes_of(folder / "earlier");
    deed();
    if (*name == '\0') {
      EXPECT_EQ(examine_sqlite(path).troubles.size(), 0U);
      EXPECT_NO_THROW(own());
      EXPECT_EQ(count_labors(*store), 5);
    } else {
      for (int tries = 0; tries < 2; ++tries) {
        try {
          open_sqlite_store(path, OpenMode::OWNER)->lock(owner);
          ADD_FAILURE() << "what was acknowledged is missing, in silence";
        } catch (const StorageError& error) {
          EXPECT_FALSE(error.temporary());
          EXPECT_SAYS(std::string(error.what()), "change 5");
          EXPECT_SAYS(std::string(error.what()), "remove " + side);
        }
      }
      ASSERT_EQ(examine_sqlite(path).troubles.size(), 1U);
      EXPECT_SAYS(examine_sqlite(path).troubles[0].what, "change 5");
      EXPECT_GE(count_labors(*open_sqlite_store(path, OpenMode::READER)), 0) << "it can be read";
      fs::remove(side);  // somebody who knows goes on with what is there
      EXPECT_NO_THROW(own());
      changes = 100;
      EXPECT_EQ(said(), "");
      changes = 0;
    }
    give_up();
    written.clear();
    for (const auto& file : {path, log, index, side, folder / "earlier"}) fs::remove(file);
  }
}

TEST_F(SqliteGuardTest, R1_a_new_file_beside_what_a_dead_owner_left_is_a_new_store) {
  const pid_t engine = fork();
  if (engine == 0) {
    own();
    write();
    _exit(0);
  }
  waitpid(engine, nullptr, 0);
  fs::remove(path);
  own();
  EXPECT_EQ(count_labors(*store), 0);
}

TEST_F(SqliteGuardTest, R1_the_store_under_another_name_has_the_same_owner) {
  own();
  write();
  fs::rename(path, folder / "renamed.db");
  try {
    open_sqlite_store(folder / "renamed.db", OpenMode::OWNER)->lock(owner);
    FAIL() << "two engines on one file";
  } catch (const StoreInUse& error) {
    EXPECT_SAYS(std::string(error.what()), "cogwork.connect");
  }
  fs::rename(folder / "renamed.db", path);
}

}  // namespace
}  // namespace cogwork
