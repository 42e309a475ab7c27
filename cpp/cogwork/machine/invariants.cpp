#include "cogwork/machine/invariants.h"

#include <algorithm>

namespace cogwork {
namespace {

class Checker {
 public:
  explicit Checker(const LaborMachine& machine) : m_(machine), l_(machine.labor()) {}

  std::vector<std::string> run() {
    for (std::uint32_t t = 0; t < l_.tasks.size(); ++t) task(t);
    for (std::uint32_t j = 0; j < l_.jobs.size(); ++j) job(j);
    labor();
    return std::move(broken_);
  }

 private:
  void expect(bool holds, const char* rule, const std::string& what) {
    if (!holds) broken_.push_back(std::string(rule) + ": " + what);
  }
  static std::string at(const char* kind, std::uint32_t index, State state) {
    return std::string(kind) + " " + std::to_string(index) + " (" + std::string(name_of(state)) + ")";
  }
  static bool executes(const Job& job) { return !job.attempts.empty() && job.attempts.back().open(); }

  /// G4, G5a: a state shows the rank in force, and PAUSING only while something executes.
  void shows(ObjectRef object, State state, bool executing, const std::string& name) {
    if (!is_under_way(state) || state == State::STOPPING) return;
    const Rank rank = m_.rank_in_force(object);
    const State wanted = rank == Rank::NONE ? State::RUNNING : executing ? State::PAUSING : paused_state(rank);
    expect(state == wanted, "G5a", name + " should show " + std::string(name_of(wanted)));
  }

  void task(std::uint32_t index) {
    const auto& t = l_.tasks[index];
    const auto name = at("Task", index, t.state);
    std::uint32_t under_way = 0;
    std::uint32_t lost = 0;
    bool unstarted = false;
    for (std::uint32_t s = 0; s < t.sequence_count; ++s) {
      const auto& sequence = l_.sequences[t.first_sequence + s];
      const auto sequence_name = at("Sequence", t.first_sequence + s, sequence.state);
      if (sequence.state == State::NOT_STARTED) {
        unstarted = true;
      } else {
        expect(!unstarted, "X3", sequence_name + " started before one that stands before it");
      }
      if (is_under_way(sequence.state)) ++under_way;
      if (sequence.state == State::FAILED || sequence.state == State::STOPPED) ++lost;
      bool executing = false;
      std::uint32_t open = 0;
      for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
        if (!executes(l_.jobs[sequence.first_job + j])) continue;
        executing = true;
        ++open;
      }
      expect(open <= 1, "M1", sequence_name + " has two attempts at once");
      expect(
          !executing || sequence.state == State::RUNNING || sequence.state == State::PAUSING || sequence.state == State::STOPPING,
          "G4", sequence_name + " executes");
      expect(!executing || is_under_way(t.state), "G4", name + " has something executing below it");
      shows({ObjectKind::SEQUENCE, t.first_sequence + s}, sequence.state, executing, sequence_name);
      if (has_ended(t.state)) {
        expect(has_ended(sequence.state) || sequence.state == State::NOT_STARTED, "X1", sequence_name + " outlives its Task");
      }
      if (t.state == State::NOT_STARTED)
        expect(sequence.state == State::NOT_STARTED, "X1", sequence_name + " began before its Task");
    }
    expect(under_way <= static_cast<std::uint64_t>(t.concurrency.number), "X3", name + " runs more than its concurrency");
    expect(t.failures >= lost, "X4", name + " counts fewer failures than it has");
    const std::uint32_t passed = t.failures - lost;
    expect(passed == 0 || (index > 0 && l_.tasks[index - 1].pass_failures), "X5", name + " has failures from nowhere");
    const auto tolerated = t.tolerated_failures.number;
    if (t.strict && tolerated >= 0 && passed <= tolerated) {
      expect(std::int64_t{t.failures} <= tolerated + 1, "X3", name + " lost more than strict allows");
    }
    if (t.state == State::COMPLETED || t.state == State::STOPPED) {
      expect(t.reason == Reason::NO_FAILURE, "X6b", name + " has a reason");
    }
    if (t.state == State::FAILED) expect(t.reason != Reason::NO_FAILURE, "X6b", name + " has no reason");
    if (t.state == State::COMPLETED && tolerated >= 0) expect(t.failures <= tolerated, "X3", name + " is over its budget");
    if (is_under_way(t.state)) {
      expect(m_.current_task() == index, "X1", name + " is not the current one");
      shows({ObjectKind::TASK, index}, t.state, m_.executing() > 0, name);
    }
    if (index > 0 && t.state != State::NOT_STARTED) {
      expect(l_.tasks[index - 1].state == State::COMPLETED, "X1", name + " began although the one before did not complete");
    }
  }

  void job(std::uint32_t index) {
    const auto& j = l_.jobs[index];
    const auto name = at("Job", index, j.state);
    expect(j.state == State::NOT_STARTED || j.state == State::RUNNING || has_ended(j.state), "M3", name + " cannot be that");
    std::uint32_t successes = 0, counted = 0;
    for (const auto& a : j.attempts) {
      if (a.open()) {
        ++open_;
        expect(&a == &j.attempts.back() && j.state == State::RUNNING, "X8", name + " has an open attempt");
      }
      if (j.is_check()) continue;
      if (a.status == AttemptStatus::SUCCESS) ++successes;
      if (a.status == AttemptStatus::FAILURE || a.status == AttemptStatus::TIMED_OUT || a.status == AttemptStatus::CRASHED)
        ++counted;
    }
    if (j.is_check()) return;
    expect(counted <= 1 + static_cast<std::uint32_t>(j.options.retries), "X8", name + " was tried too often");
    if (j.state == State::COMPLETED && has_attempts(j)) {
      expect(successes == 1 && j.attempts.back().status == AttemptStatus::SUCCESS, "R5",
             name + " has not exactly one success at its end");
    } else {
      expect(successes == 0, "R5", name + " has succeeded");
    }
  }
  static bool has_attempts(const Job& j) { return !j.attempts.empty(); }

  void labor() {
    const auto name = "Labor (" + std::string(name_of(l_.state)) + ")";
    expect(open_ == m_.executing(), "X12", "open attempts are miscounted");
    shows({}, l_.state, m_.executing() > 0, name);
    if (has_ended(l_.state)) {
      expect(m_.runs().empty() && !m_.next_wake() && m_.pending_acks() == 0, "X1", name + " has left something to do");
      return;
    }
    if (l_.state == State::NOT_STARTED || l_.state == State::ADMIN_NOT_STARTED) return;
    // Not stuck: somebody is going to say something, or somebody holds it.
    bool moving = m_.next_wake().has_value();
    for (const auto& run : m_.runs()) moving |= run.phase != LaborMachine::RunPhase::WAITING;
    bool held = !l_.holds.empty();
    for (const auto& t : l_.tasks) held |= !t.holds.empty();
    for (const auto& s : l_.sequences) held |= !s.holds.empty();
    expect(moving || held || m_.closing(), "X1", name + " is stuck");
  }

  const LaborMachine& m_;
  const Labor& l_;
  std::uint32_t open_ = 0;
  std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> broken_invariants(const LaborMachine& machine) { return Checker(machine).run(); }

}  // namespace cogwork
