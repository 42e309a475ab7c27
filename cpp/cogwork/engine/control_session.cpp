#include "cogwork/engine/control_session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <utility>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/engine/control_server.h"
#include "cogwork/engine/report.h"
#include "cogwork/model/document.h"
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

std::string reply(std::int64_t id, std::string_view value) {
  WireWriter w;
  w.map(2).integer("id", id).text("ok").raw(value);
  return w.take();
}

std::string event(std::int64_t id, std::string_view name, std::string_view value) {
  WireWriter w;
  w.map(2).integer("id", id).text(name).raw(value);
  return w.take();
}

std::string nothing() {
  WireWriter w;
  w.nil();
  return w.take();
}

std::string text(std::string_view value) {
  WireWriter w;
  w.text(value);
  return w.take();
}

std::string error_reply(std::int64_t id, std::string_view error) {
  WireWriter w;
  w.map(2).integer("id", id).text("error").raw(error);
  return w.take();
}

}  // namespace

ControlSession::ControlSession(ControlServer& server, Socket socket)
    : server_(server), socket_(std::move(socket)), deadline_(socket_.get_executor()), frames_(kLargestHello) {
  close_on_fork(socket_.native_handle());
}

void ControlSession::begin() {
  start_clock(kHelloTime);
  read();
}

void ControlSession::start_clock(std::chrono::steady_clock::duration time) {
  deadline_.expires_after(time);
  deadline_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    // It may have gone off in the moment in which it was set anew.
    if (!error && self->deadline_.expiry() <= std::chrono::steady_clock::now()) self->close();
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
  feedings_.clear();
  out_.clear();
  server_.gone(self);
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
                            self->frames_.feed({self->buffer_.data(), size});
                            self->process();
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
  deadline_.expires_at(std::chrono::steady_clock::time_point::max());
}

void ControlSession::deliver(std::string body) {
  boost::asio::post(socket_.get_executor(),
                    [self = shared_from_this(), body = std::move(body)]() mutable { self->send(std::move(body)); });
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
  send(error_reply(id, write_error("ProtocolError", message)));
  closing_ = true;
}

// ---- requests ----

void ControlSession::handle(const std::string& body) {
  std::string problem;
  auto request = read_request(body, problem);
  if (!request) return refuse(-1, problem);
  if (greeted_) return serve(std::move(*request));
  if (request->op != "hello") return refuse(request->id, "the first request is \"hello\"");
  hello(*request);
}

void ControlSession::hello(const ControlRequest& request) {
  if (request.protocol != kProtocol) {
    return refuse(request.id, "this engine speaks version " + std::to_string(kProtocol) + " of the control protocol, not " +
                                  std::to_string(request.protocol) + "; use the cogwork that the engine runs");
  }
  greeted_ = true;
  frames_.set_largest(kLargestFrame);
  WireWriter w;
  w.map(5)
      .integer("protocol", kProtocol)
      .text("version", COGWORK_VERSION)
      .text("store", server_.store_name())
      .text("identity", server_.identity())
      .text("engine")
      .raw(write_owner(server_.owner()));
  send(reply(request.id, w.take()));
}

void ControlSession::serve(ControlRequest request) {
  auto& engine = server_.engine();
  const auto id = request.id;
  const auto& op = request.op;
  const auto weak = weak_from_this();
  if (op == "state") {
    answer(id, [&engine, object = request.object]() -> Answer {
      WireWriter w;
      w.integer(static_cast<int>(engine.state(object)));
      return {w.take()};
    });
  } else if (op == "find") {
    answer(id, [&engine, r = std::move(request)]() -> Answer { return {text(engine.find_task(r.object, r.name).text())}; });
  } else if (op == "progress") {
    answer(id, [&engine, object = request.object]() -> Answer { return {write_progress(engine.progress(object))}; });
  } else if (op == "stats") {
    answer(id, [&engine]() -> Answer { return {write_stats(engine.stats())}; });
  } else if (op == "start") {
    answer(id, [&engine, r = std::move(request)]() -> Answer {
      engine.start(r.object, r.by, r.note);
      return {nothing()};
    });
  } else if (op == "take_up") {
    answer(id, [&engine, object = request.object]() -> Answer { return {text(engine.take_up(object))}; });
  } else if (op == "decide") {
    if (request.decision == Decision::NONE) return refuse(id, "a request to decide needs a \"decision\"");
    answer(id, [&engine, r = std::move(request)]() -> Answer {
      engine.decide({r.object, r.decision, r.by, r.note});
      return {nothing()};
    });
  } else if (op == "signal") {
    signal(std::move(request));
  } else if (op == "crisis_pause") {
    crisis_pause(std::move(request));
  } else if (op == "crisis_resume" || op == "crisis_wait") {
    crisis_ack(request);
  } else if (op == "crises") {
    answer(id, [&engine, lifted = request.lifted]() -> Answer { return {write_crises(engine.crises(lifted))}; });
  } else if (op == "end") {
    end(request);
  } else if (op == "submit") {
    submit(std::move(request));
  } else if (op == "changes") {
    changes(request);
  } else if (op == "logs") {
    logs(request);
  } else if (op == "more") {
    const auto found = feedings_.find(request.of);
    if (found != feedings_.end())
      server_.feeds().post([weak, feeding = found->second] {
        if (const auto self = weak.lock()) self->pump(feeding);
      });
  } else if (op == "forget") {
    feedings_.erase(request.of);
    if (auto node = undo_.extract(request.of)) node.mapped()();
  } else {
    send(error_reply(id,
                     write_error("ProtocolError", "there is no request \"" + op + "\"; the engine is cogwork " COGWORK_VERSION)));
  }
}

