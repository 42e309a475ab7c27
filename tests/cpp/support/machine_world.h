#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/base/random.h"
#include "cogwork/machine/invariants.h"
#include "cogwork/machine/labor_machine.h"

namespace cogwork::test {

/// Builds Labors for tests, as submit would complete them.
class LaborBuilder {
 public:
  explicit LaborBuilder(std::uint64_t seed = 1) : random_(seed) { labor_.id = Id::make(random_); }

  /// Begins a Task of `sequences` Sequences with `jobs` Jobs each.
  LaborBuilder& task(std::uint32_t sequences, std::uint32_t jobs = 1, std::uint32_t pre_checks = 0, std::uint32_t cont_checks = 0) {
    Task t;
    const auto index = static_cast<std::uint32_t>(labor_.tasks.size());
    t.name = "task" + std::to_string(index);
    t.first_job = static_cast<std::uint32_t>(labor_.jobs.size());
    t.pre_check_count = pre_checks;
    t.cont_check_count = cont_checks;
    for (std::uint32_t c = 0; c < pre_checks + cont_checks; ++c) {
      auto& job = add_job(index, Job::kNoSequence);
      job.kind = c < pre_checks ? JobKind::PRE_CHECK : JobKind::CONT_CHECK;
    }
    t.first_sequence = static_cast<std::uint32_t>(labor_.sequences.size());
    t.sequence_count = sequences;
    for (std::uint32_t s = 0; s < sequences; ++s) {
      Sequence sequence;
      sequence.task = index;
      sequence.target = "host" + std::to_string(labor_.sequences.size());
      sequence.first_job = static_cast<std::uint32_t>(labor_.jobs.size());
      sequence.job_count = jobs;
      const auto at = static_cast<std::uint32_t>(labor_.sequences.size());
      for (std::uint32_t j = 0; j < jobs; ++j) add_job(index, at);
      labor_.sequences.push_back(std::move(sequence));
    }
    labor_.tasks.push_back(std::move(t));
    return *this;
  }
  LaborBuilder& with(const std::function<void(Task&)>& change) {
    change(labor_.tasks.back());
    return *this;
  }
  /// Changes all Jobs of the last Task, checks included.
  LaborBuilder& jobs(const std::function<void(Job&)>& change) {
    for (auto i = labor_.tasks.back().first_job; i < labor_.jobs.size(); ++i) change(labor_.jobs[i]);
    return *this;
  }
  Labor build() {
    number_tree(labor_);
    return labor_;
  }

 private:
  Job& add_job(std::uint32_t task, std::uint32_t sequence) {
    Job job;
    job.task = task;
    job.sequence = sequence;
    job.cog_path = "cog";
    job.options.timeout = std::chrono::minutes(5);
    job.options.retry_delay = Duration(0);
    job.options.retry_backoff = 1;
    job.options.retries = 0;
    job.options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::RETRY);
    return labor_.jobs.emplace_back(std::move(job));
  }

  Random random_;
  Labor labor_;
};

/// Drives one machine by hand, in virtual time: carries out its effects as an engine would, and checks every invariant after
/// each step. Calls wait in `handed` until the test ends them.
class MachineWorld {
 public:
  explicit MachineWorld(Labor labor, std::size_t workers = 1000, Weight weight = {})
      : machine(std::move(labor), std::move(weight)), workers_(workers) {}

