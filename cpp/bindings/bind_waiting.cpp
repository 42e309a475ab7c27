#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <system_error>

#include "bindings.h"
#include "cogwork/base/shortage.h"
#include "waiting.h"

namespace cogwork::bindings {

EventFd::EventFd() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) throw_shortage("an event loop that waits for the engine", {errno, std::generic_category()});
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

constexpr auto kLook = std::chrono::milliseconds(200);

using Steady = std::chrono::steady_clock;

/// What a thread sleeps on: a futex, since a signal interrupts that, and since it takes no descriptor.
class Wakeup {
 public:
  void set() {
    word_.store(1);
    futex(FUTEX_WAKE_PRIVATE, INT_MAX, nullptr);
  }
  bool is_set() const { return word_.load() != 0; }
  /// Until it is set, the time is up, or a signal came.
  void sleep_until(std::optional<Steady::time_point> deadline) {
    if (!deadline) {
      futex(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, nullptr);
      return;
    }
    const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline->time_since_epoch()).count();
    const timespec until{static_cast<time_t>(since / 1'000'000'000), static_cast<long>(since % 1'000'000'000)};
    futex(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &until);
  }

 private:
  void futex(int op, int value, const timespec* until) {
    syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word_), op, value, until, nullptr, FUTEX_BITSET_MATCH_ANY);
  }

  std::atomic<std::uint32_t> word_{0};
  static_assert(sizeof(word_) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
};

}  // namespace

bool is_main_thread() {
  const auto main = py::module_::import("threading").attr("main_thread")().attr("ident");
  return main.cast<unsigned long>() == PyThread_get_thread_ident();
}

bool wait_for(const std::shared_ptr<Completion>& completion, std::optional<double> seconds) {
  if (completion->done()) return true;
  std::optional<Steady::time_point> deadline;
  // A time-out of centuries is none; the cast below would overflow.
  if (seconds && *seconds < 1e9)
    deadline = Steady::now() + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(std::max(0.0, *seconds)));
  const auto wakeup = std::make_shared<Wakeup>();
  struct Watch {
    Completion& completion;
    std::uint64_t ticket;
    ~Watch() { completion.forget(ticket); }
  } const watch{*completion, completion->on_done([wakeup] { wakeup->set(); })};
  // A signal that comes between PyErr_CheckSignals and the sleep interrupts neither: the main thread, whose handlers run here, looks again.
  const bool looks = is_main_thread();
  while (true) {
    const auto now = Steady::now();
    if (deadline && *deadline <= now) return completion->done();
    auto until = deadline;
    if (looks && (!until || *until > now + kLook)) until = now + kLook;
    {
      const Unlocked unlocked;
      wakeup->sleep_until(until);
    }
    if (wakeup->is_set()) return true;
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
      .def("set", &Completion::set, Released())
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
          "result", [](const Pending& p) { return p.result().text(); },
          "The id, once it is complete; raises the error it ended with.");
}

}  // namespace cogwork::bindings
