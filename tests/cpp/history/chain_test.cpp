// D7: whoever changes, removes, moves or exchanges a row of the history by hand is found out, and the row is named.
#include "cogwork/history/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace cogwork {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kMost = 10;

/// Rows of three changes each, as an engine writes them: numbers of other Labors lie between.
std::vector<HistoryRow> make_rows(int count) {
  std::vector<HistoryRow> rows;
  std::array<std::uint8_t, 16> link{};
  for (int i = 0; i < count; ++i) {
    std::vector<Change> changes(3);
    for (std::uint32_t c = 0; c < 3; ++c) {
      changes[c].at = from_micros(1'700'000'000'000'000 + i * 1000 + c);
      changes[c].ordinal = static_cast<std::uint32_t>(i) * 3 + c;
      changes[c].from = State::NOT_STARTED;
      changes[c].to = State::RUNNING;
    }
    HistoryRow row;
    row.first = 1 + static_cast<std::uint64_t>(i) * 5;
    row.count = 3;
    row.at = changes.back().at;
    row.changes = pack_changes(changes);
    row.link = link = chain_link(link, row);
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::uint64_t> numbers(const std::vector<Finding>& findings) {
  std::vector<std::uint64_t> found;
  for (const auto& finding : findings) found.push_back(finding.number);
  return found;
}

TEST(Chain, D7_WhatAnEngineWroteIsFine) {
  EXPECT_THAT(check_chain({}, kMost), IsEmpty());
  EXPECT_THAT(check_chain(make_rows(1), kMost), IsEmpty());
  EXPECT_THAT(check_chain(make_rows(50), kMost), IsEmpty());
}

TEST(Chain, D7_AChangedRowIsNamed) {
  const auto rows = make_rows(6);
  auto changed = rows;
  changed[3].at += Duration(1);
  auto found = check_chain(changed, kMost);
  ASSERT_THAT(numbers(found), ElementsAre(16));
  EXPECT_EQ(found[0].at, changed[3].at);
  EXPECT_THAT(found[0].what, HasSubstr("was changed"));

  changed = rows;
  auto changes = unpack_changes(rows[2]);
  changes[1].to = State::PAUSING;
  changed[2].changes = pack_changes(changes);
  EXPECT_THAT(numbers(check_chain(changed, kMost)), ElementsAre(11));

  changed = rows;
  changed[0].first = 2;
  EXPECT_THAT(numbers(check_chain(changed, kMost)), ElementsAre(2));

  changed = rows;
  changed[4].link[7] ^= 1;  // its own hash, and so what the next one follows from
  EXPECT_THAT(numbers(check_chain(changed, kMost)), ElementsAre(21, 26));
}

TEST(Chain, D7_BytesThatAreNoChangesAreDamage) {
  auto rows = make_rows(4);
  rows[1].changes = "\x01\x80garbage";
  const auto found = check_chain(rows, kMost);
  ASSERT_THAT(numbers(found), ElementsAre(6));
  EXPECT_THAT(found[0].what, HasSubstr("damaged"));
}

TEST(Chain, D7_DamageUnderAHashThatFitsIsFoundToo) {
  auto rows = make_rows(3);
  rows[2].count = 4;
  rows[2].link = chain_link(rows[1].link, rows[2]);
  const auto found = check_chain(rows, kMost);
  ASSERT_THAT(numbers(found), ElementsAre(11));
  EXPECT_THAT(found[0].what, HasSubstr("damaged"));
}

TEST(Chain, D7_ARemovedRowShowsInTheNext) {
  const auto rows = make_rows(6);
  for (std::size_t gone = 0; gone + 1 < rows.size(); ++gone) {
    auto left = rows;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(gone));
    const auto found = check_chain(left, kMost);
    ASSERT_THAT(numbers(found), ElementsAre(rows[gone + 1].first)) << gone;
    EXPECT_THAT(found[0].what, HasSubstr("missing")) << gone;
  }
}

TEST(Chain, D7_ExchangedRowsAreBothNamed) {
  for (const auto& [a, b] : {std::pair(1, 2), std::pair(1, 4), std::pair(0, 3), std::pair(0, 1), std::pair(4, 5)}) {
    auto rows = make_rows(6);
    // As `UPDATE history` does it: the contents change places, the numbers stay.
    std::swap(rows[static_cast<std::size_t>(a)], rows[static_cast<std::size_t>(b)]);
    std::swap(rows[static_cast<std::size_t>(a)].first, rows[static_cast<std::size_t>(b)].first);
    const auto found = check_chain(rows, kMost);
    std::map<std::uint64_t, std::string> by_number;
    for (const auto& finding : found) by_number[finding.number] = finding.what;
    for (const auto i : {a, b}) {
      const auto first = rows[static_cast<std::size_t>(i)].first;
      ASSERT_TRUE(by_number.contains(first)) << a << " and " << b;
      const auto other = rows[static_cast<std::size_t>(i == a ? b : a)].first;
      EXPECT_THAT(by_number[first], HasSubstr("of change " + std::to_string(other) + ": rows were exchanged")) << a << " and " << b;
    }
  }
}

TEST(Chain, D7_ARowThatWasPutBetweenIsNamed) {
  auto rows = make_rows(4);
  auto forged = rows[1];
  forged.first = 9;
  forged.count = 1;
  forged.changes = pack_changes({Change{}});
  forged.link = chain_link(rows[1].link, forged);
  rows.insert(rows.begin() + 2, forged);
  const auto found = check_chain(rows, kMost);
  ASSERT_THAT(numbers(found), ElementsAre(11));
  EXPECT_THAT(found[0].what, HasSubstr("put between"));
}

TEST(Chain, D7_RowsThatOverlapAreNamed) {
  auto rows = make_rows(2);
  rows[1].first = 2;
  rows[1].link = chain_link(rows[0].link, rows[1]);
  EXPECT_THAT(numbers(check_chain(rows, kMost)), ElementsAre(2));
}

TEST(Chain, SaysNoMoreThanItIsAskedFor) {
  auto rows = make_rows(500);
  for (auto& row : rows) row.at += Duration(1);
  EXPECT_EQ(check_chain(rows, 7).size(), 7u);
}

}  // namespace
}  // namespace cogwork
