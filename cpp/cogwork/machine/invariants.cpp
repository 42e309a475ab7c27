#include "cogwork/machine/invariants.h"

#include <algorithm>

namespace cogwork {
namespace {

using RunPhase = LaborMachine::RunPhase;

/// Walks the whole tree once. Texts are made only where something is broken: the walks call this after each of millions of steps.
class Checker {
 public:
  explicit Checker(const LaborMachine& machine) : m_(&machine), l_(machine.labor()), executing_(machine.executing()) {}
  explicit Checker(const Labor& at_rest) : m_(nullptr), l_(at_rest) {
    for (const auto& job : l_.jobs) executing_ += executes(job) ? 1 : 0;
  }

  std::vector<std::string> run() {
    for (std::uint32_t t = 0; t < l_.tasks.size(); ++t) task(t);
    for (std::uint32_t j = 0; j < l_.jobs.size(); ++j) job(j);
    if (m_) runs();
    labor();
    return std::move(broken_);
  }

 private:
  void expect(bool holds, const char* rule, ObjectRef object, const char* what) {
    if (holds) return;
    static constexpr const char* kKinds[] = {"Labor", "Task", "Sequence", "Job"};
    broken_.push_back(std::string(rule) + ": " + kKinds[static_cast<int>(object.kind)] + " " + std::to_string(object.index) + " (" +
                      std::string(name_of(state_of(l_, object))) + ") " + what);
  }
  static bool executes(const Job& job) { return !job.attempts.empty() && job.attempts.back().open(); }
  static bool unstarted(State s) { return s == State::NOT_STARTED || s == State::ADMIN_NOT_STARTED; }
  static bool counts_as_try(AttemptStatus s) {
    return s != AttemptStatus::OPEN && s != AttemptStatus::WITHDRAWN && s != AttemptStatus::INTERRUPTED &&
           s != AttemptStatus::STOPPED;
  }

  /// The highest of the object's own holds and those above it.
  Rank rank_in_force(ObjectRef object) const {
    if (m_) return m_->rank_in_force(object);
    Rank rank = Rank::NONE;
    const auto look = [&rank](const Holds& own) {
      if (!own.empty()) rank = std::max(rank, own.back().rank);
    };
    look(l_.holds);
    if (object.kind == ObjectKind::TASK) look(l_.tasks[object.index].holds);
    if (object.kind == ObjectKind::SEQUENCE) {
      look(l_.sequences[object.index].holds);
      look(l_.tasks[l_.sequences[object.index].task].holds);
    }
    return rank;
  }

  /// G4, G5a: a state shows the rank in force, and PAUSING only while something executes.
  void shows(ObjectRef object, State state, bool executing) {
    if (!is_under_way(state) || state == State::STOPPING) return;
    const Rank rank = rank_in_force(object);
    const State wanted = rank == Rank::NONE ? State::RUNNING : executing ? State::PAUSING : paused_state(rank);
    // G8: what weighs on a Labor at crisis rank from above it is not in its rows.
    const bool may_be_latched = !m_ && (state == State::CRISIS_PAUSED || (state == State::PAUSING && executing));
    expect(state == wanted || may_be_latched, "G5a", object, "does not show what holds it");
  }

  /// A machine's clock does not go back. The system's may have been set back between two engines.
  bool in_order(Time earlier, Time later) const { return !m_ || earlier <= later; }

  template <typename Object>
  void times(ObjectRef ref, const Object& object) {
    const bool waits_for_start = object.state == State::ADMIN_NOT_STARTED && ref.kind != ObjectKind::LABOR;
    expect(object.state != State::UNKNOWN && !waits_for_start, "M3", ref, "cannot be that");
    expect(is_set(object.ended) == has_ended(object.state), "M2", ref, "has an end where it has none, or none where it has one");
    // Only a Labor ends without having started (S6).
    if (!has_ended(object.state))
      expect(is_set(object.started) != unstarted(object.state), "M2", ref, "has not the start of its state");
    expect(!is_set(object.ended) || in_order(object.started, object.ended), "M2", ref, "ended before it started");
  }

