#include "cogwork/model/validate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "support/random_labor.h"

namespace cogwork {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Lines = std::vector<std::string>;

class Cogs final : public CogLookup {
 public:
  Cogs() {
    for (const auto& name : kRandomCogs) known_[name] = {};
  }
  CogDefaults& operator[](const std::string& name) { return known_[name]; }
  const CogDefaults* defaults(std::string_view cog_path) const override {
    ++asked;
    const auto it = known_.find(cog_path);
    return it == known_.end() ? nullptr : &it->second;
  }
  std::string suggestion(std::string_view cog_path) const override {
    return cog_path == "upgrad" ? " - did you mean 'upgrade'?" : "";
  }
  mutable int asked = 0;

 private:
  std::map<std::string, CogDefaults, std::less<>> known_;
};

/// Tasks of one-Job Sequences for "edge-0", "edge-1" and so on.
Labor plain(std::uint32_t sequences = 1, std::uint32_t tasks = 1, std::uint32_t jobs = 1) {
  Labor labor;
  for (std::uint32_t t = 0; t < tasks; ++t) {
    Task task;
    task.name = t == 0 ? "rest" : "next";
    task.first_job = static_cast<std::uint32_t>(labor.jobs.size());
    task.first_sequence = static_cast<std::uint32_t>(labor.sequences.size());
    task.sequence_count = sequences;
    labor.tasks.push_back(task);
    for (std::uint32_t s = 0; s < sequences; ++s) {
      Sequence sequence;
      sequence.task = t;
      sequence.target = "edge-" + std::to_string(s);
      sequence.first_job = static_cast<std::uint32_t>(labor.jobs.size());
      sequence.job_count = jobs;
      labor.sequences.push_back(sequence);
      for (std::uint32_t j = 0; j < jobs; ++j) {
        Job job;
        job.task = t;
        job.sequence = static_cast<std::uint32_t>(labor.sequences.size() - 1);
        job.cog_path = "upgrade";
        labor.jobs.push_back(job);
      }
    }
  }
  return labor;
}

/// Puts checks before the Jobs of the only Task.
void add_checks(Labor& labor, std::uint32_t pre, std::uint32_t cont) {
  Job check;
  check.sequence = Job::kNoSequence;
  check.cog_path = "healthy";
  check.kind = JobKind::CONT_CHECK;
  labor.jobs.insert(labor.jobs.begin(), cont, check);
  check.kind = JobKind::PRE_CHECK;
  labor.jobs.insert(labor.jobs.begin(), pre, check);
  labor.tasks[0].pre_check_count = pre;
  labor.tasks[0].cont_check_count = cont;
  for (auto& s : labor.sequences) s.first_job += pre + cont;
}

Lines lines(const std::vector<Issue>& issues) {
  Lines out;
  for (const auto& issue : issues) {
    out.push_back((issue.place.empty() ? "" : issue.place + ": ") + issue.message +
                  (issue.count > 1 ? " x" + std::to_string(issue.count) : ""));
  }
  return out;
}
Lines check(const Labor& labor, const Cogs& cogs = {}) {
  std::vector<Fault> faults;
  validate(labor, cogs, faults);
  return lines(to_issues(labor, std::move(faults)));
}

TEST(Validate, S2_WhatIsValidHasNoFaults) {
  EXPECT_EQ(check(plain()), Lines{});
  EXPECT_EQ(check(plain(100, 3, 2)), Lines{});
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 200; ++i) {
    auto labor = random_labor(random);
    labor.id = {};
    ASSERT_EQ(check(labor), Lines{});
  }
}

TEST(Validate, S2_ALaborHasATask) { EXPECT_EQ(check(Labor{}), Lines{"has no Tasks; a Labor needs at least one"}); }

TEST(Validate, S2_ATaskHasASequence) {
  auto labor = plain();
  labor.tasks.emplace_back();
  EXPECT_EQ(check(labor), Lines{"Task[1]: has no Sequences; a Task needs at least one"});
}

