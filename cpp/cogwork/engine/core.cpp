#include "cogwork/engine/core.h"

#include <algorithm>
#include <climits>
#include <cstdlib>

namespace cogwork {
namespace {

constexpr std::size_t kMostEndedLogs = 16;

ValidationError other_contents(const Text& client_id, const Id& labor) {
  return ValidationError({Issue{"", "client_id '" + client_id.str() + "' was used for Labor " + labor.text() +
                                        ", whose contents differ; give this one a client_id of its own"}});
}

}  // namespace

std::exception_ptr closed_error() {
  return std::make_exception_ptr(EngineClosed("the engine is closed; open another on the store to go on"));
}

Core::Core(CoreSeams seams, EngineOptions options, std::uint64_t last_change)
    : seams_(std::move(seams)), options_(std::move(options)), next_change_(last_change + 1) {
  jobs_.free = options_.workers;
  checks_.free = options_.workers;
  unlimited_.free = INT_MAX;
  if (!seams_.logs) seams_.logs = std::make_shared<LogRoom>();
  begun_ = !options_.begin_later;
}

Core::~Core() = default;

// ---- what users ask for ----

void Core::submit(std::shared_ptr<Labor> labor, std::string fingerprint, bool start, Text by, IdReply reply) {
  if (closing_) return reply({}, closed_error());
  if (!labor->client_id.empty()) {
    auto [it, fresh] = clients_.try_emplace(labor->client_id);
    auto& client = it->second;
    if (!fresh) {  // S3
      if (client.fingerprint != fingerprint) {
        return reply({}, std::make_exception_ptr(other_contents(labor->client_id, client.labor)));
      }
      if (!client.durable) {
        (start ? client.starting : client.waiting).push_back(std::move(reply));
        return;
      }
      const auto id = client.labor;
      const auto run = runs_.find(id);
      if (start && run != runs_.end() && run->second->machine.labor().state == State::ADMIN_NOT_STARTED) {
        return this->start(id, by, {}, [id, reply = std::move(reply)](const std::shared_ptr<Ack>&, std::exception_ptr error) {
          reply(id, error);
        });
      }
      return reply(id, nullptr);
    }
    client.fingerprint = fingerprint;
  }

  labor->id = Id::make(seams_.random);
  labor->submitted = seams_.clock->wall();
  labor->state = start ? State::NOT_STARTED : State::ADMIN_NOT_STARTED;
  CommitUnit unit;
  unit.labor = labor->id;
  unit.token = next_token_++;
  unit.give_up_on_error = true;
  if (!labor->client_id.empty()) {
    clients_[labor->client_id].labor = labor->id;
    const std::string value = std::string(reinterpret_cast<const char*>(labor->id.bytes.data()), 16) + fingerprint;
    unit.batch.records.push_back({RecordKind::CLIENT_ID, labor->client_id, Text(value)});
  }
  unit.batch.writes.emplace_back(WriteLabor{labor});
  submits_.emplace(unit.token, PendingSubmit{std::move(labor), start, std::move(by), std::move(reply)});
  outbox_.push_back(std::move(unit));
}

void Core::submitted(std::uint64_t token, const std::optional<std::string>& error) {
  auto node = submits_.extract(token);
  auto& pending = node.mapped();
  const Id id = pending.labor->id;
  std::vector<IdReply> replies;
  std::vector<IdReply> starting;
  replies.push_back(std::move(pending.reply));
  const auto client = clients_.find(pending.labor->client_id);
  if (client != clients_.end()) {
    const auto answer_too = [&replies](std::vector<IdReply>& others) {
      std::move(others.begin(), others.end(), std::back_inserter(replies));
      others.clear();
    };
    answer_too(client->second.waiting);
    starting = std::exchange(client->second.starting, {});
    if (pending.start || error) answer_too(starting);  // it was stored as one that starts: nothing more need become durable
    client->second.durable = true;
    if (error) clients_.erase(client);
  }
  if (error) {
    for (auto& reply : replies) reply({}, std::make_exception_ptr(StorageError(*error, false)));
    return;
  }
  // The store is done with the tree, which may be large: the machine takes it over where nobody else has it.
  auto& labor = pending.labor;
  const auto latest = labor->submitted;
  auto run = labor.use_count() == 1 ? make_run(std::move(*labor), latest) : make_run(*labor, latest);
  labor.reset();
  runs_.emplace(id, run);
  for (auto& reply : replies) reply(id, nullptr);
  if (closing_) {
    step(run, input::Closing{});
  } else if (pending.start) {
    step(run, input::Start{0, pending.by, {}});
  }
  if (starting.empty()) return;
  this->start(id, pending.by, {}, [id, starting](const std::shared_ptr<Ack>&, const std::exception_ptr& failed) {
    for (const auto& reply : starting) reply(failed ? Id{} : id, failed);
  });
}

void Core::start(const Id& labor, Text by, Text note, AckReply reply) {
  if (closing_) return reply(nullptr, closed_error());
  const auto run = runs_.find(labor);
  if (run == runs_.end()) return reply(nullptr, nullptr);
  const Ticket ticket = await_durable(std::move(reply));
  step(run->second, input::Start{ticket, std::move(by), std::move(note)});
}

Ticket Core::await_durable(AckReply reply) {
  const Ticket ticket = next_ticket_++;
  auto ack = std::make_shared<Ack>();
  ack->completion().on_done([ack = ack.get(), reply, keep = std::weak_ptr<Ack>(ack)] {
    if (ack->closed()) return reply(nullptr, closed_error());
    reply(keep.lock(), nullptr);
  });
  signals_.emplace(ticket, PendingSignal{ack, [reply](const std::shared_ptr<Ack>& taken, std::exception_ptr error) {
                                           if (!taken) reply(nullptr, error);
                                         }});
  return ticket;
}

void Core::decide(const DecisionOrder& order, AckReply reply) {
  if (closing_) return reply(nullptr, closed_error());
  const auto found = runs_.find(order.job.labor());
  if (found == runs_.end()) return reply(nullptr, nullptr);
  const auto run = found->second;
  const auto object = find_ordinal(run->machine.labor(), order.job.ordinal());
  if (!object || object->kind != ObjectKind::JOB) {
    const std::string what = object ? "is no Job's; what is decided about is a held Job" : "is unknown";
    return reply(nullptr, std::make_exception_ptr(NotFound("the id " + order.job.text() + " " + what)));
  }
  const Ticket ticket = await_durable(std::move(reply));
  step(run, input::Decided{object->index, order.decision, ticket, Text(order.by), Text(order.note)});
}

bool Core::keep(StoredSignal signal, Done reply) {
  const auto labor = signal.order.object.labor();
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& one) { return one.labor == labor; });
  if (closing_) return reply(closed_error()), true;
  if (!waits) return false;
  signal.at = seams_.clock->wall();
  const auto& before = stored_[labor];
  auto record = to_record(signal, seams_.random, before.empty() ? std::string_view() : before.back().key.view());
  signal.key = record.key;
  CommitUnit unit;
  unit.labor = labor;
  unit.token = next_token_++;
  unit.give_up_on_error = true;
  unit.batch.records.push_back(std::move(record));
  units_.emplace(unit.token, Unit{nullptr, {}, nullptr, std::move(reply), labor, signal.key});
  outbox_.push_back(std::move(unit));
  stored_[labor].push_back(std::move(signal));
  return true;
}

