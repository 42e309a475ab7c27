// R5 at every write point. A small Labor runs, and dies exactly before and exactly after each of its commits - its submit, each commit until its
// end, those of a signal, those of the recovery from another death. Whoever heard nothing asks again, or does not. However it goes, it must end as
// a run without a death could have ended (every_way.h), and keep what was promised before (D1-D4).
//
// One thread, one Core after another on one store: thousands of lives a second.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include "support/core_world.h"
#include "support/engine_world.h"
#include "support/every_way.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using S = State;
using A = AttemptStatus;

// ---- Labors ----

struct Shape {
  const char* name;
  Labor (*make)(OnInterrupt);
};

void set_all(LaborBuilder& b, OnInterrupt what) {
  b.jobs([&](Job& job) {
    job.cog_path = "ok";
    job.args = Text("\x80");
    job.options.retries = 2;
    job.options.retry_delay = 1s;
    job.options.on_interrupt = static_cast<std::int8_t>(what);
  });
  b.with([](Task& task) { task.cont_check_interval = std::chrono::hours(1); });
}

Labor one_job(OnInterrupt what) {
  LaborBuilder b;
  b.task(1);
  set_all(b, what);
  return b.build();
}

/// Checks before, during and after; two Sequences side by side; a Job that needs a second try; another Task behind.
Labor with_everything(OnInterrupt what) {
  LaborBuilder b;
  b.task(2, 2, 1, 1);
  set_all(b, what);
  b.with([](Task& task) {
    task.concurrency.number = 2;
    task.tolerated_failures.number = 1;
    task.bake = 5s;
  });
  b.task(1);
  set_all(b, what);
  auto labor = b.build();
  labor.jobs[3].name = "flaky";
  return labor;
}

/// One after the other, and the budget runs out on the way.
Labor losing(OnInterrupt what) {
  LaborBuilder b;
  b.task(3, 1, 0, 1);
  set_all(b, what);
  b.jobs([](Job& job) { job.options.retries = 1; });
  auto labor = b.build();
  labor.jobs[2].name = "bad";
  return labor;
}

/// Its check fails while it rolls (X6a: the last round).
Labor refused_in_the_end(OnInterrupt what) {
  LaborBuilder b;
  b.task(1, 1, 1, 1);
  set_all(b, what);
  b.jobs([](Job& job) { job.options.retries = 1; });
  auto labor = b.build();
  labor.jobs[1].name = "bad later";
  return labor;
}

constexpr Shape kShapes[] = {
    {"OneJob", one_job}, {"Everything", with_everything}, {"Losing", losing}, {"RefusedInTheEnd", refused_in_the_end}};

// ---- one run ----

struct Death {
  std::size_t write = 0;  ///< The n-th commit of the run, over all lives, from 1.
  bool after = false;
};

/// How a call takes it that it is asked to end.
enum class Asked : std::uint8_t { ENDS, COMPLETES, IS_DEAF };

struct Course {
  Meddling meddling;
  std::size_t signal_at = SIZE_MAX;  ///< Before the n-th event.
  std::vector<Death> deaths;
  bool patient = false;  ///< Commits as late as it can, several things in one.
  bool again = false;    ///< Who was not told sends his signal again.
  Asked asked = Asked::ENDS;
  Decision decision = Decision::RERUN;  ///< Of whoever is asked about a held Job.

  std::string text() const {
    std::string t = meddling.signal
                        ? std::string(name_of(*meddling.signal)) + (meddling.interrupt ? "(interrupt)" : "") + " to " +
                              std::to_string(static_cast<int>(meddling.object.kind)) + " before event " + std::to_string(signal_at)
                        : "no signal";
    t += patient ? ", patient" : ", eager";
    t += again ? ", again" : "";
    t += decision == Decision::RERUN ? "" : ", decides " + std::string(name_of(decision));
    t += asked == Asked::ENDS ? "" : asked == Asked::COMPLETES ? ", completes when asked to end" : ", deaf";
    for (const auto& death : deaths)
      t += (death.after ? ", dies after write " : ", dies before write ") + std::to_string(death.write);
    return t;
  }
};

class OneRun {
 public:
  OneRun(const Labor& labor, const Course& course) : labor_(labor), course_(course) { open(); }

  std::size_t writes = 0, events = 0, lives = 0;
  bool untold = false;  ///< Somebody died before it was told what became of its signal.
  std::string end;

