#include "cogwork/base/id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <vector>

namespace cogwork {
namespace {

TEST(Id, M2_HasTheFormOfVersion4) {
  auto random = Random::from_system();
  for (int i = 0; i < 1000; ++i) {
    const auto labor = Id::make(random);
    const auto text = labor.with_ordinal(static_cast<std::uint32_t>(random.next())).text();
    ASSERT_EQ(text.size(), 36u);
    for (const std::size_t dash : {8, 13, 18, 23}) ASSERT_EQ(text[dash], '-') << text;
    ASSERT_EQ(text[14], '4') << text;
    ASSERT_NE(std::string("89ab").find(text[19]), std::string::npos) << text;
    ASSERT_EQ(text.find_first_not_of("0123456789abcdef-"), std::string::npos) << text;
  }
}

TEST(Id, M2_IsUnique) {
  Random random(7);
  std::set<Id> seen;
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(seen.insert(Id::make(random)).second);
}

TEST(Id, TextReadsBack) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto id = Id::make(random).with_ordinal(static_cast<std::uint32_t>(random.next()));
    ASSERT_EQ(Id::parse(id.text()), id);
    auto upper = id.text();
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    ASSERT_EQ(Id::parse(upper), id);
  }
}

TEST(Id, WhatIsNoneIsNotRead) {
  const std::string good = "01234567-89ab-4def-8123-456789abcdef";
  ASSERT_TRUE(Id::parse(good));
  EXPECT_FALSE(Id::parse(""));
  EXPECT_FALSE(Id::parse(good.substr(1)));
  EXPECT_FALSE(Id::parse(good + "0"));
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char c : {'g', '-', ' ', '\0', '\xff', '/', ':', '@', '`'}) {
      auto bad = good;
      if (bad[i] == c) continue;
      bad[i] = c;
      EXPECT_FALSE(Id::parse(bad)) << bad;
    }
  }
}

TEST(Id, NamesItsLaborAndItsPlace) {
  Random random(2);
  const auto labor = Id::make(random);
  EXPECT_EQ(labor.ordinal(), 0u);
  EXPECT_EQ(labor.labor(), labor);
  for (const std::uint32_t ordinal : {1u, 255u, 256u, 0x01020304u, UINT32_MAX}) {
    const auto id = labor.with_ordinal(ordinal);
    EXPECT_EQ(id.ordinal(), ordinal);
    EXPECT_EQ(id.labor(), labor);
    EXPECT_NE(std::hash<Id>{}(id), std::hash<Id>{}(labor));
  }
  EXPECT_NE(Id::make(random).with_ordinal(1).labor(), labor);
}

TEST(Id, IdsOfALaborGoUpInTheOrderOfTheTree) {
  Random random(3);
  const auto labor = Id::make(random);
  std::vector<Id> ids;
  for (const std::uint32_t ordinal : {0u, 1u, 2u, 255u, 256u, 65536u, UINT32_MAX}) ids.push_back(labor.with_ordinal(ordinal));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end(), [](const Id& a, const Id& b) { return a.text() < b.text(); }));
}

TEST(Id, NilIsNone) {
  EXPECT_TRUE(Id{}.is_nil());
  Random random(4);
  EXPECT_FALSE(Id::make(random).is_nil());
}

}  // namespace
}  // namespace cogwork
