#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/command.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/cogs/process_loop.h"

namespace cogwork {

/// Carries out attempts of the command Cog: one process each. It is started on the thread that starts processes, and then the
/// loop's affair.
class CommandExecutor final : public Executor {
 public:
  /// grace: between TERM and KILL of what is asked to end. The sink and the loop outlive it; the loop is stopped before it goes.
  CommandExecutor(OutcomeSink& sink, ProcessLoop& loop, Duration grace) : sink_(sink), loop_(loop), grace_(grace) {}

  // Executor, scheduler thread.
  void start(AttemptRequest request) override;
  std::optional<SteadyTime> called(AttemptKey key) const override;
  void interrupt(AttemptKey key) override;
  /// KILL comes at the end of the grace; what is left to do is to see them gone.
  Duration patience(Duration grace) const override { return grace + std::chrono::milliseconds(1500); }
  void abandon(AttemptKey key) override;

  /// How many commands run now, or are about to be started. Any thread.
  int running() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(runs_.size());
  }

 private:
  struct Run;
  std::optional<Launch> prepare(Run& run);
  void attend(const std::shared_ptr<Run>& run, Launched& launched);
  void ask_to_end(Run& run) const;
  void ended(const std::shared_ptr<Run>& run, Outcome outcome);
  bool withdraw(const std::shared_ptr<Run>& run);
  std::shared_ptr<Run> find(AttemptKey key) const;

  OutcomeSink& sink_;
  ProcessLoop& loop_;
  const Duration grace_;
  mutable std::mutex mutex_;
  std::unordered_map<AttemptKey, std::shared_ptr<Run>> runs_;  // guarded by mutex_; without those that were abandoned
};

}  // namespace cogwork
