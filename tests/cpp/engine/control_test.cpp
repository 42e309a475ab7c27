// The control socket (docs/internals/control-protocol.md): requests of every kind, clients of every kind, and signals that are stored.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "cogwork/engine/control_path.h"
#include "cogwork/engine/control_session.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/model/wire_writer.h"
#include "support/control_client.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;

// ---- requests as bytes ----

TEST(ControlRequest, IsReadFieldByField) {
  std::string problem;
  Random random(3);
  const Id id = Id::make(random);
  const auto found = read_request(signal_of(7, id, Signal::ADMIN_PAUSE, true), problem);
  ASSERT_TRUE(found) << problem;
  EXPECT_EQ(found->id, 7);
  EXPECT_EQ(found->op, "signal");
  EXPECT_EQ(found->object, id);
  EXPECT_EQ(found->signal, Signal::ADMIN_PAUSE);
  EXPECT_TRUE(found->interrupt);
  EXPECT_EQ(found->by, "ann");
  EXPECT_FALSE(found->since);
}

TEST(ControlRequest, WhatIsNilIsLeftOutAndWhatIsUnknownIsPassedOver) {
  WireWriter w;
  w.map(5).integer("id", 1).text("op", "changes").nil("object").nil("since").text("colour").array(2).integer(1).nil();
  std::string problem;
  const auto found = read_request(w.take(), problem);
  ASSERT_TRUE(found) << problem;
  EXPECT_TRUE(found->object.is_nil());
  EXPECT_FALSE(found->since);
}

TEST(ControlRequest, AnythingElseIsRefusedInWords) {
  const std::vector<std::pair<std::function<void(WireWriter&)>, std::string>> cases = {
      {[](WireWriter& w) { w.array(0); }, "no request"},
      {[](WireWriter& w) { w.map(0); }, "no request"},
      {[](WireWriter& w) { w.map(1).integer("id", 1); }, "no request"},
      {[](WireWriter& w) { w.map(1).integer(1).integer(2); }, "no request"},
      {[](WireWriter& w) { w.map(2).integer("id", -4).text("op", "x"); }, "\"id\""},
      {[](WireWriter& w) { w.map(2).integer("id", 1).integer("op", 2); }, "\"op\""},
      {[](WireWriter& w) { w.raw("\xc1"); }, "msgpack"},
      {[](WireWriter& w) { w.map(1).integer("id", 1).nil(); }, "msgpack"},
  };
  for (const auto& [write, words] : cases) {
    WireWriter w;
    write(w);
    std::string problem;
    EXPECT_FALSE(read_request(w.take(), problem)) << words;
    EXPECT_NE(problem.find(words), problem.npos) << problem;
  }
}

TEST(ControlRequest, AWrongValueIsDescribedByItself) {
  const std::vector<std::pair<std::function<void(WireWriter&)>, std::string>> cases = {
      {[](WireWriter& w) { w.text("object", "nobody"); }, "\"object\" must be an id, got the text 'nobody'"},
      {[](WireWriter& w) { w.text("object").array(2).text("a").text("b"); }, "\"object\" must be an id, got a list"},
      {[](WireWriter& w) { w.integer("signal", 7); }, "\"signal\" must be the number of a signal, 0 to 6, got the number 7"},
      {[](WireWriter& w) { w.text("document", "text"); }, "\"document\" must be binary: a Labor, got the text 'text'"},
      {[](WireWriter& w) { w.text("start", "yes"); }, "\"start\" must be true or false, got the text 'yes'"},
      {[](WireWriter& w) { w.integer("since", -1); }, "\"since\" must be a number, 0 or above, got the number -1"},
      {[](WireWriter& w) { w.text("tags", "edge"); }, "\"tags\" must be a list of texts, got the text 'edge'"},
      {[](WireWriter& w) { w.text("tags").array(1).integer(5); }, "\"tags\" must be a list of texts, got a list"},
      {[](WireWriter& w) { w.text("decision", "maybe"); },
       "\"decision\" must be 'rerun', 'completed' or 'failed', got the text 'maybe'"},
      {[](WireWriter& w) { w.text("faults", "all"); }, "\"faults\" must be a list of faults"},
      {[](WireWriter& w) { w.text("faults").array(1).array(2).integer(0).text("why"); }, "\"faults\" must be a list of faults"},
      {[](WireWriter& w) { w.text("faults").array(1).array(5).integer(0).integer(0).integer(0).integer(0).integer(0); },
       "\"faults\" must be a list of faults"},
      {[](WireWriter& w) { w.text("expected").map(1).text("cog").text("origin"); }, "\"expected\" must be a map"},
      {[](WireWriter& w) { w.text("by").bin("ann"); }, "\"by\" must be text, got bytes"},
      {[](WireWriter& w) { w.number("of", 1.5); }, "\"of\" must be the number of a request, got the number 1.5"},
  };
  for (const auto& [write, words] : cases) {
    WireWriter w;
    w.map(4);
    write(w);  // what comes behind it is read all the same, and is not what is described
    w.integer("id", 3).text("op", "x").text("note", "behind");
    std::string problem;
    const auto found = read_request(w.take(), problem);
    ASSERT_TRUE(found) << words;
    EXPECT_EQ(found->id, 3);
    EXPECT_EQ(found->note, "behind");
    EXPECT_NE(found->problem.find(words), std::string::npos) << found->problem;
  }
}

