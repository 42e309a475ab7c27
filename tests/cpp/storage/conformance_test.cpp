// The contract of a store (section 7 of the rules), on each built-in one.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <thread>

#include "cogwork/base/error.h"
#include "cogwork/storage/stores.h"
#include "storage/builders.h"

namespace cogwork {
namespace {

/// A filter in one expression.
class Filter : public LaborFilter {
 public:
  Filter& states(std::vector<State> v) { return set(LaborFilter::states, std::move(v)); }
  Filter& prefix(std::string v) { return set(name_prefix, std::move(v)); }
  Filter& suffix(std::string v) { return set(name_suffix, std::move(v)); }
  Filter& tags(std::vector<std::string> v) { return set(LaborFilter::tags, std::move(v)); }
  Filter& targets(std::vector<std::string> v) { return set(LaborFilter::targets, std::move(v)); }
  Filter& cogs(std::vector<std::string> v) { return set(LaborFilter::cogs, std::move(v)); }
  Filter& from(Time v) { return set(submit_begin, v); }
  Filter& before(Time v) { return set(submit_end, v); }
  Filter& newest() { return set(newest_first, true); }
  Filter& limit(std::uint64_t v) { return set(LaborFilter::limit, v); }

 private:
  template <typename Field, typename Value>
  Filter& set(Field& field, Value value) {
    field = std::move(value);
    return *this;
  }
};

class Conformance : public testing::TestWithParam<const char*> {
 protected:
  Conformance() {
    store = std::string(GetParam()) == "memory" ? make_memory_store() : open_sqlite_store(folder / "labors.db", OpenMode::OWNER);
  }

  std::vector<Id> search(const LaborFilter& filter) {
    std::vector<Id> ids;
    for (const auto& labor : all_of(*store->labors(filter))) ids.push_back(labor.id);
    return ids;
  }

  /// That the call throws StorageError, not temporary, and leaves the store as it was.
  void expect_refused(const Batch& batch) {
    try {
      store->apply(batch);
      FAIL() << "was stored";
    } catch (const StorageError& error) {
      EXPECT_FALSE(error.temporary()) << error.what();
    }
  }

