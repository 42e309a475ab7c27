#pragma once

#include <cstdint>
#include <variant>

#include "cogwork/base/text.h"
#include "cogwork/model/labor.h"
#include "cogwork/model/outcome.h"

namespace cogwork {

/// Names a signal between the driver and the machine; comes back in its acknowledgement.
using Ticket = std::uint64_t;

/// What can happen to a Labor. Jobs, Tasks and Sequences are named by their index in its tables.
namespace input {

/// S5, S6: run it.
struct Start {
  Ticket ticket = 0;
  Text by;
  Text note;
};

/// Section 4: somebody sent a signal to the Labor, a Task or a Sequence.
struct Signalled {
  ObjectRef object;
  Signal signal = Signal::PAUSE;
  bool interrupt = false;  ///< With STOP: end executing attempts too (G3a).
  Ticket ticket = 0;
  Text by;
  Text note;
};

/// R2: a person says what is to become of a held Job.
struct Decided {
  std::uint32_t job = 0;
  Decision decision = Decision::RERUN;
  Ticket ticket = 0;
  Text by;
  Text note;
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

/// The moment that next_wake() named has come.
struct Tick {};

/// The engine closes: nothing begins any more; attempts that were not handed over yet are withdrawn.
struct Closing {};

/// Section 6: the machine was built from what was stored, after the end of the engine that ran it. The first input then.
struct Recovered {};

}  // namespace input

using Input = std::variant<input::Start, input::Signalled, input::Decided, input::Begin, input::Recorded, input::Ended, input::Tick,
                           input::Closing, input::Recovered>;

}  // namespace cogwork
