#include "cogwork/cogs/command_executor.h"

#include <atomic>
#include <optional>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/cogs/child_process.h"

namespace cogwork {

struct CommandExecutor::Run {
  explicit Run(AttemptRequest its) : request(std::move(its)) {}
  const AttemptRequest request;
  // Whoever sets it first: its start, or its withdrawal.
  std::atomic<bool> decided{false};
  // The thread that starts it, then the loop.
  Command command;
  std::optional<Kept> output, errors;
  // The loop.
  std::shared_ptr<ChildProcess> process;
  bool interrupted = false;
  LineSplitter lines;  // of the error output, for those who watch

  void say(std::string_view line, std::size_t left_out) const {
    if (request.log) request.log->add_line(request, line, left_out);
  }
};

void CommandExecutor::start(AttemptRequest request) {
  const auto key = request.key;
  const auto run = std::make_shared<Run>(std::move(request));
  {
    const std::lock_guard lock(mutex_);
    runs_.emplace(key, run);
  }
  loop_.post_start([this, run] { begin(run); });
}

/// On the thread that starts processes.
void CommandExecutor::begin(const std::shared_ptr<Run>& run) {
  if (run->decided.exchange(true)) return;
  const auto& request = run->request;
  std::string problem;
  auto command = read_command(request.args, problem);
  if (!command) {  // looked at when it was submitted, and stored since
    auto outcome = not_started(problem);
    outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
    return ended(run, std::move(outcome));
  }
  if (!request.real_user.empty()) {
    if (auto why = why_not_as(request.real_user.str()); !why.empty()) return ended(run, not_started(why));
  }
  run->command = std::move(*command);
  for (auto* kept : {&run->output, &run->errors}) kept->emplace(static_cast<std::size_t>(run->command.output_limit));
  try {
    auto launched = launch(loop_.launcher_io(), loop_.guardian(), launch_of(run->command, request));
    loop_.post([this, run, launched = std::move(launched)] { attend(run, *launched); });
  } catch (const std::exception& error) {
    ended(run, not_started(error.what()));
  }
}

void CommandExecutor::attend(const std::shared_ptr<Run>& run, Launched& launched) {
  ChildProcess::Events events;
  events.printed = [run](std::string_view bytes, bool error) {
    (error ? run->errors : run->output)->add(bytes);
    if (error) run->lines.feed(bytes, [&](std::string_view line, std::size_t left_out) { run->say(line, left_out); });
  };
  events.ended = [this, run](ExitStatus status, bool left) {
    run->lines.finish([&](std::string_view line, std::size_t left_out) { run->say(line, left_out); });
    if (run->request.log) run->request.log->end(run->request);
    run->process.reset();
    auto outcome = outcome_of(run->command, status, left, *run->output, *run->errors);
    if (left && run->interrupted) outcome.marks |= Attempt::STILL_RUNNING;  // X8a: another attempt would run beside it
    ended(run, std::move(outcome));
  };
  run->process = ChildProcess::attend(loop_.io(), loop_.guardian(), launched, run->command.input, std::move(events));
  if (run->interrupted) run->process->end(grace_);
}

/// Any thread.
void CommandExecutor::ended(const std::shared_ptr<Run>& run, Outcome outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (runs_.erase(run->request.key) == 0) return;  // abandoned
  }
  sink_.ended(run->request.key, std::move(outcome));
}

std::shared_ptr<CommandExecutor::Run> CommandExecutor::find(AttemptKey key) {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(key);
  return found == runs_.end() ? nullptr : found->second;
}

void CommandExecutor::interrupt(AttemptKey key) {
  loop_.post([this, run = find(key)] {
    if (!run) return;
    run->interrupted = true;
    if (!run->decided.exchange(true)) {
      Outcome withdrawn;
      withdrawn.status = AttemptStatus::WITHDRAWN;
      ended(run, std::move(withdrawn));
    } else if (run->process) {
      run->process->end(grace_);
    }
  });
}

void CommandExecutor::abandon(AttemptKey key) {
  const std::lock_guard lock(mutex_);
  runs_.erase(key);
}

}  // namespace cogwork
