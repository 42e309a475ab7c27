#include "cogwork/base/id.h"

#include <cstring>

namespace cogwork {
namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr bool is_dash(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Id Id::make(Random& random) {
  Id id;
  const std::uint64_t words[2] = {random.next(), random.next()};
  std::memcpy(id.bytes.data(), words, 12);
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

std::optional<Id> Id::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Id id;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_dash(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int value = hex_value(text[i]);
    if (value < 0) return std::nullopt;
    auto& byte = id.bytes[digits / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | value);
    ++digits;
  }
  return id;
}

std::string Id::text() const {
  std::string out(36, '-');
  std::size_t digits = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (is_dash(i)) continue;
    const auto byte = bytes[digits / 2];
    out[i] = kHex[digits % 2 == 0 ? byte >> 4 : byte & 0x0f];
    ++digits;
  }
  return out;
}

std::uint32_t Id::ordinal() const {
  return std::uint32_t{bytes[12]} << 24 | std::uint32_t{bytes[13]} << 16 | std::uint32_t{bytes[14]} << 8 | bytes[15];
}

Id Id::with_ordinal(std::uint32_t ordinal) const {
  Id id = *this;
  for (int i = 0; i < 4; ++i) id.bytes[static_cast<std::size_t>(15 - i)] = static_cast<std::uint8_t>(ordinal >> (8 * i));
  return id;
}

}  // namespace cogwork

std::size_t std::hash<cogwork::Id>::operator()(const cogwork::Id& id) const noexcept {
  // The prefix is random already; the ordinal tells the objects of one Labor apart.
  std::uint64_t head = 0;
  std::memcpy(&head, id.bytes.data(), sizeof head);
  return static_cast<std::size_t>(head ^ (std::uint64_t{id.ordinal()} * 0x9e3779b97f4a7c15ULL));
}
