// Writing documents: maps from field names to values, defaults left out.
#include <msgpack/pack.hpp>
#include <msgpack/sbuffer.hpp>

#include "cogwork/model/document.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

/// A string that msgpack's packer writes to.
struct Sink {
  std::string out;
  void write(const char* data, std::size_t size) { out.append(data, size); }
};

class DocumentWriter {
 public:
  std::string take() { return std::move(sink_.out); }

  void labor(const Labor& l, bool full) {
    const Map map(*this);
    id("id", l.id);
    text("name", l.name);
    text("desc", l.desc);
    text("client_id", l.client_id);
    text("real_user", l.real_user);
    if (!l.tags.empty()) {
      key("tags");
      pack_.pack_array(static_cast<std::uint32_t>(l.tags.size()));
      for (const auto& tag : l.tags) str(tag);
    }
    state(l.state);
    number("reason", static_cast<int>(l.reason), 0);
    time("submitted", l.submitted);
    time("started", l.started);
    time("ended", l.ended);
    own_holds(l.holds);
    if (!l.cogs.empty()) {
      key("cogs");
      pack_.pack_map(static_cast<std::uint32_t>(l.cogs.size()));
      for (const auto& [name, origin] : l.cogs) {
        str(name);
        str(origin);
      }
    }
    if (full) {
      key("tasks");
      pack_.pack_array(static_cast<std::uint32_t>(l.tasks.size()));
      for (const auto& t : l.tasks) task(l.id, t, &l);
    }
  }

  /// `tree`: with what is below it; null: alone.
  void task(const Id& labor, const Task& t, const Labor* tree) {
    const Map map(*this);
    object_id(labor, t.ordinal);
    text("name", t.name);
    text("desc", t.desc);
    amount("concurrency", "concurrency_number", t.concurrency, 1);
    amount("tolerated_failures", "tolerated_number", t.tolerated_failures, 0);
    boolean("strict", t.strict);
    boolean("pass_failures", t.pass_failures);
    duration("cont_check_interval", t.cont_check_interval);
    duration("bake", t.bake);
    boolean("pause_on_entry", t.pause_on_entry);
    duration("entry_delay", t.entry_delay);
    state(t.state);
    number("reason", static_cast<int>(t.reason), 0);
    number("failures", t.failures, 0);
    time("started", t.started);
    time("ended", t.ended);
    own_holds(t.holds);
    if (!tree) return;
    jobs("pre_checks", *tree, t.first_job, t.pre_check_count);
    jobs("cont_checks", *tree, t.first_job + t.pre_check_count, t.cont_check_count);
    key("sequences");
    pack_.pack_array(t.sequence_count);
    for (std::uint32_t i = 0; i < t.sequence_count; ++i) sequence(labor, tree->sequences[t.first_sequence + i], tree);
  }

  void sequence(const Id& labor, const Sequence& s, const Labor* tree) {
    const Map map(*this);
    object_id(labor, s.ordinal);
    text("target", s.target);
    text("name", s.name);
    text("desc", s.desc);
    state(s.state);
    number("reason", static_cast<int>(s.reason), 0);
    time("started", s.started);
    time("ended", s.ended);
    own_holds(s.holds);
    if (tree) jobs("jobs", *tree, s.first_job, s.job_count);
  }

  void job(const Id& labor, const Job& j, bool args, bool output) {
    const Map map(*this);
    object_id(labor, j.ordinal);
    text("cog_path", j.cog_path);
    if (args && j.args.size() > 1) {
      key("args");
      raw(j.args);
    }
    text("name", j.name);
    text("desc", j.desc);
    option("timeout", j.options.timeout);
    if (j.options.retries >= 0) integer("retries", j.options.retries);
    option("retry_delay", j.options.retry_delay);
    if (j.options.retry_backoff >= 0) {
      key("retry_backoff");
      pack_.pack_double(j.options.retry_backoff);
    }
    option("retry_max_delay", j.options.retry_max_delay);
    if (j.options.on_interrupt >= 0) {
      key("on_interrupt");
      str(name_of(static_cast<OnInterrupt>(j.options.on_interrupt)));
    }
    state(j.state);
    boolean("held", j.held);
    number("rounds", j.rounds, 0);
    time("started", j.started);
    time("ended", j.ended);
    if (j.attempts.empty()) return;
    key("attempts");
    attempts(j.attempts, output);
    if (!output) return;
    const auto& last = j.attempts.back();  // X9
    if (last.status == AttemptStatus::SUCCESS && !last.output.empty()) {
      key("output");
      raw(last.output);
    } else if (!last.error.empty()) {
      text("output", last.error);
    } else if (!last.output.empty()) {
      key("output");
      raw(last.output);
    }
  }

