#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "cogwork/base/descriptor.h"
#include "cogwork/storage/sqlite_connection.h"

namespace cogwork {

/// What somebody did to the files of a store beside the engine that owns it.
enum class Tampering : std::uint8_t {
  NONE,
  FILE_REMOVED,       ///< The database has no name any more: it lives as long as it is open.
  FILE_MOVED,         ///< It has another name; nothing, or another file, has its own.
  FILE_OVERWRITTEN,   ///< Something was written into it, and not by SQLite.
  FILE_TOUCHED,       ///< It was written to, and may be what it was.
  LOG_MOVED,          ///< The log was removed, renamed or replaced; SQLite still has its own open.
  LOG_OVERWRITTEN,    ///< The log was cut, or written over: what was committed last is gone from it.
  LOG_RESET,          ///< Another program moved the log into the database, which it may.
  INDEX_MOVED,        ///< The log's index was removed, renamed or replaced; SQLite still has its own open.
  INDEX_OVERWRITTEN,  ///< The index was cut, or written over. It can be made anew from the log.
};

/// Guards the files of a store while an engine owns it: the database, the write-ahead log (-wal) and the log's index (-shm). One thread, but for
/// mend_cut_index.
///
/// SQLite keeps others from removing the log by POSIX locks on the database and its index, and a process loses all of those on a file when it
/// closes any descriptor of it: a copy made by shutil is enough. So the guard holds locks of its own on the same bytes, of the kind that
/// belongs to an open file (F_OFD_SETLK): they go with the guard and by nothing else, and SQLite, here and in other processes, respects them.
/// One more byte, which SQLite does not use, tells a second engine that there is a first, whatever became of the owner's file.
///
/// What no lock prevents - files that are removed, replaced, cut, written over - it notices: `note` remembers how they stood after a
/// commit, and `look` compares before the next.
class SqliteGuard {
 public:
  /// The store's connection has read the database, so that all three files are there. Throws StoreInUse where another engine guards them.
  explicit SqliteGuard(const SqlitePlace& place);
  ~SqliteGuard();
  SqliteGuard(const SqliteGuard&) = delete;
  SqliteGuard& operator=(const SqliteGuard&) = delete;

  /// Others may end the log again. Before SQLite's last connection closes, and that before the guard goes.
  void unlock();

  /// After a commit; a few system calls, as `look`.
  void note();
  /// However the files stand now is how they should.
  void note_anew();
  Tampering look();

  /// Fills an index that is shorter than it was, so that whoever has it mapped is not killed by SIGBUS, and has it made anew. Whether it did.
  /// Any thread.
  bool mend_cut_index();
  /// Has SQLite make the index anew from the log at its next look.
  void discard_index();
  /// Empties whatever stands in the places of the log and its index. All connections of this process are closed, and the log has been moved
  /// into the database.
  void clear_places();
  /// Removes the log and its index: the database that they belong to has lost its name, and they would be taken for those of what gets it next.
  void remove_log();
  /// Guards the log and the index that stand in their places now. False where SQLite works with another index: a connection of this process
  /// that is not the store's keeps it.
  bool guard_anew();

 private:
  /// What SQLite writes at the beginning of the index (see "The WAL-Index File Format").
  struct Index {
    bool whole = false;
    std::uint32_t frames = 0;  ///< In the log, that are committed.
    std::array<char, 8> salt{};
    std::array<std::uint32_t, 2> checksum{};  ///< Of the last frame.
    std::uint32_t page_size = 0;
    std::uint32_t moved = 0, moving = 0;  ///< Frames that have been moved into the database, and that are to be now.
    bool operator==(const Index&) const = default;
  };
  /// Which file has a name, and when it was last written to.
  struct About {
    std::uint64_t device = 0, inode = 0;
    std::int64_t size = -1, seconds = 0, nanoseconds = 0;
    bool is(const About& other) const { return device == other.device && inode == other.inode; }
    bool operator==(const About&) const = default;
  };

  static About about(int fd);
  static About about(const std::string& path);
  Index read_index() const;
  std::array<char, 100> header() const;
  bool log_holds(const Index& index) const;

  const SqlitePlace place_;
  const std::string log_path_, index_path_;
  Descriptor file_, log_, index_;
  Index noted_;
  About noted_file_, noted_log_, noted_index_;
  std::array<char, 100> noted_header_{};
  std::uint32_t noted_frames_ = 0;  ///< For so many the index is known to have room.
  std::atomic<std::int64_t> index_size_ = 0;
};

}  // namespace cogwork
