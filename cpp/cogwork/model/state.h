#pragma once

#include <cstdint>
#include <string_view>

namespace cogwork {

/// M3. The numbers are stored and sent: they never change.
enum class State : std::uint8_t {
  UNKNOWN = 0,
  NOT_STARTED = 1,
  ADMIN_NOT_STARTED = 2,
  RUNNING = 3,
  PAUSING = 4,
  PAUSED = 5,
  ADMIN_PAUSED = 6,
  CRISIS_PAUSED = 7,
  COMPLETED = 8,
  FAILED = 9,
  STOPPING = 10,
  STOPPED = 11,
};
inline constexpr int kStates = 12;

/// M4.
enum class Reason : std::uint8_t { NO_FAILURE = 0, PRE_CHECK_FAILURE = 1, CONT_CHECK_FAILURE = 2, MAX_FAILURES = 3 };

/// M5.
enum class Signal : std::uint8_t {
  STOP = 0,
  PAUSE = 1,
  CRISIS_PAUSE = 2,
  ADMIN_PAUSE = 3,
  RESUME = 4,
  CRISIS_RESUME = 5,
  ADMIN_RESUME = 6,
};
inline constexpr int kSignals = 7;

/// X8. How an attempt ended; OPEN while it has not.
enum class AttemptStatus : std::uint8_t {
  OPEN = 0,
  SUCCESS = 1,
  FAILURE = 2,
  FAILURE_NO_RETRIES = 3,
  TIMED_OUT = 4,
  CRASHED = 5,
  INTERRUPTED = 6,
  STOPPED = 7,
  WITHDRAWN = 8,
};

/// R2. What becomes of a Job whose attempt was executing when the process died.
enum class OnInterrupt : std::uint8_t { RETRY = 0, FAIL = 1, HOLD = 2 };

/// R2. What a person decided about a held Job; NONE: nothing, or not yet.
enum class Decision : std::uint8_t { NONE = 0, RERUN = 1, COMPLETED = 2, FAILED = 3 };
inline constexpr int kDecisions = 4;

/// D7. What became of an engine that a Labor concerned: it took the Labor up, it closed in order, or it was found dead by the next one.
enum class EngineEvent : std::uint8_t { NONE = 0, OPENED = 1, CLOSED = 2, DIED = 3 };
inline constexpr int kEngineEvents = 4;

/// The rank of a pause (G5), low to high. NONE: not held.
enum class Rank : std::uint8_t { NONE = 0, USER = 1, ADMIN = 2, CRISIS = 3 };

constexpr bool has_ended(State s) { return s == State::COMPLETED || s == State::FAILED || s == State::STOPPED; }
constexpr bool is_paused(State s) { return s == State::PAUSED || s == State::ADMIN_PAUSED || s == State::CRISIS_PAUSED; }
/// Started and not ended: RUNNING, PAUSING, a pause, or STOPPING.
constexpr bool is_under_way(State s) { return s == State::RUNNING || s == State::PAUSING || is_paused(s) || s == State::STOPPING; }

/// The state that shows a pause of this rank once nothing executes any more (G4).
constexpr State paused_state(Rank r) {
  switch (r) {
    case Rank::NONE: return State::RUNNING;
    case Rank::USER: return State::PAUSED;
    case Rank::ADMIN: return State::ADMIN_PAUSED;
    case Rank::CRISIS: return State::CRISIS_PAUSED;
  }
  return State::UNKNOWN;
}

/// The rank that a signal takes or releases; NONE: it is a STOP.
constexpr Rank rank_of(Signal s) {
  switch (s) {
    case Signal::PAUSE:
    case Signal::RESUME: return Rank::USER;
    case Signal::ADMIN_PAUSE:
    case Signal::ADMIN_RESUME: return Rank::ADMIN;
    case Signal::CRISIS_PAUSE:
    case Signal::CRISIS_RESUME: return Rank::CRISIS;
    case Signal::STOP: break;
  }
  return Rank::NONE;
}
constexpr bool is_pause(Signal s) { return s == Signal::PAUSE || s == Signal::ADMIN_PAUSE || s == Signal::CRISIS_PAUSE; }
constexpr bool is_resume(Signal s) { return s == Signal::RESUME || s == Signal::ADMIN_RESUME || s == Signal::CRISIS_RESUME; }

/// The names as the contract spells them ("ADMIN_PAUSED"). Any thread.
std::string_view name_of(State s);
std::string_view name_of(Reason r);
std::string_view name_of(Signal s);
std::string_view name_of(AttemptStatus s);
std::string_view name_of(OnInterrupt o);
/// As it is typed and sent: "rerun", "completed", "failed"; of NONE nothing.
std::string_view name_of(Decision d);
std::string_view name_of(EngineEvent e);
/// NONE where the word is no decision.
Decision decision_of(std::string_view word);

}  // namespace cogwork
