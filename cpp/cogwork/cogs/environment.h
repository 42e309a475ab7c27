#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cogwork {

struct UserIdentity;

/// What a program is given as its environment: "NAME=value" each.
using Variables = std::vector<std::string>;

/// Variables to set, or with nothing to take away.
using VariableChanges = std::map<std::string, std::optional<std::string>, std::less<>>;

/// This process's. Must not be called while another thread may change it: the C library frees what is read here. In a Python
/// process the engine is given os.environ instead, so that no thread of cogwork ever calls this.
Variables process_environment();

Variables changed(const Variables& variables, const VariableChanges& changes);

/// The environment of a program that runs as a named user (real_user): what a login gives it - PATH, HOME, USER, LOGNAME, SHELL,
/// and our LANG - and nothing else of ours, so that no secret of the engine's user reaches another one.
Variables login_environment(const UserIdentity& user, const Variables& ours);

/// The value of a variable; nothing where it is not set.
std::optional<std::string> value_of(const Variables& variables, std::string_view name);

}  // namespace cogwork
