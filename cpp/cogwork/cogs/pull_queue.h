#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cogwork/cogs/cog.h"

namespace cogwork {

/// A call that a foreign worker took from a PullQueue. The worker holds it while the call goes on. Any thread.
class Call {
 public:
  explicit Call(AttemptRequest request) : request_(std::move(request)) {}
  const AttemptRequest& request() const { return request_; }
  /// Whether the engine asked the call to end.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }

 private:
  friend class PullQueue;
  AttemptRequest request_;
  std::atomic<bool> cancelled_{false};
  std::chrono::steady_clock::time_point queued_;
  std::chrono::steady_clock::time_point taken_;
  bool brief_ = false;  // of a Cog that was measured to be short when it was taken
  bool abandoned_ = false;
};

/// Attempts waiting for workers that the core does not own: Python's threads and event loops. They pull calls from here, run
/// them, and report; no thread of the core ever waits for the GIL.
///
/// Threads that pull (`take`) are started by those that pull: a taker is told to `grow` when nobody would be left to take
/// the next call, up to `limit` (and one more, who waits, and one for each abandoned call, X8a). A call of a Cog that was
/// measured to be short does not wake a second thread for its neighbour - the GIL would only be passed to and fro - unless
/// the neighbour has waited a millisecond: then the short call was not short, and another thread takes over.
/// An event loop (`drain`) watches `fd()`, which is readable while there is something to drain.
class PullQueue final : public Executor {
 public:
  PullQueue(OutcomeSink& sink, int limit);
  ~PullQueue() override;

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  void interrupt(AttemptKey key) override;
  void abandon(AttemptKey key) override;

  struct Taken {
    std::shared_ptr<Call> call;  ///< Null: closed, or the worker is surplus; it is to end.
    bool grow = false;           ///< The taker starts one more taker before it runs the call.
  };
  /// A call that waits now, without blocking; nothing where none does. For a worker that holds the GIL.
  std::optional<Taken> try_take();
  /// Waits for a call. Never call it with the GIL held.
  Taken take();
  /// A worker counts itself in before its first take, and out after its last.
  void enter();
  void leave();

  struct Drained {
    std::vector<std::shared_ptr<Call>> calls;
    std::vector<AttemptKey> cancelled;  ///< Taken calls that are to end.
  };
  /// For an event loop: all that waits, without blocking.
  Drained drain();
  /// Asking for it makes the queue one that is watched.
  int fd();

  /// Reports the end of a call, from any thread. A second report of one call, or one of an abandoned call, is dropped.
  void finish(const std::shared_ptr<Call>& call, Outcome outcome);
  void progress(const Call& call, double fraction, Text message);
  /// Waits until `span` is over (true) or the call is cancelled (false).
  bool sleep(const Call& call, Duration span);

  /// No more calls are handed out; everybody who waits in take() comes back.
  void close();

  struct Figures {
    int threads = 0;
    int idle = 0;
    int queued = 0;
    int running = 0;
    int abandoned = 0;  ///< Calls that still go on after their attempt was closed.
    std::uint64_t abandoned_ever = 0;
  };
  Figures figures() const;

 private:
  struct Measure {
    double average_us = 0;
    int calls = 0;
  };
  Taken take_front(std::unique_lock<std::mutex>& lock);
  bool is_brief(const Call& call) const;
  void signal_fd();  // only where somebody watches: it is a system call for each attempt

  OutcomeSink& sink_;
  const int limit_;
  int fd_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable cancelled_;
  std::deque<std::shared_ptr<Call>> queue_;
  std::unordered_map<AttemptKey, std::shared_ptr<Call>> running_;
  std::vector<AttemptKey> cancels_;
  std::unordered_map<const CogInfo*, Measure> measured_;
  int threads_ = 0;
  int idle_ = 0;
  int starting_ = 0;  // takers that were told to grow, and whose new thread has not entered yet
  int brief_running_ = 0;
  int abandoned_ = 0;
  std::uint64_t abandoned_ever_ = 0;
  bool closed_ = false;
  std::atomic<bool> watched_{false};
};

}  // namespace cogwork
