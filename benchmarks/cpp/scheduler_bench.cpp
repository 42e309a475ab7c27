// What the engine does without Python: Jobs that do nothing, so that all of the time is the engine's own.
//
//   machine   the machine alone, stepped through every Job: the rules
//   core      the core in one thread, with a store and an executor that answer at once: rules and effects
//   engine    a whole engine; threads in C++ pull the calls: rules, effects, threads and the store
//
// One line of JSON for each run. Times of the scheduler thread are its own CPU time, between the moment that it starts the Labor and
// the moment that it has told of its end.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/engine/core.h"
#include "cogwork/engine/engine.h"
#include "cogwork/machine/labor_machine.h"
#include "cogwork/storage/stores.h"

namespace cogwork {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string variant = "engine";
  std::string store = "memory:";
  std::uint32_t jobs = 100'000;
  std::uint32_t jobs_per_sequence = 1;
  std::uint32_t concurrency = 16;
  int repeats = 3;
};

struct Measured {
  double submit_s = 0;
  double run_s = 0;
  double scheduler_cpu_s = 0;
  double submit_bytes_per_job = 0;  ///< Growth of the resident memory until submit has returned.
  std::uint64_t commits = 0;
  std::uint64_t steps = 0;
};

double seconds_since(SteadyClock::time_point start) { return std::chrono::duration<double>(SteadyClock::now() - start).count(); }

double thread_cpu() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

constexpr const char* kCog = "no_op";

/// One Task of Sequences that all look the same.
Labor make_labor(const Options& options) {
  Labor labor;
  labor.name = "no-ops";
  Task task;
  task.name = "all";
  task.concurrency = {options.concurrency, {}};
  task.sequence_count = std::max<std::uint32_t>(1, options.jobs / options.jobs_per_sequence);
  labor.tasks.push_back(task);
  const Text cog(kCog);
  labor.sequences.reserve(task.sequence_count);
  labor.jobs.reserve(std::size_t{task.sequence_count} * options.jobs_per_sequence);
  for (std::uint32_t s = 0; s < task.sequence_count; ++s) {
    Sequence sequence;
    sequence.first_job = static_cast<std::uint32_t>(labor.jobs.size());
    sequence.job_count = options.jobs_per_sequence;
    sequence.target = Text("target-" + std::to_string(s));
    labor.sequences.push_back(std::move(sequence));
    for (std::uint32_t j = 0; j < options.jobs_per_sequence; ++j) {
      Job job;
      job.sequence = s;
      job.cog_path = cog;
      job.args = Text(std::string_view("\x81\xa1n\x01", 4));  // {"n": 1}
      labor.jobs.push_back(std::move(job));
    }
  }
  return labor;
}

std::shared_ptr<CogRegistry> make_registry() {
  auto cogs = std::make_shared<CogRegistry>();
  CogInfo info;
  info.name = kCog;
  info.origin = "benchmark:no_op";
  cogs->add(std::move(info));
  return cogs;
}

// ---- machine ----

