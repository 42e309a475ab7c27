#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/history/finding.h"
#include "cogwork/model/change.h"
#include "cogwork/model/labor.h"

namespace cogwork {

// The tree of a Labor as it stood (D7), from the tree as it is stored now and the rows of its history. Pure: values in, values out.
//
// The history says what every object's state was, and when it changed; signals in it say what was held; how many failures a Task had,
// and what had decided its end, follows from the ends of its Sequences and checks. What a Job's attempts were follows from their times in
// the tree of now. Rounds of checks that passed are not listed (X11): of these only what their kept attempts tell is known.

/// Up to where a history is followed: up to a change, that one included, or up to a time.
struct Moment {
  static Moment change(std::uint64_t number) { return {number, Time::max()}; }
  static Moment time(Time at) { return {UINT64_MAX, at}; }
  static Moment end() { return {UINT64_MAX, Time::max()}; }

  std::uint64_t number = UINT64_MAX;
  Time at = Time::max();
};

/// The tree as it stood. `rows` are all of the Labor's, in order. Linear in the size of both. Throws StorageError on rows that are damaged, or that are not this Labor's.
Labor tree_at(Labor stored, const std::vector<HistoryRow>& rows, Moment when);

/// Whether the rows lead from the tree as it was submitted to the one that is stored, each change from the state that the one before it
/// left; what does not fit, at most `most`. What X11 excepts is not looked at. Throws as tree_at.
std::vector<Finding> check_replay(const Labor& stored, const std::vector<HistoryRow>& rows, std::size_t most);

/// How an object is called in a finding: "Sequence 'web-7' of Task 'rest'".
std::string called(const Labor& labor, std::uint32_t ordinal);

}  // namespace cogwork
