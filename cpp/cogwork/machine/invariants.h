#pragma once

#include <string>
#include <vector>

#include "cogwork/machine/labor_machine.h"

namespace cogwork {

/// What must hold of a machine between any two steps, each with the rule that it follows from; empty where all does. Linear in the size of the
/// Labor: for tests. A broken one is a fault of the machine, never of its input.
std::vector<std::string> broken_invariants(const LaborMachine& machine);

}  // namespace cogwork
