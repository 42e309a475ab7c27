#include "cogwork/engine/control_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>

#include "cogwork/base/completion.h"
#include "cogwork/base/error.h"
#include "cogwork/base/shortage.h"
#include "cogwork/engine/control_path.h"
#include "cogwork/engine/control_reply.h"
#include "cogwork/engine/control_session.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/report.h"

namespace cogwork {
namespace {

/// Beyond kMostSessions, for those who ask and go.
constexpr std::size_t kBrief = 16;
/// Descriptors that are kept for when there are no others: one to serve somebody, one to tell the next that he cannot be.
constexpr std::size_t kReserve = 2;
/// Threads for what must read the store.
constexpr int kReaders = 16;
constexpr auto kReading = std::chrono::seconds(1);
constexpr auto kIdle = std::chrono::seconds(1);

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

/// The one word to a client that is hung up on before it was heard. It fits into any socket's buffer.
void turn_away(int fd, std::size_t sessions) {
  const auto frame = make_frame(wire_message(
      -1, "error",
      write_error("ResourceError", "the engine cannot serve one more client now: all of its " + std::to_string(sessions) +
                                       " wait for something, or its process has no descriptors left; try again")));
  [[maybe_unused]] const auto sent = ::send(fd, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

ControlServer::ControlServer(EngineParts& engine)
    : engine_(engine),
      io_(engine.loop.io()),
      submits_(std::make_shared<SubmitDesk>(engine.options.takes_submits)),
      errands_(std::make_shared<Errands>(kReaders)) {}

ControlServer::~ControlServer() { stop(); }

EngineHandle ControlServer::handle() { return EngineHandle(engine_.shared_from_this()); }

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
    address.name += "-" + std::to_string(engine_.owner.pid);
    try_listening(address);
  }
#endif
  if (listeners_.empty()) {
    std::string all;
    for (const auto& one : passed_over_) all += (all.empty() ? "" : "; ") + one;
    throw Error("the engine cannot be reached from other processes: " + all +
                ". Set COGWORK_RUNTIME_DIR to a folder that only this user may enter");
  }
  keep_reserve();
  boost::asio::post(io_, [self = shared_from_this()] {
    for (const auto& listener : self->listeners_) listener->begin();
  });
}

bool ControlServer::try_listening(ControlAddress address) {
  const bool by_file = address.kind == ControlAddress::Kind::PATH;
  const auto listener = std::make_shared<ControlListener>(
      io_, address, [this, by_file](Protocol::socket socket) { return welcome(std::move(socket), by_file); },
      [this] { return make_room(); });
  try {
    listener->listen();
    listeners_.push_back(listener);
    return true;
  } catch (const boost::system::system_error& error) {
    if (is_shortage(error.code())) throw_shortage("an engine's control socket", error.code());
    passed_over_.push_back(by_file ? error.what() : "the abstract socket " + address.name + ": " + error.what());
  } catch (const std::exception& error) {
    passed_over_.push_back(by_file ? error.what() : "the abstract socket " + address.name + ": " + error.what());
  }
  return false;
}

std::vector<ControlAddress> ControlServer::addresses() const {
  std::vector<ControlAddress> all;
  for (const auto& listener : listeners_) all.push_back(listener->address());
  return all;
}

// ---- who comes ----

bool ControlServer::welcome(Protocol::socket socket, bool by_file) {
  if (stopped_) return true;
  const int fd = socket.native_handle();
  const auto peer = peer_of(fd);
  if (!peer || (*peer != geteuid() && *peer != 0)) return false;  // closes it
  if (!by_file) {
    // Whoever comes by the abstract socket may not have found the file.
    for (const auto& listener : listeners_) listener->mend();
  }
  if (sessions_.size() >= kMostSessions) hang_up_on_idle();
  keep_reserve();
  if (sessions_.size() >= kMostSessions + kBrief || reserve_.empty()) {
    turn_away(fd, sessions_.size());
    boost::system::error_code ignored;
    socket.close(ignored);
    keep_reserve();
    return true;
  }
  try {
    keep_from_children(fd);
    const auto session = std::make_shared<ControlSession>(*this, std::move(socket), ++last_number_);
    sessions_.insert(session);
    session->begin();
  } catch (const std::exception&) {  // no memory: this client is hung up on
  }
  return true;
}

/// The one that has been idle for longest; its client dials again when it has something to ask.
bool ControlServer::hang_up_on_idle() {
  std::shared_ptr<ControlSession> longest;
  const auto since = ControlSession::Clock::now() - kIdle;  // who has just come is about to ask
  for (const auto& session : sessions_) {
    if (session->last_heard() > since || !session->idle()) continue;
    if (!longest || session->last_heard() < longest->last_heard()) longest = session;
  }
  if (longest) longest->close();
  return longest != nullptr;
}

/// Without a descriptor for who waits at the door.
bool ControlServer::make_room() {
  if (hang_up_on_idle()) return true;
  if (reserve_.empty()) return false;
  reserve_.pop_back();
  return true;
}

void ControlServer::keep_reserve() {
  while (reserve_.size() < kReserve) {
    Descriptor one(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one) return;
    reserve_.push_back(std::move(one));
  }
}

bool ControlServer::crowded() const { return sessions_.size() > kMostSessions || reserve_.size() < kReserve; }

void ControlServer::gone(const std::shared_ptr<ControlSession>& session) {
  sessions_.erase(session);
  if (!stopped_) keep_reserve();
}

// ---- the end ----

void ControlServer::stop() {
  if (stopping_.exchange(true)) return;
  submits_->close();
  errands_->stop(std::chrono::steady_clock::now() + kReading);
  if (listeners_.empty()) return;
  const auto done = std::make_shared<Completion>();
  boost::asio::post(io_, [this, done] {
    stopped_ = true;
    for (const auto& listener : listeners_) listener->close();
    for (const auto& session : std::unordered_set(std::move(sessions_))) session->close();
    sessions_.clear();
    reserve_.clear();
    done->set();
  });
  done->wait();
}

}  // namespace cogwork
