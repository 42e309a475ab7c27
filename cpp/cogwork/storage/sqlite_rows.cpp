#include "cogwork/storage/sqlite_rows.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/model/document.h"

namespace cogwork {
namespace {

/// A time that is not set, in a column of eight bytes. See "Room" in the header.
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();

/// What a Job's attempts are likely to take: one that ended, with a short output or none.
constexpr std::size_t kAttemptsRoom = 80;

std::int64_t time_value(Time t) { return is_set(t) ? to_micros(t) : kNever; }
Time time_from(std::int64_t value) { return value == kNever ? never : from_micros(value); }

SqliteStatement& bind_duration(SqliteStatement& statement, int place, Duration value) {
  return value.count() == kNotGiven ? statement.bind_null(place) : statement.bind(place, value.count());
}
Duration duration_from(const SqliteStatement& row, int column) {
  return Duration(row.is_null(column) ? kNotGiven : row.number(column));
}

template <typename Number>
Number number_from(const SqliteStatement& row, int column) {
  const std::int64_t value = row.number(column);
  if (!std::in_range<Number>(value)) throw StorageError("a row holds a number that is out of range; the file is damaged", false);
  return static_cast<Number>(value);
}

template <typename Enum>
Enum enum_from(const SqliteStatement& row, int column, Enum last) {
  const std::int64_t value = row.number(column);
  if (value < 0 || value > static_cast<std::int64_t>(last)) {
    throw StorageError(
        "a row holds the number " + std::to_string(value) + " where a state, reason or kind belongs; the file is damaged", false);
  }
  return static_cast<Enum>(value);
}

/// 0 and 1 lie in a row's header and take no byte of their own.
std::size_t size_of_small(int value) { return value == 0 || value == 1 ? 0 : 1; }
/// What a blob takes, with its entry in the row's header.
std::size_t size_of_blob(std::size_t bytes) {
  const std::size_t type = 12 + 2 * bytes;
  return bytes + (type < 0x80 ? 1 : type < 0x4000 ? 2 : 3);
}

/// Zeros that bring what changes of a row from `taken` bytes to `whole`. A blob's own header is part of the sum, so around its
/// 58 bytes a sum may be missed by one; then the row moves, and nothing else happens.
void bind_room(SqliteStatement& statement, int place, std::size_t taken, std::size_t whole) {
  std::size_t room = whole > taken ? whole - taken : 0;
  while (room > 0 && taken + size_of_blob(room) > whole) --room;
  statement.bind_zeros(place, static_cast<int>(room));
}

// A list of words: each as its length, in LEB128, and its bytes.
void pack_word(std::string& out, std::string_view word) {
  for (std::size_t size = word.size();; size >>= 7) {
    out += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
    if (size <= 0x7f) break;
  }
  out += word;
}

std::string pack_tags(const std::vector<Text>& tags) {
  std::string out;
  for (const auto& tag : tags) pack_word(out, tag);
  return out;
}

std::string pack_cogs(const std::vector<std::pair<Text, Text>>& cogs) {
  std::string out;
  for (const auto& [name, origin] : cogs) {
    pack_word(out, name);
    pack_word(out, origin);
  }
  return out;
}

std::vector<Text> unpack_words(std::string_view packed) {
  std::vector<Text> words;
  std::size_t at = 0;
  while (at < packed.size()) {
    std::size_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at == packed.size() || shift > 28)
        throw StorageError("the tags or cogs of a Labor cannot be read; the file is damaged", false);
      const auto byte = static_cast<unsigned char>(packed[at++]);
      size |= std::size_t{byte & 0x7fU} << shift;
      if (byte < 0x80) break;
    }
    if (size > packed.size() - at) throw StorageError("the tags or cogs of a Labor cannot be read; the file is damaged", false);
    words.emplace_back(packed.substr(at, size));
    at += size;
  }
  return words;
}

std::vector<std::pair<Text, Text>> unpack_cogs(std::string_view packed) {
  auto words = unpack_words(packed);
  std::vector<std::pair<Text, Text>> cogs;
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) cogs.emplace_back(std::move(words[i]), std::move(words[i + 1]));
  return cogs;
}

