#pragma once

#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cogwork/base/frame.h"
#include "cogwork/cogs/child_process.h"
#include "cogwork/cogs/cog_messages.h"
#include "cogwork/cogs/kept.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/cogs/program.h"

namespace cogwork {

class ProcessLoop;

/// One process of a process Cog, from its start to its end. Requests may be sent at once; they wait for the hello. All on the
/// thread of the loop. Whatever the process does - hang, lie, print, die - becomes an end of its requests, never an error here.
class CogProcess : public std::enable_shared_from_this<CogProcess> {
 public:
  /// How a request ended: with the process's answer, or with the process.
  struct End {
    std::optional<CogMessage> answer;
    std::string gone;     ///< Without an answer: why the process ended.
    bool caused = false;  ///< Without an answer: the engine ended it, which is no crash (G3a).
    bool left = false;    ///< Processes of its group could not be ended.
    bool unasked = true;  ///< It was there before the request was cancelled.
    std::string log;      ///< What it wrote for this request, and printed meanwhile.
  };
  struct Events {
    std::function<void(const Hello&)> ready;
    /// It could not be started: the only event then.
    std::function<void(const Error& why)> failed;
    /// It is gone, and all its requests have ended. `why` is for people; `caused`: by the engine.
    std::function<void(const std::string& why, bool caused)> gone;
    /// A request has ended: there is room.
    std::function<void()> room;
  };
  using Ended = std::function<void(End)>;
  using Progress = std::function<void(double, std::string)>;

  using Prepare = std::function<std::optional<Launch>()>;

  /// prepare: see ProcessLoop::start. version: of the file, as it is at the start.
  static std::shared_ptr<CogProcess> start(ProcessLoop& loop, Prepare prepare, std::string version, Duration grace, Events events);
  ~CogProcess();

  std::int64_t validate(std::string_view cog, std::string_view args, Ended ended);
  std::int64_t execute(std::string_view cog, std::shared_ptr<const AttemptRequest> request, Progress progress, Ended ended);
  /// Asks the call to end; what the process has sent until now is read first, for it may be the answer. Ignored for the grace, it
  /// costs the process: now, if nothing else runs in it that is to go on; else as soon as that has ended, and `deaf` is called with what
  /// the call has said.
  using Deaf = std::function<void(std::string log)>;
  void cancel(std::int64_t id, Deaf deaf);
  /// Takes nothing new; ends when what runs has ended.
  void retire();
  /// Ends it now: TERM, and KILL after the grace.
  void end(const std::string& why);

  bool retired() const { return retired_; }
  bool ready() const { return hello_.has_value(); }
  const Hello& hello() const { return *hello_; }
  const std::string& version() const { return version_; }
  /// What is recorded of it: what its hello says, or the version of the file.
  const std::string& shown_version() const { return hello_ && !hello_->version.empty() ? hello_->version : version_; }
  std::size_t in_flight() const { return flights_.size(); }
  int pid() const { return child_ ? child_->pid() : -1; }

 private:
  struct Flight {
    std::shared_ptr<const AttemptRequest> request;  // null: of a validate
    Ended ended;
    Progress progress;
    Kept log{std::size_t{1} << 16};
    bool cancelled = false;
  };

  CogProcess(ProcessLoop& loop, std::string version, Duration grace, Events events);
  void started(Launched& launched);
  void not_started(const Error& why);
  void end_child();
  void printed(std::string_view bytes, bool error);
  void say(std::string_view line, std::size_t left_out);
  void finish_lines();
  static void close_log(const Flight& flight);
  void send(std::string_view body);
  void write();
  void read();
  std::size_t unread();
  void send_cancel(std::int64_t id, Deaf deaf);
  void received(const std::string& body);
  void finish(std::int64_t id, End end);
  void broken(const std::string& why);
  void exited(const ExitStatus& status);
  void look_whether_done();
  bool end_if_all_are_cancelled();

  ProcessLoop& loop_;
  boost::asio::local::stream_protocol::socket socket_;
  boost::asio::steady_timer hello_timer_, end_timer_;
  const std::string version_;
  const Duration grace_;
  Events events_;
  std::shared_ptr<ChildProcess> child_;  // null until it is started
  FrameReader frames_{kLargestCogFrame};
  std::array<char, 65536> buffer_;
  std::string out_, writing_;  // frames
  std::optional<Hello> hello_;
  std::map<std::int64_t, Flight> flights_;
  Kept printed_{4096};  // before anything is in flight: what it says when it cannot start
  LineSplitter output_, errors_;
  struct Cancel {
    std::int64_t id = 0;
    Deaf deaf;
    std::uint64_t after = 0;  // so many bytes were read
  };
  std::deque<Cancel> cancels_;
  std::uint64_t bytes_read_ = 0;
  std::int64_t last_id_ = 0;
  std::string why_;  // it is being ended
  bool caused_ = false;
  bool retired_ = false;
  bool ending_ = false;
  bool to_end_ = false;      // as soon as it is started
  bool deaf_ = false;        // a call has ignored its cancel for the grace
  bool ended_here_ = false;  // for not keeping the protocol
  bool gone_ = false;
};

}  // namespace cogwork