TEST(Validate, S2_ASequenceHasATargetAndAJob) {
  auto labor = plain(2);
  labor.sequences[0].target = "";
  labor.sequences[1].job_count = 0;
  labor.jobs.pop_back();
  EXPECT_EQ(check(labor), (Lines{"Task[0].Sequence[0] ('rest'): has no target",
                                 "Task[0].Sequence[1] ('rest', 'edge-1'): has no Jobs; a Sequence needs at least one"}));
}

TEST(Validate, S2_EachTagIsOneWord) {
  auto labor = plain();
  labor.tags = {"edge", "straße", "a-b_c.d/e:f"};
  EXPECT_EQ(check(labor), Lines{});
  labor.tags = {"two words", "", "tab\t", "line\n", "no\u00a0break", "wide\u3000space"};
  EXPECT_EQ(check(labor), (Lines{"tags: 'two words' is not one word", "tags: '' is not one word",
                                 "tags: 'tab\\x09' is not one word", "tags: 'line\\x0a' is not one word",
                                 "tags: 'no\u00a0break' is not one word", "tags: 'wide\u3000space' is not one word"}));
}

TEST(Validate, S2_NothingHasAnIdAStateOrAReason) {
  auto labor = plain();
  Random random(1);
  labor.id = Id::make(random);
  labor.state = State::ADMIN_NOT_STARTED;
  labor.tasks[0].reason = Reason::MAX_FAILURES;
  labor.sequences[0].state = State::UNKNOWN;
  labor.jobs[0].state = State::COMPLETED;
  EXPECT_EQ(check(labor),
            (Lines{"id: is set already; ids are given at submit (as_new() makes a copy)",
                   "state: is ADMIN_NOT_STARTED; only what is NOT_STARTED can be submitted",
                   "Task[0] ('rest'): reason: is MAX_FAILURES; only what has not failed can be submitted",
                   "Task[0].Sequence[0] ('rest', 'edge-0'): state: is UNKNOWN; only what is NOT_STARTED can be submitted",
                   "Task[0].Sequence[0].Job[0] ('rest', 'edge-0'): state: is COMPLETED; only what is NOT_STARTED can be "
                   "submitted"}));
}

TEST(Validate, S2_TheNumbersOfATask) {
  auto labor = plain();
  auto& task = labor.tasks[0];
  task.concurrency.number = 1;
  task.tolerated_failures.number = -1;
  task.cont_check_interval = Duration(1);
  EXPECT_EQ(check(labor), Lines{});
  task.concurrency.number = 0;
  task.tolerated_failures.number = -2;
  task.cont_check_interval = Duration(0);
  task.bake = -seconds(1);
  task.entry_delay = -Duration(1);
  EXPECT_EQ(check(labor), (Lines{"Task[0] ('rest'): concurrency: must be 1 or more, is 0",
                                 "Task[0] ('rest'): tolerated_failures: must be 0 or more, or -1 for no limit, is -2",
                                 "Task[0] ('rest'): cont_check_interval: must be longer than 0, is 0 s",
                                 "Task[0] ('rest'): bake: must not be negative, is -1 s",
                                 "Task[0] ('rest'): entry_delay: must not be negative, is -1e-06 s"}));
}

TEST(Validate, S2_TheOptionsOfAJob) {
  auto labor = plain();
  auto& o = labor.jobs[0].options;
  o.timeout = Duration(1);
  o.retry_delay = o.retry_max_delay = Duration(0);
  o.retries = 0;
  o.retry_backoff = 1;
  EXPECT_EQ(check(labor), Lines{});
  o.timeout = Duration(0);
  o.retry_delay = -seconds(2);
  o.retry_max_delay = -seconds(3);
  o.retry_backoff = 0.5;
  const std::string job = "Task[0].Sequence[0].Job[0] ('rest', 'edge-0'): ";
  EXPECT_EQ(check(labor),
            (Lines{job + "timeout: must be longer than 0, is 0 s", job + "retry_delay: must not be negative, is -2 s",
                   job + "retry_max_delay: must not be negative, is -3 s", job + "retry_backoff: must be 1 or more, is 0.5"}));
}

