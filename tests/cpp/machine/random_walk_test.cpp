// Random Labors, outcomes, signals, clocks, commits, deaths and closes. Each step is checked from inside (broken_invariants) and from outside
// (MachineDriver), each walk comes to its end, and what is stored in the end is what the machine says. A failure prints the seed, the
// last thirty inputs, and the command that repeats that walk alone:
//   COGWORK_WALK_SEED=<seed> COGWORK_WALK_STEPS=1 cogwork_machine_tests --gtest_filter='RandomWalk.Every*'
// COGWORK_WALK_STEPS=100000000 walks longer.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "cogwork/history/replay.h"
#include "support/machine_driver.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

Labor random_tree(Random& r) {
  LaborBuilder b(r.next());
  const auto tasks = 1 + r.below(3);
  const bool eventful = r.chance(0.5);  // much of everything, or the common case
  for (std::uint64_t t = 0; t < tasks; ++t) {
    b.task(static_cast<std::uint32_t>(1 + r.below(6)), static_cast<std::uint32_t>(1 + r.below(3)),
           static_cast<std::uint32_t>(r.below(3)), static_cast<std::uint32_t>(r.below(3)));
    b.with([&](Task& task) {
      task.concurrency.number = static_cast<std::int64_t>(1 + r.below(r.chance(0.2) ? 100 : 4));
      task.tolerated_failures.number = static_cast<std::int64_t>(r.below(6)) - 1;
      task.strict = r.chance(0.3);
      task.pass_failures = r.chance(0.3);
      task.pause_on_entry = r.chance(eventful ? 0.2 : 0.02);
      task.entry_delay = 10s * r.below(2);
      task.bake = 20s * r.below(3);
      task.cont_check_interval = std::chrono::seconds(5 + r.below(30));
    });
    b.jobs([&](Job& job) {
      job.options.retries = static_cast<std::int32_t>(r.below(4));
      job.options.retry_delay = 5s * r.below(3);
      job.options.retry_backoff = 1 + 0.5 * static_cast<double>(r.below(4));
      if (r.chance(0.3)) job.options.retry_max_delay = 7s;
      job.options.timeout = std::chrono::seconds(1 + r.below(100));
      if (r.chance(0.1)) job.options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::FAIL);
      if (r.chance(eventful ? 0.5 : 0.2)) job.options.on_interrupt = static_cast<std::int8_t>(OnInterrupt::HOLD);
    });
  }
  auto labor = b.build();
  if (r.chance(0.1)) labor.state = State::ADMIN_NOT_STARTED;
  return labor;
}

/// How one walk goes: each has its own mixture, so that some are all pauses and some all losses.
struct Mood {
  explicit Mood(Random& r)
      : loss(r.unit() * 0.4),
        signals(r.chance(0.2) ? 0.3 : r.unit() * 0.1),
        stops(r.unit() * 0.2),
        interrupts(r.unit()),
        decisions(r.unit() * 0.3),
        deaths(r.chance(0.4) ? 0.01 : 0),
        closes(r.chance(0.1) ? 0.005 : 0),
        latches(r.chance(0.3) ? r.unit() * 0.2 : 0),
        lies(r.chance(0.3) ? 0.1 : 0),
        haste(r.unit()),
        clocks(r.chance(0.3) ? r.unit() * 0.1 : 0),
        starved(r.chance(0.3)),
        slow_store(r.chance(0.5)) {}
  double loss, signals, stops, interrupts, decisions, deaths, closes, latches, lies, haste, clocks;
  bool starved, slow_store;
};

class Walk {
 public:
  explicit Walk(std::uint64_t seed) : r_(seed), driver(random_tree(r_)), mood_(r_), workers_(1 + r_.below(5)) {
    driver.takes_late = mood_.starved;
  }

 private:
  Random r_;

 public:
  MachineDriver driver;
  std::array<std::uint64_t, kDecisions> decided{};

  bool sound() const { return driver.faults.empty(); }

