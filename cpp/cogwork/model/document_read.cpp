// Reading documents: of what users submit, collecting every fault with its place, and of what cogwork itself wrote.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "cogwork/base/error.h"
#include "cogwork/model/document.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

constexpr std::size_t kLongestText = 64 * 1024;
constexpr std::string_view kEmptyMap = "\x80";
using Type = WireReader::Type;

class DocumentReader {
 public:
  /// With `faults` a submitted tree is read; without, a stored one, whose first fault throws.
  DocumentReader(std::string_view bytes, std::vector<Fault>* faults) : in_(bytes), faults_(faults) {}

  Labor labor() {
    Labor labor;
    object("a Labor", [&](std::string_view field) { return labor_field(labor, field); });
    if (in_.ok() && !in_.at_end()) fault("there is more behind the Labor");
    return labor;
  }
  Task task(Id& id) {
    Labor around;
    id_ = &id;
    task_into(around);
    return around.tasks.empty() ? Task{} : around.tasks.front();
  }
  Sequence sequence(Id& id) {
    Labor around;
    id_ = &id;
    around.tasks.emplace_back();
    sequence_into(around);
    return around.sequences.empty() ? Sequence{} : around.sequences.front();
  }
  Job job(Id& id) {
    id_ = &id;
    Job job;
    read_job(job);
    return job;
  }
  std::vector<Attempt> attempts() {
    std::vector<Attempt> found;
    list("attempts", [&](std::uint32_t) { found.push_back(attempt()); });
    return found;
  }
  Holds holds() {
    Holds found;
    list("holds", [&](std::uint32_t) { found.push_back(hold()); });
    std::sort(found.begin(), found.end(), [](const Hold& a, const Hold& b) { return a.rank < b.rank; });
    return found;
  }
  LaborFilter filter();

 private:
  bool submitted() const { return faults_ != nullptr; }

  void fault(std::string message) {
    if (!faults_) throw StorageError("a stored document is damaged: " + message, false);
    Fault f = place_;
    f.message = std::move(message);
    faults_->push_back(std::move(f));
  }
  /// The value that follows is not what it should be: says so, and passes over it.
  void wrong(std::string_view field, std::string_view expected) {
    fault(std::string(field) + ": expected " + std::string(expected) + ", got " + in_.describe());
    pass();
  }
  void pass() {
    in_.value();
    if (!in_.ok() && !broken_) {
      broken_ = true;
      fault("the document is broken or cut off");
    }
  }

  // ---- shapes ----

