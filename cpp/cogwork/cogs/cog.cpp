#include "cogwork/cogs/cog.h"

#include "cogwork/base/error.h"
#include "cogwork/base/suggest.h"
#include "cogwork/cogs/command.h"

namespace cogwork {

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

void CogRegistry::set_args_check(ArgsCheck check) {
  const std::lock_guard lock(mutex_);
  args_check_ = std::move(check);
}

std::vector<CogRegistry::Misfit> CogRegistry::misfits(const std::string& cog, const std::vector<std::string_view>& args) const {
  const auto info = find(cog);
  if (!info || info->kind == CogKind::PROCESS) return {};
  if (info->kind == CogKind::COMMAND) {
    std::vector<Misfit> found;
    for (std::size_t place = 0; place < args.size(); ++place) {
      if (auto why = args_problem(cog, args[place], {}); !why.empty()) found.push_back({place, std::move(why)});
    }
    return found;
  }
  ArgsCheck check;
  {
    const std::lock_guard lock(mutex_);
    check = args_check_;
  }
  return check ? check(cog, args) : std::vector<Misfit>();
}

void CogRegistry::add(CogInfo info) {
  auto fresh = std::make_shared<const CogInfo>(std::move(info));
  const std::lock_guard lock(mutex_);
  if (const auto program = programs_.find(fresh->name); program != programs_.end()) {
    const auto& path = program->second.path;
    throw CogError("the cog name '" + fresh->name + "' is taken by the process cog of " + path.program +
                   (path.cog.empty() ? "" : ":" + path.cog) + "; " + fresh->origin + " needs a name of its own: @cog(name=...)");
  }
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