TEST(ControlRequest, FaultsAreFiveThingsEach) {
  WireWriter w;
  w.map(3)
      .integer("id", 1)
      .text("op", "submit")
      .text("faults")
      .array(1)
      .array(5)
      .integer(2)
      .integer(0)
      .integer(1)
      .integer(2)
      .text("no");
  std::string problem;
  const auto found = read_request(w.take(), problem);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->problem, "");
  EXPECT_FALSE(found->faults.empty());
}

TEST(ControlRequest, AnyBytesAreReadToTheirEnd) {
  Random random(11);
  const auto whole = signal_of(7, Id::make(random), Signal::STOP);
  std::string problem;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = whole;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    if (random.chance(0.2)) bytes.resize(random.below(bytes.size()));
    read_request(bytes, problem);
    std::string noise(random.below(60), '\0');
    for (auto& c : noise) c = static_cast<char>(random.below(256));
    read_request(noise, problem);
  }
}

// ---- stored signals as records ----

TEST(StoredSignal, R1ComesBackFromItsRecord) {
  Random random(5);
  StoredSignal stored;
  stored.order = {Id::make(random).with_ordinal(4), Signal::CRISIS_PAUSE, true, "ann", "why \"so\""};
  stored.at = from_micros(1'700'000'000'123'456);
  const auto record = to_record(stored, random);
  const auto back = from_record(record);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->order.object, stored.order.object);
  EXPECT_EQ(back->order.signal, stored.order.signal);
  EXPECT_TRUE(back->order.interrupt);
  EXPECT_EQ(back->order.by, "ann");
  EXPECT_EQ(back->order.note, "why \"so\"");
  EXPECT_EQ(back->at, stored.at);
  EXPECT_EQ(back->key, record.key);
  EXPECT_FALSE(back->start);
}

TEST(StoredSignal, R2ADecisionComesBackFromItsRecord) {
  Random random(5);
  StoredSignal stored;
  stored.order = {Id::make(random).with_ordinal(4), Signal::RESUME, false, "ann", "looked"};
  for (const auto decision : {Decision::RERUN, Decision::COMPLETED, Decision::FAILED}) {
    stored.decision = decision;
    const auto back = from_record(to_record(stored, random));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->decision, decision);
    EXPECT_EQ(decision_order(*back).job, stored.order.object);
    EXPECT_EQ(decision_order(*back).note, "looked");
  }
}

TEST(StoredSignal, KeysAreInTheOrderOfSending) {
  Random random(5);
  StoredSignal first, second;
  first.at = from_micros(999'999);
  second.at = from_micros(1'000'000);
  EXPECT_LT(to_record(first, random).key, to_record(second, random).key);
}

TEST(StoredSignal, ARecordOfAnythingElseIsNone) {
  for (const char* bytes : {"", "\x80", "\x01", "\x81\xa6object\xa3xyz", "\xc1"}) {
    EXPECT_FALSE(from_record({RecordKind::SIGNAL, "k", Text(bytes)}));
  }
  EXPECT_FALSE(from_record({RecordKind::SIGNAL, "k", std::nullopt}));
}

// ---- over a socket ----

INSTANTIATE_TEST_SUITE_P(OnAFile, Control, testing::Values("sqlite"), [](const auto& of) { return of.param; });

TEST_P(Control, G1ASignalIsTakenThenDone) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(3, "block"));
  gate.wait_for(1);
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  client.send(signal_of(2, id, Signal::PAUSE));
  EXPECT_EQ(client.next(1).first, "ok");
  EXPECT_EQ(client.next(2).first, "ok");
  EXPECT_EQ(w.engine->state(id), S::PAUSING);
  gate.open();
  const auto [key, value] = client.next(2);
  EXPECT_EQ(key, "done");
  WireReader done(value);
  done.map();
  done.text();
  EXPECT_EQ(done.integer(), static_cast<int>(S::PAUSED));
  client.send(signal_of(3, id, Signal::PAUSE));
  EXPECT_EQ(client.next(3).first, "error");
  client.send(about(4, "end", id));
  client.send(signal_of(5, id, Signal::STOP));
  EXPECT_EQ(client.next(4).first, "ok");
  EXPECT_EQ(client.next(4).first, "ended");
}

