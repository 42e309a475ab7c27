#include "cogwork/history/replay.h"

#include <algorithm>
#include <unordered_map>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

bool is_unstarted(State s) { return s == State::NOT_STARTED || s == State::ADMIN_NOT_STARTED; }

bool is_over_budget(const Task& task) {
  return task.tolerated_failures.number >= 0 && std::int64_t{task.failures} > task.tolerated_failures.number;
}

/// Goes along the history with the tree as it was submitted, and does to it what each change says was done.
class Replay {
 public:
  Replay(Labor& labor, Moment when, std::vector<Finding>* findings = nullptr, std::size_t most = 0)
      : labor_(labor), when_(when), findings_(findings), most_(most) {
    number_objects();
  }

  void run(const std::vector<HistoryRow>& rows) {
    rewind(rows);
    follow(rows);
    restore_attempts();
  }

 private:
  void number_objects() {
    objects_.assign(1 + labor_.tasks.size() + labor_.sequences.size() + labor_.jobs.size(), ObjectRef{});
    const auto enter = [this](ObjectKind kind, const auto& table) {
      for (std::uint32_t i = 0; i < table.size(); ++i) {
        if (table[i].ordinal >= objects_.size()) objects_.resize(std::size_t{table[i].ordinal} + 1);
        objects_[table[i].ordinal] = {kind, i};
      }
    };
    enter(ObjectKind::TASK, labor_.tasks);
    enter(ObjectKind::SEQUENCE, labor_.sequences);
    enter(ObjectKind::JOB, labor_.jobs);
  }

  template <typename Object>
  static void unstart(Object& object) {
    object.state = State::NOT_STARTED;
    object.started = object.ended = never;
  }

  /// Whether it was submitted to start at once, its first change of state says.
  State first_state(const std::vector<HistoryRow>& rows) const {
    for (const auto& row : rows) {
      for (const auto& change : unpack_changes(row)) {
        if (change.kind != Change::Kind::STATE || change.ordinal != 0) continue;
        return change.from == State::ADMIN_NOT_STARTED ? change.from : State::NOT_STARTED;
      }
    }
    return is_unstarted(labor_.state) ? labor_.state : State::NOT_STARTED;
  }

  void rewind(const std::vector<HistoryRow>& rows) {
    labor_.state = first_state(rows);
    labor_.reason = Reason::NO_FAILURE;
    labor_.started = labor_.ended = never;
    labor_.holds.clear();
    for (auto& task : labor_.tasks) {
      unstart(task);
      task.reason = Reason::NO_FAILURE;
      task.failures = 0;
      task.holds.clear();
    }
    for (auto& sequence : labor_.sequences) {
      unstart(sequence);
      sequence.reason = Reason::NO_FAILURE;
      sequence.holds.clear();
    }
    for (auto& job : labor_.jobs) {
      unstart(job);
      job.rounds = 0;
    }
  }

  void follow(const std::vector<HistoryRow>& rows) {
    // What a check did in a round that failed, or last, is entered late, with the time that it had (X11): so a time is passed only where
    // something else is.
    const bool entered_late =
        std::any_of(labor_.tasks.begin(), labor_.tasks.end(), [](const Task& task) { return task.check_count() > 0; });
    bool passed = false;
    for (const auto& row : rows) {
      if (row.first > when_.number || (passed && !entered_late)) return;
      for (const auto& change : unpack_changes(row)) {
        if (change.number > when_.number) return;
        const auto object = find(change);
        const bool late = object.kind == ObjectKind::JOB && labor_.jobs[object.index].is_check();
        if (!late && change.at > when_.at) passed = true;
        if (change.at > when_.at || (passed && !late)) continue;
        now_ = std::max(now_, change.at);
        switch (change.kind) {
          case Change::Kind::STATE:
            check(change, object);
            take_state(change, object);
            break;
          case Change::Kind::SIGNAL:
            if (!change.refused) take_signal(change, object);
            break;
          case Change::Kind::DECISION:
            if (!change.refused && object.kind == ObjectKind::JOB) ++decisions_[object.index];
            break;
          case Change::Kind::ENGINE: break;  // what follows from it is entered as what it is
        }
      }
    }
  }

