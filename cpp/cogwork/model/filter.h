#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/base/time.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// Which Labors a search returns (T3). Kinds of filter are AND-ed; an empty one lets all pass.
struct LaborFilter {
  std::vector<State> states;
  std::string name_prefix;  ///< Literal, case-sensitive; so is the suffix.
  std::string name_suffix;
  std::vector<std::string> tags;     ///< Any of them.
  std::vector<std::string> targets;  ///< Any of them is the target of a Sequence.
  std::vector<std::string> cogs;     ///< Any of them is called by a Job or check.
  std::optional<Time> submit_begin;  ///< submit_begin <= submitted < submit_end
  std::optional<Time> submit_end;
  bool newest_first = false;
  std::optional<std::uint64_t> limit;
};

/// Whether a whole Labor passes (order and limit aside). What a store without indexes of its own uses.
bool matches(const LaborFilter& filter, const Labor& labor);

}  // namespace cogwork
