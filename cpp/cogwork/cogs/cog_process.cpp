#include "cogwork/cogs/cog_process.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <utility>

#include "cogwork/base/close_on_fork.h"
#include "cogwork/base/error.h"
#include "cogwork/cogs/process_loop.h"

namespace cogwork {
namespace {

namespace asio = boost::asio;
constexpr auto kHelloTime = std::chrono::seconds(30);
constexpr std::size_t kKept = std::size_t{1} << 20;  // capacity that an empty buffer may keep

std::string in_words(const ExitStatus& status) {
  if (!status.known) return "it ended";
  if (!status.signalled) return "it ended with exit status " + std::to_string(status.number);
  const char* name = strsignal(status.number);
  return "it was ended by signal " + std::to_string(status.number) + (name ? " (" + std::string(name) + ")" : "");
}

}  // namespace

std::shared_ptr<CogProcess> CogProcess::start(ProcessLoop& loop, Prepare prepare, std::string version, Duration grace,
                                              Events events) {
  std::shared_ptr<CogProcess> process(new CogProcess(loop, std::move(version), grace, std::move(events)));
  ProcessLoop::StartEvents started;
  started.started = [process](Launched& launched) { process->started(launched); };
  started.failed = [process](const Error& error) { process->not_started(error); };
  loop.start(std::move(prepare), std::move(started));
  return process;
}

void CogProcess::started(Launched& launched) {
  const auto self = shared_from_this();
  ChildProcess::Events events;
  events.printed = [weak = weak_from_this()](std::string_view bytes, bool error) {
    if (const auto still = weak.lock()) still->printed(bytes, error);
  };
  // The child holds its process, not the other way round, until it has ended: who let go of it is told all the same.
  events.ended = [self](const ExitStatus& status) { self->exited(status); };
  const int fd = launched.socket.release();
  child_ = ChildProcess::attend(loop_, launched, {}, std::move(events));
  close_on_fork(fd);
  socket_.assign(asio::local::stream_protocol(), fd);
  hello_timer_.expires_after(kHelloTime);
  hello_timer_.async_wait([self](const boost::system::error_code& error) {
    if (!error && !self->hello_) self->broken("it has not said hello within 30 s");
  });
  read();
  if (!out_.empty()) write();
  if (to_end_) child_->end(grace_);
}

void CogProcess::not_started(const Error& why) {
  gone_ = retired_ = true;
  const auto failed = std::exchange(events_.failed, nullptr);
  events_ = {};
  failed(why);
}

void CogProcess::end_child() {
  if (child_) {
    child_->end(grace_);
  } else {
    to_end_ = true;
  }
}

CogProcess::CogProcess(ProcessLoop& loop, std::string version, Duration grace, Events events)
    : loop_(loop),
      socket_(loop.io()),
      hello_timer_(loop.io()),
      end_timer_(loop.io()),
      version_(std::move(version)),
      grace_(grace),
      events_(std::move(events)) {}

CogProcess::~CogProcess() {
  if (socket_.is_open()) forget_close_on_fork(socket_.native_handle());
}

// ---- requests ----

std::int64_t CogProcess::validate(std::string_view cog, std::string_view args, Ended ended) {
  const auto id = ++last_id_;
  flights_[id].ended = std::move(ended);
  send(write_validate(id, cog, args));
  return id;
}

std::int64_t CogProcess::execute(std::string_view cog, std::shared_ptr<const AttemptRequest> request, Progress progress,
                                 Ended ended) {
  const auto id = ++last_id_;
  auto& flight = flights_[id];
  flight.ended = std::move(ended);
  flight.progress = std::move(progress);
  send(write_execute(id, cog, *request));
  flight.request = std::move(request);
  return id;
}

/// How many bytes of it wait to be read.
std::size_t CogProcess::unread() {
  boost::system::error_code error;
  const auto size = socket_.is_open() ? socket_.available(error) : 0;
  return error ? 0 : size;
}

void CogProcess::cancel(std::int64_t id, Deaf deaf) {
  if (const auto waits = unread(); waits > 0) {
    cancels_.push_back({id, std::move(deaf), bytes_read_ + waits});
  } else {
    send_cancel(id, std::move(deaf));
  }
}

void CogProcess::send_cancel(std::int64_t id, Deaf deaf) {
  const auto found = flights_.find(id);
  if (found == flights_.end()) return;         // it was answered
  if (child_ && child_->has_exited()) return;  // its end is about to be told
  found->second.cancelled = true;
  send(write_cancel(id));
  // One timer for each cancel: they are few, and each has its own grace.
  const auto timer = std::make_shared<asio::steady_timer>(socket_.get_executor(), grace_);
  timer->async_wait([self = shared_from_this(), id, deaf = std::move(deaf), timer](const boost::system::error_code&) {
    const auto still = self->flights_.find(id);
    if (self->gone_ || still == self->flights_.end()) return;
    self->retired_ = self->deaf_ = true;
    if (!self->end_if_all_are_cancelled()) deaf(still->second.log.text());
  });
}

bool CogProcess::end_if_all_are_cancelled() {
  if (!std::ranges::all_of(flights_, [](const auto& flight) { return flight.second.cancelled; })) return false;
  end("it ignored for the grace that its calls were to end");
  return true;
}

void CogProcess::retire() {
  retired_ = true;
  look_whether_done();
}

void CogProcess::end(const std::string& why) {
  if (gone_ || std::exchange(ending_, true)) return;
  retired_ = true;
  caused_ = true;
  why_ = why;
  end_child();
}

/// A process that takes nothing new and has nothing to do is asked to go, and if it does not, ended.
void CogProcess::look_whether_done() {
  if (!retired_ || !flights_.empty() || gone_ || std::exchange(ending_, true)) return;
  caused_ = true;
  why_ = "it was not needed any more";
  send(write_shutdown());
  end_timer_.expires_after(grace_);
  end_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->gone_) self->end_child();
  });
}

