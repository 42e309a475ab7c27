#include "cogwork/cogs/child_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <optional>
#include <utility>

#include "cogwork/cogs/process_loop.h"
#include "cogwork/cogs/process_tree.h"

namespace cogwork {
namespace {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kBuffer = 16384;
constexpr int kLargestPipe = (1 << 20) / kBuffer;            // in buffers
constexpr auto kDetaching = std::chrono::milliseconds(200);  // what it has just started may take to become a daemon
constexpr auto kLeftovers = std::chrono::seconds(2);         // what it left behind may take to end, after TERM
constexpr auto kDying = std::chrono::seconds(1);             // and after KILL
constexpr auto kFirstLook = std::chrono::milliseconds(1);    // between two looks whether all have gone
constexpr auto kLongestLook = std::chrono::milliseconds(20);
constexpr auto kLongestLinger = std::chrono::seconds(10);  // the same of those that KILL does not end

}  // namespace

class ChildProcess::Impl {
 public:
  using Output = asio::posix::stream_descriptor;
  using Input = asio::writable_pipe;

  Impl(ProcessLoop& loop_in, Launched& launched, Events events_in)
      : loop(loop_in),
        events(std::move(events_in)),
        out{Output(loop.io(), launched.output.release()), Output(loop.io(), launched.errors.release())},
        input(loop.io()),
        timer(loop.io()),
        exit(loop.io(), launched.exit.release()),
        pid(std::exchange(launched.pid, -1)),
        place(*launched.place),
        tree(pid, launched.started) {}
  ~Impl() {
    // Nobody is left who would see its end: the guardian does, for which it is still on the list.
    if (stage == Stage::ATTENDED) kill(-pid, SIGKILL);
  }

  void read(std::size_t which);
  void feed();
  void wait_for_exit();
  void exited(bool known, int code);
  void end(Duration grace);
  void look(const ProcessTable& table);
  void look_soon();
  void look_after(Steady::duration pause);
  void terminate();
  void destroy();
  bool seen_gone();
  void finish(bool left);
  void free_place();
  enum class Found : std::uint8_t { BYTES, NOTHING_YET, END };
  Found take(std::size_t which);

