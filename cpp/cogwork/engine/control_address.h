#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <string>

namespace cogwork {

/// Where an engine listens: a Unix socket that is a file, or an abstract one (Linux), which has a name and no file.
struct ControlAddress {
  enum class Kind { PATH, ABSTRACT };
  Kind kind = Kind::PATH;
  std::string name;  ///< The absolute path; or the abstract name, without the zero byte before it.
  bool operator==(const ControlAddress&) const = default;
};

/// An address as text, as D-Bus writes it: "unix:path=/run/user/1000/cogwork/ab12.sock", "unix:abstract=cogwork-ab12". Bytes other than
/// letters, digits and -_/.\* are %xx. A path in or below `folder`, where that is not empty, is relative to it: it holds where the folder
/// is mounted under another name, too.
std::string address_text(const ControlAddress& address, const std::string& folder = "");

/// What the system calls the address. A path too long for a socket (107 bytes) goes through an open descriptor of its folder, which has a
/// short name in /proc; that lasts as long as this object. Throws Error where it cannot be said.
class SocketName {
 public:
  explicit SocketName(const ControlAddress& address);
  ~SocketName();
  SocketName(const SocketName&) = delete;
  SocketName& operator=(const SocketName&) = delete;

  const boost::asio::local::stream_protocol::endpoint& endpoint() const { return endpoint_; }

 private:
  int folder_ = -1;
  boost::asio::local::stream_protocol::endpoint endpoint_;
};

}  // namespace cogwork
