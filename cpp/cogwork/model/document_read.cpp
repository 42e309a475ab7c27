// Reading documents: of what users submit, collecting every fault with its place; of what cogwork itself wrote, where the first
// fault ends it.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "cogwork/base/error.h"
#include "cogwork/base/suggest.h"
#include "cogwork/model/document.h"
#include "cogwork/model/outcome.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

using Type = WireReader::Type;
using Where = Fault::Where;

constexpr std::size_t kLongestText = std::size_t{64} << 10;
constexpr std::size_t kLongestDescription = std::size_t{1} << 20;
constexpr std::size_t kMostArgs = std::size_t{256} << 20;  // no store takes a value of a gigabyte
constexpr std::string_view kEmptyMap = "\x80";

// clang-format off
enum class Field : std::uint8_t {
  ID, NAME, DESC, STATE, REASON, STARTED, ENDED, HOLDS,
  CLIENT_ID, REAL_USER, TAGS, SUBMITTED, COGS, PROVENANCE, TASKS,
  PRE_CHECKS, CONT_CHECKS, SEQUENCES, CONCURRENCY, TOLERATED_FAILURES, CONCURRENCY_NUMBER, TOLERATED_NUMBER, STRICT,
  PASS_FAILURES, CONT_CHECK_INTERVAL, BAKE, PAUSE_ON_ENTRY, ENTRY_DELAY, FAILURES,
  TARGET, JOBS,
  COG_PATH, ARGS, TIMEOUT, RETRIES, RETRY_DELAY, RETRY_BACKOFF, RETRY_MAX_DELAY, ON_INTERRUPT, HELD, ROUNDS, ATTEMPTS, OUTPUT,
  NUMBER, ROUND, STATUS, CUT, REPR, STILL_RUNNING, ERROR, LOG, VERSION, DECISION,
  RANK, SINCE, BY, NOTE,
  STATES, NAME_PREFIX, NAME_SUFFIX, TARGETS, SUBMIT_BEGIN, SUBMIT_END, NEWEST_FIRST, LIMIT
};
// clang-format on

struct KnownField {
  std::string_view name;
  Field field;
};

// The fields of each kind of object. In the order in which they are usually written, which is where they are looked for first.
constexpr KnownField kLaborFields[] = {
    {"name", Field::NAME},
    {"tasks", Field::TASKS},
    {"tags", Field::TAGS},
    {"desc", Field::DESC},
    {"id", Field::ID},
    {"state", Field::STATE},
    {"reason", Field::REASON},
    {"submitted", Field::SUBMITTED},
    {"started", Field::STARTED},
    {"ended", Field::ENDED},
    {"client_id", Field::CLIENT_ID},
    {"real_user", Field::REAL_USER},
    {"holds", Field::HOLDS},
    {"cogs", Field::COGS},
    {"provenance", Field::PROVENANCE},
};
constexpr KnownField kTaskFields[] = {
    {"id", Field::ID},
    {"name", Field::NAME},
    {"sequences", Field::SEQUENCES},
    {"pre_checks", Field::PRE_CHECKS},
    {"cont_checks", Field::CONT_CHECKS},
    {"concurrency", Field::CONCURRENCY},
    {"concurrency_number", Field::CONCURRENCY_NUMBER},
    {"tolerated_failures", Field::TOLERATED_FAILURES},
    {"tolerated_number", Field::TOLERATED_NUMBER},
    {"strict", Field::STRICT},
    {"pass_failures", Field::PASS_FAILURES},
    {"cont_check_interval", Field::CONT_CHECK_INTERVAL},
    {"bake", Field::BAKE},
    {"pause_on_entry", Field::PAUSE_ON_ENTRY},
    {"entry_delay", Field::ENTRY_DELAY},
    {"desc", Field::DESC},
    {"state", Field::STATE},
    {"reason", Field::REASON},
    {"started", Field::STARTED},
    {"ended", Field::ENDED},
    {"failures", Field::FAILURES},
    {"holds", Field::HOLDS},
};
constexpr KnownField kSequenceFields[] = {
    {"id", Field::ID},       {"target", Field::TARGET}, {"jobs", Field::JOBS},     {"name", Field::NAME},
    {"desc", Field::DESC},   {"state", Field::STATE},   {"reason", Field::REASON}, {"started", Field::STARTED},
    {"ended", Field::ENDED}, {"holds", Field::HOLDS},
};
constexpr KnownField kJobFields[] = {
    {"id", Field::ID},
    {"cog_path", Field::COG_PATH},
    {"args", Field::ARGS},
    {"name", Field::NAME},
    {"desc", Field::DESC},
    {"timeout", Field::TIMEOUT},
    {"retries", Field::RETRIES},
    {"retry_delay", Field::RETRY_DELAY},
    {"retry_backoff", Field::RETRY_BACKOFF},
    {"retry_max_delay", Field::RETRY_MAX_DELAY},
    {"on_interrupt", Field::ON_INTERRUPT},
    {"state", Field::STATE},
    {"reason", Field::REASON},
    {"held", Field::HELD},
    {"rounds", Field::ROUNDS},
    {"started", Field::STARTED},
    {"ended", Field::ENDED},
    {"attempts", Field::ATTEMPTS},
    {"output", Field::OUTPUT},
};
constexpr KnownField kAttemptFields[] = {
    {"number", Field::NUMBER},     {"round", Field::ROUND},   {"started", Field::STARTED}, {"ended", Field::ENDED},
    {"status", Field::STATUS},     {"output", Field::OUTPUT}, {"error", Field::ERROR},     {"log", Field::LOG},
    {"version", Field::VERSION},   {"cut", Field::CUT},       {"repr", Field::REPR},       {"still_running", Field::STILL_RUNNING},
    {"decision", Field::DECISION},
};
constexpr KnownField kHoldFields[] = {{"rank", Field::RANK}, {"since", Field::SINCE}, {"by", Field::BY}, {"note", Field::NOTE}};
constexpr KnownField kFilterFields[] = {
    {"states", Field::STATES},
    {"name_prefix", Field::NAME_PREFIX},
    {"name_suffix", Field::NAME_SUFFIX},
    {"tags", Field::TAGS},
    {"targets", Field::TARGETS},
    {"cogs", Field::COGS},
    {"submit_begin", Field::SUBMIT_BEGIN},
    {"submit_end", Field::SUBMIT_END},
    {"newest_first", Field::NEWEST_FIRST},
    {"limit", Field::LIMIT},
};

