#include "cogwork/engine/feed.h"

namespace cogwork {

class Feed final : public ChangeFeed {
 public:
  Feed(std::shared_ptr<FeedHub> hub, const Id& labor, std::uint64_t since, bool ended)
      : hub_(std::move(hub)), labor_(labor), since_(since), ended_(ended) {}

  ~Feed() override {
    const std::lock_guard lock(hub_->mutex_);
    if (--hub_->feeds_ == 0) {
      hub_->recent_.clear();
      hub_->recent_changes_ = 0;
    }
  }
  Feed(const Feed&) = delete;

  std::vector<Change> poll() override {
    std::vector<Change> found;
    {
      const std::lock_guard lock(hub_->mutex_);
      if (since_ >= hub_->recent_from_) {
        for (const auto& row : hub_->recent_) {
          if (row->back().number <= since_) continue;
          for (const auto& change : *row) {
            if (change.number > since_) take(change, found);
          }
        }
        since_ = std::max(since_, hub_->last_);
        exhausted_ = true;
        return found;
      }
    }
    // It fell behind, or starts in the past: the store has all of it.
    std::uint64_t reached = since_;
    bool more = false;
    hub_->store_->history(labor_, since_, [&](const HistoryRow& row) {
      if (found.size() >= kMostAtOnce) {
        more = true;
        return false;
      }
      for (const auto& change : unpack_changes(row)) {
        if (change.number > since_) take(change, found);
      }
      reached = std::max(reached, row.first + row.count - 1);
      return true;
    });
    const std::lock_guard lock(hub_->mutex_);
    since_ = reached;
    if (!more && since_ < hub_->recent_from_) since_ = hub_->recent_from_;  // the rest belongs to other Labors
    exhausted_ = !more && hub_->last_ <= since_;
    return found;
  }

  std::shared_ptr<Completion> ready() override {
    const std::lock_guard lock(hub_->mutex_);
    if (hub_->closed_ || hub_->last_ > since_ || over_locked()) {
      auto now = std::make_shared<Completion>();
      now->set();
      return now;
    }
    return hub_->news_;
  }

  bool over() override {
    const std::lock_guard lock(hub_->mutex_);
    return over_locked();
  }

 private:
  static constexpr std::size_t kMostAtOnce = 4096;

  void take(const Change& change, std::vector<Change>& found) {
    if (!labor_.is_nil() && change.labor != labor_) return;
    if (!labor_.is_nil() && change.ordinal == 0 && change.kind == Change::Kind::STATE && has_ended(change.to)) ended_ = true;
    found.push_back(change);
  }
  bool over_locked() const { return (ended_ && exhausted_) || (hub_->closed_ && exhausted_ && since_ >= hub_->last_); }

  const std::shared_ptr<FeedHub> hub_;
  const Id labor_;
  std::uint64_t since_;
  bool ended_;
  bool exhausted_ = false;
};

void FeedHub::publish(const std::vector<std::shared_ptr<const std::vector<Change>>>& rows) {
  std::shared_ptr<Completion> news;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& row : rows) {
      last_ = std::max(last_, row->back().number);
      if (feeds_ == 0) continue;
      recent_.push_back(row);
      recent_changes_ += row->size();
    }
    if (feeds_ == 0) {
      recent_from_ = last_;
      return;
    }
    while (recent_changes_ > kMostChanges) {
      recent_changes_ -= recent_.front()->size();
      recent_from_ = std::max(recent_from_, recent_.front()->back().number);
      recent_.pop_front();
    }
    news = std::exchange(news_, std::make_shared<Completion>());
  }
  news->set();
}

void FeedHub::close() {
  std::shared_ptr<Completion> news;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    news = std::exchange(news_, std::make_shared<Completion>());
  }
  news->set();
}

std::unique_ptr<ChangeFeed> FeedHub::open(const Id& labor, std::optional<std::uint64_t> since, bool ended) {
  const std::lock_guard lock(mutex_);
  if (feeds_++ == 0) recent_from_ = last_;
  return std::make_unique<Feed>(shared_from_this(), labor, since.value_or(last_), ended);
}

}  // namespace cogwork
