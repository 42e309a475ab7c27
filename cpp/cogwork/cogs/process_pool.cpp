#include "cogwork/cogs/process_pool.h"

#include <algorithm>
#include <utility>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr auto kIdle = std::chrono::minutes(5);
constexpr auto kFirstPause = std::chrono::milliseconds(50);
constexpr auto kLongestPause = std::chrono::seconds(30);
constexpr auto kLookAgain = std::chrono::microseconds(200);  // less than what is between a submit and its first attempt
constexpr auto kSaving = std::chrono::seconds(2);            // a file that is being saved is whole again by then
constexpr const char* kModule = "module";                    // the version of what has no file that is looked at

/// On the thread that starts programs.
Launch launch_of(const Program& program, const std::string& real_user, const Variables& ours) {
  Launch launch;
  launch.executable = program.argv[0];
  launch.args.assign(program.argv.begin() + 1, program.argv.end());
  launch.wants_socket = true;
  launch.user = user_for(real_user);
  launch.environment = changed(launch.user ? login_environment(*launch.user, ours) : ours, {{"COGWORK_COG_FD", "3"}});
  return launch;
}

/// Whether every Cog of the first is there in the second, with the same args.
bool takes_over(const Hello& before, const Hello& after) {
  return std::ranges::all_of(before.cogs, [&](const OfferedCog& cog) {
    const auto* now = after.find(cog.name);
    return now && now->args == cog.args;
  });
}

}  // namespace

/// One process from its start on, as its events know it.
struct ProcessPool::Start {
  std::weak_ptr<CogProcess> process;
  std::string version;
  bool described = false;
};

ProcessPool::ProcessPool(Shared& shared, std::string program, std::string target, std::string user)
    : shared_(shared),
      program_(std::move(program)),
      target_(std::move(target)),
      user_(std::move(user)),
      start_timer_(shared.loop.io()),
      idle_timer_(shared.loop.io()),
      pauses_(kFirstPause, kLongestPause, Random::from_system()) {}

void ProcessPool::assign(Request request) {
  if (closing_) return request.fail(Error("the engine is closing"));
  (request.attempt ? attempts_ : questions_).push_back(std::move(request));
  serve();
}

bool ProcessPool::withdraw(AttemptKey attempt) {
  return std::erase_if(attempts_, [&](const Request& request) { return request.attempt == attempt; }) > 0;
}

/// Hands out what waits, while there is a process with room, or one can be started.
void ProcessPool::serve() {
  look_at_file();
  while (!attempts_.empty()) {
    const auto process = choose();
    start_if_needed();
    if (!process || attempts_.empty()) break;
    auto next = std::move(attempts_.front());
    attempts_.pop_front();
    next.go(process);
  }
  serve_questions();
}

/// They need no room in a process, which answers them beside its calls.
void ProcessPool::serve_questions() {
  while (!questions_.empty()) {
    if (seen_ != current_ && !candidate_ && pausing_ && !problem_.empty()) {  // it was tried just now
      return fail_all(questions_, Error(problem_));
    }
    const auto found = std::ranges::find_if(
        processes_, [&](const auto& process) { return is_current(*process) && process->ready() && seen_ == current_; });
    if (found == processes_.end()) return start_if_needed();
    const auto process = *found;
    auto next = std::move(questions_.front());
    questions_.pop_front();
    next.go(process);
  }
}

// ---- versions (C3) ----

/// The file is looked at for each request, but not again at once: where they come by the thousand, a stat is a fifth of what each
/// costs. Only a changed one is looked at closely.
void ProcessPool::look_at_file() {
  const auto now = Steady::now();
  if (now - looked_ < kLookAgain) return;
  looked_ = now;
  if (!seen_.empty() && (file_.empty() ? seen_ == kModule : file_version(file_) == seen_)) return;
  std::string version, why;
  try {
    file_ = find_program(target_, shared_.python).file;
    version = file_.empty() ? kModule : file_version(file_);
  } catch (const Error& error) {
    why = error.what();
  }
  if (looked_closely_ && version == seen_ && (!version.empty() || why == problem_)) return;
  if (std::exchange(looked_closely_, true)) changed_ = now;
  seen_ = version;
  end_pause();
  set_problem(why);
}