  void go() {
    submit();
    for (; !over(); ++events) {
      if (events > 400) {
        ADD_FAILURE() << "it does not come to its end";
        return;
      }
      if (events >= course_.signal_at && !sent_ && submitted_->answered) send();
      move();
    }
    judge();
  }

 private:
  CoreWorld& w() { return *world_; }

  void open() {
    ++lives;
    EngineOptions options;
    options.grace = 2s;
    world_ = std::make_unique<CoreWorld>(store_, cogs_, now_, lives, options);
  }
  void submit() {
    auto copy = labor_;
    copy.id = {};
    copy.client_id = "client";
    submitted_ = w().submit(std::move(copy), true, "client");
  }
  void send() {
    sent_ = w().signal({id().with_ordinal(ordinal_of(labor_, course_.meddling.object)), *course_.meddling.signal,
                        course_.meddling.interrupt, "ann", ""});
    EXPECT_TRUE(sent_->answered) << "G1";
  }
  Id id() const { return submitted_->id; }

  bool over() {
    if (!submitted_->answered || w().committer.queued() > 0) return false;
    return has_ended(store_->read_labor(id(), false).state);
  }

  void move() {
    auto& world = w();
    ScriptedExecutor* executor = nullptr;
    AttemptKey key = 0;
    ScriptedExecutor::Call call;
    for (auto* one : {&world.checks, &world.jobs}) {
      for (const auto& [k, c] : one->calls()) {
        if (executor || (c.asked_to_end && course_.asked == Asked::IS_DEAF)) continue;
        executor = one;
        key = k;
        call = c;
      }
    }
    if (world.committer.queued() > 0 && (!course_.patient || !executor)) return write();
    if (executor) return answer(*executor, key, call);
    if (submitted_->answered && release()) return;
    if (world.next) world.advance_to(*world.next);
  }

  void write() {
    ++writes;
    for (const auto& death : course_.deaths) {
      if (death.write != writes) continue;
      if (death.after) w().committer.make_durable(SIZE_MAX);
      return die();
    }
    w().make_durable();
  }

  void answer(ScriptedExecutor& executor, AttemptKey key, const ScriptedExecutor::Call& call) {
    const auto job = store_->read_job(call.job, true);
    auto outcome = scripted_answer(job);
    if (call.asked_to_end && course_.asked == Asked::ENDS) outcome.status = A::FAILURE;
    if (outcome.status == A::SUCCESS) ++effects_[job.ordinal];
    w().finish(executor, key, outcome);
  }

  void die() {
    if (submitted_->answered) {
      const auto stored = store_->read_labor(id(), true);                                     // D1: throws where it is not there
      if (sent_ && sent_->ack && sent_->ack->done() && sent_->ack->applied() && !resumed_) {  // D4
        const auto state = state_of(stored, course_.meddling.object);
        const bool held = is_paused(state) || state == S::NOT_STARTED || has_ended(state);
        EXPECT_TRUE(course_.meddling.signal == Signal::STOP ? state == S::STOPPED : held) << "D4: " << name_of(state);
      }
      expect_sound_tree(stored, false);
    }
    expect_sound_history(*store_);
    now_ = w().clock.wall() + 1s;
    world_.reset();
    const bool known = submitted_->answered;
    const bool told = sent_ && sent_->answered && (!sent_->ack || sent_->ack->done());
    open();
    if (!known) submit();
    untold |= sent_ && !told;
    if (sent_ && !told && course_.again && known && !has_ended(store_->read_labor(id(), false).state)) send();
  }

  /// A person who comes after a while: decides about a held Job, or lets something go. False where there is nothing to do.
  bool release() {
    const auto stored = store_->read_labor(id(), true);
    for (const auto& job : stored.jobs) {
      if (!job.held) continue;
      w().core.decide({id().with_ordinal(job.ordinal), course_.decision, "ann", ""},
                      [](const std::shared_ptr<Ack>&, const std::exception_ptr&) {});
      w().turn();
      decided_.insert(job.ordinal);
      return true;
    }
    for (const auto object : {ObjectRef{}, course_.meddling.object}) {
      const auto resume = resume_for(stored, object);
      if (!resume) continue;
      w().signal({id().with_ordinal(ordinal_of(labor_, object)), *resume, false, "ann", ""});
      resumed_ = true;
      return true;
    }
    return false;
  }

