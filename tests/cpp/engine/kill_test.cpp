// R2, R5 the hard way: a process that runs an engine is killed, and another one goes on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "cogwork/engine/engine.h"
#include "support/engine_world.h"

namespace cogwork::test {
namespace {

using S = State;

constexpr int kLabors = 5;

Labor labor_of_the_child(int number) {
  auto labor = with_checks(tree_of(60, "work", 6, 3), {"check"}, {"check"});
  labor.client_id = "labor" + std::to_string(number);
  labor.tasks[0].cont_check_interval = std::chrono::milliseconds(2);
  labor.tasks[0].tolerated_failures.number = -1;
  for (std::size_t j = 0; j < labor.jobs.size(); ++j) {
    labor.jobs[j].options.retries = 3;
    labor.jobs[j].options.on_interrupt = static_cast<std::int8_t>(j % 4 == 3 ? OnInterrupt::HOLD : OnInterrupt::RETRY);
  }
  return labor;
}

Outcome work(const Call& call) {
  return call.request().job.ordinal() % 5 == 0 && call.request().number == 1 ? answer(AttemptStatus::FAILURE, "once more")
                                                                             : Outcome{};
}

/// The child: submits and runs; writes a byte for each call that begins, until it is killed.
[[noreturn]] void run_child(const std::string& path, int calls) {
  {
    const auto told = [calls](const Call& call) {
      const char byte = 'x';
      if (write(calls, &byte, 1) != 1) _exit(3);
      return call.request().check ? Outcome{} : work(call);
    };
    EngineWorld w(open_sqlite_store(path, OpenMode::OWNER), {}, {{"work", told}, {"check", told}});
    std::vector<Id> ids;
    for (int i = 0; i < kLabors; ++i) ids.push_back(w.submit(labor_of_the_child(i), true, "child"));
    for (const auto& id : ids) w.wait(id);
    const char all = 'e';
    if (write(calls, &all, 1) != 1) _exit(4);
    pause();
  }
  _exit(5);
}

class Killed : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("cogwork-kill-test-" + std::to_string(getpid()) + "-" + std::to_string(GetParam()));
    std::filesystem::create_directories(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::filesystem::path path_;
};

TEST_P(Killed, R2R5AllThatWasBegunComesToItsEndOnce) {
  const auto file = (path_ / "labors.db").string();
  int calls[2];
  ASSERT_EQ(pipe(calls), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(calls[0]);
    run_child(file, calls[1]);
  }
  close(calls[1]);
  char bytes[64];
  bool at_its_end = false;
  for (int seen = 0; seen < GetParam() && !at_its_end;) {
    const auto got = read(calls[0], bytes, std::min<std::size_t>(sizeof bytes, static_cast<std::size_t>(GetParam() - seen)));
    ASSERT_GT(got, 0) << "the child ended by itself";
    at_its_end = std::find(bytes, bytes + got, 'e') != bytes + got;
    seen += static_cast<int>(got);
  }
  try {
    EngineWorld second(open_sqlite_store(file, OpenMode::OWNER));
    ADD_FAILURE() << "R1: two engines own one store";
  } catch (const StoreInUse& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(child)), std::string::npos) << error.what();
  }
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  close(calls[0]);

  auto store = open_sqlite_store(file, OpenMode::OWNER);
  EngineWorld w(store, {}, {{"work", work}, {"check", [](const Call&) { return Outcome{}; }}});
  std::set<Id> held;
  bool rerun = true;
  for (const auto& job : w.engine->stats().held) {
    w.engine->decide({job.job, rerun ? Decision::RERUN : Decision::COMPLETED, "ann", ""});
    held.insert(job.job.labor());
    rerun = !rerun;
  }
  for (const auto& id : held) {
    if (w.engine->state(id) == S::ADMIN_PAUSED) w.signal(id, Signal::ADMIN_RESUME);
  }
  for (int i = 0; i < kLabors; ++i) {
    // What was acknowledged is there; what was not is submitted now. S3: neither is there twice.
    const auto done = w.wait(w.submit(labor_of_the_child(i), true, "child"));
    EXPECT_EQ(done.state, S::COMPLETED);
    expect_sound_tree(done);
    for (const auto& job : done.jobs) {
      EXPECT_EQ(job.state, S::COMPLETED);
      if (job.is_check()) continue;
      int failures = 0;
      for (const auto& attempt : job.attempts) failures += attempt.status == AttemptStatus::FAILURE ? 1 : 0;
      EXPECT_LE(failures, 1);
    }
  }
  int labors = 0;
  for (auto stream = store->labors({}); stream->next();) ++labors;
  EXPECT_EQ(labors, kLabors);
  w.engine->close({}, false);
  expect_sound_history(*store);
}

INSTANTIATE_TEST_SUITE_P(AfterCalls, Killed, testing::Values(1, 3, 20, 100, 333, 700));

}  // namespace
}  // namespace cogwork::test
