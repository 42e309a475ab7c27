#include "cogwork/engine/loop.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "cogwork/base/thread.h"

namespace cogwork {

// A deadline may be further away than the timer can count, and wall time may jump ahead of the monotonic time that it counts in (a
// laptop that slept): it goes off for nothing now and then, and looks again.
constexpr Duration kLongestWait = std::chrono::minutes(10);

void Loop::start(Core& core) {
  core_ = &core;
  thread_ = start_thread("the engine's scheduler", [this] {
    auto work = boost::asio::make_work_guard(io_);
    io_.run();
  });
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  boost::asio::post(io_, [this] {
    turn();
    io_.stop();
  });
  thread_.join();
}

void Loop::wake_locked(std::unique_lock<std::mutex>& lock) {
  const bool wake = !std::exchange(woken_, true);
  lock.unlock();
  if (wake) boost::asio::post(io_, [this] { turn(); });
}

void Loop::post(std::function<void(Core&)> call) {
  std::unique_lock lock(mutex_);
  inbox_.calls.push_back(std::move(call));
  wake_locked(lock);
}

void Loop::committed(std::vector<CommitResult> results) {
  std::unique_lock lock(mutex_);
  if (inbox_.committed.empty()) {
    inbox_.committed = std::move(results);
  } else {
    for (auto& result : results) inbox_.committed.push_back(std::move(result));
  }
  wake_locked(lock);
}

void Loop::ended(AttemptKey key, Outcome outcome) {
  std::unique_lock lock(mutex_);
  inbox_.outcomes.emplace_back(key, std::move(outcome));
  wake_locked(lock);
}

void Loop::progressed(AttemptKey key, double fraction, Text message) {
  std::unique_lock lock(mutex_);
  inbox_.reports.push_back({key, fraction, std::move(message)});
  wake_locked(lock);
}

void Loop::turn() {
  {
    const std::lock_guard lock(mutex_);
    std::swap(inbox_, taken_);
    woken_ = false;
  }
  // Reports first: whoever asks how far a call is finds what it said before. Then signals: one that was sent before an attempt was
  // handed over finds it in time to withdraw it.
  for (auto& report : taken_.reports) core_->progressed(report.key, report.fraction, std::move(report.message));
  for (auto& call : taken_.calls) call(*core_);
  for (auto& [key, outcome] : taken_.outcomes) core_->outcome(key, std::move(outcome));
  if (!taken_.committed.empty()) core_->committed(std::move(taken_.committed));
  core_->tick();
  taken_.calls.clear();
  taken_.outcomes.clear();
  taken_.reports.clear();
  taken_.committed.clear();
  rearm(core_->settle());
}

void Loop::rearm(std::optional<Time> next) {
  // One that is armed for earlier stays: most deadlines are time-outs that are never reached, and each new one would cost the kernel's timer
  // a call or three. It then goes off once for nothing.
  if (!next || (armed_ && *armed_ <= *next)) return;
  armed_ = next;
  timer_.expires_after(std::clamp(*next - clock_.now(), Duration(0), kLongestWait));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    armed_.reset();
    turn();
  });
}

}  // namespace cogwork
