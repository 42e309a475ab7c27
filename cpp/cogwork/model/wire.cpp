#include "cogwork/model/wire.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <vector>

#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

template <typename T>
T big_endian(const char* p) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | static_cast<unsigned char>(p[i]));
  return value;
}

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
    h.length = width == 1   ? big_endian<std::uint8_t>(p + 1)
               : width == 2 ? big_endian<std::uint16_t>(p + 1)
                            : big_endian<std::uint32_t>(p + 1);
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
  if (h.type == Type::ARRAY && h.length > left - h.size) h.type = Type::BROKEN;
  if (h.type == Type::MAP && h.length > (left - h.size) / 2) h.type = Type::BROKEN;
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

std::optional<int> WireReader::extension() const {
  const auto h = head();
  return h.type == Type::EXT ? std::optional<int>(h.ext) : std::nullopt;
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
  constexpr auto kSecond = 1'000'000;
  if (nanos > 999'999'999 || seconds < to_micros(kCalendarBegin) / kSecond || seconds > to_micros(kCalendarEnd) / kSecond)
    return std::nullopt;
  take(h.size + h.length);
  return from_micros(seconds * kSecond + nanos / 1000);
}

namespace {

/// The lists and maps that are open around a value, and how many values are still to come in each. Most are few: they take no memory of
/// their own.
class Nesting {
 public:
  std::size_t depth() const { return depth_; }
  void open(std::uint64_t values, bool is_map) {
    if (depth_ < few_.size()) {
      few_[depth_] = {values, is_map};
    } else {
      many_.push_back({values, is_map});
    }
    ++depth_;
  }
  /// One value of the innermost is there.
  void count() {
    if (depth_ > 0) --innermost().to_come;
  }
  /// Leaves those that are whole.
  void close() {
    for (; depth_ > 0 && innermost().to_come == 0; --depth_) {
      if (!many_.empty()) many_.pop_back();
    }
  }
  /// Whether the next value is a map's key.
  bool at_key() { return depth_ > 0 && innermost().is_map && innermost().to_come % 2 == 0; }

 private:
  struct Level {
    std::uint64_t to_come = 0;
    bool is_map = false;
  };
  Level& innermost() { return many_.empty() ? few_[depth_ - 1] : many_.back(); }

  std::array<Level, 16> few_;
  std::vector<Level> many_;
  std::size_t depth_ = 0;
};

}  // namespace

std::string_view WireReader::value(std::size_t deepest) {
  const auto begin = at_;
  Nesting nesting;
  do {
    const auto h = head();
    if (h.type == Type::BROKEN) return fail(), std::string_view();
    at_ += h.size;
    nesting.count();
    if (h.type == Type::ARRAY || h.type == Type::MAP) {
      if (nesting.depth() == deepest) return fail(), std::string_view();
      nesting.open(h.type == Type::MAP ? 2 * h.length : h.length, h.type == Type::MAP);
    } else if (h.type == Type::TEXT || h.type == Type::BIN || h.type == Type::EXT) {
      if (h.type == Type::TEXT && !is_utf8(bytes_.substr(at_, h.length))) return fail(), std::string_view();
      at_ += h.length;
    }
    nesting.close();
  } while (nesting.depth() > 0);
  return bytes_.substr(begin, at_ - begin);
}

std::string WireReader::describe() const {
  const auto h = head();
  switch (h.type) {
    case Type::NIL: return "None";
    case Type::BOOL: return h.integer ? "True" : "False";
    case Type::INT: return h.too_large ? "a number that is too large" : "the number " + std::to_string(h.integer);
    case Type::FLOAT: return "the number " + short_number(h.number);
    case Type::TEXT: {
      const auto text = bytes_.substr(at_ + h.size, h.length);
      return is_utf8(text) ? "the text " + quote(text) : "text that is not UTF-8";
    }
    case Type::BIN: return "bytes";
    case Type::ARRAY: return "a list";
    case Type::MAP: return "a mapping";
    case Type::EXT: return h.ext == -1 ? "a time" : "an extension value";
    case Type::BROKEN: break;
  }
  return "broken msgpack";
}

bool is_msgpack(std::string_view bytes, std::size_t deepest) {
  WireReader in(bytes);
  in.value(deepest);
  return in.ok() && in.at_end();
}