  void judge() {
    std::size_t labors = 0;
    for (auto stream = store_->labors({}); stream->next();) ++labors;
    EXPECT_EQ(labors, 1u) << "S3: it was submitted twice";
    const auto done = store_->read_labor(id(), true);
    expect_sound_tree(done);
    expect_sound_history(*store_);
    for (const auto& job : done.jobs) {
      if (job.is_check()) continue;
      const bool fails = job.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::FAIL);
      const bool asks = job.options.on_interrupt == static_cast<std::int8_t>(OnInterrupt::HOLD);
      const bool decided = !job.attempts.empty() && job.attempts.back().decision == Decision::COMPLETED;
      EXPECT_TRUE(!decided || (asks && decided_.contains(job.ordinal))) << "R2: nobody decided that";
      int counted = 0, successes = 0, interrupted = 0;
      for (const auto& attempt : job.attempts) {
        EXPECT_EQ(successes, 0) << "R5: an attempt began after the one that succeeded";
        if (fails) {
          EXPECT_EQ(interrupted, 0) << "R2: FAIL ran again";
        }
        if (asks && interrupted > 0) {
          EXPECT_TRUE(decided_.contains(job.ordinal)) << "R2: HOLD ran again, and nobody decided that";
        }
        counted += attempt.status == A::FAILURE || attempt.status == A::SUCCESS;
        successes += attempt.status == A::SUCCESS;
        interrupted += attempt.status == A::INTERRUPTED;
      }
      EXPECT_LE(counted, 1 + job.options.retries) << "X8";
      const int effects = effects_[job.ordinal];
      if (job.state == S::COMPLETED) {
        EXPECT_EQ(successes, decided ? 0 : 1) << "R5";
        EXPECT_GE(effects, decided ? 0 : 1) << "R5: completed without its effect";
        if (fails) {
          EXPECT_EQ(effects, 1) << "R5";
        }
      }
      if (fails) {
        EXPECT_LE(effects, 1) << "R2";
        if (interrupted > 0) {
          EXPECT_EQ(job.state, S::FAILED) << "R2";
        }
      }
    }
    EXPECT_TRUE(w().jobs.calls().empty() && w().checks.calls().empty());
    end = end_of(done);
  }

  static std::shared_ptr<CogRegistry> one_cog() {
    auto cogs = std::make_shared<CogRegistry>();
    CogInfo info;
    info.name = "ok";
    info.origin = "test:ok";
    cogs->add(info);
    return cogs;
  }

  const Labor& labor_;
  const Course& course_;
  std::shared_ptr<Storage> store_ = make_memory_store();
  std::shared_ptr<CogRegistry> cogs_ = one_cog();
  Time now_ = kStart;
  std::unique_ptr<CoreWorld> world_;
  std::shared_ptr<CoreWorld::Submitted> submitted_;
  std::shared_ptr<CoreWorld::Sent> sent_;
  bool resumed_ = false;
  std::map<std::uint32_t, int> effects_;  // by ordinal: calls that did their work
  std::set<std::uint32_t> decided_;       // ordinals of Jobs about which somebody decided
};

// ---- all of them ----

struct Case {
  Shape shape;
  OnInterrupt on_interrupt;
  Meddling meddling;
  std::string text() const {
    static constexpr const char* kKinds[] = {"Labor", "Task", "Sequence", "Job"};
    std::string t = shape.name + std::string(on_interrupt == OnInterrupt::RETRY  ? "Retry"
                                             : on_interrupt == OnInterrupt::FAIL ? "Fail"
                                                                                 : "Hold");
    if (!meddling.signal) return t + "Undisturbed";
    t +=
        std::string(name_of(*meddling.signal)) + (meddling.interrupt ? "Now" : "") + kKinds[static_cast<int>(meddling.object.kind)];
    std::erase(t, '_');
    return t;
  }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& shape : kShapes) {
    for (const auto what : {OnInterrupt::RETRY, OnInterrupt::FAIL, OnInterrupt::HOLD}) {
      cases.push_back({shape, what, {}});
      for (const auto kind : {ObjectKind::LABOR, ObjectKind::TASK, ObjectKind::SEQUENCE}) {
        for (const auto signal : {Signal::PAUSE, Signal::ADMIN_PAUSE, Signal::CRISIS_PAUSE, Signal::STOP}) {
          cases.push_back({shape, what, {signal, {kind, 0}, false}});
        }
        cases.push_back({shape, what, {Signal::STOP, {kind, 0}, true}});
      }
    }
  }
  return cases;
}

