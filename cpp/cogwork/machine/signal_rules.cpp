#include "cogwork/machine/signal_rules.h"

#include <array>
#include <ctime>

namespace cogwork {
namespace {

using R = SignalRule;
using Row = std::array<SignalRule, kSignals>;

// Columns: STOP, PAUSE, CRISIS_PAUSE, ADMIN_PAUSE, RESUME, CRISIS_RESUME, ADMIN_RESUME.
constexpr Row kNothing = {R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED};
constexpr Row kUnstartedLabor = {R::ENDS_UNSTARTED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED};
constexpr Row kUnstartedBelow = {
    R::REFUSED, R::HOLDS_WHEN_ENTERED, R::HOLDS_WHEN_ENTERED, R::HOLDS_WHEN_ENTERED, R::RELEASES, R::RELEASES, R::RELEASES};
constexpr Row kRunning = {R::STOPS, R::HOLDS, R::HOLDS, R::HOLDS, R::REFUSED, R::REFUSED, R::REFUSED};
// Which rank is pending does not show in PAUSING itself: HOLDS and RELEASES ask the holds.
constexpr Row kPausing = {R::STOPS, R::HOLDS, R::HOLDS, R::HOLDS, R::RELEASES, R::RELEASES, R::RELEASES};
constexpr Row kPaused = {R::STOPS, R::REFUSED, R::HOLDS, R::HOLDS, R::RELEASES, R::REFUSED, R::REFUSED};
constexpr Row kAdminPaused = {R::STOPS, R::REFUSED, R::HOLDS, R::REFUSED, R::REFUSED, R::REFUSED, R::RELEASES};
constexpr Row kCrisisPaused = {R::STOPS, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::RELEASES, R::REFUSED};
// G8: a Labor that a latch holds, PAUSING or paused. What a Task or Sequence holds by itself, it may release meanwhile (G5a).
constexpr Row kLatched = {R::STOPS, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED};
constexpr Row kStopping = {R::STOPS, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED, R::REFUSED};

// By state, in the order of M3's numbers.
constexpr std::array<Row, kStates> kLaborRules = {kNothing,     kUnstartedLabor, kUnstartedLabor, kRunning, kPausing,  kPaused,
                                                  kAdminPaused, kCrisisPaused,   kNothing,        kNothing, kStopping, kNothing};
constexpr std::array<Row, kStates> kBelowRules = {kNothing,     kUnstartedBelow, kNothing, kRunning, kPausing,  kPaused,
                                                  kAdminPaused, kCrisisPaused,   kNothing, kNothing, kStopping, kNothing};

std::string_view call_of(Signal signal) {
  switch (signal) {
    case Signal::STOP: return "stop";
    case Signal::PAUSE: return "pause";
    case Signal::CRISIS_PAUSE: return "crisis_pause";
    case Signal::ADMIN_PAUSE: return "admin_pause";
    case Signal::RESUME: return "resume";
    case Signal::CRISIS_RESUME: return "crisis_resume";
    case Signal::ADMIN_RESUME: return "admin_resume";
  }
  return "?";
}

Signal resume_of(Rank rank) {
  switch (rank) {
    case Rank::CRISIS: return Signal::CRISIS_RESUME;
    case Rank::ADMIN: return Signal::ADMIN_RESUME;
    case Rank::USER:
    case Rank::NONE: break;
  }
  return Signal::RESUME;
}

std::string who(const Hold& hold) {
  const auto seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(hold.since));
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char clock[8];
  std::strftime(clock, sizeof clock, "%H:%M", &utc);
  std::string text = "by " + (hold.by.empty() ? "somebody" : hold.by.str()) + " " + clock;
  if (!hold.note.empty()) text += " \"" + hold.note.str() + "\"";
  return text;
}

std::string remedy(Signal signal, State state, const Hold* in_force, const Text& latch) {
  switch (state) {
    case State::NOT_STARTED:
    case State::ADMIN_NOT_STARTED: return "it has not started: start runs it, stop ends it";
    case State::RUNNING: return "it is not paused";
    case State::PAUSING:
    case State::PAUSED:
    case State::ADMIN_PAUSED:
    case State::CRISIS_PAUSED: {
      const auto rank = in_force ? in_force->rank : Rank::NONE;
      if (is_pause(signal) && rank_of(signal) == rank) return "it is so already";
      if (!latch.empty()) {
        return "lifting the latch releases it: engine.crisis_resume(\"" + latch.str() + "\")";
      }
      return std::string(call_of(resume_of(rank))) + " releases it";
    }
    case State::STOPPING: return "it is being stopped, and ends when its running attempts have";
    case State::COMPLETED:
    case State::FAILED:
    case State::STOPPED: return "it has ended: submit a new one (as_new() makes a copy)";
    case State::UNKNOWN: break;
  }
  return "its state is not known";
}

std::string_view cell_text(SignalRule rule, Signal signal) {
  switch (rule) {
    case R::REFUSED: return "-";
    case R::STOPS: return "STOPPING";
    case R::ENDS_UNSTARTED: return "STOPPED";
    case R::HOLDS: return name_of(paused_state(rank_of(signal)));
    case R::HOLDS_WHEN_ENTERED: return "kept";
    case R::RELEASES: return "releases";
  }
  return "?";
}

}  // namespace

