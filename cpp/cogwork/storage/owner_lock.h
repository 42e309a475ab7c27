#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cogwork/storage/storage.h"

namespace cogwork {

/// Makes `owner` the owner of the store file `path` (R1): a flock on `<path>-owner`, which holds the owner as text, so that whoever
/// is refused can be told. The lock ends with the process whatever way that ends, is not inherited by a process that is
/// forked, and excludes a second engine in the same process too. The side file goes when the lock does.
///
/// It is not on the database file itself: POSIX locks, SQLite's, are all lost when a process closes any descriptor of a file.
///
/// An owner that is `brief` is waited for, up to ten seconds. Throws StoreInUse, or StorageError where the side file cannot be made. `shown` is how the store is called in messages.
std::unique_ptr<StoreLock> lock_owner_file(const std::string& path, const std::string& shown, const Owner& owner);

/// What stands in the side file: one "name: value" a line.
std::string owner_text(const Owner& owner);
Owner read_owner(std::string_view text);

}  // namespace cogwork
