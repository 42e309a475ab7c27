#pragma once

#include <cstdint>

#include "cogwork/storage/sqlite_connection.h"

namespace cogwork {

/// The version of the tables that this cogwork reads and writes; docs/internals/stored-format.md describes them.
inline constexpr std::int64_t kSqliteSchema = 1;
/// "cogw": what tells a file of cogwork's from any other SQLite database.
inline constexpr std::int64_t kSqliteApplication = 0x636f6777;

/// What a file is, before anything in it is used.
struct SqliteFileKind {
  std::int64_t application = 0;
  std::int64_t version = 0;
  bool empty = false;  ///< Holds no table at all.
};
SqliteFileKind look_at(SqliteConnection& connection);

/// Throws StorageError, naming both versions and the remedy, where this cogwork cannot work with the file. An empty file passes
/// with `may_make`, and an older version passes with `may_migrate`.
void check_schema(const SqliteFileKind& kind, const SqlitePlace& place, bool may_make, bool may_migrate);

/// Brings an empty file, or one of an older version, to this version. All of it, or nothing.
void migrate_schema(SqliteConnection& writer);

}  // namespace cogwork
