#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cogwork/base/id.h"
#include "cogwork/base/text.h"
#include "cogwork/base/time.h"
#include "cogwork/cogs/program.h"
#include "cogwork/model/labor.h"
#include "cogwork/model/outcome.h"
#include "cogwork/model/validate.h"

namespace cogwork {

/// How calls of a Cog are carried out.
enum class CogKind : std::uint8_t {
  PLAIN = 0,    ///< A call that occupies a worker thread until it returns.
  ASYNC = 1,    ///< A coroutine on an event loop; as many at once as there are.
  COMMAND = 2,  ///< A program, run once for each attempt; as many at once as there are.
  PROCESS = 3,  ///< A program that stays up and serves many calls; as many at once as its processes have places.
};

/// What the engine knows of a Cog (C1). The code behind it is elsewhere.
struct CogInfo {
  std::string name;
  std::string origin;  ///< "module:qualified.name"; tells a Cog apart from another of the same name (C1, R4).
  CogKind kind = CogKind::PLAIN;
  CogDefaults defaults;
  std::string program;  ///< Of a process Cog: what its cog_path says before the Cog's own name.
  int places = 0;       ///< Of a process Cog: how many calls its program serves at once.
};

/// The Cogs of a process by name, and how often each crashed (X10). Any thread.
class CogRegistry : public CogLookup {
 public:
  /// Knows what is built in: the command Cog.
  CogRegistry();
  /// Registering the same origin again replaces it and forgets its crashes; another origin under a name that is taken, also by a
  /// process Cog, throws CogError naming both (C1).
  void add(CogInfo info);
  std::shared_ptr<const CogInfo> find(std::string_view name) const;
  std::vector<std::string> names() const;

  /// The pointer holds for as long as the registry: what was replaced is kept.
  const CogDefaults* defaults(std::string_view cog_path) const override;
  std::string suggestion(std::string_view cog_path) const override;
  bool checks_args(std::string_view cog_path) const override;
  std::string args_problem(std::string_view cog_path, std::string_view args, std::string_view real_user) const override;

  /// Looks at the args of several calls of one Cog of this process: those that do not fit, by their place, and why.
  struct Misfit {
    std::size_t place = 0;
    std::string why;
  };
  using ArgsCheck = std::function<std::vector<Misfit>(const std::string& cog, const std::vector<std::string_view>& args)>;
  /// Who can do that, as the code behind the Cogs is elsewhere. Until it is said, all args fit.
  void set_args_check(ArgsCheck check);
  /// The same of any Cog, as submitting would look at them (R4); process Cogs, which would have to be started for it, look at their args
  /// when they are called. Waits for whoever looks.
  std::vector<Misfit> misfits(const std::string& cog, const std::vector<std::string_view>& args) const;

  /// How a process Cog is to be used, and under which name.
  void set_program_options(const std::string& cog_path, ProgramOptions options);
  ProgramOptions program_options(std::string_view cog_path) const;
  /// How many processes a program gets, and how many calls each of them: what was said of it last.
  ProgramOptions pool_options(std::string_view program) const;
  /// The program behind a cog_path: a name that was registered, or a path. Nothing where it is a Cog of this process.
  std::optional<ProgramPath> program_of(std::string_view cog_path) const;
  /// A Cog of a program that was loaded; again is no error, and forgets no crashes.
  void add_program(CogInfo info);
  /// One of its processes died: a crash of each of its Cogs (X10).
  void count_program_crash(const std::string& program);
  /// A new version of it is there: its Cogs' crashes are forgotten (X10).
  void reset_program(const std::string& program);

  int crashes(std::string_view name) const;
  void count_crash(std::string_view name);
  void reset(std::string_view name);

 private:
  struct Entry {
    std::shared_ptr<const CogInfo> info;
    int crashes = 0;
  };
  mutable std::mutex mutex_;
  ArgsCheck args_check_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, ProgramOptions, std::less<>> programs_;  // by cog_path
  std::map<std::string, ProgramOptions, std::less<>> pools_;     // by program
  // defaults() hands out plain pointers: what was replaced stays alive. A registry sees few replacements (a notebook cell run
  // again), so they are kept.
  std::vector<std::shared_ptr<const CogInfo>> replaced_;
};

/// Names an attempt for as long as its engine lives; never used twice.
using AttemptKey = std::uint64_t;

/// Outputs of the Jobs of one Sequence (X7), in order: Job name (else Cog name), msgpack (empty: none). It grows while the Sequence runs, and the
/// calls of all its Jobs share it: a chain of n Jobs would else hand n * n / 2 of them about. Any thread.
class SequenceOutputs {
 public:
  using Output = std::pair<Text, Text>;

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return outputs_.size();
  }
  void add(Text name, Text output) {
    const std::lock_guard lock(mutex_);
    outputs_.emplace_back(std::move(name), std::move(output));
  }
  std::vector<Output> first(std::size_t count) const {
    const std::lock_guard lock(mutex_);
    return {outputs_.begin(), outputs_.begin() + static_cast<std::ptrdiff_t>(std::min(count, outputs_.size()))};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Output> outputs_;
};

class LaborLog;

/// Everything that a call of a Cog needs. Immutable once it was handed over.
struct AttemptRequest {
  AttemptKey key = 0;
  std::shared_ptr<const CogInfo> cog;
  Id job;  ///< Its Labor is job.labor().
  std::uint32_t number = 1;
  bool check = false;
  Text labor_name;
  Text job_name;
  Text target;  ///< Empty for a check.
  Text real_user;
  Text args;                                                ///< msgpack map
  Duration timeout{};                                       ///< Of this attempt, from the moment that the Cog is called.
  std::shared_ptr<const SequenceOutputs> sequence_outputs;  ///< Null: there is no Job before it in its Sequence.
  std::uint32_t outputs_before = 0;                         ///< How many of them are of the Jobs before it.
  std::shared_ptr<LaborLog> log;                            ///< Where its lines go while it runs. Null: nowhere.

  std::vector<SequenceOutputs::Output> outputs() const {
    return sequence_outputs ? sequence_outputs->first(outputs_before) : std::vector<SequenceOutputs::Output>();
  }
};

/// Carries out attempts. One of the engine's seams. All of it is called on the scheduler thread and returns at once;
/// whatever it starts reports to the sink that the executor was made with, from any thread.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Begins the call at once: the engine counts free places itself (X13).
  virtual void start(AttemptRequest request) = 0;
  /// When the Cog was called. Nothing: it has not been yet - the call waits for a worker, or a process - or it has ended. The time-out
  /// counts from here; it is asked for only when that may be over (X8).
  virtual std::optional<SteadyTime> called(AttemptKey key) const = 0;
  /// Asks the call to end (a time-out, an interrupting stop, a close). It reports as ever when it has; an answer that was there before
  /// is reported as `unasked`.
  virtual void interrupt(AttemptKey key) = 0;
  /// How long it may take to, with this grace, before its attempt is closed without it (X8a).
  virtual Duration patience(Duration grace) const { return grace; }
  /// The attempt was closed while its call went on (X8a): its place is to be replaced, and its report will be dropped.
  virtual void abandon(AttemptKey key) = 0;
};

/// Where executors report. Any thread.
class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  virtual void ended(AttemptKey key, Outcome outcome) = 0;
  /// ctx.progress: the latest word of a running call; never stored.
  virtual void progressed(AttemptKey key, double fraction, Text message) = 0;
};

}  // namespace cogwork
