#pragma once

#include <string>

#include "cogwork/engine/engine.h"

namespace cogwork {

// What a store alone can answer of Labors that no engine runs. Any thread; these read the whole Labor.

/// The figures of Engine::progress. Throws NotFound.
Progress stored_progress(Storage& store, const Id& labor);
/// The Task of that name, or below a Task the Sequence of that target or name. Throws NotFound with what there is.
Id find_stored(Storage& store, const Id& parent, const std::string& name);
/// Throws NotFound, in words that say what was looked for.
[[noreturn]] void not_called(const Id& parent, const std::string& name, const std::string& choices);

}  // namespace cogwork
