#include "cogwork/engine/stored.h"

#include "cogwork/base/error.h"
#include "cogwork/engine/core.h"
#include "cogwork/machine/held.h"

namespace cogwork {
namespace {

/// It will not be asked about: it ends with what it belongs to.
bool is_stopping(const Labor& labor, const Job& job) {
  const auto stops = [](State state) { return state == State::STOPPING; };
  return stops(labor.state) || stops(labor.tasks[job.task].state) ||
         (!job.is_check() && stops(labor.sequences[job.sequence].state));
}

}  // namespace

Progress stored_progress(Storage& store, const Id& id) {
  const auto labor = store.read_labor(id, true);
  auto p = progress_of(labor);
  for (const auto& latch : read_latches(store)) {
    if (!has_ended(labor.state) && !is_set(latch.lifted) && matches(latch, labor)) p.latches.push_back(latch);
  }
  return p;
}

Progress progress_of(const Labor& stored) {
  auto p = outline_of(stored);
  for (const auto& sequence : stored.sequences) {
    auto& t = p.tasks[sequence.task];
    if (sequence.state == State::COMPLETED) ++t.completed;
    if (sequence.state == State::FAILED) ++t.failed;
    if (sequence.state == State::STOPPED) ++t.stopped;
    const bool lost = sequence.state == State::FAILED || sequence.state == State::STOPPED;
    if (lost && p.losses.size() < kMostLosses) p.losses.push_back(loss_of(stored, sequence));
  }
  for (const auto& job : stored.jobs) {
    if (!awaits_decision(job) || is_stopping(stored, job)) continue;
    ++p.held_count;
    if (p.held.size() < kMostHeld) p.held.push_back(held_job(stored, job));
  }
  return p;
}

Id find_stored(Storage& store, const Id& parent, const std::string& name) {
  std::string choices;
  const auto labor = store.read_labor(parent.labor(), true);
  for (const auto& task : labor.tasks) {
    if (parent.ordinal() == 0) {
      if (task.name == name) return parent.with_ordinal(task.ordinal);
      choices += (choices.empty() ? "'" : ", '") + task.name.str() + "'";
      continue;
    }
    if (task.ordinal != parent.ordinal()) continue;
    for (std::uint32_t s = 0; s < task.sequence_count; ++s) {
      const auto& sequence = labor.sequences[task.first_sequence + s];
      if (sequence.target == name || (!sequence.name.empty() && sequence.name == name)) {
        return parent.with_ordinal(sequence.ordinal);
      }
    }
  }
  not_called(parent, name, choices);
}

void not_called(const Id& parent, const std::string& name, const std::string& choices) {
  throw NotFound(std::string(parent.ordinal() == 0 ? "no Task" : "no Sequence") + " is called '" + name + "'" +
                 (choices.empty() ? "" : "; there are " + choices));
}

}  // namespace cogwork
