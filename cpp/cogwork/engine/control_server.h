#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "cogwork/base/descriptor.h"
#include "cogwork/engine/control_listener.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/errands.h"
#include "cogwork/engine/submit_desk.h"

namespace cogwork {

class ControlSession;

/// The control socket of a store: lets other processes of the same user steer the engine that owns it. Its wire is described in
/// docs/internals/control-protocol.md, how requests are served in docs/decisions/0020-served-by-the-scheduler.md.
///
/// Sockets are served on the scheduler's thread, between its steps, and so is what the core can answer: a crisis, a stop, figures wait for nothing. What
/// must read the store goes to a few threads beside it. None of them needs the GIL, so a signal gets through while Python is busy. What a client can
/// make the engine hold is bounded: requests in flight, bytes on their way out, time to finish a frame.
///
/// There is always a place for one more client who asks and goes: who is longest idle makes room, and beyond that a few places, and descriptors, are
/// kept for those who leave nothing behind. Who cannot be served even so is told.
class ControlServer : public std::enable_shared_from_this<ControlServer> {
 public:
  static constexpr std::size_t kMostSessions = 1000;

  /// Part of the engine, which outlives it.
  explicit ControlServer(EngineParts& engine);
  ~ControlServer();

  /// Listens at the first of the store's control_paths that can be used, and at its abstract address. `folder`: the store's. The caller
  /// owns the store, so what stands there is stale. Throws Error where nothing can be listened at, saying what was tried, ResourceError where the
  /// system has no descriptor for it.
  void start(const std::string& identity, const std::string& folder);
  /// Hangs up on everybody. What hangs in the store is not waited for. Idempotent; not from the loop's thread.
  void stop();
  /// Where it listens, the preferred address first.
  std::vector<ControlAddress> addresses() const;
  /// Where it would have rather listened, and why it does not.
  const std::vector<std::string>& passed_over() const { return passed_over_; }

  const std::shared_ptr<SubmitDesk>& submits() { return submits_; }

  // ---- for its sessions: loop thread ----
  EngineParts& engine() { return engine_; }
  const std::string& identity() const { return identity_; }
  /// For who may hang in the store.
  EngineHandle handle();
  const std::shared_ptr<Errands>& errands() { return errands_; }
  /// Nobody more may leave something behind here.
  bool crowded() const;
  void gone(const std::shared_ptr<ControlSession>& session);

 private:
  using Protocol = boost::asio::local::stream_protocol;

  bool try_listening(ControlAddress address);
  /// Whether it is somebody whom the engine obeys.
  bool welcome(Protocol::socket socket, bool by_file);
  bool hang_up_on_idle();
  bool make_room();
  void keep_reserve();

  EngineParts& engine_;
  boost::asio::io_context& io_;
  std::string identity_;
  std::vector<std::shared_ptr<ControlListener>> listeners_;
  std::vector<std::string> passed_over_;
  const std::shared_ptr<SubmitDesk> submits_;
  const std::shared_ptr<Errands> errands_;
  // Loop thread.
  std::unordered_set<std::shared_ptr<ControlSession>> sessions_;
  std::vector<Descriptor> reserve_;  // given up where there are no others
  std::uint64_t last_number_ = 0;
  bool stopped_ = false;

  std::atomic<bool> stopping_{false};
};

}  // namespace cogwork
