// Runs and attempts (X7-X8a, X13, G3): from "wants a worker" to "its call has ended", and what follows from how it ended.
#include <algorithm>
#include <cmath>

#include "cogwork/machine/labor_machine.h"

namespace cogwork {
namespace {

// Delays that nobody lives to see end here, so that a back-off cannot overflow.
constexpr double kLongestDelayUs = 1e17;  // some 3,000 years

bool counts_as_try(AttemptStatus status) {
  return status == AttemptStatus::FAILURE || status == AttemptStatus::TIMED_OUT || status == AttemptStatus::CRASHED;
}

/// What a call may end with. The other words are the machine's own.
bool is_answer(AttemptStatus status) {
  return status == AttemptStatus::SUCCESS || status == AttemptStatus::FAILURE || status == AttemptStatus::FAILURE_NO_RETRIES ||
         status == AttemptStatus::CRASHED;
}

}  // namespace

LaborMachine::Run& LaborMachine::add_run(std::uint32_t job) {
  slot_[job] = static_cast<std::uint32_t>(runs_.size());
  Run run;
  run.job = job;
  return runs_.emplace_back(run);
}

void LaborMachine::remove_run(std::uint32_t job) {
  const auto slot = slot_[job];
  clear_timer(runs_[slot]);
  slot_[job] = UINT32_MAX;
  if (slot + 1 != runs_.size()) {
    runs_[slot] = runs_.back();
    slot_[runs_[slot].job] = slot;
  }
  runs_.pop_back();
}

LaborMachine::Run* LaborMachine::find_run(std::uint32_t job) {
  return job < slot_.size() && slot_[job] != UINT32_MAX ? &runs_[slot_[job]] : nullptr;
}

bool LaborMachine::may_begin(const Run& run) const {
  if (closing_ || cut_short()) return false;
  const auto& job = labor_.jobs[run.job];
  return job.is_check() ? task().state == State::RUNNING : labor_.sequences[job.sequence].state == State::RUNNING;
}

void LaborMachine::pump(Run& run) {
  if (run.phase != RunPhase::WAITING || !may_begin(run)) return;
  run.phase = RunPhase::QUEUED;
  out_->ready.push_back({run.job, labor_.jobs[run.job].is_check()});
}

void LaborMachine::pump_all() {
  for (auto& run : runs_) pump(run);
}

void LaborMachine::begin(const input::Begin& in) {
  auto* run = find_run(in.job);
  if (!run || run->phase != RunPhase::QUEUED) return;
  if (!may_begin(*run)) {
    run->phase = RunPhase::WAITING;  // a Resume queues it again
    return;
  }
  auto& job = labor_.jobs[in.job];
  const std::uint32_t round = job.is_check() ? round_ : 0;
  if (round > 1) {  // X11: the first round's are kept, and those of the last ten
    std::erase_if(job.attempts, [round](const Attempt& a) { return a.round > 1 && a.round + 10 <= round; });
  }
  Attempt attempt;
  attempt.number = job.attempts.empty() || job.attempts.back().round != round ? 1 : job.attempts.back().number + 1;
  attempt.round = round;
  attempt.started = now_;
  job.attempts.push_back(std::move(attempt));
  run->phase = RunPhase::OPENING;
  run->serial = next_serial_++;
  ++executing_;
  ++out_->counts.executing[static_cast<int>(ObjectKind::JOB)];
  out_->opened.push_back({in.job, run->serial});
  if (job.state == State::RUNNING) {
    write({ObjectKind::JOB, in.job});
  } else {
    job.started = now_;
    job.ended = never;
    set_state({ObjectKind::JOB, in.job}, State::RUNNING);
  }
}

void LaborMachine::recorded(const input::Recorded& in) {
  auto* run = find_run(in.job);
  if (!run || run->phase != RunPhase::OPENING || run->serial != in.serial) return;  // withdrawn meanwhile
  run->phase = RunPhase::HANDED;
  out_->handed.push_back(in.job);
  set_timer(*run, later(steady_now_, labor_.jobs[in.job].options.timeout));
}

void LaborMachine::ended(const input::Ended& in) {
  auto* run = find_run(in.job);
  if (!run || run->phase != RunPhase::HANDED) return;  // X9: the answer of a closed attempt is dropped
  clear_timer(*run);
  if (in.outcome.status == AttemptStatus::WITHDRAWN) {  // G3: its Cog was never called after all
    const bool stopped = run->ending == Ending::STOPPED;
    withdraw(*run);
    const auto& job = labor_.jobs[in.job];
    if (stopped || job_is_stopping(job)) return end_job(in.job, State::STOPPED);
    pump(*run);
    if (!job.is_check()) show_sequence(job.sequence);
    return;
  }
  auto& attempt = labor_.jobs[in.job].attempts.back();
  attempt.output = in.outcome.output;
  attempt.error = in.outcome.error;
  if (!in.outcome.log.empty()) attempt.log = in.outcome.log;  // else what it said while it ran
  attempt.version = in.outcome.version;
  attempt.marks = in.outcome.marks;

  auto status = in.outcome.status;
  if (!is_answer(status)) status = AttemptStatus::FAILURE_NO_RETRIES;  // X8: a broken Cog, or executor; never an attempt left open
  const auto ending = run->ending;
  if (ending == Ending::TIMED_OUT && !in.outcome.unasked) {
    // Whatever it answered once it was asked to end (X8a). What it had said by then is kept, as that of a failure is: it tells what it was
    // waiting for.
    status = AttemptStatus::TIMED_OUT;
    const std::string words = in.still_running ? "timed out, still running" : "timed out";
    attempt.error = Text(attempt.error.empty() ? words : words + "\n" + attempt.error.str());
  } else if (ending == Ending::STOPPED && status != AttemptStatus::SUCCESS && status != AttemptStatus::FAILURE_NO_RETRIES) {
    status = AttemptStatus::STOPPED;
  }
  if (in.still_running) {
    attempt.marks |= Attempt::STILL_RUNNING;
    if (ending == Ending::STOPPED) {
      status = AttemptStatus::STOPPED;
      const std::string words = "interrupted, still running";
      attempt.error = Text(attempt.error.empty() ? words : words + "\n" + attempt.error.str());
    } else if (ending == Ending::NO) {
      // It was not asked to end, and has ended; but it left something that could not be ended, and runs beside whatever comes next.
      status = AttemptStatus::FAILURE;
    }
  }
  close_attempt(*run, status);
  settle_attempt(*run, status, in.still_running);
}

void LaborMachine::said(const input::Said& in) {
  const auto* run = find_run(in.job);
  if (!run || run->phase != RunPhase::HANDED) return;
  labor_.jobs[in.job].attempts.back().log = in.log;
  write({ObjectKind::JOB, in.job});
}

void LaborMachine::time_out(Run& run, std::optional<SteadyTime> called) {
  if (run.phase != RunPhase::HANDED || run.ending != Ending::NO) return;
  // X8: from the moment that the Cog is called, which is not before now where it has not been.
  const auto due = later(called.value_or(steady_now_), labor_.jobs[run.job].options.timeout);
  if (due > steady_now_) return set_timer(run, due);
  run.ending = Ending::TIMED_OUT;
  out_->interrupted.push_back(run.job);
}

void LaborMachine::withdraw(Run& run) {
  close_attempt(run, AttemptStatus::WITHDRAWN);
  run.phase = RunPhase::WAITING;
  write({ObjectKind::JOB, run.job});
}

void LaborMachine::close_attempt(Run& run, AttemptStatus status) {
  auto& attempt = labor_.jobs[run.job].attempts.back();
  attempt.status = status;
  attempt.ended = now_;
  --executing_;
  out_->closed.push_back(run.job);
  --out_->counts.executing[static_cast<int>(ObjectKind::JOB)];
  if (counts_as_try(status)) ++run.tries;
  run.ending = Ending::NO;
}

bool LaborMachine::job_is_stopping(const Job& job) const {
  if (cut_short()) return true;
  return !job.is_check() && labor_.sequences[job.sequence].state == State::STOPPING;
}

void LaborMachine::settle_attempt(Run& run, AttemptStatus status, bool still_running) {
  const auto index = run.job;
  const auto& job = labor_.jobs[index];
  switch (status) {
    case AttemptStatus::SUCCESS: return end_job(index, State::COMPLETED);
    case AttemptStatus::FAILURE_NO_RETRIES: return end_job(index, State::FAILED);
    case AttemptStatus::STOPPED: return end_job(index, State::STOPPED);
    case AttemptStatus::FAILURE:
    case AttemptStatus::TIMED_OUT:
    case AttemptStatus::CRASHED:
      // X8a: a second call would run beside the first on the same target.
      if (still_running || run.tries > static_cast<std::uint32_t>(job.options.retries)) return end_job(index, State::FAILED);
      if (job_is_stopping(job)) return end_job(index, State::STOPPED);  // G3
      return retry_later(run);
    case AttemptStatus::OPEN:
    case AttemptStatus::INTERRUPTED:
    case AttemptStatus::WITHDRAWN: break;
  }
  // An executor's report is one of the above; anything else is a broken Cog (X8).
  end_job(index, State::FAILED);
}

void LaborMachine::retry_later(Run& run) {
  const auto& job = labor_.jobs[run.job];
  write({ObjectKind::JOB, run.job});
  const Duration delay = retry_delay(job, run.tries);
  if (delay.count() > 0) {
    run.phase = RunPhase::DELAY;
    set_timer(run, later(steady_now_, delay));
  } else {
    run.phase = RunPhase::WAITING;
    pump(run);
  }
  if (!job.is_check()) show_sequence(job.sequence);
}

Duration LaborMachine::retry_delay(const Job& job, std::uint32_t tries) const {
  const auto& options = job.options;
  if (options.retry_delay.count() == 0) return Duration(0);  // however often it doubles: 0 times infinity would be no number
  const double factor = std::pow(options.retry_backoff, static_cast<double>(tries > 0 ? tries - 1 : 0));
  double us = static_cast<double>(options.retry_delay.count()) * factor;
  if (options.retry_max_delay.count() != kNotGiven) us = std::min(us, static_cast<double>(options.retry_max_delay.count()));
  return Duration(static_cast<std::int64_t>(std::min(us, kLongestDelayUs)));
}

void LaborMachine::end_job(std::uint32_t index, State state) {
  auto& job = labor_.jobs[index];
  if (job.held) release_held(job, index);
  job.ended = now_;
  if (job.is_check() && state == State::COMPLETED) ++job.rounds;
  ++out_->counts.processed[static_cast<int>(ObjectKind::JOB)];
  if (state == State::STOPPED) {
    const auto& stop = stop_of(job.sequence);
    set_state({ObjectKind::JOB, index}, state, stop.by, stop.note);
  } else {
    set_state({ObjectKind::JOB, index}, state);
  }

  if (job.is_check()) {
    remove_run(index);
    --round_open_;
    if (state == State::FAILED) fail_check(index);
    if (round_open_ == 0 && phase_ != Phase::CHECKING) end_round();
    return;
  }

  const auto sequence_index = job.sequence;
  const auto& sequence = labor_.sequences[sequence_index];
  const bool is_last = index + 1 == sequence.first_job + sequence.job_count;
  if (state == State::COMPLETED && !is_last && !job_is_stopping(job)) {
    remove_run(index);
    pump(add_run(index + 1));
    show_sequence(sequence_index);
    return;
  }
  remove_run(index);
  if (state == State::COMPLETED && !is_last) state = State::STOPPED;  // G7: stopped between two Jobs
  end_sequence(sequence_index, state);
}

void LaborMachine::cut_run(std::uint32_t index, bool interrupt) {
  auto& run = *find_run(index);
  const auto& job = labor_.jobs[index];
  if (run.phase == RunPhase::HANDED) {
    if (interrupt && run.ending == Ending::NO) {
      run.ending = Ending::STOPPED;
      clear_timer(run);
      out_->interrupted.push_back(index);
    }
    return;
  }
  if (run.phase == RunPhase::OPENING) withdraw(run);
  if (job.state == State::RUNNING) return end_job(index, State::STOPPED);

  // It never began (in this round): its state stays as it is.
  remove_run(index);
  if (!job.is_check()) return end_sequence(job.sequence, State::STOPPED);
  --round_open_;
  if (round_open_ == 0 && phase_ != Phase::CHECKING) end_round();
}

void LaborMachine::cut_all(bool interrupt) {
  // Ending one run moves others about, so they are named by Job. In the order of the tree: the history of a step does not
  // depend on which slots happened to be free.
  std::vector<std::uint32_t> jobs;
  jobs.reserve(runs_.size());
  for (const auto& run : runs_) jobs.push_back(run.job);
  std::sort(jobs.begin(), jobs.end());
  for (const auto job : jobs) {
    if (find_run(job)) cut_run(job, interrupt);
  }
}

void LaborMachine::set_timer(Run& run, SteadyTime at) {
  run.due = at;
  if (at == kNeverDue) return;
  timers_.insert({at, Timer::JOB, run.job});
}

void LaborMachine::clear_timer(Run& run) {
  if (run.due == kNeverDue) return;
  timers_.erase({run.due, Timer::JOB, run.job});
  run.due = kNeverDue;
}

}  // namespace cogwork
