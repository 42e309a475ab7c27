#include "cogwork/cogs/cog_messages.h"

#include <algorithm>

#include "cogwork/base/utf8.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

constexpr int kMostConcurrency = 10'000;
constexpr std::size_t kMostCogs = 1000;

/// Walks one map; `field` reads the value behind a key, and returns false where it is of a wrong kind.
template <typename Field>
bool read_map(WireReader& reader, std::string& problem, Field field) {
  const auto pairs = reader.map();
  if (!pairs) {
    problem = "expected a map, got " + reader.describe();
    return false;
  }
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader.text();
    if (!key) {
      problem = "expected a text as key, got " + reader.describe();
      return false;
    }
    if (reader.nil()) continue;
    const std::string name(*key);
    if (!field(name)) {
      if (problem.empty()) problem = quote(name) + " is no such thing: " + reader.describe();
      return false;
    }
  }
  return true;
}

template <typename T, typename V>
bool into(T& field, const V& value) {
  if (value) field = T(*value);
  return value.has_value();
}

bool seconds_into(Duration& field, WireReader& reader) {
  const auto value = reader.number();
  if (!value || *value < 0) return false;
  const auto duration = duration_of(*value);
  if (duration) field = *duration;
  return duration.has_value();
}

bool read_offered(WireReader& reader, OfferedCog& cog, std::string& problem) {
  auto& o = cog.defaults.options;
  return read_map(reader, problem, [&](const std::string& key) {
    if (key == "name") return into(cog.name, reader.text());
    if (key == "owner") return into(cog.owner, reader.text());
    if (key == "desc") return into(cog.desc, reader.text());
    if (key == "tags") {
      const auto count = reader.array();
      for (std::uint32_t i = 0; count && i < *count; ++i) {
        const auto tag = reader.text();
        if (!tag) return false;
        cog.tags.emplace_back(*tag);
      }
      return count.has_value();
    }
    if (key == "args") {
      cog.args = reader.value();
      return reader.ok();
    }
    if (key == "idempotent") return into(cog.defaults.idempotent, reader.boolean());
    if (key == "on_interrupt") {
      const auto word = reader.text();
      for (const auto choice : {OnInterrupt::RETRY, OnInterrupt::FAIL, OnInterrupt::HOLD}) {
        if (word == name_of(choice)) o.on_interrupt = static_cast<std::int8_t>(choice);
      }
      return o.on_interrupt >= 0;
    }
    if (key == "timeout") return seconds_into(o.timeout, reader) && o.timeout.count() > 0;
    if (key == "retry_delay") return seconds_into(o.retry_delay, reader);
    if (key == "retry_max_delay") return seconds_into(o.retry_max_delay, reader);
    if (key == "retries") {
      const auto value = reader.integer();
      if (!value || *value < 0 || *value > INT32_MAX) return false;
      o.retries = static_cast<std::int32_t>(*value);
      return true;
    }
    if (key == "retry_backoff") {
      const auto value = reader.number();
      if (!value || *value < 1) return false;
      o.retry_backoff = *value;
      return true;
    }
    if (key == "concurrency") {
      const auto value = reader.integer();
      if (!value || *value < 1 || *value > kMostConcurrency) return false;
      cog.concurrency = static_cast<int>(*value);
      return true;
    }
    reader.value();  // of a newer program
    return reader.ok();
  });
}

}  // namespace

int Hello::concurrency() const {
  int least = kMostConcurrency;
  for (const auto& cog : cogs) least = std::min(least, cog.concurrency);
  return least;
}

const OfferedCog* Hello::find(std::string_view name) const {
  if (name.empty()) return cogs.size() == 1 ? &cogs[0] : nullptr;
  const auto found = std::ranges::find_if(cogs, [&](const OfferedCog& cog) { return cog.name == name; });
  return found == cogs.end() ? nullptr : &*found;
}

std::optional<Hello> read_hello(std::string_view body, std::string& problem) {
  problem.clear();
  if (!is_msgpack(body)) {
    problem = "its first frame does not hold one msgpack value";
    return std::nullopt;
  }
  Hello hello;
  std::string op;
  std::int64_t protocol = -1;
  WireReader reader(body);
  const bool read = read_map(reader, problem, [&](const std::string& key) {
    if (key == "op") return into(op, reader.text());
    if (key == "protocol") return into(protocol, reader.integer());
    if (key == "version") return into(hello.version, reader.text());
    if (key == "cogs") {
      const auto count = reader.array();
      if (!count || *count > kMostCogs) return false;
      for (std::uint32_t i = 0; i < *count; ++i) {
        if (!read_offered(reader, hello.cogs.emplace_back(), problem)) return false;
      }
      return true;
    }
    reader.value();
    return reader.ok();
  });
  if (read && op != "hello") {
    problem = "its first message is no hello";
  } else if (read && protocol != kCogProtocol) {
    problem = "it speaks version " + std::to_string(protocol) + " of the Cog protocol; this engine speaks " +
              std::to_string(kCogProtocol);
  } else if (read && hello.cogs.empty()) {
    problem = "it offers no Cogs";
  } else if (read && std::ranges::any_of(hello.cogs, [](const OfferedCog& cog) { return cog.name.empty(); })) {
    problem = "it offers a Cog without a name";
  }
  if (!problem.empty()) return std::nullopt;
  return hello;
}

