#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "cogwork/engine/control_address.h"

namespace cogwork {

/// One socket that an engine listens at. Loop thread, but for the constructor and `listen`.
class ControlListener : public std::enable_shared_from_this<ControlListener> {
 public:
  using Protocol = boost::asio::local::stream_protocol;
  /// `welcome` is given each connection. It returns false where that is a stranger's: the next one then waits a little, so that somebody
  /// who may knock, but not come in, cannot keep the loop busy. `make_room` is asked for a descriptor where the system gives none to somebody
  /// who waits at the door; false: there is none.
  ControlListener(
      boost::asio::io_context& io, ControlAddress address, std::function<bool(Protocol::socket)> welcome,
      std::function<bool()> make_room = [] { return false; });

  /// Binds, and listens. What stands at the path is removed: the caller owns the store, so it is stale. Throws where it cannot be.
  void listen();
  /// Takes connections from now on.
  void begin() { accept(); }
  /// Listens anew where somebody has removed the file, as cleaners of temporary folders do.
  void mend();
  /// Removes the file, and takes no more connections. Idempotent.
  void close();

  const ControlAddress& address() const { return address_; }

 private:
  void bind_file(Protocol::acceptor& acceptor);
  void accept();
  bool removed() const;
  void let_go();

  boost::asio::io_context& io_;
  const ControlAddress address_;
  const std::function<bool(Protocol::socket)> welcome_;
  const std::function<bool()> make_room_;
  Protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  dev_t device_ = 0;  // the file's, to know it again
  ino_t inode_ = 0;
  unsigned round_ = 0;  // how often it has listened: what the acceptor before was asked for concerns nobody
  bool closed_ = false;
};

/// Not inherited by a program that is started.
void keep_from_children(int fd);

}  // namespace cogwork
