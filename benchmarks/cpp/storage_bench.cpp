// What the storage can do by itself: rows, commits, bytes. Prints a table, and JSON with --json.
//
//   storage_bench [--sequences N] [--folder DIR] [--json]
//
// The work is a Labor of one-Job Sequences. Each takes two commits: Sequence and Job RUNNING, then both COMPLETED, with their four
// changes in the history. All figures are with synchronous=FULL, and mean something beside "bare" only: what a commit of one row
// costs on this disk.

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "cogwork/model/change.h"
#include "cogwork/storage/committer.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/stores.h"

namespace cogwork {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

double seconds_since(Steady::time_point start) { return std::chrono::duration<double>(Steady::now() - start).count(); }
Time now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

struct Figure {
  std::string name;
  double value;
  std::string unit;
};
std::vector<Figure> figures;
void tell(std::string name, double value, std::string unit) {
  std::fprintf(stderr, "%-58s %12.0f %s\n", name.c_str(), value, unit.c_str());
  figures.push_back({std::move(name), value, std::move(unit)});
}

constexpr std::size_t kArgs = 24;

Labor make_labor(std::uint32_t sequences) {
  static Random random(1);
  Interner intern;
  Labor labor;
  labor.id = Id::make(random);
  labor.name = "edge upgrade";
  labor.submitted = now();
  labor.tasks.emplace_back();
  labor.tasks[0].sequence_count = sequences;
  labor.tasks[0].name = "rest";
  labor.sequences.resize(sequences);
  labor.jobs.resize(sequences);
  for (std::uint32_t i = 0; i < sequences; ++i) {
    auto& sequence = labor.sequences[i];
    sequence.first_job = i;
    sequence.job_count = 1;
    sequence.target = "edge-" + std::to_string(i);
    auto& job = labor.jobs[i];
    job.sequence = i;
    job.cog_path = intern("upgrade");
    job.args = std::string(kArgs, 'a');
    job.options.timeout = std::chrono::minutes(5);
    job.options.retry_delay = Duration(0);
    job.options.retries = 0;
    job.options.retry_backoff = 1;
    job.options.on_interrupt = 2;
  }
  number_tree(labor);
  return labor;
}

/// Takes the Sequences of a Labor through their states, as an engine does, and makes what is to be written of it.
class Run {
 public:
  explicit Run(Labor& labor) : labor_(labor) {}

  void start(Batch& batch, std::uint32_t index) {
    auto& sequence = labor_.sequences[index];
    auto& job = labor_.jobs[index];
    const Time t = now();
    change(sequence.ordinal, State::NOT_STARTED, State::RUNNING, t);
    change(job.ordinal, State::NOT_STARTED, State::RUNNING, t);
    sequence.state = job.state = State::RUNNING;
    sequence.started = job.started = t;
    job.attempts.emplace_back();
    job.attempts.back().number = 1;
    job.attempts.back().started = t;
    batch.writes.push_back(WriteSequence{labor_.id, sequence});
    batch.writes.push_back(WriteJob{labor_.id, job});
  }

  void end(Batch& batch, std::uint32_t index) {
    auto& sequence = labor_.sequences[index];
    auto& job = labor_.jobs[index];
    const Time t = now();
    change(job.ordinal, State::RUNNING, State::COMPLETED, t);
    change(sequence.ordinal, State::RUNNING, State::COMPLETED, t);
    sequence.state = job.state = State::COMPLETED;
    sequence.ended = job.ended = t;
    auto& attempt = job.attempts.back();
    attempt.ended = t;
    attempt.status = AttemptStatus::SUCCESS;
    attempt.output = "\xa2ok";
    batch.writes.push_back(WriteJob{labor_.id, job});
    batch.writes.push_back(WriteSequence{labor_.id, sequence});
  }

  /// The row of what has changed since the last call.
  void close(Batch& batch) {
    HistoryRow row;
    row.first = next_;
    row.count = static_cast<std::uint32_t>(changes_.size());
    row.labor = labor_.id;
    row.at = now();
    row.changes = pack_changes(changes_);
    row.link = link_ = chain_link(link_, row);
    next_ += row.count;
    changes_.clear();
    batch.history.push_back(std::move(row));
  }