bool Core::stop_waiting_labor(Labor labor, const ChainEnd& end, const SignalOrder& order, AckReply reply) {
  if (!stop_waiting(labor.id)) return false;
  recover(add_run(std::move(labor), end), true);
  signal(order, std::move(reply));
  return true;
}

void Core::signal(const SignalOrder& order, AckReply reply) {
  if (closing_) return reply(nullptr, closed_error());
  const auto found = runs_.find(order.object.labor());
  if (found == runs_.end()) return reply(nullptr, nullptr);
  const auto run = found->second;
  const auto object = find_ordinal(run->machine.labor(), order.object.ordinal());
  if (!object || object->kind == ObjectKind::JOB) {
    const std::string what = object ? "is a Job's; signals go to a Labor, a Task or a Sequence" : "is unknown";
    return reply(nullptr, std::make_exception_ptr(NotFound("the id " + order.object.text() + " " + what)));
  }
  const Ticket ticket = next_ticket_++;
  signals_.emplace(ticket, PendingSignal{std::make_shared<Ack>(), std::move(reply)});
  step(run, input::Signalled{*object, order.signal, order.interrupt, ticket, Text(order.by), Text(order.note)});
}

void Core::record_refused(const Id& labor, Change change, const ChainEnd& end) {
  if (closing_ || runs_.contains(labor)) return;
  // `end` may be that of a row before the one that is on its way: once there has been one, the chain's end is known here.
  auto& refused = refused_.try_emplace(labor, Refused{end.link, {}, end.at, false, {}}).first->second;
  change.at = refused.at = is_set(refused.at) ? std::max(refused.at, seams_.clock->wall()) : seams_.clock->wall();
  refused.changes.push_back(std::move(change));
  write_refused(labor, refused);
}