  ScratchFolder folder;
  std::shared_ptr<Storage> store;
};

INSTANTIATE_TEST_SUITE_P(Stores, Conformance, testing::Values("memory", "sqlite"), [](const auto& about) { return about.param; });

// ---- T1 and T2 ----

TEST_P(Conformance, T1_a_labor_reads_back_as_it_was_written) {
  const Labor labor = make_full_labor();
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_P(Conformance, T1_not_full_is_the_labors_own_fields_alone) {
  const Labor labor = make_full_labor();
  store->write_labor(labor);
  EXPECT_EQ(store->read_labor(labor.id, false), without_tables(labor));
}

TEST_P(Conformance, T1_each_object_reads_back_by_its_id) {
  const Labor labor = make_full_labor();
  store->write_labor(labor);
  for (const auto& task : labor.tasks) EXPECT_EQ(store->read_task(labor.id.with_ordinal(task.ordinal)), task);
  for (const auto& sequence : labor.sequences) EXPECT_EQ(store->read_sequence(labor.id.with_ordinal(sequence.ordinal)), sequence);
  for (const auto& job : labor.jobs) {
    EXPECT_EQ(store->read_job(labor.id.with_ordinal(job.ordinal), true), job);
    auto bare = job;
    bare.args = {};
    for (auto& attempt : bare.attempts) attempt.output = {};
    EXPECT_EQ(store->read_job(labor.id.with_ordinal(job.ordinal), false), bare);
  }
}

TEST_P(Conformance, T1_an_empty_labor_and_the_defaults_read_back) {
  Labor empty;
  empty.id = new_id();
  store->write_labor(empty);
  EXPECT_EQ(store->read_labor(empty.id, true), empty);

  Labor plain;
  plain.id = new_id();
  plain.tasks.emplace_back();
  plain.tasks[0].sequence_count = 1;
  plain.sequences.emplace_back();
  plain.sequences[0].job_count = 1;
  plain.jobs.emplace_back();  // options "not given"
  number_tree(plain);
  store->write_labor(plain);
  EXPECT_EQ(store->read_labor(plain.id, true), plain);
}

TEST_P(Conformance, T1_a_missing_id_is_not_found_and_named) {
  const Labor labor = make_labor(2);
  store->write_labor(labor);
  const auto expect_not_found = [](const Id& id, const std::function<void()>& read) {
    try {
      read();
      FAIL() << "was found";
    } catch (const NotFound& error) {
      EXPECT_NE(std::string(error.what()).find(id.text()), std::string::npos) << error.what();
    }
  };
  const Id stranger = new_id();
  expect_not_found(stranger, [&] { store->read_labor(stranger, true); });
  expect_not_found(stranger, [&] { store->read_labor(stranger, false); });
  expect_not_found(stranger.with_ordinal(1), [&] { store->read_task(stranger.with_ordinal(1)); });
  // Ids that exist, of another kind of object.
  const Id task = labor.id.with_ordinal(1), sequence = labor.id.with_ordinal(2), job = labor.id.with_ordinal(3);
  expect_not_found(task, [&] { store->read_labor(task, false); });
  expect_not_found(sequence, [&] { store->read_task(sequence); });
  expect_not_found(job, [&] { store->read_sequence(job); });
  expect_not_found(task, [&] { store->read_job(task, true); });
  expect_not_found(labor.id, [&] { store->read_task(labor.id); });
  const Id beyond = labor.id.with_ordinal(99);
  expect_not_found(beyond, [&] { store->read_job(beyond, true); });
}

TEST_P(Conformance, T1_what_is_read_is_a_copy) {
  const Labor labor = make_labor();
  store->write_labor(labor);
  auto copy = store->read_labor(labor.id, true);
  copy.name = "another";
  copy.jobs[0].state = State::FAILED;
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_P(Conformance, T2_single_writes_replace_what_changes) {
  Labor labor = make_full_labor();
  store->write_labor(labor);

  labor.state = State::COMPLETED;
  labor.reason = Reason::NO_FAILURE;
  labor.started = kNoon + std::chrono::hours(1);
  labor.ended = never;
  labor.holds.clear();
  store->write_labor_state(labor);
  auto& task = labor.tasks[1];
  task.state = State::STOPPED;
  task.failures = 9;
  task.holds.clear();
  task.ended = kNoon + std::chrono::hours(2);
  store->write_task(labor.id, task);
  auto& sequence = labor.sequences[4];
  sequence.state = State::NOT_STARTED;
  sequence.started = never;
  sequence.holds.push_back({Rank::CRISIS, kNoon, "eve", "more"});
  store->write_sequence(labor.id, sequence);
  auto& job = labor.jobs[5];
  job.state = State::FAILED;
  job.held = false;
  job.rounds = 3'000'000'000;
  job.ended = kNoon + std::chrono::hours(3);
  job.attempts.push_back({4, 0, kNoon, kNoon, AttemptStatus::CRASHED, 0, Decision::NONE, "", std::string(10'000, 'x'), ""});
  store->write_job(labor.id, job);

  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

TEST_P(Conformance, T2_a_labors_state_leaves_the_rest_of_it) {
  const Labor labor = make_full_labor();
  store->write_labor(labor);
  Labor other = labor;
  other.name = "not written";
  other.tags.clear();
  other.state = State::FAILED;
  store->write_labor_state(other);
  Labor expected = labor;
  expected.state = State::FAILED;
  EXPECT_EQ(store->read_labor(labor.id, true), expected);
}

TEST_P(Conformance, T2_a_job_is_written_without_its_args) {
  Labor labor = make_labor();
  store->write_labor(labor);
  Job job = labor.jobs[0];
  job.args = "something else";
  job.state = State::RUNNING;
  store->write_job(labor.id, job);
  labor.jobs[0].state = State::RUNNING;
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
  job.args = {};
  store->write_job(labor.id, job);
  EXPECT_EQ(store->read_job(labor.id.with_ordinal(3), true).args, labor.jobs[0].args);
}

TEST_P(Conformance, T2_rows_grow_and_shrink) {
  Labor labor = make_labor(300);
  store->write_labor(labor);
  for (const std::size_t size : {0U, 1U, 40U, 57U, 58U, 59U, 80U, 81U, 126U, 127U, 128U, 129U, 4000U, 20'000U, 3U, 0U}) {
    Batch batch;
    for (std::size_t i = 0; i < labor.jobs.size(); i += 7) {
      auto& job = labor.jobs[i];
      job.state = size % 2 == 0 ? State::NOT_STARTED : State::RUNNING;
      job.attempts = {{1, 0, kNoon, never, AttemptStatus::OPEN, 0, Decision::NONE, "", std::string(size, 'e'), ""}};
      if (size == 3) job.attempts.clear();
      batch.writes.push_back(WriteJob{labor.id, job});
    }
    store->apply(batch);
    ASSERT_EQ(store->read_labor(labor.id, true), labor) << size;
  }
}

TEST_P(Conformance, T2_writing_a_labor_again_replaces_it) {
  Labor labor = make_full_labor();
  Labor bystander = make_labor(5);
  bystander.tags = {"edge"};
  store->write_labor(bystander);
  store->write_labor(labor);
  store->apply({{}, {history_row(labor.id, 1, 2)}, {}});

  Labor smaller = make_labor(3, "smaller");
  smaller.id = labor.id;
  store->write_labor(smaller);
  EXPECT_EQ(store->read_labor(labor.id, true), smaller);
  EXPECT_EQ(store->read_labor(bystander.id, true), bystander);
  EXPECT_EQ(history_rows(*store, labor.id).size(), 1U) << "the history is not rewritten";
  EXPECT_EQ(search(Filter().tags({"edge"})), std::vector{bystander.id});
  EXPECT_EQ(search(Filter().targets({"zürich-0"})), std::vector<Id>{});
  EXPECT_EQ(search(Filter().cogs({"healthy"})), std::vector<Id>{});
  EXPECT_EQ(search(Filter().targets({"host-2"})).size(), 2U);
}

TEST_P(Conformance, T2_an_update_of_what_is_not_there_is_an_error_that_waiting_does_not_mend) {
  const Labor labor = make_labor(2);
  store->write_labor(labor);
  const Labor stranger = make_labor(2);
  expect_refused(batch_of(WriteLaborState{std::make_shared<const Labor>(without_tables(stranger))}));
  expect_refused(batch_of(WriteTask{stranger.id, stranger.tasks[0]}));
  expect_refused(batch_of(WriteSequence{stranger.id, stranger.sequences[0]}));
  expect_refused(batch_of(WriteJob{stranger.id, stranger.jobs[0]}));
  Job job = labor.jobs[0];
  job.ordinal = 77;
  expect_refused(batch_of(WriteJob{labor.id, job}));
  job.ordinal = 2;  // a Sequence's
  expect_refused(batch_of(WriteJob{labor.id, job}));
  Task task = labor.tasks[0];
  task.ordinal = 3;
  expect_refused(batch_of(WriteTask{labor.id, task}));
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

// ---- T3 ----

TEST_P(Conformance, T3_streams_by_submitted_then_id_without_data) {
  std::vector<Labor> labors;
  for (int i = 0; i < 40; ++i) {
    labors.push_back(make_labor(1, "labor", kNoon + Duration(i / 3)));
    labors.back().tags = {"t"};
  }
  std::vector<Labor> shuffled = labors;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(7));
  for (const auto& labor : shuffled) store->write_labor(labor);
  std::sort(labors.begin(), labors.end(),
            [](const Labor& a, const Labor& b) { return std::pair(a.submitted, a.id) < std::pair(b.submitted, b.id); });
  std::vector<Labor> expected;
  for (const auto& labor : labors) expected.push_back(without_tables(labor));
  EXPECT_EQ(all_of(*store->labors({})), expected);

  std::reverse(expected.begin(), expected.end());
  EXPECT_EQ(all_of(*store->labors(Filter().newest())), expected);
  expected.resize(7);
  EXPECT_EQ(all_of(*store->labors(Filter().newest().limit(7))), expected);
  EXPECT_TRUE(all_of(*store->labors(Filter().limit(0))).empty());
}

TEST_P(Conformance, T3_an_empty_store_has_no_labors) {
  EXPECT_TRUE(search({}).empty());
  EXPECT_FALSE(store->labors({})->next());
}

TEST_P(Conformance, T3_states) {
  Labor a = make_labor(1, "a", kNoon), b = make_labor(1, "b", kNoon + Duration(1)), c = make_labor(1, "c", kNoon + Duration(2));
  a.state = State::RUNNING;
  b.state = State::COMPLETED;
  c.state = State::NOT_STARTED;
  for (const auto& labor : {a, b, c}) store->write_labor(labor);
  EXPECT_EQ(search(Filter().states({State::RUNNING})), std::vector{a.id});
  EXPECT_EQ(search(Filter().states({State::NOT_STARTED, State::COMPLETED})), (std::vector{b.id, c.id}));
  EXPECT_TRUE(search(Filter().states({State::FAILED})).empty());
  a.state = State::FAILED;
  store->write_labor_state(a);
  EXPECT_EQ(search(Filter().states({State::FAILED})), std::vector{a.id});
}

TEST_P(Conformance, T3_prefix_and_suffix_are_literal_and_case_sensitive) {
  Time at = kNoon;
  const auto named = [&](const std::string& name) {
    const Labor labor = make_labor(1, name, at += Duration(1));
    store->write_labor(labor);
    return labor.id;
  };
  const Id edge = named("edge upgrade 2.1"), upper = named("Edge upgrade"), percent = named("50%_off*"), other = named("50xyoffz");
  const Id umlaut = named("Äpfel für Zürich"), lower = named("äpfel"), none = named(""), zero = named(std::string("nul\0byte", 8));
  EXPECT_EQ(search(Filter().prefix("edge")), std::vector{edge});
  EXPECT_EQ(search(Filter().prefix("Edge")), std::vector{upper});
  EXPECT_EQ(search(Filter().prefix("50%")), std::vector{percent});
  EXPECT_EQ(search(Filter().prefix("50")), (std::vector{percent, other}));
  EXPECT_EQ(search(Filter().suffix("_off*")), std::vector{percent});
  EXPECT_EQ(search(Filter().prefix("Äpfel")), std::vector{umlaut});
  EXPECT_EQ(search(Filter().suffix("ürich")), std::vector{umlaut});
  EXPECT_EQ(search(Filter().prefix("ä").suffix("l")), std::vector{lower});
  EXPECT_EQ(search(Filter().prefix("edge upgrade 2.1")), std::vector{edge});
  EXPECT_TRUE(search(Filter().prefix("edge upgrade 2.1 and more")).empty());
  EXPECT_TRUE(search(Filter().suffix("an edge upgrade 2.1")).empty());
  EXPECT_EQ(search(Filter().prefix(std::string("nul\0b", 5))), std::vector{zero});
  EXPECT_EQ(search({}).size(), 8U);
  (void)none;
}

TEST_P(Conformance, T3_tags_targets_and_cogs_any_of_each_all_kinds) {
  Labor a = make_labor(3, "a", kNoon), b = make_labor(1, "b", kNoon + Duration(1)), c = make_full_labor();
  c.submitted = kNoon + Duration(2);
  a.tags = {"edge", "blue"};
  b.tags = {"core", "blue"};
  for (const auto& labor : {a, b, c}) store->write_labor(labor);
  EXPECT_EQ(search(Filter().tags({"blue"})), (std::vector{a.id, b.id}));
  EXPECT_EQ(search(Filter().tags({"core", "edge"})), (std::vector{a.id, b.id, c.id}));
  EXPECT_EQ(search(Filter().tags({"blu"})), std::vector<Id>{});
  EXPECT_EQ(search(Filter().tags({"Blue"})), std::vector<Id>{});
  EXPECT_EQ(search(Filter().targets({"host-2"})), std::vector{a.id});
  EXPECT_EQ(search(Filter().targets({"host-0", "zürich-1"})), (std::vector{a.id, b.id, c.id}));
  EXPECT_EQ(search(Filter().cogs({"healthy"})), std::vector{c.id}) << "checks count";
  EXPECT_EQ(search(Filter().tags({"edge"}).cogs({"upgrade"})), (std::vector{a.id, c.id}));
  EXPECT_EQ(search(Filter().tags({"blue"}).targets({"host-0"}).cogs({"upgrade"}).limit(1)), std::vector{a.id});
  EXPECT_EQ(search(Filter().tags({"core"}).targets({"host-2"})), std::vector<Id>{});
  EXPECT_EQ(search(Filter().tags({"blue"}).newest()), (std::vector{b.id, a.id}));
}

TEST_P(Conformance, T3_submitted_from_and_before) {
  std::vector<Id> ids;
  for (int i = 0; i < 5; ++i) {
    const Labor labor = make_labor(1, "x", kNoon + Duration(i));
    store->write_labor(labor);
    ids.push_back(labor.id);
  }
  EXPECT_EQ(search(Filter().from(kNoon + Duration(3))), (std::vector{ids[3], ids[4]}));
  EXPECT_EQ(search(Filter().before(kNoon + Duration(1))), std::vector{ids[0]});
  EXPECT_EQ(search(Filter().from(kNoon + Duration(1)).before(kNoon + Duration(3))), (std::vector{ids[1], ids[2]}));
  EXPECT_TRUE(search(Filter().from(kNoon + Duration(3)).before(kNoon + Duration(3))).empty());
}

TEST_P(Conformance, T3_a_stream_may_be_left_and_more_written_meanwhile) {
  for (int i = 0; i < 3000; ++i) {
    Labor labor;
    labor.id = new_id();
    labor.submitted = kNoon + Duration(i);
    store->write_labor(labor);
    if (i == 200 && std::string(GetParam()) == "sqlite") break;  // a commit each is slow there
  }
  auto left = store->labors({});
  ASSERT_TRUE(left->next());
  auto stream = store->labors({});
  ASSERT_TRUE(stream->next());
  std::size_t count = 1;
  while (auto labor = stream->next()) {
    ++count;
    Labor more;  // a search does not run after what comes in while it runs
    more.id = new_id();
    more.submitted = kNoon + std::chrono::hours(1);
    if (count % 50 == 0) store->write_labor(more);
    ASSERT_LT(count, 4000U);
  }
  EXPECT_EQ(count, std::string(GetParam()) == "sqlite" ? 201U : 3000U);
}

// ---- T5 ----

TEST_P(Conformance, T5_a_batch_is_stored_whole_or_not_at_all) {
  Labor labor = make_labor(2);
  store->write_labor(labor);
  store->apply({{}, {history_row(labor.id, 1, 1)}, {{RecordKind::LATCH, "l", Text("old")}}});

  Labor changed = labor;
  changed.jobs[0].state = State::RUNNING;
  changed.sequences[0].state = State::RUNNING;
  const Labor fresh = make_labor(2, "fresh");
  Job stray = labor.jobs[1];
  stray.ordinal = 99;
  Batch batch;
  batch.writes = {WriteJob{labor.id, changed.jobs[0]}, write_of(fresh), WriteSequence{labor.id, changed.sequences[0]},
                  WriteJob{labor.id, stray}};
  batch.history = {history_row(labor.id, 2, 1), history_row(fresh.id, 3, 1)};
  batch.records = {{RecordKind::LATCH, "l", Text("new")}};
  expect_refused(batch);
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
  EXPECT_THROW(store->read_labor(fresh.id, true), NotFound);
  EXPECT_EQ(store->last_change(), 1U);
  EXPECT_EQ(store->records(RecordKind::LATCH)[0].value, Text("old"));

  batch.writes.pop_back();
  store->apply(batch);
  EXPECT_EQ(store->read_labor(labor.id, true), changed);
  EXPECT_EQ(store->read_labor(fresh.id, true), fresh);
  EXPECT_EQ(store->last_change(), 3U);
  EXPECT_EQ(store->records(RecordKind::LATCH)[0].value, Text("new"));
}

TEST_P(Conformance, T5_a_batch_takes_place_in_order) {
  const Labor labor = make_labor(1);
  Job running = labor.jobs[0], done = labor.jobs[0];
  running.state = State::RUNNING;
  done.state = State::COMPLETED;
  Batch batch;
  batch.writes = {write_of(labor), WriteJob{labor.id, running}, WriteJob{labor.id, done}};
  batch.records = {{RecordKind::SIGNAL, "s", Text("1")}, {RecordKind::SIGNAL, "s", {}}, {RecordKind::SIGNAL, "s", Text("2")}};
  store->apply(batch);
  EXPECT_EQ(store->read_job(labor.id.with_ordinal(3), true).state, State::COMPLETED);
  EXPECT_EQ(store->records(RecordKind::SIGNAL), (std::vector<Record>{{RecordKind::SIGNAL, "s", Text("2")}}));
}

TEST_P(Conformance, T5_an_empty_batch_is_nothing) {
  store->apply({});
  EXPECT_EQ(store->last_change(), 0U);
}

TEST_P(Conformance, T5_history_by_labor_and_since) {
  const Labor a = make_labor(), b = make_labor();
  store->write_labor(a);
  store->write_labor(b);
  EXPECT_EQ(store->last_change(), 0U);
  EXPECT_EQ(store->last_link(a.id), (std::array<std::uint8_t, 16>{}));
  EXPECT_TRUE(history_rows(*store, a.id).empty());
  const std::vector<HistoryRow> rows = {history_row(a.id, 1, 3), history_row(b.id, 4, 2), history_row(a.id, 6, 1),
                                        history_row(b.id, 7, 10, std::string("\0bytes\xff", 7))};
  store->apply({{}, {rows[0], rows[1]}, {}});
  store->apply({{}, {rows[2], rows[3]}, {}});

  EXPECT_EQ(history_rows(*store, Id{}), rows);
  EXPECT_EQ(history_rows(*store, a.id), (std::vector{rows[0], rows[2]}));
  EXPECT_EQ(history_rows(*store, Id{}, 2), rows) << "its first row holds 3";
  EXPECT_EQ(history_rows(*store, Id{}, 3), (std::vector{rows[1], rows[2], rows[3]}));
  EXPECT_EQ(history_rows(*store, a.id, 2), (std::vector{rows[0], rows[2]}));
  EXPECT_EQ(history_rows(*store, a.id, 3), std::vector{rows[2]});
  EXPECT_EQ(history_rows(*store, b.id, 15), std::vector{rows[3]});
  EXPECT_TRUE(history_rows(*store, b.id, 16).empty());
  EXPECT_TRUE(history_rows(*store, Id{}, UINT64_MAX).empty());
  EXPECT_TRUE(history_rows(*store, new_id()).empty());
  EXPECT_EQ(store->last_change(), 16U);
  EXPECT_EQ(store->last_link(a.id), rows[2].link);
  EXPECT_EQ(store->last_link(b.id), rows[3].link);

  std::size_t seen = 0;
  store->history(Id{}, 0, [&](const HistoryRow&) { return ++seen < 2; });
  EXPECT_EQ(seen, 2U) << "it stops where it is told to";
}

TEST_P(Conformance, T5_history_that_comes_late_keeps_its_number) {
  // A Labor whose writes were held up (D6) brings rows that are numbered below those of others.
  const Labor a = make_labor(), b = make_labor();
  store->write_labor(a);
  store->write_labor(b);
  store->apply({{}, {history_row(a.id, 5, 2)}, {}});
  store->apply({{}, {history_row(b.id, 2, 3)}, {}});
  EXPECT_EQ(history_rows(*store, Id{}), (std::vector{history_row(b.id, 2, 3), history_row(a.id, 5, 2)}));
  EXPECT_EQ(store->last_change(), 6U);
  expect_refused({{}, {history_row(a.id, 5, 1)}, {}});
  expect_refused({{}, {history_row(new_id(), 50, 1)}, {}});
}

TEST_P(Conformance, T5_long_histories_come_in_order_and_whole) {
  const Labor a = make_labor(), b = make_labor();
  store->write_labor(a);
  store->write_labor(b);
  Batch batch;
  for (std::uint64_t i = 0; i < 5000; ++i) batch.history.push_back(history_row(i % 3 == 0 ? a.id : b.id, 1 + 2 * i, 2));
  store->apply(batch);
  EXPECT_EQ(history_rows(*store, Id{}), batch.history);
  EXPECT_EQ(history_rows(*store, a.id).size(), 1667U);
  EXPECT_EQ(history_rows(*store, Id{}, 9001).front().first, 9001U);
  std::size_t nested = 0;  // the store may be used from within
  store->history(a.id, 9000, [&](const HistoryRow& row) {
    nested += store->read_labor(row.labor, false).id == a.id ? 1 : 0;
    return true;
  });
  EXPECT_GT(nested, 100U);
}

TEST_P(Conformance, T5_records_by_kind_and_key) {
  EXPECT_TRUE(store->records(RecordKind::LATCH).empty());
  const std::string binary("\0\xff\x80value", 8);
  Batch batch;
  batch.records = {{RecordKind::CLIENT_ID, "b", Text("2")},
                   {RecordKind::CLIENT_ID, "a", Text(binary)},
                   {RecordKind::LATCH, "a", Text("latch")},
                   {RecordKind::CLIENT_ID, "Ä", Text("")},
                   {RecordKind::CLIENT_ID, "", Text("no key")}};
  store->apply(batch);
  const auto found = store->records(RecordKind::CLIENT_ID);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0], (Record{RecordKind::CLIENT_ID, "", Text("no key")}));
  EXPECT_EQ(found[1], (Record{RecordKind::CLIENT_ID, "a", Text(binary)}));
  EXPECT_EQ(found[2], (Record{RecordKind::CLIENT_ID, "b", Text("2")}));
  EXPECT_EQ(found[3], (Record{RecordKind::CLIENT_ID, "Ä", Text("")}));
  store->apply(
      {{},
       {},
       {{RecordKind::CLIENT_ID, "a", {}}, {RecordKind::CLIENT_ID, "not there", {}}, {RecordKind::CLIENT_ID, "b", Text("3")}}});
  EXPECT_EQ(store->records(RecordKind::CLIENT_ID).size(), 3U);
  EXPECT_EQ(store->records(RecordKind::CLIENT_ID)[1].value, Text("3"));
  EXPECT_EQ(store->records(RecordKind::LATCH).size(), 1U);
}

TEST_P(Conformance, T5_values_of_many_megabytes) {
  Labor labor = make_labor(2);
  labor.jobs[0].args = std::string("\x81\xa1x\xc6\x01\x31\x2d\x00", 8) + std::string(20'000'000, 'a');
  store->write_labor(labor);
  for (std::uint32_t i = 1; i <= 3; ++i) {
    labor.jobs[1].attempts.push_back({i, 0, kNoon, kNoon, AttemptStatus::FAILURE, Attempt::CUT, Decision::NONE,
                                      std::string("\xc6\x00\x98\x96\x80", 5) + std::string(10'000'000, 'o'),
                                      std::string(100'000, 'e'), "log"});
    store->write_job(labor.id, labor.jobs[1]);
  }
  store->apply({{},
                {history_row(labor.id, 1, 1, std::string(5'000'000, 'h'))},
                {{RecordKind::HELD_JOB, "big", Text(std::string(5'000'000, 'r'))}}});
  EXPECT_TRUE(store->read_labor(labor.id, true) == labor);
  const auto bare = store->read_job(labor.id.with_ordinal(5), false);
  EXPECT_EQ(bare.attempts.size(), 3U);
  EXPECT_TRUE(bare.attempts[0].output.empty());
  EXPECT_EQ(bare.attempts[0].error.size(), 100'000U);
  EXPECT_EQ(history_rows(*store, labor.id)[0].changes.size(), 5'000'000U);
  EXPECT_EQ(store->records(RecordKind::HELD_JOB)[0].value->size(), 5'000'000U);
}

// ---- R1 ----

TEST_P(Conformance, R1_a_second_owner_is_refused_at_once_and_told_who_has_it) {
  const Owner alice{4711, "build-3", "alice", "rollout.py", kNoon};
  auto lock = store->lock(alice);
  try {
    store->lock({1, "h", "bob", "p", kNoon});
    FAIL() << "two owners";
  } catch (const StoreInUse& error) {
    const std::string text = error.what();
    for (const char* part : {"4711", "build-3", "alice", "rollout.py", "2025-06-15 15:06:40 UTC", "connect"}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << ": " << text;
    }
    EXPECT_NE(text.find(store->name()), std::string::npos);
  }
  store->write_labor(make_labor());  // a refusal disturbs nobody
  lock.reset();
  EXPECT_NO_THROW(store->lock(alice));
}

// ---- many threads ----

TEST_P(Conformance, T1_readers_beside_a_writer_see_whole_commits) {
  Labor labor = make_labor(50);
  store->write_labor(labor);
  std::atomic<bool> stop = false;
  std::atomic<int> reads = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      while (!stop || reads < 30) {
        const Labor seen = store->read_labor(labor.id, true);
        // Each commit sets all Jobs and Sequences to one start.
        for (const auto& job : seen.jobs) ASSERT_EQ(job.started, seen.jobs[0].started);
        for (const auto& sequence : seen.sequences) ASSERT_EQ(sequence.started, seen.jobs[0].started);
        const auto rows = history_rows(*store, labor.id);
        ASSERT_LE(rows.size(), store->last_change());
        ASSERT_EQ(search(Filter().targets({"host-7"})).size(), 1U);
        ++reads;
      }
    });
  }
  for (std::uint64_t i = 1; i <= 200; ++i) {
    Batch batch;
    for (auto& job : labor.jobs) {
      job.started = kNoon + Duration(static_cast<std::int64_t>(i));
      job.state = State::RUNNING;
      batch.writes.push_back(WriteJob{labor.id, job});
    }
    for (auto& sequence : labor.sequences) {
      sequence.started = labor.jobs[0].started;
      batch.writes.push_back(WriteSequence{labor.id, sequence});
    }
    batch.history.push_back(history_row(labor.id, i, 1));
    store->apply(batch);
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(store->read_labor(labor.id, true), labor);
}

}  // namespace
}  // namespace cogwork