std::optional<CogMessage> read_cog_message(std::string_view body, std::string& problem) {
  problem.clear();
  if (!is_msgpack(body, WireReader::kDeepestRead)) {  // an output that is too deep is the output's affair (X9)
    problem = "a frame does not hold one msgpack value";
    return std::nullopt;
  }
  CogMessage m;
  WireReader reader(body);
  // "ok" and "progress" may be nil and say something all the same.
  const auto pairs = reader.map();
  if (!pairs) {
    problem = "a frame holds " + reader.describe() + ", not a map";
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader.text();
    if (!key) {
      problem = "a map's key is " + reader.describe();
      return std::nullopt;
    }
    bool fits = true;
    if (*key == "id") {
      fits = into(m.id, reader.integer());
    } else if (*key == "ok") {
      m.ok = std::string(reader.value());
    } else if (*key == "progress") {
      m.progress = true;
      if (!reader.nil()) fits = into(m.fraction, reader.number());
    } else if (reader.nil()) {
      continue;
    } else if (*key == "error") {
      fits = into(m.error.emplace(), reader.text());
    } else if (*key == "log") {
      fits = into(m.log.emplace(), reader.text());
    } else if (*key == "message") {
      fits = into(m.message, reader.text());
    } else if (*key == "result") {
      m.result = true;
      fits = read_map(reader, problem, [&](const std::string& field) {
        if (field == "status") return into(m.status, reader.text());
        if (field == "error") return into(m.result_error, reader.text());
        if (field == "output") {
          m.output = std::string(reader.value(WireReader::kDeepestRead));
          return reader.ok();
        }
        reader.value();
        return reader.ok();
      });
    } else {
      reader.value();
    }
    if (!fits) {
      if (problem.empty()) problem = "\"" + std::string(*key) + "\" is no such thing: " + reader.describe();
      return std::nullopt;
    }
  }
  if (m.id < 0) {
    problem = "a message has no \"id\"";
    return std::nullopt;
  }
  if (!m.ok && !m.error && !m.log && !m.progress && !m.result) {
    problem = "a message says nothing: it has none of ok, error, progress, log, result";
    return std::nullopt;
  }
  return m;
}

std::string write_execute(std::int64_t id, std::string_view cog, const AttemptRequest& request) {
  const auto outputs = request.outputs();
  WireWriter w;
  w.map(14)
      .integer("id", id)
      .text("op", "execute")
      .text("cog", cog)
      .text("args")
      .raw(request.args.empty() ? std::string_view("\x80") : request.args.view())
      .id("job", request.job)
      .id("labor", request.job.labor())
      .text("labor_name", request.labor_name)
      .text("job_name", request.job_name)
      .text("target", request.target)
      .integer("attempt", request.number)
      .boolean("check", request.check)
      .text("real_user", request.real_user)
      .number("timeout", static_cast<double>(request.timeout.count()) / 1e6);
  w.text("outputs").array(outputs.size());
  for (const auto& [name, value] : outputs) {
    w.array(2).text(name);
    value.empty() ? w.nil() : w.raw(value);
  }
  return w.take();
}

std::string write_validate(std::int64_t id, std::string_view cog, std::string_view args) {
  WireWriter w;
  w.map(4)
      .integer("id", id)
      .text("op", "validate")
      .text("cog", cog)
      .text("args")
      .raw(args.empty() ? std::string_view("\x80") : args);
  return w.take();
}

std::string write_cancel(std::int64_t of) {
  WireWriter w;
  w.map(2).text("op", "cancel").integer("of", of);
  return w.take();
}

std::string write_shutdown() {
  WireWriter w;
  w.map(1).text("op", "shutdown");
  return w.take();
}

Outcome outcome_of(const CogMessage& m, std::size_t max_output) {
  Outcome outcome;
  outcome.error = Text(m.result_error);
  if (m.status == "SUCCESS") {
    outcome.status = AttemptStatus::SUCCESS;
    outcome.error = {};
  } else if (m.status == "FAILURE") {
    outcome.status = AttemptStatus::FAILURE;
  } else if (m.status == "FAILURE_NO_RETRIES") {
    outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
  } else {
    outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
    outcome.error =
        Text("the cog is broken: it answered " + quote(m.status) + ", which is none of SUCCESS, FAILURE, FAILURE_NO_RETRIES" +
             (m.result_error.empty() ? "" : "\n" + m.result_error));
  }
  if (outcome.error.size() > max_output) {
    outcome.marks |= Attempt::CUT;
    outcome.error = Text(cut_utf8(outcome.error, max_output));
  }
  if (m.output.size() <= max_output) {
    outcome.output = kept_output(m.output, outcome.marks);
    return outcome;
  }
  outcome.marks |= Attempt::CUT;
  WireReader reader(m.output);
  WireWriter w;
  if (const auto text = reader.text()) {
    w.text(cut_utf8(*text, max_output));
  } else if (const auto bin = reader.bin()) {
    w.bin(bin->substr(0, max_output));
  } else {
    w.text("[an output of " + std::to_string(m.output.size()) + " bytes is left out; max_output is " + std::to_string(max_output) +
           "]");
  }
  outcome.output = Text(w.take());
  return outcome;
}

}  // namespace cogwork
