#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/base/random.h"
#include "cogwork/cogs/cog.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/engine_event.h"
#include "cogwork/engine/feed.h"
#include "cogwork/engine/labor_run.h"
#include "cogwork/engine/latches.h"
#include "cogwork/engine/stored_signal.h"
#include "cogwork/engine/unstored_logs.h"
#include "cogwork/storage/committer.h"

namespace cogwork {

/// What those hear whom the engine's end leaves without an answer.
std::exception_ptr closed_error();

/// What the core reaches the world through. In an engine: the system's clock, a storage thread, workers; in a simulation:
/// whatever it likes, in one thread.
struct CoreSeams {
  Clock* clock = nullptr;
  Committer* committer = nullptr;
  CogRegistry* cogs = nullptr;
  Executor* jobs = nullptr;         ///< plain calls of Jobs
  Executor* checks = nullptr;       ///< plain calls of checks (X13)
  Executor* async_calls = nullptr;  ///< coroutines of both
  Executor* commands = nullptr;     ///< programs of both
  Executor* processes = nullptr;    ///< calls of programs that stay up, of both
  std::shared_ptr<FeedHub> feeds;
  std::shared_ptr<LogRoom> logs = nullptr;  ///< Null: the core makes one.
  EngineWho who{};                          ///< This engine.
  std::optional<EngineWho> died{};          ///< The one before it, if that did not close.
  Random random{0};
};

/// The engine without its threads: all running Labors, who gets a worker next, and the order in which effects are carried out. It is
/// told what happened by plain calls, all from one thread (the scheduler's), and never waits for anything.
///
/// After any number of calls the driver calls `settle`, which gives free workers away, sends what is to be stored to the committer -
/// everything that happened in between, in one piece for each Labor - and says when `tick` is due.
class Core {
 public:
  Core(CoreSeams seams, EngineOptions options, std::uint64_t last_change);
  ~Core();
  Core(const Core&) = delete;

  // ---- what users ask for ----
  /// S3-S5: a Labor that is valid and complete. Replies once it is durable.
  void submit(std::shared_ptr<Labor> labor, std::string fingerprint, bool start, Text by, IdReply reply);
  /// Replies once the start is durable.
  void start(const Id& labor, Text by, Text note, AckReply reply);
  /// Replies as soon as the signal is taken (G1), or with why not. `Unknown` where its Labor is not running here.
  void signal(const SignalOrder& order, AckReply reply);
  /// R2. Replies once the decision is durable, or with why not; with neither where its Labor is not running here.
  void decide(const DecisionOrder& order, AckReply reply);
  /// R4: a signal to a Labor that waits is stored, and applied when the Labor is taken up. Replies once it is durable. False: the Labor does
  /// not wait (any more), and nothing is done.
  bool keep(StoredSignal signal, Done reply);
  /// R4: STOP to a Labor that waits. It is taken up, and ends before anything of it begins, so its Cogs need not be known. False as above.
  bool stop_waiting_labor(Labor labor, const ChainEnd& end, const SignalOrder& order, AckReply reply);
  /// G9: a signal that met an object which has ended. `end`: of its Labor's history.
  void record_refused(const Id& labor, Change change, const ChainEnd& end);

  // ---- crisis (G8): core_latches.cpp ----
  /// As it was stored. Before Labors are taken up.
  void add_latch(const Latch& latch);
  /// Every Labor that it matches begins to pause now. Replies once that is so; `recorded` is done when it is durable.
  void crisis_pause(Latch latch, const LatchReply& reply);
  /// Replies once it is taken, or with why not. Labors go on when it is durable that it is lifted; the Ack is done when that is so,
  /// and their states are durable too.
  void crisis_resume(const Id& latch, const std::string& by, const std::string& note, const AckReply& reply);
  /// Done when nothing executes any more of what the latch held when it was set; applied=false: it was lifted before. Null: none in force.
  std::shared_ptr<Ack> settled(const Id& latch);
  std::vector<LatchStatus> crises(bool lifted) const;
  /// Whether any latch is in force. Any thread.
  bool in_crisis() const { return latches_.any(); }

  // ---- what happens ----
  void outcome(AttemptKey key, Outcome outcome);
  void progressed(AttemptKey key, double fraction, Text message);
  /// The Labor's log has lines that are not stored.
  void said(const Id& labor);
  void committed(std::vector<CommitResult> results);
  void tick();
  /// Returns when the next tick is due.
  std::optional<SteadyTime> settle();

