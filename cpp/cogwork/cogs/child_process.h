#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/base/time.h"
#include "cogwork/cogs/launch.h"

namespace cogwork {

class ProcessLoop;

/// How a process ended.
struct ExitStatus {
  bool known = true;  ///< False: somebody else in this process has taken it (SIGCHLD is ignored, or all children are waited for).
  bool signalled = false;
  int number = 0;  ///< The exit code, or the signal.
  /// The rest of its ProcessTree: names of programs that it left running when it ended, and that were ended then.
  std::vector<std::string> ended_too;
  /// Some of them, or the process itself, could not be ended, and may still run.
  bool left = false;
};

/// A process that was started, with all that it starts: its ProcessTree ends with it. All on the thread of the loop.
class ChildProcess : public std::enable_shared_from_this<ChildProcess> {
 public:
  struct Events {
    /// What it printed. `error`: on its standard error.
    std::function<void(std::string_view bytes, bool error)> printed;
    /// It has ended, and nothing of its tree runs - or could not be ended, and `left` is set. The last event.
    std::function<void(const ExitStatus& status)> ended;
  };

  /// input: what it reads on its standard input; then that ends. The loop outlives it.
  static std::shared_ptr<ChildProcess> attend(ProcessLoop& loop, Launched& launched, std::string input, Events events);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;

  int pid() const;
  /// Whether it has exited, also if that was not told of yet.
  bool has_exited() const;
  /// Asks all of its tree to end: TERM now, KILL when `grace` is over. Again with a shorter grace: the shorter one counts.
  void end(Duration grace);

 private:
  class Impl;
  explicit ChildProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cogwork
