#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/cogs/child_process.h"
#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/kept.h"

namespace cogwork {

/// The name under which every registry knows the command Cog.
inline constexpr const char* kCommandCog = "command";

/// The args of a command Cog: one command, run once per attempt (C2).
struct Command {
  enum class Parse : std::uint8_t { TEXT, JSON, LINES };

  std::vector<std::string> argv;  ///< Or `shell`.
  std::string shell;              ///< Text for /bin/sh.
  std::string cwd;
  VariableChanges env;  ///< Of the environment that it would have without.
  std::string input;
  std::vector<std::int64_t> ok_codes{0};
  std::vector<std::int64_t> no_retry_codes;
  std::int64_t output_limit = 1 << 16;  ///< Bytes kept of its output, and of its error output.
  Parse parse = Parse::TEXT;

  static constexpr std::int64_t kLargestLimit = std::int64_t{1} << 30;
};

/// Reads args. Nothing where they are no command; `problem` then says what is wrong, as a Cog's validation does.
std::optional<Command> read_command(std::string_view args, std::string& problem);

/// What the process is started with. `ours`: the engine's environment; COGWORK_TARGET, _JOB, _LABOR, _ATTEMPT are added to it, or
/// to that of a login where the Labor names a user. Throws Error where there is no such user, or it may not be become. It may ask a
/// directory service, and wait.
Launch launch_of(const Command& command, const AttemptRequest& request, const Variables& ours);

/// What an attempt comes to. interrupted: it was asked to end.
Outcome outcome_of(const Command& command, const ExitStatus& status, bool interrupted, const Kept& output, const Kept& errors);

/// An attempt that could not begin. Unstartable: it is not tried again.
Outcome not_started(const Error& why);
Outcome not_started(const std::string& why);

}  // namespace cogwork
