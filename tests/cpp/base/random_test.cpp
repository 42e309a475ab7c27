#include "cogwork/base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace cogwork {
namespace {

TEST(Random, ItsWholeBehaviourFollowsFromItsSeed) {
  Random a(42), b(42), c(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto x = a.next();
    EXPECT_EQ(x, b.next());
    differs = differs || x != c.next();
  }
  EXPECT_TRUE(differs);
}

TEST(Random, TwoOfTheSystemDiffer) {
  auto a = Random::from_system(), b = Random::from_system();
  EXPECT_NE(a.next(), b.next());
}

TEST(Random, BelowIsEvenAndStaysBelow) {
  Random random(5);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(random.below(7));
  for (const int n : counts) EXPECT_NEAR(n, 10'000, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0u);
  for (int i = 0; i < 100; ++i) EXPECT_LT(random.below(UINT64_MAX), UINT64_MAX);
}

TEST(Random, UnitIsFromZeroToBelowOne) {
  Random random(6);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double u = random.unit();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
  EXPECT_FALSE(random.chance(0));
  EXPECT_TRUE(random.chance(1));
}

}  // namespace
}  // namespace cogwork
