#include "cogwork/model/change.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "cogwork/base/error.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

using Link = std::array<std::uint8_t, 16>;

std::vector<Change> random_changes(Random& random, const Id& labor, std::uint64_t first) {
  std::vector<Change> changes;
  std::int64_t at = 1'750'000'000'000'000;
  for (auto n = 1 + random.below(30); n > 0; --n) {
    Change c;
    c.labor = labor;
    c.number = first + changes.size();
    at += random.chance(0.1) ? static_cast<std::int64_t>(random.next()) >> 10 : static_cast<std::int64_t>(random.below(1000));
    c.at = from_micros(at);
    c.ordinal = static_cast<std::uint32_t>(random.chance(0.1) ? random.next() : random.below(100));
    c.from = static_cast<State>(random.below(kStates));
    c.to = static_cast<State>(random.below(kStates));
    if (random.chance(0.2)) c.reason = static_cast<Reason>(random.below(4));
    if (random.chance(0.2)) {
      c.kind = Change::Kind::SIGNAL;
      c.signal = static_cast<Signal>(random.below(kSignals));
      c.refused = random.chance(0.5);
      c.interrupt = random.chance(0.5);
    }
    if (c.kind == Change::Kind::STATE && random.chance(0.1)) {
      c.kind = Change::Kind::DECISION;
      c.decision = static_cast<Decision>(random.below(kDecisions));
      c.refused = random.chance(0.3);
    }
    if (random.chance(0.2)) c.rounds = static_cast<std::uint32_t>(random.next());
    if (random.chance(0.4)) c.by = random.chance(0.5) ? "alice" : "bob";
    if (random.chance(0.2)) c.note = random.chance(0.5) ? "INC-12" : "größe\n";
    changes.push_back(c);
  }
  return changes;
}

HistoryRow row_of(const std::vector<Change>& changes) {
  HistoryRow row;
  row.first = changes.empty() ? 1 : changes.front().number;
  row.count = static_cast<std::uint32_t>(changes.size());
  row.labor = changes.empty() ? Id{} : changes.front().labor;
  row.at = from_micros(5);  // any: changes carry their own times
  row.changes = pack_changes(changes);
  return row;
}

TEST(Change, D7_PackedChangesReadBack) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 2000; ++i) {
    const auto changes = random_changes(random, Id::make(random), 1 + random.below(1'000'000));
    ASSERT_EQ(unpack_changes(row_of(changes)), changes);
  }
  EXPECT_TRUE(unpack_changes(row_of({})).empty());
}

TEST(Change, D7_TimesMayBeAnything) {
  std::vector<Change> changes(4);
  changes[0].at = from_micros(INT64_MAX);
  changes[1].at = from_micros(INT64_MIN);
  changes[2].at = never;
  changes[3].at = from_micros(INT64_MAX);
  for (std::uint64_t n = 0; n < 4; ++n) changes[n].number = n + 1;
  EXPECT_EQ(unpack_changes(row_of(changes)), changes);
}

TEST(Change, D7_APlainChangeTakesAboutEightBytes) {
  // A fleet under way: starts and ends of Jobs and Sequences, a millisecond apart.
  std::vector<Change> changes;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    Change c;
    c.at = from_micros(1'750'000'000'000'000 + i * 1000);
    c.ordinal = 1'000'000 + 2 * (i % 16) + i;
    c.from = i % 2 ? State::RUNNING : State::NOT_STARTED;
    c.to = i % 2 ? State::COMPLETED : State::RUNNING;
    changes.push_back(c);
  }
  EXPECT_LE(pack_changes(changes).size(), 8 * changes.size());
  EXPECT_LE(pack_changes({changes[0]}).size(), 16u);

  // The same person's signal, on all of them: named once.
  for (auto& c : changes) c.by = "alice", c.note = "INC-12: a fleet-wide stop";
  EXPECT_LE(pack_changes(changes).size(), 8 * changes.size());
}

