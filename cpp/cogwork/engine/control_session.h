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

namespace cogwork {

class ControlServer;

/// One client of the control socket. Everything but `deliver` runs on the loop's thread.
class ControlSession : public std::enable_shared_from_this<ControlSession> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  ControlSession(ControlServer& server, Socket socket);

  void begin();
  void close();
  /// Sends a message; any thread.
  void deliver(std::string body);

 private:
  /// A feed that the client reads, of changes or of lines. It is polled on the server's thread for feeds, one piece for each time that
  /// the client asks for more, so that nothing gathers for a client that does not read.
  struct Feeding {
    std::int64_t id = 0;
    std::function<std::shared_ptr<Completion>()> ready;
    std::function<std::string()> piece;  // the event; empty where there is nothing now
    std::function<bool()> over;
  };

  void read();
  void process();
  void watch_the_clock();
  void handle(const std::string& body);
  void serve(ControlRequest request);
  void hello(const ControlRequest& request);
  void submit(ControlRequest request);
  void changes(const ControlRequest& request);
  void logs(const ControlRequest& request);
  void feed(std::int64_t id, std::function<void(Feeding&)> open);
  void pump(const std::shared_ptr<Feeding>& feeding);
  /// What a request comes to: a value as msgpack, and what is to be done once the reply is on its way.
  struct Answer {
    std::string value;
    std::function<void(ControlSession&)> then = {};
  };
  /// Runs `work` on the thread for commands, and replies.
  void answer(std::int64_t id, std::function<Answer()> work);
  void signal(ControlRequest request);
  void crisis_pause(ControlRequest request);
  void crisis_ack(const ControlRequest& request);
  /// Replies that it is taken, and tells when it is done.
  static Answer follow_ack(std::int64_t id, const std::shared_ptr<Ack>& ack);
  void end(const ControlRequest& request);
  void send(std::string body);
  void write();
  void finish(std::string body);
  /// The last word on a request that was kept; any thread.
  void conclude(std::int64_t id, std::string body);
  void start_clock(std::chrono::steady_clock::duration time);
  void refuse(std::int64_t id, const std::string& message);
  /// Tells the client when `completion`, which `owner` holds, is done.
  void follow(std::int64_t id, std::shared_ptr<Completion> completion, std::function<std::string()> say);

  ControlServer& server_;
  Socket socket_;
  boost::asio::steady_timer deadline_;
  FrameReader frames_;
  std::array<char, 16384> buffer_;
  std::deque<std::string> out_;
  std::size_t out_bytes_ = 0;
  std::size_t in_flight_ = 0;
  std::map<std::int64_t, std::function<void()>> undo_;
  std::map<std::int64_t, std::shared_ptr<Feeding>> feedings_;
  bool greeted_ = false;
  bool reading_ = false;
  bool processing_ = false;
  bool closing_ = false;  // after what is still to be written
  bool closed_ = false;
};

}  // namespace cogwork
