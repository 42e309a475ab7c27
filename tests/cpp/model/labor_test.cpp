#include "cogwork/model/labor.h"

#include <gtest/gtest.h>

#include "cogwork/model/state.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

TEST(Labor, OrdinalsFollowTheTreeAndAreFound) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 100; ++i) {
    const auto labor = random_labor(random);
    const auto objects = 1 + labor.tasks.size() + labor.sequences.size() + labor.jobs.size();
    for (std::uint32_t ordinal = 0; ordinal < objects; ++ordinal) {
      const auto found = find_ordinal(labor, ordinal);
      ASSERT_TRUE(found) << ordinal;
      ASSERT_EQ(ordinal_of(labor, *found), ordinal);
    }
    ASSERT_FALSE(find_ordinal(labor, static_cast<std::uint32_t>(objects)));
    ASSERT_FALSE(find_ordinal(labor, UINT32_MAX));
  }
}

TEST(Labor, T1_WithoutTablesKeepsItsOwnFields) {
  Random random(1);
  auto labor = random_labor(random, {.results = true});
  const auto bare = without_tables(labor);
  labor.tasks.clear();
  labor.sequences.clear();
  labor.jobs.clear();
  EXPECT_TRUE(bare == labor);
}

TEST(State, M3_NumbersAndNames) {
  EXPECT_EQ(static_cast<int>(State::CRISIS_PAUSED), 7);
  EXPECT_EQ(static_cast<int>(State::STOPPED), 11);
  EXPECT_EQ(name_of(State::ADMIN_NOT_STARTED), "ADMIN_NOT_STARTED");
  EXPECT_EQ(name_of(static_cast<State>(200)), "?");
  int ended = 0;
  for (int s = 0; s < kStates; ++s) ended += has_ended(static_cast<State>(s));
  EXPECT_EQ(ended, 3);
}

TEST(State, M5_NumbersAndNames) {
  EXPECT_EQ(static_cast<int>(Signal::CRISIS_RESUME), 5);
  EXPECT_EQ(name_of(Signal::ADMIN_RESUME), "ADMIN_RESUME");
  EXPECT_EQ(name_of(Reason::CONT_CHECK_FAILURE), "CONT_CHECK_FAILURE");
  EXPECT_EQ(name_of(AttemptStatus::FAILURE_NO_RETRIES), "FAILURE_NO_RETRIES");
  EXPECT_EQ(name_of(OnInterrupt::HOLD), "HOLD");
}

}  // namespace
}  // namespace cogwork
