#include "cogwork/engine/take_up.h"

#include <algorithm>
#include <map>
#include <set>

#include "cogwork/base/error.h"
#include "cogwork/machine/held.h"
#include "cogwork/machine/invariants.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostNamed = 5;
constexpr int kUsualConcurrency = 16;  // until its hello says how many

std::vector<State> unfinished_states() {
  std::vector<State> states;
  for (int s = 0; s < kStates; ++s) {
    if (!has_ended(static_cast<State>(s))) states.push_back(static_cast<State>(s));
  }
  return states;
}

/// Gives the core those stored signals whose Labors go on, now or later, and returns the others.
std::vector<StoredSignal> hand_out(Core& core, const std::vector<Record>& records, const Unfinished& unfinished) {
  if (records.empty()) return {};
  std::set<Id> going_on;
  for (const auto& found : unfinished.ready) going_on.insert(found.labor.id);
  for (const auto& waiting : unfinished.waiting) going_on.insert(waiting.labor);
  std::vector<StoredSignal> late;
  for (const auto& record : records) {
    auto signal = from_record(record);
    if (!signal) continue;  // of a newer version: left as it is
    if (going_on.contains(signal->order.object.labor())) {
      core.add_stored(std::move(*signal));
    } else {
      late.push_back(std::move(*signal));
    }
  }
  return late;
}

/// Its Labor has ended, or is gone: recorded as refused (G9), where there is a history to record it in.
void refuse(Core& core, Storage& store, const StoredSignal& signal) {
  const auto id = signal.order.object.labor();
  try {
    const auto labor = store.read_labor(id, false);
    if (signal.decision != Decision::NONE) {
      const auto state = store.read_job(signal.order.object, false).state;
      core.record_refused(id, refused(decision_order(signal), state, never), end_of_chain(store, id));
    } else if (!signal.start)
      core.record_refused(id, refused(signal.order, labor.state, never), end_of_chain(store, id));
  } catch (const NotFound&) {
  }
  core.drop_stored(signal);
}

/// A program that was loaded when the Labor was submitted is known where it still is: it is started when it is called. Empty, or why not.
std::string know_program(const Text& name, const Text& origin, CogRegistry& cogs, const std::string& python) {
  const auto path = cogs.program_of(name);
  CogInfo info;
  try {
    info.origin = find_program(path->program, python).origin + (path->cog.empty() ? "" : ":" + path->cog);
  } catch (const Error& error) {
    return error.what();
  }
  if (info.origin != origin)
    return "is " + info.origin + " here, and was " + origin.str() + "; open the engine in the folder that its path starts from";
  const auto options = cogs.pool_options(path->program);
  info.name = name.str();
  info.kind = CogKind::PROCESS;
  info.program = path->program;
  info.places = options.processes * (options.concurrency > 0 ? options.concurrency : kUsualConcurrency);

  cogs.add_program(std::move(info));
  return {};
}

bool may_still_run(const Labor& labor, const Job& job) {
  if (has_ended(labor.tasks[job.task].state)) return false;
  return job.is_check() || (!has_ended(job.state) && !has_ended(labor.sequences[job.sequence].state));
}

/// R4: the args of what may still run, looked at again as submitting did. Empty where all fit; else which do not, and why.
std::string why_args_do_not_fit(const Labor& labor, const CogRegistry& cogs) {
  std::map<std::string, std::vector<const Job*>, std::less<>> calls;
  for (const auto& job : labor.jobs) {
    if (!may_still_run(labor, job)) continue;
    auto found = calls.find(job.cog_path.view());
    if (found == calls.end()) found = calls.emplace(job.cog_path.str(), std::vector<const Job*>()).first;
    found->second.push_back(&job);
  }
  for (const auto& [cog, jobs] : calls) {
    std::vector<std::string_view> args;
    args.reserve(jobs.size());
    for (const auto* job : jobs) args.push_back(job->args.view());
    const auto misfits = cogs.misfits(cog, args);
    if (misfits.empty()) continue;
    const auto count = misfits.size();
    return "its cog '" + cog + "' does not take the args any more of " + (count == 1 ? "a Job" : std::to_string(count) + " Jobs") +
           ": '" + full_name(labor, *jobs[misfits[0].place]) + "': " + misfits[0].why +
           "; register a version of the cog that takes them, or stop the Labor";
  }
  return {};
}

}  // namespace

std::vector<std::pair<Text, Text>> origins_of(const Labor& labor, const CogRegistry& cogs) {
  std::map<Text, Text> origins;
  const Text* last = nullptr;  // neighbours mostly call the same Cog
  for (const auto& job : labor.jobs) {
    if (last && *last == job.cog_path) continue;
    last = &job.cog_path;
    if (origins.contains(job.cog_path)) continue;
    const auto cog = cogs.find(job.cog_path);
    origins.emplace(job.cog_path, cog ? Text(cog->origin) : Text());
  }
  return {origins.begin(), origins.end()};
}

