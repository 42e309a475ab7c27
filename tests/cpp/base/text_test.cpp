#include "cogwork/base/text.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace cogwork {
namespace {

TEST(Text, AnEmptyOneTakesNoMemory) {
  EXPECT_EQ(sizeof(Text), sizeof(void*));
  EXPECT_TRUE(Text().empty());
  EXPECT_TRUE(Text("").empty());
  EXPECT_EQ(Text("").view(), "");
  EXPECT_EQ(Text("").data(), Text().data());
}

TEST(Text, HoldsAnyBytes) {
  const std::string bytes("\x82\x00\xff\x00", 4);
  const Text text(bytes);
  EXPECT_EQ(text.size(), 4u);
  EXPECT_EQ(text.str(), bytes);
}

TEST(Text, ACopySharesTheBuffer) {
  Text a("a name that fits no small string");
  Text b = a;
  EXPECT_EQ(a.data(), b.data());
  const Text c = std::move(a);
  EXPECT_EQ(c.data(), b.data());
  b = c;
  EXPECT_EQ(c.data(), b.data());
  b = Text("other");
  EXPECT_EQ(c, "a name that fits no small string");
  b = *&b;  // to itself
  EXPECT_EQ(b, "other");
}

TEST(Text, IsComparedByContents) {
  EXPECT_EQ(Text("edge"), Text(std::string("edge")));
  EXPECT_EQ(Text("edge"), "edge");
  EXPECT_EQ(Text("edge"), std::string("edge"));
  EXPECT_EQ(Text("edge"), std::string_view("edge"));
  EXPECT_NE(Text("edge"), Text("core"));
  EXPECT_LT(Text("core"), Text("edge"));
  EXPECT_LT(Text(), Text("a"));
  EXPECT_EQ(std::hash<Text>{}(Text("edge")), std::hash<Text>{}(Text(std::string("edge"))));
}

TEST(Text, HandlesOfOneBufferAreUsedByManyThreads) {
  const Text shared("a name that all of them copy and drop");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([copy = shared] {
      for (int i = 0; i < 20'000; ++i) {
        std::vector<Text> some(3, copy);
        some[1] = Text("own");
        some[0] = some[2];
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(shared, "a name that all of them copy and drop");
}

TEST(Interner, LetsEqualTextsShare) {
  Interner intern;
  const std::string name = "upgrade the edge";
  const Text a = intern(name), b = intern(std::string(name)), c = intern("other");
  EXPECT_EQ(a.data(), b.data());
  EXPECT_NE(a.data(), c.data());
  EXPECT_TRUE(intern("").empty());
  EXPECT_EQ(intern.size(), 2u);
}

}  // namespace
}  // namespace cogwork
