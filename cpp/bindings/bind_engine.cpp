#include "bindings.h"
#include "cogwork/engine/engine.h"
#include "cogwork/model/document.h"
#include "waiting.h"

namespace cogwork::bindings {
namespace {

using Released = py::call_guard<py::gil_scoped_release>;

py::object time_to_python(Time t) {
  // Microseconds since the epoch; the Python side makes aware UTC datetimes of them.
  return is_set(t) ? py::object(py::int_(to_micros(t))) : py::object(py::none());
}

py::dict to_python(const Progress& p) {
  using namespace py::literals;
  py::list tasks, flights, losses, holds;
  for (const auto& t : p.tasks) {
    tasks.append(py::dict("id"_a = t.id.text(), "name"_a = to_str(t.name), "state"_a = static_cast<int>(t.state),
                          "reason"_a = static_cast<int>(t.reason), "started"_a = time_to_python(t.started),
                          "ended"_a = time_to_python(t.ended), "sequences"_a = t.sequences, "under_way"_a = t.sequences_under_way,
                          "completed"_a = t.completed, "failed"_a = t.failed, "stopped"_a = t.stopped, "failures"_a = t.failures,
                          "tolerated"_a = t.tolerated, "concurrency"_a = t.concurrency, "checks"_a = t.checks,
                          "rounds"_a = t.rounds, "next_round"_a = time_to_python(t.next_round), "waiting"_a = t.waiting));
  }
  for (const auto& f : p.in_flight) {
    flights.append(py::dict("job_id"_a = f.job.text(), "target"_a = to_str(f.target), "cog"_a = to_str(f.cog),
                            "job_name"_a = to_str(f.job_name), "attempt"_a = f.attempt, "since"_a = time_to_python(f.since),
                            "fraction"_a = f.fraction < 0 ? py::object(py::none()) : py::object(py::float_(f.fraction)),
                            "message"_a = to_str(f.message)));
  }
  for (const auto& l : p.losses) {
    losses.append(py::dict("sequence_id"_a = l.sequence.text(), "target"_a = to_str(l.target),
                           "state"_a = static_cast<int>(l.state), "error"_a = to_str(l.error)));
  }
  for (const auto& h : p.holds) {
    holds.append(py::dict("rank"_a = static_cast<int>(h.rank), "since"_a = time_to_python(h.since), "by"_a = to_str(h.by),
                          "note"_a = to_str(h.note)));
  }
  return py::dict("id"_a = p.id.text(), "name"_a = to_str(p.name), "state"_a = static_cast<int>(p.state),
                  "reason"_a = static_cast<int>(p.reason), "started"_a = time_to_python(p.started),
                  "ended"_a = time_to_python(p.ended), "holds"_a = holds, "tasks"_a = tasks, "in_flight"_a = flights,
                  "in_flight_count"_a = p.in_flight_count, "losses"_a = losses);
}

py::dict to_python(const PullQueue::Figures& f) {
  using namespace py::literals;
  return py::dict("threads"_a = f.threads, "idle"_a = f.idle, "queued"_a = f.queued, "running"_a = f.running,
                  "abandoned"_a = f.abandoned, "abandoned_ever"_a = f.abandoned_ever);
}

py::dict to_python(const Stats& s) {
  using namespace py::literals;
  const auto counter = [](const Stats::Counter& c) { return py::dict("executing"_a = c.executing, "processed"_a = c.processed); };
  py::list waiting, stuck;
  for (const auto& w : s.waiting)
    waiting.append(py::dict("labor_id"_a = w.labor.text(), "name"_a = to_str(w.name), "why"_a = to_str(w.why)));
  for (const auto& id : s.store.stuck) stuck.append(id.text());
  return py::dict("labors"_a = counter(s.labors), "tasks"_a = counter(s.tasks), "sequences"_a = counter(s.sequences),
                  "jobs"_a = counter(s.jobs), "queued_jobs"_a = s.queued_jobs, "queued_checks"_a = s.queued_checks,
                  "workers"_a = to_python(s.workers), "check_workers"_a = to_python(s.check_workers),
                  "async_calls"_a = to_python(s.async_calls), "degraded"_a = s.store.degraded,
                  "degraded_reason"_a = to_str(s.store.reason), "degraded_since"_a = time_to_python(s.store.since),
                  "failed_writes"_a = s.store.failed_writes, "stuck"_a = stuck, "commits"_a = s.commits.commits,
                  "commit_units"_a = s.commits.units, "commit_queue"_a = s.commits.queued, "waiting"_a = waiting,
                  "steps"_a = s.steps);
}

py::dict to_python(const CloseReport& r) {
  using namespace py::literals;
  py::list left;
  for (const auto& l : r.left) {
    left.append(py::dict("labor_id"_a = l.labor.text(), "name"_a = to_str(l.name), "state"_a = static_cast<int>(l.state),
                         "sequences"_a = l.sequences, "sequences_ended"_a = l.sequences_ended, "interrupted"_a = l.interrupted));
  }
  return py::dict("left"_a = left, "all_durable"_a = r.all_durable);
}

/// Runs `f` without the GIL and makes Python's value of what it returns.
template <typename F>
py::dict ask(F f) {
  auto answer = [&] {
    const py::gil_scoped_release released;
    return f();
  }();
  return to_python(answer);
}

std::shared_ptr<Engine> make_engine(std::shared_ptr<Storage> store, std::shared_ptr<CogRegistry> cogs, int workers, double grace,
                                    int max_crashes, std::int64_t max_output, bool recover, const AnyText& user,
                                    const AnyText& program) {
  EngineOptions options;
  options.workers = workers;
  options.grace = to_duration(grace);
  options.max_crashes = max_crashes;
  options.max_output = max_output;
  options.recover = recover;
  options.user = user.text;
  options.program = program.text;
  const py::gil_scoped_release released;
  return std::make_shared<Engine>(std::move(store), std::move(cogs), options);
}

/// Faults that Python found: (where, task, sequence, job, message).
using PyFault = std::tuple<int, std::uint32_t, std::uint32_t, std::uint32_t, AnyText>;

std::shared_ptr<Pending> submit(Engine& engine, const py::bytes& doc, const std::vector<PyFault>& faults,
                                const std::string& fingerprint, bool start, const AnyText& by) {
  const auto pending = std::make_shared<Pending>();
  const std::string_view view(doc);
  const py::gil_scoped_release released;
  Submission submission;
  for (const auto& [where, task, sequence, job, message] : faults) {
    submission.faults.push_back({static_cast<Fault::Where>(where), task, sequence, job, message.text, {}});
  }
  submission.labor = read_submitted(view, submission.faults);
  submission.fingerprint = fingerprint;
  submission.start = start;
  submission.by = by.text;
  engine.submit_async(std::move(submission), [pending](Id id, std::exception_ptr error) {
    pending->id = id;
    pending->error = std::move(error);
    pending->completion.set();
  });
  return pending;
}

}  // namespace

void bind_engine(py::module_& m) {
  py::class_<Ack, std::shared_ptr<Ack>>(m, "Ack", "The acknowledgement of a signal (G1).")
      .def_property_readonly("completion",
                             [](const std::shared_ptr<Ack>& a) { return std::shared_ptr<Completion>(a, &a->completion()); })
      .def_property_readonly("done", &Ack::done)
      .def_property_readonly("state", [](const Ack& a) { return static_cast<int>(a.state()); })
      .def_property_readonly("applied", &Ack::applied)
      .def_property_readonly("closed", &Ack::closed);
  py::class_<LaborEnd, std::shared_ptr<LaborEnd>>(m, "LaborEnd", "The end of a Labor.")
      .def_property_readonly("completion",
                             [](const std::shared_ptr<LaborEnd>& e) { return std::shared_ptr<Completion>(e, &e->completion()); })
      .def_property_readonly("closed", &LaborEnd::closed);
  py::class_<ChangeFeed>(m, "ChangeFeed", py::release_gil_before_calling_cpp_dtor(), "A place in the history.")
      .def("poll",
           [](ChangeFeed& f) {
             std::string doc;
             {
               const py::gil_scoped_release released;
               doc = write_changes(f.poll());
             }
             return to_bytes(doc);
           })
      .def("ready", &ChangeFeed::ready)
      .def("over", &ChangeFeed::over, Released());

  py::class_<Engine, std::shared_ptr<Engine>>(m, "Engine", py::release_gil_before_calling_cpp_dtor(), "The engine.")
      .def(py::init(&make_engine), py::arg("store"), py::arg("cogs"), py::arg("workers"), py::arg("grace"), py::arg("max_crashes"),
           py::arg("max_output"), py::arg("recover"), py::arg("user"), py::arg("program"))
      .def("submit", &submit, py::arg("document"), py::arg("faults"), py::arg("fingerprint"), py::arg("start"), py::arg("by"))
      .def(
          "start",
          [](Engine& e, const std::string& id, const AnyText& by, const AnyText& note) {
            const auto pending = std::make_shared<Pending>();
            pending->id = to_id(id);
            e.start_async(pending->id, by.text, note.text, [pending](std::exception_ptr error) {
              pending->error = std::move(error);
              pending->completion.set();
            });
            return pending;
          },
          py::arg("id"), py::arg("by"), py::arg("note"), Released())
      .def(
          "signal",
          [](Engine& e, const std::string& id, int signal, bool interrupt, const AnyText& by, const AnyText& note) {
            return e.signal({to_id(id), static_cast<Signal>(signal), interrupt, by.text, note.text});
          },
          py::arg("id"), py::arg("signal"), py::arg("interrupt"), py::arg("by"), py::arg("note"), Released())
      .def(
          "state", [](Engine& e, const std::string& id) { return static_cast<int>(e.state(to_id(id))); }, py::arg("id"), Released())
      .def(
          "end_of", [](Engine& e, const std::string& id) { return e.end_of(to_id(id)); }, py::arg("id"), Released())
      .def(
          "progress", [](Engine& e, const std::string& id) { return ask([&] { return e.progress(to_id(id)); }); }, py::arg("id"))
      .def(
          "find_task",
          [](Engine& e, const std::string& id, const AnyText& name) { return e.find_task(to_id(id), name.text).text(); },
          py::arg("id"), py::arg("name"), Released())
      .def(
          "changes",
          [](Engine& e, const std::optional<std::string>& id, std::optional<std::uint64_t> since) {
            return e.changes(id ? to_id(*id) : Id{}, since);
          },
          py::arg("id"), py::arg("since"), Released())
      .def("stats", [](Engine& e) { return ask([&] { return e.stats(); }); })
      .def("taken_up",
           [](const Engine& e) {
             std::vector<std::string> ids;
             for (const auto& id : e.taken_up()) ids.push_back(id.text());
             return ids;
           })
      .def("recheck_waiting", &Engine::recheck_waiting, Released())
      .def("begin_close", &Engine::begin_close, Released())
      .def("interrupt_calls", &Engine::interrupt_calls, Released())
      .def("finish_close", [](Engine& e) { return ask([&] { return e.finish_close(); }); })
      .def_property_readonly("closed", &Engine::closed)
      .def("jobs", &Engine::jobs)
      .def("checks", &Engine::checks)
      .def("async_calls", &Engine::async_calls)
      .def("store", &Engine::store)
      .def(
          "abandon", [](const std::shared_ptr<Engine>& e) { new std::shared_ptr<Engine>(e); },
          "In a forked child: it is never destroyed, as its threads, which that would wait for, are the parent's.");
}

}  // namespace cogwork::bindings
