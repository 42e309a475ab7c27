#include "cogwork/cogs/kept.h"

#include <algorithm>

#include "cogwork/base/utf8.h"

namespace cogwork {

void Kept::add(std::string_view bytes) {
  // The first three quarters of the room are for the beginning, the rest for the end.
  const auto head_room = limit_ - limit_ / 4;
  const auto first = std::min(bytes.size(), head_room > head_.size() ? head_room - head_.size() : 0);
  head_ += bytes.substr(0, first);
  bytes.remove_prefix(first);
  const auto room = limit_ - head_room;
  if (bytes.size() > room) {
    dropped_ += bytes.size() - room;
    bytes.remove_prefix(bytes.size() - room);
  }
  const auto grow = std::min(bytes.size(), room - tail_.size());
  tail_ += bytes.substr(0, grow);
  bytes.remove_prefix(grow);
  for (const char c : bytes) {
    tail_[tail_at_] = c;
    tail_at_ = (tail_at_ + 1) % room;
    ++dropped_;
  }
}

std::string Kept::text() const {
  std::string end = tail_.substr(tail_at_) + tail_.substr(0, tail_at_);
  if (dropped_ == 0) return repair_utf8(head_ + end);
  // Characters that were cut in two go.
  auto head = head_;
  for (int i = 0; i < 3 && !head.empty() && !is_utf8(head); ++i) head.pop_back();
  for (int i = 0; i < 3 && !end.empty() && !is_utf8(end); ++i) end.erase(0, 1);
  return repair_utf8(is_utf8(head) ? head : head_) + "\n[... " + std::to_string(dropped_) + " bytes are left out ...]\n" +
         repair_utf8(end);
}

}  // namespace cogwork
