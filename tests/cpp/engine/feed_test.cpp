// The history as those who follow it see it (D7).
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "cogwork/engine/engine.h"
#include "support/engine_world.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

class Feeds : public StoreTest {};
COGWORK_ON_EACH_STORE(Feeds);

/// All that comes until the feed is over.
std::vector<Change> rest_of(ChangeFeed& feed) {
  std::vector<Change> all;
  while (true) {
    const auto ready = feed.ready();
    const auto piece = feed.poll();
    all.insert(all.end(), piece.begin(), piece.end());
    if (!piece.empty()) continue;
    if (feed.over()) return all;
    ready->wait();
  }
}

std::vector<std::uint64_t> numbers_of(const std::vector<Change>& changes) {
  std::vector<std::uint64_t> numbers;
  for (const auto& change : changes) numbers.push_back(change.number);
  return numbers;
}

TEST_P(Feeds, D7AFeedFromNowSeesNothingOlder) {
  auto store = reopened();
  EngineWorld w(store);
  w.wait(w.submit(tree_of(3)));
  const auto old = store->last_change();
  auto feed = w.engine->changes(Id{}, {});
  EXPECT_TRUE(feed->poll().empty());
  EXPECT_FALSE(feed->over());
  const auto id = w.submit(tree_of(3));
  w.wait(id);
  w.engine->close({}, false);
  const auto seen = rest_of(*feed);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front().number, old + 1);
  EXPECT_EQ(seen.back().number, store->last_change());
  for (const auto& change : seen) EXPECT_EQ(change.labor, id);
}

TEST_P(Feeds, D7AFeedOfALaborIsOverAtItsEnd) {
  auto store = reopened();
  EngineWorld w(store);
  const auto other = w.submit(tree_of(50, "ok", 2));
  const auto id = w.submit(tree_of(20, "ok", 4), false);
  auto live = w.engine->changes(id, {});
  auto whole = w.engine->changes(id, 0);
  w.engine->start(id, "ann", "");
  const auto seen = rest_of(*live);
  EXPECT_EQ(seen, history_of(*store, id));
  EXPECT_EQ(rest_of(*whole), seen);
  auto late = w.engine->changes(id, seen[4].number);
  EXPECT_EQ(rest_of(*late), std::vector<Change>(seen.begin() + 5, seen.end()));
  auto nothing = w.engine->changes(id, {});
  EXPECT_TRUE(rest_of(*nothing).empty()) << "it ended before";
  w.wait(other);
}

TEST_P(Feeds, D7AFeedThatIsOpenedAboutTheEndIsOverToo) {
  EngineWorld w(reopened());
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::vector<Id> fresh;
  // Feeds are opened while their Labors end: whichever comes first, none may wait for ever.
  std::vector<std::thread> readers;
  std::atomic<int> read{0};
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        Id id;
        {
          const std::lock_guard lock(mutex);
          if (!fresh.empty()) id = fresh.back();
        }
        if (id.is_nil()) continue;
        auto feed = w.engine->changes(id, {});
        rest_of(*feed);
        ++read;
      }
    });
  }
  for (int i = 0; i < 300 || read < 100; ++i) {
    const auto id = w.submit(tree_of(1));
    const std::lock_guard lock(mutex);
    fresh.push_back(id);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
}

TEST_P(Feeds, D7AFeedOfAllIsOverWhenTheEngineCloses) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(2, "block"));
  gate.wait_for(1);
  auto all = w.engine->changes(Id{}, 0);
  auto one = w.engine->changes(id, {});
  std::vector<Change> seen, seen_of_one;
  std::thread reader([&] { seen = rest_of(*all); });
  std::thread reader_of_one([&] { seen_of_one = rest_of(*one); });
  gate.open();
  w.engine->close({}, false);
  reader.join();
  reader_of_one.join();
  EXPECT_EQ(seen, history_of(*w.engine->store(), Id{}));
  EXPECT_THROW(w.engine->changes(Id{}, {}), EngineClosed);
}

TEST_P(Feeds, D6D7WhatALaborBringsLateIsSeenToo) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  const auto bad = w.submit(tree_of(2), false);
  auto all = w.engine->changes(Id{}, {});
  auto slow = w.engine->changes(Id{}, {});
  auto of_bad = w.engine->changes(bad, {});
  store->poison(bad);
  std::thread starter([&] { w.engine->start(bad, "ann", ""); });
  while (w.engine->stats().store.stuck.empty()) std::this_thread::yield();
  std::vector<Change> seen;
  const auto look = [&] {
    for (auto piece = all->poll(); !piece.empty(); piece = all->poll()) seen.insert(seen.end(), piece.begin(), piece.end());
  };
  const auto good = w.submit(tree_of(3000, "ok", 8));
  w.wait(good);
  look();
  EXPECT_EQ(seen.size(), history_of(*store, good).size());
  auto opened_later = w.engine->changes(bad, seen.back().number);
  store->heal(bad);
  starter.join();
  w.wait(bad);
  w.wait(w.submit(tree_of(10)));
  look();
  const auto numbers = numbers_of(seen);
  EXPECT_EQ(std::set(numbers.begin(), numbers.end()).size(), numbers.size()) << "nothing twice";
  EXPECT_EQ(seen.size(), store->last_change()) << "and nothing left out";
  EXPECT_EQ(numbers_of(rest_of(*of_bad)), numbers_of(history_of(*store, bad)));
  EXPECT_EQ(numbers_of(rest_of(*opened_later)), numbers_of(history_of(*store, bad)))
      << "it was not stored yet when the feed was opened";
  w.engine->close({}, false);
  auto missed = numbers_of(rest_of(*slow));
  std::sort(missed.begin(), missed.end());
  EXPECT_EQ(missed.size(), store->last_change()) << "one that fell behind sees the same";
  EXPECT_EQ(std::adjacent_find(missed.begin(), missed.end()), missed.end());
}

TEST_P(Feeds, D6D7LaborsThatAreStoredOneByOneAreAllSeen) {
  auto store = std::make_shared<FaultyStore>(reopened());
  EngineWorld w(store);
  std::vector<Id> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(w.submit(tree_of(20, "ok", 4), false));
  auto feed = w.engine->changes(Id{}, {});
  std::vector<std::unique_ptr<ChangeFeed>> each;
  for (const auto& id : ids) each.push_back(w.engine->changes(id, {}));
  // Each batch that the poisoned one is in is narrowed down, Labor by Labor: numbers do not come in their order.
  store->hold();
  std::vector<std::thread> starters;
  store->poison(ids[3]);
  for (const auto& id : ids) starters.emplace_back([&w, id] { w.engine->start(id, "ann", ""); });
  store->wait_for_held();
  store->release();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i != 3) w.wait(ids[i]);
  }
  store->heal(ids[3]);
  for (auto& starter : starters) starter.join();
  w.wait(ids[3]);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(numbers_of(rest_of(*each[i])), numbers_of(history_of(*store, ids[i]))) << i;
  }
  w.engine->close({}, false);
  EXPECT_EQ(rest_of(*feed).size(), store->last_change());
}

}  // namespace
}  // namespace cogwork::test
