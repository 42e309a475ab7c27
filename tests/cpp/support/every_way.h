#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/machine_driver.h"

namespace cogwork::test {

/// How a small Labor ended, in words: states and reasons, which is what R5 compares. Attempts are judged apart.
inline std::string end_of(const Labor& labor) {
  std::string text = std::string(name_of(labor.state)) + " " + std::string(name_of(labor.reason)) + ":";
  for (const auto& t : labor.tasks) text += " [" + std::string(name_of(t.state)) + " " + std::string(name_of(t.reason)) + "]";
  for (const auto& s : labor.sequences) text += " " + std::string(name_of(s.state));
  text += " /";
  for (const auto& j : labor.jobs) text += " " + std::string(name_of(j.state));
  return text;
}

/// What a Cog answers, by its Job's name: "flaky" fails the first time, "bad" each time, "bad later" in each round of checks
/// but the first. Attempts that did not count are not counted here
/// either, so that a call that is made again after a death answers as it would have.
inline Outcome scripted_answer(const Job& job) {
  int failures = 0;
  for (const auto& attempt : job.attempts) {
    failures += attempt.round == job.attempts.back().round && attempt.status == AttemptStatus::FAILURE ? 1 : 0;
  }
  Outcome outcome;
  if (job.name == "bad" || (job.name == "bad later" && job.rounds > 0) || (job.name == "flaky" && failures == 0))
    outcome.status = AttemptStatus::FAILURE;
  return outcome;
}

/// What may be done to a Labor while it runs: one signal to one of its objects, and where that is a pause, its Resume.
struct Meddling {
  std::optional<Signal> signal;
  ObjectRef object;
  bool interrupt = false;
};

/// What releases the highest of an object's own holds; nothing where it has none, or has no use for it.
inline std::optional<Signal> resume_for(const Labor& labor, ObjectRef object) {
  const auto& holds = object.kind == ObjectKind::TASK       ? labor.tasks[object.index].holds
                      : object.kind == ObjectKind::SEQUENCE ? labor.sequences[object.index].holds
                                                            : labor.holds;
  const State state = state_of(labor, object);
  if (holds.empty() || has_ended(state) || state == State::STOPPING) return std::nullopt;
  switch (holds.back().rank) {
    case Rank::CRISIS: return Signal::CRISIS_RESUME;
    case Rank::ADMIN: return Signal::ADMIN_RESUME;
    default: return Signal::RESUME;
  }
}

/// Every way in which a small Labor can go: all orders in which commits become durable, calls end, timers fire, a signal comes, and a process
/// dies. Two ways that meet in the same state go on as one. `ends` is what they lead to.
///
/// What it takes for a way without a death is what R5 allows a way with one to be like: an attempt of a FAIL Job may also fail for good, one of a
/// HOLD Job may also succeed, as somebody may decide so; one that is being stopped may also fail, and where a STOP was sent it may also have
/// been an interrupting one.
class EveryWay {
 public:
  std::set<std::string> ends;
  std::set<std::string> faults;
  std::size_t states = 0;

  /// most: of the states that are gone on from; what is beyond is left out.
  EveryWay(const Labor& labor, const Meddling& meddling, int deaths, std::size_t most = SIZE_MAX) : meddling_(meddling) {
    Way way{MachineDriver(labor), meddling.signal ? (*meddling.signal == Signal::STOP ? 2 : 1) : 0, deaths, 100};
    way.driver.step(input::Start{1, "tester", {}});
    push(std::move(way));
    while (!open_.empty() && faults.size() < 5 && states < most) {
      Way next = std::move(open_.back());
      open_.pop_back();
      go_on(next);
    }
  }

 private:
  struct Way {
    MachineDriver driver;
    int signals;
    int deaths;
    Ticket ticket;
  };
  static constexpr Duration kSoon = std::chrono::minutes(1);  // beyond are time-outs, and rounds that nobody waits for

  /// All that can begin begins, and what has gathered is a commit: an engine does that after each turn.
  void push(Way way) {
    auto& d = way.driver;
    while (!d.ready[0].empty() || !d.ready[1].empty()) d.begin_next(d.ready[0].empty());
    d.make_commit();
    for (const auto& fault : d.faults) faults.insert(fault);
    if (d.machine.ended() && d.commits_in_flight() == 0) {
      ends.insert(end_of(d.labor()));
      return;
    }
    if (seen_.insert(key(way)).second) open_.push_back(std::move(way));
  }

  template <typename Do>
  void branch(const Way& from, Do what) {
    Way way = from;
    what(way);
    push(std::move(way));
  }

