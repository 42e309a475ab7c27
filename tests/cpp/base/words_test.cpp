// UTF-8, and suggestions.
#include <gtest/gtest.h>

#include <array>

#include "cogwork/base/random.h"
#include "cogwork/base/suggest.h"
#include "cogwork/base/utf8.h"

namespace cogwork {
namespace {

TEST(Utf8, KnowsWhatIsText) {
  for (const std::string good : {"", "plain ascii, longer than eight", "größe", "縁", "🙂", "\x7f", "\xc2\x80", "\xdf\xbf",
                                 "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
    EXPECT_TRUE(is_utf8("1234567" + good + "89abcdefgh")) << good;
    EXPECT_EQ(repair_utf8(good), good);
  }
}

TEST(Utf8, KnowsWhatIsNot) {
  for (const std::string bad :
       {"\x80", "\xff", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe7\xb8",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x99", "\xc3(", "a\xe7\xb8z"}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_FALSE(is_utf8("12345678" + bad));
    EXPECT_FALSE(is_utf8(bad + "12345678"));
    EXPECT_TRUE(is_utf8(repair_utf8(bad)));
  }
  EXPECT_EQ(repair_utf8("a\xff"
                        "b\xc3"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd");
}

TEST(Utf8, RepairsAnything) {
  Random random(11);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    for (auto n = random.below(24); n > 0; --n) bytes.push_back(static_cast<char>(random.next()));
    const auto repaired = repair_utf8(bytes);
    ASSERT_TRUE(is_utf8(repaired));
    ASSERT_EQ(repaired == bytes, is_utf8(bytes));
    ASSERT_LE(cut_utf8(repaired, 7).size(), 7u);
    ASSERT_TRUE(is_utf8(cut_utf8(repaired, 7)));
  }
}

TEST(Utf8, CutsNoCharacterInTwo) {
  EXPECT_EQ(cut_utf8("größe", 100), "größe");
  EXPECT_EQ(cut_utf8("größe", 2), "gr");
  EXPECT_EQ(cut_utf8("größe", 3), "gr");
  EXPECT_EQ(cut_utf8("größe", 4), "grö");
  EXPECT_EQ(cut_utf8("🙂", 3), "");
  EXPECT_EQ(cut_utf8("\x80\x80\x80\x80\x80\x80", 5).size(), 5u) << "what is no text is cut where it is";
}

TEST(Suggest, FindsWhatWasMeant) {
  constexpr std::array<std::string_view, 4> kFields = {"timeout", "retries", "retry_delay", "on_interrupt"};
  EXPECT_EQ(did_you_mean("timout", kFields), " - did you mean 'timeout'?");
  EXPECT_EQ(did_you_mean("tiemout", kFields), " - did you mean 'timeout'?");
  EXPECT_EQ(did_you_mean("Retry-Delay", kFields), " - did you mean 'retry_delay'?");
  EXPECT_EQ(did_you_mean("retrys", kFields), " - did you mean 'retries'?");
  EXPECT_EQ(did_you_mean("colour", kFields), "");
  EXPECT_EQ(did_you_mean("", kFields), "");
  EXPECT_EQ(did_you_mean(std::string(100'000, 't'), kFields), "");
}

}  // namespace
}  // namespace cogwork
