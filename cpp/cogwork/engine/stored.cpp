#include "cogwork/engine/stored.h"

#include "cogwork/base/error.h"
#include "cogwork/engine/core.h"

namespace cogwork {
Progress stored_progress(Storage& store, const Id& id) {
  const auto labor = store.read_labor(id, true);
  auto p = progress_of(labor);
  for (const auto& latch : read_latches(store)) {
    if (!has_ended(labor.state) && !is_set(latch.lifted) && matches(latch, labor)) p.latches.push_back(latch);
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
