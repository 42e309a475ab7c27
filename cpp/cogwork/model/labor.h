#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cogwork/base/id.h"
#include "cogwork/base/text.h"
#include "cogwork/base/time.h"
#include "cogwork/model/state.h"

namespace cogwork {

// A Labor as plain values (M1, M2): what a user wrote and what became of it, side by side.
//
// The tree is kept as three flat tables in the order of the tree, whose rows name their neighbours by index. So a
// million Jobs are three allocations, an index is a name that costs nothing, and walking a range needs no pointer.
// The same struct is what submit reads, what the machine works on, and what a store writes and reads back.

/// One attempt of a Job (X8), in the order in which they were begun.
struct Attempt {
  std::uint32_t number = 0;  ///< From 1 within the Job; of a check, within its round.
  std::uint32_t round = 0;   ///< Of a check: the round it belongs to, from 1. Else 0.
  Time started = never;
  Time ended = never;
  AttemptStatus status = AttemptStatus::OPEN;
  /// Bits of `Attempt::Mark`.
  std::uint8_t marks = 0;
  /// R2: what a person decided about it, where it is INTERRUPTED and its Job was held.
  Decision decision = Decision::NONE;
  Text output;     ///< msgpack: what the Cog answered. Empty: nothing.
  Text error;      ///< Text: what went wrong, with its traceback.
  Text log;        ///< Text: what the Cog logged, a line each, bounded.
  Text version{};  ///< Text: of the Cog that ran, where it has one (C3).

  enum Mark : std::uint8_t {
    CUT = 1,            ///< Output or error was longer than max_output and is cut (X9).
    REPR = 2,           ///< The output could not be held by msgpack; its repr, or its bytes, are kept instead (X9).
    STILL_RUNNING = 4,  ///< Closed while its call went on: it could not be ended (X8a).
  };

  bool open() const { return status == AttemptStatus::OPEN; }
  bool operator==(const Attempt&) const = default;
};

/// A pause that is held where it was sent (G5a), or kept for an object that has not started (X2a).
struct Hold {
  Rank rank = Rank::NONE;
  Time since = never;
  Text by;
  Text note;
  bool operator==(const Hold&) const = default;
};

/// The own holds of one object: at most one of each rank, lowest first.
using Holds = std::vector<Hold>;
/// The hold of that rank; null where there is none.
const Hold* find_hold(const Holds& holds, Rank rank);
/// Sets the one of its rank; one that is there goes.
void set_hold(Holds& holds, Hold hold);
/// Who holds what the engine holds by itself, because of undecided Jobs (R2).
inline constexpr std::string_view kEngine = "the engine";

enum class JobKind : std::uint8_t { WORK = 0, PRE_CHECK = 1, CONT_CHECK = 2 };

/// "Not given": the Cog's own default, else M6's, is filled in at submit.
inline constexpr std::int64_t kNotGiven = INT64_MIN;

/// How a Job is to be called (X8). As submitted, a field may be `kNotGiven` (below zero in `retries` and
/// `retry_backoff`); after submit all are set.
struct JobOptions {
  Duration timeout{kNotGiven};
  Duration retry_delay{kNotGiven};
  Duration retry_max_delay{kNotGiven};  ///< Stays kNotGiven where there is no limit.
  double retry_backoff = -1;
  std::int32_t retries = -1;
  std::int8_t on_interrupt = -1;  ///< An OnInterrupt, or below zero.
  bool operator==(const JobOptions&) const = default;
};

/// A call of a Cog. A Job's state is only ever NOT_STARTED, RUNNING, COMPLETED, FAILED or STOPPED (M3).
struct Job {
  std::uint32_t ordinal = 0;
  std::uint32_t task = 0;      ///< Index of its Task.
  std::uint32_t sequence = 0;  ///< Index of its Sequence; of a check, `kNoSequence`.
  JobKind kind = JobKind::WORK;
  State state = State::NOT_STARTED;
  bool held = false;         ///< R2, HOLD: waits for a decision.
  std::uint32_t rounds = 0;  ///< Of a check: how many rounds it has passed (X11).
  Text name;
  Text desc;
  Text cog_path;
  Text args;  ///< msgpack map. Written once, at ingest (T2).
  JobOptions options;
  Time started = never;  ///< Of a check: of its latest round.
  Time ended = never;
  std::vector<Attempt> attempts;

