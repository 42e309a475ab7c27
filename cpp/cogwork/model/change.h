#pragma once

#include <cstdint>
#include <vector>

#include "cogwork/base/id.h"
#include "cogwork/base/text.h"
#include "cogwork/base/time.h"
#include "cogwork/model/state.h"

namespace cogwork {

/// One entry of the history (D7, G9): a change of state of one object, a signal that was sent to it, a decision about it (R2), or what
/// became of an engine that ran the Labor.
/// Of checks only the first round, failing rounds and the last end are entered (X11).
struct Change {
  enum class Kind : std::uint8_t { STATE = 0, SIGNAL = 1, DECISION = 2, ENGINE = 3 };

  std::uint64_t number = 0;  ///< Its place in the store's whole history, from 1, without gaps in one Labor's order.
  Time at = never;
  Id labor;
  std::uint32_t ordinal = 0;  ///< Which object of the Labor.
  Kind kind = Kind::STATE;
  State from = State::UNKNOWN;  ///< Of what is no change of state: the state that it met.
  State to = State::UNKNOWN;    ///< Of what is no change of state: the state right after it was taken.
  Reason reason = Reason::NO_FAILURE;
  Signal signal = Signal::STOP;           ///< Of a signal.
  Decision decision = Decision::NONE;     ///< Of a decision.
  EngineEvent event = EngineEvent::NONE;  ///< Of an engine.
  bool refused = false;                   ///< Of a signal or a decision: not allowed, or ignored (G2).
  bool interrupt = false;                 ///< Of a STOP: executing attempts were to be ended too (G3a).
  std::uint32_t rounds = 0;               ///< Of a check: the rounds that it has passed by now.
  Time sent = never;  ///< Of what was stored until its Labor was taken up (R1): when it was sent. `at` is when it was applied.
  Text by;  ///< Who sent the signal, or decided, or sent the signal that caused the change; of an engine its user. May be empty.
  Text note;

  bool operator==(const Change&) const = default;
};

/// What is stored of the history: all changes of one Labor in one commit, packed, with a link to that Labor's row before
/// (D7). The link is a name-based UUID (RFC 4122, version 5: SHA-1) whose namespace is the link before and whose name is
/// this row's contents, so that a changed or missing row shows in every link after it.
struct HistoryRow {
  std::uint64_t first = 0;  ///< Number of its first change.
  std::uint32_t count = 0;
  Id labor;
  Time at = never;  ///< When the row was made; changes carry their own times.
  Text changes;     ///< pack_changes' form.
  std::array<std::uint8_t, 16> link{};

  bool operator==(const HistoryRow&) const = default;
};

/// The packed form of a row's changes; its grammar stands at the top of change.cpp. Numbers are not packed: the n-th
/// change has the row's `first` + n.
Text pack_changes(const std::vector<Change>& changes);
/// Throws StorageError (not temporary) on bytes that are not a packed row.
std::vector<Change> unpack_changes(const HistoryRow& row);

/// The link of a row after one with link `before` (sixteen zeros for the first of a Labor).
std::array<std::uint8_t, 16> chain_link(const std::array<std::uint8_t, 16>& before, const HistoryRow& row);

}  // namespace cogwork