  void go(int most) {
    auto& d = driver;
    start();
    for (int i = 0; i < most && !d.machine.ended() && sound(); ++i) {
      if (r_.chance(mood_.signals)) signal();
      if (!d.machine.held().empty() && r_.chance(mood_.decisions)) decide();
      if (r_.chance(mood_.lies)) lie();
      if (r_.chance(mood_.latches)) latch();
      if (r_.chance(mood_.clocks)) set_clock();
      if (r_.chance(mood_.deaths)) die(r_.below(d.commits_in_flight() + 1), 1s * r_.below(20));
      if (r_.chance(mood_.closes)) close();
      if (d.machine.ended() || !sound()) return;
      if (d.labor().state == State::ADMIN_NOT_STARTED || d.labor().state == State::NOT_STARTED) start();
      switch (r_.below(8)) {
        case 0: begin(false); break;
        case 1: begin(true); break;
        case 2: d.make_commit(); break;
        case 3: durable(); break;
        case 4:
        case 5: finish_one(); break;
        case 6: pass_time(); break;
        case 7:  // an eager engine: all that can begin begins
          for (int n = 0; n < 3; ++n) begin(n % 2 == 0), durable();
          break;
      }
    }
  }

  /// From here on nobody interferes: everything that is held is released, what executes ends well, and it must come to an end.
  void drain() {
    auto& d = driver;
    if (d.machine.closing()) die(d.commits_in_flight(), 1s);
    if (!d.machine.ended() && d.machine.latched()) d.step(input::Weighed{{}, ticket_++});
    for (int i = 0; i < 3000 && !d.machine.ended() && sound(); ++i) {
      start();
      while (!d.machine.held().empty() && sound()) decide();
      release_all();
      for (int n = 0; n < 5; ++n) begin(false), begin(true);
      d.all_durable();
      const auto handed = d.handed;
      for (const auto& [job, since] : handed) {
        d.take(job);
        if (d.handed.contains(job)) d.finish(job, {});
      }
      if (d.ready[0].empty() && d.ready[1].empty() && d.handed.empty()) tick_at_wake();
    }
    d.all_durable();
  }

  void expect_end() {
    auto& d = driver;
    if (!sound()) return;
    EXPECT_TRUE(d.machine.ended()) << "it does not come to an end: " << name_of(d.labor().state) << ", "
                                   << d.machine.waiting_for(d.steady());
    EXPECT_EQ(d.durable.labor, d.labor()) << "what is stored is not what is";
    EXPECT_EQ(d.unanswered(), 0u) << "G1: a signal was never acknowledged";
    EXPECT_EQ(d.busy(false) + d.busy(true), 0u) << "X13: a worker was never freed";
    EXPECT_TRUE(d.handed.empty());
    d.check_history();
  }

