#include "cogwork/cogs/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/cogs/spawn.h"

namespace cogwork {

namespace {

constexpr int kListInGuardian = 3;
constexpr int kFirstOfGuardian = 4;  // below are those that the guardian gets
constexpr auto kFirstPause = std::chrono::milliseconds(10);
constexpr auto kLongestPause = std::chrono::seconds(10);

}  // namespace

Guardian::Guardian(boost::asio::io_context& io, std::string program, int grace_ms)
    : program_(std::move(program)),
      grace_ms_(grace_ms),
      exit_(io),
      again_(io),
      pause_(kFirstPause, kLongestPause, Random::from_system()) {}

Guardian::~Guardian() {
  close();
  if (list_) munmap(list_, sizeof(GuardianList));
}

void Guardian::close() {
  again_.cancel();
  if (pipe_ < 0) return;
  const bool ours = forget_close_on_fork(pipe_);  // else this is a forked child, and the guardian is its parent's
  if (ours) ::close(pipe_);
  pipe_ = -1;
  list_fd_.reset();
  const int pid = pid_.exchange(-1);
  if (!ours || pid < 0) return;
  const std::lock_guard lock(mutex_);
  if (taken_ == 0) {
    // It has nothing to do any more. One that was stopped would not notice that its pipe is closed, and this thread would wait for
    // it.
    syscall(SYS_pidfd_send_signal, exit_.native_handle(), SIGKILL, nullptr, 0);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  boost::system::error_code ignored;
  exit_.close(ignored);
}

bool Guardian::running() { return pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == 0; }

GuardianPlace& Guardian::place() {
  if (program_.empty())
    throw Error("no process is started by an engine without a guardian, as nobody would end it with its engine");
  if (!list_) make_list();
  if (!running()) start();
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    const auto next = list_->used.load();
    if (next == GuardianList::kMost) throw Error("no process can be started: " + std::to_string(next) + " run already");
    free_.push_back(&list_->places[next]);
    list_->used = next + 1;
  }
  auto& place = *free_.back();
  free_.pop_back();
  ++taken_;
  return place;
}

void Guardian::gone(GuardianPlace& place) {
  place = 0;
  const std::lock_guard lock(mutex_);
  free_.push_back(&place);
  --taken_;
}

void Guardian::make_list() {
  Descriptor made(memfd_create("cogwork processes", MFD_CLOEXEC));
  if (made && ftruncate(made.get(), sizeof(GuardianList)) == 0) {
    list_fd_.reset(fcntl(made.get(), F_DUPFD_CLOEXEC, kFirstOfGuardian));
    if (list_fd_) list_ = GuardianList::map(list_fd_.get());
  }
  if (!list_) throw ResourceError("no process can be started: " + std::system_category().message(errno));
}

void Guardian::start() {
  if (pipe_ >= 0 && forget_close_on_fork(pipe_)) ::close(pipe_);
  pipe_ = -1;
  pid_ = -1;
  const auto fail = [&](int error) {
    const auto text = "the guardian " + program_ + " cannot be started: " + std::system_category().message(error) +
                      "; without it no process is started, as nobody would end it with its engine";
    if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) throw ResourceError(text);
    throw Error(text);
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail(errno);
  Descriptor theirs(ends[0]), ours(ends[1]);
  Descriptor its_end(fcntl(theirs.get(), F_DUPFD_CLOEXEC, kFirstOfGuardian)), nowhere(open("/dev/null", O_WRONLY | O_CLOEXEC));
  Descriptor silence(nowhere ? fcntl(nowhere.get(), F_DUPFD_CLOEXEC, kFirstOfGuardian) : -1);
  if (!its_end || !silence) fail(errno);
  const auto grace = std::to_string(grace_ms_);
  const char* argv[] = {program_.c_str(), grace.c_str(), nullptr};
  const char* environment[] = {nullptr};
  Spawn what{program_.c_str(), argv, environment};
  what.streams[0] = its_end.get();
  what.streams[1] = what.streams[2] = silence.get();
  what.streams[kListInGuardian] = list_fd_.get();
  auto made = spawn(what);
  if (made.pid < 0) fail(made.error);
  pid_ = made.pid;
  pipe_ = ours.release();
  close_on_fork(pipe_);
  boost::system::error_code ignored;
  exit_.close(ignored);
  exit_.assign(made.handle.release());
  started_ = std::chrono::steady_clock::now();
  watch();
}

/// While it is gone nobody would end what runs if the engine died, so it is not waited for until the next program is started.
void Guardian::watch() {
  exit_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error || running()) return;
    const auto lived = std::chrono::steady_clock::now() - started_;
    if (lived > kLongestPause) pause_.reset();
    replace_after(lived > kLongestPause ? Duration(0) : pause_.next());
  });
}

void Guardian::replace_after(Duration pause) {
  again_.expires_after(pause);
  again_.async_wait([this](const boost::system::error_code& error) {
    if (error || running()) return;
    try {
      start();
    } catch (const Error&) {
      replace_after(pause_.next());
    }
  });
}

}  // namespace cogwork
