#include "cogwork/cogs/process_executor.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <utility>
#include <vector>

#include "cogwork/base/error.h"
#include "cogwork/cogs/command.h"

namespace cogwork {
namespace {

constexpr auto kIdle = std::chrono::minutes(5);
constexpr auto kFirstPause = std::chrono::milliseconds(50);
constexpr auto kLongestPause = std::chrono::seconds(30);
constexpr auto kLookAgain = std::chrono::microseconds(200);  // less than what is between a submit and its first attempt
constexpr auto kLongestAsk = std::chrono::seconds(40);       // a start takes at most 30

Backoff pauses() { return {kFirstPause, kLongestPause, Random::from_system()}; }

}  // namespace

struct ProcessExecutor::Pool {
  Pool(boost::asio::io_context& io, std::string program_in, std::string user_in)
      : program(std::move(program_in)), user(std::move(user_in)), start_timer(io), idle_timer(io) {}
  const std::string program, user;
  std::vector<std::shared_ptr<CogProcess>> processes;  // those that have not gone
  std::deque<Waiting> waiting;
  boost::asio::steady_timer start_timer, idle_timer;
  Backoff pause = pauses();
  bool pausing = false;
  std::string file, version;
  std::chrono::steady_clock::time_point used, looked;
  bool resting = false;  // the idle timer runs
};

ProcessExecutor::ProcessExecutor(OutcomeSink& sink, ProcessLoop& loop, CogRegistry& cogs, std::string python, Duration grace,
                                 std::int64_t max_output)
    : sink_(sink),
      loop_(loop),
      cogs_(cogs),
      python_(std::move(python)),
      grace_(grace),
      max_output_(static_cast<std::size_t>(max_output)) {}

ProcessExecutor::~ProcessExecutor() = default;

ProcessExecutor::Pool& ProcessExecutor::pool_of(const std::string& program, const std::string& real_user) {
  auto& pool = pools_[{program, real_user}];
  if (!pool) pool = std::make_unique<Pool>(loop_.io(), program, real_user);
  return *pool;
}

// ---- which process ----

void ProcessExecutor::assign(Pool& pool, Waiting waiting) {
  pool.waiting.push_back(std::move(waiting));
  serve(pool);
}

/// Hands out what waits, while there is a process with room, or one can be started.
void ProcessExecutor::serve(Pool& pool) {
  while (!pool.waiting.empty()) {
    const auto process = choose(pool);
    if (!process || pool.waiting.empty()) return;
    auto next = std::move(pool.waiting.front());
    pool.waiting.pop_front();
    next.go(process);
  }
}

/// C3: the file is looked at for each request, but not again at once: where they come by the thousand, a stat is a fifth of what
/// each costs. Only a changed one is looked at closely.
void ProcessExecutor::look_at_file(Pool& pool) {
  const auto now = std::chrono::steady_clock::now();
  if (now - pool.looked < kLookAgain) return;
  pool.looked = now;
  std::string version = file_version(pool.file);
  if (version.empty() || version != pool.version) try {
      pool.file = find_program(pool.program, python_).file;
      version = file_version(pool.file);
    } catch (const Error&) {  // taken away meanwhile: what runs goes on, and a start says what is wrong
      version = pool.version;
    }
  if (version == pool.version) return;
  if (!pool.version.empty()) {
    for (const auto& process : std::vector(pool.processes)) process->retire();
    cogs_.reset_program(pool.program);
    pool.pause.reset();
  }
  pool.version = version;
}

std::shared_ptr<CogProcess> ProcessExecutor::choose(Pool& pool) {
  look_at_file(pool);
  const auto options = cogs_.pool_options(pool.program);
  const auto room_of = [&](const CogProcess& process) {
    return static_cast<std::size_t>(options.concurrency > 0 ? options.concurrency : process.hello().concurrency());
  };
  std::shared_ptr<CogProcess> best;
  int current = 0;
  std::size_t starting = 0;
  for (const auto& process : pool.processes) {
    if (process->retired()) continue;
    ++current;
    if (!process->ready()) {
      ++starting;
    } else if (!best || process->in_flight() < best->in_flight()) {
      best = process;
    }
  }
  const bool busy = !best || best->in_flight() > 0;
  if (busy && starting < pool.waiting.size() && current < options.processes && !pool.pausing && !closing_) start_process(pool);
  return best && best->in_flight() < room_of(*best) ? best : nullptr;
}

/// On the thread that starts programs.
Launch launch_of(const Program& program, const std::string& real_user, const Variables& ours) {
  Launch launch;
  launch.executable = program.argv[0];
  launch.args.assign(program.argv.begin() + 1, program.argv.end());
  launch.wants_socket = true;
  launch.user = user_for(real_user);
  launch.environment = changed(launch.user ? login_environment(*launch.user, ours) : ours, {{"COGWORK_COG_FD", "3"}});
  return launch;
}

void ProcessExecutor::start_process(Pool& pool) {
  Program program;
  try {
    program = find_program(pool.program, python_);
  } catch (const Error& error) {
    return cannot_start(pool, error.what());
  }
  struct Seen {
    const CogProcess* process = nullptr;
    bool ready = false;
  };
  const auto state = std::make_shared<Seen>();
  CogProcess::Events events;
  events.ready = [this, &pool, state](const Hello&) {
    state->ready = true;
    serve(pool);
  };
  events.failed = [this, &pool, state](const std::string& why) {
    forget(pool, state->process);
    cannot_start(pool, why);
    if (count_ == 0 && all_gone_) std::exchange(all_gone_, nullptr)();
  };
  events.room = [this, &pool] {
    pool.pause.reset();
    serve(pool);
    rest(pool);
  };
  events.gone = [this, &pool, state](const std::string& reason, bool caused) {
    gone(pool, state->process, reason, caused, state->ready);
  };
  auto prepare = [this, program, user = pool.user] { return launch_of(program, user, *loop_.environment()); };
  auto process = CogProcess::start(loop_, std::move(prepare), pool.version, grace_, std::move(events));
  state->process = process.get();
  pool.processes.push_back(std::move(process));
  count_.fetch_add(1, std::memory_order_relaxed);
}

void ProcessExecutor::cannot_start(Pool& pool, const std::string& why) {
  const bool others = std::ranges::any_of(pool.processes, [](const auto& process) { return !process->retired(); });
  if (others) return;  // they will have room again
  for (auto& waiting : std::exchange(pool.waiting, {})) waiting.fail(why);
}

void ProcessExecutor::forget(Pool& pool, const CogProcess* process) {
  count_.fetch_sub(1, std::memory_order_relaxed);
  std::erase_if(pool.processes, [&](const auto& one) { return one.get() == process; });
}

void ProcessExecutor::gone(Pool& pool, const CogProcess* process, const std::string& why, bool caused, bool was_ready) {
  forget(pool, process);
  if (!caused) {
    cogs_.count_program_crash(pool.program);
    if (!was_ready) {
      // It cannot even start: whoever waits is told, rather than tried on one process after another.
      for (auto& waiting : std::exchange(pool.waiting, {})) waiting.fail("its process did not start: " + why);
    }
    if (!closing_) {
      pool.pausing = true;
      pool.start_timer.expires_after(pool.pause.next());
      pool.start_timer.async_wait([this, &pool](const boost::system::error_code& error) {
        if (error) return;
        pool.pausing = false;
        serve(pool);
      });
    }
  }
  if (!pool.pausing) serve(pool);
  if (count_ == 0 && all_gone_) std::exchange(all_gone_, nullptr)();
}

/// Idle for long: its processes go. The timer is not set anew with each call, but when it finds that there were some.
void ProcessExecutor::rest(Pool& pool) {
  pool.used = std::chrono::steady_clock::now();
  if (std::exchange(pool.resting, true)) return;
  wait_idle(pool, kIdle);
}

void ProcessExecutor::wait_idle(Pool& pool, std::chrono::steady_clock::duration time) {
  pool.idle_timer.expires_after(time);
  pool.idle_timer.async_wait([&pool](const boost::system::error_code& error) {
    if (error) return;
    const auto idle = std::chrono::steady_clock::now() - pool.used;
    if (idle < kIdle) return wait_idle(pool, kIdle - idle);
    pool.resting = false;
    for (const auto& process : std::vector(pool.processes)) {
      if (process->in_flight() == 0) process->retire();
    }
  });
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
  flights_[key] = Flight{{}, 0, request.cog->name, true};
  auto& pool = pool_of(path->program, request.real_user.str());
  const auto shared = std::make_shared<AttemptRequest>(std::move(request));
  Waiting waiting;
  waiting.key = key;
  waiting.go = [this, key, shared, cog = path->cog](const std::shared_ptr<CogProcess>& process) {
    const auto found = flights_.find(key);
    if (found == flights_.end()) return;
    found->second.waiting = false;
    found->second.process = process;
    const auto* offered = process->hello().find(cog);
    if (!offered) {  // of another version than the one that it was submitted with
      const auto program = flights_.extract(found).mapped().cog_path;
      return sink_.ended(key, not_started("'" + program + "' is not among the cogs that its program holds now"));
    }
    calls_.fetch_add(1, std::memory_order_relaxed);
    found->second.id = process->execute(
        offered->name, shared,
        [this, key](double fraction, std::string message) { sink_.progressed(key, fraction, Text(message)); },
        [this, key, weak = std::weak_ptr(process)](CogProcess::End end) {
          calls_.fetch_sub(1, std::memory_order_relaxed);
          report(key, weak.lock(), std::move(end));
        });
  };
  waiting.fail = [this, key](const std::string& why) {
    if (flights_.erase(key)) sink_.ended(key, not_started(why));
  };
  assign(pool, std::move(waiting));
}

void ProcessExecutor::report(AttemptKey key, const std::shared_ptr<CogProcess>& process, CogProcess::End end) {
  auto node = flights_.extract(key);
  if (node.empty()) return;  // closed without it
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
    outcome.error = Text(outcome.error.str() + "\nprocesses of its group could not be ended, and may still run");
    if (end.caused) outcome.marks |= Attempt::STILL_RUNNING;  // X8a: another attempt would run beside it
  }
  outcome.log = Text(end.log);
  if (process) outcome.version = Text(process->shown_version());
  sink_.ended(key, std::move(outcome));
}

