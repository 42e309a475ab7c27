// The disk that fails as it is told, and the committer above it (D5, D6). Here connections are made both before and after it is there.
#include "cogwork/storage/faulty_disk.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

struct Kind {
  DiskFault fault;
  const char* says;
};
constexpr Kind kKinds[] = {{DiskFault::FULL, "the disk is full"},  {DiskFault::SHORT, "the disk is full"},
                           {DiskFault::WRITE, "reports an error"}, {DiskFault::SYNC, "reports an error"},
                           {DiskFault::READ, "reports an error"},  {DiskFault::IO, "reports an error"}};

class FaultyDiskTest : public testing::Test {
 protected:
  /// How a write that fails says so; empty where it does not fail.
  static std::string failure(Storage& store, const Labor& labor) {
    try {
      store.write_labor(labor);
    } catch (const StorageError& error) {
      EXPECT_TRUE(error.temporary()) << error.what();
      return error.what();
    }
    return {};
  }
  void expect_whole_file() const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    std::string verdict;
    const auto take = [](void* to, int, char** values, char**) { return *static_cast<std::string*>(to) = values[0], 0; };
    EXPECT_EQ(sqlite3_exec(database, "PRAGMA integrity_check", take, &verdict, nullptr), SQLITE_OK);
    EXPECT_EQ(verdict, "ok");
    sqlite3_close(database);
  }

  ScratchFolder folder;
  std::string path = folder / "labors.db";
};

TEST_F(FaultyDiskTest, D6_each_fault_is_temporary_leaves_nothing_and_passes) {
  const auto disk = faulty_disk(path);
  const auto store = open_sqlite_store(path, OpenMode::OWNER);
  const Labor before = make_labor(3);
  store->write_labor(before);
  for (const auto& kind : kKinds) {
    if (kind.fault == DiskFault::READ) continue;  // a writer has what it needs in its cache
    const Labor labor = make_labor(100);
    disk->fail(kind.fault);
    const auto text = failure(*store, labor);
    EXPECT_NE(text.find(kind.says), std::string::npos) << text;
    EXPECT_NE(text.find("labors.db"), std::string::npos) << text;
    disk->mend();
    EXPECT_THROW(store->read_labor(labor.id, false), NotFound) << "nothing of it is stored";
    EXPECT_EQ(store->read_labor(before.id, true), before);
    store->write_labor(labor);
    EXPECT_EQ(store->read_labor(labor.id, true), labor);
  }
  EXPECT_GT(disk->figures().failed, 4U);
  expect_whole_file();
}

TEST_F(FaultyDiskTest, D5_at_each_operation_of_a_commit_it_is_all_or_nothing) {
  const auto disk = faulty_disk(path);
  for (const auto& kind : kKinds) {
    auto store = open_sqlite_store(path, OpenMode::OWNER);
    const Labor labor = make_labor(200);
    for (std::uint64_t after = 0;; ++after) {
      ASSERT_LT(after, 2000U);
      const auto failed = disk->figures().failed;
      disk->fail(kind.fault, after, 1);
      const auto text = failure(*store, labor);
      disk->mend();
      if (text.empty()) {
        EXPECT_EQ(store->read_labor(labor.id, true), labor);
        if (disk->figures().failed == failed) break;  // it has fewer
        continue;                                     // it failed at what comes after the commit
      }
      // A store that is opened anew sees the same as the one that went on.
      for (const bool anew : {false, true}) {
        if (anew) store = open_sqlite_store(path, OpenMode::OWNER);
        try {
          EXPECT_EQ(store->read_labor(labor.id, true), labor) << "a part of it is stored";
        } catch (const NotFound&) {
        }
      }
    }
    store.reset();
    expect_whole_file();
  }
}

TEST_F(FaultyDiskTest, T1_a_read_that_fails_says_so) {
  const auto disk = faulty_disk(path);
  const Labor labor = make_labor(10);
  open_sqlite_store(path, OpenMode::OWNER)->write_labor(labor);
  const auto store = open_sqlite_store(path, OpenMode::READER);
  disk->fail(DiskFault::READ);
  EXPECT_THROW(store->read_labor(labor.id, true), StorageError);
  disk->mend();
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_F(FaultyDiskTest, only_the_file_of_its_path_is_concerned) {
  const auto disk = faulty_disk(path);
  EXPECT_EQ(faulty_disk(path), disk);
  disk->fail(DiskFault::IO);
  const auto other = open_sqlite_store(folder / "other.db", OpenMode::OWNER);
  const Labor labor = make_labor(10);
  other->write_labor(labor);
  EXPECT_EQ(disk->figures().failed, 0U);
  EXPECT_NE(sqlite3_vfs_find(nullptr)->zName, std::string(faulty_disk_vfs())) << "it is not what others get";
  disk->mend();
}

TEST_F(FaultyDiskTest, it_counts) {
  const auto disk = faulty_disk(path);
  auto store = open_sqlite_store(path, OpenMode::OWNER);
  const auto before = disk->figures();
  EXPECT_GT(before.open, 0);
  store->write_labor(make_labor(10));
  const auto after = disk->figures();
  EXPECT_GT(after.writes, before.writes);
  EXPECT_GT(after.syncs, before.syncs);
  store.reset();
  EXPECT_EQ(disk->figures().open, 0) << "every file was closed";
}

}  // namespace
}  // namespace cogwork
