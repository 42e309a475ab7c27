#include "cogwork/model/validate.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <tuple>
#include <unordered_map>

namespace cogwork {
namespace {

// A share in billionths, so that "0.1%" of a thousand is one and not nearly one.
constexpr std::int64_t kWhole = 100'000'000'000;  // 100% with nine decimals

/// "10%", "2.5 %" as billionths of a percent; nothing where it is no share between 0% and 100%.
std::optional<std::int64_t> parse_share(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  if (text.empty() || text.back() != '%') return std::nullopt;
  text.remove_suffix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::int64_t value = 0;
  int digits = 0, decimals = -1;
  for (const char c : text) {
    if (c == '.' && decimals < 0) {
      decimals = 0;
      continue;
    }
    if (!std::isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    if (decimals >= 9 || ++digits > 15) return std::nullopt;
    value = value * 10 + (c - '0');
    if (decimals >= 0) ++decimals;
  }
  if (digits == 0) return std::nullopt;
  for (int d = std::max(decimals, 0); d < 9; ++d) {
    if (value > kWhole) return std::nullopt;
    value *= 10;
  }
  if (value > kWhole) return std::nullopt;
  return value;
}

std::int64_t share_of(std::int64_t share, std::uint32_t count) {
  // Rounds down (X4a). In two parts, since share * count may pass 64 bits.
  const std::int64_t n = count;
  return share / kWhole * n + static_cast<std::int64_t>(static_cast<unsigned __int128>(share % kWhole) * static_cast<unsigned __int128>(n) / static_cast<unsigned __int128>(kWhole));
}

bool has_space(std::string_view word) {
  return std::any_of(word.begin(), word.end(), [](char c) { return std::isspace(static_cast<unsigned char>(c)); });
}

class Validator {
 public:
  Validator(const Labor& labor, const CogLookup& cogs, std::vector<Fault>& faults) : l_(labor), cogs_(cogs), faults_(faults) {}

  void run() {
    for (const auto& tag : l_.tags) {
      if (tag.empty() || has_space(tag)) fault("tags: '" + tag.str() + "' is not one word");
    }
    if (l_.tasks.empty()) fault("it has no Task; a Labor needs at least one");
    for (std::uint32_t t = 0; t < l_.tasks.size(); ++t) task(t);
  }

 private:
  void fault(std::string message) {
    place_.message = std::move(message);
    faults_.push_back(place_);
  }

  void task(std::uint32_t index) {
    const auto& t = l_.tasks[index];
    place_ = {};
    place_.where = Fault::Where::TASK;
    place_.task = index;
    if (t.sequence_count == 0) fault("it has no Sequence; a Task needs at least one");
    if (t.concurrency.share.empty()) {
      if (t.concurrency.number < 1) fault("concurrency: must be 1 or more, is " + std::to_string(t.concurrency.number));
    } else if (!parse_share(t.concurrency.share)) {
      fault("concurrency: '" + t.concurrency.share.str() + "' is no share between \"0%\" and \"100%\"");
    }
    if (t.tolerated_failures.share.empty()) {
      if (t.tolerated_failures.number < -1) {
        fault("tolerated_failures: must be 0 or more, or -1 for no limit, is " + std::to_string(t.tolerated_failures.number));
      }
    } else if (!parse_share(t.tolerated_failures.share)) {
      fault("tolerated_failures: '" + t.tolerated_failures.share.str() + "' is no share between \"0%\" and \"100%\"");
    }
    if (t.cont_check_interval.count() <= 0) fault("cont_check_interval: must be longer than 0");
    if (t.bake.count() < 0) fault("bake: must not be negative");
    if (t.entry_delay.count() < 0) fault("entry_delay: must not be negative");
    for (std::uint32_t c = 0; c < t.check_count(); ++c) {
      const bool pre = c < t.pre_check_count;
      place_.where = pre ? Fault::Where::PRE_CHECK : Fault::Where::CONT_CHECK;
      place_.job = pre ? c : c - t.pre_check_count;
      job(l_.jobs[t.first_job + c]);
    }
    for (std::uint32_t s = 0; s < t.sequence_count; ++s) {
      const auto& sequence = l_.sequences[t.first_sequence + s];
      place_.where = Fault::Where::SEQUENCE;
      place_.sequence = s;
      if (sequence.target.empty()) fault("it has no target");
      if (sequence.job_count == 0) fault("it has no Job; a Sequence needs at least one");
      place_.where = Fault::Where::JOB;
      for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
        place_.job = j;
        job(l_.jobs[sequence.first_job + j]);
      }
    }
  }

  void job(const Job& j) {
    if (j.cog_path.empty()) {
      fault("it has no cog_path");
    } else if (const auto& unknown = unknown_cog(j.cog_path); !unknown.empty()) {
      fault(unknown);
    }
    const auto& o = j.options;
    const auto given = [](Duration d) { return d.count() != kNotGiven; };
    if (given(o.timeout) && o.timeout.count() <= 0) fault("timeout: must be longer than 0");
    if (given(o.retry_delay) && o.retry_delay.count() < 0) fault("retry_delay: must not be negative");
    if (given(o.retry_max_delay) && o.retry_max_delay.count() < 0) fault("retry_max_delay: must not be negative");
  }

  /// Empty where the Cog loads; else what to say of it. Each name is looked up once.
  const std::string& unknown_cog(const Text& name) {
    if (last_ && last_->first == name) return last_->second;
    auto [it, fresh] = looked_up_.try_emplace(name);
    if (fresh && !cogs_.defaults(name)) it->second = "cog '" + name.str() + "' is not registered" + cogs_.suggestion(name);
    last_ = &*it;
    return it->second;
  }

  const Labor& l_;
  const CogLookup& cogs_;
  std::vector<Fault>& faults_;
  Fault place_;
  std::unordered_map<Text, std::string> looked_up_;
  const std::pair<const Text, std::string>* last_ = nullptr;
};

template <typename T>
void fill(T& value, T unset, T from_cog, T otherwise) {
  if (value != unset) return;
  value = from_cog != unset ? from_cog : otherwise;
}

std::string quoted(const Labor& l, const Fault& f) {
  if (f.where == Fault::Where::LABOR || f.task >= l.tasks.size()) return {};
  const auto& task = l.tasks[f.task];
  std::string names = "'" + task.name.str() + "'";
  if ((f.where == Fault::Where::SEQUENCE || f.where == Fault::Where::JOB) && f.sequence < task.sequence_count) {
    names += ", '" + l.sequences[task.first_sequence + f.sequence].target.str() + "'";
  }
  return " (" + names + ")";
}

std::string place_text(const Labor& l, const Fault& f) {
  if (f.where == Fault::Where::LABOR) return {};
  std::string place = "Task[" + std::to_string(f.task) + "]";
  switch (f.where) {
    case Fault::Where::PRE_CHECK: place += ".PreCheck[" + std::to_string(f.job) + "]"; break;
    case Fault::Where::CONT_CHECK: place += ".ContCheck[" + std::to_string(f.job) + "]"; break;
    case Fault::Where::SEQUENCE: place += ".Sequence[" + std::to_string(f.sequence) + "]"; break;
    case Fault::Where::JOB: place += ".Sequence[" + std::to_string(f.sequence) + "].Job[" + std::to_string(f.job) + "]"; break;
    case Fault::Where::LABOR:
    case Fault::Where::TASK: break;
  }
  return place + quoted(l, f);
}

/// The order of the tree: a Task itself, its pre-checks, its continuous checks, then each Sequence before its Jobs.
auto tree_order(const Fault& f) {
  const bool below = f.where == Fault::Where::SEQUENCE || f.where == Fault::Where::JOB;
  const int part = f.where == Fault::Where::LABOR || f.where == Fault::Where::TASK ? 0
                   : f.where == Fault::Where::PRE_CHECK                           ? 1
                   : f.where == Fault::Where::CONT_CHECK                          ? 2
                                                                                  : 3;
  return std::tuple(f.where == Fault::Where::LABOR ? -1 : static_cast<std::int64_t>(f.task), part, below ? f.sequence : f.job,
                    below ? (f.where == Fault::Where::SEQUENCE ? -1 : static_cast<std::int64_t>(f.job)) : 0);
}

}  // namespace

void validate(const Labor& labor, const CogLookup& cogs, std::vector<Fault>& faults) { Validator(labor, cogs, faults).run(); }

void complete(Labor& labor, const CogLookup& cogs) {
  for (auto& task : labor.tasks) {
    if (const auto share = parse_share(task.concurrency.share)) {
      task.concurrency.number = std::max<std::int64_t>(1, share_of(*share, task.sequence_count));
    }
    if (const auto share = parse_share(task.tolerated_failures.share)) {
      task.tolerated_failures.number = share_of(*share, task.sequence_count);
    }
  }
  Text last;
  const CogDefaults* cog = nullptr;
  static const CogDefaults kNone;
  for (auto& job : labor.jobs) {
    if (job.cog_path != last || !cog) {
      last = job.cog_path;
      cog = cogs.defaults(last);
      if (!cog) cog = &kNone;
    }
    auto& o = job.options;
    const auto& d = cog->options;
    fill(o.timeout, Duration(kNotGiven), d.timeout, Duration(std::chrono::minutes(5)));
    fill(o.retry_delay, Duration(kNotGiven), d.retry_delay, Duration(0));
    if (o.retry_max_delay.count() == kNotGiven) o.retry_max_delay = d.retry_max_delay;
    if (o.retry_backoff < 0) o.retry_backoff = d.retry_backoff < 0 ? 1 : d.retry_backoff;
    if (o.retries < 0) o.retries = d.retries < 0 ? 0 : d.retries;
    if (o.on_interrupt >= 0) continue;
    // R2: checks, and Cogs that are declared idempotent, are simply run again.
    if (job.is_check() || cog->idempotent) {
      o.on_interrupt = static_cast<std::int8_t>(OnInterrupt::RETRY);
    } else {
      o.on_interrupt = d.on_interrupt >= 0 ? d.on_interrupt : static_cast<std::int8_t>(OnInterrupt::HOLD);
    }
  }
  number_tree(labor);
}

std::vector<Issue> to_issues(const Labor& labor, std::vector<Fault> faults) {
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return tree_order(a) < tree_order(b); });
  std::vector<Issue> issues;
  // Neighbours: the same fault at the same level of the same Task, in consecutive items of it. Several faults of one item
  // take turns, so each (level, message) remembers its own last.
  struct Seen {
    std::size_t issue;
    std::uint64_t item;
  };
  std::unordered_map<std::string, Seen> seen;
  for (auto& f : faults) {
    const bool below = f.where == Fault::Where::SEQUENCE || f.where == Fault::Where::JOB;
    const std::uint64_t item = below ? f.sequence : f.where == Fault::Where::TASK ? f.task : f.job;
    std::string key = std::to_string(static_cast<int>(f.where)) + "/";
    if (f.where != Fault::Where::TASK) key += std::to_string(f.task);
    key += "/" + f.message;
    const auto found = f.where == Fault::Where::LABOR ? seen.end() : seen.find(key);
    if (found != seen.end() && item <= found->second.item + 1) {
      ++issues[found->second.issue].count;
      found->second.item = item;
      continue;
    }
    issues.push_back({place_text(labor, f), f.message, 1});
    seen[std::move(key)] = {issues.size() - 1, item};
  }
  return issues;
}

}  // namespace cogwork
