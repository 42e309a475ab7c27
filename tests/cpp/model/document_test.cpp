// What is written reads back, and what users write is read as they meant it.
#include "cogwork/model/document.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cogwork/base/error.h"
#include "cogwork/model/wire.h"
#include "support/pack.h"
#include "support/random_labor.h"

namespace cogwork {
namespace {

using namespace pack;  // NOLINT: the vocabulary of these tests
using std::chrono::seconds;

constexpr Sizes kRun = {.results = true};

Labor submitted(const Bytes& document) {
  std::vector<Fault> faults;
  auto labor = read_submitted(document, faults);
  for (const auto& f : faults) ADD_FAILURE() << place_of(f) << ": " << f.message;
  return labor;
}

std::vector<Fault> faults_of(const Bytes& document) {
  std::vector<Fault> faults;
  read_submitted(document, faults);
  return faults;
}

/// A Labor with one Job, that has these fields too.
Bytes with_job(const Fields& job) {
  Fields all = {{"cog_path", text("upgrade")}};
  all.insert(all.end(), job.begin(), job.end());
  const auto sequence = map({{"target", text("edge-1")}, {"jobs", list({map(all)})}});
  return map({{"name", text("edge")}, {"tasks", list({map({{"name", text("rest")}, {"sequences", list({sequence})}})})}});
}
Bytes with_task(const Fields& task) {
  Fields all = {{"sequences", list({map({{"target", text("edge-1")}, {"jobs", list({map({{"cog_path", text("upgrade")}})})}})})}};
  all.insert(all.end(), task.begin(), task.end());
  return map({{"tasks", list({map(all)})}});
}
/// The one message of a document, with its place.
std::string fault_of(const Bytes& document) {
  const auto faults = faults_of(document);
  if (faults.size() != 1) return std::to_string(faults.size()) + " faults";
  const auto place = place_of(faults[0]);
  return (place.empty() ? "" : place + ": ") + faults[0].message;
}

// ---- there and back ----

TEST(Document, RandomLaborsReadBackWhole) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 300; ++i) {
    const auto labor = random_labor(random, kRun);
    const auto document = write_document(labor);
    const auto back = read_document(document);
    ASSERT_TRUE(back == labor) << "Labor " << i;
    ASSERT_EQ(write_document(back), document) << "Labor " << i;
    ASSERT_TRUE(is_msgpack(document));
  }
}

TEST(Document, T1_WithoutTasksOnlyTheLaborsOwnFieldsAreThere) {
  Random random(1);
  const auto labor = random_labor(random, kRun);
  EXPECT_TRUE(read_document(write_document(labor, false)) == without_tables(labor));
}

TEST(Document, T1_ObjectsAloneReadBack) {
  const auto seed = test_seed();
  SCOPED_TRACE("COGWORK_SEED=" + std::to_string(seed));
  Random random(seed);
  for (int i = 0; i < 50; ++i) {
    const auto labor = random_labor(random, kRun);
    for (const auto& written : labor.tasks) {
      Id id;
      auto task = read_task_document(write_task(labor.id, written), id);
      ASSERT_EQ(id, labor.id.with_ordinal(written.ordinal));
      task.first_job = written.first_job, task.first_sequence = written.first_sequence;
      task.pre_check_count = written.pre_check_count, task.cont_check_count = written.cont_check_count;
      task.sequence_count = written.sequence_count;
      ASSERT_TRUE(task == written);
    }
    for (const auto& written : labor.sequences) {
      Id id;
      auto sequence = read_sequence_document(write_sequence(labor.id, written), id);
      ASSERT_EQ(id, labor.id.with_ordinal(written.ordinal));
      sequence.task = written.task, sequence.first_job = written.first_job, sequence.job_count = written.job_count;
      ASSERT_TRUE(sequence == written);
    }
    for (const auto& written : labor.jobs) {
      Id id;
      auto job = read_job_document(write_job(labor.id, written, true, true), id);
      ASSERT_EQ(id, labor.id.with_ordinal(written.ordinal));
      job.task = written.task, job.sequence = written.sequence, job.kind = written.kind;
      ASSERT_TRUE(job == written);

      auto bare = written;
      bare.args = "\x80";
      for (auto& attempt : bare.attempts) attempt.output = {};
      job = read_job_document(write_job(labor.id, written, false, false), id);
      job.task = written.task, job.sequence = written.sequence, job.kind = written.kind;
      ASSERT_TRUE(job == bare);

      ASSERT_EQ(read_attempts(write_attempts(written.attempts)), written.attempts);
    }
    ASSERT_EQ(read_holds(write_holds(labor.holds)), labor.holds);
  }
  EXPECT_EQ(write_attempts({}), "");
  EXPECT_EQ(write_holds({}), "");
}

