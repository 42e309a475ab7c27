// What may be wrong with a file, and what a reader leaves alone.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "cogwork/base/error.h"
#include "cogwork/storage/sqlite_schema.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;

class SqliteFile : public testing::Test {
 protected:
  /// Changes a file behind cogwork's back.
  void sql(const std::string& text) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  std::string refusal(OpenMode mode) {
    return refusal([&] { open_sqlite_store(path, mode); });
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const StorageError& error) {
      EXPECT_FALSE(error.temporary()) << error.what();
      return error.what();
    }
    return "(no error)";
  }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) names.insert(entry.path().filename());
    return names;
  }

  void write(const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  ScratchFolder folder;
  std::string path = folder / "labors.db";
};

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(SqliteFile, T5_what_was_written_is_there_after_closing) {
  const Labor labor = make_full_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  EXPECT_EQ(files(), std::set<std::string>{"labors.db"}) << "closing moves the log into the file";
  EXPECT_EQ(open_sqlite_store(path, OpenMode::OWNER)->read_labor(labor.id, true), labor);
  EXPECT_EQ(open_sqlite_store(path, OpenMode::READER)->read_labor(labor.id, true), labor);
}

TEST_F(SqliteFile, R1_who_gives_the_store_up_leaves_it_in_one_file) {
  const Labor labor = make_full_labor();
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  auto lock = store->lock(Owner{});
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
  lock.reset();
  EXPECT_EQ(files(), std::set<std::string>{"labors.db"});
  EXPECT_EQ(store->read_labor(labor.id, true), labor) << "the store can still be read";
  lock = store->lock(Owner{});
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, true), labor) << "and owned again";
}

TEST_F(SqliteFile, T5_a_file_that_is_no_database) {
  write(std::string(8192, 'x'));
  for (const auto mode : {OpenMode::OWNER, OpenMode::READER}) {
    const auto text = refusal(mode);
    EXPECT_SAYS(text, path);
    EXPECT_SAYS(text, "not an SQLite database");
  }
  EXPECT_EQ(fs::file_size(path), 8192U) << "it was left as it is";
}

