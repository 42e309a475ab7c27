// Random Labors, outcomes, signals, clocks and deaths, with every invariant checked after each step. A failure prints the seed;
//   COGWORK_WALK_SEED=<seed> COGWORK_WALK_STEPS=1 cogwork_machine_tests --gtest_filter='RandomWalk.*'
// repeats that walk alone. COGWORK_WALK_STEPS=100000000 walks longer.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "cogwork/machine/signal_rules.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

Labor random_tree(Random& r) {
  LaborBuilder b(r.next());
  const auto tasks = 1 + r.below(3);
  for (std::uint64_t t = 0; t < tasks; ++t) {
    b.task(static_cast<std::uint32_t>(1 + r.below(6)), static_cast<std::uint32_t>(1 + r.below(3)),
           static_cast<std::uint32_t>(r.below(3)), static_cast<std::uint32_t>(r.below(3)));
    b.with([&](Task& task) {
      task.concurrency.number = static_cast<std::int64_t>(1 + r.below(4));
      task.tolerated_failures.number = static_cast<std::int64_t>(r.below(6)) - 1;
      task.strict = r.chance(0.3);
      task.pass_failures = r.chance(0.3);
      task.pause_on_entry = r.chance(0.1);
      task.entry_delay = std::chrono::seconds(r.below(2) * 10);
      task.bake = std::chrono::seconds(r.below(3) * 20);
      task.cont_check_interval = std::chrono::seconds(5 + r.below(30));
    });
    b.jobs([&](Job& job) {
      job.options.retries = static_cast<std::int32_t>(r.below(4));
      job.options.retry_delay = std::chrono::seconds(r.below(3) * 5);
      job.options.retry_backoff = static_cast<double>(1 + r.below(3));
      if (r.chance(0.3)) job.options.retry_max_delay = std::chrono::seconds(7);
      job.options.timeout = std::chrono::seconds(1 + r.below(100));
    });
  }
  return b.build();
}

struct Walk {
  explicit Walk(std::uint64_t seed) : random(seed), world(random_tree(random), 1 + random.below(5)) {
    loss = random.unit() * 0.3;
    world.durable = false;
  }

  Random random;
  MachineWorld world;
  double loss;
  std::uint64_t steps = 0;
  std::vector<Ticket> tickets;
  Labor durable;  // what a store would hold
  std::size_t durable_history = 0;

  void step(const Input& input) {
    ++steps;
    world.step(input);
  }

  void one_step() {
    auto& w = world;
    switch (random.below(10)) {
      case 0:
      case 1:
        if (!w.ready.empty() && w.machine.executing() < 5) {
          const auto next = w.ready.front();
          w.ready.pop_front();
          step(input::Begin{next});
        }
        return;
      case 2:
      case 3:
        if (!w.opened.empty()) {
          const auto next = w.opened.front();
          w.opened.pop_front();
          step(input::Recorded{next.job, next.serial});
        }
        return;
      case 4:
      case 5:
      case 6:
        if (!w.handed.empty()) {
          const auto job = w.handed[random.below(w.handed.size())];
          std::erase(w.handed, job);
          Outcome outcome;
          if (random.chance(loss)) {
            constexpr AttemptStatus kLost[] = {AttemptStatus::FAILURE, AttemptStatus::FAILURE_NO_RETRIES, AttemptStatus::CRASHED};
            outcome.status = kLost[random.below(3)];
          }
          step(input::Ended{job, outcome, random.chance(0.03)});
        }
        return;
      case 7:
        if (const auto wake = w.machine.next_wake()) {
          w.now = random.chance(0.5) ? std::max(w.now, *wake) : w.now + std::chrono::seconds(random.below(5));
          step(input::Tick{});
        }
        return;
      case 8:
        if (random.chance(0.25)) signal();
        return;
      case 9:
        // Lies and leftovers: nothing of it may change anything that is not due.
        if (random.chance(0.2)) {
          const auto job = static_cast<std::uint32_t>(random.below(w.labor().jobs.size()));
          if (random.chance(0.5)) {
            if (!w.is_handed(job)) step(input::Ended{job, {}, false});
          } else {
            step(input::Recorded{job, static_cast<std::uint32_t>(random.below(1000)) + 1'000'000});
          }
        } else if (random.chance(0.03)) {
          die();
        }
        return;
    }
  }