void Core::write_refused(const Id& labor, Refused& refused) {
  if (refused.flying || refused.changes.empty()) return;
  refused.flying = true;
  refused.next = refused.link;
  auto changes = std::exchange(refused.changes, {});
  CommitUnit unit;
  unit.labor = labor;
  unit.token = next_token_++;
  unit.give_up_on_error = true;
  unit.batch.history.push_back(make_row(labor, changes, refused.next));
  units_.emplace(unit.token, Unit{nullptr, {}, std::make_shared<const std::vector<Change>>(std::move(changes))});
  outbox_.push_back(std::move(unit));
}

void Core::refused_committed(const std::vector<Change>& changes, bool stored) {
  if (!stored) seams_.feeds->give_up(changes);
  const auto found = refused_.find(changes.front().labor);
  if (found == refused_.end()) return;  // taken up meanwhile
  auto& refused = found->second;
  refused.flying = false;
  if (stored) refused.link = refused.next;
  write_refused(found->first, refused);
}

// ---- what happens ----

void Core::outcome(AttemptKey key, Outcome outcome) {
  const auto found = attempts_.find(key);
  if (found == attempts_.end()) return;  // X9: its attempt is closed
  const auto [run, job] = found->second;
  const bool final = outcome.status == AttemptStatus::SUCCESS || outcome.status == AttemptStatus::FAILURE_NO_RETRIES;
  if (interrupting_ && !final && outcome.status != AttemptStatus::WITHDRAWN) {
    // R2: interrupted by the close. The attempt stays open in the store; on_interrupt decides at the next opening.
    if (!outcome.log.empty()) step(run, input::Said{job, std::move(outcome.log)});
    attempts_.erase(found);
    check_quiet();
    return;
  }
  if (outcome.status == AttemptStatus::CRASHED) {
    // Of a process Cog its executor counts: one death may take many attempts with it (X10).
    const auto attempt = run->attempts.find(job);
    if (attempt != run->attempts.end() && attempt->second.cog && attempt->second.cog->kind != CogKind::PROCESS) {
      seams_.cogs->count_crash(attempt->second.cog->name);
    }
  }
  const bool goes_on = (outcome.marks & Attempt::STILL_RUNNING) != 0;  // its executor has given up on it (X8a)
  step(run, input::Ended{job, std::move(outcome), goes_on});
}

void Core::progressed(AttemptKey key, double fraction, Text message) {
  const auto found = attempts_.find(key);
  if (found == attempts_.end()) return;
  auto& attempt = found->second.first->attempts[found->second.second];
  attempt.fraction = fraction;
  attempt.message = std::move(message);
}

void Core::tick() {
  const auto now = seams_.clock->now().steady;
  while (!graces_.empty() && graces_.begin()->first <= now) {
    const auto key = graces_.begin()->second;
    graces_.erase(graces_.begin());
    const auto found = attempts_.find(key);
    if (found == attempts_.end()) continue;
    const auto [run, job] = found->second;
    const auto& attempt = run->attempts.at(job);
    executor_of(*attempt.cog, attempt.check).abandon(key);  // X8a
    store_log(run);                                         // there will be no other word of it
    if (interrupting_) {
      attempts_.erase(found);
      check_quiet();
      continue;
    }
    step(run, input::Ended{job, {}, true});
  }
  while (!wakes_.empty() && wakes_.begin()->first <= now) {
    const auto run = runs_.at(wakes_.begin()->second);
    wakes_.erase(wakes_.begin());
    run->wake = kNeverDue;
    step(run, tick_of(*run, now));
  }
}

input::Tick Core::tick_of(const LaborRun& run, SteadyTime now) {
  input::Tick tick;
  for (const auto job : run.machine.calls_due(now)) {
    const auto& attempt = run.attempts.at(job);
    tick.calls.push_back({job, attempt.cog ? executor_of(*attempt.cog, attempt.check).called(attempt.key) : std::nullopt});
  }
  return tick;
}

std::optional<SteadyTime> Core::settle() {
  dispatch();
  store_due_logs();
  for (const auto& run : dirty_) outbox_.push_back(make_unit(run));
  dirty_.clear();
  if (!outbox_.empty()) {
    seams_.committer->commit(std::move(outbox_));
    outbox_.clear();
  }
  std::optional<SteadyTime> next;
  if (!wakes_.empty()) next = wakes_.begin()->first;
  if (!graces_.empty() && (!next || graces_.begin()->first < *next)) next = graces_.begin()->first;
  if (const auto logs = unstored_logs_.next(); logs && (!next || *logs < *next)) next = logs;
  return next;
}

