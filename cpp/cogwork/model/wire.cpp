#include "cogwork/model/wire.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <msgpack.hpp>

namespace cogwork {
namespace {

constexpr std::uint32_t kMostLevels = 512;

template <typename T>
T big_endian(const char* p) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | static_cast<unsigned char>(p[i]));
  return value;
}

/// Follows msgpack-c's parser through one value and stops it where a value nests too deep.
struct DepthVisitor : msgpack::null_visitor {
  std::uint32_t level = 0;
  bool start_array(std::uint32_t) { return ++level <= kMostLevels; }
  bool end_array() { return --level, true; }
  bool start_map(std::uint32_t) { return ++level <= kMostLevels; }
  bool end_map() { return --level, true; }
  void parse_error(std::size_t, std::size_t) {}
  void insufficient_bytes(std::size_t, std::size_t) {}
};

}  // namespace

WireReader::Head WireReader::head() const {
  Head h;
  if (!ok_ || at_ >= bytes_.size()) return h;
  const char* p = bytes_.data() + at_;
  const std::size_t left = bytes_.size() - at_;
  const auto byte = static_cast<unsigned char>(*p);
  const auto sized = [&](Type type, std::size_t width) {
    if (left < 1 + width) return;
    h.type = type;
    h.size = 1 + width;
    h.length = width == 1 ? big_endian<std::uint8_t>(p + 1) : width == 2 ? big_endian<std::uint16_t>(p + 1) : big_endian<std::uint32_t>(p + 1);
  };
  const auto whole = [&](std::int64_t value, std::size_t width) {
    h.type = Type::INT;
    h.size = 1 + width;
    h.integer = value;
  };
  if (byte < 0x80) {
    whole(byte, 0);
  } else if (byte >= 0xe0) {
    whole(static_cast<std::int8_t>(byte), 0);
  } else if (byte < 0x90) {
    h.type = Type::MAP, h.size = 1, h.length = byte & 0x0f;
  } else if (byte < 0xa0) {
    h.type = Type::ARRAY, h.size = 1, h.length = byte & 0x0f;
  } else if (byte < 0xc0) {
    h.type = Type::TEXT, h.size = 1, h.length = byte & 0x1f;
  } else {
    switch (byte) {
      case 0xc0: h.type = Type::NIL, h.size = 1; break;
      case 0xc2:
      case 0xc3: h.type = Type::BOOL, h.size = 1, h.integer = byte & 1; break;
      case 0xc4: sized(Type::BIN, 1); break;
      case 0xc5: sized(Type::BIN, 2); break;
      case 0xc6: sized(Type::BIN, 4); break;
      case 0xca:
        if (left >= 5) h.type = Type::FLOAT, h.size = 5, h.number = std::bit_cast<float>(big_endian<std::uint32_t>(p + 1));
        break;
      case 0xcb:
        if (left >= 9) h.type = Type::FLOAT, h.size = 9, h.number = std::bit_cast<double>(big_endian<std::uint64_t>(p + 1));
        break;
      case 0xcc:
        if (left >= 2) whole(big_endian<std::uint8_t>(p + 1), 1);
        break;
      case 0xcd:
        if (left >= 3) whole(big_endian<std::uint16_t>(p + 1), 2);
        break;
      case 0xce:
        if (left >= 5) whole(big_endian<std::uint32_t>(p + 1), 4);
        break;
      case 0xcf:
        if (left >= 9) {
          const auto value = big_endian<std::uint64_t>(p + 1);
          whole(static_cast<std::int64_t>(value), 8);
          h.too_large = value > static_cast<std::uint64_t>(INT64_MAX);
          h.number = static_cast<double>(value);
        }
        break;
      case 0xd0:
        if (left >= 2) whole(static_cast<std::int8_t>(big_endian<std::uint8_t>(p + 1)), 1);
        break;
      case 0xd1:
        if (left >= 3) whole(static_cast<std::int16_t>(big_endian<std::uint16_t>(p + 1)), 2);
        break;
      case 0xd2:
        if (left >= 5) whole(static_cast<std::int32_t>(big_endian<std::uint32_t>(p + 1)), 4);
        break;
      case 0xd3:
        if (left >= 9) whole(static_cast<std::int64_t>(big_endian<std::uint64_t>(p + 1)), 8);
        break;
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        if (left >= 2) h.type = Type::EXT, h.size = 2, h.length = std::uint64_t{1} << (byte - 0xd4), h.ext = p[1];
        break;
      case 0xc7:
      case 0xc8:
      case 0xc9: {
        const std::size_t width = std::size_t{1} << (byte - 0xc7);
        if (left < 2 + width) break;
        sized(Type::EXT, width);
        h.ext = p[1 + width];
        h.size += 1;
        break;
      }
      case 0xd9: sized(Type::TEXT, 1); break;
      case 0xda: sized(Type::TEXT, 2); break;
      case 0xdb: sized(Type::TEXT, 4); break;
      case 0xdc: sized(Type::ARRAY, 2); break;
      case 0xdd: sized(Type::ARRAY, 4); break;
      case 0xde: sized(Type::MAP, 2); break;
      case 0xdf: sized(Type::MAP, 4); break;
      default: break;
    }
  }
  const bool has_payload = h.type == Type::TEXT || h.type == Type::BIN || h.type == Type::EXT;
  if (has_payload && h.length > left - h.size) h.type = Type::BROKEN;
  // Each item takes a byte at least: a length that cannot be is not believed, so that nobody reserves for it.
  if ((h.type == Type::ARRAY || h.type == Type::MAP) && h.length > left - h.size) h.type = Type::BROKEN;
  return h;
}

