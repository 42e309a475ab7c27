#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "cogwork/base/backoff.h"
#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/cog_process.h"
#include "cogwork/cogs/process_loop.h"

namespace cogwork {

/// Carries out attempts of process Cogs. For each program, and each user whom it runs as, it keeps a pool of processes: started
/// when they are first needed, one more for each request that finds the others busy, up to the Cog's number; kept while there is
/// something to do and some minutes after. When the program's file changes, new attempts go to new processes, and the old ones end
/// with their last attempt (C3). A process that dies takes its attempts with it as crashes; the next one is started after a growing
/// pause.
class ProcessExecutor final : public Executor {
 public:
  /// The sink, the loop and the registry outlive it; the loop is stopped before it goes.
  ProcessExecutor(OutcomeSink& sink, ProcessLoop& loop, CogRegistry& cogs, std::string python, Duration grace,
                  std::int64_t max_output);
  ~ProcessExecutor() override;

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  void interrupt(AttemptKey key) override;
  void abandon(AttemptKey key) override;
  /// A deaf call's process is ended after one grace, by TERM, and after another by KILL.
  Duration patience(Duration grace) const override { return 2 * grace + std::chrono::milliseconds(1500); }

  // Any thread but the loop's, and the scheduler's; they wait.
  /// Makes sure that a Cog can be called: starts its program, hears its hello, and registers it. Empty, or why not.
  std::string load(const std::string& cog_path, const std::string& real_user);
  /// Asks the Cog what is wrong with args. Empty where nothing is.
  std::string validate(const std::string& cog_path, std::string_view args, const std::string& real_user);
  /// Ends all processes, and waits until they are gone.
  void close();

  // Any thread.
  /// Processes that have not gone.
  int processes() const { return count_.load(std::memory_order_relaxed); }
  /// Calls that run in them, those too whose attempt was closed (X8a).
  int calls() const { return calls_.load(std::memory_order_relaxed); }

 private:
  struct Pool;
  struct Waiting {
    std::function<void(const std::shared_ptr<CogProcess>&)> go;
    std::function<void(const std::string&)> fail;
    AttemptKey key = 0;  // of an attempt
  };
  struct Flight {
    std::weak_ptr<CogProcess> process;
    std::int64_t id = 0;
    std::string cog_path;
    bool waiting = false;
  };

  Pool& pool_of(const std::string& program, const std::string& real_user);
  void assign(Pool& pool, Waiting waiting);
  void serve(Pool& pool);
  void look_at_file(Pool& pool);
  std::shared_ptr<CogProcess> choose(Pool& pool);
  void start_process(Pool& pool);
  static void cannot_start(Pool& pool, const std::string& why);
  void forget(Pool& pool, const CogProcess* process);
  void gone(Pool& pool, const CogProcess* process, const std::string& why, bool caused, bool was_ready);
  void rest(Pool& pool);
  static void wait_idle(Pool& pool, std::chrono::steady_clock::duration time);
  void begin(AttemptRequest request);
  void report(AttemptKey key, const std::shared_ptr<CogProcess>& process, CogProcess::End end);

  OutcomeSink& sink_;
  ProcessLoop& loop_;
  CogRegistry& cogs_;
  const std::string python_;
  const Duration grace_;
  const std::size_t max_output_;
  // The loop's thread.
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Pool>> pools_;
  std::unordered_map<AttemptKey, Flight> flights_;
  std::function<void()> all_gone_;
  bool closing_ = false;
  std::atomic<int> count_{0};
  std::atomic<int> calls_{0};
};

}  // namespace cogwork
