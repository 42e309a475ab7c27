// Writing documents: maps from field names to values, defaults left out.
#include <algorithm>
#include <msgpack/pack.hpp>
#include <utility>

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
    // A guess at the size, since growing to it step by step copies all of it again and again.
    if (full) sink_.out.reserve(sink_.out.size() + 512 + 256 * (l.tasks.size() + l.jobs.size()) + 160 * l.sequences.size());
    const Map map(*this, Map::LARGE);
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
    pairs("cogs", l.cogs);
    pairs("provenance", l.provenance);
    if (full) {
      key("tasks");
      pack_.pack_array(static_cast<std::uint32_t>(l.tasks.size()));
      for (const auto& t : l.tasks) task(l.id, t, &l);
    }
  }

  /// `tree`: with what is below it; null: alone.
  void task(const Id& labor, const Task& t, const Labor* tree) {
    const Map map(*this, Map::LARGE);
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
    // X9. An attempt that was withdrawn never reached its Cog, so it says nothing; one that is open, nothing yet.
    const auto last =
        std::find_if(j.attempts.rbegin(), j.attempts.rend(), [](const Attempt& a) { return a.status != AttemptStatus::WITHDRAWN; });
    if (last == j.attempts.rend()) return;
    if (last->error.empty() || (last->status == AttemptStatus::SUCCESS && !last->output.empty())) {
      value("output", last->output);
    } else {
      text("output", last->error);
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
      if (output) value("output", a.output);
      text("error", a.error);
      text("log", a.log);
      text("version", a.version);
      text("decision", name_of(a.decision));
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
    text("decision", name_of(c.decision));
    text("event", name_of(c.event));
    time("sent", c.sent);
    boolean("refused", c.refused);
    boolean("interrupt", c.interrupt);
    number("rounds", c.rounds, 0);
    text("by", c.by);
    text("note", c.note);
  }

  void filter(const LaborFilter& f) {
    const Map map(*this);
    if (!f.states.empty()) {
      key("states");
      pack_.pack_array(static_cast<std::uint32_t>(f.states.size()));
      for (const auto s : f.states) pack_.pack_int64(static_cast<int>(s));
    }
    text("name_prefix", f.name_prefix);
    text("name_suffix", f.name_suffix);
    words("tags", f.tags);
    words("targets", f.targets);
    words("cogs", f.cogs);
    moment("submit_begin", f.submit_begin);
    moment("submit_end", f.submit_end);
    boolean("newest_first", f.newest_first);
    if (f.limit) integer("limit", static_cast<std::int64_t>(*f.limit));
  }

  void changes(const std::vector<Change>& list) {
    pack_.pack_array(static_cast<std::uint32_t>(list.size()));
    for (const auto& c : list) change(c);
  }

 private:
  /// Counts the fields that are written while it lives, and puts the count where the map began.
  class Map {
   public:
    enum Size : bool { SMALL, LARGE };
    explicit Map(DocumentWriter& w, Size size = SMALL)
        : w_(w), at_(w.sink_.out.size()), size_(size), outer_(std::exchange(w.fields_, 0)) {
      w_.sink_.out.append("\xde\0\0", size == LARGE ? 3 : 1);  // \xde: a map with a size of two bytes
    }
    ~Map() {
      auto& out = w_.sink_.out;
      const auto fields = w_.fields_;
      w_.fields_ = outer_;
      if (size_ == SMALL && fields < 16) {
        out[at_] = static_cast<char>(0x80 | fields);
        return;
      }
      if (size_ == SMALL) out.insert(at_ + 1, 2, '\0');  // rare, and what is behind it is short
      out[at_ + 1] = static_cast<char>(fields >> 8);
      out[at_ + 2] = static_cast<char>(fields);
    }
    Map(const Map&) = delete;
    Map& operator=(const Map&) = delete;

   private:
    DocumentWriter& w_;
    const std::size_t at_;
    const Size size_;
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
  void raw(std::string_view msgpack_value) { sink_.out.append(msgpack_value); }
  /// An output, in place. One that is no msgpack would make the whole document unreadable: it is written as bytes.
  void value(std::string_view name, std::string_view output) {
    if (output.empty()) return;
    key(name);
    if (is_msgpack(output)) return raw(output);
    pack_.pack_bin(static_cast<std::uint32_t>(output.size()));
    pack_.pack_bin_body(output.data(), static_cast<std::uint32_t>(output.size()));
  }
  void text(std::string_view name, std::string_view words) {
    if (words.empty()) return;
    key(name);
    if (is_utf8(words)) return str(words);
    str(repair_utf8(words));
  }
  void pairs(std::string_view name, const std::vector<std::pair<Text, Text>>& texts) {
    if (texts.empty()) return;
    key(name);
    pack_.pack_map(static_cast<std::uint32_t>(texts.size()));
    for (const auto& [first, second] : texts) {
      str(first);
      str(second);
    }
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
    // The ids of one Labor differ in their last eight digits.
    if (id_text_.empty() || value.labor() != id_labor_) {
      id_labor_ = value.labor();
      id_text_ = value.text();
    }
    for (std::size_t i = 0; i < 8; ++i) {
      id_text_[35 - i] = "0123456789abcdef"[(value.ordinal() >> (4 * i)) & 0xf];
    }
    str(id_text_);
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
    put(t);
  }
  void put(Time t) {
    // msgpack's timestamp has three forms: whole seconds of 32 bits, 34 bits with nanoseconds, and 64 bits.
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
    if (nanos == 0 && seconds >= 0 && seconds <= INT64_C(0xffffffff)) {
      big(0, static_cast<std::uint64_t>(seconds), 4);
      pack_.pack_ext(4, -1);
      pack_.pack_ext_body(bytes, 4);
    } else if (seconds >= 0 && seconds < (std::int64_t{1} << 34)) {
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
  void moment(std::string_view name, const std::optional<Time>& t) {
    if (!t) return;
    key(name);
    put(*t);
  }
  void words(std::string_view name, const std::vector<std::string>& list) {
    if (list.empty()) return;
    key(name);
    pack_.pack_array(static_cast<std::uint32_t>(list.size()));
    for (const auto& word : list) str(word);
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
  Id id_labor_;
  std::string id_text_;
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
std::string write_filter(const LaborFilter& filter) {
  return write([&](DocumentWriter& w) { w.filter(filter); });
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
