#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cogwork {

/// One JSON value as msgpack.
struct FromJson {
  std::string value;
  bool repr = false;  ///< It holds whole numbers beyond 64 bits, which msgpack has not: they are texts of their digits (X9).
};

/// Nothing where it is none; `problem` says what is wrong, and where.
std::optional<FromJson> json_to_msgpack(std::string_view json, std::string& problem);

}  // namespace cogwork
