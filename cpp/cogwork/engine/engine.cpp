#include "cogwork/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <map>

#include "cogwork/cogs/command.h"
#include "cogwork/cogs/command_executor.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/cogs/process_executor.h"
#include "cogwork/engine/control_server.h"
#include "cogwork/engine/core.h"
#include "cogwork/engine/loop.h"
#include "cogwork/engine/stored.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/engine/take_up.h"
#include "cogwork/machine/held.h"
#include "cogwork/machine/signal_rules.h"
#include "cogwork/model/validate.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace cogwork {
namespace {

/// A write that takes longer is told to those who wait.
constexpr Duration kLongWrite = std::chrono::seconds(5);

/// Reading a tree of a million Jobs leaves the heap full of holes where the document was; what it held goes back.
void give_back_memory(std::size_t jobs) {
#ifdef __GLIBC__
  if (jobs >= 50'000) malloc_trim(0);
#else
  (void)jobs;
#endif
}

/// The registry, and behind it programs: what is submitted may call one that has not been loaded yet. It waits for them.
class SubmitLookup final : public CogLookup {
 public:
  SubmitLookup(const CogRegistry& cogs, ProcessExecutor& programs, std::string real_user)
      : cogs_(cogs), programs_(programs), real_user_(std::move(real_user)) {}

  const CogDefaults* defaults(std::string_view path) const override {
    if (cogs_.program_of(path) && !loaded_.contains(path)) {
      auto why = programs_.load(std::string(path), real_user_);
      if (!loaded_.emplace(path, why).first->second.empty()) return nullptr;
    }
    return cogs_.defaults(path);
  }
  std::string suggestion(std::string_view path) const override { return cogs_.suggestion(path); }
  std::string why_unknown(std::string_view path) const override {
    const auto found = loaded_.find(path);
    return found == loaded_.end() ? cogs_.why_unknown(path) : found->second;
  }
  bool checks_args(std::string_view path) const override { return cogs_.program_of(path) || cogs_.checks_args(path); }
  std::string args_problem(std::string_view path, std::string_view args, std::string_view real_user) const override {
    if (!cogs_.program_of(path)) return cogs_.args_problem(path, args, real_user);
    if (!real_user.empty()) {
      if (auto why = why_not_as(std::string(real_user)); !why.empty()) return why;
    }
    return programs_.validate(std::string(path), args, std::string(real_user));
  }

 private:
  const CogRegistry& cogs_;
  ProcessExecutor& programs_;
  const std::string real_user_;
  mutable std::map<std::string, std::string, std::less<>> loaded_;  // and why not
};

/// An owner as long as nobody can reach it.
Owner opening(Owner owner) {
  owner.silent = "it is opening";
  return owner;
}

}  // namespace

class Engine::Impl : public std::enable_shared_from_this<Engine::Impl> {
 public:
  Impl(std::shared_ptr<Storage> store_in, std::shared_ptr<CogRegistry> cogs_in, EngineOptions options_in)
      : options(std::move(options_in)),
        store(std::move(store_in)),
        cogs(std::move(cogs_in)),
        clock(make_system_clock()),
        owner(this_process(options.user, options.program, clock->now())),
        lock(store->lock(opening(owner))),
        feeds(std::make_shared<FeedHub>(store, store->last_change())),
        loop(*clock),
        jobs(loop, options.workers),
        checks(loop, options.workers),
        async_calls(loop, options.workers),
        processes(options.guardian, static_cast<int>(std::clamp<std::int64_t>(options.grace.count() / 1000, 0, 60'000)),
                  options.environment ? options.environment : std::make_shared<const Variables>(process_environment())),
        commands(loop, processes, options.grace),
        programs(loop, processes, *cogs, options.python, options.grace, options.max_output),
        committer(make_committer(
            store, [this](std::vector<CommitResult> results) { loop.committed(std::move(results)); }, [] {},
            Backoff(std::chrono::milliseconds(20), std::chrono::seconds(5), Random::from_system()))),
        core(seams(), options, store->last_change()) {
    taken_up = open_core(core, *store, *cogs, options);
    loop.start(core);
    loop.post([](Core&) {});  // what was taken up goes on
  }

  /// Runs `question` on the scheduler thread and waits for what it returns.
  template <typename F>
  auto ask(F question) {
    using R = std::invoke_result_t<F, Core&>;
    std::promise<R> promise;
    auto answer = promise.get_future();
    {
      const std::lock_guard guard(gate);
      require_open();
      loop.post([&](Core& c) {
        try {
          if constexpr (std::is_void_v<R>) {
            question(c);
            promise.set_value();
          } else {
            promise.set_value(question(c));
          }
        } catch (...) {
          promise.set_exception(std::current_exception());
        }
      });
    }
    return answer.get();
  }

  void require_open() const {
    if (finished) throw EngineClosed("the engine is closed; open another on the store to go on");
  }

  /// An answer that comes later, from the scheduler thread: (value, error).
  std::pair<std::shared_ptr<Ack>, std::exception_ptr> ask_ack(std::function<void(Core&, Core::AckReply)> question) {
    auto promise = std::make_shared<std::promise<std::pair<std::shared_ptr<Ack>, std::exception_ptr>>>();
    auto answer = promise->get_future();
    {
      const std::lock_guard guard(gate);
      require_open();
      loop.post([question = std::move(question), promise](Core& c) {
        question(c, [promise](std::shared_ptr<Ack> ack, std::exception_ptr error) {
          promise->set_value({std::move(ack), std::move(error)});
        });
      });
    }
    return answer.get();
  }

  CoreSeams seams() {
    CoreSeams s;
    s.clock = clock.get();
    s.committer = committer.get();
    s.cogs = cogs.get();
    s.jobs = &jobs;
    s.checks = &checks;
    s.async_calls = &async_calls;
    s.commands = &commands;
    s.processes = &programs;
    s.feeds = feeds;
    s.random = Random::from_system();
    return s;
  }

  /// The stored state of an object whose Labor is not running here, with its Labor. Throws NotFound.
  struct Stored {
    Labor labor;
    State state = State::UNKNOWN;
  };
  Stored stored(const Id& object, bool jobs_too = false) {
    Stored found;
    try {
      found.labor = store->read_labor(object.labor(), false);
      if (object.ordinal() == 0) {
        found.state = found.labor.state;
        return found;
      }
      try {
        found.state = store->read_task(object).state;
      } catch (const NotFound&) {
        try {
          found.state = store->read_sequence(object).state;
        } catch (const NotFound&) {
          if (!jobs_too) throw;
          found.state = store->read_job(object, false).state;
        }
      }
    } catch (const NotFound&) {
      throw NotFound("no Labor, Task or Sequence has the id " + object.text() + " in " + store->name());
    }
    return found;
  }
  void require_labor(const Id& id) const {
    if (id.ordinal() != 0) throw NotFound("the id " + id.text() + " is not a Labor's in " + store->name());
  }
  std::string why_not_running(const Id& labor) {
    const auto waiting = ask([](Core& c) { return c.waiting(); });
    for (const auto& w : waiting) {
      if (w.labor == labor) return "it waits: " + w.why;
    }
    return "this engine was opened without taking up what was unfinished (recover=\"none\")";
  }
  /// R4: what is sent to a Labor that waits is stored. Durable when it returns. False: it does not wait (any more).
  bool keep(StoredSignal signal) {
    auto promise = std::make_shared<std::promise<void>>();
    auto answer = promise->get_future();
    const bool kept = ask([&](Core& c) {
      return c.keep(std::move(signal), [promise](const std::exception_ptr& error) {
        if (error) return promise->set_exception(error);
        promise->set_value();
      });
    });
    if (kept) answer.get();
    return kept;
  }
  bool waits(const Id& labor) {
    return ask([&](Core& c) {
      return std::any_of(c.waiting().begin(), c.waiting().end(), [&](const auto& one) { return one.labor == labor; });
    });
  }
  /// R4: STOP to a Labor that waits ends it; other signals to it are stored. Null: it does not wait (any more).
  std::shared_ptr<Ack> signal_waiting(const SignalOrder& order, const std::shared_ptr<Ack>& stored_ack) {
    const auto id = order.object;
    if (!waits(id.labor())) return nullptr;
    if (order.signal != Signal::STOP || id.ordinal() != 0) {
      StoredSignal signal;
      signal.order = order;
      return keep(std::move(signal)) ? stored_ack : nullptr;
    }
    auto labor = store->read_labor(id, true);
    const auto link = store->last_link(id);
    const auto [ack, error] = ask_ack([&](Core& c, const Core::AckReply& reply) {
      if (!c.stop_waiting_labor(std::move(labor), link, order, reply)) reply(nullptr, nullptr);
    });
    if (error) std::rethrow_exception(error);
    return ack;
  }
  /// Of an object below a Labor: throws NotFound where there is none, or it cannot be decided about.
  Job stored_job(const Id& id) {
    try {
      return store->read_job(id, false);
    } catch (const NotFound&) {
    }
    try {
      stored(id);
    } catch (const NotFound&) {
      throw NotFound("no Job has the id " + id.text() + " in " + store->name());
    }
    throw NotFound("the id " + id.text() + " is no Job's; what is decided about is a held Job");
  }
  void record_refusal(const DecisionOrder& order, State state) {
    auto change = refused_decision(order, state, clock->now());
    const auto labor = order.job.labor();
    const auto link = store->last_link(labor);
    ask([&](Core& c) { c.record_refused(labor, std::move(change), link); });
  }
  void record_refusal(const SignalOrder& order, State state) {
    auto change = refused_change(order, state, clock->now());
    const auto labor = order.object.labor();
    const auto link = store->last_link(labor);
    ask([&](Core& c) { c.record_refused(labor, std::move(change), link); });
  }

  std::shared_ptr<Completion> begin_close() {
    const std::lock_guard guard(gate);
    if (!quiet) {
      quiet = std::make_shared<Completion>();
      loop.post([quiet = quiet](Core& c) { c.begin_close(quiet); });
    }
    return quiet;
  }
  void begin() {
    const std::lock_guard guard(gate);
    if (!finished) loop.post([](Core& c) { c.begin(); });
  }
  void interrupt_calls() {
    const std::lock_guard guard(gate);
    if (!finished) loop.post([](Core& c) { c.interrupt_all(); });
  }
  void open_control(Engine& engine) {
    const auto identity = options.control ? store->identity() : std::string();
    auto told = owner;
    if (identity.empty()) {
      told.silent = "it does not listen to other processes";
      return announce(told);
    }
    auto server = std::make_shared<ControlServer>(loop.io(), engine, owner, store->name());
    try {
      server->start(identity, store->folder());
      control_info.addresses = server->addresses();
      control = std::move(server);
    } catch (const Error& error) {
      control_info.problem = told.silent = error.what();
    }
    control_info.passed_over = control ? control->passed_over() : std::vector<std::string>();
    for (const auto& address : control_info.addresses) told.listens.push_back(address_text(address, store->folder()));
    announce(told);
  }
  /// Clients that cannot read it still find the usual places.
  void announce(const Owner& told) {
    try {
      lock->announce(told);
    } catch (const StorageError&) {
    }
  }
  CloseReport finish_close() {
    const std::lock_guard once(finishing);
    if (finished) return report;
    if (control) {
      auto told = owner;
      told.silent = "it is closing";
      announce(told);
      control->stop();
    }
    // Twice: what the first flush made durable may have been the last word on something.
    bool durable = true;
    for (int i = 0; i < 2; ++i) {
      ask([](Core&) {});
      durable = flush();
    }
    ask([](Core&) {});
    report = ask([](Core& c) { return c.finish(); });
    report.all_durable = durable;
    {
      const std::lock_guard guard(gate);
      finished = true;
    }
    feeds->close();
    jobs.close();
    checks.close();
    async_calls.close();
    programs.close();
    processes.stop();
    loop.stop();
    committer.reset();
    lock.reset();
    return report;
  }
  bool flush() {
    while (true) {
      if (committer->flush(std::chrono::steady_clock::now() + std::max(options.grace, Duration(std::chrono::seconds(1)))))
        return true;
      if (committer->health().degraded) return false;  // a store that merely takes its time is waited for
    }
  }

  const EngineOptions options;
  const std::shared_ptr<Storage> store;
  const std::shared_ptr<CogRegistry> cogs;
  const std::unique_ptr<Clock> clock;
  const Owner owner;
  std::unique_ptr<StoreLock> lock;
  const std::shared_ptr<FeedHub> feeds;
  Loop loop;
  PullQueue jobs, checks, async_calls;
  ProcessLoop processes;
  CommandExecutor commands;
  ProcessExecutor programs;
  std::unique_ptr<Committer> committer;
  Core core;
  std::vector<Id> taken_up;
  std::shared_ptr<ControlServer> control;
  ControlInfo control_info;

  std::mutex gate;  // orders calls against the end of the loop
  std::mutex finishing;
  std::shared_ptr<Completion> quiet;
  std::atomic<bool> finished{false};
  CloseReport report;
};

Engine::Engine(std::shared_ptr<Storage> store, std::shared_ptr<CogRegistry> cogs, EngineOptions options)
    : impl_(std::make_shared<Impl>(std::move(store), std::move(cogs), std::move(options))) {
  impl_->open_control(*this);
}

Engine::~Engine() {
  if (!impl_->finished) close(Duration(0), true);
}

void Engine::submit_async(Submission submission, std::function<void(Id, std::exception_ptr)> done) {
  auto& labor = submission.labor;
  auto faults = std::move(submission.faults);
  const SubmitLookup lookup(*impl_->cogs, impl_->programs, labor.real_user.str());
  validate(labor, lookup, faults);
  if (!faults.empty()) throw ValidationError(to_issues(labor, std::move(faults)));
  complete(labor, lookup);
  labor.cogs = origins_of(labor, *impl_->cogs);
  const auto jobs = labor.jobs.size();
  auto tree = std::make_shared<Labor>(std::move(labor));
  give_back_memory(jobs);

  const std::lock_guard guard(impl_->gate);
  impl_->require_open();
  impl_->loop.post([tree = std::move(tree), fingerprint = std::move(submission.fingerprint), start = submission.start,
                    by = Text(submission.by), done = std::move(done)](Core& core) mutable {
    core.submit(std::move(tree), std::move(fingerprint), start, std::move(by), std::move(done));
  });
}

Id Engine::submit(Submission submission) {
  auto promise = std::make_shared<std::promise<Id>>();
  auto answer = promise->get_future();
  submit_async(std::move(submission), [promise](Id id, std::exception_ptr error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value(id);
    }
  });
  return answer.get();
}

void Engine::start_async(const Id& labor, const std::string& by, const std::string& note,
                         std::function<void(std::exception_ptr)> done) {
  impl_->require_labor(labor);
  if (!impl_->ask([&](Core& core) { return core.knows(labor); })) {
    StoredSignal kept;
    kept.order = {labor, Signal::RESUME, false, by, note};
    kept.start = true;
    if (impl_->keep(std::move(kept))) return done(nullptr);
    const auto found = impl_->stored(labor);
    const std::string help =
        has_ended(found.state) ? "it has ended: submit a new one (as_new() makes a copy)" : impl_->why_not_running(labor);
    throw SignalNotAllowed("cannot start a Labor that is " + std::string(name_of(found.state)) + "; " + help, -1,
                           static_cast<int>(found.state));
  }
  const std::lock_guard guard(impl_->gate);
  impl_->require_open();
  impl_->loop.post([=, done = std::move(done)](Core& core) {
    core.start(labor, Text(by), Text(note), [done](const std::shared_ptr<Ack>& ack, std::exception_ptr error) {
      if (!ack && !error) error = std::make_exception_ptr(SignalNotAllowed("cannot start a Labor that has ended", -1, 0));
      done(error);
    });
  });
}

void Engine::start(const Id& labor, const std::string& by, const std::string& note) {
  auto promise = std::make_shared<std::promise<void>>();
  auto answer = promise->get_future();
  start_async(labor, by, note, [promise](std::exception_ptr error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value();
    }
  });
  answer.get();
}

std::shared_ptr<Ack> Engine::signal(const SignalOrder& order) {
  const auto [ack, error] = impl_->ask_ack([order](Core& core, Core::AckReply reply) { core.signal(order, std::move(reply)); });
  if (error) std::rethrow_exception(error);
  if (ack) return ack;

  // Its Labor does not run here: it has ended, or it waits for something.
  const auto found = impl_->stored(order.object);
  if (!has_ended(found.labor.state)) {
    auto stored = std::make_shared<Ack>();
    stored->stored_ = true;
    if (auto waiting = impl_->signal_waiting(order, stored)) return waiting;
    if (impl_->ask([&](Core& core) { return core.knows(order.object.labor()); })) return signal(order);  // taken up meanwhile
  }
  impl_->record_refusal(order, found.state);
  if (order.object.ordinal() == 0 || !has_ended(found.labor.state)) {
    auto text = refusal(order.signal, found.labor.state, nullptr);
    if (!has_ended(found.labor.state)) {
      text = "cannot " + std::string(name_of(order.signal)) + " it now: " + impl_->why_not_running(found.labor.id);
    }
    throw SignalNotAllowed(text, static_cast<int>(order.signal), static_cast<int>(found.labor.state));
  }
  auto ignored = std::make_shared<Ack>();
  ignored->state_ = found.state;
  ignored->completion_.set();
  return ignored;
}

void Engine::crisis_pause_async(Latch latch, std::function<void(Id, std::exception_ptr)> done) {
  const std::lock_guard guard(impl_->gate);
  impl_->require_open();
  impl_->loop.post([latch = std::move(latch), done = std::move(done)](Core& core) mutable {
    core.crisis_pause(std::move(latch), std::move(done));
  });
}

Id Engine::crisis_pause(Latch latch) {
  auto promise = std::make_shared<std::promise<Id>>();
  auto answer = promise->get_future();
  crisis_pause_async(std::move(latch), [promise](Id id, std::exception_ptr error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value(id);
    }
  });
  return answer.get();
}