std::string why_waiting(const Labor& labor, CogRegistry& cogs, const std::string& python) {
  std::vector<std::string> unknown;
  for (const auto& [name, origin] : labor.cogs) {
    if (cogs.program_of(name) && !cogs.find(name)) {
      if (auto why = know_program(name, origin, cogs, python); !why.empty()) return "its cog '" + name.str() + "' " + why;
    }
    const auto cog = cogs.find(name);
    if (!cog) {
      unknown.push_back("'" + name.str() + "' (" + origin.str() + ")");
    } else if (origin != cog->origin) {
      unknown.push_back("'" + name.str() + "' of " + origin.str() + " (here that name is " + cog->origin + ")");
    }
  }
  if (!unknown.empty()) {
    std::string text = unknown.size() == 1 ? "its cog is not known to this process: " : "its cogs are not known to this process: ";
    for (std::size_t i = 0; i < unknown.size() && i <= kMostNamed; ++i) {
      text += (i ? ", " : "") + (i == kMostNamed ? std::string("...") : unknown[i]);
    }
    return text + "; import the module that defines " + (unknown.size() == 1 ? "it" : "them");
  }
  return why_args_do_not_fit(labor, cogs);
}

ChainEnd end_of_chain(Storage& store, const Id& labor) { return {store.last_link(labor), store.last_time(labor)}; }

std::string damage_of(const Labor& labor) {
  const auto broken = broken_at_rest(labor);
  if (broken.empty()) return {};
  return "it is stored in a state that no engine leaves (" + broken.front() +
         (broken.size() > 1 ? ", and " + std::to_string(broken.size() - 1) + " more" : "") +
         "); the file was edited or is damaged: restore a copy, or submit what is left of it anew";
}

Unfinished::Found find_unfinished(Storage& store, const Id& labor, CogRegistry& cogs, const std::string& python) {
  Unfinished::Found found;
  try {
    found.labor = store.read_labor(labor, true);
    found.end = end_of_chain(store, labor);
    found.why = damage_of(found.labor);
  } catch (const StorageError& error) {
    if (error.temporary()) throw;
    found.why = error.what();
  } catch (const NotFound& error) {  // its row has no id, or was removed
    found.why = error.what();
  }
  if (found.why.empty()) found.why = why_waiting(found.labor, cogs, python);
  return found;
}

Unfinished leave_unfinished(Storage& store) {
  Unfinished found;
  LaborFilter filter;
  filter.states = unfinished_states();
  for (auto stream = store.labors(filter); auto labor = stream->next();) {
    found.waiting.push_back({labor->id, labor->name,
                             "this engine was opened for other Labors; it leaves this one until it is told to take it up", true});
  }
  return found;
}

Unfinished read_unfinished(Storage& store, CogRegistry& cogs, const std::string& python) {
  Unfinished found;
  LaborFilter filter;
  filter.states = unfinished_states();
  std::vector<std::pair<Id, Text>> labors;
  for (auto stream = store.labors(filter); auto labor = stream->next();) labors.emplace_back(labor->id, labor->name);
  for (auto& [id, name] : labors) {
    auto one = find_unfinished(store, id, cogs, python);
    if (one.why.empty()) {
      found.ready.push_back(std::move(one));
    } else {
      found.waiting.push_back({id, std::move(name), std::move(one.why)});
    }
  }
  return found;
}

std::vector<Id> open_core(Core& core, Storage& store, CogRegistry& cogs, const EngineOptions& options) {
  for (const auto& record : store.records(RecordKind::CLIENT_ID)) {
    if (!record.value || record.value->size() < 16) continue;
    Id id;
    std::copy_n(record.value->data(), 16, id.bytes.begin());
    core.remember_client(record.key, id, Text(record.value->view().substr(16)));
  }
  for (const auto& latch : read_latches(store)) core.add_latch(latch);
  std::vector<Id> taken_up;
  if (!options.recover && !options.recover_later) return taken_up;
  auto unfinished = options.recover ? read_unfinished(store, cogs, options.python) : leave_unfinished(store);
  std::vector<StoredSignal> late = hand_out(core, store.records(RecordKind::SIGNAL), unfinished);
  for (auto& found : unfinished.ready) {
    taken_up.push_back(found.labor.id);
    core.take_up(std::move(found.labor), found.end);
  }
  core.set_waiting(std::move(unfinished.waiting));
  for (const auto& signal : late) refuse(core, store, signal);
  return taken_up;
}

}  // namespace cogwork
