#pragma once

#include <string>
#include <string_view>

namespace cogwork {

/// Whether the bytes are UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

/// The text with each byte that belongs to no character replaced by U+FFFD. What a Cog prints may be anything; what is
/// written as text must be text, or no reader can decode the whole document around it.
std::string repair_utf8(std::string_view text);

/// At most `most` bytes from the beginning, and no character cut in two.
std::string_view cut_utf8(std::string_view text, std::size_t most);

}  // namespace cogwork
