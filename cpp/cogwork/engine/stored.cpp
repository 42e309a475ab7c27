#include "cogwork/engine/stored.h"

#include "cogwork/base/error.h"
#include "cogwork/engine/core.h"

namespace cogwork {

Progress stored_progress(Storage& store, const Id& labor) { return progress_of(store.read_labor(labor, true)); }

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
