#include "cogwork/cogs/pull_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "cogwork/base/random.h"

namespace cogwork {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// Keeps what was reported.
class Sink : public OutcomeSink {
 public:
  void ended(AttemptKey key, Outcome outcome) override {
    {
      const std::lock_guard lock(mutex_);
      ended_[key].push_back(std::move(outcome));
      ++count_;
    }
    changed_.notify_all();
  }
  void progressed(AttemptKey key, double fraction, Text message) override {
    const std::lock_guard lock(mutex_);
    progress_.emplace_back(key, fraction, message.str());
  }
  std::vector<Outcome> of(AttemptKey key) {
    const std::lock_guard lock(mutex_);
    return ended_[key];
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  bool wait_for(std::size_t reports) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return count_ >= reports; });
  }
  bool none_twice() {
    const std::lock_guard lock(mutex_);
    return std::all_of(ended_.begin(), ended_.end(), [](const auto& e) { return e.second.size() <= 1; });
  }
  std::vector<std::tuple<AttemptKey, double, std::string>> progress() {
    const std::lock_guard lock(mutex_);
    return progress_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<AttemptKey, std::vector<Outcome>> ended_;
  std::size_t count_ = 0;
  std::vector<std::tuple<AttemptKey, double, std::string>> progress_;
};

std::shared_ptr<const CogInfo> make_cog(const std::string& name) {
  auto info = std::make_shared<CogInfo>();
  info->name = name;
  info->origin = "test:" + name;
  return info;
}

AttemptRequest request(AttemptKey key, std::shared_ptr<const CogInfo> cog) {
  AttemptRequest r;
  r.key = key;
  r.cog = std::move(cog);
  return r;
}

Outcome success() { return Outcome{}; }

/// Threads as the bindings have them: each takes, starts one more where it is told to, calls, and reports.
class Workers {
 public:
  using Run = std::function<Outcome(const Call&)>;
  Workers(PullQueue& queue, Run run) : queue_(queue), run_(std::move(run)) { add(); }
  ~Workers() {
    queue_.close();
    join();
  }
  void join() {
    while (true) {
      std::vector<std::thread> threads;
      {
        const std::lock_guard lock(mutex_);
        threads.swap(threads_);
      }
      if (threads.empty()) return;
      for (auto& t : threads) t.join();
    }
  }
  int most() const { return most_; }
  int started() const { return started_; }

 private:
  void add() {
    ++started_;
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this] { work(); });
  }
  void work() {
    queue_.enter();
    while (true) {
      auto taken = queue_.try_take();
      if (!taken) taken = queue_.take();
      if (!taken->call) break;
      if (taken->grow) add();
      taken->call->begun();
      const int now = ++running_;
      for (int most = most_; now > most && !most_.compare_exchange_weak(most, now);) {
      }
      auto outcome = run_(*taken->call);
      --running_;
      queue_.finish(taken->call, std::move(outcome));
    }
    queue_.leave();
  }

  PullQueue& queue_;
  const Run run_;
  std::atomic<int> running_{0}, most_{0}, started_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

bool eventually(const std::function<bool()>& condition) {
  for (const auto end = steady_clock::now() + 30s; steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(200us);
  }
  return false;
}

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

class PullQueueTest : public ::testing::Test {
 protected:
  /// Lets the queue see so many calls of no length that `what` counts as short. It needs eight; those that a loaded machine spoiled have
  /// to be outweighed.
  void make_brief(PullQueue& queue, const std::shared_ptr<const CogInfo>& what) {
    int unspoiled = 0;  // the last ones, without a break
    for (int i = 0; i < 10'000 && unspoiled < 20; ++i) {
      const auto before = steady_clock::now();
      queue.start(request(next_++, what));
      auto taken = queue.try_take();
      ASSERT_TRUE(taken && taken->call);
      queue.finish(taken->call, success());
      unspoiled = steady_clock::now() - before < 150us ? unspoiled + 1 : 0;
    }
  }
  AttemptKey next_ = 1'000'000;
  Sink sink;
  const std::shared_ptr<const CogInfo> cog = make_cog("upgrade");
};

