#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cogwork/cogs/process_table.h"

namespace cogwork {

/// The processes of one program that was started as the leader of a session, and their end (G3a).
///
/// They are those of its session, whatever groups they are in (a shell with job control, `timeout`), and those below them that made
/// sessions of their own (`setsid`, a pty) - as long as their parents can be seen, and from then on by their session. What left
/// both ways, as a daemon does, is none of them.
///
/// A tree is what the last `update` has seen. One thread.
class ProcessTree {
 public:
  /// started: the leader's ProcessRow::started; 0 where it is not known.
  ProcessTree(int leader, std::uint32_t started);

  void update(const ProcessTable& table);

  /// Whether one of them runs. `fd`: see number_in_use. Where none can be seen and its number is in use all the same - /proc is not
  /// there, or hides the processes of others - one is taken to run.
  bool runs(int fd) const;
  /// The same without a look at the table: false only where none can run.
  bool may_run(int fd) const;
  /// Sends a signal to all of them that run, by their groups: a group gets it at once, with whatever it is just forking.
  void signal(int number) const;
  /// The names of those that run, each once.
  std::vector<std::string> names() const;

 private:
  struct Session {
    int number;
    std::uint32_t started;  // of its leader; 0: not known
    bool no_leader;         // the leader had gone when the session was seen first
  };
  bool holds(int session) const;
  void forget_reused(const ProcessTable& table);

  std::vector<Session> sessions_;  // the program's own is the first
  std::vector<ProcessRow> members_;
};

}  // namespace cogwork
