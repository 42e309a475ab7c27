#include "cogwork/model/filter.h"

#include <algorithm>

namespace cogwork {
namespace {

template <typename Range>
bool has(const Range& range, std::string_view wanted) {
  return std::any_of(range.begin(), range.end(), [wanted](const auto& s) { return std::string_view(s) == wanted; });
}

}  // namespace

bool matches(const LaborFilter& f, const Labor& l) {
  if (!f.states.empty() && std::find(f.states.begin(), f.states.end(), l.state) == f.states.end()) return false;
  const auto name = l.name.view();
  if (!name.starts_with(f.name_prefix) || !name.ends_with(f.name_suffix)) return false;
  if (f.submit_begin && l.submitted < *f.submit_begin) return false;
  if (f.submit_end && l.submitted >= *f.submit_end) return false;
  if (!f.tags.empty() && std::none_of(l.tags.begin(), l.tags.end(), [&](const Text& t) { return has(f.tags, t.view()); }))
    return false;
  if (!f.targets.empty() &&
      std::none_of(l.sequences.begin(), l.sequences.end(), [&](const Sequence& s) { return has(f.targets, s.target.view()); })) {
    return false;
  }
  if (!f.cogs.empty() && std::none_of(l.jobs.begin(), l.jobs.end(), [&](const Job& j) { return has(f.cogs, j.cog_path.view()); })) {
    return false;
  }
  return true;
}

}  // namespace cogwork
