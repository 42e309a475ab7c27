// The red button works in the emergency: a crisis, a stop, figures and the end wait for no store, Cog, process or other client.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <list>
#include <thread>

#include "cogwork/engine/errands.h"
#include "cogwork/engine/submit_desk.h"
#include "support/control_client.h"
#include "support/faulty_store.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

std::string crisis(std::int64_t id) { return request(id, "crisis_pause"); }

/// Of a map in a reply.
std::string field_of(std::string_view value, std::string_view name) {
  WireReader reader(value);
  for (auto pairs = reader.map().value_or(0); pairs > 0; --pairs) {
    if (reader.text() == name) return std::string(reader.value());
    reader.value();
  }
  return {};
}

bool is_true(std::string_view value) { return WireReader(value).boolean().value_or(false); }

/// An engine in trouble: one Labor runs, with a call that goes on; one waits for its start; one has ended.
class Emergency : public Control {
 protected:
  Emergency() : store(std::make_shared<FaultyStore>(reopened())) {
    EngineOptions options;
    options.grace = 1ms;
    w = std::make_unique<EngineWorld>(
        store, options,
        std::map<std::string, Function>{{"block", [&](const Call&) { return gate.enter(), Outcome{}; }},
                                        {"ok", [](const Call&) { return Outcome{}; }}});
    ended = w->submit(tree_of(1));
    w->wait(ended);
    waiting = w->submit(tree_of(1), false);
    running = w->submit(tree_of(4, "block", 2));
    gate.wait_for(2);
    while (w->engine->stats().commits.queued > 0) std::this_thread::yield();
  }
  ~Emergency() override {
    gate.open();
    store->release();
    store->mend();
    w.reset();
    while (store.use_count() > 1) std::this_thread::yield();  // who hung in it lets go of it
  }

  std::unique_ptr<Client> client() {
    auto made = std::make_unique<Client>(w->engine->control().addresses.front().name);
    made->send(hello());
    EXPECT_EQ(made->next(1).first, "ok");
    return made;
  }
  /// The red button, by another client and from inside.
  void expect_in_hand() {
    auto other = client();
    other->send(request(2, "stats"));
    EXPECT_EQ(other->next(2).first, "ok");
    other->send(crisis(3));
    EXPECT_EQ(other->next(3).first, "ok") << "it is in force";
    EXPECT_EQ(w->engine->state(running), S::PAUSING);
    other->send(request(4, "crises"));
    EXPECT_EQ(other->next(4).first, "ok");
    other->send(signal_of(5, running, Signal::STOP));
    EXPECT_EQ(other->next(5).first, "ok") << "it is taken";
    EXPECT_EQ(w->engine->state(running), S::STOPPING);
    const auto taken = std::make_shared<Completion>();
    w->engine->crisis_pause_async({}, [taken](const LatchSet&, const std::exception_ptr& error) {
      EXPECT_FALSE(error);
      taken->set();
    });
    taken->wait();
    EXPECT_EQ(w->engine->crises().size(), 2u);
    w->signal(running, Signal::STOP);
  }

  std::shared_ptr<FaultyStore> store;
  Gate gate;
  std::unique_ptr<EngineWorld> w;
  Id ended, waiting, running;
};
INSTANTIATE_TEST_SUITE_P(OnAFile, Emergency, testing::Values("sqlite"), [](const auto& of) { return of.param; });

TEST_P(Emergency, D6WhileTheDiskIsFull) {
  store->fail(store->applies() + 1, 1'000'000, true, "the disk is full");
  auto starts = client();
  starts->send(about(2, "start", waiting));
  starts->send(request(3, "stats"));
  EXPECT_EQ(starts->next(3).first, "ok") << "the same client is heard, too";
  while (!w->engine->stats().store.degraded) std::this_thread::yield();
  auto asks = client();
  asks->send(request(2, "stats"));
  const auto [key, stats] = asks->next(2);
  ASSERT_EQ(key, "ok");
  EXPECT_TRUE(is_true(field_of(stats, "degraded")));
  EXPECT_EQ(WireReader(field_of(stats, "degraded_reason")).text().value_or(""), "the disk is full");
  expect_in_hand();
  const auto report = w->engine->close(0ms, true);
  EXPECT_FALSE(report.all_durable);
  EXPECT_FALSE(report.store_hangs);
  EXPECT_EQ(report.store_trouble, "the disk is full");
  EXPECT_EQ(starts->next(2).first, "hung up");
}