  ObjectRef find(const Change& change) const {
    if (change.ordinal == 0) return {};
    if (change.ordinal < objects_.size() && objects_[change.ordinal].kind != ObjectKind::LABOR) return objects_[change.ordinal];
    throw StorageError("the history of the Labor " + labor_.id.text() + " is damaged: its change " + std::to_string(change.number) +
                           " is of an object that is not in the tree",
                       false);
  }

  void check(const Change& change, ObjectRef object) {
    if (findings_ == nullptr || findings_->size() >= most_) return;
    const State before = state_of(labor_, object);
    if (change.from == before) return;
    findings_->push_back({Finding::Kind::HISTORY, change.number, change.at, change.ordinal,
                          called(labor_, change.ordinal) + " was " + std::string(name_of(before)) +
                              " by the changes before, and this one is from " + std::string(name_of(change.from)) + " to " +
                              std::string(name_of(change.to)) + ": changes between are missing, or one was changed"});
  }

  template <typename Object>
  static void move_to(Object& object, const Change& change) {
    if (is_under_way(change.to) && !is_under_way(object.state)) {
      object.started = change.at;
      object.ended = never;
    }
    if (has_ended(change.to)) object.ended = change.at;
    object.state = change.to;
  }

  void take_state(const Change& change, ObjectRef object) {
    switch (object.kind) {
      case ObjectKind::LABOR:
        move_to(labor_, change);
        labor_.reason = change.reason;
        return;
      case ObjectKind::TASK: {
        auto& task = labor_.tasks[object.index];
        if (is_unstarted(task.state)) enter(task, object.index, change.at);
        move_to(task, change);
        task.reason = change.reason;
        return;
      }
      case ObjectKind::SEQUENCE: {
        auto& sequence = labor_.sequences[object.index];
        move_to(sequence, change);
        if (change.to == State::FAILED || change.to == State::STOPPED) lose(labor_.tasks[sequence.task]);
        return;
      }
      case ObjectKind::JOB: {
        auto& job = labor_.jobs[object.index];
        move_to(job, change);
        job.rounds = change.rounds;
        if (job.is_check() && change.to == State::FAILED) {
          decide(labor_.tasks[job.task], job.kind == JobKind::PRE_CHECK ? Reason::PRE_CHECK_FAILURE : Reason::CONT_CHECK_FAILURE);
        }
        return;
      }
    }
  }

  /// X5, X2a.
  void enter(Task& task, std::uint32_t index, Time at) {
    if (index > 0 && labor_.tasks[index - 1].pass_failures) task.failures = labor_.tasks[index - 1].failures;
    if (task.pause_on_entry && !find_hold(task.holds, Rank::ADMIN)) {
      set_hold(task.holds, {Rank::ADMIN, at, "pause_on_entry", {}});
    }
  }

  /// X4.
  static void lose(Task& task) {
    ++task.failures;
    if (is_over_budget(task)) decide(task, Reason::MAX_FAILURES);
  }

  /// X6b: the first cause is kept; under a STOP the Task's end decides (G7).
  static void decide(Task& task, Reason reason) {
    if (task.reason == Reason::NO_FAILURE && is_under_way(task.state) && task.state != State::STOPPING) task.reason = reason;
  }

  void take_signal(const Change& change, ObjectRef object) {
    const Rank rank = rank_of(change.signal);
    if (rank == Rank::NONE || object.kind == ObjectKind::JOB) return;
    auto& holds = object.kind == ObjectKind::LABOR  ? labor_.holds
                  : object.kind == ObjectKind::TASK ? labor_.tasks[object.index].holds
                                                    : labor_.sequences[object.index].holds;
    if (is_pause(change.signal)) {
      set_hold(holds, {rank, change.at, change.by, change.note});
    } else {
      std::erase_if(holds, [rank](const Hold& hold) { return hold.rank == rank; });
    }
  }

