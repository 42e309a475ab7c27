// What processes cost, each beside bare work that is measured in turn with it, in the same process.
//
//   commands     a whole engine runs /bin/true as command Jobs, beside a loop of posix_spawn
//   round_trip   calls of a process Cog that does nothing, from the engine's side of the protocol and without a store, beside a program that echoes
//                msgpack in frames
//   start        how long starting a process holds up the thread that does it, with much memory resident, beside without
//   echo         is that program, in C++
//
// One line of JSON for each run.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cogwork/base/frame.h"
#include "cogwork/cogs/child_process.h"
#include "cogwork/cogs/cog_messages.h"
#include "cogwork/cogs/guardian.h"
#include "cogwork/cogs/process_executor.h"
#include "cogwork/engine/engine.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"
#include "cogwork/storage/stores.h"

extern char** environ;  // NOLINT: POSIX's name

namespace cogwork {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string variant;
  std::string store = "memory:";
  std::string cog;                ///< round_trip: its cog_path.
  std::vector<std::string> echo;  ///< round_trip: the program beside it.
  std::string python;
  std::uint32_t count = 2000;
  std::uint32_t concurrency = 16;
  std::uint32_t megabytes = 2048;
  int repeats = 5;
};

double seconds_since(SteadyClock::time_point start) { return std::chrono::duration<double>(SteadyClock::now() - start).count(); }

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

/// Of this process and of the children that it has waited for, in the kernel too.
double cpu_seconds() {
  double all = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    getrusage(who, &used);
    for (const auto& t : {used.ru_utime, used.ru_stime})
      all += static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  }
  return all;
}

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

int spawn(const std::vector<std::string>& words, int fd3 = -1) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (fd3 >= 0) posix_spawn_file_actions_adddup2(&actions, fd3, 3);
  pid_t pid = -1;
  errno = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (errno) fail("posix_spawn " + words[0]);
  return pid;
}

// ---- commands ----

double run_spawned(const Options& options) {
  const auto start = SteadyClock::now();
  const std::vector<std::string> words{"/bin/true"};
  std::uint32_t running = 0;
  for (std::uint32_t begun = 0, ended = 0; ended < options.count;) {
    for (; begun < options.count && running < options.concurrency; ++begun, ++running) spawn(words);
    int status = 0;
    if (waitpid(-1, &status, 0) < 0) fail("waitpid");
    if (status != 0) throw std::runtime_error("/bin/true failed");
    ++ended, --running;
  }
  return seconds_since(start);
}

Labor commands(const Options& options) {
  Labor labor;
  labor.name = "commands";
  Task task;
  task.concurrency = {options.concurrency, {}};
  task.sequence_count = options.count;
  labor.tasks.push_back(task);
  WireWriter args;
  args.map(1).text("argv").array(1).text("/bin/true");
  const Text cog(kCommandCog), packed(args.take());
  for (std::uint32_t i = 0; i < options.count; ++i) {
    Sequence sequence;
    sequence.first_job = i;
    sequence.job_count = 1;
    sequence.target = Text("target-" + std::to_string(i));
    labor.sequences.push_back(std::move(sequence));
    Job job;
    job.sequence = i;
    job.cog_path = cog;
    job.args = packed;
    labor.jobs.push_back(std::move(job));
  }
  return labor;
}

double run_commands(const Options& options) {
  const bool memory = options.store.starts_with("memory:");
  const auto remove_files = [&] {
    if (memory) return;
    for (const char* end : {"", "-wal", "-shm"}) unlink((options.store + end).c_str());
  };
  remove_files();
  double took = 0;
  {
    EngineOptions engine_options;
    engine_options.guardian = COGWORK_GUARDIAN;
    Engine engine(open_store(options.store, OpenMode::OWNER), std::make_shared<CogRegistry>(), engine_options);
    Submission submission;
    submission.labor = commands(options);
    submission.start = false;
    submission.by = "bench";
    const auto id = engine.submit(std::move(submission));
    const auto end = engine.end_of(id);
    const auto start = SteadyClock::now();
    engine.start(id, "bench", {});
    end->completion().wait();
    took = seconds_since(start);
    if (engine.state(id) != State::COMPLETED) throw std::runtime_error("not all commands succeeded");
    engine.close({}, false);
  }
  remove_files();
  return took;
}

void measure_commands(const Options& options) {
  std::vector<double> bare, engine, bare_cpu, engine_cpu;
  for (int i = 0; i < options.repeats; ++i) {
    const double first = cpu_seconds();
    bare.push_back(run_spawned(options));
    const double second = cpu_seconds();
    engine.push_back(run_commands(options));
    bare_cpu.push_back(second - first);
    engine_cpu.push_back(cpu_seconds() - second);
  }
  std::printf(
      "{\"variant\": \"commands\", \"store\": \"%s\", \"concurrency\": %u, \"jobs_per_s\": %.0f, \"bare_per_s\": %.0f, \"cpu_us\": "
      "%.0f, "
      "\"bare_cpu_us\": %.0f}\n",
      options.store.starts_with("memory:") ? "memory" : "sqlite", options.concurrency, options.count / median(engine),
      options.count / median(bare), median(engine_cpu) / options.count * 1e6, median(bare_cpu) / options.count * 1e6);
}

