#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/base/clock.h"
#include "cogwork/base/completion.h"
#include "cogwork/cogs/program.h"
#include "cogwork/cogs/pull_queue.h"
#include "cogwork/engine/control_address.h"
#include "cogwork/engine/latch.h"
#include "cogwork/engine/progress.h"
#include "cogwork/model/change.h"
#include "cogwork/model/document.h"
#include "cogwork/storage/committer.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

struct EngineParts;
class LogFeed;
class SubmitDesk;

struct EngineOptions {
  int workers = 64;
  Duration grace = std::chrono::seconds(2);
  int max_crashes = 3;
  std::int64_t max_output = std::int64_t{1} << 20;
  bool recover = true;
  bool recover_later =
      false;  ///< With recover=false: what is unfinished waits for take_up(), and what is sent to it is stored until then.
  bool begin_later = false;  ///< No attempt begins before begin(): until then the engine can be let go of, and nothing was done.
  std::string user;          ///< Shown as the store's owner, with the program.
  std::string program;
  std::string guardian;  ///< The program that ends processes whose engine has died; without it none is started.
  std::string python;    ///< The interpreter of process Cogs that are Python modules; absolute.
  /// What programs are given as their environment: "NAME=value" each. Null: this process's, as it is when the engine is made.
  std::shared_ptr<const std::vector<std::string>> environment;
  bool control = true;         ///< Serve the store's control socket.
  bool takes_submits = false;  ///< Somebody takes from submits(): Labors may come over the socket.
};

/// The acknowledgement of a signal (G1). Any thread.
class Ack {
 public:
  Completion& completion() { return completion_; }
  bool done() const { return completion_.done(); }
  /// The state the object was in when the signal was done; before that, UNKNOWN.
  State state() const { return done() ? state_ : State::UNKNOWN; }
  bool applied() const { return done() && applied_; }
  /// The engine closed before the signal was done; it stays stored, and goes on at the next opening.
  bool closed() const { return done() && closed_; }
  /// R4: its Labor waits, so it is stored, and applied when the Labor is taken up, here or by a later engine. It is never done.
  bool stored() const { return stored_; }

 private:
  friend class EngineHandle;
  friend class Core;
  Completion completion_;
  bool stored_ = false;  // from the beginning
  // Written once, before completion_ is set.
  State state_ = State::UNKNOWN;
  bool applied_ = false;
  bool closed_ = false;
};

/// The end of a Labor, for those who wait. Any thread.
class LaborEnd {
 public:
  Completion& completion() { return completion_; }
  /// The engine closed before the Labor ended.
  bool closed() const { return completion_.done() && closed_; }

 private:
  friend class EngineHandle;
  friend class Core;
  Completion completion_;
  bool closed_ = false;
};

/// A place in the history from which changes are read (D7): first what is stored, then what becomes durable. One reader; a
/// slow one reads from the store what it missed, so nothing is kept for it and nothing is lost.
class ChangeFeed {
 public:
  virtual ~ChangeFeed() = default;
  /// What there is after the last call, without waiting; at most a few thousand. Empty: nothing new.
  virtual std::vector<Change> poll() = 0;
  /// A completion that is set when poll() will return something or the feed is over. Taken before a poll() that comes back empty.
  virtual std::shared_ptr<Completion> ready() = 0;
  /// True when nothing more will come: the Labor has ended, or the engine has closed. Ask after an empty poll().
  virtual bool over() = 0;
};

// How an answer comes that is not there at once: a value or an error, from an engine thread. What is called must not block.
using Done = std::function<void(std::exception_ptr)>;
using IdReply = std::function<void(Id, std::exception_ptr)>;
using AckReply = std::function<void(std::shared_ptr<Ack>, std::exception_ptr)>;
/// A latch that is in force, and what is done (applied) once it is durable (D6).
struct LatchSet {
  Id id;
  std::shared_ptr<Ack> recorded;
};
using LatchReply = std::function<void(LatchSet, std::exception_ptr)>;

struct Submission {
  Labor labor;                ///< As read_submitted gives it.
  std::vector<Fault> faults;  ///< What reading it, and the Cogs, found wrong already.
  std::string fingerprint;    ///< S3: equal for equal contents. Looked at where there is a client_id.
  bool start = true;
  std::string by;
  /// Called now and then by the thread that submits, while it waits for the process of a Cog; what it throws ends the wait. May be empty.
  std::function<void()> look;
};

struct SignalOrder {
  Id object;
  Signal signal = Signal::PAUSE;
  bool interrupt = false;
  std::string by;
  std::string note;
};

/// R2: what a person decided about a held Job.
struct DecisionOrder {
  Id job;
  Decision decision = Decision::RERUN;
  std::string by;
  std::string note;
};

