#include "cogwork/storage/sqlite_schema.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE labors(
  key INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  submitted INTEGER NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  name TEXT,
  desc TEXT,
  client_id TEXT,
  real_user TEXT,
  tags BLOB,
  cogs BLOB,
  holds BLOB
);
CREATE INDEX labors_submitted ON labors(submitted, id);

CREATE TABLE tasks(
  key INTEGER PRIMARY KEY,
  first_job INTEGER NOT NULL,
  pre_checks INTEGER NOT NULL,
  cont_checks INTEGER NOT NULL,
  first_sequence INTEGER NOT NULL,
  sequences INTEGER NOT NULL,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  strict INTEGER NOT NULL,
  pass_failures INTEGER NOT NULL,
  pause_on_entry INTEGER NOT NULL,
  concurrency INTEGER NOT NULL,
  concurrency_share TEXT,
  tolerated_failures INTEGER NOT NULL,
  tolerated_share TEXT,
  cont_check_interval INTEGER NOT NULL,
  bake INTEGER NOT NULL,
  entry_delay INTEGER NOT NULL,
  name TEXT,
  desc TEXT,
  holds BLOB
);

CREATE TABLE sequences(
  key INTEGER PRIMARY KEY,
  task INTEGER NOT NULL,
  first_job INTEGER NOT NULL,
  jobs INTEGER NOT NULL,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  target TEXT,
  name TEXT,
  desc TEXT,
  holds BLOB,
  room BLOB
);

CREATE TABLE jobs(
  key INTEGER PRIMARY KEY,
  task INTEGER NOT NULL,
  sequence INTEGER,
  kind INTEGER NOT NULL,
  state INTEGER NOT NULL,
  held INTEGER NOT NULL,
  rounds INTEGER NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  name TEXT,
  desc TEXT,
  cog TEXT,
  timeout INTEGER,
  retries INTEGER NOT NULL,
  retry_delay INTEGER,
  retry_max_delay INTEGER,
  retry_backoff REAL NOT NULL,
  on_interrupt INTEGER NOT NULL,
  attempts BLOB,
  room BLOB
);

CREATE TABLE args(
  key INTEGER PRIMARY KEY,
  args BLOB NOT NULL
);

CREATE TABLE labor_tags(
  tag TEXT NOT NULL,
  labor INTEGER NOT NULL REFERENCES labors(key),
  PRIMARY KEY(tag, labor)
) WITHOUT ROWID;
CREATE TABLE labor_cogs(
  cog TEXT NOT NULL,
  labor INTEGER NOT NULL REFERENCES labors(key),
  PRIMARY KEY(cog, labor)
) WITHOUT ROWID;
CREATE TABLE labor_targets(
  target TEXT NOT NULL,
  labor INTEGER NOT NULL,
  PRIMARY KEY(target, labor)
) WITHOUT ROWID;

CREATE TABLE history(
  first INTEGER PRIMARY KEY,
  labor INTEGER NOT NULL REFERENCES labors(key),
  at INTEGER NOT NULL,
  count INTEGER NOT NULL,
  changes BLOB,
  link BLOB NOT NULL
);
CREATE INDEX history_labor ON history(labor);

CREATE TABLE records(
  kind INTEGER NOT NULL,
  key TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY(kind, key)
) WITHOUT ROWID;
)sql"},
    // What a Labor was made with.
    {2, "ALTER TABLE labors ADD COLUMN provenance BLOB"},
};

}  // namespace

std::span<const Migration> sqlite_migrations() { return kMigrations; }

SqliteFileKind look_at(SqliteConnection& connection) {
  SqliteFileKind kind;
  // At one moment: another process may just be making the tables.
  const bool alone = !connection.in_transaction();
  if (alone) connection.execute("BEGIN", "open");
  kind.application = connection.number("PRAGMA application_id");
  kind.version = connection.number("PRAGMA user_version");
  kind.empty = connection.number("SELECT count(*) FROM sqlite_schema") == 0;
  if (alone) connection.execute("COMMIT", "open");
  return kind;
}

void check_schema(const SqliteFileKind& kind, const SqlitePlace& place, bool may_make, bool may_migrate, std::int64_t version) {
  if (kind.empty && kind.version == 0 && (kind.application == 0 || kind.application == kSqliteApplication)) {
    if (may_make) return;
    throw StorageError("cannot read " + place.shown + ": the file is empty; an engine that opens it makes it a store", false);
  }
  if (kind.application != kSqliteApplication) {
    throw StorageError("cannot use " + place.shown + ": it is an SQLite database of another program; give another file", false);
  }
  const auto versions =
      "its tables are of version " + std::to_string(kind.version) + ", and this cogwork knows version " + std::to_string(version);
  if (kind.version > version) {
    throw StorageError("cannot use " + place.shown + ": " + versions + "; use the newer cogwork that wrote it", false);
  }
  if (kind.version < version && !may_migrate) {
    throw StorageError("cannot read " + place.shown + ": " + versions + "; open it once with an engine, which brings it up to date",
                       false);
  }
}

