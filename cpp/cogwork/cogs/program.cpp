#include "cogwork/cogs/program.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {

constexpr std::string_view kPython = "python:";

std::optional<ProgramPath> program_path(std::string_view path) {
  const bool python = path.starts_with(kPython);
  if (!python && path.find('/') == path.npos) return std::nullopt;
  const auto from = python ? kPython.size() : path.rfind('/') + 1;
  const auto colon = path.find(':', from);
  if (colon == path.npos) return ProgramPath{std::string(path), ""};
  return ProgramPath{std::string(path.substr(0, colon)), std::string(path.substr(colon + 1))};
}

Program find_program(const std::string& program, const std::string& python) {
  if (program.starts_with(kPython)) {
    const auto module = program.substr(kPython.size());
    if (module.empty()) throw Error("names no module; write python:package.module:cog");
    if (python.empty()) throw Error("needs Python, and this engine was opened without one");
    return {{python, "-m", "cogwork.worker", module}, "", program};
  }
  std::error_code error;
  const auto absolute = std::filesystem::absolute(program, error).lexically_normal().string();
  struct stat about {};
  if (error || stat(absolute.c_str(), &about) != 0) {
    throw Error("cannot be run: " + absolute + ": " + (error ? error.message() : std::system_category().message(errno)));
  }
  if (!S_ISREG(about.st_mode)) throw Error("cannot be run: " + absolute + " is no file");
  if (access(absolute.c_str(), X_OK) != 0) throw Error("cannot be run: " + absolute + " is not executable; chmod +x makes it so");
  return {{absolute}, absolute, "file:" + absolute};
}

std::string file_version(const std::string& file) {
  struct stat about {};
  if (file.empty() || stat(file.c_str(), &about) != 0) return {};
  return std::to_string(about.st_mtim.tv_sec) + "." + std::to_string(about.st_mtim.tv_nsec) + "-" + std::to_string(about.st_size) +
         "-" + std::to_string(about.st_ino) + "-" + std::to_string(about.st_mode);
}

}  // namespace cogwork