  template <typename F>
  void object(std::string_view what, F field) {
    const auto count = in_.map();
    if (!count) return wrong(what, "a mapping of fields");
    for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) {
      const auto name = in_.text();
      if (!name) {
        pass();
        pass();
        continue;
      }
      if (in_.nil()) continue;  // absent: the default
      if (field(*name)) continue;
      if (submitted()) fault(std::string(what) + " has no field '" + std::string(name->substr(0, 60)) + "'");
      pass();
    }
  }
  template <typename F>
  void list(std::string_view field, F item) {
    const auto count = in_.array();
    if (!count) return wrong(field, "a list");
    for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) item(i);
  }

  // ---- values ----

  Text text(std::string_view field, bool share = false) {
    if (in_.peek() != Type::TEXT) return wrong(field, "text"), Text();
    const auto value = *in_.text();
    if (value.size() > kLongestText) return fault(std::string(field) + ": a text of " + std::to_string(value.size()) + " bytes is too long (65536 at most)"), Text();
    if (!is_utf8(value)) return fault(std::string(field) + ": the text is not UTF-8"), Text();
    return share ? intern_(value) : Text(value);
  }
  /// Errors, outputs' texts and logs: as long as they are, and as they are.
  Text raw_text(std::string_view field) {
    if (const auto value = in_.text()) return Text(*value);
    return wrong(field, "text"), Text();
  }
  bool boolean(std::string_view field, bool otherwise = false) {
    if (const auto value = in_.boolean()) return *value;
    return wrong(field, "True or False"), otherwise;
  }
  std::int64_t integer(std::string_view field, std::int64_t least, std::int64_t most, std::int64_t otherwise) {
    if (in_.peek() == Type::FLOAT) {  // 3.0 is a whole number to whoever wrote it
      const auto value = *in_.number();
      if (value == std::floor(value) && std::abs(value) < 9e15) return within(field, static_cast<std::int64_t>(value), least, most, otherwise);
      return fault(std::string(field) + ": expected a whole number, got the number " + short_number(value)), otherwise;
    }
    if (const auto value = in_.integer()) return within(field, *value, least, most, otherwise);
    return wrong(field, "a whole number"), otherwise;
  }
  std::int64_t within(std::string_view field, std::int64_t value, std::int64_t least, std::int64_t most, std::int64_t otherwise) {
    if (value >= least && value <= most) return value;
    fault(std::string(field) + ": " + std::to_string(value) + " is out of range");
    return otherwise;
  }
  static std::string short_number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
  }
  Duration duration(std::string_view field, Duration otherwise) {
    constexpr double kLongest = 9e11;  // seconds; microseconds of it still fit
    if (in_.peek() == Type::TEXT) {
      const auto copy = in_;
      if (const auto value = parse_duration(*in_.text())) return *value;
      in_ = copy;
    } else if (const auto value = in_.number()) {
      if (std::isfinite(*value) && std::abs(*value) < kLongest) return Duration(std::llround(*value * 1e6));
      return fault(std::string(field) + ": " + short_number(*value) + " is no length of time"), otherwise;
    }
    return wrong(field, "a number of seconds or a timedelta"), otherwise;
  }
  Time time(std::string_view field) {
    if (const auto value = in_.timestamp()) return *value;
    return wrong(field, "a time"), never;
  }
  Id id(std::string_view field) {
    if (in_.peek() == Type::TEXT) {
      const auto copy = in_;
      if (const auto value = Id::parse(*in_.text())) return *value;
      in_ = copy;
    }
    return wrong(field, "an id"), Id{};
  }
  Amount amount(std::string_view field, Amount otherwise) {
    if (in_.peek() == Type::TEXT) {
      Amount a = otherwise;
      a.share = text(field);
      return a;
    }
    if (in_.peek() != Type::INT && in_.peek() != Type::FLOAT) {
      return wrong(field, "a whole number or a share such as \"10%\""), otherwise;
    }
    return {integer(field, INT64_MIN, INT64_MAX, otherwise.number), otherwise.share};
  }
  State state(std::string_view field) { return static_cast<State>(integer(field, 0, kStates - 1, 0)); }
  Reason reason(std::string_view field) { return static_cast<Reason>(integer(field, 0, 3, 0)); }

  /// Fields that all four kinds of object have. S2: nobody submits a tree that has an id, a state or a reason already.
  struct Common {
    std::uint32_t* ordinal;
    State* state;
    Reason* reason;
    Time* started;
    Time* ended;
    Text* name;
    Text* desc;
  };
  bool common_field(const Common& c, std::string_view field) {
    if (field == "id") {
      const auto found = id(field);
      if (submitted()) {
        fault("it has an id already; submit a new one (as_new() makes a copy)");
      } else {
        if (id_ && id_->is_nil()) *id_ = found;
        if (c.ordinal) *c.ordinal = found.ordinal();
      }
    } else if (field == "state") {
      *c.state = state(field);
      if (submitted() && *c.state != State::NOT_STARTED) {
        fault("its state is " + std::string(name_of(*c.state)) + "; only what is NOT_STARTED can be submitted (as_new() makes a copy)");
      }
    } else if (field == "reason") {
      const auto found = reason(field);
      if (c.reason) *c.reason = found;
      if (submitted() && found != Reason::NO_FAILURE) fault("its reason is " + std::string(name_of(found)) + "; as_new() makes a fresh copy");
    } else if (field == "name") {
      *c.name = text(field, true);
    } else if (field == "desc") {
      *c.desc = text(field, true);
    } else if (field == "started") {
      *c.started = time(field);
    } else if (field == "ended") {
      *c.ended = time(field);
    } else {
      return false;
    }
    return true;
  }

  bool labor_field(Labor& l, std::string_view field) {
    if (field == "tasks") {
      list(field, [&](std::uint32_t i) {
        place_ = {};
        place_.where = Fault::Where::TASK;
        place_.task = i;
        task_into(l);
      });
      place_ = {};
      return true;
    }
    if (field == "tags") {
      if (in_.peek() == Type::TEXT) return wrong(field, "a list of words"), true;
      list(field, [&](std::uint32_t) { l.tags.push_back(text(field, true)); });
      return true;
    }
    if (field == "client_id") return l.client_id = text(field), true;
    if (field == "real_user") return l.real_user = text(field), true;
    if (field == "submitted") return l.submitted = time(field), true;
    if (field == "holds") return l.holds = holds(), true;
    if (field == "cogs") {  // name to origin (R4)
      const auto count = in_.map();
      if (!count) return wrong(field, "a mapping"), true;
      for (std::uint32_t i = 0; i < *count && in_.ok(); ++i) {
        Text name = text(field);
        l.cogs.emplace_back(std::move(name), text(field));
      }
      return true;
    }
    if (field == "id" && !submitted()) return l.id = id(field), true;
    return common_field({nullptr, &l.state, &l.reason, &l.started, &l.ended, &l.name, &l.desc}, field);
  }

  void task_into(Labor& l) {
    const auto index = static_cast<std::uint32_t>(l.tasks.size());
    l.tasks.emplace_back();
    l.tasks[index].first_job = static_cast<std::uint32_t>(l.jobs.size());
    l.tasks[index].first_sequence = static_cast<std::uint32_t>(l.sequences.size());
    if (in_.peek() != Type::MAP) return wrong("a Task", "a Task");
    object("a Task", [&](std::string_view field) { return task_field(l, index, field); });
  }

  bool task_field(Labor& l, std::uint32_t index, std::string_view field) {
    auto& t = l.tasks[index];
    if (field == "sequences") {
      const Fault here = place_;
      list(field, [&](std::uint32_t i) {
        place_.where = Fault::Where::SEQUENCE;
        place_.sequence = i;
        sequence_into(l);
      });
      place_ = here;
    } else if (field == "pre_checks") {
      checks_into(l, index, JobKind::PRE_CHECK);
    } else if (field == "cont_checks") {
      checks_into(l, index, JobKind::CONT_CHECK);
    } else if (field == "concurrency") {
      t.concurrency = amount(field, t.concurrency);
    } else if (field == "tolerated_failures") {
      t.tolerated_failures = amount(field, t.tolerated_failures);
    } else if (field == "concurrency_number") {
      t.concurrency.number = integer(field, INT64_MIN, INT64_MAX, 1);
    } else if (field == "tolerated_number") {
      t.tolerated_failures.number = integer(field, INT64_MIN, INT64_MAX, 0);
    } else if (field == "strict") {
      t.strict = boolean(field);
    } else if (field == "pass_failures") {
      t.pass_failures = boolean(field);
    } else if (field == "pause_on_entry") {
      t.pause_on_entry = boolean(field);
    } else if (field == "cont_check_interval") {
      t.cont_check_interval = duration(field, t.cont_check_interval);
    } else if (field == "bake") {
      t.bake = duration(field, t.bake);
    } else if (field == "entry_delay") {
      t.entry_delay = duration(field, t.entry_delay);
    } else if (field == "failures") {
      t.failures = static_cast<std::uint32_t>(integer(field, 0, UINT32_MAX, 0));
    } else if (field == "holds") {
      t.holds = holds();
    } else {
      return common_field({&t.ordinal, &t.state, &t.reason, &t.started, &t.ended, &t.name, &t.desc}, field);
    }
    return true;
  }

  void checks_into(Labor& l, std::uint32_t task, JobKind kind) {
    const Fault here = place_;
    std::vector<Job> checks;
    list(kind == JobKind::PRE_CHECK ? "pre_checks" : "cont_checks", [&](std::uint32_t i) {
      place_.where = kind == JobKind::PRE_CHECK ? Fault::Where::PRE_CHECK : Fault::Where::CONT_CHECK;
      place_.job = i;
      Job job;
      job.kind = kind;
      job.task = task;
      job.sequence = Job::kNoSequence;
      read_job(job);
      checks.push_back(std::move(job));
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

  void sequence_into(Labor& l) {
    const auto task = static_cast<std::uint32_t>(l.tasks.size() - 1);
    const auto index = static_cast<std::uint32_t>(l.sequences.size());
    auto& s = l.sequences.emplace_back();
    ++l.tasks[task].sequence_count;
    s.task = task;
    s.first_job = static_cast<std::uint32_t>(l.jobs.size());
    if (in_.peek() != Type::MAP) return wrong("a Sequence", "a Sequence");
    object("a Sequence", [&](std::string_view field) {
      auto& sequence = l.sequences[index];
      if (field == "target") return sequence.target = text(field), true;
      if (field == "holds") return sequence.holds = holds(), true;
      if (field != "jobs") {
        return common_field({&sequence.ordinal, &sequence.state, &sequence.reason, &sequence.started, &sequence.ended,
                             &sequence.name, &sequence.desc},
                            field);
      }
      const Fault here = place_;
      list(field, [&](std::uint32_t i) {
        place_.where = Fault::Where::JOB;
        place_.job = i;
        auto& job = l.jobs.emplace_back();
        ++l.sequences[index].job_count;
        job.task = task;
        job.sequence = index;
        read_job(job);
      });
      place_ = here;
      return true;
    });
  }

  void read_job(Job& job) {
    job.args = empty_map_;
    if (in_.peek() != Type::MAP) return wrong("a Job", "a Job");
    object("a Job", [&](std::string_view field) { return job_field(job, field); });
  }

  bool job_field(Job& job, std::string_view field) {
    auto& o = job.options;
    if (field == "cog_path") {
      job.cog_path = text(field, true);
    } else if (field == "args") {
      if (in_.peek() != Type::MAP) return wrong(field, "a mapping of argument names to values"), true;
      const auto span = in_.value();
      if (!in_.ok()) return pass(), true;
      job.args = Text(span);
    } else if (field == "timeout") {
      o.timeout = duration(field, o.timeout);
    } else if (field == "retries") {
      o.retries = static_cast<std::int32_t>(integer(field, INT32_MIN, INT32_MAX, 0));
      if (submitted() && o.retries < 0) fault("retries: must be 0 or more, is " + std::to_string(o.retries));
    } else if (field == "retry_delay") {
      o.retry_delay = duration(field, o.retry_delay);
    } else if (field == "retry_max_delay") {
      o.retry_max_delay = duration(field, o.retry_max_delay);
    } else if (field == "retry_backoff") {
      if (in_.peek() != Type::INT && in_.peek() != Type::FLOAT) return wrong(field, "a number"), true;
      o.retry_backoff = *in_.number();
      if (submitted() && !(o.retry_backoff >= 1 && std::isfinite(o.retry_backoff))) {
        fault("retry_backoff: must be 1 or more, is " + short_number(o.retry_backoff));
      }
    } else if (field == "on_interrupt") {
      read_on_interrupt(o);
    } else if (field == "held") {
      job.held = boolean(field);
    } else if (field == "rounds") {
      job.rounds = static_cast<std::uint32_t>(integer(field, 0, UINT32_MAX, 0));
    } else if (field == "attempts") {
      job.attempts = attempts();
    } else if (field == "output") {
      pass();  // it is the last attempt's
    } else {
      return common_field({&job.ordinal, &job.state, nullptr, &job.started, &job.ended, &job.name, &job.desc}, field);
    }
    return true;
  }

  void read_on_interrupt(JobOptions& o) {
    if (in_.peek() == Type::INT) {
      o.on_interrupt = static_cast<std::int8_t>(integer("on_interrupt", 0, 2, 0));
      return;
    }
    const auto copy = in_;
    if (const auto word = in_.text()) {
      std::string upper(*word);
      for (auto& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      for (std::int8_t i = 0; i < 3; ++i) {
        if (upper == name_of(static_cast<OnInterrupt>(i))) {
          o.on_interrupt = i;
          return;
        }
      }
      in_ = copy;
    }
    wrong("on_interrupt", "RETRY, FAIL or HOLD");
  }

  Attempt attempt() {
    Attempt a;
    a.status = AttemptStatus::OPEN;
    object("an attempt", [&](std::string_view field) {
      if (field == "number") return a.number = static_cast<std::uint32_t>(integer(field, 0, UINT32_MAX, 0)), true;
      if (field == "round") return a.round = static_cast<std::uint32_t>(integer(field, 0, UINT32_MAX, 0)), true;
      if (field == "started") return a.started = time(field), true;
      if (field == "ended") return a.ended = time(field), true;
      if (field == "status") return a.status = static_cast<AttemptStatus>(integer(field, 0, 8, 0)), true;
      if (field == "cut") return mark(a, Attempt::CUT, field), true;
      if (field == "repr") return mark(a, Attempt::REPR, field), true;
      if (field == "still_running") return mark(a, Attempt::STILL_RUNNING, field), true;
      if (field == "error") return a.error = raw_text(field), true;
      if (field == "log") return a.log = raw_text(field), true;
      if (field != "output") return false;
      const auto span = in_.value();
      if (!in_.ok()) return pass(), true;
      a.output = Text(span);
      return true;
    });
    return a;
  }
  void mark(Attempt& a, Attempt::Mark mark, std::string_view field) {
    if (boolean(field)) a.marks |= mark;
  }
  Hold hold() {
    Hold h;
    object("a hold", [&](std::string_view field) {
      if (field == "rank") return h.rank = static_cast<Rank>(integer(field, 0, 3, 0)), true;
      if (field == "since") return h.since = time(field), true;
      if (field == "by") return h.by = text(field, true), true;
      if (field == "note") return h.note = text(field, true), true;
      return false;
    });
    return h;
  }

  WireReader in_;
  std::vector<Fault>* faults_;
  Fault place_;
  Interner intern_;
  const Text empty_map_{kEmptyMap};
  Id* id_ = nullptr;
  bool broken_ = false;
};

LaborFilter DocumentReader::filter() {
  LaborFilter f;
  const auto words = [&](std::string_view field, std::vector<std::string>& into) {
    list(field, [&](std::uint32_t) { into.push_back(raw_text(field).str()); });
    return true;
  };
  object("a LaborFilter", [&](std::string_view field) {
    if (field == "states") {
      list(field, [&](std::uint32_t) { f.states.push_back(state(field)); });
      return true;
    }
    if (field == "name_prefix") return f.name_prefix = raw_text(field).str(), true;
    if (field == "name_suffix") return f.name_suffix = raw_text(field).str(), true;
    if (field == "tags") return words(field, f.tags);
    if (field == "targets") return words(field, f.targets);
    if (field == "cogs") return words(field, f.cogs);
    if (field == "submit_begin") return f.submit_begin = time(field), true;
    if (field == "submit_end") return f.submit_end = time(field), true;
    if (field == "newest_first") return f.newest_first = boolean(field), true;
    if (field == "limit") return f.limit = static_cast<std::uint64_t>(integer(field, 0, INT64_MAX, 0)), true;
    return false;
  });
  return f;
}

}  // namespace

Labor read_submitted(std::string_view document, std::vector<Fault>& faults) { return DocumentReader(document, &faults).labor(); }

Labor read_document(std::string_view document) {
  auto labor = DocumentReader(document, nullptr).labor();
  // Ordinals come with the ids; a document without them (none was given yet) is numbered afresh.
  if (labor.id.is_nil() || (!labor.tasks.empty() && labor.tasks.front().ordinal == 0)) number_tree(labor);
  return labor;
}

Task read_task_document(std::string_view document, Id& id) { return id = {}, DocumentReader(document, nullptr).task(id); }
Sequence read_sequence_document(std::string_view document, Id& id) { return id = {}, DocumentReader(document, nullptr).sequence(id); }
Job read_job_document(std::string_view document, Id& id) { return id = {}, DocumentReader(document, nullptr).job(id); }
LaborFilter read_filter(std::string_view document) { return DocumentReader(document, nullptr).filter(); }
std::vector<Attempt> read_attempts(std::string_view document) {
  return document.empty() ? std::vector<Attempt>() : DocumentReader(document, nullptr).attempts();
}
Holds read_holds(std::string_view document) { return document.empty() ? Holds() : DocumentReader(document, nullptr).holds(); }

}  // namespace cogwork