/// Each with each.
std::vector<std::tuple<bool, Asked, Decision>> all_of(const std::vector<Asked>& asked, const std::vector<Decision>& decisions) {
  std::vector<std::tuple<bool, Asked, Decision>> all;
  for (const bool patient : {false, true}) {
    for (const auto one : asked) {
      for (const auto decision : decisions) all.emplace_back(patient, one, decision);
    }
  }
  return all;
}

class WritePoints : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    labor_ = GetParam().shape.make(GetParam().on_interrupt);
    const EveryWay ways(labor_, GetParam().meddling, 0);
    for (const auto& fault : ways.faults) ADD_FAILURE() << fault;
    allowed_ = ways.ends;
    RecordProperty("states", std::to_string(ways.states));
    RecordProperty("ends", std::to_string(ways.ends.size()));
  }

  struct Figures {
    std::size_t writes = 0, events = 0;
    bool untold = false;
  };
  Figures run(const Course& course) {
    SCOPED_TRACE(course.text());
    OneRun one(labor_, course);
    one.go();
    lives_ += one.lives;
    ++runs_;
    reached_.insert(one.end);
    EXPECT_TRUE(allowed_.contains(one.end)) << "R5: no run without a death ends so: " << one.end;
    return {one.writes, one.events, one.untold};
  }

  /// At each write, before and after it.
  void die_everywhere(Course course) {
    const auto writes = run(course).writes;
    for (std::size_t write = 1; write <= writes; ++write) {
      for (const bool after : {false, true}) {
        course.deaths = {{write, after}};
        const auto figures = run(course);
        if (figures.untold) {
          auto again = course;
          again.again = true;
          run(again);
        }
        // A second death: at the recovery's own write; where nobody meddles, also at each that follows.
        const auto last = course.meddling.signal ? std::min(write + 1, figures.writes) : figures.writes;
        for (std::size_t second = write + 1; second <= last; ++second) {
          for (const bool too : {false, true}) {
            auto twice = course;
            twice.deaths.push_back({second, too});
            run(twice);
          }
        }
      }
    }
  }

  Labor labor_;
  std::set<std::string> allowed_, reached_;
  std::size_t runs_ = 0, lives_ = 0;
};

TEST_P(WritePoints, R5EachDeathBeforeAndAfterEachWriteLeadsToAnEndOfARunWithoutOne) {
  const auto& meddling = GetParam().meddling;
  std::vector<Asked> ways_to_end{Asked::ENDS};
  if (meddling.interrupt) ways_to_end = {Asked::ENDS, Asked::COMPLETES, Asked::IS_DEAF};
  std::vector<Decision> decisions{Decision::RERUN};
  if (GetParam().on_interrupt == OnInterrupt::HOLD) decisions = {Decision::RERUN, Decision::COMPLETED, Decision::FAILED};
  for (const auto& [patient, asked, decision] : all_of(ways_to_end, decisions)) {
    Course course{meddling, SIZE_MAX, {}, patient, false, asked, decision};
    const auto events = run(course).events;
    for (std::size_t at = 0; at < (meddling.signal ? events : 1) && !HasFailure(); ++at) {
      if (meddling.signal) course.signal_at = at;
      die_everywhere(course);
    }
  }
  RecordProperty("runs", std::to_string(runs_));
  RecordProperty("lives", std::to_string(lives_));
  RecordProperty("ends_reached", std::to_string(reached_.size()));
  EXPECT_GT(runs_, 10u);
}

/// The same without a store: wherever a process can die, in whatever order things went before and go after. So many ways of each Labor;
/// COGWORK_WAYS=1000000 looks at all.
TEST_P(WritePoints, R5EveryWayWithADeathEndsAsOneWithoutCan) {
  const char* most = std::getenv("COGWORK_WAYS");  // NOLINT: tests have set no variables yet
  const EveryWay ways(labor_, GetParam().meddling, 1, most ? std::strtoull(most, nullptr, 10) : 1000);
  for (const auto& fault : ways.faults) ADD_FAILURE() << fault;
  for (const auto& end : ways.ends) EXPECT_TRUE(allowed_.contains(end)) << "R5: no run without a death ends so: " << end;
  RecordProperty("states_with_a_death", std::to_string(ways.states));
}

INSTANTIATE_TEST_SUITE_P(Small, WritePoints, testing::ValuesIn(all_cases()), [](const auto& one) { return one.param.text(); });

}  // namespace
}  // namespace cogwork::test