// ---- one step, and what follows ----

void Core::step(const std::shared_ptr<LaborRun>& run, const Input& input) {
  ++steps_;
  effects_.clear();
  run->machine.step(input, run->time.stamp(seams_.clock->now()), effects_);
  carry_out(run);
  rearm(*run);
}

/// The one place where effects become deeds. Group 1 goes into the Labor's next commit, group 2 is done now, group 3 waits for that
/// commit; D1-D4 follow.
void Core::carry_out(const std::shared_ptr<LaborRun>& run) {
  auto& e = effects_;
  if (!e.writes.empty() || !e.changes.empty() || !e.opened.empty() || !e.acks.empty() || e.labor_ended) mark_dirty(run);
  run->writes.insert(run->writes.end(), e.writes.begin(), e.writes.end());
  for (auto& change : e.changes) run->changes.push_back(std::move(change));

  count(e.counts);
  for (const auto job : e.closed) close_attempt(*run, job);
  if (!e.ended_sequences.empty()) note_ended_sequences(*run);
  for (const auto& ready : e.ready) {
    auto cog = seams_.cogs->find(run->machine.labor().jobs[ready.job].cog_path);
    lane_of(cog.get(), ready.check).queue.push_back({run, ready.job, std::move(cog)});
  }
  for (const auto job : e.handed) hand_over(run, job);
  for (const auto job : e.interrupted) interrupt(run, job);
  for (auto& refusal : e.refusals) {
    auto node = signals_.extract(refusal.ticket);
    if (node.empty()) continue;
    node.mapped().reply(
        nullptr, std::make_exception_ptr(SignalNotAllowed(refusal.message, refusal.signal ? static_cast<int>(*refusal.signal) : -1,
                                                          static_cast<int>(refusal.state))));
  }
  for (const auto ticket : e.taken) {
    const auto found = signals_.find(ticket);
    if (found == signals_.end() || !found->second.reply) continue;
    std::exchange(found->second.reply, nullptr)(found->second.ack, nullptr);
  }

  auto& after = run->after;
  after.opened.insert(after.opened.end(), e.opened.begin(), e.opened.end());
  after.acks.insert(after.acks.end(), e.acks.begin(), e.acks.end());
  after.labor_ended |= e.labor_ended;
}

void Core::after_commit(const std::shared_ptr<LaborRun>& run, const AfterCommit& after) {
  for (const auto& opened : after.opened) step(run, input::Recorded{opened.job, opened.serial});
  for (const auto& done : after.acks) {
    auto node = signals_.extract(done.ticket);
    if (node.empty()) continue;
    auto& ack = *node.mapped().ack;
    ack.state_ = done.state;
    ack.applied_ = done.applied;
    ack.completion_.set();
  }
  if (!after.labor_ended) return;
  if (run->log) run->log->close();
  run->end->completion_.set();
}

/// A Labor that has ended goes once all of it is stored, what was refused after its end too: from then on the store knows the end of
/// its chain.
void Core::forget_if_done(const std::shared_ptr<LaborRun>& run) {
  if (run->dirty || run->flying > 0 || !run->machine.ended() || !run->end->completion_.done()) return;
  if (run->wake != kNeverDue) wakes_.erase({run->wake, run->id});
  unstored_logs_.forget(run->id);
  if (run->log && run->log->last() > run->log->base()) {
    ended_logs_.emplace_back(run->id, run->log);
    if (ended_logs_.size() > kMostEndedLogs) ended_logs_.pop_front();
  }
  runs_.erase(run->id);
}

void Core::rearm(LaborRun& run) {
  const auto wake = run.machine.next_wake().value_or(kNeverDue);
  if (wake == run.wake) return;
  if (run.wake != kNeverDue) wakes_.erase({run.wake, run.id});
  if (wake != kNeverDue) wakes_.insert({wake, run.id});
  run.wake = wake;
}

// ---- places and attempts (X13) ----

Core::Lane& Core::lane_of(const CogInfo* cog, bool check) {
  if (!cog || cog->kind == CogKind::PLAIN) return check ? checks_ : jobs_;
  if (cog->kind != CogKind::PROCESS) return unlimited_;
  const auto found = programs_.find(cog->program);
  if (found != programs_.end()) return found->second;
  auto& lane = programs_[cog->program];
  lane.free = std::max(1, cog->places);
  return lane;
}

Executor& Core::executor_of(const CogInfo& cog, bool check) {
  switch (cog.kind) {
    case CogKind::PLAIN: return check ? *seams_.checks : *seams_.jobs;
    case CogKind::ASYNC: return *seams_.async_calls;
    case CogKind::COMMAND: return *seams_.commands;
    case CogKind::PROCESS: return *seams_.processes;
  }
  std::abort();  // no such kind
}

