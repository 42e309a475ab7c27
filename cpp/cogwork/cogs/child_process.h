#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/base/descriptor.h"
#include "cogwork/base/time.h"
#include "cogwork/cogs/guardian.h"

namespace cogwork {

/// Another user, whom a process is to run as.
struct UserIdentity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::string name, home, shell;
};

/// Looks a user up. Nothing where there is none.
std::optional<UserIdentity> find_user(const std::string& name);
/// Empty where this process may start processes as that user; else why not, and what would help.
std::string why_not_as(const std::string& user);

/// This process's environment with these added; nothing takes a variable away.
std::vector<std::string> environment_with(const std::map<std::string, std::optional<std::string>, std::less<>>& changes);

/// What is to be started, and how.
struct Launch {
  std::string executable;                ///< A path, or a name that is looked up in the PATH of `environment`.
  std::vector<std::string> args;         ///< Without the name of the program itself.
  std::vector<std::string> environment;  ///< All of it, each "NAME=value".
  std::string cwd;                       ///< Empty: this process's.
  std::optional<UserIdentity> user;      ///< Nothing: this process's.
  std::string input;                     ///< What it reads on its standard input; then that ends.
  bool wants_socket = false;             ///< Descriptor 3 is one end of a socket pair; Launched::socket is the other.
};

/// A process that was started, and the ways to it. Where nobody attends to it, its group is killed.
struct Launched {
  Launched() = default;
  Launched(const Launched&) = delete;
  ~Launched();

  int pid = -1;
  GroupPlace* place = nullptr;
  Descriptor exit;            ///< The kernel's handle of it, readable when it has ended.
  Descriptor output, errors;  ///< What it prints.
  Descriptor input;           ///< Where it reads, if it has anything to.
  Descriptor socket;          ///< The other end of its descriptor 3, if it wanted one.
};

/// Starts a process, as the leader of a group that the guardian knows. Blocks until the program is loaded, so it is called on a thread that
/// does nothing else, and that lives as long as the engine: a process can be made to die with the thread that started it. io: that
/// thread's. Throws Error where it cannot be started: no such program, not executable, no right to, no more processes.
std::shared_ptr<Launched> launch(boost::asio::io_context& io, Guardian& guardian, const Launch& launch);

/// How a process ended.
struct ExitStatus {
  bool known = true;  ///< False: somebody else in this process has taken it (SIGCHLD is ignored, or all children are waited for).
  bool signalled = false;
  int number = 0;  ///< The exit code, or the signal.
};

/// A process that was started, with all that it starts: its group ends with it. All on the thread of the io_context. (The only file that
/// knows Boost.Process.)
class ChildProcess : public std::enable_shared_from_this<ChildProcess> {
 public:
  struct Events {
    /// What it printed. `error`: on its standard error.
    std::function<void(std::string_view bytes, bool error)> printed;
    /// It has ended, and no process of its group is left - or they could not be ended, and `left` is set. The last event.
    std::function<void(ExitStatus status, bool left)> ended;
  };

  /// input: what it reads on its standard input; then that ends.
  static std::shared_ptr<ChildProcess> attend(boost::asio::io_context& io, Guardian& guardian, Launched& launched,
                                              std::string input, Events events);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;

  int pid() const;
  /// Asks all of its group to end: TERM now, KILL when `grace` is over. Again with a shorter grace: the shorter one counts.
  void end(Duration grace);

 private:
  class Impl;
  explicit ChildProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cogwork
