#pragma once

#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cogwork/model/labor.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

inline constexpr Time kNoon = from_micros(1'750'000'000'123'456);

inline Id new_id() {
  static Random random = Random::from_system();
  return Id::make(random);
}

inline Job make_job(std::uint32_t task, std::uint32_t sequence, JobKind kind, std::string cog, std::string args) {
  Job job;
  job.task = task;
  job.sequence = sequence;
  job.kind = kind;
  job.cog_path = cog;
  job.args = args;
  job.options.timeout = std::chrono::minutes(5);
  job.options.retry_delay = Duration(0);
  job.options.retry_backoff = 1;
  job.options.retries = 0;
  job.options.on_interrupt = 2;
  return job;
}

/// One Task with one-Job Sequences for "host-0", "host-1" and so on.
inline Labor make_labor(std::uint32_t sequences = 1, std::string name = "upgrade", Time submitted = kNoon) {
  Labor labor;
  labor.id = new_id();
  labor.name = name;
  labor.submitted = submitted;
  Task task;
  task.sequence_count = sequences;
  labor.tasks.push_back(task);
  labor.sequences.reserve(sequences);
  labor.jobs.reserve(sequences);
  for (std::uint32_t i = 0; i < sequences; ++i) {
    Sequence sequence;
    sequence.first_job = i;
    sequence.job_count = 1;
    sequence.target = "host-" + std::to_string(i);
    labor.sequences.push_back(sequence);
    labor.jobs.push_back(make_job(0, i, JobKind::WORK, "upgrade", "\x81\xa4host\xa6" + std::string("host-x")));
  }
  number_tree(labor);
  return labor;
}

/// Two Tasks with checks, every field set to something of its own.
inline Labor make_full_labor() {
  Labor labor;
  labor.id = new_id();
  labor.state = State::ADMIN_PAUSED;
  labor.reason = Reason::MAX_FAILURES;
  labor.name = "Kante – 縁 2.1";
  labor.desc = "why";
  labor.client_id = "client-7";
  labor.real_user = "alice";
  labor.tags = {"edge", "straße", "edge"};
  labor.cogs = {{"upgrade", "rollout:upgrade"}, {"healthy", ""}, {"reboot", std::string(300, 'm')}};
  labor.submitted = kNoon;
  labor.started = kNoon + Duration(1);
  labor.ended = kNoon + Duration(2);
  labor.holds = {{Rank::USER, kNoon, "alice", "INC-12"}, {Rank::CRISIS, kNoon + Duration(5), "bob", ""}};
  for (std::uint32_t t = 0; t < 2; ++t) {
    Task task;
    task.first_job = static_cast<std::uint32_t>(labor.jobs.size());
    task.pre_check_count = 1;
    task.cont_check_count = 2;
    task.first_sequence = static_cast<std::uint32_t>(labor.sequences.size());
    task.sequence_count = 3;
    task.state = t == 0 ? State::COMPLETED : State::RUNNING;
    task.reason = Reason::CONT_CHECK_FAILURE;
    task.strict = task.pass_failures = true;
    task.pause_on_entry = t == 1;
    task.failures = 7;
    task.concurrency = {3, "10%"};
    task.tolerated_failures = {-1, ""};
    task.cont_check_interval = std::chrono::seconds(11);
    task.bake = std::chrono::microseconds(1);
    task.entry_delay = std::chrono::hours(48);
    task.name = "task";
    task.desc = "a task";
    task.started = kNoon + Duration(3);
    task.holds = {{Rank::ADMIN, kNoon, "carol", "slow down"}};
    for (std::uint32_t c = 0; c < 3; ++c) {
      auto check = make_job(t, Job::kNoSequence, c == 0 ? JobKind::PRE_CHECK : JobKind::CONT_CHECK, "healthy", "\x80");
      check.rounds = 1000 + c;
      check.state = State::COMPLETED;
      check.attempts = {{1, 5, kNoon, kNoon + Duration(9), AttemptStatus::SUCCESS, 0, Decision::NONE, "\xc3", "", "", ""}};
      labor.jobs.push_back(check);
    }
    for (std::uint32_t s = 0; s < 3; ++s) {
      const auto index = static_cast<std::uint32_t>(labor.sequences.size());
      Sequence sequence;
      sequence.task = t;
      sequence.first_job = static_cast<std::uint32_t>(labor.jobs.size());
      sequence.job_count = 2;
      sequence.state = State::FAILED;
      sequence.reason = Reason::NO_FAILURE;
      sequence.target = "zürich-" + std::to_string(s);
      sequence.name = "sequence";
      sequence.desc = "a sequence";
      sequence.started = kNoon + Duration(4);
      sequence.ended = kNoon + Duration(5);
      sequence.holds = {{Rank::USER, kNoon, "dave", ""}};
      labor.sequences.push_back(sequence);
      for (std::uint32_t j = 0; j < 2; ++j) {
        auto job = make_job(t, index, JobKind::WORK, j == 0 ? "upgrade" : "reboot", std::string("\x81\xa1\0\x01", 4));
        job.name = "job";
        job.desc = "a job";
        job.state = State::RUNNING;
        job.held = j == 1;
        job.started = kNoon + Duration(6);
        job.options.retry_max_delay = std::chrono::seconds(90);
        job.options.retry_backoff = 1.5;
        job.options.retries = 4;
        job.attempts = {{1, 0, kNoon + Duration(6), kNoon + Duration(7), AttemptStatus::INTERRUPTED, Attempt::STILL_RUNNING,
                         Decision::RERUN, "", "too slow", "line\nline", "2.0"},
                        {2, 0, kNoon + Duration(8), kNoon + Duration(9), AttemptStatus::SUCCESS, Attempt::CUT | Attempt::REPR,
                         Decision::NONE, "\xa2hi", "", "", ""},
                        {3, 0, kNoon + Duration(9), never, AttemptStatus::OPEN, 0, Decision::NONE, "", "", "", "2.1"}};
        labor.jobs.push_back(job);
      }
    }
    labor.tasks.push_back(task);
  }
  number_tree(labor);
  return labor;
}

inline Batch batch_of(WriteOp op) {
  Batch batch;
  batch.writes.push_back(std::move(op));
  return batch;
}

inline WriteLabor write_of(const Labor& labor) { return {std::make_shared<const Labor>(labor)}; }

inline HistoryRow history_row(const Id& labor, std::uint64_t first, std::uint32_t count, std::string changes = "packed") {
  HistoryRow row;
  row.first = first;
  row.count = count;
  row.labor = labor;
  row.at = kNoon + Duration(static_cast<std::int64_t>(first));
  row.changes = changes;
  row.link[0] = static_cast<std::uint8_t>(first);
  row.link[15] = 1;
  return row;
}

inline std::vector<HistoryRow> history_rows(Storage& store, const Id& labor, std::uint64_t since = 0) {
  std::vector<HistoryRow> rows;
  store.history(labor, since, [&](const HistoryRow& row) {
    rows.push_back(row);
    return true;
  });
  return rows;
}

inline std::vector<Labor> all_of(LaborStream& stream) {
  std::vector<Labor> labors;
  while (auto labor = stream.next()) labors.push_back(std::move(*labor));
  return labors;
}

/// A folder that goes with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::random_device device;
    do {
      path_ = std::filesystem::temp_directory_path() / ("cogwork-test-" + std::to_string(device()) + std::to_string(device()));
    } while (!std::filesystem::create_directory(path_));
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cogwork
