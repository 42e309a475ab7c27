#include "cogwork/storage/owner_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cogwork/base/error.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;

class OwnerLockTest : public testing::Test {
 protected:
  ScratchFolder folder;
  const std::string path = folder / "labors.db";
  const std::string side = path + "-owner";
  const Owner owner{getpid(), "build-3", "alice", "rollout.py", kNoon};

  std::string refusal() {
    try {
      lock_owner_file(path, "labors.db", owner);
    } catch (const StoreInUse& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(OwnerLockTest, R1_the_owner_is_written_and_read) {
  const Owner odd{-1, "h\nost: x", "ü: s", "", kNoon};
  const Owner back = read_owner(owner_text(odd));
  EXPECT_EQ(back.pid, -1);
  EXPECT_EQ(back.host, "h ost: x");
  EXPECT_EQ(back.user, "ü: s");
  EXPECT_EQ(back.since, kNoon);
  EXPECT_EQ(read_owner("").pid, 0);
  EXPECT_EQ(read_owner("pid: 7").pid, 7);
  EXPECT_EQ(read_owner("nonsense\npid: abc\n\n: \n").pid, 0);
}

TEST_F(OwnerLockTest, R1_where_an_owner_is_and_listens_is_written_and_read) {
  Owner there = this_process("ann", "rollout.py", kNoon);
  EXPECT_EQ(there.uid, static_cast<std::int64_t>(geteuid()));
  EXPECT_FALSE(there.boot.empty());
  EXPECT_NE(there.namespaces.find("pid:["), std::string::npos);
  there.listens = {"unix:path=/run/x.sock", "unix:abstract=y"};
  there.silent = "it is opening";
  const Owner back = read_owner(owner_text(there));
  EXPECT_EQ(back.uid, there.uid);
  EXPECT_EQ(back.boot, there.boot);
  EXPECT_EQ(back.namespaces, there.namespaces);
  EXPECT_EQ(back.listens, there.listens);
  EXPECT_EQ(back.silent, there.silent);
}

TEST_F(OwnerLockTest, R1_what_somebody_else_wrote_does_not_reach_a_terminal_as_it_is) {
  const Owner back = read_owner(
      "host: a\x1b[2Jb\x7f\nuser: \xc2\x9b"
      "31m\xc3\xbc\n");
  EXPECT_EQ(back.host, "a [2Jb ");
  EXPECT_EQ(back.user, "\xc2 31m\xc3\xbc");
}

TEST_F(OwnerLockTest, R1_a_process_id_is_compared_where_it_means_the_same) {
  const Owner here = this_process("", "", kNoon);
  EXPECT_TRUE(shares_pids(here, here));
  Owner contained = here;
  contained.namespaces = "mnt:[1] pid:[2]";
  EXPECT_FALSE(shares_pids(contained, here));
  Owner elsewhere = here;
  elsewhere.boot = "another";
  EXPECT_FALSE(shares_pids(elsewhere, here));
  Owner old{1, here.host, "u", "of a version before", kNoon};
  EXPECT_TRUE(shares_pids(old, here));
}

TEST_F(OwnerLockTest, R1_whoever_looks_sees_the_owner_and_takes_nothing) {
  EXPECT_EQ(look_at_owner_file(path).holds, OwnerSeen::Holds::NO);
  auto lock = lock_owner_file(path, "labors.db", owner);
  Owner listening = owner;
  listening.listens = {"unix:path=/run/x.sock"};
  lock->announce(listening);
  auto seen = look_at_owner_file(path);
  EXPECT_EQ(seen.holds, OwnerSeen::Holds::YES);
  EXPECT_EQ(seen.file, side);
  EXPECT_EQ(seen.file_uid, static_cast<std::int64_t>(geteuid()));
  EXPECT_EQ(seen.owner.user, "alice");
  EXPECT_EQ(seen.owner.listens, listening.listens);
  lock->announce(owner);
  EXPECT_TRUE(look_at_owner_file(path).owner.listens.empty()) << "a shorter text leaves nothing of a longer one";
  EXPECT_NE(refusal(), "") << "it is still locked";
  lock.reset();
  EXPECT_EQ(look_at_owner_file(path).holds, OwnerSeen::Holds::NO);
  EXPECT_EQ(look_at_owner_file(path).file, "");
}

TEST_F(OwnerLockTest, R1_the_name_that_a_killed_owner_left_is_no_owner) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const auto child = fork();
  if (child == 0) {
    auto lock = lock_owner_file(path, "labors.db", owner);
    [[maybe_unused]] const auto written = write(ready[1], "x", 1);
    pause();
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(look_at_owner_file(path).holds, OwnerSeen::Holds::YES);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const auto seen = look_at_owner_file(path);
  EXPECT_EQ(seen.holds, OwnerSeen::Holds::NO);
  EXPECT_EQ(seen.owner.user, "alice");
  close(ready[0]);
  close(ready[1]);
}

TEST_F(OwnerLockTest, R1_whoever_may_read_the_store_may_read_who_owns_it) {
  std::ofstream(path) << "a store";
  fs::permissions(path, fs::perms(0640));
  auto lock = lock_owner_file(path, "labors.db", owner);
  EXPECT_EQ(fs::status(side).permissions(), fs::perms(0640));
  lock.reset();
  fs::permissions(path, fs::perms(0400));
  lock = lock_owner_file(path, "labors.db", owner);
  EXPECT_EQ(fs::status(side).permissions(), fs::perms(0600)) << "its owner writes it in any case";
}

TEST_F(OwnerLockTest, R1_root_leaves_nothing_that_the_stores_user_could_not_take_over) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  std::ofstream(path) << "a store";
  ASSERT_EQ(chown(path.c_str(), 65534, 65533), 0);
  const auto lock = lock_owner_file(path, "labors.db", owner);
  struct stat about {};
  ASSERT_EQ(stat(side.c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 65534u);
  EXPECT_EQ(about.st_gid, 65533u);
}

TEST_F(OwnerLockTest, R1_what_is_no_record_is_looked_at_without_waiting) {
  ASSERT_EQ(mkfifo(side.c_str(), 0600), 0);
  EXPECT_NE(look_at_owner_file(path).problem, "");
  fs::remove(side);
  fs::create_symlink("/etc/passwd", side);
  EXPECT_NE(look_at_owner_file(path).problem, "") << "it follows no link";
}

TEST_F(OwnerLockTest, R1_excludes_within_a_process_and_goes_without_a_trace) {
  auto lock = lock_owner_file(path, "labors.db", owner);
  EXPECT_TRUE(fs::exists(side));
  for (const std::string& part : {std::string("labors.db"), std::to_string(getpid()), std::string("build-3"), std::string("alice"),
                                  std::string("rollout.py")}) {
    EXPECT_NE(refusal().find(part), std::string::npos) << refusal();
  }
  lock.reset();
  EXPECT_FALSE(fs::exists(side));
  EXPECT_EQ(refusal(), "");
}

TEST_F(OwnerLockTest, R1_what_a_dead_owner_left_does_not_lock) {
  std::ofstream(side) << "pid: 1\nprogram: long gone, with a long line that must not show through\n";
  const auto lock = lock_owner_file(path, "labors.db", owner);
  EXPECT_NE(refusal().find(std::to_string(getpid())), std::string::npos);
  EXPECT_EQ(refusal().find("long gone"), std::string::npos);
}

TEST_F(OwnerLockTest, R1_a_killed_process_leaves_no_lock) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto lock = lock_owner_file(path, "labors.db", {getpid(), "h", "u", "child", kNoon});
    if (write(pipe_ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char c = 0;
  ASSERT_EQ(read(pipe_ends[0], &c, 1), 1);
  EXPECT_NE(refusal().find(std::to_string(child)), std::string::npos) << refusal();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(lock_owner_file(path, "labors.db", owner));
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

/// A child between its fork and its exec shares the lock, and may be there for a moment longer than its parent.
TEST_F(OwnerLockTest, R1_a_dead_owner_whose_child_still_has_the_lock_is_waited_for) {
  const pid_t dead = fork();
  ASSERT_GE(dead, 0);
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const int held = open(side.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(held, LOCK_EX), 0);
  const auto text = owner_text({dead, owner.host, "u", "killed", kNoon});
  ASSERT_EQ(pwrite(held, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  std::thread child([held] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    close(held);
  });
  EXPECT_EQ(refusal(), "");
  child.join();
}

TEST_F(OwnerLockTest, R1_a_forked_child_neither_keeps_nor_drops_it) {
  auto lock = lock_owner_file(path, "labors.db", owner);
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    lock.reset();  // as a child that ends in order would
    if (write(pipe_ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char c = 0;
  ASSERT_EQ(read(pipe_ends[0], &c, 1), 1);
  EXPECT_TRUE(fs::exists(side));
  EXPECT_NE(refusal(), "") << "the child dropped its parent's lock";
  lock.reset();
  EXPECT_EQ(refusal(), "") << "the child keeps it";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST_F(OwnerLockTest, R1_is_not_inherited_by_a_program_that_is_started) {
  const auto lock = lock_owner_file(path, "labors.db", owner);
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error) != side) continue;
    const int flags = fcntl(std::stoi(entry.path().filename()), F_GETFD);
    EXPECT_NE(flags & FD_CLOEXEC, 0);
  }
}

TEST_F(OwnerLockTest, R1_one_of_many_at_a_time) {
  std::atomic<int> inside = 0, taken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        try {
          const auto lock = lock_owner_file(path, "labors.db", owner);
          ASSERT_EQ(++inside, 1);
          ++taken;
          --inside;
        } catch (const StoreInUse&) {
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_GT(taken, 100);
  EXPECT_FALSE(fs::exists(side));
}

TEST_F(OwnerLockTest, R1_what_has_its_name_and_is_none_is_not_written_over) {
  const auto refused = [&] {
    try {
      lock_owner_file(path, "labors.db", owner);
    } catch (const StorageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto letter = folder / "letter.txt";
  for (const std::string text : {"dear bob", "pid: 1, or so it says"}) {
    std::ofstream(letter) << text;
    fs::create_hard_link(letter, side);
    EXPECT_NE(refused().find("move it away"), std::string::npos) << refused();
    EXPECT_EQ(fs::file_size(letter), text.size());
    EXPECT_TRUE(fs::exists(side)) << "nor removed";
    fs::remove(side);
  }
  std::ofstream(side) << "a file of somebody's";
  EXPECT_NE(refused().find("move it away"), std::string::npos) << refused();
  fs::remove(side);
  fs::create_directory(side);
  EXPECT_NE(refused().find("move away"), std::string::npos) << refused();
  fs::remove(side);
  ASSERT_EQ(mkfifo(side.c_str(), 0600), 0);
  EXPECT_NE(refused().find("move it away"), std::string::npos) << refused();
}

TEST_F(OwnerLockTest, R1_a_side_file_that_cannot_be_made_is_an_error) {
  EXPECT_THROW(lock_owner_file(folder / "no/such/labors.db", "labors.db", owner), StorageError);
  fs::create_symlink("/etc/passwd", side);
  EXPECT_THROW(lock_owner_file(path, "labors.db", owner), StorageError) << "it follows no link";
}

}  // namespace
}  // namespace cogwork
