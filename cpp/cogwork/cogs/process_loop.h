#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cogwork/cogs/guardian.h"

namespace cogwork {

/// The thread that starts processes, and talks to them. One, for as long as the engine lives: a process can be made to die with the thread that started
/// it, and starting one blocks that thread for a moment, which the scheduler thread must not do. It begins with the first post.
class ProcessLoop {
 public:
  /// guardian: its executable; grace_ms: what it gives processes whose engine has died.
  ProcessLoop(std::string guardian, int grace_ms) : guardian_(std::move(guardian), grace_ms) {}
  /// Nothing that was posted may still wait for anything.
  ~ProcessLoop() { stop(); }

  void post(std::function<void()> call);
  /// Whether anything was posted yet: else there is nothing to be stopped.
  bool begun();
  /// Runs what was posted, then ends. Idempotent; not from the thread itself.
  void stop();

  // The thread's own.
  boost::asio::io_context& io() { return io_; }
  Guardian& guardian() { return guardian_; }

 private:
  boost::asio::io_context io_{1};
  Guardian guardian_;
  std::mutex mutex_;
  std::thread thread_;  // guarded by mutex_
  bool stopped_ = false;
};

}  // namespace cogwork
