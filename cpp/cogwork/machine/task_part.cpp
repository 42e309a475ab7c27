// The phases of a Task (X2-X6b): how it is entered, what starts in it, its rounds of checks, and its end.

#include "cogwork/machine/end_rules.h"
#include "cogwork/machine/labor_machine.h"

namespace cogwork {

void LaborMachine::enter_task(std::uint32_t index) {
  current_ = index;
  auto& t = task();
  phase_ = Phase::ENTERED;
  next_sequence_ = t.first_sequence;
  any_cut_ = false;
  baked_at_ = kNeverDue;
  round_ = 0;
  check_failed_ = round_is_last_ = last_round_passed_ = false;
  round_at_ = unwatched_since_ = kNeverDue;
  fresh_round_ = passed_round_ = 0;
  check_noted_.assign(t.check_count(), true);

  t.started = now_;
  if (index > 0 && labor_.tasks[index - 1].pass_failures) t.failures = labor_.tasks[index - 1].failures;  // X5
  if (t.pause_on_entry && !find_hold(t.holds, Rank::ADMIN)) set_hold(t.holds, {Rank::ADMIN, now_, "pause_on_entry", {}});
  entry_at_ = later(steady_now_, t.entry_delay);
  ++out_->counts.executing[static_cast<int>(ObjectKind::TASK)];
  const ObjectRef ref{ObjectKind::TASK, index};
  const auto* held = hold_in_force(ref);
  set_state(ref, paused_state(rank_in_force(ref)), held ? held->by : Text(), held ? why(*held) : Text());
  if (held) unwatched_since_ = steady_now_;
}

void LaborMachine::task_shows(State before, State now) {
  if (before == State::RUNNING && unwatched_since_ == kNeverDue) unwatched_since_ = steady_now_;
  if (now != State::RUNNING || unwatched_since_ == kNeverDue) return;
  require_fresh_round(steady_now_ - unwatched_since_);
  unwatched_since_ = kNeverDue;
}

/// G4c: the world may have changed while no round could begin.
void LaborMachine::require_fresh_round(Duration unwatched) {
  if (task().cont_check_count > 0 && unwatched > task().cont_check_interval) fresh_round_ = round_ + 1;
}

bool LaborMachine::advance_task() {
  switch (phase_) {
    case Phase::ENTERED: return advance_entered();
    case Phase::CHECKING: return advance_checking();
    case Phase::ROLLING: return advance_rolling();
    case Phase::CLOSING: return advance_closing();
    case Phase::NONE: break;
  }
  return false;
}

bool LaborMachine::advance_entered() {
  auto& t = task();
  if (t.state == State::STOPPING) {
    end_task();
    return true;
  }
  if (t.state != State::RUNNING || closing_) return false;  // X2a: no entry begins while it is held
  if (steady_now_ < entry_at_) {
    set_task_timer(entry_at_);
    return false;
  }
  phase_ = Phase::CHECKING;
  begin_round(true);
  return true;
}

bool LaborMachine::advance_checking() {
  auto& t = task();
  if (round_open_ > 0) return false;
  end_round();
  if (check_failed_ || t.state == State::STOPPING) {
    end_task();
    return true;
  }
  phase_ = Phase::ROLLING;
  if (over_budget()) decide(Reason::MAX_FAILURES);  // X6b: first judged when the entry ends
  return true;
}

bool LaborMachine::advance_rolling() {
  const auto& t = task();
  const bool no_more = next_sequence_ == t.first_sequence + t.sequence_count || t.reason != Reason::NO_FAILURE || cut_short();
  if (running_ == 0 && no_more) {  // before a round that is due: X6, until the Sequences have ended
    baked_at_ = later(steady_now_, t.bake);
    phase_ = Phase::CLOSING;
    return true;
  }
  if (!round_under_way() && round_is_due()) {
    begin_round(false);
    return true;
  }
  bool started = false;
  while (may_start_sequence()) {
    start_sequence(next_sequence_++);
    started = true;
  }
  return started;
}

bool LaborMachine::advance_closing() {
  auto& t = task();
  if (round_under_way()) return false;
  const bool would_complete = t.reason == Reason::NO_FAILURE && !cut_short() && !over_budget();
  if (!would_complete || t.cont_check_count == 0 || last_round_passed_) {
    end_task();
    return true;
  }
  // X6a: what the Task changed is looked at once more, `bake` after the last Sequence ended.
  if (t.state != State::RUNNING || closing_) return false;
  if (steady_now_ >= baked_at_) {
    round_is_last_ = true;
    begin_round(false);
    return true;
  }
  if (round_is_due()) {
    begin_round(false);
    return true;
  }
  set_task_timer(baked_at_);
  return false;
}

bool LaborMachine::may_start_sequence() const {
  const auto& t = task();
  if (closing_ || t.state != State::RUNNING || t.reason != Reason::NO_FAILURE || check_failed_) return false;
  if (next_sequence_ == t.first_sequence + t.sequence_count || waits_for_fresh_round()) return false;
  if (running_ >= static_cast<std::uint64_t>(t.concurrency.number)) return false;
  const auto tolerated = t.tolerated_failures.number;
  if (tolerated < 0) return true;
  return std::int64_t{t.failures} + (t.strict ? std::int64_t{running_} : 0) <= tolerated;  // X3
}

bool LaborMachine::over_budget() const {
  const auto tolerated = task().tolerated_failures.number;
  return tolerated >= 0 && std::int64_t{task().failures} > tolerated;
}

void LaborMachine::start_sequence(std::uint32_t index) {
  auto& sequence = labor_.sequences[index];
  sequence.started = now_;
  ++running_;
  ++out_->counts.executing[static_cast<int>(ObjectKind::SEQUENCE)];
  const ObjectRef ref{ObjectKind::SEQUENCE, index};
  const auto* held = sequence.holds.empty() ? nullptr : hold_in_force(ref);  // X2a: kept for its entry
  set_state(ref, paused_state(held ? held->rank : Rank::NONE), held ? held->by : Text(), held ? why(*held) : Text());
  pump(add_run(sequence.first_job));
}

void LaborMachine::end_sequence(std::uint32_t index, State state) {
  auto& sequence = labor_.sequences[index];
  sequence.ended = now_;
  --running_;
  --out_->counts.executing[static_cast<int>(ObjectKind::SEQUENCE)];
  ++out_->counts.processed[static_cast<int>(ObjectKind::SEQUENCE)];
  if (state == State::STOPPED) {
    const auto& stop = stop_of(index);
    set_state({ObjectKind::SEQUENCE, index}, state, stop.by, stop.note);
  } else {
    set_state({ObjectKind::SEQUENCE, index}, state);
  }
  if (!stops_.empty()) stops_.erase(index);
  out_->ended_sequences.push_back(index);
  if (state == State::COMPLETED) return;

  auto& t = task();
  ++t.failures;  // X4
  write({ObjectKind::TASK, *current_});
  if (state == State::STOPPED) any_cut_ = true;
  // G7: what was not decided before a STOP is decided by the end rules alone.
  if (t.state != State::STOPPING && t.reason == Reason::NO_FAILURE && over_budget()) decide(Reason::MAX_FAILURES);
}

void LaborMachine::decide(Reason reason) {
  if (task().reason != Reason::NO_FAILURE) return;  // X6b: the first cause is kept
  task().reason = reason;
  write({ObjectKind::TASK, *current_});
}

void LaborMachine::begin_round(bool entry) {
  const auto& t = task();
  ++round_;
  clear_task_timer(round_at_);
  round_at_ = kNeverDue;
  const std::uint32_t first = t.first_job + (entry ? 0 : t.pre_check_count);
  const std::uint32_t last = t.first_job + t.check_count();
  round_open_ = last - first;
  for (std::uint32_t i = first; i < last; ++i) add_run(i);
  for (std::uint32_t i = first; i < last; ++i) pump(*find_run(i));
}

void LaborMachine::end_round() {
  const auto& t = task();
  if (t.cont_check_count == 0) return;
  if (!check_failed_) passed_round_ = round_;
  round_at_ = later(steady_now_, t.cont_check_interval);
  if (t.state != State::STOPPING && !check_failed_) set_task_timer(round_at_);
  if (round_is_last_ && !check_failed_) last_round_passed_ = true;
}

bool LaborMachine::round_is_due() const {
  const auto& t = task();
  return !closing_ && t.cont_check_count > 0 && t.state == State::RUNNING && !check_failed_ && steady_now_ >= round_at_;
}

void LaborMachine::fail_check(std::uint32_t index) {
  const auto& job = labor_.jobs[index];
  if (round_ > 1) {
    // X11: a failing round is listed, so its beginning is entered now.
    note({ObjectKind::JOB, index}, State::COMPLETED, State::RUNNING, job.started, {}, {});
    note({ObjectKind::JOB, index}, State::RUNNING, State::FAILED, now_, {}, {});
    check_noted_[index - task().first_job] = true;
  }
  const bool first = !check_failed_;
  check_failed_ = true;
  if (!first) return;
  if (task().state != State::STOPPING) {
    decide(job.kind == JobKind::PRE_CHECK ? Reason::PRE_CHECK_FAILURE : Reason::CONT_CHECK_FAILURE);
  }
  cut_all(false);
}

void LaborMachine::end_task() {
  auto& t = task();
  const std::uint32_t index = *current_;
  TaskFacts facts;
  facts.decided = t.reason;
  facts.stopping = t.state == State::STOPPING;
  facts.any_cut = any_cut_ || next_sequence_ < t.first_sequence + t.sequence_count;
  facts.round_failed = check_failed_;
  facts.over_budget = over_budget();
  const auto end = end_of_task(facts);

  note_checks();
  t.reason = end.reason;
  t.ended = now_;
  set_state({ObjectKind::TASK, index}, end.state, end.state == State::STOPPED ? stop_.by : Text(),
            end.state == State::STOPPED ? stop_.note : Text());
  --out_->counts.executing[static_cast<int>(ObjectKind::TASK)];
  ++out_->counts.processed[static_cast<int>(ObjectKind::TASK)];
  std::erase_if(timers_, [](const Timer& timer) { return timer.kind == Timer::TASK; });
  current_.reset();
  phase_ = Phase::NONE;

  const bool stopped = facts.stopping || labor_.state == State::STOPPING;
  if (const auto labor_end = end_of_labor(labor_, &t, stopped)) end_labor(labor_end->state, labor_end->reason);
}

void LaborMachine::note_checks() {
  const auto& t = task();
  for (std::uint32_t i = 0; i < t.check_count(); ++i) {
    if (check_noted_[i]) continue;
    check_noted_[i] = true;
    const auto& job = labor_.jobs[t.first_job + i];
    note({ObjectKind::JOB, t.first_job + i}, State::COMPLETED, job.state, job.ended, {}, {});
  }
}

void LaborMachine::set_task_timer(SteadyTime at) {
  if (at != kNeverDue) timers_.insert({at, Timer::TASK, 0});
}

void LaborMachine::clear_task_timer(SteadyTime at) { timers_.erase({at, Timer::TASK, 0}); }

}  // namespace cogwork