TEST(Document, IdsAreTheLaborsInTheOrderOfTheTree) {
  Random random(5);
  auto labor = random_labor(random, kRun);
  const auto document = write_document(labor);
  for (const auto& job : labor.jobs) {
    ASSERT_NE(document.find(labor.id.with_ordinal(job.ordinal).text()), std::string::npos);
  }
  std::swap(labor.jobs.front().ordinal, labor.jobs.back().ordinal);
  EXPECT_THROW(read_document(write_document(labor)), StorageError);

  number_tree(labor);
  auto foreign = write_document(labor);
  const auto at = foreign.find(labor.id.with_ordinal(1).text());
  foreign[at] = foreign[at] == '0' ? '1' : '0';
  EXPECT_THROW(read_document(foreign), StorageError);
}

TEST(Document, X4a_TheShareAndItsNumberReadBack) {
  Labor labor;
  Random random(6);
  labor.id = Id::make(random);
  Task task;
  task.concurrency = {3, "10%"};
  task.tolerated_failures = {7, {}};
  labor.tasks.push_back(task);
  number_tree(labor);
  const auto document = write_document(labor);
  EXPECT_NE(document.find("concurrency_number"), std::string::npos);
  EXPECT_NE(document.find("tolerated_number"), std::string::npos);
  EXPECT_NE(document.find("10%"), std::string::npos);
  const auto back = read_document(document);
  EXPECT_EQ(back.tasks[0].concurrency, (Amount{3, "10%"}));
  EXPECT_EQ(back.tasks[0].tolerated_failures, (Amount{7, {}}));
}

TEST(Document, X9_OutputIsTheLastAttemptsOrItsError) {
  const auto output_of = [](std::vector<Attempt> attempts) -> std::string {
    Job job;
    job.attempts = std::move(attempts);
    const auto document = write_job(Id{}, job, true, true);
    WireReader in(document);
    for (auto fields = *in.map(); fields > 0; --fields) {
      const auto name = *in.text();
      const auto value = in.value();
      if (name == "output") return std::string(value);
    }
    return "none";
  };
  const auto attempt = [](AttemptStatus status, const char* output, const char* error) {
    Attempt a;
    a.status = status;
    a.output = output;
    a.error = error;
    return a;
  };
  const auto failed = attempt(AttemptStatus::FAILURE, "", "no");
  EXPECT_EQ(output_of({}), "none");
  EXPECT_EQ(output_of({failed}), "\xa2no");
  EXPECT_EQ(output_of({failed, attempt(AttemptStatus::SUCCESS, "\x07", "")}), "\x07");
  EXPECT_EQ(output_of({failed, attempt(AttemptStatus::OPEN, "", "")}), "none");
  EXPECT_EQ(output_of({failed, attempt(AttemptStatus::WITHDRAWN, "", "withdrawn")}), "\xa2no") << "it never reached its Cog";
  EXPECT_EQ(output_of({attempt(AttemptStatus::FAILURE, "\xc2", "answered False")}),
            "\xae"
            "answered False")
      << "a failure's error says more than what it returned";
}

