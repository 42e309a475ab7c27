#pragma once

#include <sys/types.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "cogwork/base/backoff.h"
#include "cogwork/base/descriptor.h"
#include "cogwork/cogs/guardian_list.h"

namespace cogwork {

// The guardian is a small process beside the engine. It sleeps until the one thing happens that tells it that the engine is gone,
// whatever way: its pipe closes. Then it ends the programs that are on the engine's list, each with its whole ProcessTree, by TERM
// and, after the grace, by KILL. So no command outlives its engine, not even one that was killed.
//
// The list is memory that both share: a place for each program, zero where it is free. To enter a program, and to take it off, is
// one store, and wakes nobody. A process enters itself, between clone and exec: there is no moment in which it runs and is not
// known. And the guardian reads no list that may still grow: that process holds the engine's end of the pipe until it is on the
// list.

/// The engine's end. All on the thread of the io_context, but for `gone` and `pid`, which any thread may call.
class Guardian {
 public:
  /// program: the guardian's executable. It is started with the first program, and again at once when somebody has ended it.
  Guardian(boost::asio::io_context& io, std::string program, int grace_ms);
  ~Guardian();
  Guardian(const Guardian&) = delete;

  /// A place for a program that is about to be started. Starts the guardian where it does not run. Throws Error where it cannot be
  /// started, or the list is full.
  GuardianPlace& place();
  /// The program is gone, or never was.
  void gone(GuardianPlace& place);
  /// Ends its process, whatever state that is in; where something is left on the list, it is told to end that first, and not waited
  /// for. Idempotent. The thread of the io_context has ended.
  void close();
  /// Its process; -1 before the first program, and when it is closed.
  int pid() const { return pid_; }

 private:
  void make_list();
  void start();
  bool running();
  void watch();
  void replace_after(Duration pause);

  const std::string program_;
  const int grace_ms_;
  std::atomic<pid_t> pid_ = -1;
  int pipe_ = -1;
  boost::asio::posix::stream_descriptor exit_;  // the kernel's handle of its process
  boost::asio::steady_timer again_;
  Backoff pause_;  // between two that did not live long
  std::chrono::steady_clock::time_point started_;
  Descriptor list_fd_;
  GuardianList* list_ = nullptr;
  std::mutex mutex_;
  std::vector<GuardianPlace*> free_;  // guarded by mutex_: of the places that were used, those that are free again
  std::size_t taken_ = 0;             // guarded by mutex_
};

}  // namespace cogwork
