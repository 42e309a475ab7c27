// T5: tables of an older version become those of the newest, step by step, each of which happens wholly or not at all.

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_schema.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

/// As if two versions had been released since: one adds a column and fills it, one makes a table anew.
std::vector<Migration> later_versions() {
  std::vector<Migration> all(sqlite_migrations().begin(), sqlite_migrations().end());
  all.push_back({kSqliteSchema + 1, R"sql(
ALTER TABLE jobs ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET weight = length(coalesce(cog, ''));
)sql"});
  all.push_back({kSqliteSchema + 2, R"sql(
CREATE TABLE labors_new(key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, title TEXT);
INSERT INTO labors_new SELECT key, id, name FROM labors;
DROP TABLE labors;
ALTER TABLE labors_new RENAME TO labors;
)sql"});
  return all;
}

class SqliteMigration : public testing::Test {
 protected:
  void SetUp() override {
    const auto store = open_sqlite_store(path, OpenMode::OWNER);
    Batch batch;
    for (int i = 0; i < 50; ++i) {
      const auto labor = make_labor(40, "labor " + std::to_string(i));
      batch.writes.emplace_back(WriteLabor{std::make_shared<const Labor>(labor)});
      HistoryRow row;
      row.first = static_cast<std::uint64_t>(i) + 1;
      row.count = 1;
      row.labor = labor.id;
      row.changes = pack_changes({Change{}});
      batch.history.push_back(row);
    }
    store->apply(batch);
  }

  SqliteConnection connect() { return {{path, path}, SqliteConnection::Kind::WRITER}; }
  std::int64_t number(const char* sql) { return connect().number(sql); }
  std::int64_t version() { return number("PRAGMA user_version"); }
  std::string quick_check() { return connect().word("PRAGMA quick_check"); }

  ScratchFolder folder;
  std::string path = folder / "labors.db";
};

TEST_F(SqliteMigration, T5_each_step_is_taken_and_what_is_stored_stays) {
  const auto all = later_versions();
  auto connection = connect();
  migrate_schema(connection, all);
  EXPECT_EQ(version(), kSqliteSchema + 2);
  EXPECT_EQ(number("SELECT count(*) FROM jobs WHERE weight = 7"), 50 * 40);
  EXPECT_EQ(number("SELECT count(*) FROM labors WHERE title LIKE 'labor %'"), 50);
  EXPECT_EQ(number("SELECT count(*) FROM history JOIN labors ON labors.key = history.labor"), 50);
  EXPECT_EQ(quick_check(), "ok");
  EXPECT_EQ(connection.number("PRAGMA foreign_keys"), 1);
  migrate_schema(connection, all);  // there is nothing left to do
  EXPECT_EQ(version(), kSqliteSchema + 2);
}

TEST_F(SqliteMigration, T5_an_empty_file_takes_all_steps) {
  const std::string empty = folder / "new.db";
  SqliteConnection connection({empty, empty}, SqliteConnection::Kind::WRITER);
  migrate_schema(connection, later_versions());
  EXPECT_EQ(connection.number("PRAGMA user_version"), kSqliteSchema + 2);
  EXPECT_EQ(connection.number("PRAGMA application_id"), kSqliteApplication);
}

TEST_F(SqliteMigration, T5_a_newer_file_is_refused_and_stays_as_it_is) {
  {
    auto connection = connect();
    migrate_schema(connection, later_versions());
  }
  auto connection = connect();
  EXPECT_THROW(migrate_schema(connection), StorageError);
  EXPECT_FALSE(connection.in_transaction());
  EXPECT_EQ(version(), kSqliteSchema + 2);
  for (const auto mode : {OpenMode::OWNER, OpenMode::READER}) {
    try {
      open_sqlite_store(path, mode);
      FAIL();
    } catch (const StorageError& error) {
      EXPECT_NE(std::string(error.what()).find("use the newer cogwork"), std::string::npos) << error.what();
    }
  }
}

TEST_F(SqliteMigration, T5_a_step_that_fails_leaves_the_version_before_it) {
  auto all = later_versions();
  all.back().sql = "DELETE FROM labor_cogs; CREATE TABLE labors(key INTEGER)";  // that one is there
  auto connection = connect();
  EXPECT_THROW(migrate_schema(connection, all), StorageError);
  EXPECT_FALSE(connection.in_transaction());
  EXPECT_EQ(version(), kSqliteSchema + 1);
  EXPECT_EQ(number("SELECT count(*) FROM labor_cogs"), 50);
  migrate_schema(connection, later_versions());
  EXPECT_EQ(version(), kSqliteSchema + 2);
}

TEST_F(SqliteMigration, T5_a_step_that_would_lose_what_is_referred_to_fails) {
  auto all = later_versions();
  all.back().sql = "DELETE FROM labors WHERE name = 'labor 7'";
  auto connection = connect();
  EXPECT_THROW(migrate_schema(connection, all), StorageError);
  EXPECT_EQ(number("SELECT count(*) FROM labors"), 50);
}

TEST_F(SqliteMigration, T5_killed_anywhere_the_file_is_old_or_new) {
  // The child dies after so many instructions of SQLite's machine, without a word: in the middle of a step, or between two.
  std::vector<std::int64_t> seen;
  for (int instructions = 200; instructions < 400'000; instructions += instructions / 3) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      SqliteConnection connection({path, path}, SqliteConnection::Kind::WRITER);
      sqlite3_progress_handler(
          connection.handle(), instructions, [](void*) -> int { _exit(7); }, nullptr);
      migrate_schema(connection, later_versions());
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const auto now = version();
    if (seen.empty() || seen.back() != now) seen.push_back(now);
    ASSERT_EQ(quick_check(), "ok");
    ASSERT_EQ(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    const auto weights = number("SELECT count(*) FROM pragma_table_info('jobs') WHERE name = 'weight'");
    ASSERT_EQ(weights, now > kSqliteSchema ? 1 : 0);
    if (weights == 1) {
      ASSERT_EQ(number("SELECT count(*) FROM jobs WHERE weight = 7"), 50 * 40);
    }
    if (WEXITSTATUS(status) == 0) break;
  }
  EXPECT_EQ(seen.front(), kSqliteSchema) << "the first kills come before the end of the first step";
  EXPECT_EQ(seen.back(), kSqliteSchema + 2);
  EXPECT_EQ(number("SELECT count(*) FROM labors WHERE title LIKE 'labor %'"), 50);
}

TEST_F(SqliteMigration, T5_the_table_goes_up_one_by_one_to_the_version_that_is_known) {
  std::int64_t before = 0;
  for (const auto& migration : sqlite_migrations()) EXPECT_EQ(migration.to, ++before);
  EXPECT_EQ(before, kSqliteSchema);
}

}  // namespace
}  // namespace cogwork