void ProcessExecutor::interrupt(AttemptKey key) {
  loop_.post([this, key] {
    const auto found = flights_.find(key);
    if (found == flights_.end()) return;
    if (found->second.waiting) {  // nobody has called its Cog yet
      for (auto& [name, pool] : pools_) std::erase_if(pool->waiting, [&](const Waiting& waiting) { return waiting.key == key; });
      flights_.erase(found);
      Outcome withdrawn;
      withdrawn.status = AttemptStatus::WITHDRAWN;
      return sink_.ended(key, std::move(withdrawn));
    }
    if (const auto process = found->second.process.lock()) {
      process->cancel(found->second.id, [this, key] {
        if (!flights_.erase(key)) return;
        Outcome still;
        still.status = AttemptStatus::FAILURE;
        still.marks = Attempt::STILL_RUNNING;
        sink_.ended(key, std::move(still));
      });
    }
  });
}

void ProcessExecutor::abandon(AttemptKey key) {
  loop_.post([this, key] { flights_.erase(key); });
}

// ---- questions ----

std::string ProcessExecutor::load(const std::string& cog_path, const std::string& real_user) {
  const auto path = cogs_.program_of(cog_path);
  if (!path) return "it names no program";
  Program program;
  try {
    program = find_program(path->program, python_);
    loop_.begin();
  } catch (const Error& error) {
    return error.what();
  }
  struct Loaded {
    std::string why;
    Hello hello;
  };
  const auto promise = std::make_shared<std::promise<Loaded>>();
  auto answer = promise->get_future();
  loop_.post([this, path, promise, real_user] {
    auto& pool = pool_of(path->program, real_user);
    Waiting waiting;
    waiting.fail = [promise](const std::string& why) { promise->set_value({why, {}}); };
    waiting.go = [promise](const std::shared_ptr<CogProcess>& process) { promise->set_value({"", process->hello()}); };
    assign(pool, std::move(waiting));
  });
  if (answer.wait_for(kLongestAsk) != std::future_status::ready) return "its process does not answer";
  const auto loaded = answer.get();
  if (!loaded.why.empty()) return loaded.why;
  const auto* cog = loaded.hello.find(path->cog);
  if (!cog) {
    std::string names;
    for (const auto& one : loaded.hello.cogs) names += (names.empty() ? "'" : ", '") + one.name + "'";
    return path->cog.empty() ? "holds several cogs: name one of them, '" + path->program + ":" + loaded.hello.cogs[0].name +
                                   "' say (" + names + ")"
                             : "holds no cog '" + path->cog + "'; it holds " + names;
  }
  const auto options = cogs_.program_options(cog_path);
  const auto pool = cogs_.pool_options(path->program);
  CogInfo info;
  info.name = cog_path;
  info.origin = program.origin + (path->cog.empty() ? "" : ":" + path->cog);
  info.kind = CogKind::PROCESS;
  info.program = path->program;
  info.places = pool.processes * (pool.concurrency > 0 ? pool.concurrency : loaded.hello.concurrency());
  info.defaults = cog->defaults;
  const auto take = [](auto& into, const auto& given, bool is_given) {
    if (is_given) into = given;
  };
  auto& o = info.defaults.options;
  const auto& given = options.defaults.options;
  take(o.timeout, given.timeout, given.timeout.count() != kNotGiven);
  take(o.retry_delay, given.retry_delay, given.retry_delay.count() != kNotGiven);
  take(o.retry_max_delay, given.retry_max_delay, given.retry_max_delay.count() != kNotGiven);
  take(o.retry_backoff, given.retry_backoff, given.retry_backoff >= 0);
  take(o.retries, given.retries, given.retries >= 0);
  take(o.on_interrupt, given.on_interrupt, given.on_interrupt >= 0);
  take(info.defaults.idempotent, options.defaults.idempotent, options.idempotent_given);
  if (options.idempotent_given) o.on_interrupt = given.on_interrupt;  // what is said here goes before either word of the program
  cogs_.add_program(std::move(info));
  return {};
}

