#include "cogwork/engine/control_request.h"

#include <array>

#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

template <typename T, typename Field>
bool put(Field& field, const std::optional<T>& value) {
  if (value) field = *value;
  return value.has_value();
}

template <auto Field>
bool text(ControlRequest& request, WireReader& reader) {
  return put(request.*Field, reader.text());
}

template <auto Field>
bool yes_or_no(ControlRequest& request, WireReader& reader) {
  return put(request.*Field, reader.boolean());
}

/// From 0 up.
template <auto Field>
bool number(ControlRequest& request, WireReader& reader) {
  const auto value = reader.integer();
  return value && *value >= 0 && put(request.*Field, value);
}

template <auto Field>
bool texts(ControlRequest& request, WireReader& reader) {
  const auto count = reader.array();
  for (std::uint32_t n = 0; count && n < *count; ++n) {
    if (!put((request.*Field).emplace_back(), reader.text())) return false;
  }
  return count.has_value();
}

bool object(ControlRequest& request, WireReader& reader) { return put(request.object, Id::parse(reader.text().value_or(""))); }

bool signal(ControlRequest& request, WireReader& reader) {
  const auto value = reader.integer();
  if (!value || *value < 0 || *value >= kSignals) return false;
  request.signal = static_cast<Signal>(*value);
  return true;
}

bool decision(ControlRequest& request, WireReader& reader) {
  request.decision = decision_of(reader.text().value_or(""));
  return request.decision != Decision::NONE;
}

bool document(ControlRequest& request, WireReader& reader) { return put(request.document, reader.bin()); }

bool is_fault(WireReader& reader) {
  if (reader.array() != 5) return false;
  for (int n = 0; n < 4; ++n) {
    const auto place = reader.integer();
    if (!place || *place < 0 || *place > UINT32_MAX) return false;
  }
  return reader.text().has_value();
}

bool faults(ControlRequest& request, WireReader& reader) {
  auto inside = reader;
  request.faults = reader.value();
  const auto count = inside.array();
  for (std::uint32_t n = 0; count && n < *count; ++n) {
    if (!is_fault(inside)) return false;
  }
  return count.has_value();
}

bool expected(ControlRequest& request, WireReader& reader) {
  auto inside = reader;
  request.expected = reader.value();
  const auto count = inside.map();
  for (std::uint32_t n = 0; count && n < *count; ++n) {
    if (!inside.text() || inside.array() != 2 || !inside.text() || !inside.text()) return false;
  }
  return count.has_value();
}

struct Field {
  std::string_view name;
  std::string_view must_be;
  bool (*read)(ControlRequest& request, WireReader& reader);
};

using R = ControlRequest;
constexpr std::array<Field, 19> kFields = {{
    {"id", "a number, 0 or above", number<&R::id>},
    {"op", "text", text<&R::op>},
    {"protocol", "a number, 0 or above", number<&R::protocol>},
    {"object", "an id", object},
    {"of", "the number of a request", number<&R::of>},
    {"signal", "the number of a signal, 0 to 6", signal},
    {"decision", "'rerun', 'completed' or 'failed'", decision},
    {"interrupt", "true or false", yes_or_no<&R::interrupt>},
    {"start", "true or false", yes_or_no<&R::start>},
    {"lifted", "true or false", yes_or_no<&R::lifted>},
    {"by", "text", text<&R::by>},
    {"note", "text", text<&R::note>},
    {"name", "text", text<&R::name>},
    {"tags", "a list of texts", texts<&R::tags>},
    {"cogs", "a list of texts", texts<&R::cogs>},
    {"document", "binary: a Labor", document},
    {"faults", "a list of faults, each [where, task, sequence, job, message]", faults},
    {"expected", "a map from names of Cogs to [origin, digest]", expected},
    {"since", "a number, 0 or above", number<&R::since>},
}};

}  // namespace

std::optional<ControlRequest> read_request(std::string_view body, std::string& problem) {
  problem = "the frame holds no request, which is a map with \"id\" and \"op\"";
  if (!is_msgpack(body)) {
    problem = "the frame does not hold one msgpack value";
    return std::nullopt;
  }
  WireReader reader(body);
  const auto pairs = reader.map();
  if (!pairs) return std::nullopt;
  ControlRequest request;
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader.text();
    if (!key) return std::nullopt;
    auto value = reader;  // read by itself: whatever becomes of it, the next pair is behind it
    reader.value();
    if (value.nil()) continue;           // the same as leaving it out
    for (const auto& field : kFields) {  // one that is none of them is of a newer client
      if (field.name != *key) continue;
      const auto shown = value.describe();
      if (field.read(request, value) || !request.problem.empty()) break;
      request.problem =
          "the request's \"" + std::string(field.name) + "\" must be " + std::string(field.must_be) + ", got " + shown;
    }
  }
  if (request.id >= 0 && !request.op.empty()) return request;
  if (!request.problem.empty()) problem = request.problem;
  return std::nullopt;
}

}  // namespace cogwork