TEST_F(SqliteFile, R1_a_file_whose_maker_died_says_so_and_an_engine_brings_it_in_order) {
  // The first thing that an engine does to a new file, and the moment before it is done.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sqlite3* database = nullptr;
    const bool begun = sqlite3_open(path.c_str(), &database) == SQLITE_OK &&
                       sqlite3_exec(database,
                                    "CREATE TABLE t(x); PRAGMA cache_size = 1; BEGIN; INSERT INTO t VALUES(zeroblob(100000)); "
                                    "INSERT INTO t SELECT x FROM t",
                                    nullptr, nullptr, nullptr) == SQLITE_OK;
    _exit(begun ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_EQ(files(), (std::set<std::string>{"labors.db", "labors.db-journal"}));
  try {
    open_sqlite_store(path, OpenMode::READER);
    ADD_FAILURE() << "a reader has changed the file";
  } catch (const StorageError& error) {
    EXPECT_SAYS(std::string(error.what()), "a process died while it wrote");
    EXPECT_SAYS(std::string(error.what()), "open an engine on it");
  }
  EXPECT_SAYS(refusal(OpenMode::OWNER), "another program") << "it was brought in order: now it is seen whose it is";
  EXPECT_EQ(files(), std::set<std::string>{"labors.db"});
}

TEST_F(SqliteFile, T5_another_programs_database) {
  sql("CREATE TABLE bookmarks(url TEXT)");
  EXPECT_SAYS(refusal(OpenMode::OWNER), "another program");
  EXPECT_SAYS(refusal(OpenMode::READER), "another program");
  fs::remove(path);
  sql("PRAGMA application_id = 7; CREATE TABLE t(x)");
  EXPECT_SAYS(refusal(OpenMode::OWNER), "another program");
}

TEST_F(SqliteFile, T5_a_newer_schema_names_both_versions_and_the_remedy) {
  open_sqlite_store(path, OpenMode::OWNER);
  sql("PRAGMA user_version = 73");
  for (const auto mode : {OpenMode::OWNER, OpenMode::READER}) {
    const auto text = refusal(mode);
    EXPECT_SAYS(text, "version 73");
    EXPECT_SAYS(text, "version " + std::to_string(kSqliteSchema));
    EXPECT_SAYS(text, "newer cogwork");
  }
}

TEST_F(SqliteFile, T5_an_older_schema_is_for_an_owner_to_bring_up) {
  const SqlitePlace place{path, path};
  const SqliteFileKind older{kSqliteApplication, kSqliteSchema - 1, false};
  EXPECT_NO_THROW(check_schema(older, place, true, true));
  EXPECT_SAYS(refusal([&] { check_schema(older, place, false, false); }), "up to date");
}

TEST_F(SqliteFile, T5_a_truncated_file) {
  {
    const auto store = open_sqlite_store(path, OpenMode::OWNER);
    for (int i = 0; i < 20; ++i) store->write_labor(make_labor(100));
  }
  const auto whole = fs::file_size(path);
  for (const auto size : {whole / 2, std::uintmax_t{4096}, std::uintmax_t{600}, std::uintmax_t{100}}) {
    fs::resize_file(path, size);
    const auto owner = refusal(OpenMode::OWNER), reader = refusal(OpenMode::READER);
    EXPECT_SAYS(owner, path);
    EXPECT_SAYS(reader, path);
    EXPECT_TRUE(owner.find("damaged") != owner.npos || owner.find("not an SQLite database") != owner.npos) << owner;
    EXPECT_EQ(fs::file_size(path), size);
  }
}

TEST_F(SqliteFile, T5_a_damaged_page_is_an_error_and_no_crash) {
  const Labor labor = make_labor(2000);
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  const auto pages = fs::file_size(path) / 4096;
  std::size_t noticed = 0;
  for (std::uintmax_t page = 20; page < pages; page += 10) {
    const auto copy = folder / "copy.db";
    fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    {
      std::fstream file(copy, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(page * 4096));
      file << std::string(2048, '\x5a');
    }
    try {
      (void)open_sqlite_store(copy, OpenMode::READER)->read_labor(labor.id, true);
    } catch (const StorageError& error) {
      ++noticed;
      EXPECT_FALSE(error.temporary()) << error.what();
    } catch (const NotFound&) {
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 0U);
}

TEST_F(SqliteFile, T1_rows_that_are_missing_are_noticed) {
  Labor labor = make_labor(10);
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  sql("DELETE FROM jobs WHERE key = (SELECT max(key) FROM jobs)");
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  EXPECT_SAYS(refusal([&] { store->read_labor(labor.id, true); }), "damaged");
  EXPECT_NO_THROW(store->read_labor(labor.id, false));
  sql("UPDATE labors SET state = 99");
  EXPECT_SAYS(refusal([&] { store->read_labor(labor.id, false); }), "damaged");
}

TEST_F(SqliteFile, T5_what_is_no_file) {
  EXPECT_SAYS(refusal([&] { open_sqlite_store(folder.path(), OpenMode::OWNER); }), "folder");
  EXPECT_SAYS(refusal([&] { open_sqlite_store(folder.path().string() + "/", OpenMode::OWNER); }), "folder");
  EXPECT_SAYS(refusal([&] { open_sqlite_store(folder.path(), OpenMode::READER); }), "folder");
  EXPECT_SAYS(refusal([&] { open_sqlite_store(folder / "no/such/labors.db", OpenMode::OWNER); }), "no folder");
  EXPECT_SAYS(refusal([&] { open_sqlite_store("", OpenMode::OWNER); }), "empty");
  EXPECT_SAYS(refusal([&] { open_sqlite_store(std::string("a\0b", 3), OpenMode::OWNER); }), "zero byte");
  write("");
  EXPECT_SAYS(refusal([&] { open_sqlite_store(path + "/labors.db", OpenMode::OWNER); }), "folder");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_SAYS(refusal([&] { open_sqlite_store(folder / "pipe", OpenMode::OWNER); }), "plain file");
}

TEST_F(SqliteFile, T5_an_empty_file_becomes_a_store) {
  write("");
  EXPECT_SAYS(refusal(OpenMode::READER), "empty");
  const Labor labor = make_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  EXPECT_EQ(open_sqlite_store(path, OpenMode::READER)->read_labor(labor.id, true), labor);
}

TEST_F(SqliteFile, T5_permissions_are_named) {
  if (geteuid() == 0) GTEST_SKIP() << "root may do everything";
  open_sqlite_store(path, OpenMode::OWNER);
  fs::permissions(path, fs::perms::owner_read);
  EXPECT_SAYS(refusal(OpenMode::OWNER), "permissions");
  EXPECT_NO_THROW(open_sqlite_store(path, OpenMode::READER));
  fs::permissions(path, fs::perms::none);
  EXPECT_SAYS(refusal(OpenMode::READER), "permissions");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_NO_THROW(open_sqlite_store(path, OpenMode::READER)) << "a folder that may not be written is no matter to a reader";
  EXPECT_THROW(open_sqlite_store(path, OpenMode::OWNER), StorageError);
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST_F(SqliteFile, T5_a_hard_link_is_refused) {
  open_sqlite_store(path, OpenMode::OWNER);
  fs::create_hard_link(path, folder / "other.db");
  EXPECT_SAYS(refusal(OpenMode::OWNER), "hard links");
  EXPECT_NO_THROW(open_sqlite_store(path, OpenMode::READER));
}

TEST_F(SqliteFile, T5_a_symbolic_link_is_the_file_it_leads_to) {
  fs::create_directory(folder / "real");
  fs::create_symlink(folder / "real/labors.db", path);  // leads nowhere yet
  fs::create_directory_symlink(folder / "real", folder / "dir");
  const auto by_link = open_sqlite_store(path, OpenMode::OWNER);
  const auto by_dir = open_sqlite_store(folder / "dir/../real/./labors.db", OpenMode::OWNER);
  EXPECT_TRUE(fs::exists(folder / "real/labors.db-wal"));
  EXPECT_FALSE(fs::exists(folder / "labors.db-wal"));
  const Labor labor = make_labor();
  by_link->write_labor(labor);
  EXPECT_EQ(by_dir->read_labor(labor.id, true), labor);
  const auto lock = by_link->lock({1, "h", "u", "p", kNoon});
  EXPECT_THROW(by_dir->lock({2, "h", "u", "p", kNoon}), StoreInUse);
  EXPECT_THROW(open_sqlite_store(folder / "dir/labors.db", OpenMode::OWNER)->lock({2, "h", "u", "p", kNoon}), StoreInUse);
}

// ---- R1: readers ----

TEST_F(SqliteFile, R1_a_reader_creates_nothing) {
  EXPECT_SAYS(refusal(OpenMode::READER), "no such file");
  EXPECT_TRUE(files().empty());
  const Labor labor = make_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  {
    const auto reader = open_sqlite_store(path, OpenMode::READER);
    reader->read_labor(labor.id, true);
    all_of(*reader->labors({}));
    EXPECT_EQ(files(), std::set<std::string>{"labors.db"});
  }
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
  EXPECT_EQ(files(), std::set<std::string>{"labors.db"});
}

TEST_F(SqliteFile, R1_a_reader_refuses_to_write) {
  const Labor labor = make_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  const auto reader = open_sqlite_store(path, OpenMode::READER);
  EXPECT_SAYS(refusal([&] { reader->write_labor(make_labor()); }), "reading only");
  EXPECT_SAYS(refusal([&] { reader->lock({}); }), "reading only");
}

TEST_F(SqliteFile, R1_a_reader_sees_what_an_engine_writes_later) {
  Labor labor = make_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  const auto reader = open_sqlite_store(path, OpenMode::READER);  // of a file at rest
  EXPECT_EQ(reader->read_labor(labor.id, true), labor);
  for (int round = 0; round < 5; ++round) {
    {
      const auto engine = open_sqlite_store(path, OpenMode::OWNER);
      for (int i = 0; i < 3; ++i) {
        labor.jobs[0].started = labor.jobs[0].started + Duration(1 + i);
        engine->write_job(labor.id, labor.jobs[0]);
        ASSERT_EQ(reader->read_labor(labor.id, true), labor);
      }
    }
    ASSERT_EQ(reader->read_labor(labor.id, true), labor);
  }
}

TEST_F(SqliteFile, R1_a_reader_never_waits_for_a_transaction_under_way) {
  const Labor labor = make_labor();
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE; DELETE FROM args", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(open_sqlite_store(path, OpenMode::READER)->read_labor(labor.id, true), labor);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(400));
  sqlite3_close(other);
}

TEST_F(SqliteFile, D6_a_lock_of_another_program_is_a_temporary_error) {
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const Labor labor = make_labor();
  try {
    store->write_labor(labor);
    FAIL() << "was stored";
  } catch (const StorageError& error) {
    EXPECT_TRUE(error.temporary());
    EXPECT_SAYS(std::string(error.what()), "lock");
    EXPECT_SAYS(std::string(error.what()), path);
  }
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
  sqlite3_close(other);
}

TEST_F(SqliteFile, D6_a_file_that_is_moved_away_is_missed) {
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  const Labor labor = make_labor();
  fs::rename(path, folder / "elsewhere.db");
  for (const bool replaced : {false, true}) {
    if (replaced) write("another file");
    try {
      store->write_labor(labor);
      FAIL() << "was stored where nobody finds it";
    } catch (const StorageError& error) {
      EXPECT_TRUE(error.temporary());
      EXPECT_SAYS(std::string(error.what()), "put it back");
    }
  }
  fs::rename(folder / "elsewhere.db", path);
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_F(SqliteFile, D6_a_full_disk_is_temporary_and_leaves_nothing_behind) {
  // A limit on the size of files stands for the disk: in a child, since it is the whole process's.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int result = 1;
    try {
      std::signal(SIGXFSZ, SIG_IGN);
      const auto store = open_sqlite_store(path, OpenMode::OWNER);
      const Labor small = make_labor(10), large = make_labor(50'000);
      store->write_labor(small);
      struct rlimit limit {};
      getrlimit(RLIMIT_FSIZE, &limit);
      limit.rlim_cur = 2'000'000;
      setrlimit(RLIMIT_FSIZE, &limit);
      bool refused = false;
      try {
        store->write_labor(large);
      } catch (const StorageError& error) {
        refused = error.temporary();
      }
      const bool whole = store->read_labor(small.id, true) == small;
      bool absent = false;
      try {
        store->read_labor(large.id, false);
      } catch (const NotFound&) {
        absent = true;
      }
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_FSIZE, &limit);
      store->write_labor(large);  // there is room again, and the connection is as good as new
      result = refused && whole && absent && store->read_labor(large.id, true) == large ? 0 : 2;
    } catch (...) {
    }
    _exit(result);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(SqliteFile, D6_which_errors_of_sqlite_waiting_may_mend) {
  const auto temporary = [](int code) {
    try {
      throw_sqlite({"labors.db", "/labors.db"}, "write to", code, "words of SQLite");
    } catch (const StorageError& error) {
      EXPECT_SAYS(std::string(error.what()), "cannot write to labors.db: ");
      EXPECT_SAYS(std::string(error.what()), "words of SQLite");
      EXPECT_SAYS(std::string(error.what()), "; ") << "a remedy";
      return error.temporary();
    }
  };
  for (const int code :
       {SQLITE_FULL, SQLITE_IOERR, SQLITE_IOERR_FSYNC, SQLITE_IOERR_NOMEM, SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_LOCKED,
        SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_READONLY_DBMOVED, SQLITE_NOMEM, SQLITE_INTERRUPT, SQLITE_PROTOCOL}) {
    EXPECT_TRUE(temporary(code)) << code;
  }
  for (const int code : {SQLITE_TOOBIG, SQLITE_MISMATCH, SQLITE_CONSTRAINT, SQLITE_CONSTRAINT_UNIQUE, SQLITE_CORRUPT, SQLITE_NOTADB,
                         SQLITE_SCHEMA, SQLITE_ERROR, SQLITE_MISUSE}) {
    EXPECT_FALSE(temporary(code)) << code;
  }
}

// ---- D5: what is acknowledged survives ----

TEST_F(SqliteFile, D5_what_apply_returned_from_survives_a_kill) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto store = open_sqlite_store(path, OpenMode::OWNER);
    const auto lock = store->lock({getpid(), "h", "u", "p", kNoon});
    for (std::uint32_t i = 1;; ++i) {
      const Labor labor = make_labor(5);
      store->apply({{write_of(labor)}, {history_row(labor.id, i, 1)}, {}});
      if (::write(pipe_ends[1], labor.id.bytes.data(), 16) != 16) _exit(1);
    }
  }
  close(pipe_ends[1]);
  std::vector<Id> told;
  Id id;
  while (told.size() < 50 && read(pipe_ends[0], id.bytes.data(), 16) == 16) told.push_back(id);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  while (read(pipe_ends[0], id.bytes.data(), 16) == 16) told.push_back(id);
  close(pipe_ends[0]);

  const auto reader = open_sqlite_store(path, OpenMode::READER);  // reads what the dead one left, and leaves it so
  for (const auto& labor : told) EXPECT_NO_THROW(reader->read_labor(labor, true));
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  const auto lock = store->lock({getpid(), "h", "u", "p", kNoon});  // no lock is left
  const auto labors = all_of(*store->labors({}));
  EXPECT_GE(labors.size(), told.size());
  EXPECT_LE(labors.size(), told.size() + 1);
  EXPECT_EQ(store->last_change(), labors.size()) << "each commit is whole";
  for (const auto& labor : labors) EXPECT_EQ(store->read_labor(labor.id, true).jobs.size(), 5U);
}

TEST_F(SqliteFile, T3_a_hundred_thousand_labors_stream) {
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  constexpr int kLabors = 100'000;
  Batch batch;
  for (int i = 0; i < kLabors; ++i) {
    Labor labor;
    labor.id = new_id();
    labor.name = "labor " + std::to_string(i);
    labor.submitted = kNoon + Duration(i / 10);
    labor.tags = {i % 1000 == 0 ? "rare" : "common"};
    batch.writes.push_back(write_of(labor));
    if (batch.writes.size() == 10'000) {
      store->apply(batch);
      batch.writes.clear();
    }
  }
  const auto stream = store->labors({});
  std::size_t count = 0;
  std::pair<Time, Id> last{never, Id{}};
  while (const auto labor = stream->next()) {
    const std::pair place{labor->submitted, labor->id};
    ASSERT_LT(last, place);
    last = place;
    ++count;
  }
  EXPECT_EQ(count, static_cast<std::size_t>(kLabors));
  LaborFilter rare;
  rare.tags = {"rare"};
  EXPECT_EQ(all_of(*store->labors(rare)).size(), 100U);
  LaborFilter named;
  named.name_suffix = " 77777";
  EXPECT_EQ(all_of(*store->labors(named)).size(), 1U);
}

}  // namespace
}  // namespace cogwork
