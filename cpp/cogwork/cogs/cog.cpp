#include "cogwork/cogs/cog.h"

#include "cogwork/base/error.h"
#include "cogwork/base/suggest.h"

namespace cogwork {
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
  const auto known = names();
  return did_you_mean(cog_path, std::vector<std::string_view>(known.begin(), known.end()));
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