Measured run_machine(const Options& options) {
  auto labor = make_labor(options);
  const auto cogs = make_registry();
  complete(labor, *cogs);
  Measured m;
  Time now = from_micros(1'700'000'000'000'000);
  LaborMachine machine(std::move(labor));
  Effects effects;
  std::vector<std::uint32_t> ready;
  std::size_t next = 0;
  const auto take = [&](const Input& input) {
    now += Duration(1);
    ++m.steps;
    effects.clear();
    machine.step(input, {now, SteadyTime(now.time_since_epoch())}, effects);
    for (const auto& r : effects.ready) ready.push_back(r.job);
  };
  const auto start = SteadyClock::now();
  const double cpu = thread_cpu();
  take(input::Start{});
  while (!machine.ended()) {
    if (next == ready.size()) throw std::runtime_error("the machine has nothing to do");
    const auto job = ready[next++];
    take(input::Begin{job});
    if (effects.opened.empty()) throw std::runtime_error("a Job does not begin");
    const auto serial = effects.opened.front().serial;
    take(input::Recorded{job, serial});
    take(input::Ended{job, {}, false});
    for (const auto sequence : effects.ended_sequences) machine.release(sequence);
  }
  m.scheduler_cpu_s = thread_cpu() - cpu;
  m.run_s = seconds_since(start);
  return m;
}

// ---- core ----

/// Durable at once: results lie here until the driver passes them on.
class InstantCommitter final : public Committer {
 public:
  void commit(std::vector<CommitUnit> units) override {
    ++figures_.commits;
    for (auto& unit : units) results.push_back({unit.token, {}});
  }
  StoreHealth health() const override { return {}; }
  bool flush(std::optional<SteadyClock::time_point>) override { return true; }
  Figures figures() const override { return figures_; }
  bool stop(SteadyClock::time_point, std::shared_ptr<void>) override { return true; }

  std::vector<CommitResult> results;

 private:
  Figures figures_;
};

class InstantExecutor final : public Executor {
 public:
  void start(AttemptRequest request) override { started.push_back(request.key); }
  void interrupt(AttemptKey) override {}
  void abandon(AttemptKey) override {}

  std::vector<AttemptKey> started;
};

Measured run_core(const Options& options) {
  auto labor = make_labor(options);
  const auto cogs = make_registry();
  complete(labor, *cogs);
  const auto clock = make_system_clock();
  InstantCommitter committer;
  InstantExecutor executor;
  CoreSeams seams;
  seams.clock = clock.get();
  seams.committer = &committer;
  seams.cogs = cogs.get();
  seams.jobs = seams.checks = seams.async_calls = &executor;
  seams.feeds = std::make_shared<FeedHub>(make_memory_store(), 0);
  seams.random = Random(1);
  Core core(std::move(seams), EngineOptions{}, 0);

  Measured m;
  Id id;
  core.submit(std::make_shared<Labor>(std::move(labor)), {}, false, "bench", [&](Id made, std::exception_ptr) { id = made; });
  core.settle();
  core.committed(std::exchange(committer.results, {}));
  core.settle();

  bool ended = false;
  core.end_of(id)->completion().on_done([&] { ended = true; });
  const auto start = SteadyClock::now();
  const double cpu = thread_cpu();
  core.start(id, "bench", {}, [](const std::shared_ptr<Ack>&, std::exception_ptr) {});
  while (!ended) {
    // The order of a turn of the loop.
    for (const auto key : std::exchange(executor.started, {})) core.outcome(key, {});
    if (!committer.results.empty()) core.committed(std::exchange(committer.results, {}));
    core.tick();
    core.settle();
  }
  m.scheduler_cpu_s = thread_cpu() - cpu;
  m.run_s = seconds_since(start);
  m.commits = committer.figures().commits;
  Stats stats;
  core.fill(stats);
  m.steps = stats.steps;
  return m;
}

// ---- engine ----

/// Threads that take calls of a queue and answer at once, growing as the queue says.
class Workers {
 public:
  explicit Workers(std::shared_ptr<PullQueue> queue) : queue_(std::move(queue)) { add(); }
  ~Workers() {
    for (std::size_t i = 0;; ++i) {
      std::thread thread;
      {
        const std::lock_guard lock(mutex_);
        if (i == threads_.size()) return;
        thread = std::move(threads_[i]);
      }
      thread.join();
    }
  }
  Workers(const Workers&) = delete;

 private:
  void add() {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this] { pull(); });
  }
  void pull() {
    queue_->enter();
    for (auto taken = queue_->take(); taken.call; taken = queue_->take()) {
      if (taken.grow) add();
      queue_->finish(taken.call, {});
    }
    queue_->leave();
  }

  const std::shared_ptr<PullQueue> queue_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