std::shared_ptr<Ack> Engine::crisis_resume(const Id& latch, const std::string& by, const std::string& note) {
  const auto [ack, error] =
      impl_->ask_ack([=](Core& core, const Core::AckReply& reply) { core.crisis_resume(latch, by, note, reply); });
  if (error) std::rethrow_exception(error);
  return ack;
}

std::shared_ptr<Ack> Engine::latch_settled(const Id& latch) {
  return impl_->ask([&](Core& core) { return core.settled(latch); });
}

std::vector<LatchStatus> Engine::crises(bool lifted) {
  return impl_->ask([lifted](Core& core) { return core.crises(lifted); });
}

bool Engine::in_crisis() const { return impl_->core.in_crisis(); }

void Engine::decide_async(const DecisionOrder& order, std::function<void(std::exception_ptr)> done) {
  if (!impl_->ask([&](Core& core) { return core.knows(order.job.labor()); })) {
    const auto job = impl_->stored_job(order.job);
    if (awaits_decision(job)) {
      StoredSignal kept;
      kept.order = {order.job, Signal::RESUME, false, order.by, order.note};
      kept.decision = order.decision;
      if (impl_->keep(std::move(kept))) return done(nullptr);
    }
    if (!impl_->ask([&](Core& core) { return core.knows(order.job.labor()); })) {  // not taken up meanwhile either
      impl_->record_refusal(order, job.state);
      const auto labor = impl_->store->read_labor(order.job.labor(), true);
      throw SignalNotAllowed(awaits_decision(job) ? "cannot decide about it now: " + impl_->why_not_running(labor.id)
                                                  : decision_refusal(labor, job, order.decision),
                             -1, static_cast<int>(job.state));
    }
  }
  const std::lock_guard guard(impl_->gate);
  impl_->require_open();
  impl_->loop.post([order, done = std::move(done)](Core& core) {
    core.decide(order, [done](const std::shared_ptr<Ack>& ack, std::exception_ptr error) {
      if (!ack && !error)
        error = std::make_exception_ptr(SignalNotAllowed("cannot decide about a Job of a Labor that has ended", -1, 0));
      done(error);
    });
  });
}