void Core::dispatch() {
  if (closing_ || !begun_) return;
  for (bool moved = true; moved;) {  // a Job may go over to another lane
    moved = false;
    for (auto* lane : {&checks_, &jobs_, &unlimited_}) {
      while (give_place(*lane)) moved = true;
    }
    for (auto& [program, lane] : programs_) {
      while (give_place(lane)) moved = true;
    }
  }
}

bool Core::give_place(Lane& lane) {
  if (lane.free == 0 || lane.queue.empty()) return false;
  auto next = std::move(lane.queue.front());
  lane.queue.pop_front();
  // C1: the Cog as it is registered now, not as it was when the Job began to wait.
  const auto& job = next.run->machine.labor().jobs[next.job];
  next.cog = seams_.cogs->find(job.cog_path);
  if (auto& now = lane_of(next.cog.get(), job.is_check()); &now != &lane) {
    now.queue.push_back(std::move(next));
    return true;
  }
  step(next.run, input::Begin{next.job});
  if (effects_.opened.empty()) return true;  // overtaken: stopped, or held
  --lane.free;
  const auto key = next_key_++;
  auto& attempt = next.run->attempts[next.job] = {};
  attempt.key = key;
  attempt.cog = next.cog;
  attempt.check = next.run->machine.labor().jobs[next.job].is_check();
  attempts_.emplace(key, std::pair(next.run, next.job));
  return true;
}

void Core::close_attempt(LaborRun& run, std::uint32_t job) {
  const auto found = run.attempts.find(job);
  if (found == run.attempts.end()) return;
  ++lane_of(found->second.cog.get(), found->second.check).free;
  attempts_.erase(found->second.key);
  run.attempts.erase(found);
  check_quiet();
}

void Core::hand_over(const std::shared_ptr<LaborRun>& run, std::uint32_t index) {
  auto& attempt = run->attempts.at(index);
  attempt.handed = true;
  const auto& labor = run->machine.labor();
  const auto& job = labor.jobs[index];
  if (!attempt.cog) {
    Outcome none;
    none.status = AttemptStatus::FAILURE_NO_RETRIES;
    none.error = "cog '" + job.cog_path.str() + "' is not registered in this process" + seams_.cogs->suggestion(job.cog_path);
    // Answered like any call, once this step is through.
    const auto key = attempt.key;
    pending_outcomes_.emplace_back(key, std::move(none));
    return;
  }
  if (const int crashes = seams_.cogs->crashes(attempt.cog->name); crashes > options_.max_crashes) {  // X10
    Outcome refused;
    refused.status = AttemptStatus::FAILURE_NO_RETRIES;
    refused.error = "cog '" + job.cog_path.str() + "' crashed " + std::to_string(crashes) +
                    " times and is refused; load a new version, or call engine.cogs.reset('" + job.cog_path.str() + "')";
    pending_outcomes_.emplace_back(attempt.key, std::move(refused));
    return;
  }
  AttemptRequest request;
  request.key = attempt.key;
  request.cog = attempt.cog;
  request.job = labor.id.with_ordinal(job.ordinal);
  request.number = job.attempts.back().number;
  request.check = attempt.check;
  request.labor_name = labor.name;
  request.job_name = job.name.empty() ? job.cog_path : job.name;
  request.real_user = labor.real_user;
  request.args = job.args;
  request.timeout = job.options.timeout;
  request.log = log_of(*run);
  if (!job.is_check()) {
    const auto& sequence = labor.sequences[job.sequence];
    request.target = sequence.target;
    if (index > sequence.first_job) {  // X7
      auto& outputs = run->outputs[job.sequence];
      if (!outputs) outputs = std::make_shared<SequenceOutputs>();
      for (auto before = sequence.first_job + static_cast<std::uint32_t>(outputs->size()); before < index; ++before) {
        const auto& earlier = labor.jobs[before];
        outputs->add(earlier.name.empty() ? earlier.cog_path : earlier.name,
                     earlier.attempts.empty() ? Text() : earlier.attempts.back().output);
      }
      request.sequence_outputs = outputs;
      request.outputs_before = index - sequence.first_job;
    }
  }
  executor_of(*attempt.cog, attempt.check).start(std::move(request));
}

const std::shared_ptr<LaborLog>& Core::log_of(LaborRun& run) {
  if (!run.log) {
    run.log = std::make_shared<LaborLog>(seams_.logs, run.id);
    if (run.end->completion_.done()) run.log->close();
  }
  return run.log;
}