  static constexpr std::uint32_t kNoSequence = UINT32_MAX;
  bool is_check() const { return kind != JobKind::WORK; }
  bool operator==(const Job&) const = default;
};

/// The Jobs for one target.
struct Sequence {
  std::uint32_t ordinal = 0;
  std::uint32_t task = 0;
  std::uint32_t first_job = 0;
  std::uint32_t job_count = 0;
  State state = State::NOT_STARTED;
  Reason reason = Reason::NO_FAILURE;
  Text target;
  Text name;
  Text desc;
  Time started = never;
  Time ended = never;
  Holds holds;
  bool operator==(const Sequence&) const = default;
};

/// A number, or a share of a Task's Sequences as it was written ("10%", X4a).
struct Amount {
  std::int64_t number = 0;  ///< Resolved at submit.
  Text share;               ///< Empty where a number was given.
  bool operator==(const Amount&) const = default;
};

/// A step of a Labor: checks, and Sequences that run concurrently. Defaults are M6's.
struct Task {
  std::uint32_t ordinal = 0;
  std::uint32_t first_job = 0;  ///< Its checks come first among its Jobs: pre-checks, then continuous ones.
  std::uint32_t pre_check_count = 0;
  std::uint32_t cont_check_count = 0;
  std::uint32_t first_sequence = 0;
  std::uint32_t sequence_count = 0;
  State state = State::NOT_STARTED;
  Reason reason = Reason::NO_FAILURE;  ///< Set as soon as it is decided (X6b), before the Task has ended.
  bool strict = false;
  bool pass_failures = false;
  bool pause_on_entry = false;
  std::uint32_t failures = 0;  ///< Its own and those passed to it (X4, X5).
  Amount concurrency{1, {}};
  Amount tolerated_failures{0, {}};
  Duration cont_check_interval = std::chrono::seconds(30);
  Duration bake{0};
  Duration entry_delay{0};
  Text name;
  Text desc;
  Time started = never;
  Time ended = never;
  Holds holds;

  std::uint32_t check_count() const { return pre_check_count + cont_check_count; }
  bool operator==(const Task&) const = default;
};

/// The whole change.
struct Labor {
  Id id;
  State state = State::NOT_STARTED;
  Reason reason = Reason::NO_FAILURE;
  Text name;
  Text desc;
  Text client_id;
  Text real_user;
  std::vector<Text> tags;
  /// The Cogs that it calls, as they were when it was submitted: name, and origin ("module:qualified.name"). Another function of the
  /// same name does not take it up (R4).
  std::vector<std::pair<Text, Text>> cogs;
  /// What it was made with - file, arguments, host and so on: name, and text. For people; nothing is decided by it.
  std::vector<std::pair<Text, Text>> provenance;
  Time submitted = never;
  Time started = never;
  Time ended = never;
  Holds holds;

  std::vector<Task> tasks;
  std::vector<Sequence> sequences;
  std::vector<Job> jobs;

  bool operator==(const Labor&) const = default;
};

/// Which of the four kinds of object, and its index in the Labor's table of that kind (0 for the Labor itself).
enum class ObjectKind : std::uint8_t { LABOR = 0, TASK = 1, SEQUENCE = 2, JOB = 3 };
struct ObjectRef {
  ObjectKind kind = ObjectKind::LABOR;
  std::uint32_t index = 0;
  friend auto operator<=>(const ObjectRef&, const ObjectRef&) = default;
};

/// Sets every ordinal in the order of the tree (see Id).
void number_tree(Labor& labor);

/// The object with that ordinal, if there is one. Logarithmic.
std::optional<ObjectRef> find_ordinal(const Labor& labor, std::uint32_t ordinal);
std::uint32_t ordinal_of(const Labor& labor, ObjectRef object);
State state_of(const Labor& labor, ObjectRef object);

/// The latest time that is recorded anywhere in it; `never` where none is. Linear.
Time latest_time(const Labor& labor);

/// A copy without the three tables (`full=False` of read_labor, T1).
Labor without_tables(const Labor& labor);

}  // namespace cogwork
