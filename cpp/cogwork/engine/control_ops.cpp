#include "cogwork/engine/control_ops.h"

#include <array>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/engine/control_server.h"
#include "cogwork/engine/control_session.h"
#include "cogwork/engine/engine_parts.h"
#include "cogwork/engine/report.h"
#include "cogwork/engine/stored.h"
#include "cogwork/engine/submit_desk.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

/// Of a start or a decision, which are answered when they are durable.
AckReply done_or(const ControlReply& reply, const char* ended) {
  return [reply, ended](const std::shared_ptr<Ack>& ack, const std::exception_ptr& error) {
    if (error) return reply.error(error);
    if (!ack) return reply.error(std::make_exception_ptr(SignalNotAllowed(ended, -1, 0)));
    reply.ok(wire_nil());
  };
}

/// Who asks for what stays behind in the engine is told where there are too many.
void require_room(const Asked& a) {
  if (!a.server.crowded()) return;
  throw ResourceError(
      "the engine serves " + std::to_string(ControlServer::kMostSessions) +
      " clients already, or its process has no descriptors left: it takes signals and answers, but follows nothing more; try again "
      "later, or end some of the programs that watch it");
}

// ---- questions ----

void state(Asked& a) {
  if (const auto now = a.core.state(a.request.object)) return a.reply.ok(wire_number(static_cast<int>(*now)));
  a.elsewhere([id = a.request.object](EngineHandle& engine, const ControlReply& reply) {
    reply.ok(wire_number(static_cast<int>(engine.state(id))));
  });
}

void find(Asked& a) {
  std::string choices;
  const auto found = a.core.find_named(a.request.object, a.request.name, choices);
  if (found && found->is_nil()) not_called(a.request.object, a.request.name, choices);
  if (found) return a.reply.ok(wire_text(found->text()));
  a.elsewhere([id = a.request.object, name = a.request.name](EngineHandle& engine, const ControlReply& reply) {
    reply.ok(wire_text(engine.find_task(id, name).text()));
  });
}

void progress(Asked& a) {
  if (const auto now = a.server.engine().progress(a.core, a.request.object)) return a.reply.ok(write_progress(*now));
  a.elsewhere(
      [id = a.request.object](EngineHandle& engine, const ControlReply& reply) { reply.ok(write_progress(engine.progress(id))); });
}

void stats(Asked& a) { a.reply.ok(write_stats(a.server.engine().stats(a.core))); }

void crises(Asked& a) { a.reply.ok(write_crises(a.core.crises(a.request.lifted))); }

// ---- orders ----

void signal(Asked& a) {
  const auto& r = a.request;
  if (!r.signal) throw ProtocolError("a request to signal needs a \"signal\"");
  const SignalOrder order{r.object, *r.signal, r.interrupt, r.by, r.note};
  if (a.core.knows(order.object)) return a.core.signal(order, a.reply.when_taken());
  a.elsewhere([order](EngineHandle& engine, const ControlReply& reply) { engine.signal_async(order, reply.when_taken()); });
}

void start(Asked& a) {
  const auto& r = a.request;
  if (a.core.knows(r.object) && r.object.ordinal() == 0) {
    return a.core.start(r.object, Text(r.by), Text(r.note), done_or(a.reply, "cannot start a Labor that has ended"));
  }
  a.elsewhere(
      [r](EngineHandle& engine, const ControlReply& reply) { engine.start_async(r.object, r.by, r.note, reply.when_done()); });
}

void decide(Asked& a) {
  const auto& r = a.request;
  if (r.decision == Decision::NONE) throw ProtocolError("a request to decide needs a \"decision\"");
  const DecisionOrder order{r.object, r.decision, r.by, r.note};
  if (a.core.knows(order.job)) {
    return a.core.decide(order, done_or(a.reply, "cannot decide about a Job of a Labor that has ended"));
  }
  a.elsewhere([order](EngineHandle& engine, const ControlReply& reply) { engine.decide_async(order, reply.when_done()); });
}

void take_up(Asked& a) {
  if (a.core.knows(a.request.object) && a.request.object.ordinal() == 0) return a.reply.ok(wire_text(""));
  a.elsewhere(
      [id = a.request.object](EngineHandle& engine, const ControlReply& reply) { reply.ok(wire_text(engine.take_up(id))); });
}

void crisis_pause(Asked& a) {
  auto& r = a.request;
  Latch latch;
  latch.tags = std::move(r.tags);
  latch.name_prefix = std::move(r.name);
  latch.cogs = std::move(r.cogs);
  latch.by = std::move(r.by);
  latch.note = std::move(r.note);
  a.core.crisis_pause(std::move(latch), [reply = a.reply](const LatchSet& set, const std::exception_ptr& error) {
    if (error) return reply.error(error);
    reply.follow(set.recorded, wire_text(set.id.text()));
  });
}

void crisis_resume(Asked& a) { a.core.crisis_resume(a.request.object, a.request.by, a.request.note, a.reply.when_taken()); }

