#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace cogwork {

// The list of programs that an engine and its guardian share: see guardian.h.

/// One program's place on the list: its leader's pid, and above that the time at which the leader was started, by which the
/// guardian tells it from a later process with the same number. Zero: free.
using GuardianPlace = std::atomic<std::uint64_t>;
static_assert(GuardianPlace::is_always_lock_free, "it is shared by processes");
constexpr std::uint64_t place_of(int pid, std::uint32_t started) {
  return std::uint64_t{started} << 32 | static_cast<std::uint32_t>(pid);
}

/// 2 MiB, of which only what is used takes memory.
struct GuardianList {
  static constexpr std::uint32_t kMost = 1u << 18;
  std::atomic<std::uint32_t> used;  ///< Places that were ever taken: none is beyond.
  std::array<GuardianPlace, kMost> places;

  /// The list in a memory file; null where it cannot be mapped.
  static GuardianList* map(int fd);
};

/// What the guardian's process does: waits until `pipe` closes, then ends what is left on the list. Returns 0 where nothing is left
/// of it.
int guard(int pipe, int list, int grace_ms);

}  // namespace cogwork
