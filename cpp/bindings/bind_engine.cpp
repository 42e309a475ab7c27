#include <algorithm>
#include <iterator>

#include "bindings.h"
#include "cogwork/cogs/environment.h"
#include "cogwork/engine/control_path.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/report.h"
#include "cogwork/engine/stored.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/engine/submit_desk.h"
#include "cogwork/model/document.h"
#include "cogwork/model/error_line.h"
#include "cogwork/model/wire_writer.h"
#include "waiting.h"

namespace cogwork::bindings {
namespace {

py::dict to_python(const CloseReport& r) {
  using namespace py::literals;
  py::list left;
  for (const auto& l : r.left) {
    left.append(py::dict("labor_id"_a = l.labor.text(), "name"_a = to_str(l.name), "state"_a = static_cast<int>(l.state),
                         "sequences"_a = l.sequences, "sequences_ended"_a = l.sequences_ended, "interrupted"_a = l.interrupted));
  }
  return py::dict("left"_a = left, "all_durable"_a = r.all_durable, "store_hangs"_a = r.store_hangs,
                  "store_trouble"_a = to_str(r.store_trouble), "clock_jumps"_a = r.clock.count,
                  "clock_jumped"_a = r.clock.last.count());
}

/// Runs `f` without the GIL; it returns a document.
template <typename F>
py::bytes document(F f) {
  const auto bytes = [&] {
    const Unlocked unlocked;
    return f();
  }();
  return to_bytes(bytes);
}

/// This process's environment, copied anew where it has changed. The GIL is held here, as it is where Python changes a variable; a
/// thread of cogwork's own that read it would find it freed under its hands.
std::shared_ptr<const Variables> current_environment() {
  static std::shared_ptr<const Variables> last = std::make_shared<const Variables>();
  auto now = process_environment();
  if (now != *last) last = std::make_shared<const Variables>(std::move(now));
  return last;
}

std::shared_ptr<Engine> make_engine(std::shared_ptr<Storage> store, std::shared_ptr<CogRegistry> cogs, int workers, double grace,
                                    int max_crashes, std::int64_t max_output, const std::string& recover, const AnyText& user,
                                    const AnyText& program, const std::string& guardian, const std::string& python) {
  EngineOptions options;
  options.workers = workers;
  options.grace = to_duration(grace);
  options.max_crashes = max_crashes;
  options.max_output = max_output;
  options.recover = recover == "all";
  options.recover_later = recover == "later";
  options.user = user.text;
  options.program = program.text;
  options.takes_submits = true;
  options.begin_later = true;
  options.guardian = guardian;
  options.python = python;
  options.environment = current_environment();
  const Unlocked unlocked;
  return std::make_shared<Engine>(std::move(store), std::move(cogs), options);
}

/// Faults that Python found: (where, task, sequence, job, message).
using PyFault = std::tuple<int, std::uint32_t, std::uint32_t, std::uint32_t, AnyText>;

std::shared_ptr<Pending> submit(Engine& engine, const py::bytes& doc, const std::vector<PyFault>& faults,
                                const std::string& fingerprint, bool start, const AnyText& by) {
  const auto pending = std::make_shared<Pending>();
  const std::string_view view(doc);
  engine.set_environment(current_environment());  // what a script sets before it submits counts
  Submission submission;
  if (is_main_thread()) {
    submission.look = [] {
      const Locked gil;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    };
  }
  const Unlocked unlocked;
  for (const auto& [where, task, sequence, job, message] : faults) {
    submission.faults.push_back({static_cast<Fault::Where>(where), task, sequence, job, message.text, {}});
  }
  submission.labor = read_submitted(view, submission.faults);
  submission.fingerprint = fingerprint;
  submission.start = start;
  submission.by = by.text;
  engine.submit_async(std::move(submission), [pending](Id id, std::exception_ptr error) {
    pending->value = id;
    pending->error = std::move(error);
    pending->completion.set();
  });
  return pending;
}

/// What becomes durable later; its value is `id`.
template <typename Begin>
std::shared_ptr<Pending> pending_of(const Id& id, Begin begin) {
  const auto pending = std::make_shared<Pending>();
  pending->value = id;
  const Unlocked unlocked;
  begin([pending](std::exception_ptr error) {
    pending->error = std::move(error);
    pending->completion.set();
  });
  return pending;
}

Latch to_latch(const std::vector<AnyText>& tags, const AnyText& name_prefix, const std::vector<AnyText>& cogs, const AnyText& by,
               const AnyText& note) {
  Latch latch;
  for (const auto& tag : tags) latch.tags.push_back(tag.text);
  latch.name_prefix = name_prefix.text;
  for (const auto& cog : cogs) latch.cogs.push_back(cog.text);
  latch.by = by.text;
  latch.note = note.text;
  return latch;
}

/// The latches of a store, as an engine would tell of them that runs nothing; `lifted`: those that are lifted too, first.
std::vector<LatchStatus> stored_crises(Storage& store, bool lifted) {
  std::vector<LatchStatus> past, now;
  for (auto& latch : read_latches(store)) {
    const bool over = is_set(latch.lifted);
    LatchStatus status;
    status.latch = std::move(latch);
    if (!over || lifted) (over ? past : now).push_back(std::move(status));
  }
  std::stable_sort(past.begin(), past.end(), [](const auto& a, const auto& b) { return a.latch.lifted < b.latch.lifted; });
  std::move(now.begin(), now.end(), std::back_inserter(past));
  return past;
}

}  // namespace

void bind_engine(py::module_& m) {
  py::class_<Ack, std::shared_ptr<Ack>>(m, "Ack", "The acknowledgement of a signal (G1).")
      .def_property_readonly("completion",
                             [](const std::shared_ptr<Ack>& a) { return std::shared_ptr<Completion>(a, &a->completion()); })
      .def_property_readonly("done", &Ack::done)
      .def_property_readonly("state", [](const Ack& a) { return static_cast<int>(a.state()); })
      .def_property_readonly("applied", &Ack::applied)
      .def_property_readonly("closed", &Ack::closed)
      .def_property_readonly("stored", &Ack::stored);
  py::class_<LaborEnd, std::shared_ptr<LaborEnd>>(m, "LaborEnd", "The end of a Labor.")
      .def_property_readonly("completion",
                             [](const std::shared_ptr<LaborEnd>& e) { return std::shared_ptr<Completion>(e, &e->completion()); })
      .def_property_readonly("closed", &LaborEnd::closed);
  py::class_<ChangeFeed>(m, "ChangeFeed", py::release_gil_before_calling_cpp_dtor(), "A place in the history.")
      .def("poll",
           [](ChangeFeed& f) {
             std::string doc;
             {
               const Unlocked unlocked;
               doc = write_changes(f.poll());
             }
             return to_bytes(doc);
           })
      .def("ready", &ChangeFeed::ready)
      .def("over", &ChangeFeed::over, Released());

  py::class_<LogFeed>(m, "LogFeed", "A place in what the Cogs of a Labor say.")
      .def("poll", [](LogFeed& f) { return document([&] { return write_lines(f.poll()); }); })
      .def("ready", &LogFeed::ready, Released())
      .def("over", &LogFeed::over, Released());

  py::class_<Engine, std::shared_ptr<Engine>>(m, "Engine", py::release_gil_before_calling_cpp_dtor(), "The engine.")
      .def(py::init(&make_engine), py::arg("store"), py::arg("cogs"), py::arg("workers"), py::arg("grace"), py::arg("max_crashes"),
           py::arg("max_output"), py::arg("recover"), py::arg("user"), py::arg("program"), py::arg("guardian"), py::arg("python"))
      .def("submit", &submit, py::arg("document"), py::arg("faults"), py::arg("fingerprint"), py::arg("start"), py::arg("by"))
      .def(
          "start",
          [](Engine& e, const std::string& id, const AnyText& by, const AnyText& note) {
            const auto labor = to_id(id);
            e.set_environment(current_environment());
            return pending_of(labor, [&](Done done) { e.start_async(labor, by.text, note.text, std::move(done)); });
          },
          py::arg("id"), py::arg("by"), py::arg("note"))
      .def(
          "signal",
          [](Engine& e, const std::string& id, int signal, bool interrupt, const AnyText& by, const AnyText& note) {
            const SignalOrder order{to_id(id), static_cast<Signal>(signal), interrupt, by.text, note.text};
            return wait_for_answer<std::shared_ptr<Ack>>([&](AckReply done) { e.signal_async(order, std::move(done)); });
          },
          py::arg("id"), py::arg("signal"), py::arg("interrupt"), py::arg("by"), py::arg("note"))
      .def(
          "crisis_pause",
          [](Engine& e, const std::vector<AnyText>& tags, const AnyText& name_prefix, const std::vector<AnyText>& cogs,
             const AnyText& by, const AnyText& note) {
            const auto latch = to_latch(tags, name_prefix, cogs, by, note);
            const auto set = wait_for_answer<LatchSet>([&](LatchReply done) { e.crisis_pause_async(latch, std::move(done)); });
            return py::make_tuple(set.id.text(), set.recorded);
          },
          py::arg("tags"), py::arg("name_prefix"), py::arg("cogs"), py::arg("by"), py::arg("note"),
          "Once it is in force: (id, what is done when it is durable).")
      .def(
          "crisis_resume",
          [](Engine& e, const std::string& id, const AnyText& by, const AnyText& note) {
            return e.crisis_resume(to_id(id), by.text, note.text);
          },
          py::arg("id"), py::arg("by"), py::arg("note"), Released())
      .def(
          "latch_settled", [](Engine& e, const std::string& id) { return e.latch_settled(to_id(id)); }, py::arg("id"), Released())
      .def(
          "crises", [](Engine& e, bool lifted) { return document([&] { return write_crises(e.crises(lifted)); }); },
          py::arg("lifted"))
      .def(
          "decide",
          [](Engine& e, const std::string& id, const AnyText& decision, const AnyText& by, const AnyText& note) {
            const DecisionOrder order{to_id(id), decision_of(decision.text), by.text, note.text};
            return pending_of(order.job, [&](Done done) { e.decide_async(order, std::move(done)); });
          },
          py::arg("id"), py::arg("decision"), py::arg("by"), py::arg("note"))
      .def(
          "state", [](Engine& e, const std::string& id) { return static_cast<int>(e.state(to_id(id))); }, py::arg("id"), Released())
      .def(
          "end_of", [](Engine& e, const std::string& id) { return e.end_of(to_id(id)); }, py::arg("id"), Released())
      .def(
          "progress",
          [](Engine& e, const std::string& id) { return document([&] { return write_progress(e.progress(to_id(id))); }); },
          py::arg("id"))
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
      .def(
          "logs", [](Engine& e, const std::string& id, std::optional<std::uint64_t> since) { return e.logs(to_id(id), since); },
          py::arg("id"), py::arg("since"), Released())
      .def("stats", [](Engine& e) { return document([&] { return write_stats(e.stats()); }); })
      .def("taken_up",
           [](const Engine& e) {
             std::vector<std::string> ids;
             for (const auto& id : e.taken_up()) ids.push_back(id.text());
             return ids;
           })
      .def("recheck_waiting", &Engine::recheck_waiting, Released())
      .def(
          "take_up", [](Engine& e, const std::string& id) { return e.take_up(to_id(id)); }, py::arg("id"), Released())
      .def("begin_close", &Engine::begin_close, Released())
      .def("begin", &Engine::begin, Released())
      .def("interrupt_calls", &Engine::interrupt_calls, Released())
      .def("finish_close",
           [](Engine& e) {
             const auto report = [&] {
               const Unlocked unlocked;
               return e.finish_close();
             }();
             return to_python(report);
           })
      .def_property_readonly("in_crisis", &Engine::in_crisis)
      .def_property_readonly("closed", &Engine::closed)
      .def("jobs", &Engine::jobs)
      .def("checks", &Engine::checks)
      .def("async_calls", &Engine::async_calls)
      .def("store", &Engine::store)
      .def("submits", &Engine::submits)
      .def_property_readonly(
          "control_path",
          [](const Engine& e) -> py::object {
            for (const auto& address : e.control().addresses) {
              if (address.kind == ControlAddress::Kind::PATH)
                return py::module_::import("os").attr("fsdecode")(to_bytes(address.name));
            }
            return py::str("");
          },
          "Of its socket that is a file; empty: there is none.")
      .def(
          "control",
          [](const Engine& e) {
            const auto& control = e.control();
            py::list addresses, passed_over;
            for (const auto& address : control.addresses) addresses.append(to_str(address_text(address)));
            for (const auto& one : control.passed_over) passed_over.append(to_str(one));
            return py::make_tuple(addresses, passed_over, to_str(control.problem));
          },
          "Where it listens: addresses, what was passed over and why, and why it listens nowhere.")
      .def(
          "abandon", [](const std::shared_ptr<Engine>& e) { new std::shared_ptr<Engine>(e); },
          "In a forked child: it is never destroyed, as its threads, which that would wait for, are the parent's.");

  py::class_<SubmitDesk, std::shared_ptr<SubmitDesk>>(m, "SubmitDesk", "Labors that came over the control socket.")
      .def(
          "take",
          [](SubmitDesk& desk) -> py::object {
            auto taken = [&] {
              const Unlocked unlocked;
              return desk.take();
            }();
            if (!taken) return py::none();
            const auto& call = taken->call;
            return py::make_tuple(call.token, to_bytes(call.document), to_bytes(call.faults), to_bytes(call.expected), call.start,
                                  to_str(call.by), taken->alone);
          },
          "Waits for one: (token, document, faults, expected, start, by, alone). alone: nobody else waits for the next. None: "
          "closed.")
      .def(
          "settle",
          [](const std::shared_ptr<SubmitDesk>& desk, std::uint64_t token, const std::shared_ptr<Pending>& pending) {
            desk->looked_at(token);
            pending->completion.on_done([desk, token, pending = pending.get()] {
              if (pending->error) return desk->answer(token, false, write_error(pending->error));
              WireWriter w;
              w.text(pending->value.text());
              desk->answer(token, true, w.take());
            });
          },
          py::arg("token"), py::arg("pending"), "Answers when it is durable, or has failed.")
      .def(
          "refuse",
          [](SubmitDesk& desk, std::uint64_t token, const py::bytes& error) { desk.answer(token, false, std::string(error)); },
          py::arg("token"), py::arg("error"));

  m.def(
      "store_signal",
      [](Storage& store, const std::string& id, std::optional<int> signal, bool interrupt, const AnyText& by, const AnyText& note,
         const AnyText& user, const AnyText& program) {
        const auto clock = make_system_clock();
        StoredSignal stored;
        stored.order = {to_id(id), static_cast<Signal>(signal.value_or(0)), interrupt, by.text, note.text};
        stored.start = !signal;
        stored.at = clock->wall();
        return store_signal(store, stored, this_process(user.text, program.text, stored.at), *clock);
      },
      py::arg("store"), py::arg("id"), py::arg("signal"), py::arg("interrupt"), py::arg("by"), py::arg("note"), py::arg("user"),
      py::arg("program"), Released(), "R1: leaves a signal (none: a start) for the next engine. False: ignored.");
  m.def(
      "store_latch",
      [](Storage& store, const std::vector<AnyText>& tags, const AnyText& name_prefix, const std::vector<AnyText>& cogs,
         const AnyText& by, const AnyText& note, const AnyText& user, const AnyText& program) {
        const auto clock = make_system_clock();
        const auto owner = this_process(user.text, program.text, clock->wall());
        return store_latch(store, to_latch(tags, name_prefix, cogs, by, note), owner, *clock).id.text();
      },
      py::arg("store"), py::arg("tags"), py::arg("name_prefix"), py::arg("cogs"), py::arg("by"), py::arg("note"), py::arg("user"),
      py::arg("program"), Released(), "G8, R1: sets a crisis latch where no engine runs; its id.");
  m.def(
      "lift_stored",
      [](Storage& store, const std::string& id, const AnyText& by, const AnyText& note, const AnyText& user,
         const AnyText& program) {
        const auto clock = make_system_clock();
        lift_stored(store, to_id(id), by.text, note.text, this_process(user.text, program.text, clock->wall()), *clock);
      },
      py::arg("store"), py::arg("id"), py::arg("by"), py::arg("note"), py::arg("user"), py::arg("program"), Released(),
      "G8, R1: lifts a crisis latch where no engine runs.");
  m.def(
      "stored_crises",
      [](Storage& store, bool lifted) { return document([&] { return write_crises(stored_crises(store, lifted)); }); },
      py::arg("store"), py::arg("lifted"), "The crisis latches of a store, whoever owns it.");
  m.def(
      "store_decision",
      [](Storage& store, const std::string& id, const AnyText& decision, const AnyText& by, const AnyText& note,
         const AnyText& user, const AnyText& program) {
        const auto clock = make_system_clock();
        StoredSignal stored;
        stored.order = {to_id(id), Signal::RESUME, false, by.text, note.text};
        stored.decision = decision_of(decision.text);
        stored.at = clock->wall();
        store_decision(store, stored, this_process(user.text, program.text, stored.at), *clock);
      },
      py::arg("store"), py::arg("id"), py::arg("decision"), py::arg("by"), py::arg("note"), py::arg("user"), py::arg("program"),
      Released(), "R2: leaves a decision for the next engine.");
  m.def(
      "stored_progress",
      [](Storage& store, const std::string& id) {
        return document([&] { return write_progress(stored_progress(store, to_id(id))); });
      },
      py::arg("store"), py::arg("id"), "Of a Labor that no engine runs.");
  m.def(
      "error_line", [](const AnyText& text) { return error_line(text.text); }, py::arg("text"),
      "What an error says, in one line: for lists and logs.");
  m.def(
      "find_stored",
      [](Storage& store, const std::string& id, const AnyText& name) { return find_stored(store, to_id(id), name.text).text(); },
      py::arg("store"), py::arg("id"), py::arg("name"), Released(), "A Task by name, or a Sequence by target.");
  m.def(
      "control_addresses",
      [](const Storage& store) {
        const auto identity = store.identity();
        auto addresses = control_paths(identity, store.folder());
        addresses.push_back(abstract_control(identity));
        py::list found;
        for (const auto& address : addresses) found.append(to_str(address_text(address)));
        return found;
      },
      py::arg("store"), "Where an engine on the store may listen, if it has the environment of this process.");
}

}  // namespace cogwork::bindings
