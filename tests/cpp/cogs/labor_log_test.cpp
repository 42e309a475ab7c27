#include "cogwork/cogs/labor_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace cogwork {
namespace {

using std::chrono::seconds;

class LaborLogTest : public ::testing::Test {
 protected:
  AttemptRequest attempt(AttemptKey key, const std::string& target) const {
    AttemptRequest request;
    request.key = key;
    request.target = Text(target);
    request.job_name = Text("upgrade");
    request.log = log;
    return request;
  }
  static std::vector<std::string> texts(const LaborLog::Piece& piece) {
    std::vector<std::string> found;
    for (const auto& line : piece.lines) found.push_back(line.text.str());
    return found;
  }

  Time now = from_micros(1'000'000'000);
  std::shared_ptr<LogRoom> room = std::make_shared<LogRoom>([this] { return now; });
  std::shared_ptr<LaborLog> log = std::make_shared<LaborLog>(room);
  LogFeed feed{log, 0};
};

TEST_F(LaborLogTest, LinesComeInOrderWithNumbersThatGoUpByOne) {
  log->add(attempt(1, "a"), "one\ntwo\r\n\nfour\n");
  log->add(attempt(2, "b"), "");
  const auto piece = feed.poll();
  EXPECT_EQ(texts(piece), (std::vector<std::string>{"one", "two", "", "four", ""}));
  EXPECT_EQ(piece.missed, 0U);
  for (std::size_t n = 0; n < piece.lines.size(); ++n) EXPECT_EQ(piece.lines[n].number, log->base() + 1 + n);
  EXPECT_EQ(piece.lines[0].target, "a");
  EXPECT_EQ(piece.lines[4].target, "b");
  EXPECT_TRUE(feed.poll().lines.empty());
  LogFeed resumed(log, piece.lines[2].number);
  EXPECT_EQ(texts(resumed.poll()), (std::vector<std::string>{"four", ""}));
  EXPECT_TRUE(LogFeed(log, std::nullopt).poll().lines.empty()) << "from now";
}

TEST_F(LaborLogTest, AReaderWithAPlaceInAnEarlierEnginesLogReadsAllOfThisOne) {
  log->add(attempt(1, "a"), "one");
  const auto place = feed.poll().lines[0].number;
  now += seconds(1);
  const auto next = std::make_shared<LaborLog>(room);
  next->add(attempt(1, "a"), "after");
  LogFeed resumed(next, place);
  const auto piece = resumed.poll();
  EXPECT_EQ(texts(piece), (std::vector<std::string>{"after"}));
  EXPECT_EQ(piece.missed, 0U);
}

TEST_F(LaborLogTest, LinesAndBytesAreBoundedAndWhoComesLateLearnsHowManyHeMissed) {
  for (AttemptKey key = 1; key <= 10; ++key) {
    for (int n = 0; n < 1000; ++n) log->add(attempt(key, "a"), "line");
  }
  auto piece = feed.poll();
  EXPECT_LE(piece.lines.size(), LaborLog::kMostLines);
  EXPECT_GT(piece.lines.size(), 1000U);
  EXPECT_EQ(piece.missed + piece.lines.size(), 10'000U);

  now += seconds(2);
  for (int n = 0; n < 1000; ++n) log->add(attempt(1, "a"), std::string(4000, 'x'));
  piece = feed.poll();
  EXPECT_EQ(piece.missed + piece.lines.size(), 1000U);
  EXPECT_LE(piece.lines.size() * 4000, LaborLog::kMostBytes);
  EXPECT_LE(room->bytes, static_cast<std::int64_t>(LaborLog::kMostBytes));
  log.reset();
  feed = LogFeed(std::make_shared<LaborLog>(room), 0);
  EXPECT_EQ(room->bytes, 0);
}

TEST_F(LaborLogTest, ManyLogsTogetherAreBoundedToo) {
  std::vector<std::shared_ptr<LaborLog>> logs;
  for (int n = 0; n < 200; ++n) {
    logs.push_back(std::make_shared<LaborLog>(room));
    for (int i = 0; i < 300; ++i) logs.back()->add(attempt(1, "a"), std::string(4000, 'x'));
  }
  EXPECT_LE(room->bytes, LaborLog::kMostTogether + 200 * static_cast<std::int64_t>(LaborLog::kLeastBytes));
  EXPECT_FALSE(logs.back()->read(0).lines.empty()) << "the last one has a little all the same";
}

TEST_F(LaborLogTest, WhatOneAttemptSaysBeyondAThousandASecondIsCountedAndSaid) {
  const auto loud = attempt(1, "loud");
  const auto calm = attempt(2, "calm");
  for (int n = 0; n < 5000; ++n) log->add(loud, "x");
  log->add(calm, "still heard");
  auto piece = feed.poll();
  EXPECT_EQ(piece.lines.size(), 1001U);
  EXPECT_EQ(piece.lines.back().text, "still heard");
  EXPECT_EQ(piece.missed, 0U);

  now += seconds(1);
  log->add(loud, "again");
  piece = feed.poll();
  ASSERT_EQ(texts(piece), (std::vector<std::string>{"... 4000 lines dropped", "again"}));
  EXPECT_EQ(piece.lines[0].dropped, 4000U);
  EXPECT_EQ(piece.lines[0].target, "loud");
  EXPECT_EQ(piece.lines[1].dropped, 0U);

  for (int n = 0; n < 1000; ++n) log->add(loud, "x");  // one too many
  feed.poll();
  log->end(loud);
  EXPECT_EQ(texts(feed.poll()), (std::vector<std::string>{"... 1 line dropped"})) << "at its end";
}

TEST_F(LaborLogTest, WhoFallsSilentAfterAFloodIsAccountedForAtTheNextLook) {
  for (int n = 0; n < 1500; ++n) log->add(attempt(1, "loud"), "x");
  EXPECT_EQ(feed.poll().lines.size(), 1000U);
  EXPECT_TRUE(feed.poll().lines.empty());
  now += seconds(1);
  EXPECT_EQ(texts(feed.poll()), (std::vector<std::string>{"... 500 lines dropped"}));
}

TEST_F(LaborLogTest, ALongLineIsCutBetweenCharactersAndMarked) {
  std::string line = "x";
  for (int n = 0; n < 3000; ++n) line += "é";
  log->add(attempt(1, "a"), line);
  log->add(attempt(1, "a"), "\xff\xfe broken");
  const auto found = texts(feed.poll());
  EXPECT_EQ(found[0].substr(0, 5), "xéé");
  EXPECT_NE(found[0].find(" [... " + std::to_string(6001 - 4095) + " bytes are left out]"), std::string::npos)
      << found[0].substr(4000);
  EXPECT_EQ(found[1], "\xef\xbf\xbd\xef\xbf\xbd broken");
}

TEST_F(LaborLogTest, AWaitEndsWithALineOrTheEnd) {
  auto ready = feed.ready();
  EXPECT_FALSE(ready->done());
  EXPECT_EQ(ready, feed.ready()) << "nothing gathers while nothing comes";
  log->add(attempt(1, "a"), "one");
  EXPECT_TRUE(ready->done());
  EXPECT_FALSE(feed.over());
  feed.poll();
  for (int n = 0; n < 999; ++n) log->add(attempt(1, "a"), "x");
  feed.poll();
  ready = feed.ready();
  log->add(attempt(1, "a"), "dropped");
  EXPECT_FALSE(ready->done()) << "lines that are dropped wake nobody";
  log->close();
  EXPECT_TRUE(ready->done());
  EXPECT_FALSE(feed.over());
  EXPECT_EQ(texts(feed.poll()), (std::vector<std::string>{"... 1 line dropped"}));
  EXPECT_TRUE(feed.over());
  log->add(attempt(1, "a"), "too late");
  EXPECT_TRUE(feed.poll().lines.empty());
}

TEST(LaborLog, ManySpeakAtOnce) {
  const auto log = std::make_shared<LaborLog>(std::make_shared<LogRoom>());
  std::vector<std::thread> threads;
  for (AttemptKey key = 1; key <= 4; ++key) {
    threads.emplace_back([&log, key] {
      AttemptRequest request;
      request.key = key;
      for (int n = 0; n < 2000; ++n) log->add(request, "line");
      log->end(request);
    });
  }
  std::uint64_t heard = 0, missed = 0;
  LogFeed feed(log, 0);
  const auto read = [&] {
    const auto piece = feed.poll();
    missed += piece.missed;
    for (const auto& line : piece.lines) heard += line.dropped > 0 ? line.dropped : 1;
  };
  while (heard + missed < 4000) {
    feed.ready()->wait();
    read();
  }
  for (auto& thread : threads) thread.join();
  log->close();
  read();
  EXPECT_TRUE(missed > 0 || heard == 8000) << heard;
  EXPECT_TRUE(feed.over());
}

TEST(LineSplitter, MakesLinesOfAnyPieces) {
  std::vector<std::pair<std::string, std::size_t>> lines;
  const auto take = [&](std::string_view line, std::size_t left_out) { lines.emplace_back(line, left_out); };
  LineSplitter splitter;
  for (const auto* piece : {"on", "e\ntw", "o\n\n", "last"}) splitter.feed(piece, take);
  splitter.feed(std::string(10'000, 'x'), take);
  splitter.finish(take);
  splitter.finish(take);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].first, "one");
  EXPECT_EQ(lines[1].first, "two");
  EXPECT_EQ(lines[2].first, "");
  EXPECT_EQ(lines[3].first.size(), LaborLog::kLongestLine);
  EXPECT_EQ(lines[3].second, 10'004 - LaborLog::kLongestLine);
}

}  // namespace
}  // namespace cogwork
