#include "cogwork/base/suggest.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace cogwork {
namespace {

/// Letters beyond this are no slip of the hand, and comparing takes the product of both lengths.
constexpr std::size_t kLongestCompared = 64;

bool same_letter(char a, char b) {
  const auto lower = [](char c) { return c == '-' ? '_' : std::tolower(static_cast<unsigned char>(c)); };
  return lower(a) == lower(b);
}

/// How many letters must be put in, taken out, replaced, or swapped with their neighbour.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (same_letter(a[i - 1], b[j - 1]) ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > kLongestCompared) return {};
  std::size_t nearest = std::max<std::size_t>(1, word.size() / 3) + 1;
  std::string_view best;
  for (const auto candidate : candidates) {
    if (candidate.size() > kLongestCompared) continue;
    if (const auto d = distance(word, candidate); d < nearest) {
      nearest = d;
      best = candidate;
    }
  }
  return best.empty() ? std::string() : " - did you mean '" + std::string(best) + "'?";
}

}  // namespace cogwork
