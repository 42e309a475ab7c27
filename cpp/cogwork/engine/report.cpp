#include "cogwork/engine/report.h"

#include <new>

#include "cogwork/base/error.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

void write(WireWriter& w, const Progress::TaskProgress& t) {
  w.map(18)
      .id("id", t.id)
      .text("name", t.name)
      .integer("state", static_cast<int>(t.state))
      .integer("reason", static_cast<int>(t.reason))
      .micros("started", t.started)
      .micros("ended", t.ended)
      .count("sequences", t.sequences)
      .count("under_way", t.sequences_under_way)
      .count("completed", t.completed)
      .count("failed", t.failed)
      .count("stopped", t.stopped)
      .count("failures", t.failures)
      .integer("tolerated", t.tolerated)
      .count("concurrency", t.concurrency)
      .count("checks", t.checks)
      .count("rounds", t.rounds)
      .micros("next_round", t.next_round)
      .text("waiting", t.waiting);
}

void write(WireWriter& w, const Progress::Flight& f) {
  w.map(8)
      .id("job_id", f.job)
      .text("target", f.target)
      .text("cog", f.cog)
      .text("job_name", f.job_name)
      .count("attempt", f.attempt)
      .micros("since", f.since);
  f.fraction < 0 ? w.nil("fraction") : w.number("fraction", f.fraction);
  w.text("message", f.message);
}

void write(WireWriter& w, const Progress::Retry& r) {
  w.map(7)
      .id("job_id", r.job)
      .text("target", r.target)
      .text("cog", r.cog)
      .text("job_name", r.job_name)
      .count("attempt", r.attempt)
      .micros("due", r.due)
      .text("error", r.error);
}

constexpr std::size_t kPlaceFields = 3;

void write_fields(WireWriter& w, const Progress::Place& p) {
  w.text("after", p.after).text("job", p.job).boolean("begun", p.begun);
}

void write(WireWriter& w, const Progress::HalfWay& h) {
  w.map(4 + kPlaceFields)
      .id("sequence_id", h.sequence)
      .text("task", h.task)
      .text("target", h.target)
      .integer("state", static_cast<int>(h.state));
  write_fields(w, h.place);
}

void write(WireWriter& w, const Progress::Loss& l) {
  w.map(5 + kPlaceFields)
      .id("sequence_id", l.object)
      .text("task", l.task)
      .text("target", l.target)
      .integer("state", static_cast<int>(l.state))
      .text("error", l.error);
  write_fields(w, l.place);
}

void write(WireWriter& w, const Hold& h) {
  w.map(4).integer("rank", static_cast<int>(h.rank)).micros("since", h.since).text("by", h.by).text("note", h.note);
}

void write(WireWriter& w, const Latch& l) { write_fields(w.map(kLatchFields), l); }

void write(WireWriter& w, const LatchStatus::Executing& e) {
  w.map(4).id("labor_id", e.labor).text("name", e.name).integer("state", static_cast<int>(e.state)).count("attempts", e.attempts);
}

void write(WireWriter& w, const Stats::Counter& c) { w.map(2).count("executing", c.executing).count("processed", c.processed); }

void write(WireWriter& w, const PullQueue::Figures& f) {
  w.map(6)
      .integer("threads", f.threads)
      .integer("idle", f.idle)
      .integer("queued", f.queued)
      .integer("running", f.running)
      .integer("abandoned", f.abandoned)
      .count("abandoned_ever", f.abandoned_ever);
}

void write(WireWriter& w, const Stats::Waiting& waiting) {
  w.map(4).id("labor_id", waiting.labor).text("name", waiting.name).text("why", waiting.why).boolean("later", waiting.later);
}

void write(WireWriter& w, const OutdatedProgram& o) {
  w.map(4).text("program", o.program).text("real_user", o.user).text("why", o.why).micros("since", o.since);
}

void write(WireWriter& w, const HeldJob& h) {
  w.map(8)
      .id("job_id", h.job)
      .text("labor_name", h.labor_name)
      .text("task", h.task)
      .text("target", h.target)
      .text("cog", h.cog)
      .text("job_name", h.job_name)
      .count("attempt", h.attempt)
      .micros("started", h.started);
}

template <typename List>
void write_all(WireWriter& w, std::string_view key, const List& items) {
  w.text(key).array(items.size());
  for (const auto& item : items) write(w, item);
}

template <typename T>
void write_one(WireWriter& w, std::string_view key, const T& item) {
  w.text(key);
  write(w, item);
}

}  // namespace