void ControlSession::signal(ControlRequest request) {
  if (!request.signal) return refuse(request.id, "a request to signal needs a \"signal\"");
  const auto id = request.id;
  answer(id, [&engine = server_.engine(), id, r = std::move(request)]() -> Answer {
    return follow_ack(id, engine.signal({r.object, *r.signal, r.interrupt, r.by, r.note}));
  });
}

ControlSession::Answer ControlSession::follow_ack(std::int64_t id, const std::shared_ptr<Ack>& ack) {
  if (ack->stored()) {  // R4: there is nothing to follow
    WireWriter w;
    w.boolean(true);
    return {w.take()};
  }
  return {nothing(), [id, ack](ControlSession& self) {
            self.follow(id, {ack, &ack->completion()}, [id, ack = ack.get()] {
              WireWriter w;
              w.map(3)
                  .integer("state", static_cast<int>(ack->state()))
                  .boolean("applied", ack->applied())
                  .boolean("closed", ack->closed());
              return event(id, "done", w.take());
            });
          }};
}

/// It may wait for the store, and nobody else is to wait behind it: a crisis is looked at meanwhile.
void ControlSession::crisis_pause(ControlRequest request) {
  const auto id = request.id;
  Latch latch;
  latch.tags = std::move(request.tags);
  latch.name_prefix = std::move(request.name);
  latch.cogs = std::move(request.cogs);
  latch.by = std::move(request.by);
  latch.note = std::move(request.note);
  ++in_flight_;
  const auto back = [weak = weak_from_this()](std::string body) {
    const auto self = weak.lock();
    if (!self) return;
    boost::asio::post(self->socket_.get_executor(), [self, body = std::move(body)]() mutable { self->finish(std::move(body)); });
  };
  server_.commands().post([&engine = server_.engine(), id, back, latch = std::move(latch)]() mutable {
    try {
      engine.crisis_pause_async(std::move(latch), [id, back](Id set, const std::exception_ptr& error) {
        back(error ? error_reply(id, write_error(error)) : reply(id, text(set.text())));
      });
    } catch (...) {
      back(error_reply(id, write_error(std::current_exception())));
    }
  });
}

void ControlSession::crisis_ack(const ControlRequest& request) {
  answer(request.id, [&engine = server_.engine(), r = request]() -> Answer {
    return follow_ack(r.id, r.op == "crisis_wait" ? engine.latch_settled(r.object) : engine.crisis_resume(r.object, r.by, r.note));
  });
}

void ControlSession::end(const ControlRequest& request) {
  answer(request.id, [&engine = server_.engine(), id = request.id, object = request.object]() -> Answer {
    auto end = engine.end_of(object);
    return {nothing(), [id, end](ControlSession& self) {
              self.follow(id, {end, &end->completion()}, [id, end = end.get()] {
                WireWriter w;
                w.boolean(end->closed());
                return event(id, "ended", w.take());
              });
            }};
  });
}

void ControlSession::answer(std::int64_t id, std::function<Answer()> work) {
  ++in_flight_;
  server_.commands().post([self = shared_from_this(), id, work = std::move(work)] {
    Answer answer;
    std::string body;
    try {
      answer = work();
      body = reply(id, answer.value);
    } catch (...) {
      body = error_reply(id, write_error(std::current_exception()));
    }
    boost::asio::post(self->socket_.get_executor(), [self, body = std::move(body), then = std::move(answer.then)]() mutable {
      self->finish(std::move(body));
      if (then) then(*self);
    });
  });
}

