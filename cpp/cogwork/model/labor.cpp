#include "cogwork/model/labor.h"

#include <algorithm>
#include <utility>

namespace cogwork {

void number_tree(Labor& labor) {
  std::uint32_t next = 1;
  for (auto& task : labor.tasks) {
    task.ordinal = next++;
    for (std::uint32_t i = 0; i < task.check_count(); ++i) labor.jobs[task.first_job + i].ordinal = next++;
    for (std::uint32_t s = 0; s < task.sequence_count; ++s) {
      auto& sequence = labor.sequences[task.first_sequence + s];
      sequence.ordinal = next++;
      for (std::uint32_t j = 0; j < sequence.job_count; ++j) labor.jobs[sequence.first_job + j].ordinal = next++;
    }
  }
}

const Hold* find_hold(const Holds& holds, Rank rank) {
  const auto found = std::find_if(holds.begin(), holds.end(), [rank](const Hold& hold) { return hold.rank == rank; });
  return found == holds.end() ? nullptr : &*found;
}

void set_hold(Holds& holds, Hold hold) {
  const auto place =
      std::lower_bound(holds.begin(), holds.end(), hold, [](const Hold& a, const Hold& b) { return a.rank < b.rank; });
  if (place != holds.end() && place->rank == hold.rank) {
    *place = std::move(hold);
  } else {
    holds.insert(place, std::move(hold));
  }
}

namespace {

template <typename Row>
std::optional<std::uint32_t> find_in(const std::vector<Row>& rows, std::uint32_t ordinal) {
  const auto it = std::lower_bound(rows.begin(), rows.end(), ordinal,
                                   [](const Row& row, std::uint32_t wanted) { return row.ordinal < wanted; });
  if (it == rows.end() || it->ordinal != ordinal) return std::nullopt;
  return static_cast<std::uint32_t>(it - rows.begin());
}

}  // namespace

std::optional<ObjectRef> find_ordinal(const Labor& labor, std::uint32_t ordinal) {
  if (ordinal == 0) return ObjectRef{};
  if (auto i = find_in(labor.jobs, ordinal)) return ObjectRef{ObjectKind::JOB, *i};
  if (auto i = find_in(labor.sequences, ordinal)) return ObjectRef{ObjectKind::SEQUENCE, *i};
  if (auto i = find_in(labor.tasks, ordinal)) return ObjectRef{ObjectKind::TASK, *i};
  return std::nullopt;
}

std::uint32_t ordinal_of(const Labor& labor, ObjectRef object) {
  switch (object.kind) {
    case ObjectKind::LABOR: return 0;
    case ObjectKind::TASK: return labor.tasks[object.index].ordinal;
    case ObjectKind::SEQUENCE: return labor.sequences[object.index].ordinal;
    case ObjectKind::JOB: return labor.jobs[object.index].ordinal;
  }
  return 0;
}

State state_of(const Labor& labor, ObjectRef object) {
  switch (object.kind) {
    case ObjectKind::LABOR: return labor.state;
    case ObjectKind::TASK: return labor.tasks[object.index].state;
    case ObjectKind::SEQUENCE: return labor.sequences[object.index].state;
    case ObjectKind::JOB: return labor.jobs[object.index].state;
  }
  return State::UNKNOWN;
}

Time latest_time(const Labor& labor) {
  Time latest = Time::min();
  const auto see = [&latest](Time at) {
    if (is_set(at)) latest = std::max(latest, at);
  };
  const auto see_all = [&see](const auto& object) {
    see(object.started);
    see(object.ended);
  };
  const auto see_holds = [&see](const Holds& holds) {
    for (const auto& hold : holds) see(hold.since);
  };
  see(labor.submitted);
  see_all(labor);
  see_holds(labor.holds);
  for (const auto& task : labor.tasks) see_all(task), see_holds(task.holds);
  for (const auto& sequence : labor.sequences) see_all(sequence), see_holds(sequence.holds);
  for (const auto& job : labor.jobs) {
    see_all(job);
    for (const auto& attempt : job.attempts) see_all(attempt);
  }
  return latest == Time::min() ? never : latest;
}

Labor without_tables(const Labor& labor) {
  Labor copy;
  copy.id = labor.id;
  copy.state = labor.state;
  copy.reason = labor.reason;
  copy.name = labor.name;
  copy.desc = labor.desc;
  copy.client_id = labor.client_id;
  copy.real_user = labor.real_user;
  copy.tags = labor.tags;
  copy.cogs = labor.cogs;
  copy.provenance = labor.provenance;
  copy.submitted = labor.submitted;
  copy.started = labor.started;
  copy.ended = labor.ended;
  copy.holds = labor.holds;
  return copy;
}

}  // namespace cogwork
