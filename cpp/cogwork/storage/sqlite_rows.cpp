#include "cogwork/storage/sqlite_rows.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cogwork/base/error.h"
#include "cogwork/base/utf8.h"
#include "cogwork/model/document.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

/// A time that is not set, in a column of eight bytes. See "Room" in the header.
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::min();

/// What a Job's attempts are likely to take: one that ended, with a short output or none.
constexpr std::size_t kAttemptsRoom = 80;

std::int64_t time_value(Time t) { return is_set(t) ? to_micros(t) : kNever; }

SqliteStatement& bind_duration(SqliteStatement& statement, int place, Duration value) {
  return value.count() == kNotGiven ? statement.bind_null(place) : statement.bind(place, value.count());
}

/// The columns of a row, each as what it must be. Throws DamagedRow.
class Columns {
 public:
  explicit Columns(const SqliteStatement& row) : row_(row) {}

  template <typename Number>
  Number number(int column, std::int64_t least = std::numeric_limits<Number>::min(),
                std::int64_t most = static_cast<std::int64_t>(std::numeric_limits<Number>::max())) const {
    const std::int64_t value = integer(column);
    if (value < least || value > most)
      throw DamagedRow("a row holds the number " + std::to_string(value) + " as its " + row_.name(column));
    return static_cast<Number>(value);
  }
  template <typename Enum>
  Enum word(int column, Enum last) const {
    return static_cast<Enum>(number<int>(column, 0, static_cast<int>(last)));
  }
  bool flag(int column) const { return number<int>(column, 0, 1) != 0; }
  double real(int column) const {
    if (row_.type(column) != SQLITE_FLOAT) damaged(column, "is no number");
    return row_.real(column);
  }
  Time time(int column) const {
    const std::int64_t value = integer(column);
    if (value == kNever) return never;
    if (!is_calendar(from_micros(value))) damaged(column, "is " + std::to_string(value) + ", which is no time");
    return from_micros(value);
  }
  Duration duration(int column, Duration least = -kLongestDuration) const {
    return Duration(number<std::int64_t>(column, least.count(), kLongestDuration.count()));
  }
  Duration duration_or_none(int column) const { return row_.is_null(column) ? Duration(kNotGiven) : duration(column); }
  /// Until the next step.
  std::string_view text(int column) const {
    if (row_.is_null(column)) return {};
    if (row_.type(column) != SQLITE_TEXT || !is_utf8(row_.bytes(column))) damaged(column, "is no text");
    return row_.bytes(column);
  }
  std::string_view blob(int column) const {
    if (row_.is_null(column)) return {};
    if (row_.type(column) != SQLITE_BLOB) damaged(column, "is no blob");
    return row_.bytes(column);
  }
  Id id(int column) const {
    Id id;
    const auto bytes = blob(column);
    if (bytes.size() != id.bytes.size()) damaged(column, "has not the 16 bytes of an id");
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    return id;
  }
  /// What `read` makes of the bytes.
  template <typename Read>
  auto packed(int column, const Read& read) const {
    try {
      return read(blob(column));
    } catch (const StorageError& error) {
      damaged(column, std::string("cannot be read: ") + error.what());
    }
  }
  Holds holds(int column) const { return packed(column, read_holds); }

  [[noreturn]] void damaged(int column, const std::string& how) const {
    throw DamagedRow("its " + std::string(row_.name(column)) + " " + how);
  }

 private:
  std::int64_t integer(int column) const {
    if (row_.type(column) != SQLITE_INTEGER) damaged(column, "is no number");
    return row_.number(column);
  }

  const SqliteStatement& row_;
};

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

std::string pack_pairs(const std::vector<std::pair<Text, Text>>& pairs) {
  std::string out;
  for (const auto& [first, second] : pairs) {
    pack_word(out, first);
    pack_word(out, second);
  }
  return out;
}

std::vector<Text> unpack_words(std::string_view packed) {
  const auto broken = [] { return StorageError("it is no list of words", false); };
  std::vector<Text> words;
  std::size_t at = 0;
  while (at < packed.size()) {
    std::size_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at == packed.size() || shift > 28) throw broken();
      const auto byte = static_cast<unsigned char>(packed[at++]);
      size |= std::size_t{byte & 0x7fU} << shift;
      if (byte < 0x80) break;
    }
    if (size > packed.size() - at || !is_utf8(packed.substr(at, size))) throw broken();
    words.emplace_back(packed.substr(at, size));
    at += size;
  }
  return words;
}

