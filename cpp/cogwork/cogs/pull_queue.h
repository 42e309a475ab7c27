#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cogwork/base/descriptor.h"
#include "cogwork/cogs/cog.h"

namespace cogwork {

/// A call that a foreign worker took from a PullQueue. The worker holds it while the call goes on. Any thread.
class Call {
 public:
  explicit Call(AttemptRequest request) : request_(std::move(request)) {}
  const AttemptRequest& request() const { return request_; }
  /// Whether the engine asked the call to end.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  /// The worker says that it calls the Cog now. The call's time-out counts from here, and what is measured is the Cog, not a wait for the
  /// GIL between the take and the call.
  void begun() {
    taken_.store(std::chrono::steady_clock::now(), std::memory_order_relaxed);
    called_.store(BootClock::now(), std::memory_order_relaxed);
  }

 private:
  friend class PullQueue;
  using Moment = std::chrono::steady_clock::time_point;
  struct Measure;

  AttemptRequest request_;
  std::atomic<bool> cancelled_{false};
  std::atomic<Moment> taken_{Moment{}};
  std::atomic<SteadyTime> called_{kNeverDue};
  mutable std::atomic<bool> spoke_{false};
  // The rest belongs to the queue, under its mutex.
  Moment queued_;
  std::shared_ptr<Measure> measure_;
  bool brief_ = false;      // runs, and its Cog was measured to be short
  bool drained_ = false;    // taken by an event loop
  bool abandoned_ = false;  // its attempt was closed while it went on
  bool finished_ = false;
};

/// Attempts waiting for workers that the core does not own: Python's threads and event loops. They pull calls from here, run
/// them, and report; no thread of the core ever waits for the GIL. Any thread may call anything; a worker may hold the GIL in
/// every call but take() and sleep(): the mutex is held for the time of a few pointer moves, and nothing is called under it.
///
/// Threads that pull (`take`) are started by those that pull: a taker is told to `grow` when nobody would be left to take
/// the next call, up to `limit` (and one more, who waits, and one for each abandoned call, X8a). A call of a Cog that was
/// measured to be short does not wake a second thread for its neighbour - the GIL would only be passed to and fro - unless
/// the neighbour has waited a millisecond, or the short call has run for one: then it was not short, and another thread takes
/// over (a third, while both run short calls, after two milliseconds, and so on).
/// An event loop (`drain`) watches `fd()`, which is readable while there is something to drain. One queue serves threads or
/// event loops, not both.
class PullQueue final : public Executor {
 public:
  PullQueue(OutcomeSink& sink, int limit);
  /// Nobody may be in any of its methods; calls that are still held may outlive it.
  ~PullQueue() override;
  PullQueue(const PullQueue&) = delete;
  PullQueue& operator=(const PullQueue&) = delete;

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  std::optional<SteadyTime> called(AttemptKey key) const override;
  /// A call that nobody has taken yet is never handed out: it is reported as WITHDRAWN, from here.
  void interrupt(AttemptKey key) override;
  void abandon(AttemptKey key) override;

  struct Taken {
    std::shared_ptr<Call> call;  ///< Null: closed, or the worker is surplus; it is to end.
    bool grow = false;           ///< The taker starts one more taker before it runs the call.
  };
  /// A call that is to be taken now, without blocking; nothing where none is (take() then waits for one). For a worker that
  /// holds the GIL.
  std::optional<Taken> try_take();
  /// Waits for a call. Never call it with the GIL held.
  Taken take();
  /// A worker counts itself in before its first take, and out after its last.
  void enter();
  void leave();
  /// A taker that was told to grow could not start a thread: the next one is to try.
  void not_grown();

  struct Drained {
    std::vector<std::shared_ptr<Call>> calls;
    std::vector<AttemptKey> cancelled;  ///< Taken calls that are to end.
    bool closed = false;                ///< Nothing more will come.
  };
  /// For an event loop: all that waits, without blocking.
  Drained drain();
  /// Made when it is first asked for. Throws ResourceError where the system has no descriptor left.
  int fd();
  /// No loop watches it any more. What is asked for later is another one.
  void let_go_of_fd();

