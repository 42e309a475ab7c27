#pragma once

#include <optional>
#include <string>

#include "cogwork/model/labor.h"
#include "cogwork/model/state.h"

namespace cogwork {

// Which state allows which signal (G2-G6, S6, X2a), as data. The machine asks this table, the tests walk it cell by cell,
// and the docs print it.

/// What a signal does to an object in a state.
enum class SignalRule : std::uint8_t {
  REFUSED,             ///< A Labor: an error. A Task or Sequence: ignored, acknowledged with applied=false.
  STOPS,               ///< STOPPING, then its end (G6, G7).
  ENDS_UNSTARTED,      ///< A Labor that never ran: STOPPED at once (S6).
  HOLDS,               ///< A pause that takes effect, where its rank is above the one in force (G5).
  HOLDS_WHEN_ENTERED,  ///< Kept: it holds the object as soon as that is entered, rank as before (X2a).
  RELEASES,            ///< A Resume of the rank in force, where the object has a hold of it of its own (G5a).
};

/// `labor`: the object is a Labor; else a Task or a Sequence, which obey the same rules. `latched`: a latch holds the Labor (G8).
SignalRule signal_rule(bool labor, State state, Signal signal, bool latched = false);

Rank highest(const Holds& holds);

/// Why a Labor refuses a signal, and what would help:
/// `cannot RESUME a Labor that is CRISIS_PAUSED (by bob 10:02 "INC-12"); crisis_resume releases it`.
/// `in_force`: the hold that the state comes from, if any. `latch`: the id of the latch whose hold that is, if it is one's (G8).
std::string refusal(Signal signal, State state, const Hold* in_force, const Text& latch = {});

/// As much of a latch's id as people need, and as the shell shows.
std::string short_latch(const Text& latch);

/// Why ADMIN_RESUME is refused while Jobs are held (R2). `names`: theirs, with their ids.
std::string undecided_refusal(State state, std::size_t held, const std::string& names);

/// The whole table as Markdown: one table for a Labor, one for Tasks and Sequences.
std::string signal_table_markdown();

}  // namespace cogwork
