#include "cogwork/engine/control_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr std::string_view kOwn = "cogwork", kBeside = ".cogwork-";

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
  if (!value || *value != '/') return "";
  auto path = std::filesystem::path(value).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path == "/" ? "/." : path;  // what is put behind it begins with a slash
}

std::string system_says() { return std::system_category().message(errno); }

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool is_named(const std::string& folder, std::string_view beginning) {
  return folder.compare(folder.rfind('/') + 1, beginning.size(), beginning) == 0;
}

/// No folder is made in one of another user's, as in the runtime folder that `sudo -E` brings along: that user's engines want theirs there.
void require_own_or_roots(const std::string& folder) {
  struct stat about {};
  if (stat((folder + "/").c_str(), &about) != 0) throw Error(folder + " cannot be looked at: " + system_says());
  if (about.st_uid != geteuid() && about.st_uid != 0) throw Error(folder + " belongs to another user");
}

}  // namespace

std::vector<ControlAddress> control_paths(const std::string& identity, const std::string& folder) {
  const auto uid = std::to_string(geteuid());
  std::vector<std::string> folders;
  if (const auto own = environment("COGWORK_RUNTIME_DIR"); !own.empty()) {
    // One that others use is no place for a socket; a folder in it is.
    for (const auto& below : {std::string(), std::string("/cogwork"), "/cogwork-" + uid}) folders.push_back(own + below);
  }
  if (const auto xdg = environment("XDG_RUNTIME_DIR"); !xdg.empty()) folders.push_back(xdg + "/cogwork");
  if (const auto login = "/run/user/" + uid; access(login.c_str(), W_OK | X_OK) == 0) folders.push_back(login + "/cogwork");
  folders.push_back("/tmp/cogwork-" + uid);
  if (!folder.empty()) folders.push_back((folder == "/" ? "" : folder) + "/" + std::string(kBeside) + uid);

  std::vector<ControlAddress> paths;
  for (const auto& one : folders) {
    ControlAddress address{ControlAddress::Kind::PATH, one + "/" + short_name(identity) + ".sock"};
    if (std::find(paths.begin(), paths.end(), address) == paths.end()) paths.push_back(std::move(address));
  }
  return paths;
}

ControlAddress abstract_control(const std::string& identity) {
  return {ControlAddress::Kind::ABSTRACT, "cogwork-" + short_name(identity)};
}

void prepare_control_folder(const std::string& socket_path) {
  const auto folder = folder_of(socket_path);
  if (is_named(folder, kOwn)) require_own_or_roots(folder_of(folder));
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw Error(folder + " cannot be made: " + system_says());
  struct stat about {};
  if (lstat(folder.c_str(), &about) != 0) throw Error(folder + " cannot be looked at: " + system_says());
  if (!S_ISDIR(about.st_mode)) throw Error(folder + " is not a folder");
  if (about.st_uid != geteuid()) throw Error(folder + " belongs to another user");
  if ((about.st_mode & 0077) != 0) throw Error(folder + " is open to other users");
}

void remove_control_file(const std::string& socket_path) {
  unlink(socket_path.c_str());
  const auto folder = folder_of(socket_path);
  if (is_named(folder, kBeside)) rmdir(folder.c_str());
}

}  // namespace cogwork