  void attempts(const std::vector<Attempt>& list, bool output) {
    pack_.pack_array(static_cast<std::uint32_t>(list.size()));
    for (const auto& a : list) {
      const Map map(*this);
      integer("number", a.number);
      number("round", a.round, 0);
      time("started", a.started);
      time("ended", a.ended);
      integer("status", static_cast<int>(a.status));
      boolean("cut", (a.marks & Attempt::CUT) != 0);
      boolean("repr", (a.marks & Attempt::REPR) != 0);
      boolean("still_running", (a.marks & Attempt::STILL_RUNNING) != 0);
      if (output && !a.output.empty()) {
        key("output");
        raw(a.output);
      }
      text("error", a.error);
      text("log", a.log);
    }
  }

  void holds(const Holds& list) {
    pack_.pack_array(static_cast<std::uint32_t>(list.size()));
    for (const auto& h : list) {
      const Map map(*this);
      integer("rank", static_cast<int>(h.rank));
      time("since", h.since);
      text("by", h.by);
      text("note", h.note);
    }
  }

  void change(const Change& c) {
    const Map map(*this);
    integer("number", static_cast<std::int64_t>(c.number));
    time("at", c.at);
    id("labor_id", c.labor);
    id("object_id", c.labor.with_ordinal(c.ordinal));
    integer("kind", static_cast<int>(c.kind));
    integer("from_state", static_cast<int>(c.from));
    integer("to_state", static_cast<int>(c.to));
    number("reason", static_cast<int>(c.reason), 0);
    if (c.kind == Change::Kind::SIGNAL) integer("signal", static_cast<int>(c.signal));
    boolean("refused", c.refused);
    boolean("interrupt", c.interrupt);
    number("rounds", c.rounds, 0);
    text("by", c.by);
    text("note", c.note);
  }

  void changes(const std::vector<Change>& list) {
    pack_.pack_array(static_cast<std::uint32_t>(list.size()));
    for (const auto& c : list) change(c);
  }

 private:
  /// Counts the fields that are written while it lives, and puts the count where the map began.
  class Map {
   public:
    explicit Map(DocumentWriter& w) : w_(w), at_(w.sink_.out.size()), outer_(std::exchange(w.fields_, 0)) {
      w_.sink_.out.append("\xde\0\0", 3);  // a map of 16-bit size
    }
    ~Map() {
      auto& out = w_.sink_.out;
      if (w_.fields_ < 16) {
        out[at_] = static_cast<char>(0x80 | w_.fields_);
        out.erase(at_ + 1, 2);
      } else {
        out[at_ + 1] = static_cast<char>(w_.fields_ >> 8);
        out[at_ + 2] = static_cast<char>(w_.fields_);
      }
      w_.fields_ = outer_;
    }
    Map(const Map&) = delete;

   private:
    DocumentWriter& w_;
    const std::size_t at_;
    const std::uint32_t outer_;
  };