std::string pack_holds(const Holds& holds) { return holds.empty() ? std::string() : write_holds(holds); }
Holds holds_from(std::string_view packed) { return packed.empty() ? Holds() : read_holds(packed); }

}  // namespace

const RowSql kLaborSql = {
    "INSERT INTO labors(key, id, state, reason, submitted, started, ended, name, desc, client_id, real_user, tags, cogs, holds) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) "
    "ON CONFLICT(key) DO UPDATE SET state = ?3, reason = ?4, submitted = ?5, started = ?6, ended = ?7, name = ?8, desc = ?9, "
    "client_id = ?10, real_user = ?11, tags = ?12, cogs = ?13, holds = ?14",
    "UPDATE labors SET state = ?2, reason = ?3, started = ?4, ended = ?5, holds = ?6 WHERE key = ?1",
    "id, state, reason, submitted, started, ended, name, desc, client_id, real_user, tags, cogs, holds"};

void bind_labor(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch) {
  scratch.tags = pack_tags(labor.tags);
  scratch.cogs = pack_cogs(labor.cogs);
  scratch.holds = pack_holds(labor.holds);
  statement.bind(1, key).bind_id(2, labor.id);
  statement.bind(3, static_cast<int>(labor.state)).bind(4, static_cast<int>(labor.reason));
  statement.bind(5, to_micros(labor.submitted)).bind(6, time_value(labor.started)).bind(7, time_value(labor.ended));
  statement.bind_text(8, labor.name).bind_text(9, labor.desc).bind_text(10, labor.client_id).bind_text(11, labor.real_user);
  statement.bind_blob(12, scratch.tags).bind_blob(13, scratch.cogs).bind_blob(14, scratch.holds);
}

void bind_labor_state(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch) {
  scratch.holds = pack_holds(labor.holds);
  statement.bind(1, key).bind(2, static_cast<int>(labor.state)).bind(3, static_cast<int>(labor.reason));
  statement.bind(4, time_value(labor.started)).bind(5, time_value(labor.ended)).bind_blob(6, scratch.holds);
}

Labor labor_from(const SqliteStatement& row) {
  Labor labor;
  labor.id = row.id(0);
  labor.state = enum_from(row, 1, State::STOPPED);
  labor.reason = enum_from(row, 2, Reason::MAX_FAILURES);
  labor.submitted = from_micros(row.number(3));
  labor.started = time_from(row.number(4));
  labor.ended = time_from(row.number(5));
  labor.name = row.bytes(6);
  labor.desc = row.bytes(7);
  labor.client_id = row.bytes(8);
  labor.real_user = row.bytes(9);
  labor.tags = unpack_words(row.bytes(10));
  labor.cogs = unpack_cogs(row.bytes(11));
  labor.holds = holds_from(row.bytes(12));
  return labor;
}

const RowSql kTaskSql = {
    "INSERT INTO tasks(key, first_job, pre_checks, cont_checks, first_sequence, sequences, state, reason, started, ended, "
    "failures, "
    "strict, pass_failures, pause_on_entry, concurrency, concurrency_share, tolerated_failures, tolerated_share, "
    "cont_check_interval, bake, entry_delay, name, desc, holds) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    "UPDATE tasks SET state = ?7, reason = ?8, "
    "started = ?9, ended = ?10, failures = ?11, strict = ?12, pass_failures = ?13, pause_on_entry = ?14, concurrency = ?15, "
    "concurrency_share = ?16, tolerated_failures = ?17, tolerated_share = ?18, cont_check_interval = ?19, bake = ?20, "
    "entry_delay = ?21, name = ?22, desc = ?23, holds = ?24 WHERE key = ?1",
    "key, first_job, pre_checks, cont_checks, first_sequence, sequences, state, reason, started, ended, failures, strict, "
    "pass_failures, pause_on_entry, concurrency, concurrency_share, tolerated_failures, tolerated_share, cont_check_interval, "
    "bake, "
    "entry_delay, name, desc, holds"};

