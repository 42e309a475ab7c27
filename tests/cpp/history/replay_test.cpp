// D7: what a replay says at the edges. That it is right in between, the random walks of the machine show (random_walk_test.cpp).
#include "cogwork/history/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t kMostChanges = 10;

Time at(int us) { return from_micros(1'700'000'000'000'000 + us); }

/// One Sequence with one Job that failed once and then completed, as it is stored at its end.
struct Story {
  Labor labor;
  std::vector<Change> changes;

  Story() {
    labor.name = "upgrade";
    labor.state = State::COMPLETED;
    labor.submitted = at(0);
    labor.started = at(10);
    labor.ended = at(60);
    Task task;
    task.name = "all";
    task.sequence_count = 1;
    task.state = State::COMPLETED;
    task.started = at(10);
    task.ended = at(60);
    labor.tasks.push_back(task);
    Sequence sequence;
    sequence.target = "web-1";
    sequence.job_count = 1;
    sequence.state = State::COMPLETED;
    sequence.started = at(10);
    sequence.ended = at(60);
    labor.sequences.push_back(sequence);
    Job job;
    job.cog_path = "install";
    job.state = State::COMPLETED;
    job.started = at(20);
    job.ended = at(60);
    Attempt lost;
    lost.number = 1;
    lost.started = at(20);
    lost.ended = at(30);
    lost.status = AttemptStatus::FAILURE;
    lost.error = "no route";
    Attempt won;
    won.number = 2;
    won.started = at(40);
    won.ended = at(60);
    won.status = AttemptStatus::SUCCESS;
    won.output = "\xa2ok";
    job.attempts = {lost, won};
    labor.jobs.push_back(job);
    number_tree(labor);
    for (const std::uint32_t ordinal : {0u, 1u, 2u}) change(ordinal, 10, State::NOT_STARTED, State::RUNNING);
    change(3, 20, State::NOT_STARTED, State::RUNNING);
    for (const std::uint32_t ordinal : {3u, 2u, 1u, 0u}) change(ordinal, 60, State::RUNNING, State::COMPLETED);
  }

  Change& change(std::uint32_t ordinal, int us, State from, State to) {
    Change c;
    c.ordinal = ordinal;
    c.at = at(us);
    c.from = from;
    c.to = to;
    return changes.emplace_back(c);
  }

  std::vector<HistoryRow> rows(std::uint64_t first = 1) const {
    std::vector<HistoryRow> rows;
    for (const auto& c : changes) {
      HistoryRow row;
      row.first = first++;
      row.count = 1;
      row.at = c.at;
      row.changes = pack_changes({c});
      rows.push_back(row);
    }
    return rows;
  }
};

TEST(Replay, D7_BeforeItsFirstChangeALaborIsAsItWasSubmitted) {
  const Story story;
  for (const auto when : {Moment::change(0), Moment::time(at(5))}) {
    const auto tree = tree_at(story.labor, story.rows(), when);
    EXPECT_EQ(tree.state, State::NOT_STARTED);
    EXPECT_EQ(tree.started, never);
    EXPECT_EQ(tree.name, "upgrade");
    EXPECT_EQ(tree.submitted, at(0));
    EXPECT_EQ(tree.jobs[0].state, State::NOT_STARTED);
    EXPECT_THAT(tree.jobs[0].attempts, IsEmpty());
  }
}

TEST(Replay, D7_AttemptsAreThoseThatHadBegun) {
  const Story story;
  const auto rows = story.rows();
  auto job = tree_at(story.labor, rows, Moment::time(at(25))).jobs[0];
  ASSERT_THAT(job.attempts, SizeIs(1));
  EXPECT_TRUE(job.attempts[0].open());
  EXPECT_EQ(job.attempts[0].ended, never);
  EXPECT_EQ(job.attempts[0].error, "") << "what it was to say was not known yet";

  job = tree_at(story.labor, rows, Moment::time(at(35))).jobs[0];
  ASSERT_THAT(job.attempts, SizeIs(1));
  EXPECT_EQ(job.attempts[0].status, AttemptStatus::FAILURE);
  EXPECT_EQ(job.attempts[0].error, "no route");

  job = tree_at(story.labor, rows, Moment::time(at(59))).jobs[0];
  ASSERT_THAT(job.attempts, SizeIs(2));
  EXPECT_TRUE(job.attempts[1].open());
  EXPECT_EQ(job.state, State::RUNNING);

  EXPECT_EQ(tree_at(story.labor, rows, Moment::time(at(60))), story.labor);
  EXPECT_EQ(tree_at(story.labor, rows, Moment::end()), story.labor);
  EXPECT_EQ(tree_at(story.labor, rows, Moment::change(8)), story.labor);
  EXPECT_EQ(tree_at(story.labor, rows, Moment::change(1000)), story.labor);
}

TEST(Replay, D7_InTheMiddleOfACommitEachChangeCounts) {
  const Story story;
  const auto tree = tree_at(story.labor, story.rows(), Moment::change(6));
  EXPECT_EQ(tree.jobs[0].state, State::COMPLETED);
  EXPECT_EQ(tree.sequences[0].state, State::COMPLETED);
  EXPECT_EQ(tree.tasks[0].state, State::RUNNING);
  EXPECT_EQ(tree.state, State::RUNNING);
}

TEST(Replay, G9_RefusedSignalsHoldNothing) {
  Story story;
  auto& refused = story.change(0, 70, State::COMPLETED, State::COMPLETED);
  refused.kind = Change::Kind::SIGNAL;
  refused.signal = Signal::PAUSE;
  refused.refused = true;
  EXPECT_EQ(tree_at(story.labor, story.rows(), Moment::end()), story.labor);
  EXPECT_THAT(check_replay(story.labor, story.rows(), kMostChanges), IsEmpty());
}

TEST(Replay, G9_APauseHoldsWhoWhenAndWhy) {
  Story story;
  auto& pause = story.change(1, 25, State::RUNNING, State::PAUSING);
  pause.kind = Change::Kind::SIGNAL;
  pause.signal = Signal::ADMIN_PAUSE;
  pause.by = "ann";
  pause.note = "INC-12";
  const auto tree = tree_at(story.labor, story.rows(), Moment::end());
  ASSERT_THAT(tree.tasks[0].holds, SizeIs(1));
  EXPECT_EQ(tree.tasks[0].holds[0], (Hold{Rank::ADMIN, at(25), "ann", "INC-12"}));
}

TEST(Replay, D7_WhatIsMissingAtTheEndIsFoundByTheTree) {
  const Story story;
  const auto rows = story.rows();
  EXPECT_THAT(check_replay(story.labor, rows, kMostChanges), IsEmpty());
  for (std::size_t left = 0; left < rows.size(); ++left) {
    const auto found = check_replay(story.labor, {rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(left)}, kMostChanges);
    ASSERT_FALSE(found.empty()) << left << " rows left";
    EXPECT_EQ(found[0].kind, Finding::Kind::HISTORY);
    EXPECT_EQ(found[0].number, left);
    EXPECT_THAT(found[0].what, HasSubstr("missing"));
  }
}

TEST(Replay, D7_ALaborThatNeverStartedAndHasNoRowLeftIsFoundToo) {
  Labor labor;
  labor.state = State::STOPPED;  // S6: stopped before it was started
  labor.ended = at(5);
  EXPECT_THAT(check_replay(labor, {}, kMostChanges), SizeIs(1));
  labor.state = State::ADMIN_NOT_STARTED;
  labor.ended = never;
  EXPECT_THAT(check_replay(labor, {}, kMostChanges), IsEmpty());
}

TEST(Replay, D7_WhatIsMissingInTheMiddleIsNamed) {
  const Story story;
  auto rows = story.rows();
  rows.erase(rows.begin() + 3);  // the Job started
  const auto found = check_replay(story.labor, rows, kMostChanges);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].number, 5u);
  EXPECT_EQ(found[0].ordinal, 3u);
  EXPECT_THAT(found[0].what, HasSubstr("Job 'install' of Sequence 'web-1' was NOT_STARTED"));
}

TEST(Replay, D7_ATreeThatWasChangedIsNamed) {
  const Story story;
  auto changed = story.labor;
  changed.sequences[0].ended += Duration(1);
  auto found = check_replay(changed, story.rows(), kMostChanges);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("Sequence 'web-1' of Task 'all' has other times"));
  changed = story.labor;
  changed.tasks[0].failures = 1;
  EXPECT_THAT(check_replay(changed, story.rows(), kMostChanges), SizeIs(1));
}

TEST(Replay, SaysNoMoreThanItIsAskedFor) {
  auto changed = Story().labor;
  changed.state = changed.tasks[0].state = changed.sequences[0].state = State::FAILED;
  const auto found = check_replay(changed, Story().rows(), 1);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("and 2 more like it"));
}

TEST(Replay, D7_AnObjectThatIsNotThereIsDamage) {
  Story story;
  story.change(77, 80, State::NOT_STARTED, State::RUNNING);
  EXPECT_THROW(tree_at(story.labor, story.rows(), Moment::end()), StorageError);
}

}  // namespace
}  // namespace cogwork