// ---- bytes ----

void CogProcess::send(std::string_view body) {
  if (child_ && !socket_.is_open()) return;
  append_frame(out_, body);
  if (child_ && writing_.empty()) write();
}

/// What is sent meanwhile goes together.
void CogProcess::write() {
  writing_.swap(out_);
  asio::async_write(socket_, asio::buffer(writing_),
                    [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                      self->writing_.clear();
                      if (self->writing_.capacity() > kKept) self->writing_ = {};
                      if (error || self->gone_) return;  // its end says why
                      if (!self->out_.empty()) self->write();
                    });
}

void CogProcess::read() {
  socket_.async_read_some(
      asio::buffer(buffer_), [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
        if (self->gone_ || error == asio::error::operation_aborted) return;
        if (error) {
          // Its end of the socket is closed. If it has not ended by itself soon, it has no use any more.
          if (!self->ending_) self->broken("its end of the socket was closed");
          return;
        }
        self->bytes_read_ += size;
        self->frames_.feed({self->buffer_.data(), size});
        while (const auto body = self->frames_.next()) {
          self->received(*body);
          if (self->gone_ || !self->socket_.is_open()) return;
        }
        if (self->frames_.broken()) {
          return self->broken("it sent a frame of " + std::to_string(self->frames_.refused_length()) +
                              " bytes; frames hold 1 byte to 64 MiB of msgpack (does something print to its socket?)");
        }
        while (!self->cancels_.empty() && self->cancels_.front().after <= self->bytes_read_) {
          auto cancel = std::move(self->cancels_.front());
          self->cancels_.pop_front();
          self->send_cancel(cancel.id, std::move(cancel.deaf));
        }
        if (!self->gone_ && self->socket_.is_open()) self->read();
      });
}

void CogProcess::received(const std::string& body) {
  std::string problem;
  if (!hello_) {
    hello_ = read_hello(body, problem);
    if (!hello_) return broken(problem);
    hello_timer_.cancel();
    return events_.ready(*hello_);
  }
  auto message = read_cog_message(body, problem);
  if (!message) return broken(problem);
  const auto found = flights_.find(message->id);
  if (found == flights_.end()) {
    if (message->log || message->progress) return;  // a note that comes late
    if (message->id >= 1 && message->id <= last_id_) {
      return broken("it answered request " + std::to_string(message->id) + ", which is not in flight: answered twice, or given up");
    }
    return broken("it answered request " + std::to_string(message->id) + ", which was never made");
  }
  auto& flight = found->second;
  if (message->log) {
    flight.log.add(*message->log);
    if (!message->log->ends_with('\n')) flight.log.add("\n");
    if (flight.request && flight.request->log) flight.request->log->add(*flight.request, *message->log);
  }
  if (message->progress && flight.progress) flight.progress(message->fraction, std::move(message->message));
  if (!message->result && !message->ok && !message->error) return;
  End end;
  end.log = flight.log.text();
  end.answer = std::move(message);
  finish(found->first, std::move(end));
}

