// Section 6 for one Labor: from rows that were stored to a machine that goes on (R2, R3). Everything that a running machine keeps beside
// the rows follows from them, and is worked out here.
#include <algorithm>

#include "cogwork/machine/labor_machine.h"

namespace cogwork {
namespace {

OnInterrupt on_interrupt(const Job& job) { return static_cast<OnInterrupt>(job.options.on_interrupt); }

}  // namespace

void LaborMachine::recover(const input::Recovered& in) {
  if (has_ended(labor_.state)) return;
  if (labor_.state == State::NOT_STARTED) return start({});  // R1
  if (labor_.state == State::ADMIN_NOT_STARTED) return;

  ++out_->counts.executing[static_cast<int>(ObjectKind::LABOR)];
  for (std::uint32_t i = 0; i < labor_.tasks.size(); ++i) {
    if (!is_under_way(labor_.tasks[i].state)) continue;
    current_ = i;
    recover_task(latest_time(labor_));
    break;
  }
  // PAUSING becomes its pause: nothing executes now. STOPPING becomes its end in advance().
  // G8: what holds is what the latches say now, whatever was stored. One that was lifted meanwhile lets go here.
  lifting_ = !latched();
  show_below({});
  lifting_ = false;
  applying_stored_ = true;
  for (const auto& signal : in.signals) signalled(signal);
  applying_stored_ = false;
  if (current_) {
    hold_undecided();  // only now: what is being stopped is not asked about
    task_shows(task().state, task().state);
  }
  pump_all();
}

void LaborMachine::recover_task(Time last_sign) {
  auto& t = task();
  ++out_->counts.executing[static_cast<int>(ObjectKind::TASK)];
  entry_at_ = goes_on_until(t.started, t.entry_delay);
  check_noted_.assign(t.check_count(), true);
  running_ = 0;
  const std::uint32_t end = t.first_sequence + t.sequence_count;
  next_sequence_ = t.first_sequence;
  std::vector<std::uint32_t> under_way;
  std::optional<Time> sequences_ended;  // when the last one did that has ended
  for (std::uint32_t s = t.first_sequence; s < end; ++s) {
    const auto& sequence = labor_.sequences[s];
    if (sequence.state == State::NOT_STARTED) break;  // they start in order
    next_sequence_ = s + 1;
    if (sequence.state == State::STOPPED) any_cut_ = true;
    if (has_ended(sequence.state)) {
      sequences_ended = std::max(sequences_ended.value_or(sequence.ended), sequence.ended);
    } else {
      under_way.push_back(s);
    }
  }
  running_ = static_cast<std::uint32_t>(under_way.size());
  out_->counts.executing[static_cast<int>(ObjectKind::SEQUENCE)] += running_;

  // Which phase? The entry is over once every pre-check and the first round are; Sequences start only then.
  bool entry_begun = next_sequence_ > t.first_sequence;
  bool entry_over = entry_begun;
  if (!entry_over && t.check_count() > 0) {
    entry_over = true;
    for (std::uint32_t i = 0; i < t.check_count(); ++i) {
      const auto& job = labor_.jobs[t.first_job + i];
      if (job.state != State::NOT_STARTED) entry_begun = true;
      if (job.rounds == 0) entry_over = false;
    }
  }
  if (!entry_begun) {
    phase_ = Phase::ENTERED;
    recover_watch(last_sign);
    return;
  }
  phase_ = entry_over ? Phase::ROLLING : Phase::CHECKING;
  std::vector<std::uint32_t> failing;
  recover_round(sequences_ended, failing);
  recover_watch(last_sign);
  for (const auto s : under_way) {
    const auto& sequence = labor_.sequences[s];
    std::uint32_t index = sequence.first_job;
    while (labor_.jobs[index].state == State::COMPLETED) ++index;
    add_run(index);
    if (recover_run(index)) failing.push_back(index);
  }
  if (phase_ == Phase::ROLLING && under_way.empty() && (next_sequence_ == end || t.reason != Reason::NO_FAILURE)) {
    phase_ = Phase::CLOSING;
    baked_at_ = goes_on_until(sequences_ended.value_or(now_), t.bake);
  }
  // R2, FAIL: only now, as a check that fails stops whatever else was under way.
  for (const auto job : failing) end_job(job, State::FAILED);
  if (cut_short()) cut_all(false);
  for (const auto s : under_way) {  // stopped by itself
    const auto& sequence = labor_.sequences[s];
    if (sequence.state != State::STOPPING) continue;
    for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
      if (find_run(sequence.first_job + j)) {
        cut_run(sequence.first_job + j, false);
        break;
      }
    }
  }
}

void LaborMachine::recover_watch(Time last_sign) {
  const auto& t = task();
  if (t.cont_check_count == 0) return;
  Time unwatched = last_sign;
  if (t.state == State::PAUSING || is_paused(t.state)) {
    if (latched()) unwatched = std::min(unwatched, weight_.hold.since);
    for (const auto& hold : labor_.holds) unwatched = std::min(unwatched, hold.since);
    for (const auto& hold : t.holds) unwatched = std::min(unwatched, hold.since);
  }
  const Duration longer = t.cont_check_interval + Duration(1);
  unwatched_since_ = steady_now_ - since(unwatched, longer);
  if (phase_ == Phase::ENTERED) return;

  passed_round_ = round_open_ > 0 || check_failed_ ? round_ - 1 : round_;
  // It is not stored that a round has to pass first. It had to, perhaps, where one is under way, or due.
  Time last_end = Time::min();
  for (std::uint32_t i = 0; i < t.check_count(); ++i) {
    const auto& job = labor_.jobs[t.first_job + i];
    if (is_set(job.ended)) last_end = std::max(last_end, job.ended);
  }
  if (round_open_ > 0) {
    fresh_round_ = round_;
  } else if (since(last_end, longer) == longer) {
    fresh_round_ = round_ + 1;
  }
}