  void holds(ObjectRef ref, const Holds& own) {
    for (std::size_t i = 0; i < own.size(); ++i) {
      expect(own[i].rank != Rank::NONE && (i == 0 || own[i - 1].rank < own[i].rank), "G5", ref, "has holds out of order");
    }
  }

  void sequence(const Task& t, std::uint32_t task_index, std::uint32_t index) {
    const ObjectRef ref{ObjectKind::SEQUENCE, index};
    const auto& s = l_.sequences[index];
    times(ref, s);
    holds(ref, s.holds);
    expect(s.reason == Reason::NO_FAILURE, "M4", ref, "has a reason, which only Labors and Tasks have");
    expect(s.task == task_index, "M1", ref, "names another Task");
    expect(s.job_count > 0, "S2", ref, "has no Jobs");

    std::uint32_t open = 0, at_work = 0, failed = 0, stopped = 0, completed = 0;
    for (std::uint32_t j = 0; j < s.job_count; ++j) {
      const auto& job = l_.jobs[s.first_job + j];
      if (executes(job)) ++open;
      if (m_ && m_->run_of(s.first_job + j)) ++at_work;
      // Jobs in order: what has begun stands behind nothing that has not completed.
      expect(job.state == State::NOT_STARTED || completed == j, "X7", ref, "began a Job before the one before it completed");
      if (job.state == State::COMPLETED) ++completed;
      if (job.state == State::FAILED) ++failed;
      if (job.state == State::STOPPED) ++stopped;
    }
    expect(open <= 1, "M1", ref, "has two attempts at once");
    if (m_)
      expect(at_work == (is_under_way(s.state) ? 1u : 0u), "X7", ref,
             "has not one Job at work while it is under way, and none else");
    expect(open == 0 || s.state == State::RUNNING || s.state == State::PAUSING || s.state == State::STOPPING, "G4", ref,
           "executes");
    expect(open == 0 || is_under_way(t.state), "G4", {ObjectKind::TASK, task_index}, "has something executing below it");
    if (s.state == State::COMPLETED) expect(completed == s.job_count, "X7", ref, "completed without its Jobs");
    if (s.state == State::FAILED) expect(failed == 1, "X7", ref, "failed without a Job that did");
    if (s.state == State::STOPPED) expect(failed == 0 && completed < s.job_count, "G7", ref, "has a true end of its own");
    if (is_under_way(s.state)) expect(failed + stopped == 0 && completed < s.job_count, "X7", ref, "should have ended");
    shows(ref, s.state, open > 0);
    if (has_ended(t.state)) expect(has_ended(s.state) || unstarted(s.state), "X1", ref, "outlives its Task");
    if (unstarted(t.state)) expect(unstarted(s.state), "X1", ref, "began before its Task");
  }

