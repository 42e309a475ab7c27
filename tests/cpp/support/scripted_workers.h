#pragma once

#include <poll.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cogwork/cogs/pull_queue.h"

namespace cogwork::test {

/// Calls wait in it until the test opens it. Deaf: a call in it does not notice that it is to end.
class Gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    ++entered_;
    most_ = std::max(most_, ++inside_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --inside_;
    changed_.notify_all();
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void shut() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void wait_for(int entered) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= entered; });
  }
  void wait_until_empty() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == 0; });
  }
  int entered() const {
    const std::lock_guard lock(mutex_);
    return entered_;
  }
  int most() const {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0, inside_ = 0, most_ = 0;
  bool open_ = false;
};

using Function = std::function<Outcome(const Call&)>;

inline Outcome answer(AttemptStatus status, std::string error = {}) {
  Outcome outcome;
  outcome.status = status;
  outcome.error = Text(error);
  return outcome;
}
inline Outcome output(std::string_view msgpack) {
  Outcome outcome;
  outcome.output = Text(msgpack);
  return outcome;
}

/// Cogs in C++. Plain ones are functions that run in threads which pull, grow and end as Python's workers do; async ones are served by one
/// thread that watches the queue's descriptor, as an event loop does, and wait until the test answers them.
class ScriptedWorkers {
 public:
  /// Two Cogs are there already: "ok", and "polite", which waits until it is asked to end.
  explicit ScriptedWorkers(std::map<std::string, Function> functions) : functions_(std::move(functions)) {
    functions_.emplace("ok", [](const Call&) { return Outcome{}; });
    functions_.emplace("fail", [](const Call&) { return answer(AttemptStatus::FAILURE, "it failed"); });
  }
  /// The queues must have been closed.
  ~ScriptedWorkers() { join(); }
  ScriptedWorkers(const ScriptedWorkers&) = delete;

  void join() {
    while (true) {
      std::vector<std::thread> threads;
      {
        const std::lock_guard lock(mutex_);
        threads.swap(threads_);
      }
      if (threads.empty()) return;
      for (auto& thread : threads) thread.join();
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names{"polite"};
    for (const auto& [name, function] : functions_) names.push_back(name);
    return names;
  }

  void serve(const std::shared_ptr<PullQueue>& queue) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, queue] {
      queue->enter();
      while (true) {
        auto taken = queue->try_take();
        if (!taken) taken = queue->take();
        if (!taken->call) break;
        if (taken->grow) serve(queue);
        taken->call->begun();
        begun(*taken->call);
        auto outcome = run(*queue, *taken->call);
        ended();
        queue->finish(taken->call, std::move(outcome));
      }
      queue->leave();
    });
  }

  // ---- an event loop ----

  void serve_async(const std::shared_ptr<PullQueue>& queue) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, queue] {
      pollfd waiting{queue->fd(), POLLIN, 0};
      while (true) {
        poll(&waiting, 1, -1);
        auto drained = queue->drain();
        for (auto& call : drained.calls) {
          {
            const std::lock_guard guard(mutex_);
            held_.emplace(call->request().key, std::pair(queue, call));
          }
          call->begun();
          begun(*call);
        }
        for (const auto key : drained.cancelled) {
          if (!deaf_) finish_async(key, answer(AttemptStatus::FAILURE, "cancelled"));
        }
        if (drained.closed) return;
      }
    });
  }
  /// Async calls do not notice that they are to end.
  void deafen() { deaf_ = true; }
  std::vector<AttemptKey> async_calls() const {
    const std::lock_guard lock(mutex_);
    std::vector<AttemptKey> keys;
    for (const auto& [key, held] : held_) keys.push_back(key);
    return keys;
  }
  /// False where no such call waits any more.
  bool finish_async(AttemptKey key, Outcome outcome) {
    std::pair<std::shared_ptr<PullQueue>, std::shared_ptr<Call>> held;
    {
      const std::lock_guard lock(mutex_);
      const auto found = held_.find(key);
      if (found == held_.end()) return false;
      held = std::move(found->second);
      held_.erase(found);
    }
    ended();
    held.first->finish(held.second, std::move(outcome));
    return true;
  }

  // ---- figures ----

  int running() const {
    const std::lock_guard lock(mutex_);
    return running_;
  }
  int most() const {
    const std::lock_guard lock(mutex_);
    return most_;
  }
  int calls(const std::string& cog) const {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(cog);
    return found == calls_.end() ? 0 : found->second;
  }
  /// Waits until that many calls run at once.
  void wait_for_running(int count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_ >= count; });
  }
  void wait_for_calls(const std::string& cog, int count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return calls_[cog] >= count; });
  }

 private:
  Outcome run(PullQueue& queue, const Call& call) {
    const auto& name = call.request().cog->name;
    if (name != "polite") {
      const auto found = functions_.find(name);
      return found == functions_.end() ? Outcome{} : found->second(call);  // of a Cog that a test made known later
    }
    queue.sleep(call, std::chrono::hours(1));
    return answer(AttemptStatus::FAILURE, "asked to end");
  }
  void begun(const Call& call) {
    const std::lock_guard lock(mutex_);
    ++calls_[call.request().cog->name];
    most_ = std::max(most_, ++running_);
    changed_.notify_all();
  }
  void ended() {
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
  }

  std::map<std::string, Function> functions_;  // constant once threads run
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<std::thread> threads_;
  std::map<AttemptKey, std::pair<std::shared_ptr<PullQueue>, std::shared_ptr<Call>>> held_;
  mutable std::map<std::string, int> calls_;
  int running_ = 0, most_ = 0;
  std::atomic<bool> deaf_{false};
};

}  // namespace cogwork::test