  ProcessLoop& loop;
  Events events;
  std::array<Output, 2> out;
  Input input;
  std::string input_bytes;
  asio::steady_timer timer;
  asio::posix::stream_descriptor exit;  // the kernel's handle of the process, readable when it has ended
  std::weak_ptr<ChildProcess> self;
  const int pid;
  GuardianPlace& place;
  ProcessTree tree;
  ExitStatus status;
  /// GIVEN_UP: it could not be ended, which was told, but its numbers are still its own. GONE: they may be another's.
  enum class Stage : std::uint8_t { ATTENDED, GIVEN_UP, GONE };
  Stage stage = Stage::ATTENDED;
  bool leader_gone = false;
  bool looked_empty = false;
  std::optional<Steady::time_point> terminate_at, kill_at;  // when the tree is to get TERM, and KILL
  std::optional<Steady::time_point> give_up_at;
  Steady::duration pause = kFirstLook;
};

// ---- attending ----

std::shared_ptr<ChildProcess> ChildProcess::attend(ProcessLoop& loop, Launched& launched, std::string input, Events events) {
  const bool reads = static_cast<bool>(launched.input);
  auto impl = std::make_unique<Impl>(loop, launched, std::move(events));
  if (reads) impl->input.assign(launched.input.release());
  std::shared_ptr<ChildProcess> child(new ChildProcess(std::move(impl)));
  auto& me = *child->impl_;
  me.self = child;
  for (const std::size_t which : {0u, 1u}) me.read(which);
  if (reads) {
    me.input_bytes = std::move(input);
    me.feed();
  }
  me.wait_for_exit();
  return child;
}

ChildProcess::ChildProcess(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChildProcess::~ChildProcess() = default;
int ChildProcess::pid() const { return impl_->pid; }
void ChildProcess::end(Duration grace) { impl_->end(grace); }
bool ChildProcess::has_exited() const {
  if (impl_->leader_gone || !impl_->exit.is_open()) return true;
  pollfd exit{impl_->exit.native_handle(), POLLIN, 0};
  return poll(&exit, 1, 0) == 1 && (exit.revents & POLLIN) != 0;
}

void ChildProcess::Impl::feed() {
  asio::async_write(input, asio::buffer(input_bytes), [owner = self.lock()](const boost::system::error_code&, std::size_t) {
    boost::system::error_code ignored;  // who does not want to read it need not
    owner->impl_->input.close(ignored);
  });
}

void ChildProcess::Impl::read(std::size_t which) {
  out[which].async_wait(Output::wait_read, [owner = self.lock(), which](const boost::system::error_code& error) {
    auto& me = *owner->impl_;
    if (!error && me.stage == Stage::ATTENDED && me.take(which) != Found::END) me.read(which);
  });
}

/// Tells of what is there, up to one buffer.
ChildProcess::Impl::Found ChildProcess::Impl::take(std::size_t which) {
  auto& pipe = out[which];
  if (!pipe.is_open()) return Found::END;
  std::array<char, kBuffer> bytes;
  ssize_t size = 0;
  do {
    size = ::read(pipe.native_handle(), bytes.data(), bytes.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return Found::NOTHING_YET;
  if (size > 0) {
    events.printed({bytes.data(), static_cast<std::size_t>(size)}, which == 1);
    return Found::BYTES;
  }
  boost::system::error_code ignored;
  pipe.close(ignored);
  return Found::END;
}

// ---- the end ----

/// A wake-up may be left of a descriptor that was closed in the same turn of the loop and had the same number, so the process is
/// asked whether it has ended.
void ChildProcess::Impl::wait_for_exit() {
  exit.async_wait(asio::posix::stream_descriptor::wait_read, [owner = self.lock()](const boost::system::error_code&) {
    auto& me = *owner->impl_;
    int code = 0;
    const auto found = waitpid(me.pid, &code, WNOHANG);
    if (found == 0) return me.wait_for_exit();
    me.exited(found == me.pid, code);
  });
}

/// The leader has ended. What it left of its tree is ended too; then, when nobody can print any more, what was printed is taken.
void ChildProcess::Impl::exited(bool known, int code) {
  leader_gone = true;
  if (stage != Stage::ATTENDED) return look_soon();  // now its place can be freed when all of it has gone
  status.known = known;
  if (status.known) {
    status.signalled = WIFSIGNALED(code);
    status.number = status.signalled ? WTERMSIG(code) : WEXITSTATUS(code);
  }
  if (!tree.may_run(exit.native_handle())) return finish(false);
  if (!terminate_at) terminate_at = Steady::now() + (kill_at ? Steady::duration(0) : kDetaching);
  if (!kill_at) kill_at = *terminate_at + kLeftovers;
  pause = kFirstLook;
  look_soon();
}

void ChildProcess::Impl::end(Duration grace) {
  if (stage != Stage::ATTENDED) return;
  const auto at = Steady::now() + std::max(grace, Duration(0));
  if (!kill_at || leader_gone) terminate_at = Steady::now();
  if (!kill_at || at < *kill_at) kill_at = at;
  pause = kFirstLook;
  look_soon();
}

/// Whoever wants a look gets it with the next one; a timer that was to bring a later one is let go of.
void ChildProcess::Impl::look_soon() {
  timer.cancel();
  loop.watch().ask([owner = self.lock()](const ProcessTable& table) { owner->impl_->look(table); });
}

void ChildProcess::Impl::look_after(Steady::duration rest) {
  timer.expires_after(rest);
  timer.async_wait([owner = self.lock()](const boost::system::error_code& error) {
    if (!error) owner->impl_->look_soon();
  });
}

/// Whether none of the tree runs, twice in a row: the second look finds whom a dying one has started during the first.
bool ChildProcess::Impl::seen_gone() {
  const bool empty = leader_gone && !tree.runs(exit.native_handle());
  return std::exchange(looked_empty, empty) && empty;
}

void ChildProcess::Impl::terminate() {
  terminate_at.reset();
  if (leader_gone) status.ended_too = tree.names();
  tree.signal(SIGTERM);
  tree.signal(SIGCONT);  // a stopped one could not end
}

void ChildProcess::Impl::destroy() {
  tree.signal(SIGKILL);
  if (!leader_gone) syscall(SYS_pidfd_send_signal, exit.native_handle(), SIGKILL, nullptr, 0);
}

void ChildProcess::Impl::look(const ProcessTable& table) {
  if (stage == Stage::GONE) return;
  tree.update(table);
  if (seen_gone()) return stage == Stage::ATTENDED ? finish(false) : free_place();
  if (looked_empty) return look_soon();
  if (stage == Stage::GIVEN_UP) {
    pause = std::min<Steady::duration>(2 * pause, kLongestLinger);
    return look_after(pause);
  }
  const auto now = Steady::now();
  if (terminate_at && now >= *terminate_at) terminate();
  if (kill_at && now >= *kill_at) {
    destroy();
    if (!give_up_at) give_up_at = now + kDying;
    if (now >= *give_up_at) return finish(true);
  } else if (!leader_gone) {
    return look_after(*kill_at - now);  // the kernel tells when it goes
  }
  look_after(pause);
  pause = std::min<Steady::duration>(pause * 2, kLongestLook);
}

void ChildProcess::Impl::finish(bool left) {
  stage = Stage::GIVEN_UP;
  status.left = left;
  if (left && !leader_gone) status.known = false;  // in the kernel, and deaf to KILL
  boost::system::error_code ignored;
  input.close(ignored);
  for (const std::size_t which : {0u, 1u}) {
    // A daemon may hold the other end, and write for ever: what is in the pipe now is taken, and its end is not waited for.
    for (int i = 0; i < kLargestPipe && take(which) == Found::BYTES; ++i) {
    }
    out[which].close(ignored);
  }
  if (left) {
    look_after(pause);
  } else {
    free_place();
  }
  loop.make_room();
  std::exchange(events.ended, nullptr)(status);
}

/// From now on its number may be that of another process.
void ChildProcess::Impl::free_place() {
  stage = Stage::GONE;
  timer.cancel();
  boost::system::error_code ignored;
  exit.close(ignored);
  loop.guardian().gone(place);
}

}  // namespace cogwork
