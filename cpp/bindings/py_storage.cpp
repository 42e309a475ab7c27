#include "py_storage.h"

#include "cogwork/model/document.h"

namespace cogwork::bindings {
namespace {

enum WriteKind : int { LABOR = 0, LABOR_STATE = 1, TASK = 2, SEQUENCE = 3, JOB = 4 };

std::shared_ptr<py::object> hold(py::object object) {
  return {new py::object(std::move(object)), [](py::object* o) {
            // After the interpreter there is nobody to give it back to.
            if (!Py_IsInitialized()) return;
            const Locked gil;
            delete o;
          }};
}

/// Says what Python raised in the words of the core. With the GIL.
[[noreturn]] void rethrow(py::error_already_set& error) {
  const auto errors = py::module_::import("cogwork._errors");
  const auto text = py::str(py::module_::import("cogwork._storage").attr("describe_error")(error.value())).cast<std::string>();
  if (error.matches(errors.attr("NotFound"))) throw NotFound(text);
  if (error.matches(errors.attr("StoreInUse"))) throw StoreInUse(text);
  if (error.matches(errors.attr("StorageError"))) throw StorageError(text, error.value().attr("temporary").cast<bool>());
  throw StorageError(text, error.matches(PyExc_OSError));
}

template <typename F>
auto with_python(F f) {
  const Locked gil;
  try {
    return f();
  } catch (py::error_already_set& error) {
    rethrow(error);
  } catch (const py::builtin_exception& error) {
    throw StorageError(error.what(), false);
  }
}

/// The end of Python may come while the store's code runs. With the GIL.
template <typename... Args>
py::object call(const py::object& adapter, const char* method, Args&&... args) {
  const py::object function = adapter.attr(method);
  const py::tuple given = py::make_tuple(std::forward<Args>(args)...);
  PyObject* result = or_park([function = function.ptr(), given = given.ptr()] { return PyObject_CallObject(function, given); });
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

/// Null: there is no more.
py::object next_of(const py::object& iterator) {
  PyObject* item = or_park([iterator = iterator.ptr()] { return PyIter_Next(iterator); });
  if (!item && PyErr_Occurred()) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(item);
}

std::string call_bytes(const py::object& adapter, const char* method, const Id& id, bool full) {
  return call(adapter, method, id.text(), full).cast<std::string>();
}

class PyStream final : public LaborStream {
 public:
  explicit PyStream(py::object iterator) : iterator_(hold(std::move(iterator))) {}
  std::optional<Labor> next() override {
    const auto document = with_python([this]() -> std::optional<std::string> {
      const auto item = next_of(*iterator_);
      return item ? std::optional(item.cast<std::string>()) : std::nullopt;
    });
    if (!document) return std::nullopt;
    return read_document(*document);
  }

 private:
  std::shared_ptr<py::object> iterator_;
};

class PyLock final : public StoreLock {
 public:
  explicit PyLock(py::object lock) : lock_(hold(std::move(lock))) {}
  ~PyLock() override {
    if (!Py_IsInitialized()) return;
    const Locked gil;
    try {
      call(*lock_, "release");
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("releasing the lock of a store");
    }
  }

 private:
  std::shared_ptr<py::object> lock_;
};

py::bytes link_bytes(const std::array<std::uint8_t, 16>& link) {
  return to_bytes({reinterpret_cast<const char*>(link.data()), link.size()});
}
std::array<std::uint8_t, 16> link_from(const std::string& bytes) {
  if (bytes.size() != 16) throw StorageError("a history row's link must have 16 bytes, has " + std::to_string(bytes.size()), false);
  std::array<std::uint8_t, 16> link{};
  std::copy(bytes.begin(), bytes.end(), link.begin());
  return link;
}

py::tuple op_to_python(const WriteOp& op) {
  struct Visitor {
    py::tuple operator()(const WriteLabor& w) const { return py::make_tuple(int{LABOR}, to_bytes(write_document(*w.labor))); }
    py::tuple operator()(const WriteLaborState& w) const {
      return py::make_tuple(int{LABOR_STATE}, to_bytes(write_document(*w.labor, false)));
    }
    py::tuple operator()(const WriteTask& w) const { return py::make_tuple(int{TASK}, to_bytes(write_task(w.labor, w.task))); }
    py::tuple operator()(const WriteSequence& w) const {
      return py::make_tuple(int{SEQUENCE}, to_bytes(write_sequence(w.labor, w.sequence)));
    }
    py::tuple operator()(const WriteJob& w) const {
      return py::make_tuple(int{JOB}, to_bytes(write_job(w.labor, w.job, false, true)));
    }
  };
  return std::visit(Visitor{}, op);
}

}  // namespace

py::tuple row_to_python(const HistoryRow& row) {
  return py::make_tuple(row.first, row.count, row.labor.text(), to_micros(row.at), to_bytes(row.changes), link_bytes(row.link));
}

HistoryRow row_from_python(const py::handle& object) {
  const auto [first, count, labor, at, changes, link] =
      object.cast<std::tuple<std::uint64_t, std::uint32_t, std::string, std::int64_t, std::string, std::string>>();
  HistoryRow row;
  row.first = first;
  row.count = count;
  row.labor = to_id(labor);
  row.at = from_micros(at);
  row.changes = Text(changes);
  row.link = link_from(link);
  return row;
}

py::tuple batch_to_python(const Batch& batch) {
  py::list writes, history, records;
  for (const auto& op : batch.writes) writes.append(op_to_python(op));
  for (const auto& row : batch.history) history.append(row_to_python(row));
  for (const auto& record : batch.records) {
    records.append(py::make_tuple(static_cast<int>(record.kind), to_str(record.key),
                                  record.value ? py::object(to_bytes(*record.value)) : py::object(py::none())));
  }
  return py::make_tuple(writes, history, records);
}

Batch batch_from_python(const py::list& writes, const py::list& history, const py::list& records) {
  Batch batch;
  for (const auto& item : writes) {
    const auto [kind, document] = item.cast<std::pair<int, std::string>>();
    Id id;
    switch (kind) {
      case LABOR: batch.writes.emplace_back(WriteLabor{std::make_shared<const Labor>(read_document(document))}); break;
      case LABOR_STATE: batch.writes.emplace_back(WriteLaborState{std::make_shared<const Labor>(read_document(document))}); break;
      case TASK: {
        auto task = read_task_document(document, id);
        batch.writes.emplace_back(WriteTask{id.labor(), std::move(task)});
        break;
      }
      case SEQUENCE: {
        auto sequence = read_sequence_document(document, id);
        batch.writes.emplace_back(WriteSequence{id.labor(), std::move(sequence)});
        break;
      }
      case JOB: {
        auto job = read_job_document(document, id);
        batch.writes.emplace_back(WriteJob{id.labor(), std::move(job)});
        break;
      }
      default: throw StorageError("a batch holds an unknown kind of write: " + std::to_string(kind), false);
    }
  }
  for (const auto& row : history) batch.history.push_back(row_from_python(row));
  for (const auto& item : records) {
    const auto [kind, key, value] = item.cast<std::tuple<int, std::string, std::optional<std::string>>>();
    Record record{static_cast<RecordKind>(kind), Text(key), std::nullopt};
    if (value) record.value = Text(*value);
    batch.records.push_back(std::move(record));
  }
  return batch;
}

PyStorage::PyStorage(py::object adapter)
    : name_(py::str(adapter.attr("name")()).cast<std::string>()),
      identity_(py::str(adapter.attr("identity")()).cast<std::string>()) {
  adapter_ = hold(std::move(adapter));
}
PyStorage::~PyStorage() = default;

Labor PyStorage::read_labor(const Id& id, bool full) {
  return read_document(with_python([&] { return call_bytes(*adapter_, "read_labor", id, full); }));
}
Task PyStorage::read_task(const Id& id) {
  Id found;
  return read_task_document(with_python([&] { return call_bytes(*adapter_, "read_task", id, true); }), found);
}
Sequence PyStorage::read_sequence(const Id& id) {
  Id found;
  return read_sequence_document(with_python([&] { return call_bytes(*adapter_, "read_sequence", id, true); }), found);
}
Job PyStorage::read_job(const Id& id, bool full) {
  Id found;
  return read_job_document(with_python([&] { return call_bytes(*adapter_, "read_job", id, full); }), found);
}

std::unique_ptr<LaborStream> PyStorage::labors(const LaborFilter& filter) {
  return with_python([&]() -> std::unique_ptr<LaborStream> {
    // The core itself asks by state alone; other filters reach a Python store without a detour through here.
    py::list states;
    for (const auto state : filter.states) states.append(static_cast<int>(state));
    return std::make_unique<PyStream>(py::iter(call(*adapter_, "labors", states)));
  });
}

void PyStorage::apply(const Batch& batch) {
  with_python([&] {
    const auto parts = batch_to_python(batch);
    call(*adapter_, "apply", parts[0], parts[1], parts[2]);
  });
}

void PyStorage::history(const Id& labor, std::uint64_t since, const std::function<bool(const HistoryRow&)>& row) {
  const auto iterator = with_python([&] {
    return hold(
        py::iter(call(*adapter_, "history", labor.is_nil() ? py::object(py::none()) : py::object(py::str(labor.text())), since)));
  });
  while (true) {
    const auto next = with_python([&]() -> std::optional<HistoryRow> {
      const auto item = next_of(*iterator);
      return item ? std::optional(row_from_python(item)) : std::nullopt;
    });
    if (!next || !row(*next)) return;
  }
}

std::uint64_t PyStorage::last_change() {
  return with_python([&] { return call(*adapter_, "last_change").cast<std::uint64_t>(); });
}

std::array<std::uint8_t, 16> PyStorage::last_link(const Id& labor) {
  return link_from(with_python([&] { return call(*adapter_, "last_link", labor.text()).cast<std::string>(); }));
}

std::vector<Record> PyStorage::records(RecordKind kind) {
  return with_python([&] {
    std::vector<Record> found;
    for (const auto& item : call(*adapter_, "records", static_cast<int>(kind))) {
      const auto [key, value] = item.cast<std::pair<std::string, std::string>>();
      found.push_back({kind, Text(key), Text(value)});
    }
    return found;
  });
}

std::unique_ptr<StoreLock> PyStorage::lock(const Owner& owner) {
  return with_python([&]() -> std::unique_ptr<StoreLock> {
    return std::make_unique<PyLock>(
        call(*adapter_, "lock", owner.pid, owner.host, owner.user, owner.program, to_micros(owner.since), owner.brief));
  });
}

}  // namespace cogwork::bindings
