#pragma once

#include <string>

#include "cogwork/model/labor.h"

namespace cogwork {

/// Whether the three tables of a Labor are those of one tree: each row stands where the tree has it, names the Task and the Sequence that it is
/// in, and has the ordinal of its place; none is missing and none is left over. Whoever walks them by index relies on it. Empty: they are;
/// else where they are not, in words: "Task[0].Sequence[2]: rows of it are missing".
std::string why_not_whole(const Labor& labor);

}  // namespace cogwork