TEST(Document, X9_WhatWouldMakeADocumentUnreadableIsMended) {
  Random random(7);
  auto labor = random_labor(random, kRun);
  Attempt attempt;
  attempt.status = AttemptStatus::FAILURE;
  attempt.error = "not \xff UTF-8";
  attempt.log = "nor \xc3";
  labor.jobs[0].attempts = {attempt};
  attempt.status = AttemptStatus::SUCCESS;
  attempt.output = "\x92\x01";  // a list that lacks its second item
  labor.jobs.back().attempts = {attempt};
  const auto document = write_document(labor);
  ASSERT_TRUE(is_msgpack(document));
  const auto back = read_document(document);
  EXPECT_EQ(back.jobs[0].attempts[0].error, "not \xef\xbf\xbd UTF-8");
  EXPECT_EQ(back.jobs.back().attempts[0].output, std::string("\xc4\x02\x92\x01")) << "as bytes";
}

TEST(Document, AChangeHasItsFields) {
  Change change;
  Random random(8);
  change.labor = Id::make(random);
  change.ordinal = 7;
  change.number = 12;
  change.at = from_micros(1'750'000'000'000'000);
  change.from = State::RUNNING;
  change.to = State::FAILED;
  change.reason = Reason::MAX_FAILURES;
  const auto document = write_changes({change});
  WireReader in(document);
  EXPECT_EQ(in.array(), 1u);
  std::vector<std::string> names;
  for (auto fields = *in.map(); fields > 0; --fields) {
    names.emplace_back(*in.text());
    if (names.back() == "object_id") {
      EXPECT_EQ(in.text(), change.labor.with_ordinal(7).text());
    } else {
      in.value();
    }
  }
  EXPECT_EQ(names, (std::vector<std::string>{"number", "at", "labor_id", "object_id", "kind", "from_state", "to_state", "reason"}));
  EXPECT_EQ(document.substr(1), write_change(change));
}

// ---- what users write ----

TEST(Submitted, ATreeIsRead) {
  const auto labor = submitted(map({
      {"name", text("edge upgrade 2.1")},
      {"tags", list({text("edge")})},
      {"client_id", text("c-1")},
      {"tasks",
       list({map({
           {"name", text("canary")},
           {"concurrency", text("2.5%")},
           {"tolerated_failures", whole(-1)},
           {"strict", boolean(true)},
           {"bake", text("P1DT30.5S")},
           {"cont_check_interval", number(0.25)},
           // Jobs before checks, and one kind of check before the other: the tables are in the order of the tree all the same.
           {"sequences", list({map({{"target", text("edge-1")}, {"jobs", list({map({{"cog_path", text("upgrade")}})})}})})},
           {"cont_checks", list({map({{"cog_path", text("cont")}}), map({{"cog_path", text("cont2")}})})},
           {"pre_checks", list({map({{"cog_path", text("pre")}})})},
       })})},
  }));
  EXPECT_TRUE(labor.id.is_nil());
  EXPECT_EQ(labor.name, "edge upgrade 2.1");
  EXPECT_EQ(labor.tags, std::vector<Text>{"edge"});
  ASSERT_EQ(labor.tasks.size(), 1u);
  const auto& task = labor.tasks[0];
  EXPECT_EQ(task.concurrency.share, "2.5%");
  EXPECT_EQ(task.tolerated_failures, (Amount{-1, {}}));
  EXPECT_TRUE(task.strict);
  EXPECT_EQ(task.bake, std::chrono::days(1) + Duration(30'500'000));
  EXPECT_EQ(task.cont_check_interval, Duration(250'000));
  EXPECT_EQ(task.pre_check_count, 1u);
  EXPECT_EQ(task.cont_check_count, 2u);
  ASSERT_EQ(labor.jobs.size(), 4u);
  EXPECT_EQ(labor.jobs[0].cog_path, "pre");
  EXPECT_EQ(labor.jobs[0].kind, JobKind::PRE_CHECK);
  EXPECT_EQ(labor.jobs[0].sequence, Job::kNoSequence);
  EXPECT_EQ(labor.jobs[1].cog_path, "cont");
  EXPECT_EQ(labor.jobs[2].cog_path, "cont2");
  EXPECT_EQ(labor.jobs[2].kind, JobKind::CONT_CHECK);
  EXPECT_EQ(labor.jobs[3].cog_path, "upgrade");
  EXPECT_EQ(labor.sequences[0].first_job, 3u);
}

TEST(Submitted, M6_WhatIsAbsentOrNoneHasItsDefault) {
  for (const auto& fields : {Fields{}, Fields{{"concurrency", nil()}, {"bake", nil()}, {"strict", nil()}, {"desc", nil()}}}) {
    const auto labor = submitted(with_task(fields));
    const auto& task = labor.tasks[0];
    EXPECT_EQ(task.concurrency, (Amount{1, {}}));
    EXPECT_EQ(task.tolerated_failures, (Amount{0, {}}));
    EXPECT_EQ(task.cont_check_interval, seconds(30));
    EXPECT_EQ(task.bake, Duration(0));
    EXPECT_EQ(labor.jobs[0].options, JobOptions{});
    EXPECT_EQ(labor.jobs[0].args, "\x80");
    EXPECT_EQ(labor.state, State::NOT_STARTED);
  }
}

TEST(Submitted, ArgsAreKeptByteForByte) {
  const auto args =
      map({{"host", text("edge-1")}, {"deep", list({map({}), nil(), number(1.5), binary(std::string("\x00\xff", 2))})}});
  EXPECT_EQ(submitted(with_job({{"args", args}})).jobs[0].args, args);
}

TEST(Submitted, EqualShortTextsShareAndTargetsDoNotMatter) {
  std::vector<Bytes> sequences;
  for (int i = 0; i < 3; ++i) {
    const auto job = map({{"cog_path", text("upgrade")}, {"name", text("copy the image")}});
    sequences.push_back(map({{"target", text("edge-" + std::to_string(i))}, {"jobs", list({job})}}));
  }
  const auto labor = submitted(map({{"tasks", list({map({{"sequences", list(sequences)}})})}}));
  EXPECT_EQ(labor.jobs[0].cog_path.data(), labor.jobs[2].cog_path.data());
  EXPECT_EQ(labor.jobs[0].name.data(), labor.jobs[2].name.data());
}

TEST(Submitted, DurationsAreSecondsOrIso8601) {
  const auto timeout = [](const Bytes& value) { return submitted(with_job({{"timeout", value}})).jobs[0].options.timeout; };
  EXPECT_EQ(timeout(whole(90)), seconds(90));
  EXPECT_EQ(timeout(unsigned_whole(90)), seconds(90));
  EXPECT_EQ(timeout(number(0.1)), Duration(100'000));
  EXPECT_EQ(timeout(number(0.000001)), Duration(1));
  EXPECT_EQ(timeout(text("PT300S")), seconds(300));
  EXPECT_EQ(timeout(text("P1DT30.5S")), std::chrono::days(1) + Duration(30'500'000));
  EXPECT_EQ(timeout(text("-P1D")), -std::chrono::days(1)) << "validate() says that it is negative";
  EXPECT_EQ(timeout(whole(-3)), -seconds(3));
}

TEST(Submitted, WhatIsNoDurationIsAFault) {
  const std::string place = "Task[0].Sequence[0].Job[0]: timeout: ";
  const auto fault = [](const Bytes& value) { return fault_of(with_job({{"timeout", value}})); };
  EXPECT_EQ(fault(text("soon")), place + "expected a number of seconds or a timedelta, got the text 'soon'");
  EXPECT_EQ(fault(boolean(true)), place + "expected a number of seconds or a timedelta, got True");
  EXPECT_EQ(fault(list({})), place + "expected a number of seconds or a timedelta, got a list");
  EXPECT_EQ(fault(number(std::numeric_limits<double>::quiet_NaN())), place + "nan seconds are no duration that can be kept");
  EXPECT_EQ(fault(number(std::numeric_limits<double>::infinity())), place + "inf seconds are no duration that can be kept");
  EXPECT_EQ(fault(number(-1e300)), place + "-1e+300 seconds are no duration that can be kept");
  EXPECT_EQ(fault(unsigned_whole(UINT64_MAX)).substr(0, place.size() + 4), place + "1.84");
  EXPECT_EQ(fault(text("P999999999DT86399.999999S")),
            place + "expected a number of seconds or a timedelta, got the text 'P999999999DT86399.999999S'");
}

TEST(Submitted, WrongTypesAreFaultsThatSayWhatWasExpected) {
  const std::string job = "Task[0].Sequence[0].Job[0]: ";
  EXPECT_EQ(fault_of(with_job({{"retries", text("abc")}})), job + "retries: expected a whole number, got the text 'abc'");
  EXPECT_EQ(fault_of(with_job({{"retries", boolean(false)}})), job + "retries: expected a whole number, got False");
  EXPECT_EQ(fault_of(with_job({{"retries", number(1.5)}})), job + "retries: expected a whole number, got the number 1.5");
  EXPECT_EQ(fault_of(with_job({{"retries", unsigned_whole(UINT64_MAX)}})),
            job + "retries: expected a whole number, got a number that is too large");
  EXPECT_EQ(fault_of(with_job({{"retries", whole(-1)}})), job + "retries: -1 is below 0");
  EXPECT_EQ(fault_of(with_job({{"retries", whole(3'000'000'000)}})), job + "retries: 3000000000 is above 2147483647");
  EXPECT_EQ(fault_of(with_job({{"retry_backoff", text("2")}})), job + "retry_backoff: expected a number, got the text '2'");
  EXPECT_EQ(fault_of(with_job({{"retry_backoff", number(-2)}})), job + "retry_backoff: must be 1 or more, is -2");
  EXPECT_EQ(fault_of(with_job({{"retry_backoff", number(std::numeric_limits<double>::infinity())}})),
            job + "retry_backoff: must be 1 or more, is inf");
  EXPECT_EQ(fault_of(with_job({{"on_interrupt", text("maybe")}})),
            job + "on_interrupt: expected RETRY, FAIL or HOLD, got the text 'maybe'");
  EXPECT_EQ(fault_of(with_job({{"args", list({})}})), job + "args: expected a mapping from argument names to values, got a list");
  EXPECT_EQ(fault_of(with_job({{"name", binary("x")}})), job + "name: expected text, got bytes");
  EXPECT_EQ(fault_of(with_task({{"strict", whole(1)}})), "Task[0]: strict: expected True or False, got the number 1");
  EXPECT_EQ(fault_of(with_task({{"concurrency", list({})}})),
            "Task[0]: concurrency: expected a whole number or a share such as \"10%\", got a list");
  EXPECT_EQ(fault_of(with_task({{"pre_checks", list({whole(3)})}})),
            "Task[0].PreCheck[0]: a Job: expected a mapping from field names to values, got the number 3");
  EXPECT_EQ(fault_of(map({{"tags", text("edge")}})), "tags: expected a list of words, got the text 'edge'");
  EXPECT_EQ(fault_of(map({{"tasks", map({})}})), "tasks: expected a list of Tasks, got a mapping");
  EXPECT_EQ(fault_of(list({})), "a Labor: expected a mapping from field names to values, got a list");
  EXPECT_EQ(fault_of(nil()), "a Labor: expected a mapping from field names to values, got None");
}

TEST(Submitted, WholeFloatsAreWholeNumbers) {
  EXPECT_EQ(submitted(with_job({{"retries", number(3)}})).jobs[0].options.retries, 3);
  EXPECT_EQ(submitted(with_job({{"retry_backoff", whole(2)}})).jobs[0].options.retry_backoff, 2);
}

TEST(Submitted, OnInterruptIsAWordInEitherCase) {
  const auto read = [](const char* word) {
    return submitted(with_job({{"on_interrupt", text(word)}})).jobs[0].options.on_interrupt;
  };
  EXPECT_EQ(read("RETRY"), 0);
  EXPECT_EQ(read("fail"), 1);
  EXPECT_EQ(read("Hold"), 2);
}

TEST(Submitted, UnknownFieldsAreFaultsWithASuggestion) {
  EXPECT_EQ(fault_of(with_job({{"timout", whole(3)}})),
            "Task[0].Sequence[0].Job[0]: a Job has no field 'timout' - did you mean 'timeout'?");
  EXPECT_EQ(fault_of(with_task({{"colour", list({map({})})}})), "Task[0]: a Task has no field 'colour'");
  EXPECT_EQ(fault_of(map({{"nmae", text("x")}})), "a Labor has no field 'nmae' - did you mean 'name'?");
}

TEST(Submitted, AFieldThatIsGivenTwiceIsAFault) {
  EXPECT_EQ(fault_of(with_job({{"name", text("a")}, {"name", text("b")}})), "Task[0].Sequence[0].Job[0]: name: is given twice");
  EXPECT_EQ(fault_of(with_task({{"pre_checks", list({})}, {"pre_checks", list({map({})})}})),
            "Task[0]: pre_checks: is given twice");
  EXPECT_EQ(fault_of(with_job({{"timeout", nil()}, {"timeout", nil()}})), "Task[0].Sequence[0].Job[0]: timeout: is given twice");
}

TEST(Submitted, FieldNamesAreText) {
  EXPECT_EQ(fault_of(head(0x81) + whole(3) + text("x")), "a Labor: expected the name of a field, got the number 3");
}

TEST(Submitted, TextsMustBeText) {
  const std::string place = "Task[0].Sequence[0].Job[0]: name: ";
  EXPECT_EQ(fault_of(with_job({{"name", text("a\xff")}})), place + "the text is not UTF-8");
  EXPECT_EQ(fault_of(with_job({{"name", text(std::string_view("a\0b", 3))}})), place + "the text holds a NUL character");
  EXPECT_EQ(fault_of(with_job({{"name", text(std::string(65'537, 'n'))}})), place + "the text has 65537 bytes; it may have 65536");
  EXPECT_TRUE(faults_of(with_job({{"name", text(std::string(65'536, 'n'))}})).empty());
  EXPECT_TRUE(faults_of(with_job({{"desc", text(std::string(1'000'000, 'n'))}})).empty()) << "a description may be a page";
}

TEST(Submitted, S2_IdsStatesAndReasonsAreFaults) {
  const std::string id = "01234567-89ab-4def-8123-456789abcdef";
  EXPECT_EQ(fault_of(map({{"id", text(id)}})), "id: is set already; ids are given at submit (as_new() makes a copy)");
  EXPECT_EQ(fault_of(with_job({{"id", text(id)}})),
            "Task[0].Sequence[0].Job[0]: id: is set already; ids are given at submit (as_new() makes a copy)");
  EXPECT_EQ(fault_of(with_task({{"state", whole(9)}})),
            "Task[0]: state: is FAILED; only what is NOT_STARTED can be submitted (as_new() makes a copy)");
  EXPECT_EQ(fault_of(with_task({{"reason", whole(3)}})),
            "Task[0]: reason: is MAX_FAILURES; only what has not failed can be submitted (as_new() makes a copy)");
  EXPECT_EQ(faults_of(with_job({{"state", whole(8)}, {"reason", whole(1)}})).size(), 2u);
  EXPECT_TRUE(faults_of(with_job({{"id", text("")}, {"state", whole(1)}, {"reason", whole(0)}})).empty());
  EXPECT_TRUE(faults_of(with_job({{"id", nil()}})).empty());
  EXPECT_EQ(fault_of(with_job({{"state", whole(99)}})), "Task[0].Sequence[0].Job[0]: state: 99 is above 11");
}

TEST(Submitted, WhatAnEngineAddsIsPassedOver) {
  Random random(9);
  auto labor = random_labor(random, {.tasks = 1, .sequences = 1, .jobs = 1, .checks = 0});
  labor.jobs[0].attempts.resize(2);
  labor.jobs[0].started = labor.started = labor.submitted = from_micros(5);
  labor.holds = {{Rank::ADMIN, from_micros(5), "alice", ""}};
  labor.tasks[0].failures = 3;
  labor.cogs = {{"upgrade", "module:upgrade"}};
  labor.id = {};
  const auto read = submitted(write_document(labor));
  EXPECT_TRUE(read.jobs[0].attempts.empty());
  EXPECT_FALSE(is_set(read.jobs[0].started));
  EXPECT_FALSE(is_set(read.submitted));
  EXPECT_TRUE(read.holds.empty());
  EXPECT_TRUE(read.cogs.empty());
  EXPECT_EQ(read.tasks[0].failures, 0u);
}

TEST(Submitted, S1_ReadingGoesOnBehindAFault) {
  const auto document = map({
      {"name", whole(3)},
      {"tasks", list({
                    whole(1),
                    map({{"sequences", list({
                                           map({{"target", whole(1)}, {"jobs", list({map({{"retries", text("x")}}), nil()})}}),
                                           map({{"jobs", map({})}}),
                                       })},
                         {"cont_checks", list({map({{"cogpath", text("x")}})})}}),
                })},
      {"client_id", boolean(true)},
  });
  std::vector<Fault> faults;
  const auto labor = read_submitted(document, faults);
  std::vector<std::string> places;
  for (const auto& f : faults) places.push_back(place_of(f));
  EXPECT_EQ(places, (std::vector<std::string>{"", "Task[0]", "Task[1].Sequence[0]", "Task[1].Sequence[0].Job[0]",
                                              "Task[1].Sequence[0].Job[1]", "Task[1].Sequence[1]", "Task[1].ContCheck[0]", ""}));
  EXPECT_EQ(labor.tasks.size(), 2u) << "each has its row, so that places have names";
  EXPECT_EQ(labor.jobs.size(), 3u);
}

TEST(Submitted, BytesThatAreNoMsgpackAreOneFault) {
  const auto whole_document = with_job({{"args", map({{"a", list({text("x"), number(1)})}})}});
  for (std::size_t n = 0; n < whole_document.size(); ++n) {
    const auto faults = faults_of(whole_document.substr(0, n));
    ASSERT_EQ(faults.size(), 1u) << "cut off at " << n;
  }
  EXPECT_EQ(fault_of(""), "the document is cut off, or no msgpack, at byte 0");
  EXPECT_EQ(fault_of("\xc1"), "the document is cut off, or no msgpack, at byte 0");
  EXPECT_EQ(fault_of(whole_document + "\x01"), "there are 1 bytes behind the end of the document");
}

TEST(Submitted, LengthsThatCannotBeReserveNothing) {
  for (const Bytes& head_of_list : {Bytes("\xdd\xff\xff\xff\xff", 5), Bytes("\xdd\x7f\xff\xff\xff", 5)}) {
    EXPECT_EQ(faults_of(head(0x81) + text("tasks") + head_of_list).size(), 1u);
    EXPECT_EQ(faults_of(with_job({{"args", head_of_list}})).size(), 1u);
  }
  EXPECT_EQ(faults_of(head(0x81) + text("name") +
                      Bytes("\xdb\xff\xff\xff\xff"
                            "abc",
                            8))
                .size(),
            1u);
}

TEST(Submitted, DepthIsBounded) {
  const auto nested = [](std::size_t levels) {
    return with_job({{"args", head(0x81) + text("a") + Bytes(levels, '\x91') + nil()}});
  };
  EXPECT_TRUE(faults_of(nested(WireReader::kDeepest - 1)).empty());
  EXPECT_EQ(faults_of(nested(WireReader::kDeepest)).size(), 1u);
  EXPECT_NE(faults_of(nested(WireReader::kDeepest))[0].message.find("args: it is nested more than 512 levels deep"),
            std::string::npos);
  EXPECT_EQ(faults_of(nested(1'000'000)).size(), 1u);
}

TEST(Submitted, MessagesAreShortAndFitToPrint) {
  const auto message = fault_of(with_job({{"timeout", text("a\n\x1b[31m" + std::string(1000, 'x'))}}));
  EXPECT_LT(message.size(), 250u);
  EXPECT_NE(message.find("'a\\x0a\\x1b[31m"), std::string::npos) << message;
}

// ---- what stores hold ----

TEST(Stored, UnknownFieldsArePassedOver) {
  EXPECT_EQ(read_document(map({{"name", text("x")}, {"of_a_newer_version", list({map({})})}})).name, "x");
}

TEST(Stored, DamageThrowsAndSaysWhere) {
  try {
    read_document(with_job({{"attempts", list({map({{"status", whole(77)}})})}}));
    FAIL() << "was read";
  } catch (const StorageError& e) {
    EXPECT_FALSE(e.temporary());
    EXPECT_STREQ(e.what(), "a stored document is damaged: Task[0].Sequence[0].Job[0]: status: 77 is above 8");
  }
  EXPECT_THROW(read_document(""), StorageError);
  EXPECT_THROW(read_document(map({}) + "\x01"), StorageError);
  EXPECT_THROW(read_attempts("\x91\x91"), StorageError);
  EXPECT_THROW(read_holds(list({map({{"rank", whole(1)}}), map({{"rank", whole(1)}})})), StorageError);
}

TEST(Filter, ReadsBack) {
  LaborFilter filter;
  filter.states = {State::RUNNING, State::FAILED};
  filter.name_prefix = "edge";
  filter.tags = {"a", "b"};
  filter.targets = {"edge-1"};
  filter.cogs = {"upgrade"};
  filter.submit_begin = never;  // the epoch is a moment here
  filter.submit_end = from_micros(1'750'000'000'000'001);
  filter.newest_first = true;
  filter.limit = 10;
  const auto back = read_filter(write_filter(filter));
  EXPECT_EQ(back.states, filter.states);
  EXPECT_EQ(back.name_prefix, filter.name_prefix);
  EXPECT_EQ(back.name_suffix, "");
  EXPECT_EQ(back.tags, filter.tags);
  EXPECT_EQ(back.targets, filter.targets);
  EXPECT_EQ(back.cogs, filter.cogs);
  EXPECT_EQ(back.submit_begin, filter.submit_begin);
  EXPECT_EQ(back.submit_end, filter.submit_end);
  EXPECT_TRUE(back.newest_first);
  EXPECT_EQ(back.limit, 10u);
  EXPECT_FALSE(read_filter(map({})).limit);
}

TEST(Filter, FaultsSayWhichField) {
  const auto fault = [](const Bytes& document) -> std::string {
    try {
      read_filter(document);
    } catch (const StorageError& e) {
      return std::string("of the store: ") + e.what();
    } catch (const Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(fault(map({{"states", whole(3)}})), "LaborFilter: states: expected a list of States, got the number 3");
  EXPECT_EQ(fault(map({{"tag", list({})}})), "LaborFilter: a LaborFilter has no field 'tag' - did you mean 'tags'?");
  EXPECT_EQ(fault(map({{"limit", whole(-1)}})), "LaborFilter: limit: -1 is below 0");
  EXPECT_EQ(fault(map({{"submit_end", text("2024-01-01")}})),
            "LaborFilter: submit_end: expected a time, got the text '2024-01-01'");
}

}  // namespace
}  // namespace cogwork
