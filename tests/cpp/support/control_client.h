#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cogwork/base/frame.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"
#include "support/engine_world.h"

namespace cogwork::test {

// Requests of the control protocol, and a client that sends bytes (docs/internals/control-protocol.md).

inline std::string request(std::int64_t id, std::string_view op, const std::function<void(WireWriter&)>& fields = {},
                           std::size_t count = 0) {
  WireWriter w;
  w.map(2 + count).integer("id", id).text("op", op);
  if (fields) fields(w);
  return w.take();
}
inline std::string hello() {
  return request(
      1, "hello", [](WireWriter& w) { w.integer("protocol", 1); }, 1);
}
inline std::string about(std::int64_t id, std::string_view op, const Id& object) {
  return request(
      id, op, [&](WireWriter& w) { w.id("object", object); }, 1);
}
inline std::string signal_of(std::int64_t id, const Id& object, Signal signal, bool interrupt = false) {
  return request(
      id, "signal",
      [&](WireWriter& w) {
        w.id("object", object).integer("signal", static_cast<int>(signal)).boolean("interrupt", interrupt).text("by", "ann");
      },
      4);
}

class Client {
 public:
  /// It has a socket, and dials later.
  Client() : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {}
  explicit Client(const std::string& path) : Client() { dial(path); }
  void dial(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const timeval limit{60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  /// Another connection, on a descriptor that takes the place of the first one's.
  void redial(const std::string& path) {
    close(fd_);
    fd_ = socket(AF_UNIX, SOCK_STREAM, 0);
    frames_ = FrameReader(std::size_t{1} << 20);
    dial(path);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;

  bool connected() const { return connected_; }
  void send_bytes(std::string_view bytes) const {
    [[maybe_unused]] const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void send(const std::string& body) const { send_bytes(make_frame(body)); }
  /// Nothing: the engine hung up.
  std::optional<std::string> receive() {
    while (true) {
      if (auto body = frames_.next()) return body;
      char bytes[4096];
      const auto size = recv(fd_, bytes, sizeof bytes, 0);
      if (size <= 0) return std::nullopt;
      frames_.feed({bytes, static_cast<std::size_t>(size)});
    }
  }
  /// The next message for `id`: the name of its key and the bytes of its value. What is for others is dropped.
  std::pair<std::string, std::string> next(std::int64_t id) {
    while (auto body = receive()) {
      WireReader reader(*body);
      reader.map();
      reader.text();
      const auto of = reader.integer();
      std::string key(reader.text().value_or(""));
      if (of == id) return {key, std::string(reader.value())};
    }
    return {"hung up", ""};
  }

  /// "Kind: message" of the error that answers `id`; else what came instead.
  std::string error_of(std::int64_t id) {
    const auto [key, value] = next(id);
    if (key != "error") return key;
    WireReader reader(value);
    std::string kind, message;
    for (auto pairs = reader.map().value_or(0); pairs > 0; --pairs) {
      const auto field = reader.text();
      if (field == "kind") {
        kind = reader.text().value_or("");
      } else if (field == "message") {
        message = reader.text().value_or("");
      } else {
        reader.value();
      }
    }
    return kind + ": " + message;
  }
  /// The next message: whom it is for, and the name of its key. (-1, "hung up").
  std::pair<std::int64_t, std::string> next_of_any() {
    const auto body = receive();
    if (!body) return {-1, "hung up"};
    WireReader reader(*body);
    reader.map();
    reader.text();
    const auto of = reader.integer().value_or(-1);
    return {of, std::string(reader.text().value_or(""))};
  }

 private:
  int fd_;
  bool connected_ = false;
  FrameReader frames_{std::size_t{1} << 20};
};

class Control : public StoreTest {
 protected:
  Control() { setenv("COGWORK_RUNTIME_DIR", (path() + "-run").c_str(), 1); }
  ~Control() override { unsetenv("COGWORK_RUNTIME_DIR"); }
};

}  // namespace cogwork::test
