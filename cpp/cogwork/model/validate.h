#pragma once

#include <string_view>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/model/document.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// What submitting must know of a Cog: that it exists, and the defaults of its Jobs. The registry implements it (rooms:
/// cogs and model do not know each other the other way round).
struct CogDefaults {
  JobOptions options;
  bool idempotent = false;
};
class CogLookup {
 public:
  virtual ~CogLookup() = default;
  /// Null where no Cog of that name loads. The pointer holds for the call of prepare().
  virtual const CogDefaults* defaults(std::string_view cog_path) const = 0;
  /// Empty, or " - did you mean 'upgrade'?".
  virtual std::string suggestion(std::string_view cog_path) const = 0;
};

/// Everything that S2 asks of a tree, checks and Cogs included; adds a fault for each breach, neighbours' equal ones folded. Args
/// are checked by the Cogs themselves, before.
void validate(const Labor& labor, const CogLookup& cogs, std::vector<Fault>& faults);

/// For a valid tree: fills in the Cogs' defaults, then M6's; resolves shares (X4a); numbers the tree.
void complete(Labor& labor, const CogLookup& cogs);

/// Faults in the order of the tree, put into words, the same one on neighbours folded (S1). At most FaultFolder::kMost, and then
/// how many more there are.
std::vector<Issue> to_issues(const Labor& labor, std::vector<Fault> faults);

}  // namespace cogwork