 private:
  void start() {
    auto& d = driver;
    if (d.labor().state != State::NOT_STARTED && d.labor().state != State::ADMIN_NOT_STARTED) {
      if (r_.chance(0.01)) d.step(input::Start{ticket_++, "tester", {}});  // refused
      return;
    }
    d.step(input::Start{ticket_++, "tester", {}});
  }
  void begin(bool check) {
    if (driver.busy(check) < workers_) driver.begin_next(check);
  }
  void durable() {
    if (!mood_.slow_store || r_.chance(0.3)) driver.make_commit();
    driver.commit_is_durable();
  }
  void finish_one() {
    auto& d = driver;
    if (d.handed.empty()) return;
    auto at = d.handed.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(r_.below(d.handed.size())));
    const auto job = at->first;
    const bool asked = d.asked_to_end.contains(job);
    Outcome outcome;
    if (d.untaken.contains(job)) {
      if (!asked) return d.take(job);
      outcome.status = AttemptStatus::WITHDRAWN;
      return d.finish(job, outcome);
    }
    outcome.unasked = r_.chance(0.1);
    if (r_.chance(asked ? 0.6 : mood_.loss)) {
      constexpr AttemptStatus kLost[] = {AttemptStatus::FAILURE, AttemptStatus::FAILURE, AttemptStatus::FAILURE_NO_RETRIES,
                                         AttemptStatus::CRASHED};
      outcome.status = kLost[r_.below(4)];
    }
    if (r_.chance(mood_.lies * 0.5)) outcome.status = AttemptStatus::WITHDRAWN;  // it was never called
    d.finish(job, outcome, asked && r_.chance(0.3));
  }
  void tick_at_wake() {
    auto& d = driver;
    if (const auto wake = d.next_wake()) d.now = std::max(d.now, *wake);
    d.tick();
  }
  void pass_time() {
    auto& d = driver;
    if (r_.chance(mood_.haste * 0.5)) return tick_at_wake();
    d.now += Duration(static_cast<std::int64_t>(r_.below(5'000'000)));
    if (r_.chance(0.1)) return;  // something else comes before the Tick that is due
    if (const auto wake = d.next_wake(); wake && *wake <= d.now) d.tick();
  }
  /// Forwards or backwards, by seconds or by days.
  void set_clock() {
    const auto far = Duration(1s) * static_cast<std::int64_t>(r_.below(r_.chance(0.5) ? 100 : 1'000'000));
    driver.wall_ahead = r_.chance(0.3) ? Duration(0) : r_.chance(0.5) ? far : -far;
  }
  ObjectRef any_object() {
    const auto& l = driver.labor();
    switch (r_.below(4)) {
      case 0: return {};
      case 1: return task_ref(static_cast<std::uint32_t>(r_.below(l.tasks.size())));
      case 2: return driver.machine.current_task() ? task_ref(*driver.machine.current_task()) : ObjectRef{};
      default: return sequence_ref(static_cast<std::uint32_t>(r_.below(l.sequences.size())));
    }
  }
  /// G8: latches come and go; here is what they come to for this Labor. Now and then nobody waits.
  Weight any_weight() {
    if (r_.chance(0.5)) return {{Rank::NONE, driver.now, "carl", {}}, r_.chance(0.5) ? "l1" : ""};
    return {{Rank::CRISIS, driver.now, "bob", {}}, r_.chance(0.5) ? "l1" : "l2"};
  }
  void latch() { driver.step(input::Weighed{any_weight(), r_.chance(0.8) ? ticket_++ : 0}); }
  /// A latch may be set or lifted while no engine runs.
  void die(std::size_t survive, Duration down) {
    const bool other = mood_.latches > 0 && r_.chance(0.4);
    std::vector<input::Signalled> stored;
    for (auto n = r_.chance(0.3) ? r_.below(4) : 0; n > 0; --n) stored.push_back(any_signal());
    driver.die(survive, down, other ? any_weight() : driver.machine.weight(),
               is_under_way(driver.durable.labor.state) ? std::move(stored) : std::vector<input::Signalled>());
  }
  input::Signalled any_signal() {
    auto signal = static_cast<Signal>(r_.below(kSignals));
    if (signal == Signal::STOP && !r_.chance(mood_.stops)) signal = Signal::RESUME;
    return {any_object(), signal, r_.chance(mood_.interrupts), ticket_++, "ann", {}};
  }
  void signal() { driver.step(any_signal()); }
  void decide() {
    const auto& held = driver.machine.held();
    auto at = held.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(r_.below(held.size())));
    const auto decision = static_cast<Decision>(1 + r_.below(3));
    ++decided[static_cast<std::size_t>(decision)];
    driver.step(input::Decided{*at, decision, ticket_++, "ann", "looked"});
    if (r_.chance(0.1)) driver.die(r_.below(driver.commits_in_flight() + 1), 1s);  // before, or after, it was durable
  }
  /// What has been overtaken, or never was: it may change nothing that is not due.
  void lie() {
    auto& d = driver;
    const auto job = static_cast<std::uint32_t>(r_.below(d.labor().jobs.size()));
    switch (r_.below(6)) {
      case 5:
        if (!d.machine.held().contains(job)) unchanged(input::Decided{job, Decision::COMPLETED, ticket_++, "ann", {}});
        return;
      case 0:
        if (!d.handed.contains(job)) unchanged(input::Ended{job, {}, r_.chance(0.5)});
        return;
      case 1: unchanged(input::Recorded{job, static_cast<std::uint32_t>(r_.below(1000)) + 1'000'000}); return;
      case 2: {
        const auto* run = d.machine.run_of(job);
        if (!run || run->phase != LaborMachine::RunPhase::QUEUED) unchanged(input::Begin{job});
        return;
      }
      case 3:
        if (d.next_wake() && *d.next_wake() > d.now) d.tick();
        return;
      case 4:
        driver.step(input::Signalled{{ObjectKind::JOB, job}, Signal::PAUSE, false, ticket_++, "ann", {}});  // Jobs take none
        return;
    }
  }
  void unchanged(const Input& input) {
    const Labor before = driver.labor();
    driver.step(input);
    if (driver.labor() != before) driver.faults.push_back("X9: an input that was overtaken changed something");
  }
  /// The engine closes; what executes may end for a while. Then another one takes over.
  void close() {
    auto& d = driver;
    d.step(input::Closing{});
    for (auto n = r_.below(10); n > 0 && sound(); --n) {
      begin(r_.chance(0.5));
      durable();
      finish_one();
      pass_time();
    }
    d.make_commit();
    die(d.commits_in_flight(), 1s * r_.below(100));
  }
  void release_all() {
    auto& d = driver;
    for (const auto s : {Signal::CRISIS_RESUME, Signal::ADMIN_RESUME, Signal::RESUME}) {
      const auto release = [&](ObjectRef ref, const Holds& holds) {
        if (is_under_way(state_of(d.labor(), ref)) && state_of(d.labor(), ref) != State::STOPPING && find_hold(holds, rank_of(s))) {
          d.step(input::Signalled{ref, s, false, ticket_++, {}, {}});
        }
      };
      release({}, d.labor().holds);
      for (std::uint32_t t = 0; t < d.labor().tasks.size(); ++t) release(task_ref(t), d.labor().tasks[t].holds);
      for (std::uint32_t q = 0; q < d.labor().sequences.size(); ++q) release(sequence_ref(q), d.labor().sequences[q].holds);
    }
  }

  Mood mood_;
  std::size_t workers_;
  Ticket ticket_ = 1;
};

