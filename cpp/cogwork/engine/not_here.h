#pragma once

#include <string>

#include "cogwork/engine/engine_parts.h"

namespace cogwork {

// What a store says of Labors that do not run in the engine that owns it. These wait for its reading.

/// The stored state of an object, with its Labor. Throws NotFound.
struct Stored {
  Labor labor;
  State state = State::UNKNOWN;
};
/// jobs_too: also of a Job.
Stored stored(EngineParts& parts, const Id& object, bool jobs_too = false);
/// Throws NotFound where it is no Job's, or there is none.
Job stored_job(EngineParts& parts, const Id& id);
/// Throws NotFound where the id is not a Labor's. Waits for nothing.
void require_labor(const EngineParts& parts, const Id& id);
/// Why a Labor that has not ended does not run here, in words. Waits for the scheduler alone.
std::string why_not_running(EngineParts& parts, const Id& labor);

}  // namespace cogwork
