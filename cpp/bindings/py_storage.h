#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bindings.h"
#include "cogwork/storage/storage.h"

namespace cogwork::bindings {

/// A batch as Python gets it: ([(kind, document)], [history row], [(record kind, key, value or None)]).
py::tuple batch_to_python(const Batch& batch);
Batch batch_from_python(const py::list& writes, const py::list& history, const py::list& records);
py::tuple row_to_python(const HistoryRow& row);
HistoryRow row_from_python(const py::handle& row);

/// A store written in Python, behind the interface of the core. `adapter` is a cogwork._storage.Adapter, which speaks documents; each
/// call takes the GIL once, whatever the batch holds. What Python raises becomes a NotFound, StoreInUse or StorageError: of these
/// OSError and StorageError(temporary=True) are such that waiting may mend (D6).
///
/// Threads: called from the storage thread and from readers, none of which holds the GIL or a lock of the core then.
class PyStorage final : public Storage {
 public:
  explicit PyStorage(py::object adapter);
  ~PyStorage() override;

  Labor read_labor(const Id& id, bool full) override;
  Task read_task(const Id& id) override;
  Sequence read_sequence(const Id& id) override;
  Job read_job(const Id& id, bool full) override;
  std::unique_ptr<LaborStream> labors(const LaborFilter& filter) override;
  void apply(const Batch& batch) override;
  void history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) override;
  std::uint64_t last_change() override;
  std::array<std::uint8_t, 16> last_link(const Id& labor) override;
  std::vector<Record> records(RecordKind kind) override;
  std::unique_ptr<StoreLock> lock(const Owner& owner) override;
  std::string name() const override { return name_; }
  std::string identity() const override { return identity_; }

 private:
  std::shared_ptr<py::object> adapter_;  // let go of with the GIL
  std::string name_;
  std::string identity_;
};

}  // namespace cogwork::bindings