void Engine::decide(const DecisionOrder& order) {
  auto promise = std::make_shared<std::promise<void>>();
  auto answer = promise->get_future();
  decide_async(order, [promise](std::exception_ptr error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value();
    }
  });
  answer.get();
}

State Engine::state(const Id& object) {
  if (const auto state = impl_->ask([&](Core& core) { return core.state(object); })) return *state;
  return impl_->stored(object, true).state;
}

std::shared_ptr<LaborEnd> Engine::end_of(const Id& labor) {
  impl_->require_labor(labor);
  if (auto end = impl_->ask([&](Core& core) { return core.end_of(labor); })) return end;
  const auto found = impl_->stored(labor.labor());
  auto end = std::make_shared<LaborEnd>();
  if (!has_ended(found.labor.state)) {
    throw SignalNotAllowed("Labor " + labor.text() + " is not running in this engine: " + impl_->why_not_running(labor), -1,
                           static_cast<int>(found.labor.state));
  }
  end->completion_.set();
  return end;
}

Progress Engine::progress(const Id& labor) {
  StoreHealth health;
  auto running = impl_->ask([&](Core& core) {
    health = impl_->committer->health();  // here, as a close on another thread may take the committer away
    return core.progress(labor);
  });
  auto progress = running ? std::move(*running) : stored_progress(*impl_->store, labor);
  if (has_ended(progress.state)) return progress;
  if (!running) progress.unattended = impl_->why_not_running(labor);
  const bool others = !health.stuck.empty() && std::find(health.stuck.begin(), health.stuck.end(), labor) == health.stuck.end();
  if (health.degraded && !others) {
    progress.failing = health.reason;
    progress.failing_since = health.since;
  } else if (is_set(health.writing_since) && impl_->clock->now() - health.writing_since > kLongWrite) {
    progress.failing = "a write has not returned";
    progress.failing_since = health.writing_since;
  }
  return progress;
}

