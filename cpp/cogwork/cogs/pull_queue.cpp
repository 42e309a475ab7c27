#include "cogwork/cogs/pull_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "cogwork/base/shortage.h"
#include "cogwork/cogs/labor_log.h"

namespace cogwork {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr int kCallsToMeasure = 8;
constexpr double kBrief_us = 250;
/// How long a call waits behind a short one before another thread takes it.
constexpr milliseconds kPatience{1};
/// One call that hung for a minute says no more about the Cog than one of a millisecond: not short.
constexpr double kMostCounted_us = 1000;
/// The weight of a new sample is one in eight.
constexpr double kMemory = 8;
constexpr std::size_t kMeasuresToPrune = 64;
constexpr Duration kLongestSleep = std::chrono::hours(24 * 365);  // so that adding it to now cannot overflow

}  // namespace

/// How long the calls of one Cog take. A Cog that is registered anew is measured anew.
struct Call::Measure {
  double average_us = 0;
  int calls = 0;

  void count(double us) {
    us = std::min(us, kMostCounted_us);
    calls = std::min(calls + 1, kCallsToMeasure);
    // The plain mean of the first few, then a moving one.
    average_us += (us - average_us) / std::min<double>(calls, kMemory);
  }
  bool brief() const { return calls >= kCallsToMeasure && average_us < kBrief_us; }
};

PullQueue::PullQueue(OutcomeSink& sink, int limit) : sink_(sink), limit_(std::max(limit, 1)) {}

PullQueue::~PullQueue() = default;

// ---- the scheduler's side ----

void PullQueue::start(AttemptRequest request) {
  auto call = std::make_shared<Call>(std::move(request));
  Waiter* waiter = nullptr;
  Event event;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    call->measure_ = measure_of(call->request_.cog);
    call->queued_ = steady_clock::now();
    queue_.push_back(std::move(call));
    waiter = next_to_wake();
    event = event_to_signal();
  }
  wake(waiter);
  signal(event);
}

std::optional<SteadyTime> PullQueue::called(AttemptKey key) const {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(key);
  if (found == running_.end()) return std::nullopt;
  const auto called = found->second->called_.load(std::memory_order_relaxed);
  return called == kNeverDue ? std::nullopt : std::optional(called);
}

void PullQueue::interrupt(AttemptKey key) {
  std::shared_ptr<Call> unbegun;
  Event event;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = running_.find(key); it != running_.end()) {
      auto& call = it->second;
      if (call->cancelled_.exchange(true, std::memory_order_acq_rel)) return;
      if (call->drained_) {
        cancels_.push_back(call);
        event = event_to_signal();
      }
    } else {
      const auto waits = std::find_if(queue_.begin(), queue_.end(), [key](const auto& c) { return c->request_.key == key; });
      if (waits == queue_.end()) return;
      unbegun = std::move(*waits);
      queue_.erase(waits);
      unbegun->cancelled_.store(true, std::memory_order_release);
      unbegun->finished_ = true;
    }
  }
  if (unbegun) {
    Outcome outcome;
    outcome.status = AttemptStatus::WITHDRAWN;
    sink_.ended(key, std::move(outcome));
    return;
  }
  cancelled_.notify_all();
  signal(event);
}

void PullQueue::abandon(AttemptKey key) {
  std::shared_ptr<Call> dropped;  // outlives the lock
  const std::lock_guard lock(mutex_);
  if (const auto it = running_.find(key); it != running_.end()) {
    dropped = std::move(it->second);
    running_.erase(it);
    end_brief(*dropped);
    dropped->abandoned_ = true;
    ++abandoned_;
    ++abandoned_ever_;
    return;
  }
  const auto waits = std::find_if(queue_.begin(), queue_.end(), [key](const auto& c) { return c->request_.key == key; });
  if (waits == queue_.end()) return;
  dropped = std::move(*waits);
  dropped->finished_ = true;
  queue_.erase(waits);
}

// ---- threads that take ----
//
// At every moment, while calls wait and takers wait, one of these takers is about to look: it was woken (waking_), or it is the
// sentinel, who has set itself a time. Whoever changes something - a push, a take, a taker that goes - restores that with
// next_to_wake() before it gives up the lock.

/// Whether the front call is for whoever asks now. While a short call runs, its own thread will be back for the next in
/// a moment - unless the next has waited too long to believe that. Each further thread asks for more of a wait: so many
/// thousand short calls at once do not bring in a crowd that does nothing but pass the GIL around.
bool PullQueue::may_take_front(Moment now) {
  if (queue_.empty()) return false;
  // Those that have run for so long were not short this time, and nobody waits for them.
  std::erase_if(brief_, [&](Call* call) {
    if (call->taken_.load(std::memory_order_relaxed) + kPatience > now) return false;
    call->brief_ = false;
    return true;
  });
  return now >= front_due();
}

PullQueue::Moment PullQueue::front_due() const { return queue_.front()->queued_ + kPatience * brief_.size(); }

