// G4c: after a pause, a hold or a recovery that was longer than cont_check_interval, a round of checks comes before the next Sequence.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

constexpr Duration kInterval = 10s;

/// One continuous check (Job 0), Sequences of one Job each (1, 2, ...), two at once; the entry is over, and the first two run.
MachineWorld rolling(std::uint32_t sequences = 6) {
  MachineWorld w(LaborBuilder()
                     .task(sequences, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = kInterval, t.concurrency.number = 2; })
                     .build());
  w.start();
  w.finish(0);
  return w;
}
std::size_t started(const MachineWorld& w) {
  std::size_t count = 0;
  for (const auto& s : w.labor().sequences) count += s.state != S::NOT_STARTED;
  return count;
}

/// What keeps a Task from having rounds for that long; both calls of it have ended by then.
struct Gap {
  const char* name;
  std::function<MachineWorld(MachineWorld, Duration)> pass;
};
const std::vector<Gap>& gaps() {
  const auto held = [](ObjectRef object, Signal pause, Signal resume) {
    return [=](MachineWorld w, Duration span) {
      w.signal(object, pause);
      w.finish_all();
      w.pass(span);
      w.signal(object, resume);
      return w;
    };
  };
  static const std::vector<Gap> kGaps = {
      {"a pause of the Labor", held({}, Signal::PAUSE, Signal::RESUME)},
      {"a pause of the Task", held(task_ref(0), Signal::PAUSE, Signal::RESUME)},
      {"an admin pause", held({}, Signal::ADMIN_PAUSE, Signal::ADMIN_RESUME)},
      {"a crisis pause", held(task_ref(0), Signal::CRISIS_PAUSE, Signal::CRISIS_RESUME)},
      {"a latch",
       [](MachineWorld w, Duration span) {
         w.weigh("l1");
         w.finish_all();
         w.pass(span);
         w.weigh("", "l1");
         return w;
       }},
      {"two pauses of which one covers the other",
       [](MachineWorld w, Duration span) {
         w.signal(Signal::PAUSE);
         w.finish_all();
         w.pass(span / 2);
         w.signal(task_ref(0), Signal::ADMIN_PAUSE);
         w.signal(Signal::RESUME);
         w.pass(span - span / 2);
         w.signal(task_ref(0), Signal::ADMIN_RESUME);
         return w;
       }},
      {"a recovery",
       [](MachineWorld w, Duration span) {
         return taken_up(w, span);  // both are called again
       }},
      {"a recovery in a pause",
       [](MachineWorld w, Duration span) {
         w.signal(Signal::PAUSE);
         w.finish_all();
         w.pass(span / 2);
         auto again = taken_up(w, span - span / 2);
         again.signal(Signal::RESUME);
         return again;
       }},
      {"a pause behind a recovery",
       [](MachineWorld w, Duration span) {
         auto again = taken_up(w, span / 2, {{{}, Signal::PAUSE, false, 500, "ann", {}, {}}});
         again.pass(span - span / 2);
         again.signal(Signal::RESUME);
         return again;
       }},
  };
  return kGaps;
}

TEST(FreshRound, G4cComesBeforeTheNextSequence) {
  for (const auto& gap : gaps()) {
    SCOPED_TRACE(gap.name);
    auto w = gap.pass(rolling(), kInterval + 1s);
    const auto before = started(w);
    ASSERT_EQ(before, 2u);
    ASSERT_TRUE(w.is_handed(0)) << "a round that was due begins at once";
    for (const auto job : {1u, 2u}) {
      if (w.is_handed(job)) w.finish(job);
    }
    w.pass(3s);
    EXPECT_EQ(started(w), before) << "before it has ended";
    const auto why = w.machine.waiting_for(w.steady());
    EXPECT_EQ(why, "waits for a round of checks, as none could begin for longer than cont_check_interval");
    w.finish(0);
    EXPECT_GT(started(w), before);
    EXPECT_FALSE(w.machine.waits_for_fresh_round());
    w.pass(kInterval);
    ASSERT_TRUE(w.is_handed(0));
    w.finish(3);
    EXPECT_EQ(started(w), before + 3) << "a later round under way is not waited for";
  }
}

TEST(FreshRound, G4cOneThatSaysNoStopsTheTask) {
  for (const auto& gap : gaps()) {
    SCOPED_TRACE(gap.name);
    auto w = gap.pass(rolling(), kInterval + 1s);
    const auto before = started(w);
    w.finish(0, A::FAILURE);
    w.finish_all();
    EXPECT_EQ(started(w), before);
    EXPECT_EQ(w.state(), S::FAILED);
    EXPECT_EQ(w.labor().reason, Reason::CONT_CHECK_FAILURE);
  }
}

TEST(FreshRound, G4cNotAfterWhatWasNoLonger) {
  for (const auto& gap : gaps()) {
    if (std::string_view(gap.name).find("recovery") != std::string_view::npos) continue;  // when an engine died, nobody knows
    SCOPED_TRACE(gap.name);
    auto w = gap.pass(rolling(), kInterval);
    EXPECT_GT(started(w), 2u);
  }
  auto dead = rolling();
  dead.pass(4s);
  dead.finish(1);
  auto w = taken_up(dead, 5s);
  EXPECT_FALSE(w.machine.waits_for_fresh_round()) << "the last round ended 9 s ago";
  EXPECT_EQ(started(w), 3u);
  w.finish(2);
  EXPECT_EQ(started(w), 4u);
}

