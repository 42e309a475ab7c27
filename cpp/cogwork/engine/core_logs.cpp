// What running attempts say, on its way to the store: beside their rows, so that an attempt that never ends - its engine was killed, its call
// outlived its grace - keeps what it said.
#include <algorithm>
#include <set>
#include <utility>

#include "cogwork/engine/core.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostSaid = std::size_t{64} << 10;  // bytes of one attempt; its executor keeps as many

void add_line(AttemptRun& attempt, const LogLine& line) {
  if (attempt.said_left_out > 0 || attempt.said.size() + line.text.size() >= kMostSaid) {
    ++attempt.said_left_out;
    return;
  }
  if (!attempt.said.empty()) attempt.said += '\n';
  attempt.said += line.text.view();
}

Text text_of(const AttemptRun& attempt) {
  if (attempt.said_left_out == 0) return Text(attempt.said);
  return Text(attempt.said + "\n... " + std::to_string(attempt.said_left_out) + " more lines were dropped");
}

}  // namespace

void Core::said(const Id& labor) {
  if (runs_.contains(labor)) unstored_logs_.add(labor, seams_.clock->now().steady);
}

void Core::store_due_logs() {
  if (unstored_logs_.empty()) return;
  const auto now = seams_.clock->now().steady;
  const auto dirty = dirty_.size();  // storing a log makes more so
  for (std::size_t i = 0; i < dirty; ++i) {
    if (unstored_logs_.ready(dirty_[i]->id, now)) store_log(std::shared_ptr(dirty_[i]));
  }
  while (const auto labor = unstored_logs_.next_due(now)) {
    const auto found = runs_.find(*labor);
    if (found == runs_.end()) {
      unstored_logs_.forget(*labor);
    } else if (found->second->flying == 0) {  // else the store is slow, or fails (D6): nothing piles up for it
      store_log(std::shared_ptr(found->second));
    }
  }
}

void Core::store_logs() {
  for (const auto& labor : unstored_logs_.all()) {
    const auto found = runs_.find(labor);
    if (found != runs_.end()) store_log(std::shared_ptr(found->second));
  }
}

void Core::store_log(const std::shared_ptr<LaborRun>& run) {
  if (!run->log) return;
  unstored_logs_.stored(run->id, seams_.clock->now().steady);
  std::set<std::uint32_t> spoke;
  for (const auto& line : run->log->unstored().lines) {
    const auto found = attempts_.find(line.attempt_key);
    if (found == attempts_.end() || found->second.first != run) continue;  // it has ended, and its end says it all
    const auto job = found->second.second;
    add_line(run->attempts.at(job), line);
    spoke.insert(job);
  }
  for (const auto job : spoke) step(run, input::Said{job, text_of(run->attempts.at(job))});
}

}  // namespace cogwork
