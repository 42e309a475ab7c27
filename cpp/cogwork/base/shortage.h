#pragma once

#include <string>
#include <system_error>

namespace cogwork {

/// Whether the system says that it gives no more of something now: descriptors, memory, threads. Waiting may help.
bool is_shortage(const std::error_code& code);

/// Throws a ResourceError that says so, with what helps. what: who needed it, "an engine" say.
[[noreturn]] void throw_shortage(const std::string& what, const std::error_code& code);

}  // namespace cogwork
