#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace cogwork {

/// One thread for what may wait - for the scheduler's answer, for the store - so that the scheduler thread never does. Errands run one
/// after another, in the order in which they were posted; the thread begins with the first. Any thread may post.
class Errands {
 public:
  Errands() = default;
  ~Errands() { stop(); }

  void post(std::function<void()> errand);
  /// Waits for the errand that is under way and drops the others. Idempotent; not from an errand.
  void stop();

 private:
  void begin();
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> errands_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cogwork