std::string_view WireReader::take(std::size_t n) {
  const auto piece = bytes_.substr(at_, n);
  at_ += n;
  return piece;
}

WireReader::Type WireReader::peek() const { return head().type; }

bool WireReader::nil() {
  const auto h = head();
  if (h.type != Type::NIL) return false;
  take(h.size);
  return true;
}

std::optional<bool> WireReader::boolean() {
  const auto h = head();
  if (h.type != Type::BOOL) return std::nullopt;
  take(h.size);
  return h.integer != 0;
}

std::optional<std::int64_t> WireReader::integer() {
  const auto h = head();
  if (h.type != Type::INT || h.too_large) return std::nullopt;
  take(h.size);
  return h.integer;
}

std::optional<double> WireReader::number() {
  const auto h = head();
  if (h.type != Type::INT && h.type != Type::FLOAT) return std::nullopt;
  take(h.size);
  if (h.type == Type::FLOAT || h.too_large) return h.number;
  return static_cast<double>(h.integer);
}

std::optional<std::string_view> WireReader::text() {
  const auto h = head();
  if (h.type != Type::TEXT) return std::nullopt;
  take(h.size);
  return take(h.length);
}

std::optional<std::string_view> WireReader::bin() {
  const auto h = head();
  if (h.type != Type::BIN) return std::nullopt;
  take(h.size);
  return take(h.length);
}

std::optional<std::uint32_t> WireReader::array() {
  const auto h = head();
  if (h.type != Type::ARRAY) return std::nullopt;
  take(h.size);
  return static_cast<std::uint32_t>(h.length);
}

std::optional<std::uint32_t> WireReader::map() {
  const auto h = head();
  if (h.type != Type::MAP) return std::nullopt;
  take(h.size);
  return static_cast<std::uint32_t>(h.length);
}

std::optional<Time> WireReader::timestamp() {
  const auto h = head();
  if (h.type != Type::EXT || h.ext != -1) return std::nullopt;
  std::int64_t seconds = 0;
  std::uint32_t nanos = 0;
  const char* p = bytes_.data() + at_ + h.size;
  switch (h.length) {
    case 4: seconds = big_endian<std::uint32_t>(p); break;
    case 8: {
      const auto both = big_endian<std::uint64_t>(p);
      nanos = static_cast<std::uint32_t>(both >> 34);
      seconds = static_cast<std::int64_t>(both & ((std::uint64_t{1} << 34) - 1));
      break;
    }
    case 12:
      nanos = big_endian<std::uint32_t>(p);
      seconds = static_cast<std::int64_t>(big_endian<std::uint64_t>(p + 4));
      break;
    default: return std::nullopt;
  }
  constexpr std::int64_t kFarthest = 300'000'000'000;  // beyond any calendar; keeps microseconds in 64 bits
  if (nanos > 999'999'999 || seconds > kFarthest || seconds < -kFarthest) return std::nullopt;
  take(h.size + h.length);
  return from_micros(seconds * 1'000'000 + nanos / 1000);
}

std::string_view WireReader::value() {
  if (!ok_ || at_end()) {
    fail();
    return {};
  }
  const auto begin = at_;
  std::size_t end = at_;
  DepthVisitor visitor;
  bool parsed = false;
  try {
    parsed = msgpack::parse(bytes_.data(), bytes_.size(), end, visitor);
  } catch (const std::exception&) {
    parsed = false;
  }
  if (!parsed) {
    fail();
    return {};
  }
  at_ = end;
  return bytes_.substr(begin, end - begin);
}