TEST_P(Control, AReplyComesBeforeWhatFollowsIt) {
  EngineWorld w(reopened(), {}, {{"ok", [](const Call&) { return Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "ok"));
  w.wait(id);
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  for (int n = 2; n < 300; ++n) {
    client.send(about(n, "end", id));
    ASSERT_EQ(client.next(n).first, "ok");
    ASSERT_EQ(client.next(n).first, "ended");
  }
}

TEST_P(Control, AFeedSendsOnePieceForEachMore) {
  EngineWorld w(reopened(), {}, {{"ok", [](const Call&) { return Outcome{}; }}});
  const auto id = w.submit(tree_of(50, "ok", 4));
  w.wait(id);
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  client.send(request(
      2, "changes", [&](WireWriter& out) { out.id("object", id).integer("since", 0); }, 2));
  ASSERT_EQ(client.next(2).first, "ok");
  std::string last;
  for (int n = 3; last != "over"; ++n) {
    client.send(request(
        n, "more", [](WireWriter& out) { out.integer("of", 2); }, 1));
    last = client.next(2).first;
    ASSERT_TRUE(last == "changes" || last == "over") << last;
  }
}

TEST_P(Control, AWrongValueIsAnErrorAndNotTheEnd) {
  EngineWorld w(reopened(), {}, {});
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  client.send(request(
      2, "state", [](WireWriter& out) { out.text("object", "nobody"); }, 1));
  EXPECT_EQ(client.error_of(2), "ProtocolError: the request's \"object\" must be an id, got the text 'nobody'");
  client.send(request(3, "fly"));
  EXPECT_EQ(client.next(3).first, "error");
  client.send(request(4, "stats"));
  EXPECT_EQ(client.next(4).first, "ok");
}

TEST_P(Control, AFeedThatIsAskedForMuchGivesOnePieceAtATime) {
  Gate gate;
  EngineWorld w(reopened(), {}, {{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "block"));
  gate.wait_for(1);
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  client.send(about(2, "changes", id));
  ASSERT_EQ(client.next(2).first, "ok");
  for (int n = 0; n < 20'000; ++n) {
    client.send(request(
        1000 + n, "more", [](WireWriter& out) { out.integer("of", 2); }, 1));
  }
  client.send(request(3, "stats"));
  ASSERT_EQ(client.next(3).first, "ok") << "all of them have been heard";
  w.signal(id, Signal::PAUSE);
  EXPECT_EQ(client.next(2).first, "changes");
  gate.open();
  client.send(request(4, "stats"));
  for (int n = 0; n < 100 && client.next_of_any().first != 4; ++n) {
    EXPECT_LT(n, 2) << "what was asked for again and again is not sent again and again";
  }
}

TEST_P(Control, WithoutSomebodyWhoLooksAtThemNoLaborsAreTaken) {
  EngineWorld w(reopened(), {}, {});
  Client client(w.engine->control().addresses.front().name);
  client.send(hello());
  client.send(request(
      2, "submit", [](WireWriter& out) { out.text("document").bin("\x80"); }, 1));
  EXPECT_EQ(client.next(2).first, "error");
}

TEST_P(Control, TheEngineClosesUnderItsClients) {
  Gate gate;
  auto store = reopened();
  EngineOptions options;
  options.grace = 1ms;
  auto w = std::make_unique<EngineWorld>(
      store, options, std::map<std::string, Function>{{"block", [&](const Call&) { return gate.enter(), Outcome{}; }}});
  const auto id = w->submit(tree_of(2, "block"));
  gate.wait_for(1);
  const auto path = w->engine->control().addresses.front().name;
  Client waits(path), idles(path);
  waits.send(hello());
  waits.send(about(2, "end", id));
  ASSERT_EQ(waits.next(2).first, "ok");
  w->engine->close(0ms, true);
  EXPECT_EQ(waits.next(2).first, "hung up");
  EXPECT_EQ(idles.receive(), std::nullopt);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "the socket is gone with its engine";
  gate.open();
}

/// Clients of all manners at once, and the engine closing in the middle: to be looked at by the sanitizers.
TEST_P(Control, ClientsOfEveryKind) {
  for (int round = 0; round < 3; ++round) {
    EngineOptions options;
    options.grace = 1ms;
    EngineWorld w(another(), options, {{"ok", [](const Call&) { return Outcome{}; }}});
    const auto path = w.engine->control().addresses.front().name;
    const auto id = w.submit(tree_of(2000, "ok", 4));
    std::atomic<int> served{0};
    std::vector<std::thread> threads;
    for (unsigned n = 0; n < 24; ++n) {
      threads.emplace_back([&, n] {
        Random random(round * 100u + n);
        Client client(path);
        if (!client.connected()) return;
        if (n % 6 == 0) return client.send_bytes("GET / HTTP/1.1\r\n\r\n");
        if (n % 6 == 1) return client.send_bytes(make_frame(hello()).substr(0, 1 + random.below(12)));
        client.send(hello());
        for (std::int64_t request_id = 2; request_id < 40; ++request_id) {
          switch (random.below(6)) {
            case 0: client.send(signal_of(request_id, id, Signal::PAUSE)); break;
            case 1: client.send(signal_of(request_id, id, Signal::RESUME)); break;
            case 2: client.send(request(request_id, "stats")); break;
            case 3: client.send(about(request_id, "progress", id)); break;
            case 4: client.send(about(request_id, "end", id)); break;
            case 5:
              client.send(request(
                  request_id, "changes", [](WireWriter& out) { out.integer("since", 0); }, 1));
              client.send(request(
                  request_id + 1000, "more", [&](WireWriter& out) { out.integer("of", request_id); }, 1));
              break;
          }
          if (random.chance(0.5) && client.next(request_id).first != "hung up") ++served;
        }
      });
    }
    if (round == 0) {
      for (auto& thread : threads) thread.join();
      EXPECT_GT(served, 100);
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(round * 10));
      w.engine->close(0ms, true);
      for (auto& thread : threads) thread.join();
    }
  }
}

// ---- signals for the next engine ----

TEST_P(Control, R1StoredSignalsGoWithWhatTheyDid) {
  auto store = reopened();
  Id id;
  {
    EngineWorld w(store, {}, {{"ok", [](const Call&) { return Outcome{}; }}});
    id = w.submit(tree_of(3, "ok"), false);
  }
  const auto clock = make_system_clock();
  StoredSignal start, pause;
  start.order = {id, Signal::STOP, false, "ann", ""};
  start.start = true;
  start.at = clock->wall();
  pause.order = {id, Signal::PAUSE, false, "bob", "later"};
  pause.at = start.at + 1ms;
  EXPECT_TRUE(store_signal(*store, start, {}, *clock));
  EXPECT_TRUE(store_signal(*store, pause, {}, *clock));
  EXPECT_EQ(store->records(RecordKind::SIGNAL).size(), 2u);
  {
    EngineWorld w(store, {}, {{"ok", [](const Call&) { return ADD_FAILURE() << "it was paused before it began", Outcome{}; }}});
    EXPECT_EQ(w.engine->state(id), S::PAUSED);
  }
  EXPECT_TRUE(store->records(RecordKind::SIGNAL).empty());
  EXPECT_EQ(store->read_labor(id, false).state, S::PAUSED);
  expect_sound_history(*store);
}

TEST_P(Control, R1WhileAnEngineOwnsTheStoreNothingIsStored) {
  auto store = reopened();
  EngineWorld w(store, {}, {{"ok", [](const Call&) { return Outcome{}; }}});
  const auto id = w.submit(tree_of(1, "ok"), false);
  StoredSignal stop;
  stop.order = {id, Signal::STOP, false, "ann", ""};
  EXPECT_THROW(store_signal(*store, stop, {}, *make_system_clock()), StoreInUse);
  EXPECT_TRUE(store->records(RecordKind::SIGNAL).empty());
  w.signal(id, Signal::STOP)->completion().wait();
}

TEST_P(Control, R1ABriefOwnerIsWaitedFor) {
  auto store = reopened();
  Owner brief;
  brief.brief = true;
  auto lock = store->lock(brief);
  std::atomic<bool> opened{false};
  std::thread engine([&] {
    EngineWorld w(reopened(), {}, {});
    opened = true;
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(opened);
  lock.reset();
  engine.join();
  EXPECT_TRUE(opened);
}

TEST_P(Control, AStoresPlacesFollowFromItsFile) {
  auto store = reopened();
  const auto identity = store->identity();
  EXPECT_EQ(identity.rfind("sqlite ", 0), 0u);
  EXPECT_EQ(open_sqlite_store(path(), OpenMode::READER)->identity(), identity);
  EXPECT_NE(another()->identity(), identity);
  EXPECT_EQ(make_memory_store()->identity(), "");
  for (const auto& place : control_paths(identity)) EXPECT_NE(place.name.find(".sock"), std::string::npos);
}

}  // namespace
}  // namespace cogwork::test