TEST_F(PullQueueTest, HandsOutInOrderAndReports) {
  PullQueue queue(sink, 4);
  EXPECT_FALSE(queue.try_take());
  for (AttemptKey key = 1; key <= 3; ++key) queue.start(request(key, cog));
  EXPECT_EQ(queue.figures().queued, 3);
  std::vector<std::shared_ptr<Call>> calls;
  for (AttemptKey key = 1; key <= 3; ++key) {
    auto taken = queue.try_take();
    ASSERT_TRUE(taken && taken->call);
    EXPECT_EQ(taken->call->request().key, key);
    calls.push_back(taken->call);
  }
  EXPECT_FALSE(queue.try_take());
  EXPECT_EQ(queue.figures().running, 3);
  Outcome failed;
  failed.status = AttemptStatus::FAILURE;
  failed.error = "no route";
  queue.finish(calls[1], failed);
  ASSERT_EQ(sink.of(2).size(), 1u);
  EXPECT_EQ(sink.of(2)[0].error, "no route");
  EXPECT_EQ(queue.figures().running, 2);
}

TEST_F(PullQueueTest, ASecondReportIsDropped) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  const auto call = queue.take().call;
  queue.finish(call, success());
  Outcome late;
  late.status = AttemptStatus::FAILURE;
  queue.finish(call, late);
  ASSERT_EQ(sink.of(1).size(), 1u);
  EXPECT_EQ(sink.of(1)[0].status, AttemptStatus::SUCCESS);
  EXPECT_EQ(queue.figures().running, 0);
}

TEST_F(PullQueueTest, X8_KnowsWhenTheCogWasCalled) {
  PullQueue queue(sink, 4);
  const auto before = BootClock::now();
  queue.start(request(1, cog));
  EXPECT_FALSE(queue.called(1)) << "nobody has taken it";
  const auto call = queue.take().call;
  EXPECT_FALSE(queue.called(1)) << "who has taken it waits for something else";
  call->begun();
  ASSERT_TRUE(queue.called(1));
  EXPECT_GE(*queue.called(1), before);
  EXPECT_LE(*queue.called(1), BootClock::now());
  queue.finish(call, success());
  EXPECT_FALSE(queue.called(1)) << "it has answered";
  queue.start(request(2, cog));
  auto drained = queue.drain();
  EXPECT_FALSE(queue.called(2)) << "the loop that has it is busy with others";
  drained.calls[0]->begun();
  EXPECT_TRUE(queue.called(2));
}

TEST_F(PullQueueTest, X8_SaysWhetherAnAnswerWasThereBeforeTheCallWasAskedToEnd) {
  PullQueue queue(sink, 4);
  for (const AttemptKey key : {1u, 2u}) queue.start(request(key, cog));
  for (const AttemptKey key : {1u, 2u}) {
    const auto call = queue.take().call;
    call->begun();
    if (key == 2) queue.interrupt(2);
    queue.finish(call, success());
  }
  EXPECT_TRUE(sink.of(1)[0].unasked);
  EXPECT_FALSE(sink.of(2)[0].unasked);
}

// ---- growing ----

TEST_F(PullQueueTest, GrowsOneAtATimeUpToTheLimitAndOneWhoWaits) {
  PullQueue queue(sink, 2);
  queue.enter();
  for (AttemptKey key = 1; key <= 5; ++key) queue.start(request(key, cog));
  EXPECT_TRUE(queue.try_take()->grow);
  EXPECT_FALSE(queue.try_take()->grow) << "one is starting already";
  queue.enter();
  EXPECT_TRUE(queue.try_take()->grow) << "two threads may run, a third waits";
  queue.enter();
  EXPECT_FALSE(queue.try_take()->grow) << "there are limit + 1";
  EXPECT_EQ(queue.figures().threads, 3);
}

TEST_F(PullQueueTest, DoesNotGrowWhileATakerWaits) {
  PullQueue queue(sink, 8);
  std::array<std::promise<bool>, 3> grows;
  std::atomic<std::size_t> taken{0};
  std::vector<std::thread> takers;
  for (int i = 0; i < 2; ++i) {
    takers.emplace_back([&] {
      queue.enter();
      const auto t = queue.take();
      grows[taken++].set_value(t.grow);
    });
  }
  ASSERT_TRUE(eventually([&] { return queue.figures().idle == 2; }));
  queue.start(request(1, cog));
  EXPECT_FALSE(grows[0].get_future().get()) << "the other one still waits";
  queue.start(request(2, cog));
  EXPECT_TRUE(grows[1].get_future().get()) << "nobody would be left";
  for (auto& t : takers) t.join();
}

TEST_F(PullQueueTest, AThreadThatCouldNotBeStartedIsAskedForAgain) {
  PullQueue queue(sink, 8);
  queue.enter();
  queue.start(request(1, cog));
  queue.start(request(2, cog));
  EXPECT_TRUE(queue.try_take()->grow);
  queue.not_grown();
  EXPECT_TRUE(queue.try_take()->grow);
}

