#include "bindings.h"
#include "cogwork/cogs/pull_queue.h"
#include "cogwork/model/wire.h"

namespace cogwork::bindings {
namespace {

void set_options(JobOptions& o, std::optional<double> timeout, std::optional<int> retries, std::optional<double> retry_delay,
                 std::optional<double> retry_backoff, std::optional<double> retry_max_delay, int on_interrupt) {
  if (timeout) o.timeout = to_duration(*timeout);
  if (retries) o.retries = *retries;
  if (retry_delay) o.retry_delay = to_duration(*retry_delay);
  if (retry_backoff) o.retry_backoff = *retry_backoff;
  if (retry_max_delay) o.retry_max_delay = to_duration(*retry_max_delay);
  o.on_interrupt = static_cast<std::int8_t>(on_interrupt);
}

void add_cog(CogRegistry& registry, const std::string& name, const std::string& origin, bool is_async, bool idempotent,
             std::optional<double> timeout, std::optional<int> retries, std::optional<double> retry_delay,
             std::optional<double> retry_backoff, std::optional<double> retry_max_delay, int on_interrupt) {
  CogInfo info;
  info.name = name;
  info.origin = origin;
  info.kind = is_async ? CogKind::ASYNC : CogKind::PLAIN;
  info.defaults.idempotent = idempotent;
  set_options(info.defaults.options, timeout, retries, retry_delay, retry_backoff, retry_max_delay, on_interrupt);
  registry.add(std::move(info));
}

void set_args_check(CogRegistry& registry, const py::function& check) {
  // Let go of with the GIL, and never at the end of the interpreter.
  const auto held = std::shared_ptr<py::function>(new py::function(check), [](py::function* f) {
    if (!Py_IsInitialized()) return;
    const py::gil_scoped_acquire gil;
    delete f;
  });
  registry.set_args_check([held](const std::string& cog, const std::vector<std::string_view>& args) {
    const py::gil_scoped_acquire gil;
    py::list packed(args.size());
    for (std::size_t i = 0; i < args.size(); ++i) packed[i] = py::bytes(args[i].data(), args[i].size());
    std::vector<CogRegistry::Misfit> found;
    for (const auto& item : (*held)(cog, packed)) {  // what a signal's handler raises ends the opening
      auto [place, why] = item.cast<std::pair<std::size_t, std::string>>();
      found.push_back({place, std::move(why)});
    }
    return found;
  });
}

/// What a worker needs of a call that it took: (call, cog name, args, grow); None: it is to end.
py::object next_call(PullQueue& queue) {
  auto taken = queue.try_take();  // with the GIL: giving it up and taking it again costs more than most short Cogs
  if (!taken) {
    const Unlocked unlocked;
    taken = queue.take();
  }
  if (!taken->call) return py::none();
  taken->call->begun();  // the wait for the GIL is not the Cog's
  const auto& request = taken->call->request();
  return py::make_tuple(taken->call, request.cog->name, to_bytes(request.args), taken->grow);
}

py::tuple drain(PullQueue& queue) {
  auto drained = queue.drain();
  py::list calls;
  for (auto& call : drained.calls) {
    const auto& request = call->request();
    calls.append(py::make_tuple(call, request.cog->name, to_bytes(request.args)));
  }
  return py::make_tuple(calls, drained.cancelled);
}

void finish(PullQueue& queue, const std::shared_ptr<Call>& call, int status, const std::optional<py::bytes>& output,
            const AnyText& error, const AnyText& log, int marks) {
  Outcome outcome;
  outcome.status = static_cast<AttemptStatus>(status);
  outcome.marks = static_cast<std::uint8_t>(marks);
  if (output) outcome.output = kept_output(std::string_view(*output), outcome.marks);
  outcome.error = Text(error.text);
  outcome.log = Text(log.text);
  queue.finish(call, std::move(outcome));
}

}  // namespace

void bind_cogs(py::module_& m) {
  m.def(
      "is_msgpack", [](const py::bytes& value) { return is_msgpack(std::string_view(value)); }, py::arg("value"),
      "Whether the bytes are one value that the core takes: not nested too deep, its text UTF-8.");
  py::class_<CogRegistry, std::shared_ptr<CogRegistry>>(m, "CogRegistry", "The Cogs of a process, by name (C1).")
      .def(py::init<>())
      .def("add", &add_cog, py::arg("name"), py::arg("origin"), py::arg("is_async"), py::arg("idempotent"), py::arg("timeout"),
           py::arg("retries"), py::arg("retry_delay"), py::arg("retry_backoff"), py::arg("retry_max_delay"),
           py::arg("on_interrupt"))
      .def(
          "set_program_options",
          [](CogRegistry& registry, const std::string& cog_path, const std::string& program, const std::string& cog, int processes,
             int concurrency, std::optional<bool> idempotent, std::optional<double> timeout, std::optional<int> retries,
             std::optional<double> retry_delay, std::optional<double> retry_backoff, std::optional<double> retry_max_delay,
             int on_interrupt) {
            ProgramOptions options;
            options.path = {program, cog};
            options.processes = processes;
            options.concurrency = concurrency;
            options.idempotent_given = idempotent.has_value();
            options.defaults.idempotent = idempotent.value_or(false);
            set_options(options.defaults.options, timeout, retries, retry_delay, retry_backoff, retry_max_delay, on_interrupt);
            registry.set_program_options(cog_path, options);
          },
          py::arg("cog_path"), py::arg("program"), py::arg("cog"), py::arg("processes"), py::arg("concurrency"),
          py::arg("idempotent"), py::arg("timeout"), py::arg("retries"), py::arg("retry_delay"), py::arg("retry_backoff"),
          py::arg("retry_max_delay"), py::arg("on_interrupt"))
      .def("set_args_check", &set_args_check, py::arg("check"),
           "check(cog, [args as msgpack]) -> [(place, why)]: those that do not fit.")
      .def("names", &CogRegistry::names)
      .def("suggestion", &CogRegistry::suggestion, py::arg("name"))
      .def("crashes", &CogRegistry::crashes, py::arg("name"))
      .def("reset", &CogRegistry::reset, py::arg("name"));

  py::class_<Call, std::shared_ptr<Call>>(m, "Call", "One call of a Cog that a worker took.")
      .def("begun", &Call::begun, "The Cog is called now: its time-out counts from here.")
      .def_property_readonly("key", [](const Call& c) { return c.request().key; })
      .def_property_readonly("cog", [](const Call& c) { return c.request().cog->name; })
      .def_property_readonly("job_id", [](const Call& c) { return c.request().job.text(); })
      .def_property_readonly("labor_id", [](const Call& c) { return c.request().job.labor().text(); })
      .def_property_readonly("labor_name", [](const Call& c) { return to_str(c.request().labor_name); })
      .def_property_readonly("job_name", [](const Call& c) { return to_str(c.request().job_name); })
      .def_property_readonly("target", [](const Call& c) { return to_str(c.request().target); })
      .def_property_readonly("real_user", [](const Call& c) { return to_str(c.request().real_user); })
      .def_property_readonly("number", [](const Call& c) { return c.request().number; })
      .def_property_readonly("check", [](const Call& c) { return c.request().check; })
      .def_property_readonly("timeout", [](const Call& c) { return static_cast<double>(c.request().timeout.count()) / 1e6; })
      .def_property_readonly("cancelled", &Call::cancelled)
      .def_property_readonly("outputs", [](const Call& c) {
        py::list outputs;
        for (const auto& [name, output] : c.request().outputs()) outputs.append(py::make_tuple(to_str(name), to_bytes(output)));
        return outputs;
      });

  // Workers keep a queue alive, not an engine; the last of them may be the one that lets go of it.
  py::class_<PullQueue, std::shared_ptr<PullQueue>>(m, "PullQueue", py::release_gil_before_calling_cpp_dtor(),
                                                    "Calls that wait for a worker.")
      .def("enter", &PullQueue::enter)
      .def("leave", &PullQueue::leave)
      .def("not_grown", &PullQueue::not_grown, "A worker that was told to grow could not start a thread.")
      .def("next", &next_call, "Waits for a call: (call, cog, args, grow); None: end.")
      .def(
          "wait_for_leavers", [](PullQueue& q, double s) { return q.wait_for_leavers(to_duration(s)); }, py::arg("seconds"),
          Released())
      .def("fileno", &PullQueue::fd)
      .def("let_go_of_fd", &PullQueue::let_go_of_fd, "No loop watches it any more.")
      .def("drain", &drain, "For an event loop: ([(call, cog, args)], [keys to cancel]).")
      .def("finish", &finish, py::arg("call"), py::arg("status"), py::arg("output"), py::arg("error"), py::arg("log"),
           py::arg("marks"))
      .def(
          "progress",
          [](PullQueue& q, const Call& c, double fraction, const AnyText& message) { q.progress(c, fraction, Text(message.text)); },
          py::arg("call"), py::arg("fraction"), py::arg("message"))
      .def_static(
          "log", [](const Call& c, const AnyText& lines) { PullQueue::log(c, lines.text); }, py::arg("call"), py::arg("lines"))
      .def(
          "sleep", [](PullQueue& q, const Call& c, double s) { return q.sleep(c, to_duration(std::min(s, 1e9))); }, py::arg("call"),
          py::arg("seconds"), Released());
}

}  // namespace cogwork::bindings