std::string write_progress(const Progress& p) {
  WireWriter w;
  w.map(22)
      .id("id", p.id)
      .text("name", p.name)
      .integer("state", static_cast<int>(p.state))
      .integer("reason", static_cast<int>(p.reason))
      .micros("started", p.started)
      .micros("ended", p.ended)
      .count("in_flight_count", p.in_flight_count)
      .count("retry_count", p.retry_count)
      .count("half_way_count", p.half_way_count)
      .count("held_count", p.held_count)
      .text("unattended", p.unattended)
      .text("failing", p.failing)
      .micros("failing_since", p.failing_since);
  write_all(w, "holds", p.holds);
  write_all(w, "latches", p.latches);
  write_all(w, "tasks", p.tasks);
  write_all(w, "in_flight", p.in_flight);
  write_all(w, "retries", p.retries);
  write_all(w, "half_way", p.half_way);
  write_all(w, "losses", p.losses);
  write_all(w, "failed_checks", p.failed_checks);
  write_all(w, "held", p.held);
  return w.take();
}

std::string write_stats(const Stats& s) {
  WireWriter w;
  w.map(31);
  write_one(w, "labors", s.labors);
  write_one(w, "tasks", s.tasks);
  write_one(w, "sequences", s.sequences);
  write_one(w, "jobs", s.jobs);
  write_one(w, "workers", s.workers);
  write_one(w, "check_workers", s.check_workers);
  write_one(w, "async_calls", s.async_calls);
  w.integer("commands", s.commands).integer("processes", s.processes).integer("process_calls", s.process_calls);
  w.count("queued_jobs", s.queued_jobs)
      .count("queued_checks", s.queued_checks)
      .boolean("degraded", s.store.degraded)
      .text("degraded_reason", s.store.reason)
      .micros("degraded_since", s.store.since)
      .micros("writing_since", s.store.writing_since)
      .count("failed_writes", s.store.failed_writes)
      .count("commits", s.commits.commits)
      .count("commit_units", s.commits.units)
      .count("commit_queue", s.commits.queued)
      .count("held_count", s.held_count)
      .count("steps", s.steps)
      .boolean("closing", s.closing)
      .count("clock_jumps", s.clock.count)
      .integer("clock_jumped", s.clock.last.count())
      .micros("clock_jumped_at", s.clock.at)
      .integer("records_ahead", s.records_ahead.count());
  w.text("stuck").array(s.store.stuck.size());
  for (const auto& id : s.store.stuck) w.text(id.text());
  write_all(w, "waiting", s.waiting);
  write_all(w, "outdated", s.outdated);
  write_all(w, "held", s.held);
  return w.take();
}

std::string write_crises(const std::vector<LatchStatus>& crises) {
  WireWriter w;
  w.array(crises.size());
  for (const auto& c : crises) {
    write_fields(w.map(kLatchFields + 6), c.latch);
    w.boolean("durable", c.durable)
        .boolean("lifting", c.lifting)
        .count("labors", c.labors)
        .count("attempts", c.attempts)
        .count("executing_count", c.executing_count);
    write_all(w, "executing", c.executing);
  }
  return w.take();
}

std::string write_lines(const LaborLog::Piece& piece) {
  WireWriter w;
  w.map(2).count("missed", piece.missed).text("lines").array(piece.lines.size());
  for (const auto& l : piece.lines) {
    w.map(8)
        .count("number", l.number)
        .micros("at", l.at)
        .text("job_id", l.job.is_nil() ? "" : l.job.text())
        .count("attempt", l.attempt)
        .text("target", l.target)
        .text("name", l.name)
        .text("text", l.text)
        .count("dropped", l.dropped);
  }
  return w.take();
}

std::string write_owner(const Owner& o) {
  WireWriter w;
  w.map(5).integer("pid", o.pid).text("host", o.host).text("user", o.user).text("program", o.program).micros("since", o.since);
  return w.take();
}

std::string write_error(std::string_view kind, std::string_view message) {
  WireWriter w;
  w.map(2).text("kind", kind).text("message", message);
  return w.take();
}

std::string write_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ValidationError& e) {
    WireWriter w;
    w.map(3).text("kind", "ValidationError").text("message", e.what()).text("errors").array(e.issues().size());
    for (const auto& issue : e.issues()) w.array(3).text(issue.place).text(issue.message).integer(issue.count);
    return w.take();
  } catch (const SignalNotAllowed& e) {
    WireWriter w;
    w.map(4).text("kind", "SignalNotAllowed").text("message", e.what()).integer("signal", e.signal()).integer("state", e.state());
    return w.take();
  } catch (const StorageError& e) {
    WireWriter w;
    w.map(3).text("kind", "StorageError").text("message", e.what()).boolean("temporary", e.temporary());
    return w.take();
  } catch (const NotFound& e) {
    return write_error("NotFound", e.what());
  } catch (const EngineClosed& e) {
    return write_error("EngineClosed", e.what());
  } catch (const CogError& e) {
    return write_error("CogError", e.what());
  } catch (const StoreInUse& e) {
    return write_error("StoreInUse", e.what());
  } catch (const ResourceError& e) {
    return write_error("ResourceError", e.what());
  } catch (const ProtocolError& e) {
    return write_error("ProtocolError", e.what());
  } catch (const std::bad_alloc&) {
    return write_error("ResourceError", "the engine's process has no memory left for the answer");
  } catch (const std::exception& e) {
    return write_error("CogworkError", e.what());
  }
}

}  // namespace cogwork
