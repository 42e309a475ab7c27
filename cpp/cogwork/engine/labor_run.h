#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/latch.h"
#include "cogwork/machine/labor_machine.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// An attempt between the record of its start and its close.
struct AttemptRun {
  AttemptKey key = 0;
  std::shared_ptr<const CogInfo> cog;
  bool check = false;
  bool handed = false;
  double fraction = -1;  // ctx.progress
  Text message;
  std::string said;                 // its first lines, as they are stored while it runs
  std::uint64_t said_left_out = 0;  // lines that do not fit into that any more
};

/// Group 3 of some steps' effects (effect.h): what waits for one commit.
struct AfterCommit {
  std::vector<Effects::Opened> opened;
  std::vector<Effects::Acknowledged> acks;
  bool labor_ended = false;
};

/// The end of a Labor's history: the link of its last row, and when that was made.
struct ChainEnd {
  std::array<std::uint8_t, 16> link{};
  Time at = never;
};

/// One Labor in a running engine: its machine, and what the driver keeps beside it. Scheduler thread only.
struct LaborRun {
  LaborRun(Labor labor, Weight weight, RecordTime times)
      : id(labor.id), machine(std::move(labor), std::move(weight)), time(times), counts(machine.labor().tasks.size()) {}

  const Id id;
  LaborMachine machine;
  RecordTime time;

  // What the steps since the last flush want to be stored, and what waits for it.
  std::vector<ObjectRef> writes;
  std::vector<Change> changes;
  std::vector<Record> records;  // of stored signals that are applied: they go with what these did
  std::vector<std::uint32_t> ended_sequences;
  AfterCommit after;
  bool dirty = false;
  std::uint32_t flying = 0;  // units on their way to the store

  std::vector<std::shared_ptr<const Latch>> latches;                            // that match it, the one that was set first first
  std::array<std::uint8_t, 16> link{};                                          // of its last row of history
  SteadyTime wake = kNeverDue;                                                  // its place in the engine's timers
  std::unordered_map<std::uint32_t, AttemptRun> attempts;                       // by Job
  std::unordered_map<std::uint32_t, std::shared_ptr<SequenceOutputs>> outputs;  // by Sequence, of more than one Job and under way
  std::shared_ptr<LaborEnd> end = std::make_shared<LaborEnd>();

  // For displays.
  struct TaskCounts {
    std::uint32_t completed = 0, failed = 0, stopped = 0;
  };
  std::vector<TaskCounts> counts;
  std::deque<Progress::Loss> losses;
  std::shared_ptr<LaborLog> log;  // null: nothing of it has run, and nobody watches
};

}  // namespace cogwork