  void task(std::uint32_t index) {
    const ObjectRef ref{ObjectKind::TASK, index};
    const auto& t = l_.tasks[index];
    times(ref, t);
    holds(ref, t.holds);
    std::uint32_t under_way = 0, lost = 0, started = 0;
    bool cut = false, gap = false;
    expect(t.sequence_count > 0, "S2", ref, "has no Sequences");
    for (std::uint32_t i = 0; i < t.sequence_count; ++i) {
      sequence(t, index, t.first_sequence + i);
      const State s = l_.sequences[t.first_sequence + i].state;
      if (unstarted(s)) {
        gap = true;
      } else {
        ++started;
        expect(!gap, "X3", {ObjectKind::SEQUENCE, t.first_sequence + i}, "started before one that stands before it");
      }
      if (is_under_way(s)) ++under_way;
      if (s == State::FAILED || s == State::STOPPED) ++lost;
      if (s == State::STOPPED || unstarted(s)) cut = true;
    }
    bool check_failed = false, entry_passed = true;
    for (std::uint32_t c = 0; c < t.check_count(); ++c) {
      const auto& check = l_.jobs[t.first_job + c];
      if (check.state == State::FAILED) check_failed = true;
      if (check.rounds == 0) entry_passed = false;
      if (has_ended(t.state)) {
        expect(has_ended(check.state) || unstarted(check.state), "X1", {ObjectKind::JOB, t.first_job + c}, "outlives its Task");
      }
    }
    expect(started == 0 || entry_passed, "X2", ref, "has started Sequences before all of its checks had completed once");
    expect(under_way <= static_cast<std::uint64_t>(t.concurrency.number), "X3", ref, "runs more than its concurrency");

    // The budget.
    expect(t.failures >= lost, "X4", ref, "counts fewer failures than it has");
    const std::uint32_t passed = t.failures - std::min(t.failures, lost);
    const bool passes = index > 0 && l_.tasks[index - 1].pass_failures && !unstarted(t.state);
    expect(passed == (passes ? l_.tasks[index - 1].failures : 0), "X5", ref, "has not the failures that were passed to it");
    const auto tolerated = t.tolerated_failures.number;
    const bool over = tolerated >= 0 && std::int64_t{t.failures} > tolerated;
    if (t.strict && tolerated >= 0) {
      const auto most = std::max<std::int64_t>(tolerated + 1, passed);
      expect(t.failures <= most, "X3", ref, "lost more than strict allows");
      expect(passed <= tolerated || started == 0, "X6b", ref, "has started a Sequence with its budget gone");
      if (!over) expect(std::int64_t{t.failures} + under_way <= tolerated + 1, "X3", ref, "has more in flight than strict allows");
    }

    // States and reasons.
    if (t.state == State::COMPLETED || t.state == State::STOPPED)
      expect(t.reason == Reason::NO_FAILURE, "X6b", ref, "has a reason");
    if (t.state == State::FAILED) expect(t.reason != Reason::NO_FAILURE, "X6b", ref, "has no reason");
    if (t.state == State::COMPLETED)
      expect(!over && !check_failed && started == t.sequence_count, "X3", ref, "cannot have completed");
    if (t.state == State::STOPPED) expect(cut, "G7", ref, "was not really stopped");
    if (t.reason == Reason::MAX_FAILURES) expect(over, "X6b", ref, "has not lost more than it tolerates");
    if (t.reason == Reason::PRE_CHECK_FAILURE) expect(check_failed && started == 0, "X2", ref, "has no pre-check that failed");
    if (t.reason == Reason::CONT_CHECK_FAILURE) expect(check_failed, "X6", ref, "has no check that failed");
    if (unstarted(t.state)) expect(t.reason == Reason::NO_FAILURE && t.failures == 0, "X1", ref, "has results before it began");
    if (is_under_way(t.state)) {
      ++tasks_under_way_;
      if (m_) {
        expect(m_->current_task() == index, "M1", ref, "is not the current one");
        expect(m_->sequences_under_way() == under_way, "X3", ref, "has miscounted what runs");
      }
      shows(ref, t.state, executing_ > 0);
      goes_on(ref, t, under_way, started, over, check_failed);
      if (has_ended(l_.state)) expect(false, "X1", ref, "outlives its Labor");
    }
    if (index > 0 && !unstarted(t.state)) {
      expect(l_.tasks[index - 1].state == State::COMPLETED, "X1", ref, "began although the one before did not complete");
    }
  }

  /// What is due has begun: nothing is left to somebody's next input (design: nothing polls).
  void goes_on(ObjectRef ref, const Task& t, std::uint32_t under_way, std::uint32_t started, bool over, bool check_failed) {
    if (t.state == State::STOPPING) expect(executing_ > 0, "G6", ref, "is not ended although nothing executes");
    if (check_failed) expect(executing_ > 0, "X6", ref, "is not ended although nothing executes");
    if (!m_ || t.state != State::RUNNING || m_->closing()) return;
    if (m_->phase() == LaborMachine::Phase::ROLLING && !over && !check_failed && t.reason == Reason::NO_FAILURE &&
        started < t.sequence_count && under_way < static_cast<std::uint64_t>(t.concurrency.number)) {
      const bool waits_for_strict =
          t.strict && t.tolerated_failures.number >= 0 && std::int64_t{t.failures} + under_way > t.tolerated_failures.number;
      expect(waits_for_strict || m_->waits_for_fresh_round(), "X3", ref, "has room for a Sequence, and starts none");
    }
    expect(!m_->runs().empty() || m_->next_wake(), "X1", ref, "is stuck");
  }