void bind_task(SqliteStatement& statement, std::int64_t key, const Task& task, RowScratch& scratch) {
  scratch.holds = pack_holds(task.holds);
  statement.bind(1, key).bind(2, task.first_job).bind(3, task.pre_check_count).bind(4, task.cont_check_count);
  statement.bind(5, task.first_sequence).bind(6, task.sequence_count);
  statement.bind(7, static_cast<int>(task.state)).bind(8, static_cast<int>(task.reason));
  statement.bind(9, time_value(task.started)).bind(10, time_value(task.ended)).bind(11, task.failures);
  statement.bind(12, task.strict ? 1 : 0).bind(13, task.pass_failures ? 1 : 0).bind(14, task.pause_on_entry ? 1 : 0);
  statement.bind(15, task.concurrency.number).bind_text(16, task.concurrency.share);
  statement.bind(17, task.tolerated_failures.number).bind_text(18, task.tolerated_failures.share);
  statement.bind(19, task.cont_check_interval.count()).bind(20, task.bake.count()).bind(21, task.entry_delay.count());
  statement.bind_text(22, task.name).bind_text(23, task.desc).bind_blob(24, scratch.holds);
}

Task task_from(const SqliteStatement& row, Interner& intern) {
  Task task;
  task.ordinal = row_ordinal(row.number(0));
  task.first_job = number_from<std::uint32_t>(row, 1);
  task.pre_check_count = number_from<std::uint32_t>(row, 2);
  task.cont_check_count = number_from<std::uint32_t>(row, 3);
  task.first_sequence = number_from<std::uint32_t>(row, 4);
  task.sequence_count = number_from<std::uint32_t>(row, 5);
  task.state = enum_from(row, 6, State::STOPPED);
  task.reason = enum_from(row, 7, Reason::MAX_FAILURES);
  task.started = time_from(row.number(8));
  task.ended = time_from(row.number(9));
  task.failures = number_from<std::uint32_t>(row, 10);
  task.strict = row.number(11) != 0;
  task.pass_failures = row.number(12) != 0;
  task.pause_on_entry = row.number(13) != 0;
  task.concurrency = {row.number(14), intern(row.bytes(15))};
  task.tolerated_failures = {row.number(16), intern(row.bytes(17))};
  task.cont_check_interval = Duration(row.number(18));
  task.bake = Duration(row.number(19));
  task.entry_delay = Duration(row.number(20));
  task.name = intern(row.bytes(21));
  task.desc = intern(row.bytes(22));
  task.holds = holds_from(row.bytes(23));
  return task;
}

const RowSql kSequenceSql = {
    "INSERT INTO sequences(key, task, first_job, jobs, state, reason, started, ended, target, name, desc, holds, room) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    "UPDATE sequences SET state = ?5, reason = ?6, started = ?7, ended = ?8, target = ?9, "
    "name = ?10, desc = ?11, holds = ?12, room = ?13 WHERE key = ?1",
    "key, task, first_job, jobs, state, reason, started, ended, target, name, desc, holds"};

void bind_sequence(SqliteStatement& statement, std::int64_t key, const Sequence& sequence, RowScratch& scratch) {
  const int state = static_cast<int>(sequence.state);
  statement.bind(1, key).bind(2, sequence.task).bind(3, sequence.first_job).bind(4, sequence.job_count);
  statement.bind(5, state).bind(6, static_cast<int>(sequence.reason));
  statement.bind(7, time_value(sequence.started)).bind(8, time_value(sequence.ended));
  statement.bind_text(9, sequence.target).bind_text(10, sequence.name).bind_text(11, sequence.desc);
  if (sequence.holds.empty()) {
    statement.bind_null(12);
  } else {
    scratch.holds = pack_holds(sequence.holds);
    statement.bind_blob(12, scratch.holds);
  }
  bind_room(statement, 13, size_of_small(state), 2);
}

