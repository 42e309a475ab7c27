// Jobs and attempts (X7-X9, X12, X13, D2): the fine print.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;
using S = State;

TEST(Attempts, X8EveryWayToEndAndWhatBecomesOfTheJob) {
  struct Row {
    AttemptStatus answer;
    bool tried_again;
    State end;
  };
  for (const Row& row : {Row{A::SUCCESS, false, S::COMPLETED}, Row{A::FAILURE, true, S::FAILED},
                         Row{A::FAILURE_NO_RETRIES, false, S::FAILED}, Row{A::CRASHED, true, S::FAILED}}) {
    for (const bool check : {false, true}) {
      MachineWorld w(LaborBuilder().task(1, 1, check ? 1 : 0).jobs([](Job& j) { j.options.retries = 2; }).build());
      w.start();
      w.finish(0, row.answer);
      EXPECT_EQ(w.is_handed(0), row.tried_again) << name_of(row.answer);
      while (w.is_handed(0)) w.finish(0, row.answer);
      EXPECT_EQ(w.job(0).state, row.end);
      EXPECT_EQ(w.job(0).attempts.size(), row.tried_again ? 3u : 1u) << "up to 1 + retries";
      for (const auto& a : w.job(0).attempts) EXPECT_EQ(a.status, row.answer);
    }
  }
}

TEST(Attempts, X8AnAnswerThatIsNoneOfTheWordsFailsTheJob) {
  for (const auto answer : {A::OPEN, A::INTERRUPTED, A::TIMED_OUT, A::STOPPED}) {
    MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 2; }).build());
    w.start();
    w.step(input::Ended{0, {answer, 0, {}, "broken", {}, {}}, false});
    EXPECT_EQ(w.statuses(0), "FAILURE_NO_RETRIES") << name_of(answer);
    EXPECT_EQ(w.state(), S::FAILED) << name_of(answer);
  }
}

TEST(Attempts, X8WhatTheCogSaidIsKeptInEachAttempt) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 5s; }).build());
  w.start();
  const auto began = w.now;
  w.pass(2s);
  w.handed.clear();
  w.step(input::Ended{0, {A::FAILURE, Attempt::CUT, "\xc2", "Traceback ...", "a line", {}}, false});
  const auto& first = w.job(0).attempts.at(0);
  EXPECT_EQ(first.started, began);
  EXPECT_EQ(first.ended, began + 2s);
  EXPECT_EQ(first.marks, Attempt::CUT);
  EXPECT_EQ(first.output, "\xc2");
  EXPECT_EQ(first.error, "Traceback ...");
  EXPECT_EQ(first.log, "a line");
  w.pass(5s);
  w.finish(0);
  EXPECT_EQ(w.job(0).started, began) << "of the Job: when its first attempt was";
  EXPECT_EQ(w.job(0).ended, began + 7s);
  EXPECT_EQ(w.job(0).attempts.at(1).started, began + 7s);
}

TEST(Attempts, X8DelaysOfLongBackoffsStayFinite) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) { j.options.retries = 2000, j.options.retry_delay = 24h, j.options.retry_backoff = 1000; })
                     .build());
  w.start();
  for (int n = 0; n < 20; ++n) {  // at most some 3,000 years each
    w.finish(0, A::FAILURE);
    ASSERT_FALSE(w.is_handed(0)) << n;
    const auto wake = w.next_wake();
    ASSERT_TRUE(wake);
    ASSERT_GT(*wake, w.now) << n;
    w.pass(*wake - w.now);
    ASSERT_TRUE(w.is_handed(0)) << n;
  }
}

TEST(Attempts, X8TheFirstDelayObeysTheMaximumToo) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 60s, j.options.retry_max_delay = 10s; })
                     .build());
  w.start();
  w.finish(0, A::FAILURE);
  w.pass(10s);
  EXPECT_TRUE(w.is_handed(0));
}

TEST(Attempts, X8ATimeOutCountsAsAFailureAndIsTriedAgain) {
  MachineWorld w(LaborBuilder()
                     .task(1)
                     .jobs([](Job& j) { j.options.timeout = 5s, j.options.retries = 1, j.options.retry_delay = 3s; })
                     .build());
  w.start();
  w.pass(5s);
  EXPECT_EQ(w.interrupted.size(), 1u);
  EXPECT_EQ(w.statuses(0), "OPEN") << "it is closed when the call has ended";
  w.pass(1s);
  w.finish(0, A::FAILURE_NO_RETRIES);
  EXPECT_EQ(w.statuses(0), "TIMED_OUT") << "whatever it answered";
  EXPECT_EQ(w.job(0).attempts[0].error, "timed out\nit failed") << "what it had said is kept";
  w.pass(2s);
  EXPECT_FALSE(w.is_handed(0));
  w.pass(1s);
  ASSERT_TRUE(w.is_handed(0));
  w.pass(5s);
  EXPECT_EQ(w.interrupted.size(), 2u) << "each attempt has its own";
  w.finish(0);
  EXPECT_EQ(w.state(), S::FAILED);
}

