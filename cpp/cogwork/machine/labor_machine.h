#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cogwork/machine/effect.h"
#include "cogwork/machine/input.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// One Labor's rules: sections 1-4 and 6 of the contract, and nothing else.
///
/// A deterministic state machine with one entrance: `step` takes what happened and the time, changes the Labor, and says what must be
/// done. It has no thread, no lock, no clock and no I/O, so that every rule is tested in microseconds, recovery is
/// building it from what was stored, and a simulation is stepping it with made-up outcomes.
///
/// How it works. At most one Task is under way (`current_`). Every Job that has begun, or is the next of a Sequence that has, or
/// belongs to the round of checks under way, has a *run*: where it stands between "wants a worker" and "its call has
/// ended". A step first applies its input to a run or to holds, and then calls `advance`, which looks at the Task's
/// phase and does whatever is due, until nothing is. No step is linear in the size of the Labor, only in
/// the number of runs where a signal or a failed check concerns all of them.
///
/// The phases of a Task: ENTERED (held, or in its entry_delay: X2a) -> CHECKING (pre-checks and the first round, X2) -> ROLLING (Sequences
/// start and run, X3; rounds come and go, X6) -> CLOSING (Sequences have ended; the round under way, the bake, the last
/// round, X6a) -> its end.
///
/// Read on: labor_machine.cpp (step, Labor), task_part.cpp (phases, budget, rounds), job_part.cpp (runs and attempts),
/// signal_part.cpp (holds, stops, acknowledgements), recovery_part.cpp, held_part.cpp (decisions), waiting_part.cpp (words), and signal_rules.h and end_rules.h, which are tables.
///
/// One thread at a time.
class LaborMachine {
 public:
  /// A Labor as submit completed it, or as a store returned it; then the first input is Start, or Recovered.
  /// `weight`: what weighs on it from the first moment (G8); a recovered one is then what the latches say, whatever was stored.
  explicit LaborMachine(Labor labor, Weight weight = {});

  /// Applies one input; appends to `out`. Neither of `now`'s times may be earlier than in the call before. `now.wall` is what is recorded;
  /// all waits go by `now.steady`. An input that has been overtaken - Begin for a Job that was stopped, Ended for an attempt that is
  /// closed - changes nothing.
  void step(const Input& input, Now now, Effects& out);

  /// When a Tick is due; nothing: only another input can change anything.
  std::optional<SteadyTime> next_wake() const;
  /// The Jobs whose time-outs a Tick at `now` would find due: it must say when their Cogs were called (X8).
  std::vector<std::uint32_t> calls_due(SteadyTime now) const;

  const Labor& labor() const { return labor_; }
  bool ended() const { return has_ended(labor_.state); }

  /// A Job's row for the store. The attempts are moved out where nothing will ask for them again: its Sequence has ended.
  Job job_row(std::uint32_t job);
  /// Drops args and attempts of a Sequence that has ended.
  void release(std::uint32_t sequence);

  // ---- what displays and tests look at ----

  enum class Phase : std::uint8_t { NONE, ENTERED, CHECKING, ROLLING, CLOSING };
  enum class RunPhase : std::uint8_t {
    WAITING,  ///< Would want a worker, but may not begin: held.
    QUEUED,   ///< Wants a worker.
    OPENING,  ///< Its start is being recorded.
    HANDED,   ///< Its Cog was called.
    DELAY,    ///< Waits for its retry.
    HELD,     ///< Its attempt was interrupted, and a person must decide (R2).
  };
  enum class Ending : std::uint8_t { NO, TIMED_OUT, STOPPED };
  struct Run {
    std::uint32_t job = 0;
    std::uint32_t serial = 0;  ///< Of the attempt that is opening or handed.
    std::uint32_t tries = 0;   ///< Attempts that counted (in this round).
    RunPhase phase = RunPhase::WAITING;
    Ending ending = Ending::NO;  ///< Its call was asked to end.
    SteadyTime due = kNeverDue;  ///< Its timer: of the retry, or of the time-out.
  };
  const std::vector<Run>& runs() const { return runs_; }
  const Run* run_of(std::uint32_t job) const;
  Phase phase() const { return phase_; }
  std::optional<std::uint32_t> current_task() const { return current_; }
  std::uint32_t sequences_under_way() const { return running_; }
  std::uint32_t executing() const { return executing_; }
  bool round_under_way() const { return round_open_ > 0; }
  /// G4c: no Sequence starts before a round of checks that has not passed yet.
  bool waits_for_fresh_round() const { return passed_round_ < fresh_round_; }
  /// kNeverDue: no further one is planned yet.
  SteadyTime next_round() const { return round_at_; }
  /// R2: the Jobs of which a person must decide what became of them, in the order of the tree.
  const std::set<std::uint32_t>& held() const { return held_; }
  std::size_t pending_acks() const { return pending_.size(); }
  bool closing() const { return closing_; }
  /// The rank in force for an object: the highest of its own holds and those above it (G5a).
  Rank rank_in_force(ObjectRef object) const;
  /// G8: whether a latch holds the Labor, and which.
  bool latched() const { return weight_.hold.rank != Rank::NONE; }
  const Weight& weight() const { return weight_; }
  /// Why nothing (more) starts in the current Task, in words; empty where all goes on.
  std::string waiting_for(SteadyTime now) const;

