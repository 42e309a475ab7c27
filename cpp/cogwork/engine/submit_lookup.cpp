#include "cogwork/engine/submit_lookup.h"

namespace cogwork {

const CogDefaults* SubmitLookup::defaults(std::string_view path) const {
  if (cogs_.program_of(path) && !loaded_.contains(path)) {
    auto why = programs_.load(std::string(path), real_user_, look_);
    if (!loaded_.emplace(path, why).first->second.empty()) return nullptr;
  }
  return cogs_.defaults(path);
}

std::string SubmitLookup::why_unknown(std::string_view path) const {
  const auto found = loaded_.find(path);
  return found == loaded_.end() ? cogs_.why_unknown(path) : found->second;
}

std::string SubmitLookup::args_problem(std::string_view path, std::string_view args, std::string_view real_user) const {
  if (!cogs_.program_of(path)) return cogs_.args_problem(path, args, real_user);
  if (!real_user.empty()) {
    if (auto why = why_not_as(std::string(real_user)); !why.empty()) return why;
  }
  return programs_.validate(std::string(path), args, std::string(real_user), look_);
}

}  // namespace cogwork
