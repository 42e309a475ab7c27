#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cogwork {

/// What is kept of what a program prints: the beginning and the end, where all is too much.
class Kept {
 public:
  explicit Kept(std::size_t limit) : limit_(limit) {}
  void add(std::string_view bytes);
  /// All of it; or its ends with "[... 123 bytes are left out ...]" between them. UTF-8, whatever was printed.
  std::string text() const;
  bool cut() const { return dropped_ > 0; }
  bool empty() const { return head_.empty(); }

 private:
  std::size_t limit_;
  std::string head_, tail_;  // the tail is used as a ring when it is full
  std::size_t tail_at_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace cogwork
