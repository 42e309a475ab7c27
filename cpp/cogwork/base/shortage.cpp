#include "cogwork/base/shortage.h"

#include "cogwork/base/error.h"

namespace cogwork {

bool is_shortage(const std::error_code& code) {
  return code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system ||
         code == std::errc::not_enough_memory || code == std::errc::no_buffer_space ||
         code == std::errc::resource_unavailable_try_again;
}

void throw_shortage(const std::string& what, const std::error_code& code) {
  std::string text = "the system gives no more to " + what + " now (" + code.message() + "); ";
  if (code == std::errc::too_many_files_open) {
    text += "this process has as many files and sockets open as its limit allows (ulimit -n): close some, or raise it";
  } else if (code == std::errc::too_many_files_open_in_system) {
    text += "this machine has as many files open as its limit allows (fs.file-max)";
  } else {
    text += "try again when the machine, or the container, has room";
  }
  throw ResourceError(text);
}

}  // namespace cogwork
