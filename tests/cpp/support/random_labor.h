#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "cogwork/base/random.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// How large a random Labor may grow, and how much has happened to it.
struct Sizes {
  std::uint32_t tasks = 3;      ///< At most; at least one.
  std::uint32_t sequences = 6;  ///< Of each Task.
  std::uint32_t jobs = 3;       ///< Of each Sequence.
  std::uint32_t checks = 2;     ///< Of each kind, of each Task. May be none.
  /// With states, times, attempts and holds, as a store may hold them. They fit their types, not the rules: what a machine
  /// could not have brought about may occur. Without, it is a Labor as it may be submitted, with an id.
  bool results = false;
};

/// The Cogs that the Jobs of random Labors call.
inline const std::vector<std::string> kRandomCogs = {"upgrade", "reboot", "healthy", "module.sub:drain", "größe"};

/// The seed of a random test: COGWORK_SEED where it is set, to repeat a failure, else one of the system's.
inline std::uint64_t test_seed() {
  const char* given = std::getenv("COGWORK_SEED");  // NOLINT: tests have set no variables yet
  return given ? std::strtoull(given, nullptr, 10) : Random::from_system().next();
}

namespace detail {

class LaborMaker {
 public:
  LaborMaker(Random& random, const Sizes& sizes) : r_(random), sizes_(sizes) {}

  Labor make() {
    Labor l;
    l.id = Id::make(r_);
    l.name = words();
    l.desc = words();
    if (r_.chance(0.3)) l.client_id = "client-" + std::to_string(r_.below(1000));
    if (r_.chance(0.5)) l.real_user = "alice";
    for (auto n = r_.below(3); n > 0; --n) l.provenance.emplace_back(Text("key " + std::to_string(n)), words());
    for (auto n = r_.below(4); n > 0; --n) l.tags.push_back(pick({"edge", "core", "straße", "x"}));
    if (sizes_.results) {
      for (auto n = r_.below(3); n > 0; --n) l.cogs.emplace_back(kRandomCogs[n], Text("module:" + std::to_string(n)));
      l.submitted = time();
      result(l);
      l.reason = reason();
      l.holds = holds();
    }
    for (auto n = 1 + r_.below(sizes_.tasks); n > 0; --n) task(l);
    number_tree(l);
    return l;
  }