  void go_on(const Way& from) {
    ++states;
    const auto& d = from.driver;
    bool moved = false;
    const auto move = [&](auto what) {
      moved = true;
      branch(from, what);
    };
    if (d.commits_in_flight() > 0) move([](Way& w) { w.driver.commit_is_durable(); });
    for (const auto& [job, since] : d.handed) {
      for (const auto& answer : answers(d, job)) {
        move([index = job, &answer](Way& w) {
          Outcome outcome;
          outcome.status = answer.status;
          w.driver.finish(index, outcome, answer.still_running);
        });
      }
    }
    if (const auto wake = d.next_wake(); wake && *wake - d.now <= kSoon) {
      move([wake](Way& w) {
        w.driver.now = std::max(w.driver.now, *wake);
        w.driver.tick();
      });
    }
    if (from.signals > 0) {
      for (const bool interrupt : {false, true}) {
        if (interrupt && *meddling_.signal != Signal::STOP) continue;
        branch(from, [&](Way& w) {
          --w.signals;
          w.driver.step(input::Signalled{meddling_.object, *meddling_.signal, interrupt, w.ticket++, "ann", {}});
        });
      }
    }
    for (const auto job : d.machine.held()) {
      for (const auto decision : {Decision::RERUN, Decision::COMPLETED, Decision::FAILED}) {
        move([job, decision](Way& w) { w.driver.step(input::Decided{job, decision, w.ticket++, "ann", {}}); });
      }
    }
    for (const auto object : {ObjectRef{}, meddling_.object}) {
      const auto resume = d.machine.held().empty() ? resume_for(d.labor(), object) : std::nullopt;
      if (!resume) continue;
      move([&](Way& w) { w.driver.step(input::Signalled{object, *resume, false, w.ticket++, "ann", {}}); });
    }
    if (!moved) faults.insert("it is stuck: " + end_of(d.labor()));
    for (std::size_t survive = 0; from.deaths > 0 && survive <= d.commits_in_flight(); ++survive) {
      branch(from, [&](Way& w) {
        --w.deaths;
        w.driver.die(survive, Duration(0));
      });
    }
  }

  struct Answer {
    AttemptStatus status;
    bool still_running = false;
  };
  static std::vector<Answer> answers(const MachineDriver& d, std::uint32_t index) {
    const auto& job = d.labor().jobs[index];
    const bool asked = d.asked_to_end.contains(index);
    std::vector<Answer> all{{scripted_answer(job).status}};
    const auto on_interrupt = static_cast<OnInterrupt>(job.options.on_interrupt);
    if (on_interrupt != OnInterrupt::RETRY) all.push_back({AttemptStatus::FAILURE_NO_RETRIES});
    if (on_interrupt == OnInterrupt::HOLD) all.push_back({AttemptStatus::SUCCESS});
    if (asked || is_cut_short(d.labor(), job)) all.push_back({AttemptStatus::FAILURE});
    if (asked) all.push_back({AttemptStatus::SUCCESS, true});
    return all;
  }
  static bool is_cut_short(const Labor& labor, const Job& job) {
    const auto& t = labor.tasks[job.task];
    if (t.state == State::STOPPING || (!job.is_check() && labor.sequences[job.sequence].state == State::STOPPING)) return true;
    for (std::uint32_t i = 0; i < t.check_count(); ++i) {
      if (labor.jobs[t.first_job + i].state == State::FAILED) return true;
    }
    return false;
  }

  static std::string key(const Way& way) {
    const auto& d = way.driver;
    std::string k;
    const auto add = [&k](auto... values) { ((k += static_cast<char>(values)), ...); };
    const auto holds = [&](const Holds& list) {
      for (const auto& h : list) add(h.rank);
      add(0xff);
    };
    const auto& l = d.labor();
    add(l.state, l.reason);
    holds(l.holds);
    for (const auto& t : l.tasks) {
      add(t.state, t.reason, t.failures);
      holds(t.holds);
    }
    for (const auto& s : l.sequences) {
      add(s.state);
      holds(s.holds);
    }
    for (const auto& j : l.jobs) {
      add(j.state, j.rounds, j.held);
      for (const auto& a : j.attempts) add(a.status, a.round, a.marks, a.decision);
      add(0xff);
    }
    std::vector<LaborMachine::Run> runs = d.machine.runs();
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.job < b.job; });
    for (const auto& r : runs) add(r.job, r.phase, r.tries, r.ending);
    add(0xff, d.machine.phase(), d.machine.round_under_way(), d.commits_in_flight(), d.machine.pending_acks());
    for (const auto& [job, since] : d.handed) add(job, d.asked_to_end.contains(job));
    add(0xff, way.signals, way.deaths);
    // What is durable: a death goes on from there.
    if (way.deaths > 0) {
      const auto& s = d.durable.labor;
      add(s.state, s.reason);
      holds(s.holds);
      for (const auto& t : s.tasks) add(t.state, t.reason, t.failures);
      for (const auto& q : s.sequences) add(q.state);
      for (const auto& j : s.jobs)
        add(j.state, j.rounds, j.attempts.size(), j.attempts.empty() ? AttemptStatus::OPEN : j.attempts.back().status);
    }
    const auto wake = d.next_wake();
    k += wake ? std::to_string((*wake - d.now).count() / 1000) : "-";
    return k;
  }

  const Meddling meddling_;
  std::vector<Way> open_;
  std::set<std::string> seen_;
};

}  // namespace cogwork::test
