#include "cogwork/base/random.h"

#include <bit>
#include <random>

namespace cogwork {

Random::Random(std::uint64_t seed) {
  // splitmix64, the usual way to spread a seed over xoshiro's state.
  for (auto& word : s_) {
    seed += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    word = z ^ (z >> 31);
  }
}

Random Random::from_system() {
  std::random_device device;
  Random random(0);
  for (auto& word : random.s_) word = (std::uint64_t{device()} << 32) | device();
  return random;
}

std::uint64_t Random::next() {
  const std::uint64_t result = std::rotl(s_[1] * 5, 7) * 9;
  const std::uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = std::rotl(s_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t bound) {
  const std::uint64_t limit = bound * (UINT64_MAX / bound);  // drop the uneven rest
  std::uint64_t x = next();
  while (x >= limit) x = next();
  return x % bound;
}

double Random::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

}  // namespace cogwork
