#include "cogwork/cogs/pull_queue.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace cogwork {
namespace {

using Steady = std::chrono::steady_clock;

// A Cog is brief once it was seen this often and takes less than this on average.
constexpr int kMeasuredCalls = 8;
constexpr double kBriefMicros = 250;
// How long a call may wait behind a brief one before another thread takes over.
constexpr auto kPatience = std::chrono::milliseconds(1);

}  // namespace

PullQueue::PullQueue(OutcomeSink& sink, int limit) : sink_(sink), limit_(limit), fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) throw std::runtime_error("cannot make an eventfd: too many open files?");
}

PullQueue::~PullQueue() { ::close(fd_); }

void PullQueue::start(AttemptRequest request) {
  auto call = std::make_shared<Call>(std::move(request));
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    call->queued_ = Steady::now();
    queue_.push_back(std::move(call));
  }
  arrived_.notify_one();
  signal_fd();
}

void PullQueue::interrupt(AttemptKey key) {
  std::shared_ptr<Call> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (const auto running = running_.find(key); running != running_.end()) {
      running->second->cancelled_.store(true, std::memory_order_release);
      if (watched_) cancels_.push_back(key);
    } else {
      for (auto it = queue_.begin(); it != queue_.end(); ++it) {
        if ((*it)->request_.key != key) continue;
        waiting = std::move(*it);
        queue_.erase(it);
        break;
      }
    }
  }
  cancelled_.notify_all();
  signal_fd();
  if (!waiting) return;
  Outcome outcome;
  outcome.status = AttemptStatus::FAILURE;
  outcome.error = "interrupted before it began";
  sink_.ended(key, std::move(outcome));
}

void PullQueue::abandon(AttemptKey key) {
  {
    const std::lock_guard lock(mutex_);
    const auto running = running_.find(key);
    if (running == running_.end()) return;
    auto& call = *running->second;
    call.abandoned_ = true;
    if (std::exchange(call.brief_, false)) --brief_running_;
    running_.erase(running);
    ++abandoned_;
    ++abandoned_ever_;
  }
  arrived_.notify_one();
}

bool PullQueue::is_brief(const Call& call) const {
  const auto found = measured_.find(call.request_.cog.get());
  return found != measured_.end() && found->second.calls >= kMeasuredCalls && found->second.average_us < kBriefMicros;
}

PullQueue::Taken PullQueue::take_front(std::unique_lock<std::mutex>& lock) {
  Taken taken;
  taken.call = std::move(queue_.front());
  queue_.pop_front();
  auto& call = *taken.call;
  call.taken_ = Steady::now();
  call.brief_ = is_brief(call);
  if (call.brief_) ++brief_running_;
  running_.emplace(call.request_.key, taken.call);
  if (idle_ + starting_ == 0 && threads_ < limit_ + abandoned_ + 1) {
    taken.grow = true;
    ++starting_;
  }
  const bool wake_next = !queue_.empty() && brief_running_ == 0;
  lock.unlock();
  if (wake_next) arrived_.notify_one();
  return taken;
}

std::optional<PullQueue::Taken> PullQueue::try_take() {
  std::unique_lock lock(mutex_);
  if (closed_) return Taken{};
  if (queue_.empty() || threads_ > limit_ + abandoned_ + 1) return std::nullopt;
  return take_front(lock);
}

PullQueue::Taken PullQueue::take() {
  std::unique_lock lock(mutex_);
  ++idle_;
  while (true) {
    if (closed_ || threads_ > limit_ + abandoned_ + 1) {
      --idle_;
      return {};
    }
    if (queue_.empty()) {
      arrived_.wait(lock);
      continue;
    }
    // Somebody who runs a brief call comes back for this one in a moment; waking up beside it would only pass the GIL to and fro.
    const auto patience = queue_.front()->queued_ + kPatience;
    if (brief_running_ > 0 && Steady::now() < patience) {
      arrived_.wait_until(lock, patience);
      continue;
    }
    --idle_;
    return take_front(lock);
  }
}

void PullQueue::enter() {
  const std::lock_guard lock(mutex_);
  ++threads_;
  if (starting_ > 0) --starting_;
}

void PullQueue::leave() {
  const std::lock_guard lock(mutex_);
  --threads_;
}

PullQueue::Drained PullQueue::drain() {
  std::uint64_t count = 0;
  while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
  }
  Drained drained;
  const std::lock_guard lock(mutex_);
  drained.cancelled.swap(cancels_);
  while (!queue_.empty()) {
    auto& call = drained.calls.emplace_back(std::move(queue_.front()));
    queue_.pop_front();
    call->taken_ = Steady::now();
    running_.emplace(call->request_.key, call);
  }
  return drained;
}

void PullQueue::finish(const std::shared_ptr<Call>& call, Outcome outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (call->abandoned_) {
      call->abandoned_ = false;
      --abandoned_;
      return;
    }
    if (running_.erase(call->request_.key) == 0) return;  // answered before
    if (std::exchange(call->brief_, false)) --brief_running_;
    const double took = std::chrono::duration<double, std::micro>(Steady::now() - call->taken_).count();
    auto& measure = measured_[call->request_.cog.get()];
    measure.average_us += (took - measure.average_us) / std::min(++measure.calls, 32);
  }
  sink_.ended(call->request_.key, std::move(outcome));
}

void PullQueue::progress(const Call& call, double fraction, Text message) {
  sink_.progressed(call.request_.key, fraction, std::move(message));
}

bool PullQueue::sleep(const Call& call, Duration span) {
  std::unique_lock lock(mutex_);
  return !cancelled_.wait_for(lock, span, [&] { return call.cancelled() || closed_; });
}

void PullQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
  }
  arrived_.notify_all();
  cancelled_.notify_all();
  signal_fd();
}

int PullQueue::fd() {
  if (!watched_.exchange(true)) signal_fd();  // what came before is to be seen too
  return fd_;
}

void PullQueue::signal_fd() {
  if (!watched_) return;
  const std::uint64_t one = 1;
  while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

PullQueue::Figures PullQueue::figures() const {
  const std::lock_guard lock(mutex_);
  Figures f;
  f.threads = threads_;
  f.idle = idle_;
  f.queued = static_cast<int>(queue_.size());
  f.running = static_cast<int>(running_.size());
  f.abandoned = abandoned_;
  f.abandoned_ever = abandoned_ever_;
  return f;
}

}  // namespace cogwork
