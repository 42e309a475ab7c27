#include "cogwork/machine/labor_machine.h"

#include <algorithm>

#include "cogwork/machine/end_rules.h"
#include "cogwork/machine/signal_rules.h"

namespace cogwork {
namespace {

template <typename... F>
struct Overload : F... {
  using F::operator()...;
};

}  // namespace

LaborMachine::LaborMachine(Labor labor, Weight weight)
    : labor_(std::move(labor)), weight_(std::move(weight)), slot_(labor_.jobs.size(), UINT32_MAX) {}

void LaborMachine::step(const Input& input, Now now, Effects& out) {
  now_ = now.wall;
  steady_now_ = now.steady;
  out_ = &out;
  std::visit(Overload{
                 [this](const input::Start& in) { start(in); },
                 [this](const input::Signalled& in) { signalled(in); },
                 [this](const input::Decided& in) { decided(in); },
                 [this](const input::Begin& in) { begin(in); },
                 [this](const input::Recorded& in) { recorded(in); },
                 [this](const input::Ended& in) { ended(in); },
                 [this](const input::Said& in) { said(in); },
                 [this](const input::Tick& in) { tick(in); },
                 [this](const input::Closing&) { close(); },
                 [this](const input::Weighed& in) { weighed(in); },
                 [this](const input::Recovered& in) { recover(in); },
             },
             input);
  advance();
  finish_step();
  out_ = nullptr;
}

std::optional<SteadyTime> LaborMachine::next_wake() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->at;
}

std::vector<std::uint32_t> LaborMachine::calls_due(SteadyTime now) const {
  std::vector<std::uint32_t> due;
  for (const auto& timer : timers_) {
    if (timer.at > now) break;
    if (timer.kind == Timer::JOB && run_of(timer.index)->phase == RunPhase::HANDED) due.push_back(timer.index);
  }
  return due;
}

Job LaborMachine::job_row(std::uint32_t index) {
  auto& job = labor_.jobs[index];
  if (job.is_check() || !has_ended(labor_.sequences[job.sequence].state)) return job;
  auto attempts = std::move(job.attempts);
  job.attempts.clear();
  Job row = job;
  row.attempts = std::move(attempts);
  return row;
}

void LaborMachine::release(std::uint32_t index) {
  const auto& sequence = labor_.sequences[index];
  for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
    auto& job = labor_.jobs[sequence.first_job + j];
    job.args = {};
    std::vector<Attempt>().swap(job.attempts);
  }
}

void LaborMachine::start(const input::Start& in) {
  if (labor_.state != State::NOT_STARTED && labor_.state != State::ADMIN_NOT_STARTED) {
    out_->refusals.push_back({in.ticket, std::nullopt, labor_.state,
                              "cannot start a Labor that is " + std::string(name_of(labor_.state)) +
                                  ": only one that has not started can be started (S6)"});
    return;
  }
  labor_.started = now_;
  const auto place = out_->changes.size();
  ++out_->counts.executing[static_cast<int>(ObjectKind::LABOR)];
  if (latched()) {  // G8: paused instead of running
    auto note = why(weight_.hold).str();
    if (!in.by.empty()) note += "; started by " + in.by.str() + (in.note.empty() ? "" : " \"" + in.note.str() + "\"");
    set_state({}, paused_state(weight_.hold.rank), weight_.hold.by, Text(note));
  } else {
    set_state({}, State::RUNNING, in.by, in.note);
  }
  out_->changes[place].sent = in.sent;
  out_->taken.push_back(in.ticket);
  out_->acks.push_back({in.ticket, labor_.state, true});
}

void LaborMachine::tick(const input::Tick& in) {
  while (!timers_.empty() && timers_.begin()->at <= steady_now_) {
    const auto timer = *timers_.begin();
    timers_.erase(timers_.begin());
    if (timer.kind == Timer::TASK) continue;  // advance() compares the times themselves
    auto& run = runs_[slot_[timer.index]];
    run.due = kNeverDue;
    if (run.phase == RunPhase::DELAY) {
      run.phase = RunPhase::WAITING;
      pump(run);
    } else {
      const auto call = std::find_if(in.calls.begin(), in.calls.end(), [&](const auto& c) { return c.job == run.job; });
      time_out(run, call == in.calls.end() ? std::nullopt : call->called);
    }
  }
}

