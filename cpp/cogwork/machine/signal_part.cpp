// Signals (section 4): holds and their ranks, stops, what states show of them, and acknowledgements.
#include <algorithm>

#include "cogwork/machine/end_rules.h"
#include "cogwork/machine/labor_machine.h"
#include "cogwork/machine/signal_rules.h"

namespace cogwork {
Holds& LaborMachine::holds_of(ObjectRef object) {
  switch (object.kind) {
    case ObjectKind::TASK: return labor_.tasks[object.index].holds;
    case ObjectKind::SEQUENCE: return labor_.sequences[object.index].holds;
    case ObjectKind::LABOR:
    case ObjectKind::JOB: break;
  }
  return labor_.holds;
}

const Hold* LaborMachine::hold_in_force(ObjectRef object) const { return highest_hold(object, nullptr); }

const Hold* LaborMachine::hold_to_judge_by(ObjectRef object, Signal signal) const {
  const Hold* own = find_hold(labor_.holds, Rank::ADMIN);
  const bool aside = applying_stored_ && own && own->by == kEngine && signal != Signal::ADMIN_RESUME;
  return highest_hold(object, aside ? own : nullptr);
}

const Hold* LaborMachine::highest_hold(ObjectRef object, const Hold* but) const {
  const Hold* found = latched() ? &weight_.hold : nullptr;  // G8: before an own hold of the same rank, which would not release it
  const auto look = [&](const Holds& holds) {
    for (const auto& hold : holds) {
      if (&hold != but && (!found || hold.rank > found->rank)) found = &hold;
    }
  };
  std::uint32_t task = object.index;
  if (object.kind == ObjectKind::SEQUENCE) {
    look(labor_.sequences[object.index].holds);
    task = labor_.sequences[object.index].task;
  }
  if (object.kind == ObjectKind::TASK || object.kind == ObjectKind::SEQUENCE) look(labor_.tasks[task].holds);
  look(labor_.holds);
  return found;
}

Rank LaborMachine::rank_in_force(ObjectRef object) const {
  const auto* hold = hold_in_force(object);
  return hold ? hold->rank : Rank::NONE;
}

void LaborMachine::signalled(const input::Signalled& in) {
  const bool is_labor = in.object.kind == ObjectKind::LABOR;
  const State before = state_of(labor_, in.object);
  const auto* hold_to_judge = hold_to_judge_by(in.object, in.signal);
  const Rank force = hold_to_judge ? hold_to_judge->rank : Rank::NONE;
  const bool shows_hold = before == State::PAUSING || is_paused(before);
  const State judged = applying_stored_ && shows_hold ? paused_state(force) : before;
  const Rank rank = rank_of(in.signal);
  // Jobs take no signals; and what has not started in a Labor that has ended is never going to.
  const bool deaf = in.object.kind == ObjectKind::JOB || has_ended(labor_.state);
  const auto rule = deaf ? SignalRule::REFUSED : signal_rule(is_labor, judged, in.signal, latched());

  bool allowed = rule != SignalRule::REFUSED;
  if (rule == SignalRule::HOLDS || rule == SignalRule::HOLDS_WHEN_ENTERED) allowed = rank > force;
  if (rule == SignalRule::RELEASES) allowed = rank == force && find_hold(holds_of(in.object), rank);
  const bool undecided = allowed && is_labor && in.signal == Signal::ADMIN_RESUME && !held_.empty();  // R2
  if (undecided) allowed = false;

  // G9: every signal is recorded, refused ones too, before what follows from it.
  Change record;
  record.kind = Change::Kind::SIGNAL;
  record.at = now_;
  record.ordinal = ordinal_of(labor_, in.object);
  record.from = before;
  record.to = before;
  record.signal = in.signal;
  record.refused = !allowed;
  record.interrupt = in.interrupt;
  record.by = in.by;
  record.note = in.note;
  record.sent = in.sent;
  out_->changes.push_back(record);
  const auto place = out_->changes.size() - 1;

  if (!allowed) {
    if (is_labor) {
      // G2: who caused the state. A hold may outlast the state that showed it.
      const Hold stopped{Rank::NONE, stop_.since, stop_.by, stop_.note};
      const Hold* cause = nullptr;
      if (shows_hold) cause = hold_in_force(in.object);
      if ((before == State::STOPPING || before == State::STOPPED) && is_set(stop_.since)) cause = &stopped;
      const Text latch = cause == &weight_.hold ? weight_.latch : Text();
      out_->refusals.push_back(
          {in.ticket, in.signal, before,
           undecided ? undecided_refusal(before, held_.size(), held_names(true)) : refusal(in.signal, before, cause, latch)});
    } else {
      out_->taken.push_back(in.ticket);
      pending_.push_back({in.ticket, in.object, in.signal, PendingAck::IGNORED});
    }
    return;
  }
  out_->taken.push_back(in.ticket);
  switch (rule) {
    case SignalRule::HOLDS:
    case SignalRule::HOLDS_WHEN_ENTERED: hold(in); break;
    case SignalRule::RELEASES:
      release_hold(in.object, rank);
      pending_.push_back({in.ticket, in.object, in.signal});
      break;
    case SignalRule::STOPS:
    case SignalRule::ENDS_UNSTARTED: stop(in); break;
    case SignalRule::REFUSED: break;
  }
  out_->changes[place].to = state_of(labor_, in.object);
}

void LaborMachine::hold(const input::Signalled& in) {
  set_hold(holds_of(in.object), {rank_of(in.signal), now_, in.by, in.note});
  write(in.object);
  if (state_of(labor_, in.object) == State::NOT_STARTED) {  // X2a: kept, and that is all there is to do now
    pending_.push_back({in.ticket, in.object, in.signal, PendingAck::KEPT});
    return;
  }
  pending_.push_back({in.ticket, in.object, in.signal});
  withdraw_opening(in.object);
  show_below(in.object);
}

void LaborMachine::withdraw_opening(ObjectRef object) {
  for (auto& run : runs_) {
    if (run.phase != RunPhase::OPENING) continue;
    const auto& job = labor_.jobs[run.job];
    if (object.kind != ObjectKind::SEQUENCE || (!job.is_check() && job.sequence == object.index)) withdraw(run);
  }
}

void LaborMachine::weighed(const input::Weighed& in) {
  weight_ = in.weight;
  if (in.ticket != 0) {
    out_->taken.push_back(in.ticket);
    pending_.push_back({in.ticket, {}, latched() ? Signal::CRISIS_PAUSE : Signal::CRISIS_RESUME, PendingAck::LATCH});
  }
  if (latched()) withdraw_opening({});
  lifting_ = !latched();
  show_below({});
  lifting_ = false;
  pump_all();
}

Text LaborMachine::why(const Hold& hold) const {
  if (&hold != &weight_.hold || weight_.latch.empty()) return hold.note;
  return Text("latch " + short_latch(weight_.latch) + (latched() ? "" : " lifted") +
              (hold.note.empty() ? "" : ": " + hold.note.str()));
}

void LaborMachine::release_hold(ObjectRef object, Rank rank) {
  std::erase_if(holds_of(object), [rank](const Hold& hold) { return hold.rank == rank; });
  write(object);
  show_below(object);
  pump_all();
}

void LaborMachine::stop(const input::Signalled& in) {
  pending_.push_back({in.ticket, in.object, in.signal});
  const bool again = state_of(labor_, in.object) == State::STOPPING;
  if (!again) (in.object.kind == ObjectKind::SEQUENCE ? stops_[in.object.index] : stop_) = {in.by, in.note, now_};
  switch (in.object.kind) {
    case ObjectKind::LABOR:
      if (!is_under_way(labor_.state)) {  // S6: nothing ran
        ++out_->counts.executing[static_cast<int>(ObjectKind::LABOR)];
        end_labor(State::STOPPED, Reason::NO_FAILURE);
        return;
      }
      if (!again) set_state(in.object, State::STOPPING, in.by, in.note);
      if (!current_) return;
      [[fallthrough]];
    case ObjectKind::TASK: {
      if (task().state != State::STOPPING) set_state({ObjectKind::TASK, *current_}, State::STOPPING, in.by, in.note);
      // Each Sequence says so before it ends, if it does not end at once.
      std::vector<std::uint32_t> sequences;
      for (const auto& run : runs_) {
        const auto& job = labor_.jobs[run.job];
        if (!job.is_check() && labor_.sequences[job.sequence].state != State::STOPPING) sequences.push_back(job.sequence);
      }
      std::sort(sequences.begin(), sequences.end());
      for (const auto s : sequences) set_state({ObjectKind::SEQUENCE, s}, State::STOPPING, in.by, in.note);
      cut_all(in.interrupt);
      return;
    }
    case ObjectKind::SEQUENCE: {
      if (!again) set_state(in.object, State::STOPPING, in.by, in.note);
      const auto& sequence = labor_.sequences[in.object.index];
      for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
        if (!find_run(sequence.first_job + j)) continue;
        cut_run(sequence.first_job + j, in.interrupt);
        return;
      }
      return;
    }
    case ObjectKind::JOB: return;
  }
}