// ---- round_trip ----

std::string args_of_call() {
  WireWriter w;
  w.map(1).text("host", "edge-0000001");
  return w.take();
}

AttemptRequest call_of(const std::shared_ptr<const CogInfo>& cog, AttemptKey key) {
  AttemptRequest request;
  request.key = key;
  request.cog = cog;
  request.labor_name = "fleet";
  request.target = "edge-0000001";
  request.args = Text(args_of_call());
  request.timeout = std::chrono::minutes(5);
  return request;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto size = write(fd, bytes.data(), bytes.size());
    if (size < 0 && errno != EINTR) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }
}

/// Calls `each` with the bodies of frames, until it says no, or the other end closes.
void read_frames(int fd, const std::function<bool(const std::string&)>& each) {
  FrameReader frames(kLargestCogFrame);
  std::array<char, 65536> bytes;
  while (true) {
    const auto size = read(fd, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    frames.feed({bytes.data(), static_cast<std::size_t>(size)});
    while (const auto body = frames.next())
      if (!each(*body)) return;
  }
}

int echo() {
  read_frames(3, [](const std::string& body) {
    WireReader reader(body);
    std::int64_t id = 0;
    const auto pairs = reader.map();
    for (std::uint32_t i = 0; pairs && i < *pairs; ++i) {
      if (reader.text() == "id") {
        id = reader.integer().value_or(0);
      } else {
        reader.value();
      }
    }
    WireWriter w;
    w.map(2).integer("id", id).text("result").map(1).text("status", "SUCCESS");
    write_all(3, make_frame(w.take()));
    return true;
  });
  return 0;
}

/// Seconds for each of `count` round trips, so many of them in flight.
class Echo {
 public:
  explicit Echo(const std::vector<std::string>& words) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
    fd_ = ends[0];
    pid_ = spawn(words, ends[1]);
    close(ends[1]);
  }
  ~Echo() {
    close(fd_);
    waitpid(pid_, nullptr, 0);
  }
  Echo(const Echo&) = delete;

  double run(std::uint32_t count, std::uint32_t in_flight) {
    auto cog = std::make_shared<CogInfo>();
    const auto start = SteadyClock::now();
    const auto ask = [&](std::uint32_t i) { write_all(fd_, make_frame(write_execute(i, "nothing", call_of(cog, i)))); };
    std::uint32_t asked = 0, answered = 0;
    while (asked < std::min(in_flight, count)) ask(++asked);
    read_frames(fd_, [&](const std::string& body) {
      std::string problem;
      const auto message = read_cog_message(body, problem);
      if (!message || message->status != "SUCCESS") throw std::runtime_error("the echo is none: " + problem);
      if (asked < count) ask(++asked);
      return ++answered < count;
    });
    return seconds_since(start);
  }

 private:
  int fd_ = -1;
  int pid_ = -1;
};

/// Each answer asks the next call, on the thread that brought it: what an engine's scheduler and store would add is not in it.
class Calls final : public OutcomeSink {
 public:
  explicit Calls(const Options& options)
      : loop_(COGWORK_GUARDIAN, 2000),
        executor_(*this, loop_, cogs_, options.python, std::chrono::seconds(2), std::int64_t{1} << 20) {
    if (const auto why = executor_.load(options.cog, {}); !why.empty()) throw std::runtime_error(options.cog + ": " + why);
    cog_ = cogs_.find(options.cog);
  }
  ~Calls() override {
    executor_.close();
    loop_.stop();
  }

  double run(std::uint32_t count, std::uint32_t in_flight) {
    count_ = count;
    asked_ = answered_ = 0;
    done_ = {};
    const auto start = SteadyClock::now();
    loop_.post([this, in_flight] {
      while (asked_ < std::min(in_flight, count_)) executor_.start(call_of(cog_, ++asked_));
    });
    done_.get_future().get();
    return seconds_since(start);
  }

  void ended(AttemptKey, Outcome outcome) override {
    if (outcome.status != AttemptStatus::SUCCESS) {
      std::fprintf(stderr, "process_bench: a call failed: %s\n", outcome.error.str().c_str());
      std::_Exit(1);
    }
    if (asked_ < count_) executor_.start(call_of(cog_, ++asked_));
    if (++answered_ == count_) done_.set_value();
  }
  void progressed(AttemptKey, double, Text) override {}

