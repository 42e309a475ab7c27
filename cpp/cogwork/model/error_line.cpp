#include "cogwork/model/error_line.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "cogwork/base/utf8.h"

namespace cogwork {
namespace {

constexpr std::size_t kMost = 500;
constexpr std::string_view kHeader = "Traceback (most recent call last):";
constexpr std::string_view kGroupHeader = "Exception Group Traceback (most recent call last):";
constexpr std::string_view kCause = "The above exception was the direct cause of the following exception:";
constexpr std::string_view kContext = "During handling of the above exception, another exception occurred:";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n\f\v");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n\f\v") + 1 - begin);
}

/// Takes lines off the front of a text.
struct Lines {
  std::string_view rest;
  std::optional<std::string_view> next() {
    if (rest.empty()) return std::nullopt;
    const auto end = std::min(rest.find('\n'), rest.size());
    const auto line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return line;
  }
};

/// A line of a traceback, within exception groups or not. Theirs are drawn as a tree: `  | text`, `  +-+---- 1 ----`, `    +---- 2 ----`.
struct Line {
  enum Kind : std::uint8_t {
    BLANK,
    HEADER,  ///< A traceback begins.
    CHAIN,   ///< The exception above led to the one below.
    INSIDE,  ///< Of a frame, or the text of a syntax error.
    TEXT,    ///< An exception, or more of its message.
    OPENS,   ///< The exception above is a group; its first one follows.
    NEXT,    ///< Another one of the group follows.
    CLOSES,  ///< That was the group's last one.
  } kind = BLANK;
  bool in_group = false;
  std::string_view text;
};

constexpr std::string_view kDashes = "----------------";
constexpr std::string_view kOpens = "+-+---------------- ";
constexpr std::string_view kClose = "+------------------------------------";

/// The line between two exceptions of a group.
std::optional<Line::Kind> rule(std::string_view text) {
  if (text == kClose) return Line::CLOSES;
  const bool opens = text.starts_with("+-+");
  text.remove_prefix(opens ? 3 : 1);
  if (text.size() <= 2 * kDashes.size() || !text.starts_with(kDashes) || !text.ends_with(kDashes)) return std::nullopt;
  const auto title = trimmed(text.substr(kDashes.size(), text.size() - 2 * kDashes.size()));
  if (title != "..." && title.find_first_not_of("0123456789") != title.npos) return std::nullopt;
  return opens ? Line::OPENS : Line::NEXT;
}

Line read_line(std::string_view raw) {
  Line line;
  auto text = raw;
  const auto mark = raw.find_first_not_of(' ');
  if (mark != raw.npos && raw[mark] == '+') {
    if (const auto kind = rule(trimmed(raw))) return {*kind, true, {}};
  }
  if (mark != raw.npos && (raw[mark] == '|' || raw.substr(mark).starts_with("+ Exception Group"))) {
    line.in_group = true;
    text = raw.substr(std::min(mark + 2, raw.size()));
  }
  line.text = text;
  const auto bare = trimmed(text);
  if (bare.empty()) return line;
  if (bare == kHeader || bare == kGroupHeader || bare == "Traceback") {
    line.kind = Line::HEADER;
  } else if (bare == kCause || bare == kContext) {
    line.kind = Line::CHAIN;
  } else {
    line.kind = text.front() == ' ' ? Line::INSIDE : Line::TEXT;
  }
  return line;
}

/// The type in `pkg.mod.Error: text`; nothing where it does not begin with one.
std::string_view type_of(std::string_view exception) {
  const auto type = exception.substr(0, std::min(exception.find(':'), exception.size()));
  const bool is_name =
      !type.empty() && (type.front() < '0' || type.front() > '9') && std::all_of(type.begin(), type.end(), [](unsigned char c) {
        return c >= 0x80 || c == '_' || c == '.' || c == '<' || c == '>' || (c >= '0' && c <= '9') ||
               ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
      });
  return is_name ? type : std::string_view();
}

/// Of a text that begins with a traceback.
std::string last_exception(Lines lines) {
  std::string found;       // the exception that was read last
  std::string first_leaf;  // of the group
  std::uint64_t leaves = 0;
  bool due = true;      // the next text names an exception
  bool empty = false;   // its message goes on below
  bool chained = true;  // a header begins another exception, and is no part of a message
  const auto settle = [&] {
    if (found.empty()) return;
    if (leaves++ == 0) first_leaf = std::move(found);
    found.clear();
  };
  while (const auto raw = lines.next()) {
    const auto line = read_line(*raw);
    switch (line.kind) {
      case Line::BLANK: continue;
      case Line::INSIDE:
      case Line::TEXT: {
        const auto said = trimmed(line.text);
        std::uint64_t more = 0;
        if (due && line.kind == Line::TEXT && line.in_group && said.starts_with("and ") &&
            std::from_chars(said.data() + 4, said.data() + said.size(), more).ptr != said.data() + 4 &&
            said.find(" more exception") != said.npos) {
          leaves += more;  // a wide group is not written in full
        } else if (due && line.kind == Line::TEXT) {
          const auto type = type_of(said);
          found = said.substr(type.rfind('.') + 1);  // of no dot: npos + 1
          empty = !type.empty() && said.size() == type.size() + 1;
          due = false;
        } else if (empty && !due) {
          found += " " + std::string(said);
          empty = false;
        }
        break;
      }
      case Line::HEADER:
        if (chained) due = true;
        break;
      case Line::CHAIN:
        due = chained = true;  // what follows may have no traceback
        found.clear();
        if (!line.in_group) leaves = 0;
        continue;
      case Line::OPENS:
        found.clear();
        due = true;
        break;
      case Line::NEXT:
        settle();
        due = true;
        break;
      case Line::CLOSES: settle(); break;
    }
    chained = line.kind == Line::OPENS || line.kind == Line::NEXT;
  }
  if (leaves == 0) return found;
  return leaves == 1 ? first_leaf : first_leaf + " (first of " + std::to_string(leaves) + ")";
}

}  // namespace

std::string error_line(std::string_view text) {
  Lines lines{text};
  for (auto before = lines; const auto raw = lines.next(); before = lines) {
    const auto line = read_line(*raw);
    if (line.kind == Line::BLANK) continue;
    const bool traceback = line.kind == Line::HEADER || (line.in_group && text.find(kOpens) != text.npos);
    std::string said = traceback ? last_exception(before) : std::string(trimmed(*raw));
    if (said.empty()) said = trimmed(*raw);
    return said.size() <= kMost ? said : std::string(cut_utf8(said, kMost - 3)) + "...";
  }
  return {};
}

}  // namespace cogwork
