#include "cogwork/base/error.h"

#include <gtest/gtest.h>

namespace cogwork {
namespace {

TEST(ValidationError, S1_SaysEachPlaceAndHowManyAreAlike) {
  const ValidationError error({{"", "has no Tasks", 1}, {"Task[0].Sequence[2].Job[1] ('rest', 'edge-7')", "has no cog_path", 12}});
  EXPECT_EQ(error.issues().size(), 2u);
  EXPECT_STREQ(error.what(),
               "the Labor cannot be submitted, and nothing was stored:\n"
               "  has no Tasks\n"
               "  Task[0].Sequence[2].Job[1] ('rest', 'edge-7'): has no cog_path (and 11 more like it)");
}

TEST(Error, AllAreOfOneFamily) {
  try {
    throw StorageError("disk full", true);
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "disk full");
  }
  EXPECT_TRUE(StorageError("disk full", true).temporary());
  EXPECT_FALSE(StorageError("too large", false).temporary());
}

}  // namespace
}  // namespace cogwork
