#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/base/backoff.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// What one Labor wants to be written, in one piece. Units of one Labor become durable in the order in which they were given.
struct CommitUnit {
  Id labor;
  Batch batch;
  std::uint64_t token = 0;  ///< Comes back in the result.
  /// A submit: an error that waiting cannot mend gives the unit up (and says so), instead of trying on.
  bool give_up_on_error = false;
};

struct CommitResult {
  std::uint64_t token = 0;
  std::optional<std::string> error;  ///< Only of units with give_up_on_error: nothing of it was stored.
};

/// Whether writing works, and why not (D6).
struct StoreHealth {
  bool degraded = false;
  bool hangs = false;               ///< A write takes far too long.
  std::string reason;               ///< The last error, in words.
  Time since = never;               ///< When the trouble began.
  Time writing_since = never;       ///< A write is under way, and began then.
  std::uint64_t failed_writes = 0;  ///< Since the engine opened.
  std::vector<Id> stuck;            ///< Labors whose own writes fail for good while others go on.
};

/// Makes what the engine gives it durable (D5, D6). A seam: the simulation has one without a thread.
class Committer {
 public:
  virtual ~Committer() = default;
  /// Takes the units and returns at once. Called from the scheduler thread only.
  virtual void commit(std::vector<CommitUnit> units) = 0;
  /// Any thread.
  virtual StoreHealth health() const = 0;
  /// Waits until all that was given is durable, or `deadline` passes (a degraded store may never be).
  /// Returns whether all is.
  virtual bool flush(std::optional<std::chrono::steady_clock::time_point> deadline) = 0;
  struct Figures {
    std::uint64_t commits = 0;
    std::uint64_t units = 0;
    std::uint64_t queued = 0;
  };
  virtual Figures figures() const = 0;
  /// The end: what waits is dropped, and nothing is reported any more when it returns. A write that is under way is waited for until `deadline`.
  /// Where it has not returned by then - nobody can end a call that hangs in a disk - its thread is left to it, and `keeps`, the store's lock, is
  /// let go of when it returns: nobody else writes beside it. Returns whether no write was left. Idempotent; not from a callback.
  virtual bool stop(std::chrono::steady_clock::time_point deadline, std::shared_ptr<void> keeps) = 0;
};

/// The one storage thread. It takes whatever has queued up, makes it one `apply`, and reports; while it commits, the next
/// batch grows by itself, and without load a unit is committed at once: nothing waits for a timer.
/// An error that is temporary holds everything back, and the batch is tried again with growing, random delays. Any other error is
/// narrowed down to the Labors that cause it by applying Labor by Labor; those wait and are tried again, the others go on.
/// A write that has not returned after ten seconds, and more for a large batch, makes it degraded too, as the store hangs.
/// `done` is called on the storage thread with what became durable, in order; it must not block.
/// `trouble` is called when health changes.
std::unique_ptr<Committer> make_committer(std::shared_ptr<Storage> store, std::function<void(std::vector<CommitResult>)> done,
                                          std::function<void()> trouble, Backoff backoff, std::size_t most_units = 4096);

}  // namespace cogwork
