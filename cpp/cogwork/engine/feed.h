#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "cogwork/base/completion.h"
#include "cogwork/engine/engine.h"
#include "cogwork/model/change.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// Hands durable changes to those who watch (D7). It keeps the latest changes only while somebody watches, and only so many:
/// a feed that falls behind reads the store. Any thread.
class FeedHub : public std::enable_shared_from_this<FeedHub> {
 public:
  FeedHub(std::shared_ptr<Storage> store, std::uint64_t last_number) : store_(std::move(store)), last_(last_number) {}

  /// Scheduler thread: these became durable, in this order.
  void publish(const std::vector<std::shared_ptr<const std::vector<Change>>>& rows);
  /// The engine closes: feeds end once they have read what there is.
  void close();

  /// `ended`: the Labor has ended already, so nothing but what is stored will come.
  std::unique_ptr<ChangeFeed> open(const Id& labor, std::optional<std::uint64_t> since, bool ended);

 private:
  friend class Feed;
  static constexpr std::size_t kMostChanges = 16384;

  const std::shared_ptr<Storage> store_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<const std::vector<Change>>> recent_;
  std::size_t recent_changes_ = 0;
  std::uint64_t recent_from_ = 0;  // every change above this number is in recent_, or not durable yet
  std::uint64_t last_;             // the highest number that is durable
  std::size_t feeds_ = 0;
  bool closed_ = false;
  std::shared_ptr<Completion> news_ = std::make_shared<Completion>();
};

}  // namespace cogwork