void Core::interrupt(const std::shared_ptr<LaborRun>& run, std::uint32_t job) {
  const auto& attempt = run->attempts.at(job);
  if (!attempt.cog) return;  // it is answered already
  auto& executor = executor_of(*attempt.cog, attempt.check);
  graces_.emplace(later(seams_.clock->now().steady, executor.patience(options_.grace)), attempt.key);
  executor.interrupt(attempt.key);
}

void Core::note_ended_sequences(LaborRun& run) {
  const auto& labor = run.machine.labor();
  for (const auto index : effects_.ended_sequences) {
    run.ended_sequences.push_back(index);
    run.outputs.erase(index);
    const auto& sequence = labor.sequences[index];
    auto& counts = run.counts[sequence.task];
    if (sequence.state == State::COMPLETED) {
      ++counts.completed;
      continue;
    }
    ++(sequence.state == State::FAILED ? counts.failed : counts.stopped);
    run.losses.push_back(loss_of(labor, sequence));
    if (run.losses.size() > kMostListed) run.losses.pop_front();
  }
}

// ---- commits ----

HistoryRow Core::make_row(const Id& labor, std::vector<Change>& changes, std::array<std::uint8_t, 16>& link) {
  HistoryRow row;
  row.first = next_change_;
  row.count = static_cast<std::uint32_t>(changes.size());
  row.labor = labor;
  row.at = changes.back().at;
  for (auto& change : changes) {
    change.number = next_change_++;
    change.labor = labor;
  }
  row.changes = pack_changes(changes);
  row.link = link = chain_link(link, row);
  return row;
}

CommitUnit Core::make_unit(const std::shared_ptr<LaborRun>& run) {
  run->dirty = false;
  const auto& labor = run->machine.labor();
  CommitUnit unit;
  unit.labor = run->id;
  unit.token = next_token_++;
  ++run->flying;

  // A row that changed several times is written once, as it is now: all of it is one commit.
  auto& refs = run->writes;
  std::sort(refs.begin(), refs.end());
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  unit.batch.writes.reserve(refs.size());
  for (const auto ref : refs) {
    switch (ref.kind) {
      case ObjectKind::LABOR:
        unit.batch.writes.emplace_back(WriteLaborState{std::make_shared<const Labor>(without_tables(labor))});
        break;
      case ObjectKind::TASK: unit.batch.writes.emplace_back(WriteTask{run->id, labor.tasks[ref.index]}); break;
      case ObjectKind::SEQUENCE: unit.batch.writes.emplace_back(WriteSequence{run->id, labor.sequences[ref.index]}); break;
      case ObjectKind::JOB: unit.batch.writes.emplace_back(WriteJob{run->id, run->machine.job_row(ref.index)}); break;
    }
  }
  refs.clear();
  for (const auto sequence : run->ended_sequences) run->machine.release(sequence);
  run->ended_sequences.clear();

  std::shared_ptr<const std::vector<Change>> changes;
  if (!run->changes.empty()) {
    unit.batch.history.push_back(make_row(run->id, run->changes, run->link));
    changes = std::make_shared<const std::vector<Change>>(std::move(run->changes));
    run->changes.clear();
  }
  unit.batch.records = std::exchange(run->records, {});
  units_.emplace(unit.token, Unit{run, std::exchange(run->after, {}), std::move(changes)});
  return unit;
}

void Core::committed(std::vector<CommitResult> results) {
  std::vector<std::shared_ptr<const std::vector<Change>>> rows;
  std::vector<Unit> done;
  for (const auto& result : results) {
    if (submits_.contains(result.token)) {
      submitted(result.token, result.error);
      continue;
    }
    if (auto latch = latch_writes_.extract(result.token)) {
      latch.mapped()(false);
      continue;
    }
    auto node = units_.extract(result.token);
    if (node.empty()) continue;
    auto& unit = node.mapped();
    if (unit.kept) {
      if (result.error) forget_stored(unit.labor, unit.key);
      unit.kept(result.error ? std::make_exception_ptr(StorageError(*result.error, false)) : nullptr);
      continue;
    }
    if (unit.changes && !result.error) rows.push_back(unit.changes);
    if (unit.run) {
      done.push_back(std::move(unit));
    } else {
      refused_committed(*unit.changes, !result.error);
    }
  }
  // Those who watch see a change before those who wait for it go on: what a script reads after wait() is never newer than
  // what its feed says.
  if (!rows.empty()) seams_.feeds->publish(rows);
  for (const auto& unit : done) {
    --unit.run->flying;
    after_commit(unit.run, unit.after);
    forget_if_done(unit.run);
  }
  while (!pending_outcomes_.empty()) {
    auto pending = std::exchange(pending_outcomes_, {});
    for (auto& [key, answer] : pending) outcome(key, std::move(answer));
  }
}

