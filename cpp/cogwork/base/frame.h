#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cogwork {

// Frames: how messages are kept apart on a stream of bytes - the control socket's, a process Cog's.
//
//   frame := length body       length: 4 bytes, the most significant first; body: that many bytes, at least one
//
// What the body is, is the affair of those who talk: here it is always one msgpack value.

/// One frame around `body`. Throws std::length_error beyond 4 GiB.
std::string make_frame(std::string_view body);
/// The same, behind what is there.
void append_frame(std::string& to, std::string_view body);

/// Takes a stream of bytes as it comes and gives back the bodies in it. What was promised but has not come takes no memory, so a
/// length alone costs nothing. One thread.
class FrameReader {
 public:
  /// Frames with a body of more than `largest` bytes are refused.
  explicit FrameReader(std::size_t largest) : largest_(largest) {}

  void set_largest(std::size_t largest) { largest_ = largest; }
  void feed(std::string_view bytes);
  /// The next whole body. Nothing: more bytes are needed, or the stream is broken.
  std::optional<std::string> next();
  /// A length was too large, or zero. Nothing can be read from there on; `refused_length` is what stood there.
  bool broken() const { return broken_; }
  std::size_t refused_length() const { return length_; }
  /// There is the beginning of a frame, whose rest has not come yet.
  bool in_the_middle() const { return !broken_ && buffer_.size() > at_; }

 private:
  std::size_t largest_;
  std::string buffer_;
  std::size_t at_ = 0;  // where the next frame begins
  std::size_t length_ = 0;
  bool broken_ = false;
};

}  // namespace cogwork
