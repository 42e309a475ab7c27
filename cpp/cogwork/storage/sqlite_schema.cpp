#include "cogwork/storage/sqlite_schema.h"

#include <algorithm>
#include <string>

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