Id Engine::find_task(const Id& parent, const std::string& name) {
  std::string choices;
  const auto found = impl_->ask([&](Core& core) { return core.find_named(parent, name, choices); });
  if (!found) return find_stored(*impl_->store, parent, name);
  if (found->is_nil()) not_called(parent, name, choices);
  return *found;
}

std::unique_ptr<ChangeFeed> Engine::changes(const Id& labor, std::optional<std::uint64_t> since) {
  // Between asking whether it runs and opening the feed, its end must not pass unseen: both at once, on the scheduler thread.
  auto feed = impl_->ask([&](Core& core) -> std::unique_ptr<ChangeFeed> {
    if (labor.is_nil()) return impl_->feeds->open(labor, since, false);
    const auto end = core.end_of(labor.labor());
    return end ? impl_->feeds->open(labor.labor(), since, end->completion().done()) : nullptr;
  });
  if (feed) return feed;
  return impl_->feeds->open(labor.labor(), since, has_ended(impl_->stored(labor.labor()).labor.state));
}

std::unique_ptr<LogFeed> Engine::logs(const Id& labor, std::optional<std::uint64_t> since) {
  impl_->require_labor(labor);
  auto log = impl_->ask([&](Core& core) { return core.log_of(labor); });
  if (!log) {
    impl_->stored(labor);
    log = std::make_shared<LaborLog>(std::make_shared<LogRoom>());
    log->close();
  }
  return std::make_unique<LogFeed>(std::move(log), since);
}

