#include "cogwork/engine/errands.h"

#include <condition_variable>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/base/thread.h"

namespace cogwork {

struct Errands::Shared {
  explicit Shared(int most_in) : most(most_in) {}
  const int most;
  std::mutex mutex;
  std::condition_variable posted, ended;
  std::deque<Errand> waiting;
  int threads = 0;
  int idle = 0;
  bool stopping = false;
};

Errands::Errands(int most) : shared_(std::make_shared<Shared>(most)) {}

Errands::~Errands() { stop(std::chrono::steady_clock::now()); }

void Errands::post(Errand errand) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->stopping) return;
    shared_->waiting.push_back(std::move(errand));
    if (static_cast<int>(shared_->waiting.size()) > shared_->idle && shared_->threads < shared_->most) {
      try {
        start_thread("requests that read the store", [shared = shared_] { work(shared); }).detach();
        ++shared_->threads;
      } catch (const ResourceError&) {
        if (shared_->threads == 0) {
          shared_->waiting.pop_back();
          throw;
        }
      }
    }
  }
  shared_->posted.notify_one();
}

void Errands::stop(std::chrono::steady_clock::time_point deadline) {
  std::deque<Errand> dropped;  // let go of outside the lock, as they may hold anything
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  dropped.swap(shared_->waiting);
  shared_->posted.notify_all();
  shared_->ended.wait_until(lock, deadline, [this] { return shared_->threads == 0; });
  lock.unlock();
}

void Errands::work(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  while (true) {
    ++shared->idle;
    shared->posted.wait(lock, [&] { return shared->stopping || !shared->waiting.empty(); });
    --shared->idle;
    if (shared->stopping) break;
    auto errand = std::move(shared->waiting.front());
    shared->waiting.pop_front();
    lock.unlock();
    errand();
    errand = nullptr;
    lock.lock();
  }
  --shared->threads;
  shared->ended.notify_all();
}

void ErrandChain::post(Errands::Errand errand) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(errand));
  if (busy_) return;
  try {
    errands_->post([self = shared_from_this()] { self->next(); });
    busy_ = true;
  } catch (...) {
    waiting_.pop_back();
    throw;
  }
}

void ErrandChain::next() {
  Errands::Errand errand;
  {
    const std::lock_guard lock(mutex_);
    errand = std::move(waiting_.front());
    waiting_.pop_front();
  }
  errand();
  errand = nullptr;
  const std::lock_guard lock(mutex_);
  busy_ = !waiting_.empty();
  if (busy_) errands_->post([self = shared_from_this()] { self->next(); });  // behind others: it is their turn
}

}  // namespace cogwork
