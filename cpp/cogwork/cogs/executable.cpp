#include "cogwork/cogs/executable.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "cogwork/base/error.h"
#include "cogwork/cogs/launch.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

constexpr const char* kUsualPath = "/usr/local/bin:/usr/bin:/bin";

std::string what(int error) { return std::system_category().message(error); }

bool usable(const std::string& path) {
  struct stat about {};
  return stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && access(path.c_str(), X_OK) == 0;
}

std::string why_not_usable(const std::string& path, bool is_relative) {
  struct stat about {};
  if (stat(path.c_str(), &about) != 0) {
    std::string why = what(errno);
    std::error_code no_folder;
    if (is_relative && std::filesystem::current_path(no_folder).empty()) why += " (the folder that the engine runs in is gone)";
    return why;
  }
  if (S_ISDIR(about.st_mode)) return "it is a folder";
  if (!S_ISREG(about.st_mode)) return "it is no file";
  return "it is not executable for this user; chmod +x makes it so";
}

}  // namespace

std::string find_executable(const Launch& launch) {
  const auto& name = launch.executable;
  if (name.empty()) throw Error("there is no program to run: its name is empty");
  if (name.find('\0') != name.npos) throw Error("the name of a program holds a zero byte");
  // It is executed in its own folder, so what is relative counts from there.
  std::error_code no_folder;
  const auto base = launch.cwd.empty() ? std::filesystem::path() : std::filesystem::absolute(launch.cwd, no_folder);
  if (name.find('/') != name.npos) {
    auto path = name[0] == '/' ? name : (base / name).string();
    if (usable(path)) return path;
    throw Error("cannot run " + path + ": " + why_not_usable(path, path[0] != '/'));
  }
  const auto search = value_of(launch.environment, "PATH").value_or(kUsualPath);
  for (std::size_t at = 0; at <= search.size();) {
    const auto end = std::min(search.find(':', at), search.size());
    const auto folder = search.substr(at, end - at);
    auto path = (base / folder / name).string();
    if (usable(path)) return path;
    at = end + 1;
  }
  std::string text = "there is no program " + quote(name) + " in PATH";
  if (name.find_first_of(" \t") != name.npos) text += "; did you mean " + as_words(name) + " or shell=" + quote(name) + "?";
  throw Error(text + "\nPATH is " + search);
}

std::string as_words(std::string_view line) {
  std::string words;
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\n"), line.size()));
    if (line.empty()) return "[" + words + "]";
    const auto end = std::min(line.find_first_of(" \t\n"), line.size());
    words += (words.empty() ? "" : ", ") + quote(line.substr(0, end));
    line.remove_prefix(end);
  }
}

std::string why_not_executed(const std::string& path, int error) {
  if (error != ENOENT && error != ENOEXEC && error != EACCES) return {};
  std::array<char, 256> bytes;
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), bytes.size());
  const std::string begin(bytes.data(), static_cast<std::size_t>(file.gcount()));
  if (!begin.starts_with("#!")) {
    if (error != ENOEXEC) return {};
    return begin.empty() ? "; the file is empty"
                         : "; it is no program for this machine, and has no first line that names its interpreter, like #!/bin/sh";
  }
  const auto from = begin.find_first_not_of(" \t", 2);
  if (from == begin.npos) return "; its first line names no interpreter";
  const auto interpreter = begin.substr(from, begin.find_first_of(" \t\n", from) - from);
  const std::string named = "; its first line names the interpreter " + quote(interpreter);
  if (interpreter.ends_with('\r')) return named + ": the lines of the file end as Windows ends them (CR LF)";
  return named + ", which " + (access(interpreter.c_str(), F_OK) != 0 ? "is not there" : "cannot be executed");
}

}  // namespace cogwork