  // ---- opening and closing ----
  /// With EngineOptions::begin_later: attempts may begin from now on.
  void begin() { begun_ = true; }
  /// R1: a Labor as it was stored.
  void take_up(Labor labor, const ChainEnd& end);
  /// R1: a signal that was stored while no engine ran its Labor. Before the Labor is taken up: nothing of it begins in between.
  void add_stored(StoredSignal signal) { stored_[signal.order.object.labor()].push_back(std::move(signal)); }
  /// The record of a stored signal that has no Labor any more, or whose Labor has ended.
  void drop_stored(const StoredSignal& signal);
  void remember_client(const Text& client_id, const Id& labor, const Text& fingerprint);
  void set_waiting(std::vector<Stats::Waiting> waiting) { waiting_ = std::move(waiting); }
  const std::vector<Stats::Waiting>& waiting() const { return waiting_; }
  /// It does not wait any more. False where it did not.
  bool stop_waiting(const Id& labor);
  /// It waits for something else than before. False where it does not wait.
  bool still_waits(const Id& labor, const std::string& why);
  /// Nothing begins any more; `quiet` is set when nothing executes.
  void begin_close(std::shared_ptr<Completion> quiet);
  /// What running attempts have said so far is to be stored, all of it.
  void store_logs();
  /// Asks every call that still goes on to end. From now on only answers that are final count (R2: the rest is INTERRUPTED at
  /// the next opening).
  void interrupt_all();
  /// D7: enters the end of this engine into the history of each Labor that has not ended. When nothing executes any more.
  void note_closed();
  /// The last act: everybody who waits is told; reports what is left. Nothing that comes later has an effect.
  CloseReport finish();

  // ---- questions ----
  bool knows(const Id& labor) const { return runs_.contains(labor.labor()); }
  std::optional<State> state(const Id& object) const;
  std::shared_ptr<LaborEnd> end_of(const Id& labor) const;
  std::optional<Progress> progress(const Id& labor) const;
  /// What its Cogs say. Null: it is not running here.
  std::shared_ptr<LaborLog> log_of(const Id& labor);
  std::optional<Id> find_named(const Id& labor, const std::string& name, std::string& choices) const;
  void fill(Stats& stats) const;
  std::size_t executing() const { return attempts_.size(); }

 private:
  struct ReadyJob {
    std::shared_ptr<LaborRun> run;
    std::uint32_t job;
    std::shared_ptr<const CogInfo> cog;  // null: none of that name is known any more
  };
  /// Places for one kind of calls and who waits for one, first come first served.
  struct Lane {
    int free = 0;
    std::deque<ReadyJob> queue;
  };
  struct Client {
    Id labor;
    Text fingerprint;
    bool durable = false;
    // Who submitted it again while it was being stored; who wants it started.
    std::vector<IdReply> waiting, starting;
  };
  struct PendingSubmit {
    std::shared_ptr<Labor> labor;
    bool start = true;
    Text by;
    IdReply reply;
  };
  struct Unit {
    std::shared_ptr<LaborRun> run;
    AfterCommit after;
    std::shared_ptr<const std::vector<Change>> changes;
    Done kept = {};  // of a signal that is stored, and of nothing else
    Id labor = {};
    Text key = {};
  };
  struct PendingSignal {
    std::shared_ptr<Ack> ack;
    AckReply reply;  // empty once it was called
  };
  /// Signals to a Labor that does not run here, and the end of its chain. One row at a time: each is linked to one that is stored.
  struct Refused {
    std::array<std::uint8_t, 16> link{};
    std::array<std::uint8_t, 16> next{};  // of the row on its way
    Time at = never;                      // of the last change
    bool flying = false;
    std::vector<Change> changes;  // wait for that row
  };