TEST(Validate, S2_CogsLoadChecksIncluded) {
  auto labor = plain(2);
  add_checks(labor, 2, 1);
  labor.jobs[1].cog_path = "upgrad";
  labor.jobs[2].cog_path = "";
  labor.jobs[2].name = "canary";
  labor.jobs[4].cog_path = "nowhere";
  EXPECT_EQ(check(labor), (Lines{"Task[0].PreCheck[1] ('rest'): cog 'upgrad' is not registered - did you mean 'upgrade'?",
                                 "Task[0].ContCheck[0] ('rest', 'canary'): has no cog_path",
                                 "Task[0].Sequence[1].Job[0] ('rest', 'edge-1'): cog 'nowhere' is not registered"}));
}

TEST(Validate, ACogIsLookedUpOnce) {
  const Cogs cogs;
  EXPECT_EQ(check(plain(1000, 2, 2), cogs), Lines{});
  EXPECT_EQ(cogs.asked, 1);
}

// ---- shares ----

Amount resolved(const char* share, std::uint32_t sequences, bool concurrency = false) {
  auto labor = plain(sequences);
  auto& task = labor.tasks[0];
  (concurrency ? task.concurrency : task.tolerated_failures) = {0, share};
  const Cogs cogs;
  EXPECT_EQ(check(labor, cogs), Lines{}) << share;
  complete(labor, cogs);
  return concurrency ? labor.tasks[0].concurrency : labor.tasks[0].tolerated_failures;
}

TEST(Share, X4a_IsRoundedDownExactly) {
  EXPECT_EQ(resolved("10%", 100).number, 10);
  EXPECT_EQ(resolved("10%", 109).number, 10);
  EXPECT_EQ(resolved("10%", 9).number, 0);
  EXPECT_EQ(resolved("0.1%", 1000).number, 1) << "1000 * 0.001 is not quite 1 in floating point";
  EXPECT_EQ(resolved("0.1%", 3000).number, 3);
  EXPECT_EQ(resolved("29%", 100).number, 29) << "0.29 * 100 is 28.999";
  EXPECT_EQ(resolved("57%", 100).number, 57);
  EXPECT_EQ(resolved("2.5%", 40).number, 1);
  EXPECT_EQ(resolved("2.5%", 39).number, 0);
  EXPECT_EQ(resolved("33.333333333%", 3).number, 0);
  EXPECT_EQ(resolved("66.666666667%", 3).number, 2);
  EXPECT_EQ(resolved("100%", 7).number, 7);
  EXPECT_EQ(resolved("100.000000000000%", 7).number, 7);
  EXPECT_EQ(resolved("0%", 7).number, 0);
  EXPECT_EQ(resolved("007%", 100).number, 7);
  EXPECT_EQ(resolved(" 10 %", 100).number, 10);
}

TEST(Share, X4a_AllPercentsOfAllSmallTasks) {
  for (std::uint32_t n = 1; n <= 60; ++n) {
    for (int tenths = 0; tenths <= 1000; tenths += 7) {
      const auto share = std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + "%";
      ASSERT_EQ(resolved(share.c_str(), n).number, static_cast<std::int64_t>(tenths) * n / 1000) << share << " of " << n;
    }
  }
}

TEST(Share, X4a_ConcurrencyIsAtLeastOne) {
  EXPECT_EQ(resolved("10%", 3, true).number, 1);
  EXPECT_EQ(resolved("0%", 3, true).number, 1);
  EXPECT_EQ(resolved("10%", 30, true).number, 3);
}

