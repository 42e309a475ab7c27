#pragma once

namespace cogwork {

/// Whether a process of the group lives. One that has ended and was not reaped counts for nothing: whoever lost its parent is reaped by
/// init, and there are inits that do it late, or - in containers - never. Reads /proc once (Linux) where the group exists at all.
bool group_lives(int group);

}  // namespace cogwork
