#include "cogwork/cogs/environment.h"

#include <string_view>

#include "cogwork/cogs/user_identity.h"

extern char** environ;  // NOLINT: POSIX's name

namespace cogwork {
namespace {

constexpr const char* kPath = "/usr/local/bin:/usr/bin:/bin";
constexpr const char* kRootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kLanguage = "C.UTF-8";

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

}  // namespace

Variables process_environment() {
  Variables variables;
  for (char** variable = environ; variable && *variable; ++variable) variables.emplace_back(*variable);
  return variables;
}

Variables changed(const Variables& variables, const VariableChanges& changes) {
  Variables result;
  result.reserve(variables.size() + changes.size());
  for (const auto& variable : variables) {
    if (variable.find('=') != variable.npos && !changes.contains(name_of(variable))) result.push_back(variable);
  }
  for (const auto& [name, value] : changes) {
    if (value) result.push_back(name + "=" + *value);
  }
  return result;
}

std::optional<std::string> value_of(const Variables& variables, std::string_view name) {
  for (const auto& variable : variables) {
    if (variable.size() > name.size() && variable[name.size()] == '=' && variable.starts_with(name))
      return variable.substr(name.size() + 1);
  }
  return std::nullopt;
}

Variables login_environment(const UserIdentity& user, const Variables& ours) {
  return {std::string("PATH=") + (user.uid == 0 ? kRootPath : kPath),
          "HOME=" + user.home,
          "USER=" + user.name,
          "LOGNAME=" + user.name,
          "SHELL=" + (user.shell.empty() ? "/bin/sh" : user.shell),
          "LANG=" + value_of(ours, "LANG").value_or(kLanguage)};
}

}  // namespace cogwork