  /// Attempts that had begun are there, and those that had not ended are open.
  void restore_attempts() {
    const Time time = when_.at != Time::max() ? when_.at : when_.number != UINT64_MAX ? now_ : Time::max();
    for (auto& job : labor_.jobs) {
      if (is_unstarted(job.state)) {
        job.attempts.clear();
        job.held = false;
        continue;
      }
      std::erase_if(job.attempts, [time](const Attempt& attempt) { return attempt.started > time; });
      for (auto& attempt : job.attempts) {
        if (attempt.ended <= time) continue;
        Attempt open;
        open.number = attempt.number;
        open.round = attempt.round;
        open.started = attempt.started;
        attempt = std::move(open);
      }
      const auto index = static_cast<std::uint32_t>(&job - labor_.jobs.data());
      const auto decisions = decisions_.find(index);
      forget_decisions(job, decisions == decisions_.end() ? 0 : decisions->second);
      if (job.is_check()) restore_round(job);
    }
  }

  /// R2: which of the decisions about its attempts were made by then, and whether it waits for one. Their words end the error of the
  /// attempt, which is one line without them.
  static void forget_decisions(Job& job, std::uint32_t made) {
    for (auto& attempt : job.attempts) {
      if (attempt.decision == Decision::NONE) continue;
      if (made > 0) {
        --made;
        continue;
      }
      attempt.decision = Decision::NONE;
      const auto error = attempt.error.view();
      attempt.error =
          Text(error.substr(0, std::min(error.find('\n'), error.find("; "))));  // an older version put them on a line of their own
    }
    const bool asked = !job.attempts.empty() && job.attempts.back().status == AttemptStatus::INTERRUPTED &&
                       job.attempts.back().decision == Decision::NONE;
    job.held = asked && job.state == State::RUNNING && job.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::HOLD);
  }

  /// Later rounds of a check show in the attempts that are kept of them (X11).
  void restore_round(Job& job) const {
    if (job.attempts.empty() || job.attempts.back().round < 2) return;
    const auto round = job.attempts.back().round;
    const auto first =
        std::find_if(job.attempts.begin(), job.attempts.end(), [round](const Attempt& a) { return a.round == round; });
    const bool entered = has_ended(job.state) && job.ended >= first->started;  // the history has what became of it
    if (!is_under_way(labor_.tasks[job.task].state) || entered || job.state == State::FAILED) {
      if (!is_under_way(job.state)) job.started = first->started;
      return;
    }
    job.started = first->started;
    const auto& last = job.attempts.back();
    const bool passed = last.status == AttemptStatus::SUCCESS;
    job.state = passed ? State::COMPLETED : State::RUNNING;
    job.ended = passed ? last.ended : never;
    job.rounds = passed ? round : round - 1;
  }

  Labor& labor_;
  const Moment when_;
  std::vector<Finding>* const findings_;
  const std::size_t most_;
  std::vector<ObjectRef> objects_;                              // by ordinal
  std::unordered_map<std::uint32_t, std::uint32_t> decisions_;  // by Job
  Time now_ = Time::min();                                      // of the latest change that was taken
};

/// Says where two trees of one Labor differ in what a history tells.
class Comparison {
 public:
  Comparison(const Labor& replayed, const Labor& stored, std::uint64_t last, Time at, std::size_t most)
      : replayed_(replayed), stored_(stored), last_(last), at_(at), most_(most) {}

