#include "cogwork/engine/progress.h"

#include <algorithm>

#include "cogwork/machine/held.h"
#include "cogwork/model/error_line.h"

namespace cogwork {
namespace {

const Text& called(const Job& job) { return job.name.empty() ? job.cog_path : job.name; }

/// An attempt of it was recorded, and not withdrawn before its Cog was called.
bool has_begun(const Job& job) {
  if (job.attempts.empty()) return is_set(job.started);  // they were released with their Sequence
  return std::any_of(job.attempts.begin(), job.attempts.end(),
                     [](const Attempt& a) { return a.status != AttemptStatus::WITHDRAWN; });
}

Text last_error(const Job& job) { return job.attempts.empty() ? Text() : Text(error_line(job.attempts.back().error)); }

/// It will not be asked about: it ends with what it belongs to.
bool is_stopping(const Labor& labor, const Job& job) {
  const auto stops = [](State state) { return state == State::STOPPING; };
  return stops(labor.state) || stops(labor.tasks[job.task].state) ||
         (!job.is_check() && stops(labor.sequences[job.sequence].state));
}

void add_failed_checks(Progress& p, const Labor& labor, const Task& task) {
  for (std::uint32_t c = 0; c < task.check_count(); ++c) {
    const auto& check = labor.jobs[task.first_job + c];
    if (check.state != State::FAILED) continue;
    Progress::Loss loss;
    loss.object = labor.id.with_ordinal(check.ordinal);
    loss.task = task.name;
    loss.state = check.state;
    loss.error = last_error(check);
    loss.place = {{}, called(check), true};
    p.failed_checks.push_back(std::move(loss));
  }
}

}  // namespace

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
    add_failed_checks(p, labor, task);
    p.tasks.push_back(std::move(t));
  }
  return p;
}

Progress::Place place_of(const Labor& labor, const Sequence& sequence) {
  Progress::Place place;
  for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
    const auto& job = labor.jobs[sequence.first_job + j];
    if (job.state == State::COMPLETED) {
      place.after = called(job);
      continue;
    }
    place.job = called(job);
    place.begun = has_begun(job);
    break;
  }
  return place;
}

Progress::Loss loss_of(const Labor& labor, const Sequence& sequence) {
  Progress::Loss loss;
  loss.object = labor.id.with_ordinal(sequence.ordinal);
  loss.task = labor.tasks[sequence.task].name;
  loss.target = sequence.target;
  loss.state = sequence.state;
  loss.place = place_of(labor, sequence);
  for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
    const auto& job = labor.jobs[sequence.first_job + j];
    if (job.state != State::COMPLETED && !job.attempts.empty()) loss.error = last_error(job);
  }
  return loss;
}

std::vector<Progress::Loss> latest_losses(const Labor& labor) {
  std::vector<const Sequence*> lost;
  for (const auto& sequence : labor.sequences) {
    if (sequence.state == State::FAILED || sequence.state == State::STOPPED) lost.push_back(&sequence);
  }
  std::stable_sort(lost.begin(), lost.end(), [](const Sequence* a, const Sequence* b) { return a->ended < b->ended; });
  if (lost.size() > kMostListed) lost.erase(lost.begin(), lost.end() - kMostListed);
  std::vector<Progress::Loss> losses;
  losses.reserve(lost.size());
  for (const auto* sequence : lost) losses.push_back(loss_of(labor, *sequence));
  return losses;
}

Progress progress_of(const Labor& labor) {
  auto p = outline_of(labor);
  p.losses = latest_losses(labor);
  for (const auto& sequence : labor.sequences) {
    auto& t = p.tasks[sequence.task];
    if (sequence.state == State::COMPLETED) ++t.completed;
    if (sequence.state == State::FAILED) ++t.failed;
    if (sequence.state == State::STOPPED) ++t.stopped;
    if (!is_under_way(sequence.state)) continue;
    ++t.sequences_under_way;
    auto place = place_of(labor, sequence);
    if (!place.half_way()) continue;
    ++p.half_way_count;
    if (p.half_way.size() < kMostListed) {
      p.half_way.push_back({labor.id.with_ordinal(sequence.ordinal), labor.tasks[sequence.task].name, sequence.target,
                            sequence.state, std::move(place)});
    }
  }
  for (const auto& job : labor.jobs) {
    if (!awaits_decision(job) || is_stopping(labor, job)) continue;
    ++p.held_count;
    if (p.held.size() < kMostListed) p.held.push_back(held_job(labor, job));
  }
  return p;
}

}  // namespace cogwork
