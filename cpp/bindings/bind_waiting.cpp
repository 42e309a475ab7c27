#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

#include "bindings.h"
#include "waiting.h"

namespace cogwork::bindings {

EventFd::EventFd() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}
EventFd::~EventFd() { ::close(fd_); }
void EventFd::set() {
  const std::uint64_t one = 1;
  while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}
void EventFd::clear() {
  std::uint64_t count = 0;
  while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

namespace {

bool is_main_thread() {
  const auto main = py::module_::import("threading").attr("main_thread")().attr("ident");
  return main.cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

bool wait_for(const std::shared_ptr<Completion>& completion, std::optional<double> seconds) {
  if (completion->done()) return true;
  using Steady = std::chrono::steady_clock;
  std::optional<Steady::time_point> deadline;
  if (seconds) {
    // A time-out of centuries is none; the cast below would overflow.
    if (*seconds < 1e9)
      deadline =
          Steady::now() + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(std::max(0.0, *seconds)));
  }
  const auto event = std::make_shared<EventFd>();
  struct Watch {
    Completion& completion;
    std::uint64_t ticket;
    ~Watch() { completion.forget(ticket); }
  } const watch{*completion, completion->on_done([event] { event->set(); })};
  // A signal that comes between PyErr_CheckSignals and poll() interrupts neither: the main thread, whose handlers run here, looks again.
  const int most = is_main_thread() ? 200 : INT_MAX;
  while (true) {
    int timeout = most == INT_MAX ? -1 : most;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Steady::now()).count();
      if (left <= 0) return completion->done();
      timeout = static_cast<int>(std::min<std::int64_t>(left, most));
    }
    int ready = 0;
    {
      const py::gil_scoped_release released;
      pollfd p{event->fd(), POLLIN, 0};
      ready = ::poll(&p, 1, timeout);
    }
    if (ready > 0) return true;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
}

std::vector<std::uint64_t> Bridge::drain() {
  event_->clear();
  const std::lock_guard lock(done_->mutex);
  return std::exchange(done_->tokens, {});
}

std::uint64_t Bridge::watch(const std::shared_ptr<Completion>& completion, std::uint64_t token) {
  return completion->on_done([event = event_, done = done_, token] {
    {
      const std::lock_guard lock(done->mutex);
      done->tokens.push_back(token);
    }
    event->set();
  });
}

void bind_waiting(py::module_& m) {
  py::class_<Completion, std::shared_ptr<Completion>>(m, "Completion", "Something that happens once.")
      .def(py::init([] { return std::make_shared<Completion>(); }))
      .def("set", &Completion::set, py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("done", &Completion::done)
      .def("forget", &Completion::forget, py::arg("ticket"), "Takes back what Bridge.watch registered.")
      .def("wait", &wait_for, py::arg("seconds") = py::none(), "Waits; False where the time ran out. Ctrl-C gets through.");
  py::class_<Bridge>(m, "Bridge", "Carries completions to one asyncio loop.")
      .def(py::init<>())
      .def("fileno", &Bridge::fileno)
      .def("drain", &Bridge::drain, "Tokens of completions that are done.")
      .def("watch", &Bridge::watch, py::arg("completion"), py::arg("token"), "Returns a ticket for Completion.forget.");
  py::class_<Pending, std::shared_ptr<Pending>>(m, "Pending", "An answer that comes later.")
      .def_property_readonly("completion",
                             [](const std::shared_ptr<Pending>& p) { return std::shared_ptr<Completion>(p, &p->completion); })
      .def(
          "result",
          [](const Pending& p) {
            if (p.error) std::rethrow_exception(p.error);
            return p.id.text();
          },
          "The id, once it is complete; raises the error it ended with.");
}

}  // namespace cogwork::bindings
