#pragma once

#include <atomic>
#include <memory>
#include <unordered_map>

#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/command.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/cogs/process_loop.h"

namespace cogwork {

/// Carries out attempts of the command Cog: one process each, on the process loop.
class CommandExecutor final : public Executor {
 public:
  /// grace: between TERM and KILL of what is asked to end. The sink and the loop outlive it; the loop is stopped before it goes.
  CommandExecutor(OutcomeSink& sink, ProcessLoop& loop, Duration grace) : sink_(sink), loop_(loop), grace_(grace) {}

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  void interrupt(AttemptKey key) override;
  /// KILL comes at the end of the grace; what is left to do is to see them gone.
  Duration patience(Duration grace) const override { return grace + std::chrono::milliseconds(1500); }
  void abandon(AttemptKey key) override;

  /// How many commands run now. Any thread.
  int running() const { return running_count_.load(std::memory_order_relaxed); }

 private:
  struct Run {
    AttemptKey key = 0;
    Command command;
    std::shared_ptr<ChildProcess> process;
    Kept output, errors;
    bool interrupted = false;
    LineSplitter lines{};  // of the error output, for those who watch
  };
  void begin(const AttemptRequest& request);

  OutcomeSink& sink_;
  ProcessLoop& loop_;
  const Duration grace_;
  std::unordered_map<AttemptKey, std::shared_ptr<Run>> running_;  // the loop's thread
  std::atomic<int> running_count_{0};
};

}  // namespace cogwork
