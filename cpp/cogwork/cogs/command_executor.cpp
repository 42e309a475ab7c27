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
  // Whoever sets `decided` first - a try to start it, or its withdrawal - has it. A try that must wait for room gives it back.
  std::atomic<bool> decided{false};
  std::atomic<bool> to_end{false};  // as soon as it is started
  std::atomic<SteadyTime> called{kNeverDue};
  // The thread that starts it, then the loop.
  std::optional<Command> command;
  std::optional<Kept> output, errors;
  // The loop.
  std::shared_ptr<ChildProcess> process;
  bool interrupted = false;  // it was asked to end before it had exited
  LineSplitter lines;        // of the error output, for those who watch

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
  try {
    loop_.begin();
  } catch (const Error& error) {  // no thread is to be had now
    return ended(run, not_started(error));
  }
  ProcessLoop::StartEvents events;
  events.started = [this, run](Launched& launched) { attend(run, launched); };
  events.failed = [this, run](const Error& error) { ended(run, not_started(error)); };
  events.postponed = [this, run] {
    run->called = kNeverDue;
    run->decided = false;
    if (run->to_end) withdraw(run);
  };
  loop_.start([this, run] { return prepare(*run); }, std::move(events));
}

/// On the thread that starts programs. Nothing: it was withdrawn.
std::optional<Launch> CommandExecutor::prepare(Run& run) {
  if (run.decided.exchange(true)) return std::nullopt;
  if (!run.command) {
    std::string problem;
    run.command = read_command(run.request.args, problem);
    if (!run.command) throw Unstartable(problem);  // looked at when it was submitted, and stored since
    for (auto* kept : {&run.output, &run.errors}) kept->emplace(static_cast<std::size_t>(run.command->output_limit));
  }
  run.called = BootClock::now();
  return launch_of(*run.command, run.request, *loop_.environment());
}

void CommandExecutor::attend(const std::shared_ptr<Run>& run, Launched& launched) {
  ChildProcess::Events events;
  events.printed = [run](std::string_view bytes, bool error) {
    (error ? run->errors : run->output)->add(bytes);
    if (error) run->lines.feed(bytes, [&](std::string_view line, std::size_t left_out) { run->say(line, left_out); });
  };
  events.ended = [this, run](const ExitStatus& status) {
    run->lines.finish([&](std::string_view line, std::size_t left_out) { run->say(line, left_out); });
    if (run->request.log) run->request.log->end(run->request);
    run->process.reset();
    auto outcome = outcome_of(*run->command, status, run->interrupted, *run->output, *run->errors);
    outcome.unasked = !run->interrupted;
    ended(run, std::move(outcome));
  };
  run->process = ChildProcess::attend(loop_, launched, run->command->input, std::move(events));
  if (run->to_end) ask_to_end(*run);
}

/// On the loop. One that has exited has answered, although nobody has looked at it yet.
void CommandExecutor::ask_to_end(Run& run) const {
  if (!run.interrupted && run.process->has_exited()) return;
  run.interrupted = true;
  run.process->end(grace_);
}

/// Any thread.
void CommandExecutor::ended(const std::shared_ptr<Run>& run, Outcome outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (runs_.erase(run->request.key) == 0) return;  // abandoned
  }
  sink_.ended(run->request.key, std::move(outcome));
}

/// Its program was never started, and will not be. False where it was, or is just being started. Any thread.
bool CommandExecutor::withdraw(const std::shared_ptr<Run>& run) {
  if (run->decided.exchange(true)) return false;
  Outcome withdrawn;
  withdrawn.status = AttemptStatus::WITHDRAWN;
  ended(run, std::move(withdrawn));
  return true;
}

std::optional<SteadyTime> CommandExecutor::called(AttemptKey key) const {
  const auto run = find(key);
  const auto called = run ? run->called.load(std::memory_order_relaxed) : kNeverDue;
  return called == kNeverDue ? std::nullopt : std::optional(called);
}

std::shared_ptr<CommandExecutor::Run> CommandExecutor::find(AttemptKey key) const {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(key);
  return found == runs_.end() ? nullptr : found->second;
}

void CommandExecutor::interrupt(AttemptKey key) {
  loop_.post([this, run = find(key)] {
    if (!run) return;
    run->to_end = true;
    if (!withdraw(run) && run->process) ask_to_end(*run);
  });
}

void CommandExecutor::abandon(AttemptKey key) {
  const std::lock_guard lock(mutex_);
  runs_.erase(key);
}

}  // namespace cogwork