 private:
  void change(std::uint32_t ordinal, State from, State to, Time at) {
    auto& change = changes_.emplace_back();
    change.at = at;
    change.labor = labor_.id;
    change.ordinal = ordinal;
    change.from = from;
    change.to = to;
  }

  Labor& labor_;
  std::vector<Change> changes_;
  std::uint64_t next_ = 1;
  std::array<std::uint8_t, 16> link_{};
};

class Bench {
 public:
  Bench(fs::path folder, std::uint32_t sequences) : folder_(std::move(folder)), sequences_(sequences) {}

  void run() {
    bare();
    ingest(100'000);
    if (sequences_ > 100'000) ingest(sequences_);
    for (const std::uint32_t in_flight : {1U, 16U, 256U}) lockstep(in_flight);
    for (const std::uint32_t in_flight : {1U, 16U, 256U}) driven(in_flight);
  }

 private:
  std::string path() const { return (folder_ / "bench.db").string(); }
  std::shared_ptr<Storage> fresh() {
    for (const char* end : {"", "-wal", "-shm"}) fs::remove(path() + end);
    return open_sqlite_store(path(), OpenMode::OWNER);
  }

  void bare() {
    for (const char* end : {"", "-wal", "-shm"}) fs::remove(path() + end);
    SqliteConnection connection({path(), path()}, SqliteConnection::Kind::WRITER);
    connection.word("PRAGMA journal_mode = WAL");
    connection.execute("PRAGMA synchronous = FULL; CREATE TABLE t(key INTEGER PRIMARY KEY, value BLOB)", "bench");
    SqliteStatement begin(connection, "BEGIN IMMEDIATE", "bench"), commit(connection, "COMMIT", "bench");
    SqliteStatement insert(connection, "INSERT INTO t VALUES(?1, ?2)", "bench");
    const std::string value(100, 'x');
    const int commits = 20'000;
    const auto start = Steady::now();
    for (int i = 1; i <= commits; ++i) {
      begin.run();
      insert.bind(1, i).bind_blob(2, value);
      insert.run();
      commit.run();
    }
    tell("bare: commits of one inserted row", commits / seconds_since(start), "/s");
  }

  void ingest(std::uint32_t count) {
    const Labor labor = make_labor(count);
    auto store = fresh();
    const auto shared = std::make_shared<const Labor>(labor);
    Batch batch;
    batch.writes.push_back(WriteLabor{shared});
    auto start = Steady::now();
    store->apply(batch);
    const auto name = "write_labor of " + std::to_string(count) + " one-Job Sequences";
    tell(name, count / seconds_since(start), "Sequences/s");
    start = Steady::now();
    const auto back = store->read_labor(labor.id, true);
    tell("read_labor of it", static_cast<double>(back.jobs.size()) / seconds_since(start), "Sequences/s");
    store.reset();
    tell(name + ": file, args included", static_cast<double>(fs::file_size(path())) / count, "bytes/Sequence");
  }

  /// One thread: ends of the last group and starts of the next in one apply.
  void lockstep(std::uint32_t in_flight) {
    const std::uint32_t count = std::min<std::uint32_t>(100'000, in_flight == 1 ? 20'000 : 100'000) / in_flight * in_flight;
    Labor labor = make_labor(count);
    auto store = fresh();
    store->write_labor(labor);
    Run run(labor);
    std::uint64_t commits = 0;
    double apply = 0;
    const auto start = Steady::now();
    for (std::uint32_t group = 0; group <= count / in_flight; ++group) {
      Batch batch;
      for (std::uint32_t i = 0; i < in_flight; ++i) {
        if (group > 0) run.end(batch, (group - 1) * in_flight + i);
        if (group < count / in_flight) run.start(batch, group * in_flight + i);
      }
      run.close(batch);
      const auto before = Steady::now();
      store->apply(batch);
      apply += seconds_since(before);
      ++commits;
    }
    const double all = seconds_since(start);
    const auto name = "apply, " + std::to_string(in_flight) + " in flight: ";
    tell(name + "Sequences", count / apply, "/s");
    tell(name + "commits (4 rows a Sequence, 1 of history)", static_cast<double>(commits) / apply, "/s");
    tell(name + "Sequences, with packing the history", count / all, "/s");
    store.reset();
    tell(name + "file after, beside args", static_cast<double>(fs::file_size(path())) / count - kArgs, "bytes/Sequence");
  }

  /// As in an engine: a committer's thread, and one that reacts to what has become durable.
  void driven(std::uint32_t in_flight) {
    const std::uint32_t count = in_flight == 1 ? 20'000 : 100'000;
    Labor labor = make_labor(count);
    auto store = fresh();
    store->write_labor(labor);
    Run run(labor);
    std::mutex mutex;
    std::condition_variable news;
    std::vector<std::uint64_t> durable;
    auto committer = make_committer(
        store,
        [&](std::vector<CommitResult> results) {
          const std::lock_guard lock(mutex);
          for (const auto& result : results) durable.push_back(result.token);
          news.notify_one();
        },
        nullptr, Backoff(std::chrono::milliseconds(1), std::chrono::seconds(1), Random(1)));
    const auto start = Steady::now();
    std::vector<std::vector<std::uint32_t>> started;  // by token
    std::uint32_t next = 0, ended = 0;
    std::vector<std::uint32_t> to_end;  // their start is durable, and their Cog has answered at once
    std::uint32_t to_start = in_flight;
    do {
      CommitUnit unit;
      unit.labor = labor.id;
      unit.token = started.size();
      started.emplace_back();
      for (const auto index : to_end) run.end(unit.batch, index);
      ended += static_cast<std::uint32_t>(to_end.size());
      to_end.clear();
      // The end of one and the start of the next share a commit.
      for (; to_start > 0 && next < count; --to_start, ++next) {
        run.start(unit.batch, next);
        started.back().push_back(next);
      }
      run.close(unit.batch);
      std::vector<CommitUnit> units;
      units.push_back(std::move(unit));
      committer->commit(std::move(units));
      std::vector<std::uint64_t> tokens;
      while (ended < count && to_end.empty()) {
        {
          std::unique_lock lock(mutex);
          news.wait(lock, [&] { return !durable.empty(); });
          tokens.swap(durable);
        }
        for (const auto token : tokens) to_end.insert(to_end.end(), started[token].begin(), started[token].end());
        tokens.clear();
      }
      to_start = static_cast<std::uint32_t>(to_end.size());
    } while (ended < count);
    committer->flush(std::nullopt);
    const double all = seconds_since(start);
    const auto name = "committer, " + std::to_string(in_flight) + " in flight: ";
    tell(name + "Sequences", count / all, "/s");
    tell(name + "commits", static_cast<double>(committer->figures().commits) / all, "/s");
  }

  const fs::path folder_;
  const std::uint32_t sequences_;
};

}  // namespace
}  // namespace cogwork

int main(int argc, char** argv) {
  std::uint32_t sequences = 100'000;
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--json") {
      json = true;
    } else if (arg == "--sequences" && i + 1 < argc) {
      sequences = static_cast<std::uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (arg == "--folder" && i + 1 < argc) {
      folder = argv[++i];
    } else {
      std::fprintf(stderr, "usage: storage_bench [--sequences N] [--folder DIR] [--json]\n");
      return 2;
    }
  }
  folder /= "cogwork-storage-bench-" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  cogwork::Bench(folder, sequences).run();
  std::filesystem::remove_all(folder);
  if (json) {
    std::printf("[");
    const char* comma = "";
    for (const auto& figure : cogwork::figures) {
      std::printf("%s\n  {\"name\": \"%s\", \"value\": %.1f, \"unit\": \"%s\"}", comma, figure.name.c_str(), figure.value,
                  figure.unit.c_str());
      comma = ",";
    }
    std::printf("\n]\n");
  }
  return 0;
}