TEST(Share, X4a_BothTheShareAndTheNumberStay) { EXPECT_EQ(resolved("2.50%", 80), (Amount{2, "2.50%"})); }

TEST(Share, X4a_IsOfTheWholeTask) {
  auto labor = plain(10, 2);
  labor.tasks[1].tolerated_failures = {0, "50%"};
  complete(labor, Cogs());
  EXPECT_EQ(labor.tasks[1].tolerated_failures.number, 5) << "of its own Sequences, not of the Labor's";
}

TEST(Share, S2_WhatIsNoShareIsAFault) {
  for (const char* bad : {"10",
                          "%",
                          "ten%",
                          "-1%",
                          "+1%",
                          "101%",
                          "100.1%",
                          "100.000000001%",
                          "1e1%",
                          "1,5%",
                          "1.%",
                          ".5%",
                          "1.2.3%",
                          "0x1%",
                          "10%%",
                          "10 percent",
                          "nan%",
                          "99999999999999999999999999%",
                          "0.0000000001%",
                          "\xef\xbc\x91%"}) {
    auto labor = plain();
    labor.tasks[0].concurrency = {1, bad};
    EXPECT_EQ(check(labor), Lines{"Task[0] ('rest'): concurrency: '" + std::string(bad) + "' is no share from \"0%\" to \"100%\""});
  }
}

// ---- defaults ----

TEST(Complete, M6_Defaults) {
  auto labor = plain();
  add_checks(labor, 1, 0);
  complete(labor, Cogs());
  const auto& o = labor.jobs[1].options;
  EXPECT_EQ(o.timeout, minutes(5));
  EXPECT_EQ(o.retries, 0);
  EXPECT_EQ(o.retry_delay, Duration(0));
  EXPECT_EQ(o.retry_backoff, 1);
  EXPECT_EQ(o.retry_max_delay.count(), kNotGiven) << "none";
  EXPECT_EQ(o.on_interrupt, static_cast<int>(OnInterrupt::HOLD));
  EXPECT_EQ(labor.jobs[0].options.on_interrupt, static_cast<int>(OnInterrupt::RETRY)) << "R2: of a check";
}

TEST(Complete, M6_ACogsDefaultsComeBeforeTheGeneralOnesAndBehindTheJobs) {
  auto labor = plain(2);
  Cogs cogs;
  auto& d = cogs["upgrade"].options;
  d.timeout = seconds(30);
  d.retries = 2;
  d.retry_delay = seconds(1);
  d.retry_backoff = 1.5;
  d.retry_max_delay = seconds(60);
  d.on_interrupt = static_cast<std::int8_t>(OnInterrupt::FAIL);
  auto own = JobOptions{seconds(1), seconds(2), seconds(3), 4, 5, static_cast<std::int8_t>(OnInterrupt::RETRY)};
  labor.jobs[1].options = own;
  complete(labor, cogs);
  EXPECT_EQ(labor.jobs[0].options, d);
  EXPECT_EQ(labor.jobs[1].options, own);
}

TEST(Complete, R2_WhatMayBeRunAgainIs) {
  auto labor = plain();
  Cogs cogs;
  cogs["upgrade"].idempotent = true;
  complete(labor, cogs);
  EXPECT_EQ(labor.jobs[0].options.on_interrupt, static_cast<int>(OnInterrupt::RETRY));

  cogs["upgrade"].options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::FAIL);
  labor = plain();
  complete(labor, cogs);
  EXPECT_EQ(labor.jobs[0].options.on_interrupt, static_cast<int>(OnInterrupt::FAIL))
      << "what is said counts more than what follows";
}

TEST(Complete, NumbersTheTree) {
  auto labor = plain(2, 2, 2);
  complete(labor, Cogs());
  EXPECT_EQ(labor.tasks[0].ordinal, 1u);
  EXPECT_EQ(labor.sequences[0].ordinal, 2u);
  EXPECT_EQ(labor.jobs[0].ordinal, 3u);
  EXPECT_EQ(labor.jobs[1].ordinal, 4u);
  EXPECT_EQ(labor.sequences[1].ordinal, 5u);
  EXPECT_EQ(labor.tasks[1].ordinal, 8u);
  EXPECT_EQ(labor.jobs.back().ordinal, 14u);
}

