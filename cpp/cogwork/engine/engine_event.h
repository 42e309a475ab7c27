#pragma once

#include "cogwork/model/change.h"
#include "cogwork/storage/owner.h"

namespace cogwork {

/// An engine in the history of the Labors that it concerned (D7): `by` is its user, `note` its version, program, process and host.
struct EngineWho {
  Text by;
  Text note;
};
EngineWho who_of(const Owner& owner);

/// state: of the Labor.
Change engine_change(EngineEvent event, const EngineWho& who, State state, Time at);

}  // namespace cogwork