/// The texts of one field, where equal ones share (see Text). Most are equal to the one before; where few are equal to any,
/// looking for an equal one is given up.
class SharedTexts {
 public:
  Text operator()(std::string_view s) {
    if (last_ == s) return last_;
    if (given_up_) return Text(s);
    last_ = intern_(s);
    ++tried_;
    given_up_ = tried_ % 1024 == 0 && intern_.size() > tried_ / 2;
    return last_;
  }

 private:
  Text last_;
  Interner intern_;
  std::size_t tried_ = 0;
  bool given_up_ = false;
};

class DocumentReader {
 public:
  enum class Of : std::uint8_t {
    USER,   ///< A tree to be submitted: faults are collected.
    STORE,  ///< What cogwork wrote: a fault throws StorageError.
    FILTER  ///< A question: a fault throws Error.
  };

  DocumentReader(std::string_view bytes, Of of, std::vector<Fault>* faults = nullptr) : in_(bytes), of_(of) {
    if (faults) folder_.emplace(*faults);
  }

  Labor labor() {
    Labor labor;
    object("a Labor", kLaborFields, [&](Field field, std::string_view name) { labor_field(labor, field, name); });
    end();
    return labor;
  }
  Task task(Id& id) {
    Labor around;
    read_task(around);
    end();
    id = own_id(around.tasks.front().ordinal);
    return std::move(around.tasks.front());
  }
  Sequence sequence(Id& id) {
    Labor around;
    around.tasks.emplace_back();
    read_sequence(around);
    end();
    id = own_id(around.sequences.front().ordinal);
    return std::move(around.sequences.front());
  }
  Job job(Id& id) {
    Job job;
    read_job(job);
    end();
    id = own_id(job.ordinal);
    return job;
  }
  std::vector<Attempt> attempts_alone() {
    auto found = attempts();
    end();
    return found;
  }
  Holds holds_alone() {
    auto found = holds();
    end();
    return found;
  }
  LaborFilter filter();

  /// The id that was read first, whose Labor all others must have.
  const Id& first_id() const { return first_id_; }

 private:
  bool of_user() const { return of_ == Of::USER; }
  /// Of an object alone: the first id may be that of something below it.
  Id own_id(std::uint32_t ordinal) const { return first_id_.is_nil() ? Id{} : first_id_.with_ordinal(ordinal); }

  // ---- faults ----