TEST_F(PullQueueTest, X13_BlockingCallsAllRunAtOnce) {
  constexpr int kLimit = 12;
  PullQueue queue(sink, kLimit);
  std::atomic<int> inside{0};
  Workers workers(queue, [&](const Call&) {
    ++inside;
    EXPECT_TRUE(eventually([&] { return inside >= kLimit; }));
    return success();
  });
  for (AttemptKey key = 1; key <= kLimit; ++key) queue.start(request(key, cog));
  EXPECT_TRUE(sink.wait_for(kLimit));
  EXPECT_EQ(workers.most(), kLimit);
  EXPECT_LE(workers.started(), kLimit + 1);
}

TEST_F(PullQueueTest, ManyCallsOnManyThreadsAreEachReportedOnce) {
  constexpr std::size_t kCalls = 20'000;
  PullQueue queue(sink, 8);
  const auto brief = make_cog("brief"), blocking = make_cog("blocking");
  {
    Workers workers(queue, [](const Call& call) {
      if (call.request().cog->name == "blocking") std::this_thread::sleep_for(300us);
      return success();
    });
    for (std::size_t i = 0; i < kCalls; ++i) {
      queue.start(request(i, i % 50 == 0 ? blocking : brief));
      if (i % 64 == 63) {  // as an engine, which has a bounded number of places
        ASSERT_TRUE(sink.wait_for(i > 200 ? i - 200 : 1));
      }
    }
    ASSERT_TRUE(sink.wait_for(kCalls));
    EXPECT_LE(workers.started(), 9);
  }
  EXPECT_EQ(sink.count(), kCalls);
  EXPECT_TRUE(sink.none_twice());
  const auto f = queue.figures();
  EXPECT_EQ(f.threads, 0);
  EXPECT_EQ(f.running, 0);
  EXPECT_EQ(f.queued, 0);
}

// ---- short Cogs ----

TEST_F(PullQueueTest, TheNeighbourOfAShortCallIsLeftToItsThreadForAMillisecond) {
  PullQueue queue(sink, 8);
  make_brief(queue, cog);
  // The machine may stall between any two of these lines; then the neighbour's millisecond is over. One clean run will do.
  EXPECT_TRUE(eventually([&] {
    const auto before = steady_clock::now();
    queue.start(request(next_++, cog));
    const auto first = queue.try_take();
    queue.start(request(next_++, cog));
    const auto second = queue.try_take();
    const bool in_time = steady_clock::now() - before < 1ms;
    queue.finish(first->call, success());
    const auto third = second ? second : queue.try_take();
    EXPECT_TRUE(third) << "the short call is over: its thread takes the next at once";
    if (third) queue.finish(third->call, success());
    EXPECT_FALSE(in_time && second);
    return in_time;
  }));
}

TEST_F(PullQueueTest, AnotherThreadTakesOverWhenTheNeighbourHasWaited) {
  PullQueue queue(sink, 8);
  make_brief(queue, cog);
  queue.start(request(1, cog));
  const auto before = steady_clock::now();  // of the first call's millisecond
  const auto first = queue.take().call;
  std::thread idle([&] {
    const auto taken = queue.take();
    EXPECT_EQ(taken.call->request().key, 2u);
    EXPECT_GE(steady_clock::now() - before, 900us);
    queue.finish(taken.call, success());
  });
  ASSERT_TRUE(eventually([&] { return queue.figures().idle == 1; }));
  queue.start(request(2, cog));
  idle.join();
  EXPECT_EQ(sink.of(1).size(), 0u) << "the first still runs: what was short before blocks now, and holds up nobody";
  queue.finish(first, success());
}

TEST_F(PullQueueTest, AShortCallThatBlocksIsNoReasonToWaitAnyMore) {
  PullQueue queue(sink, 8);
  make_brief(queue, cog);
  queue.start(request(1, cog));
  const auto stuck = queue.take().call;
  std::this_thread::sleep_for(2ms);
  const auto slow = make_cog("slow");
  for (AttemptKey key = 2; key <= 4; ++key) queue.start(request(key, slow));
  for (AttemptKey key = 2; key <= 4; ++key) {
    const auto taken = queue.try_take();
    ASSERT_TRUE(taken) << key;
    EXPECT_EQ(taken->call->request().key, key);
    queue.finish(taken->call, success());
  }
  queue.finish(stuck, success());
}

