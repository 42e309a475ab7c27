// Why nothing moves, in words: what the machine itself waits for. Workers and the store are the engine's to add.
#include "cogwork/machine/labor_machine.h"
#include "cogwork/machine/signal_rules.h"
#include "cogwork/model/error_line.h"

namespace cogwork {
namespace {

/// How long that is for people: `12 s`, `59 min`, `2 h 4 min`. Never more than there is.
std::string roughly(Duration length) {
  const auto seconds = std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(length).count());
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds % 3600 / 60) + " min";
}

}  // namespace

std::string LaborMachine::waiting_for(SteadyTime now) const {
  if (has_ended(labor_.state)) return {};
  if (labor_.state == State::NOT_STARTED || labor_.state == State::ADMIN_NOT_STARTED) return "it has not been started";
  if (labor_.state == State::STOPPING) return "it is being stopped; what executes may end";
  if (!held_.empty()) {
    return held_.size() == 1 ? "1 Job is held, and must be decided"
                             : std::to_string(held_.size()) + " Jobs are held, and must be decided";
  }
  const ObjectRef top = current_ ? ObjectRef{ObjectKind::TASK, *current_} : ObjectRef{};
  if (const auto* hold = hold_in_force(top)) return "held by " + in_words(*hold);
  if (closing_) return "the engine is closing: nothing begins any more";
  if (!current_) return {};
  const auto& now_in = task();
  if (now_in.state == State::STOPPING) return "the Task is being stopped; what executes may end";
  const auto and_idle = [&](std::string text) {
    const auto idle = idle_for(now);
    return idle.empty() ? text : text + "; " + idle;
  };
  switch (phase_) {
    case Phase::ENTERED: return "entry_delay: " + roughly(entry_at_ - now) + " to go";
    case Phase::CHECKING: return check_failed_ ? "a check failed; what executes may end" : and_idle("waits for its checks");
    case Phase::ROLLING:
      if (check_failed_) return "a continuous check failed; what executes may end";
      if (now_in.reason == Reason::MAX_FAILURES) return and_idle("the failure budget is gone; what runs may end");
      if (next_sequence_ < now_in.first_sequence + now_in.sequence_count && waits_for_fresh_round()) {
        return and_idle("waits for a round of checks, as none could begin for longer than cont_check_interval" +
                        (round_open_ > 0 ? std::string() : "; it begins in " + roughly(round_at_ - now)));
      }
      if (running_ > 0 && next_sequence_ < now_in.first_sequence + now_in.sequence_count && !may_start_sequence() &&
          running_ < static_cast<std::uint64_t>(now_in.concurrency.number)) {
        return and_idle("strict: what is in flight counts against the budget until it has ended");
      }
      return idle_for(now);
    case Phase::CLOSING:
      if (round_open_ > 0) return and_idle("waits for the round of checks under way");
      return "bakes: the last round of checks begins in " + roughly(baked_at_ - now);
    case Phase::NONE: break;
  }
  return {};
}

std::string LaborMachine::idle_for(SteadyTime now) const {
  if (executing_ > 0) return {};
  const Run* next = nullptr;  // the one whose retry comes first
  const Hold* hold = nullptr;
  std::uint32_t held = 0, delayed = 0, held_sequence = 0;
  for (const auto& run : runs_) {
    const auto& job = labor_.jobs[run.job];
    if (run.phase == RunPhase::DELAY) {
      ++delayed;
      if (!next || run.due < next->due) next = &run;
    } else if (run.phase != RunPhase::WAITING) {
      return {};  // it has all that it needs from here
    } else if (const auto* own = job.is_check() ? nullptr : hold_in_force({ObjectKind::SEQUENCE, job.sequence})) {
      ++held;
      hold = own;
      held_sequence = job.sequence;
    }
  }
  const auto and_more = [](std::uint32_t count) {
    return count > 1 ? " (and " + std::to_string(count - 1) + " more)" : std::string();
  };
  if (next) {
    const auto& job = labor_.jobs[next->job];
    const auto& name = job.name.empty() ? job.cog_path : job.name;
    return (job.is_check() ? "check " : labor_.sequences[job.sequence].target.str() + " ") + name.str() + ": the next try in " +
           roughly(next->due - now) + ": " + error_line(job.attempts.back().error) + and_more(delayed);
  }
  if (hold) return labor_.sequences[held_sequence].target.str() + " is held by " + in_words(*hold) + and_more(held);
  return {};
}

std::string LaborMachine::in_words(const Hold& hold) const {
  return (&hold == &weight_.hold ? "latch " + short_latch(weight_.latch) + " of " : std::string()) +
         (hold.by.empty() ? std::string("somebody") : hold.by.str()) +
         (hold.note.empty() ? std::string() : " \"" + hold.note.str() + "\"") + " (" +
         std::string(name_of(paused_state(hold.rank))) + ")";
}

}  // namespace cogwork
