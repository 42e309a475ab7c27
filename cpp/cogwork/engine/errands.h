#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace cogwork {

/// A few threads for what may wait - for the store's reading, say - so that the scheduler thread never does. Threads begin when they are
/// needed. Any thread may call anything.
class Errands {
 public:
  using Errand = std::function<void()>;

  /// most: how many threads there may be, and so how many errands may hang before the next has to wait.
  explicit Errands(int most);
  ~Errands();
  Errands(const Errands&) = delete;
  Errands& operator=(const Errands&) = delete;

  /// Never waits. An errand must not throw. Throws ResourceError where there is no thread and none can be started; after stop() it does nothing.
  void post(Errand errand);
  /// Drops what has not begun, and waits until `deadline` for what has. A thread that hangs then is left to itself: what its errand uses, it must
  /// hold. Idempotent; not from an errand.
  void stop(std::chrono::steady_clock::time_point deadline);

 private:
  struct Shared;
  static void work(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

/// Errands of one customer: one after another, in the order in which they were posted. So who asks for much, or for what hangs, holds one thread
/// and no more. Any thread.
class ErrandChain : public std::enable_shared_from_this<ErrandChain> {
 public:
  explicit ErrandChain(std::shared_ptr<Errands> errands) : errands_(std::move(errands)) {}

  /// As Errands::post.
  void post(Errands::Errand errand);

 private:
  void next();

  const std::shared_ptr<Errands> errands_;
  std::mutex mutex_;
  std::deque<Errands::Errand> waiting_;
  bool busy_ = false;  // one of them is under way, or about to be
};

}  // namespace cogwork
