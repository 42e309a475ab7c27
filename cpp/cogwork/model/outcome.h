#pragma once

#include <cstdint>
#include <string_view>

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

/// X9: an output as it is stored. One that msgpack holds and a reader cannot (see why_not_kept), which a program may answer, is kept as its
/// bytes, and marked. May be empty.
Text kept_output(std::string_view output, std::uint8_t& marks);

}  // namespace cogwork
