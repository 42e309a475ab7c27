#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cogwork/base/time.h"

namespace cogwork {

/// Pulls values out of msgpack bytes, one after another, without building a tree of them: a document of a million Jobs is
/// read in one pass, and args and outputs are kept as the spans of bytes that they are. (msgpack-c, which writes and checks all
/// msgpack here, reads either a whole tree or by call-backs that do not tell where in the bytes they are.)
///
/// A malformed or truncated input makes `ok()` false, and from then on everything reads as nil of no length.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  enum class Type : std::uint8_t { NIL, BOOL, INT, FLOAT, TEXT, BIN, ARRAY, MAP, EXT, BROKEN };

  bool ok() const { return ok_; }
  bool at_end() const { return at_ == bytes_.size(); }
  std::size_t position() const { return at_; }
  void fail() {
    ok_ = false;
    at_ = bytes_.size();
  }

  /// The kind of the next value, which stays unread.
  Type peek() const;

  /// Each reads one value of its kind; where the next one is another, nothing is returned and it stays unread.
  bool nil();
  std::optional<bool> boolean();
  std::optional<std::int64_t> integer();  ///< Also fails, unread, where it does not fit.
  std::optional<double> number();         ///< INT or FLOAT.
  std::optional<std::string_view> text();
  std::optional<std::string_view> bin();
  std::optional<std::uint32_t> array();  ///< How many values follow.
  std::optional<std::uint32_t> map();    ///< How many pairs follow.
  std::optional<Time> timestamp();       ///< msgpack's extension -1.

  /// Reads one whole value, however deep, and returns its bytes. Fails on malformed ones, and beyond 512 levels.
  std::string_view value();

  /// The next value in few words, for messages: "text 'abc'", "a list". It stays unread.
  std::string describe() const;

 private:
  struct Head {
    Type type = Type::BROKEN;
    std::size_t size = 0;        // of head and immediate value (not of text, items or ext payload)
    std::uint64_t length = 0;    // of text, bin, ext payload; items of array and map
    std::int64_t integer = 0;
    bool too_large = false;      // an unsigned beyond int64
    double number = 0;
    std::int8_t ext = 0;
  };
  Head head() const;
  std::string_view take(std::size_t n);

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

/// Whether the bytes are UTF-8.
bool is_utf8(std::string_view text);

/// ISO 8601 durations as msgspec writes them: "PT30S", "P1DT0.5S", "-PT1M".
std::optional<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration d);

}  // namespace cogwork