 private:
  // ---- labor_machine.cpp ----
  void start(const input::Start& in);
  void tick(const input::Tick& in);
  void close();
  /// Does whatever is due, until nothing is.
  void advance();
  bool advance_labor();
  void finish_step();
  void end_labor(State state, Reason reason);
  void set_state(ObjectRef object, State to, const Text& by = {}, const Text& note = {});
  void note(ObjectRef object, State from, State to, Time at, const Text& by, const Text& note);
  void write(ObjectRef object) { out_->writes.push_back(object); }

  // ---- task_part.cpp ----
  Task& task() { return labor_.tasks[*current_]; }
  const Task& task() const { return labor_.tasks[*current_]; }
  void enter_task(std::uint32_t index);
  bool advance_task();
  bool advance_entered();
  bool advance_checking();
  bool advance_rolling();
  bool advance_closing();
  bool may_start_sequence() const;
  void task_shows(State before, State now);
  void require_fresh_round(Duration unwatched);
  void start_sequence(std::uint32_t sequence);
  void end_sequence(std::uint32_t sequence, State state);
  void begin_round(bool entry);
  void end_round();
  bool round_is_due() const;
  void decide(Reason reason);
  void fail_check(std::uint32_t job);
  void end_task();
  void note_checks();
  /// A check failed, or the Task is told to stop: nothing of it begins any more.
  bool cut_short() const { return check_failed_ || task().state == State::STOPPING; }
  bool over_budget() const;

  // ---- job_part.cpp ----
  Run& add_run(std::uint32_t job);
  void remove_run(std::uint32_t job);
  Run* find_run(std::uint32_t job);
  bool may_begin(const Run& run) const;
  void pump(Run& run);
  void pump_all();
  void begin(const input::Begin& in);
  void recorded(const input::Recorded& in);
  void ended(const input::Ended& in);
  void said(const input::Said& in);
  void time_out(Run& run, std::optional<SteadyTime> called);
  void withdraw(Run& run);
  void close_attempt(Run& run, AttemptStatus status);
  void settle_attempt(Run& run, AttemptStatus counted, bool still_running);
  void retry_later(Run& run);
  void end_job(std::uint32_t job, State state);
  /// Under a STOP or a failed check (G3): what does not execute ends; `interrupt` asks what executes to end too.
  void cut_run(std::uint32_t job, bool interrupt);
  void cut_all(bool interrupt);
  void set_timer(Run& run, SteadyTime at);
  void clear_timer(Run& run);
  Duration retry_delay(const Job& job, std::uint32_t tries) const;
  bool job_is_stopping(const Job& job) const;

  // ---- signal_part.cpp ----
  void signalled(const input::Signalled& in);
  void hold(const input::Signalled& in);
  void release_hold(ObjectRef object, Rank rank);
  void weighed(const input::Weighed& in);
  /// G3: what is recorded as started but was not handed over does not begin.
  void withdraw_opening(ObjectRef object);
  void stop(const input::Signalled& in);
  Holds& holds_of(ObjectRef object);
  const Hold* hold_in_force(ObjectRef object) const;
  /// The same of the holds that a signal is judged by: while stored ones are applied, without the engine's own (R1).
  const Hold* hold_to_judge_by(ObjectRef object, Signal signal) const;
  const Hold* highest_hold(ObjectRef object, const Hold* but) const;
  /// Why that hold holds, for the history: of a latch, with its id.
  Text why(const Hold& hold) const;
  /// Lets states show the ranks in force and what executes (G4, G5a).
  void show(ObjectRef object, bool executing);
  void show_sequence(std::uint32_t sequence);
  void show_below(ObjectRef object);
  void show_task_and_labor();
  void acknowledge_pending();
  /// Who sent a STOP, for the history and for refusals. Not known any more after a recovery.
  struct Stop {
    Text by;
    Text note;
    Time since = never;
  };
  /// The STOP that ends what belongs to that Sequence, or (kNoSequence) to the Task; none where a check that failed does.
  const Stop& stop_of(std::uint32_t sequence) const;

