#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "cogwork/base/time.h"

namespace cogwork {

/// Something that happens once, and that others wait for. Any thread may call anything.
class Completion {
 public:
  /// Idempotent. Calls what on_done registered, on this thread, outside the lock.
  void set() {
    std::vector<Watcher> watchers;
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      done_ = true;
      watchers.swap(watchers_);
    }
    changed_.notify_all();
    for (auto& watcher : watchers) watcher.call();
  }
  bool done() const {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }
  /// False where the time ran out.
  bool wait_for(Duration timeout) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [this] { return done_; });
  }
  /// Calls `watcher` when it is done: at once, on this thread, where it is already; else on the thread that sets it. It must
  /// not block. Returns a ticket for forget().
  std::uint64_t on_done(std::function<void()> watcher) {
    {
      const std::lock_guard lock(mutex_);
      if (!done_) {
        watchers_.push_back({++last_ticket_, std::move(watcher)});
        return last_ticket_;
      }
    }
    watcher();
    return 0;
  }
  /// For who gives up waiting: what is waited for again and again, a little each time, would gather watchers. One that is being
  /// called already is not waited for.
  void forget(std::uint64_t ticket) {
    Watcher watcher;  // let go of outside the lock, as it may hold anything
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(watchers_.begin(), watchers_.end(), [&](const Watcher& w) { return w.ticket == ticket; });
    if (found == watchers_.end()) return;
    watcher = std::move(*found);
    watchers_.erase(found);
  }

 private:
  struct Watcher {
    std::uint64_t ticket = 0;
    std::function<void()> call;
  };
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
  std::uint64_t last_ticket_ = 0;
  std::vector<Watcher> watchers_;
};

}  // namespace cogwork
