// What the core answers about itself: states, progress, figures. Nothing here changes anything.
#include <algorithm>

#include "cogwork/engine/core.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostFlights = 100;
constexpr std::size_t kMostChoices = 8;

void add_held(const LaborMachine& machine, std::vector<HeldJob>& list, std::uint64_t& count) {
  for (const auto index : machine.held()) {
    if (list.size() < kMostHeld) list.push_back(held_job(machine.labor(), machine.labor().jobs[index]));
  }
  count += machine.held().size();
}

}  // namespace

std::optional<State> Core::state(const Id& object) const {
  const auto run = runs_.find(object.labor());
  if (run == runs_.end()) return std::nullopt;
  const auto& labor = run->second->machine.labor();
  const auto ref = find_ordinal(labor, object.ordinal());
  if (!ref) return std::nullopt;
  return state_of(labor, *ref);
}

std::shared_ptr<LaborEnd> Core::end_of(const Id& labor) const {
  const auto run = runs_.find(labor);
  return run == runs_.end() ? nullptr : run->second->end;
}

std::shared_ptr<LaborLog> Core::log_of(const Id& labor) {
  const auto run = runs_.find(labor);
  if (run != runs_.end()) return log_of(*run->second);
  const auto ended = std::find_if(ended_logs_.begin(), ended_logs_.end(), [&](const auto& one) { return one.first == labor; });
  return ended == ended_logs_.end() ? nullptr : ended->second;
}

std::optional<Id> Core::find_named(const Id& id, const std::string& name, std::string& choices) const {
  const auto run = runs_.find(id.labor());
  if (run == runs_.end()) return std::nullopt;
  const auto& labor = run->second->machine.labor();
  std::vector<std::string> names;
  if (id.ordinal() == 0) {
    for (const auto& task : labor.tasks) {
      if (task.name == name) return id.with_ordinal(task.ordinal);
      names.push_back(task.name.str());
    }
  } else if (const auto ref = find_ordinal(labor, id.ordinal()); ref && ref->kind == ObjectKind::TASK) {
    const auto& task = labor.tasks[ref->index];
    for (std::uint32_t s = 0; s < task.sequence_count; ++s) {
      const auto& sequence = labor.sequences[task.first_sequence + s];
      if (sequence.target == name || (!sequence.name.empty() && sequence.name == name)) return id.with_ordinal(sequence.ordinal);
      if (names.size() <= kMostChoices) names.push_back(sequence.target.str());
    }
  }
  for (std::size_t i = 0; i < names.size() && i < kMostChoices; ++i) choices += (i ? ", '" : "'") + names[i] + "'";
  if (names.size() > kMostChoices) choices += ", ...";
  return Id{};
}

HeldJob held_job(const Labor& labor, const Job& job) {
  HeldJob held;
  held.job = labor.id.with_ordinal(job.ordinal);
  held.labor_name = labor.name;
  held.task = labor.tasks[job.task].name;
  if (!job.is_check()) held.target = labor.sequences[job.sequence].target;
  held.cog = job.cog_path;
  held.job_name = job.name;
  held.attempt = job.attempts.back().number;
  held.started = job.attempts.back().started;
  return held;
}

Progress outline_of(const Labor& labor) {
  Progress p;
  p.id = labor.id;
  p.name = labor.name;
  p.state = labor.state;
  p.reason = labor.reason;
  p.started = labor.started;
  p.ended = labor.ended;
  p.holds = labor.holds;
  for (const auto& task : labor.tasks) {
    Progress::TaskProgress t;
    t.id = labor.id.with_ordinal(task.ordinal);
    t.name = task.name;
    t.state = task.state;
    t.reason = task.reason;
    t.started = task.started;
    t.ended = task.ended;
    t.sequences = task.sequence_count;
    t.failures = task.failures;
    t.tolerated = task.tolerated_failures.number;
    t.concurrency = static_cast<std::uint32_t>(task.concurrency.number);
    t.checks = task.check_count();
    for (std::uint32_t c = 0; c < task.check_count(); ++c) t.rounds = std::max(t.rounds, labor.jobs[task.first_job + c].rounds);
    p.tasks.push_back(std::move(t));
  }
  return p;
}

Progress::Loss loss_of(const Labor& labor, const Sequence& sequence) {
  Progress::Loss loss;
  loss.sequence = labor.id.with_ordinal(sequence.ordinal);
  loss.target = sequence.target;
  loss.state = sequence.state;
  for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
    const auto& job = labor.jobs[sequence.first_job + j];
    if (job.state != State::COMPLETED && !job.attempts.empty()) loss.error = Text(last_line(job.attempts.back().error));
  }
  return loss;
}

std::optional<Progress> Core::progress(const Id& id) const {
  const auto found = runs_.find(id);
  if (found == runs_.end()) return std::nullopt;
  const auto& run = *found->second;
  const auto& machine = run.machine;
  const auto& labor = machine.labor();
  auto p = outline_of(labor);
  if (!has_ended(labor.state)) {
    for (const auto& latch : run.latches) p.latches.push_back(*latch);
  }
  const Time now = seams_.clock->now();
  for (std::uint32_t i = 0; i < p.tasks.size(); ++i) {
    auto& t = p.tasks[i];
    t.completed = run.counts[i].completed;
    t.failed = run.counts[i].failed;
    t.stopped = run.counts[i].stopped;
    if (machine.current_task() == i) {
      t.sequences_under_way = machine.sequences_under_way();
      t.next_round = machine.next_round();
      t.waiting = machine.waiting_for(now);
    }
  }
  p.in_flight_count = run.attempts.size();
  // The oldest of them: what hangs is among these.
  std::vector<std::pair<Time, std::uint32_t>> oldest;
  oldest.reserve(run.attempts.size());
  for (const auto& [index, attempt] : run.attempts) oldest.emplace_back(labor.jobs[index].attempts.back().started, index);
  const auto shown = std::min(oldest.size(), kMostFlights);
  std::partial_sort(oldest.begin(), oldest.begin() + static_cast<std::ptrdiff_t>(shown), oldest.end());
  oldest.resize(shown);
  for (const auto& [since, index] : oldest) {
    const auto& attempt = run.attempts.at(index);
    const auto& job = labor.jobs[index];
    Progress::Flight flight;
    flight.job = labor.id.with_ordinal(job.ordinal);
    if (!job.is_check()) flight.target = labor.sequences[job.sequence].target;
    flight.cog = job.cog_path;
    flight.job_name = job.name;
    flight.attempt = job.attempts.back().number;
    flight.since = since;
    flight.fraction = attempt.fraction;
    flight.message = attempt.message;
    p.in_flight.push_back(std::move(flight));
  }
  p.losses.assign(run.losses.begin(), run.losses.end());
  add_held(machine, p.held, p.held_count);
  return p;
}

void Core::fill(Stats& stats) const {
  stats.labors = counters_[static_cast<int>(ObjectKind::LABOR)];
  stats.tasks = counters_[static_cast<int>(ObjectKind::TASK)];
  stats.sequences = counters_[static_cast<int>(ObjectKind::SEQUENCE)];
  stats.jobs = counters_[static_cast<int>(ObjectKind::JOB)];
  stats.queued_jobs = jobs_.queue.size();
  stats.queued_checks = checks_.queue.size();
  stats.waiting = waiting_;
  for (const auto& [id, run] : runs_) add_held(run->machine, stats.held, stats.held_count);
  std::sort(stats.held.begin(), stats.held.end(), [](const HeldJob& a, const HeldJob& b) { return a.job < b.job; });
  stats.steps = steps_;
  stats.closing = closing_;
}

}  // namespace cogwork
