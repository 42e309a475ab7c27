#include "cogwork/cogs/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/posix/vfork_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/cogs/process_group.h"

extern char** environ;  // NOLINT: POSIX's name

namespace cogwork {
namespace {

namespace asio = boost::asio;
namespace bp = boost::process::v2;
using Steady = std::chrono::steady_clock;

constexpr int kSocket = 3;                                 // of a child that wants one
constexpr auto kLeftovers = std::chrono::seconds(2);       // what a process left behind may take to end, after TERM
constexpr auto kDying = std::chrono::seconds(1);           // and after KILL
constexpr auto kFirstLook = std::chrono::milliseconds(1);  // the kernel does not tell when a group is gone
constexpr auto kLongestLook = std::chrono::milliseconds(20);
constexpr int kRest =
    10;  // times as long as the look took: where there are many processes, one group is not to keep this thread busy
constexpr auto kLongestRest = std::chrono::milliseconds(200);

std::string what(int error) { return std::system_category().message(error); }

/// What is done in the child between vfork and exec. It shares this process's memory: nothing here may allocate, lock, or call what the C
/// library does for all threads (its setuid would change the user of the whole process).
struct InChild {
  GroupPlace* place;
  const char* folder;  // null: this process's
  int socket;
  const UserIdentity* user;

  boost::system::error_code on_exec_setup(bp::posix::default_launcher&, const bp::filesystem::path&, const char* const*) const {
    if (folder && chdir(folder) != 0) return failure();
    setpgid(0, 0);
    *place = getpid();
    for (const int signal : {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGHUP}) {
      struct sigaction plain {};
      plain.sa_handler = SIG_DFL;
      sigaction(signal, &plain, nullptr);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (socket >= 0) {
      if (socket == kSocket ? fcntl(kSocket, F_SETFD, 0) < 0 : dup2(socket, kSocket) < 0) return failure();
    }
    if (user) {
      if (syscall(SYS_setgroups, user->groups.size(), user->groups.data()) != 0 ||
          syscall(SYS_setresgid, user->gid, user->gid, user->gid) != 0 ||
          syscall(SYS_setresuid, user->uid, user->uid, user->uid) != 0) {
        return failure();
      }
    }
    return {};
  }
  static boost::system::error_code failure() { return {errno, boost::system::system_category()}; }
};

/// The file that is meant by a name: as execvp looks for it, with the PATH that the program will have.
std::string find_executable(const Launch& launch) {
  const auto& name = launch.executable;
  if (name.empty()) throw Error("there is no program to run: its name is empty");
  if (name.find('\0') != name.npos) throw Error("the name of a program holds a zero byte");
  const auto base = launch.cwd.empty() ? std::filesystem::path() : std::filesystem::path(launch.cwd);
  const auto usable = [](const std::string& path) {
    struct stat about {};
    return stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != name.npos) {
    auto path = name[0] == '/' ? name : (base / name).string();
    if (usable(path)) return path;
    struct stat about {};
    if (stat(path.c_str(), &about) != 0) throw Error("cannot run " + path + ": " + what(errno));
    if (S_ISDIR(about.st_mode)) throw Error("cannot run " + path + ": it is a folder");
    throw Error("cannot run " + path + ": it is not executable for this user; chmod +x makes it so");
  }
  std::string search = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& variable : launch.environment) {
    if (variable.rfind("PATH=", 0) == 0) search = variable.substr(5);
  }
  for (std::size_t at = 0; at <= search.size();) {
    const auto end = std::min(search.find(':', at), search.size());
    const auto folder = search.substr(at, end - at);
    auto path = (folder.empty() ? base / name : std::filesystem::path(folder) / name).string();
    if (usable(path)) return path;
    at = end + 1;
  }
  throw Error("there is no program '" + name + "' in " + search);
}

}  // namespace

class ChildProcess::Impl {
 public:
  using Output = asio::posix::stream_descriptor;
  using Input = asio::writable_pipe;

  Impl(asio::io_context& io, Guardian& guardian_in, Launched& launched, Events events_in)
      : guardian(guardian_in),
        events(std::move(events_in)),
        out{Output(io, launched.output.release()), Output(io, launched.errors.release())},
        input(io),
        timer(io),
        exit(io, launched.exit.release()),
        pid(std::exchange(launched.pid, -1)),
        place(*launched.place) {}
  ~Impl() {
    // Nobody is left who would see its end: the guardian does, for which it is still on the list.
    if (!ended) kill(-pid, SIGKILL);
  }

  void read(std::size_t which);
  void feed();
  void wait_for_exit();
  void exited(bool known, int code);
  void end(Duration grace);
  void look();
  void look_later(Steady::duration rest);
  void finish(bool left);
  enum class Found : std::uint8_t { BYTES, NOTHING_YET, END };
  Found take(std::size_t which);

