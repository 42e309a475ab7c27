#include "cogwork/cogs/process_tree.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <unordered_set>

namespace cogwork {

ProcessTree::ProcessTree(int leader, std::uint32_t started) : sessions_{{leader, started, false}} {}

bool ProcessTree::holds(int session) const {
  return std::ranges::any_of(sessions_, [&](const Session& one) { return one.number == session; });
}

/// A number is given out again when all of its session have gone; the process that has it now began later.
void ProcessTree::forget_reused(const ProcessTable& table) {
  std::erase_if(sessions_, [&](const Session& session) {
    const auto* leader = table.find(session.number);
    if (!leader) return false;
    return session.no_leader || (session.started != 0 && session.started != leader->started);
  });
}

void ProcessTree::update(const ProcessTable& table) {
  forget_reused(table);
  const int own = getsid(0);
  std::unordered_set<int> pids;
  for (bool found = true; found;) {
    found = false;
    members_.clear();
    pids.clear();
    for (const auto& row : table.rows()) {
      if (!holds(row.session)) continue;
      members_.push_back(row);
      pids.insert(row.pid);
    }
    for (const auto& row : table.rows()) {
      if (row.session <= 1 || row.session == own || holds(row.session) || !pids.contains(row.parent)) continue;
      const auto* leader = table.find(row.session);
      sessions_.push_back({row.session, leader ? leader->started : 0, leader == nullptr});
      found = true;
    }
  }
}

bool ProcessTree::may_run(int fd) const {
  return std::ranges::any_of(sessions_, [&](const Session& session) { return number_in_use(fd, session.number); });
}

bool ProcessTree::runs(int fd) const {
  if (!members_.empty()) return std::ranges::any_of(members_, &ProcessRow::runs);
  return may_run(fd);
}

void ProcessTree::signal(int number) const {
  std::set<int> groups;
  for (const auto& row : members_) {
    if (row.runs()) groups.insert(row.group);
  }
  if (members_.empty()) {
    for (const auto& session : sessions_) groups.insert(session.number);
  }
  for (const int group : groups) {
    if (group > 1) kill(-group, number);
  }
}

std::vector<std::string> ProcessTree::names() const {
  std::set<std::string> names;
  for (const auto& row : members_) {
    if (row.runs()) names.insert(row.name.data());
  }
  return {names.begin(), names.end()};
}

}  // namespace cogwork
