#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cogwork/base/random.h"

namespace cogwork {

/// The id of a Labor, Task, Sequence or Job (M2): sixteen bytes in the form of a version-4 UUID.
///
/// The ids of one Labor share a random prefix of twelve bytes and end in the object's *ordinal*, its number in the
/// order of the tree: the Labor is 0, then each Task, its pre-checks, its continuous checks, and its Sequences, each
/// before its own Jobs. So an id names its Labor, a store needs an index on Labors only, and the engine works with
/// small integers throughout.
struct Id {
  std::array<std::uint8_t, 16> bytes{};

  /// A new Labor's id: 90 random bits and the ordinal 0.
  static Id make(Random& random);
  /// Reads the text form (32 hex digits in groups of 8-4-4-4-12, either case). Nothing where it is not one.
  static std::optional<Id> parse(std::string_view text);

  std::string text() const;
  std::uint32_t ordinal() const;
  /// The id of the object with that ordinal in the same Labor.
  Id with_ordinal(std::uint32_t ordinal) const;
  /// The id of the Labor that this object belongs to.
  Id labor() const { return with_ordinal(0); }
  bool is_nil() const { return *this == Id{}; }

  friend auto operator<=>(const Id&, const Id&) = default;
};

}  // namespace cogwork

template <>
struct std::hash<cogwork::Id> {
  std::size_t operator()(const cogwork::Id& id) const noexcept;
};