void Core::count(const Counts& counts) {
  for (int kind = 0; kind < 4; ++kind) {
    counters_[kind].executing += static_cast<std::uint64_t>(counts.executing[kind]);
    counters_[kind].processed += counts.processed[kind];
  }
}

// ---- opening and closing ----

void Core::take_up(Labor labor, const ChainEnd& end) { recover(add_run(std::move(labor), end), false); }

/// R1: what was stored is applied before anything begins. To a Labor under way, signals come before undecided Jobs are asked about; what needs
/// those - a decision, and the ADMIN_RESUME that follows it - comes after.
void Core::recover(const std::shared_ptr<LaborRun>& run, bool stops) {
  if (seams_.died) note_engine(run, EngineEvent::DIED, *seams_.died);
  note_engine(run, EngineEvent::OPENED, seams_.who);
  auto node = stored_.extract(run->id);
  const auto stored = node.empty() ? std::vector<StoredSignal>() : std::move(node.mapped());
  const State state = run->machine.labor().state;
  input::Recovered recovered;
  std::vector<const StoredSignal*> rest;
  bool decided = false;
  for (const auto& one : stored) {
    run->records.push_back({RecordKind::SIGNAL, one.key, std::nullopt});
    const bool is_labor = one.order.object.ordinal() == 0;
    decided |= one.decision != Decision::NONE;
    stops |= one.is_signal() && is_labor && one.order.signal == Signal::STOP;
    const bool after = !one.is_signal() || (decided && is_labor && one.order.signal == Signal::ADMIN_RESUME);
    if (after || !is_under_way(state)) {
      rest.push_back(&one);
    } else if (auto signal = signalled(*run, one)) {
      recovered.signals.push_back(std::move(*signal));
    }
  }
  // S6: where it is stopped before it ever ran, nothing of it does.
  if (state != State::NOT_STARTED || !stops) step(run, recovered);
  for (const auto* one : rest) apply_stored(run, *one);
}

std::shared_ptr<LaborRun> Core::add_run(Labor labor, const ChainEnd& end) {
  const auto refused = refused_.extract(labor.id);
  Time latest = latest_time(labor);
  for (const auto at : {end.at, refused ? refused.mapped().at : never}) {
    if (is_set(at)) latest = is_set(latest) ? std::max(latest, at) : at;
  }
  if (is_set(latest)) records_ahead_ = std::max(records_ahead_, latest - seams_.clock->wall());
  auto run = make_run(std::move(labor), latest);
  run->link = end.link;
  if (refused) {
    run->link = refused.mapped().flying ? refused.mapped().next : refused.mapped().link;
    run->changes = std::move(refused.mapped().changes);
  }
  for (const auto& sequence : run->machine.labor().sequences) {
    auto& counts = run->counts[sequence.task];
    if (sequence.state == State::COMPLETED) ++counts.completed;
    if (sequence.state == State::FAILED) ++counts.failed;
    if (sequence.state == State::STOPPED) ++counts.stopped;
  }
  for (auto& loss : latest_losses(run->machine.labor())) run->losses.push_back(std::move(loss));
  runs_.emplace(run->id, run);
  return run;
}

/// Nobody waits for what comes of it: that is in the history. Nothing where there is no such object.
std::optional<input::Signalled> Core::signalled(const LaborRun& run, const StoredSignal& stored) {
  const auto& order = stored.order;
  const auto object = find_ordinal(run.machine.labor(), order.object.ordinal());
  if (!object) return std::nullopt;
  return input::Signalled{*object, order.signal, order.interrupt, next_ticket_++, Text(order.by), Text(order.note), stored.at};
}

void Core::apply_stored(const std::shared_ptr<LaborRun>& run, const StoredSignal& stored) {
  const auto& order = stored.order;
  if (stored.start) return step(run, input::Start{next_ticket_++, Text(order.by), Text(order.note), stored.at});
  if (stored.is_signal()) {
    if (const auto signal = signalled(*run, stored)) step(run, *signal);
    return;
  }
  const auto object = find_ordinal(run->machine.labor(), order.object.ordinal());
  if (!object || object->kind != ObjectKind::JOB) return;
  step(run, input::Decided{object->index, stored.decision, next_ticket_++, Text(order.by), Text(order.note), stored.at});
}

