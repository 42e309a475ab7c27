#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/machine/invariants.h"
#include "cogwork/machine/labor_machine.h"
#include "cogwork/machine/signal_rules.h"

namespace cogwork::test {

/// One line for a person who reads what led to a failure.
inline std::string describe(const Input& input) {
  struct Say {
    std::string operator()(const input::Start& in) const { return "Start ticket " + std::to_string(in.ticket); }
    std::string operator()(const input::Signalled& in) const {
      static constexpr const char* kKinds[] = {"Labor", "Task", "Sequence", "Job"};
      return std::string(name_of(in.signal)) + (in.interrupt ? "(interrupt)" : "") + " to " +
             kKinds[static_cast<int>(in.object.kind)] + " " + std::to_string(in.object.index) + " ticket " +
             std::to_string(in.ticket);
    }
    std::string operator()(const input::Decided& in) const {
      return "Decided " + std::to_string(in.job) + " " + std::string(name_of(in.decision)) + " ticket " + std::to_string(in.ticket);
    }
    std::string operator()(const input::Begin& in) const { return "Begin " + std::to_string(in.job); }
    std::string operator()(const input::Recorded& in) const {
      return "Recorded " + std::to_string(in.job) + " serial " + std::to_string(in.serial);
    }
    std::string operator()(const input::Ended& in) const {
      return "Ended " + std::to_string(in.job) + " " + std::string(name_of(in.outcome.status)) +
             (in.still_running ? " still running" : "");
    }
    std::string operator()(const input::Said& in) const { return "Said " + std::to_string(in.job); }
    std::string operator()(const input::Tick&) const { return "Tick"; }
    std::string operator()(const input::Closing&) const { return "Closing"; }
    std::string operator()(const input::Weighed& in) const {
      return (in.weight.hold.rank == Rank::NONE ? "lifted" : "latch " + in.weight.latch.str()) + " ticket " +
             std::to_string(in.ticket);
    }
    std::string operator()(const input::Recovered&) const { return "Recovered"; }
  };
  return std::visit(Say{}, input);
}

/// What a store holds of one Labor.
struct Stored {
  Labor labor;
  std::vector<Change> history;

  /// Replaces the rows that a commit names. A Job's args are not among what is written (T2).
  void put(ObjectRef ref, const Labor& from) {
    switch (ref.kind) {
      case ObjectKind::LABOR:
        labor.state = from.state;
        labor.reason = from.reason;
        labor.started = from.started;
        labor.ended = from.ended;
        labor.holds = from.holds;
        return;
      case ObjectKind::TASK: labor.tasks[ref.index] = from.tasks[ref.index]; return;
      case ObjectKind::SEQUENCE: labor.sequences[ref.index] = from.sequences[ref.index]; return;
      case ObjectKind::JOB: labor.jobs[ref.index] = from.jobs[ref.index]; return;
    }
  }
};

/// Drives one machine as an engine does, in one thread and in virtual time - workers, calls that run, commits that are made now and
/// durable later - and watches each step from outside: what it may hand over, start, store, enter in the history and acknowledge. What is
/// wrong gathers in `faults`, each with its rule; the state itself is checked by broken_invariants.
class MachineDriver {
 public:
  explicit MachineDriver(Labor labor) : machine(labor), durable{labor, {}}, latest_{std::move(labor), {}} { watch_anew(); }

