#pragma once

#include <string>
#include <unordered_set>

namespace cogwork {

// The guardian is a small process beside the engine. It knows the process groups that the engine has started, and waits for the one
// thing that tells it that the engine is gone, whatever way: its socket closes. Then it ends the groups that are left, by TERM and, after
// the grace, by KILL. So no command outlives its engine, not even one that was killed.
//
//   record := sign group     each 4 bytes, in this machine's order; sign +1: a group begins, -1: it is gone
//
// A process puts its group on the list itself, between fork and exec: there is no moment in which it runs and is not known.

/// What a child writes of itself; safe between vfork and exec.
void tell_guardian(int fd, int sign, int group);

/// What the guardian's process does: reads records from `fd` until it closes, then ends what is left.
int guard(int fd, int grace_ms);

/// The engine's end. One thread.
class Guardian {
 public:
  /// program: the guardian's executable. It is started with the first group.
  Guardian(std::string program, int grace_ms) : program_(std::move(program)), grace_ms_(grace_ms) {}
  ~Guardian();
  Guardian(const Guardian&) = delete;

  /// To be called before a process is started: the descriptor that it tells its group to. Starts the guardian where it does not run, and
  /// tells a new one what an old one knew. Throws Error where it cannot be started.
  int ready();
  void began(int group) { groups_.insert(group); }
  void gone(int group);
  /// Its process; -1 before the first group.
  int pid() const { return pid_; }

 private:
  void start();
  bool running();

  const std::string program_;
  const int grace_ms_;
  int fd_ = -1;
  int pid_ = -1;
  std::unordered_set<int> groups_;
};

}  // namespace cogwork