std::vector<std::pair<Text, Text>> unpack_pairs(std::string_view packed) {
  auto words = unpack_words(packed);
  if (words.size() % 2 != 0) throw StorageError("a word has no other", false);
  std::vector<std::pair<Text, Text>> pairs;
  for (std::size_t i = 0; i < words.size(); i += 2) pairs.emplace_back(std::move(words[i]), std::move(words[i + 1]));
  return pairs;
}

std::string pack_holds(const Holds& holds) { return holds.empty() ? std::string() : write_holds(holds); }

}  // namespace

const RowSql kLaborSql = {
    "INSERT INTO labors(key, id, state, reason, submitted, started, ended, name, desc, client_id, real_user, tags, cogs, holds, "
    "provenance) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) "
    "ON CONFLICT(key) DO UPDATE SET state = ?3, reason = ?4, submitted = ?5, started = ?6, ended = ?7, name = ?8, desc = ?9, "
    "client_id = ?10, real_user = ?11, tags = ?12, cogs = ?13, holds = ?14, provenance = ?15",
    "UPDATE labors SET state = ?2, reason = ?3, started = ?4, ended = ?5, holds = ?6 WHERE key = ?1",
    "id, state, reason, submitted, started, ended, name, desc, client_id, real_user, tags, cogs, holds, provenance"};

void bind_labor(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch) {
  scratch.tags = pack_tags(labor.tags);
  scratch.cogs = pack_pairs(labor.cogs);
  scratch.provenance = pack_pairs(labor.provenance);
  scratch.holds = pack_holds(labor.holds);
  statement.bind(1, key).bind_id(2, labor.id);
  statement.bind(3, static_cast<int>(labor.state)).bind(4, static_cast<int>(labor.reason));
  statement.bind(5, to_micros(labor.submitted)).bind(6, time_value(labor.started)).bind(7, time_value(labor.ended));
  statement.bind_text(8, labor.name).bind_text(9, labor.desc).bind_text(10, labor.client_id).bind_text(11, labor.real_user);
  statement.bind_blob(12, scratch.tags).bind_blob(13, scratch.cogs).bind_blob(14, scratch.holds);
  statement.bind_blob(15, scratch.provenance);
}

void bind_labor_state(SqliteStatement& statement, std::int64_t key, const Labor& labor, RowScratch& scratch) {
  scratch.holds = pack_holds(labor.holds);
  statement.bind(1, key).bind(2, static_cast<int>(labor.state)).bind(3, static_cast<int>(labor.reason));
  statement.bind(4, time_value(labor.started)).bind(5, time_value(labor.ended)).bind_blob(6, scratch.holds);
}

Labor labor_from(const SqliteStatement& row) {
  const Columns in(row);
  Labor labor;
  labor.id = in.id(0);
  labor.state = in.word(1, State::STOPPED);
  labor.reason = in.word(2, Reason::MAX_FAILURES);
  labor.submitted = in.time(3);
  labor.started = in.time(4);
  labor.ended = in.time(5);
  labor.name = in.text(6);
  labor.desc = in.text(7);
  labor.client_id = in.text(8);
  labor.real_user = in.text(9);
  labor.tags = in.packed(10, unpack_words);
  labor.cogs = in.packed(11, unpack_pairs);
  labor.holds = in.holds(12);
  labor.provenance = in.packed(13, unpack_pairs);
  return labor;
}

