#include "cogwork/engine/take_up.h"

#include <set>

#include "cogwork/machine/labor_machine.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostNamed = 5;

std::vector<State> unfinished_states() {
  std::vector<State> states;
  for (int s = 0; s < kStates; ++s) {
    if (!has_ended(static_cast<State>(s))) states.push_back(static_cast<State>(s));
  }
  return states;
}

}  // namespace

std::string why_waiting(const Labor& labor, const CogRegistry& cogs) {
  std::set<std::string> unknown;
  Text known;  // the last that was found: neighbours mostly call the same Cog
  for (const auto& job : labor.jobs) {
    if (has_ended(job.state) && !job.is_check()) continue;
    if (job.cog_path == known) continue;
    if (cogs.find(job.cog_path)) {
      known = job.cog_path;
    } else {
      unknown.insert(job.cog_path.str());
    }
  }
  if (!unknown.empty()) {
    std::string text = unknown.size() == 1 ? "its cog is not known to this process: " : "its cogs are not known to this process: ";
    std::size_t named = 0;
    for (const auto& name : unknown) {
      if (named == kMostNamed) {
        text += ", ...";
        break;
      }
      text += (named++ ? ", '" : "'") + name + "'";
    }
    return text + "; import the module that defines " + (unknown.size() == 1 ? "it" : "them");
  }
  if (needs_decision(labor)) {
    return "an attempt was executing when its engine ended, and its cog is not declared idempotent: whether it may run again "
           "has to be decided by a person";
  }
  return {};
}

Unfinished read_unfinished(Storage& store, const CogRegistry& cogs) {
  Unfinished found;
  LaborFilter filter;
  filter.states = unfinished_states();
  std::vector<Id> ids;
  for (auto stream = store.labors(filter); auto labor = stream->next();) ids.push_back(labor->id);
  for (const auto& id : ids) {
    auto labor = store.read_labor(id, true);
    if (auto why = why_waiting(labor, cogs); !why.empty()) {
      found.waiting.push_back({id, labor.name, std::move(why)});
    } else {
      found.ready.push_back({std::move(labor), store.last_link(id)});
    }
  }
  return found;
}

}  // namespace cogwork