TEST(FreshRound, G4cARoundThatBeganBeforeDoesNotCount) {
  auto w = rolling();
  w.pass(kInterval);
  ASSERT_TRUE(w.is_handed(0));
  w.signal(Signal::PAUSE);
  w.pass(5s);
  w.finish_all();  // the round too
  ASSERT_EQ(w.state(), S::PAUSED);
  w.pass(6s);  // 11 s of pause; the next round is due in 4 s
  w.signal(Signal::RESUME);
  EXPECT_EQ(started(w), 2u);
  EXPECT_EQ(w.machine.waiting_for(w.steady()),
            "waits for a round of checks, as none could begin for longer than cont_check_interval; it begins in 4 s");
  w.pass(4s);
  ASSERT_TRUE(w.is_handed(0));
  w.finish(0);
  EXPECT_EQ(started(w), 4u);
}

TEST(FreshRound, G4cARoundThatWaitsForARetryOverThePauseDoesNotCount) {
  MachineWorld w(LaborBuilder()
                     .task(4, 1, 0, 1)
                     .with([](Task& t) { t.cont_check_interval = kInterval, t.concurrency.number = 2; })
                     .jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 1s; })
                     .build());
  w.start();
  w.finish(0);
  w.pass(kInterval);
  w.finish(0, A::FAILURE);
  w.signal(Signal::PAUSE);
  w.finish_all();
  w.pass(kInterval + 1s);
  w.signal(Signal::RESUME);
  ASSERT_TRUE(w.is_handed(0)) << "its second attempt";
  w.finish(0);
  EXPECT_EQ(started(w), 2u);
  w.pass(kInterval);
  w.finish(0);
  EXPECT_EQ(started(w), 4u);
}

TEST(FreshRound, G4cAHoldBeforeTheEntryIsFollowedByTheEntrysRound) {
  MachineWorld w(
      LaborBuilder().task(1, 1, 0, 1).with([](Task& t) { t.cont_check_interval = kInterval, t.pause_on_entry = true; }).build());
  w.start();
  w.pass(100s);
  w.signal(task_ref(0), Signal::ADMIN_RESUME);
  w.finish(0);
  EXPECT_EQ(started(w), 1u);
}

TEST(FreshRound, G4cAPauseWithinTheEntryIsFollowedByARoundOfItsOwn) {
  MachineWorld w(LaborBuilder().task(1, 1, 1, 1).with([](Task& t) { t.cont_check_interval = kInterval; }).build());
  w.start();
  w.finish(1);  // the continuous one
  w.signal(Signal::PAUSE);
  w.finish(0, A::SUCCESS);
  w.pass(kInterval + 1s);
  w.signal(Signal::RESUME);
  EXPECT_EQ(started(w), 0u) << "what looked did so before the pause";
  w.pass(kInterval);
  w.finish(1);
  EXPECT_EQ(started(w), 1u);
}

TEST(FreshRound, G4cWithoutContinuousChecksThereIsNothingToWaitFor) {
  MachineWorld w(LaborBuilder().task(4, 1, 1).with([](Task& t) { t.concurrency.number = 2; }).build());
  w.start();
  w.finish(0);
  w.signal(Signal::PAUSE);
  w.finish_all();
  w.pass(1000s);
  w.signal(Signal::RESUME);
  EXPECT_EQ(started(w), 4u);
}

TEST(FreshRound, G4cWhatHadStartedGoesOnMeanwhile) {
  MachineWorld w(
      LaborBuilder().task(3, 2, 0, 1).with([](Task& t) { t.cont_check_interval = kInterval, t.concurrency.number = 2; }).build());
  w.start();
  w.finish(0);
  w.signal(Signal::PAUSE);
  w.finish_all();
  w.pass(kInterval + 1s);
  w.signal(Signal::RESUME);
  EXPECT_TRUE(w.is_handed(2) && w.is_handed(4)) << "the second Jobs of the Sequences under way";
  w.finish(2), w.finish(4);
  EXPECT_EQ(started(w), 2u);
  w.finish(0);
  EXPECT_EQ(started(w), 3u);
}

TEST(FreshRound, G4cIsStillAskedForAfterADeathBeforeItHadEnded) {
  auto paused = rolling();
  paused.signal(Signal::PAUSE);
  paused.finish_all();
  paused.pass(kInterval + 1s);
  paused.signal(Signal::RESUME);
  ASSERT_TRUE(paused.is_handed(0));
  for (const bool begun : {true, false}) {
    auto dead = paused;
    if (!begun) {
      dead = rolling();
      dead.signal(Signal::PAUSE);
      dead.finish_all();
      dead.durable = false;
      dead.pass(kInterval + 1s);
      dead.signal(Signal::RESUME);
    }
    auto w = taken_up(dead, 1s);
    EXPECT_EQ(started(w), 2u) << begun;
    ASSERT_TRUE(w.is_handed(0)) << begun;
    w.finish(0);
    EXPECT_EQ(started(w), 4u) << begun;
  }
}

TEST(FreshRound, G4cALongerWallClockIsNoLongerPause) {
  auto w = rolling();
  w.signal(Signal::PAUSE);
  w.finish_all();
  w.pass(1s);
  w.set_clock(24h);
  w.signal(Signal::RESUME);
  EXPECT_EQ(started(w), 4u);
}

}  // namespace
}  // namespace cogwork::test
