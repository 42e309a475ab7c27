#include "cogwork/engine/stored_signal.h"

#include <algorithm>
#include <charconv>

#include "cogwork/base/error.h"
#include "cogwork/machine/held.h"
#include "cogwork/machine/signal_rules.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

State state_of(Storage& store, const Id& object) {
  if (object.ordinal() == 0) return store.read_labor(object, false).state;
  try {
    return store.read_task(object).state;
  } catch (const NotFound&) {
  }
  try {
    return store.read_sequence(object).state;
  } catch (const NotFound&) {
    throw NotFound("no Labor, Task or Sequence has the id " + object.text() + " in " + store.name());
  }
}

/// One row behind the Labor's last, for a change that no engine makes.
void append(Storage& store, const Id& labor, Change change) {
  HistoryRow row;
  row.first = store.last_change() + 1;
  row.count = 1;
  row.labor = labor;
  row.at = change.at;
  change.number = row.first;
  change.labor = labor;
  row.changes = pack_changes({change});
  row.link = chain_link(store.last_link(labor), row);
  Batch batch;
  batch.history.push_back(std::move(row));
  store.apply(batch);
}

void put(Storage& store, const StoredSignal& signal) {
  auto random = Random::from_system();
  const auto before = store.records(RecordKind::SIGNAL);
  Batch batch;
  batch.records.push_back(to_record(signal, random, before.empty() ? std::string_view() : before.back().key.view()));
  store.apply(batch);
}

}  // namespace

Record to_record(const StoredSignal& signal, Random& random, std::string_view after) {
  const auto& order = signal.order;
  WireWriter w;
  w.map(8)
      .id("object", order.object)
      .integer("signal", signal.start || signal.decision != Decision::NONE ? -1 : static_cast<int>(order.signal))
      .boolean("interrupt", order.interrupt)
      .boolean("start", signal.start)
      .text("decision", name_of(signal.decision))
      .text("by", order.by)
      .text("note", order.note)
      .integer("at", to_micros(signal.at));
  std::int64_t last = 0;
  std::from_chars(after.data(), after.data() + after.size(), last);
  auto digits = std::to_string(std::max(to_micros(signal.at), last + 1));
  digits.insert(0, digits.size() < 20 ? 20 - digits.size() : 0, '0');
  return {RecordKind::SIGNAL, Text(digits + "-" + std::to_string(random.next())), Text(w.take())};
}

std::optional<StoredSignal> from_record(const Record& record) {
  if (!record.value) return std::nullopt;
  StoredSignal signal;
  signal.key = record.key;
  WireReader reader(record.value->view());
  const auto pairs = reader.map();
  if (!pairs) return std::nullopt;
  std::optional<Id> object;
  std::int64_t number = -1;
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader.text();
    if (!key) return std::nullopt;
    if (*key == "object") {
      object = Id::parse(reader.text().value_or(""));
    } else if (*key == "signal") {
      number = reader.integer().value_or(-1);
    } else if (*key == "interrupt") {
      signal.order.interrupt = reader.boolean().value_or(false);
    } else if (*key == "start") {
      signal.start = reader.boolean().value_or(false);
    } else if (*key == "decision") {
      signal.decision = decision_of(reader.text().value_or(""));
    } else if (*key == "by") {
      signal.order.by = reader.text().value_or("");
    } else if (*key == "note") {
      signal.order.note = reader.text().value_or("");
    } else if (*key == "at") {
      signal.at = from_micros(reader.integer().value_or(0));
    } else {
      reader.value();
    }
    if (!reader.ok()) return std::nullopt;
  }
  const bool is_signal = !signal.start && signal.decision == Decision::NONE;
  if (!object || (is_signal && (number < 0 || number >= kSignals))) return std::nullopt;
  signal.order.object = *object;
  if (is_signal) signal.order.signal = static_cast<Signal>(number);
  return signal;
}

bool store_signal(Storage& store, const StoredSignal& signal, Owner owner, Clock& clock) {
  const auto& order = signal.order;
  owner.brief = true;
  const auto lock = store.lock(owner);
  const auto id = order.object.labor();
  const auto labor = store.read_labor(id, false);
  const auto state = state_of(store, order.object);
  if (has_ended(labor.state)) {
    if (signal.start) {
      throw SignalNotAllowed("cannot start a Labor that is " + std::string(name_of(labor.state)) +
                                 "; it has ended: submit a new one (as_new() makes a copy)",
                             -1, static_cast<int>(labor.state));
    }
    append(store, id, refused(order, state, clock.wall()));
    if (order.object.ordinal() == 0) {
      throw SignalNotAllowed(refusal(order.signal, state, nullptr), static_cast<int>(order.signal), static_cast<int>(state));
    }
    return false;
  }
  put(store, signal);
  return true;
}

void store_decision(Storage& store, const StoredSignal& decision, Owner owner, Clock& clock) {
  owner.brief = true;
  const auto lock = store.lock(owner);
  const auto order = decision_order(decision);
  const auto job = store.read_job(order.job, false);
  if (!awaits_decision(job)) {
    append(store, order.job.labor(), refused(order, job.state, clock.wall()));
    throw SignalNotAllowed(decision_refusal(store.read_labor(order.job.labor(), true), job, order.decision), -1,
                           static_cast<int>(job.state));
  }
  put(store, decision);
}

DecisionOrder decision_order(const StoredSignal& decision) {
  return {decision.order.object, decision.decision, decision.order.by, decision.order.note};
}

Change refused(const DecisionOrder& order, State state, Time at) {
  Change change;
  change.kind = Change::Kind::DECISION;
  change.at = at;
  change.ordinal = order.job.ordinal();
  change.from = change.to = state;
  change.decision = order.decision;
  change.refused = true;
  change.by = Text(order.by);
  change.note = Text(order.note);
  return change;
}

Change refused(const SignalOrder& order, State state, Time at) {
  Change change;
  change.kind = Change::Kind::SIGNAL;
  change.at = at;
  change.ordinal = order.object.ordinal();
  change.from = change.to = state;
  change.signal = order.signal;
  change.refused = true;
  change.interrupt = order.interrupt;
  change.by = Text(order.by);
  change.note = Text(order.note);
  return change;
}

}  // namespace cogwork
