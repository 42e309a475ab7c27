#include "cogwork/cogs/process_watch.h"

#include <algorithm>
#include <utility>

namespace cogwork {

using Steady = std::chrono::steady_clock;

constexpr int kRest = 9;  // times as long as a look took
constexpr Steady::duration kLongestRest = std::chrono::milliseconds(200);

void ProcessWatch::ask(Seen seen) {
  asking_.push_back(std::move(seen));
  if (asking_.size() > 1) return;
  timer_.expires_at(std::max(next_, Steady::now()));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look();
  });
}

void ProcessWatch::look() {
  const auto asked = std::exchange(asking_, {});
  const auto begin = Steady::now();
  const auto table = ProcessTable::read();
  const auto end = Steady::now();
  next_ = end + std::min<Steady::duration>(kRest * (end - begin), kLongestRest);
  for (const auto& seen : asked) seen(table);
}

}  // namespace cogwork
