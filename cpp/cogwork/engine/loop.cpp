#include "cogwork/engine/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>

#include "cogwork/base/thread.h"

namespace cogwork {

Loop::Loop()
    : asio_(std::make_shared<Asio>([this] {
        armed_.reset();
        turn();
      })) {}

void Loop::start(Core& core) {
  core_ = &core;
  thread_ = start_thread("the engine's scheduler", [this] { run(); });
}

void Loop::run() {
  try {
    const auto work = boost::asio::make_work_guard(asio_->io);
    asio_->io.run();
  } catch (const std::exception& error) {
    // In the middle of a step: what is in memory is half of it, and must not become durable. What is stored is whole, and the next engine
    // goes on from there, as after a kill.
    std::fprintf(stderr, "cogwork: the engine's scheduler failed, and ends the process before anything wrong is stored: %s\n",
                 error.what());
    std::abort();
  }
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  boost::asio::post(asio_->io, [this] {
    turn();
    asio_->io.stop();
  });
  thread_.join();
  std::shared_ptr<Asio> gone;  // outside the lock: what waits in it may hold anything
  const std::lock_guard lock(mutex_);
  gone.swap(asio_);
}

template <typename Put>
void Loop::put(Put what) {
  std::shared_ptr<Asio> wake;
  {
    const std::lock_guard lock(mutex_);
    if (!asio_) return;
    what(inbox_);
    if (!std::exchange(woken_, true)) wake = asio_;
  }
  if (wake) boost::asio::post(wake->io, [this] { turn(); });
}

void Loop::post(std::function<void(Core&)> call) {
  put([&](Inbox& inbox) { inbox.calls.push_back(std::move(call)); });
}

void Loop::committed(std::vector<CommitResult> results) {
  put([&](Inbox& inbox) {
    if (inbox.committed.empty()) {
      inbox.committed = std::move(results);
    } else {
      std::move(results.begin(), results.end(), std::back_inserter(inbox.committed));
    }
  });
}

void Loop::ended(AttemptKey key, Outcome outcome) {
  put([&](Inbox& inbox) { inbox.outcomes.emplace_back(key, std::move(outcome)); });
}

void Loop::progressed(AttemptKey key, double fraction, Text message) {
  put([&](Inbox& inbox) { inbox.reports.push_back({key, fraction, std::move(message)}); });
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

void Loop::rearm(std::optional<SteadyTime> next) {
  // One that is armed for earlier stays: most deadlines are time-outs that are never reached, and each new one would cost a call of the
  // kernel. It then goes off once for nothing.
  if (!next || (armed_ && *armed_ <= *next)) return;
  armed_ = next;
  asio_->timer.set(*next);
}

}  // namespace cogwork