TEST_F(PullQueueTest, ACogIsShortOnlyAfterEightMeasuredCalls) {
  PullQueue queue(sink, 8);
  for (AttemptKey key = 1; key <= 7; ++key) {
    queue.start(request(key, cog));
    queue.finish(queue.try_take()->call, success());
  }
  queue.start(request(8, cog));
  queue.start(request(9, cog));
  const auto eighth = queue.try_take();
  EXPECT_TRUE(queue.try_take()) << "not measured yet: its neighbour does not wait";
  queue.finish(eighth->call, success());
}

TEST_F(PullQueueTest, ALongCallMakesNoCogShort) {
  PullQueue queue(sink, 8);
  for (AttemptKey key = 1; key <= 10; ++key) {
    queue.start(request(key, cog));
    const auto call = queue.try_take()->call;
    std::this_thread::sleep_for(400us);
    queue.finish(call, success());
  }
  queue.start(request(11, cog));
  queue.start(request(12, cog));
  EXPECT_TRUE(queue.try_take());
  EXPECT_TRUE(queue.try_take());
}

TEST_F(PullQueueTest, ACogThatIsRegisteredAnewIsMeasuredAnew) {
  PullQueue queue(sink, 8);
  make_brief(queue, cog);
  const auto again = make_cog("upgrade");
  queue.start(request(1, again));
  queue.start(request(2, again));
  EXPECT_TRUE(queue.try_take());
  EXPECT_TRUE(queue.try_take());
  for (AttemptKey key = 100; key < 400; ++key) {  // Cogs that are gone are forgotten
    queue.start(request(key, make_cog("passing")));
    queue.finish(queue.try_take()->call, success());
  }
}

TEST_F(PullQueueTest, ABlockingCallHoldsUpNobodyWhateverTheOrder) {
  PullQueue queue(sink, 8);
  const auto blocking = make_cog("blocking");
  std::promise<void> release;
  const auto released = release.get_future().share();
  {
    Workers workers(queue, [&](const Call& call) {
      if (call.request().cog->name == "blocking") released.wait();
      return success();
    });
    AttemptKey key = 1;
    for (; key <= 200; ++key) queue.start(request(key, cog));
    ASSERT_TRUE(sink.wait_for(200));
    for (int i = 0; i < 4; ++i) queue.start(request(key++, blocking));
    for (int i = 0; i < 200; ++i) queue.start(request(key++, cog));
    EXPECT_TRUE(sink.wait_for(400)) << "all short ones end while four block";
    release.set_value();
    EXPECT_TRUE(sink.wait_for(404));
  }
}

// ---- interrupting and abandoning ----

TEST_F(PullQueueTest, AnInterruptMarksTheCallAndWakesItsSleep) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  queue.start(request(2, cog));
  const auto one = queue.take().call, two = queue.take().call;
  std::thread sleeper([&] { EXPECT_FALSE(queue.sleep(*one, 1h)); });
  std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(one->cancelled());
  queue.interrupt(1);
  queue.interrupt(1);
  sleeper.join();
  EXPECT_TRUE(one->cancelled());
  EXPECT_FALSE(two->cancelled());
  EXPECT_EQ(sink.count(), 0u) << "the call itself reports";
  queue.finish(one, success());
  EXPECT_EQ(sink.of(1).size(), 1u);
  queue.interrupt(1);   // over
  queue.interrupt(77);  // never was
}

TEST_F(PullQueueTest, ASleepThatIsNotDisturbedIsSleptOut) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  const auto call = queue.take().call;
  const auto before = steady_clock::now();
  EXPECT_TRUE(queue.sleep(*call, 20ms));
  EXPECT_GE(steady_clock::now() - before, 20ms);
  EXPECT_TRUE(queue.sleep(*call, -1s));
  std::thread sleeper([&] { EXPECT_FALSE(queue.sleep(*call, Duration::max())); });
  std::this_thread::sleep_for(2ms);
  queue.interrupt(1);
  sleeper.join();
  EXPECT_FALSE(queue.sleep(*call, 1h)) << "cancelled already";
  EXPECT_FALSE(queue.sleep(*call, 0s));
}

TEST_F(PullQueueTest, AnInterruptedCallThatWaitsIsNeverHandedOut) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  queue.start(request(2, cog));
  queue.interrupt(1);
  ASSERT_EQ(sink.of(1).size(), 1u);
  EXPECT_EQ(sink.of(1)[0].status, AttemptStatus::WITHDRAWN);
  queue.abandon(1);  // nothing to do
  EXPECT_EQ(queue.try_take()->call->request().key, 2u);
  EXPECT_EQ(queue.figures().abandoned_ever, 0u);
}

