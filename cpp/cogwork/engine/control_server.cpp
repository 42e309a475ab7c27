#include "cogwork/engine/control_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <chrono>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/completion.h"
#include "cogwork/base/error.h"
#include "cogwork/engine/control_path.h"
#include "cogwork/engine/control_session.h"

namespace cogwork {
namespace {

/// Who is at the other end of a local socket; nothing where the system does not say.
std::optional<uid_t> peer_of(int fd) {
#ifdef SO_PEERCRED
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
#else
  uid_t uid = 0;
  gid_t gid = 0;
  if (getpeereid(fd, &uid, &gid) != 0) return std::nullopt;
  return uid;
#endif
}

}  // namespace

ControlServer::ControlServer(boost::asio::io_context& io, Engine& engine, Owner owner, std::string store_name)
    : io_(io),
      engine_(engine),
      owner_(std::move(owner)),
      store_name_(std::move(store_name)),
      acceptor_(io),
      pause_(io),
      submits_(std::make_shared<SubmitDesk>(engine.options().takes_submits)) {}

ControlServer::~ControlServer() { stop(); }

void ControlServer::start(const std::string& identity) {
  std::string problem = "there is no folder whose path is short enough for a socket; set COGWORK_RUNTIME_DIR to one";
  for (const auto& path : control_paths(identity)) {
    try {
      prepare_control_folder(path);
      listen_at(path);
      boost::asio::post(io_, [self = shared_from_this()] { self->accept(); });
      return;
    } catch (const std::exception& error) {
      problem = error.what();
    }
  }
  throw Error("the engine cannot be reached from other processes: " + problem);
}

void ControlServer::listen_at(const std::string& path) {
  unlink(path.c_str());
  Protocol::acceptor acceptor(io_);
  acceptor.open();
  keep_from_children(acceptor.native_handle());
  acceptor.bind(Protocol::endpoint(path));
  chmod(path.c_str(), 0600);
  acceptor.listen(128);
  close_on_fork(acceptor.native_handle());
  acceptor_ = std::move(acceptor);
  path_ = path;
}

void ControlServer::accept() {
  if (stopped_) return;
  acceptor_.async_accept([self = shared_from_this()](const boost::system::error_code& error, Protocol::socket socket) {
    if (self->stopped_) return;
    if (!error) {
      self->welcome(std::move(socket));
    } else if (error != boost::asio::error::connection_aborted) {
      // Out of descriptors, most likely: some will be free again.
      self->pause_.expires_after(std::chrono::milliseconds(200));
      self->pause_.async_wait([self](const boost::system::error_code&) { self->accept(); });
      return;
    }
    self->accept();
  });
}

void ControlServer::welcome(Protocol::socket socket) {
  const auto peer = peer_of(socket.native_handle());
  const bool friendly = peer && (*peer == geteuid() || *peer == 0);
  if (!friendly || sessions_.size() >= kMostSessions) return;  // closes it
  keep_from_children(socket.native_handle());
  const auto session = std::make_shared<ControlSession>(*this, std::move(socket));
  sessions_.insert(session);
  session->begin();
}

void ControlServer::gone(const std::shared_ptr<ControlSession>& session) { sessions_.erase(session); }

void ControlServer::stop() {
  if (stopping_.exchange(true)) return;
  submits_->close();
  commands_.stop();
  feeds_.stop();
  if (path_.empty()) return;
  unlink(path_.c_str());
  const auto done = std::make_shared<Completion>();
  boost::asio::post(io_, [this, done] {
    stopped_ = true;
    pause_.cancel();
    if (forget_close_on_fork(acceptor_.native_handle())) {
      boost::system::error_code ignored;
      acceptor_.close(ignored);
    }
    for (const auto& session : std::unordered_set(std::move(sessions_))) session->close();
    sessions_.clear();
    done->set();
  });
  done->wait();
}

}  // namespace cogwork
