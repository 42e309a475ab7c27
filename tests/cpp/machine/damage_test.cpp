// Trees that were edited, or in which bits were flipped: one that no engine leaves is told from one that a machine can go on with, and a
// machine goes on with all of these, to their end. A failure prints the seed: COGWORK_DAMAGE_SEED=<seed> repeats that one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "cogwork/machine/invariants.h"
#include "cogwork/model/structure.h"
#include "cogwork/model/wire.h"
#include "support/machine_driver.h"
#include "support/machine_world.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;

Labor small_tree(Random& r) {
  LaborBuilder b(r.next());
  for (auto t = 1 + r.below(2); t > 0; --t) {
    b.task(static_cast<std::uint32_t>(1 + r.below(4)), static_cast<std::uint32_t>(1 + r.below(2)),
           static_cast<std::uint32_t>(r.below(2)), static_cast<std::uint32_t>(r.below(2)));
    b.with([&](Task& task) {
      task.concurrency.number = static_cast<std::int64_t>(1 + r.below(3));
      task.tolerated_failures.number = static_cast<std::int64_t>(r.below(4)) - 1;
      task.pause_on_entry = r.chance(0.1);
      task.bake = 20s * r.below(2);
      task.cont_check_interval = 10s;
    });
    b.jobs([&](Job& job) {
      job.options.retries = static_cast<std::int32_t>(r.below(3));
      job.options.retry_delay = 5s * r.below(3);
      job.options.timeout = 60s;
      job.options.on_interrupt = static_cast<std::int8_t>(r.below(3));
    });
  }
  return b.build();
}

/// What a store holds in the middle of a life.
Labor in_the_middle(Random& r) {
  MachineDriver d(small_tree(r));
  Ticket ticket = 1;
  d.step(input::Start{ticket++, "tester", {}});
  for (auto steps = r.below(80); steps > 0 && !d.machine.ended(); --steps) {
    switch (r.below(6)) {
      case 0: d.begin_next(false); break;
      case 1: d.begin_next(true); break;
      case 2: d.all_durable(); break;
      case 3:
        if (!d.handed.empty()) {
          Outcome outcome;
          if (r.chance(0.3)) outcome.status = AttemptStatus::FAILURE;
          d.finish(d.handed.begin()->first, outcome);
        }
        break;
      case 4:
        d.now += Duration(static_cast<std::int64_t>(r.below(8'000'000)));
        if (const auto wake = d.next_wake(); wake && *wake <= d.now) d.tick();
        break;
      default:
        if (!r.chance(0.2)) break;
        d.step(input::Signalled{
            r.chance(0.5) ? ObjectRef{} : task_ref(0), static_cast<Signal>(r.below(kSignals)), r.chance(0.5), ticket++, "ann", {}});
    }
  }
  if (r.chance(0.2)) d.die(d.commits_in_flight(), 1s);
  d.all_durable();
  return d.durable.labor;
}

template <typename Row>
Row& any(std::vector<Row>& rows, Random& r) {
  return rows[r.below(rows.size())];
}

template <typename Number>
void turn(Number& number, Random& r) {
  using Bits = std::make_unsigned_t<Number>;
  number = r.chance(0.6) ? static_cast<Number>(static_cast<Bits>(number) ^ (Bits{1} << r.below(8 * sizeof(Number))))
                         : static_cast<Number>(r.below(4));
}
void turn(bool& flag, Random&) { flag = !flag; }
void turn(State& state, Random& r) { state = static_cast<State>(r.below(kStates)); }
void turn(Reason& reason, Random& r) { reason = static_cast<Reason>(r.below(4)); }
void turn(Time& time, Random& r) {
  const Time times[] = {never, from_micros(1), time + 1h, time - 1h, kEarliest, kLatest};
  time = times[r.below(std::size(times))];
}
void turn(Holds& holds, Random& r) {
  if (!holds.empty() && r.chance(0.5)) return holds.pop_back();
  holds.push_back({static_cast<Rank>(r.below(4)), from_micros(5), "eve", {}});
}

void turn_attempts(Job& job, Random& r) {
  if (job.attempts.empty() || r.chance(0.2)) {
    auto& attempt = job.attempts.emplace_back();
    attempt.number = static_cast<std::uint32_t>(r.below(3));
    attempt.round = static_cast<std::uint32_t>(r.below(3));
    attempt.started = from_micros(5);
    return;
  }
  auto& attempt = any(job.attempts, r);
  switch (r.below(6)) {
    case 0: return turn(attempt.number, r);
    case 1: return turn(attempt.round, r);
    case 2: return turn(attempt.started, r);
    case 3: return turn(attempt.ended, r);
    case 4: attempt.status = static_cast<AttemptStatus>(r.below(9)); return;
    default: return r.chance(0.5) ? job.attempts.clear() : job.attempts.pop_back();
  }
}

