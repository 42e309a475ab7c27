#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace cogwork {

/// A fault of a submitted tree, before it is put into words: its place by indexes, then the sentence. S1.
struct Fault {
  enum class Where : std::uint8_t { LABOR, TASK, PRE_CHECK, CONT_CHECK, SEQUENCE, JOB };
  Where where = Where::LABOR;
  std::uint32_t task = 0;
  std::uint32_t sequence = 0;  ///< Of SEQUENCE and JOB.
  std::uint32_t job = 0;       ///< Of JOB and the checks: index in its list.
  std::string message;
  std::string names;  ///< "'rest', 'edge-7'" - what S1 puts in brackets behind the place. Empty: taken from the Labor.
  /// How many neighbours have it, this place included, and the item of the last of them: of SEQUENCE and JOB a Sequence, of the
  /// checks a check, of TASK a Task.
  std::uint32_t count = 1;
  std::uint32_t last_item = 0;
};

/// "Task[0].Sequence[2].Job[1]"; empty for the Labor itself.
std::string place_of(const Fault& fault);

/// Collects faults, and folds the same one on neighbours - consecutive items of one list: Tasks, checks, or Sequences with what is
/// in them - into the first (S1). So a million Jobs that lack the same Cog are one fault, and a million that have each
/// their own are kMost faults and a number.
class FaultFolder {
 public:
  explicit FaultFolder(std::vector<Fault>& into) : into_(into) {}

  void add(Fault fault);

  static constexpr std::size_t kMost = 1000;
  /// The message of the one fault, the last and of the Labor itself, that stands for those beyond kMost. Its count says how many.
  static constexpr const char* kMore = "there are more faults that are not listed";

 private:
  std::vector<Fault>& into_;
  std::unordered_map<std::string, std::size_t> last_;  // by list and message: the index of the latest such fault
  std::size_t added_ = 0;
  std::size_t more_ = SIZE_MAX;  // the index of kMore's
};

}  // namespace cogwork