// ---- places, order, folding ----

Fault fault(Fault::Where where, std::uint32_t task, std::uint32_t sequence, std::uint32_t job, std::string message) {
  return {where, task, sequence, job, std::move(message), {}};
}

TEST(Issues, S1_EachNamesItsPlaceThenTheNames) {
  auto labor = plain(3, 1, 2);
  add_checks(labor, 2, 1);
  using enum Fault::Where;
  labor.jobs[labor.sequences[2].first_job + 1].name = "";
  EXPECT_EQ(lines(to_issues(labor, {fault(JOB, 0, 2, 1, "x")})), Lines{"Task[0].Sequence[2].Job[1] ('rest', 'edge-2'): x"});
  labor.jobs[labor.sequences[2].first_job + 1].name = "copy";
  EXPECT_EQ(lines(to_issues(labor, {fault(JOB, 0, 2, 1, "x")})), Lines{"Task[0].Sequence[2].Job[1] ('rest', 'edge-2', 'copy'): x"});
  EXPECT_EQ(lines(to_issues(labor, {fault(PRE_CHECK, 0, 0, 1, "x")})), Lines{"Task[0].PreCheck[1] ('rest'): x"});
  EXPECT_EQ(lines(to_issues(labor, {fault(CONT_CHECK, 0, 0, 0, "x")})), Lines{"Task[0].ContCheck[0] ('rest'): x"});
  EXPECT_EQ(lines(to_issues(labor, {fault(LABOR, 0, 0, 0, "x")})), Lines{"x"});
  auto named = fault(TASK, 0, 0, 0, "x");
  named.names = "'by hand'";
  EXPECT_EQ(lines(to_issues(labor, {named})), Lines{"Task[0] ('by hand'): x"});
}

TEST(Issues, S1_PlacesThatTheTablesDoNotHaveAreNamedAllTheSame) {
  using enum Fault::Where;
  EXPECT_EQ(lines(to_issues(Labor{}, {fault(JOB, 5, 6, 7, "x")})), Lines{"Task[5].Sequence[6].Job[7]: x"});
  EXPECT_EQ(lines(to_issues(plain(), {fault(JOB, 0, 6, 7, "x"), fault(PRE_CHECK, 0, 0, 9, "x")})),
            (Lines{"Task[0].PreCheck[9] ('rest'): x", "Task[0].Sequence[6].Job[7] ('rest'): x"}));
}

TEST(Issues, S1_InTheOrderOfTheTree) {
  using enum Fault::Where;
  const auto labor = plain(2, 2, 2);
  const std::vector<Fault> in_order = {
      fault(LABOR, 0, 0, 0, "a"),      fault(TASK, 0, 0, 0, "b"),     fault(PRE_CHECK, 0, 0, 1, "c"),
      fault(CONT_CHECK, 0, 0, 0, "d"), fault(SEQUENCE, 0, 0, 0, "e"), fault(JOB, 0, 0, 1, "f"),
      fault(SEQUENCE, 0, 1, 0, "g"),   fault(JOB, 0, 1, 0, "h"),      fault(JOB, 0, 1, 0, "second of one place"),
      fault(TASK, 1, 0, 0, "i")};
  Random random(4);
  for (int i = 0; i < 50; ++i) {
    auto shuffled = in_order;
    for (std::size_t k = shuffled.size(); k > 1; --k) std::swap(shuffled[k - 1], shuffled[random.below(k)]);
    const auto h = std::find_if(shuffled.begin(), shuffled.end(), [](const Fault& f) { return f.message == "h"; });
    const auto second = std::find_if(shuffled.begin(), shuffled.end(), [](const Fault& f) { return f.message.size() > 1; });
    if (second < h) std::iter_swap(h, second);
    std::string order;
    for (const auto& issue : to_issues(labor, shuffled)) order += issue.message[0];
    EXPECT_EQ(order, "abcdefghsi");
  }
}