  void signal() {
    auto& w = world;
    ObjectRef object;
    if (const auto kind = random.below(3); kind == 1) {
      object = task_ref(static_cast<std::uint32_t>(random.below(w.labor().tasks.size())));
    } else if (kind == 2) {
      object = sequence_ref(static_cast<std::uint32_t>(random.below(w.labor().sequences.size())));
    }
    auto signal = static_cast<Signal>(random.below(kSignals));
    if (signal == Signal::STOP && !random.chance(0.15)) signal = Signal::RESUME;
    const Ticket ticket = 1000 + tickets.size();
    const auto refused = w.refusals.size();
    step(input::Signalled{object, signal, random.chance(0.4), ticket, "ann", {}});
    if (w.refusals.size() == refused) tickets.push_back(ticket);
  }

  /// The engine dies: what is stored is built up again, and goes on (R2 with RETRY, R3).
  void die() {
    auto& w = world;
    if (w.machine.ended()) return;
    w.machine = LaborMachine(Labor(w.labor()));
    w.ready.clear();
    w.opened.clear();
    w.handed.clear();
    w.interrupted.clear();
    tickets.clear();  // whoever waited for them died too
    w.acks.clear();
    w.now += std::chrono::seconds(random.below(20));
    step(input::Recovered{});
  }

  /// From here on nobody interferes: everything that is held is released, and it must come to an end.
  void drain() {
    auto& w = world;
    for (int i = 0; i < 3000 && !w.machine.ended(); ++i) {
      for (const auto s : {Signal::CRISIS_RESUME, Signal::ADMIN_RESUME, Signal::RESUME}) {
        if (find_hold(w.labor().holds, rank_of(s))) step(input::Signalled{{}, s, false, 1, {}, {}});
        for (std::uint32_t t = 0; t < w.labor().tasks.size(); ++t) {
          if (find_hold(w.task(t).holds, rank_of(s))) step(input::Signalled{task_ref(t), s, false, 1, {}, {}});
        }
        for (std::uint32_t q = 0; q < w.labor().sequences.size(); ++q) {
          if (find_hold(w.sequence(q).holds, rank_of(s))) step(input::Signalled{sequence_ref(q), s, false, 1, {}, {}});
        }
      }
      w.durable = true;
      w.settle();
      w.finish_all();
      if (const auto wake = w.machine.next_wake()) {
        w.now = std::max(w.now, *wake);
        step(input::Tick{});
      }
    }
  }
};

void expect_history_is_the_tree(const Walk& walk) {
  // D7; of checks, X11.
  std::map<std::uint32_t, State> states;
  for (const auto& c : walk.world.history) {
    if (c.kind == Change::Kind::STATE) states[c.ordinal] = c.to;
  }
  const auto& labor = walk.world.labor();
  const auto expect = [&](std::uint32_t ordinal, State state) {
    const auto found = states.find(ordinal);
    EXPECT_EQ(found == states.end() ? State::NOT_STARTED : found->second, state) << "ordinal " << ordinal;
  };
  expect(0, labor.state);
  for (const auto& t : labor.tasks) expect(t.ordinal, t.state);
  for (const auto& s : labor.sequences) expect(s.ordinal, s.state);
  for (const auto& j : labor.jobs) expect(j.ordinal, j.state);
}

std::uint64_t walk(std::uint64_t seed) {
  SCOPED_TRACE("COGWORK_WALK_SEED=" + std::to_string(seed));
  Walk w(seed);
  w.step(input::Start{1, "tester", {}});
  for (int i = 0; i < 600 && !w.world.machine.ended() && !testing::Test::HasFailure(); ++i) w.one_step();
  if (!testing::Test::HasFailure()) w.drain();
  EXPECT_TRUE(w.world.machine.ended()) << "it does not come to an end: " << name_of(w.world.state());
  for (const auto ticket : w.tickets) EXPECT_TRUE(w.world.acked(ticket)) << "G1: a signal was never acknowledged";
  expect_history_is_the_tree(w);
  return w.steps;
}

TEST(RandomWalk, EveryInvariantHoldsAfterEveryStep) {
  const auto wanted = from_environment("COGWORK_WALK_STEPS", 1'200'000);
  auto seed = from_environment("COGWORK_WALK_SEED", 1);
  std::uint64_t steps = 0;
  for (; steps < wanted && !HasFailure(); ++seed) steps += walk(seed);
  RecordProperty("steps", std::to_string(steps));
}

TEST(RandomWalk, TheSameSeedIsTheSameHistory) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::vector<Change> histories[2];
    for (auto& history : histories) {
      Walk w(seed);
      w.step(input::Start{1, "tester", {}});
      for (int i = 0; i < 300 && !w.world.machine.ended(); ++i) w.one_step();
      history = w.world.history;
    }
    ASSERT_EQ(histories[0], histories[1]) << seed;
  }
}

}  // namespace
}  // namespace cogwork::test
