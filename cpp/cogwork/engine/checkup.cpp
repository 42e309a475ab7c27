#include "cogwork/engine/checkup.h"

#include <algorithm>
#include <set>

#include "cogwork/base/error.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/history/chain.h"
#include "cogwork/machine/invariants.h"

namespace cogwork {

Labor read_at(Storage& store, const Id& labor, Moment when) {
  auto account = store.read_account(labor);
  return tree_at(std::move(account.labor), account.history, when);
}

LaborCheckup check_labor(Storage& store, const Id& labor, bool tree, std::size_t most) {
  const auto account = store.read_account(labor);
  LaborCheckup checkup;
  checkup.labor = labor;
  checkup.name = account.labor.name;
  checkup.rows = account.history.size();
  for (const auto& row : account.history) checkup.changes += row.count;
  auto& findings = checkup.findings;
  findings = check_chain(account.history, most);
  if (findings.empty()) {  // else each would be told again by what follows from it
    try {
      findings = check_replay(account.labor, account.history, most);
    } catch (const StorageError& error) {
      findings.push_back({Finding::Kind::HISTORY, 0, never, 0, error.what()});
    }
  }
  if (tree) {
    for (auto& broken : broken_at_rest(account.labor)) {
      findings.push_back({Finding::Kind::TREE, 0, never, 0, "the tree breaks the rule " + std::move(broken)});
    }
  }
  if (findings.size() >= most) {
    findings.resize(most);
    checkup.cut = true;
  }
  return checkup;
}

std::vector<std::string> lost_records(Storage& store) {
  std::vector<std::string> lost;
  const auto is_there = [&store](const Id& labor) {
    try {
      store.read_labor(labor, false);
      return true;
    } catch (const NotFound&) {
      return false;
    }
  };
  for (const auto& record : store.records(RecordKind::CLIENT_ID)) {
    Id id;
    if (!record.value || record.value->size() < id.bytes.size()) {
      lost.push_back("the record of the client_id '" + record.key.str() + "' is damaged");
      continue;
    }
    std::copy_n(record.value->data(), id.bytes.size(), id.bytes.begin());
    if (!is_there(id))
      lost.push_back("the client_id '" + record.key.str() + "' belongs to the Labor " + id.text() + ", which is not there");
  }
  for (const auto& record : store.records(RecordKind::SIGNAL)) {
    const auto signal = from_record(record);
    if (!signal) {
      lost.push_back("the stored signal " + record.key.str() + " cannot be read");
    } else if (!is_there(signal->order.object.labor())) {
      lost.push_back("a stored signal is for the Labor " + signal->order.object.labor().text() + ", which is not there");
    }
  }
  return lost;
}

}  // namespace cogwork
