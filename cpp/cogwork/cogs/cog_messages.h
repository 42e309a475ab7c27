#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/cogs/cog.h"
#include "cogwork/cogs/program.h"

namespace cogwork {

// The Cog protocol's messages (docs/internals/cog-protocol.md), as values.

inline constexpr std::int64_t kCogProtocol = 1;
inline constexpr std::size_t kLargestCogFrame = std::size_t{64} << 20;

/// One Cog that a program holds, as its hello says.
struct OfferedCog {
  std::string name;
  std::string owner, desc;
  std::vector<std::string> tags;
  std::string args;  ///< JSON Schema, as msgpack; may be empty.
  CogDefaults defaults;
  int concurrency = 16;
};

struct Hello {
  std::string version;
  std::vector<OfferedCog> cogs;
  int concurrency() const;
  /// The Cog of that name, or the only one where it is empty; null where there is none.
  const OfferedCog* find(std::string_view name) const;
};

/// What a process says after its hello. One of the others than `id` is set.
struct CogMessage {
  std::int64_t id = -1;
  std::optional<std::string> ok;     ///< msgpack
  std::optional<std::string> error;  ///< of a validate
  std::optional<std::string> log;
  bool progress = false;
  double fraction = -1;
  std::string message;
  bool result = false;
  std::string status;
  std::string output;  ///< msgpack; may be empty
  std::string result_error;
};

/// Nothing where the bytes are no such message; `problem` says why.
std::optional<Hello> read_hello(std::string_view body, std::string& problem);
std::optional<CogMessage> read_cog_message(std::string_view body, std::string& problem);

std::string write_execute(std::int64_t id, std::string_view cog, const AttemptRequest& request);
std::string write_validate(std::int64_t id, std::string_view cog, std::string_view args);
std::string write_cancel(std::int64_t of);
std::string write_shutdown();

/// A result as an attempt's outcome; a status that is none is a broken Cog (X8). Outputs beyond `max_output` are cut (X9).
Outcome outcome_of(const CogMessage& message, std::size_t max_output);

}  // namespace cogwork
