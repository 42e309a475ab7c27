#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cogwork {

/// What is to be said of a store's file, and what is wrong with it as a database: damage, and rows that belong to nothing. What is in its
/// Labors is not looked at.
struct FileExam {
  struct Trouble {
    std::string what;
    std::string remedy;
  };
  std::int64_t version = 0;  ///< Of the tables.
  std::int64_t bytes = 0;
  std::int64_t log_bytes = 0;  ///< Of the write-ahead log beside it; 0 where there is none.
  std::int64_t labors = 0;
  std::int64_t changes = 0;
  std::vector<Trouble> troubles;
};

/// Examines a file and changes nothing, also while an engine works on it. Damage is trouble, not an error; throws StorageError where there is
/// nothing to examine: no such file, not a database, another program's, of another version. Reads all of the file.
FileExam examine_sqlite(const std::string& path);

}  // namespace cogwork
