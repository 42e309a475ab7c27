#include "cogwork/engine/feed.h"

#include <algorithm>

namespace cogwork {

// ---- numbers ----

bool NumberSet::contains(std::uint64_t number) const {
  const auto after = ranges_.upper_bound(number);
  return after != ranges_.begin() && std::prev(after)->second >= number;
}

void NumberSet::add(std::uint64_t first, std::uint64_t last) {
  if (first <= last) ranges_.emplace(first, last);
}

void NumberSet::remove(std::uint64_t first, std::uint64_t last) {
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin() && std::prev(it)->second >= first) --it;
  while (it != ranges_.end() && it->first <= last) {
    const auto [from, to] = *it;
    it = ranges_.erase(it);
    if (from < first) ranges_.emplace(from, first - 1);
    if (to > last) ranges_.emplace(last + 1, to);
  }
}

NumberSet NumberSet::common(const NumberSet& other) const {
  NumberSet both;
  for (const auto& [first, last] : ranges_) {
    for (const auto& [from, to] : other.ranges_) both.add(std::max(first, from), std::min(last, to));
  }
  return both;
}

NumberSet NumberSet::above(std::uint64_t number) const {
  NumberSet rest;
  for (const auto& [first, last] : ranges_) rest.add(std::max(first, number + 1), last);
  return rest;
}

NumberSet NumberSet::up_to(std::uint64_t number) const {
  NumberSet rest;
  for (const auto& [first, last] : ranges_) rest.add(first, std::min(last, number));
  return rest;
}

void NumberSet::add_all(const NumberSet& other) { ranges_.insert(other.ranges_.begin(), other.ranges_.end()); }

// ---- one feed ----

class Feed final : public ChangeFeed {
 public:
  /// Under the hub's mutex.
  Feed(std::shared_ptr<FeedHub> hub, const Id& labor, std::optional<std::uint64_t> since, bool ended)
      : hub_(std::move(hub)), labor_(labor), seen_(since.value_or(hub_->last_)), ended_(ended), behind_(since.has_value()) {
    gaps_ = hub_->missing_.up_to(seen_);
    row_ = hub_->published_;
  }

  ~Feed() override {
    std::deque<FeedHub::Row> dropped;
    const std::lock_guard lock(hub_->mutex_);
    if (--hub_->feeds_ > 0) return;
    hub_->recent_changes_ = 0;
    dropped.swap(hub_->recent_);
  }
  Feed(const Feed&) = delete;

  std::vector<Change> poll() override {
    std::vector<Change> found;
    std::uint64_t published = 0;
    std::uint64_t last = 0;
    NumberSet missing;
    {
      const std::lock_guard lock(hub_->mutex_);
      const auto first_kept = hub_->published_ - hub_->recent_.size();
      if (!behind_ && row_ >= first_kept) {
        for (; row_ < hub_->published_; ++row_) {
          for (const auto& change : *hub_->recent_[row_ - first_kept]) {
            if (!has_seen(change.number)) take(change, found);
          }
        }
        saw(hub_->last_, hub_->missing_);
        exhausted_ = true;
        return found;
      }
      published = hub_->published_;
      last = hub_->last_;
      missing = hub_->missing_;
    }
    behind_ = read_store(last, missing, found);
    if (!behind_) row_ = published;
    const std::lock_guard lock(hub_->mutex_);
    exhausted_ = !behind_ && row_ == hub_->published_;
    return found;
  }

  std::shared_ptr<Completion> ready() override {
    const std::lock_guard lock(hub_->mutex_);
    if (hub_->closed_ || behind_ || row_ < hub_->published_ || over_locked()) {
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

  bool has_seen(std::uint64_t number) const { return number <= seen_ && !gaps_.contains(number); }

  /// It has seen all numbers up to `reached` but for those that are missing - and of these, those that it had seen before: what is
  /// in the store may not have been published yet.
  void saw(std::uint64_t reached, const NumberSet& missing) {
    auto gaps = missing.common(gaps_.up_to(reached));
    gaps.add_all(gaps_.above(reached));
    gaps.add_all(missing.above(seen_).up_to(reached));
    gaps_ = std::move(gaps);
    seen_ = std::max(seen_, reached);
  }

  /// It fell behind, or starts in the past: the store has all of it. Up to `last` and no further: beyond it, nobody knows the gaps. True
  /// where there is more.
  bool read_store(std::uint64_t last, const NumberSet& missing, std::vector<Change>& found) {
    bool more = false;
    std::uint64_t reached = last;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> read;
    const auto since = gaps_.empty() ? seen_ : std::min(seen_, gaps_.lowest() - 1);
    hub_->store_->history(labor_, since, [&](const HistoryRow& row) {
      if (row.first > last) return false;
      if (found.size() >= kMostAtOnce) {
        more = true;
        return false;
      }
      reached = row.first + row.count - 1;
      if (gaps_.empty() && reached <= seen_) return true;
      for (const auto& change : unpack_changes(row)) {
        if (!has_seen(change.number)) take(change, found);
      }
      read.emplace_back(row.first, reached);
      return true;
    });
    saw(more ? reached : last, missing);
    for (const auto& [first, end] : read) gaps_.remove(first, end);
    return more;
  }

  void take(const Change& change, std::vector<Change>& found) {
    if (!labor_.is_nil() && change.labor != labor_) return;
    if (!labor_.is_nil() && change.ordinal == 0 && change.kind == Change::Kind::STATE && has_ended(change.to)) ended_ = true;
    found.push_back(change);
  }
  bool over_locked() const {
    return (ended_ && exhausted_) || (hub_->closed_ && exhausted_ && !behind_ && row_ == hub_->published_);
  }

  const std::shared_ptr<FeedHub> hub_;
  const Id labor_;
  std::uint64_t seen_;  // every change up to this number, but for those in gaps_
  NumberSet gaps_;
  std::uint64_t row_ = 0;  // where it is in the published rows, unless it is behind
  bool ended_;
  bool behind_;  // it has to read the store first
  bool exhausted_ = false;
};

// ---- the hub ----

void FeedHub::note(std::uint64_t first, std::uint64_t last) {
  missing_.add(last_ + 1, first - 1);
  if (first <= last_) missing_.remove(first, last);
  last_ = std::max(last_, last);
}

void FeedHub::publish(const std::vector<Row>& rows) {
  std::shared_ptr<Completion> news;
  {
    const std::lock_guard lock(mutex_);
    published_ += rows.size();
    for (const auto& row : rows) {
      note(row->front().number, row->back().number);
      if (feeds_ == 0) continue;
      recent_.push_back(row);
      recent_changes_ += row->size();
    }
    if (feeds_ == 0) return;
    while (recent_changes_ > kMostChanges) {
      recent_changes_ -= recent_.front()->size();
      recent_.pop_front();
    }
    news = std::exchange(news_, std::make_shared<Completion>());
  }
  news->set();
}

void FeedHub::give_up(const std::vector<Change>& row) {
  const std::lock_guard lock(mutex_);
  note(row.front().number, row.back().number);
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
  auto feed = std::make_unique<Feed>(shared_from_this(), labor, since, ended);
  ++feeds_;
  return feed;
}

}  // namespace cogwork
