#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "cogwork/base/descriptor.h"

namespace cogwork {

// The guardian is a small process beside the engine. It sleeps until the one thing happens that tells it that the engine is gone, whatever
// way: its pipe closes. Then it ends the process groups that are on the engine's list, by TERM and, after the grace, by KILL. So no command
// outlives its engine, not even one that was killed.
//
// The list is memory that both share: a place for each group, zero where it is free. To enter a group, and to take it off, is one store, and
// wakes nobody. A process enters its own group, between vfork and exec: there is no moment in which it runs and is not known. And the
// guardian reads no list that may still grow: until its exec, that process holds the engine's end of the pipe too.

/// One group's place on the list: its number. Safe to write between vfork and exec.
using GroupPlace = std::atomic<std::int32_t>;
static_assert(GroupPlace::is_always_lock_free, "it is shared by processes");

/// What the guardian's process does: waits until `pipe` closes, then ends what is left on the list. 0: nothing is left of it.
int guard(int pipe, int list, int grace_ms);

/// The engine's end. Any thread, but for `place`, which is called in the one that starts processes.
class Guardian {
 public:
  /// program: the guardian's executable. It is started with the first group.
  Guardian(std::string program, int grace_ms) : program_(std::move(program)), grace_ms_(grace_ms) {}
  ~Guardian();
  Guardian(const Guardian&) = delete;

  /// For a process that is about to be started. Starts the guardian where it does not run. Throws Error where it cannot be started, or the
  /// list is full.
  GroupPlace& place();
  /// Its group is gone, or never was.
  void gone(GroupPlace& place);
  /// Its process; -1 before the first group.
  int pid() const { return pid_; }

 private:
  friend int guard(int pipe, int list, int grace_ms);
  struct List;
  static List* map_list(int fd);
  void make_list();
  void start();
  bool running();

  const std::string program_;
  const int grace_ms_;
  std::atomic<pid_t> pid_ = -1;
  int pipe_ = -1;
  Descriptor list_fd_;
  List* list_ = nullptr;
  std::mutex mutex_;
  std::vector<GroupPlace*> free_;  // guarded by mutex_: of the places that were used, those that are free again
  std::size_t taken_ = 0;          // guarded by mutex_
};

}  // namespace cogwork
