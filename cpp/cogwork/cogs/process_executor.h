#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/cog_process.h"
#include "cogwork/cogs/process_loop.h"
#include "cogwork/cogs/process_pool.h"

namespace cogwork {

/// Carries out attempts of process Cogs, each in the ProcessPool of its program and of the user whom it runs as.
class ProcessExecutor final : public Executor {
 public:
  /// The sink, the loop and the registry outlive it; the loop is stopped before it goes.
  ProcessExecutor(OutcomeSink& sink, ProcessLoop& loop, CogRegistry& cogs, std::string python, Duration grace,
                  std::int64_t max_output);
  ~ProcessExecutor() override;

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  std::optional<SteadyTime> called(AttemptKey key) const override;
  void interrupt(AttemptKey key) override;
  void abandon(AttemptKey key) override;
  /// A deaf call's process is ended after one grace, by TERM, and after another by KILL.
  Duration patience(Duration grace) const override { return 2 * grace + std::chrono::milliseconds(1500); }

  // Any thread but the loop's, and the scheduler's; they wait. They throw ResourceError where a program cannot be started for want
  // of room, and EngineClosed after the loop has stopped. `look` is called now and then meanwhile: what it throws ends the wait.
  using Look = std::function<void()>;
  /// Makes sure that a Cog can be called: starts its program, hears its hello, and registers it. Empty, or why not.
  std::string load(const std::string& cog_path, const std::string& real_user, const Look& look = {});
  /// Asks the Cog what is wrong with args. Empty where nothing is. Both ask the version that the program's file holds now.
  std::string validate(const std::string& cog_path, std::string_view args, const std::string& real_user, const Look& look = {});
  /// Ends all processes, and waits until they are gone.
  void close();

  // Any thread.
  /// Processes that have not gone.
  int processes() const { return count_.load(std::memory_order_relaxed); }
  /// Calls that run in them, those too whose attempt was closed (X8a).
  int calls() const { return calls_.load(std::memory_order_relaxed); }
  std::vector<OutdatedProgram> outdated() const;

 private:
  struct Flight {
    std::weak_ptr<CogProcess> process;
    std::int64_t id = 0;
    ProcessPool* pool = nullptr;
    bool called = false;  // the Cog; else nobody has called it yet
    std::string note;     // for the log: it runs on an earlier version
  };

  ProcessPool& pool_of(const std::string& program, const std::string& target, const std::string& real_user);
  void begin(AttemptRequest request);
  void place(AttemptKey key, const std::shared_ptr<const AttemptRequest>& request, const std::string& cog,
             const std::shared_ptr<CogProcess>& process);
  void call(AttemptKey key, const std::shared_ptr<const AttemptRequest>& request, const std::string& cog,
            const std::shared_ptr<CogProcess>& process);
  void lose(AttemptKey key, const Error& why);
  void report(AttemptKey key, const std::shared_ptr<CogProcess>& process, CogProcess::End end);
  void look_for_outdated();
  std::optional<Flight> land(AttemptKey key);

  OutcomeSink& sink_;
  ProcessLoop& loop_;
  CogRegistry& cogs_;
  const std::string python_;
  const Duration grace_;
  const std::size_t max_output_;
  std::atomic<int> count_{0};
  std::atomic<int> calls_{0};
  // The loop's thread.
  ProcessPool::Shared shared_;
  std::map<std::tuple<std::string, std::string, std::string>, std::unique_ptr<ProcessPool>> pools_;
  std::unordered_map<AttemptKey, Flight> flights_;
  std::function<void()> all_gone_;
  bool closing_ = false;
  mutable std::mutex mutex_;
  std::vector<OutdatedProgram> outdated_;              // guarded by mutex_
  std::unordered_map<AttemptKey, SteadyTime> called_;  // guarded by mutex_
};

}  // namespace cogwork
