#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "cogwork/base/text.h"
#include "cogwork/model/labor.h"
#include "cogwork/model/outcome.h"

namespace cogwork {

/// Names a signal between the driver and the machine; comes back in its acknowledgement.
using Ticket = std::uint64_t;

/// What weighs on a Labor from above it (G8): the latch that holds it, of those that match it the one that was set first.
struct Weight {
  /// At crisis rank. Rank NONE: no latch matches; by and note then say who lifted the last that did, as far as that is known.
  Hold hold;
  Text latch;  ///< Its id.
};

/// What can happen to a Labor. Jobs, Tasks and Sequences are named by their index in its tables.
namespace input {

/// S5, S6: run it.
struct Start {
  Ticket ticket = 0;
  Text by;
  Text note;
  Time sent = never;  ///< As of Signalled.
};

/// Section 4: somebody sent a signal to the Labor, a Task or a Sequence.
struct Signalled {
  ObjectRef object;
  Signal signal = Signal::PAUSE;
  bool interrupt = false;  ///< With STOP: end executing attempts too (G3a).
  Ticket ticket = 0;
  Text by;
  Text note;
  Time sent = never;  ///< Where it was stored until the Labor was taken up (R1): when it was sent.
};

/// R2: a person says what is to become of a held Job.
struct Decided {
  std::uint32_t job = 0;
  Decision decision = Decision::RERUN;
  Ticket ticket = 0;
  Text by;
  Text note;
  Time sent = never;  ///< As of Signalled.
};

/// X13: a worker is free for a Job that was `ready`. Where the Job may begin (still), its attempt is opened; where not, nothing
/// happens, and the worker stays free.
struct Begin {
  std::uint32_t job = 0;
};

/// D2: the record that an attempt starts is durable. It is handed to its Cog, unless it was withdrawn meanwhile (G3).
struct Recorded {
  std::uint32_t job = 0;
  std::uint32_t serial = 0;
};

/// The call that was handed over has ended, or has outlived the grace that it was given (`still_running`, X8a).
struct Ended {
  std::uint32_t job = 0;
  Outcome outcome;
  bool still_running = false;
};

/// What an executing attempt has said so far; to be stored beside it, in case its end is never heard of.
struct Said {
  std::uint32_t job = 0;
  Text log;
};

/// The moment that next_wake() named has come. `calls`: of the Jobs that calls_due() named, when the Cog was called: the time-out counts
/// from then (X8). Nothing: it was not called yet, or it has answered and that answer is on its way.
struct Tick {
  struct Call {
    std::uint32_t job = 0;
    std::optional<SteadyTime> called;
  };
  std::vector<Call> calls;
};

/// The engine closes: nothing begins any more; attempts that were not handed over yet are withdrawn.
struct Closing {};

/// G8: from now on this weighs on the Labor, whatever its state: a latch was set that matches it, or one was lifted. Where the latch
/// holds, the ticket (0: nobody waits) is acknowledged once nothing of the Labor executes; else at once.
struct Weighed {
  Weight weight;
  Ticket ticket = 0;
};

/// The machine was built from what was stored, after the end of the engine that ran it (R2, R3). The first input then. `signals`: those to
/// a Labor under way that were stored meanwhile, in the order of sending: they are applied before undecided Jobs are asked about, and
/// judged as if the engine did not hold the Labor because of such Jobs (R1).
struct Recovered {
  std::vector<Signalled> signals;
};

}  // namespace input

using Input = std::variant<input::Start, input::Signalled, input::Decided, input::Begin, input::Recorded, input::Ended, input::Said,
                           input::Tick, input::Closing, input::Weighed, input::Recovered>;

}  // namespace cogwork
