#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "cogwork/engine/boot_timer.h"
#include "cogwork/engine/core.h"

namespace cogwork {

/// The scheduler thread. What happens elsewhere is posted here, from any thread, and wakes it once however much has gathered;
/// it tells the core, lets it settle, and sleeps until the next event or the core's next deadline. Nothing polls.
class Loop final : public OutcomeSink {
 public:
  Loop();
  ~Loop() override { stop(); }

  /// Starts the thread; `core` is touched by it alone from now on. Throws ResourceError where there is none to be had.
  void start(Core& core);
  /// Ends the thread after what was posted so far, and lets go of its descriptors. What comes later is dropped. Idempotent; not from the thread
  /// itself, and when nothing uses io() any more.
  void stop();

  void post(std::function<void(Core&)> call);
  /// For sockets that are to be served on the thread, between its turns. Until stop().
  boost::asio::io_context& io() { return asio_->io; }
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
  struct Asio {
    explicit Asio(std::function<void()> gone_off) : timer(io, std::move(gone_off)) {}
    boost::asio::io_context io{1};
    BootTimer timer;
  };
  template <typename Put>
  void put(Put what);
  void run();
  void turn();
  void rearm(std::optional<SteadyTime> next);

  std::optional<SteadyTime> armed_;
  Core* core_ = nullptr;
  std::thread thread_;

  std::mutex mutex_;
  std::shared_ptr<Asio> asio_;  // guarded by mutex_, but for the thread itself; null after stop()
  Inbox inbox_;                 // guarded by mutex_
  bool woken_ = false;          // guarded by mutex_: a turn is on its way
  Inbox taken_;                 // the thread's own; swapped, so that both keep their capacity
};

}  // namespace cogwork
