#include "cogwork/model/structure.h"

#include "cogwork/model/fault.h"

namespace cogwork {
namespace {

constexpr const char* kMissing = "rows of it are missing";

/// Goes through the tree as the Tasks and Sequences describe it, and takes the rows of the tables one by one.
class Walk {
 public:
  explicit Walk(const Labor& labor) : l_(labor) {}

  std::string run() {
    for (std::uint32_t t = 0; t < l_.tasks.size() && ok(); ++t) task(t);
    if (ok() && next_sequence_ < l_.sequences.size()) broken_ = "there are rows of Sequences that no Task has";
    if (ok() && next_job_ < l_.jobs.size()) broken_ = "there are rows of Jobs that no Sequence has";
    return std::move(broken_);
  }

 private:
  bool ok() const { return broken_.empty(); }
  void broken(const char* what) {
    if (ok()) broken_ = place_of(place_) + ": " + what;
  }
  void expect(bool holds, const char* what) {
    if (!holds) broken(what);
  }
  template <typename Row>
  void row(const Row& row, bool in_its_place) {
    expect(row.ordinal <= next_ordinal_, kMissing);
    expect(row.ordinal == next_ordinal_, "another row stands in its place");
    expect(in_its_place, "its row says that it stands elsewhere");
    ++next_ordinal_;
  }

  void task(std::uint32_t t) {
    const auto& task = l_.tasks[t];
    place_ = {};
    place_.where = Fault::Where::TASK;
    place_.task = t;
    row(task, task.first_job == next_job_ && task.first_sequence == next_sequence_);
    for (std::uint32_t i = 0; i < task.pre_check_count && ok(); ++i) {
      job(i, Fault::Where::PRE_CHECK, JobKind::PRE_CHECK, t, Job::kNoSequence);
    }
    for (std::uint32_t i = 0; i < task.cont_check_count && ok(); ++i) {
      job(i, Fault::Where::CONT_CHECK, JobKind::CONT_CHECK, t, Job::kNoSequence);
    }
    for (std::uint32_t i = 0; i < task.sequence_count && ok(); ++i) sequence(t, i);
  }

  void sequence(std::uint32_t t, std::uint32_t item) {
    place_.where = Fault::Where::SEQUENCE;
    place_.sequence = item;
    const auto index = next_sequence_;
    if (index >= l_.sequences.size()) return broken(kMissing);
    const auto& sequence = l_.sequences[next_sequence_++];
    row(sequence, sequence.task == t && sequence.first_job == next_job_);
    for (std::uint32_t i = 0; i < sequence.job_count && ok(); ++i) job(i, Fault::Where::JOB, JobKind::WORK, t, index);
  }

  void job(std::uint32_t item, Fault::Where where, JobKind kind, std::uint32_t task, std::uint32_t sequence) {
    place_.where = where;
    place_.job = item;
    if (next_job_ >= l_.jobs.size()) return broken(kMissing);
    const auto& job = l_.jobs[next_job_++];
    row(job, job.kind == kind && job.task == task && job.sequence == sequence);
  }

  const Labor& l_;
  Fault place_;
  std::uint32_t next_sequence_ = 0;
  std::uint32_t next_job_ = 0;
  std::uint32_t next_ordinal_ = 1;
  std::string broken_;
};

}  // namespace

std::string why_not_whole(const Labor& labor) { return Walk(labor).run(); }

}  // namespace cogwork
