#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cogwork/base/frame.h"
#include "cogwork/engine/control_request.h"
#include "cogwork/model/wire.h"
#include "cogwork/serve.h"

// What comes over a socket - the control socket's, a process Cog's - read as the engine reads it, whatever it is. The same code is run
// by libFuzzer (frame_fuzz.cpp) and, on the corpus and its mutations, by the ordinary tests (tests/cpp/fuzz).
//
//   input := n cut{n} stream      n: one byte, the lower four bits; cut: one byte, one less than the size of a piece of the stream
//
// The stream comes in pieces of these sizes, in turn, or at once. What must hold, or the program aborts:
// - The bodies do not depend on how the stream was cut.
// - What is_msgpack takes can be read value by value to its very end, and by the reader of cogwork/serve.h, which writes it so that it
//   is taken again; both find the same in it. What that reader refuses, is_msgpack refuses.
// - A request that is read is msgpack; one that is refused is refused in words.

namespace cogwork::fuzz {

[[noreturn]] inline void fail(const char* what, std::string_view body) {
  std::fprintf(stderr, "%s; the body is:", what);
  for (const char c : body) std::fprintf(stderr, " %02x", static_cast<unsigned char>(c));
  std::fprintf(stderr, "\n");
  std::abort();
}

/// One value, by the reads of its kind; false where there is none.
inline bool walk(WireReader& reader, std::size_t depth = 0) {
  const auto before = reader.position();
  reader.describe();
  if (reader.position() != before || depth > WireReader::kDeepest) return false;
  switch (reader.peek()) {
    case WireReader::Type::NIL: return reader.nil();
    case WireReader::Type::BOOL: return reader.boolean().has_value();
    case WireReader::Type::INT: return reader.integer() || reader.number();
    case WireReader::Type::FLOAT: return reader.number().has_value();
    case WireReader::Type::TEXT: {
      const auto text = reader.text();
      return text && !quote(*text).empty() && (parse_duration(*text), true);
    }
    case WireReader::Type::BIN: return reader.bin().has_value();
    case WireReader::Type::EXT: return reader.timestamp() || !reader.value().empty();
    case WireReader::Type::ARRAY: {
      auto items = reader.array().value();
      while (items > 0 && walk(reader, depth + 1)) --items;
      return items == 0;
    }
    case WireReader::Type::MAP: {
      auto pairs = reader.map().value();
      while (pairs > 0 && walk(reader, depth + 1) && walk(reader, depth + 1)) --pairs;
      return pairs == 0;
    }
    case WireReader::Type::BROKEN: return false;
  }
  return false;
}

/// Whether both readers find the same in one value that is msgpack.
inline bool agree(WireReader& reader, const Value& value) {
  const auto bits_of = [](double number) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    return std::isnan(number) ? 0 : bits;
  };
  switch (reader.peek()) {
    case WireReader::Type::NIL: return reader.nil() && value.is_nil();
    case WireReader::Type::BOOL: return value.is_bool() && reader.boolean() == value.boolean();
    case WireReader::Type::INT:
      if (const auto whole = reader.integer()) return value.is_integer() && *whole == value.integer();
      return value.is_integer() && reader.number() == value.number();
    case WireReader::Type::FLOAT: return value.is_number() && bits_of(reader.number().value()) == bits_of(value.number());
    case WireReader::Type::TEXT: return value.is_text() && reader.text() == value.text();
    case WireReader::Type::BIN: return value.is_bytes() && reader.bin() == value.bytes();
    case WireReader::Type::ARRAY: {
      if (!value.is_list() || reader.array() != value.list().size()) return false;
      return std::all_of(value.list().begin(), value.list().end(), [&](const Value& item) { return agree(reader, item); });
    }
    case WireReader::Type::MAP: {
      if (!value.is_map() || reader.map() != value.map().size()) return false;
      return std::all_of(value.map().begin(), value.map().end(),
                         [&](const auto& pair) { return agree(reader, pair.first) && agree(reader, pair.second); });
    }
    case WireReader::Type::EXT: return !reader.value().empty();
    case WireReader::Type::BROKEN: return false;
  }
  return false;
}

inline void read_body(const std::string& body) {
  const bool sound = is_msgpack(body);
  WireReader reader(body);
  const bool walked = walk(reader) && reader.at_end();
  if (sound && !walked) fail("what is msgpack cannot be walked", body);

  std::optional<Value> value;
  try {
    value = Value::read(body);
  } catch (const std::runtime_error&) {
  }
  if (sound && !value) fail("what is msgpack cannot be read by serve.h", body);
  if (walked && !value) fail("what can be walked cannot be read by serve.h", body);
  if (WireReader again(body); sound && !agree(again, *value)) fail("serve.h reads something else", body);
  if (value) {
    std::string written;
    try {
      written = value->write();
    } catch (const std::length_error&) {  // nested deeper than it writes
    }
    if (!written.empty() && !is_msgpack(written)) fail("what serve.h writes is no msgpack", body);
    if (!written.empty() && Value::read(written).write() != written) fail("what serve.h writes reads differently", body);
  }

  std::string problem;
  const auto request = read_request(body, problem);
  if (request && (!sound || request->op.empty() || request->id < 0)) fail("a request that is none", body);
  if (!request && problem.empty()) fail("a request is refused without words", body);
}

inline std::vector<std::string> bodies_of(std::string_view stream, std::string_view cuts, bool& broken, bool& in_the_middle) {
  constexpr std::size_t kLargest = 64 * 1024;
  FrameReader frames(kLargest);
  std::vector<std::string> bodies;
  for (std::size_t piece = 0; !stream.empty(); ++piece) {
    std::size_t size = stream.size();
    if (!cuts.empty()) size = std::min<std::size_t>(size, 1 + static_cast<unsigned char>(cuts[piece % cuts.size()]));
    frames.feed(stream.substr(0, size));
    stream.remove_prefix(size);
    while (auto body = frames.next()) bodies.push_back(std::move(*body));
  }
  broken = frames.broken();
  in_the_middle = frames.in_the_middle();
  return bodies;
}

inline void read_input(std::string_view input) {
  if (input.empty()) return;
  const auto count = std::min<std::size_t>(static_cast<unsigned char>(input[0]) & 0x0f, input.size() - 1);
  const auto cuts = input.substr(1, count), stream = input.substr(1 + count);
  bool broken = false, broken_at_once = false, middle = false, middle_at_once = false;
  const auto bodies = bodies_of(stream, cuts, broken, middle);
  if (bodies != bodies_of(stream, {}, broken_at_once, middle_at_once) || broken != broken_at_once || middle != middle_at_once)
    fail("the bodies depend on how the stream is cut", input);
  for (const auto& body : bodies) read_body(body);
}

}  // namespace cogwork::fuzz
