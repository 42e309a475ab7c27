#include "cogwork/storage/owner_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/descriptor.h"
#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr auto kLongestWait = std::chrono::seconds(10);

[[noreturn]] void fail(const std::string& path, const std::string& shown, int error) {
  const char* remedy = "an engine needs the right to write in the folder of its store";
  if (error == ELOOP || error == EISDIR || error == ENXIO) remedy = "that name is for cogwork's own file; move away what has it";
  if (error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL)
    remedy = "its file system has no locks (flock), so that two engines could not be kept apart; put the store on a local disk";
  throw StorageError("cannot lock " + shown + ": " + path + ": " + std::system_category().message(error) + "; " + remedy, true);
}

std::string read_all(int fd) {
  std::string text(4096, '\0');
  const auto size = pread(fd, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

bool is_dead(const Owner& owner, const Owner& here) {
  return owner.pid > 0 && shares_pids(owner, here) && kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH;
}

bool still_named(const std::string& path, int fd) {
  struct stat ours {
  }, named{};
  return fstat(fd, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/// Beside the flock, which nobody can ask about without taking it: a lock that can be asked about (held_by_somebody). It belongs to the open
/// file, too, and goes with it. Where the file system has none, the record does not say that it is there.
bool mark_as_held(int fd) {
#ifdef F_OFD_SETLK
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &all) == 0;
#else
  static_cast<void>(fd);
  return false;
#endif
}

/// Nothing where that cannot be told.
std::optional<bool> held_by_somebody(int fd) {
#ifdef F_OFD_SETLK
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (fcntl(fd, F_OFD_GETLK, &all) == 0) return all.l_type != F_UNLCK;
#else
  static_cast<void>(fd);
#endif
  return std::nullopt;
}

/// Whoever may open the store may read, or take over, what stands beside it: as SQLite does with its own files.
void give_rights_of(const std::string& path, int fd) {
  struct stat store {
  }, side{};
  if (stat(path.c_str(), &store) != 0 || fstat(fd, &side) != 0 || side.st_uid != geteuid()) return;
  const mode_t mode = (store.st_mode & 0666) | 0600;
  if (geteuid() == 0 && (side.st_uid != store.st_uid || side.st_gid != store.st_gid)) {
    if (fchown(fd, store.st_uid, store.st_gid) != 0) return;
  }
  if ((side.st_mode & 0777) != mode && fchmod(fd, mode) != 0) return;
}

int open_side_file(const std::string& side) {
  return open(side.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

/// What has the name of a side file and is none is not written over: a file of somebody's that was linked there, say.
bool is_side_file(int fd) {
  struct stat about {};
  if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_nlink > 1) return false;
  const auto text = read_all(fd);
  return text.empty() || text.starts_with("pid: ");
}

/// "last: 00000000000000004711 0123456789abcdef0123456789abcdef", the second line of the text.
constexpr std::string_view kLast = "last: ";

std::string line_of(const LastCommit& last) {
  std::array<char, 64> number{};
  std::snprintf(number.data(), number.size(), "%020llu ", static_cast<unsigned long long>(last.first));
  std::string line = std::string(kLast) + number.data();
  for (const auto byte : last.link) {
    line += "0123456789abcdef"[byte >> 4];
    line += "0123456789abcdef"[byte & 15];
  }
  return line + "\n";
}

std::optional<LastCommit> last_in(std::string_view text) {
  static const std::size_t kSize = line_of({}).size();
  const auto at = text.find('\n');
  if (at == text.npos || text.size() < at + 1 + kSize || !text.substr(at + 1).starts_with(kLast)) return std::nullopt;
  const auto line = text.substr(at + 1, kSize);
  LastCommit last;
  const auto read = [&line](std::size_t from, std::size_t size, auto& into, int base) {
    return std::from_chars(line.data() + from, line.data() + from + size, into, base).ptr == line.data() + from + size;
  };
  bool whole = read(kLast.size(), 20, last.first, 10);
  for (std::size_t i = 0; i < last.link.size(); ++i) whole = whole && read(kLast.size() + 21 + 2 * i, 2, last.link[i], 16);
  return whole ? std::optional(last) : std::nullopt;
}

class Lock final : public OwnerLock {
 public:
  /// brief: its owner leaves what an engine that died has left for the next one.
  Lock(std::string store, std::string shown, int fd, bool brief, std::string found)
      : store_(std::move(store)), side_(store_ + "-owner"), shown_(std::move(shown)), brief_(brief), found_(std::move(found)) {
    take(fd);
  }
  ~Lock() override {
    if (!forget_close_on_fork(fd_)) return;
    // Removed while it is still locked: whoever opened it in the meantime finds, with the lock, that it has no name any more.
    if (still_named(side_, fd_)) {
      if (brief_ && died()) {
        replace(found_);
      } else {
        unlink(side_.c_str());
      }
    }
    close(fd_);
  }

  std::optional<Owner> died() const override {
    auto owner = read_owner(found_);
    return owner.pid > 0 && !owner.brief ? std::optional(std::move(owner)) : std::nullopt;
  }

  void announce(const Owner& owner) override {
    const std::lock_guard lock(mutex_);
    owner_ = owner;
    write();
  }

  void forget_died() override { found_.clear(); }

  void committed(const LastCommit& last) override {
    const std::lock_guard lock(mutex_);
    const bool known = last_.first != 0;
    last_ = last;
    const auto line = line_of(last);
    if (known) {
      [[maybe_unused]] const auto written = pwrite(fd_, line.data(), line.size(), static_cast<off_t>(last_at_));
      return;
    }
    try {
      write();
    } catch (const StorageError&) {  // it is a help, and nothing depends on it
    }
  }

  void keep() override {
    const std::lock_guard lock(mutex_);
    if (still_named(side_, fd_)) return;
    const int fd = open_side_file(side_);
    if (fd < 0) return;
    if (!is_side_file(fd) || flock(fd, LOCK_EX | LOCK_NB) != 0 || !still_named(side_, fd)) {
      close(fd);
      return;
    }
    forget_close_on_fork(fd_);
    close(fd_);
    take(fd);
    try {
      write();
    } catch (const StorageError&) {  // the next look tries again, and commits need no name
    }
  }

 private:
  void take(int fd) {
    fd_ = fd;
    close_on_fork(fd);  // a forked child shares its parent's flocks
    marked_ = mark_as_held(fd);
    give_rights_of(store_, fd);
  }
  void write() {
    auto marked = owner_;
    marked.marked = marked_;
    if (!replace(owner_text(marked))) fail(side_, shown_, errno);
  }
  /// Puts this in the place of what stands there, in one write, so that whoever reads meanwhile finds the one text or the other.
  bool replace(std::string text) {
    last_at_ = text.find('\n') + 1;
    if (last_.first != 0) {
      if (last_in(text)) text.erase(last_at_, line_of(last_).size());
      text.insert(last_at_, line_of(last_));
    }
    const auto size = text.size();
    struct stat before {};
    if (fstat(fd_, &before) != 0) return false;
    text.resize(std::max(size, static_cast<std::size_t>(before.st_size)), '\n');
    return pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
           ftruncate(fd_, static_cast<off_t>(size)) == 0;
  }

  const std::string store_, side_, shown_;
  const bool brief_;
  std::string found_;  ///< What an engine left that did not close.
  std::mutex mutex_;
  int fd_ = -1;
  bool marked_ = false;
  Owner owner_;
  LastCommit last_;
  std::size_t last_at_ = 0;  ///< Where it stands in the text.
};

}  // namespace

std::unique_ptr<OwnerLock> lock_owner_file(const std::string& path, const std::string& shown, const Owner& owner,
                                           const std::function<void(const LastCommit&)>& accept) {
  const std::string side = path + "-owner";
  const auto give_up = std::chrono::steady_clock::now() + kLongestWait;
  for (;;) {
    const int fd = open_side_file(side);
    if (fd < 0) {
      if (errno == EINTR) continue;
      fail(side, shown, errno);
    }
    if (!is_side_file(fd)) {
      close(fd);
      throw StorageError(
          "cannot lock " + shown + ": " + side +
              " is no file of cogwork's, or it has several names (hard links); move it away, that name is for the lock",
          false);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      // Whoever has just taken it may not have written its name yet.
      std::string text = read_all(fd);
      for (int i = 0; i < 1000 && text.empty() && error == EWOULDBLOCK; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        text = read_all(fd);
      }
      close(fd);
      if (error == EINTR) continue;
      if (error != EWOULDBLOCK) fail(side, shown, error);
      const auto holder = read_owner(text);
      // A brief owner takes a commit's time. One that is dead has left a child between its fork and its exec, or is still being taken apart.
      if ((holder.brief || is_dead(holder, owner)) && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // flock has no time-out
        continue;
      }
      throw StoreInUse(in_use_message(shown, holder));
    }
    if (!still_named(side, fd)) {  // the owner before us removed it between our open and our lock
      close(fd);
      continue;
    }
    auto found = read_all(fd);
    if (const auto last = last_in(found); last && accept) {
      Descriptor closed_if_it_throws(fd);
      accept(*last);
      closed_if_it_throws.release();
    }
    auto lock = std::make_unique<Lock>(path, shown, fd, owner.brief, std::move(found));
    lock->announce(owner);
    return lock;
  }
}

std::optional<LastCommit> left_by_dead_owner(const std::string& path) {
  const Descriptor fd(open((path + "-owner").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd || held_by_somebody(fd.get()) != false || !is_side_file(fd.get())) return std::nullopt;
  return last_in(read_all(fd.get()));
}

OwnerSeen look_at_owner_file(const std::string& path) {
  const std::string side = path + "-owner";
  OwnerSeen seen;
  struct stat about {};
  if (lstat(side.c_str(), &about) != 0) {
    if (errno == ENOENT) {
      seen.holds = OwnerSeen::Holds::NO;
    } else {
      seen.problem = std::system_category().message(errno);
    }
    return seen;
  }
  seen.file = side;
  seen.file_uid = about.st_uid;
  const int fd = open(side.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    seen.problem = fd < 0 ? std::system_category().message(errno) : "it is not a plain file";
    if (fd >= 0) close(fd);
    return seen;
  }
  // Asked first: an owner that gives the store up removes the file, and then lets go of it.
  const auto held = held_by_somebody(fd);
  seen.owner = read_owner(read_all(fd));
  close(fd);
  if (held == true) {
    seen.holds = OwnerSeen::Holds::YES;
  } else if ((held == false && seen.owner.marked) || seen.owner.pid == 0 || is_dead(seen.owner, this_process("", "", never))) {
    seen.holds = OwnerSeen::Holds::NO;
  }
  return seen;
}

}  // namespace cogwork
