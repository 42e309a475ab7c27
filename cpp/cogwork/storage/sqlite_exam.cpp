#include "cogwork/storage/sqlite_exam.h"

#include <sys/stat.h>

#include "cogwork/base/error.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_reader.h"

namespace cogwork {
namespace {

constexpr const char* kRestore = "restore a copy, or save what can be read with the sqlite3 shell's .recover";

/// Rows that belong to nothing: how many, and what that means.
struct Orphans {
  const char* count;
  const char* what;
};

constexpr Orphans kOrphans[] = {
    {"SELECT count(*) FROM labors WHERE typeof(id) <> 'blob' OR length(id) <> 16",
     "Labors have no id, so that nobody can name them"},
    {"SELECT count(*) FROM tasks WHERE key >> 32 NOT IN (SELECT key FROM labors)", "rows of Tasks belong to no Labor"},
    {"SELECT count(*) FROM sequences WHERE key >> 32 NOT IN (SELECT key FROM labors)", "rows of Sequences belong to no Labor"},
    {"SELECT count(*) FROM jobs WHERE key >> 32 NOT IN (SELECT key FROM labors)", "rows of Jobs belong to no Labor"},
    {"SELECT count(*) FROM args WHERE key NOT IN (SELECT key FROM jobs)", "rows of args belong to no Job"},
    {"SELECT count(*) FROM history WHERE labor NOT IN (SELECT key FROM labors)", "rows of the history belong to no Labor"},
    {"SELECT count(*) FROM labor_tags WHERE labor NOT IN (SELECT key FROM labors)", "tags belong to no Labor"},
    {"SELECT count(*) FROM labor_cogs WHERE labor NOT IN (SELECT key FROM labors)", "names of cogs belong to no Labor"},
    {"SELECT count(*) FROM labor_targets WHERE labor NOT IN (SELECT key FROM labors)", "targets belong to no Labor"},
};

std::int64_t size_of(const std::string& path) {
  struct stat about {};
  return stat(path.c_str(), &about) == 0 ? static_cast<std::int64_t>(about.st_size) : 0;
}

}  // namespace

FileExam SqliteReader::examine() {
  FileExam exam;
  exam.bytes = size_of(place_.real);
  exam.log_bytes = size_of(place_.real + "-wal");
  const auto carefully = [&exam](const auto& look) {
    try {
      look();
    } catch (const StorageError& error) {
      if (error.temporary()) throw;
      // Each further look at a damaged file would say the same.
      if (exam.troubles.empty()) exam.troubles.push_back({error.what(), kRestore});
    }
  };
  carefully([&] {
    exam.version = connection_.number("PRAGMA user_version");
    SqliteStatement check(connection_, "PRAGMA quick_check(20)", "check");
    const StatementGuard guard(check);
    while (check.step()) {
      const std::string said(check.bytes(0));
      if (said != "ok") exam.troubles.push_back({"the file is damaged: " + said, kRestore});
    }
  });
  carefully([&] {
    exam.labors = connection_.number("SELECT count(*) FROM labors");
    exam.changes = connection_.number("SELECT CAST(total(count) AS INTEGER) FROM history");
  });
  for (const auto& orphans : kOrphans) {
    carefully([&] {
      const auto count = connection_.number(orphans.count);
      if (count == 0) return;
      exam.troubles.push_back(
          {std::to_string(count) + " " + orphans.what,
           "the file was edited by hand, or a part of it is lost; nothing reads these rows, and they take room"});
    });
  }
  return exam;
}

}  // namespace cogwork