namespace {

/// By name, how each table and index is made, as SQLite keeps it.
using Objects = std::map<std::string, std::string, std::less<>>;

constexpr std::string_view kOfSqlite = "sqlite_";  // its own tables and indexes

Objects make_objects(std::int64_t version) {
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  sqlite3* opened = nullptr;
  const int code = sqlite3_open(":memory:", &opened);
  const std::unique_ptr<sqlite3, Close> database(opened);
  const auto run = [&](const char* sql, int (*row)(void*, int, char**, char**), void* into) {
    if (code != SQLITE_OK || sqlite3_exec(database.get(), sql, row, into, nullptr) != SQLITE_OK)
      throw StorageError("there is no memory left", true);
  };
  for (const auto& migration : kMigrations) {
    if (migration.to <= version) run(migration.sql, nullptr, nullptr);
  }
  Objects objects;
  run(
      "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL",
      [](void* into, int, char** values, char**) {
        static_cast<Objects*>(into)->emplace(values[0], values[1]);
        return 0;
      },
      &objects);
  return objects;
}

/// Any thread.
const Objects& objects_of(std::int64_t version) {
  static std::mutex mutex;
  static std::map<std::int64_t, Objects> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(version);
  return found != known.end() ? found->second : known.emplace(version, make_objects(version)).first->second;
}

}  // namespace

void check_tables(SqliteConnection& connection, std::int64_t version) {
  const auto& ours = objects_of(version);
  const auto refuse = [&connection](const std::string& why) {
    throw StorageError(
        "cannot use " + connection.place().shown + ": " + why + "; cogwork does not open what another program changed in this way",
        false);
  };
  SqliteStatement rows(connection, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema", "read the tables of");
  const StatementGuard guard(rows);
  std::size_t found = 0;
  while (rows.step()) {
    const std::string type(rows.bytes(0)), name(rows.bytes(1)), table(rows.bytes(2)), sql(rows.bytes(3));
    if (const auto own = ours.find(name); own != ours.end()) {
      if (own->second != sql) refuse("its " + type + " '" + name + "' is not the one that cogwork makes");
      ++found;
    } else if (type == "view" || type == "trigger" || sql.starts_with("CREATE VIRTUAL") ||
               (!name.starts_with(kOfSqlite) && ours.contains(table))) {
      refuse("it holds the " + type + " '" + name + "', which cogwork does not make");
    }
  }
  if (found < ours.size()) refuse("some of its tables are missing");
}

namespace {

constexpr const char* kMigrating = "bring up to date the tables of";

/// One step, in one transaction. False: there is none left to do.
bool migrate_once(SqliteConnection& writer, std::span<const Migration> migrations) {
  writer.execute("BEGIN IMMEDIATE", kMigrating);
  try {
    // Looked at under the lock: another process may have been here first.
    const auto kind = look_at(writer);
    check_schema(kind, writer.place(), true, true, migrations.back().to);
    const auto next =
        std::find_if(migrations.begin(), migrations.end(), [&kind](const Migration& m) { return m.to > kind.version; });
    if (next != migrations.end()) {
      const auto dangling = [&writer] { return writer.number("SELECT count(*) FROM pragma_foreign_key_check"); };
      const auto before = kind.empty ? 0 : dangling();
      writer.execute(next->sql, kMigrating);
      if (dangling() > before) {
        throw StorageError("cannot bring up to date the tables of " + writer.place().shown +
                               ": it would leave rows that refer to nothing; nothing is changed, and this is an error in cogwork",
                           false);
      }
      writer.execute(("PRAGMA application_id = " + std::to_string(kSqliteApplication)).c_str(), kMigrating);
      writer.execute(("PRAGMA user_version = " + std::to_string(next->to)).c_str(), kMigrating);
    }
    writer.execute("COMMIT", kMigrating);
    return next != migrations.end() && next->to < migrations.back().to;
  } catch (...) {
    if (writer.in_transaction()) sqlite3_exec(writer.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

}  // namespace

void migrate_schema(SqliteConnection& writer, std::span<const Migration> migrations) {
  // A migration may make a table anew, which drops the old one: references are looked at when it is done.
  writer.execute("PRAGMA foreign_keys = OFF", kMigrating);
  while (migrate_once(writer, migrations)) {
  }
  writer.execute("PRAGMA foreign_keys = ON", kMigrating);
}

}  // namespace cogwork