  /// Why Jobs and checks that might begin do not: in words, empty where none waits for a place (X13).
  std::string waits_for_worker(const LaborRun& run) const;
  void step(const std::shared_ptr<LaborRun>& run, const Input& input);
  void carry_out(const std::shared_ptr<LaborRun>& run);
  void rearm(LaborRun& run);
  Lane& lane_of(const CogInfo* cog, bool check);
  Executor& executor_of(const CogInfo& cog, bool check);
  void dispatch();
  bool give_place(Lane& lane);
  void hand_over(const std::shared_ptr<LaborRun>& run, std::uint32_t job);
  const std::shared_ptr<LaborLog>& log_of(LaborRun& run);
  void store_due_logs();
  void store_log(const std::shared_ptr<LaborRun>& run);
  void interrupt(const std::shared_ptr<LaborRun>& run, std::uint32_t job);
  void close_attempt(LaborRun& run, std::uint32_t job);
  void note_ended_sequences(LaborRun& run);
  CommitUnit make_unit(const std::shared_ptr<LaborRun>& run);
  HistoryRow make_row(const Id& labor, std::vector<Change>& changes, std::array<std::uint8_t, 16>& link);
  void after_commit(const std::shared_ptr<LaborRun>& run, const AfterCommit& after);
  void submitted(std::uint64_t token, const std::optional<std::string>& error);
  void write_refused(const Id& labor, Refused& refused);
  void refused_committed(const std::vector<Change>& changes, bool stored);
  void count(const Counts& counts);
  void check_quiet();
  void forget_if_done(const std::shared_ptr<LaborRun>& run);
  std::shared_ptr<LaborRun> add_run(Labor labor, const ChainEnd& end);
  /// stops: a STOP of the Labor follows.
  void recover(const std::shared_ptr<LaborRun>& run, bool stops);
  void apply_stored(const std::shared_ptr<LaborRun>& run, const StoredSignal& stored);
  std::optional<input::Signalled> signalled(const LaborRun& run, const StoredSignal& stored);
  void note_engine(const std::shared_ptr<LaborRun>& run, EngineEvent event, const EngineWho& who);
  void mark_dirty(const std::shared_ptr<LaborRun>& run);
  /// latest: the latest time that is recorded in it.
  std::shared_ptr<LaborRun> make_run(Labor labor, Time latest);
  input::Tick tick_of(const LaborRun& run, SteadyTime now);
  void weigh(const std::shared_ptr<LaborRun>& run, Weight weight, const std::shared_ptr<Muster>& muster);
  void release(const Latch& lifted, const std::shared_ptr<Muster>& muster);
  void write_latch(std::vector<Record> records, std::function<void(bool closed)> done);
  void forget_stored(const Id& labor, const Text& key);
  /// A ticket whose reply comes once what it led to is durable, and at once only where it is refused.
  Ticket await_durable(AckReply reply);

  CoreSeams seams_;
  const EngineOptions options_;
  std::unordered_map<Id, std::shared_ptr<LaborRun>> runs_;
  std::unordered_map<Text, Client> clients_;
  std::unordered_map<AttemptKey, std::pair<std::shared_ptr<LaborRun>, std::uint32_t>> attempts_;
  std::unordered_map<Ticket, PendingSignal> signals_;
  std::unordered_map<Id, Refused> refused_;
  std::unordered_map<Id, std::vector<StoredSignal>> stored_;  // of Labors that are not taken up, in the order of sending
  std::unordered_map<std::uint64_t, PendingSubmit> submits_;  // by token
  std::unordered_map<std::uint64_t, Unit> units_;             // by token: on their way to the store
  Latches latches_;
  UnstoredLogs unstored_logs_;
  std::unordered_map<std::uint64_t, std::function<void(bool closed)>> latch_writes_;  // by token: what waits for them
  std::vector<std::shared_ptr<LaborRun>> dirty_;
  std::vector<CommitUnit> outbox_;
  std::vector<Stats::Waiting> waiting_;
  std::deque<std::pair<Id, std::shared_ptr<LaborLog>>> ended_logs_;  // of the last Labors that ended: who comes a moment late
  std::vector<std::pair<AttemptKey, Outcome>> pending_outcomes_;     // calls that were answered without an executor

  Lane jobs_, checks_, unlimited_;
  std::map<std::string, Lane, std::less<>> programs_;  // of process Cogs
  std::set<std::pair<SteadyTime, Id>> wakes_;
  std::multimap<SteadyTime, AttemptKey> graces_;  // calls that were asked to end: until when they may take

  Effects effects_;
  Stats::Counter counters_[4];
  std::uint64_t steps_ = 0;
  Duration records_ahead_{};
  std::uint64_t next_change_;
  std::uint64_t next_token_ = 1;
  AttemptKey next_key_ = 1;
  Ticket next_ticket_ = 1;
  bool begun_ = true;
  bool closing_ = false;
  bool interrupting_ = false;
  bool finished_ = false;
  std::shared_ptr<Completion> quiet_;
};

}  // namespace cogwork