  void fault(std::string message) {
    if (of_user()) {
      Fault f = place_;
      f.message = std::move(message);
      return folder_->add(std::move(f));
    }
    if (of_ == Of::FILTER) throw Error("LaborFilter: " + message);
    const auto place = place_of(place_);
    throw StorageError("a stored document is damaged: " + (place.empty() ? "" : place + ": ") + message, false);
  }
  void fault(std::string_view field, std::string_view message) { fault(std::string(field) + ": " + std::string(message)); }

  /// The value that follows is not what it should be: says so, and passes over it.
  void wrong(std::string_view field, std::string_view expected) {
    if (in_.peek() == Type::BROKEN) return broken();
    fault(field, "expected " + std::string(expected) + ", got " + in_.describe());
    pass(field);
  }
  /// There is nothing to read on from. Said once.
  void broken() {
    const auto at = in_.position();
    in_.fail();
    if (std::exchange(broken_, true)) return;
    fault("the document is cut off, or no msgpack, at byte " + std::to_string(at));
  }
  std::string_view pass(std::string_view field) {
    const auto before = in_;
    const auto span = in_.value(WireReader::kDeepestRead);
    if (in_.ok()) return span;
    if (std::exchange(broken_, true)) return {};
    fault(field, "cut off, no msgpack, text that is not UTF-8, or nested more than " + std::to_string(WireReader::kDeepestRead) +
                     " levels deep; it begins at byte " + std::to_string(before.position()));
    return {};
  }
  void end() {
    if (in_.ok() && !in_.at_end()) fault("there are " + std::to_string(in_.left()) + " bytes behind the end of the document");
  }

  // ---- shapes ----

