#include "cogwork/cogs/command_executor.h"

#include <utility>

#include "cogwork/base/error.h"

namespace cogwork {

void CommandExecutor::start(AttemptRequest request) {
  loop_.post([this, request = std::move(request)] { begin(request); });
}

void CommandExecutor::begin(const AttemptRequest& request) {
  std::string problem;
  auto command = read_command(request.args, problem);
  if (!command) {  // looked at when it was submitted, and stored since
    auto outcome = not_started(problem);
    outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
    return sink_.ended(request.key, std::move(outcome));
  }
  if (!request.real_user.empty()) {
    if (auto why = why_not_as(request.real_user.str()); !why.empty()) return sink_.ended(request.key, not_started(why));
  }
  const auto limit = static_cast<std::size_t>(command->output_limit);
  auto run = std::make_shared<Run>(Run{request.key, std::move(*command), nullptr, Kept(limit), Kept(limit)});
  ChildProcess::Events events;
  LineSplitter::Line say = [request](std::string_view line, std::size_t left_out) {
    if (request.log) request.log->add_line(request, line, left_out);
  };
  events.printed = [run, say](std::string_view bytes, bool error) {
    (error ? run->errors : run->output).add(bytes);
    if (error) run->lines.feed(bytes, say);
  };
  events.ended = [this, run, say, request](ExitStatus status, bool left) {
    run->lines.finish(say);
    if (request.log) request.log->end(request);
    run->process.reset();
    if (running_.erase(run->key) == 0) return;  // abandoned
    running_count_.fetch_sub(1, std::memory_order_relaxed);
    auto outcome = outcome_of(run->command, status, left, run->output, run->errors);
    if (left && run->interrupted) outcome.marks |= Attempt::STILL_RUNNING;  // X8a: another attempt would run beside it
    sink_.ended(run->key, std::move(outcome));
  };
  try {
    run->process = ChildProcess::start(loop_.io(), loop_.guardian(), launch_of(run->command, request), std::move(events));
  } catch (const std::exception& error) {
    return sink_.ended(request.key, not_started(error.what()));
  }
  running_.emplace(request.key, run);
  running_count_.fetch_add(1, std::memory_order_relaxed);
}

void CommandExecutor::interrupt(AttemptKey key) {
  loop_.post([this, key] {
    const auto found = running_.find(key);
    if (found == running_.end()) return;
    found->second->interrupted = true;
    found->second->process->end(grace_);
  });
}

void CommandExecutor::abandon(AttemptKey key) {
  loop_.post([this, key] {
    if (running_.erase(key)) running_count_.fetch_sub(1, std::memory_order_relaxed);
  });
}

}  // namespace cogwork