  Guardian& guardian;
  Events events;
  std::array<Output, 2> out;
  Input input;
  std::string input_bytes;
  asio::steady_timer timer;
  asio::posix::stream_descriptor exit;  // the kernel's handle of the process, readable when it has ended
  std::weak_ptr<ChildProcess> self;
  const int pid;
  GroupPlace& place;
  ExitStatus status;
  bool leader_gone = false;
  bool ended = false;
  std::optional<Steady::time_point> kill_at;  // when the group is to be killed
  std::optional<Steady::time_point> give_up_at;
  Steady::duration pause = kFirstLook;
};

std::vector<std::string> environment_with(const std::map<std::string, std::optional<std::string>, std::less<>>& changes) {
  std::vector<std::string> variables;
  for (char** variable = environ; variable && *variable; ++variable) {
    const std::string_view text(*variable);
    const auto equal = text.find('=');
    if (equal != text.npos && !changes.contains(text.substr(0, equal))) variables.emplace_back(text);
  }
  for (const auto& [name, value] : changes) {
    if (value) variables.emplace_back(name).append("=").append(*value);
  }
  return variables;
}

std::optional<UserIdentity> find_user(const std::string& name) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found) return std::nullopt;
  UserIdentity user{entry.pw_uid, entry.pw_gid, {}, entry.pw_name, entry.pw_dir, entry.pw_shell};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<std::size_t>(count));
    getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count);
  }
  user.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return user;
}

std::string why_not_as(const std::string& name) {
  const auto user = find_user(name);
  if (!user) return "there is no user '" + name + "' on this machine";
  if (user->uid == geteuid() || geteuid() == 0) return {};
  return "processes can be run as another user ('" + name + "') by root only; run the engine as root, or as that user";
}

// ---- starting ----

Launched::~Launched() {
  if (pid > 0) kill(-pid, SIGKILL);
}

std::shared_ptr<Launched> launch(asio::io_context& io, Guardian& guardian, const Launch& launch) {
  const auto executable = find_executable(launch);
  if (!launch.cwd.empty() && access(launch.cwd.c_str(), X_OK) != 0) {
    throw Error("cannot run " + executable + " in " + launch.cwd + ": " + what(errno));
  }
  auto launched = std::make_shared<Launched>();
  Descriptor its_output, its_errors, its_input, its_socket;  // closed here when it has them
  const auto connect = [&](Descriptor& read, Descriptor& write, auto make) {
    int ends[2];
    if (make(ends) != 0) throw Error("cannot run " + executable + ": " + what(errno));
    read.reset(ends[0]);
    write.reset(ends[1]);
  };
  const auto pipe = [](int* ends) { return pipe2(ends, O_CLOEXEC); };
  connect(launched->output, its_output, pipe);
  connect(launched->errors, its_errors, pipe);
  for (const auto* ours : {&launched->output, &launched->errors}) fcntl(ours->get(), F_SETFL, O_NONBLOCK);
  if (!launch.input.empty()) connect(its_input, launched->input, pipe);
  if (launch.wants_socket) {
    connect(launched->socket, its_socket, [](int* ends) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); });
  }
  std::vector<const char*> environment;
  for (const auto& variable : launch.environment) environment.push_back(variable.c_str());
  environment.push_back(nullptr);

  bp::posix::vfork_launcher launcher;
  launcher.env = environment.data();
  if (launch.wants_socket) launcher.fd_whitelist.push_back(kSocket);
  auto& place = guardian.place();
  const InChild in_child{&place, launch.cwd.empty() ? nullptr : launch.cwd.c_str(), its_socket.get(),
                         launch.user ? &*launch.user : nullptr};
  boost::system::error_code error;
  try {
    const auto run = [&](auto input) {
      bp::process_stdio stdio{input, its_output.get(), its_errors.get()};
      launcher(io.get_executor(), error, executable, launch.args, stdio, in_child).detach();
    };
    its_input ? run(its_input.get()) : run(nullptr);
    if (!error) {
      launched->exit.reset(static_cast<int>(syscall(SYS_pidfd_open, launcher.pid, 0)));
      if (!launched->exit) throw boost::system::system_error(errno, boost::system::system_category());
    }
  } catch (const boost::system::system_error& failed) {
    error = failed.code();
  }
  if (error) {
    if (launcher.pid > 0) {  // the launchers leave a zombie behind where exec fails
      kill(launcher.pid, SIGKILL);
      waitpid(launcher.pid, nullptr, 0);
    }
    guardian.gone(place);
    std::string text = "cannot run " + executable + ": " + error.message();
    if (error.value() == ENOENT) text += " (the interpreter in its first line?)";
    if (error.value() == EAGAIN || error.value() == ENOMEM) text += "; too many processes, or too little memory";
    if (launch.user && error.value() == EPERM) text += "; it may not be run as " + launch.user->name;
    throw Error(text);
  }
  launched->pid = launcher.pid;
  launched->place = &place;
  return launched;
}

