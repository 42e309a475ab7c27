#include "cogwork/engine/control_session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <utility>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/engine/control_ops.h"
#include "cogwork/engine/control_server.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/report.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

constexpr std::int64_t kProtocol = 1;
constexpr std::size_t kLargestHello = 4096;
constexpr std::size_t kLargestFrame = std::size_t{1} << 30;
constexpr std::size_t kMostInFlight = 64;
constexpr std::size_t kMostKept = 10'000;  // acks, ends and feeds that one client waits for
constexpr std::size_t kMostOut = std::size_t{64} << 20;
constexpr auto kHelloTime = std::chrono::seconds(10);
constexpr auto kFrameTime = std::chrono::seconds(30);

}  // namespace

ControlSession::ControlSession(ControlServer& server, Socket socket, std::uint64_t number)
    : server_(server),
      number_(number),
      chain_(std::make_shared<ErrandChain>(server.errands())),
      socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      frames_(kLargestHello) {
  close_on_fork(socket_.native_handle());
}

void ControlSession::post(const std::weak_ptr<EngineParts>& engine, const std::weak_ptr<ControlSession>& session,
                          std::function<void(ControlSession&)> what) {
  const auto parts = engine.lock();
  if (!parts) return;
  // Sessions live and end on that thread.
  parts->loop.post([session, what = std::move(what)](Core&) {
    if (const auto self = session.lock(); self && !self->closed_) self->safely([&] { what(*self); });
  });
}

template <typename Do>
void ControlSession::safely(Do what) {
  try {
    what();
  } catch (const std::exception&) {
    close();
  }
}

void ControlSession::begin() {
  start_clock(kHelloTime);
  read();
}

void ControlSession::start_clock(Clock::duration time) {
  deadline_.expires_after(time);
  deadline_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    // It may have gone off in the moment in which it was set anew.
    if (!error && self->deadline_.expiry() <= Clock::now()) self->close();
  });
}

void ControlSession::close() {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  deadline_.cancel();
  if (forget_close_on_fork(socket_.native_handle())) {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  for (const auto& [id, undo] : std::exchange(undo_, {})) undo();
  for (const auto& [id, feeding] : std::exchange(feedings_, {})) stop_waiting(*feeding);
  out_.clear();
  server_.gone(self);
}

bool ControlSession::idle() const {
  boost::system::error_code ignored;
  return in_flight_ == 0 && undo_.empty() && feedings_.empty() && out_.empty() && !frames_.in_the_middle() &&
         socket_.available(ignored) == 0;
}

// ---- bytes ----

void ControlSession::read() {
  if (closed_ || closing_ || reading_) return;
  reading_ = true;
  socket_.async_read_some(boost::asio::buffer(buffer_),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
                            self->reading_ = false;
                            if (self->closed_) return;
                            if (error) return self->close();
                            self->safely([&] {
                              self->frames_.feed({self->buffer_.data(), size});
                              self->process();
                            });
                          });
}

/// Takes what frames there are, as long as the client has not more in flight than it may; then it is not even read from.
void ControlSession::process() {
  if (std::exchange(processing_, true)) return;
  while (!closed_ && !closing_ && in_flight_ < kMostInFlight) {
    const auto body = frames_.next();
    if (!body) break;
    handle(*body);
  }
  processing_ = false;
  if (closed_ || closing_) return;
  if (frames_.broken()) {
    return refuse(-1, "a frame of " + std::to_string(frames_.refused_length()) +
                          " bytes is not taken here: this is cogwork's control socket, whose frames are a length and msgpack");
  }
  watch_the_clock();
  if (in_flight_ < kMostInFlight) read();
}

/// Half a frame must become a whole one, if slowly.
void ControlSession::watch_the_clock() {
  if (!greeted_) return;
  if (frames_.in_the_middle() && in_flight_ < kMostInFlight) return start_clock(kFrameTime);
  deadline_.expires_at(Clock::time_point::max());
}

void ControlSession::send(std::string body) {
  if (closed_) return;
  auto frame = make_frame(body);
  out_bytes_ += frame.size();
  out_.push_back(std::move(frame));
  if (out_bytes_ > kMostOut && out_.size() > 1) return close();  // it does not read what it asked for
  if (out_.size() == 1) write();
}

void ControlSession::write() {
  boost::asio::async_write(socket_, boost::asio::buffer(out_.front()),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                             if (self->closed_) return;
                             if (error) return self->close();
                             self->out_bytes_ -= self->out_.front().size();
                             self->out_.pop_front();
                             if (!self->out_.empty()) return self->write();
                             if (self->closing_) self->close();
                           });
}

void ControlSession::refuse(std::int64_t id, const std::string& message) {
  send(wire_message(id, "error", write_error("ProtocolError", message)));
  closing_ = true;
  if (out_.empty()) close();
}

// ---- requests ----

void ControlSession::handle(const std::string& body) {
  last_heard_ = Clock::now();
  std::string problem;
  auto request = read_request(body, problem);
  if (!request) return refuse(-1, problem);
  if (greeted_) return serve(std::move(*request));
  if (request->op != "hello") return refuse(request->id, "the first request is \"hello\"");
  if (!request->problem.empty()) return refuse(request->id, request->problem);
  hello(*request);
}