const LaborMachine::Stop& LaborMachine::stop_of(std::uint32_t sequence) const {
  static const Stop none;
  if (const auto own = stops_.find(sequence); own != stops_.end()) return own->second;
  return task().state == State::STOPPING ? stop_ : none;
}

void LaborMachine::show(ObjectRef object, bool executing) {
  const State state = state_of(labor_, object);
  if (state != State::RUNNING && state != State::PAUSING && !is_paused(state)) return;
  const auto* hold = hold_in_force(object);
  const Rank rank = hold ? hold->rank : Rank::NONE;
  const State wanted = rank == Rank::NONE ? State::RUNNING : executing ? State::PAUSING : paused_state(rank);
  if (wanted == state) return;
  if (object.kind == ObjectKind::TASK) task_shows(state, wanted);
  const auto* cause = !hold && lifting_ ? &weight_.hold : hold;
  const Text by = cause ? cause->by : Text();
  const Text note = cause ? why(*cause) : Text();
  if (state == State::RUNNING && is_paused(wanted)) set_state(object, State::PAUSING, by, note);  // G4: the way there
  set_state(object, wanted, by, note);
}

void LaborMachine::show_sequence(std::uint32_t index) {
  bool executing = false;
  const auto& sequence = labor_.sequences[index];
  if (sequence.state == State::RUNNING && sequence.holds.empty() &&
      rank_in_force({ObjectKind::TASK, sequence.task}) == Rank::NONE) {
    return;  // the common case, without a look at its Jobs
  }
  for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
    const auto* run = run_of(sequence.first_job + j);
    if (!run) continue;
    executing = run->phase == RunPhase::HANDED || run->phase == RunPhase::OPENING;
    break;
  }
  show({ObjectKind::SEQUENCE, index}, executing);
}