  /// Calls `field` for each field that is there and not nil; it must read the value.
  template <typename F>
  void object(std::string_view what, std::span<const KnownField> known, F field) {
    const auto count = in_.map();
    if (!count) return wrong(what, "a mapping from field names to values");
    std::uint32_t seen = 0;
    std::size_t next = 0;
    for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) {
      const auto name = in_.text();
      if (!name) {
        wrong(what, "the name of a field");
        pass(what);
        continue;
      }
      auto at = next;
      while (at < known.size() && known[at].name != *name) ++at;
      if (at == known.size()) {
        at = 0;
        while (at < next && known[at].name != *name) ++at;
        if (at == next) {
          unknown(what, *name, known);
          continue;
        }
      }
      next = at + 1;
      const auto bit = std::uint32_t{1} << at;
      if (seen & bit) {
        fault(*name, "is given twice");
        pass(*name);
        continue;
      }
      seen |= bit;
      // Of an output, None is a value: what the Cog answered.
      if (known[at].field == Field::OUTPUT || !in_.nil()) field(known[at].field, known[at].name);
    }
    if (!in_.ok()) broken();
  }

  void unknown(std::string_view what, std::string_view name, std::span<const KnownField> known) {
    if (of_ != Of::STORE) {  // what a newer version stored beside is not ours to judge
      std::vector<std::string_view> names;
      for (const auto& k : known) names.push_back(k.name);
      fault(std::string(what) + " has no field " + quote(is_utf8(name) ? name : "(not UTF-8)") + did_you_mean(name, names));
    }
    pass("a field");
  }

  /// Calls `item` for each item of a list; it must read the value.
  template <typename F>
  void list(std::string_view field, std::string_view expected, F item) {
    const auto count = in_.array();
    if (!count) return wrong(field, expected);
    for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) item(i);
  }

  template <typename Row>
  void make_room(std::vector<Row>& rows, std::uint32_t more) {
    // A Sequence or Job of use takes 16 bytes at least: memory is not reserved for a list that claims more.
    const auto wanted = rows.size() + std::min<std::size_t>(more, in_.left() / 16);
    if (wanted > rows.capacity()) rows.reserve(std::max(wanted, 2 * rows.capacity()));
  }

  /// Ordinals have 32 bits.
  void count_object() {
    if (++objects_ != UINT32_MAX) return;
    fault("a Labor has at most " + std::to_string(UINT32_MAX - 1) + " Tasks, Sequences and Jobs");
    broken_ = true;
    in_.fail();
  }

  // ---- values ----

  std::optional<std::string_view> checked_text(std::string_view field, std::size_t most = kLongestText) {
    const auto value = in_.text();
    if (!value) return wrong(field, "text"), std::nullopt;
    if (value->size() > most) {
      return fault(field, "the text has " + std::to_string(value->size()) + " bytes; it may have " + std::to_string(most)),
             std::nullopt;
    }
    if (!is_utf8(*value)) return fault(field, "the text is not UTF-8"), std::nullopt;
    if (value->find('\0') != std::string_view::npos) return fault(field, "the text holds a NUL character"), std::nullopt;
    return value;
  }
  Text text(std::string_view field) {
    const auto value = checked_text(field);
    return value ? Text(*value) : Text();
  }
  Text shared(std::string_view field, SharedTexts& texts, std::size_t most = kLongestText) {
    const auto value = checked_text(field, most);
    return value ? texts(*value) : Text();
  }
  /// What a Cog or a person said - errors, logs, notes: as it is.
  Text raw_text(std::string_view field) {
    if (const auto value = in_.text()) return is_utf8(*value) ? Text(*value) : Text(repair_utf8(*value));
    return wrong(field, "text"), Text();
  }
  bool boolean(std::string_view field) {
    if (const auto value = in_.boolean()) return *value;
    return wrong(field, "True or False"), false;
  }
  /// Without a value where it is none, or out of range.
  std::optional<std::int64_t> integer(std::string_view field, std::int64_t least, std::int64_t most) {
    const auto before = in_;
    auto value = in_.integer();
    if (!value && in_.peek() == Type::FLOAT) {  // 3.0 is a whole number to whoever wrote it
      const auto number = *in_.number();
      if (number == std::floor(number) && std::abs(number) < 9e15) value = static_cast<std::int64_t>(number);
    }
    if (value && *value >= least && *value <= most) return value;
    if (value) {
      std::string range = " is not in " + std::to_string(least) + " to " + std::to_string(most);
      if (*value < least) range = " is below " + std::to_string(least);
      if (*value > most) range = " is above " + std::to_string(most);
      return fault(field, std::to_string(*value) + range), std::nullopt;
    }
    in_ = before;
    return wrong(field, "a whole number"), std::nullopt;
  }
  std::uint32_t count(std::string_view field) { return static_cast<std::uint32_t>(integer(field, 0, UINT32_MAX).value_or(0)); }

  /// `otherwise` where it cannot be read; what its size means is for validate() to judge.
  Duration duration(std::string_view field, Duration otherwise) {
    const auto before = in_;
    std::optional<Duration> value;
    if (const auto words = in_.text()) {
      value = parse_duration(*words);
    } else if (const auto seconds = in_.number()) {
      value = duration_of(*seconds);
      if (!value) return fault(field, short_number(*seconds) + " seconds are no duration that can be kept"), otherwise;
    }
    if (value) return *value;
    in_ = before;
    return wrong(field, "a number of seconds or a timedelta"), otherwise;
  }
  Time time(std::string_view field) {
    if (const auto value = in_.timestamp()) return *value;
    return wrong(field, "a time"), never;
  }
  Id id(std::string_view field) {
    const auto before = in_;
    if (const auto words = in_.text()) {
      if (words->empty()) return {};  // not given
      if (const auto value = parse_id(*words)) {
        if (first_id_.is_nil()) first_id_ = *value;
        return *value;
      }
      in_ = before;
    }
    return wrong(field, "an id"), Id{};
  }
  /// The ids of one Labor differ in their last eight digits, so most of each is known already.
  std::optional<Id> parse_id(std::string_view words) {
    constexpr std::size_t kPrefix = 28;
    if (words.size() == 36 && words.substr(0, kPrefix) == id_prefix_) {
      std::uint32_t ordinal = 0;
      const auto [end, error] = std::from_chars(words.data() + kPrefix, words.data() + words.size(), ordinal, 16);
      if (error == std::errc() && end == words.data() + words.size()) return id_.with_ordinal(ordinal);
    }
    const auto id = Id::parse(words);
    if (id) {
      id_ = *id;
      id_prefix_ = words.substr(0, kPrefix);
    }
    return id;
  }
  Amount amount(std::string_view field, Amount otherwise) {
    if (in_.peek() == Type::TEXT) {
      otherwise.share = text(field);
    } else if (in_.peek() == Type::INT || in_.peek() == Type::FLOAT) {
      otherwise.number = integer(field, INT64_MIN, INT64_MAX).value_or(otherwise.number);
    } else {
      wrong(field, "a whole number or a share such as \"10%\"");
    }
    return otherwise;
  }
  State state(std::string_view field) {
    return static_cast<State>(integer(field, 0, kStates - 1).value_or(static_cast<int>(State::NOT_STARTED)));
  }
  Reason reason(std::string_view field) {
    return static_cast<Reason>(integer(field, 0, static_cast<int>(Reason::MAX_FAILURES)).value_or(0));
  }
  double backoff(std::string_view field) {
    if (in_.peek() != Type::INT && in_.peek() != Type::FLOAT) return wrong(field, "a number"), -1;
    const auto value = *in_.number();
    if (value >= 0 && std::isfinite(value)) return value;  // validate() asks for 1; below zero would mean "not given"
    return fault(field, "must be 1 or more, is " + short_number(value)), -1;
  }
  std::int8_t on_interrupt(std::string_view field) {
    const auto before = in_;
    if (in_.peek() == Type::INT) return static_cast<std::int8_t>(integer(field, 0, 2).value_or(-1));
    if (const auto word = in_.text()) {
      const auto same = [](char a, char b) { return a == (b >= 'a' && b <= 'z' ? b - 'a' + 'A' : b); };
      for (std::int8_t i = 0; i < 3; ++i) {
        const auto name = name_of(static_cast<OnInterrupt>(i));
        if (std::equal(name.begin(), name.end(), word->begin(), word->end(), same)) return i;
      }
      in_ = before;
    }
    return wrong(field, "RETRY, FAIL or HOLD"), std::int8_t{-1};
  }
  Decision decision(std::string_view field) {
    const auto before = in_;
    if (const auto word = in_.text()) {
      if (const auto found = decision_of(*word); found != Decision::NONE || word->empty()) return found;
      in_ = before;
    }
    return wrong(field, "rerun, completed or failed"), Decision::NONE;
  }
  /// A msgpack value that is kept as it is.
  Text span(std::string_view field, std::size_t most) {
    const auto bytes = pass(field);
    if (bytes.empty() || last_span_ == bytes) return last_span_ == bytes ? last_span_ : Text();
    if (bytes.size() > most) {
      return fault(field, "they take " + std::to_string(bytes.size()) + " bytes; the most is " + std::to_string(most)), Text();
    }
    if (const auto why = why_not_kept(bytes); !why.empty()) return fault(field, why), Text();
    return last_span_ = Text(bytes);
  }

  // ---- objects ----

  /// What all four kinds of object have. `Row` is a Labor, Task, Sequence or Job.
  template <typename Row>
  void common(Row& row, Field field, std::string_view name) {
    if (of_user() && (field == Field::STARTED || field == Field::ENDED || field == Field::HOLDS)) return void(pass(name));
    switch (field) {
      case Field::ID: return common_id(row, id(name));
      case Field::NAME: row.name = shared(name, names_); return;
      case Field::DESC: row.desc = shared(name, descs_, kLongestDescription); return;
      case Field::STATE:
        row.state = state(name);
        if (of_user() && row.state != State::NOT_STARTED) {  // S2
          fault(name,
                "is " + std::string(name_of(row.state)) + "; only what is NOT_STARTED can be submitted (as_new() makes a copy)");
          row.state = State::NOT_STARTED;
        }
        return;
      case Field::REASON: {
        const auto found = reason(name);
        if (of_user() && found != Reason::NO_FAILURE) {  // S2
          fault(name, "is " + std::string(name_of(found)) + "; only what has not failed can be submitted (as_new() makes a copy)");
        } else if constexpr (requires { row.reason; }) {
          row.reason = found;
        }
        return;
      }
      case Field::STARTED: row.started = time(name); return;
      case Field::ENDED: row.ended = time(name); return;
      case Field::HOLDS:
        if constexpr (requires { row.holds; }) row.holds = holds();
        return;
      default: pass(name);
    }
  }
  template <typename Row>
  void common_id(Row& row, const Id& found) {
    if (of_user()) {
      if (!found.is_nil()) fault("id", "is set already; ids are given at submit (as_new() makes a copy)");  // S2
    } else if constexpr (requires { row.id; }) {
      row.id = found;
    } else if (!found.is_nil()) {
      if (found.labor() != first_id_.labor()) fault("id", "belongs to another Labor: " + found.text());
      row.ordinal = found.ordinal();
    }
  }

  /// A map from text to text.
  void pairs(std::string_view name, std::vector<std::pair<Text, Text>>& into) {
    const auto count = in_.map();
    if (!count) return wrong(name, "a mapping");
    for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) {
      auto key = text(name);
      into.emplace_back(std::move(key), text(name));
    }
  }

  void labor_field(Labor& l, Field field, std::string_view name) {
    switch (field) {
      case Field::TASKS:
        list(name, "a list of Tasks", [&](std::uint32_t i) {
          place_ = {};
          place_.where = Where::TASK;
          place_.task = i;
          read_task(l);
        });
        place_ = {};
        return;
      case Field::TAGS: list(name, "a list of words", [&](std::uint32_t) { l.tags.push_back(text(name)); }); return;
      case Field::CLIENT_ID: l.client_id = text(name); return;
      case Field::REAL_USER: l.real_user = text(name); return;
      case Field::SUBMITTED:
        if (of_user()) return void(pass(name));
        l.submitted = time(name);
        return;
      case Field::PROVENANCE: return pairs(name, l.provenance);
      case Field::COGS:  // name to origin (R4)
        if (of_user()) return void(pass(name));
        return pairs(name, l.cogs);
      default: common(l, field, name);
    }
  }

  void read_task(Labor& l) {
    count_object();
    const auto index = static_cast<std::uint32_t>(l.tasks.size());
    auto& task = l.tasks.emplace_back();
    task.first_job = static_cast<std::uint32_t>(l.jobs.size());
    task.first_sequence = static_cast<std::uint32_t>(l.sequences.size());
    object("a Task", kTaskFields, [&](Field field, std::string_view name) { task_field(l, index, field, name); });
  }

  void task_field(Labor& l, std::uint32_t index, Field field, std::string_view name) {
    auto& t = l.tasks[index];  // stays where it is: Tasks do not nest
    switch (field) {
      case Field::SEQUENCES: return read_sequences(l, name);
      case Field::PRE_CHECKS: return read_checks(l, index, JobKind::PRE_CHECK, name);
      case Field::CONT_CHECKS: return read_checks(l, index, JobKind::CONT_CHECK, name);
      case Field::CONCURRENCY: t.concurrency = amount(name, t.concurrency); return;
      case Field::TOLERATED_FAILURES: t.tolerated_failures = amount(name, t.tolerated_failures); return;
      case Field::STRICT: t.strict = boolean(name); return;
      case Field::PASS_FAILURES: t.pass_failures = boolean(name); return;
      case Field::PAUSE_ON_ENTRY: t.pause_on_entry = boolean(name); return;
      case Field::CONT_CHECK_INTERVAL: t.cont_check_interval = duration(name, t.cont_check_interval); return;
      case Field::BAKE: t.bake = duration(name, t.bake); return;
      case Field::ENTRY_DELAY: t.entry_delay = duration(name, t.entry_delay); return;
      case Field::FAILURES:
      case Field::CONCURRENCY_NUMBER:
      case Field::TOLERATED_NUMBER:
        if (of_user()) return void(pass(name));
        if (field == Field::FAILURES) t.failures = count(name);
        if (field == Field::CONCURRENCY_NUMBER) t.concurrency.number = integer(name, INT64_MIN, INT64_MAX).value_or(1);
        if (field == Field::TOLERATED_NUMBER) t.tolerated_failures.number = integer(name, INT64_MIN, INT64_MAX).value_or(0);
        return;
      default: common(t, field, name);
    }
  }

  void read_checks(Labor& l, std::uint32_t task, JobKind kind, std::string_view field) {
    const Fault here = place_;
    std::vector<Job> checks;
    list(field, "a list of Jobs", [&](std::uint32_t i) {
      place_.where = kind == JobKind::PRE_CHECK ? Where::PRE_CHECK : Where::CONT_CHECK;
      place_.job = i;
      auto& job = checks.emplace_back();
      job.kind = kind;
      job.task = task;
      job.sequence = Job::kNoSequence;
      read_job(job);
    });
    place_ = here;
    // A Task's checks stand before its Sequences' Jobs in the table, whichever came first in the document.
    auto& t = l.tasks[task];
    const auto count = static_cast<std::uint32_t>(checks.size());
    const auto at = t.first_job + (kind == JobKind::PRE_CHECK ? 0 : t.pre_check_count);
    (kind == JobKind::PRE_CHECK ? t.pre_check_count : t.cont_check_count) += count;
    l.jobs.insert(l.jobs.begin() + at, std::make_move_iterator(checks.begin()), std::make_move_iterator(checks.end()));
    for (auto s = t.first_sequence; s < l.sequences.size(); ++s) l.sequences[s].first_job += count;
  }

  void read_sequences(Labor& l, std::string_view field) {
    const Fault here = place_;
    const auto before = in_;
    if (const auto count = in_.array()) {
      make_room(l.sequences, *count);
      make_room(l.jobs, *count);
      in_ = before;
    }
    list(field, "a list of Sequences", [&](std::uint32_t i) {
      place_.where = Where::SEQUENCE;
      place_.sequence = i;
      read_sequence(l);
    });
    place_ = here;
  }

  void read_sequence(Labor& l) {
    count_object();
    const auto task = static_cast<std::uint32_t>(l.tasks.size() - 1);
    const auto index = static_cast<std::uint32_t>(l.sequences.size());
    auto& s = l.sequences.emplace_back();
    ++l.tasks[task].sequence_count;
    s.task = task;
    s.first_job = static_cast<std::uint32_t>(l.jobs.size());
    object("a Sequence", kSequenceFields, [&](Field field, std::string_view name) {
      if (field == Field::TARGET) {
        s.target = text(name);
      } else if (field != Field::JOBS) {
        common(s, field, name);
      } else {
        const Fault here = place_;
        list(name, "a list of Jobs", [&](std::uint32_t i) {
          place_.where = Where::JOB;
          place_.job = i;
          auto& job = l.jobs.emplace_back();
          ++s.job_count;
          job.task = task;
          job.sequence = index;
          read_job(job);
        });
        place_ = here;
      }
    });
  }

  void read_job(Job& job) {
    count_object();
    job.args = empty_map_;
    object("a Job", kJobFields, [&](Field field, std::string_view name) { job_field(job, field, name); });
  }

  void job_field(Job& job, Field field, std::string_view name) {
    auto& o = job.options;
    switch (field) {
      case Field::COG_PATH: job.cog_path = shared(name, cogs_); return;
      case Field::ARGS:
        if (in_.peek() != Type::MAP) return wrong(name, "a mapping from argument names to values");
        job.args = span(name, kMostArgs);
        if (job.args.empty()) job.args = empty_map_;
        return;
      case Field::TIMEOUT: o.timeout = duration(name, o.timeout); return;
      case Field::RETRIES: o.retries = static_cast<std::int32_t>(integer(name, 0, INT32_MAX).value_or(-1)); return;
      case Field::RETRY_DELAY: o.retry_delay = duration(name, o.retry_delay); return;
      case Field::RETRY_MAX_DELAY: o.retry_max_delay = duration(name, o.retry_max_delay); return;
      case Field::RETRY_BACKOFF: o.retry_backoff = backoff(name); return;
      case Field::ON_INTERRUPT: o.on_interrupt = on_interrupt(name); return;
      case Field::HELD:
      case Field::ROUNDS:
      case Field::ATTEMPTS:
        if (of_user()) return void(pass(name));
        if (field == Field::HELD) job.held = boolean(name);
        if (field == Field::ROUNDS) job.rounds = count(name);
        if (field == Field::ATTEMPTS) job.attempts = attempts();
        return;
      case Field::OUTPUT: return void(pass(name));  // it is the last attempt's
      default: common(job, field, name);
    }
  }

  std::vector<Attempt> attempts() {
    std::vector<Attempt> found;
    list("attempts", "a list of attempts", [&](std::uint32_t) {
      auto& a = found.emplace_back();
      const auto mark = [&](Attempt::Mark bit, std::string_view name) {
        if (boolean(name)) a.marks |= bit;
      };
      object("an attempt", kAttemptFields, [&](Field field, std::string_view name) {
        switch (field) {
          case Field::NUMBER: a.number = count(name); return;
          case Field::ROUND: a.round = count(name); return;
          case Field::STARTED: a.started = time(name); return;
          case Field::ENDED: a.ended = time(name); return;
          case Field::STATUS:
            a.status = static_cast<AttemptStatus>(integer(name, 0, static_cast<int>(AttemptStatus::WITHDRAWN)).value_or(0));
            return;
          case Field::CUT: return mark(Attempt::CUT, name);
          case Field::REPR: return mark(Attempt::REPR, name);
          case Field::STILL_RUNNING: return mark(Attempt::STILL_RUNNING, name);
          case Field::ERROR: a.error = raw_text(name); return;
          case Field::LOG: a.log = raw_text(name); return;
          case Field::VERSION: a.version = raw_text(name); return;
          case Field::DECISION: a.decision = decision(name); return;
          default: a.output = kept_output(pass(name), a.marks);
        }
      });
    });
    return found;
  }

  /// At most one of each rank, lowest first, whatever order they came in.
  Holds holds() {
    Holds found;
    list("holds", "a list of holds", [&](std::uint32_t) {
      Hold h;
      object("a hold", kHoldFields, [&](Field field, std::string_view name) {
        switch (field) {
          case Field::RANK: h.rank = static_cast<Rank>(integer(name, 0, static_cast<int>(Rank::CRISIS)).value_or(0)); return;
          case Field::SINCE: h.since = time(name); return;
          case Field::BY: h.by = raw_text(name); return;
          default: h.note = raw_text(name);
        }
      });
      const auto same = [&](const Hold& other) { return other.rank == h.rank; };
      if (std::any_of(found.begin(), found.end(), same)) fault("holds", "two have the same rank");
      found.push_back(std::move(h));
    });
    std::sort(found.begin(), found.end(), [](const Hold& a, const Hold& b) { return a.rank < b.rank; });
    return found;
  }

  WireReader in_;
  const Of of_;
  std::optional<FaultFolder> folder_;
  Fault place_;
  Id first_id_;
  Id id_;  // the latest that was parsed whole
  std::string_view id_prefix_;
  std::uint32_t objects_ = 0;
  bool broken_ = false;
  SharedTexts names_, descs_, cogs_;
  Text last_span_;
  const Text empty_map_{kEmptyMap};
};