/// One cell of one row, as a store may come to hold it and still be read. Returns which.
std::uint64_t damage(Labor& l, Random& r) {
  auto& task = any(l.tasks, r);
  auto& sequence = any(l.sequences, r);
  auto& job = any(l.jobs, r);
  const auto cell = r.below(30);
  switch (cell) {
    case 0: turn(l.state, r); break;
    case 1: turn(l.reason, r); break;
    case 2: turn(l.started, r); break;
    case 3: turn(l.ended, r); break;
    case 4: turn(l.holds, r); break;
    case 5: turn(task.state, r); break;
    case 6: turn(task.reason, r); break;
    case 7: turn(task.failures, r); break;
    case 8: turn(task.strict, r); break;
    case 9: turn(task.pass_failures, r); break;
    case 10: turn(task.pause_on_entry, r); break;
    case 11: task.concurrency.number = r.chance(0.5) ? 1 : INT64_MAX; break;
    case 12: task.tolerated_failures.number = static_cast<std::int64_t>(r.below(3)) - 1; break;
    case 13: turn(task.started, r); break;
    case 14: turn(task.ended, r); break;
    case 15: turn(task.holds, r); break;
    case 16: task.cont_check_interval = r.chance(0.5) ? Duration(1) : kLongestDuration; break;
    case 17: task.bake = kLongestDuration; break;
    case 18: turn(sequence.state, r); break;
    case 19: turn(sequence.reason, r); break;
    case 20: turn(sequence.started, r); break;
    case 21: turn(sequence.ended, r); break;
    case 22: turn(sequence.holds, r); break;
    case 23: turn(job.state, r); break;
    case 24: turn(job.held, r); break;
    case 25: turn(job.rounds, r); break;
    case 26: turn(job.started, r); break;
    case 27: job.options.retries = static_cast<std::int32_t>(r.below(3)) - 1; break;
    case 28: job.options.on_interrupt = static_cast<std::int8_t>(r.below(4)) - 1; break;
    default: turn_attempts(job, r);
  }
  return cell;
}

/// An engine takes it up and a person stops it; whatever executes ends. Where it does not come to its end: what it waits for.
std::string waits_for(Labor labor) {
  MachineDriver d(std::move(labor));
  d.now += 24h;
  Ticket ticket = 1;
  d.step(input::Recovered{});
  if (d.labor().state == State::ADMIN_NOT_STARTED) d.step(input::Start{ticket++, "tester", {}});
  for (int i = 0; i < 40 && !d.machine.ended(); ++i) {
    if (i == 20) d.step(input::Signalled{{}, Signal::STOP, true, ticket++, "ann", {}});
    for (int n = 0; n < 4; ++n) d.begin_next(false), d.begin_next(true);
    d.all_durable();
    const auto handed = d.handed;
    for (const auto& [job, since] : handed) {
      if (d.handed.contains(job)) d.finish(job, {});
    }
    if (const auto wake = d.next_wake()) d.now = std::max(d.now, std::min(*wake, d.now + 1h));
    d.tick();
  }
  return d.machine.ended() ? "" : std::string(name_of(d.labor().state)) + ", " + d.machine.waiting_for(d.steady());
}

TEST(Damage, R4_a_machine_goes_on_with_every_tree_that_is_not_told_to_be_damaged) {
  const char* given = std::getenv("COGWORK_DAMAGE_SEED");  // NOLINT: tests have set no variables yet
  const std::uint64_t first = given ? std::strtoull(given, nullptr, 10) : 1, trees = given ? 1 : 6'000;
  std::uint64_t refused = 0, gone_on = 0;
  for (auto seed = first; seed < first + trees; ++seed) {
    Random r(seed);
    const auto whole = in_the_middle(r);
    EXPECT_EQ(broken_at_rest(whole), std::vector<std::string>()) << "COGWORK_DAMAGE_SEED=" << seed;
    for (int edits = 0; edits < 10; ++edits) {
      auto labor = whole;
      std::string cells;
      for (auto n = 1 + r.below(2); n > 0; --n) cells += " " + std::to_string(damage(labor, r));
      ASSERT_EQ(why_not_whole(labor), "");
      if (!broken_at_rest(labor).empty()) {
        ++refused;
        continue;
      }
      if (has_ended(labor.state)) continue;
      ++gone_on;
      SCOPED_TRACE("COGWORK_DAMAGE_SEED=" + std::to_string(seed));
      EXPECT_EQ(waits_for(labor), "") << "edit " << edits << ", of the cells" << cells;
    }
  }
  if (given) return;
  EXPECT_GT(refused, trees);
  EXPECT_GT(gone_on, trees);
}

}  // namespace
}  // namespace cogwork::test
