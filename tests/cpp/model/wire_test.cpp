#include "cogwork/model/wire.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <msgpack.hpp>

#include "cogwork/base/random.h"
#include "cogwork/model/document.h"
#include "cogwork/model/outcome.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Type = WireReader::Type;

TEST(Wire, ReadsEachKind) {
  const std::string bytes("\xc0\xc3\x2a\xff\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xca\x3f\xc0\x00\x00\xa1x\xc4\x01y\x92\x81", 25);
  WireReader in(bytes);
  EXPECT_TRUE(in.nil());
  EXPECT_EQ(in.boolean(), true);
  EXPECT_EQ(in.integer(), 42);
  EXPECT_EQ(in.integer(), -1);
  EXPECT_EQ(in.number(), 1.5);
  EXPECT_EQ(in.number(), 1.5);
  EXPECT_EQ(in.text(), "x");
  EXPECT_EQ(in.bin(), "y");
  EXPECT_EQ(in.peek(), Type::BROKEN) << "a list of two, of which there is one byte";
}

TEST(Wire, WhatIsAnotherKindStaysUnread) {
  WireReader in("\xa1x");
  EXPECT_FALSE(in.nil() || in.boolean() || in.integer() || in.number() || in.bin() || in.array() || in.map() || in.timestamp());
  EXPECT_EQ(in.text(), "x");
  EXPECT_TRUE(in.at_end());
  EXPECT_TRUE(in.ok());
}

/// What msgpack-c's own parser says. It does not ask for UTF-8.
bool parses(std::string_view bytes) {
  struct Visitor : msgpack::null_visitor {
    void parse_error(std::size_t, std::size_t) { failed = true; }
    void insufficient_bytes(std::size_t, std::size_t) { failed = true; }
    bool failed = false;
  } visitor;
  std::size_t at = 0;
  return msgpack::parse(bytes.data(), bytes.size(), at, visitor) && !visitor.failed && at == bytes.size();
}

TEST(Wire, AgreesWithMsgpackCAboutWhatIsWellFormed) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  int good = 0;
  for (int i = 0; i < 300'000; ++i) {
    std::string bytes;
    // Short lists and maps of short things, with some damage: about half of them are whole.
    for (auto n = 1 + random.below(10); n > 0; --n) {
      static constexpr unsigned char kHeads[] = {0x00, 0x7f, 0xe0, 0x80, 0x81, 0x82, 0x90, 0x91, 0x92, 0xa0, 0xc0, 0xc1, 0xc2, 0xc4,
                                                 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2,
                                                 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf};
      bytes.push_back(static_cast<char>(kHeads[random.below(random.chance(0.5) ? 13 : sizeof kHeads)]));
      if (random.chance(0.4)) bytes += std::string(random.below(10), '\0');
    }
    const bool whole = is_msgpack(bytes);
    good += whole;
    ASSERT_EQ(whole, parses(bytes)) << testing::PrintToString(bytes);
  }
  EXPECT_GT(good, 10'000);
}

TEST(Wire, AValueIsItsSpan) {
  const std::string value(
      "\x82\xa1"
      "a\x93\x01\x02\x90\xa1"
      "b\xc4\x02\x00\x00",
      13);
  const std::string bytes = value + "\x07";
  WireReader in(bytes);
  EXPECT_EQ(in.value(), value);
  EXPECT_EQ(in.integer(), 7);
  in.value();
  EXPECT_FALSE(in.ok());
}

TEST(Wire, TextInsideAValueIsUtf8) {
  EXPECT_TRUE(is_msgpack("\x91\xa2\xc3\xb6"));
  EXPECT_FALSE(is_msgpack("\x91\xa2\xc3\x28"));
  EXPECT_TRUE(is_msgpack(std::string("\x91\xc4\x02\xc3\x28", 5))) << "bytes are not text";
}

