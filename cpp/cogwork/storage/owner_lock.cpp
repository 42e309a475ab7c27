#include "cogwork/storage/owner_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr auto kLongestWait = std::chrono::seconds(10);

[[noreturn]] void fail(const std::string& path, const std::string& shown, int error) {
  throw StorageError("cannot lock " + shown + ": " + path + ": " + std::system_category().message(error) +
                         "; an engine needs the right to write in the folder of its store",
                     true);
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

class OwnerLock final : public StoreLock {
 public:
  /// brief: its owner leaves what an engine that died has left for the next one.
  OwnerLock(std::string path, std::string shown, int fd, bool brief)
      : path_(std::move(path)), shown_(std::move(shown)), fd_(fd), brief_(brief) {
    close_on_fork(fd);  // a forked child shares its parent's flocks
  }
  ~OwnerLock() override {
    if (!forget_close_on_fork(fd_)) return;
    // Removed while it is still locked: whoever opened it in the meantime finds, with the lock, that it has no name any more.
    if (!brief_ || !died()) {
      unlink(path_.c_str());
    } else {
      replace(found_);
    }
    close(fd_);
  }
  std::optional<Owner> died() const override {
    auto owner = read_owner(found_);
    return owner.pid > 0 && !owner.brief ? std::optional(std::move(owner)) : std::nullopt;
  }
  /// Replaces what stands there in one write, so that whoever reads meanwhile finds the one text or the other.
  void announce(const Owner& owner) override {
    auto marked = owner;
    marked.marked = marked_;
    if (!replace(owner_text(marked))) fail(path_, shown_, errno);
  }

 private:
  bool replace(std::string text) const {
    const auto size = text.size();
    struct stat before {};
    if (fstat(fd_, &before) != 0) return false;
    text.resize(std::max(size, static_cast<std::size_t>(before.st_size)), '\n');
    return pwrite(fd_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
           ftruncate(fd_, static_cast<off_t>(size)) == 0;
  }

  const std::string path_, shown_;
  const int fd_;
  const bool brief_;
  const std::string found_ = read_all(fd_);
  const bool marked_ = mark_as_held(fd_);
};

}  // namespace

std::unique_ptr<StoreLock> lock_owner_file(const std::string& path, const std::string& shown, const Owner& owner) {
  const std::string side = path + "-owner";
  const auto give_up = std::chrono::steady_clock::now() + kLongestWait;
  for (;;) {
    const int fd = open(side.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
      if (errno == EINTR) continue;
      fail(side, shown, errno);
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
    auto lock = std::make_unique<OwnerLock>(side, shown, fd, owner.brief);
    give_rights_of(path, fd);
    lock->announce(owner);
    return lock;
  }
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