TEST(Change, D7_DamageIsFound) {
  Random random(5);
  const auto labor = Id::make(random);
  auto row = row_of(random_changes(random, labor, 1));
  const auto bytes = row.changes.str();
  const auto is_damaged = [](const HistoryRow& r) {
    try {
      unpack_changes(r);
      return false;
    } catch (const StorageError& e) {
      EXPECT_FALSE(e.temporary());
      return true;
    }
  };
  EXPECT_FALSE(is_damaged(row));
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    row.changes = std::string_view(bytes).substr(0, n);
    EXPECT_TRUE(is_damaged(row)) << "cut off at " << n;
  }
  row.changes = bytes + std::string(1, '\0');
  EXPECT_TRUE(is_damaged(row));
  row.changes = "\x02" + bytes.substr(1);
  EXPECT_TRUE(is_damaged(row)) << "another version";
  row.changes = bytes;
  ++row.count;
  EXPECT_TRUE(is_damaged(row)) << "a change is missing";
}

TEST(Change, D7_AnyBytesAreReadOrRefused) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  const auto valid = row_of(random_changes(random, Id::make(random), 1));
  for (int i = 0; i < 50'000; ++i) {
    auto row = valid;
    std::string bytes = random.chance(0.5) ? valid.changes.str() : "\x01";
    for (auto n = random.below(20); n > 0; --n) {
      if (random.chance(0.5)) {
        bytes[random.below(bytes.size())] = static_cast<char>(random.next());
      } else {
        bytes.push_back(static_cast<char>(random.next()));
      }
    }
    row.changes = bytes;
    row.count = static_cast<std::uint32_t>(random.chance(0.5) ? random.next() : random.below(40));
    try {
      const auto changes = unpack_changes(row);
      ASSERT_EQ(changes.size(), row.count);
      ASSERT_EQ(unpack_changes(row_of(changes)).size(), row.count);
    } catch (const StorageError&) {
    }
  }
}

TEST(Chain, D7_ALinkIsANameBasedUuid) {
  Random random(6);
  const auto row = row_of(random_changes(random, Id::make(random), 1));
  const auto link = chain_link(Link{}, row);
  EXPECT_EQ(link[6] >> 4, 5) << "version 5: SHA-1";
  EXPECT_EQ(link[8] >> 6, 2) << "RFC 4122";
  EXPECT_EQ(chain_link(Link{}, row), link);
}

TEST(Chain, D7_EveryFieldAndTheLinkBeforeShowInIt) {
  Random random(7);
  const auto row = row_of(random_changes(random, Id::make(random), 1));
  const auto link = chain_link(Link{}, row);
  const auto differs = [&](auto change) {
    auto other = row;
    change(other);
    return chain_link(Link{}, other) != link;
  };
  EXPECT_TRUE(differs([](HistoryRow& r) { ++r.first; }));
  EXPECT_TRUE(differs([](HistoryRow& r) { ++r.count; }));
  EXPECT_TRUE(differs([](HistoryRow& r) { r.at += Duration(1); }));
  EXPECT_TRUE(differs([](HistoryRow& r) { r.labor.bytes[0] ^= 1; }));
  EXPECT_TRUE(differs([](HistoryRow& r) { r.changes = r.changes.str() + "x"; }));
  EXPECT_FALSE(differs([](HistoryRow& r) { r.link[3] = 9; })) << "its own link is not part of it";
  EXPECT_NE(chain_link(link, row), link);
}

// The worked example of docs/internals/document.md: what is stored stays readable, and stays chained.
TEST(Chain, D7_TheFormDoesNotChange) {
  Change c;
  c.labor = *Id::parse("01234567-89ab-4def-8123-456700000000");
  c.number = 12;
  c.at = from_micros(1'750'000'000'000'000);
  c.ordinal = 3;
  c.from = State::NOT_STARTED;
  c.to = State::RUNNING;
  auto d = c;
  d.number = 13;
  d.at += Duration(250);
  d.ordinal = 2;
  d.kind = Change::Kind::SIGNAL;
  d.from = d.to = State::RUNNING;
  d.signal = Signal::PAUSE;
  d.refused = true;
  d.by = "bob";
  auto row = row_of({c, d});
  row.at = d.at;
  std::string hex;
  for (const char b : row.changes.view()) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<unsigned char>(b)));
    hex += two;
  }
  EXPECT_EQ(hex,
            "01"
            "00"
            "06"
            "8080db85b4e79b06"
            "13"
            "29"
            "01"
            "f403"
            "33"
            "01"
            "03626f62"
            "00");
  Id link;
  link.bytes = chain_link(Link{}, row);
  EXPECT_EQ(link.text(), "40ed9823-7556-5e5c-9382-96af702d0b28");
}

}  // namespace
}  // namespace cogwork
