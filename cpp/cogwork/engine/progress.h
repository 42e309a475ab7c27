#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cogwork/engine/latch.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// A Job of which a person must decide what became of it (R2).
struct HeldJob {
  Id job;
  Text labor_name;
  Text task;
  Text target;  ///< Empty for a check.
  Text cog;
  Text job_name;
  std::uint32_t attempt = 0;  ///< The one that was interrupted.
  Time started = never;       ///< When that had begun.
};

/// What is known of a Labor at this moment. For displays.
struct Progress {
  /// An attempt that executes.
  struct Flight {
    Id job;
    Text target;
    Text cog;
    Text job_name;
    std::uint32_t attempt = 0;
    Time since = never;
    double fraction = -1;  ///< Below zero: none reported.
    Text message;
  };
  /// A Job whose last attempt failed, and that waits for its next one.
  struct Retry {
    Id job;
    Text target;  ///< Empty for a check.
    Text cog;
    Text job_name;
    std::uint32_t attempt = 0;  ///< The number of the next one.
    Time due = never;
    Text error;  ///< In one line (error_line).
  };
  /// How far a Sequence is among its Jobs: where its target was left, if it does not go on.
  struct Place {
    Text after;          ///< The last Job that completed. Empty: none.
    Text job;            ///< The first that has not. Empty: all have.
    bool begun = false;  ///< An attempt of `job` was begun.

    /// Something of it was done to its target, and not all.
    bool half_way() const { return !job.empty() && (begun || !after.empty()); }
  };
  /// A Sequence that is under way and executes nothing at this moment.
  struct HalfWay {
    Id sequence;
    Text task;
    Text target;
    State state = State::RUNNING;
    Place place;
  };
  /// A Sequence that failed or was stopped; or a check that failed, which has no target and no place.
  struct Loss {
    Id object;
    Text task;
    Text target;
    State state = State::FAILED;
    Text error;  ///< Of the last attempt, in one line (error_line).
    Place place;
  };
  struct TaskProgress {
    Id id;
    Text name;
    State state = State::NOT_STARTED;
    Reason reason = Reason::NO_FAILURE;
    Time started = never;
    Time ended = never;
    std::uint32_t sequences = 0, sequences_under_way = 0, completed = 0, failed = 0, stopped = 0;
    std::uint32_t failures = 0;  ///< With those passed to it.
    std::int64_t tolerated = 0;
    std::uint32_t concurrency = 0;
    std::uint32_t checks = 0, rounds = 0;
    Time next_round = never;
    /// Why nothing (more) starts, in words; empty where things run.
    std::string waiting;
  };
  Id id;
  Text name;
  State state = State::UNKNOWN;
  Reason reason = Reason::NO_FAILURE;
  Time started = never;
  Time ended = never;
  Holds holds;
  std::vector<Latch> latches;  ///< That hold it (G8), the one that was set first first.
  std::vector<TaskProgress> tasks;
  std::vector<Flight> in_flight;  ///< At most 100.
  std::uint64_t in_flight_count = 0;
  std::vector<Retry> retries;  ///< At most 100, the next first.
  std::uint64_t retry_count = 0;
  std::vector<HalfWay> half_way;  ///< At most 100, in the order of the tree.
  std::uint64_t half_way_count = 0;
  std::vector<Loss> losses;         ///< The latest, at most 100.
  std::vector<Loss> failed_checks;  ///< In the order of the tree.
  std::vector<HeldJob> held;        ///< R2: at most 100, in the order of the tree.
  std::uint64_t held_count = 0;
  std::string unattended;  ///< Why nobody runs it, in words. Empty: it runs here, or has ended.
  std::string failing;     ///< What keeps the store from taking what it writes (D6). Empty: nothing.
  Time failing_since = never;
};

inline constexpr std::size_t kMostListed = 100;

/// Of a Job that has an attempt.
HeldJob held_job(const Labor& labor, const Job& job);

/// What a Labor's rows say by themselves; no list is filled but that of failed checks.
Progress outline_of(const Labor& labor);

/// Of a Sequence that was lost.
Progress::Loss loss_of(const Labor& labor, const Sequence& sequence);

/// Of the Sequences that were lost last, at most kMostListed, in the order of their ends.
std::vector<Progress::Loss> latest_losses(const Labor& labor);

Progress::Place place_of(const Labor& labor, const Sequence& sequence);

/// Of a Labor as it was stored: nothing of it executes.
Progress progress_of(const Labor& labor);

}  // namespace cogwork