std::uint64_t walk(std::uint64_t seed, std::array<std::uint64_t, kDecisions>& decided) {
  Walk w(seed);
  w.go(600);
  w.drain();
  w.expect_end();
  if (!w.sound() || testing::Test::HasFailure()) {
    std::string last;
    for (const auto& line : w.driver.inputs) last += "  " + line + "\n";
    for (const auto& what : w.driver.faults) ADD_FAILURE() << what;
    ADD_FAILURE() << "the last inputs were\n"
                  << last << "repeat it with\n  COGWORK_WALK_SEED=" << seed
                  << " COGWORK_WALK_STEPS=1 cogwork_machine_tests --gtest_filter='RandomWalk.Every*'";
  }
  for (std::size_t d = 0; d < kDecisions; ++d) decided[d] += w.decided[d];
  return w.driver.steps;
}

TEST(RandomWalk, EveryInvariantHoldsAfterEveryStep) {
  const auto wanted = from_environment("COGWORK_WALK_STEPS", 1'200'000);
  auto seed = from_environment("COGWORK_WALK_SEED", 1);
  std::uint64_t steps = 0, walks = 0;
  std::array<std::uint64_t, kDecisions> decided{};
  for (; steps < wanted && !HasFailure(); ++seed, ++walks) steps += walk(seed, decided);
  RecordProperty("steps", std::to_string(steps));
  RecordProperty("walks", std::to_string(walks));
  for (const auto d : {Decision::RERUN, Decision::COMPLETED, Decision::FAILED}) {
    const auto times = decided[static_cast<std::size_t>(d)];
    RecordProperty("decided " + std::string(name_of(d)), std::to_string(times));
    if (wanted > 1'000'000) {
      EXPECT_GT(times, walks / 200) << "R2: hardly a walk had a Job held";
    }
  }
}

