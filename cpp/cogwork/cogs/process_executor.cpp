#include "cogwork/cogs/process_executor.h"

#include <future>
#include <string_view>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/cogs/command.h"

namespace cogwork {
namespace {

constexpr auto kLongestAsk = std::chrono::seconds(40);  // a start takes at most 30
constexpr auto kLook = std::chrono::milliseconds(100);  // so soon a Ctrl-C is heard
constexpr std::string_view kFile = "file:";

/// False where no answer came in time.
template <typename T>
bool wait_for(std::future<T>& answer, const ProcessExecutor::Look& look) {
  const auto until = std::chrono::steady_clock::now() + kLongestAsk;
  while (answer.wait_for(kLook) != std::future_status::ready) {
    if (look) look();
    if (std::chrono::steady_clock::now() >= until) return false;
  }
  return true;
}

/// Whether it says nothing about the program: there is no room for it now.
bool is_for_now(const Error& why) { return dynamic_cast<const ResourceError*>(&why) != nullptr; }

/// The same program from any folder: an absolute path, or "python:...".
std::string target_of(const Program& program) { return program.file.empty() ? program.origin : program.file; }

/// The same, of a Cog that is registered: from what was found when it was.
std::string target_of(const CogInfo& cog, const ProgramPath& path) {
  std::string_view origin = cog.origin;
  if (!path.cog.empty() && origin.size() > path.cog.size()) origin.remove_suffix(path.cog.size() + 1);
  if (origin.starts_with(kFile)) origin.remove_prefix(kFile.size());
  return std::string(origin);
}

void take_options(CogDefaults& defaults, const ProgramOptions& given) {
  const auto take = [](auto& into, const auto& value, bool is_given) {
    if (is_given) into = value;
  };
  auto& o = defaults.options;
  const auto& g = given.defaults.options;
  take(o.timeout, g.timeout, g.timeout.count() != kNotGiven);
  take(o.retry_delay, g.retry_delay, g.retry_delay.count() != kNotGiven);
  take(o.retry_max_delay, g.retry_max_delay, g.retry_max_delay.count() != kNotGiven);
  take(o.retry_backoff, g.retry_backoff, g.retry_backoff >= 0);
  take(o.retries, g.retries, g.retries >= 0);
  take(o.on_interrupt, g.on_interrupt, g.on_interrupt >= 0);
  take(defaults.idempotent, given.defaults.idempotent, given.idempotent_given);
  if (given.idempotent_given) o.on_interrupt = g.on_interrupt;  // what is said here goes before either word of the program
}

std::string why_not_held(const ProgramPath& path, const Hello& hello) {
  std::string names;
  for (const auto& one : hello.cogs) names += (names.empty() ? "'" : ", '") + one.name + "'";
  if (!path.cog.empty()) return "holds no cog '" + path.cog + "'; it holds " + names;
  return "holds several cogs: name one of them, '" + path.program + ":" + hello.cogs[0].name + "' say (" + names + ")";
}

}  // namespace

ProcessExecutor::ProcessExecutor(OutcomeSink& sink, ProcessLoop& loop, CogRegistry& cogs, std::string python, Duration grace,
                                 std::int64_t max_output)
    : sink_(sink),
      loop_(loop),
      cogs_(cogs),
      python_(std::move(python)),
      grace_(grace),
      max_output_(static_cast<std::size_t>(max_output)),
      shared_{loop_,
              cogs_,
              python_,
              grace_,
              count_,
              [this] {
                if (count_ == 0 && all_gone_) std::exchange(all_gone_, nullptr)();
              },
              [this] { look_for_outdated(); }} {}

ProcessExecutor::~ProcessExecutor() = default;

ProcessPool& ProcessExecutor::pool_of(const std::string& program, const std::string& target, const std::string& real_user) {
  auto& pool = pools_[{program, target, real_user}];
  if (!pool) pool = std::make_unique<ProcessPool>(shared_, program, target, real_user);
  return *pool;
}

void ProcessExecutor::look_for_outdated() {
  std::vector<OutdatedProgram> found;
  for (const auto& [key, pool] : pools_) {
    if (pool && !pool->problem().empty()) found.push_back({pool->program(), pool->user(), pool->problem(), pool->problem_since()});
  }
  const std::lock_guard lock(mutex_);
  outdated_ = std::move(found);
}

std::vector<OutdatedProgram> ProcessExecutor::outdated() const {
  const std::lock_guard lock(mutex_);
  return outdated_;
}

// ---- attempts ----

void ProcessExecutor::start(AttemptRequest request) {
  try {
    loop_.begin();
  } catch (const Error& error) {  // no thread is to be had now
    return sink_.ended(request.key, not_started(error));
  }
  loop_.post([this, request = std::move(request)]() mutable { begin(std::move(request)); });
}

void ProcessExecutor::begin(AttemptRequest request) {
  const auto path = cogs_.program_of(request.cog->name);
  const auto key = request.key;
  if (!path || closing_) return sink_.ended(key, not_started("the engine is closing"));
  auto& pool = pool_of(path->program, target_of(*request.cog, *path), request.real_user.str());
  flights_[key].pool = &pool;
  const auto shared = std::make_shared<const AttemptRequest>(std::move(request));
  ProcessPool::Request waiting;
  waiting.attempt = key;
  waiting.go = [this, key, shared, cog = path->cog](const auto& process) { place(key, shared, cog, process); };
  waiting.fail = [this, key](const Error& why) { lose(key, why); };
  pool.assign(std::move(waiting));
}

/// Calls the Cog in this process; or, where the Cog takes other args there than it did when the Job was submitted, and these do not
/// fit, in one of an earlier version that still runs (C3).
void ProcessExecutor::place(AttemptKey key, const std::shared_ptr<const AttemptRequest>& request, const std::string& cog,
                            const std::shared_ptr<CogProcess>& process) {
  const auto found = flights_.find(key);
  if (found == flights_.end()) return;
  auto& flight = found->second;
  const auto earlier = flight.pool->earlier(*process, cog);
  if (!earlier) {
    if (const auto problem = flight.pool->problem(); !problem.empty()) {
      flight.note =
          "cogwork: the file of this program has changed, and what it holds now cannot be used, so this ran on the version "
          "before: " +
          problem;
    }
    return call(key, request, cog, process);
  }
  const auto stay = [this, key, request, cog, earlier](const std::string& why) {
    const auto still = flights_.find(key);
    if (still == flights_.end()) return;
    if (earlier->retired())
      return lose(key, Error(why + "; the version of its program that it was submitted for does not run any more"));
    still->second.note = "cogwork: this ran on the version of the program before its file was changed: " + why;
    call(key, request, cog, earlier);
  };
  const auto* offered = process->hello().find(cog);
  if (!offered) return stay("the cog is not among those that it holds now");
  process->validate(offered->name, request->args, [=, this](const CogProcess::End& end) {
    if (!end.answer) return lose(key, Error("its process is gone: " + end.gone));
    end.answer->error ? stay(*end.answer->error) : call(key, request, cog, process);
  });
}

/// Its Cog was not called.
void ProcessExecutor::lose(AttemptKey key, const Error& why) {
  if (land(key)) sink_.ended(key, not_started(why));
}

void ProcessExecutor::call(AttemptKey key, const std::shared_ptr<const AttemptRequest>& request, const std::string& cog,
                           const std::shared_ptr<CogProcess>& process) {
  const auto found = flights_.find(key);
  if (found == flights_.end()) return;
  const auto* offered = process->hello().find(cog);
  if (!offered) return lose(key, Error("'" + request->cog->name + "' is not among the cogs that its program holds now"));
  auto& flight = found->second;
  flight.called = true;
  flight.process = process;
  calls_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(mutex_);
    called_[key] = BootClock::now();
  }
  flight.id = process->execute(
      offered->name, request, [this, key](double fraction, std::string message) { sink_.progressed(key, fraction, Text(message)); },
      [this, key, weak = std::weak_ptr(process)](CogProcess::End end) {
        calls_.fetch_sub(1, std::memory_order_relaxed);
        report(key, weak.lock(), std::move(end));
      });
}

