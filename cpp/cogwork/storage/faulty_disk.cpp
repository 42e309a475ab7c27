#include "cogwork/storage/faulty_disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr const char* kName = "cogwork-faulty-disk";

/// The disks of all stores that were opened, or asked after, since the VFS is there.
class Disks {
 public:
  static Disks& instance() {
    static auto* disks = new Disks;  // outlives every connection
    return *disks;
  }
  std::shared_ptr<FaultyDisk> of(const std::string& file) {
    const std::lock_guard lock(mutex_);
    auto& disk = disks_[file];
    if (!disk) disk = std::make_shared<FaultyDisk>();
    return disk;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FaultyDisk>> disks_;
};

/// The store's file, of the name of it or of one beside it.
std::string store_file(std::string_view name) {
  for (const std::string_view end : {"-wal", "-journal"}) {
    if (name.size() > end.size() && name.ends_with(end)) return std::string(name.substr(0, name.size() - end.size()));
  }
  return std::string(name);
}

// ---- one open file: the system's lies behind ours in the same piece of memory, as SQLite wants it ----

struct File {
  sqlite3_file base;
  std::shared_ptr<FaultyDisk>* disk;
};
constexpr int kOurs = (sizeof(File) + 15) / 16 * 16;

sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kOurs); }
FaultyDisk& disk_of(sqlite3_file* file) { return **reinterpret_cast<File*>(file)->disk; }

int close_file(sqlite3_file* file) {
  auto* ours = reinterpret_cast<File*>(file);
  const int code = real(file)->pMethods ? real(file)->pMethods->xClose(real(file)) : SQLITE_OK;
  (*ours->disk)->opened(-1);
  delete ours->disk;
  ours->disk = nullptr;
  return code;
}
int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
  if (disk_of(file).meet(FaultyDisk::READ) != DiskFault::NONE) return SQLITE_IOERR_READ;
  return real(file)->pMethods->xRead(real(file), to, size, at);
}
int write_file(sqlite3_file* file, const void* from, int size, sqlite3_int64 at) {
  switch (disk_of(file).meet(FaultyDisk::WRITE)) {
    case DiskFault::NONE: return real(file)->pMethods->xWrite(real(file), from, size, at);
    case DiskFault::FULL: return SQLITE_FULL;
    case DiskFault::SHORT: real(file)->pMethods->xWrite(real(file), from, size / 2, at); return SQLITE_FULL;
    default: return SQLITE_IOERR_WRITE;
  }
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  // A full disk can cut files.
  const auto fault = disk_of(file).meet(FaultyDisk::WRITE);
  if (fault == DiskFault::WRITE || fault == DiskFault::IO) return SQLITE_IOERR_TRUNCATE;
  return real(file)->pMethods->xTruncate(real(file), size);
}
int sync_file(sqlite3_file* file, int flags) {
  if (disk_of(file).meet(FaultyDisk::SYNC) != DiskFault::NONE) return SQLITE_IOERR_FSYNC;
  return real(file)->pMethods->xSync(real(file), flags);
}
int file_size(sqlite3_file* file, sqlite3_int64* size) { return real(file)->pMethods->xFileSize(real(file), size); }
int lock_file(sqlite3_file* file, int lock) { return real(file)->pMethods->xLock(real(file), lock); }
int unlock_file(sqlite3_file* file, int lock) { return real(file)->pMethods->xUnlock(real(file), lock); }
int check_lock(sqlite3_file* file, int* reserved) { return real(file)->pMethods->xCheckReservedLock(real(file), reserved); }
int control_file(sqlite3_file* file, int what, void* about) { return real(file)->pMethods->xFileControl(real(file), what, about); }
int sector_size(sqlite3_file* file) { return real(file)->pMethods->xSectorSize(real(file)); }
int device_characteristics(sqlite3_file* file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }
int map_shared(sqlite3_file* file, int page, int size, int extend, void volatile** to) {
  return real(file)->pMethods->xShmMap(real(file), page, size, extend, to);
}
int lock_shared(sqlite3_file* file, int at, int count, int flags) {
  return real(file)->pMethods->xShmLock(real(file), at, count, flags);
}
void shared_barrier(sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); }
int unmap_shared(sqlite3_file* file, int remove) { return real(file)->pMethods->xShmUnmap(real(file), remove); }

// Version 2: without memory maps, which would read and write behind our back.
constexpr sqlite3_io_methods kMethods = {2,
                                         close_file,
                                         read_file,
                                         write_file,
                                         truncate_file,
                                         sync_file,
                                         file_size,
                                         lock_file,
                                         unlock_file,
                                         check_lock,
                                         control_file,
                                         sector_size,
                                         device_characteristics,
                                         map_shared,
                                         lock_shared,
                                         shared_barrier,
                                         unmap_shared,
                                         nullptr,
                                         nullptr};

// ---- the VFS: SQLite's own, but for opening ----

