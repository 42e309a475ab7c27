#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/machine/input.h"
#include "cogwork/model/labor.h"
#include "cogwork/model/wire_writer.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// A crisis (G8): while it is in force, every Labor that it matches and that has not ended is held at crisis rank. It is one record of the
/// store. One that was lifted stays there for a while, so that who lifted it can be found.
struct Latch {
  Id id;
  /// What it matches. Kinds are AND-ed, as in a LaborFilter (T3); an empty kind lets all pass, so that a latch without any matches
  /// every Labor.
  std::vector<std::string> tags;  ///< Any of them.
  std::string name_prefix;        ///< Literal, case-sensitive.
  std::vector<std::string> cogs;  ///< Any of them is called by a Job or check, by the name that it was submitted with.
  std::string by, note;
  Time since = never;

  Time lifted = never;
  std::string lifted_by, lifted_note;

  bool operator==(const Latch&) const = default;
};

/// Whether it holds that Labor, which may be without its tables. Not linear in its size: its Cogs were noted when it was submitted.
bool matches(const Latch& latch, const Labor& labor);

/// What a latch that is in force, or the lifting of one, weighs on a Labor.
Weight weight_of(const Latch& latch);

/// `all Labors`, or `tag edge or core, name "edge-*", cog upgrade`: what it matches, in words.
std::string describe(const Latch& latch);
/// `by bob 2026-03-01 10:02 "INC-12"`, in UTC.
std::string who_lifted(const Latch& latch);

/// Its pairs in a map of so many, where more may follow.
inline constexpr std::uint32_t kLatchFields = 10;
WireWriter& write_fields(WireWriter& w, const Latch& latch);

Record to_record(const Latch& latch);
/// All of a store, in the order in which they were set. Throws StorageError where one cannot be read: nobody knows what it holds.
std::vector<Latch> read_latches(Storage& store);

/// How many lifted latches a store keeps: the ones lifted last.
inline constexpr std::size_t kMostLifted = 100;
/// How many may be in force at once: more is a script that sets them in a loop.
inline constexpr std::size_t kMostInForce = 1000;

/// What lifting one changes in the store: it stays, as lifted, and for it those go that would be too many.
std::vector<Record> records_of_lift(const Latch& latch, const std::vector<Latch>& outdated);

/// Throws Error where one more is too many.
void require_room(std::size_t in_force);
/// Why that latch cannot be lifted: there is none, or it is lifted already. `latches`: all that are known.
[[noreturn]] void not_in_force(const Id& id, const std::vector<Latch>& latches);

// ---- without an engine ----

/// Stores it for the next engine, as store_signal does: takes the owner's lock for a moment, and is durable when it returns. Sets id and
/// since. Throws StoreInUse where an engine owns the store: set it there. StorageError.
Latch store_latch(Storage& store, Latch latch, Owner owner, Clock& clock);
/// Lifts it; NotFound where it is not in force. Else as store_latch.
void lift_stored(Storage& store, const Id& id, const std::string& by, const std::string& note, Owner owner, Clock& clock);

}  // namespace cogwork