struct Stats {
  struct Counter {
    std::uint64_t executing = 0, processed = 0;
  };
  Counter labors, tasks, sequences, jobs;  // X12
  std::uint64_t queued_jobs = 0, queued_checks = 0;
  PullQueue::Figures workers, check_workers, async_calls;
  int commands = 0;                       ///< That run as attempts of the command Cog.
  int processes = 0;                      ///< Of process Cogs, whether they have something to do or not.
  int process_calls = 0;                  ///< That run in them, those too whose attempt was closed (X8a).
  std::vector<OutdatedProgram> outdated;  ///< Process Cogs whose file cannot be used as it is (C3).
  StoreHealth store;
  Committer::Figures commits;
  /// Labors that are in the store, not ended, and not taken up; and why (R4).
  struct Waiting {
    Id labor;
    Text name;
    std::string why;
    bool later = false;  ///< It waits for take_up(), and for nothing else that is known (recover_later).
  };
  std::vector<Waiting> waiting;
  std::vector<HeldJob> held;  ///< R2: of all Labors here, at most 100.
  std::uint64_t held_count = 0;
  std::uint64_t steps = 0;   ///< Inputs that machines have taken.
  bool closing = false;      ///< Nothing begins any more.
  ClockJumps clock;          ///< How the wall clock was set meanwhile.
  Duration records_ahead{};  ///< How far the latest record of a Labor that was taken up was ahead of the wall clock.
};

/// A latch, and what it holds at this moment of what the engine runs (G8). For people in a crisis.
struct LatchStatus {
  /// A Labor of which something still executes.
  struct Executing {
    Id labor;
    Text name;
    State state = State::UNKNOWN;
    std::uint64_t attempts = 0;
  };
  Latch latch;
  bool durable = true;   ///< It is stored (D6).
  bool lifting = false;  ///< Somebody lifts it; it holds until that is stored.
  std::uint64_t labors = 0;
  std::uint64_t attempts = 0;         ///< That execute, of all of them.
  std::uint64_t executing_count = 0;  ///< Labors of which something executes.
  std::vector<Executing> executing;   ///< At most 100 of them, by name.
};

/// Where an engine listens to other processes.
struct ControlInfo {
  std::vector<ControlAddress> addresses;  ///< The preferred one first.
  std::vector<std::string> passed_over;   ///< Where it would have rather listened, and why it does not.
  std::string problem;                    ///< Why no other process can reach it, where one should.
};

/// What close leaves behind: Labors that have not ended, to be taken up at the next opening.
struct CloseReport {
  struct Left {
    Id labor;
    Text name;
    State state = State::UNKNOWN;
    std::uint64_t sequences = 0, sequences_ended = 0;
    std::uint64_t interrupted = 0;  ///< Attempts that were executing when it closed.
  };
  std::vector<Left> left;
  ClockJumps clock;           ///< How the wall clock was set while it lived.
  bool all_durable = true;    ///< False: the store was degraded, and what had just happened could not be recorded.
  bool store_hangs = false;   ///< A write had not returned. Until it does the store stays locked.
  std::string store_trouble;  ///< Why not all is durable, in words.
};

/// What may be asked of an engine, and told to it, by any thread; none needs the GIL. After the engine has closed calls throw EngineClosed. A copy
/// is the same engine: who may hang in a store holds one of his own.
///
/// What waits for what: the engine's own threads never wait for the store, a Cog or a client. A method that says so waits on its caller's thread: for
/// the store's *writing* where it says "durable", for its *reading* where what it is asked about does not run here.
class EngineHandle {
 public:
  explicit EngineHandle(std::shared_ptr<EngineParts> parts) : parts_(std::move(parts)) {}

  /// S1-S5. Returns the Labor's id once the whole tree is durable. Throws ValidationError, StorageError.
  Id submit(Submission submission);
  /// The same, without waiting for the store. The caller's thread looks at the Labor, which may mean to wait for the processes of its Cogs.
  void submit_async(Submission submission, IdReply done);
  /// S6. Durable when it returns. Throws SignalNotAllowed, NotFound.
  void start(const Id& labor, const std::string& by, const std::string& note);
  /// The same; waits for the store's reading at most.
  void start_async(const Id& labor, const std::string& by, const std::string& note, Done done);
  /// G1: returns once the signal is taken. Of a Labor that waits (R4) it is stored, and durable when it returns; but STOP, which ends it. Throws
  /// SignalNotAllowed (a Labor, G2), NotFound.
  std::shared_ptr<Ack> signal(const SignalOrder& order);
  /// The same; waits for the store's reading at most.
  void signal_async(const SignalOrder& order, AckReply done);
  /// R2. Durable when it returns. Of a Labor that waits (R4) it is stored, and applied when that is taken up. Throws SignalNotAllowed where the
  /// Job is not held, NotFound.
  void decide(const DecisionOrder& order);
  /// The same; waits for the store's reading at most.
  void decide_async(const DecisionOrder& order, Done done);

