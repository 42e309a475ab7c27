#include "cogwork/engine/control_request.h"

#include "cogwork/model/wire.h"

namespace cogwork {

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
  const auto into = [](std::string& field, const std::optional<std::string_view>& value) {
    if (value) field = *value;
    return value.has_value();
  };
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader.text();
    if (!key) return std::nullopt;
    bool fits = true;
    if (reader.nil()) continue;  // the same as leaving it out
    if (*key == "id" || *key == "of" || *key == "protocol") {
      const auto value = reader.integer();
      fits = value && *value >= 0;
      if (fits) (*key == "id" ? request.id : *key == "of" ? request.of : request.protocol) = *value;
    } else if (*key == "op") {
      fits = into(request.op, reader.text());
    } else if (*key == "object") {
      const auto id = Id::parse(reader.text().value_or(""));
      fits = id.has_value();
      if (fits) request.object = *id;
    } else if (*key == "signal") {
      const auto value = reader.integer();
      fits = value && *value >= 0 && *value < kSignals;
      if (fits) request.signal = static_cast<Signal>(*value);
    } else if (*key == "decision") {
      request.decision = decision_of(reader.text().value_or(""));
      fits = request.decision != Decision::NONE;
    } else if (*key == "interrupt" || *key == "start" || *key == "lifted") {
      const auto value = reader.boolean();
      fits = value.has_value();
      if (fits) (*key == "start" ? request.start : *key == "lifted" ? request.lifted : request.interrupt) = *value;
    } else if (*key == "tags" || *key == "cogs") {
      auto& texts = *key == "tags" ? request.tags : request.cogs;
      const auto count = reader.array();
      fits = count.has_value();
      for (std::uint32_t n = 0; fits && n < *count; ++n) fits = into(texts.emplace_back(), reader.text());
    } else if (*key == "by") {
      fits = into(request.by, reader.text());
    } else if (*key == "note") {
      fits = into(request.note, reader.text());
    } else if (*key == "name") {
      fits = into(request.name, reader.text());
    } else if (*key == "document") {
      fits = into(request.document, reader.bin());
    } else if (*key == "faults") {
      request.faults = reader.value();
    } else if (*key == "expected") {
      request.expected = reader.value();
    } else if (*key == "since") {
      const auto value = reader.integer();
      fits = value && *value >= 0;
      if (fits) request.since = static_cast<std::uint64_t>(*value);
    } else {
      reader.value();  // of a newer client
    }
    if (!fits) {
      problem = "the request's \"" + std::string(*key) + "\" is no such thing: " + reader.describe();
      return std::nullopt;
    }
  }
  if (request.id < 0 || request.op.empty()) return std::nullopt;
  return request;
}

}  // namespace cogwork
