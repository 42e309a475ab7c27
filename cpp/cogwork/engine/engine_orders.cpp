// What an engine is told: submits, signals, decisions, crises. First the core is asked, which waits for nothing. Where the Labor does not run here,
// the rest may wait for the store's reading, on the caller's thread; what is to be written is never waited for, but answered when it is.
#include <algorithm>
#include <future>

#include "cogwork/base/error.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/not_here.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/engine/submit_lookup.h"
#include "cogwork/engine/take_up.h"
#include "cogwork/machine/held.h"
#include "cogwork/machine/signal_rules.h"
#include "cogwork/model/validate.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace cogwork {
namespace {

/// Reading a tree of a million Jobs leaves the heap full of holes where the document was; what it held goes back.
void give_back_memory(std::size_t jobs) {
#ifdef __GLIBC__
  if (jobs >= 50'000) malloc_trim(0);
#else
  (void)jobs;
#endif
}

/// Waits for an answer that comes later. `begin` is given what is to be called with it.
template <typename T>
T wait_for(const std::function<void(std::function<void(T, std::exception_ptr)>)>& begin) {
  auto promise = std::make_shared<std::promise<T>>();
  auto answer = promise->get_future();
  begin([promise](T value, const std::exception_ptr& error) {
    if (error) {
      promise->set_exception(error);
    } else {
      promise->set_value(std::move(value));
    }
  });
  return answer.get();
}

void wait_until_done(const std::function<void(Done)>& begin) {
  wait_for<bool>([&](const std::function<void(bool, std::exception_ptr)>& reply) {
    begin([reply](std::exception_ptr error) { reply(true, std::move(error)); });
  });
}

/// An answer of the core, which comes from the scheduler thread. Null: its Labor does not run here.
std::shared_ptr<Ack> ask_ack(EngineParts& parts, const std::function<void(Core&, AckReply)>& question) {
  return wait_for<std::shared_ptr<Ack>>(
      [&](const AckReply& reply) { parts.post([question, reply](Core& core) { question(core, reply); }); });
}

/// R4: what is sent to a Labor that waits is stored. `done` is called when it is durable. False: it does not wait (any more).
bool keep(EngineParts& parts, StoredSignal signal, const Done& done) {
  return parts.ask([&](Core& core) { return core.keep(std::move(signal), done); });
}

template <typename Order>
void record_refusal(EngineParts& parts, const Id& labor, const Order& order, State state) {
  auto change = refused(order, state, parts.clock->wall());
  const auto end = end_of_chain(*parts.store, labor);
  parts.ask([&](Core& core) { core.record_refused(labor, std::move(change), end); });
}

/// STOP to a Labor that waits ends it (R4). Null: it does not wait (any more).
std::shared_ptr<Ack> stop_waiting(EngineParts& parts, const SignalOrder& order) {
  auto labor = parts.store->read_labor(order.object, true);
  if (const auto damage = damage_of(labor); !damage.empty())
    throw StorageError("cannot STOP " + order.object.text() + ": " + damage, false);
  const auto end = end_of_chain(*parts.store, order.object);
  return ask_ack(parts, [&](Core& core, const AckReply& reply) {
    if (!core.stop_waiting_labor(std::move(labor), end, order, reply)) reply(nullptr, nullptr);
  });
}

bool knows(EngineParts& parts, const Id& object) {
  return parts.ask([&](const Core& core) { return core.knows(object); });
}

bool waits(EngineParts& parts, const Id& labor) {
  return parts.ask(
      [&](const Core& core) { return std::ranges::any_of(core.waiting(), [&](const auto& one) { return one.labor == labor; }); });
}

}  // namespace

// ---- submitting ----

void EngineHandle::submit_async(Submission submission, IdReply done) {
  parts_->require_taking();
  const auto look = [this, &user = submission.look] {
    parts_->require_taking();
    if (user) user();
  };
  auto& labor = submission.labor;
  auto faults = std::move(submission.faults);
  const auto processes = parts_->processes_now();
  const SubmitLookup lookup(*parts_->cogs, processes->programs, labor.real_user.str(), look);
  validate(labor, lookup, faults);
  if (!faults.empty()) throw ValidationError(to_issues(labor, std::move(faults)));
  complete(labor, lookup);
  labor.cogs = origins_of(labor, *parts_->cogs);
  const auto jobs = labor.jobs.size();
  auto tree = std::make_shared<Labor>(std::move(labor));
  give_back_memory(jobs);
  parts_->post([tree = std::move(tree), fingerprint = std::move(submission.fingerprint), start = submission.start,
                by = Text(submission.by), done = std::move(done)](Core& core) mutable {
    core.submit(std::move(tree), std::move(fingerprint), start, std::move(by), std::move(done));
  });
}

Id EngineHandle::submit(Submission submission) {
  return wait_for<Id>([&](const IdReply& reply) { submit_async(std::move(submission), reply); });
}

// ---- starting ----

void EngineHandle::start_async(const Id& labor, const std::string& by, const std::string& note, Done done) {
  require_labor(*parts_, labor);
  if (!knows(*parts_, labor)) {
    StoredSignal kept;
    kept.order = {labor, Signal::RESUME, false, by, note};
    kept.start = true;
    if (keep(*parts_, std::move(kept), done)) return;
    const auto found = stored(*parts_, labor);
    const std::string help = has_ended(found.state) ? "it has ended: submit a new one (as_new() makes a copy)"
                                                    : why_not_running(*parts_, found.labor.id);
    throw SignalNotAllowed("cannot start a Labor that is " + std::string(name_of(found.state)) + "; " + help, -1,
                           static_cast<int>(found.state));
  }
  parts_->post([=, done = std::move(done)](Core& core) {
    core.start(labor, Text(by), Text(note), [done](const std::shared_ptr<Ack>& ack, std::exception_ptr error) {
      if (!ack && !error) error = std::make_exception_ptr(SignalNotAllowed("cannot start a Labor that has ended", -1, 0));
      done(error);
    });
  });
}

void EngineHandle::start(const Id& labor, const std::string& by, const std::string& note) {
  wait_until_done([&](Done done) { start_async(labor, by, note, std::move(done)); });
}

// ---- signals ----

void EngineHandle::signal_async(const SignalOrder& order, AckReply done) {
  if (auto ack = ask_ack(*parts_, [order](Core& core, AckReply reply) { core.signal(order, std::move(reply)); })) {
    return done(std::move(ack), nullptr);
  }
  // Its Labor does not run here: it has ended, or it waits for something.
  const auto found = stored(*parts_, order.object);
  const bool ended = has_ended(found.labor.state);
  if (!ended && waits(*parts_, order.object.labor())) {
    if (order.signal == Signal::STOP && order.object.ordinal() == 0) {
      if (auto ack = stop_waiting(*parts_, order)) return done(std::move(ack), nullptr);
    } else {
      auto ack = std::make_shared<Ack>();
      ack->stored_ = true;
      StoredSignal signal;
      signal.order = order;
      if (keep(*parts_, std::move(signal), [ack, done](const std::exception_ptr& error) { done(error ? nullptr : ack, error); })) {
        return;
      }
    }
  }
  if (!ended && knows(*parts_, order.object)) return signal_async(order, std::move(done));  // taken up meanwhile
  record_refusal(*parts_, order.object.labor(), order, found.state);
  if (!ended) {
    throw SignalNotAllowed("cannot " + std::string(name_of(order.signal)) + " it now: " + why_not_running(*parts_, found.labor.id),
                           static_cast<int>(order.signal), static_cast<int>(found.labor.state));
  }
  if (order.object.ordinal() == 0) {
    throw SignalNotAllowed(refusal(order.signal, found.labor.state, nullptr), static_cast<int>(order.signal),
                           static_cast<int>(found.labor.state));
  }
  auto ignored = std::make_shared<Ack>();
  ignored->state_ = found.state;
  ignored->completion_.set();
  done(std::move(ignored), nullptr);
}

std::shared_ptr<Ack> EngineHandle::signal(const SignalOrder& order) {
  return wait_for<std::shared_ptr<Ack>>([&](const AckReply& reply) { signal_async(order, reply); });
}

// ---- decisions ----

void EngineHandle::decide_async(const DecisionOrder& order, Done done) {
  const auto labor = order.job.labor();
  if (!knows(*parts_, labor)) {
    const auto job = stored_job(*parts_, order.job);
    if (awaits_decision(job)) {
      StoredSignal kept;
      kept.order = {order.job, Signal::RESUME, false, order.by, order.note};
      kept.decision = order.decision;
      if (keep(*parts_, std::move(kept), done)) return;
    }
    if (!knows(*parts_, labor)) {  // not taken up meanwhile either
      record_refusal(*parts_, labor, order, job.state);
      const auto tree = parts_->store->read_labor(labor, true);
      throw SignalNotAllowed(awaits_decision(job) ? "cannot decide about it now: " + why_not_running(*parts_, labor)
                                                  : decision_refusal(tree, job, order.decision),
                             -1, static_cast<int>(job.state));
    }
  }
  parts_->post([order, done = std::move(done)](Core& core) {
    core.decide(order, [done](const std::shared_ptr<Ack>& ack, std::exception_ptr error) {
      if (!ack && !error)
        error = std::make_exception_ptr(SignalNotAllowed("cannot decide about a Job of a Labor that has ended", -1, 0));
      done(error);
    });
  });
}

void EngineHandle::decide(const DecisionOrder& order) {
  wait_until_done([&](Done done) { decide_async(order, std::move(done)); });
}

// ---- crises ----

void EngineHandle::crisis_pause_async(Latch latch, LatchReply done) {
  parts_->post(
      [latch = std::move(latch), done = std::move(done)](Core& core) mutable { core.crisis_pause(std::move(latch), done); });
}

Id EngineHandle::crisis_pause(Latch latch) {
  const auto set = wait_for<LatchSet>([&](const LatchReply& reply) { crisis_pause_async(std::move(latch), reply); });
  set.recorded->completion().wait();
  if (set.recorded->closed()) std::rethrow_exception(closed_error());
  return set.id;
}

std::shared_ptr<Ack> EngineHandle::crisis_resume(const Id& latch, const std::string& by, const std::string& note) {
  return ask_ack(*parts_, [=](Core& core, const AckReply& reply) { core.crisis_resume(latch, by, note, reply); });
}

}  // namespace cogwork