LaborFilter DocumentReader::filter() {
  LaborFilter f;
  object("a LaborFilter", kFilterFields, [&](Field field, std::string_view name) {
    const auto words = [&](std::vector<std::string>& into) {
      list(name, "a list of texts", [&](std::uint32_t) { into.emplace_back(checked_text(name).value_or("")); });
    };
    switch (field) {
      case Field::STATES: list(name, "a list of States", [&](std::uint32_t) { f.states.push_back(state(name)); }); return;
      case Field::NAME_PREFIX: f.name_prefix = checked_text(name).value_or(""); return;
      case Field::NAME_SUFFIX: f.name_suffix = checked_text(name).value_or(""); return;
      case Field::TAGS: return words(f.tags);
      case Field::TARGETS: return words(f.targets);
      case Field::COGS: return words(f.cogs);
      case Field::SUBMIT_BEGIN: f.submit_begin = time(name); return;
      case Field::SUBMIT_END: f.submit_end = time(name); return;
      case Field::NEWEST_FIRST: f.newest_first = boolean(name); return;
      default: f.limit = static_cast<std::uint64_t>(integer(name, 0, INT64_MAX).value_or(0));
    }
  });
  end();
  return f;
}

/// Ordinals come with the ids, and everything that looks for one relies on their order. A document without them is numbered.
void settle_ordinals(Labor& labor) {
  std::vector<std::uint32_t> written;
  written.reserve(labor.tasks.size() + labor.sequences.size() + labor.jobs.size());
  const auto each = [&labor](auto f) {
    for (auto& t : labor.tasks) f(t.ordinal);
    for (auto& s : labor.sequences) f(s.ordinal);
    for (auto& j : labor.jobs) f(j.ordinal);
  };
  each([&](std::uint32_t ordinal) { written.push_back(ordinal); });
  number_tree(labor);
  auto it = written.begin();
  each([&](std::uint32_t ordinal) {
    const auto as_written = *it++;
    if (as_written != 0 && as_written != ordinal) {
      throw StorageError(
          "a stored document is damaged: its ids are not in the order of the tree at " + labor.id.with_ordinal(as_written).text(),
          false);
    }
  });
}