std::optional<SteadyTime> ProcessExecutor::called(AttemptKey key) const {
  const std::lock_guard lock(mutex_);
  const auto found = called_.find(key);
  return found == called_.end() ? std::nullopt : std::optional(found->second);
}

/// Takes a flight off the lists. Nothing: it is not on them any more.
std::optional<ProcessExecutor::Flight> ProcessExecutor::land(AttemptKey key) {
  auto node = flights_.extract(key);
  if (node.empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  called_.erase(key);
  return std::move(node.mapped());
}

void ProcessExecutor::report(AttemptKey key, const std::shared_ptr<CogProcess>& process, CogProcess::End end) {
  const auto flight = land(key);
  if (!flight) return;  // closed without it
  Outcome outcome;
  if (end.answer) {
    outcome = end.answer->result ? outcome_of(*end.answer, max_output_)
                                 : not_started("the cog is broken: it answered an execute with something else than a result");
    if (!end.answer->result) outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
  } else if (end.caused) {
    outcome.status = AttemptStatus::FAILURE;
    outcome.error = Text("its process was ended: " + end.gone);
  } else {
    outcome.status = AttemptStatus::CRASHED;
    outcome.error = Text("its process is gone: " + end.gone);
  }
  if (end.left) {
    outcome.error = Text(outcome.error.str() + "\nprocesses of its session could not be ended, and may still run");
    outcome.marks |= Attempt::STILL_RUNNING;  // X8a: another attempt would run beside it
  }
  const auto& note = flight->note;
  outcome.log = Text(note.empty() ? end.log : end.log.empty() ? note : note + "\n" + end.log);
  outcome.unasked = end.unasked;
  if (process) outcome.version = Text(process->shown_version());
  sink_.ended(key, std::move(outcome));
}

void ProcessExecutor::interrupt(AttemptKey key) {
  loop_.post([this, key] {
    const auto found = flights_.find(key);
    if (found == flights_.end()) return;
    if (!found->second.called) {
      found->second.pool->withdraw(key);
      land(key);
      Outcome withdrawn;
      withdrawn.status = AttemptStatus::WITHDRAWN;
      return sink_.ended(key, std::move(withdrawn));
    }
    if (const auto process = found->second.process.lock()) {
      process->cancel(found->second.id, [this, key](std::string log) {
        if (!land(key)) return;
        Outcome still;
        still.status = AttemptStatus::FAILURE;
        still.marks = Attempt::STILL_RUNNING;
        still.log = Text(log);
        sink_.ended(key, std::move(still));
      });
    }
  });
}

void ProcessExecutor::abandon(AttemptKey key) {
  loop_.post([this, key] { land(key); });
}

// ---- questions ----

std::string ProcessExecutor::load(const std::string& cog_path, const std::string& real_user, const Look& look) {
  const auto path = cogs_.program_of(cog_path);
  if (!path) return "it names no program";
  Program program;
  try {
    program = find_program(path->program, python_);
  } catch (const Error& error) {
    return error.what();
  }
  loop_.begin();
  struct Loaded {
    std::string why;
    Hello hello;
  };
  const auto promise = std::make_shared<std::promise<Loaded>>();
  auto answer = promise->get_future();
  loop_.post([this, path, promise, real_user, target = target_of(program)] {
    ProcessPool::Request question;
    question.fail = [promise](const Error& why) {
      if (is_for_now(why)) return promise->set_exception(std::make_exception_ptr(ResourceError(why.what())));
      promise->set_value({why.what(), {}});
    };
    question.go = [promise](const auto& process) { promise->set_value({"", process->hello()}); };
    pool_of(path->program, target, real_user).assign(std::move(question));
  });
  if (!wait_for(answer, look)) return "its process does not answer";
  const auto loaded = answer.get();
  if (!loaded.why.empty()) return loaded.why;
  const auto* cog = loaded.hello.find(path->cog);
  if (!cog) return why_not_held(*path, loaded.hello);
  const auto pool = cogs_.pool_options(path->program);
  CogInfo info;
  info.name = cog_path;
  info.origin = program.origin + (path->cog.empty() ? "" : ":" + path->cog);
  info.kind = CogKind::PROCESS;
  info.program = path->program;
  info.places = pool.processes * (pool.concurrency > 0 ? pool.concurrency : loaded.hello.concurrency());
  info.defaults = cog->defaults;
  take_options(info.defaults, cogs_.program_options(cog_path));
  cogs_.add_program(std::move(info));
  return {};
}

std::string ProcessExecutor::validate(const std::string& cog_path, std::string_view args, const std::string& real_user,
                                      const Look& look) {
  const auto path = cogs_.program_of(cog_path);
  if (!path) return "it names no program";
  std::string target;
  try {
    target = target_of(find_program(path->program, python_));
  } catch (const Error& error) {
    return error.what();
  }
  loop_.begin();
  const auto promise = std::make_shared<std::promise<std::string>>();
  auto answer = promise->get_future();
  loop_.post([this, path, promise, real_user, target, args = std::string(args)] {
    ProcessPool::Request question;
    question.fail = [promise](const Error& why) {
      if (is_for_now(why)) return promise->set_exception(std::make_exception_ptr(ResourceError(why.what())));
      promise->set_value(why.what());
    };
    question.go = [promise, path, args](const auto& process) {
      const auto* offered = process->hello().find(path->cog);
      process->validate(offered ? offered->name : path->cog, args, [promise](const CogProcess::End& end) {
        promise->set_value(end.answer ? end.answer->error.value_or("") : "its args could not be checked: " + end.gone);
      });
    };
    pool_of(path->program, target, real_user).assign(std::move(question));
  });
  if (!wait_for(answer, look)) return "its args could not be checked: its process does not answer";
  return answer.get();
}

void ProcessExecutor::close() {
  if (!loop_.begun()) return;
  const auto done = std::make_shared<std::promise<void>>();
  auto all = done->get_future();
  loop_.post([this, done] {
    closing_ = true;
    for (auto& [key, pool] : pools_) pool->close();
    if (count_ == 0) {
      done->set_value();
    } else {
      all_gone_ = [done] { done->set_value(); };
    }
  });
  all.wait_for(2 * grace_ + std::chrono::seconds(3));
}

}  // namespace cogwork
