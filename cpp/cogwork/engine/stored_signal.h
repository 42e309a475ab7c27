#pragma once

#include <optional>

#include "cogwork/engine/engine.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// A signal - or a start, or a decision (R2) - that was sent while no engine ran the Labor (R1). It lies in the store as a record until the Labor is taken
/// up, is applied before anything of the Labor begins, and goes in the same commit as what it did.
struct StoredSignal {
  SignalOrder order;                   ///< Of a start: the Labor, by and note. Of a decision: the Job, by and note.
  bool start = false;                  ///< S6
  Decision decision = Decision::NONE;  ///< R2; NONE: it is none.
  Time at = never;                     ///< When it was sent.
  Text key;                            ///< Of its record. Keys are in the order of sending.

  bool is_signal() const { return !start && decision == Decision::NONE; }
};

/// The record of a signal that is sent now; its key is made here. after: the key of the one that was sent before it, if there is one: the
/// clock may have been set back since.
Record to_record(const StoredSignal& signal, Random& random, std::string_view after = {});
/// Nothing where the record is none that this version understands.
std::optional<StoredSignal> from_record(const Record& record);

/// Stores it for the next engine: takes the owner's lock for a moment, and is durable when it returns. False: nothing is stored, as
/// the object is a Task or Sequence that has ended, which ignores it (G2); that is recorded.
/// Throws StoreInUse where an engine owns the store: send it there. SignalNotAllowed where the Labor has ended (recorded, G9), NotFound,
/// StorageError.
bool store_signal(Storage& store, const StoredSignal& signal, Owner owner, Clock& clock);

/// The same for a decision. Throws SignalNotAllowed where the Job is not held, and will not be when its Labor is taken up (recorded).
void store_decision(Storage& store, const StoredSignal& decision, Owner owner, Clock& clock);

/// A decision that was refused, as a change of the history.
Change refused(const DecisionOrder& order, State state, Time at);
DecisionOrder decision_order(const StoredSignal& decision);

/// A signal to an object that has ended, or cannot take it, as a change of the history (G9).
Change refused(const SignalOrder& order, State state, Time at);

}  // namespace cogwork
