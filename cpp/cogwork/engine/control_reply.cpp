#include "cogwork/engine/control_reply.h"

#include <utility>

#include "cogwork/engine/control_session.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/report.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {

std::string wire_nil() {
  WireWriter w;
  w.nil();
  return w.take();
}

std::string wire_text(std::string_view text) {
  WireWriter w;
  w.text(text);
  return w.take();
}

std::string wire_number(std::int64_t number) {
  WireWriter w;
  w.integer(number);
  return w.take();
}

std::string wire_message(std::int64_t id, std::string_view key, std::string_view value) {
  WireWriter w;
  w.map(2).integer("id", id).text(key).raw(value);
  return w.take();
}

void ControlReply::say(std::string body, std::function<void(ControlSession&)> then) const {
  ControlSession::post(engine_, session_, [body = std::move(body), then = std::move(then)](ControlSession& session) mutable {
    session.finish(std::move(body));
    if (then) then(session);
  });
}

void ControlReply::ok(std::string value, std::function<void(ControlSession&)> then) const {
  say(wire_message(id_, "ok", value), std::move(then));
}

void ControlReply::error(const std::exception_ptr& error) const { this->error(write_error(error)); }
void ControlReply::error(const std::string& error) const { say(wire_message(id_, "error", error), {}); }

Done ControlReply::when_done() const {
  return [self = *this](const std::exception_ptr& error) { error ? self.error(error) : self.ok(wire_nil()); };
}

AckReply ControlReply::when_taken() const {
  return [self = *this](const std::shared_ptr<Ack>& ack, const std::exception_ptr& error) {
    if (error) return self.error(error);
    if (!ack->stored()) return self.follow(ack, wire_nil());
    WireWriter w;  // R4: there is nothing to follow
    w.boolean(true);
    self.ok(w.take());
  };
}

void ControlReply::follow(const std::shared_ptr<Ack>& ack, std::string value) const {
  ok(std::move(value), [id = id_, ack](ControlSession& session) {
    session.follow(id, {ack, &ack->completion()}, [id, ack = ack.get()] {
      WireWriter w;
      w.map(3).integer("state", static_cast<int>(ack->state())).boolean("applied", ack->applied()).boolean("closed", ack->closed());
      return wire_message(id, "done", w.take());
    });
  });
}

}  // namespace cogwork