void CogProcess::finish(std::int64_t id, End end) {
  if (flights_.size() == 1) finish_lines();  // what is printed later is not its own
  auto node = flights_.extract(id);
  close_log(node.mapped());
  end.unasked = !node.mapped().cancelled;
  node.mapped().ended(std::move(end));
  if (gone_) return;
  if (deaf_ && !flights_.empty()) end_if_all_are_cancelled();
  look_whether_done();
  if (!retired_) events_.room();
}

// ---- what it prints ----

void CogProcess::printed(std::string_view bytes, bool error) {
  if (flights_.empty()) printed_.add(bytes);
  for (auto& [id, flight] : flights_) flight.log.add(bytes);
  (error ? errors_ : output_).feed(bytes, [this](std::string_view line, std::size_t left_out) { say(line, left_out); });
}

/// For each Labor that watches may be of, once: as the only call's that runs, or as nobody's.
void CogProcess::say(std::string_view line, std::size_t left_out) {
  std::map<LaborLog*, std::pair<const AttemptRequest*, int>> logs;
  for (const auto& [id, flight] : flights_) {
    if (!flight.request || !flight.request->log) continue;
    auto& [request, calls] = logs[flight.request->log.get()];
    request = flight.request.get();
    ++calls;
  }
  for (const auto& [log, speaker] : logs) {
    const auto& [request, calls] = speaker;
    if (calls == 1) {
      log->add_line(*request, line, left_out);
      continue;
    }
    AttemptRequest nobody;
    nobody.key = ~static_cast<AttemptKey>(pid());  // no attempt's: those count up from 1
    nobody.number = 0;
    nobody.job_name = Text(request->cog->program);
    log->add_line(nobody, line, left_out);
  }
}

void CogProcess::finish_lines() {
  for (auto* lines : {&output_, &errors_}) {
    lines->finish([this](std::string_view line, std::size_t left_out) { say(line, left_out); });
  }
}

void CogProcess::close_log(const Flight& flight) {
  if (flight.request && flight.request->log) flight.request->log->end(*flight.request);
}

// ---- the end ----

/// It does not keep the protocol: it is ended, and that is a crash of its own.
void CogProcess::broken(const std::string& why) {
  if (gone_ || ending_) return;
  ending_ = retired_ = true;
  why_ = why;
  boost::system::error_code ignored;
  if (forget_close_on_fork(socket_.native_handle())) socket_.close(ignored);
  end_timer_.expires_after(std::chrono::milliseconds(100));  // most exit by themselves, and then say how
  end_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->gone_) return;
    self->ended_here_ = true;
    self->child_->end(self->grace_);
  });
}

void CogProcess::exited(const ExitStatus& status) {
  if (std::exchange(gone_, true)) return;
  retired_ = true;
  const auto self = shared_from_this();
  hello_timer_.cancel();
  end_timer_.cancel();
  std::string why = caused_ ? why_ : in_words(status);
  if (!caused_ && !why_.empty()) why = ended_here_ ? why_ + "; it was ended for that" : why_ + "; " + why;
  if (!caused_ && !hello_ && !printed_.empty()) why += "\n" + printed_.text();
  boost::system::error_code ignored;
  if (socket_.is_open() && forget_close_on_fork(socket_.native_handle())) socket_.close(ignored);
  child_.reset();
  // First the process, then its requests: whoever is told of a crashed attempt finds the crash counted.
  finish_lines();
  auto flights = std::exchange(flights_, {});
  const auto gone = std::exchange(events_.gone, nullptr);
  events_ = {};
  gone(why, caused_);
  for (auto& [id, flight] : flights) {
    close_log(flight);
    End end;
    end.gone = why;
    end.caused = caused_ && flight.cancelled;
    end.unasked = !flight.cancelled;
    end.left = status.left;
    end.log = flight.log.text();
    flight.ended(std::move(end));
  }
}

}  // namespace cogwork