  // ---- held_part.cpp ----
  void decided(const input::Decided& in);
  /// Of the runs that a recovery left HELD: their Jobs are held, and so is the Labor.
  void hold_undecided();
  void release_held(Job& job, std::uint32_t index);
  /// Who is held, for notes and refusals.
  std::string held_names(bool with_ids) const;

  // ---- waiting_part.cpp ----
  /// Why no Job under way executes: retries that wait, Sequences that are held. Empty where one does, or only wants a worker or the store.
  std::string idle_for(SteadyTime now) const;
  std::string in_words(const Hold& hold) const;

  // ---- recovery_part.cpp ----
  void recover(const input::Recovered& in);
  void recover_task(Time last_sign);
  /// G4c: since when nobody has looked at the Task. last_sign: the latest time that is stored; until then the engine lived.
  void recover_watch(Time last_sign);
  /// The runs of the round that was under way; adds the checks that fail by their on_interrupt. sequences_ended: when the last one did that
  /// has ended.
  void recover_round(std::optional<Time> sequences_ended, std::vector<std::uint32_t>& failing);
  /// Closes an attempt that was executing. True: by its on_interrupt the Job fails.
  bool recover_run(std::uint32_t job);

  /// When a wait of that length is over that began then, by what is stored. R3: the time that the engine was down counts; but no wait is
  /// longer than its own length, whatever the wall clock says by now.
  SteadyTime goes_on_until(Time begun, Duration length) const;
  /// How long ago that was, by what is stored: at least nothing, at most `most`.
  Duration since(Time begun, Duration most) const;

  struct Timer {
    SteadyTime at;
    enum Kind : std::uint8_t { JOB, TASK } kind;
    std::uint32_t index;
    friend auto operator<=>(const Timer&, const Timer&) = default;
  };
  void set_task_timer(SteadyTime at);
  void clear_task_timer(SteadyTime at);

  struct PendingAck {
    Ticket ticket;
    ObjectRef object;
    Signal signal;
    enum WaitsFor : std::uint8_t {
      STATES,   // that follow from the signal
      LATCH,    // those that follow from the latch that holds the Labor, not from a hold of its own
      KEPT,     // the step's end: it holds the object once that is entered (X2a)
      IGNORED,  // the step's end, which may change the object all the same
    } waits_for = STATES;
  };

  Labor labor_;
  Weight weight_;
  bool lifting_ = false;  // within a step: what goes on does so as a latch was lifted

  // The Task under way.
  std::optional<std::uint32_t> current_;
  Phase phase_ = Phase::NONE;
  SteadyTime entry_at_ = kNeverDue;  // when its entry begins, holds aside
  std::uint32_t next_sequence_ = 0;  // index in the Labor's table of the first that has not started
  std::uint32_t running_ = 0;        // Sequences started and not ended
  bool any_cut_ = false;             // some Sequence of it ended STOPPED
  SteadyTime baked_at_ = kNeverDue;  // when the last round is due (X6a)
  std::uint32_t executing_ = 0;      // open attempts, checks included
  std::uint32_t round_open_ = 0;     // checks of the round under way that have not ended
  std::uint32_t round_ = 0;          // number of the round under way, or of the last
  bool check_failed_ = false;
  bool round_is_last_ = false;
  bool last_round_passed_ = false;
  SteadyTime round_at_ = kNeverDue;  // when the next round is due
  std::vector<bool> check_noted_;    // by check: its state is in the history
  // G4c: since when no round may begin, as the Task is held, or nobody runs it; the round that must have passed before a Sequence
  // starts, and the last one that has.
  SteadyTime unwatched_since_ = kNeverDue;
  std::uint32_t fresh_round_ = 0;
  std::uint32_t passed_round_ = 0;

  std::vector<Run> runs_;
  std::vector<std::uint32_t> slot_;  // by Job: its place in runs_, or kNoSlot
  std::set<Timer> timers_;
  std::vector<PendingAck> pending_;
  std::set<std::uint32_t> held_;
  std::uint32_t next_serial_ = 1;
  bool closing_ = false;
  bool applying_stored_ = false;         // within a recovery: signals that were stored meanwhile (R1)
  Stop stop_;                            // of the Labor, or the Task under way
  std::map<std::uint32_t, Stop> stops_;  // of Sequences that were stopped by themselves, until they end

  // Only within a step.
  Time now_ = never;
  SteadyTime steady_now_{};
  Effects* out_ = nullptr;
};

std::string_view name_of(LaborMachine::Phase phase);
std::string_view name_of(LaborMachine::RunPhase phase);

}  // namespace cogwork
