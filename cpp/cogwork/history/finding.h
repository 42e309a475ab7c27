#pragma once

#include <cstdint>
#include <string>

#include "cogwork/base/time.h"

namespace cogwork {

/// Something that is not as it should be in what is stored of one Labor. A value: whoever looks goes on looking.
struct Finding {
  enum class Kind : std::uint8_t {
    CHAIN = 0,    ///< A row of the history is damaged, changed, missing, or in another's place.
    HISTORY = 1,  ///< The history does not lead to the tree that is stored (D7).
    TREE = 2,     ///< The tree is one that no engine leaves.
  };
  Kind kind = Kind::CHAIN;
  std::uint64_t number = 0;   ///< Of the change, or of the first change of the row. 0: none in particular.
  Time at = never;            ///< When that row was made.
  std::uint32_t ordinal = 0;  ///< Which object of the Labor.
  std::string what;           ///< In words, without the Labor.

  bool operator==(const Finding&) const = default;
};

}  // namespace cogwork