sqlite3_vfs* own(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  static constexpr int kOfAStore = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
  if (name == nullptr || (flags & kOfAStore) == 0) return own(vfs)->xOpen(own(vfs), name, file, flags, out);
  auto* ours = reinterpret_cast<File*>(file);
  ours->base.pMethods = nullptr;
  real(file)->pMethods = nullptr;
  if (const int code = own(vfs)->xOpen(own(vfs), name, real(file), flags, out); code != SQLITE_OK) {
    if (real(file)->pMethods) real(file)->pMethods->xClose(real(file));
    return code;
  }
  try {
    ours->disk = new std::shared_ptr<FaultyDisk>(Disks::instance().of(store_file(name)));
  } catch (...) {
    real(file)->pMethods->xClose(real(file));
    return SQLITE_NOMEM;
  }
  (*ours->disk)->opened(1);
  ours->base.pMethods = &kMethods;
  return SQLITE_OK;
}

/// Made once, and never taken away: connections hold on to it.
void make_vfs() {
  auto* system = sqlite3_vfs_find(nullptr);
  if (system == nullptr) throw StorageError("SQLite has no VFS here", false);
  auto* vfs = new sqlite3_vfs(*system);
  vfs->iVersion = std::min(system->iVersion, 2);
  vfs->szOsFile = kOurs + system->szOsFile;
  vfs->pNext = nullptr;
  vfs->zName = kName;
  vfs->pAppData = system;
  vfs->xOpen = open_file;
  vfs->xDelete = [](sqlite3_vfs* v, const char* name, int sync) { return own(v)->xDelete(own(v), name, sync); };
  vfs->xAccess = [](sqlite3_vfs* v, const char* name, int flags, int* out) { return own(v)->xAccess(own(v), name, flags, out); };
  vfs->xFullPathname = [](sqlite3_vfs* v, const char* name, int size, char* out) {
    return own(v)->xFullPathname(own(v), name, size, out);
  };
  vfs->xDlOpen = [](sqlite3_vfs* v, const char* name) { return own(v)->xDlOpen(own(v), name); };
  vfs->xDlError = [](sqlite3_vfs* v, int size, char* out) { own(v)->xDlError(own(v), size, out); };
  vfs->xDlSym = [](sqlite3_vfs* v, void* library, const char* name) { return own(v)->xDlSym(own(v), library, name); };
  vfs->xDlClose = [](sqlite3_vfs* v, void* library) { own(v)->xDlClose(own(v), library); };
  vfs->xRandomness = [](sqlite3_vfs* v, int size, char* out) { return own(v)->xRandomness(own(v), size, out); };
  vfs->xSleep = [](sqlite3_vfs* v, int micros) { return own(v)->xSleep(own(v), micros); };
  vfs->xCurrentTime = [](sqlite3_vfs* v, double* now) { return own(v)->xCurrentTime(own(v), now); };
  vfs->xGetLastError = [](sqlite3_vfs* v, int size, char* out) { return own(v)->xGetLastError(own(v), size, out); };
  vfs->xCurrentTimeInt64 = [](sqlite3_vfs* v, sqlite3_int64* now) { return own(v)->xCurrentTimeInt64(own(v), now); };
  if (sqlite3_vfs_register(vfs, 0) != SQLITE_OK) throw StorageError("SQLite does not take the VFS", false);
}

std::atomic<bool> made{false};

bool concerns(DiskFault fault, FaultyDisk::Operation operation) {
  switch (fault) {
    case DiskFault::NONE: return false;
    case DiskFault::FULL:
    case DiskFault::SHORT:
    case DiskFault::WRITE: return operation == FaultyDisk::WRITE;
    case DiskFault::SYNC: return operation == FaultyDisk::SYNC;
    case DiskFault::READ: return operation == FaultyDisk::READ;
    case DiskFault::IO: return true;
  }
  return false;
}

}  // namespace

void FaultyDisk::fail(DiskFault fault, std::uint64_t after, std::uint64_t times) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  after_ = after;
  times_ = times;
}

FaultyDisk::Figures FaultyDisk::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

DiskFault FaultyDisk::meet(Operation operation) {
  const std::lock_guard lock(mutex_);
  ++(operation == WRITE ? figures_.writes : operation == SYNC ? figures_.syncs : figures_.reads);
  if (!concerns(fault_, operation)) return DiskFault::NONE;
  if (after_ > 0) {
    --after_;
    return DiskFault::NONE;
  }
  if (times_ == 0) return DiskFault::NONE;
  if (times_ != kForever) --times_;
  ++figures_.failed;
  return fault_;
}

void FaultyDisk::opened(int files) {
  const std::lock_guard lock(mutex_);
  figures_.open += files;
}

std::shared_ptr<FaultyDisk> faulty_disk(const std::string& path) {
  static std::once_flag once;
  std::call_once(once, [] {
    make_vfs();
    made = true;
  });
  std::error_code error;
  const auto whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  return Disks::instance().of(error ? path : whole.string());
}

const char* faulty_disk_vfs() { return made ? kName : nullptr; }

}  // namespace cogwork