void LaborMachine::show_below(ObjectRef object) {
  if (object.kind == ObjectKind::SEQUENCE) return show_sequence(object.index);
  if (current_ && (object.kind == ObjectKind::LABOR || object.index == *current_)) {
    std::vector<std::uint32_t> sequences;
    for (const auto& run : runs_) {
      const auto& job = labor_.jobs[run.job];
      if (!job.is_check()) sequences.push_back(job.sequence);
    }
    std::sort(sequences.begin(), sequences.end());
    for (const auto s : sequences) show_sequence(s);
  }
  show_task_and_labor();
}

void LaborMachine::show_task_and_labor() {
  if (current_) show({ObjectKind::TASK, *current_}, executing_ > 0);
  show({}, executing_ > 0);
}

void LaborMachine::acknowledge_pending() {
  std::erase_if(pending_, [this](const PendingAck& ack) {
    const State state = state_of(labor_, ack.object);
    if (ack.waits_for == PendingAck::IGNORED || ack.waits_for == PendingAck::KEPT || is_resume(ack.signal)) {
      out_->acks.push_back({ack.ticket, state, ack.waits_for != PendingAck::IGNORED});
      return true;
    }
    const bool latch = ack.waits_for == PendingAck::LATCH;
    if (ack.signal == Signal::STOP) {
      if (!has_ended(state)) return false;
      out_->acks.push_back({ack.ticket, state, state == State::STOPPED});
      return true;
    }
    const bool held = latch ? latched() : find_hold(holds_of(ack.object), rank_of(ack.signal)) != nullptr;
    const bool idle =
        is_paused(state) || (latch && !is_under_way(state));  // of what has not started, or has ended, nothing executes
    if (idle && held) {
      out_->acks.push_back({ack.ticket, state, true});
      return true;
    }
    // Withdrawn by its Resume, or overtaken by the object's own end; a pause that a STOP replaced waits for that (G1).
    if (has_ended(state) || (!held && state != State::STOPPING)) {
      out_->acks.push_back({ack.ticket, state, false});
      return true;
    }
    return false;
  });
}

}  // namespace cogwork
