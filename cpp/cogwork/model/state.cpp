#include "cogwork/model/state.h"

#include <array>

namespace cogwork {
namespace {

template <std::size_t N, typename E>
std::string_view pick(const std::array<std::string_view, N>& names, E value) {
  const auto i = static_cast<std::size_t>(value);
  return i < N ? names[i] : std::string_view("?");
}

constexpr std::array<std::string_view, 12> kStateNames = {"UNKNOWN",   "NOT_STARTED", "ADMIN_NOT_STARTED", "RUNNING",
                                                          "PAUSING",   "PAUSED",      "ADMIN_PAUSED",      "CRISIS_PAUSED",
                                                          "COMPLETED", "FAILED",      "STOPPING",          "STOPPED"};
constexpr std::array<std::string_view, 4> kReasonNames = {"NO_FAILURE", "PRE_CHECK_FAILURE", "CONT_CHECK_FAILURE", "MAX_FAILURES"};
constexpr std::array<std::string_view, 7> kSignalNames = {"STOP",   "PAUSE",         "CRISIS_PAUSE", "ADMIN_PAUSE",
                                                          "RESUME", "CRISIS_RESUME", "ADMIN_RESUME"};
constexpr std::array<std::string_view, 9> kStatusNames = {"OPEN",    "SUCCESS",     "FAILURE", "FAILURE_NO_RETRIES", "TIMED_OUT",
                                                          "CRASHED", "INTERRUPTED", "STOPPED", "WITHDRAWN"};
constexpr std::array<std::string_view, 3> kOnInterruptNames = {"RETRY", "FAIL", "HOLD"};
constexpr std::array<std::string_view, kDecisions> kDecisionNames = {"", "rerun", "completed", "failed"};
constexpr std::array<std::string_view, kEngineEvents> kEngineEventNames = {"", "OPENED", "CLOSED", "DIED"};

}  // namespace

std::string_view name_of(State s) { return pick(kStateNames, s); }
std::string_view name_of(Reason r) { return pick(kReasonNames, r); }
std::string_view name_of(Signal s) { return pick(kSignalNames, s); }
std::string_view name_of(AttemptStatus s) { return pick(kStatusNames, s); }
std::string_view name_of(OnInterrupt o) { return pick(kOnInterruptNames, o); }
std::string_view name_of(Decision d) { return pick(kDecisionNames, d); }
std::string_view name_of(EngineEvent e) { return pick(kEngineEventNames, e); }

Decision decision_of(std::string_view word) {
  for (int d = 1; d < kDecisions; ++d) {
    if (kDecisionNames[static_cast<std::size_t>(d)] == word) return static_cast<Decision>(d);
  }
  return Decision::NONE;
}

}  // namespace cogwork
