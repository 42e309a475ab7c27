#pragma once

#include <string>
#include <string_view>

namespace cogwork {

/// What an error says, in one line of at most 500 bytes, for lists and logs.
///
/// Of a Python traceback the type of the last exception, without its module, and the first line of its message: what follows there - settings, a
/// closing brace, notes - says less. Of an exception group its first leaf, and how many there are: `OSError: refused (first of 3)`. Of any
/// other text its first line.
std::string error_line(std::string_view text);

}  // namespace cogwork
