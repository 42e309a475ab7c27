#include "cogwork/base/frame.h"

#include <cstdint>
#include <stdexcept>

namespace cogwork {

constexpr std::size_t kHead = 4;
constexpr std::size_t kKept = std::size_t{64} << 10;  // capacity that an empty buffer may keep

std::string make_frame(std::string_view body) {
  std::string frame;
  frame.reserve(kHead + body.size());
  append_frame(frame, body);
  return frame;
}

void append_frame(std::string& to, std::string_view body) {
  if (body.size() > UINT32_MAX) throw std::length_error("a frame holds at most 4 GiB");
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(body.size() >> shift & 0xff);
  to += body;
}

void FrameReader::feed(std::string_view bytes) {
  if (!broken_) buffer_ += bytes;
}

std::optional<std::string> FrameReader::next() {
  if (broken_) return std::nullopt;
  const auto left = buffer_.size() - at_;
  if (left >= kHead) {
    length_ = 0;
    for (std::size_t i = 0; i < kHead; ++i) length_ = length_ << 8 | static_cast<unsigned char>(buffer_[at_ + i]);
    if (length_ == 0 || length_ > largest_) {
      broken_ = true;
      buffer_ = {};
      at_ = 0;
      return std::nullopt;
    }
    if (left - kHead >= length_) {
      std::string body = buffer_.substr(at_ + kHead, length_);
      at_ += kHead + length_;
      return body;
    }
  }
  // What was taken out goes before more comes in; after a large frame its room goes too.
  buffer_.erase(0, at_);
  at_ = 0;
  if (buffer_.empty() && buffer_.capacity() > kKept) buffer_.shrink_to_fit();
  return std::nullopt;
}

}  // namespace cogwork
