#pragma once

#include <cstddef>
#include <vector>

#include "cogwork/history/finding.h"
#include "cogwork/model/change.h"

namespace cogwork {

/// Follows the links of a Labor's rows, which are in order and begin with its first (D7), and says which row is damaged, was changed, stands
/// in another's place, or follows rows that are missing; at most `most`. That rows are missing at the end, no link tells: see check_replay.
std::vector<Finding> check_chain(const std::vector<HistoryRow>& rows, std::size_t most);

}  // namespace cogwork
