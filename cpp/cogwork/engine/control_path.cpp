#include "cogwork/engine/control_path.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

/// FNV-1a, 64 bits: a name for a file, not a secret.
std::string short_name(const std::string& identity) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : identity) hash = (hash ^ c) * 0x100000001b3u;
  std::string name;
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[hash >> shift & 15];
  return name;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value && *value == '/' ? value : "";
}

[[noreturn]] void refuse(const std::string& folder, const std::string& why) {
  throw Error("the runtime folder " + folder + " " + why + "; set COGWORK_RUNTIME_DIR to a folder that only this user may enter");
}

}  // namespace

std::vector<std::string> control_paths(const std::string& identity) {
  const auto uid = std::to_string(geteuid());
  std::vector<std::string> folders;
  if (const auto own = environment("COGWORK_RUNTIME_DIR"); !own.empty()) folders.push_back(own);
  if (const auto xdg = environment("XDG_RUNTIME_DIR"); !xdg.empty()) folders.push_back(xdg + "/cogwork");
  if (const auto login = "/run/user/" + uid; access(login.c_str(), W_OK | X_OK) == 0) folders.push_back(login + "/cogwork");
  folders.push_back("/tmp/cogwork-" + uid);

  std::vector<std::string> paths;
  for (const auto& folder : folders) {
    const auto path = folder + "/" + short_name(identity) + ".sock";
    if (path.size() >= sizeof(sockaddr_un::sun_path)) continue;
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  return paths;
}

void prepare_control_folder(const std::string& socket_path) {
  const auto folder = socket_path.substr(0, socket_path.rfind('/'));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    refuse(folder, "cannot be made (" + std::system_category().message(errno) + ")");
  }
  struct stat about {};
  if (lstat(folder.c_str(), &about) != 0) refuse(folder, "cannot be looked at (" + std::system_category().message(errno) + ")");
  if (!S_ISDIR(about.st_mode)) refuse(folder, "is not a folder");
  if (about.st_uid != geteuid()) refuse(folder, "belongs to another user");
  if ((about.st_mode & 0077) != 0 && chmod(folder.c_str(), 0700) != 0) {
    refuse(folder, "is open to other users (" + std::system_category().message(errno) + ")");
  }
}

}  // namespace cogwork
