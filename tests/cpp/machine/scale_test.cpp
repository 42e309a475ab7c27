// No step is linear in the size of the Labor, only in what runs (design). Counted in rows, not in seconds.
#include <gtest/gtest.h>

#include <deque>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

constexpr std::uint32_t kSequences = 100'000;
constexpr std::uint32_t kRunning = 16;

/// As MachineWorld, without the invariants, which look at all of the Labor; remembers the most that a step wrote.
struct LargeWorld {
  LaborMachine machine;
  Time now = from_micros(1'700'000'000'000'000);
  Effects effects;
  std::deque<std::uint32_t> ready, handed;
  std::size_t writes = 0, changes = 0, most_writes = 0, steps = 0, acks = 0;

  explicit LargeWorld(Labor labor) : machine(std::move(labor)) {}

  void step(const Input& input) {
    effects.clear();
    machine.step(input, {now, SteadyTime(now.time_since_epoch())}, effects);
    ++steps;
    writes += effects.writes.size();
    changes += effects.changes.size();
    acks += effects.acks.size();
    most_writes = std::max(most_writes, effects.writes.size());
    for (const auto& r : effects.ready) ready.push_back(r.job);
    for (const auto j : effects.handed) handed.push_back(j);
    const auto opened = effects.opened;
    for (const auto& o : opened) step(input::Recorded{o.job, o.serial});
  }
  void settle() {
    while (!ready.empty()) {
      const auto job = ready.front();
      ready.pop_front();
      step(input::Begin{job});
    }
  }
  void finish_one() {
    const auto job = handed.front();
    handed.pop_front();
    step(input::Ended{job, {}, false});
    settle();
  }
};

LargeWorld large() {
  LargeWorld w(LaborBuilder().task(kSequences).with([](Task& t) { t.concurrency.number = kRunning; }).build());
  w.step(input::Start{});
  w.settle();
  for (int n = 0; n < 1000; ++n) w.finish_one();
  EXPECT_EQ(w.handed.size(), kRunning);
  w.writes = w.changes = w.most_writes = w.steps = w.acks = 0;
  return w;
}

TEST(Scale, APauseOfALargeLaborTouchesWhatRuns) {
  auto w = large();
  w.step(input::Signalled{{}, Signal::PAUSE, false, 1, "ann", {}});
  EXPECT_LE(w.effects.writes.size(), kRunning + 4u);
  EXPECT_EQ(w.acks, 0u);
  while (!w.handed.empty()) w.finish_one();
  EXPECT_EQ(w.acks, 1u);
  EXPECT_EQ(w.machine.labor().state, State::PAUSED);
  EXPECT_LE(w.most_writes, kRunning + 4u);
  EXPECT_LE(w.writes, kRunning * 8u);
  EXPECT_LE(w.changes, kRunning * 8u);
}

TEST(Scale, AResumeAndAStopToo) {
  auto w = large();
  w.step(input::Signalled{{}, Signal::CRISIS_PAUSE, false, 1, "ann", {}});
  w.step(input::Signalled{{}, Signal::CRISIS_RESUME, false, 2, "ann", {}});
  w.step(input::Signalled{{}, Signal::STOP, true, 3, "ann", {}});
  EXPECT_EQ(w.effects.interrupted.size(), kRunning);
  while (!w.handed.empty()) w.finish_one();
  EXPECT_EQ(w.machine.labor().state, State::STOPPED);
  EXPECT_EQ(w.acks, 3u);
  EXPECT_LE(w.most_writes, kRunning + 4u);
  EXPECT_LE(w.writes, kRunning * 10u);
}

TEST(Scale, AnOrdinaryStepWritesAHandful) {
  auto w = large();
  for (int n = 0; n < 10'000; ++n) w.finish_one();
  EXPECT_LE(w.most_writes, 6u);
  EXPECT_LE(w.writes, 10'000u * 6u) << "a Sequence of one Job: begun, opened, ended twice over";
}

TEST(Scale, ASequenceIsHeldByItselfAlone) {
  auto w = large();
  w.step(input::Signalled{sequence_ref(kSequences - 1), Signal::PAUSE, false, 1, "ann", {}});
  EXPECT_LE(w.effects.writes.size(), 1u);
  const auto job = w.handed.front();
  w.step(input::Signalled{sequence_ref(w.machine.labor().jobs[job].sequence), Signal::PAUSE, false, 2, "ann", {}});
  EXPECT_LE(w.effects.writes.size(), 3u);
}

}  // namespace
}  // namespace cogwork::test
