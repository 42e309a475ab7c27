#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cogwork/base/id.h"
#include "cogwork/base/time.h"

namespace cogwork {

/// Labors whose running attempts have said something that is not stored, and when it is to be: in a commit that happens anyway, but of one
/// Labor at most once a second; where none happens, in one of its own after kLatest. An attempt that is killed with its engine so keeps what it
/// said. Scheduler thread only.
class UnstoredLogs {
 public:
  static constexpr Duration kLeastBetween = std::chrono::seconds(1);
  static constexpr Duration kLatest = std::chrono::seconds(5);

  bool empty() const { return due_.empty(); }
  /// The Labor has lines that are not stored.
  void add(const Id& labor, SteadyTime now) {
    if (due_.emplace(labor, now + kLatest).second) queue_.emplace(now + kLatest, labor);
  }
  /// Whether they go along with a commit of that Labor now.
  bool ready(const Id& labor, SteadyTime now) const {
    if (!due_.contains(labor)) return false;
    const auto last = last_.find(labor);
    return last == last_.end() || now >= last->second + kLeastBetween || now < last->second;
  }
  /// A Labor whose lines have waited for long enough; it is due again later, until it is stored().
  std::optional<Id> next_due(SteadyTime now) {
    if (queue_.empty() || queue_.begin()->first > now) return std::nullopt;
    const auto labor = queue_.begin()->second;
    queue_.erase(queue_.begin());
    due_[labor] = now + kLatest;
    queue_.emplace(now + kLatest, labor);
    return labor;
  }
  std::optional<SteadyTime> next() const { return queue_.empty() ? std::nullopt : std::optional(queue_.begin()->first); }
  void stored(const Id& labor, SteadyTime now) {
    drop(labor);
    last_[labor] = now;
  }
  /// The Labor is not run here any more.
  void forget(const Id& labor) {
    drop(labor);
    last_.erase(labor);
  }
  std::vector<Id> all() const {
    std::vector<Id> labors;
    for (const auto& [labor, due] : due_) labors.push_back(labor);
    return labors;
  }

 private:
  void drop(const Id& labor) {
    if (auto node = due_.extract(labor)) queue_.erase({node.mapped(), labor});
  }

  std::map<Id, SteadyTime> due_;
  std::set<std::pair<SteadyTime, Id>> queue_;
  std::map<Id, SteadyTime> last_;  // when its lines were stored
};

}  // namespace cogwork