Sequence sequence_from(const SqliteStatement& row, Interner& intern) {
  Sequence sequence;
  sequence.ordinal = row_ordinal(row.number(0));
  sequence.task = number_from<std::uint32_t>(row, 1);
  sequence.first_job = number_from<std::uint32_t>(row, 2);
  sequence.job_count = number_from<std::uint32_t>(row, 3);
  sequence.state = enum_from(row, 4, State::STOPPED);
  sequence.reason = enum_from(row, 5, Reason::MAX_FAILURES);
  sequence.started = time_from(row.number(6));
  sequence.ended = time_from(row.number(7));
  sequence.target = row.bytes(8);  // seldom the same twice
  sequence.name = intern(row.bytes(9));
  sequence.desc = intern(row.bytes(10));
  sequence.holds = holds_from(row.bytes(11));
  return sequence;
}

const RowSql kJobSql = {
    "INSERT INTO jobs(key, task, sequence, kind, state, held, rounds, started, ended, name, desc, cog, timeout, retries, "
    "retry_delay, "
    "retry_max_delay, retry_backoff, on_interrupt, attempts, room) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    "UPDATE jobs SET state = ?5, held = ?6, rounds = ?7, started = ?8, ended = ?9, name = ?10, "
    "desc = ?11, cog = ?12, timeout = ?13, retries = ?14, retry_delay = ?15, retry_max_delay = ?16, retry_backoff = ?17, "
    "on_interrupt = ?18, attempts = ?19, room = ?20 WHERE key = ?1",
    "key, task, sequence, kind, state, held, rounds, started, ended, name, desc, cog, timeout, retries, retry_delay, "
    "retry_max_delay, retry_backoff, on_interrupt, attempts"};

void bind_job(SqliteStatement& statement, std::int64_t key, const Job& job, RowScratch& scratch) {
  const int state = static_cast<int>(job.state);
  if (job.attempts.empty()) {
    scratch.attempts.clear();
  } else {
    scratch.attempts = write_attempts(job.attempts);
  }
  statement.bind(1, key).bind(2, job.task);
  if (job.sequence == Job::kNoSequence) {
    statement.bind_null(3);
  } else {
    statement.bind(3, job.sequence);
  }
  statement.bind(4, static_cast<int>(job.kind)).bind(5, state).bind(6, job.held ? 1 : 0).bind(7, job.rounds);
  statement.bind(8, time_value(job.started)).bind(9, time_value(job.ended));
  statement.bind_text(10, job.name).bind_text(11, job.desc).bind_text(12, job.cog_path);
  bind_duration(statement, 13, job.options.timeout).bind(14, job.options.retries);
  bind_duration(statement, 15, job.options.retry_delay);
  bind_duration(statement, 16, job.options.retry_max_delay).bind_real(17, job.options.retry_backoff);
  statement.bind(18, job.options.on_interrupt).bind_blob(19, scratch.attempts);
  bind_room(statement, 20, size_of_small(state) + size_of_blob(scratch.attempts.size()),
            1 + size_of_blob(kAttemptsRoom) + size_of_blob(0));
}

Job job_from(const SqliteStatement& row, Interner& intern, bool output) {
  Job job;
  job.ordinal = row_ordinal(row.number(0));
  job.task = number_from<std::uint32_t>(row, 1);
  job.sequence = row.is_null(2) ? Job::kNoSequence : number_from<std::uint32_t>(row, 2);
  job.kind = enum_from(row, 3, JobKind::CONT_CHECK);
  job.state = enum_from(row, 4, State::STOPPED);
  job.held = row.number(5) != 0;
  job.rounds = number_from<std::uint32_t>(row, 6);
  job.started = time_from(row.number(7));
  job.ended = time_from(row.number(8));
  job.name = intern(row.bytes(9));
  job.desc = intern(row.bytes(10));
  job.cog_path = intern(row.bytes(11));
  job.options.timeout = duration_from(row, 12);
  job.options.retries = number_from<std::int32_t>(row, 13);
  job.options.retry_delay = duration_from(row, 14);
  job.options.retry_max_delay = duration_from(row, 15);
  job.options.retry_backoff = row.real(16);
  job.options.on_interrupt = number_from<std::int8_t>(row, 17);
  if (const auto attempts = row.bytes(18); !attempts.empty()) job.attempts = read_attempts(attempts);
  if (!output) {
    for (auto& attempt : job.attempts) attempt.output = {};
  }
  return job;
}

}  // namespace cogwork