void Core::note_engine(const std::shared_ptr<LaborRun>& run, EngineEvent event, const EngineWho& who) {
  run->changes.push_back(engine_change(event, who, run->machine.labor().state, run->time.stamp(seams_.clock->now()).wall));
  mark_dirty(run);
}

void Core::note_closed() {
  for (const auto& [id, run] : runs_) {
    if (!run->machine.ended()) note_engine(run, EngineEvent::CLOSED, seams_.who);
  }
}

void Core::mark_dirty(const std::shared_ptr<LaborRun>& run) {
  if (std::exchange(run->dirty, true)) return;
  dirty_.push_back(run);
}

void Core::forget_stored(const Id& labor, const Text& key) {
  const auto found = stored_.find(labor);
  if (found != stored_.end()) std::erase_if(found->second, [&](const StoredSignal& signal) { return signal.key == key; });
}

void Core::drop_stored(const StoredSignal& signal) {
  CommitUnit unit;
  unit.labor = signal.order.object.labor();
  unit.token = next_token_++;
  unit.give_up_on_error = true;
  unit.batch.records.push_back({RecordKind::SIGNAL, signal.key, std::nullopt});
  outbox_.push_back(std::move(unit));  // nobody waits for it
}

bool Core::stop_waiting(const Id& labor) {
  return std::erase_if(waiting_, [&](const Stats::Waiting& waiting) { return waiting.labor == labor; }) > 0;
}

bool Core::still_waits(const Id& labor, const std::string& why) {
  for (auto& waiting : waiting_) {
    if (waiting.labor != labor) continue;
    waiting.why = why;
    waiting.later = false;
    return true;
  }
  return false;
}

void Core::remember_client(const Text& client_id, const Id& labor, const Text& fingerprint) {
  clients_[client_id] = Client{labor, fingerprint, true, {}, {}};
}

void Core::begin_close(std::shared_ptr<Completion> quiet) {
  closing_ = true;
  quiet_ = std::move(quiet);
  std::vector<std::shared_ptr<LaborRun>> runs;
  for (const auto& [id, run] : runs_) runs.push_back(run);
  for (const auto& run : runs) step(run, input::Closing{});
  check_quiet();
}

void Core::interrupt_all() {
  if (interrupting_) return;
  interrupting_ = true;
  std::vector<std::pair<std::shared_ptr<LaborRun>, std::uint32_t>> open;
  for (const auto& [key, place] : attempts_) open.push_back(place);
  for (const auto& [run, job] : open) interrupt(run, job);
}

void Core::check_quiet() {
  if (quiet_ && attempts_.empty()) quiet_->set();
}

CloseReport Core::finish() {
  finished_ = true;
  CloseReport report;
  report.clock = seams_.clock->jumps();
  for (const auto& [id, run] : runs_) {
    const auto& labor = run->machine.labor();
    if (!run->machine.ended()) {
      CloseReport::Left left;
      left.labor = id;
      left.name = labor.name;
      left.state = labor.state;
      left.sequences = labor.sequences.size();
      for (const auto& counts : run->counts) left.sequences_ended += counts.completed + counts.failed + counts.stopped;
      left.interrupted = run->attempts.size();
      report.left.push_back(std::move(left));
    }
    if (run->log) run->log->close();
    if (run->end->completion_.done()) continue;
    run->end->closed_ = true;
    run->end->completion_.set();
  }
  std::sort(report.left.begin(), report.left.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (auto& [ticket, pending] : signals_) {
    pending.ack->closed_ = true;
    if (pending.reply) {
      pending.reply(nullptr, closed_error());
    } else {
      pending.ack->completion_.set();
    }
  }
  for (const auto& [token, done] : std::exchange(latch_writes_, {})) done(true);
  for (auto& [token, pending] : submits_) pending.reply({}, closed_error());
  for (auto& [token, unit] : units_) {
    if (unit.kept) unit.kept(closed_error());
  }
  for (auto& [name, client] : clients_) {
    for (const auto* replies : {&client.waiting, &client.starting}) {
      for (const auto& reply : *replies) reply({}, closed_error());
    }
  }
  signals_.clear();
  submits_.clear();
  runs_.clear();
  units_.clear();
  attempts_.clear();
  wakes_.clear();
  graces_.clear();
  dirty_.clear();
  outbox_.clear();
  // The engine may be held for long after its end.
  for (auto* lane : {&jobs_, &checks_, &unlimited_}) lane->queue.clear();
  programs_.clear();
  clients_.clear();
  refused_.clear();
  stored_.clear();
  ended_logs_.clear();
  return report;
}

}  // namespace cogwork
