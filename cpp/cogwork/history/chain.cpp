#include "cogwork/history/chain.h"

#include <algorithm>
#include <array>
#include <string>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

using Link = std::array<std::uint8_t, 16>;

/// Rows that do not fit are compared with each other: more than that are not looked at for the place that they came from.
constexpr std::size_t kMostMoved = 64;

class Chain {
 public:
  explicit Chain(const std::vector<HistoryRow>& rows) : rows_(rows) {}

  std::vector<Finding> run(std::size_t most) {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (chain_link(before(i), rows_[i]) != rows_[i].link) broken_.push_back(i);
    }
    std::vector<Finding> findings;
    for (std::size_t i = 0, next = 0; i < rows_.size() && findings.size() < most; ++i) {
      const bool is_broken = next < broken_.size() && broken_[next] == i;
      if (is_broken) ++next;
      const auto& row = rows_[i];
      std::string what;
      if (is_broken) {
        what = why(i);
      } else if (const auto damage = damage_of(row); !damage.empty()) {
        what = damage;
      } else if (i > 0 && row.first < rows_[i - 1].first + rows_[i - 1].count) {
        what = "its number is one that the row before holds too";
      }
      if (!what.empty()) findings.push_back({Finding::Kind::CHAIN, row.first, row.at, 0, std::move(what)});
    }
    return findings;
  }

 private:
  Link before(std::size_t i) const { return i == 0 ? Link{} : rows_[i - 1].link; }

  static std::string damage_of(const HistoryRow& row) {
    try {
      unpack_changes(row);
      return {};
    } catch (const StorageError&) {
      return "its bytes are damaged: they are no changes";
    }
  }

  /// What happened to a row that does not follow from the one before it.
  std::string why(std::size_t i) const {
    const auto& row = rows_[i];
    if (const auto* from = moved_from(row)) {
      return "what stands here was written as the row of change " + std::to_string(*from) + ": rows were exchanged or moved";
    }
    if (follows_another(row, i)) {
      return "it follows another row than the one before it: rows were moved, or one was put between";
    }
    if (auto damage = damage_of(row); !damage.empty()) return damage;
    const std::uint64_t next = i == 0 ? 1 : rows_[i - 1].first + rows_[i - 1].count;
    const bool gap = row.first != next;  // in which other Labors' rows may lie, or rows of this one that are gone
    if (i == 0)
      return gap ? "it is not as the first row was written: it was changed, or rows before it are missing" : "it was changed";
    return "it does not follow from the row of change " + std::to_string(rows_[i - 1].first) +
           (gap ? ": it was changed, or rows between are missing" : ", which it stands right behind: it was changed");
  }

  /// The number under which the row's contents were written, where it is that of another row that does not fit.
  const std::uint64_t* moved_from(HistoryRow row) const {
    const auto own = row.first;
    const Link link = row.link;
    const auto most = std::min(broken_.size(), kMostMoved);
    for (std::size_t a = 0; a < most; ++a) {
      const auto& place = rows_[broken_[a]];
      if (place.first == own) continue;
      row.first = place.first;
      for (std::size_t b = 0; b < most; ++b) {
        if (chain_link(before(broken_[b]), row) == link || chain_link(rows_[broken_[b]].link, row) == link) return &place.first;
      }
    }
    return nullptr;
  }

  bool follows_another(const HistoryRow& row, std::size_t i) const {
    if (broken_.size() > kMostMoved) return false;
    for (std::size_t j = 0; j < rows_.size(); ++j) {
      if (j + 1 != i && chain_link(rows_[j].link, row) == row.link) return true;
    }
    return i > 0 && chain_link(Link{}, row) == row.link;
  }

  const std::vector<HistoryRow>& rows_;
  std::vector<std::size_t> broken_;
};

}  // namespace

std::vector<Finding> check_chain(const std::vector<HistoryRow>& rows, std::size_t most) { return Chain(rows).run(most); }

}  // namespace cogwork