/// Checking a Labor is the Cogs' affair, and takes Python: it goes to the desk.
void submit(Asked& a) {
  auto& r = a.request;
  const auto back = [reply = a.reply](bool ok, const std::string& value) { ok ? reply.ok(value) : reply.error(value); };
  SubmitDesk::Call call{0,       a.session.number(), std::move(r.document), std::move(r.faults), std::move(r.expected),
                        r.start, std::move(r.by)};
  if (a.server.submits()->put(std::move(call), back)) return;
  if (!a.server.engine().options.takes_submits) throw Error("this engine takes no Labors from other processes");
  throw EngineClosed("the engine is closing; submit it to the next one that opens the store");
}

// ---- what is followed ----

void follow_end(const std::shared_ptr<LaborEnd>& end, std::int64_t id, const ControlReply& reply) {
  reply.ok(wire_nil(), [id, end](ControlSession& session) {
    session.follow(id, {end, &end->completion()}, [id, end = end.get()] {
      WireWriter w;
      w.boolean(end->closed());
      return wire_message(id, "ended", w.take());
    });
  });
}

void end(Asked& a) {
  require_room(a);
  const auto& r = a.request;
  if (const auto end = a.core.end_of(r.object)) return follow_end(end, r.id, a.reply);
  a.elsewhere([id = r.id, object = r.object](EngineHandle& engine, const ControlReply& reply) {
    follow_end(engine.end_of(object), id, reply);
  });
}

void crisis_wait(Asked& a) { a.reply.follow(a.core.settled(a.request.object), wire_nil()); }

void feed_changes(std::shared_ptr<ChangeFeed> changes, std::int64_t id, const ControlReply& reply) {
  auto feeding = std::make_shared<ControlSession::Feeding>();
  feeding->id = id;
  feeding->ready = [changes] { return changes->ready(); };
  feeding->over = [changes] { return changes->over(); };
  feeding->piece = [changes, id] {
    const auto found = changes->poll();
    return found.empty() ? std::string() : wire_message(id, "changes", write_changes(found));
  };
  reply.ok(wire_nil(), [feeding](ControlSession& session) { session.add(feeding); });
}

void changes(Asked& a) {
  require_room(a);
  const auto& r = a.request;
  const auto& feeds = a.server.engine().feeds;
  const auto labor = r.object.labor();
  if (r.object.is_nil()) return feed_changes(feeds->open(r.object, r.since, false), r.id, a.reply);
  // Between asking whether it runs and opening the feed, its end must not pass unseen: both at once.
  if (const auto end = a.core.end_of(labor)) {
    return feed_changes(feeds->open(labor, r.since, end->completion().done()), r.id, a.reply);
  }
  a.elsewhere([id = r.id, labor, since = r.since](EngineHandle& engine, const ControlReply& reply) {
    feed_changes(engine.changes(labor, since), id, reply);
  });
}

void feed_lines(std::shared_ptr<LogFeed> lines, std::int64_t id, const ControlReply& reply) {
  auto feeding = std::make_shared<ControlSession::Feeding>();
  feeding->id = id;
  feeding->ready = [lines] { return lines->ready(); };
  feeding->over = [lines] { return lines->over(); };
  feeding->piece = [lines, id] {
    const auto found = lines->poll();
    return found.lines.empty() ? std::string() : wire_message(id, "lines", write_lines(found));
  };
  reply.ok(wire_nil(), [feeding](ControlSession& session) { session.add(feeding); });
}

void logs(Asked& a) {
  require_room(a);
  const auto& r = a.request;
  if (auto log = a.core.log_of(r.object)) return feed_lines(std::make_shared<LogFeed>(std::move(log), r.since), r.id, a.reply);
  a.elsewhere([id = r.id, object = r.object, since = r.since](EngineHandle& engine, const ControlReply& reply) {
    feed_lines(engine.logs(object, since), id, reply);
  });
}

constexpr std::array<std::pair<std::string_view, ControlOp>, 16> kOps = {{
    {"state", state},
    {"find", find},
    {"progress", progress},
    {"stats", stats},
    {"crises", crises},
    {"signal", signal},
    {"start", start},
    {"decide", decide},
    {"take_up", take_up},
    {"crisis_pause", crisis_pause},
    {"crisis_resume", crisis_resume},
    {"crisis_wait", crisis_wait},
    {"submit", submit},
    {"end", end},
    {"changes", changes},
    {"logs", logs},
}};

}  // namespace

ControlOp control_op(std::string_view name) {
  for (const auto& [known, op] : kOps) {
    if (known == name) return op;
  }
  return nullptr;
}

void Asked::elsewhere(std::function<void(EngineHandle&, const ControlReply&)> work) const {
  session.chain().post([engine = server.handle(), work = std::move(work), reply = reply]() mutable {
    try {
      work(engine, reply);
    } catch (...) {
      reply.error(std::current_exception());
    }
  });
}

}  // namespace cogwork