  void str(std::string_view s) {
    pack_.pack_str(static_cast<std::uint32_t>(s.size()));
    pack_.pack_str_body(s.data(), static_cast<std::uint32_t>(s.size()));
  }
  void key(std::string_view name) {
    ++fields_;
    str(name);
  }
  void raw(const Text& msgpack_value) { sink_.out.append(msgpack_value.view()); }
  void text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    str(value);
  }
  void boolean(std::string_view name, bool value) {
    if (!value) return;
    key(name);
    pack_.pack_true();
  }
  void integer(std::string_view name, std::int64_t value) {
    key(name);
    pack_.pack_int64(value);
  }
  void number(std::string_view name, std::int64_t value, std::int64_t otherwise) {
    if (value != otherwise) integer(name, value);
  }
  void state(State s) { integer("state", static_cast<int>(s)); }
  void id(std::string_view name, const Id& value) {
    if (value.is_nil()) return;
    key(name);
    str(value.text());
  }
  void object_id(const Id& labor, std::uint32_t ordinal) {
    if (!labor.is_nil()) id("id", labor.with_ordinal(ordinal));
  }
  void duration(std::string_view name, Duration value) {
    key(name);
    str(format_duration(value));
  }
  void option(std::string_view name, Duration value) {
    if (value.count() != kNotGiven) duration(name, value);
  }
  void amount(std::string_view name, std::string_view resolved, const Amount& a, std::int64_t otherwise) {
    if (!a.share.empty()) {
      text(name, a.share);
    } else {
      number(name, a.number, otherwise);
    }
    integer(resolved, a.number);
  }
  void time(std::string_view name, Time t) {
    if (!is_set(t)) return;
    key(name);
    // msgpack's timestamp: the 64-bit form, or the 96-bit one before 1970 and far ahead.
    const auto us = to_micros(t);
    auto seconds = us / 1'000'000;
    auto rest = us % 1'000'000;
    if (rest < 0) {
      rest += 1'000'000;
      --seconds;
    }
    const auto nanos = static_cast<std::uint64_t>(rest) * 1000;
    char bytes[12];
    const auto big = [&bytes](std::size_t at, std::uint64_t value, std::size_t width) {
      for (std::size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * (width - 1 - i)));
    };
    if (seconds >= 0 && seconds < (std::int64_t{1} << 34)) {
      big(0, nanos << 34 | static_cast<std::uint64_t>(seconds), 8);
      pack_.pack_ext(8, -1);
      pack_.pack_ext_body(bytes, 8);
    } else {
      big(0, nanos, 4);
      big(4, static_cast<std::uint64_t>(seconds), 8);
      pack_.pack_ext(12, -1);
      pack_.pack_ext_body(bytes, 12);
    }
  }
  void own_holds(const Holds& list) {
    if (list.empty()) return;
    key("holds");
    holds(list);
  }
  void jobs(std::string_view name, const Labor& tree, std::uint32_t first, std::uint32_t count) {
    if (count == 0) return;
    key(name);
    pack_.pack_array(count);
    for (std::uint32_t i = 0; i < count; ++i) job(tree.id, tree.jobs[first + i], true, true);
  }

  Sink sink_;
  msgpack::packer<Sink> pack_{sink_};
  std::uint32_t fields_ = 0;
};

template <typename F>
std::string write(F f) {
  DocumentWriter writer;
  f(writer);
  return writer.take();
}

}  // namespace

std::string write_document(const Labor& labor, bool full) {
  return write([&](DocumentWriter& w) { w.labor(labor, full); });
}
std::string write_task(const Id& labor, const Task& task) {
  return write([&](DocumentWriter& w) { w.task(labor, task, nullptr); });
}
std::string write_sequence(const Id& labor, const Sequence& sequence) {
  return write([&](DocumentWriter& w) { w.sequence(labor, sequence, nullptr); });
}
std::string write_job(const Id& labor, const Job& job, bool args, bool output) {
  return write([&](DocumentWriter& w) { w.job(labor, job, args, output); });
}
std::string write_change(const Change& change) {
  return write([&](DocumentWriter& w) { w.change(change); });
}
std::string write_changes(const std::vector<Change>& changes) {
  return write([&](DocumentWriter& w) { w.changes(changes); });
}
std::string write_attempts(const std::vector<Attempt>& attempts) {
  if (attempts.empty()) return {};
  return write([&](DocumentWriter& w) { w.attempts(attempts, true); });
}
std::string write_holds(const Holds& holds) {
  if (holds.empty()) return {};
  return write([&](DocumentWriter& w) { w.holds(holds); });
}

}  // namespace cogwork