SignalRule signal_rule(bool labor, State state, Signal signal, bool latched) {
  if (labor && latched && (state == State::PAUSING || is_paused(state))) return kLatched[static_cast<std::size_t>(signal)];
  const auto& rules = labor ? kLaborRules : kBelowRules;
  return rules[static_cast<std::size_t>(state)][static_cast<std::size_t>(signal)];
}

Rank highest(const Holds& holds) { return holds.empty() ? Rank::NONE : holds.back().rank; }

std::string refusal(Signal signal, State state, const Hold* in_force, const Text& latch) {
  std::string text = "cannot " + std::string(name_of(signal)) + " a Labor that is " + std::string(name_of(state));
  if (in_force) text += " (" + who(*in_force) + (latch.empty() ? "" : ", latch " + latch.str()) + ")";
  return text + "; " + remedy(signal, state, in_force, latch);
}

std::string short_latch(const Text& latch) { return std::string(latch.view().substr(0, 8)); }

std::string undecided_refusal(State state, std::size_t held, const std::string& names) {
  return "cannot ADMIN_RESUME a Labor that is " + std::string(name_of(state)) + " while " +
         (held == 1 ? "a Job of it is held" : std::to_string(held) + " Jobs of it are held") + ": " + names + "; decide " +
         (held == 1 ? "it" : "each of them") + " first: engine.decide(ID, \"rerun\" | \"completed\" | \"failed\")";
}

std::string signal_table_markdown() {
  std::string text;
  for (const bool labor : {true, false}) {
    text += labor ? "| Labor |" : "| Task, Sequence |";
    for (int s = 0; s < kSignals; ++s) text += " " + std::string(name_of(static_cast<Signal>(s))) + " |";
    text += "\n|---|";
    for (int s = 0; s < kSignals; ++s) text += "---|";
    text += "\n";
    for (int state = 1; state < kStates; ++state) {
      if (!labor && static_cast<State>(state) == State::ADMIN_NOT_STARTED) continue;  // only a Labor is ever that
      const bool may_be_latched = labor && static_cast<State>(state) == State::CRISIS_PAUSED;
      for (const bool latched : {false, true}) {
        if (latched && !may_be_latched) continue;
        text += "| " + std::string(name_of(static_cast<State>(state))) + (latched ? " by a latch |" : " |");
        for (int s = 0; s < kSignals; ++s) {
          const auto signal = static_cast<Signal>(s);
          text += " " + std::string(cell_text(signal_rule(labor, static_cast<State>(state), signal, latched), signal)) + " |";
        }
        text += "\n";
      }
    }
    text += "\n";
  }
  return text;
}

}  // namespace cogwork