TEST_P(Emergency, D6WhileAWriteHangs) {
  store->hold();
  auto starts = client();
  starts->send(about(2, "start", waiting));
  store->wait_for_held();
  auto asks = client();
  asks->send(request(2, "stats"));
  const auto [key, stats] = asks->next(2);
  ASSERT_EQ(key, "ok");
  EXPECT_TRUE(WireReader(field_of(stats, "writing_since")).integer()) << "a write is under way, since then";
  expect_in_hand();
  const auto report = w->engine->close(0ms, true);
  EXPECT_FALSE(report.all_durable);
  EXPECT_TRUE(report.store_hangs);
  EXPECT_NE(report.store_trouble.find("has not returned"), std::string::npos) << report.store_trouble;
  EXPECT_THROW(store->inner()->lock({}), StoreInUse) << "nobody writes beside it";
  store->release();
  for (bool free = false; !free; std::this_thread::yield()) {
    try {
      store->inner()->lock({});
      free = true;
    } catch (const StoreInUse&) {
    }
  }
}

TEST_P(Emergency, WhileReadsHang) {
  store->hold_reads();
  auto asks = client();
  for (int n = 0; n < 40; ++n) asks->send(about(10 + n, "state", ended));
  store->wait_for_held_reads(1);
  asks->send(about(2, "state", running));
  const auto [key, value] = asks->next(2);
  EXPECT_EQ(key, "ok") << "what runs here is answered, also to who waits for something else";
  EXPECT_EQ(WireReader(value).integer(), static_cast<int>(S::RUNNING));
  auto waits = client();
  waits->send(about(2, "decide", ended.with_ordinal(3)));
  waits->send(about(3, "logs", ended));
  waits->send(signal_of(4, ended, Signal::PAUSE));
  store->wait_for_held_reads(2);
  expect_in_hand();
  const auto report = w->engine->close(0ms, true);
  EXPECT_TRUE(report.all_durable) << "what it wrote is there";
  EXPECT_EQ(asks->next(10).first, "hung up");
}

TEST_P(Emergency, WhatReadsTheStoreIsAnsweredWhenItReturns) {
  store->hold_reads();
  auto asks = client(), other = client();
  for (int n = 0; n < 3; ++n) asks->send(about(10 + n, "state", ended));
  other->send(about(2, "end", ended));
  store->wait_for_held_reads(2);
  store->release();
  for (int n = 0; n < 3; ++n) EXPECT_EQ(asks->next(10 + n).first, "ok");
  EXPECT_EQ(other->next(2).first, "ok");
  EXPECT_EQ(other->next(2).first, "ended");
}

TEST_P(Emergency, R4WhatIsSentToALaborThatWaitsHoldsUpNobody) {
  w->engine->close(0ms, true);
  gate.open();
  w.reset();
  auto cogs = std::make_shared<CogRegistry>();  // that knows none of its Cogs
  Engine engine(store, cogs, {});
  ASSERT_EQ(engine.stats().waiting.size(), 2u);
  store->fail(store->applies() + 1, 1'000'000, true, "the disk is full");
  Client sends(engine.control().addresses.front().name), other(engine.control().addresses.front().name);
  sends.send(hello());
  sends.send(signal_of(2, waiting, Signal::PAUSE));
  other.send(hello());
  other.send(crisis(3));
  EXPECT_EQ(other.next(3).first, "ok");
  store->mend();
  EXPECT_EQ(sends.next(2).first, "ok") << "and it is answered when it is durable";
  EXPECT_EQ(other.next(3).first, "done");
  EXPECT_EQ(store->records(RecordKind::SIGNAL).size(), 1u);
}

// ---- crowds ----

