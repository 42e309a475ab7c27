#include "cogwork/engine/latches.h"

#include <algorithm>

namespace cogwork {

Latches::Entry& Latches::add(Latch latch) {
  ++count_;
  return in_force_.emplace_back(Entry{std::make_shared<const Latch>(std::move(latch)), true, false, std::make_shared<Ack>()});
}

Latches::Entry* Latches::find(const Id& id) {
  const auto found = std::find_if(in_force_.begin(), in_force_.end(), [&](const Entry& entry) { return entry.latch->id == id; });
  return found == in_force_.end() ? nullptr : &*found;
}

void Latches::lifted(const Latch& latch) {
  count_ -= std::erase_if(in_force_, [&](const Entry& entry) { return entry.latch->id == latch.id; });
  const auto place =
      std::upper_bound(lifted_.begin(), lifted_.end(), latch, [](const Latch& a, const Latch& b) { return a.lifted < b.lifted; });
  lifted_.insert(place, latch);
}

std::vector<Latch> Latches::take_outdated() {
  const auto on_their_way = std::count_if(in_force_.begin(), in_force_.end(), [](const Entry& entry) { return entry.lifting; });
  std::vector<Latch> outdated;
  while (!lifted_.empty() && lifted_.size() + static_cast<std::size_t>(on_their_way) + 1 > kMostLifted) {
    outdated.push_back(std::move(lifted_.front()));
    lifted_.pop_front();
  }
  return outdated;
}

std::vector<Latch> Latches::all() const {
  std::vector<Latch> all(lifted_.begin(), lifted_.end());
  for (const auto& entry : in_force_) all.push_back(*entry.latch);
  return all;
}

std::vector<std::shared_ptr<const Latch>> Latches::matching(const Labor& labor) const {
  std::vector<std::shared_ptr<const Latch>> found;
  for (const auto& entry : in_force_) {
    if (matches(*entry.latch, labor)) found.push_back(entry.latch);
  }
  return found;
}

const Latch* Latches::last_lifted(const Labor& labor) const {
  const auto found = std::find_if(lifted_.rbegin(), lifted_.rend(), [&](const Latch& latch) { return matches(latch, labor); });
  return found == lifted_.rend() ? nullptr : &*found;
}

}  // namespace cogwork