  std::vector<Finding> run() {
    compare({}, replayed_, stored_, replayed_.holds == stored_.holds, replayed_.reason == stored_.reason);
    for (std::uint32_t i = 0; i < stored_.tasks.size(); ++i) {
      const auto& a = replayed_.tasks[i];
      const auto& b = stored_.tasks[i];
      compare({ObjectKind::TASK, i}, a, b, a.holds == b.holds, a.reason == b.reason && a.failures == b.failures);
    }
    for (std::uint32_t i = 0; i < stored_.sequences.size(); ++i) {
      const auto& a = replayed_.sequences[i];
      const auto& b = stored_.sequences[i];
      compare({ObjectKind::SEQUENCE, i}, a, b, a.holds == b.holds, true);
    }
    for (std::uint32_t i = 0; i < stored_.jobs.size(); ++i) {
      const auto& a = replayed_.jobs[i];
      const auto& b = stored_.jobs[i];
      // X11: while its Task goes on, what a check does after its first round is not listed.
      const bool excepted =
          b.is_check() && is_under_way(stored_.tasks[b.task].state) && !b.attempts.empty() && b.attempts.back().round > 1;
      if (!excepted) compare({ObjectKind::JOB, i}, a, b, true, a.rounds == b.rounds);
    }
    if (found_ > findings_.size()) findings_.back().what += "; and " + std::to_string(found_ - findings_.size()) + " more like it";
    return std::move(findings_);
  }

 private:
  template <typename Object>
  void compare(ObjectRef ref, const Object& replayed, const Object& stored, bool holds, bool counts) {
    const bool state = replayed.state == stored.state;
    const bool times = replayed.started == stored.started && replayed.ended == stored.ended;
    if (state && times && holds && counts) return;
    ++found_;
    if (findings_.size() >= most_) return;
    const auto ordinal = ordinal_of(stored_, ref);
    std::string what = called(stored_, ordinal);
    if (!state) {
      what += " is " + std::string(name_of(stored.state)) + " in the tree, and " + std::string(name_of(replayed.state)) +
              " by the end of the history";
    } else {
      what += " has other " +
              std::string(!times   ? "times"
                          : !holds ? "holds"
                                   : "counts or another reason") +
              " in the tree than by the end of the history";
    }
    what += last_ == 0 ? ", which has no row of it" : "";
    findings_.push_back({Finding::Kind::HISTORY, last_, at_, ordinal,
                         what + ": rows at the end of the history are missing, or the tree was changed"});
  }

  const Labor& replayed_;
  const Labor& stored_;
  std::uint64_t last_;
  Time at_;
  std::size_t most_;
  std::size_t found_ = 0;
  std::vector<Finding> findings_;
};

}  // namespace

Labor tree_at(Labor stored, const std::vector<HistoryRow>& rows, Moment when) {
  Replay(stored, when).run(rows);
  return stored;
}

std::vector<Finding> check_replay(const Labor& stored, const std::vector<HistoryRow>& rows, std::size_t most) {
  std::vector<Finding> findings;
  Labor replayed = stored;
  Replay(replayed, Moment::end(), &findings, most).run(rows);
  if (!findings.empty()) return findings;
  const std::uint64_t last = rows.empty() ? 0 : rows.back().first + rows.back().count - 1;
  return Comparison(replayed, stored, last, rows.empty() ? never : rows.back().at, most).run();
}

std::string called(const Labor& labor, std::uint32_t ordinal) {
  const auto quoted = [](const Text& name) { return " '" + name.str() + "'"; };
  const auto object = find_ordinal(labor, ordinal);
  if (!object) return "the object " + std::to_string(ordinal);
  switch (object->kind) {
    case ObjectKind::LABOR: return "the Labor";
    case ObjectKind::TASK: return "Task" + quoted(labor.tasks[object->index].name);
    case ObjectKind::SEQUENCE: {
      const auto& sequence = labor.sequences[object->index];
      return "Sequence" + quoted(sequence.target) + " of Task" + quoted(labor.tasks[sequence.task].name);
    }
    case ObjectKind::JOB: {
      const auto& job = labor.jobs[object->index];
      const auto& name = job.name.empty() ? job.cog_path : job.name;
      if (job.is_check()) return "the check" + quoted(name) + " of Task" + quoted(labor.tasks[job.task].name);
      return "Job" + quoted(name) + " of Sequence" + quoted(labor.sequences[job.sequence].target);
    }
  }
  return {};
}

}  // namespace cogwork
