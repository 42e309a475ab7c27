#include "cogwork/model/fault.h"

#include <algorithm>
#include <tuple>

#include "cogwork/model/validate.h"

namespace cogwork {
namespace {

using Where = Fault::Where;

bool is_below_sequence(const Fault& f) { return f.where == Where::SEQUENCE || f.where == Where::JOB; }

/// The index of what the fault's place is, or is in, in the list that folding goes along.
std::uint32_t item_of(const Fault& f) { return is_below_sequence(f) ? f.sequence : f.where == Where::TASK ? f.task : f.job; }

/// Faults of one key may be neighbours.
std::string key_of(const Fault& f) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(f.where)));
  if (f.where != Where::TASK) key += std::to_string(f.task);
  key += ' ';
  return key += f.message;
}

/// The order of the tree: a Task itself, its pre-checks, its continuous checks, then each Sequence before its Jobs.
auto tree_order(const Fault& f) {
  const auto or_first = [](bool is_item, std::uint32_t index) { return is_item ? std::int64_t{index} : -1; };
  const bool below = is_below_sequence(f);
  const int part = below ? 3 : f.where == Where::PRE_CHECK ? 1 : f.where == Where::CONT_CHECK ? 2 : 0;
  return std::tuple(f.message == FaultFolder::kMore, or_first(f.where != Where::LABOR, f.task), part, below ? f.sequence : f.job,
                    or_first(f.where == Where::JOB, f.job));
}

/// What S1 puts in brackets: the names of what the place goes through, those that have one.
std::string names_of(const Labor& labor, const Fault& f) {
  if (!f.names.empty() || f.where == Where::LABOR || f.task >= labor.tasks.size()) return f.names;
  std::string names;
  const auto add = [&names](std::string_view name) {
    if (name.empty()) return;
    if (!names.empty()) names += ", ";
    names += "'" + std::string(name) + "'";
  };
  const auto& task = labor.tasks[f.task];
  add(task.name);
  const auto add_job = [&](std::uint32_t index) {
    if (index < labor.jobs.size()) add(labor.jobs[index].name);
  };
  if (is_below_sequence(f)) {
    const auto index = task.first_sequence + f.sequence;
    if (f.sequence >= task.sequence_count || index >= labor.sequences.size()) return names;
    const auto& sequence = labor.sequences[index];
    add(sequence.target.empty() ? sequence.name : sequence.target);
    if (f.where == Where::JOB && f.job < sequence.job_count) add_job(sequence.first_job + f.job);
  } else if (f.where == Where::PRE_CHECK && f.job < task.pre_check_count) {
    add_job(task.first_job + f.job);
  } else if (f.where == Where::CONT_CHECK && f.job < task.cont_check_count) {
    add_job(task.first_job + task.pre_check_count + f.job);
  }
  return names;
}

}  // namespace

std::string place_of(const Fault& f) {
  if (f.where == Where::LABOR) return {};
  std::string place = "Task[" + std::to_string(f.task) + "]";
  if (is_below_sequence(f)) place += ".Sequence[" + std::to_string(f.sequence) + "]";
  if (f.where == Where::PRE_CHECK) place += ".PreCheck[" + std::to_string(f.job) + "]";
  if (f.where == Where::CONT_CHECK) place += ".ContCheck[" + std::to_string(f.job) + "]";
  if (f.where == Where::JOB) place += ".Job[" + std::to_string(f.job) + "]";
  return place;
}

void FaultFolder::add(Fault f) {
  if (f.count <= 1) f.last_item = item_of(f);
  const bool is_more = f.message == kMore;
  auto key = key_of(f);
  const auto found = last_.find(key);
  if (found != last_.end() && !is_more) {
    auto& before = into_[found->second];
    if (f.where == Where::LABOR || item_of(f) <= before.last_item + std::uint64_t{1}) {
      before.count += f.count;
      before.last_item = std::max(before.last_item, f.last_item);
      return;
    }
  }
  if (is_more || added_ == kMost) {
    if (more_ == SIZE_MAX) {
      more_ = into_.size();
      Fault more;
      more.message = kMore;
      more.count = 0;
      into_.push_back(std::move(more));
    }
    into_[more_].count += f.count;
    return;
  }
  ++added_;
  last_[std::move(key)] = into_.size();
  into_.push_back(std::move(f));
}

std::vector<Issue> to_issues(const Labor& labor, std::vector<Fault> faults) {
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return tree_order(a) < tree_order(b); });
  std::vector<Fault> folded;
  FaultFolder folder(folded);
  for (auto& fault : faults) folder.add(std::move(fault));
  std::vector<Issue> issues;
  issues.reserve(folded.size());
  for (auto& fault : folded) {
    if (fault.message == FaultFolder::kMore) {
      issues.push_back({{}, std::to_string(fault.count) + " more faults are not listed", 1});
      continue;
    }
    auto place = place_of(fault);
    if (const auto names = names_of(labor, fault); !names.empty()) place += " (" + names + ")";
    issues.push_back(
        {std::move(place), std::move(fault.message), static_cast<int>(std::min<std::uint32_t>(fault.count, INT32_MAX))});
  }
  return issues;
}

}  // namespace cogwork
