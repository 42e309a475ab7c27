#include "cogwork/cogs/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "cogwork/cogs/executable.h"
#include "cogwork/cogs/process_table.h"
#include "cogwork/cogs/spawn.h"

namespace cogwork {
namespace {

constexpr int kFirstOfOurs = 4;  // below are those that the program gets

/// Says why a program was not started. `path`: of its file.
[[noreturn]] void refuse(const std::string& path, int error, const Launch& launch) {
  const auto text = "cannot run " + path + ": " + std::system_category().message(error);
  switch (error) {
    case EMFILE: throw ResourceError(text + "; this process has as many descriptors open as the limit allows (ulimit -n)");
    case ENFILE: throw ResourceError(text + "; this machine has as many files open as it may");
    case EAGAIN: throw ResourceError(text + "; this user has as many processes as the limits allow (ulimit -u, pids cgroup)");
    case ENOMEM: throw ResourceError(text + "; there is too little memory for another process");
    case ETXTBSY: throw FileBusy(text + "; somebody is writing to it");
    case E2BIG: {
      std::size_t args = 0, variables = 0;
      for (const auto& arg : launch.args) args += arg.size() + 1;
      for (const auto& variable : launch.environment) variables += variable.size() + 1;
      throw Unstartable(text + ": its arguments have " + std::to_string(args) + " bytes and its environment " +
                        std::to_string(variables) +
                        "; one of them may have 128 KiB, all together 2 MiB by default (ulimit -s); hand over what is larger with "
                        "stdin=, or in a file");
    }
    case EPERM:
      if (launch.user) throw Error(text + "; it may not be run as " + launch.user->name);
      break;
    case EACCES:
      if (launch.user)
        throw Error(text + "; " + launch.user->name + " may not read it, or enter its folder" + why_not_executed(path, error));
      break;
    default: break;
  }
  throw Error(text + why_not_executed(path, error));
}

/// What a program gets, and our ends of it.
class Streams {
 public:
  Streams(const std::string& path, const Launch& launch, Launched& ours) : path_(path), launch_(launch) {
    connect(ours.output, its_[1], closed_on_exec);
    connect(ours.errors, its_[2], closed_on_exec);
    for (const auto* end : {&ours.output, &ours.errors}) fcntl(end->get(), F_SETFL, O_NONBLOCK);
    if (launch.input.empty()) {
      its_[0].reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!its_[0]) refuse(path_, errno, launch_);
    } else {
      connect(its_[0], ours.input, closed_on_exec);
    }
    if (launch.wants_socket) {
      connect(ours.socket, its_[3], [](int* ends) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); });
    }
    for (auto& end : its_) lift(end);
  }
  int its(std::size_t number) const { return its_[number].get(); }

 private:
  template <typename Make>
  void connect(Descriptor& first, Descriptor& second, Make make) {
    int ends[2];
    if (make(ends) != 0) refuse(path_, errno, launch_);
    first.reset(ends[0]);
    second.reset(ends[1]);
  }
  static int closed_on_exec(int* ends) { return pipe2(ends, O_CLOEXEC); }
  /// A host that has closed its own streams gets their numbers for these.
  void lift(Descriptor& end) {
    if (!end || end.get() >= kFirstOfOurs) return;
    end.reset(fcntl(end.get(), F_DUPFD_CLOEXEC, kFirstOfOurs));
    if (!end) refuse(path_, errno, launch_);
  }

  const std::string& path_;
  const Launch& launch_;
  Descriptor its_[4];
};

std::vector<const char*> pointers(const std::string* first, const std::vector<std::string>& rest) {
  std::vector<const char*> all;
  all.reserve(rest.size() + 2);
  if (first) all.push_back(first->c_str());
  for (const auto& text : rest) all.push_back(text.c_str());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Launched::~Launched() {
  if (pid > 0) kill(-pid, SIGKILL);
}

std::shared_ptr<Launched> launch(Guardian& guardian, const Launch& launch) {
  const auto path = find_executable(launch);
  if (!launch.cwd.empty() && access((launch.cwd + "/.").c_str(), X_OK) != 0) {  // of a file: it is no folder
    throw Error("cannot run " + path + " in " + launch.cwd + ": " + std::system_category().message(errno));
  }
  auto launched = std::make_shared<Launched>();
  const Streams streams(path, launch, *launched);
  const auto argv = pointers(&path, launch.args);
  const auto environment = pointers(nullptr, launch.environment);
  auto& place = guardian.place();
  Spawn what{path.c_str(), argv.data(), environment.data()};
  what.folder = launch.cwd.empty() ? nullptr : launch.cwd.c_str();
  for (std::size_t i = 0; i < 4; ++i) what.streams[i] = streams.its(i);
  what.user = launch.user && !launch.user->is_ours() ? &*launch.user : nullptr;
  what.place = &place;
  auto made = spawn(what);
  if (made.pid < 0) {
    guardian.gone(place);
    refuse(path, made.error, launch);
  }
  launched->pid = made.pid;
  launched->exit = std::move(made.handle);
  launched->place = &place;
  if (const auto row = read_process(made.pid)) launched->started = row->started;
  place = place_of(made.pid, launched->started);
  return launched;
}

}  // namespace cogwork
