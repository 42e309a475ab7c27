#include "cogwork/base/frame.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "cogwork/base/random.h"

namespace cogwork {
namespace {

std::vector<std::string> all(FrameReader& reader) {
  std::vector<std::string> bodies;
  while (auto body = reader.next()) bodies.push_back(std::move(*body));
  return bodies;
}

TEST(Frame, HasItsLengthBeforeItsBody) {
  EXPECT_EQ(make_frame("abc"), std::string("\0\0\0\3abc", 7));
  EXPECT_EQ(make_frame(std::string(0x010203, 'x')).substr(0, 4), std::string("\0\1\2\3", 4));
}

TEST(Frame, ComesBackHoweverTheStreamIsCut) {
  Random random(7);
  std::vector<std::string> sent;
  std::string stream;
  for (int i = 0; i < 500; ++i) {
    sent.emplace_back(1 + random.below(i % 50 == 0 ? 100'000 : 40), static_cast<char>('a' + i % 26));
    stream += make_frame(sent.back());
  }
  FrameReader reader(100'000);
  std::vector<std::string> got;
  for (std::size_t at = 0; at < stream.size();) {
    const auto size = std::min<std::size_t>(1 + random.below(at % 3 == 0 ? 3 : 5000), stream.size() - at);
    reader.feed(std::string_view(stream).substr(at, size));
    at += size;
    for (auto& body : all(reader)) got.push_back(std::move(body));
  }
  EXPECT_EQ(got, sent);
  EXPECT_FALSE(reader.broken());
  EXPECT_FALSE(reader.in_the_middle());
}

TEST(Frame, HalfOfOneIsWaitedFor) {
  FrameReader reader(10);
  reader.feed(std::string_view("\0\0", 2));
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_TRUE(reader.in_the_middle());
  reader.feed(std::string_view("\0\2a", 3));
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_FALSE(reader.broken());
  reader.feed("b");
  EXPECT_EQ(reader.next(), "ab");
  EXPECT_FALSE(reader.in_the_middle());
}

TEST(Frame, ALengthBeyondTheLargestBreaksTheStream) {
  FrameReader reader(10);
  reader.feed(make_frame("before"));
  reader.feed("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(reader.next(), "before");
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_TRUE(reader.broken());
  EXPECT_EQ(reader.refused_length(), 0x47455420u);
  reader.feed(make_frame("after"));
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(Frame, AnEmptyBodyIsNone) {
  FrameReader reader(10);
  reader.feed(std::string_view("\0\0\0\0", 4));
  EXPECT_EQ(reader.next(), std::nullopt);
  EXPECT_TRUE(reader.broken());
}

TEST(Frame, TheLargestMayGrow) {
  FrameReader reader(4);
  reader.feed(make_frame("abcd"));
  EXPECT_EQ(reader.next(), "abcd");
  reader.set_largest(8);
  reader.feed(make_frame("abcdefgh"));
  EXPECT_EQ(reader.next(), "abcdefgh");
}

}  // namespace
}  // namespace cogwork