TEST(RandomWalk, TheSameSeedIsTheSameHistory) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Walk walks[2] = {Walk(seed), Walk(seed)};
    for (auto& w : walks) {
      w.go(300);
      w.drain();
    }
    ASSERT_EQ(walks[0].driver.durable.history, walks[1].driver.durable.history) << seed;
    ASSERT_EQ(walks[0].driver.labor(), walks[1].driver.labor()) << seed;
  }
}

// ---- D7: the tree as it stood ----

/// The tree as it was when a commit became durable.
struct Past {
  Time made;
  std::uint64_t number;  // of the last change by then
  Labor tree;
};

std::vector<HistoryRow> as_rows(const Labor& labor, const std::vector<Change>& history) {
  if (history.empty()) return {};
  HistoryRow row;
  row.first = 1;
  row.count = static_cast<std::uint32_t>(history.size());
  row.labor = labor.id;
  row.at = history.back().at;
  row.changes = pack_changes(history);
  return {row};
}

/// X11: what a check does after its first round is not listed while its Task goes on.
void except_rounds(Labor& rebuilt, const Labor& live) {
  for (std::size_t i = 0; i < live.jobs.size(); ++i) {
    const auto& job = live.jobs[i];
    if (!job.is_check() || job.attempts.empty() || job.attempts.back().round < 2) continue;
    if (is_under_way(live.tasks[job.task].state)) rebuilt.jobs[i] = job;
  }
}

std::string difference(const Labor& a, const Labor& b) {
  std::string found;
  const auto say = [&](const std::string& what) { found += (found.empty() ? "" : ", ") + what; };
  if (without_tables(a) != without_tables(b)) say("the Labor");
  for (std::size_t i = 0; i < a.tasks.size(); ++i) {
    if (a.tasks[i] != b.tasks[i]) say("Task " + std::to_string(i));
  }
  for (std::size_t i = 0; i < a.sequences.size(); ++i) {
    if (a.sequences[i] != b.sequences[i]) say("Sequence " + std::to_string(i));
  }
  for (std::size_t i = 0; i < a.jobs.size(); ++i) {
    if (a.jobs[i] != b.jobs[i]) say("Job " + std::to_string(i));
  }
  return found;
}

TEST(RandomWalk, D7_TheTreeAtEveryChangeIsTheOneThatWasRecorded) {
  const auto first = from_environment("COGWORK_WALK_SEED", 1);
  const auto walks = from_environment("COGWORK_WALKS", 400);
  std::uint64_t compared = 0;
  for (auto seed = first; seed < first + walks && !HasFailure(); ++seed) {
    Walk w(seed);
    auto& d = w.driver;
    std::vector<Past> pasts = {{d.now, 0, d.labor()}};
    d.lives_by_the_step = true;
    d.on_durable = [&](Time made) {
      // A commit that recorded no time, as one that only acknowledges, is followed by earlier ones where the clock is set back.
      const auto& history = d.durable.history;
      const bool recorded = latest_time(d.durable.labor) == made || (!history.empty() && history.back().at == made);
      if (recorded) pasts.push_back({made, history.size(), d.durable.labor});
    };
    w.go(400);
    w.drain();
    const auto rows = as_rows(d.durable.labor, d.durable.history);
    for (const auto& what : d.faults) ADD_FAILURE() << "seed " << seed << ": " << what;
    for (const auto& found : check_replay(d.durable.labor, rows, 5)) ADD_FAILURE() << found.what;
    std::uint64_t number = UINT64_MAX;
    for (const auto& past : pasts) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", change " + std::to_string(past.number));
      auto rebuilt = tree_at(d.durable.labor, rows, Moment::time(past.made));
      except_rounds(rebuilt, past.tree);
      ASSERT_EQ(difference(rebuilt, past.tree), "") << "at a time";
      if (past.number != number) {
        rebuilt = tree_at(d.durable.labor, rows, Moment::change(past.number));
        except_rounds(rebuilt, past.tree);
        ASSERT_EQ(difference(rebuilt, past.tree), "") << "at a change";
        ++compared;
      }
      number = past.number;
    }
  }
  EXPECT_GT(compared, walks * 20) << "walks that hardly change anything show nothing";
}

}  // namespace
}  // namespace cogwork::test