void LaborMachine::recover_round(std::optional<Time> sequences_ended, std::vector<std::uint32_t>& failing) {
  const auto& t = task();
  const std::uint32_t first = t.first_job + (phase_ == Phase::CHECKING ? 0 : t.pre_check_count);
  const std::uint32_t last = t.first_job + t.check_count();
  if (first == last) {
    round_ = 1;
    return;
  }
  // A check is in the round that its last attempt names; a round is under way as long as one of its checks has not passed it.
  round_ = 1;
  Time round_started = Time::max();
  Time round_ended = Time::min();
  // The entry's round ended with the entry: its pre-checks count, and later rounds end later (X6).
  for (std::uint32_t i = t.first_job; i < last; ++i) {
    if (is_set(labor_.jobs[i].ended)) round_ended = std::max(round_ended, labor_.jobs[i].ended);
  }
  for (std::uint32_t i = first; i < last; ++i) {
    const auto& job = labor_.jobs[i];
    round_ = std::max(round_, job.rounds);
    if (!job.attempts.empty()) round_ = std::max(round_, job.attempts.back().round);
    if (job.state == State::FAILED) check_failed_ = true;
  }
  for (std::uint32_t i = first; i < last; ++i) {
    const auto& job = labor_.jobs[i];
    if (!job.attempts.empty() && job.attempts.back().round == round_) round_started = std::min(round_started, job.started);
    // What passing rounds, or the end of a failing one, left out of the history is entered at the Task's end (X11).
    // A check that failed has been entered at once.
    const bool left_out = job.rounds > 1 || (round_ > 1 && job.state == State::STOPPED);
    if (left_out && job.state != State::FAILED) check_noted_[i - t.first_job] = false;
  }
  std::vector<std::uint32_t> open;
  for (std::uint32_t i = first; i < last; ++i) {
    const auto& job = labor_.jobs[i];
    const bool passed = job.kind == JobKind::PRE_CHECK ? job.state == State::COMPLETED : job.rounds >= round_;
    const bool lost = job.state == State::FAILED || job.state == State::STOPPED;
    if (!passed && !lost && !(check_failed_ && job.state != State::RUNNING)) open.push_back(i);
  }
  round_open_ = static_cast<std::uint32_t>(open.size());
  // The last round (X6a) is the one that began when the bake was over.
  const bool all_ended = running_ == 0 && next_sequence_ == t.first_sequence + t.sequence_count;
  round_is_last_ = round_open_ > 0 && all_ended && round_started != Time::max() && sequences_ended && phase_ == Phase::ROLLING &&
                   round_started >= *sequences_ended + t.bake;
  for (const auto i : open) add_run(i);
  for (const auto i : open) {
    if (recover_run(i)) failing.push_back(i);
  }
  if (round_open_ == 0 && phase_ == Phase::ROLLING && t.cont_check_count > 0 && round_at_ == kNeverDue) {
    round_at_ = goes_on_until(round_ended, t.cont_check_interval);
    set_task_timer(round_at_);
  }
}

bool LaborMachine::recover_run(std::uint32_t index) {
  auto& run = *find_run(index);
  auto& job = labor_.jobs[index];
  const std::uint32_t round = job.is_check() ? round_ : 0;
  for (const auto& attempt : job.attempts) {
    if (attempt.round == round && (attempt.status == AttemptStatus::FAILURE || attempt.status == AttemptStatus::TIMED_OUT ||
                                   attempt.status == AttemptStatus::CRASHED)) {
      ++run.tries;
    }
  }
  if (job.state != State::RUNNING) return false;

  auto& attempt = job.attempts.back();
  if (attempt.open()) {
    attempt.status = AttemptStatus::INTERRUPTED;
    attempt.ended = now_;
    attempt.error = "the engine ended while this attempt was executing";
    write({ObjectKind::JOB, index});
    if (on_interrupt(job) == OnInterrupt::HOLD) run.phase = RunPhase::HELD;
    if (on_interrupt(job) != OnInterrupt::FAIL) return false;
    run.phase = RunPhase::HANDED;  // its end is known, if not told yet: no stop comes before it
    return true;
  }
  if (job.held) {
    held_.insert(index);
    run.phase = RunPhase::HELD;
    return false;
  }
  if (attempt.status == AttemptStatus::WITHDRAWN || attempt.status == AttemptStatus::INTERRUPTED) return false;
  const auto due = goes_on_until(attempt.ended, retry_delay(job, run.tries));  // it waits for its retry
  if (due > steady_now_) {
    run.phase = RunPhase::DELAY;
    set_timer(run, due);
  }
  return false;
}

SteadyTime LaborMachine::goes_on_until(Time begun, Duration length) const {
  return later(steady_now_, length - since(begun, length));
}

Duration LaborMachine::since(Time begun, Duration most) const {
  if (begun >= now_) return Duration(0);
  // Unsigned, since what is stored may be any time.
  const auto past = static_cast<std::uint64_t>(to_micros(now_)) - static_cast<std::uint64_t>(to_micros(begun));
  return past < static_cast<std::uint64_t>(most.count()) ? Duration(past) : most;
}

}  // namespace cogwork
