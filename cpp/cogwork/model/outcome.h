#pragma once

#include <cstdint>

#include "cogwork/base/text.h"
#include "cogwork/model/state.h"

namespace cogwork {

/// How a call ended, as its executor reports it. `status` is SUCCESS, FAILURE, FAILURE_NO_RETRIES or CRASHED; a broken answer
/// is FAILURE_NO_RETRIES with an error that says so (X8). WITHDRAWN: it was asked to end before its Cog was called, and never was.
struct Outcome {
  AttemptStatus status = AttemptStatus::SUCCESS;
  std::uint8_t marks = 0;  ///< Attempt::Mark
  Text output;             ///< msgpack
  Text error;
  Text log;
  Text version{};  ///< Of the Cog that ran, where it has one (C3).
  /// The answer was there before the call was asked to end: it counts, also if its time-out had passed by then (X8).
  bool unasked = false;
};

}  // namespace cogwork