std::string ProcessExecutor::validate(const std::string& cog_path, std::string_view args, const std::string& real_user) {
  const auto path = cogs_.program_of(cog_path);
  if (!path) return "it names no program";
  try {
    loop_.begin();
  } catch (const Error& error) {
    return error.what();
  }
  const auto promise = std::make_shared<std::promise<std::string>>();
  auto answer = promise->get_future();
  loop_.post([this, path, promise, real_user, args = std::string(args)] {
    Waiting waiting;
    waiting.fail = [promise](const std::string& why) { promise->set_value(why); };
    waiting.go = [promise, path, args](const std::shared_ptr<CogProcess>& process) {
      const auto* offered = process->hello().find(path->cog);
      process->validate(offered ? offered->name : path->cog, args, [promise](const CogProcess::End& end) {
        if (!end.answer) return promise->set_value("its args could not be checked: " + end.gone);
        promise->set_value(end.answer->error.value_or(""));
      });
    };
    assign(pool_of(path->program, real_user), std::move(waiting));
  });
  if (answer.wait_for(kLongestAsk) != std::future_status::ready)
    return "its args could not be checked: its process does not answer";
  return answer.get();
}

void ProcessExecutor::close() {
  if (!loop_.begun()) return;
  const auto done = std::make_shared<std::promise<void>>();
  auto all = done->get_future();
  loop_.post([this, done] {
    closing_ = true;
    for (auto& [name, pool] : pools_) {
      pool->start_timer.cancel();
      pool->idle_timer.cancel();
      for (auto& waiting : std::exchange(pool->waiting, {})) waiting.fail("the engine is closing");
      for (const auto& process : std::vector(pool->processes)) {
        process->in_flight() == 0 ? process->retire() : process->end("the engine closed");
      }
    }
    if (count_ == 0) {
      done->set_value();
    } else {
      all_gone_ = [done] { done->set_value(); };
    }
  });
  all.wait_for(2 * grace_ + std::chrono::seconds(3));
}

}  // namespace cogwork