  /// G8: every Labor that it matches begins to pause at once, and whatever comes to run later is paused. `id` and `since` are set here. `done` is
  /// called as soon as it is in force. Waits for nothing.
  void crisis_pause_async(Latch latch, LatchReply done);
  /// The same; durable when it returns. Throws Error where there are too many.
  Id crisis_pause(Latch latch);
  /// Lifts that latch; returns once it is taken. The Ack is done when that is durable, and so are the states of the Labors that went on.
  /// Throws NotFound where it is not in force.
  std::shared_ptr<Ack> crisis_resume(const Id& latch, const std::string& by, const std::string& note);
  /// Done when nothing executes any more of what the latch held when it was set. applied=false: it was lifted before. NotFound.
  std::shared_ptr<Ack> latch_settled(const Id& latch);
  /// Those in force, in the order in which they were set; `lifted`: those that were lifted last too, first.
  std::vector<LatchStatus> crises(bool lifted = false);
  /// Whether any is in force; costs nothing.
  bool in_crisis() const;

  /// The engine's state at once (G1); of an object that is not running here, the stored one. Throws NotFound.
  State state(const Id& object);
  std::shared_ptr<LaborEnd> end_of(const Id& labor);
  Progress progress(const Id& labor);
  /// Finds a Task of a Labor by name, a Sequence by target or name: for handles. Throws NotFound with what there is.
  Id find_task(const Id& labor, const std::string& name);
  /// labor: nil for all. since: a change's number, or nothing: from now. An ended Labor's feed is over once all is read.
  std::unique_ptr<ChangeFeed> changes(const Id& labor, std::optional<std::uint64_t> since);
  /// What the Cogs of a Labor say while they run. since: a line's number, 0 for all that is kept, or nothing: from now. Of a Labor that does not run
  /// here it is over at once. Throws NotFound.
  std::unique_ptr<LogFeed> logs(const Id& labor, std::optional<std::uint64_t> since);
  Stats stats();
  /// R4: looks again at the Labors that waited for a Cog. To be called when one was registered.
  void recheck_waiting();
  /// R1: goes on with a Labor that `recover_later` left. Empty, also where it runs here already; or why it still waits (R4). Reads the store. Throws
  /// SignalNotAllowed where it has ended, or this engine leaves it, NotFound.
  std::string take_up(const Id& labor);

  const EngineOptions& options() const;

 protected:
  std::shared_ptr<EngineParts> parts_;
};

/// The engine: owns a store, runs the Labors in it.
class Engine : public EngineHandle {
 public:
  /// Takes the store's lock (StoreInUse) and, with `recover`, takes up its unfinished Labors (R1). Throws ResourceError where the system gives it no
  /// threads or descriptors; nothing is left behind then.
  Engine(std::shared_ptr<Storage> store, std::shared_ptr<CogRegistry> cogs, EngineOptions options);
  /// Closes with interrupt, without waiting for calls that do not end.
  ~Engine();
  Engine(const Engine&) = delete;

  /// The Labors that opening took up (R1).
  std::vector<Id> taken_up() const;

  /// Ends the engine in order: no attempt begins any more; those that execute may end within `grace` (nothing: as long as
  /// they take), then are interrupted, as they are at once with `interrupt`; what still goes on after options.grace is left.
  /// All that was decided is durable when it returns, and the store is free - but for a store that fails or hangs, which is not waited for. A second
  /// close returns the same report; one that comes from another thread meanwhile may interrupt what the first is waiting for.
  CloseReport close(std::optional<Duration> grace, bool interrupt);
  bool closed() const;

  /// With `begin_later`: attempts may begin from now on. Idempotent.
  void begin();
  /// close() in three steps, for a caller that must be able to change its mind while it waits: begin; wait for the completion, which is
  /// set when nothing executes any more; perhaps interrupt; finish, once it is set.
  std::shared_ptr<Completion> begin_close();
  void interrupt_calls();
  CloseReport finish_close();

  /// Where other processes reach this engine. Set before the constructor returns.
  const ControlInfo& control() const;
  /// Labors that came over the control socket, to be looked at. Null where there is none.
  std::shared_ptr<SubmitDesk> submits();

  /// What programs are given as their environment from now on, those of Labors too that run already. Any thread; it waits for nothing.
  void set_environment(std::shared_ptr<const std::vector<std::string>> variables);

  /// Where Python's workers get their calls. They outlive the engine for as long as somebody holds them.
  std::shared_ptr<PullQueue> jobs();
  std::shared_ptr<PullQueue> checks();
  std::shared_ptr<PullQueue> async_calls();
  std::shared_ptr<Storage> store();
};

}  // namespace cogwork