  void job(std::uint32_t index) {
    const ObjectRef ref{ObjectKind::JOB, index};
    const auto& j = l_.jobs[index];
    expect(j.state == State::NOT_STARTED || j.state == State::RUNNING || has_ended(j.state), "M3", ref, "cannot be that");
    times(ref, j);
    std::uint32_t successes = 0, counted = 0, number = 0, round = 0;
    for (const auto& a : j.attempts) {
      if (a.round != round) number = counted = 0;
      expect(a.round >= round, "X11", ref, "has rounds out of order");
      round = a.round;
      expect(a.number == ++number, "X8", ref, "has attempts that are not numbered from 1");
      expect(a.open() != is_set(a.ended) && (a.open() || in_order(a.started, a.ended)), "X8", ref,
             "has an attempt with a wrong end");
      if (a.open()) {
        ++open_;
        expect(&a == &j.attempts.back() && j.state == State::RUNNING, "X8", ref, "has an open attempt");
      }
      if (a.decision != Decision::NONE) {
        expect(a.status == AttemptStatus::INTERRUPTED && holds_on_interrupt(j), "R2", ref,
               "has a decision about what was never held");
        const bool last = &a == &j.attempts.back() || (&a)[1].round > a.round;
        expect(a.decision == Decision::RERUN || last, "R5", ref, "goes on after it was decided");
      }
      if (a.status == AttemptStatus::SUCCESS) ++successes;
      if (counts_as_try(a.status)) ++counted;
      expect(counted <= 1 + static_cast<std::uint32_t>(j.options.retries), "X8", ref, "was tried too often");
    }
    held(ref, j);
    if (j.is_check()) {
      // X11: the first round, and the last ten.
      std::uint32_t rounds = 0, last = 0;
      for (const auto& a : j.attempts) {
        if (a.round != last) ++rounds;
        last = a.round;
      }
      expect(rounds <= 11 && (j.attempts.empty() || j.attempts.front().round == 1), "X11", ref, "keeps the wrong rounds");
      expect(j.rounds <= last, "X11", ref, "has passed rounds that it never began");
      return;
    }
    expect(j.rounds == 0 && round == 0, "X11", ref, "has rounds, which only checks have");
    const auto decision = j.attempts.empty() ? Decision::NONE : j.attempts.back().decision;
    if (decision == Decision::FAILED) expect(j.state == State::FAILED, "R2", ref, "was decided to have failed");
    if (decision == Decision::COMPLETED) expect(j.state == State::COMPLETED, "R2", ref, "was decided to be complete");
    if (j.state == State::COMPLETED && !j.attempts.empty() && decision != Decision::COMPLETED) {
      expect(successes == 1 && j.attempts.back().status == AttemptStatus::SUCCESS, "R5", ref,
             "has not exactly one success at its end");
    } else {
      expect(successes == 0, "R5", ref, "has succeeded");
    }
  }

  static bool holds_on_interrupt(const Job& j) { return j.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::HOLD); }

  /// R2: held is who must be decided about, and nobody else; and then the Labor is held, too.
  void held(ObjectRef ref, const Job& j) {
    if (m_) {
      const auto* run = m_->run_of(ref.index);
      const bool waits = run && run->phase == RunPhase::HELD;
      expect(waits == j.held && m_->held().contains(ref.index) == j.held, "R2", ref,
             "is held, and its run is not, or the other way round");
    }
    expect(j.state != State::RUNNING || !j.attempts.empty(), "X13", ref, "runs without an attempt");
    if (j.attempts.empty()) return expect(!j.held, "R2", ref, "is held for nothing");
    if (j.state == State::RUNNING && holds_on_interrupt(j) && j.attempts.back().status == AttemptStatus::INTERRUPTED)
      expect(j.held == (j.attempts.back().decision == Decision::NONE), "R2", ref, "is held and decided, or neither");
    if (!j.held) return;
    expect(j.state == State::RUNNING && j.attempts.back().status == AttemptStatus::INTERRUPTED, "R2", ref, "is held for nothing");
    expect(std::any_of(l_.holds.begin(), l_.holds.end(), [](const Hold& hold) { return hold.rank == Rank::ADMIN; }), "R2", ref,
           "is held, and its Labor is not");
    expect(executing_ == 0, "R2", ref, "is held while something of its Labor executes");
  }

