// How an engine begins and ends. What may be asked of it: engine_orders.cpp, engine_questions.cpp.
#include "cogwork/engine/engine.h"

#include <algorithm>
#include <boost/system/system_error.hpp>

#include "cogwork/base/shortage.h"
#include "cogwork/cogs/environment.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/take_up.h"

namespace cogwork {
namespace {

/// How long requests that read the store may take to end with the engine, and the store's thread on a loaded machine.
constexpr auto kReadLimit = std::chrono::seconds(1);
constexpr auto kStoring = std::chrono::seconds(10);

/// A write that takes longer is told to those who wait.
constexpr Duration kLongWrite = std::chrono::seconds(5);

int guardian_grace(Duration grace) { return static_cast<int>(std::clamp<std::int64_t>(grace.count() / 1000, 0, 60'000)); }

std::shared_ptr<const Variables> environment_of(const EngineOptions& options) {
  return options.environment ? options.environment : std::make_shared<const Variables>(process_environment());
}

Owner this_engine(const EngineOptions& options, Time now) {
  auto owner = this_process(options.user, options.program, now);
  owner.version = COGWORK_VERSION;
  return owner;
}

/// An owner as long as nobody can reach it.
Owner opening(Owner owner) {
  owner.silent = "it is opening";
  return owner;
}

}  // namespace

Processes::Processes(OutcomeSink& sink, CogRegistry& cogs, const EngineOptions& options)
    : loop(options.guardian, guardian_grace(options.grace), environment_of(options)),
      commands(sink, loop, options.grace),
      programs(sink, loop, cogs, options.python, options.grace, options.max_output) {}

EngineParts::EngineParts(std::shared_ptr<Storage> store_in, std::shared_ptr<CogRegistry> cogs_in, EngineOptions options_in)
    : options(std::move(options_in)),
      store(std::move(store_in)),
      cogs(std::move(cogs_in)),
      clock(make_system_clock()),
      owner(this_engine(options, clock->wall())),
      lock(store->lock(opening(owner))),
      feeds(std::make_shared<FeedHub>(store, store->last_change())),
      logs(std::make_shared<LogRoom>()),
      jobs(loop, options.workers),
      checks(loop, options.workers),
      async_calls(loop, options.workers),
      processes(std::make_shared<Processes>(loop, *cogs, options)),
      committer(make_committer(
          store, [this](std::vector<CommitResult> results) { loop.committed(std::move(results)); }, [] {},
          Backoff(std::chrono::milliseconds(20), std::chrono::seconds(5), Random::from_system()))),
      core(seams(), options, store->last_change()) {
  taken_up = open_core(core, *store, *cogs, options);
  logs->on_unstored([this](const Id& labor) { loop.post([labor](Core& c) { c.said(labor); }); });
  loop.post([](Core&) {});  // what was taken up goes on
  loop.start(core);
}

EngineParts::~EngineParts() { loop.stop(); }

CoreSeams EngineParts::seams() {
  CoreSeams s;
  s.clock = clock.get();
  s.committer = committer.get();
  s.cogs = cogs.get();
  s.jobs = &jobs;
  s.checks = &checks;
  s.async_calls = &async_calls;
  s.commands = &processes->commands;
  s.processes = &processes->programs;
  s.feeds = feeds;
  s.logs = logs;
  s.random = Random::from_system();
  s.who = who_of(owner);
  if (const auto died = lock->died()) s.died = who_of(*died);
  return s;
}

void EngineParts::open_control() {
  const auto identity = options.control ? store->identity() : std::string();
  auto told = owner;
  if (identity.empty()) {
    told.silent = "it does not listen to other processes";
    return announce(told);
  }
  auto server = std::make_shared<ControlServer>(*this);
  try {
    server->start(identity, store->folder());
    control_info.addresses = server->addresses();
    submits = server->submits();
    control = std::move(server);
  } catch (const ResourceError&) {
    throw;
  } catch (const Error& error) {
    control_info.problem = told.silent = error.what();
  }
  if (control) control_info.passed_over = control->passed_over();
  for (const auto& address : control_info.addresses) told.listens.push_back(address_text(address, store->folder()));
  announce(told);
}

/// Clients that cannot read it still find the usual places.
void EngineParts::announce(const Owner& told) {
  try {
    lock->announce(told);
  } catch (const StorageError&) {
  }
}

void EngineParts::require_open() const {
  if (finished) std::rethrow_exception(closed_error());
}

void EngineParts::require_taking() {
  const std::lock_guard guard(gate);
  if (quiet) std::rethrow_exception(closed_error());
}

void EngineParts::post(std::function<void(Core&)> call) {
  const std::lock_guard guard(gate);
  require_open();
  loop.post(std::move(call));
}

std::shared_ptr<Processes> EngineParts::processes_now() {
  const std::lock_guard guard(gate);
  require_open();
  return processes;
}

Stats EngineParts::stats(const Core& c) const {
  Stats stats;
  c.fill(stats);
  stats.workers = jobs.figures();
  stats.check_workers = checks.figures();
  stats.async_calls = async_calls.figures();
  stats.commands = processes->commands.running();
  stats.processes = processes->programs.processes();
  stats.process_calls = processes->programs.calls();
  stats.outdated = processes->programs.outdated();
  stats.store = committer->health();
  stats.commits = committer->figures();
  return stats;
}

std::optional<Progress> EngineParts::progress(const Core& c, const Id& labor) const {
  auto progress = c.progress(labor);
  if (progress) add_trouble(*progress, committer->health());
  return progress;
}

void EngineParts::add_trouble(Progress& progress, const StoreHealth& health) const {
  if (has_ended(progress.state)) return;
  const bool others = !health.stuck.empty() && std::ranges::find(health.stuck, progress.id) == health.stuck.end();
  if (health.degraded && !others) {
    progress.failing = health.reason;
    progress.failing_since = health.since;
  } else if (is_set(health.writing_since) && clock->wall() - health.writing_since > kLongWrite) {
    progress.failing = "a write has not returned";
    progress.failing_since = health.writing_since;
  }
}

// ---- the end ----

std::shared_ptr<Completion> EngineParts::begin_close() {
  const std::lock_guard guard(gate);
  if (!quiet) {
    quiet = std::make_shared<Completion>();
    loop.post([quiet = quiet](Core& c) { c.begin_close(quiet); });
  }
  return quiet;
}

void EngineParts::begin() {
  const std::lock_guard guard(gate);
  if (!finished) loop.post([](Core& c) { c.begin(); });
}

void EngineParts::interrupt_calls() {
  const std::lock_guard guard(gate);
  if (!finished) loop.post([](Core& c) { c.interrupt_all(); });
}

/// False where the store fails or hangs. One that merely takes its time is waited for.
bool EngineParts::flush() {
  while (!committer->flush(std::chrono::steady_clock::now() + std::max(options.grace, Duration(std::chrono::seconds(1))))) {
    if (committer->health().degraded) return false;
  }
  return true;
}

CloseReport EngineParts::finish_close() {
  const std::lock_guard once(finishing);
  if (finished) return report;
  if (!committer->health().degraded) ask([](Core& c) { c.note_closed(); });
  // Twice: what the first flush made durable may have been the last word on something. Whoever asks meanwhile is answered.
  bool durable = true;
  for (int i = 0; i < 2 && durable; ++i) {
    ask([](Core& c) { c.store_logs(); });
    durable = flush();
  }
  const auto health = committer->health();
  if (control) {
    auto told = owner;
    told.silent = "it is closing";
    if (!health.hangs) announce(told);
    control->stop();
  }
  control.reset();
  report = ask([](Core& c) { return c.finish(); });
  {
    const std::lock_guard guard(gate);
    finished = true;
  }
  logs->on_unstored({});
  feeds->close();
  jobs.close();
  checks.close();
  async_calls.close();
  processes->programs.close();
  processes->loop.stop();
  loop.stop();
  report.store_hangs =
      !committer->stop(std::chrono::steady_clock::now() + (health.hangs ? kReadLimit : kStoring), std::exchange(lock, nullptr));
  report.all_durable = durable && !report.store_hangs;
  if (!report.all_durable) report.store_trouble = health.reason;
  // Nothing of it is needed any more, but for those who are still in it.
  const std::lock_guard guard(gate);
  processes.reset();
  committer.reset();
  return report;
}

Engine::Engine(std::shared_ptr<Storage> store, std::shared_ptr<CogRegistry> cogs, EngineOptions options)
    : EngineHandle([&] {
        try {
          return std::make_shared<EngineParts>(std::move(store), std::move(cogs), std::move(options));
        } catch (const boost::system::system_error& error) {  // of Asio
          if (!is_shortage(error.code())) throw;
          throw_shortage("an engine", error.code());
        }
      }()) {
  try {
    parts_->open_control();
  } catch (...) {
    close(Duration(0), true);
    throw;
  }
}

Engine::~Engine() {
  if (!parts_->finished) close(Duration(0), true);
}

std::shared_ptr<Completion> Engine::begin_close() { return parts_->begin_close(); }
void Engine::begin() { parts_->begin(); }
void Engine::interrupt_calls() { parts_->interrupt_calls(); }
CloseReport Engine::finish_close() { return parts_->finish_close(); }

CloseReport Engine::close(std::optional<Duration> grace, bool interrupt) {
  const auto quiet = begin_close();
  if (!interrupt) {
    if (grace) {
      quiet->wait_for(std::min<Duration>(*grace, std::chrono::hours(24 * 365)));  // beyond, the clock may not count
    } else {
      quiet->wait();
    }
  }
  if (!quiet->done()) interrupt_calls();
  quiet->wait();
  return finish_close();
}

bool Engine::closed() const { return parts_->finished; }
std::vector<Id> Engine::taken_up() const { return parts_->taken_up; }
std::shared_ptr<PullQueue> Engine::jobs() { return {parts_, &parts_->jobs}; }
std::shared_ptr<PullQueue> Engine::checks() { return {parts_, &parts_->checks}; }
std::shared_ptr<PullQueue> Engine::async_calls() { return {parts_, &parts_->async_calls}; }
const ControlInfo& Engine::control() const { return parts_->control_info; }
std::shared_ptr<SubmitDesk> Engine::submits() { return parts_->submits; }
void Engine::set_environment(std::shared_ptr<const Variables> variables) {
  if (const auto processes = parts_->processes_now()) processes->loop.set_environment(std::move(variables));
}
std::shared_ptr<Storage> Engine::store() { return parts_->store; }

}  // namespace cogwork
