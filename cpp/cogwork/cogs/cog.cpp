#include "cogwork/cogs/cog.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "cogwork/base/error.h"
#include "cogwork/cogs/command.h"

namespace cogwork {
namespace {

std::string lower(std::string_view s) {
  std::string out(s);
  for (auto& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// Letters to insert, drop, change, or swap with their neighbour to make `b` of `a`. Case counts for nothing: 'Upgrade' is no
/// further from 'upgrade' than a slip of the shift key.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

constexpr std::size_t kLongestCompared = 200;  // a name that long is no slip of the keys

}  // namespace

CogRegistry::CogRegistry() {
  CogInfo command;
  command.name = kCommandCog;
  command.origin = "cogwork:command";
  command.kind = CogKind::COMMAND;
  add(std::move(command));
}

bool CogRegistry::checks_args(std::string_view cog_path) const {
  const auto cog = find(cog_path);
  return cog && cog->kind == CogKind::COMMAND;
}

std::string CogRegistry::args_problem(std::string_view, std::string_view args, std::string_view real_user) const {
  std::string problem;
  if (!read_command(args, problem)) return problem;
  return real_user.empty() ? problem : why_not_as(std::string(real_user));
}

void CogRegistry::add(CogInfo info) {
  auto fresh = std::make_shared<const CogInfo>(std::move(info));
  const std::lock_guard lock(mutex_);
  auto [it, added] = entries_.try_emplace(fresh->name);
  auto& entry = it->second;
  if (added) {
    entry.info = std::move(fresh);
    return;
  }
  if (entry.info->origin != fresh->origin) {
    throw CogError("the cog name '" + fresh->name + "' is taken by " + entry.info->origin + "; " + fresh->origin +
                   " needs a name of its own: @cog(name=...)");
  }
  replaced_.push_back(std::exchange(entry.info, std::move(fresh)));
  entry.crashes = 0;
}

void CogRegistry::set_program_options(const std::string& cog_path, ProgramOptions options) {
  const std::lock_guard lock(mutex_);
  pools_[options.path.program] = options;
  programs_[cog_path] = std::move(options);
}

ProgramOptions CogRegistry::program_options(std::string_view cog_path) const {
  const std::lock_guard lock(mutex_);
  const auto found = programs_.find(cog_path);
  return found == programs_.end() ? ProgramOptions{} : found->second;
}

ProgramOptions CogRegistry::pool_options(std::string_view program) const {
  const std::lock_guard lock(mutex_);
  const auto found = pools_.find(program);
  return found == pools_.end() ? ProgramOptions{} : found->second;
}

std::optional<ProgramPath> CogRegistry::program_of(std::string_view cog_path) const {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = programs_.find(cog_path); found != programs_.end()) return found->second.path;
  }
  return program_path(cog_path);
}

void CogRegistry::add_program(CogInfo info) {
  auto fresh = std::make_shared<const CogInfo>(std::move(info));
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[fresh->name];
  if (entry.info && entry.info->origin == fresh->origin && entry.info->places == fresh->places &&
      entry.info->defaults == fresh->defaults) {
    return;
  }
  if (entry.info) replaced_.push_back(std::move(entry.info));
  entry.info = std::move(fresh);
}

void CogRegistry::count_program_crash(const std::string& program) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, entry] : entries_) {
    if (entry.info && entry.info->program == program) ++entry.crashes;
  }
}

void CogRegistry::reset_program(const std::string& program) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, entry] : entries_) {
    if (entry.info && entry.info->program == program) entry.crashes = 0;
  }
}

std::shared_ptr<const CogInfo> CogRegistry::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : it->second.info;
}

std::vector<std::string> CogRegistry::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

const CogDefaults* CogRegistry::defaults(std::string_view cog_path) const {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(cog_path);
  return it == entries_.end() ? nullptr : &it->second.info->defaults;
}

std::string CogRegistry::suggestion(std::string_view cog_path) const {
  if (cog_path.empty() || cog_path.size() > kLongestCompared) return {};
  const auto wanted = lower(cog_path);
  // A third of the letters may be wrong, or two of five. One of two is a guess that helps nobody.
  const std::size_t most = wanted.size() <= 2 ? 0 : wanted.size() <= 4 ? 1 : std::max<std::size_t>(2, wanted.size() / 3);
  std::size_t nearest = std::numeric_limits<std::size_t>::max();
  std::string best;
  for (auto& name : names()) {
    const auto longer = std::max(name.size(), wanted.size()), shorter = std::min(name.size(), wanted.size());
    if (longer - shorter > most) continue;
    if (const auto distance = edit_distance(wanted, lower(name)); distance <= most && distance < nearest) {
      nearest = distance;
      best = std::move(name);
    }
  }
  return best.empty() ? std::string() : " - did you mean '" + best + "'?";
}

int CogRegistry::crashes(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(name);
  return it == entries_.end() ? 0 : it->second.crashes;
}

void CogRegistry::count_crash(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(name);
  if (it != entries_.end() && it->second.crashes < std::numeric_limits<int>::max()) ++it->second.crashes;
}

void CogRegistry::reset(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto it = entries_.find(name); it != entries_.end()) it->second.crashes = 0;
}

}  // namespace cogwork