Measured run_engine(const Options& options) {
  const bool memory = options.store.starts_with("memory:");
  const auto remove_files = [&] {
    if (memory) return;
    for (const char* end : {"", "-wal", "-shm"}) unlink((options.store + end).c_str());
  };
  remove_files();
  Measured m;
  {
    Engine engine(open_store(options.store, OpenMode::OWNER), make_registry(), EngineOptions{});
    Workers workers(engine.jobs());
    Submission submission;
    submission.labor = make_labor(options);
    submission.start = false;
    submission.by = "bench";
    const double before = resident_bytes();
    auto start = SteadyClock::now();
    struct Submitted {
      Id id;
      double cpu = 0;
    };
    std::promise<Submitted> submitted;
    engine.submit_async(std::move(submission), [&](Id id, std::exception_ptr error) {
      if (error) {
        submitted.set_exception(error);
      } else {
        submitted.set_value({id, thread_cpu()});  // of the scheduler's thread, as below
      }
    });
    const auto [id, cpu_before] = submitted.get_future().get();
    m.submit_s = seconds_since(start);
    m.submit_bytes_per_job = (resident_bytes() - before) / options.jobs;

    std::promise<double> ended;
    engine.end_of(id)->completion().on_done([&] { ended.set_value(thread_cpu()); });
    start = SteadyClock::now();
    engine.start(id, "bench", {});
    m.scheduler_cpu_s = ended.get_future().get() - cpu_before;
    m.run_s = seconds_since(start);
    const auto stats = engine.stats();
    m.commits = stats.commits.commits;
    m.steps = stats.steps;
    engine.close({}, false);
  }
  remove_files();
  return m;
}

// ---- all ----

Measured median(std::vector<Measured> all) {
  std::sort(all.begin(), all.end(), [](const Measured& a, const Measured& b) { return a.run_s < b.run_s; });
  return all[all.size() / 2];
}

int usage() {
  std::fputs(
      "usage: scheduler_bench [machine|core|engine] [--jobs N] [--jobs-per-sequence N] [--concurrency N] [--store memory:|FILE] "
      "[--repeats N]\n",
      stderr);
  return 2;
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      options.variant = word;
      continue;
    }
    if (i + 1 == argc) return usage();
    const char* value = argv[++i];
    const auto number = [&] { return static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10)); };
    if (word == "--jobs") {
      options.jobs = number();
    } else if (word == "--jobs-per-sequence") {
      options.jobs_per_sequence = std::max<std::uint32_t>(1, number());
    } else if (word == "--concurrency") {
      options.concurrency = number();
    } else if (word == "--store") {
      options.store = value;
    } else if (word == "--repeats") {
      options.repeats = static_cast<int>(std::max<std::uint32_t>(1, number()));
    } else {
      return usage();
    }
  }
  std::function<Measured(const Options&)> variant;
  if (options.variant == "machine") variant = run_machine;
  if (options.variant == "core") variant = run_core;
  if (options.variant == "engine") variant = run_engine;
  if (!variant || options.jobs == 0 || options.concurrency == 0) return usage();

  std::vector<Measured> all;
  for (int i = 0; i < options.repeats; ++i) all.push_back(variant(options));
  const auto m = median(std::move(all));
  const double jobs = options.jobs;
  std::printf(
      "{\"variant\": \"%s\", \"store\": \"%s\", \"jobs\": %u, \"concurrency\": %u, \"jobs_per_s\": %.0f, "
      "\"scheduler_cpu_us_per_job\": %.3f, \"scheduler_jobs_per_s\": %.0f, \"submit_s\": %.4f, \"run_s\": %.4f, "
      "\"commits\": %llu, \"steps\": %llu, \"submit_bytes_per_job\": %.0f}\n",
      options.variant.c_str(), options.variant == "engine" ? options.store.c_str() : "", options.jobs, options.concurrency,
      jobs / m.run_s, m.scheduler_cpu_s / jobs * 1e6, jobs / m.scheduler_cpu_s, m.submit_s, m.run_s,
      static_cast<unsigned long long>(m.commits), static_cast<unsigned long long>(m.steps), m.submit_bytes_per_job);
  return 0;
}

}  // namespace
}  // namespace cogwork

int main(int argc, char** argv) {
  try {
    return cogwork::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "scheduler_bench: %s\n", error.what());
    return 1;
  }
}
