#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "cogwork/base/time.h"

namespace cogwork {

/// Something that happens once, and that others wait for. Any thread may call anything.
class Completion {
 public:
  /// Idempotent. Calls what on_done registered, on this thread, outside the lock.
  void set() {
    std::vector<std::function<void()>> watchers;
    {
      const std::lock_guard lock(mutex_);
      if (done_) return;
      done_ = true;
      watchers.swap(watchers_);
    }
    changed_.notify_all();
    for (auto& watcher : watchers) watcher();
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
  /// not block.
  void on_done(std::function<void()> watcher) {
    {
      const std::lock_guard lock(mutex_);
      if (!done_) {
        watchers_.push_back(std::move(watcher));
        return;
      }
    }
    watcher();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
  std::vector<std::function<void()>> watchers_;
};

}  // namespace cogwork
