// Held Jobs (R2): which attempts a person must decide about, and what follows from what was decided.

#include "cogwork/machine/held.h"
#include "cogwork/machine/labor_machine.h"
#include "cogwork/machine/signal_rules.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostNamed = 3;

std::string quoted(Decision decision) { return "'" + std::string(name_of(decision)) + "'"; }

/// What a displayed attempt says of it, behind why it was closed.
std::string told(const input::Decided& in) {
  auto text = "; " + (in.by.empty() ? "somebody" : in.by.str()) + " decided: " + std::string(name_of(in.decision));
  return in.note.empty() ? text : text + " \"" + in.note.str() + "\"";
}

}  // namespace

std::string full_name(const Labor& labor, const Job& job) {
  const auto own = (job.name.empty() ? job.cog_path : job.name).str();
  const auto task = labor.tasks[job.task].name.str();
  return job.is_check() ? task + " check " + own : task + "/" + labor.sequences[job.sequence].target.str() + " " + own;
}

bool awaits_decision(const Job& job) {
  if (job.held) return true;
  return !job.attempts.empty() && job.attempts.back().open() &&
         job.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::HOLD);
}

std::string decision_refusal(const Labor& labor, const Job& job, Decision decision) {
  const auto earlier = job.attempts.empty() ? Decision::NONE : job.attempts.back().decision;
  return "cannot decide " + quoted(decision) + " about Job '" + full_name(labor, job) + "' (" +
         labor.id.with_ordinal(job.ordinal).text() + "), which is " + std::string(name_of(job.state)) + " and not held" +
         (earlier == Decision::NONE ? "" : ": " + quoted(earlier) + " was decided") +
         "; a Job is held when its attempt was executing as its engine ended, and its on_interrupt is HOLD";
}

void LaborMachine::decided(const input::Decided& in) {
  auto& job = labor_.jobs[in.job];
  const State before = job.state;
  Change record;
  record.kind = Change::Kind::DECISION;
  record.at = now_;
  record.ordinal = job.ordinal;
  record.from = record.to = before;
  record.decision = in.decision;
  record.refused = !job.held || in.decision == Decision::NONE;
  record.by = in.by;
  record.note = in.note;
  record.sent = in.sent;
  out_->changes.push_back(record);
  const auto place = out_->changes.size() - 1;
  if (record.refused) {
    out_->refusals.push_back({in.ticket, std::nullopt, before, decision_refusal(labor_, job, in.decision)});
    return;
  }
  out_->taken.push_back(in.ticket);
  auto& attempt = job.attempts.back();
  attempt.decision = in.decision;
  attempt.error = Text(attempt.error.str() + told(in));
  switch (in.decision) {
    case Decision::RERUN: {
      release_held(job, in.job);
      write({ObjectKind::JOB, in.job});
      auto& run = *find_run(in.job);
      run.phase = RunPhase::WAITING;  // for the Labor's ADMIN_RESUME
      pump(run);
      break;
    }
    case Decision::COMPLETED: end_job(in.job, State::COMPLETED); break;
    case Decision::FAILED: end_job(in.job, State::FAILED); break;
    case Decision::NONE: break;
  }
  out_->changes[place].to = job.state;
  out_->acks.push_back({in.ticket, job.state, true});
}

void LaborMachine::hold_undecided() {
  for (const auto& run : runs_) {
    if (run.phase != RunPhase::HELD) continue;
    auto& job = labor_.jobs[run.job];
    held_.insert(run.job);
    if (std::exchange(job.held, true)) continue;
    write({ObjectKind::JOB, run.job});
  }
  if (held_.empty() || find_hold(labor_.holds, Rank::ADMIN)) return;
  const auto who = held_.size() == 1 ? "an attempt was executing when the engine ended"
                                     : std::to_string(held_.size()) + " attempts were executing when the engine ended";
  const Hold own{Rank::ADMIN, now_, Text(kEngine), Text(who + ": " + held_names(false) + "; cogwork decide")};
  set_hold(labor_.holds, own);
  write({});
  Change record;  // as of any pause: the history alone says what holds a Labor (D7)
  record.kind = Change::Kind::SIGNAL;
  record.signal = Signal::ADMIN_PAUSE;
  record.at = now_;
  record.from = record.to = labor_.state;
  record.by = own.by;
  record.note = own.note;
  out_->changes.push_back(record);
  const auto place = out_->changes.size() - 1;
  show_below({});
  out_->changes[place].to = labor_.state;
}

void LaborMachine::release_held(Job& job, std::uint32_t index) {
  job.held = false;
  held_.erase(index);
}

std::string LaborMachine::held_names(bool with_ids) const {
  std::string names;
  std::size_t named = 0;
  for (const auto index : held_) {
    const auto& job = labor_.jobs[index];
    if (named == kMostNamed) return names + " and " + std::to_string(held_.size() - named) + " more";
    names += (named++ > 0 ? ", '" : "'") + full_name(labor_, job) + "'";
    if (with_ids) names += " (" + labor_.id.with_ordinal(job.ordinal).text() + ")";
  }
  return names;
}

}  // namespace cogwork