bool ProcessPool::is_current(const CogProcess& process) const { return !process.retired() && process.version() == current_; }

bool ProcessPool::runs_current() const {
  return !current_.empty() && std::ranges::any_of(processes_, [&](const auto& process) { return is_current(*process); });
}

void ProcessPool::set_problem(const std::string& why) {
  if (why == problem_) return;
  if (why.empty()) {
    problem_since_ = never;
  } else if (problem_.empty()) {
    problem_since_ = std::chrono::floor<Duration>(std::chrono::system_clock::now());
  }
  problem_ = why;
  shared_.problem_changed();
}

/// A file that has changed just now may be half of what it is going to be.
bool ProcessPool::may_settle() const { return changed_ != Steady::time_point() && Steady::now() - changed_ < kSaving; }

std::shared_ptr<CogProcess> ProcessPool::earlier(const CogProcess& than, const std::string& cog) const {
  const auto* now = than.hello().find(cog);
  const auto found = std::find_if(processes_.rbegin(), processes_.rend(), [&](const auto& process) {
    if (process->retired() || !process->ready() || process->version() == than.version()) return false;
    const auto* before = process->hello().find(cog);
    return before && (!now || now->args != before->args);
  });
  return found == processes_.rend() ? nullptr : *found;
}

// ---- which process ----

std::shared_ptr<CogProcess> ProcessPool::choose() {
  const auto options = shared_.cogs.pool_options(program_);
  std::shared_ptr<CogProcess> best;
  for (const auto& process : processes_) {
    if (is_current(*process) && process->ready() && (!best || process->in_flight() < best->in_flight())) best = process;
  }
  if (!best) return nullptr;
  const auto room = options.concurrency > 0 ? options.concurrency : best->hello().concurrency();
  return best->in_flight() < static_cast<std::size_t>(room) ? best : nullptr;
}

/// A process of the version that was seen, where there is none; one more, where all are busy and more may be started.
void ProcessPool::start_if_needed() {
  if (closing_ || pausing_) return;
  if (seen_.empty()) {
    if (!runs_current() && !may_settle()) fail_all(attempts_, Error(problem_));
    fail_all(questions_, Error(problem_));
    if (!attempts_.empty() && !runs_current()) pause();
    return;
  }
  if (seen_ != current_) {
    if (!candidate_) start();
    return;
  }
  int current = 0;
  std::size_t starting = 0;
  bool idle = false;
  for (const auto& process : processes_) {
    if (!is_current(*process)) continue;
    ++current;
    if (!process->ready()) {
      ++starting;
    } else {
      idle |= process->in_flight() == 0;
    }
  }
  const auto waiting = attempts_.size() + (current == 0 ? questions_.size() : 0);
  if (!idle && starting < waiting && current < std::max(1, shared_.cogs.pool_options(program_).processes)) start();
}

void ProcessPool::start() {
  const auto state = std::make_shared<Start>();
  state->version = seen_;
  CogProcess::Events events;
  events.ready = [this, state](const Hello&) {
    state->described = true;
    ready(state->process.lock());
  };
  events.failed = [this, state](const Error& why) {
    forget(state->process.lock());
    not_started(*state, why);
    shared_.one_gone();
  };
  events.room = [this] {
    pauses_.reset();
    serve();
    rest();
  };
  events.gone = [this, state](const std::string& why, bool caused) {
    forget(state->process.lock());
    gone(*state, why, caused);
    shared_.one_gone();
  };
  auto prepare = [target = target_, user = user_, &shared = shared_] {
    return std::optional(launch_of(find_program(target, shared.python), user, *shared.loop.environment()));
  };
  auto process = CogProcess::start(shared_.loop, std::move(prepare), seen_, shared_.grace, std::move(events));
  state->process = process;
  if (seen_ != current_) candidate_ = process;
  processes_.push_back(std::move(process));
  shared_.count.fetch_add(1, std::memory_order_relaxed);
}

