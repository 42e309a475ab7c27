#include "cogwork/engine/engine_event.h"

#include <string>

namespace cogwork {

EngineWho who_of(const Owner& owner) {
  std::string note;
  const auto add = [&note](const std::string& what) { note += (note.empty() || what.empty() ? "" : ", ") + what; };
  if (!owner.version.empty()) add("cogwork " + owner.version);
  add(owner.program);
  if (owner.pid > 0) add("pid " + std::to_string(owner.pid));
  if (!owner.host.empty()) add("on " + owner.host);
  return {Text(owner.user), Text(note)};
}

Change engine_change(EngineEvent event, const EngineWho& who, State state, Time at) {
  Change change;
  change.kind = Change::Kind::ENGINE;
  change.event = event;
  change.at = at;
  change.from = change.to = state;
  change.by = who.by;
  change.note = who.note;
  return change;
}

}  // namespace cogwork