// ---- attending ----

std::shared_ptr<ChildProcess> ChildProcess::attend(asio::io_context& io, Guardian& guardian, Launched& launched, std::string input,
                                                   Events events) {
  const bool reads = static_cast<bool>(launched.input);
  auto impl = std::make_unique<Impl>(io, guardian, launched, std::move(events));
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

/// Boost's own wait believes the first wake-up, and then blocks in waitpid. But one may be left of a descriptor that was closed in the same turn
/// of the loop and had the same number, and then the whole thread would wait for a process that waits for it.
void ChildProcess::Impl::wait_for_exit() {
  exit.async_wait(asio::posix::stream_descriptor::wait_read, [owner = self.lock()](const boost::system::error_code&) {
    auto& me = *owner->impl_;
    int code = 0;
    const auto found = waitpid(me.pid, &code, WNOHANG);
    if (found == 0) return me.wait_for_exit();
    me.exited(found == me.pid, code);
  });
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
    if (!error && !me.ended && me.take(which) != Found::END) me.read(which);
  });
}

/// Tells of what is there, up to one buffer.
ChildProcess::Impl::Found ChildProcess::Impl::take(std::size_t which) {
  auto& pipe = out[which];
  if (!pipe.is_open()) return Found::END;
  std::array<char, 16384> bytes;
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

/// The leader has ended. What it left of its group is ended too; then, when nobody can print any more, what was printed is taken.
void ChildProcess::Impl::exited(bool known, int code) {
  boost::system::error_code ignored;
  exit.close(ignored);
  leader_gone = true;
  status.known = known;
  if (status.known) {
    status.signalled = WIFSIGNALED(code);
    status.number = status.signalled ? WTERMSIG(code) : WEXITSTATUS(code);
  }
  if (!group_exists(pid)) return finish(false);
  kill(-pid, SIGTERM);
  kill(-pid, SIGCONT);
  if (!kill_at) kill_at = Steady::now() + kLeftovers;
  pause = kFirstLook;
  look();
}

void ChildProcess::Impl::end(Duration grace) {
  if (ended) return;
  const auto at = Steady::now() + std::max(grace, Duration(0));
  if (!kill_at || leader_gone) {
    kill(-pid, SIGTERM);
    kill(-pid, SIGCONT);  // a stopped one could not end
  }
  if (!kill_at || at < *kill_at) kill_at = at;
  if (leader_gone) {
    pause = kFirstLook;
    return look_later({});  // not here: what ends is told of from the loop
  }
  timer.expires_at(*kill_at);
  timer.async_wait([owner = self.lock()](const boost::system::error_code& error) {
    auto& me = *owner->impl_;
    if (error || me.ended || me.leader_gone) return;
    kill(-me.pid, SIGKILL);
    me.give_up_at = Steady::now() + kDying;
    me.timer.expires_at(*me.give_up_at);
    me.timer.async_wait([owner](const boost::system::error_code& over) {
      auto& still = *owner->impl_;
      if (over || still.ended || still.leader_gone) return;
      still.status.known = false;  // in the kernel, and deaf to KILL
      still.finish(true);
    });
  });
}

void ChildProcess::Impl::look() {
  if (ended) return;
  const auto before = Steady::now();
  // Twice: the second look finds whom a dying one has started during the first.
  if (!group_runs(pid) && !group_runs(pid)) return finish(false);
  const auto now = Steady::now();
  if (now >= *kill_at) {
    kill(-pid, SIGKILL);
    if (!give_up_at) give_up_at = now + kDying;
    if (now >= *give_up_at) return finish(true);
  }
  look_later(std::min<Steady::duration>(kRest * (now - before), kLongestRest));
}

void ChildProcess::Impl::look_later(Steady::duration rest) {
  timer.expires_after(std::max(pause, rest));
  pause = std::min<Steady::duration>(pause * 2, kLongestLook);
  timer.async_wait([owner = self.lock()](const boost::system::error_code& error) {
    if (!error) owner->impl_->look();
  });
}

void ChildProcess::Impl::finish(bool left) {
  if (std::exchange(ended, true)) return;
  if (!left) guardian.gone(place);
  boost::system::error_code ignored;
  timer.cancel();
  input.close(ignored);
  for (const std::size_t which : {0u, 1u}) {
    while (take(which) ==
           Found::BYTES) {  // somebody who left the group may hold the other end, so the pipe's end is not waited for
    }
    out[which].close(ignored);
  }
  std::exchange(events.ended, nullptr)(status, left);
}

}  // namespace cogwork