  /// Reports the end of a call, from any thread. A second report of one call, or one of an abandoned call, is dropped.
  void finish(const std::shared_ptr<Call>& call, Outcome outcome);
  void progress(const Call& call, double fraction, Text message);
  /// Lines for those who watch its Labor, while the call goes on. They are no part of its outcome's log. Waits for nobody.
  static void log(const Call& call, std::string_view lines);
  /// Waits until `span` is over (true), or the call is cancelled or the queue closed (false).
  bool sleep(const Call& call, Duration span);

  /// No more calls are handed out, and those that wait are dropped without a report; everybody who waits in take() comes
  /// back. Calls that run go on, and report.
  void close();
  /// After close(): waits until no worker is left but those whose calls still go on. False where `most` ran out. Never call it with
  /// the GIL held: who comes back from take() needs it to leave.
  bool wait_for_leavers(Duration most);

  struct Figures {
    int threads = 0;
    int idle = 0;
    int queued = 0;
    int running = 0;    ///< Without the abandoned ones.
    int abandoned = 0;  ///< Calls that still go on after their attempt was closed.
    std::uint64_t abandoned_ever = 0;
  };
  Figures figures() const;

 private:
  using Moment = Call::Moment;
  /// Where one taker waits. They belong to the queue, so that one may be notified outside the lock whatever its taker does.
  struct Waiter {
    std::condition_variable woken_up;
    bool woken = false;
  };
  struct Measured {
    std::weak_ptr<const CogInfo> cog;
    std::shared_ptr<Call::Measure> measure;
  };

  bool may_take_front(Moment now);
  Moment front_due() const;
  Taken take_front(Moment now);
  bool is_surplus() const;
  int idle() const { return static_cast<int>(waiting_.size()) + waking_; }
  [[nodiscard]] Waiter* next_to_wake();
  static void wake(Waiter* waiter);
  void wait(std::unique_lock<std::mutex>& lock, std::optional<Moment> until);
  void end_brief(Call& call);
  std::shared_ptr<Call::Measure> measure_of(const std::shared_ptr<const CogInfo>& cog);
  /// Where event loops are told; a copy keeps it open, so that nobody writes to what is another's by then.
  using Event = std::shared_ptr<const Descriptor>;
  Event current_event() const;
  Event event_to_signal();
  static void signal(const Event& event);

  OutcomeSink& sink_;
  const int limit_;
  mutable std::mutex mutex_;
  Event event_;  // null until somebody asks for it
  std::condition_variable cancelled_;
  std::condition_variable left_;
  std::deque<std::shared_ptr<Call>> queue_;
  std::unordered_map<AttemptKey, std::shared_ptr<Call>> running_;
  std::vector<std::shared_ptr<Call>> cancels_;  // of event loops
  std::vector<Call*> brief_;                    // running calls of short Cogs; their owners are in running_
  std::unordered_map<const CogInfo*, Measured> measured_;

  // Takers that wait: the last to come is the first to be woken, since what it needs is still in the caches.
  std::vector<std::unique_ptr<Waiter>> waiters_;
  std::vector<Waiter*> spare_;
  std::vector<Waiter*> waiting_;
  Waiter* sentinel_ = nullptr;  // the one of those that looks again when the front call has waited too long
  int waking_ = 0;              // were woken, and have not come round yet

  int threads_ = 0;
  int starting_ = 0;  // takers that were told to grow, and whose new thread has not entered yet
  int ending_ = 0;    // were told that they are surplus, and have not left yet
  int abandoned_ = 0;
  std::uint64_t abandoned_ever_ = 0;
  bool signalled_ = false;  // event_, since the last drain
  bool closed_ = false;
};

}  // namespace cogwork
