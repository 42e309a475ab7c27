#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "cogwork/cogs/environment.h"
#include "cogwork/cogs/guardian.h"
#include "cogwork/cogs/launch.h"
#include "cogwork/cogs/process_watch.h"

namespace cogwork {

/// A thread that does what is posted to it, in that order, once it was begun.
class PostThread {
 public:
  /// name: what the system calls the thread; at most 15 characters. what: what an error calls it.
  PostThread(const char* name, const char* what) : name_(name), what_(what) {}
  /// Nothing that was posted may still wait for anything.
  ~PostThread() { stop(); }

  /// Starts the thread where it does not run yet. Throws ResourceError where there is none to be had, EngineClosed after stop().
  /// Any thread.
  void begin();
  bool begun();
  /// Any thread.
  void post(std::function<void()> call);
  /// Does what was posted, then ends. Idempotent; not from the thread itself.
  void stop();

  /// The thread's own.
  boost::asio::io_context& io() { return io_; }

 private:
  const char* const name_;
  const char* const what_;
  boost::asio::io_context io_{1};
  std::mutex mutex_;
  std::thread thread_;    // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
};

/// The two threads for processes, for as long as the engine lives. One starts them, which blocks it for a moment each time, and
/// nothing else is to wait for that; and a process can be made to die with the thread that started it. The other, the loop, talks
/// to them, and sees them end.
class ProcessLoop {
 public:
  /// guardian: its executable. grace_ms: what it gives processes whose engine has died. environment: what programs are given, until
  /// set_environment says otherwise.
  ProcessLoop(std::string guardian, int grace_ms, std::shared_ptr<const Variables> environment);
  /// Nothing that was posted may still wait for anything.
  ~ProcessLoop() { stop(); }

  // Any thread.
  /// To be called before anything is posted. Starts the threads where they do not run yet. Throws ResourceError where there are
  /// none to be had: nothing has changed then, and it may be called again. Throws EngineClosed after stop().
  void begin();
  /// Whether it has begun: else there is nothing to be stopped.
  bool begun() { return loop_.begun() || launcher_.begun(); }
  void post(std::function<void()> call) { loop_.post(std::move(call)); }
  /// How a program's start ended, told on the loop's thread: with the program, or with the error. See launch().
  struct StartEvents {
    std::function<void(Launched&)> started;
    std::function<void(const Error&)> failed;
    std::function<void()> postponed;  ///< May be null. On the thread that starts programs: it has to wait for room.
  };
  /// Starts a program. `prepare` is called on the thread that starts programs, for each try; it may wait, and throw Error. Where it
  /// returns nothing, nobody wants the program any more. Where there is no room - no process, descriptor or memory - and others of
  /// ours run, that is waited for.
  void start(std::function<std::optional<Launch>()> prepare, StartEvents events);
  /// A program has ended: there may be room.
  void make_room();
  /// What programs are given from now on.
  void set_environment(std::shared_ptr<const Variables> variables);
  std::shared_ptr<const Variables> environment() const;
  /// Does what was posted, then ends, and so does the guardian. Idempotent; not from one of the threads.
  void stop();

  Guardian& guardian() { return guardian_; }

  // The loop's own.
  boost::asio::io_context& io() { return loop_.io(); }
  ProcessWatch& watch() { return watch_; }

 private:
  struct Start {
    std::function<std::optional<Launch>()> prepare;
    StartEvents events;
    std::chrono::steady_clock::time_point first_tried{};
  };
  static std::chrono::steady_clock::duration waited(Start& start);
  bool try_start(Start& start);
  static bool postpone(const Start& start);
  void try_waiting();
  void wait_for_room();
  void fail(const Start& start, std::shared_ptr<const Error> why);

  mutable std::mutex mutex_;
  std::shared_ptr<const Variables> environment_;  // guarded by mutex_
  // The order of the members is that of their dependence: what is left to the loop refers to all above it.
  PostThread launcher_{"cogwork-launch", "starting programs"};
  Guardian guardian_;
  std::deque<Start> waiting_;        // the launcher's: for room
  boost::asio::steady_timer again_;  // the launcher's
  std::atomic<int> running_{0};      // programs that were started and have not ended
  std::atomic<bool> waits_for_room_{false};
  PostThread loop_{"cogwork-process", "attending to programs"};
  ProcessWatch watch_;
};

}  // namespace cogwork
