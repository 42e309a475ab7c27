// What an engine is asked. The core answers for what runs here; for all else the store does, on the caller's thread.
#include <map>

#include "cogwork/base/error.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/not_here.h"
#include "cogwork/engine/stored.h"
#include "cogwork/engine/take_up.h"

namespace cogwork {

Stored stored(EngineParts& parts, const Id& object, bool jobs_too) {
  auto& store = *parts.store;
  Stored found;
  try {
    found.labor = store.read_labor(object.labor(), false);
    if (object.ordinal() == 0) {
      found.state = found.labor.state;
      return found;
    }
    try {
      found.state = store.read_task(object).state;
    } catch (const NotFound&) {
      try {
        found.state = store.read_sequence(object).state;
      } catch (const NotFound&) {
        if (!jobs_too) throw;
        found.state = store.read_job(object, false).state;
      }
    }
  } catch (const NotFound&) {
    throw NotFound("no Labor, Task or Sequence has the id " + object.text() + " in " + store.name());
  }
  return found;
}

Job stored_job(EngineParts& parts, const Id& id) {
  try {
    return parts.store->read_job(id, false);
  } catch (const NotFound&) {
  }
  try {
    stored(parts, id);
  } catch (const NotFound&) {
    throw NotFound("no Job has the id " + id.text() + " in " + parts.store->name());
  }
  throw NotFound("the id " + id.text() + " is no Job's; what is decided about is a held Job");
}

void require_labor(const EngineParts& parts, const Id& id) {
  if (id.ordinal() != 0) throw NotFound("the id " + id.text() + " is not a Labor's in " + parts.store->name());
}

std::string why_not_running(EngineParts& parts, const Id& labor) {
  for (const auto& w : parts.ask([](const Core& c) { return c.waiting(); })) {
    if (w.labor == labor) return "it waits: " + w.why;
  }
  return "this engine was opened without taking up what was unfinished (recover=\"none\")";
}

// ---- questions ----

State EngineHandle::state(const Id& object) {
  if (const auto state = parts_->ask([&](const Core& core) { return core.state(object); })) return *state;
  return stored(*parts_, object, true).state;
}

std::shared_ptr<LaborEnd> EngineHandle::end_of(const Id& labor) {
  require_labor(*parts_, labor);
  if (auto end = parts_->ask([&](const Core& core) { return core.end_of(labor); })) return end;
  const auto found = stored(*parts_, labor.labor());
  auto end = std::make_shared<LaborEnd>();
  if (!has_ended(found.labor.state)) {
    throw SignalNotAllowed("Labor " + labor.text() + " is not running in this engine: " + why_not_running(*parts_, labor), -1,
                           static_cast<int>(found.labor.state));
  }
  end->completion_.set();
  return end;
}

Progress EngineHandle::progress(const Id& labor) {
  StoreHealth health;
  auto running = parts_->ask([&](const Core& core) {
    health = parts_->committer->health();
    return parts_->progress(core, labor);
  });
  if (running) return std::move(*running);
  auto progress = stored_progress(*parts_->store, labor);
  if (has_ended(progress.state)) return progress;
  progress.unattended = why_not_running(*parts_, labor);
  parts_->add_trouble(progress, health);
  return progress;
}

Id EngineHandle::find_task(const Id& parent, const std::string& name) {
  std::string choices;
  const auto found = parts_->ask([&](const Core& core) { return core.find_named(parent, name, choices); });
  if (!found) return find_stored(*parts_->store, parent, name);
  if (found->is_nil()) not_called(parent, name, choices);
  return *found;
}

std::unique_ptr<ChangeFeed> EngineHandle::changes(const Id& labor, std::optional<std::uint64_t> since) {
  // Between asking whether it runs and opening the feed, its end must not pass unseen: both at once, on the scheduler thread.
  auto feed = parts_->ask([&](const Core& core) -> std::unique_ptr<ChangeFeed> {
    if (labor.is_nil()) return parts_->feeds->open(labor, since, false);
    const auto end = core.end_of(labor.labor());
    return end ? parts_->feeds->open(labor.labor(), since, end->completion().done()) : nullptr;
  });
  if (feed) return feed;
  return parts_->feeds->open(labor.labor(), since, has_ended(stored(*parts_, labor.labor()).labor.state));
}

std::unique_ptr<LogFeed> EngineHandle::logs(const Id& labor, std::optional<std::uint64_t> since) {
  require_labor(*parts_, labor);
  auto log = parts_->ask([&](Core& core) { return core.log_of(labor); });
  if (!log) {
    stored(*parts_, labor);
    log = std::make_shared<LaborLog>(std::make_shared<LogRoom>());
    log->close();
  }
  return std::make_unique<LogFeed>(std::move(log), since);
}

Stats EngineHandle::stats() {
  return parts_->ask([this](const Core& core) { return parts_->stats(core); });
}

std::shared_ptr<Ack> EngineHandle::latch_settled(const Id& latch) {
  return parts_->ask([&](Core& core) { return core.settled(latch); });
}

std::vector<LatchStatus> EngineHandle::crises(bool lifted) {
  return parts_->ask([lifted](const Core& core) { return core.crises(lifted); });
}

bool EngineHandle::in_crisis() const { return parts_->core.in_crisis(); }
const EngineOptions& EngineHandle::options() const { return parts_->options; }

// ---- Labors that wait (R4) ----

void EngineHandle::recheck_waiting() {
  const auto waiting = parts_->ask([](Core& core) { return core.waiting(); });
  if (waiting.empty()) return;
  std::vector<Unfinished::Found> ready;
  std::map<Id, std::string> why_now;
  for (const auto& w : waiting) {
    if (w.later) continue;
    auto found = find_unfinished(*parts_->store, w.labor, *parts_->cogs, parts_->options.python);
    if (found.why.empty()) {
      ready.push_back(std::move(found));
    } else {
      why_now.emplace(w.labor, std::move(found.why));
    }
  }
  parts_->ask([&](Core& core) {
    for (auto& found : ready) {
      // Another thread may have been here first, and the Labor may have ended since.
      if (core.stop_waiting(found.labor.id)) core.take_up(std::move(found.labor), found.end);
    }
    auto still = core.waiting();
    for (auto& w : still) {
      if (auto why = why_now.find(w.labor); why != why_now.end()) w.why = why->second;
    }
    core.set_waiting(std::move(still));
  });
}

std::string EngineHandle::take_up(const Id& labor) {
  require_labor(*parts_, labor);
  const auto knows = [&](const Core& core) { return core.knows(labor); };
  if (parts_->ask(knows)) return {};
  const auto state = stored(*parts_, labor).labor.state;
  if (has_ended(state)) {
    throw SignalNotAllowed("cannot take up a Labor that is " + std::string(name_of(state)) + "; it has ended", -1,
                           static_cast<int>(state));
  }
  auto found = find_unfinished(*parts_->store, labor, *parts_->cogs, parts_->options.python);
  const bool here = parts_->ask([&](Core& core) {
    if (!found.why.empty()) return core.still_waits(labor, found.why);
    if (core.stop_waiting(labor)) core.take_up(std::move(found.labor), found.end);
    return core.knows(labor);
  });
  // It may have been taken up, and have ended, meanwhile.
  if (here || parts_->ask(knows) || has_ended(stored(*parts_, labor).state)) return found.why;
  throw SignalNotAllowed("cannot take it up: " + why_not_running(*parts_, labor), -1, static_cast<int>(state));
}

}  // namespace cogwork
