#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cogwork {

/// A user of this machine, whom a process is to run as.
struct UserIdentity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::string name, home, shell;

  /// Whether this process runs as that user, so that nothing need be changed.
  bool is_ours() const;
};

/// Looks a user up. Returns nothing where there is none. Throws ResourceError where the look-up failed. It may ask a directory
/// service, and wait.
std::optional<UserIdentity> find_user(const std::string& name);

/// The user that `real_user` names; nothing where it names none. Throws Error where processes cannot be started as that user.
std::optional<UserIdentity> user_for(const std::string& real_user);

/// Empty where this process may start processes as that user; else why not, and what would help.
std::string why_not_as(const std::string& user);

}  // namespace cogwork
