#pragma once

#include <string>

#include "cogwork/model/labor.h"

namespace cogwork {

// What is said about held Jobs (R2), by whoever says it: the machine, and the engine about a store that nobody runs.

/// What a Job is called in notes and refusals: `rest/edge-7 upgrade`, or `rest check healthy`.
std::string full_name(const Labor& labor, const Job& job);

/// Whether a stored Job is held, or will be when its Labor is taken up, unless it is being stopped.
bool awaits_decision(const Job& job);

/// Why nothing is decided about a Job that is not held.
std::string decision_refusal(const Labor& labor, const Job& job, Decision decision);

}  // namespace cogwork