Stats Engine::stats() {
  return impl_->ask([this](Core& core) {
    Stats stats;
    core.fill(stats);
    stats.workers = impl_->jobs.figures();
    stats.check_workers = impl_->checks.figures();
    stats.async_calls = impl_->async_calls.figures();
    stats.commands = impl_->commands.running();
    stats.processes = impl_->programs.processes();
    stats.process_calls = impl_->programs.calls();
    stats.outdated = impl_->programs.outdated();
    stats.store = impl_->committer->health();  // here, as a close on another thread may take the committer away
    stats.commits = impl_->committer->figures();
    return stats;
  });
}

std::vector<Id> Engine::taken_up() const { return impl_->taken_up; }

void Engine::set_environment(std::shared_ptr<const Variables> variables) { impl_->processes.set_environment(std::move(variables)); }

void Engine::recheck_waiting() {
  const auto waiting = impl_->ask([](Core& core) { return core.waiting(); });
  if (waiting.empty()) return;
  std::vector<Unfinished::Found> ready;
  std::map<Id, std::string> why_now;
  for (const auto& w : waiting) {
    if (w.later) continue;
    auto labor = impl_->store->read_labor(w.labor, true);
    auto why = why_waiting(labor, *impl_->cogs, impl_->options.python);
    if (why.empty()) {
      ready.push_back({std::move(labor), impl_->store->last_link(w.labor)});
    } else {
      why_now.emplace(w.labor, std::move(why));
    }
  }
  impl_->ask([&](Core& core) {
    for (auto& found : ready) {
      // Another thread may have been here first, and the Labor may have ended since.
      if (core.stop_waiting(found.labor.id)) core.take_up(std::move(found.labor), found.link);
    }
    auto still = core.waiting();
    for (auto& w : still) {
      if (auto why = why_now.find(w.labor); why != why_now.end()) w.why = why->second;
    }
    core.set_waiting(std::move(still));
  });
}

