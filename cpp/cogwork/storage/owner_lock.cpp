#include "cogwork/storage/owner_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <system_error>
#include <thread>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr auto kLongestWait = std::chrono::seconds(10);

class OwnerLock final : public StoreLock {
 public:
  OwnerLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {
    close_on_fork(fd);  // a forked child shares its parent's flocks
  }
  ~OwnerLock() override {
    if (!forget_close_on_fork(fd_)) return;
    // Removed while it is still locked: whoever opened it in the meantime finds, with the lock, that it has no name any more.
    unlink(path_.c_str());
    close(fd_);
  }

 private:
  std::string path_;
  int fd_;
};

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

bool is_dead(const Owner& owner, const std::string& host) {
  return owner.pid > 0 && owner.host == host && kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH;
}

bool still_named(const std::string& path, int fd) {
  struct stat ours {
  }, named{};
  return fstat(fd, &ours) == 0 && stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace

std::string owner_text(const Owner& owner) {
  std::string text;
  const auto line = [&text](const char* name, std::string value) {
    std::replace_if(
        value.begin(), value.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    if (value.size() > 512) value.resize(512);
    text += std::string(name) + ": " + value + "\n";
  };
  line("pid", std::to_string(owner.pid));
  line("host", owner.host);
  line("user", owner.user);
  line("program", owner.program);
  line("since", std::to_string(to_micros(owner.since)));
  if (owner.brief) line("brief", "yes");
  return text;
}

Owner read_owner(std::string_view text) {
  Owner owner;
  const auto number = [](std::string_view value) {
    std::int64_t n = 0;
    std::from_chars(value.data(), value.data() + value.size(), n);
    return n;
  };
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto colon = line.find(": ");
    if (colon == line.npos) continue;
    const auto name = line.substr(0, colon);
    const auto value = line.substr(colon + 2);
    if (name == "pid") owner.pid = number(value);
    if (name == "host") owner.host = value;
    if (name == "user") owner.user = value;
    if (name == "program") owner.program = value;
    if (name == "since") owner.since = from_micros(number(value));
    if (name == "brief") owner.brief = true;
  }
  return owner;
}

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
      if ((holder.brief || is_dead(holder, owner.host)) && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // flock has no time-out
        continue;
      }
      throw StoreInUse(in_use_message(shown, holder));
    }
    if (!still_named(side, fd)) {  // the owner before us removed it between our open and our lock
      close(fd);
      continue;
    }
    auto lock = std::make_unique<OwnerLock>(side, fd);
    const std::string text = owner_text(owner);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      fail(side, shown, errno);
    }
    return lock;
  }
}

}  // namespace cogwork
