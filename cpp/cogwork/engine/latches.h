#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "cogwork/engine/engine.h"
#include "cogwork/engine/latch.h"

namespace cogwork {

/// Counts down to one Ack what waits for many: a record to be stored, Labors to settle. Scheduler thread.
class Muster {
 public:
  explicit Muster(std::function<void(bool closed)> done) : done_(std::move(done)) {}

  void expect() { ++missing_; }
  void arrived(bool closed = false) {
    closed_ |= closed;
    if (--missing_ == 0) done_(closed_);
  }

 private:
  std::function<void(bool closed)> done_;
  std::size_t missing_ = 0;
  bool closed_ = false;
};

/// The latches that a running engine knows of (G8). It does not know the Labors: the core keeps beside each which latches match it, so
/// that nothing is matched on the path of an event. Scheduler thread.
class Latches {
 public:
  struct Entry {
    std::shared_ptr<const Latch> latch;
    bool durable = true;           ///< Its record is stored.
    bool lifting = false;          ///< Its lifting is on its way to the store; until that is there it holds.
    std::shared_ptr<Ack> settled;  ///< Done when nothing executes any more of what it held when it was set.
  };

  /// From the store, or as it is set.
  Entry& add(Latch latch);
  /// One in force, or null.
  Entry* find(const Id& id);
  /// Its lift is stored.
  void lifted(const Latch& latch);
  /// Those of the lifted that go when one more is, the oldest.
  std::vector<Latch> take_outdated();

  const std::vector<Entry>& in_force() const { return in_force_; }
  /// Whether any is. Any thread.
  bool any() const { return count_.load(std::memory_order_relaxed) > 0; }
  const std::deque<Latch>& lifted() const { return lifted_; }
  std::vector<Latch> all() const;

  /// Those that match it, the one that was set first being first.
  std::vector<std::shared_ptr<const Latch>> matching(const Labor& labor) const;
  /// Of the lifted ones that match it, the one that was lifted last.
  const Latch* last_lifted(const Labor& labor) const;

 private:
  std::vector<Entry> in_force_;  // in the order of setting
  std::deque<Latch> lifted_;     // in the order of lifting
  std::atomic<std::size_t> count_{0};
};

}  // namespace cogwork
