#include "cogwork/storage/stores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cogwork/base/error.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Stores, T4_memory_and_sqlite_are_built_in) {
  const auto names = registered_stores();
  EXPECT_NE(std::find(names.begin(), names.end(), "memory"), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), "sqlite"), names.end());
}

TEST(Stores, T4_a_name_is_registered_once) {
  register_store("once", [](const std::string&, OpenMode) { return make_memory_store(); });
  EXPECT_NE(
      refusal([] { register_store("once", [](const std::string&, OpenMode) { return make_memory_store(); }); }).find("'once'"),
      std::string::npos);
  EXPECT_THROW(register_store("sqlite", [](const std::string&, OpenMode) { return make_memory_store(); }), Error);
  for (const char* name : {"", "c", "two words", "a:b", "7up", "sl/ash", "umläut"}) {
    EXPECT_THROW(register_store(name, [](const std::string&, OpenMode) { return make_memory_store(); }), Error) << name;
  }
  EXPECT_THROW(register_store("nothing", nullptr), Error);
}

TEST(Stores, T4_a_factory_gets_what_stands_behind_the_name) {
  std::string seen;
  OpenMode seen_mode = OpenMode::OWNER;
  register_store("mine", [&](const std::string& where, OpenMode mode) {
    seen = where;
    seen_mode = mode;
    return make_memory_store();
  });
  open_store("mine:host:5432/db?x", OpenMode::READER);
  EXPECT_EQ(seen, "host:5432/db?x");
  EXPECT_EQ(seen_mode, OpenMode::READER);
  register_store("broken", [](const std::string&, OpenMode) { return std::shared_ptr<Storage>(); });
  EXPECT_THROW(open_store("broken:", OpenMode::OWNER), StorageError);
}

TEST(Stores, T4_each_memory_store_is_its_own) {
  const auto a = open_store("memory:", OpenMode::OWNER), b = open_store(":memory:", OpenMode::OWNER);
  const Labor labor = make_labor();
  a->write_labor(labor);
  EXPECT_THROW(b->read_labor(labor.id, false), NotFound);
  EXPECT_THROW(open_store("memory:labors", OpenMode::OWNER), StorageError);
}

TEST(Stores, T4_a_path_or_sqlite_with_a_path_is_a_file) {
  const ScratchFolder folder;
  const Labor labor = make_labor();
  open_store(folder / "a.db", OpenMode::OWNER)->write_labor(labor);
  EXPECT_EQ(open_store("sqlite:" + (folder / "a.db"), OpenMode::OWNER)->read_labor(labor.id, true), labor);
  // Names that could confuse: a colon, spaces, signs that are special in URIs and to SQLite, a drive letter.
  for (const char* name :
       {"12:30.db", "c:x.db", "with space.db", "a?mode=ro&x#y%20.db", "file:x", "'quote'.db", "ünï.db", ":memory: not"}) {
    open_store(folder / name, OpenMode::OWNER)->write_labor(labor);
    EXPECT_TRUE(std::filesystem::exists(folder / name)) << name;
    EXPECT_EQ(open_store(folder / name, OpenMode::READER)->read_labor(labor.id, true), labor) << name;
  }
}

TEST(Stores, T4_odd_names_without_a_folder_are_files) {
  const ScratchFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  for (const char* name : {"labors.db", "12:30.db", "c:labors.db", "./run:1.db"}) {
    open_store(name, OpenMode::OWNER);
    EXPECT_TRUE(std::filesystem::exists(name)) << name;
  }
  std::filesystem::current_path(before);
}

TEST(Stores, T4_an_unknown_name_is_told_with_the_nearest_one) {
  const auto text = refusal([] { open_store("sqlit:labors.db", OpenMode::OWNER); });
  EXPECT_NE(text.find("'sqlit'"), std::string::npos) << text;
  EXPECT_NE(text.find("did you mean 'sqlite:'"), std::string::npos) << text;
  EXPECT_NE(text.find("./sqlit:labors.db"), std::string::npos) << text;
  const auto far = refusal([] { open_store("postgres:labors", OpenMode::OWNER); });
  EXPECT_EQ(far.find("did you mean"), std::string::npos) << far;
  EXPECT_NE(far.find("memory"), std::string::npos) << far;
}

TEST(Stores, T4_registering_from_many_threads) {
  std::atomic<int> added = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        try {
          register_store("crowd-" + std::to_string(i), [](const std::string&, OpenMode) { return make_memory_store(); });
          ++added;
        } catch (const Error&) {
        }
        open_store("memory:", OpenMode::OWNER);
        registered_stores();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(added, 50);
}

}  // namespace
}  // namespace cogwork
