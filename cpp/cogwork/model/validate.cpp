#include "cogwork/model/validate.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

// Shares are kept in billionths of a percent, so that "0.1%" of a thousand is one and not nearly one (X4a).
constexpr std::uint64_t kPercent = 1'000'000'000;
constexpr std::uint64_t kWhole = 100 * kPercent;

/// "10%", "2.5 %" in billionths of a percent; nothing where it is no share between 0% and 100%.
std::optional<std::uint64_t> parse_share(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!text.ends_with('%')) return std::nullopt;
  text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  const auto point = std::min(text.find('.'), text.size());
  const auto whole = text.substr(0, point);
  auto decimals = text.substr(std::min(point + 1, text.size()));
  if (whole.empty() || !std::all_of(whole.begin(), whole.end(), is_digit)) return std::nullopt;
  if (point < text.size() && (decimals.empty() || !std::all_of(decimals.begin(), decimals.end(), is_digit))) return std::nullopt;
  while (decimals.ends_with('0')) decimals.remove_suffix(1);
  if (decimals.size() > 9) return std::nullopt;

  std::uint64_t value = 0;
  for (const char c : whole) {
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
    if (value > 100) return std::nullopt;
  }
  value *= kPercent;
  auto worth = kPercent;
  for (const char c : decimals) value += static_cast<std::uint64_t>(c - '0') * (worth /= 10);
  return value > kWhole ? std::nullopt : std::optional(value);
}

/// That share of `count`, rounded down, exactly: in two steps, since the product may pass 64 bits.
std::int64_t share_of(std::uint64_t share, std::uint32_t count) {
  const std::uint64_t n = count;
  const auto percents = share / kPercent * n + share % kPercent * n / kPercent;
  return static_cast<std::int64_t>(percents / 100);
}