  void runs() {
    const auto wake = m_->next_wake();
    for (const auto& run : m_->runs()) {
      const ObjectRef ref{ObjectKind::JOB, run.job};
      const auto& j = l_.jobs[run.job];
      expect(m_->run_of(run.job) == &run, "X13", ref, "has two runs");
      const bool called = run.phase == RunPhase::OPENING || run.phase == RunPhase::HANDED;
      expect(called == executes(j), "X13", ref, "has an attempt that does not fit where it stands");
      expect((run.phase != RunPhase::DELAY && !(run.phase == RunPhase::HANDED && run.ending == LaborMachine::Ending::NO)) ||
                 (run.due != kNeverDue && wake && *wake <= run.due),
             "X8", ref, "has no timer for its retry or its time-out");
      const State above = j.is_check() ? l_.tasks[j.task].state : l_.sequences[j.sequence].state;
      if (run.phase == RunPhase::OPENING) expect(above == State::RUNNING, "G3", ref, "is about to begin below what is held");
      if (run.phase != RunPhase::WAITING) continue;
      // It waits because it is held, and for nothing else.
      expect(m_->closing() || above == State::PAUSING || is_paused(above), "X13", ref, "waits for nothing");
    }
  }

  void labor() {
    const ObjectRef ref;
    times(ref, l_);
    holds(ref, l_.holds);
    expect(!l_.tasks.empty(), "S2", ref, "has no Tasks");
    expect(open_ == executing_, "X12", ref, "has miscounted its open attempts");
    expect(tasks_under_way_ <= 1, "M1", ref, "has two Tasks under way");
    shows(ref, l_.state, executing_ > 0);
    const Task* failed = nullptr;
    for (const auto& t : l_.tasks) {
      if (t.state == State::FAILED) failed = &t;
    }
    if (m_ && m_->latched()) {
      expect(m_->rank_in_force(ref) == Rank::CRISIS, "G8", ref, "is under a latch, and not held by it");
      expect(l_.state != State::RUNNING, "G8", ref, "runs under a latch");
    }
    if (has_ended(l_.state)) {
      const bool done = !m_ || (m_->runs().empty() && !m_->next_wake() && m_->pending_acks() == 0);
      expect(done && open_ == 0, "X1", ref, "has left something to do");
      expect((l_.state == State::FAILED) == (failed != nullptr), "G7", ref, "does not fail with its Task");
      expect(l_.reason == (failed ? failed->reason : Reason::NO_FAILURE), "X1", ref, "has not its Task's reason");
      const State last = l_.tasks.empty() ? l_.state : l_.tasks.back().state;
      if (l_.state == State::COMPLETED) expect(last == State::COMPLETED, "X1", ref, "has not completed its Tasks");
      if (l_.state == State::STOPPED) expect(last == State::STOPPED || unstarted(last), "G7", ref, "was not really stopped");
      return;
    }
    expect(l_.reason == Reason::NO_FAILURE && !failed, "X1", ref, "should have ended");
    if (unstarted(l_.state)) {
      const bool idle = !m_ || (m_->runs().empty() && !m_->next_wake());
      expect(idle && tasks_under_way_ == 0, "S5", ref, "does something before it is started");
      return;
    }
    if (l_.state == State::STOPPING) expect(open_ > 0, "G6", ref, "is not ended although nothing executes");
    if (m_ && l_.state == State::RUNNING && !m_->closing()) expect(tasks_under_way_ == 1, "X1", ref, "has entered no Task");
  }

  const LaborMachine* m_;  // none of a tree at rest
  const Labor& l_;
  std::uint32_t executing_ = 0;
  std::uint32_t open_ = 0;
  std::uint32_t tasks_under_way_ = 0;
  std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> broken_invariants(const LaborMachine& machine) { return Checker(machine).run(); }

std::vector<std::string> broken_at_rest(const Labor& labor) { return Checker(labor).run(); }

}  // namespace cogwork
