#include "cogwork/machine/end_rules.h"

namespace cogwork {

TaskEnd end_of_task(const TaskFacts& facts) {
  if (facts.decided != Reason::NO_FAILURE) return {State::FAILED, facts.decided};
  if (facts.stopping && facts.any_cut) return {State::STOPPED, Reason::NO_FAILURE};
  if (facts.round_failed) return {State::FAILED, Reason::CONT_CHECK_FAILURE};
  if (facts.over_budget) return {State::FAILED, Reason::MAX_FAILURES};
  return {State::COMPLETED, Reason::NO_FAILURE};
}

std::optional<LaborEndState> end_of_labor(const Labor& labor, const Task* current, bool stopped) {
  if (current && current->state == State::FAILED) return LaborEndState{State::FAILED, current->reason};
  const auto& last = labor.tasks.back();
  if (stopped) {
    if (last.state == State::STOPPED || last.state == State::NOT_STARTED) return LaborEndState{State::STOPPED, {}};
    return LaborEndState{State::COMPLETED, {}};
  }
  if (last.state == State::COMPLETED) return LaborEndState{State::COMPLETED, {}};
  return std::nullopt;
}

}  // namespace cogwork
