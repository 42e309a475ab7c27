#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cogwork/model/change.h"
#include "cogwork/model/filter.h"
#include "cogwork/model/labor.h"
#include "cogwork/storage/owner.h"

namespace cogwork {

// The contract of a store, section 7 of the rules. cogwork.testing.check_storage is the same contract as a program.
//
// Threads. All writing calls - Writer, apply, lock - come from one thread at a time, and never while another writing call
// is under way. Reading calls may come from any thread at any time, beside each other and beside a writing one; each
// sees a state between two commits and nothing in the middle of one.
// Errors. StorageError; its `temporary()` decides whether the engine only waits and tries again or also says that waiting will not
// mend it (D6). After any exception from a writing call nothing of that call is stored (SimpleStorage excepted, T5).

/// Small records beside the trees (T5). A record is one value under a kind and a key.
enum class RecordKind : std::uint8_t { LATCH = 0, SIGNAL = 1, HELD_JOB = 2, CLIENT_ID = 3 };

struct Record {
  RecordKind kind = RecordKind::CLIENT_ID;
  Text key;
  std::optional<Text> value;  ///< msgpack or bytes, the engine's affair. Nothing: in a batch, removes the record.
  bool operator==(const Record&) const = default;
};

// ---- T2, as values. Each holds whole rows: what a write names replaces what was stored, but for args, and for where an object
// stands in the tree (its kind, counts, and indexes of others): these are written once, by WriteLabor. ----

/// The whole tree, with args. At ingest and recovery only. A Labor of that id that is there already is replaced.
struct WriteLabor {
  std::shared_ptr<const Labor> labor;
};
/// A Labor's own fields that change: state, reason, started, ended, holds.
struct WriteLaborState {
  std::shared_ptr<const Labor> labor;  ///< without_tables
};
struct WriteTask {
  Id labor;
  Task task;
};
struct WriteSequence {
  Id labor;
  Sequence sequence;
};
/// All of a Job but its args, which are written once, by WriteLabor. `job.args` is not looked at.
struct WriteJob {
  Id labor;
  Job job;
};
using WriteOp = std::variant<WriteLabor, WriteLaborState, WriteTask, WriteSequence, WriteJob>;

/// What one commit holds: all of it, in this order, or nothing.
struct Batch {
  std::vector<WriteOp> writes;
  std::vector<HistoryRow> history;
  std::vector<Record> records;
  bool empty() const { return writes.empty() && history.empty() && records.empty(); }
};

/// T1. What is returned is the caller's own copy. A missing id throws NotFound, which names it.
class Reader {
 public:
  virtual ~Reader() = default;
  /// full: with all Tasks, Sequences, Jobs, args and outputs; else the Labor's own fields alone.
  virtual Labor read_labor(const Id& id, bool full) = 0;
  virtual Task read_task(const Id& id) = 0;
  virtual Sequence read_sequence(const Id& id) = 0;
  /// full=false: without args, and without output of its attempts.
  virtual Job read_job(const Id& id, bool full) = 0;
};

/// T2. Each call is one commit: durable when it returns.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void write_labor(const Labor& labor) = 0;
  virtual void write_labor_state(const Labor& labor) = 0;
  virtual void write_task(const Id& labor, const Task& task) = 0;
  virtual void write_sequence(const Id& labor, const Sequence& sequence) = 0;
  virtual void write_job(const Id& labor, const Job& job) = 0;
};

/// A running search (T3). One thread. It may be left at any point.
class LaborStream {
 public:
  virtual ~LaborStream() = default;
  /// The next Labor (without tables), or nothing at the end. Throws StorageError where the stream breaks.
  virtual std::optional<Labor> next() = 0;
};

/// T3. Ordered by `submitted`, then id; earliest first unless the filter says newest_first. Which Labors are returned, and in which
/// order, is settled by the call; each is as it is when it is read.
class Searcher {
 public:
  virtual ~Searcher() = default;
  virtual std::unique_ptr<LaborStream> labors(const LaborFilter& filter) = 0;
};

/// Held while an engine owns the store; letting go of it gives the store up. A process that dies leaves no lock behind.
class StoreLock {
 public:
  virtual ~StoreLock() = default;
  /// Says anew who the owner is, to whoever looks (seen_owner). By itself it says nothing. One thread at a time; throws StorageError.
  virtual void announce(const Owner& /*owner*/) {}
  /// The engine that owned the store before and did not let go of it: it died. Nothing where there was none, or the store cannot tell.
  virtual std::optional<Owner> died() const { return std::nullopt; }
};

/// A Labor with the whole of its history, both as of one moment.
struct Account {
  Labor labor;                      ///< With all below it.
  std::vector<HistoryRow> history;  ///< In order.
};

class Storage : public Reader, public Writer, public Searcher {
 public:
  /// T5. One atomic commit; durable when it returns.
  virtual void apply(const Batch& batch) = 0;

  /// Rows of the history, lowest number first: of one Labor (nil: of all), those that hold a change numbered above `since`.
  /// Calls `row` for each until it returns false; `row` may use the store. No number is stored twice, but numbers need not go up
  /// from commit to commit: a Labor whose writes were held up (D6) brings its own later.
  virtual void history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) = 0;
  /// The highest number of a change in the store; 0 where there is none.
  virtual std::uint64_t last_change() = 0;
  /// The link of a Labor's last row; zeros where it has none.
  virtual std::array<std::uint8_t, 16> last_link(const Id& labor) = 0;
  /// When that row was made; `never` where it has none, or the store cannot tell.
  virtual Time last_time(const Id& /*labor*/) { return never; }

  /// A Labor with the whole of its history (D7). Throws NotFound. By itself it reads both again until nothing was added meanwhile; a store
  /// that can read them in one view overrides it.
  virtual Account read_account(const Id& labor);
  /// The ids of Labors whose text begins with `prefix`, in their order, at most `most`. By itself it looks at all Labors.
  virtual std::vector<Id> labor_ids(std::string_view prefix, std::size_t most);

  /// All records of a kind, by key.
  virtual std::vector<Record> records(RecordKind kind) = 0;

  /// Makes `owner` the owner. Throws StoreInUse at once, naming who is, where there is one - also in this process.
  virtual std::unique_ptr<StoreLock> lock(const Owner& owner) = 0;

  /// Who owns it now, as far as somebody sees who does not; never waits. Nothing: this kind of store does not say.
  virtual std::optional<OwnerSeen> seen_owner() const { return std::nullopt; }

  /// How the store is called in messages: "labors.db", "memory:".
  virtual std::string name() const = 0;

  /// What names this store, and no other, in every process of this machine: whoever opens it elsewhere finds its engine by it. Empty
  /// where no other process can open it.
  virtual std::string identity() const { return {}; }
  /// The folder that it is in, as an absolute path without links; empty where it is in none.
  virtual std::string folder() const { return {}; }

  // Writer, by way of apply: a built-in store need not say it twice.
  void write_labor(const Labor& labor) override;
  void write_labor_state(const Labor& labor) override;
  void write_task(const Id& labor, const Task& task) override;
  void write_sequence(const Id& labor, const Sequence& sequence) override;
  void write_job(const Id& labor, const Job& job) override;
};

}  // namespace cogwork