TEST(Attempts, X8AnAnswerAtTheVeryMomentOfTheTimeOut) {
  MachineWorld w(LaborBuilder().task(1).jobs([](Job& j) { j.options.timeout = 5s; }).build());
  w.start();
  w.now += 5s;
  w.finish(0);  // before the Tick
  EXPECT_EQ(w.statuses(0), "SUCCESS");
  w.step(input::Tick{});
  EXPECT_TRUE(w.interrupted.empty());
  EXPECT_EQ(w.state(), S::COMPLETED);
}

TEST(Attempts, X8aACheckThatCannotBeEndedFailsTheTask) {
  MachineWorld w(LaborBuilder().task(1, 1, 1).jobs([](Job& j) { j.options.timeout = 5s, j.options.retries = 3; }).build());
  w.start();
  w.pass(5s);
  w.finish(0, A::SUCCESS, true);
  EXPECT_EQ(w.job(0).attempts[0].marks, Attempt::STILL_RUNNING);
  EXPECT_EQ(w.state(), S::FAILED);
  EXPECT_EQ(w.labor().reason, Reason::PRE_CHECK_FAILURE);
}

TEST(Attempts, X7ALaterJobIsNotTouchedByAnEarlierFailure) {
  MachineWorld w(LaborBuilder().task(1, 3).with([](Task& t) { t.tolerated_failures.number = 1; }).build());
  w.start();
  w.finish(0, A::FAILURE);
  EXPECT_EQ(w.state(), S::COMPLETED);
  for (const std::uint32_t j : {1u, 2u}) {
    EXPECT_EQ(w.job(j).state, S::NOT_STARTED);
    EXPECT_TRUE(w.job(j).attempts.empty());
    EXPECT_EQ(w.job(j).started, never);
    EXPECT_EQ(w.job(j).ended, never);
  }
}

TEST(Attempts, X9NothingThatComesTooLateChangesAnything) {
  MachineWorld w(LaborBuilder().task(2, 2, 1, 1).jobs([](Job& j) { j.options.retries = 1, j.options.retry_delay = 5s; }).build());
  w.durable = false;
  w.start();
  const auto checks = w.opened;
  w.durable = true;
  w.settle();
  w.finish(0), w.finish(1);
  w.finish(2, A::FAILURE);
  ASSERT_TRUE(w.next_wake());
  const auto before = w.labor();
  const auto history = w.history.size();
  for (std::uint32_t job = 0; job < before.jobs.size(); ++job) {
    if (w.is_handed(job)) continue;
    for (const bool still_running : {false, true}) w.step(input::Ended{job, {}, still_running});
    w.step(input::Begin{job});
    for (const auto& o : checks) w.step(input::Recorded{job, o.serial});
  }
  w.step(input::Tick{});
  EXPECT_EQ(w.labor(), before);
  EXPECT_EQ(w.history.size(), history);
}

TEST(Attempts, D2AnAttemptIsHandedOverOnceItsRecordIsDurable) {
  MachineWorld w(LaborBuilder().task(1, 2).build());
  w.durable = false;
  w.start();
  EXPECT_EQ(w.statuses(0), "OPEN") << "from the moment that its start is recorded";
  EXPECT_EQ(w.machine.executing(), 1u);
  EXPECT_TRUE(w.handed.empty());
  w.step(input::Recorded{0, w.opened.front().serial});
  EXPECT_EQ(w.handed.size(), 1u);
  w.step(input::Recorded{0, w.opened.front().serial});
  EXPECT_EQ(w.handed.size(), 1u) << "once";
}

