#pragma once

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cogwork/base/completion.h"
#include "cogwork/base/frame.h"
#include "cogwork/engine/control_request.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/errands.h"

namespace cogwork {

class ControlReply;
class ControlServer;

/// One client of the control socket: its bytes, and what it waits for. The loop's thread, but for `post`. What its requests do is in control_ops.h.
class ControlSession : public std::enable_shared_from_this<ControlSession> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  using Clock = std::chrono::steady_clock;
  ControlSession(ControlServer& server, Socket socket, std::uint64_t number);

  void begin();
  void close();
  /// Nothing of it is under way, nothing is followed, and nothing has come that was not heard yet.
  bool idle() const;
  Clock::time_point last_heard() const { return last_heard_; }
  /// Tells it from others.
  std::uint64_t number() const { return number_; }

  /// Does it on the loop's thread, where both are still there. Any thread.
  static void post(const std::weak_ptr<EngineParts>& engine, const std::weak_ptr<ControlSession>& session,
                   std::function<void(ControlSession&)> what);

  // ---- for its requests ----

  /// A feed that the client reads, of changes or of lines. It is asked on the chain, one piece for each time that the client asks for more, so
  /// that nothing gathers for a client that does not read.
  struct Feeding {
    std::int64_t id = 0;
    std::function<std::shared_ptr<Completion>()> ready;
    std::function<std::string()> piece;  // the event; empty where there is nothing now
    std::function<bool()> over;
    bool wanted = false;  // the client has asked for a piece, and not got one
    std::shared_ptr<Completion> news;
    std::uint64_t ticket = 0;  // of `news`, while it waits for that
  };

  /// The reply of a request.
  void finish(std::string body);
  /// Tells the client when `completion`, which `owner` holds, is done.
  void follow(std::int64_t id, std::shared_ptr<Completion> completion, std::function<std::string()> say);
  void add(const std::shared_ptr<Feeding>& feeding);
  /// Where its requests wait for the store.
  ErrandChain& chain() { return *chain_; }

 private:
  void read();
  void process();
  void watch_the_clock();
  void handle(const std::string& body);
  void serve(ControlRequest request);
  void hello(const ControlRequest& request);
  void more(std::int64_t of);
  void forget(std::int64_t of);
  void pump(const std::shared_ptr<Feeding>& feeding);
  static void stop_waiting(Feeding& feeding);
  /// The last word on a request that was kept.
  void conclude(std::int64_t id, std::string body);
  void send(std::string body);
  void write();
  void start_clock(Clock::duration time);
  /// Says why, and hangs up.
  void refuse(std::int64_t id, const std::string& message);
  /// Whatever goes wrong - no memory, say - is the end of this session and of nothing else.
  template <typename Do>
  void safely(Do what);

  ControlServer& server_;
  const std::uint64_t number_;
  const std::shared_ptr<ErrandChain> chain_;
  Socket socket_;
  boost::asio::steady_timer deadline_;
  FrameReader frames_;
  std::array<char, 16384> buffer_;
  std::deque<std::string> out_;
  std::size_t out_bytes_ = 0;
  std::size_t in_flight_ = 0;
  std::map<std::int64_t, std::function<void()>> undo_;
  std::map<std::int64_t, std::shared_ptr<Feeding>> feedings_;
  Clock::time_point last_heard_ = Clock::now();
  bool greeted_ = false;
  bool reading_ = false;
  bool processing_ = false;
  bool closing_ = false;  // after what is still to be written
  bool closed_ = false;
};

}  // namespace cogwork
