#include "cogwork/base/utf8.h"

#include <cstdint>
#include <cstring>

namespace cogwork {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// The length of the character that `text`, which is not empty, begins with; 0 where it begins with none.
std::size_t character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const std::size_t size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  if (lead == 0xe0 && second < 0xa0) return 0;  // overlong
  if (lead == 0xed && second > 0x9f) return 0;  // a surrogate
  if (lead == 0xf0 && second < 0x90) return 0;  // overlong
  if (lead == 0xf4 && second > 0x8f) return 0;  // beyond U+10FFFF
  return size;
}

/// How many bytes from `at` on are ASCII, eight at a time: most text is.
std::size_t ascii_run(std::string_view text, std::size_t at) {
  const auto begin = at;
  for (std::uint64_t eight = 0; at + sizeof eight <= text.size(); at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if ((eight & 0x8080808080808080ULL) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at - begin;
}

/// Where the first byte stands that belongs to no character; the size where there is none.
std::size_t first_fault(std::string_view text, std::size_t at) {
  while ((at += ascii_run(text, at)) < text.size()) {
    const auto size = character(text.substr(at));
    if (size == 0) break;
    at += size;
  }
  return at;
}

}  // namespace

bool is_utf8(std::string_view text) { return first_fault(text, 0) == text.size(); }

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = first_fault(text, at);
    out.append(text.substr(at, end - at));
    if (end < text.size()) out.append("\xef\xbf\xbd");
    at = end + 1;
  }
  return out;
}

std::string_view cut_utf8(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  // Back to where a character begins. Bytes that are no text are cut where they are.
  std::size_t end = most;
  while (end > 0 && most - end < 4 && is_continuation(text[end])) --end;
  return text.substr(0, is_continuation(text[end]) ? most : end);
}

}  // namespace cogwork
