#pragma once

#include <optional>

#include "cogwork/model/labor.h"

namespace cogwork {

// How things end once nothing below them goes on any more: X1, X6, X6b, G7 as pure functions.

/// How a Task ends.
struct TaskEnd {
  State state = State::COMPLETED;
  Reason reason = Reason::NO_FAILURE;
};
struct TaskFacts {
  Reason decided = Reason::NO_FAILURE;  ///< The first cause, where there was one before any STOP (X6b).
  bool stopping = false;
  bool any_cut = false;       ///< Some Sequence is STOPPED or NOT_STARTED.
  bool round_failed = false;  ///< A check of the round under way failed.
  bool over_budget = false;
};
TaskEnd end_of_task(const TaskFacts& facts);

/// How a Labor ends whose Task `current` has ended, or that has none (null) because it was stopped in between.
/// `stopped`: the Labor, or that Task, was told to stop. Nothing: it does not end, the next Task is due.
struct LaborEndState {
  State state = State::COMPLETED;
  Reason reason = Reason::NO_FAILURE;
};
std::optional<LaborEndState> end_of_labor(const Labor& labor, const Task* current, bool stopped);

}  // namespace cogwork