 private:
  Text pick(const std::vector<std::string>& from) { return Text(from[r_.below(from.size())]); }
  Text words() {
    static const std::vector<std::string> kWords = {"",        "edge upgrade 2.1",    "rest", "Kante – 縁", "a\nb\t'c'",
                                                    "🙂 ok", std::string(300, 'n'), "x"};
    return pick(kWords);
  }
  Duration duration(std::int64_t least) {
    switch (r_.below(4)) {
      case 0: return std::chrono::seconds(least + static_cast<std::int64_t>(r_.below(100)));
      case 1: return std::chrono::days(1 + r_.below(10000));
      case 2: return Duration(least + static_cast<std::int64_t>(r_.below(1'000'000)));
      default: return Duration(least + static_cast<std::int64_t>(r_.below(1'000'000'000'000)));
    }
  }
  /// Never the epoch, which stands for "never".
  Time time() {
    switch (r_.below(4)) {
      case 0: return from_micros(1'750'000'000'000'000);
      case 1: return from_micros(-1 - static_cast<std::int64_t>(r_.below(1'000'000'000'000'000)));
      case 2: return from_micros(17'179'869'184'000'000 + static_cast<std::int64_t>(r_.below(10'000'000)) - 5'000'000);
      default: return from_micros(1'700'000'000'000'000 + static_cast<std::int64_t>(r_.below(100'000'000'000'000)));
    }
  }
  Reason reason() { return static_cast<Reason>(r_.below(4)); }
  template <typename Row>
  void result(Row& row) {
    row.state = static_cast<State>(r_.below(kStates));
    if (r_.chance(0.7)) row.started = time();
    if (r_.chance(0.5)) row.ended = time();
  }
  Holds holds() {
    Holds found;
    for (int rank = 1; rank <= 3; ++rank) {
      if (r_.chance(0.15)) found.push_back({static_cast<Rank>(rank), time(), pick({"", "alice"}), words()});
    }
    return found;
  }
  /// A msgpack value of some depth.
  std::string value(int depth) {
    switch (r_.below(depth > 0 ? 9 : 6)) {
      case 0: return "\xc0";
      case 1: return "\xc3";
      case 2: return std::string(1, static_cast<char>(r_.below(128)));
      case 3: return std::string("\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18", 9);
      case 4:
        return "\xa5"
               "h\xc3\xb6"
               "he";  // four letters, five bytes
      case 5: return std::string("\xc4\x03\x00\xff\x80", 5);
      case 6: return std::string("\x92", 1) + value(depth - 1) + value(depth - 1);
      case 7: return args(depth - 1);
      default: return std::string("\xd7\xff\x00\x00\x00\x00\x65\x92\x00\x80", 10);  // a time
    }
  }
  std::string args(int depth) {
    const auto n = r_.below(4);
    std::string out(1, static_cast<char>(0x80 | n));
    for (std::uint64_t i = 0; i < n; ++i) out += std::string("\xa1", 1) + static_cast<char>('a' + i) + value(depth);
    return out;
  }
  Amount amount(std::int64_t least) {
    Amount a{least + static_cast<std::int64_t>(r_.below(10)), {}};
    if (r_.chance(0.3)) a.share = pick({"0%", "10%", "2.5%", "100%", "33.333 %"});
    return a;
  }

  Job job(JobKind kind) {
    Job j;
    j.kind = kind;
    j.task = static_cast<std::uint32_t>(labor_->tasks.size() - 1);
    j.sequence = kind == JobKind::WORK ? static_cast<std::uint32_t>(labor_->sequences.size() - 1) : Job::kNoSequence;
    j.name = words();
    j.desc = words();
    j.cog_path = pick(kRandomCogs);
    j.args = Text(args(3));
    auto& o = j.options;
    if (r_.chance(0.5)) o.timeout = duration(1);
    if (r_.chance(0.5)) o.retries = static_cast<std::int32_t>(r_.below(5));
    if (r_.chance(0.3)) o.retry_delay = duration(0);
    if (r_.chance(0.3)) o.retry_max_delay = duration(0);
    if (r_.chance(0.3)) o.retry_backoff = 1 + r_.unit();
    if (r_.chance(0.3)) o.on_interrupt = static_cast<std::int8_t>(r_.below(3));
    if (!sizes_.results) return j;
    static constexpr State kStatesOfJobs[] = {State::NOT_STARTED, State::RUNNING, State::COMPLETED, State::FAILED, State::STOPPED};
    result(j);
    j.state = kStatesOfJobs[r_.below(5)];
    j.held = r_.chance(0.1);
    if (j.is_check()) j.rounds = static_cast<std::uint32_t>(r_.below(100'000));
    for (auto n = r_.below(4); n > 0; --n) {
      Attempt a;
      a.number = static_cast<std::uint32_t>(j.attempts.size() + 1);
      if (j.is_check()) a.round = 1 + static_cast<std::uint32_t>(r_.below(20));
      a.started = time();
      a.status = static_cast<AttemptStatus>(r_.below(9));
      if (!a.open()) a.ended = time();
      if (r_.chance(0.1)) a.decision = static_cast<Decision>(r_.below(kDecisions));
      a.marks = static_cast<std::uint8_t>(r_.below(8));
      if (r_.chance(0.5)) a.output = Text(value(3));
      if (r_.chance(0.4)) a.error = "Traceback (most recent call last):\n  ValueError: größe\n" + words().str();
      if (r_.chance(0.2)) a.log = "12:00:00 INFO copying\n";
      j.attempts.push_back(std::move(a));
    }
    return j;
  }

  void task(Labor& l) {
    labor_ = &l;
    l.tasks.emplace_back();
    const auto index = l.tasks.size() - 1;
    Task t;
    t.first_job = static_cast<std::uint32_t>(l.jobs.size());
    t.first_sequence = static_cast<std::uint32_t>(l.sequences.size());
    t.pre_check_count = static_cast<std::uint32_t>(r_.below(sizes_.checks + 1));
    t.cont_check_count = static_cast<std::uint32_t>(r_.below(sizes_.checks + 1));
    t.sequence_count = static_cast<std::uint32_t>(1 + r_.below(sizes_.sequences));
    t.name = words();
    t.desc = words();
    t.strict = r_.chance(0.3);
    t.pass_failures = r_.chance(0.3);
    t.pause_on_entry = r_.chance(0.1);
    t.concurrency = amount(1);
    t.tolerated_failures = amount(-1);
    if (r_.chance(0.5)) t.cont_check_interval = duration(1);
    if (r_.chance(0.5)) t.bake = duration(0);
    if (r_.chance(0.2)) t.entry_delay = duration(0);
    for (std::uint32_t i = 0; i < t.pre_check_count; ++i) l.jobs.push_back(job(JobKind::PRE_CHECK));
    for (std::uint32_t i = 0; i < t.cont_check_count; ++i) l.jobs.push_back(job(JobKind::CONT_CHECK));
    for (std::uint32_t i = 0; i < t.sequence_count; ++i) {
      l.sequences.emplace_back();
      Sequence s;
      s.task = static_cast<std::uint32_t>(index);
      s.first_job = static_cast<std::uint32_t>(l.jobs.size());
      s.job_count = static_cast<std::uint32_t>(1 + r_.below(sizes_.jobs));
      s.target = "edge-" + std::to_string(i);
      s.name = words();
      s.desc = words();
      if (sizes_.results) {
        result(s);
        s.reason = reason();
        s.holds = holds();
      }
      for (std::uint32_t n = 0; n < s.job_count; ++n) l.jobs.push_back(job(JobKind::WORK));
      l.sequences.back() = std::move(s);
    }
    if (sizes_.results) {
      result(t);
      t.reason = reason();
      t.holds = holds();
      t.failures = static_cast<std::uint32_t>(r_.below(10));
    }
    l.tasks[index] = std::move(t);
  }

  Random& r_;
  const Sizes& sizes_;
  Labor* labor_ = nullptr;
};

}  // namespace detail

/// A Labor in which anything that may differ does: valid (S2, ids aside), its tables in order, numbered. The same seed gives the
/// same Labor.
inline Labor random_labor(Random& random, const Sizes& sizes = {}) { return detail::LaborMaker(random, sizes).make(); }

}  // namespace cogwork