Labor labor_or_what_is_left(const SqliteStatement& row) {
  try {
    return labor_from(row);
  } catch (const DamagedRow&) {
  }
  Labor labor;
  labor.state = State::UNKNOWN;
  const Columns in(row);
  const auto if_readable = [](const auto& read) {
    try {
      read();
    } catch (const DamagedRow&) {
    }
  };
  if_readable([&] { labor.id = in.id(0); });
  if_readable([&] { labor.name = in.text(6); });
  if_readable([&] { labor.submitted = in.time(3); });
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
  const Columns in(row);
  Task task;
  task.ordinal = row_ordinal(row.number(0));
  task.first_job = in.number<std::uint32_t>(1);
  task.pre_check_count = in.number<std::uint32_t>(2);
  task.cont_check_count = in.number<std::uint32_t>(3);
  task.first_sequence = in.number<std::uint32_t>(4);
  task.sequence_count = in.number<std::uint32_t>(5);
  task.state = in.word(6, State::STOPPED);
  task.reason = in.word(7, Reason::MAX_FAILURES);
  task.started = in.time(8);
  task.ended = in.time(9);
  task.failures = in.number<std::uint32_t>(10);
  task.strict = in.flag(11);
  task.pass_failures = in.flag(12);
  task.pause_on_entry = in.flag(13);
  task.concurrency = {in.number<std::int64_t>(14, 1), intern(in.text(15))};
  task.tolerated_failures = {in.number<std::int64_t>(16, -1), intern(in.text(17))};
  task.cont_check_interval = in.duration(18, Duration(1));
  task.bake = in.duration(19, Duration(0));
  task.entry_delay = in.duration(20, Duration(0));
  task.name = intern(in.text(21));
  task.desc = intern(in.text(22));
  task.holds = in.holds(23);
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
  const Columns in(row);
  Sequence sequence;
  sequence.ordinal = row_ordinal(row.number(0));
  sequence.task = in.number<std::uint32_t>(1);
  sequence.first_job = in.number<std::uint32_t>(2);
  sequence.job_count = in.number<std::uint32_t>(3);
  sequence.state = in.word(4, State::STOPPED);
  sequence.reason = in.word(5, Reason::MAX_FAILURES);
  sequence.started = in.time(6);
  sequence.ended = in.time(7);
  sequence.target = in.text(8);  // seldom the same twice
  sequence.name = intern(in.text(9));
  sequence.desc = intern(in.text(10));
  sequence.holds = in.holds(11);
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
  const Columns in(row);
  Job job;
  job.ordinal = row_ordinal(row.number(0));
  job.task = in.number<std::uint32_t>(1);
  job.sequence = row.is_null(2) ? Job::kNoSequence : in.number<std::uint32_t>(2);
  job.kind = in.word(3, JobKind::CONT_CHECK);
  job.state = in.word(4, State::STOPPED);
  job.held = in.flag(5);
  job.rounds = in.number<std::uint32_t>(6);
  job.started = in.time(7);
  job.ended = in.time(8);
  job.name = intern(in.text(9));
  job.desc = intern(in.text(10));
  job.cog_path = intern(in.text(11));
  job.options.timeout = in.duration_or_none(12);
  job.options.retries = in.number<std::int32_t>(13, -1);
  job.options.retry_delay = in.duration_or_none(14);
  job.options.retry_max_delay = in.duration_or_none(15);
  job.options.retry_backoff = in.real(16);
  if (job.options.retry_backoff < 1 && job.options.retry_backoff != -1) in.damaged(16, "is below 1");
  job.options.on_interrupt = in.number<std::int8_t>(17, -1, static_cast<int>(OnInterrupt::HOLD));
  if (!row.is_null(18)) job.attempts = in.packed(18, read_attempts);
  if (!output) {
    for (auto& attempt : job.attempts) attempt.output = {};
  }
  return job;
}

Text args_from(const SqliteStatement& row, int column) {
  const Columns in(row);
  const auto args = in.blob(column);
  WireReader reader(args);
  if (reader.peek() != WireReader::Type::MAP || !is_msgpack(args)) in.damaged(column, "are no mapping");
  if (const auto why = why_not_kept(args); !why.empty()) in.damaged(column, "cannot be read: " + std::string(why));
  for (auto pairs = *reader.map(); pairs > 0; --pairs) {
    if (!reader.text()) in.damaged(column, "have a name that is no text");
    reader.value();
  }
  return Text(args);
}

HistoryRow history_from(const SqliteStatement& row) {
  const Columns in(row);
  HistoryRow out;
  out.first = in.number<std::uint64_t>(0, 1, kMostChanges);
  out.labor = in.id(1);
  out.at = in.time(2);
  out.count = in.number<std::uint32_t>(3, 1);
  out.changes = in.blob(4);
  const auto link = in.blob(5);
  if (link.size() != out.link.size()) in.damaged(5, "has not 16 bytes");
  std::copy(link.begin(), link.end(), out.link.begin());
  return out;
}

}  // namespace cogwork
