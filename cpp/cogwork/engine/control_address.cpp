#include "cogwork/engine/control_address.h"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr std::size_t kLongestPath = sizeof(sockaddr_un::sun_path) - 1;

bool is_plain(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || std::string_view("-_/.\\*").find(c) != std::string_view::npos;
}

std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (is_plain(c)) {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += {'%', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    }
  }
  return text;
}

}  // namespace

std::string address_text(const ControlAddress& address, const std::string& folder) {
  if (address.kind == ControlAddress::Kind::ABSTRACT) return "unix:abstract=" + escaped(address.name);
  std::string_view path = address.name;
  const auto within = folder == "/" ? folder : folder + "/";
  if (!folder.empty() && path.starts_with(within)) path.remove_prefix(within.size());
  return "unix:path=" + escaped(path);
}

SocketName::SocketName(const ControlAddress& address) {
  using Endpoint = boost::asio::local::stream_protocol::endpoint;
  if (address.kind == ControlAddress::Kind::ABSTRACT) {
    endpoint_ = Endpoint(std::string(1, '\0') + address.name);
  } else if (address.name.size() <= kLongestPath) {
    endpoint_ = Endpoint(address.name);
  } else {
#ifdef O_PATH
    const auto slash = address.name.rfind('/');
    folder_ = open(address.name.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_ < 0) throw Error("the folder of " + address.name + " cannot be opened: " + std::system_category().message(errno));
    endpoint_ = Endpoint("/proc/self/fd/" + std::to_string(folder_) + address.name.substr(slash));
#else
    throw Error(address.name + " is too long for a socket");
#endif
  }
}

SocketName::~SocketName() {
  if (folder_ >= 0) close(folder_);
}

}  // namespace cogwork
