#include "cogwork/storage/sqlite_guard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"

namespace cogwork {
namespace {

// Where SQLite has its locks: os_unix.c and https://sqlite.org/walformat.html.
constexpr off_t kFirstLock = 0x40000000;
constexpr off_t kShared = kFirstLock + 2;  ///< Read-locked by whoever has the database open; write-locked by who ends the log.
constexpr off_t kSharedSize = 510;
constexpr off_t kEngine = kFirstLock + 512;  ///< The next one: ours.
constexpr off_t kIndexInUse = 128;  ///< Of the index; whoever finds it free takes the index to be left over, and makes it anew.

constexpr std::size_t kIndexHeader = 136;
constexpr std::size_t kLogHeader = 32, kFrameHeader = 24;
constexpr std::uint32_t kLogMagic = 0x377f0682;  ///< Or the next number.

constexpr auto kLongestDeath = std::chrono::seconds(2);

/// False where somebody holds one that does not go with it. File systems without such locks are taken as they are: SQLite's own say, when the
/// store is opened, whether they will do.
bool lock_bytes(int fd, short kind, off_t begin, off_t size) {
  struct flock range {};
  range.l_type = kind;
  range.l_whence = SEEK_SET;
  range.l_start = begin;
  range.l_len = size;
  return fcntl(fd, F_OFD_SETLK, &range) == 0 || (errno != EAGAIN && errno != EACCES);
}

/// The same, and waits a little: who is about to end gives up its locks one after another, and SQLite holds some for a moment.
bool lock_in_time(int fd, short kind, off_t begin, off_t size) {
  const auto give_up = std::chrono::steady_clock::now() + kLongestDeath;
  while (!lock_bytes(fd, kind, begin, size)) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Descriptor open_file(const std::string& path) {
  Descriptor fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (fd) close_on_fork(fd.get());  // a forked child would hold the locks when this process is gone
  return fd;
}
void close_file(Descriptor& fd) {
  if (!fd) return;
  if (forget_close_on_fork(fd.get())) {
    fd.reset();
  } else {
    fd.release();
  }
}

template <typename T>
T number_at(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
std::uint32_t big_endian(std::uint32_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

}  // namespace

SqliteGuard::SqliteGuard(const SqlitePlace& place)
    : place_(place), log_path_(place.real + "-wal"), index_path_(place.real + "-shm"), file_(open_file(place.real)) {
  const auto fail = [this](const std::string& path) {
    const int error = errno;
    close_file(file_);
    throw StorageError("cannot guard " + place_.shown + ": " + path + ": " + std::system_category().message(error), true);
  };
  if (!file_) fail(place.real);
  if (!lock_in_time(file_.get(), F_WRLCK, kEngine, 1)) {
    close_file(file_);
    throw StoreInUse(place_.shown + " is in use by an engine that cannot be named, as its file " + place_.shown +
                     "-owner was removed or replaced, or it opened the store under another name; one engine at a time owns a "
                     "store. Close that one first, or work through it with cogwork.connect (reading needs neither).");
  }
  lock_in_time(file_.get(), F_RDLCK, kShared, kSharedSize);
  if (!guard_anew()) {
    const std::string path = log_ ? index_path_ : log_path_;
    close_file(log_);
    close_file(index_);
    fail(path);
  }
}

SqliteGuard::~SqliteGuard() {
  for (auto* fd : {&index_, &log_, &file_}) close_file(*fd);
}

void SqliteGuard::unlock() {
  lock_bytes(file_.get(), F_UNLCK, 0, 0);
  if (index_) lock_bytes(index_.get(), F_UNLCK, 0, 0);
}

bool SqliteGuard::guard_anew() {
  close_file(log_);
  close_file(index_);
  log_ = open_file(log_path_);
  if (!log_) return false;
  index_ = open_file(index_path_);
  if (!index_) return false;
  lock_in_time(index_.get(), F_RDLCK, kIndexInUse, 1);
  if (!read_index().whole) return false;
  note_anew();
  return true;
}

SqliteGuard::Index SqliteGuard::read_index() const {
  std::array<char, kIndexHeader> bytes{};
  Index index;
  if (pread(index_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return index;
  // It stands there twice, and who writes it writes one after the other.
  index.whole = bytes[12] != 0 && std::memcmp(bytes.data(), bytes.data() + 48, 48) == 0;
  const auto size = number_at<std::uint16_t>(bytes.data() + 14);
  index.page_size = (size & 0xfe00U) + ((size & 1U) << 16);
  index.frames = number_at<std::uint32_t>(bytes.data() + 16);
  index.checksum = number_at<std::array<std::uint32_t, 2>>(bytes.data() + 24);
  index.salt = number_at<std::array<char, 8>>(bytes.data() + 32);
  index.moved = number_at<std::uint32_t>(bytes.data() + 96);
  index.moving = number_at<std::uint32_t>(bytes.data() + 128);
  return index;
}

/// Whether the log begins as the index says, and its last committed frame is where that says, and is that one.
bool SqliteGuard::log_holds(const Index& index) const {
  if (index.frames == 0) return true;
  std::array<char, kLogHeader> head{};
  if (pread(log_.get(), head.data(), head.size(), 0) != static_cast<ssize_t>(head.size()) ||
      (big_endian(number_at<std::uint32_t>(head.data())) & ~1U) != kLogMagic ||
      std::memcmp(head.data() + 16, index.salt.data(), 8) != 0)
    return false;
  std::array<char, kFrameHeader> frame{};
  const auto at = kLogHeader + std::uint64_t{index.frames - 1} * (kFrameHeader + index.page_size);
  if (pread(log_.get(), frame.data(), frame.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(frame.size())) return false;
  const auto end = at + kFrameHeader + index.page_size;
  return about(log_.get()).size >= static_cast<std::int64_t>(end) && std::memcmp(frame.data() + 8, index.salt.data(), 8) == 0 &&
         big_endian(number_at<std::uint32_t>(frame.data() + 16)) == index.checksum[0] &&
         big_endian(number_at<std::uint32_t>(frame.data() + 20)) == index.checksum[1];
}

SqliteGuard::About SqliteGuard::about(int fd) {
  struct stat found {};
  if (fstat(fd, &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

SqliteGuard::About SqliteGuard::about(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

std::array<char, 100> SqliteGuard::header() const {
  std::array<char, 100> bytes{};
  [[maybe_unused]] const auto size = pread(file_.get(), bytes.data(), bytes.size(), 0);
  return bytes;
}

void SqliteGuard::note_anew() {
  noted_file_ = about(file_.get());
  noted_header_ = header();
  noted_frames_ = 0;
  note();
}

void SqliteGuard::note() {
  const auto index = read_index();
  // The database is written to only when the log is moved into it, and the index grows only with the log.
  if (index.moving != noted_.moving || index.salt != noted_.salt) {
    noted_file_ = about(file_.get());
    noted_header_ = header();
  }
  if (index.frames > noted_frames_ || noted_frames_ == 0) {
    noted_frames_ = index.frames;
    noted_index_ = about(index_.get());
    index_size_ = noted_index_.size;
  }
  noted_log_ = about(log_.get());
  noted_ = index;
}

Tampering SqliteGuard::look() {
  const auto file = about(place_.real);
  if (!file.is(noted_file_)) {
    struct stat ours {};
    return fstat(file_.get(), &ours) == 0 && ours.st_nlink == 0 ? Tampering::FILE_REMOVED : Tampering::FILE_MOVED;
  }
  const auto index = read_index();
  const auto log = about(log_path_), index_file = about(index_path_);
  const bool moved_by_another = index.moving != noted_.moving || index.salt != noted_.salt;
  if (file != noted_file_ && !moved_by_another && header() != noted_header_) return Tampering::FILE_OVERWRITTEN;
  if (!log.is(noted_log_)) return Tampering::LOG_MOVED;

  const bool index_has_its_name = index_file.is(noted_index_);
  const bool index_sound = index.whole && (!index_has_its_name || index_file.size >= index_size_);
  // A log that was moved into the database begins anew, with another salt.
  const bool begun_anew = index_sound && index.salt != noted_.salt && log_holds(index);
  if (log != noted_log_ && !log_holds(noted_)) {
    if (begun_anew) return Tampering::LOG_RESET;
    return noted_.moved >= noted_.frames ? Tampering::LOG_MOVED
                                         : Tampering::LOG_OVERWRITTEN;  // of one that was moved all, nothing is missed
  }
  if (!index_has_its_name) return Tampering::INDEX_MOVED;
  if (begun_anew) return Tampering::LOG_RESET;
  if (!index_sound || index.salt != noted_.salt || index.frames < noted_.frames) return Tampering::INDEX_OVERWRITTEN;
  if (file == noted_file_) return Tampering::NONE;
  return moved_by_another ? Tampering::LOG_RESET : Tampering::FILE_TOUCHED;
}

bool SqliteGuard::mend_cut_index() {
  const auto size = index_size_.load();
  if (!index_ || about(index_.get()).size >= size) return false;
  discard_index();
  return true;
}

void SqliteGuard::discard_index() {
  static constexpr std::array<char, kIndexHeader> kNothing{};
  [[maybe_unused]] const auto written =
      pwrite(index_.get(), kNothing.data(), 96, 0);  // what is behind belongs to who reads, and writes
  if (about(index_.get()).size < index_size_) [[maybe_unused]]
    const int grown = ftruncate(index_.get(), index_size_);
}

void SqliteGuard::remove_log() {
  if (about(log_path_).is(noted_log_)) unlink(log_path_.c_str());
  if (about(index_path_).is(noted_index_)) unlink(index_path_.c_str());
}

void SqliteGuard::clear_places() {
  if (auto log = open_file(log_path_)) {
    [[maybe_unused]] const int cut = ftruncate(log.get(), 0);
    close_file(log);
  }
  if (auto index = open_file(index_path_)) {
    static constexpr std::array<char, kIndexHeader> kNothing{};
    [[maybe_unused]] const auto written = pwrite(index.get(), kNothing.data(), kNothing.size(), 0);
    close_file(index);
  }
}

}  // namespace cogwork