// An executor may say that the Cog was never called: what it was asked to end had not got so far.
TEST(Attempts, G3WhatWasNeverCalledIsWithdrawn) {
  for (const bool check : {false, true}) {
    const auto tree = [&] { return LaborBuilder().task(1, 2, check ? 1 : 0).jobs([](Job& j) { j.options.timeout = 5s; }).build(); };
    MachineWorld held(tree());
    held.start();
    const auto pause = held.signal(Signal::PAUSE);
    EXPECT_FALSE(held.acked(pause));
    held.finish(0, A::WITHDRAWN);
    EXPECT_EQ(held.statuses(0), "WITHDRAWN");
    EXPECT_EQ(held.job(0).state, S::RUNNING);
    EXPECT_TRUE(held.acks.at(pause).applied) << "nothing executes any more";
    held.signal(Signal::RESUME);
    EXPECT_EQ(held.statuses(0), "WITHDRAWN OPEN") << "it begins anew, and has used up no retry";

    for (const bool interrupt : {false, true}) {
      MachineWorld stopped(tree());
      stopped.start();
      stopped.signal(Signal::STOP, interrupt);
      stopped.finish(0, A::WITHDRAWN);
      EXPECT_EQ(stopped.job(0).state, S::STOPPED);
      EXPECT_EQ(stopped.statuses(0), "WITHDRAWN");
      EXPECT_EQ(stopped.state(), S::STOPPED);
    }

    MachineWorld resumed(tree());
    resumed.start();
    resumed.signal(Signal::PAUSE);
    resumed.signal(Signal::RESUME);
    resumed.finish(0, A::WITHDRAWN);
    EXPECT_EQ(resumed.statuses(0), "WITHDRAWN OPEN") << "nothing holds it by now";

    MachineWorld late(tree());
    late.start();
    late.pass(5s);
    late.finish(0, A::WITHDRAWN);
    EXPECT_EQ(late.statuses(0), "WITHDRAWN OPEN") << "its time cannot have run out";
  }
}

TEST(Attempts, D2TheRecordOfAWithdrawnAttemptHandsNothingOver) {
  MachineWorld w(LaborBuilder().task(1).build());
  w.durable = false;
  w.start();
  w.signal(Signal::PAUSE);
  w.signal(Signal::RESUME);
  ASSERT_EQ(w.opened.size(), 2u);
  w.step(input::Recorded{0, w.opened[0].serial});
  EXPECT_TRUE(w.handed.empty()) << "the second one's start is not durable yet";
  w.step(input::Recorded{0, w.opened[1].serial});
  EXPECT_EQ(w.handed.size(), 1u);
}

TEST(Attempts, X13ChecksSayThatTheyAreChecks) {
  LaborMachine machine(LaborBuilder().task(1, 1, 1, 1).build());
  Effects effects;
  machine.step(input::Start{}, {from_micros(1), {}}, effects);
  ASSERT_EQ(effects.ready.size(), 2u);
  EXPECT_TRUE(effects.ready[0].check && effects.ready[1].check);
}

TEST(Attempts, X13AWorkerThatComesTooLateStaysFree) {
  LaborMachine machine(LaborBuilder().task(1).build());
  Effects effects;
  machine.step(input::Start{}, {from_micros(1), {}}, effects);
  ASSERT_EQ(effects.ready.size(), 1u);
  machine.step(input::Signalled{{}, Signal::PAUSE, false, 1, {}, {}}, {from_micros(2), {}}, effects);
  effects.clear();
  machine.step(input::Begin{0}, {from_micros(3), {}}, effects);
  EXPECT_TRUE(effects.opened.empty());
  EXPECT_TRUE(effects.empty());
  machine.step(input::Signalled{{}, Signal::RESUME, false, 2, {}, {}}, {from_micros(4), {}}, effects);
  EXPECT_EQ(effects.ready.size(), 1u) << "it wants a worker again";
}

TEST(Attempts, X13TheWaitForAWorkerIsNotPartOfTheAttempt) {
  MachineWorld w(
      LaborBuilder().task(2).with([](Task& t) { t.concurrency.number = 2; }).jobs([](Job& j) { j.options.timeout = 60s; }).build(),
      1);
  w.start();
  w.pass(30s);
  w.finish(0);
  EXPECT_EQ(w.job(1).attempts.at(0).started, w.now);
  w.pass(59s);
  EXPECT_TRUE(w.interrupted.empty());
  w.pass(1s);
  EXPECT_EQ(w.interrupted.size(), 1u);
}

TEST(Closing, NothingBeginsAnyMoreAndWhatExecutesMayEnd) {
  MachineWorld w(
      LaborBuilder().task(3, 2, 0, 1).with([](Task& t) { t.concurrency.number = 2, t.cont_check_interval = 5s; }).build());
  w.start();
  w.finish(0);
  w.durable = false;
  w.finish(1);  // its second Job is being recorded
  ASSERT_EQ(w.opened.size(), 1u);
  w.step(input::Closing{});
  EXPECT_EQ(w.statuses(2), "WITHDRAWN");
  EXPECT_EQ(w.job(2).state, S::RUNNING);
  w.durable = true;
  w.settle();
  w.finish(3);
  w.pass(1h);
  EXPECT_TRUE(w.handed.empty());
  EXPECT_EQ(w.state(), S::RUNNING);
  EXPECT_EQ(w.job(4).state, S::NOT_STARTED);

  MachineWorld next{Labor(w.labor())};
  next.now = w.now;
  next.step(input::Recovered{});
  next.settle();
  EXPECT_TRUE(next.is_handed(0) && next.is_handed(2) && next.is_handed(4));
  EXPECT_EQ(next.statuses(2), "WITHDRAWN OPEN");
}

}  // namespace
}  // namespace cogwork::test
