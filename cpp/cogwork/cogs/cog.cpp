#include "cogwork/cogs/cog.h"

#include <algorithm>
#include <numeric>

namespace cogwork {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

void CogRegistry::add(CogInfo info) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(info.name);
  if (found != entries_.end() && found->second.info->origin != info.origin) {
    throw CogError("the cog name '" + info.name + "' is taken by " + found->second.info->origin + "; " + info.origin +
                   " needs a name of its own: @cog(name=...)");
  }
  auto name = info.name;
  auto& entry = entries_[std::move(name)];
  if (entry.info) replaced_.push_back(std::move(entry.info));
  entry.info = std::make_shared<const CogInfo>(std::move(info));
  entry.crashes = 0;
}

std::shared_ptr<const CogInfo> CogRegistry::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.info;
}

std::vector<std::string> CogRegistry::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

const CogDefaults* CogRegistry::defaults(std::string_view cog_path) const {
  const auto info = find(cog_path);
  return info ? &info->defaults : nullptr;
}

std::string CogRegistry::suggestion(std::string_view cog_path) const {
  std::string nearest;
  std::size_t least = std::max<std::size_t>(2, cog_path.size() / 3) + 1;
  for (const auto& name : names()) {
    const auto distance = edit_distance(cog_path, name);
    if (distance >= least) continue;
    least = distance;
    nearest = name;
  }
  return nearest.empty() ? std::string() : " - did you mean '" + nearest + "'?";
}

int CogRegistry::crashes(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? 0 : found->second.crashes;
}

void CogRegistry::count_crash(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(name); found != entries_.end()) ++found->second.crashes;
}

void CogRegistry::reset(std::string_view name) {
  const std::lock_guard lock(mutex_);
  if (const auto found = entries_.find(name); found != entries_.end()) found->second.crashes = 0;
}

}  // namespace cogwork