TEST_F(PullQueueTest, AnAbandonedCallThatWaitsIsGone) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  queue.abandon(1);
  EXPECT_FALSE(queue.try_take());
  EXPECT_EQ(sink.count(), 0u);
  EXPECT_EQ(queue.figures().abandoned, 0);
}

TEST_F(PullQueueTest, X8a_AnAbandonedCallIsReplacedAndItsReportDropped) {
  PullQueue queue(sink, 1);
  std::promise<void> release;
  const auto released = release.get_future().share();
  Workers workers(queue, [&](const Call& call) {
    if (call.request().key <= 3) released.wait();
    return success();
  });
  for (AttemptKey key = 1; key <= 3; ++key) {
    queue.start(request(key, cog));
    ASSERT_TRUE(eventually([&] { return queue.figures().running == 1; }));
    queue.interrupt(key);
    queue.abandon(key);
    queue.abandon(key);
  }
  EXPECT_EQ(queue.figures().abandoned, 3);
  queue.start(request(4, cog));
  ASSERT_TRUE(sink.wait_for(1)) << "its place was replaced";
  EXPECT_EQ(sink.of(4).size(), 1u);
  EXPECT_TRUE(eventually([&] { return queue.figures().threads == 5; })) << "three lost, one that runs, one that waits";

  release.set_value();
  EXPECT_TRUE(eventually([&] { return queue.figures().abandoned == 0; }));
  EXPECT_TRUE(eventually([&] { return queue.figures().threads == 2; })) << "the surplus ends";
  EXPECT_EQ(queue.figures().abandoned_ever, 3u);
  EXPECT_EQ(sink.count(), 1u);
  queue.start(request(5, cog));
  EXPECT_TRUE(sink.wait_for(2));
}

TEST_F(PullQueueTest, ProgressOfARunningCallOnly) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  queue.start(request(2, cog));
  const auto one = queue.take().call, two = queue.take().call;
  queue.progress(*one, 0.5, "copying");
  queue.abandon(2);
  queue.progress(*two, 0.7, "late");
  queue.finish(one, success());
  queue.progress(*one, 1.0, "late");
  queue.finish(two, success());
  EXPECT_EQ(sink.progress(), (std::vector<std::tuple<AttemptKey, double, std::string>>{{1, 0.5, "copying"}}));
}

// ---- event loops ----

