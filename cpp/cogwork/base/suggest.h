#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cogwork {

/// Empty, or " - did you mean 'upgrade'?": the candidate that is nearest to `word`, where one is near enough that a slip of
/// the hand explains the difference.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace cogwork