TEST(Wire, M2_TimestampsOfAllThreeForms) {
  const auto read = [](std::string_view bytes) { return WireReader(bytes).timestamp(); };
  // As msgspec writes them.
  EXPECT_EQ(read(std::string_view("\xd6\xff\x65\x92\x00\x80", 6)), from_micros(1'704'067'200'000'000));
  EXPECT_EQ(read(std::string_view("\xd7\xff\x00\x00\x4e\x20\x65\x92\x00\x80", 10)), from_micros(1'704'067'200'000'005));
  EXPECT_EQ(read(std::string_view("\xc7\x0c\xff\x00\x00\x13\x88\xff\xff\xff\xff\xed\x30\x08\x80", 15)),
            from_micros(-315'619'199'999'995));
  EXPECT_EQ(read(std::string_view("\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x04\xa0\xfe\x72\x80", 15)),
            from_micros(19'880'899'200'000'000));
  // And what is none.
  EXPECT_FALSE(read(std::string_view("\xd6\x05\x65\x92\x00\x80", 6))) << "another extension";
  EXPECT_FALSE(read(std::string_view("\xd4\xff\x65", 3))) << "one byte";
  EXPECT_FALSE(read(std::string_view("\xd7\xff\xff\xff\xff\xff\x65\x92\x00\x80", 10))) << "a thousand million nanoseconds";
  EXPECT_FALSE(read(std::string_view("\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", 15))) << "beyond 64 bits";
  EXPECT_FALSE(read(std::string_view("\xc7\x0c\xff\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00", 15)));
  EXPECT_FALSE(read(std::string_view("\xd6\xff\x65\x92\x00", 5))) << "cut off";
}

TEST(Wire, M2_TimesReadBackWhereverTheyAre) {
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    Hold hold;
    hold.rank = Rank::USER;
    const auto bits = 1 + random.below(57);
    hold.since = from_micros(static_cast<std::int64_t>(random.next() >> (64 - bits)) * (random.chance(0.5) ? 1 : -1));
    hold.since = std::clamp(hold.since, kEarliest, kLatest);
    if (random.chance(0.3)) hold.since = from_micros(to_micros(hold.since) / 1'000'000 * 1'000'000);
    ASSERT_EQ(read_holds(write_holds({hold}))[0].since, hold.since) << to_micros(hold.since);
  }
}

TEST(Duration, ReadsWhatMsgspecWrites) {
  EXPECT_EQ(parse_duration("P0D"), Duration(0));
  EXPECT_EQ(parse_duration("PT0S"), Duration(0));
  EXPECT_EQ(parse_duration("P1DT30.5S"), days(1) + Duration(30'500'000));
  EXPECT_EQ(parse_duration("-P1D"), -days(1));
  EXPECT_EQ(parse_duration("PT300S"), seconds(300));
  EXPECT_EQ(parse_duration("-PT1.5S"), -Duration(1'500'000));
  EXPECT_EQ(parse_duration("PT0.000001S"), Duration(1));
  EXPECT_EQ(parse_duration("-PT0.000001S"), -Duration(1));
  EXPECT_EQ(parse_duration("P1DT21600S"), hours(30));
  EXPECT_EQ(parse_duration("P10000DT86399.999999S"), days(10'001) - Duration(1));
}

TEST(Duration, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_duration("P2W"), days(14));
  EXPECT_EQ(parse_duration("PT1H30M"), minutes(90));
  EXPECT_EQ(parse_duration("P1DT2H3M4S"), hours(26) + seconds(184));
  EXPECT_EQ(parse_duration("PT1.5H"), minutes(90));
  EXPECT_EQ(parse_duration("PT0,5S"), Duration(500'000));
  EXPECT_EQ(parse_duration("+PT1S"), seconds(1));
  EXPECT_EQ(parse_duration("PT1.0000019S"), Duration(1'000'001)) << "what is finer is dropped";
  EXPECT_EQ(parse_duration("PT0.00000000000000000000000000000000001S"), Duration(0));
}

TEST(Duration, RefusesTheRest) {
  for (const char* text : {"",
                           "P",
                           "PT",
                           "-",
                           "1D",
                           "P1",
                           "PT1",
                           "P1DT",
                           "PT1D",
                           "P1S",
                           "PT1S1M",
                           "PT1S1S",
                           "P1D1W",
                           "PT.5S",
                           "PT1.S",
                           "P-1D",
                           "PT1S ",
                           " PT1S",
                           "PinfD",
                           "PnanD",
                           "PT1e3S",
                           "P1Y",
                           "P1M",
                           "PTT1S",
                           "--P1D",
                           "P12000000D",
                           "PT950400000001S",
                           "PT99999999999999999999999999S",
                           "P999999999DT86399.999999S",
                           "PT0x1S"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  std::string repeated = "P";
  for (int i = 0; i < 10'000; ++i) repeated += "9999999D";
  EXPECT_FALSE(parse_duration(repeated));
}

TEST(Duration, WhatIsWrittenReadsBack) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    auto d = Duration(static_cast<std::int64_t>(random.next() >> (5 + random.below(59))));
    if (d > kLongestDuration) continue;
    if (random.chance(0.5)) d = -d;
    ASSERT_EQ(parse_duration(format_duration(d)), d) << format_duration(d);
  }
  EXPECT_EQ(format_duration(Duration(0)), "PT0S");
  EXPECT_EQ(format_duration(days(1) + Duration(30'500'000)), "P1DT30.5S");
  EXPECT_EQ(format_duration(-days(1)), "-P1D");
  EXPECT_EQ(format_duration(Duration(1)), "PT0.000001S");
  EXPECT_EQ(parse_duration(format_duration(kLongestDuration)), kLongestDuration);
}

TEST(Duration, OfSecondsIsRoundedToTheMicrosecond) {
  EXPECT_EQ(duration_of(0.1), Duration(100'000));
  EXPECT_EQ(duration_of(1e-7), Duration(0));
  EXPECT_EQ(duration_of(-2.5), Duration(-2'500'000));
  for (const double bad : {1e300, -1e300, 1e13, std::numeric_limits<double>::infinity(), std::nan("")})
    EXPECT_FALSE(duration_of(bad));
}

/// A value with that many lists around it.
std::string nested(std::size_t lists) { return std::string(lists, '\x91') + "\xc0"; }

TEST(Wire, X9_WhatIsNestedTooDeepCanBePassedOverAndNotKept) {
  EXPECT_TRUE(why_not_kept(nested(WireReader::kDeepest)).empty());
  EXPECT_EQ(why_not_kept(nested(WireReader::kDeepest + 1)), "it is nested more than 512 levels deep");
  EXPECT_TRUE(is_msgpack(nested(WireReader::kDeepest)));
  EXPECT_FALSE(is_msgpack(nested(WireReader::kDeepest + 1)));
  EXPECT_TRUE(is_msgpack(nested(WireReader::kDeepestRead), WireReader::kDeepestRead));
  EXPECT_FALSE(is_msgpack(nested(WireReader::kDeepestRead + 1), WireReader::kDeepestRead));
  EXPECT_FALSE(is_msgpack(nested(50'000'000), WireReader::kDeepestRead)) << "and nothing is kept for each level";
  // Beside each other they are not in each other.
  std::string many("\xdd\x00\x01\x86\xa0", 5);
  for (int i = 0; i < 100'000; ++i) many += "\x91\x90";
  EXPECT_TRUE(why_not_kept(many).empty());
}

TEST(Wire, X9_WhatAReaderCannotHoldIsNotKept) {
  const auto why = [](std::string_view bytes) {
    EXPECT_TRUE(is_msgpack(bytes));
    return std::string(why_not_kept(bytes));
  };
  // What Python can: whatever can be hashed.
  EXPECT_EQ(why("\x81\xa1k\x80"), "");
  EXPECT_EQ(why("\x81\xc0\x02"), "");
  EXPECT_EQ(why("\x81\x91\x01\x80"), "") << "a list in a key is a tuple";
  EXPECT_EQ(why("\x81\x90\x81\x01\x80"), "") << "what stands behind a key is in none";
  EXPECT_EQ(why(std::string_view("\x81\xd6\xff\0\0\0\1\x02", 8)), "") << "a time";
  EXPECT_EQ(why("\xd4\x05x"), "") << "an extension that nobody knows is its bytes";
  // And what it cannot.
  EXPECT_EQ(why("\x81\x80\x02"), "a mapping stands in a key");
  EXPECT_EQ(why("\x81\x91\x80\x02"), "a mapping stands in a key");
  EXPECT_EQ(why("\x92\x01\x82\x01\x02\x92\x01\x81\x01\x02\x03"), "a mapping stands in a key");
  EXPECT_EQ(why("\x81\xd4\x05x\x02"), "an extension value stands in a key");
  for (const auto& time : {std::string("\xc7\x03\xff"
                                       "abc"),
                           std::string("\xd4\xffx"), std::string("\xd7\xff\xff\xff\xff\xff\x65\x92\x00\x80", 10),
                           std::string("\xc7\x0c\xff\0\0\0\0\x00\x00\x00\x3a\xff\xf4\x41\x80", 15),     // the year 10000
                           std::string("\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xf1\x88\x6e\x08\xff", 15)}) {  // before the year 1
    EXPECT_FALSE(why(time).empty()) << testing::PrintToString(time);
    EXPECT_FALSE(why("\x91" + time).empty());
  }
  std::uint8_t marks = 0;
  EXPECT_EQ(kept_output("\x81\x80\x02", marks), "\xc4\x03\x81\x80\x02") << "its bytes";
  EXPECT_EQ(marks, Attempt::REPR);
  marks = 0;
  EXPECT_EQ(kept_output("\x81\x01\x02", marks), "\x81\x01\x02");
  EXPECT_EQ(kept_output("", marks), "");
  EXPECT_EQ(marks, 0);
}

TEST(Wire, X9_AnOutputThatIsStoredAndCannotBeHeldIsReadAsItsBytes) {
  Attempt attempt;
  attempt.number = 1;
  attempt.started = attempt.ended = from_micros(5);
  attempt.status = AttemptStatus::SUCCESS;
  attempt.output = "\x81\x80\x02";
  const auto read = read_attempts(write_attempts({attempt})).at(0);
  EXPECT_EQ(read.output, "\xc4\x03\x81\x80\x02");
  EXPECT_EQ(read.marks, Attempt::REPR);
}

TEST(Wire, DescribesForMessages) {
  const auto describe = [](std::string_view bytes) { return WireReader(bytes).describe(); };
  EXPECT_EQ(describe("\xa3"
                     "abc"),
            "the text 'abc'");
  EXPECT_EQ(describe(std::string_view("\xa3"
                                      "a\0b",
                                      4)),
            "the text 'a\\x00b'");
  EXPECT_EQ(describe("\xa1\xff"), "text that is not UTF-8");
  EXPECT_EQ(describe("\xc0"), "None");
  EXPECT_EQ(describe("\x90"), "a list");
  EXPECT_EQ(describe("\x80"), "a mapping");
  EXPECT_EQ(describe(std::string_view("\xd6\xff\0\0\0\0", 6)), "a time");
  EXPECT_EQ(describe(""), "broken msgpack");
}

}  // namespace
}  // namespace cogwork
