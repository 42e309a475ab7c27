#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cogwork::pack {

// msgpack by hand, for tests that say what a document holds: map({{"name", text("edge")}, {"tasks", list({})}}). It knows nothing of
// the code under test, and can write what that would not.

using Bytes = std::string;

inline Bytes big(std::uint64_t value, int width) {
  Bytes out;
  for (int i = width - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}
inline Bytes head(unsigned char byte) { return Bytes(1, static_cast<char>(byte)); }

inline Bytes nil() { return head(0xc0); }
inline Bytes boolean(bool value) { return head(value ? 0xc3 : 0xc2); }
inline Bytes whole(std::int64_t value) {
  if (value >= 0 && value < 128) return head(static_cast<unsigned char>(value));
  return head(0xd3) + big(static_cast<std::uint64_t>(value), 8);
}
inline Bytes unsigned_whole(std::uint64_t value) { return head(0xcf) + big(value, 8); }
inline Bytes number(double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return head(0xcb) + big(bits, 8);
}
inline Bytes text(std::string_view value) { return head(0xdb) + big(value.size(), 4) + Bytes(value); }
inline Bytes binary(std::string_view value) { return head(0xc6) + big(value.size(), 4) + Bytes(value); }
inline Bytes list(const std::vector<Bytes>& items) {
  Bytes out = head(0xdd) + big(items.size(), 4);
  for (const auto& item : items) out += item;
  return out;
}
using Fields = std::vector<std::pair<std::string, Bytes>>;
inline Bytes map(const Fields& fields) {
  Bytes out = head(0xdf) + big(fields.size(), 4);
  for (const auto& [name, value] : fields) out += text(name) + value;
  return out;
}

}  // namespace cogwork::pack
