#include "cogwork/engine/control_listener.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/base/shortage.h"
#include "cogwork/engine/control_path.h"

namespace cogwork {

namespace {

constexpr auto kShortage = std::chrono::milliseconds(200);
constexpr auto kStranger = std::chrono::milliseconds(20);

}  // namespace

void keep_from_children(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

ControlListener::ControlListener(boost::asio::io_context& io, ControlAddress address, std::function<bool(Protocol::socket)> welcome,
                                 std::function<bool()> make_room)
    : io_(io),
      address_(std::move(address)),
      welcome_(std::move(welcome)),
      make_room_(std::move(make_room)),
      acceptor_(io),
      pause_(io) {}

void ControlListener::listen() {
  Protocol::acceptor acceptor(io_);
  acceptor.open();
  keep_from_children(acceptor.native_handle());
  if (address_.kind == ControlAddress::Kind::PATH) {
    bind_file(acceptor);
  } else {
    acceptor.bind(SocketName(address_).endpoint());
  }
  acceptor.listen(128);
  acceptor.non_blocking(true);
  let_go();
  close_on_fork(acceptor.native_handle());
  acceptor_ = std::move(acceptor);
  ++round_;
}

void ControlListener::bind_file(Protocol::acceptor& acceptor) {
  const auto* path = address_.name.c_str();
  boost::system::error_code error;
  for (int tries = 0; tries < 2; ++tries) {
    prepare_control_folder(address_.name);
    unlink(path);
    acceptor.bind(SocketName(address_).endpoint(), error);
    if (error.value() != ENOENT) break;  // an engine that closed has removed the folder
  }
  if (error) throw Error(address_.name + ": " + error.message());
  struct stat about {};
  if (chmod(path, 0600) == 0 && lstat(path, &about) == 0) {
    device_ = about.st_dev;
    inode_ = about.st_ino;
  }
}

void ControlListener::accept() {
  if (closed_) return;
  const auto again = [self = shared_from_this()](std::chrono::milliseconds later) {
    self->pause_.expires_after(later);
    self->pause_.async_wait([self, round = self->round_](const boost::system::error_code&) {
      if (round == self->round_) self->accept();
    });
  };
  // It is looked first whether somebody is there: without a descriptor the system refuses an accept also where nobody waits.
  acceptor_.async_wait(Protocol::acceptor::wait_read,
                       [self = shared_from_this(), again, round = round_](const boost::system::error_code& error) {
                         if (error || self->closed_ || round != self->round_) return;
                         boost::system::error_code refused;
                         auto socket = self->acceptor_.accept(refused);
                         while (is_shortage(refused) && self->make_room_()) socket = self->acceptor_.accept(refused);
                         if (is_shortage(refused)) return again(kShortage);  // some will be free again
                         if (!refused && !self->welcome_(std::move(socket))) return again(kStranger);
                         if (round == self->round_) self->accept();  // else it was mended meanwhile
                       });
}

bool ControlListener::removed() const {
  if (address_.kind == ControlAddress::Kind::ABSTRACT) return false;
  struct stat about {};
  return lstat(address_.name.c_str(), &about) != 0 || about.st_dev != device_ || about.st_ino != inode_;
}

void ControlListener::mend() {
  if (closed_ || !removed()) return;
  try {
    listen();
    accept();
  } catch (const std::exception&) {  // as its folder is gone, too, and cannot be made: the next who comes may find it mended
  }
}

void ControlListener::let_go() {
  if (!acceptor_.is_open() || !forget_close_on_fork(acceptor_.native_handle())) return;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

void ControlListener::close() {
  if (std::exchange(closed_, true)) return;
  pause_.cancel();
  if (address_.kind == ControlAddress::Kind::PATH && !removed()) remove_control_file(address_.name);
  let_go();
}

}  // namespace cogwork
