#include "cogwork/model/structure.h"

#include <gtest/gtest.h>

#include <functional>

#include "cogwork/base/random.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

/// Two Tasks, each with a pre-check, a continuous check, and two Sequences of two Jobs.
Labor make_tree() {
  Labor labor;
  for (std::uint32_t t = 0; t < 2; ++t) {
    Task task;
    task.first_job = static_cast<std::uint32_t>(labor.jobs.size());
    task.first_sequence = static_cast<std::uint32_t>(labor.sequences.size());
    task.pre_check_count = task.cont_check_count = 1;
    task.sequence_count = 2;
    const auto job = [&](JobKind kind, std::uint32_t sequence) {
      auto& made = labor.jobs.emplace_back();
      made.kind = kind;
      made.task = t;
      made.sequence = sequence;
    };
    job(JobKind::PRE_CHECK, Job::kNoSequence);
    job(JobKind::CONT_CHECK, Job::kNoSequence);
    for (int s = 0; s < 2; ++s) {
      auto& sequence = labor.sequences.emplace_back();
      sequence.task = t;
      sequence.first_job = static_cast<std::uint32_t>(labor.jobs.size());
      sequence.job_count = 2;
      for (int j = 0; j < 2; ++j) job(JobKind::WORK, static_cast<std::uint32_t>(labor.sequences.size() - 1));
    }
    labor.tasks.push_back(task);
  }
  number_tree(labor);
  return labor;
}

TEST(Structure, T1_a_tree_is_whole) {
  EXPECT_EQ(why_not_whole(make_tree()), "");
  EXPECT_EQ(why_not_whole(Labor()), "") << "without its Tasks a Labor is a Labor";
}

TEST(Structure, T1_what_does_not_fit_is_named) {
  const struct {
    const char* where;
    std::function<void(Labor&)> deed;
  } kDeeds[] = {
      {"Task[0]: ", [](Labor& l) { l.tasks[0].first_job = 1; }},
      {"Task[1]: ", [](Labor& l) { l.tasks[1].first_sequence = 3; }},
      {"Task[0].ContCheck[0]: ",
       [](Labor& l) {
         l.tasks[0].pre_check_count = 0;
         l.tasks[0].cont_check_count = 2;
       }},
      {"Task[0].ContCheck[1]: ", [](Labor& l) { l.tasks[0].cont_check_count = UINT32_MAX; }},
      {"Task[0].Sequence[2]: ", [](Labor& l) { l.tasks[0].sequence_count = UINT32_MAX; }},
      {"Task[0].Sequence[1].Job[2]: ", [](Labor& l) { l.sequences[1].job_count = UINT32_MAX; }},
      {"Task[0].Sequence[0]: ", [](Labor& l) { l.sequences[0].task = 1; }},
      {"Task[0].Sequence[0]: ", [](Labor& l) { l.sequences[0].first_job = UINT32_MAX; }},
      {"Task[0].Sequence[1]: ", [](Labor& l) { l.sequences[0].job_count = 1; }},
      {"Task[1].PreCheck[0]: ", [](Labor& l) { l.jobs[6].kind = JobKind::WORK; }},
      {"Task[1].Sequence[0].Job[1]: ", [](Labor& l) { l.jobs[9].sequence = Job::kNoSequence; }},
      {"Task[1].Sequence[0].Job[1]: ", [](Labor& l) { l.jobs[9].task = 0; }},
      {"Task[1].Sequence[1].Job[1]: ", [](Labor& l) { l.jobs[11].ordinal |= 1U << 31; }},
      {"Task[0].Sequence[0].Job[0]: ", [](Labor& l) { l.jobs.erase(l.jobs.begin() + 2); }},
      {"Task[1].Sequence[1].Job[1]: ", [](Labor& l) { l.jobs.pop_back(); }},
      {"Task[1].Sequence[0]: ", [](Labor& l) { l.sequences.erase(l.sequences.begin() + 2); }},
      {"Task[0].Sequence[0]: ", [](Labor& l) { l.sequences.clear(); }},
      {"there are rows of Jobs", [](Labor& l) { l.jobs.emplace_back(); }},
      {"there are rows of Sequences", [](Labor& l) { l.sequences.emplace_back(); }},
      {"there are rows of Sequences", [](Labor& l) { l.tasks.clear(); }},
      {"Task[0]: ", [](Labor& l) { std::swap(l.tasks[0], l.tasks[1]); }},
      {"Task[0].Sequence[0].Job[0]: ", [](Labor& l) { std::swap(l.jobs[2], l.jobs[3]); }},
  };
  for (const auto& [where, deed] : kDeeds) {
    auto labor = make_tree();
    deed(labor);
    EXPECT_TRUE(why_not_whole(labor).starts_with(where)) << where << " / " << why_not_whole(labor);
  }
}

TEST(Structure, T1_whatever_its_numbers_say_it_is_looked_at_within_its_tables) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  const auto whole = make_tree();
  for (int i = 0; i < 20'000; ++i) {
    auto labor = whole;
    std::uint32_t* const numbers[] = {
        &labor.tasks[random.below(2)].first_job,       &labor.tasks[random.below(2)].first_sequence,
        &labor.tasks[random.below(2)].pre_check_count, &labor.tasks[random.below(2)].cont_check_count,
        &labor.tasks[random.below(2)].sequence_count,  &labor.tasks[random.below(2)].ordinal,
        &labor.sequences[random.below(4)].task,        &labor.sequences[random.below(4)].first_job,
        &labor.sequences[random.below(4)].job_count,   &labor.jobs[random.below(12)].task,
        &labor.jobs[random.below(12)].sequence,        &labor.jobs[random.below(12)].ordinal,
    };
    auto& number = *numbers[random.below(std::size(numbers))];
    const auto before = number;
    number = random.chance(0.5) ? number ^ 1U << random.below(32) : static_cast<std::uint32_t>(random.next());
    ASSERT_EQ(why_not_whole(labor).empty(), number == before);
  }
}

}  // namespace
}  // namespace cogwork