  LaborMachine machine;
  Time now = from_micros(1'700'000'000'000'000);
  Duration set_ahead{};  ///< By how much somebody has set the wall clock meanwhile.
  bool durable = true;   ///< Whether records become durable at once; else they gather in `opened`.
  std::deque<std::uint32_t> ready;
  std::deque<Effects::Opened> opened;
  std::vector<std::uint32_t> handed;
  std::map<std::uint32_t, std::optional<SteadyTime>> called;  ///< By Job: when its Cog was; nothing: not yet.
  std::vector<std::uint32_t> interrupted;
  std::vector<Change> history;
  std::map<Ticket, Effects::Acknowledged> acks;
  std::vector<Effects::Refusal> refusals;
  std::size_t writes = 0;
  bool ended = false;

  const Labor& labor() const { return machine.labor(); }
  SteadyTime steady(Time wall) const { return SteadyTime(wall.time_since_epoch() - set_ahead); }
  SteadyTime steady() const { return steady(now); }
  /// When the machine wants its next Tick, as a wall time.
  std::optional<Time> next_wake() const {
    const auto wake = machine.next_wake();
    return wake ? std::optional(Time(wake->time_since_epoch() + set_ahead)) : std::nullopt;
  }
  State state() const { return labor().state; }
  const Task& task(std::uint32_t t) const { return labor().tasks[t]; }
  const Sequence& sequence(std::uint32_t s) const { return labor().sequences[s]; }
  const Job& job(std::uint32_t j) const { return labor().jobs[j]; }

  void step(const Input& input) {
    effects_.clear();
    if (!times_) times_.emplace(latest_time(machine.labor()), Now{now, steady()});
    machine.step(input, times_->stamp({now, steady()}), effects_);
    take();
    const auto broken = broken_invariants(machine);
    ASSERT_TRUE(broken.empty()) << broken.front();
  }
  /// Gives workers away and lets records become durable, until nothing moves by itself.
  void settle() {
    while (true) {
      if (durable && !opened.empty()) {
        const auto next = opened.front();
        opened.pop_front();
        step(input::Recorded{next.job, next.serial});
      } else if (!ready.empty() && machine.executing() < workers_) {
        const auto next = ready.front();
        ready.pop_front();
        step(input::Begin{next});
      } else {
        return;
      }
    }
  }
  void start() {
    step(input::Start{next_ticket_++, "tester", {}});
    settle();
  }
  void finish(std::uint32_t job, AttemptStatus status = AttemptStatus::SUCCESS, bool still_running = false) {
    std::erase(handed, job);
    Outcome outcome;
    outcome.status = status;
    if (status != AttemptStatus::SUCCESS) outcome.error = "it failed";
    step(input::Ended{job, outcome, still_running});
    settle();
  }
  void finish_all(AttemptStatus status = AttemptStatus::SUCCESS) {
    for (const auto job : std::vector(handed)) finish(job, status);
  }
  Ticket signal(ObjectRef object, Signal s, bool interrupt = false) {
    const Ticket ticket = next_ticket_++;
    step(input::Signalled{object, s, interrupt, ticket, "ann", "why"});
    settle();
    return ticket;
  }
  Ticket signal(Signal s, bool interrupt = false) { return signal(ObjectRef{}, s, interrupt); }
  /// G8: that latch of bob's weighs on the Labor; without one, carl has lifted the last, which was `lifted`.
  Ticket weigh(const char* latch, const char* lifted = "") {
    const Ticket ticket = next_ticket_++;
    step(input::Weighed{weight(latch, lifted), ticket});
    settle();
    return ticket;
  }
  static Weight weight(const char* latch, const char* lifted = "") {
    if (*latch) return {{Rank::CRISIS, from_micros(36'120'000'000), "bob", "INC-12"}, latch};
    return {{Rank::NONE, from_micros(36'130'000'000), "carl", "mended"}, lifted};
  }
  /// Lets time pass, with a tick at each moment that the machine asked for.
  void pass(Duration span) {
    const Time until = now + span;
    while (next_wake() && *next_wake() <= until) {
      now = std::max(now, *next_wake());
      tick();
      settle();
    }
    now = until;
  }
  void tick() {
    input::Tick tick;
    for (const auto job : machine.calls_due(steady())) tick.calls.push_back({job, called[job]});
    step(tick);
  }
  /// Somebody sets the wall clock.
  void set_clock(Duration by) {
    now += by;
    set_ahead += by;
  }
  bool is_handed(std::uint32_t job) const { return std::find(handed.begin(), handed.end(), job) != handed.end(); }
  bool acked(Ticket t) const { return acks.contains(t); }
  std::string statuses(std::uint32_t index) const {
    std::string text;
    for (const auto& a : job(index).attempts) text += (text.empty() ? "" : " ") + std::string(name_of(a.status));
    return text;
  }
  std::vector<State> sequence_states() const {
    std::vector<State> states;
    for (const auto& s : labor().sequences) states.push_back(s.state);
    return states;
  }

 private:
  void take() {
    writes += effects_.writes.size();
    for (const auto& r : effects_.ready) ready.push_back(r.job);
    for (const auto& o : effects_.opened) opened.push_back(o);
    for (const auto j : effects_.handed) handed.push_back(j), called[j] = steady();
    for (const auto j : effects_.interrupted) interrupted.push_back(j);
    for (const auto& c : effects_.changes) history.push_back(c);
    for (const auto& a : effects_.acks) acks[a.ticket] = a;
    for (const auto& r : effects_.refusals) refusals.push_back(r);
    ended |= effects_.labor_ended;
  }

  std::size_t workers_;
  std::optional<RecordTime> times_;
  Effects effects_;
  Ticket next_ticket_ = 1;
};

inline ObjectRef task_ref(std::uint32_t t) { return {ObjectKind::TASK, t}; }
inline ObjectRef sequence_ref(std::uint32_t s) { return {ObjectKind::SEQUENCE, s}; }

/// The engine died with all of this stored, and another one takes it up after a while. `stored`: signals that were sent meanwhile (R1).
inline MachineWorld taken_up(const MachineWorld& dead, Duration down = {}, std::vector<input::Signalled> stored = {}) {
  MachineWorld w{Labor(dead.labor())};
  w.now = dead.now + down;
  w.step(input::Recovered{std::move(stored)});
  w.settle();
  return w;
}

}  // namespace cogwork::test