using Of = DocumentReader::Of;

}  // namespace

Labor read_submitted(std::string_view document, std::vector<Fault>& faults) {
  return DocumentReader(document, Of::USER, &faults).labor();
}

Labor read_document(std::string_view document) {
  DocumentReader reader(document, Of::STORE);
  auto labor = reader.labor();
  if (!reader.first_id().is_nil() && labor.id != reader.first_id().labor()) {
    throw StorageError("a stored document is damaged: its ids are of another Labor than it is, " + labor.id.text(), false);
  }
  settle_ordinals(labor);
  return labor;
}

Task read_task_document(std::string_view document, Id& id) { return DocumentReader(document, Of::STORE).task(id); }
Sequence read_sequence_document(std::string_view document, Id& id) { return DocumentReader(document, Of::STORE).sequence(id); }
Job read_job_document(std::string_view document, Id& id) { return DocumentReader(document, Of::STORE).job(id); }
LaborFilter read_filter(std::string_view document) { return DocumentReader(document, Of::FILTER).filter(); }
std::vector<Attempt> read_attempts(std::string_view document) {
  return document.empty() ? std::vector<Attempt>() : DocumentReader(document, Of::STORE).attempts_alone();
}
Holds read_holds(std::string_view document) {
  return document.empty() ? Holds() : DocumentReader(document, Of::STORE).holds_alone();
}

}  // namespace cogwork
