#pragma once

#include <string>
#include <string_view>

namespace cogwork {

struct Launch;

/// The file that a Launch means: as execvp looks for it, with the PATH that the program will have. Throws Error, saying what is
/// wrong.
std::string find_executable(const Launch& launch);

/// A line as Python writes a list of its words: "['ls', '-l']". For hints: it knows nothing of a shell's quotes.
std::string as_words(std::string_view line);

/// Why the kernel would not execute a file that is there and executable, as far as its first bytes tell: it has no `#!` line, the
/// interpreter that one names is not there, its lines end as Windows ends them. Begins with "; ", or is empty.
std::string why_not_executed(const std::string& path, int error);

}  // namespace cogwork