TEST(Issues, S1_TheSameOnNeighboursIsOneLineWithACount) {
  auto labor = plain(100, 2, 3);
  for (auto& job : labor.jobs) job.cog_path = "gone";
  EXPECT_EQ(check(labor), (Lines{"Task[0].Sequence[0].Job[0] ('rest', 'edge-0'): cog 'gone' is not registered x300",
                                 "Task[1].Sequence[0].Job[0] ('next', 'edge-0'): cog 'gone' is not registered x300"}));
}

TEST(Issues, S1_FaultsThatTakeTurnsFoldToo) {
  auto labor = plain(100);
  for (auto& job : labor.jobs) {
    job.cog_path = "gone";
    job.options.timeout = Duration(0);
  }
  for (auto& sequence : labor.sequences) sequence.target = "";
  EXPECT_EQ(check(labor), (Lines{"Task[0].Sequence[0] ('rest'): has no target x100",
                                 "Task[0].Sequence[0].Job[0] ('rest'): cog 'gone' is not registered x100",
                                 "Task[0].Sequence[0].Job[0] ('rest'): timeout: must be longer than 0, is 0 s x100"}));
}

TEST(Issues, S1_WhatIsNoNeighbourStandsAlone) {
  auto labor = plain(7);
  for (const std::size_t i : {0u, 1u, 3u, 5u, 6u}) labor.jobs[i].cog_path = "gone";
  const auto line = [](int i, const char* rest) {
    const auto n = std::to_string(i);
    return "Task[0].Sequence[" + n + "].Job[0] ('rest', 'edge-" + n + "'): cog 'gone' is not registered" + rest;
  };
  EXPECT_EQ(check(labor), (Lines{line(0, " x2"), line(3, ""), line(5, " x2")}));
}

TEST(Issues, S1_FaultsOfSeveralFindersFoldTogether) {
  std::vector<Fault> faults;
  using enum Fault::Where;
  const auto labor = plain(10);
  FaultFolder first(faults);
  for (std::uint32_t s = 0; s < 5; ++s) first.add(fault(JOB, 0, s, 0, "args: host is missing"));
  faults.push_back(fault(JOB, 0, 5, 0, "args: host is missing"));
  FaultFolder second(faults);
  for (std::uint32_t s = 6; s < 10; ++s) second.add(fault(JOB, 0, s, 0, "args: host is missing"));
  EXPECT_EQ(faults.size(), 3u);
  EXPECT_EQ(lines(to_issues(labor, faults)), Lines{"Task[0].Sequence[0].Job[0] ('rest', 'edge-0'): args: host is missing x10"});
}

// What is not linear in them would run into the time limit of a test.
TEST(Issues, S1_AMillionFaultsAreFoldedAsTheyCome) {
  auto labor = plain(500'000);
  for (std::uint32_t i = 0; i < labor.jobs.size(); ++i) {
    labor.jobs[i].options.timeout = -Duration(i);     // each with a message of its own
    labor.jobs[i].options.retry_delay = -seconds(1);  // all the same
  }
  std::vector<Fault> faults;
  validate(labor, Cogs(), faults);
  EXPECT_LE(faults.size(), FaultFolder::kMost + 1);
  const auto issues = to_issues(labor, std::move(faults));
  std::int64_t counted = 0;
  for (const auto& issue : issues) counted += issue.count;
  ASSERT_EQ(issues.size(), FaultFolder::kMost + 1);
  EXPECT_EQ(issues.back().message, std::to_string(1'000'000 - (counted - 1)) + " more faults are not listed");
}

}  // namespace
}  // namespace cogwork
