#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cogwork/history/finding.h"
#include "cogwork/history/replay.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

// What looks at a Labor and its history together. Any thread; a store is only read, whoever works on it meanwhile.

/// A Labor as it stood (D7). Throws NotFound, StorageError, and Error where the moment lies before it was submitted.
Labor read_at(Storage& store, const Id& labor, Moment when);

/// What was looked at in one Labor, and what is wrong with it.
struct LaborCheckup {
  Id labor;
  Text name;
  std::uint64_t rows = 0;
  std::uint64_t changes = 0;
  std::vector<Finding> findings;
  bool cut = false;  ///< There may be more findings than were asked for.
};

/// Follows the chain of a Labor's history, and then whether it leads to the tree that is stored (D7); with `tree`, also whether the tree is
/// one that an engine leaves. Throws NotFound, StorageError where it cannot be read.
LaborCheckup check_labor(Storage& store, const Id& labor, bool tree, std::size_t most);

/// Small records that belong to nothing: what each is, in words.
std::vector<std::string> lost_records(Storage& store);

}  // namespace cogwork
