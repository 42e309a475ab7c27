#include "cogwork/engine/control_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

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
      submits_(std::make_shared<SubmitDesk>(engine.options().takes_submits)) {}

ControlServer::~ControlServer() { stop(); }

void ControlServer::start(const std::string& identity, const std::string& folder) {
  identity_ = identity;
  for (auto& address : control_paths(identity, folder)) {
    if (try_listening(std::move(address))) break;
  }
#ifdef __linux__
  // An abstract socket needs no folder, no cleaner removes it, and it is seen from other mount namespaces; but not from another one of the
  // network, and anybody may have taken its name.
  auto address = abstract_control(identity);
  if (!try_listening(address)) {
    address.name += "-" + std::to_string(owner_.pid);
    try_listening(address);
  }
#endif
  if (listeners_.empty()) {
    std::string all;
    for (const auto& one : passed_over_) all += (all.empty() ? "" : "; ") + one;
    throw Error("the engine cannot be reached from other processes: " + all +
                ". Set COGWORK_RUNTIME_DIR to a folder that only this user may enter");
  }
  boost::asio::post(io_, [self = shared_from_this()] {
    for (const auto& listener : self->listeners_) listener->begin();
  });
}

bool ControlServer::try_listening(ControlAddress address) {
  const bool by_file = address.kind == ControlAddress::Kind::PATH;
  const auto listener = std::make_shared<ControlListener>(
      io_, address, [this, by_file](Protocol::socket socket) { return welcome(std::move(socket), by_file); });
  try {
    listener->listen();
    listeners_.push_back(listener);
    return true;
  } catch (const std::exception& error) {
    passed_over_.push_back(by_file ? error.what() : "the abstract socket " + address.name + ": " + error.what());
    return false;
  }
}

std::vector<ControlAddress> ControlServer::addresses() const {
  std::vector<ControlAddress> all;
  for (const auto& listener : listeners_) all.push_back(listener->address());
  return all;
}

bool ControlServer::welcome(Protocol::socket socket, bool by_file) {
  if (stopped_) return true;
  const auto peer = peer_of(socket.native_handle());
  const bool friendly = peer && (*peer == geteuid() || *peer == 0);
  if (!friendly) return false;  // closes it
  if (!by_file) {
    // Whoever comes by the abstract socket may not have found the file.
    for (const auto& listener : listeners_) listener->mend();
  }
  if (sessions_.size() >= kMostSessions) return true;
  keep_from_children(socket.native_handle());
  const auto session = std::make_shared<ControlSession>(*this, std::move(socket));
  sessions_.insert(session);
  session->begin();
  return true;
}

void ControlServer::gone(const std::shared_ptr<ControlSession>& session) { sessions_.erase(session); }

void ControlServer::stop() {
  if (stopping_.exchange(true)) return;
  submits_->close();
  commands_.stop();
  feeds_.stop();
  if (listeners_.empty()) return;
  const auto done = std::make_shared<Completion>();
  boost::asio::post(io_, [this, done] {
    stopped_ = true;
    for (const auto& listener : listeners_) listener->close();
    for (const auto& session : std::unordered_set(std::move(sessions_))) session->close();
    sessions_.clear();
    done->set();
  });
  done->wait();
}

}  // namespace cogwork
