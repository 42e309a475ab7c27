#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/cogs/child_process.h"
#include "cogwork/cogs/cog.h"

namespace cogwork {

/// The name under which every registry knows the command Cog.
inline constexpr const char* kCommandCog = "command";

/// The args of a command Cog: one command, run once per attempt (C2).
struct Command {
  enum class Parse : std::uint8_t { TEXT, JSON, LINES };

  std::vector<std::string> argv;  ///< Or `shell`.
  std::string shell;              ///< Text for /bin/sh.
  std::string cwd;
  std::map<std::string, std::optional<std::string>, std::less<>> env;  ///< Added to this process's; nothing: taken away.
  std::string input;
  std::vector<std::int64_t> ok_codes{0};
  std::vector<std::int64_t> no_retry_codes;
  std::int64_t output_limit = 1 << 16;  ///< Bytes kept of its output, and of its error output.
  Parse parse = Parse::TEXT;

  static constexpr std::int64_t kLargestLimit = std::int64_t{1} << 30;
};

/// Reads args. Nothing where they are no command; `problem` then says what is wrong, as a Cog's validation does.
std::optional<Command> read_command(std::string_view args, std::string& problem);

/// What the process is started with: this process's environment, with COGWORK_TARGET, _JOB, _LABOR, _ATTEMPT added.
Launch launch_of(const Command& command, const AttemptRequest& request);

/// What is kept of what a program prints: the beginning and the end, where all is too much.
class Kept {
 public:
  explicit Kept(std::size_t limit) : limit_(limit) {}
  void add(std::string_view bytes);
  /// All of it; or its ends with "[... 123 bytes are left out ...]" between them. UTF-8, whatever was printed.
  std::string text() const;
  bool cut() const { return dropped_ > 0; }
  bool empty() const { return head_.empty(); }

 private:
  std::size_t limit_;
  std::string head_, tail_;  // the tail is used as a ring when it is full
  std::size_t tail_at_ = 0;
  std::uint64_t dropped_ = 0;
};

/// What an attempt comes to. `was_told`: its process was asked to end.
Outcome outcome_of(const Command& command, ExitStatus status, bool left, const Kept& output, const Kept& errors);

/// An attempt that could not begin: no such program, say.
Outcome not_started(const std::string& why);

/// JSON as msgpack. Nothing where it is none; `problem` says where.
std::optional<std::string> json_to_msgpack(std::string_view json, std::string& problem);

}  // namespace cogwork