std::string WireReader::describe() const {
  const auto h = head();
  switch (h.type) {
    case Type::NIL: return "None";
    case Type::BOOL: return h.integer ? "True" : "False";
    case Type::INT: return h.too_large ? "a number that is too large" : "the number " + std::to_string(h.integer);
    case Type::FLOAT: {
      char text[32];
      std::snprintf(text, sizeof text, "%g", h.number);
      return std::string("the number ") + text;
    }
    case Type::TEXT: {
      constexpr std::size_t kShown = 40;
      auto text = bytes_.substr(at_ + h.size, h.length);
      if (!is_utf8(text)) return "text that is not UTF-8";
      return text.size() <= kShown ? "the text '" + std::string(text) + "'" : "a text of " + std::to_string(text.size()) + " bytes";
    }
    case Type::BIN: return "bytes";
    case Type::ARRAY: return "a list";
    case Type::MAP: return "a mapping";
    case Type::EXT: return h.ext == -1 ? "a time" : "an extension value";
    case Type::BROKEN: break;
  }
  return "broken msgpack";
}

bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    // Most names are ASCII: eight at a time.
    std::uint64_t eight = 0;
    if (i + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + i, 8);
      if ((eight & 0x8080808080808080ULL) == 0) {
        i += 8;
        continue;
      }
    }
    const auto b = static_cast<unsigned char>(text[i]);
    std::size_t more = 0;
    std::uint32_t code = 0;
    if (b < 0x80) {
      ++i;
      continue;
    } else if (b >= 0xc2 && b <= 0xdf) {
      more = 1, code = b & 0x1f;
    } else if ((b & 0xf0) == 0xe0) {
      more = 2, code = b & 0x0f;
    } else if (b >= 0xf0 && b <= 0xf4) {
      more = 3, code = b & 0x07;
    } else {
      return false;
    }
    if (i + more >= text.size() + 0 && i + more > text.size() - 1) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      const auto c = static_cast<unsigned char>(text[i + k]);
      if ((c & 0xc0) != 0x80) return false;
      code = code << 6 | (c & 0x3f);
    }
    if (more == 2 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) return false;
    if (more == 3 && (code < 0x10000 || code > 0x10ffff)) return false;
    i += more + 1;
  }
  return true;
}

std::optional<Duration> parse_duration(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || text[0] != 'P') return std::nullopt;
  text.remove_prefix(1);
  bool time = false, any = false;
  double seconds = 0;
  std::int64_t whole = 0;
  while (!text.empty()) {
    if (text[0] == 'T') {
      if (time) return std::nullopt;
      time = true;
      text.remove_prefix(1);
      continue;
    }
    double amount = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount, std::chars_format::fixed);
    if (error != std::errc() || amount < 0 || end == text.data() + text.size()) return std::nullopt;
    const char unit = *end;
    double factor = 0;
    if (!time && unit == 'W') factor = 604800;
    if (!time && unit == 'D') factor = 86400;
    if (time && unit == 'H') factor = 3600;
    if (time && unit == 'M') factor = 60;
    if (time && unit == 'S') factor = 1;
    if (factor == 0) return std::nullopt;
    // Whole units are added exactly; a fraction of a second is all that is left to a double.
    if (amount * factor > 9e11) return std::nullopt;
    whole += static_cast<std::int64_t>(amount) * static_cast<std::int64_t>(factor);
    seconds += (amount - std::floor(amount)) * factor;
    any = true;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  }
  if (!any) return std::nullopt;
  const auto us = whole * 1'000'000 + std::llround(seconds * 1e6);
  return Duration(negative ? -us : us);
}

std::string format_duration(Duration d) {
  const bool negative = d.count() < 0;
  const auto us = negative ? 0 - static_cast<std::uint64_t>(d.count()) : static_cast<std::uint64_t>(d.count());
  const auto days = us / 86'400'000'000;
  const auto rest = us % 86'400'000'000;
  std::string text = negative ? "-P" : "P";
  if (days > 0) text += std::to_string(days) + "D";
  if (rest > 0 || days == 0) {
    text += "T" + std::to_string(rest / 1'000'000);
    if (auto micros = rest % 1'000'000; micros > 0) {
      std::string digits = std::to_string(micros + 1'000'000).substr(1);
      while (digits.back() == '0') digits.pop_back();
      text += "." + digits;
    }
    text += "S";
  }
  return text;
}

}  // namespace cogwork
