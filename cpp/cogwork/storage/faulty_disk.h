#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

namespace cogwork {

/// What a disk does wrong.
enum class DiskFault : std::uint8_t {
  NONE,
  FULL,   ///< No write is taken: SQLITE_FULL.
  SHORT,  ///< Half of a write is taken, and then the disk is full: SQLITE_FULL.
  WRITE,  ///< Each write, and cutting a file, is an I/O error.
  SYNC,   ///< What was written does not get to the disk: fsync is an I/O error.
  READ,   ///< Each read is an I/O error.
  IO,     ///< WRITE, SYNC and READ.
};

/// The disk below one store, for tests: it does as it is told, to the file and to SQLite's -wal and -journal beside it. It stands between
/// SQLite and the system as a VFS, which exists from the first call of `faulty_disk` on. Connections that were opened before that do
/// not see it; nor does anybody else's SQLite in this process, since it is not made the default.
///
/// Any thread.
class FaultyDisk {
 public:
  enum Operation : std::uint8_t { WRITE, SYNC, READ };
  static constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

  /// Of the operations that `fault` concerns, `after` are still done; of the next, `times` fail. Replaces what was set before.
  void fail(DiskFault fault, std::uint64_t after = 0, std::uint64_t times = kForever);
  /// From now on all is well.
  void mend() { fail(DiskFault::NONE); }

  struct Figures {
    std::uint64_t writes = 0, syncs = 0, reads = 0;  ///< That came this way, failed or not.
    std::uint64_t failed = 0;
    int open = 0;  ///< Files that are open now.
  };
  Figures figures() const;

  // ---- for the VFS ----
  /// The fault that this operation meets; NONE: it is done.
  DiskFault meet(Operation operation);
  void opened(int files);

 private:
  mutable std::mutex mutex_;
  DiskFault fault_ = DiskFault::NONE;
  std::uint64_t after_ = 0, times_ = 0;
  Figures figures_;
};

/// The disk below the store of that path; each time the same. Throws StorageError where SQLite does not take the VFS.
std::shared_ptr<FaultyDisk> faulty_disk(const std::string& path);

/// The VFS that connections are to use: null, SQLite's own, until `faulty_disk` has been called.
const char* faulty_disk_vfs();

}  // namespace cogwork
