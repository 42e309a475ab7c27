#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cogwork/storage/storage.h"

namespace cogwork {

/// The row of history that an owner committed last. It stands in the side file as long as the owner lives, and when that dies: who finds it and
/// not the row knows that something of what was acknowledged is gone.
struct LastCommit {
  std::uint64_t first = 0;  ///< The number of its first change.
  std::array<std::uint8_t, 16> link{};
};

/// Held by the owner of a store's file.
class OwnerLock : public StoreLock {
 public:
  /// After a commit; one system call. Not synced to the disk: it outlives the process, and after a power cut it may be older than the commit.
  virtual void committed(const LastCommit& last) = 0;
  /// What an owner that died has left is of another file, and goes with this lock.
  virtual void forget_died() = 0;
  /// Puts the side file back where somebody removed or replaced it: without it nobody could tell who the owner is. Does nothing where that is
  /// not possible. Beside `announce`.
  virtual void keep() = 0;
};

/// Makes `owner` the owner of the store file `path` (R1): a flock on `<path>-owner`, which holds the owner as text, so that whoever
/// is refused can be told. The lock ends with the process whatever way that ends, is not inherited by a process that is
/// forked, and excludes a second engine in the same process too. The side file goes when the lock does.
///
/// It is not on the database file itself: POSIX locks, SQLite's, are all lost when a process closes any descriptor of it. See SqliteGuard for
/// what holds where somebody removes the side file.
///
/// The side file has the rights, and where root locks also the owner, of the store's file. An owner that is `brief` is waited for, up to ten
/// seconds. `accept` is given what an owner that died has left, before the side file is the new one's; what it throws leaves all as it is.
/// Throws StoreInUse, or StorageError where the side file cannot be made or what has its name is another file. `shown` is how the store is
/// called in messages.
std::unique_ptr<OwnerLock> lock_owner_file(const std::string& path, const std::string& shown, const Owner& owner,
                                           const std::function<void(const LastCommit&)>& accept = {});

/// What an owner that died has left; nothing where one lives, or none died.
std::optional<LastCommit> left_by_dead_owner(const std::string& path);

/// What the side file of the store file `path` says, and whether whoever it names still has the lock. It takes nothing and waits for
/// nobody, so that a reader may ask.
OwnerSeen look_at_owner_file(const std::string& path);

}  // namespace cogwork
