#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/model/validate.h"

namespace cogwork {

/// What a cog_path says that names a program: "./cogs/upgrade", "./cogs/edge:drain" (one Cog of several),
/// "python:package.module:drain".
struct ProgramPath {
  std::string program;  ///< "./cogs/edge", "python:package.module"
  std::string cog;      ///< Empty: its only one.
};

/// Nothing where the path names a Cog of this process: it holds no '/', and does not begin with "python:".
std::optional<ProgramPath> program_path(std::string_view cog_path);

/// How a program is used; what `cogwork.process_cog` says.
struct ProgramOptions {
  ProgramPath path;  ///< Which program, and which of its Cogs.
  int processes = 1;
  int concurrency = 0;   ///< Of each process; 0: what its hello says.
  CogDefaults defaults;  ///< What is given here goes before what the hello says.
  bool idempotent_given = false;
};

/// A program as it can be started here: what is run, and the file whose change makes a new version of it (C3).
struct Program {
  std::vector<std::string> argv;
  std::string file;    ///< Absolute. Empty: none is looked at.
  std::string origin;  ///< What tells it apart from another of the same path (R4).
};

/// python: the interpreter for "python:...". Throws Error, saying what is wrong with it: no such file, not executable.
Program find_program(const std::string& program, const std::string& python);

/// A program whose file has changed, and whose new version cannot be used: attempts go on with the version before, where that still
/// runs.
struct OutdatedProgram {
  std::string program;
  std::string user;  ///< Whom it runs as; empty: the engine's.
  std::string why;
  Time since = never;
};

/// Changes whenever the file, or who may execute it, does. Empty where it cannot be looked at.
std::string file_version(const std::string& file);

}  // namespace cogwork
