#include "cogwork/cogs/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <cstdint>
#include <utility>
#include <vector>

#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

namespace js = boost::json;

constexpr std::size_t kDeepest = 200;
constexpr std::size_t kShown = 40;

/// Writes what the parser finds. Of lists and maps msgpack wants the size first, so each has a writer of its own until its end.
struct Handler {
  static constexpr std::size_t max_array_size = UINT32_MAX;
  static constexpr std::size_t max_object_size = UINT32_MAX;
  static constexpr std::size_t max_string_size = SIZE_MAX;
  static constexpr std::size_t max_key_size = SIZE_MAX;

  using Text = js::string_view;
  using Code = boost::system::error_code;

  std::vector<WireWriter> open{1};
  std::string text;  // that comes in parts
  bool repr = false;

  WireWriter& to() { return open.back(); }
  std::string whole(Text last) { return std::exchange(text, {}).append(last.data(), last.size()); }
  bool part(Text some) {
    text.append(some.data(), some.size());
    return true;
  }
  bool close(std::size_t count, bool is_map) {
    const auto inside = to().take();
    open.pop_back();
    is_map ? to().map(count) : to().array(count);
    to().raw(inside);
    return true;
  }

  static bool on_document_begin(Code&) { return true; }
  static bool on_document_end(Code&) { return true; }
  bool on_array_begin(Code&) { return open.emplace_back(), true; }
  bool on_array_end(std::size_t count, Code&) { return close(count, false); }
  bool on_object_begin(Code&) { return open.emplace_back(), true; }
  bool on_object_end(std::size_t count, Code&) { return close(count, true); }
  bool on_string_part(Text some, std::size_t, Code&) { return part(some); }
  bool on_string(Text last, std::size_t, Code&) { return to().text(whole(last)), true; }
  bool on_key_part(Text some, std::size_t, Code&) { return part(some); }
  bool on_key(Text last, std::size_t, Code&) { return to().text(whole(last)), true; }
  bool on_number_part(Text some, Code&) { return part(some); }
  bool on_int64(std::int64_t value, Text, Code&) { return text.clear(), to().integer(value), true; }
  bool on_uint64(std::uint64_t value, Text, Code&) { return text.clear(), to().unsigned_integer(value), true; }
  bool on_double(double value, Text last, Code&) {
    const auto digits = whole(last);
    if (digits.find_first_of(".eE") != digits.npos) return to().number(value), true;
    repr = true;
    return to().text(digits), true;
  }
  bool on_bool(bool value, Code&) { return to().boolean(value), true; }
  bool on_null(Code&) { return to().nil(), true; }
  static bool on_comment_part(Text, Code&) { return true; }
  static bool on_comment(Text, Code&) { return true; }
};

}  // namespace

std::optional<FromJson> json_to_msgpack(std::string_view json, std::string& problem) {
  if (json.find_first_not_of(" \t\r\n") == json.npos) {
    problem = "it is empty";
    return std::nullopt;
  }
  js::parse_options options;
  options.max_depth = kDeepest;
  options.numbers = js::number_precision::precise;
  js::basic_parser<Handler> parser(options);
  boost::system::error_code error;
  const auto at = parser.write_some(false, json.data(), json.size(), error);
  if (!error && json.find_first_not_of(" \t\r\n", at) != json.npos) error = js::make_error_code(js::error::extra_data);
  if (error) {
    problem = error.message() + " at byte " + std::to_string(at);
    problem += at < json.size() ? ", where it says " + quote(json.substr(at, kShown)) : ", its end";
    return std::nullopt;
  }
  auto& handler = parser.handler();
  return FromJson{handler.to().take(), handler.repr};
}

}  // namespace cogwork