/// This process may have so many descriptors.
class Limit {
 public:
  explicit Limit(rlim_t most) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit now{std::min(most, before_.rlim_max), before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~Limit() { setrlimit(RLIMIT_NOFILE, &before_); }
  Limit(const Limit&) = delete;

 private:
  rlimit before_{};
};

/// The lowest number that is free: so many, and no more, are to be had below it.
int lowest_free() {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return fd;
}

TEST_P(Emergency, AThousandIdleClientsMakeRoomForOneMore) {
  const Limit limit(4096);
  std::list<std::unique_ptr<Client>> crowd;
  for (int n = 0; n < 1000; ++n) crowd.push_back(client());
  expect_in_hand();
  std::thread hears([&] { EXPECT_EQ(crowd.front()->next(2).first, "hung up") << "who was idle for longest"; });
  for (int n = 0; n < 40; ++n) {
    client();  // one after another
    std::this_thread::sleep_for(50ms);
  }
  hears.join();
  crowd.back()->send(request(2, "stats"));
  EXPECT_EQ(crowd.back()->next(2).first, "ok");
}

TEST_P(Emergency, AThousandClientsThatWaitLeaveRoomForWhoAsksAndGoes) {
  const Limit limit(4096);
  std::list<std::unique_ptr<Client>> crowd;
  for (int n = 0; n < 1000; ++n) {
    crowd.push_back(client());
    crowd.back()->send(about(2, "end", running));
    ASSERT_EQ(crowd.back()->next(2).first, "ok") << n;
  }
  expect_in_hand();
  auto more = client();
  more->send(about(2, "end", running));
  EXPECT_NE(more->error_of(2).find("ResourceError: the engine serves 1000 clients"), std::string::npos);
  // Those that are kept waiting by something of their own: the last of them is told.
  store->hold_reads();
  std::string said;
  for (int n = 0; n < 20 && said.empty(); ++n) {
    crowd.push_back(std::make_unique<Client>(w->engine->control().addresses.front().name));
    crowd.back()->send(hello());
    if (const auto greeted = crowd.back()->next_of_any(); greeted.first != 1) {
      said = greeted.second;
    } else {
      crowd.back()->send(about(2, "state", ended));
      crowd.back()->send(about(3, "state", running));
      ASSERT_EQ(crowd.back()->next(3).first, "ok");
    }
  }
  EXPECT_EQ(said, "error");
  crowd.erase(std::next(crowd.begin(), 10), std::next(crowd.begin(), 30));
  store->release();
  for (bool served = false; !served; std::this_thread::yield()) {
    Client again(w->engine->control().addresses.front().name);
    again.send(hello());
    served = again.next(1).first == "ok";
  }
}

TEST_P(Emergency, WithoutADescriptorOneMoreIsServed) {
  auto idle = client();
  std::list<Client> dialling(8);
  std::this_thread::sleep_for(1100ms);  // so long one is not idle, but about to ask
  const Limit limit(static_cast<rlim_t>(lowest_free()));
  ASSERT_EQ(open("/dev/null", O_RDONLY), -1);
  const auto path = w->engine->control().addresses.front().name;
  int followed = 0, brief = 0, turned_away = 0;
  for (auto& one : dialling) {
    one.dial(path);
    one.send(hello());
    if (const auto [id, key] = one.next_of_any(); id != 1) {
      EXPECT_EQ(key, "error") << "the others have just come: who comes now is told";
      ++turned_away;
      continue;
    }
    one.send(about(2, "end", running));
    ++(one.next(2).first == "ok" ? followed : brief);
  }
  EXPECT_EQ(idle->next(2).first, "hung up");
  EXPECT_EQ(followed, 1) << "in the place of the idle one";
  EXPECT_EQ(brief, 1) << "it asks and goes, and leaves nothing behind";
  EXPECT_EQ(turned_away, 6);
  for (bool served = false; !served; std::this_thread::sleep_for(50ms)) {  // and comes again
    auto& again = dialling.back();
    again.redial(path);
    again.send(hello());
    served = again.next_of_any().second == "ok";
  }
  w->signal(running, Signal::STOP);
  const auto report = w->engine->close(0ms, true);
  EXPECT_TRUE(report.all_durable);
}

// ---- who waits in the store's stead ----

TEST(Errands, OneThatHangsHoldsUpItsOwnChainOnly) {
  Gate gate;
  auto errands = std::make_shared<Errands>(4);
  auto one = std::make_shared<ErrandChain>(errands), other = std::make_shared<ErrandChain>(errands);
  std::atomic<int> after{0};
  one->post([&] { gate.enter(); });
  for (int n = 0; n < 10; ++n) one->post([&, n] { EXPECT_EQ(after++, n) << "in order"; });
  gate.wait_for(1);
  const auto done = std::make_shared<Completion>();  // set() may still be in it when its waiter goes on
  other->post([done] { done->set(); });
  done->wait();
  EXPECT_EQ(after, 0);
  gate.open();
  const auto all = std::make_shared<Completion>();
  one->post([all] { all->set(); });
  all->wait();
  EXPECT_EQ(after, 10);
}

TEST(Errands, StopLeavesWhatHangs) {
  auto gate = std::make_shared<Gate>();
  auto dropped = std::make_shared<int>(0);
  auto errands = std::make_shared<Errands>(1);
  errands->post([gate] { gate->enter(); });
  errands->post([dropped] { ++*dropped; });
  gate->wait_for(1);
  errands->stop(std::chrono::steady_clock::now());
  EXPECT_EQ(dropped.use_count(), 1) << "what had not begun is let go of";
  errands.reset();
  gate->open();
  while (gate.use_count() > 1) std::this_thread::yield();
  EXPECT_EQ(*dropped, 0);
}

TEST(SubmitDesk, OfOneClientOneIsLookedAtAtATime) {
  SubmitDesk desk(true);
  const auto put = [&](std::uint64_t client, const char* document) {
    SubmitDesk::Call call;
    call.client = client;
    call.document = document;
    EXPECT_TRUE(desk.put(std::move(call), [](bool, const std::string&) {}));
  };
  put(1, "a");
  put(1, "b");
  put(2, "c");
  const auto first = desk.take(), second = desk.take();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->call.document, "a");
  EXPECT_EQ(second->call.document, "c") << "that of another client goes first";
  EXPECT_TRUE(first->alone);
  std::thread waits([&] {
    const auto third = desk.take();
    ASSERT_TRUE(third);
    EXPECT_EQ(third->call.document, "b");
  });
  desk.looked_at(first->call.token);
  waits.join();
  desk.close();
  EXPECT_FALSE(desk.take());
}

}  // namespace
}  // namespace cogwork::test
