#include "cogwork/storage/sqlite_mend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cogwork/base/descriptor.h"
#include "cogwork/base/error.h"
#include "cogwork/storage/sqlite_reader.h"

namespace cogwork {
namespace {

[[noreturn]] void fail(const SqlitePlace& place, const std::string& path, int error) {
  throw StorageError("cannot write to " + place.shown + ": it was removed while it was open, and writing it out again to " + path +
                         " fails: " + std::system_category().message(error),
                     true);
}

/// A new, empty file beside the database, for its user alone.
std::string make_beside(const SqlitePlace& place) {
  for (int n = 1;; ++n) {
    const auto path = place.real + "-rescued" + (n == 1 ? "" : "-" + std::to_string(n));
    const Descriptor made(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (made) return path;
    if (errno != EEXIST || n == 1000) fail(place, path, errno);
  }
}

void sync(const SqlitePlace& place, const std::string& path, int flags) {
  const Descriptor file(open(path.c_str(), flags | O_CLOEXEC));
  if (!file || fsync(file.get()) != 0) fail(place, path, errno);
}

}  // namespace

std::string said_of(Tampering found, const SqlitePlace& place, const std::string& written_out) {
  const auto& file = place.shown;
  const auto rest = std::string("; nothing more is written, so that nothing is acknowledged that would be lost. ");
  switch (found) {
    case Tampering::INDEX_OVERWRITTEN:
      return file +
             "-shm, the index of its log, was cut or written over beside the engine; it is made anew from the log, and nothing is "
             "lost";
    case Tampering::INDEX_MOVED:
      return file +
             "-shm, the index of its log, was removed, renamed or replaced beside the engine; what the log holds is moved into " +
             file + ", and nothing is lost";
    case Tampering::LOG_MOVED:
      return file + "-wal, its log, was removed, renamed or replaced beside the engine; what it held is moved into " + file +
             ", and nothing is lost";
    case Tampering::LOG_OVERWRITTEN:
      return file + "-wal, its log, was cut or written over beside the engine: what was committed last is gone from it" + rest +
             "Close the engine; the next one finds " + file + " as it was before that";
    case Tampering::FILE_OVERWRITTEN:
      return file +
             " was written over beside the engine (a copy that was restored while it was open?), and what the engine committed is "
             "not in it" +
             rest + "Close the engine, and restore " + file + " with nothing beside it named -wal or -shm";
    case Tampering::FILE_REMOVED:
      return file + " was removed or replaced while it was open; all of it was written out again to " + written_out + rest +
             "Close the engine, and open another on it";
    default: return file + " is not as it was left";
  }
}

void move_log_into_file(SqliteConnection& writer) {
  SqliteStatement checkpoint(writer, "PRAGMA wal_checkpoint(TRUNCATE)", "move the log into");
  const StatementGuard guard(checkpoint);
  if (!checkpoint.step() || checkpoint.number(0) != 0) {
    throw StorageError("cannot move the log into " + writer.place().shown +
                           ": somebody reads what is in it; it is tried again, and goes on when they have done",
                       true);
  }
}

bool holds_row(const SqlitePlace& place, const LastCommit& row, bool thoroughly) {
  try {
    const auto kind = has_sqlite_log(place) ? SqliteConnection::Kind::READER : SqliteConnection::Kind::SNAPSHOT;
    SqliteConnection fresh(place, kind);
    if (thoroughly && fresh.word("PRAGMA quick_check(1)") != "ok") return false;
    SqliteStatement find(fresh, "SELECT 1 FROM history WHERE first = ?1 AND link = ?2", "read");
    const StatementGuard guard(find);
    const std::string_view link(reinterpret_cast<const char*>(row.link.data()), row.link.size());
    find.bind(1, static_cast<std::int64_t>(row.first)).bind_blob(2, link);
    return find.step();
  } catch (const StorageError& error) {
    if (error.temporary()) throw;
    return false;
  }
}

std::string missing_commit(const SqlitePlace& place, const LastCommit& last) {
  return "change " + std::to_string(last.first) +
         ", which the engine that had it open last had committed before it died, is not in it: " + place.shown +
         "-wal was removed, replaced or damaged since, or an older copy was restored; put back what belongs to it, or, to go on "
         "with what is there, remove " +
         place.shown + "-owner";
}

std::string write_out(SqliteConnection& writer) {
  const auto& place = writer.place();
  const auto beside = make_beside(place);
  {
    SqliteStatement copy(writer, "VACUUM INTO ?1", "write out");
    copy.bind_text(1, beside);
    copy.run();
  }
  sync(place, beside, O_RDWR);
  return beside;
}

std::string put_in_place(const SqlitePlace& place, const std::string& written_out) {
  // A link fails where there is a file of that name, and so never writes over one.
  const bool in_place = link(written_out.c_str(), place.real.c_str()) == 0;
  if (in_place) unlink(written_out.c_str());
  sync(place, std::filesystem::path(place.real).parent_path().string(), O_RDONLY | O_DIRECTORY);
  return in_place ? place.shown : written_out;
}

}  // namespace cogwork
