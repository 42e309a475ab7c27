#include "cogwork/cogs/process_loop.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <utility>

namespace cogwork {

void PostThread::post(std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  boost::asio::post(io_, std::move(call));
  if (thread_.joinable()) return;
  // Signals are for the host's own threads, and a write to a process that is gone must not be one.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
#ifdef __linux__
    pthread_setname_np(pthread_self(), name_);
#endif
    const auto work = boost::asio::make_work_guard(io_);
    io_.run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool PostThread::begun() {
  const std::lock_guard lock(mutex_);
  return thread_.joinable();
}

void PostThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopped_, true) || !thread_.joinable()) return;
    boost::asio::post(io_, [this] { io_.stop(); });
  }
  thread_.join();
}

}  // namespace cogwork
