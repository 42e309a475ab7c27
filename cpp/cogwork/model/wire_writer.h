#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "cogwork/base/id.h"
#include "cogwork/base/time.h"

namespace cogwork {

/// Writes msgpack, value by value: for messages and reports. Who opens an array or a map says how many values, or pairs, follow.
class WireWriter {
 public:
  std::string take() { return std::move(out_); }

  WireWriter& array(std::size_t items);
  WireWriter& map(std::size_t pairs);
  WireWriter& nil();
  WireWriter& boolean(bool value);
  WireWriter& integer(std::int64_t value);
  WireWriter& unsigned_integer(std::uint64_t value);
  WireWriter& number(double value);
  /// Text that is not UTF-8 is mended: what is read back is always text.
  WireWriter& text(std::string_view value);
  WireWriter& bin(std::string_view value);
  /// Bytes that are one msgpack value already.
  WireWriter& raw(std::string_view value);
  /// Microseconds since 1970, or nil.
  WireWriter& micros(Time value);

  // A pair of a map.
  WireWriter& text(std::string_view key, std::string_view value) { return text(key).text(value); }
  WireWriter& id(std::string_view key, const Id& value) { return text(key).text(value.text()); }
  WireWriter& integer(std::string_view key, std::int64_t value) { return text(key).integer(value); }
  WireWriter& count(std::string_view key, std::uint64_t value) { return text(key).unsigned_integer(value); }
  WireWriter& boolean(std::string_view key, bool value) { return text(key).boolean(value); }
  WireWriter& number(std::string_view key, double value) { return text(key).number(value); }
  WireWriter& micros(std::string_view key, Time value) { return text(key).micros(value); }
  WireWriter& nil(std::string_view key) { return text(key).nil(); }

 private:
  std::string out_;
};

}  // namespace cogwork
