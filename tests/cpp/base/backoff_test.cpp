#include "cogwork/base/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

namespace cogwork {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Backoff, D6_DelaysGrowAndStayWithinTheirBounds) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Backoff backoff(milliseconds(10), seconds(5), Random(seed));
    Duration ceiling = milliseconds(10);
    for (int i = 0; i < 30; ++i) {
      const auto delay = backoff.next();
      ASSERT_GE(delay, ceiling / 2) << "seed " << seed;
      ASSERT_LE(delay, ceiling) << "seed " << seed;
      ceiling = std::min<Duration>(ceiling * 2, seconds(5));
    }
  }
}

TEST(Backoff, D6_DelaysAreRandom) {
  std::set<Duration> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) seen.insert(Backoff(seconds(1), seconds(9), Random(seed)).next());
  EXPECT_GT(seen.size(), 40u);
}

TEST(Backoff, ResetBeginsAgain) {
  Backoff backoff(milliseconds(10), seconds(5), Random(1));
  for (int i = 0; i < 20; ++i) backoff.next();
  EXPECT_GE(backoff.next(), seconds(2));
  backoff.reset();
  EXPECT_LE(backoff.next(), milliseconds(10));
}

}  // namespace
}  // namespace cogwork
