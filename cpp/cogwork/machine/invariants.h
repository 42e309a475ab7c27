#pragma once

#include <string>
#include <vector>

#include "cogwork/machine/labor_machine.h"

namespace cogwork {

/// What must hold of a machine between any two steps, each with the rule that it follows from; empty where all does. Linear in the size of the
/// Labor: for tests. A broken one is a fault of the machine, never of its input.
std::vector<std::string> broken_invariants(const LaborMachine& machine);

/// The same of a tree as it is stored: what it says of itself, without what a machine keeps beside it. Between two commits it is that of a
/// machine between two steps. A machine can go on with a tree of which it says nothing, and with no other. Its tables must fit each other (see
/// why_not_whole).
std::vector<std::string> broken_at_rest(const Labor& labor);

}  // namespace cogwork
