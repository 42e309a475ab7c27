#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "cogwork/engine/engine.h"

namespace cogwork {

class ControlSession;

/// Where the answer to one request goes. Answered once, from any thread, at any time: neither the session nor the engine need be there any more.
/// A copy is the same request.
class ControlReply {
 public:
  ControlReply(std::weak_ptr<EngineParts> engine, std::weak_ptr<ControlSession> session, std::int64_t id)
      : engine_(std::move(engine)), session_(std::move(session)), id_(id) {}

  /// value: msgpack. then: on the session's thread, once the reply is on its way.
  void ok(std::string value, std::function<void(ControlSession&)> then = {}) const;
  void error(const std::exception_ptr& error) const;
  /// error: as write_error gives it.
  void error(const std::string& error) const;

  /// What is said when it is durable, or cannot be.
  Done when_done() const;
  /// What is said of a signal that is taken, and then of its end.
  AckReply when_taken() const;
  /// Of an Ack: taken, and `value` is the reply; then of its end.
  void follow(const std::shared_ptr<Ack>& ack, std::string value) const;

 private:
  void say(std::string body, std::function<void(ControlSession&)> then) const;

  std::weak_ptr<EngineParts> engine_;
  std::weak_ptr<ControlSession> session_;
  std::int64_t id_;
};

// Values and messages of the protocol, as msgpack.
std::string wire_nil();
std::string wire_text(std::string_view text);
std::string wire_number(std::int64_t number);
std::string wire_message(std::int64_t id, std::string_view key, std::string_view value);

}  // namespace cogwork