/// Whether a tag is one word: it has a letter, and no white space of any script.
bool is_one_word(std::string_view tag) {
  static constexpr std::string_view kSpaces[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                                 "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                                 "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  const auto is_ascii_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f'); };
  return !tag.empty() && std::none_of(tag.begin(), tag.end(), is_ascii_space) &&
         std::none_of(std::begin(kSpaces), std::end(kSpaces),
                      [tag](auto space) { return tag.find(space) != std::string_view::npos; });
}

class Validator {
 public:
  Validator(const Labor& labor, const CogLookup& cogs, std::vector<Fault>& faults) : l_(labor), cogs_(cogs), folder_(faults) {}

  void run() {
    if (!l_.id.is_nil()) fault("id: is set already; ids are given at submit (as_new() makes a copy)");
    fresh(l_.state, l_.reason);
    for (const auto& tag : l_.tags) {
      if (!is_one_word(tag)) fault("tags: " + quote(tag) + " is not one word");
    }
    if (l_.tasks.empty()) fault("has no Tasks; a Labor needs at least one");
    for (std::uint32_t t = 0; t < l_.tasks.size(); ++t) task(t);
  }

 private:
  void fault(std::string message) {
    Fault f = place_;
    f.message = std::move(message);
    folder_.add(std::move(f));
  }

  /// S2. What came as a document was asked this when it was read.
  void fresh(State state, Reason reason = Reason::NO_FAILURE) {
    if (state != State::NOT_STARTED)
      fault("state: is " + std::string(name_of(state)) + "; only what is NOT_STARTED can be submitted");
    if (reason != Reason::NO_FAILURE)
      fault("reason: is " + std::string(name_of(reason)) + "; only what has not failed can be submitted");
  }

  void amount(std::string_view field, const Amount& a, std::int64_t least, std::string_view rule) {
    if (a.share.empty()) {
      if (a.number < least) fault(std::string(field) + ": must be " + std::string(rule) + ", is " + std::to_string(a.number));
    } else if (!parse_share(a.share)) {
      fault(std::string(field) + ": " + quote(a.share) + " is no share from \"0%\" to \"100%\"");
    }
  }

  void longer_than_0(std::string_view field, Duration d) {
    if (d.count() <= 0) fault(std::string(field) + ": must be longer than 0, is " + seconds(d));
  }
  void not_negative(std::string_view field, Duration d) {
    if (d.count() < 0) fault(std::string(field) + ": must not be negative, is " + seconds(d));
  }
  static std::string seconds(Duration d) { return short_number(static_cast<double>(d.count()) / 1e6) + " s"; }

  void task(std::uint32_t index) {
    const auto& t = l_.tasks[index];
    place_ = {};
    place_.where = Fault::Where::TASK;
    place_.task = index;
    fresh(t.state, t.reason);
    if (t.sequence_count == 0) fault("has no Sequences; a Task needs at least one");
    amount("concurrency", t.concurrency, 1, "1 or more");
    amount("tolerated_failures", t.tolerated_failures, -1, "0 or more, or -1 for no limit");
    longer_than_0("cont_check_interval", t.cont_check_interval);
    not_negative("bake", t.bake);
    not_negative("entry_delay", t.entry_delay);
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
      fresh(sequence.state, sequence.reason);
      if (sequence.target.empty()) fault("has no target");
      if (sequence.job_count == 0) fault("has no Jobs; a Sequence needs at least one");
      place_.where = Fault::Where::JOB;
      for (std::uint32_t j = 0; j < sequence.job_count; ++j) {
        place_.job = j;
        job(l_.jobs[sequence.first_job + j]);
      }
    }
  }

  void job(const Job& j) {
    fresh(j.state);
    if (j.cog_path.empty()) {
      fault("has no cog_path");
    } else if (const auto& cog = look_up(j.cog_path); !cog.unknown.empty()) {
      fault(cog.unknown);
    } else if (cog.checks_args) {
      if (auto problem = cogs_.args_problem(j.cog_path, j.args, l_.real_user); !problem.empty()) fault(std::move(problem));
    }
    const auto& o = j.options;
    const auto given = [](Duration d) { return d.count() != kNotGiven; };
    if (given(o.timeout)) longer_than_0("timeout", o.timeout);
    if (given(o.retry_delay)) not_negative("retry_delay", o.retry_delay);
    if (given(o.retry_max_delay)) not_negative("retry_max_delay", o.retry_max_delay);
    if (o.retry_backoff >= 0 && o.retry_backoff < 1) fault("retry_backoff: must be 1 or more, is " + short_number(o.retry_backoff));
  }

  struct LookedUp {
    std::string unknown;  ///< Empty where the Cog loads; else what to say of it.
    bool checks_args = false;
  };
  /// Each name is looked up once.
  const LookedUp& look_up(const Text& name) {
    if (last_ && last_->first == name) return last_->second;
    auto [it, fresh] = looked_up_.try_emplace(name);
    if (fresh) {
      if (!cogs_.defaults(name)) it->second.unknown = "cog " + quote(name) + " " + cogs_.why_unknown(name);
      it->second.checks_args = cogs_.checks_args(name);
    }
    last_ = &*it;
    return it->second;
  }

  const Labor& l_;
  const CogLookup& cogs_;
  FaultFolder folder_;
  Fault place_;
  std::unordered_map<Text, LookedUp> looked_up_;
  const std::pair<const Text, LookedUp>* last_ = nullptr;
};

template <typename T>
void fill(T& value, T unset, T from_cog, T otherwise) {
  if (value != unset) return;
  value = from_cog != unset ? from_cog : otherwise;
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
    // R2. What the Job says, else what its Cog says, else: what may simply be run again is.
    if (o.on_interrupt < 0) o.on_interrupt = d.on_interrupt;
    if (o.on_interrupt < 0) {
      o.on_interrupt = static_cast<std::int8_t>(job.is_check() || cog->idempotent ? OnInterrupt::RETRY : OnInterrupt::HOLD);
    }
  }
  number_tree(labor);
}

}  // namespace cogwork
