#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "cogwork/engine/control_listener.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/errands.h"
#include "cogwork/engine/submit_desk.h"

namespace cogwork {

class ControlSession;

/// The control socket of a store: lets other processes of the same user steer the engine that owns it. Its wire is described in
/// docs/internals/control-protocol.md.
///
/// Sockets are served on the engine's own loop; a request that may wait goes to one of two threads beside it - one for commands, one for
/// feeds of changes - which ask the engine as any caller does. None of them needs the GIL, so a signal gets through
/// while Python is busy. What a client can make the engine hold is bounded: requests in flight, bytes on their way out, time to finish a
/// frame.
class ControlServer : public std::enable_shared_from_this<ControlServer> {
 public:
  /// Serves in `io`, which outlives it.
  ControlServer(boost::asio::io_context& io, Engine& engine, Owner owner, std::string store_name);
  ~ControlServer();

  /// Listens at the first of the store's control_paths that can be used, and at its abstract address. `folder`: the store's. The caller
  /// owns the store, so what stands there is stale. Throws Error where nothing can be listened at, saying what was tried.
  void start(const std::string& identity, const std::string& folder);
  /// Hangs up on everybody. Idempotent; not from the loop's thread.
  void stop();
  /// Where it listens, the preferred address first.
  std::vector<ControlAddress> addresses() const;
  /// Where it would have rather listened, and why it does not.
  const std::vector<std::string>& passed_over() const { return passed_over_; }

  const std::shared_ptr<SubmitDesk>& submits() { return submits_; }

  // ---- for its sessions ----
  Engine& engine() { return engine_; }
  Errands& commands() { return commands_; }
  Errands& feeds() { return feeds_; }
  const Owner& owner() const { return owner_; }
  const std::string& store_name() const { return store_name_; }
  const std::string& identity() const { return identity_; }
  /// Loop thread.
  void gone(const std::shared_ptr<ControlSession>& session);

 private:
  using Protocol = boost::asio::local::stream_protocol;
  static constexpr std::size_t kMostSessions = 1000;

  bool try_listening(ControlAddress address);
  /// Whether it is somebody whom the engine obeys.
  bool welcome(Protocol::socket socket, bool by_file);

  boost::asio::io_context& io_;
  Engine& engine_;
  const Owner owner_;
  const std::string store_name_;
  std::string identity_;
  std::vector<std::shared_ptr<ControlListener>> listeners_;
  std::vector<std::string> passed_over_;
  const std::shared_ptr<SubmitDesk> submits_;
  Errands commands_, feeds_;
  std::unordered_set<std::shared_ptr<ControlSession>> sessions_;  // loop thread
  bool stopped_ = false;                                          // loop thread
  std::atomic<bool> stopping_{false};
};

}  // namespace cogwork
