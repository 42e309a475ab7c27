#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cogwork/base/backoff.h"
#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/cog_process.h"
#include "cogwork/cogs/process_loop.h"

namespace cogwork {

/// The processes of one program, for one user: started when they are first needed, one more for each attempt that finds the others
/// busy, up to the Cog's number; kept while there is something to do and some minutes after. All on the thread of the loop.
///
/// When the program's file changes (C3), a process of the new version is started beside those that run, and takes over when it has
/// described itself. Until then, and for as long as it cannot, attempts go on with the version before: nobody loses a Job by saving
/// a file. Where a Cog's args are others in the new version, or the Cog is gone, one process of the old version stays, for those
/// Jobs whose args fit only that.
class ProcessPool {
 public:
  /// What all pools of an engine share.
  struct Shared {
    ProcessLoop& loop;
    CogRegistry& cogs;
    const std::string python;
    const Duration grace;
    std::atomic<int>& count;                ///< Processes that have not gone.
    std::function<void()> one_gone;         ///< A process has gone.
    std::function<void()> problem_changed;  ///< problem() of a pool has.
  };
  /// A call that waits for a process.
  struct Request {
    std::function<void(const std::shared_ptr<CogProcess>&)> go;
    std::function<void(const Error& why)> fail;
    AttemptKey attempt = 0;  ///< 0: a question, at submit. It is answered by what the file holds now, and by nothing else.
  };

  /// program: as Jobs say it. target: the same from any folder: an absolute path, or "python:...".
  ProcessPool(Shared& shared, std::string program, std::string target, std::string user);
  ProcessPool(const ProcessPool&) = delete;

  void assign(Request request);
  /// Takes back an attempt that still waits. False where it does not.
  bool withdraw(AttemptKey attempt);
  /// Takes nothing any more; its processes end.
  void close();

  /// A process of an earlier version, whose Cog of that name has other args than this one's or is gone from this one; null where
  /// there is none.
  std::shared_ptr<CogProcess> earlier(const CogProcess& than, const std::string& cog) const;

  const std::string& program() const { return program_; }
  const std::string& user() const { return user_; }
  /// Why the version that the file holds now is not used, although one before it is or was; empty where it is, or none ever was.
  std::string problem() const { return current_.empty() ? std::string() : problem_; }
  Time problem_since() const { return problem_since_; }

 private:
  using Steady = std::chrono::steady_clock;
  struct Start;

  void serve();
  void serve_questions();
  void look_at_file();
  std::shared_ptr<CogProcess> choose();
  bool is_current(const CogProcess& process) const;
  bool runs_current() const;
  void start_if_needed();
  void start();
  void ready(const std::shared_ptr<CogProcess>& process);
  void not_started(const Start& start, const Error& why);
  static void fail_all(std::deque<Request>& requests, const Error& why);
  void gone(const Start& start, const std::string& why, bool caused);
  void forget(const std::shared_ptr<CogProcess>& process);
  void set_problem(const std::string& why);
  bool may_settle() const;
  void pause();
  void end_pause();
  void rest();
  void wait_idle(Steady::duration time);

  Shared& shared_;
  const std::string program_, target_, user_;
  std::vector<std::shared_ptr<CogProcess>> processes_;  // those that have not gone
  std::deque<Request> attempts_, questions_;
  std::string file_;
  std::string seen_;     // the version that the file holds; empty: it is not there, or not executable, and problem_ says so
  std::string current_;  // the version that attempts go to: the last that described itself; empty: none has
  std::shared_ptr<CogProcess> candidate_;  // of the version that was seen, started and not heard of
  std::string problem_;
  Time problem_since_ = never;
  Steady::time_point looked_{}, changed_{}, used_{};
  boost::asio::steady_timer start_timer_, idle_timer_;
  Backoff pauses_;
  bool looked_closely_ = false;
  bool pausing_ = false;  // after a process died, or could not be started
  bool resting_ = false;  // the idle timer runs
  bool closing_ = false;
};

}  // namespace cogwork
