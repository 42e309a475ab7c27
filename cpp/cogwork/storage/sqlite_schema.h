#pragma once

#include <cstdint>

#include <span>

#include "cogwork/storage/sqlite_connection.h"

namespace cogwork {

/// The version of the tables that this cogwork reads and writes; docs/internals/stored-format.md describes them.
inline constexpr std::int64_t kSqliteSchema = 2;
/// "cogw": what tells a file of cogwork's from any other SQLite database.
inline constexpr std::int64_t kSqliteApplication = 0x636f6777;

/// What a file is, before anything in it is used.
struct SqliteFileKind {
  std::int64_t application = 0;
  std::int64_t version = 0;
  bool empty = false;  ///< Holds no table at all.
};
SqliteFileKind look_at(SqliteConnection& connection);

/// Brings the tables from the version before `to` to it. A released one never changes: files that it made exist.
struct Migration {
  std::int64_t to;
  const char* sql;
};
/// All there are, in order, from an empty file to kSqliteSchema.
std::span<const Migration> sqlite_migrations();

/// Throws StorageError, naming both versions and the remedy, where this cogwork cannot work with the file. An empty file passes
/// with `may_make`, and an older version passes with `may_migrate`. `version`: the one that is known.
void check_schema(const SqliteFileKind& kind, const SqlitePlace& place, bool may_make, bool may_migrate,
                  std::int64_t version = kSqliteSchema);

/// Throws StorageError where the file holds tables other than those that the migrations make in that version, or beside them what runs when they
/// are used: a view, a trigger, a virtual table, an index that cogwork did not make. A file that somebody else made may hold one that never
/// ends. Other plain tables are left alone.
void check_tables(SqliteConnection& connection, std::int64_t version);

/// Brings an empty file, or one of an older version, to the version of the last migration. Each is one transaction: whenever the process or
/// the machine dies, the file is whole and of a version that one of them made, and the next opening goes on from there. What is there keeps its
/// references, or the migration fails. Two that do this at once do it once.
void migrate_schema(SqliteConnection& writer, std::span<const Migration> migrations = sqlite_migrations());

}  // namespace cogwork
