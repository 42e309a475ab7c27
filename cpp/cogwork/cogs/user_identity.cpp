#include "cogwork/cogs/user_identity.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr std::size_t kLongestEntry = std::size_t{1} << 20;

bool means_no_such_user(int error) {
  return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;  // getpwnam(3)
}

}  // namespace

bool UserIdentity::is_ours() const { return uid == geteuid(); }

std::optional<UserIdentity> find_user(const std::string& name) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  int error = 0;
  while ((error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < kLongestEntry) {
    buffer.resize(buffer.size() * 2);
  }
  if (!found && !means_no_such_user(error)) {
    throw ResourceError("the user '" + name + "' cannot be looked up: " + std::system_category().message(error));
  }
  if (!found) return std::nullopt;
  UserIdentity user{entry.pw_uid, entry.pw_gid, {}, entry.pw_name, entry.pw_dir, entry.pw_shell};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<std::size_t>(count));
    getgrouplist(name.c_str(), entry.pw_gid, user.groups.data(), &count);
  }
  user.groups.resize(static_cast<std::size_t>(std::max(count, 0)));
  return user;
}

std::optional<UserIdentity> user_for(const std::string& name) {
  if (name.empty()) return std::nullopt;
  auto user = find_user(name);
  if (!user) throw Error("there is no user '" + name + "' on this machine");
  if (!user->is_ours() && geteuid() != 0) {
    throw Error("processes can be run as another user ('" + name + "') by root only; run the engine as root, or as that user");
  }
  return user;
}

std::string why_not_as(const std::string& name) {
  try {
    user_for(name);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace cogwork
