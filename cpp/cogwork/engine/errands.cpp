#include "cogwork/engine/errands.h"

#include <csignal>
#include <utility>

namespace cogwork {

void Errands::begin() {
  // Signals are for the host's own threads: Ctrl-C must reach Python's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Errands::post(std::function<void()> errand) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    errands_.push_back(std::move(errand));
    if (!thread_.joinable()) begin();
  }
  changed_.notify_one();
}

void Errands::stop() {
  std::deque<std::function<void()>> dropped;  // let go of outside the lock, as they may hold anything
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(errands_);
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Errands::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !errands_.empty(); });
    if (stopping_) return;
    auto errand = std::move(errands_.front());
    errands_.pop_front();
    lock.unlock();
    errand();
    errand = nullptr;
    lock.lock();
  }
}

}  // namespace cogwork
