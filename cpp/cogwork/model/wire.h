#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cogwork/base/time.h"
#include "cogwork/base/utf8.h"

namespace cogwork {

/// Pulls values out of msgpack bytes, one after another, without building a tree of them: a document of a million Jobs is
/// read in one pass, and args and outputs are kept as the spans of bytes that they are. (msgpack-c, which writes all msgpack
/// here, reads either a whole tree or by call-backs that do not tell where in the bytes they are.)
///
/// The bytes may be anything. What is malformed or cut off is of type BROKEN, and nothing can be read from there on.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}

  enum class Type : std::uint8_t { NIL, BOOL, INT, FLOAT, TEXT, BIN, ARRAY, MAP, EXT, BROKEN };

  bool ok() const { return ok_; }
  bool at_end() const { return at_ == bytes_.size(); }
  std::size_t position() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
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
  std::optional<Time> timestamp();       ///< msgpack's extension -1, where it is a time that calendars hold (see is_calendar).
  std::optional<int> extension() const;  ///< The code of an extension, which stays unread.

  /// Reads one whole value and returns its bytes. Fails - ok() is false then - on malformed ones, on text that is not UTF-8,
  /// and on lists and maps nested deeper than `deepest`.
  std::string_view value(std::size_t deepest = kDeepest);
  static constexpr std::size_t kDeepest = 512;         ///< Of what is kept.
  static constexpr std::size_t kDeepestRead = 10'000;  ///< Of an answer from outside, in which a part may be too deep to be kept.

  /// The next value in few words, for messages: "the text 'abc'", "a list". It stays unread.
  std::string describe() const;

 private:
  struct Head {
    Type type = Type::BROKEN;
    std::size_t size = 0;      // of head and immediate value (not of text, items or ext payload)
    std::uint64_t length = 0;  // of text, bin, ext payload; items of array, pairs of map
    std::int64_t integer = 0;
    bool too_large = false;  // an unsigned beyond int64
    double number = 0;
    std::int8_t ext = 0;
  };
  Head head() const;
  std::string_view take(std::size_t n);

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

/// Whether the bytes are one msgpack value that WireReader::value() takes, and nothing behind it. What answers from outside -
/// a process Cog, a client - is asked this before it is stored.
bool is_msgpack(std::string_view bytes, std::size_t deepest = WireReader::kDeepest);

/// Why one msgpack value (see is_msgpack) cannot be kept as args or an output; empty where it can. Whoever reads it back, Python first, must
/// be able to hold it: it is nested at most WireReader::kDeepest deep, no key holds a mapping or an extension, and what says that it is a
/// time is one between the years 1 and 9999.
std::string_view why_not_kept(std::string_view value);

/// Any bytes as one msgpack value, of the kind BIN.
std::string as_bin(std::string_view bytes);

/// What calendars hold, and Python's datetime: what is stored as a time lies between.
inline constexpr Time kCalendarBegin = std::chrono::sys_days(std::chrono::January / 1 / 1);
inline constexpr Time kCalendarEnd = Time(std::chrono::sys_days(std::chrono::January / 1 / 10'000)) - Duration(1);
constexpr bool is_calendar(Time t) { return kCalendarBegin <= t && t <= kCalendarEnd; }

/// A number in few letters, for messages: "1.5", "1e+20".
std::string short_number(double value);
/// The first 80 bytes of a text in quotes, fit for a message: control characters are shown as escapes.
std::string quote(std::string_view text);

/// ISO 8601 durations, as msgspec writes them ("PT30S", "P1DT0.5S", "-P1D") and as people do ("P2W", "PT1H30M"). What is finer
/// than a microsecond is dropped. Nothing where it is none, or longer than kLongestDuration either way.
std::optional<Duration> parse_duration(std::string_view text);
/// A number of seconds; nothing where it is not finite or too long.
std::optional<Duration> duration_of(double seconds);
std::string format_duration(Duration d);
/// A time-out of 30,000 years is as good as none, and sums of a few such with any calendar time stay within 64 bits.
inline constexpr Duration kLongestDuration = std::chrono::days(11'000'000);

}  // namespace cogwork
