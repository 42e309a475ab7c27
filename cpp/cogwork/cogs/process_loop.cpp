#include "cogwork/cogs/process_loop.h"

#include <pthread.h>
#include <signal.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "cogwork/base/thread.h"

namespace cogwork {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kTryAgain = std::chrono::milliseconds(100);  // others than ours give back descriptors and processes too
constexpr auto kLongestWait = std::chrono::seconds(30);
constexpr auto kLongestBusy = std::chrono::seconds(2);

/// The kernel tells the thread that started a process of its end. Blocked there, the signal wakes one of the host's threads for
/// each command; let in, it costs nothing where nobody handles it, and where the host does, it is for the host's threads.
void let_child_signals_pass() {
  struct sigaction now {};
  sigaction(SIGCHLD, nullptr, &now);
  const bool handled = (now.sa_flags & SA_SIGINFO) != 0 || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  pthread_sigmask(handled ? SIG_BLOCK : SIG_UNBLOCK, &child, nullptr);
}

}  // namespace

// ---- threads ----

void PostThread::begin() {
  const std::lock_guard lock(mutex_);
  if (stopped_) throw EngineClosed("the engine is closed; open another on the store to go on");
  if (thread_.joinable()) return;
  thread_ = start_thread(what_, [this] {
    pthread_setname_np(pthread_self(), name_);
    const auto work = boost::asio::make_work_guard(io_);
    io_.run();
  });
}

bool PostThread::begun() {
  const std::lock_guard lock(mutex_);
  return thread_.joinable();
}

void PostThread::post(std::function<void()> call) { boost::asio::post(io_, std::move(call)); }

void PostThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopped_, true) || !thread_.joinable()) return;
    boost::asio::post(io_, [this] { io_.stop(); });
  }
  thread_.join();
}

ProcessLoop::ProcessLoop(std::string guardian, int grace_ms, std::shared_ptr<const Variables> environment)
    : environment_(std::move(environment)),
      guardian_(launcher_.io(), std::move(guardian), grace_ms),
      again_(launcher_.io()),
      watch_(loop_.io()) {}

void ProcessLoop::begin() {
  loop_.begin();
  launcher_.begin();
}

void ProcessLoop::stop() {
  launcher_.stop();  // first: what it starts, it hands to the loop
  loop_.stop();
  guardian_.close();
}

void ProcessLoop::set_environment(std::shared_ptr<const Variables> variables) {
  const std::lock_guard lock(mutex_);
  environment_.swap(variables);
}

std::shared_ptr<const Variables> ProcessLoop::environment() const {
  const std::lock_guard lock(mutex_);
  return environment_;
}

// ---- starting ----

void ProcessLoop::start(std::function<std::optional<Launch>()> prepare, StartEvents events) {
  launcher_.post([this, start = Start{std::move(prepare), std::move(events)}]() mutable {
    if (waiting_.empty() && try_start(start)) return;
    waiting_.push_back(std::move(start));
    wait_for_room();
  });
}

Steady::duration ProcessLoop::waited(Start& start) {
  const auto now = Steady::now();
  if (start.first_tried == Steady::time_point()) start.first_tried = now;
  return now - start.first_tried;
}

/// False where it is to be tried again.
bool ProcessLoop::try_start(Start& start) {
  try {
    const auto what = start.prepare();
    if (!what) return true;
    let_child_signals_pass();
    auto launched = launch(guardian_, *what);
    running_.fetch_add(1);
    loop_.post([launched = std::move(launched), started = std::move(start.events.started)] { started(*launched); });
  } catch (const FileBusy& error) {
    if (waited(start) < kLongestBusy) return postpone(start);
    fail(start, std::make_shared<ResourceError>(error.what()));
  } catch (const ResourceError& error) {
    if (running_ > 0 && waited(start) < kLongestWait) return postpone(start);
    fail(start, std::make_shared<ResourceError>(error.what()));
  } catch (const Unstartable& error) {
    fail(start, std::make_shared<Unstartable>(error.what()));
  } catch (const Error& error) {
    fail(start, std::make_shared<Error>(error.what()));
  } catch (const std::exception& error) {  // no memory, say
    fail(start, std::make_shared<ResourceError>(error.what()));
  }
  return true;
}

bool ProcessLoop::postpone(const Start& start) {
  if (start.events.postponed) start.events.postponed();
  return false;
}

/// A copy goes to the loop: of what was thrown here, this thread would still let go of its part.
void ProcessLoop::fail(const Start& start, std::shared_ptr<const Error> why) {
  loop_.post([failed = start.events.failed, why = std::move(why)] { failed(*why); });
}

void ProcessLoop::try_waiting() {
  while (!waiting_.empty() && try_start(waiting_.front())) waiting_.pop_front();
  wait_for_room();
}

void ProcessLoop::wait_for_room() {
  waits_for_room_ = !waiting_.empty();
  if (waiting_.empty()) return;
  again_.expires_after(kTryAgain);
  again_.async_wait([this](const boost::system::error_code& error) {
    if (!error) try_waiting();
  });
}

void ProcessLoop::make_room() {
  running_.fetch_sub(1);
  if (waits_for_room_) launcher_.post([this] { try_waiting(); });
}

}  // namespace cogwork
