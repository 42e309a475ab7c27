// Crises (G8): latches that are set and lifted while Labors run. Setting or lifting one is linear in the number of Labors; no other event
// looks at latches at all, since each Labor's machine has been told what weighs on it.
#include <algorithm>

#include "cogwork/engine/core.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostShown = 100;

}  // namespace

std::shared_ptr<LaborRun> Core::make_run(Labor labor, Time latest) {
  auto found = latches_.matching(labor);
  Weight weight;
  if (!found.empty()) {
    weight = weight_of(*found.front());
  } else if (is_paused(labor.state) || labor.state == State::PAUSING) {
    // Should it go on now, that latch was lifted while no engine ran it.
    if (const auto* lifted = latches_.last_lifted(labor)) weight = weight_of(*lifted);
  }
  auto run = std::make_shared<LaborRun>(std::move(labor), std::move(weight), RecordTime(latest, seams_.clock->now()));
  run->latches = std::move(found);
  return run;
}

void Core::add_latch(const Latch& latch) {
  if (is_set(latch.lifted)) return latches_.lifted(latch);
  // Of what an engine takes up nothing executes.
  auto& settled = *latches_.add(latch).settled;
  settled.state_ = State::CRISIS_PAUSED;
  settled.applied_ = true;
  settled.completion_.set();
}

void Core::write_latch(std::vector<Record> records, std::function<void(bool closed)> done) {
  CommitUnit unit;
  unit.token = next_token_++;
  unit.batch.records = std::move(records);
  latch_writes_.emplace(unit.token, std::move(done));
  outbox_.push_back(std::move(unit));
}

void Core::weigh(const std::shared_ptr<LaborRun>& run, Weight weight, const std::shared_ptr<Muster>& muster) {
  const Ticket ticket = next_ticket_++;
  auto ack = std::make_shared<Ack>();
  muster->expect();
  ack->completion().on_done([muster, ack = ack.get()] { muster->arrived(ack->closed()); });
  signals_.emplace(ticket, PendingSignal{std::move(ack), {}});
  step(run, input::Weighed{std::move(weight), ticket});
}

void Core::crisis_pause(Latch latch, const LatchReply& reply) {
  try {
    if (finished_) std::rethrow_exception(closed_error());
    require_room(latches_.in_force().size());
  } catch (...) {
    return reply({}, std::current_exception());
  }
  latch.id = Id::make(seams_.random);
  latch.since = seams_.clock->wall();
  auto& entry = latches_.add(std::move(latch));
  entry.durable = false;
  const auto set = entry.latch;
  const auto recorded = std::make_shared<Ack>();
  const auto settled = entry.settled;
  const auto muster = std::make_shared<Muster>([settled](bool closed) {
    if (settled->completion_.done()) return;  // it was lifted before
    settled->state_ = State::CRISIS_PAUSED;
    settled->applied_ = !closed;
    settled->closed_ = closed;
    settled->completion_.set();
  });
  // Its record comes before the states that follow from it. It is never given up: what it holds stays held meanwhile (D6).
  muster->expect();
  write_latch({to_record(*set)}, [this, id = set->id, muster, recorded](bool closed) {
    recorded->applied_ = !closed;
    recorded->closed_ = closed;
    if (auto* stored = latches_.find(id)) stored->durable = !closed;
    recorded->completion_.set();
    muster->arrived(closed);
  });
  for (const auto& [id, run] : runs_) {
    const auto& labor = run->machine.labor();
    if (has_ended(labor.state) || !matches(*set, labor)) continue;
    run->latches.push_back(set);
    // The one that was set first weighs already, where there is one; that this one waits for the same costs one more ticket.
    weigh(run, weight_of(*run->latches.front()), muster);
  }
  reply({set->id, recorded}, nullptr);
}

void Core::crisis_resume(const Id& id, const std::string& by, const std::string& note, const AckReply& reply) {
  auto* entry = latches_.find(id);
  try {
    if (finished_) std::rethrow_exception(closed_error());
    if (!entry) not_in_force(id, latches_.all());
    if (entry->lifting) throw NotFound("the crisis latch " + id.text() + " is being lifted already; it holds until that is stored");
  } catch (...) {
    return reply(nullptr, std::current_exception());
  }
  Latch lifted = *entry->latch;
  lifted.lifted = seams_.clock->wall();
  lifted.lifted_by = by;
  lifted.lifted_note = note;
  const auto outdated = latches_.take_outdated();
  entry->lifting = true;

  auto ack = std::make_shared<Ack>();
  const auto muster = std::make_shared<Muster>([ack](bool closed) {
    ack->applied_ = !closed;
    ack->closed_ = closed;
    ack->completion_.set();
  });
  muster->expect();
  // Nothing goes on before it is durable that it may: after a kill in between the latch holds, and nobody was told otherwise.
  write_latch(records_of_lift(lifted, outdated), [this, lifted, muster](bool closed) {
    if (!closed) release(lifted, muster);
    muster->arrived(closed);
  });
  reply(ack, nullptr);
}

void Core::release(const Latch& lifted, const std::shared_ptr<Muster>& muster) {
  if (const auto* entry = latches_.find(lifted.id); entry && !entry->settled->done()) entry->settled->completion_.set();
  latches_.lifted(lifted);
  for (const auto& [id, run] : runs_) {
    const bool weighed = !run->latches.empty() && run->latches.front()->id == lifted.id;
    if (std::erase_if(run->latches, [&](const auto& latch) { return latch->id == lifted.id; }) == 0 || !weighed) continue;
    if (has_ended(run->machine.labor().state)) continue;
    weigh(run, weight_of(run->latches.empty() ? lifted : *run->latches.front()), muster);
  }
}

std::shared_ptr<Ack> Core::settled(const Id& latch) {
  const auto* entry = latches_.find(latch);
  if (!entry) not_in_force(latch, latches_.all());
  return entry->settled;
}

std::vector<LatchStatus> Core::crises(bool lifted) const {
  std::vector<LatchStatus> found;
  if (lifted) {
    for (const auto& latch : latches_.lifted()) found.push_back({latch, true, false, 0, 0, 0, {}});
  }
  std::unordered_map<Id, std::size_t> places;
  for (const auto& entry : latches_.in_force()) {
    places.emplace(entry.latch->id, found.size());
    found.push_back({*entry.latch, entry.durable, entry.lifting, 0, 0, 0, {}});
  }
  for (const auto& [id, run] : runs_) {
    const auto& labor = run->machine.labor();
    if (has_ended(labor.state)) continue;
    for (const auto& latch : run->latches) {
      auto& status = found[places.at(latch->id)];
      ++status.labors;
      if (run->attempts.empty()) continue;
      status.attempts += run->attempts.size();
      ++status.executing_count;
      status.executing.push_back({id, labor.name, labor.state, run->attempts.size()});
    }
  }
  for (auto& status : found) {
    auto& executing = status.executing;
    const auto shown = std::min(executing.size(), kMostShown);
    std::partial_sort(executing.begin(), executing.begin() + static_cast<std::ptrdiff_t>(shown), executing.end(),
                      [](const auto& a, const auto& b) { return std::tie(a.name, a.labor) < std::tie(b.name, b.labor); });
    executing.resize(shown);
  }
  return found;
}

}  // namespace cogwork
