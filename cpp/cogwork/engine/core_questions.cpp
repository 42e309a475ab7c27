// What the core answers about itself: states, progress, figures. Nothing here changes anything.
#include <algorithm>

#include "cogwork/engine/core.h"
#include "cogwork/model/error_line.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostChoices = 8;

void add_held(const LaborMachine& machine, std::vector<HeldJob>& list, std::uint64_t& count) {
  for (const auto index : machine.held()) {
    if (list.size() < kMostListed) list.push_back(held_job(machine.labor(), machine.labor().jobs[index]));
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

namespace {

/// What the wall clock will say then, if nobody sets it.
Time wall_of(SteadyTime moment, Now now) {
  const auto wait = moment - now.steady;
  return wait < kLatest - now.wall ? now.wall + wait : kLatest;
}

/// Which Jobs wait for their retry, and which Sequences are under way and execute nothing.
void list_runs(const LaborRun& run, Now now, Progress& p) {
  const auto& labor = run.machine.labor();
  std::vector<std::pair<SteadyTime, std::uint32_t>> delayed;
  std::vector<std::uint32_t> resting;
  for (const auto& r : run.machine.runs()) {
    const auto& job = labor.jobs[r.job];
    if (r.phase == LaborMachine::RunPhase::DELAY) delayed.emplace_back(r.due, r.job);
    if (!job.is_check() && !run.attempts.contains(r.job)) resting.push_back(r.job);
  }
  p.retry_count = delayed.size();
  const auto listed = std::min(delayed.size(), kMostListed);
  std::partial_sort(delayed.begin(), delayed.begin() + static_cast<std::ptrdiff_t>(listed), delayed.end());
  delayed.resize(listed);
  for (const auto& [due, index] : delayed) {
    const auto& job = labor.jobs[index];
    const auto& last = job.attempts.back();
    Progress::Retry retry;
    retry.job = labor.id.with_ordinal(job.ordinal);
    if (!job.is_check()) retry.target = labor.sequences[job.sequence].target;
    retry.cog = job.cog_path;
    retry.job_name = job.name;
    retry.attempt = last.number + 1;
    retry.due = wall_of(due, now);
    retry.error = Text(error_line(last.error));
    p.retries.push_back(std::move(retry));
  }
  std::sort(resting.begin(), resting.end());
  for (const auto index : resting) {
    const auto& sequence = labor.sequences[labor.jobs[index].sequence];
    auto place = place_of(labor, sequence);
    if (!place.half_way()) continue;
    ++p.half_way_count;
    if (p.half_way.size() == kMostListed) continue;
    p.half_way.push_back({labor.id.with_ordinal(sequence.ordinal), labor.tasks[sequence.task].name, sequence.target, sequence.state,
                          std::move(place)});
  }
}

}  // namespace

std::string Core::waits_for_worker(const LaborRun& run) const {
  std::string text;
  const auto look = [&](const Lane& lane, std::string_view what, const std::string& whose) {
    if (lane.free > 0) return;
    const auto count =
        std::count_if(lane.queue.begin(), lane.queue.end(), [&](const ReadyJob& ready) { return ready.run.get() == &run; });
    if (count == 0) return;
    if (!text.empty()) text += "; ";
    text += std::to_string(count) + " " + std::string(what) + (count == 1 ? " waits" : "s wait") + " for a free " + whose;
  };
  const auto all = std::to_string(options_.workers);
  const auto busy = " (" + all + " of " + all + " busy)";
  look(jobs_, "Job", "worker" + busy);
  look(checks_, "check", "worker of checks" + busy);
  for (const auto& [program, lane] : programs_) look(lane, "Job", "place in the processes of " + program);
  return text;
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
  const auto now = seams_.clock->now();
  for (std::uint32_t i = 0; i < p.tasks.size(); ++i) {
    auto& t = p.tasks[i];
    t.completed = run.counts[i].completed;
    t.failed = run.counts[i].failed;
    t.stopped = run.counts[i].stopped;
    if (machine.current_task() == i) {
      t.sequences_under_way = machine.sequences_under_way();
      if (machine.next_round() != kNeverDue) t.next_round = wall_of(machine.next_round(), now);
      t.waiting = machine.waiting_for(now.steady);
      if (const auto busy = waits_for_worker(run); !busy.empty()) t.waiting += (t.waiting.empty() ? "" : "; ") + busy;
    }
  }
  list_runs(run, now, p);
  p.in_flight_count = run.attempts.size();
  // The oldest of them: what hangs is among these.
  std::vector<std::pair<Time, std::uint32_t>> oldest;
  oldest.reserve(run.attempts.size());
  for (const auto& [index, attempt] : run.attempts) oldest.emplace_back(labor.jobs[index].attempts.back().started, index);
  const auto shown = std::min(oldest.size(), kMostListed);
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
  stats.clock = seams_.clock->jumps();
  stats.records_ahead = records_ahead_;
  stats.closing = closing_;
}

}  // namespace cogwork
