#include "cogwork/engine/submit_desk.h"

#include <algorithm>
#include <utility>

namespace cogwork {

bool SubmitDesk::put(Call call, Reply reply) {
  {
    const std::lock_guard lock(mutex_);
    if (!attended_ || closed_) return false;
    call.token = ++last_token_;
    replies_.emplace(call.token, std::move(reply));
    calls_.push_back(std::move(call));
  }
  changed_.notify_one();
  return true;
}

/// The first whose client has none that is looked at.
std::deque<SubmitDesk::Call>::iterator SubmitDesk::next() {
  return std::ranges::find_if(calls_, [this](const Call& call) {
    return std::ranges::none_of(looking_, [&](const auto& one) { return one.second == call.client; });
  });
}

std::optional<SubmitDesk::Taken> SubmitDesk::take() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.wait(lock, [this] { return closed_ || next() != calls_.end(); });
  --waiting_;
  if (closed_) return std::nullopt;
  const auto found = next();
  Taken taken{std::move(*found), waiting_ == 0};
  calls_.erase(found);
  looking_.emplace(taken.call.token, taken.call.client);
  return taken;
}

void SubmitDesk::looked_at(std::uint64_t token) {
  {
    const std::lock_guard lock(mutex_);
    looking_.erase(token);
  }
  changed_.notify_one();
}

void SubmitDesk::answer(std::uint64_t token, bool ok, std::string value) {
  Reply reply;
  {
    const std::lock_guard lock(mutex_);
    auto node = replies_.extract(token);
    if (node.empty()) return;
    reply = std::move(node.mapped());
    looking_.erase(token);
  }
  changed_.notify_one();
  reply(ok, std::move(value));
}

void SubmitDesk::close() {
  std::map<std::uint64_t, Reply> unanswered;  // let go of outside the lock
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    calls_.clear();
    unanswered.swap(replies_);
  }
  changed_.notify_all();
}

}  // namespace cogwork