std::string_view why_not_kept(std::string_view value) {
  using Type = WireReader::Type;
  WireReader in(value);
  Nesting nesting;
  std::size_t key_depth = 0;  // where the next value is a key, or a part of one: how deep that key stands
  do {
    if (key_depth == 0 || nesting.depth() <= key_depth) key_depth = nesting.at_key() ? nesting.depth() : 0;
    nesting.count();
    switch (in.peek()) {
      case Type::ARRAY:
      case Type::MAP: {
        const bool is_map = in.peek() == Type::MAP;
        if (is_map && key_depth > 0) return "a mapping stands in a key";
        if (nesting.depth() == WireReader::kDeepest) return "it is nested more than 512 levels deep";
        nesting.open(is_map ? 2 * std::uint64_t{*in.map()} : *in.array(), is_map);
        break;
      }
      case Type::EXT:
        if (in.extension() != -1) {
          if (key_depth > 0) return "an extension value stands in a key";
          in.value();
        } else if (!in.timestamp()) {
          return "what says that it is a time is none between the years 1 and 9999";
        }
        break;
      default: in.value();
    }
    if (!in.ok()) return "it is cut off, no msgpack, or holds text that is not UTF-8";
    nesting.close();
  } while (nesting.depth() > 0);
  return {};
}

std::string as_bin(std::string_view bytes) { return WireWriter().bin(bytes).take(); }

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

std::string quote(std::string_view text) {
  constexpr std::size_t kShown = 80;
  const auto shown = cut_utf8(text, kShown);
  std::string out = "'";
  for (const char c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  if (shown.size() < text.size()) out += "...";
  return out += "'";
}

// Exact, in whole microseconds: no double comes near it.
std::optional<Duration> parse_duration(std::string_view text) {
  constexpr auto kMost = static_cast<std::uint64_t>(kLongestDuration.count());
  const auto take = [&text](char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
  };
  const bool negative = take('-');
  if (!negative) take('+');
  if (!take('P')) return std::nullopt;

  struct Unit {
    char letter;
    bool of_day;  // stands behind the T
    std::uint64_t seconds;
  };
  static constexpr std::array<Unit, 5> kUnits = {
      {{'W', false, 604'800}, {'D', false, 86'400}, {'H', true, 3'600}, {'M', true, 60}, {'S', true, 1}}};
  std::uint64_t micros = 0;
  std::size_t next = 0;  // units come in order, each at most once
  bool of_day = false, any = false;
  while (!text.empty()) {
    if (!of_day && take('T')) {
      of_day = true;
      any = false;  // something must follow
      continue;
    }
    // Of a fraction seven digits count, so that a week's microseconds times it stay within 64 bits.
    std::uint64_t whole = 0, fraction = 0, scale = 1;
    std::size_t digits = 0;
    const auto is_digit = [&text] { return !text.empty() && text.front() >= '0' && text.front() <= '9'; };
    for (; is_digit(); text.remove_prefix(1), ++digits) {
      whole = whole * 10 + static_cast<std::uint64_t>(text.front() - '0');
      if (whole > kMost) return std::nullopt;
    }
    if (digits == 0) return std::nullopt;
    if (take('.') || take(',')) {
      if (!is_digit()) return std::nullopt;
      for (; is_digit(); text.remove_prefix(1)) {
        if (scale == 10'000'000) continue;
        fraction = fraction * 10 + static_cast<std::uint64_t>(text.front() - '0');
        scale *= 10;
      }
    }
    if (text.empty()) return std::nullopt;
    while (next < kUnits.size() && (kUnits[next].letter != text.front() || kUnits[next].of_day != of_day)) ++next;
    if (next == kUnits.size()) return std::nullopt;
    const auto per_unit = kUnits[next++].seconds * 1'000'000;
    text.remove_prefix(1);
    if (whole > kMost / per_unit) return std::nullopt;
    micros += whole * per_unit + fraction * per_unit / scale;
    if (micros > kMost) return std::nullopt;
    any = true;
  }
  if (!any) return std::nullopt;
  const auto count = static_cast<std::int64_t>(micros);
  return Duration(negative ? -count : count);
}

std::optional<Duration> duration_of(double seconds) {
  constexpr auto kMost = static_cast<double>(kLongestDuration.count());
  const double micros = seconds * 1e6;
  if (!(std::abs(micros) <= kMost)) return std::nullopt;  // of NaN, no comparison holds
  return Duration(std::llround(micros));
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
