#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "cogwork/base/error.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/engine/engine.h"

namespace cogwork {

/// A client does not keep the control protocol. It goes over the socket by that name, and is seen nowhere else.
class ProtocolError : public Error {
 public:
  using Error::Error;
};

// What an engine says of itself, as msgpack maps: for Python, which makes its Progress, Stats, LogLine and EngineInfo of them (_progress.py, _logs.py),
// and for the control socket. Times are microseconds since 1970, or nil.

std::string write_progress(const Progress& progress);
std::string write_stats(const Stats& stats);
/// G8, as _latch.py reads them.
std::string write_crises(const std::vector<LatchStatus>& crises);
std::string write_lines(const LaborLog::Piece& piece);
std::string write_owner(const Owner& owner);
/// "kind" is the error's name in Python (_errors.py); the others are its fields.
std::string write_error(const std::exception_ptr& error);
std::string write_error(std::string_view kind, std::string_view message);

}  // namespace cogwork
