#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "cogwork/base/completion.h"
#include "cogwork/engine/engine.h"
#include "cogwork/model/change.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// A set of numbers of changes, held as the few ranges that it consists of.
class NumberSet {
 public:
  bool empty() const { return ranges_.empty(); }
  std::uint64_t lowest() const { return ranges_.begin()->first; }
  bool contains(std::uint64_t number) const;
  /// Overlaps nothing that is in it.
  void add(std::uint64_t first, std::uint64_t last);
  void remove(std::uint64_t first, std::uint64_t last);
  /// What is in both; and what of this is above `number`.
  NumberSet common(const NumberSet& other) const;
  NumberSet above(std::uint64_t number) const;
  NumberSet up_to(std::uint64_t number) const;
  void add_all(const NumberSet& other);

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // first -> last; neighbours need not be joined
};

/// Hands durable changes to those who watch (D7). It keeps the latest rows only while somebody watches, and only so many:
/// a feed that falls behind reads the store. Any thread.
///
/// Numbers are given out when a row is made; rows become durable in another order where the writes of a Labor are held up (D6).
/// So what a feed has seen is not a number but a number and the gaps below it, whose rows are still to come.
class FeedHub : public std::enable_shared_from_this<FeedHub> {
 public:
  FeedHub(std::shared_ptr<Storage> store, std::uint64_t last_number) : store_(std::move(store)), last_(last_number) {}

  using Row = std::shared_ptr<const std::vector<Change>>;

  /// Scheduler thread: these became durable, in this order.
  void publish(const std::vector<Row>& rows);
  /// Scheduler thread: this row was given up, and will never come.
  void give_up(const std::vector<Change>& row);
  /// The engine closes: feeds end once they have read what there is.
  void close();

  /// `ended`: the Labor's end has been published already, so nothing but what is stored will come.
  std::unique_ptr<ChangeFeed> open(const Id& labor, std::optional<std::uint64_t> since, bool ended);

 private:
  friend class Feed;
  static constexpr std::size_t kMostChanges = 16384;

  void note(std::uint64_t first, std::uint64_t last);

  const std::shared_ptr<Storage> store_;
  std::mutex mutex_;
  std::deque<Row> recent_;
  std::size_t recent_changes_ = 0;
  std::uint64_t published_ = 0;  // rows, ever; the last of them are in recent_
  std::uint64_t last_;           // the highest number that is durable
  NumberSet missing_;            // numbers below it that are not
  std::size_t feeds_ = 0;
  bool closed_ = false;
  std::shared_ptr<Completion> news_ = std::make_shared<Completion>();
};

}  // namespace cogwork