PullQueue::Taken PullQueue::take_front(Moment now) {
  Taken taken;
  taken.call = std::move(queue_.front());
  queue_.pop_front();
  auto& call = *taken.call;
  call.taken_.store(now, std::memory_order_relaxed);
  if (call.measure_->brief()) {
    call.brief_ = true;
    brief_.push_back(&call);
  }
  running_.emplace(call.request_.key, taken.call);
  if (idle() == 0 && starting_ == 0 && threads_ - ending_ < limit_ + abandoned_ + 1) {
    taken.grow = true;
    ++starting_;
  }
  return taken;
}

bool PullQueue::is_surplus() const { return threads_ - ending_ > limit_ + abandoned_ + 1; }

std::optional<PullQueue::Taken> PullQueue::try_take() {
  Taken taken;
  Waiter* waiter = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Taken{};
    if (is_surplus()) {
      ++ending_;
      return Taken{};
    }
    if (queue_.empty()) return std::nullopt;
    const auto now = steady_clock::now();
    if (!may_take_front(now)) return std::nullopt;
    taken = take_front(now);
    waiter = next_to_wake();
  }
  wake(waiter);
  return taken;
}

PullQueue::Taken PullQueue::take() {
  Taken taken;
  Waiter* waiter = nullptr;
  {
    std::unique_lock lock(mutex_);
    while (true) {
      if (closed_) return {};
      if (is_surplus()) {
        ++ending_;
        waiter = next_to_wake();  // this one may have been woken for a call
        break;
      }
      if (queue_.empty()) {
        wait(lock, std::nullopt);
        continue;
      }
      const auto now = steady_clock::now();
      if (may_take_front(now)) {
        taken = take_front(now);
        waiter = next_to_wake();
        break;
      }
      if (sentinel_) {
        wait(lock, std::nullopt);
      } else {
        wait(lock, std::min(front_due(), now + kPatience));
      }
    }
  }
  wake(waiter);
  return taken;
}

/// The taker to wake now, if any; to be notified when the lock is given up.
PullQueue::Waiter* PullQueue::next_to_wake() {
  if (queue_.empty() || waiting_.empty() || waking_ > 0) return nullptr;
  if (!brief_.empty() && sentinel_) return nullptr;
  auto* waiter = waiting_.back();
  waiting_.pop_back();
  if (sentinel_ == waiter) sentinel_ = nullptr;
  waiter->woken = true;
  ++waking_;
  return waiter;
}

void PullQueue::wake(Waiter* waiter) {
  if (waiter) waiter->woken_up.notify_one();
}

/// Waits until woken; with `until`, as the sentinel, at most so long.
void PullQueue::wait(std::unique_lock<std::mutex>& lock, std::optional<Moment> until) {
  if (spare_.empty()) spare_.push_back(waiters_.emplace_back(std::make_unique<Waiter>()).get());
  auto* waiter = spare_.back();
  spare_.pop_back();
  waiter->woken = false;
  waiting_.push_back(waiter);
  if (until) {
    sentinel_ = waiter;
    waiter->woken_up.wait_until(lock, *until, [waiter] { return waiter->woken; });
  } else {
    waiter->woken_up.wait(lock, [waiter] { return waiter->woken; });
  }
  if (waiter->woken) {
    --waking_;
  } else {
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), waiter));
    sentinel_ = nullptr;
  }
  spare_.push_back(waiter);
}

void PullQueue::enter() {
  const std::lock_guard lock(mutex_);
  if (starting_ > 0) --starting_;
  ++threads_;
}

void PullQueue::leave() {
  Waiter* waiter = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (ending_ > 0) --ending_;
    --threads_;
    waiter = next_to_wake();
    left_.notify_all();  // under the lock: whoever waited may let go of the queue
  }
  wake(waiter);
}

void PullQueue::not_grown() {
  const std::lock_guard lock(mutex_);
  if (starting_ > 0) --starting_;
}

// ---- event loops ----

PullQueue::Drained PullQueue::drain() {
  // First the descriptor, then the queue: what comes in between makes it readable again, once too often at worst.
  const auto event = current_event();
  std::uint64_t count = 0;
  while (event && read(event->get(), &count, sizeof count) < 0 && errno == EINTR) {
  }
  Drained drained;
  std::deque<std::shared_ptr<Call>> calls;
  std::vector<std::shared_ptr<Call>> cancels;
  {
    const std::lock_guard lock(mutex_);
    signalled_ = false;
    calls.swap(queue_);
    cancels.swap(cancels_);
    const auto now = calls.empty() ? Moment{} : steady_clock::now();
    for (const auto& call : calls) {
      call->taken_.store(now, std::memory_order_relaxed);
      call->drained_ = true;
      running_.emplace(call->request_.key, call);
    }
    std::erase_if(cancels, [](const auto& call) { return call->finished_; });
    drained.closed = closed_;
  }
  drained.calls.assign(std::make_move_iterator(calls.begin()), std::make_move_iterator(calls.end()));
  drained.cancelled.reserve(cancels.size());
  for (const auto& call : cancels) drained.cancelled.push_back(call->request_.key);
  return drained;
}