TEST_F(PullQueueTest, AnEventLoopDrainsWhenTheDescriptorIsReadable) {
  PullQueue queue(sink, 4);
  EXPECT_NE(fcntl(queue.fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fcntl(queue.fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_FALSE(readable(queue.fd()));
  for (AttemptKey key = 1; key <= 3; ++key) queue.start(request(key, cog));
  EXPECT_TRUE(readable(queue.fd()));
  auto drained = queue.drain();
  EXPECT_EQ(drained.calls.size(), 3u);
  EXPECT_TRUE(drained.cancelled.empty());
  EXPECT_FALSE(readable(queue.fd()));
  EXPECT_TRUE(queue.drain().calls.empty());

  queue.interrupt(1);
  queue.interrupt(2);
  EXPECT_TRUE(readable(queue.fd()));
  queue.finish(drained.calls[1], success());  // ended by itself meanwhile
  const auto again = queue.drain();
  EXPECT_TRUE(again.calls.empty());
  EXPECT_EQ(again.cancelled, std::vector<AttemptKey>{1});
  EXPECT_FALSE(readable(queue.fd()));

  queue.start(request(4, cog));
  queue.interrupt(4);
  EXPECT_EQ(sink.of(4).size(), 1u);
  EXPECT_TRUE(queue.drain().calls.empty());
  EXPECT_FALSE(queue.drain().closed);
  queue.close();
  EXPECT_TRUE(readable(queue.fd()));
  EXPECT_TRUE(queue.drain().closed);
  for (const auto& call : drained.calls) queue.finish(call, success());
  EXPECT_EQ(queue.figures().running, 0);
  EXPECT_EQ(sink.count(), 4u);
}

TEST_F(PullQueueTest, NothingIsLostBetweenStartAndDrain) {
  constexpr AttemptKey kCalls = 20'000;
  PullQueue queue(sink, 4);
  std::thread loop([&] {
    AttemptKey next = 0;
    while (next < kCalls) {
      pollfd p{queue.fd(), POLLIN, 0};
      ASSERT_EQ(poll(&p, 1, 30'000), 1) << "calls wait and nobody said so";
      for (auto& call : queue.drain().calls) {
        EXPECT_EQ(call->request().key, next++);
        queue.finish(call, success());
      }
    }
  });
  for (AttemptKey key = 0; key < kCalls; ++key) queue.start(request(key, cog));
  loop.join();
  EXPECT_EQ(sink.count(), kCalls);
}

// ---- closing ----

TEST_F(PullQueueTest, CloseBringsEveryTakerBackAndDropsWhatWaits) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  const auto running = queue.take().call;
  std::vector<std::thread> takers;
  for (int i = 0; i < 5; ++i) {
    takers.emplace_back([&] {
      queue.enter();
      EXPECT_EQ(queue.take().call, nullptr);
      queue.leave();
    });
  }
  ASSERT_TRUE(eventually([&] { return queue.figures().idle == 5; }));
  queue.close();
  queue.close();
  for (auto& t : takers) t.join();
  queue.start(request(2, cog));
  EXPECT_EQ(queue.figures().queued, 0);
  ASSERT_TRUE(queue.try_take());
  EXPECT_EQ(queue.try_take()->call, nullptr);
  EXPECT_EQ(queue.take().call, nullptr);
  queue.finish(running, success());
  EXPECT_EQ(sink.count(), 1u) << "what ran reports";
  EXPECT_EQ(queue.figures().threads, 0);
}

TEST_F(PullQueueTest, CloseAtAnyMoment) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Sink mine;
    PullQueue queue(mine, 3);
    const auto a = make_cog("a"), b = make_cog("b");
    std::atomic<std::uint64_t> begun{0};
    {
      Workers workers(queue, [&](const Call& call) {
        ++begun;
        if (call.request().cog->name == "b") queue.sleep(call, 1ms);
        return success();
      });
      std::thread scheduler([&, seed] {
        Random random(seed);
        for (AttemptKey key = 1; key <= 200; ++key) {
          queue.start(request(key, random.chance(0.1) ? b : a));
          if (random.chance(0.1)) queue.interrupt(key - random.below(std::min<AttemptKey>(key, 5)));
          if (random.chance(0.05)) queue.abandon(key - random.below(std::min<AttemptKey>(key, 5)));
        }
      });
      Random random(seed * 7919);
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(2'000)));
      queue.close();
      scheduler.join();
    }
    ASSERT_TRUE(mine.none_twice()) << seed;
    const auto f = queue.figures();
    ASSERT_EQ(f.threads, 0) << seed;
    ASSERT_EQ(f.running, 0) << seed;
    ASSERT_EQ(f.abandoned, 0) << seed;
    ASSERT_EQ(f.queued, 0) << seed;
    ASSERT_EQ(f.idle, 0) << seed;
  }
}

TEST_F(PullQueueTest, CloseWakesThoseWhoSleep) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  const auto call = queue.take().call;
  std::thread sleeper([&] { EXPECT_FALSE(queue.sleep(*call, 1h)); });
  std::this_thread::sleep_for(2ms);
  queue.close();
  sleeper.join();
}

TEST_F(PullQueueTest, LeaversAreWaitedForAndRunningCallsAreNot) {
  PullQueue queue(sink, 4);
  queue.start(request(1, cog));
  queue.enter();  // this thread takes a call, and another waits for one
  const auto call = queue.take().call;
  std::promise<void> waits;
  std::thread idle([&] {
    queue.enter();
    waits.set_value();
    EXPECT_EQ(queue.take().call, nullptr);
    std::this_thread::sleep_for(5ms);
    queue.leave();
  });
  waits.get_future().wait();
  EXPECT_FALSE(queue.wait_for_leavers(1ms));
  queue.close();
  EXPECT_TRUE(queue.wait_for_leavers(60s));
  EXPECT_EQ(queue.figures().threads, 1);
  idle.join();
  queue.finish(call, {});
  EXPECT_FALSE(queue.wait_for_leavers(1ms));
  queue.leave();
  EXPECT_TRUE(queue.wait_for_leavers(1ms));
}

TEST_F(PullQueueTest, ACallMayOutliveItsQueue) {
  std::shared_ptr<Call> call;
  {
    PullQueue queue(sink, 4);
    queue.start(request(1, cog));
    call = queue.take().call;
    queue.close();
  }
  EXPECT_EQ(call->request().key, 1u);
  EXPECT_FALSE(call->cancelled());
}

}  // namespace
}  // namespace cogwork
