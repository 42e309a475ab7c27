// Whatever bytes come in, readers answer with a value, faults or an error; they never crash. Run under the sanitizers, that says
// more than it seems.
#include <gtest/gtest.h>

#include <numeric>

#include "cogwork/base/error.h"
#include "cogwork/model/document.h"
#include "cogwork/model/validate.h"
#include "cogwork/model/wire.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

class NoCogs final : public CogLookup {
 public:
  const CogDefaults* defaults(std::string_view) const override { return nullptr; }
  std::string suggestion(std::string_view) const override { return {}; }
};

template <typename F>
void survives(F f) {
  try {
    f();
  } catch (const Error&) {  // StorageError and what a filter throws; anything else fails the test
  }
}

/// The tables are sound: every index is in range, and together they are the tree.
void expect_sound(const Labor& l) {
  std::size_t sequences = 0, jobs = 0;
  for (std::size_t t = 0; t < l.tasks.size(); ++t) {
    const auto& task = l.tasks[t];
    ASSERT_EQ(task.first_sequence, sequences);
    ASSERT_EQ(task.first_job, jobs);
    for (std::uint32_t c = 0; c < task.check_count(); ++c, ++jobs) {
      ASSERT_LT(jobs, l.jobs.size());
      ASSERT_EQ(l.jobs[jobs].task, t);
      ASSERT_EQ(l.jobs[jobs].kind, c < task.pre_check_count ? JobKind::PRE_CHECK : JobKind::CONT_CHECK);
    }
    for (std::uint32_t s = 0; s < task.sequence_count; ++s, ++sequences) {
      ASSERT_LT(sequences, l.sequences.size());
      const auto& sequence = l.sequences[sequences];
      ASSERT_EQ(sequence.task, t);
      ASSERT_EQ(sequence.first_job, jobs);
      for (std::uint32_t j = 0; j < sequence.job_count; ++j, ++jobs) {
        ASSERT_LT(jobs, l.jobs.size());
        ASSERT_EQ(l.jobs[jobs].sequence, sequences);
        ASSERT_EQ(l.jobs[jobs].kind, JobKind::WORK);
      }
    }
  }
  ASSERT_EQ(sequences, l.sequences.size());
  ASSERT_EQ(jobs, l.jobs.size());
}

void try_all(const std::string& bytes) {
  std::vector<Fault> faults;
  auto labor = read_submitted(bytes, faults);
  expect_sound(labor);
  if (!is_msgpack(bytes)) {
    ASSERT_FALSE(faults.empty()) << "broken bytes were taken";
  }
  validate(labor, NoCogs(), faults);
  for (const auto& issue : to_issues(labor, faults)) {
    ASSERT_TRUE(is_utf8(issue.message)) << issue.message;
    ASSERT_TRUE(is_utf8(issue.place)) << issue.place;
    ASSERT_LT(issue.message.size(), 1000u);
  }
  complete(labor, NoCogs());

  survives([&] {
    const auto stored = read_document(bytes);
    expect_sound(stored);
    ASSERT_TRUE(read_document(write_document(stored)) == stored);
  });
  Id id;
  survives([&] { read_task_document(bytes, id); });
  survives([&] { read_sequence_document(bytes, id); });
  survives([&] { read_job_document(bytes, id); });
  survives([&] { read_attempts(bytes); });
  survives([&] { read_holds(bytes); });
  survives([&] { read_filter(bytes); });
}

TEST(Garbage, RandomBytes) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 10'000; ++i) {
    std::string bytes;
    for (auto n = random.below(40); n > 0; --n) bytes.push_back(static_cast<char>(random.next()));
    ASSERT_NO_FATAL_FAILURE(try_all(bytes));
  }
}

/// Bytes that a random walk through the grammar makes: field names in the right places, values of the wrong kinds.
std::string nonsense(Random& random, int depth) {
  static const std::vector<std::string> kNames = {"tasks", "sequences", "jobs",        "pre_checks", "cont_checks", "name",
                                                  "id",    "args",      "state",       "timeout",    "attempts",    "holds",
                                                  "tags",  "cogs",      "concurrency", "output"};
  switch (random.below(depth > 0 ? 12 : 7)) {
    case 0: return "\xc0";
    case 1: return std::string(1, static_cast<char>(random.below(128)));
    case 2:
      return "\xa3"
             "abc";
    case 3: return "\xa2\xff\xfe";
    case 4: return std::string("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9);
    case 5: return std::string("\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", 15);
    case 6: return "\xda\x01";  // cut off
    case 7:
    case 8: {
      const auto n = random.below(4);
      std::string out(1, static_cast<char>(0x90 | n));
      for (std::uint64_t i = 0; i < n; ++i) out += nonsense(random, depth - 1);
      return out;
    }
    default: {
      const auto n = random.below(6);
      std::string out(1, static_cast<char>(0x80 | n));
      for (std::uint64_t i = 0; i < n; ++i) {
        const auto& name = kNames[random.below(kNames.size())];
        out += static_cast<char>(0xa0 | name.size());
        out += name + nonsense(random, depth - 1);
      }
      return out;
    }
  }
}

TEST(Garbage, WellFormedNonsense) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 10'000; ++i) ASSERT_NO_FATAL_FAILURE(try_all(nonsense(random, 8)));
}

TEST(Garbage, MutatedDocuments) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 40; ++i) {
    auto labor = random_labor(random, {.tasks = 2, .sequences = 2, .jobs = 2, .checks = 1, .results = i % 2 == 0});
    if (i % 2) labor.id = {};
    const auto document = write_document(labor);
    for (int m = 0; m < 60; ++m) {
      auto bytes = document;
      for (auto n = 1 + random.below(4); n > 0; --n) {
        const auto at = random.below(bytes.size());
        switch (random.below(5)) {
          case 0: bytes[at] = static_cast<char>(random.next()); break;
          case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
          case 2: bytes.erase(at, 1 + random.below(8)); break;
          case 3: bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(30))); break;
          default: bytes.resize(at + 1);
        }
        if (bytes.empty()) bytes = "\x80";
      }
      ASSERT_NO_FATAL_FAILURE(try_all(bytes));
    }
  }
}

}  // namespace
}  // namespace cogwork
