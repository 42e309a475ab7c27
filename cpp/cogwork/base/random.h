#pragma once

#include <cstdint>

namespace cogwork {

/// A small, fast generator (xoshiro256**) whose whole behaviour follows from its seed. Ids, back-off and every random
/// test draw from one of these, so that a run can be repeated. One thread.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  /// Seeded by the operating system.
  static Random from_system();

  std::uint64_t next();
  /// Evenly among 0 .. bound-1; bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// Evenly in [0, 1).
  double unit();
  bool chance(double p) { return unit() < p; }

 private:
  std::uint64_t s_[4];
};

}  // namespace cogwork
