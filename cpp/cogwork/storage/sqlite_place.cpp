#include "cogwork/storage/sqlite_place.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;

/// Follows links to the end, also one whose file does not exist yet, so that two names of one file are one store.
fs::path resolve(fs::path path) {
  for (int links = 0; links < 40; ++links) {
    std::error_code error;
    if (fs::symlink_status(path, error).type() != fs::file_type::symlink) break;
    const auto target = fs::read_symlink(path, error);
    if (error) break;
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  std::error_code error;
  const auto parent = fs::weakly_canonical(fs::absolute(path).parent_path(), error);
  return error ? fs::absolute(path) : parent / path.filename();
}

}  // namespace

void refuse(const std::string& path, const std::string& why) { throw StorageError("cannot open " + path + ": " + why, false); }

SqlitePlace look_at_file(const std::string& path, OpenMode mode) {
  if (path.empty()) refuse("a store", "its path is empty; give a file, or 'memory:'");
  if (path.find('\0') != path.npos) refuse("a store", "its path holds a zero byte");
  const auto real = resolve(path);
  struct stat about {};
  if (real.filename().empty()) refuse(path, "it is a folder; give a file in it, 'labors.db' say");
  if (stat(real.c_str(), &about) != 0) {
    if (errno == ENOTDIR) {
      refuse(path, real.parent_path().string() + " is not a folder");
    } else if (errno == ENOENT && mode == OpenMode::OWNER) {
      std::error_code error;
      const auto parent = real.parent_path();
      if (!fs::exists(parent, error)) refuse(path, "there is no folder " + parent.string() + "; make it first");
      if (!fs::is_directory(parent, error)) refuse(path, parent.string() + " is not a folder");
      if (access(parent.c_str(), W_OK) != 0) {
        const bool medium = errno == EROFS;
        refuse(path, (medium ? "the file system of " : "this user may not write in ") + parent.string() +
                         (medium ? " is read-only" : ", where it would be made") + "; give a file in another folder");
      }
    } else if (errno == ENOENT) {
      refuse(path, "there is no such file; an engine makes it");
    } else {
      refuse(path, std::system_category().message(errno));
    }
  } else if (S_ISDIR(about.st_mode)) {
    refuse(path, "it is a folder; give a file in it, 'labors.db' say");
  } else if (!S_ISREG(about.st_mode)) {
    refuse(path, "it is not a plain file");
  } else if (about.st_nlink > 1 && mode == OpenMode::OWNER) {
    refuse(
        path,
        "the file has " + std::to_string(about.st_nlink) +
            " names (hard links), and SQLite would keep a log for each of them, which damages it; copy the file and use the copy");
  } else if (access(real.c_str(), mode == OpenMode::OWNER ? R_OK | W_OK : R_OK) != 0) {
    if (errno == EROFS)
      refuse(path, "its file system is read-only; copy the file to another, or read it where it is: cogwork.open_store");
    refuse(path, std::string("this user may not ") + (mode == OpenMode::OWNER ? "read and write" : "read") +
                     " the file; change its permissions");
  }
  return {path, real.string()};
}

}  // namespace cogwork