int PullQueue::fd() {
  const std::lock_guard lock(mutex_);
  if (!event_) {
    Descriptor made(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!made) throw_shortage("the calls of an event loop", {errno, std::generic_category()});
    event_ = std::make_shared<const Descriptor>(std::move(made));
    signalled_ = false;
    if (!queue_.empty() || !cancels_.empty() || closed_) signal(event_to_signal());
  }
  return event_->get();
}

void PullQueue::let_go_of_fd() {
  Event last;  // closed outside the lock
  const std::lock_guard lock(mutex_);
  last.swap(event_);
}

PullQueue::Event PullQueue::current_event() const {
  const std::lock_guard lock(mutex_);
  return event_;
}

/// Something once, until the next drain: a queue that nobody drains costs one write in its life.
PullQueue::Event PullQueue::event_to_signal() { return event_ && !std::exchange(signalled_, true) ? event_ : nullptr; }

void PullQueue::signal(const Event& event) {
  if (!event) return;
  const std::uint64_t one = 1;
  while (write(event->get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

// ---- reports ----

void PullQueue::finish(const std::shared_ptr<Call>& call, Outcome outcome) {
  if (call->spoke_.load(std::memory_order_relaxed)) call->request_.log->end(call->request_);
  std::shared_ptr<Call> ours;  // gives up its count outside the lock
  const auto now = steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(call->finished_, true)) return;
    const std::chrono::duration<double, std::micro> took = now - call->taken_.load(std::memory_order_relaxed);
    call->measure_->count(took.count());
    end_brief(*call);
    if (call->abandoned_) {
      --abandoned_;
      return;
    }
    outcome.unasked = !call->cancelled();
    if (const auto it = running_.find(call->request_.key); it != running_.end()) {
      ours = std::move(it->second);
      running_.erase(it);
    }
  }
  sink_.ended(call->request_.key, std::move(outcome));
}

void PullQueue::progress(const Call& call, double fraction, Text message) {
  {
    const std::lock_guard lock(mutex_);
    if (call.finished_ || call.abandoned_) return;
  }
  sink_.progressed(call.request_.key, fraction, std::move(message));
}

void PullQueue::log(const Call& call, std::string_view lines) {
  if (!call.request_.log) return;
  call.spoke_.store(true, std::memory_order_relaxed);
  call.request_.log->add(call.request_, lines);
}

bool PullQueue::sleep(const Call& call, Duration span) {
  std::unique_lock lock(mutex_);
  const auto until = steady_clock::now() + std::min(span, kLongestSleep);
  return !cancelled_.wait_until(lock, until, [&] { return call.cancelled() || closed_; });
}

void PullQueue::close() {
  std::deque<std::shared_ptr<Call>> dropped;
  std::vector<Waiter*> woken;
  Event event;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    dropped.swap(queue_);
    for (const auto& call : dropped) call->finished_ = true;
    woken.swap(waiting_);
    sentinel_ = nullptr;
    waking_ += static_cast<int>(woken.size());
    for (auto* waiter : woken) waiter->woken = true;
    event = event_to_signal();
  }
  for (auto* waiter : woken) wake(waiter);
  cancelled_.notify_all();
  signal(event);
}

bool PullQueue::wait_for_leavers(Duration most) {
  std::unique_lock lock(mutex_);
  return left_.wait_for(lock, most, [this] { return threads_ + starting_ <= static_cast<int>(running_.size()) + abandoned_; });
}

PullQueue::Figures PullQueue::figures() const {
  const std::lock_guard lock(mutex_);
  Figures f;
  f.threads = threads_;
  f.idle = idle();
  f.queued = static_cast<int>(queue_.size());
  f.running = static_cast<int>(running_.size());
  f.abandoned = abandoned_;
  f.abandoned_ever = abandoned_ever_;
  return f;
}

// ---- short Cogs ----

void PullQueue::end_brief(Call& call) {
  if (!std::exchange(call.brief_, false)) return;
  brief_.erase(std::find(brief_.begin(), brief_.end(), &call));
}

std::shared_ptr<Call::Measure> PullQueue::measure_of(const std::shared_ptr<const CogInfo>& cog) {
  // Another Cog may come to lie where one was that is gone: the weak pointer tells.
  if (const auto it = measured_.find(cog.get()); it != measured_.end() && it->second.cog.lock() == cog) {
    return it->second.measure;
  }
  if (measured_.size() >= kMeasuresToPrune) {
    std::erase_if(measured_, [](const auto& m) { return m.second.cog.expired(); });
  }
  return measured_.insert_or_assign(cog.get(), Measured{cog, std::make_shared<Call::Measure>()}).first->second.measure;
}

}  // namespace cogwork
