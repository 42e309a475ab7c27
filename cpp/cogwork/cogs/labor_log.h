#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/base/completion.h"
#include "cogwork/base/id.h"
#include "cogwork/base/text.h"
#include "cogwork/base/time.h"
#include "cogwork/cogs/cog.h"

namespace cogwork {

/// One line that a Cog said while it ran.
struct LogLine {
  AttemptKey attempt_key = 0;  ///< Of its attempt, while its engine lives; 0: of nobody.
  std::uint64_t number = 0;    ///< One more than that of the line before it in its Labor, and higher than those of earlier engines.
  Time at = never;
  Id job;  ///< Nil: a process that serves several calls of the Labor printed it, and nobody knows for which.
  std::uint32_t attempt = 0;
  Text target;  ///< Empty: of a check, or of nobody.
  Text name;    ///< The Job's, else its Cog's.
  Text text;
  std::uint64_t dropped = 0;  ///< Above 0: no Cog's line; it says how many lines of this attempt were left out here.
};

/// What the logs of one engine share: the time, how much they may keep together, and who stores what is said. Any thread.
struct LogRoom {
  LogRoom();
  explicit LogRoom(std::function<Time()> clock) : now(std::move(clock)) {}

  /// `hear` is called with a Labor's id when its log has a line that unstored() has not given yet, once until unstored() was called again. It is
  /// called on the thread that speaks, and must not block. An empty function: nobody hears any more once this returns.
  void on_unstored(std::function<void(const Id&)> hear);

  const std::function<Time()> now;
  std::atomic<std::int64_t> bytes{0};

 private:
  friend class LaborLog;
  void tell(const Id& labor);

  std::mutex mutex_;
  std::function<void(const Id&)> hear_;
};

/// The latest lines of a Labor's Cogs, for those who watch it. Any thread.
///
/// Nobody waits for a reader: who speaks puts his line in and goes on, whether anybody reads or not, and the engine's own threads have no part in
/// it. It is bounded by the lines and bytes that are kept - the oldest make room - and by what one attempt may say in a second: what is beyond is
/// counted instead of kept, so that one that says too much costs little, and hides nobody else. Each reader has a place of its own, the number of
/// the last line that he has seen, and learns how many he has missed.
class LaborLog {
 public:
  static constexpr std::size_t kMostLines = 4096;
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  static constexpr std::size_t kLongestLine = 4096;  ///< Bytes; what is beyond is cut, and that is marked.
  static constexpr std::uint32_t kMostASecond = 1000;
  /// Where all logs of an engine keep more than kMostTogether, each keeps kLeastBytes.
  static constexpr std::int64_t kMostTogether = std::int64_t{64} << 20;
  static constexpr std::size_t kLeastBytes = std::size_t{1} << 14;

  explicit LaborLog(std::shared_ptr<LogRoom> room, const Id& labor = {});
  ~LaborLog();
  LaborLog(const LaborLog&) = delete;

  /// One or more lines of an attempt.
  void add(const AttemptRequest& from, std::string_view text);
  /// One line, of which `left_out` bytes are not here.
  void add_line(const AttemptRequest& from, std::string_view line, std::size_t left_out);
  /// The attempt says nothing more.
  void end(const AttemptRequest& from);
  /// The Labor has ended: nothing more is taken.
  void close();

  struct Piece {
    std::vector<LogLine> lines;
    std::uint64_t missed = 0;  ///< How many came before the first of them, and after `since`, that are not kept any more.
  };
  /// The lines that are kept behind the one of this number.
  Piece read(std::uint64_t since);
  /// The lines behind those that it gave the last time: for who stores them.
  Piece unstored();
  /// Set when read() will give something, or nothing will come any more.
  std::shared_ptr<Completion> ready(std::uint64_t since);
  bool over(std::uint64_t since) const;
  /// The number of the last line; where there is none yet, `base`.
  std::uint64_t last() const;
  /// The number before its first line.
  std::uint64_t base() const { return base_; }

 private:
  /// One attempt: who it is, and what it has said in the second that began at `since`.
  struct Voice {
    LogLine self;
    Time since = never;
    std::uint32_t said = 0;
    std::uint64_t dropped = 0;
  };
  template <typename F>
  void change(F apply);
  Voice& voice_of(const AttemptRequest& from, Time now);
  void say(Voice& voice, Time now, std::string_view line, std::size_t left_out);
  void own_up(Voice& voice, Time now);
  void put(const Voice& voice, Time now, std::string_view text, std::uint64_t dropped);
  void make_room();
  Piece read_locked(std::uint64_t since, Time now);

  const std::shared_ptr<LogRoom> room_;
  const Id labor_;
  // The time at which it was made, in microseconds: so a reader's place in the log of an engine that is gone is before all that the next
  // engine's holds.
  const std::uint64_t base_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, LogLine> lines_;  // by number
  std::size_t bytes_ = 0;
  std::uint64_t last_ = base_;
  std::uint64_t stored_ = base_;  // the last line that unstored() has given
  bool told_ = false;             // that there are more
  std::map<AttemptKey, Voice> voices_;
  std::shared_ptr<Completion> news_;  // somebody waits
  bool closed_ = false;
};

/// One reader's place in a Labor's log. One thread at a time.
class LogFeed {
 public:
  /// since: a line's number; nothing: from now. One beyond the last is no place here: then from the beginning.
  LogFeed(std::shared_ptr<LaborLog> log, std::optional<std::uint64_t> since);
  /// What there is after the last call, without waiting.
  LaborLog::Piece poll();
  /// Set when poll() will return something or the feed is over.
  std::shared_ptr<Completion> ready() { return log_->ready(since_); }
  bool over() const { return log_->over(since_); }

 private:
  std::shared_ptr<LaborLog> log_;
  std::uint64_t since_;
};

/// Makes lines of bytes as a program prints them. Of a line it keeps what a log keeps.
class LineSplitter {
 public:
  using Line = std::function<void(std::string_view line, std::size_t left_out)>;
  void feed(std::string_view bytes, const Line& line);
  /// The last line, where it has no end.
  void finish(const Line& line);

 private:
  void keep(std::string_view bytes);

  std::string part_;
  std::size_t left_out_ = 0;
};

}  // namespace cogwork
