#pragma once

#include <array>
#include <vector>

#include "cogwork/cogs/cog.h"
#include "cogwork/engine/core.h"
#include "cogwork/engine/engine.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// What opening a store finds in it (R1): Labors that go on, and those that cannot yet, with the reason.
struct Unfinished {
  struct Found {
    Labor labor;
    ChainEnd end;
    std::string why;  ///< Why it cannot go on here; empty where it can.
  };
  std::vector<Found> ready;
  std::vector<Stats::Waiting> waiting;
};

ChainEnd end_of_chain(Storage& store, const Id& labor);

/// Reads one. That it cannot be read, or that its tree is one that no engine leaves, is why it waits, as is that its Cogs are not known: one
/// damaged Labor stops no other. Throws StorageError only where waiting may help.
Unfinished::Found find_unfinished(Storage& store, const Id& labor, CogRegistry& cogs, const std::string& python);

/// What is wrong with a tree that was read, where no engine can go on with it; empty: nothing.
std::string damage_of(const Labor& labor);

/// Reads every Labor that has not ended, earliest first.
Unfinished read_unfinished(Storage& store, CogRegistry& cogs, const std::string& python);

/// The Cogs that a Labor calls, each once, with where this process has them from (R4).
std::vector<std::pair<Text, Text>> origins_of(const Labor& labor, const CogRegistry& cogs);

/// Why a stored Labor cannot go on in this process; empty where it can (R4). Programs that it calls become known to the registry.
std::string why_waiting(const Labor& labor, CogRegistry& cogs, const std::string& python);

/// The same, and all of them wait to be taken up one by one (EngineOptions::recover_later).
Unfinished leave_unfinished(Storage& store);

/// R1: tells a new core what it must know of the store: client ids, latches, and as the options say what is unfinished. Returns the Labors that it
/// took up.
std::vector<Id> open_core(Core& core, Storage& store, CogRegistry& cogs, const EngineOptions& options);

}  // namespace cogwork
