#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cogwork/cogs/guardian.h"

namespace cogwork {

/// A thread that does what is posted to it, in that order. It begins with the first post.
class PostThread {
 public:
  /// name: what the system calls the thread; at most 15 characters.
  explicit PostThread(const char* name) : name_(name) {}
  /// Nothing that was posted may still wait for anything.
  ~PostThread() { stop(); }

  void post(std::function<void()> call);
  /// Whether anything was posted yet: else there is nothing to be stopped.
  bool begun();
  /// Does what was posted, then ends. Idempotent; not from the thread itself.
  void stop();

  /// The thread's own.
  boost::asio::io_context& io() { return io_; }

 private:
  const char* const name_;
  boost::asio::io_context io_{1};
  std::mutex mutex_;
  std::thread thread_;  // guarded by mutex_
  bool stopped_ = false;
};

/// The two threads for processes, for as long as the engine lives. One starts them, which blocks it for a moment each time, and nothing else
/// is to wait for that; and a process can be made to die with the thread that started it. The other, the loop, talks to them, and
/// sees them end.
class ProcessLoop {
 public:
  /// guardian: its executable; grace_ms: what it gives processes whose engine has died.
  ProcessLoop(std::string guardian, int grace_ms) : guardian_(std::move(guardian), grace_ms) {}
  /// Nothing that was posted may still wait for anything.
  ~ProcessLoop() { stop(); }

  // Any thread.
  void post(std::function<void()> call) { loop_.post(std::move(call)); }
  void post_start(std::function<void()> call) { launcher_.post(std::move(call)); }
  /// Whether anything was posted yet: else there is nothing to be stopped.
  bool begun() { return loop_.begun() || launcher_.begun(); }
  /// Does what was posted, then ends. Idempotent; not from one of the threads.
  void stop() {
    launcher_.stop();  // first: what it starts, it hands to the loop
    loop_.stop();
  }
  Guardian& guardian() { return guardian_; }

  boost::asio::io_context& io() { return loop_.io(); }               ///< The loop's own.
  boost::asio::io_context& launcher_io() { return launcher_.io(); }  ///< The own one of the thread that starts.

 private:
  // Here last to first is the order of the ends: what is left to the loop refers to the guardian.
  Guardian guardian_;
  PostThread loop_{"cogwork-process"}, launcher_{"cogwork-launch"};
};

}  // namespace cogwork
