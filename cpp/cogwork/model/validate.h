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
  bool operator==(const CogDefaults&) const = default;
};
class CogLookup {
 public:
  virtual ~CogLookup() = default;
  /// Null where no Cog of that name loads. The pointer holds for the call of validate(), and of complete().
  virtual const CogDefaults* defaults(std::string_view cog_path) const = 0;
  /// Empty, or " - did you mean 'upgrade'?".
  virtual std::string suggestion(std::string_view cog_path) const = 0;
  /// Why defaults() gave nothing, behind "cog 'upgrade' ".
  virtual std::string why_unknown(std::string_view cog_path) const { return "is not registered" + suggestion(cog_path); }
  /// Whether args_problem is to be asked for each Job of that Cog. Of the others the args were checked before.
  virtual bool checks_args(std::string_view) const { return false; }
  /// What is wrong with the args, or with running as that user; empty where nothing is.
  virtual std::string args_problem(std::string_view /*cog_path*/, std::string_view /*args*/, std::string_view /*real_user*/) const {
    return {};
  }
};

/// Everything that S2 asks of a tree, checks and Cogs included; adds a fault for each breach, neighbours' equal ones folded. Args of
/// Python's Cogs are checked in Python, before.
void validate(const Labor& labor, const CogLookup& cogs, std::vector<Fault>& faults);

/// For a valid tree: fills in the Cogs' defaults, then M6's; resolves shares (X4a); numbers the tree.
void complete(Labor& labor, const CogLookup& cogs);

/// Faults in the order of the tree, put into words, the same one on neighbours folded (S1). At most FaultFolder::kMost, and then
/// how many more there are.
std::vector<Issue> to_issues(const Labor& labor, std::vector<Fault> faults);

}  // namespace cogwork
