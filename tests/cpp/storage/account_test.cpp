// D7, T5: a Labor with its history in one view, and ids by how they begin; of both kinds of store, and of one that leaves both to Storage.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"
#include "support/faulty_store.h"

namespace cogwork {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Accounts : public testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<Storage> make() {
    if (GetParam() == "sqlite") return open_sqlite_store(folder / "labors.db", OpenMode::OWNER);
    if (GetParam() == "memory") return make_memory_store();
    return std::make_shared<FaultyStore>(make_memory_store());
  }

  static HistoryRow row(const Labor& labor, std::uint64_t first) {
    HistoryRow row;
    row.first = first;
    row.count = 1;
    row.labor = labor.id;
    row.at = kNoon;
    row.changes = pack_changes({Change{}});
    return row;
  }

  ScratchFolder folder;
  std::shared_ptr<Storage> store = make();
};

TEST_P(Accounts, D7_HoldTheTreeAndAllRowsOfItInOrder) {
  const auto one = make_labor(3), other = make_labor(1);
  Batch batch;
  batch.writes.emplace_back(WriteLabor{std::make_shared<const Labor>(one)});
  batch.writes.emplace_back(WriteLabor{std::make_shared<const Labor>(other)});
  for (const std::uint64_t first : {5, 1, 9}) batch.history.push_back(row(one, first));
  batch.history.push_back(row(other, 3));
  store->apply(batch);

  const auto account = store->read_account(one.id);
  EXPECT_EQ(account.labor, one);
  std::vector<std::uint64_t> firsts;
  for (const auto& r : account.history) firsts.push_back(r.first);
  EXPECT_THAT(firsts, ElementsAre(1, 5, 9));
  EXPECT_THAT(store->read_account(other.id).history, SizeIs(1));
  EXPECT_THROW(store->read_account(new_id()), NotFound);
}

TEST_P(Accounts, D7_AreOfOneMomentWhileSomebodyWrites) {
  auto labor = make_labor(1);
  store->write_labor(labor);
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    // In each commit the number of failures is that of rows.
    for (std::uint64_t n = 1; n <= 600; ++n) {
      Batch batch;
      Task task = labor.tasks[0];
      task.failures = static_cast<std::uint32_t>(n);
      batch.writes.emplace_back(WriteTask{labor.id, task});
      batch.history.push_back(row(labor, n));
      store->apply(batch);
    }
    done = true;
  });
  std::size_t seen = 0;
  for (bool last = false; !last;) {
    last = done;  // one more after the end
    try {
      const auto account = store->read_account(labor.id);
      ASSERT_EQ(account.labor.tasks[0].failures, account.history.size());
      seen = account.history.size();
    } catch (const StorageError& error) {
      ASSERT_TRUE(error.temporary()) << error.what();  // the general way gives up where it changes all the time
    }
  }
  EXPECT_EQ(seen, 600u);
}

TEST_P(Accounts, T3_IdsAreFoundByHowTheyBegin) {
  std::vector<Id> ids;
  for (const char* text : {"10000000-0000-4000-8000-000000000000", "1a000000-0000-4000-8000-000000000000",
                           "1ab00000-0000-4000-8000-000000000000", "ff000000-0000-4000-8000-000000000000"}) {
    auto labor = make_labor(1);
    labor.id = *Id::parse(text);
    ids.push_back(labor.id);
    store->write_labor(labor);
  }
  EXPECT_THAT(store->labor_ids("", 10), ElementsAre(ids[0], ids[1], ids[2], ids[3]));
  EXPECT_THAT(store->labor_ids("", 2), ElementsAre(ids[0], ids[1]));
  EXPECT_THAT(store->labor_ids("1", 10), ElementsAre(ids[0], ids[1], ids[2]));
  EXPECT_THAT(store->labor_ids("1a", 10), ElementsAre(ids[1], ids[2]));
  EXPECT_THAT(store->labor_ids("1ab", 10), ElementsAre(ids[2]));
  EXPECT_THAT(store->labor_ids("ff000000-0000-4000-8000-000000000000", 10), ElementsAre(ids[3]));
  EXPECT_THAT(store->labor_ids("ff000000-0000-4000-8000-000000000000-1", 10), IsEmpty());
  EXPECT_THAT(store->labor_ids("f-f", 10), IsEmpty());
  EXPECT_THAT(store->labor_ids("1ab000000", 10), IsEmpty()) << "a dash is missing";
  EXPECT_THAT(store->labor_ids("xyz", 10), IsEmpty());
  EXPECT_THAT(store->labor_ids("2", 10), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Stores, Accounts, testing::Values("memory", "sqlite", "left_to_Storage"),
                         [](const auto& about) { return about.param; });

}  // namespace
}  // namespace cogwork