void ControlSession::hello(const ControlRequest& request) {
  if (request.protocol != kProtocol) {
    return refuse(request.id, "this engine speaks version " + std::to_string(kProtocol) + " of the control protocol, not " +
                                  std::to_string(request.protocol) + "; use the cogwork that the engine runs");
  }
  greeted_ = true;
  frames_.set_largest(kLargestFrame);
  const auto& engine = server_.engine();
  WireWriter w;
  w.map(5)
      .integer("protocol", kProtocol)
      .text("version", COGWORK_VERSION)
      .text("store", engine.store->name())
      .text("identity", server_.identity())
      .text("engine")
      .raw(write_owner(engine.owner));
  send(wire_message(request.id, "ok", w.take()));
}

/// Between two steps of the core, as all that the loop's thread is told: so requests are served in the order in which they came, and what the
/// core can answer waits for nothing.
void ControlSession::serve(ControlRequest request) {
  const bool replies = request.op != "more" && request.op != "forget";
  in_flight_ += replies ? 1 : 0;
  server_.engine().loop.post([weak = weak_from_this(), request = std::move(request)](Core& core) mutable {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    if (request.op == "more") return self->safely([&] { self->more(request.of); });
    if (request.op == "forget") return self->safely([&] { self->forget(request.of); });
    const ControlReply reply(self->server_.engine().weak_from_this(), weak, request.id);
    try {
      if (!request.problem.empty()) throw ProtocolError(request.problem);
      const auto op = control_op(request.op);
      if (!op) throw ProtocolError("there is no request \"" + request.op + "\"; the engine is cogwork " COGWORK_VERSION);
      Asked asked{*self, self->server_, core, std::move(request), reply};
      op(asked);
    } catch (...) {
      reply.error(std::current_exception());
    }
  });
}

void ControlSession::finish(std::string body) {
  --in_flight_;
  last_heard_ = Clock::now();
  send(std::move(body));
  process();
}

// ---- what is followed ----

void ControlSession::conclude(std::int64_t id, std::string body) {
  undo_.erase(id);
  feedings_.erase(id);
  last_heard_ = Clock::now();
  send(std::move(body));
}

void ControlSession::follow(std::int64_t id, std::shared_ptr<Completion> completion, std::function<std::string()> say) {
  if (closed_) return;
  const auto ticket =
      completion->on_done([engine = server_.engine().weak_from_this(), weak = weak_from_this(), id, say = std::move(say)] {
        post(engine, weak, [id, body = say()](ControlSession& self) mutable { self.conclude(id, std::move(body)); });
      });
  undo_[id] = [completion = std::move(completion), ticket] { completion->forget(ticket); };
  if (undo_.size() + feedings_.size() > kMostKept) close();
}

void ControlSession::add(const std::shared_ptr<Feeding>& feeding) {
  feedings_[feeding->id] = feeding;
  if (undo_.size() + feedings_.size() > kMostKept) close();
}

void ControlSession::forget(std::int64_t of) {
  if (auto node = feedings_.extract(of)) stop_waiting(*node.mapped());
  if (auto node = undo_.extract(of)) node.mapped()();
}

/// One piece for each; asking again before it came asks for nothing more.
void ControlSession::more(std::int64_t of) {
  const auto found = feedings_.find(of);
  if (found == feedings_.end() || std::exchange(found->second->wanted, true)) return;
  pump(found->second);
}

void ControlSession::stop_waiting(Feeding& feeding) {
  if (feeding.news) std::exchange(feeding.news, nullptr)->forget(feeding.ticket);
}

/// Sends what there is, or waits for something.
void ControlSession::pump(const std::shared_ptr<Feeding>& feeding) {
  const auto id = feeding->id;
  const auto engine = server_.engine().weak_from_this();
  const auto weak = weak_from_this();
  const auto failed = [id](const std::exception_ptr& error) {
    return [id, body = wire_message(id, "error", write_error(error))](ControlSession& self) { self.conclude(id, body); };
  };
  try {
    chain().post([engine, weak, feeding, id, failed] {
      try {
        const auto news = feeding->ready();
        auto piece = feeding->piece();
        if (!piece.empty()) {
          return post(engine, weak, [feeding, piece = std::move(piece)](ControlSession& self) mutable {
            if (!self.feedings_.contains(feeding->id)) return;  // forgotten meanwhile
            feeding->wanted = false;
            self.last_heard_ = Clock::now();
            self.send(std::move(piece));
          });
        }
        if (feeding->over()) {
          return post(engine, weak, [id](ControlSession& self) { self.conclude(id, wire_message(id, "over", wire_nil())); });
        }
        post(engine, weak, [engine, weak, feeding, news](ControlSession& self) {
          if (!self.feedings_.contains(feeding->id)) return;
          feeding->news = news;
          feeding->ticket = news->on_done([engine, weak, waiting = std::weak_ptr(feeding)] {
            post(engine, weak, [waiting](ControlSession& again) {
              if (const auto still = waiting.lock(); still && again.feedings_.contains(still->id)) again.pump(still);
            });
          });
        });
      } catch (...) {
        post(engine, weak, failed(std::current_exception()));
      }
    });
  } catch (const ResourceError&) {
    failed(std::current_exception())(*this);
  }
}

}  // namespace cogwork
