#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cogwork/engine/engine.h"
#include "cogwork/storage/stores.h"
#include "support/scripted_workers.h"

namespace cogwork::test {

/// An engine with Cogs in C++. All Cogs are idempotent; those in `coroutines` are async.
class EngineWorld {
 public:
  explicit EngineWorld(std::shared_ptr<Storage> store, EngineOptions options = {}, std::map<std::string, Function> functions = {},
                       const std::vector<std::string>& coroutines = {}, const std::function<void(CogRegistry&)>& prepare = {})
      : workers(std::move(functions)) {
    for (const auto& name : workers.names()) add_cog(name);
    for (const auto& name : coroutines) add_cog(name, CogKind::ASYNC);
    if (prepare) prepare(*cogs);
    engine = std::make_unique<Engine>(std::move(store), cogs, std::move(options));
    for (const auto& queue : {engine->jobs(), engine->checks()}) workers.serve(queue);
    if (!coroutines.empty()) workers.serve_async(engine->async_calls());
  }
  ~EngineWorld() {
    engine.reset();  // closes the queues, so that the workers' threads end
    workers.join();
  }

  void add_cog(const std::string& name, CogKind kind = CogKind::PLAIN, const std::string& origin = "test:") const {
    CogInfo info;
    info.name = name;
    info.origin = origin + name;
    info.kind = kind;
    info.defaults.idempotent = true;
    cogs->add(std::move(info));
  }

  std::shared_ptr<CogRegistry> cogs = std::make_shared<CogRegistry>();
  ScriptedWorkers workers;
  std::unique_ptr<Engine> engine;