 private:
  CogRegistry cogs_;
  ProcessLoop loop_;
  ProcessExecutor executor_;
  std::shared_ptr<const CogInfo> cog_;
  std::uint32_t count_ = 0, asked_ = 0, answered_ = 0;  // the loop's thread, while a run goes on
  std::promise<void> done_;
};

void measure_round_trip(const Options& options) {
  std::vector<double> bare, cog;
  {
    Echo echo(options.echo);
    Calls calls(options);
    for (int i = -1; i < options.repeats; ++i) {  // the first one warms up
      const double one = echo.run(options.count, options.concurrency), other = calls.run(options.count, options.concurrency);
      if (i < 0) continue;
      bare.push_back(one);
      cog.push_back(other);
    }
  }
  std::printf("{\"variant\": \"round_trip\", \"in_flight\": %u, \"us\": %.2f, \"bare_us\": %.2f}\n", options.concurrency,
              median(cog) / options.count * 1e6, median(bare) / options.count * 1e6);
}

// ---- start ----

/// Of many starts the fastest tenth: for a moment like this one, a machine that does something else shows all of that in the median.
double fastest(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 10];
}

/// Microseconds that a start took.
double start_some(const Options& options, Guardian& guardian) {
  std::vector<double> took;
  boost::asio::io_context io{1};
  Launch launch;
  launch.executable = "/bin/true";
  launch.environment = environment_with({});
  for (std::uint32_t i = 0; i < options.count; ++i) {
    const auto begin = SteadyClock::now();
    const auto launched = cogwork::launch(io, guardian, launch);
    took.push_back(seconds_since(begin) * 1e6);
    const auto child = ChildProcess::attend(io, guardian, *launched, {}, {[](std::string_view, bool) {}, [](ExitStatus, bool) {}});
    io.run();
    io.restart();
  }
  return fastest(std::move(took));
}

/// As a program that does not know better would, for comparison.
double fork_some(int count) {
  std::vector<double> took;
  for (int i = 0; i < count; ++i) {
    const auto begin = SteadyClock::now();
    const pid_t pid = fork();
    if (pid == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(1);
    }
    took.push_back(seconds_since(begin) * 1e6);
    waitpid(pid, nullptr, 0);
  }
  return fastest(std::move(took));
}

void measure_start(const Options& options) {
  Guardian guardian(COGWORK_GUARDIAN, 2000);
  std::vector<double> with, without, forked;
  for (int i = 0; i < options.repeats; ++i) {
    without.push_back(start_some(options, guardian));
    const auto size = std::size_t{options.megabytes} << 20;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    madvise(memory, size, MADV_NOHUGEPAGE);  // as the heap of a program that has grown over days
    std::memset(memory, 1, size);
    with.push_back(start_some(options, guardian));
    forked.push_back(fork_some(5));
    munmap(memory, size);
  }
  std::printf("{\"variant\": \"start\", \"megabytes\": %u, \"us\": %.1f, \"bare_us\": %.1f, \"fork_us\": %.1f}\n",
              options.megabytes, median(with), median(without), median(forked));
}

// ---- all ----

int usage() {
  std::fputs(
      "usage: process_bench commands [--store memory:|FILE] [--count N] [--concurrency N] [--repeats N]\n"
      "       process_bench round_trip --cog COG_PATH [--python PYTHON] [--count N] [--concurrency N] [--repeats N] [ECHO "
      "WORDS...]\n"
      "       process_bench start [--megabytes N] [--count N] [--repeats N]\n",
      stderr);
  return 2;
}

int run(int argc, char** argv) {
  Options options;
  if (argc > 1) options.variant = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) {
      options.echo.emplace_back(word);
      continue;
    }
    if (i + 1 == argc) return usage();
    const char* value = argv[++i];
    const auto number = [&] { return static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10)); };
    if (word == "--count") {
      options.count = std::max<std::uint32_t>(1, number());
    } else if (word == "--concurrency") {
      options.concurrency = std::max<std::uint32_t>(1, number());
    } else if (word == "--megabytes") {
      options.megabytes = std::max<std::uint32_t>(1, number());
    } else if (word == "--repeats") {
      options.repeats = static_cast<int>(std::max<std::uint32_t>(1, number()));
    } else if (word == "--store") {
      options.store = value;
    } else if (word == "--cog") {
      options.cog = value;
    } else if (word == "--python") {
      options.python = value;
    } else {
      return usage();
    }
  }
  if (options.echo.empty()) options.echo = {"/proc/self/exe", "echo"};
  if (options.variant == "echo") return echo();
  if (options.variant == "commands") {
    measure_commands(options);
  } else if (options.variant == "round_trip" && !options.cog.empty()) {
    measure_round_trip(options);
  } else if (options.variant == "start") {
    measure_start(options);
  } else {
    return usage();
  }
  return 0;
}

}  // namespace
}  // namespace cogwork

int main(int argc, char** argv) {
  try {
    return cogwork::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "process_bench: %s\n", error.what());
    return 1;
  }
}