std::string Engine::take_up(const Id& labor) {
  impl_->require_labor(labor);
  const auto knows = [&](const Core& core) { return core.knows(labor); };
  if (impl_->ask(knows)) return {};
  const auto found = impl_->stored(labor);
  if (has_ended(found.labor.state)) {
    throw SignalNotAllowed("cannot take up a Labor that is " + std::string(name_of(found.labor.state)) + "; it has ended", -1,
                           static_cast<int>(found.labor.state));
  }
  auto whole = impl_->store->read_labor(labor, true);
  const auto link = impl_->store->last_link(labor);
  auto why = why_waiting(whole, *impl_->cogs, impl_->options.python);
  const bool here = impl_->ask([&](Core& core) {
    if (!why.empty()) return core.still_waits(labor, why);
    if (core.stop_waiting(labor)) core.take_up(std::move(whole), link);
    return core.knows(labor);
  });
  // It may have been taken up, and have ended, meanwhile.
  if (here || impl_->ask(knows) || has_ended(impl_->stored(labor).state)) return why;
  throw SignalNotAllowed("cannot take it up: " + impl_->why_not_running(labor), -1, static_cast<int>(found.labor.state));
}

std::shared_ptr<Completion> Engine::begin_close() { return impl_->begin_close(); }
void Engine::begin() { impl_->begin(); }
void Engine::interrupt_calls() { impl_->interrupt_calls(); }
CloseReport Engine::finish_close() { return impl_->finish_close(); }

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

bool Engine::closed() const { return impl_->finished; }

std::shared_ptr<PullQueue> Engine::jobs() { return {impl_, &impl_->jobs}; }
std::shared_ptr<PullQueue> Engine::checks() { return {impl_, &impl_->checks}; }
std::shared_ptr<PullQueue> Engine::async_calls() { return {impl_, &impl_->async_calls}; }
const ControlInfo& Engine::control() const { return impl_->control_info; }
std::shared_ptr<SubmitDesk> Engine::submits() { return impl_->control ? impl_->control->submits() : nullptr; }
std::shared_ptr<Storage> Engine::store() { return impl_->store; }
const EngineOptions& Engine::options() const { return impl_->options; }

}  // namespace cogwork
