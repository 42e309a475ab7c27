#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/engine/core.h"

namespace cogwork {

/// The scheduler thread. What happens elsewhere is posted here, from any thread, and wakes it once however much has gathered;
/// it tells the core, lets it settle, and sleeps until the next event or the core's next deadline. Nothing polls.
class Loop final : public OutcomeSink {
 public:
  explicit Loop(Clock& clock) : clock_(clock), timer_(io_) {}
  ~Loop() override { stop(); }

  /// Starts the thread; `core` is touched by it alone from now on.
  void start(Core& core);
  /// Ends the thread after what was posted so far. Idempotent; not from the thread itself.
  void stop();

  void post(std::function<void(Core&)> call);
  /// For sockets that are to be served on the thread, between its turns.
  boost::asio::io_context& io() { return io_; }
  void committed(std::vector<CommitResult> results);

  // OutcomeSink
  void ended(AttemptKey key, Outcome outcome) override;
  void progressed(AttemptKey key, double fraction, Text message) override;

 private:
  struct Report {
    AttemptKey key;
    double fraction;
    Text message;
  };
  struct Inbox {
    std::vector<CommitResult> committed;
    std::vector<std::pair<AttemptKey, Outcome>> outcomes;
    std::vector<std::function<void(Core&)>> calls;
    std::vector<Report> reports;
  };
  void wake_locked(std::unique_lock<std::mutex>& lock);
  void turn();
  void rearm(std::optional<Time> next);

  Clock& clock_;
  boost::asio::io_context io_{1};
  boost::asio::steady_timer timer_;
  std::optional<Time> armed_;
  Core* core_ = nullptr;
  std::thread thread_;

  std::mutex mutex_;
  Inbox inbox_;         // guarded by mutex_
  bool woken_ = false;  // guarded by mutex_: a turn is on its way
  Inbox taken_;         // the thread's own; swapped, so that both keep their capacity
};

}  // namespace cogwork