void ControlSession::finish(std::string body) {
  --in_flight_;
  send(std::move(body));
  process();
}

void ControlSession::conclude(std::int64_t id, std::string body) {
  boost::asio::post(socket_.get_executor(), [self = shared_from_this(), id, body = std::move(body)]() mutable {
    self->undo_.erase(id);
    self->feedings_.erase(id);
    self->send(std::move(body));
  });
}

void ControlSession::follow(std::int64_t id, std::shared_ptr<Completion> completion, std::function<std::string()> say) {
  if (closed_) return;
  const auto ticket = completion->on_done([weak = weak_from_this(), id, say = std::move(say)] {
    if (const auto self = weak.lock()) self->conclude(id, say());
  });
  undo_[id] = [completion = std::move(completion), ticket] { completion->forget(ticket); };
  if (undo_.size() + feedings_.size() > kMostKept) close();
}

void ControlSession::submit(ControlRequest request) {
  const auto id = request.id;
  const auto back = [weak = weak_from_this(), id](bool ok, std::string value) {
    const auto self = weak.lock();
    if (!self) return;
    auto body = ok ? reply(id, value) : error_reply(id, value);
    boost::asio::post(self->socket_.get_executor(), [self, body = std::move(body)]() mutable { self->finish(std::move(body)); });
  };
  ++in_flight_;
  SubmitDesk::Call call{
      0, std::move(request.document), std::move(request.faults), std::move(request.expected), request.start, std::move(request.by)};
  if (server_.submits()->put(std::move(call), back)) return;
  finish(error_reply(id, server_.engine().options().takes_submits
                             ? write_error("EngineClosed", "the engine is closing; submit it to the next one that opens the store")
                             : write_error("CogworkError", "this engine takes no Labors from other processes")));
}

void ControlSession::changes(const ControlRequest& request) {
  feed(request.id, [&engine = server_.engine(), id = request.id, object = request.object, since = request.since](Feeding& feeding) {
    const std::shared_ptr<ChangeFeed> changes = engine.changes(object, since);
    feeding.ready = [changes] { return changes->ready(); };
    feeding.over = [changes] { return changes->over(); };
    feeding.piece = [changes, id] {
      const auto found = changes->poll();
      return found.empty() ? std::string() : event(id, "changes", write_changes(found));
    };
  });
}

void ControlSession::logs(const ControlRequest& request) {
  feed(request.id, [&engine = server_.engine(), id = request.id, object = request.object, since = request.since](Feeding& feeding) {
    const std::shared_ptr<LogFeed> lines = engine.logs(object, since);
    feeding.ready = [lines] { return lines->ready(); };
    feeding.over = [lines] { return lines->over(); };
    feeding.piece = [lines, id] {
      const auto found = lines->poll();
      return found.lines.empty() ? std::string() : event(id, "lines", write_lines(found));
    };
  });
}

/// Opens a feed on the thread for feeds, and replies. Pieces come when the client asks for more.
void ControlSession::feed(std::int64_t id, std::function<void(Feeding&)> open) {
  ++in_flight_;
  server_.feeds().post([self = shared_from_this(), id, open = std::move(open)] {
    std::string body;
    auto feeding = std::make_shared<Feeding>();
    feeding->id = id;
    try {
      open(*feeding);
      body = reply(id, nothing());
    } catch (...) {
      body = error_reply(id, write_error(std::current_exception()));
    }
    boost::asio::post(self->socket_.get_executor(), [self, body = std::move(body), feeding = std::move(feeding)]() mutable {
      if (!self->closed_ && feeding->piece) {
        self->feedings_[feeding->id] = std::move(feeding);
        if (self->undo_.size() + self->feedings_.size() > kMostKept) self->close();
      }
      self->finish(std::move(body));
    });
  });
}

/// Thread for feeds: sends what there is, or waits for something.
void ControlSession::pump(const std::shared_ptr<Feeding>& feeding) {
  const auto id = feeding->id;
  try {
    const auto ready = feeding->ready();
    auto piece = feeding->piece();
    if (!piece.empty()) return deliver(std::move(piece));
    if (feeding->over()) return conclude(id, event(id, "over", nothing()));
    ready->on_done([weak = weak_from_this(), waiting = std::weak_ptr(feeding)] {
      const auto self = weak.lock();
      if (!self) return;
      self->server_.feeds().post([weak, waiting] {
        const auto session = weak.lock();
        const auto still = waiting.lock();
        if (session && still) session->pump(still);
      });
    });
  } catch (...) {
    conclude(id, error_reply(id, write_error(std::current_exception())));
  }
}

}  // namespace cogwork
