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
/// The side file has the rights, and where root locks also the owner, of the store's file. An owner that is `brief` is waited for, up to ten
/// seconds. Throws StoreInUse, or StorageError where the side file cannot be made. `shown` is how the store is called in messages.
std::unique_ptr<StoreLock> lock_owner_file(const std::string& path, const std::string& shown, const Owner& owner);

/// What the side file of the store file `path` says, and whether whoever it names still has the lock. It takes nothing and waits for
/// nobody, so that a reader may ask.
OwnerSeen look_at_owner_file(const std::string& path);

}  // namespace cogwork
