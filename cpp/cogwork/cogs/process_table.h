#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace cogwork {

/// One process, as /proc describes it.
struct ProcessRow {
  int pid = -1;
  int parent = -1;
  int group = -1;
  int session = -1;
  char state = '?';
  std::uint32_t started = 0;       ///< Clock ticks after boot, the lower 32 bits: tells a process from a later one with its number.
  std::array<char, 16> name = {};  ///< Of its program, cut by the kernel.

  /// False for a process that has ended and that its parent has not waited for. Process 1 inherits orphans, and in some containers
  /// it never waits for them.
  bool runs() const { return state != 'Z' && state != 'X'; }
};

/// Reads one process. Returns nothing where it has gone, or /proc does not show it.
std::optional<ProcessRow> read_process(int pid);

/// All processes that this one may see, read at one go. Costs some 10 us for each process of the machine.
class ProcessTable {
 public:
  static ProcessTable read();

  /// False where /proc could not be read: it is not mounted, or no descriptor is left.
  bool complete() const { return complete_; }
  const std::vector<ProcessRow>& rows() const { return rows_; }
  const ProcessRow* find(int pid) const;

 private:
  bool complete_ = false;
  std::vector<ProcessRow> rows_;  // in the order of their pids, as far as the kernel keeps it
};

/// Whether a process, a group or a session has this number. Exact, unlike a look for processes: the kernel gives a number out again
/// only when nothing has it any more. `fd`: any open descriptor; it is asked as the owner of its signals (F_SETOWN), of which there
/// are none. Costs a microsecond.
bool number_in_use(int fd, int number);

}  // namespace cogwork