/// It has described itself. If it is of a new version, calls go to it from now on.
void ProcessPool::ready(const std::shared_ptr<CogProcess>& process) {
  if (process == candidate_) candidate_.reset();
  if (process->version() != current_ && !process->retired()) {
    if (!current_.empty()) shared_.cogs.reset_program(program_);  // X10
    current_ = process->version();
    if (current_ == seen_) set_problem({});
    end_pause();
    std::vector<std::string> kept;  // versions of which one process stays
    for (const auto& other : std::vector(processes_)) {
      if (other == process || other->retired() || other == candidate_) continue;
      const bool needed = other->ready() && !takes_over(other->hello(), process->hello()) &&
                          std::ranges::find(kept, other->version()) == kept.end();
      if (needed) kept.push_back(other->version());
      if (!needed) other->retire();
    }
  }
  serve();
}

// ---- ends ----

void ProcessPool::forget(const std::shared_ptr<CogProcess>& process) {
  shared_.count.fetch_sub(1, std::memory_order_relaxed);
  if (candidate_ == process) candidate_.reset();
  std::erase(processes_, process);
}

/// It could not be started, or has ended before it described itself: whoever waits for it is told, rather than tried on one process
/// after another.
void ProcessPool::not_started(const Start& start, const Error& why) {
  looked_ = {};
  look_at_file();
  if (start.version != seen_) return serve();  // it was saved again meanwhile: this says nothing about what it holds now
  if (seen_ != current_) set_problem(why.what());
  fail_all(questions_, why);
  if (!runs_current() && !may_settle()) fail_all(attempts_, why);
  pause();
}

void ProcessPool::fail_all(std::deque<Request>& requests, const Error& why) {
  for (auto& request : std::exchange(requests, {})) request.fail(why);
}

void ProcessPool::gone(const Start& start, const std::string& why, bool caused) {
  if (!caused) {
    // A new version that cannot start is no crash of the one that serves.
    if (start.described || !runs_current() || start.version == current_) shared_.cogs.count_program_crash(program_);
    if (!start.described) return not_started(start, Error("its process did not start: " + why));
    pause();
  }
  if (!pausing_ && !closing_) serve();
}

/// The next start comes after a growing pause.
void ProcessPool::pause() {
  if (closing_) return;
  pausing_ = true;
  start_timer_.expires_after(pauses_.next());
  start_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    pausing_ = false;
    if (!attempts_.empty() || !questions_.empty()) serve();
  });
}

void ProcessPool::end_pause() {
  pauses_.reset();
  pausing_ = false;
  start_timer_.cancel();
}

void ProcessPool::close() {
  closing_ = true;
  start_timer_.cancel();
  idle_timer_.cancel();
  for (auto* waiting : {&attempts_, &questions_}) fail_all(*waiting, Error("the engine is closing"));
  for (const auto& process : std::vector(processes_)) {
    process->in_flight() == 0 ? process->retire() : process->end("the engine closed");
  }
}

/// Idle for long: its processes go, but for those of a version that cannot be had any more. The timer is not set anew with each
/// call, but when it finds that there were some.
void ProcessPool::rest() {
  used_ = Steady::now();
  if (std::exchange(resting_, true)) return;
  wait_idle(kIdle);
}

void ProcessPool::wait_idle(Steady::duration time) {
  idle_timer_.expires_after(time);
  idle_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto idle = Steady::now() - used_;
    if (idle < kIdle) return wait_idle(kIdle - idle);
    resting_ = false;
    look_at_file();
    if (seen_ != current_) return;
    for (const auto& process : std::vector(processes_)) {
      if (is_current(*process) && process->in_flight() == 0) process->retire();
    }
  });
}

}  // namespace cogwork