  Id submit(Labor labor, bool start = true, std::string fingerprint = {}) {
    Submission s;
    s.labor = std::move(labor);
    s.start = start;
    s.by = "tester";
    s.fingerprint = std::move(fingerprint);
    return engine->submit(std::move(s));
  }
  Labor wait(const Id& id) {
    engine->end_of(id)->completion().wait();
    return engine->store()->read_labor(id, true);
  }
  std::shared_ptr<Ack> signal(const Id& id, Signal signal, bool interrupt = false) {
    return engine->signal({id, signal, interrupt, "ann", "why"});
  }
};

/// One Task of `count` Sequences of `jobs` Jobs each, as read_submitted would give it.
inline Labor tree_of(std::uint32_t count, const std::string& cog = "ok", std::uint32_t concurrency = 1, std::uint32_t jobs = 1) {
  Labor labor;
  labor.name = "tree";
  Task task;
  task.name = "task";
  task.sequence_count = count;
  task.concurrency.number = concurrency;
  labor.tasks.push_back(task);
  for (std::uint32_t i = 0; i < count; ++i) {
    Sequence sequence;
    sequence.target = "host" + std::to_string(i);
    sequence.first_job = i * jobs;
    sequence.job_count = jobs;
    labor.sequences.push_back(sequence);
    for (std::uint32_t j = 0; j < jobs; ++j) {
      Job job;
      job.sequence = i;
      job.cog_path = cog;
      job.args = Text("\x80");
      labor.jobs.push_back(job);
    }
  }
  return labor;
}

/// Puts checks before the Jobs of a tree of one Task.
inline Labor with_checks(Labor labor, const std::vector<std::string>& pre, const std::vector<std::string>& cont) {
  std::vector<Job> checks;
  for (const auto* names : {&pre, &cont}) {
    for (const auto& name : *names) {
      Job job;
      job.sequence = Job::kNoSequence;
      job.kind = names == &pre ? JobKind::PRE_CHECK : JobKind::CONT_CHECK;
      job.cog_path = name;
      job.args = Text("\x80");
      checks.push_back(job);
    }
  }
  labor.tasks[0].pre_check_count = static_cast<std::uint32_t>(pre.size());
  labor.tasks[0].cont_check_count = static_cast<std::uint32_t>(cont.size());
  for (auto& sequence : labor.sequences) sequence.first_job += static_cast<std::uint32_t>(checks.size());
  labor.jobs.insert(labor.jobs.begin(), checks.begin(), checks.end());
  return labor;
}

inline std::vector<Change> history_of(Storage& store, const Id& labor) {
  std::vector<Change> changes;
  store.history(labor, 0, [&](const HistoryRow& row) {
    for (auto& change : unpack_changes(row)) changes.push_back(std::move(change));
    return true;
  });
  return changes;
}

/// D7: every link of every Labor's chain verifies, and the changes, in the order of their numbers, lead to the tree as it is stored.
inline void expect_sound_history(Storage& store) {
  std::map<Id, std::array<std::uint8_t, 16>> links;
  std::map<Id, std::map<std::uint32_t, State>> states;
  std::uint64_t last = 0;
  store.history(Id{}, 0, [&](const HistoryRow& row) {
    EXPECT_GT(row.first, last) << "a number is stored twice";
    last = row.first + row.count - 1;
    EXPECT_EQ(chain_link(links[row.labor], row), row.link) << "the chain of " << row.labor.text() << " breaks at " << row.first;
    links[row.labor] = row.link;
    const auto changes = unpack_changes(row);
    EXPECT_EQ(changes.size(), row.count);
    for (const auto& change : changes) {
      if (change.kind == Change::Kind::STATE) states[row.labor][change.ordinal] = change.to;
    }
    return true;
  });
  for (auto& [id, now] : states) {
    const auto labor = store.read_labor(id, true);
    const auto expect = [&](std::uint32_t ordinal, State state, State unstarted = State::NOT_STARTED) {
      const auto found = now.find(ordinal);
      EXPECT_EQ(found == now.end() ? unstarted : found->second, state) << id.with_ordinal(ordinal).text();
    };
    expect(0, labor.state, labor.state);
    for (const auto& task : labor.tasks) expect(task.ordinal, task.state);
    for (const auto& sequence : labor.sequences) expect(sequence.ordinal, sequence.state);
    for (const auto& job : labor.jobs) {
      // X11: passing rounds are counted, not listed; the last end is.
      if (!job.is_check() || job.rounds == 0 || has_ended(labor.tasks[job.task].state)) expect(job.ordinal, job.state);
    }
  }
}

/// R5: what every stored tree must satisfy, whatever happened to it; `ended`: it must have come to its end.
inline void expect_sound_tree(const Labor& labor, bool ended = true) {
  if (ended) {
    EXPECT_TRUE(has_ended(labor.state)) << name_of(labor.state);
  }
  for (const auto& job : labor.jobs) {
    int successes = 0, open = 0;
    for (const auto& attempt : job.attempts) {
      successes += attempt.status == AttemptStatus::SUCCESS ? 1 : 0;
      open += attempt.open() ? 1 : 0;
    }
    if (!job.is_check()) {
      const bool decided = !job.attempts.empty() && job.attempts.back().decision == Decision::COMPLETED;
      EXPECT_EQ(successes, job.state == State::COMPLETED && !decided ? 1 : 0) << job.ordinal;
    }
    EXPECT_LE(open, ended ? 0 : 1) << job.ordinal;
    if (ended) {
      EXPECT_NE(job.state, State::RUNNING) << job.ordinal;
    }
  }
  for (const auto& sequence : labor.sequences) {
    if (ended) {
      EXPECT_TRUE(has_ended(sequence.state) || sequence.state == State::NOT_STARTED) << sequence.ordinal;
    }
    if (sequence.state != State::COMPLETED) continue;
    for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
      EXPECT_EQ(labor.jobs[sequence.first_job + j].state, State::COMPLETED);
    }
  }
  for (const auto& task : labor.tasks) {
    if (ended) {
      EXPECT_TRUE(has_ended(task.state) || task.state == State::NOT_STARTED) << task.ordinal;
    }
    if (labor.state == State::COMPLETED) {
      EXPECT_EQ(task.state, State::COMPLETED) << task.ordinal;
    }
  }
}

/// A test that runs on each built-in store. `reopened()` is the same store as an engine that opens it later finds it.
class StoreTest : public testing::TestWithParam<std::string> {
 protected:
  StoreTest() {
    if (GetParam() == "memory") memory_ = make_memory_store();
    static int next = 0;
    folder_ =
        std::filesystem::temp_directory_path() / ("cogwork-engine-test-" + std::to_string(getpid()) + "-" + std::to_string(next++));
    std::filesystem::create_directories(folder_);
  }
  ~StoreTest() override {
    std::error_code ignored;  // of a store that somebody still lets go of
    std::filesystem::remove_all(folder_, ignored);
  }

  std::shared_ptr<Storage> reopened() {
    if (memory_) return memory_;
    return open_sqlite_store(path(), OpenMode::OWNER);
  }
  /// A store of its own.
  std::shared_ptr<Storage> another() {
    if (memory_) return make_memory_store();
    return open_sqlite_store((folder_ / ("other" + std::to_string(others_++) + ".db")).string(), OpenMode::OWNER);
  }
  std::string path() const { return (folder_ / "labors.db").string(); }

 private:
  std::shared_ptr<Storage> memory_;
  std::filesystem::path folder_;
  int others_ = 0;
};

#define COGWORK_ON_EACH_STORE(suite) \
  INSTANTIATE_TEST_SUITE_P(Stores, suite, testing::Values("memory", "sqlite"), [](const auto& store) { return store.param; })

}  // namespace cogwork::test