  LaborMachine machine;
  Time now = from_micros(1'700'000'000'000'000);  ///< By the steady clock.
  Duration wall_ahead{};                          ///< Of `now`: somebody sets the wall clock.
  Stored durable;
  std::vector<std::string> faults;
  std::deque<std::string> inputs;  ///< The last thirty.

  std::deque<std::uint32_t> ready[2];    ///< Jobs, checks (X13).
  std::map<std::uint32_t, Time> handed;  ///< Calls that run, and since when.
  std::set<std::uint32_t> untaken;       ///< Of these, those whose Cog was not called yet.
  bool takes_late = false;               ///< Whoever is handed a call takes it later, by take().
  std::set<std::uint32_t> asked_to_end;  ///< Of these, those that were interrupted.
  std::map<Ticket, Effects::Acknowledged> acks;
  std::uint64_t steps = 0;
  bool lives_by_the_step = false;             ///< Each step takes a microsecond, and is a commit of its own.
  std::function<void(Time made)> on_durable;  ///< A commit that was made then is in `durable`.

  const Labor& labor() const { return machine.labor(); }
  SteadyTime steady() const { return SteadyTime(now.time_since_epoch()); }
  std::optional<Time> next_wake() const {
    const auto wake = machine.next_wake();
    return wake ? std::optional(Time(wake->time_since_epoch())) : std::nullopt;
  }
  std::size_t busy(bool check) const {
    return static_cast<std::size_t>(
        std::count_if(called_.begin(), called_.end(), [&](std::uint32_t job) { return labor().jobs[job].is_check() == check; }));
  }
  std::size_t commits_in_flight() const { return in_flight_.size(); }
  bool anything_to_commit() const { return dirty_; }
  std::size_t unanswered() const { return outstanding_.size() + weighing_.size() + unacknowledged_.size(); }

  void step(const Input& input) {
    ++steps;
    if (lives_by_the_step) now += Duration(1);
    inputs.push_back(std::to_string(steps) + " at " + std::to_string((now - from_micros(1'700'000'000'000'000)).count()) +
                     " us: " + describe(input));
    if (inputs.size() > 30) inputs.pop_front();

    reasons_.clear();
    for (const auto& t : labor().tasks) reasons_.push_back(t.reason);
    const State before = state_before_ = labor().state;
    held_before_ = machine.held();
    effects_.clear();
    recorded_ = times_.stamp({now + wall_ahead, steady()}).wall;
    machine.step(input, {recorded_, steady()}, effects_);
    watch_tickets(input);
    watch_fresh_round();
    watch_changes();
    watch_attempts();
    watch_counts();
    watch_timers(std::holds_alternative<input::Tick>(input));
    if (effects_.labor_ended != (has_ended(labor().state) && !has_ended(before)))
      fault("X1: labor_ended is not said when it is so");
    for (auto& broken : broken_invariants(machine)) faults.push_back(std::move(broken));
    if (lives_by_the_step) {
      for (auto& broken : broken_at_rest(machine.labor())) faults.push_back("at rest: " + std::move(broken));
    }
    gather();
    if (lives_by_the_step) make_commit();
  }

  void tick() {
    input::Tick tick;
    for (const auto job : machine.calls_due(steady())) {
      const auto called = handed.at(job).time_since_epoch();
      tick.calls.push_back({job, untaken.contains(job) ? std::nullopt : std::optional(SteadyTime(called))});
    }
    step(tick);
  }
  /// The Cog is called.
  void take(std::uint32_t job) {
    if (untaken.erase(job) > 0) handed[job] = now;
  }
  /// The first Job of that lane gets a worker.
  void begin_next(bool check) {
    auto& queue = ready[check];
    if (queue.empty()) return;
    const auto job = queue.front();
    queue.pop_front();
    step(input::Begin{job});
  }
  void finish(std::uint32_t job, Outcome outcome, bool still_running = false) {
    forget(job);
    step(input::Ended{job, std::move(outcome), still_running});
  }
  /// What has gathered becomes one commit, with the rows as they are now.
  void make_commit() {
    if (!dirty_) return;
    dirty_ = false;
    gathering_.made = recorded_;
    std::sort(gathering_.refs.begin(), gathering_.refs.end());
    gathering_.refs.erase(std::unique(gathering_.refs.begin(), gathering_.refs.end()), gathering_.refs.end());
    for (const auto ref : gathering_.refs) {
      switch (ref.kind) {
        case ObjectKind::LABOR: gathering_.labor = without_tables(labor()); break;
        case ObjectKind::TASK: gathering_.tasks.emplace_back(ref.index, labor().tasks[ref.index]); break;
        case ObjectKind::SEQUENCE: gathering_.sequences.emplace_back(ref.index, labor().sequences[ref.index]); break;
        case ObjectKind::JOB: gathering_.jobs.emplace_back(ref.index, labor().jobs[ref.index]); break;
      }
    }
    in_flight_.push_back(std::exchange(gathering_, {}));
  }
  /// The first commit in flight is durable: now, and only now, its third group is carried out.
  void commit_is_durable() {
    if (in_flight_.empty()) return;
    const auto commit = std::move(in_flight_.front());
    in_flight_.pop_front();
    store(commit);
    for (const auto& opened : commit.opened) step(input::Recorded{opened.job, opened.serial});
    for (const auto& ack : commit.acks) {
      if (unacknowledged_.erase(ack.ticket) == 0) fault("G1: an ack for nothing, or a second one");
      acks[ack.ticket] = ack;
    }
  }
  void all_durable() {
    while (dirty_ || !in_flight_.empty()) {
      make_commit();
      commit_is_durable();
    }
  }

  /// The engine dies: of the commits in flight the first `survive` were durable, although nobody learnt of it. Another engine takes up what is
  /// stored (R1-R3). `weight`: what the latches say by then (G8).
  /// `stored`: signals that were sent meanwhile (R1).
  void die(std::size_t survive, Duration down, Weight weight = {}, std::vector<input::Signalled> stored = {}) {
    for (std::size_t i = 0; i < survive && !in_flight_.empty(); ++i) {
      store(in_flight_.front());
      in_flight_.pop_front();
    }
    check_history();
    in_flight_.clear();
    gathering_ = {};
    dirty_ = false;
    machine = LaborMachine(durable.labor, std::move(weight));
    latest_ = durable;
    for (auto& queue : ready) queue.clear();
    handed.clear();
    untaken.clear();
    asked_to_end.clear();
    called_.clear();
    outstanding_.clear();
    weighing_.clear();
    unacknowledged_.clear();
    acks.clear();
    watch_anew();
    const Time last_sign = latest_time(durable.labor);
    now += down;
    const Time last_change = durable.history.empty() ? last_sign : durable.history.back().at;
    times_ = RecordTime(std::max(last_sign, last_change), {now + wall_ahead, steady()});
    recorded_ = times_.stamp({now + wall_ahead, steady()}).wall;
    watch_down(recorded_ - last_sign);
    if (!has_ended(labor().state)) step(input::Recovered{std::move(stored)});
  }

  /// D7: the history that is durable, replayed, is the tree that is durable; of checks only in the end (X11).
  void check_history() {
    std::vector<State> states(names_.size(), State::NOT_STARTED);
    for (const auto& c : durable.history) {
      if (c.kind == Change::Kind::STATE) states[c.ordinal] = c.to;
    }
    for (std::size_t ordinal = 0; ordinal < names_.size(); ++ordinal) {
      const auto ref = names_[ordinal];
      if (ref.kind == ObjectKind::JOB && durable.labor.jobs[ref.index].is_check() &&
          !has_ended(durable.labor.tasks[durable.labor.jobs[ref.index].task].state)) {
        continue;
      }
      const State stored = state_of(durable.labor, ref);
      if (ordinal == 0 && stored == State::ADMIN_NOT_STARTED) continue;
      if (states[ordinal] != stored) {
        fault("D7: the history says that ordinal " + std::to_string(ordinal) + " is " + std::string(name_of(states[ordinal])) +
              ", the store " + std::string(name_of(stored)));
      }
    }
  }

 private:
  struct Commit {
    Time made = never;
    std::vector<ObjectRef> refs;
    std::optional<Labor> labor;
    std::vector<std::pair<std::uint32_t, Task>> tasks;
    std::vector<std::pair<std::uint32_t, Sequence>> sequences;
    std::vector<std::pair<std::uint32_t, Job>> jobs;
    std::vector<Change> changes;
    std::vector<Effects::Opened> opened;
    std::vector<Effects::Acknowledged> acks;
  };

  void fault(std::string what) { faults.push_back(std::move(what)); }
  void forget(std::uint32_t job) {
    handed.erase(job);
    untaken.erase(job);
    asked_to_end.erase(job);
  }

  void watch_anew() {
    names_.clear();
    replayed_.clear();
    for (std::uint32_t ordinal = 0; const auto ref = find_ordinal(labor(), ordinal); ++ordinal) {
      names_.push_back(*ref);
      replayed_.push_back(state_of(labor(), *ref));
    }
    // What passing rounds of checks left out of the history is not known from the tree: begin with what the history says.
    for (const auto& c : durable.history) {
      if (c.kind == Change::Kind::STATE) replayed_[c.ordinal] = c.to;
    }
    counts_ = {};
  }

  void store(const Commit& commit) {
    if (commit.labor) durable.put({}, *commit.labor);
    for (const auto& [i, row] : commit.tasks) durable.labor.tasks[i] = row;
    for (const auto& [i, row] : commit.sequences) durable.labor.sequences[i] = row;
    for (const auto& [i, row] : commit.jobs) durable.labor.jobs[i] = row;
    durable.history.insert(durable.history.end(), commit.changes.begin(), commit.changes.end());
    if (on_durable) on_durable(commit.made);
  }

  void gather() {
    auto& e = effects_;
    for (const auto ref : e.writes) latest_.put(ref, labor());
    if (latest_.labor != labor()) fault("T2: something changed that is not among the writes");
    dirty_ |= !e.writes.empty() || !e.changes.empty() || !e.opened.empty() || !e.acks.empty();
    const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    append(gathering_.refs, e.writes);
    append(gathering_.changes, e.changes);
    append(gathering_.opened, e.opened);
    append(gathering_.acks, e.acks);
    for (const auto& r : e.ready) ready[r.check].push_back(r.job);
  }

  // ---- R2: a held Job, and no other, is decided, at once ----
  void watch_decision(const input::Decided& in) {
    const auto& e = effects_;
    if (!held_before_.contains(in.job)) {
      if (e.refusals.size() != 1 || !e.taken.empty() || !e.writes.empty()) fault("R2: decided about a Job that is not held");
      return;
    }
    const bool acked =
        std::any_of(e.acks.begin(), e.acks.end(), [&](const auto& ack) { return ack.ticket == in.ticket && ack.applied; });
    if (!e.refusals.empty() || e.taken != std::vector<Ticket>{in.ticket} || !acked) fault("R2: a decision is not taken at once");
    const auto& job = labor().jobs[in.job];
    constexpr State kEnds[] = {State::UNKNOWN, State::RUNNING, State::COMPLETED, State::FAILED};
    if (job.held || job.state != kEnds[static_cast<int>(in.decision)] || job.attempts.back().decision != in.decision)
      fault("R2: a decision did not do what it says");
    const auto& c = e.changes.front();
    if (c.kind != Change::Kind::DECISION || c.decision != in.decision || c.by != in.by || c.refused)
      fault("D7: a decision is not recorded");
  }

  // ---- G1, G2: each signal is taken or refused at once; what is taken is acknowledged once, when its object has come so far ----
  void watch_tickets(const Input& input) {
    std::map<Ticket, std::optional<input::Signalled>> sent_now;
    const auto* decided = std::get_if<input::Decided>(&input);
    if (const auto* in = std::get_if<input::Signalled>(&input)) {
      sent_now[in->ticket] = *in;
    } else if (decided) {
      sent_now[decided->ticket];
      watch_decision(*decided);
    } else if (const auto* in_start = std::get_if<input::Start>(&input)) {
      sent_now[in_start->ticket];
    } else if (const auto* weighed = std::get_if<input::Weighed>(&input)) {
      if (weighed->ticket != 0) sent_now[weighed->ticket];
    } else if (const auto* recovered = std::get_if<input::Recovered>(&input)) {
      if (state_before_ == State::NOT_STARTED) sent_now[0];  // R1: it starts what had not started
      for (const auto& s : recovered->signals) sent_now[s.ticket] = s;
    }
    if (effects_.taken.size() + effects_.refusals.size() != sent_now.size())
      fault("G1: a signal is neither taken nor refused, or both");
    for (const auto& r : effects_.refusals) {
      const auto found = sent_now.find(r.ticket);
      if (found == sent_now.end()) {
        fault("G2: refuses what was not sent");
      } else if (found->second && found->second->object.kind != ObjectKind::LABOR) {
        fault("G2: below a Labor a signal is ignored, not refused");
      }
    }
    for (const auto t : effects_.taken) {
      const auto found = sent_now.find(t);
      if (found == sent_now.end()) {
        fault("G1: takes what was not sent");
      } else if (std::holds_alternative<input::Weighed>(input)) {
        weighing_.insert(t);
      } else if (!decided) {
        outstanding_[t] = found->second;
      }
      unacknowledged_.insert(t);
    }
    for (const auto& ack : effects_.acks) {
      if (decided && ack.ticket == decided->ticket) continue;
      if (weighing_.erase(ack.ticket) > 0) {
        if (ack.applied && machine.latched() && machine.executing() > 0)
          fault("G8: a latch is acknowledged while something executes");
        continue;
      }
      const auto found = outstanding_.find(ack.ticket);
      if (found == outstanding_.end()) {
        fault("G1: acknowledges twice, or what was not taken");
        continue;
      }
      const auto sent = found->second;
      outstanding_.erase(found);
      const ObjectRef object = sent ? sent->object : ObjectRef{};
      const State state = state_of(labor(), object);
      if (ack.state != state) {
        fault("G1: the ack of ticket " + std::to_string(ack.ticket) + " tells " + std::string(name_of(ack.state)) +
              ", the object is " + std::string(name_of(state)));
      }
      if (!sent || !ack.applied) continue;
      if (sent->signal == Signal::STOP && state != State::STOPPED) fault("G1: a STOP applied to what is not stopped");
      if (std::holds_alternative<input::Recovered>(input)) continue;  // others came behind it in the same step
      if (is_pause(sent->signal) && !is_paused(state) && state != State::NOT_STARTED)
        fault("G1: a pause applied to what is not paused");
      if (is_pause(sent->signal) && find_hold(holds_of(object), rank_of(sent->signal)) == nullptr)
        fault("G1: a pause applied without a hold");
      if (sent->signal == Signal::ADMIN_RESUME && object.kind == ObjectKind::LABOR && !held_before_.empty())
        fault("R2: resumed before each held Job was decided");
      if (is_resume(sent->signal) && find_hold(holds_of(object), rank_of(sent->signal)) != nullptr)
        fault("G5: released, and still held");
    }
    if (!weighing_.empty() && (!machine.latched() || !is_under_way(labor().state) || is_paused(labor().state)) &&
        labor().state != State::STOPPING) {
      fault("G8: the ack of a latch is late");
    }
    for (const auto& [t, sent] : outstanding_) {
      if (!sent || is_resume(sent->signal)) {
        fault("G1: a Resume or a start that is not acknowledged at once");
      } else if (const State state = state_of(labor(), sent->object);
                 has_ended(state) || (is_pause(sent->signal) && (is_paused(state) || state == State::RUNNING))) {
        fault("G1: the ack of ticket " + std::to_string(t) + " is late");
      }
    }
  }
  const Holds& holds_of(ObjectRef ref) const {
    if (ref.kind == ObjectKind::TASK) return labor().tasks[ref.index].holds;
    if (ref.kind == ObjectKind::SEQUENCE) return labor().sequences[ref.index].holds;
    return labor().holds;
  }

  // ---- D7, X2, X3, X6a, G7: each change follows from the one before, and may happen ----
  void watch_changes() {
    for (const auto& c : effects_.changes) {
      if (c.kind != Change::Kind::STATE) continue;
      const auto ref = names_.at(c.ordinal);
      State& last = replayed_[c.ordinal];
      if (c.from != last && !(c.ordinal == 0 && c.from == State::ADMIN_NOT_STARTED)) {
        fault("D7: ordinal " + std::to_string(c.ordinal) + " was " + std::string(name_of(last)) + ", and changes from " +
              std::string(name_of(c.from)) + " to " + std::string(name_of(c.to)));
      }
      if (has_ended(c.from) && !(ref.kind == ObjectKind::JOB && labor().jobs[ref.index].is_check()))
        fault("M3: an ended object changes");
      last = c.to;
      if (ref.kind == ObjectKind::SEQUENCE && c.from == State::NOT_STARTED) sequence_started(ref.index);
      if (ref.kind == ObjectKind::TASK && has_ended(c.to)) task_ended(ref.index, c.from, c.to);
    }
    for (const auto ref : effects_.writes) {
      if (ref.kind == ObjectKind::JOB && labor().jobs[ref.index].is_check()) continue;
      if (replayed_[ordinal_of(labor(), ref)] != state_of(labor(), ref)) fault("D7: a state changed in silence");
    }
    for (const auto ref : effects_.writes) {
      if (ref.kind == ObjectKind::JOB && labor().jobs[ref.index].state == State::FAILED) job_failed(labor().jobs[ref.index]);
    }
    for (const auto s : effects_.ended_sequences) {
      if (!has_ended(labor().sequences[s].state)) fault("X7: a Sequence is said to have ended");
    }
  }
  /// X8: a Job fails when it has no try left, and not before.
  void job_failed(const Job& j) {
    const auto& last = j.attempts.back();
    if (!is_try(last.status) || (last.marks & Attempt::STILL_RUNNING) != 0) return;
    std::int32_t tries = 0;
    for (const auto& a : j.attempts) tries += a.round == last.round && is_try(a.status);
    if (tries != 1 + j.options.retries) fault("X8: a Job failed with tries left");
  }
  static bool is_try(AttemptStatus s) {
    return s == AttemptStatus::FAILURE || s == AttemptStatus::TIMED_OUT || s == AttemptStatus::CRASHED;
  }
  void sequence_started(std::uint32_t index) {
    const auto& t = labor().tasks[labor().sequences[index].task];
    if (machine.rank_in_force({ObjectKind::TASK, labor().sequences[index].task}) != Rank::NONE)
      fault("G4: a Sequence started under a pause");
    if (t.state != State::RUNNING || t.reason != Reason::NO_FAILURE) fault("X3: a Sequence started in a Task that is over");
    if (t.tolerated_failures.number >= 0 && t.failures > t.tolerated_failures.number)
      fault("X3: a Sequence started beyond the budget");
    if (machine.closing()) fault("R: a Sequence started although the engine closes");
    if (is_set(looks_from_)) {  // G4c
      for (std::uint32_t i = t.pre_check_count; i < t.check_count(); ++i) {
        if (passed_since(labor().jobs[t.first_job + i], looks_from_)) continue;
        fault("G4c: a Sequence started before a round of checks had passed since " + std::to_string(to_micros(looks_from_)));
      }
    }
  }
  /// Whether a round passed whose first attempt began then, or later.
  static bool passed_since(const Job& check, Time from) {
    std::uint32_t round = 0;
    bool begun_since = false;
    for (const auto& a : check.attempts) {
      if (a.round != round) begun_since = a.started >= from;
      round = a.round;
      if (begun_since && (a.status == AttemptStatus::SUCCESS || a.decision == Decision::COMPLETED)) return true;
    }
    return false;
  }

  // ---- G4c: since when a Task could have no rounds, and from when on it must have had one ----
  void watch_fresh_round() {
    const auto current = machine.current_task();
    if (current != watched_task_) {
      watched_task_ = current;
      looks_from_ = unwatched_since_ = never;
    }
    if (!current) return;
    const auto& t = labor().tasks[*current];
    const bool held = t.state != State::RUNNING;
    if (held && !is_set(unwatched_since_)) unwatched_since_ = now;
    if (held || !is_set(unwatched_since_)) return;
    if (t.cont_check_count > 0 && now - unwatched_since_ > t.cont_check_interval) looks_from_ = recorded_;
    unwatched_since_ = never;
  }
  /// The engine was down: for how long at most, the store tells.
  void watch_down(Duration down) {
    watched_task_ = std::nullopt;
    for (std::uint32_t i = 0; i < labor().tasks.size(); ++i) {
      if (is_under_way(labor().tasks[i].state)) watched_task_ = i;
    }
    looks_from_ = never;
    unwatched_since_ = watched_task_ ? now - down : never;
  }
  /// The end of a Task worked out from the tree alone (X1, X6b, G7).
  void task_ended(std::uint32_t index, State from, State to) {
    const auto& t = labor().tasks[index];
    bool cut = false, check_failed = false;
    Time last_end = never;
    for (std::uint32_t i = 0; i < t.sequence_count; ++i) {
      const auto& s = labor().sequences[t.first_sequence + i];
      cut |= s.state == State::STOPPED || s.state == State::NOT_STARTED;
      last_end = std::max(last_end, s.ended);
    }
    for (std::uint32_t i = 0; i < t.check_count(); ++i) check_failed |= labor().jobs[t.first_job + i].state == State::FAILED;
    const bool over = t.tolerated_failures.number >= 0 && t.failures > t.tolerated_failures.number;
    State state = State::COMPLETED;
    std::set<Reason> reasons = {Reason::NO_FAILURE};
    if (reasons_[index] != Reason::NO_FAILURE) {
      state = State::FAILED;
      reasons = {reasons_[index]};
    } else if (from == State::STOPPING && cut) {
      state = State::STOPPED;
    } else if (check_failed || over) {
      state = State::FAILED;
      reasons.clear();
      if (check_failed) reasons.insert({Reason::PRE_CHECK_FAILURE, Reason::CONT_CHECK_FAILURE});
      if (over && !(from == State::STOPPING && check_failed)) reasons.insert(Reason::MAX_FAILURES);
    }
    if (to != state || !reasons.contains(t.reason)) {
      fault("G7: Task " + std::to_string(index) + " ended " + std::string(name_of(to)) + " " + std::string(name_of(t.reason)) +
            ", not " + std::string(name_of(state)));
    }
    if (to != State::COMPLETED || from == State::STOPPING) return;
    for (std::uint32_t i = t.pre_check_count; i < t.check_count(); ++i) {  // X6a
      if (labor().jobs[t.first_job + i].started < last_end + t.bake) fault("X6a: nothing has looked at what the Task changed");
    }
  }

  // ---- X13, D2, G3, X8, X6: attempts ----
  void watch_attempts() {
    for (const auto job : effects_.closed) {
      if (called_.erase(job) == 0) fault("X13: a worker is freed twice");
      forget(job);
    }
    for (const auto& opened : effects_.opened) {
      if (!called_.insert(opened.job).second) fault("X13: a Job gets two workers");
      attempt_opened(labor().jobs[opened.job]);
    }
    if (machine.latched() && !(effects_.opened.empty() && effects_.handed.empty())) fault("G8: an attempt begins under a latch");
    for (const auto job : effects_.handed) {
      const auto& j = labor().jobs[job];
      const auto& stored = durable.labor.jobs[job].attempts;
      if (stored.empty() || !stored.back().open() || stored.back().started != j.attempts.back().started) {
        fault("D2: Job " + std::to_string(job) + " is handed over before its start is durable");
      }
      const State above = j.is_check() ? labor().tasks[j.task].state : labor().sequences[j.sequence].state;
      if (above != State::RUNNING)
        fault("G3: Job " + std::to_string(job) + " is handed over although what it belongs to is held or stopping");
      if (machine.closing()) fault("R: a Job is handed over although the engine closes");
      if (!handed.emplace(job, now).second) fault("M1: Job " + std::to_string(job) + " is called twice");
      if (takes_late) untaken.insert(job);
    }
    for (const auto job : effects_.interrupted) {
      if (!handed.contains(job)) fault("G3a: a call that does not run is interrupted");
      if (!asked_to_end.insert(job).second) fault("G3a: a call is interrupted twice");
      if (machine.run_of(job)->ending != LaborMachine::Ending::TIMED_OUT) continue;
      if (untaken.contains(job)) {
        fault("X8: a call is timed out that was never made");
      } else if (now < handed.at(job) + labor().jobs[job].options.timeout) {
        fault("X8: a call is timed out too soon");
      }
    }
  }
  void attempt_opened(const Job& j) {
    const auto& attempts = j.attempts;
    const auto& latest = attempts.back();
    if (latest.started != recorded_) fault("X13: an attempt does not start when its worker is free");
    if (attempts.size() > 1 && attempts[attempts.size() - 2].round == latest.round) {
      const auto& before = attempts[attempts.size() - 2];
      const bool asks = j.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::HOLD);
      if (before.status == AttemptStatus::INTERRUPTED && before.decision != (asks ? Decision::RERUN : Decision::NONE))
        fault("R5: runs again, and nobody decided that");
      if (is_try(before.status)) {
        double delay = static_cast<double>(j.options.retry_delay.count());
        bool first = true;
        for (const auto& a : attempts) {
          if (a.round != latest.round || !is_try(a.status)) continue;
          if (!first) delay *= j.options.retry_backoff;
          first = false;
        }
        if (j.options.retry_max_delay.count() != kNotGiven)
          delay = std::min(delay, static_cast<double>(j.options.retry_max_delay.count()));
        if (latest.started < before.ended + Duration(static_cast<std::int64_t>(delay)))
          fault("X8: a retry before its delay is over");
      }
    }
    if (j.kind == JobKind::CONT_CHECK && latest.round > 1 && latest.number == 1) {  // X6, X6a
      const auto& t = labor().tasks[j.task];
      Time round_ended = never, last_end = never;
      for (std::uint32_t i = 0; i < t.check_count(); ++i) {
        const auto& check = labor().jobs[t.first_job + i];
        if (check.rounds + 1 < latest.round && check.kind == JobKind::CONT_CHECK)
          fault("X6: a round begins before the last one ended");
        for (const auto& a : check.attempts) {
          const bool counts = a.round + 1 == latest.round || (check.kind == JobKind::PRE_CHECK && latest.round == 2);
          if (counts && a.status == AttemptStatus::SUCCESS) round_ended = std::max(round_ended, a.ended);
        }
      }
      bool all_ended = true;
      for (std::uint32_t i = 0; i < t.sequence_count; ++i) {
        const auto& s = labor().sequences[t.first_sequence + i];
        all_ended &= has_ended(s.state);
        last_end = std::max(last_end, s.ended);
      }
      if (recorded_ < round_ended + t.cont_check_interval && !(all_ended && recorded_ >= last_end + t.bake))
        fault("X6: a round begins too soon");
    }
  }

  // ---- X12 ----
  void watch_counts() {
    for (int kind = 0; kind < 4; ++kind) {
      counts_.executing[kind] += effects_.counts.executing[kind];
      counts_.processed[kind] += effects_.counts.processed[kind];
    }
    std::int64_t tasks = 0;
    for (const auto& t : labor().tasks) tasks += is_under_way(t.state);
    const std::int64_t wanted[] = {is_under_way(labor().state), tasks, tasks ? machine.sequences_under_way() : 0,
                                   machine.executing()};
    for (int kind = 0; kind < 4; ++kind) {
      if (counts_.executing[kind] != wanted[kind]) fault("X12: executing is miscounted, kind " + std::to_string(kind));
    }
  }

  // ---- X8, X6: what is due is done at the Tick that was asked for ----
  void watch_timers(bool tick) {
    if (tick && next_wake() && *next_wake() <= now) fault("X8: a timer is due, and was not looked at");
    for (const auto& [job, since] : handed) {
      if (asked_to_end.contains(job) || untaken.contains(job)) continue;
      const Time due = since + labor().jobs[job].options.timeout;
      if (!next_wake() || *next_wake() > due) fault("X8: no timer for the time-out of Job " + std::to_string(job));
    }
    watch_waits();
    if (!machine.current_task() || machine.closing() || machine.round_under_way()) return;
    const auto& t = labor().tasks[*machine.current_task()];
    const bool rolling = machine.phase() == LaborMachine::Phase::ROLLING || machine.phase() == LaborMachine::Phase::CLOSING;
    if (!rolling || t.state != State::RUNNING || t.cont_check_count == 0) return;
    for (std::uint32_t i = 0; i < t.check_count(); ++i) {
      if (labor().jobs[t.first_job + i].state == State::FAILED) return;
    }
    if (machine.next_round() <= steady()) {
      fault("X6: a round is due, and does not begin");
    } else if (!machine.next_wake() || *machine.next_wake() > machine.next_round()) {
      fault("X6: no timer for the next round");
    }
  }
  /// R3: no wait is longer than its own length, whatever the wall clock says.
  void watch_waits() {
    for (const auto& run : machine.runs()) {
      const auto& options = labor().jobs[run.job].options;
      const double factor = std::pow(options.retry_backoff, run.tries > 0 ? run.tries - 1 : 0);
      const auto longest = run.phase == LaborMachine::RunPhase::DELAY
                               ? Duration(static_cast<std::int64_t>(static_cast<double>(options.retry_delay.count()) * factor))
                               : options.timeout;
      if (run.due != kNeverDue && run.due - steady() > longest) fault("R3: a retry or a time-out waits too long");
    }
    if (!machine.current_task()) return;
    const auto& t = labor().tasks[*machine.current_task()];
    if (machine.next_round() != kNeverDue && machine.next_round() - steady() > t.cont_check_interval)
      fault("R3: a check interval is too long");
    const auto wait = next_wake() ? *next_wake() - now : Duration(0);
    if (machine.phase() == LaborMachine::Phase::ENTERED && machine.runs().empty() && wait > t.entry_delay)
      fault("R3: an entry waits too long");
    if (machine.phase() == LaborMachine::Phase::CLOSING && wait > t.bake && machine.runs().empty() && wait > t.cont_check_interval)
      fault("R3: it bakes too long");
  }

  RecordTime times_{never, {now, steady()}};
  Time recorded_ = now;  // by the last step
  State state_before_ = State::UNKNOWN;
  std::optional<std::uint32_t> watched_task_;
  Time unwatched_since_ = never;  // by `now`
  Time looks_from_ = never;       // as recorded
  Effects effects_;
  Stored latest_;  // as if each step were durable at once
  Commit gathering_;
  bool dirty_ = false;
  std::deque<Commit> in_flight_;
  std::set<std::uint32_t> called_;                                 // Jobs with a worker
  std::map<Ticket, std::optional<input::Signalled>> outstanding_;  // taken; the machine has not acknowledged them
  std::set<Ticket> weighing_;                                      // taken with a latch, or with the lifting of one
  std::set<Ticket> unacknowledged_;                                // taken; their senders have not been told
  std::vector<ObjectRef> names_;                                   // by ordinal
  std::vector<State> replayed_;                                    // by ordinal: what the history says
  std::set<std::uint32_t> held_before_;                            // before the step
  std::vector<Reason> reasons_;                                    // of the Tasks, before the step
  Counts counts_;
};

}  // namespace cogwork::test