void LaborMachine::close() {
  closing_ = true;
  for (auto& run : runs_) {
    if (run.phase == RunPhase::OPENING) withdraw(run);
  }
}

void LaborMachine::advance() {
  while (true) {
    if (current_ ? !advance_task() : !advance_labor()) return;
  }
}

bool LaborMachine::advance_labor() {
  if (!is_under_way(labor_.state)) return false;
  const bool stopping = labor_.state == State::STOPPING;
  if (const auto end = end_of_labor(labor_, nullptr, stopping)) {
    end_labor(end->state, end->reason);
    return false;
  }
  if (closing_ || rank_in_force({}) != Rank::NONE) return false;  // X1: while the Labor is held no Task is entered
  for (std::uint32_t i = 0; i < labor_.tasks.size(); ++i) {
    if (labor_.tasks[i].state == State::NOT_STARTED) {
      enter_task(i);
      return true;
    }
  }
  return false;
}

void LaborMachine::end_labor(State state, Reason reason) {
  labor_.reason = reason;
  labor_.ended = now_;
  if (state == State::STOPPED) {
    set_state({}, state, stop_.by, stop_.note);
  } else {
    set_state({}, state);
  }
  --out_->counts.executing[static_cast<int>(ObjectKind::LABOR)];
  ++out_->counts.processed[static_cast<int>(ObjectKind::LABOR)];
  out_->labor_ended = true;
}

void LaborMachine::finish_step() {
  show_task_and_labor();
  if (!pending_.empty()) acknowledge_pending();
}

void LaborMachine::set_state(ObjectRef object, State to, const Text& by, const Text& why) {
  State* state = nullptr;
  switch (object.kind) {
    case ObjectKind::LABOR: state = &labor_.state; break;
    case ObjectKind::TASK: state = &labor_.tasks[object.index].state; break;
    case ObjectKind::SEQUENCE: state = &labor_.sequences[object.index].state; break;
    case ObjectKind::JOB: state = &labor_.jobs[object.index].state; break;
  }
  const State from = *state;
  *state = to;
  write(object);
  // X11: passing rounds after the first are counted, not listed; note_checks and fail_check enter what is to be entered.
  if (object.kind == ObjectKind::JOB) {
    const auto& job = labor_.jobs[object.index];
    if (job.is_check() && round_ > 1) {
      check_noted_[object.index - task().first_job] = false;
      return;
    }
  }
  note(object, from, to, now_, by, why);
}

void LaborMachine::note(ObjectRef object, State from, State to, Time at, const Text& by, const Text& why) {
  Change change;
  change.at = at;
  change.ordinal = ordinal_of(labor_, object);
  change.from = from;
  change.to = to;
  switch (object.kind) {
    case ObjectKind::LABOR: change.reason = labor_.reason; break;
    case ObjectKind::TASK: change.reason = labor_.tasks[object.index].reason; break;
    case ObjectKind::SEQUENCE: change.reason = labor_.sequences[object.index].reason; break;
    case ObjectKind::JOB: change.rounds = labor_.jobs[object.index].rounds; break;
  }
  change.by = by;
  change.note = why;
  out_->changes.push_back(std::move(change));
}

const LaborMachine::Run* LaborMachine::run_of(std::uint32_t job) const {
  return slot_[job] == UINT32_MAX ? nullptr : &runs_[slot_[job]];
}

std::string_view name_of(LaborMachine::Phase phase) {
  constexpr std::string_view names[] = {"NONE", "ENTERED", "CHECKING", "ROLLING", "CLOSING"};
  return names[static_cast<int>(phase)];
}

std::string_view name_of(LaborMachine::RunPhase phase) {
  constexpr std::string_view names[] = {"WAITING", "QUEUED", "OPENING", "HANDED", "DELAY", "HELD"};
  return names[static_cast<int>(phase)];
}

}  // namespace cogwork
