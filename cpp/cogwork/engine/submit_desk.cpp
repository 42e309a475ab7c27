#include "cogwork/engine/submit_desk.h"

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

std::optional<SubmitDesk::Call> SubmitDesk::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || !calls_.empty(); });
  if (closed_) return std::nullopt;
  auto call = std::move(calls_.front());
  calls_.pop_front();
  return call;
}

void SubmitDesk::answer(std::uint64_t token, bool ok, std::string value) {
  Reply reply;
  {
    const std::lock_guard lock(mutex_);
    auto node = replies_.extract(token);
    if (node.empty()) return;
    reply = std::move(node.mapped());
  }
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
