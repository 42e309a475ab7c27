#include "bindings.h"
#include "cogwork/model/document.h"
#include "cogwork/storage/storage.h"
#include "cogwork/storage/stores.h"
#include "py_storage.h"

namespace cogwork::bindings {
namespace {

/// Documents are made without the GIL; only the copy into bytes needs it.
template <typename F>
py::bytes document(F f) {
  std::string bytes;
  {
    const Unlocked unlocked;
    bytes = f();
  }
  return to_bytes(bytes);
}

py::dict owner_to_python(const OwnerSeen& seen) {
  const auto& owner = seen.owner;
  py::list listens;
  for (const auto& address : owner.listens) listens.append(to_str(address));
  py::dict found;
  found["pid"] = owner.pid;
  found["host"] = to_str(owner.host);
  found["user"] = to_str(owner.user);
  found["program"] = to_str(owner.program);
  found["since"] = to_micros(owner.since);
  found["brief"] = owner.brief;
  found["uid"] = owner.uid;
  found["boot"] = to_str(owner.boot);
  found["namespaces"] = to_str(owner.namespaces);
  found["listens"] = listens;
  found["silent"] = to_str(owner.silent);
  found["file"] = to_bytes(seen.file);
  found["file_uid"] = seen.file_uid;
  found["problem"] = to_str(seen.problem);
  found["holds"] =
      seen.holds == OwnerSeen::Holds::UNKNOWN ? py::object(py::none()) : py::bool_(seen.holds == OwnerSeen::Holds::YES);
  return found;
}

}  // namespace

void bind_storage(py::module_& m) {
  py::class_<LaborStream>(m, "LaborStream", "A running search.").def("next", [](LaborStream& stream) -> py::object {
    std::optional<std::string> next;
    {
      const Unlocked unlocked;
      if (const auto labor = stream.next()) next = write_document(*labor, false);
    }
    if (!next) return py::none();
    return to_bytes(*next);
  });
  py::class_<StoreLock>(m, "StoreLock", py::release_gil_before_calling_cpp_dtor(), "Held while an engine owns a store.");

  py::class_<Storage, std::shared_ptr<Storage>>(m, "Store", py::release_gil_before_calling_cpp_dtor(), "A store of the core.")
      .def("name", [](const Storage& s) { return to_str(s.name()); })
      .def("identity",
           [](const Storage& s) {
             const auto identity = [&] {
               const Unlocked unlocked;
               return s.identity();
             }();
             return to_str(identity);
           })
      .def(
          "owner",
          [](const Storage& s) -> py::object {
            const auto seen = [&] {
              const py::gil_scoped_release released;
              return s.seen_owner();
            }();
            if (!seen) return py::none();
            return owner_to_python(*seen);
          },
          "Who owns it, as far as that is seen from here, as a dict; None: it does not say.")
      .def("folder", [](const Storage& s) { return to_bytes(s.folder()); })
      .def(
          "read_labor",
          [](Storage& s, const std::string& id, bool full) {
            return document([&] { return write_document(s.read_labor(to_id(id), full), full); });
          },
          py::arg("id"), py::arg("full"))
      .def(
          "read_task",
          [](Storage& s, const std::string& id) {
            return document([&] { return write_task(to_id(id).labor(), s.read_task(to_id(id))); });
          },
          py::arg("id"))
      .def(
          "read_sequence",
          [](Storage& s, const std::string& id) {
            return document([&] { return write_sequence(to_id(id).labor(), s.read_sequence(to_id(id))); });
          },
          py::arg("id"))
      .def(
          "read_job",
          [](Storage& s, const std::string& id, bool full) {
            return document([&] { return write_job(to_id(id).labor(), s.read_job(to_id(id), full), full, full); });
          },
          py::arg("id"), py::arg("full"))
      .def(
          "labors", [](Storage& s, const std::string& filter) { return s.labors(read_filter(filter)); }, py::arg("filter"),
          Released())
      .def(
          "apply",
          [](Storage& s, const py::list& writes, const py::list& history, const py::list& records) {
            const auto batch = batch_from_python(writes, history, records);
            const Unlocked unlocked;
            s.apply(batch);
          },
          py::arg("writes"), py::arg("history"), py::arg("records"))
      .def(
          "history",
          [](Storage& s, const std::optional<std::string>& labor, std::uint64_t since, std::size_t most) {
            std::vector<HistoryRow> rows;
            {
              const Unlocked unlocked;
              s.history(labor ? to_id(*labor) : Id{}, since, [&](const HistoryRow& row) {
                rows.push_back(row);
                return rows.size() < most;
              });
            }
            py::list found;
            for (const auto& row : rows) found.append(row_to_python(row));
            return found;
          },
          py::arg("labor"), py::arg("since"), py::arg("most"))
      .def("last_change", &Storage::last_change, Released())
      .def(
          "last_link",
          [](Storage& s, const std::string& labor) {
            const auto link = s.last_link(to_id(labor));
            return to_bytes({reinterpret_cast<const char*>(link.data()), link.size()});
          },
          py::arg("labor"))
      .def(
          "records",
          [](Storage& s, int kind) {
            py::list found;
            for (const auto& record : s.records(static_cast<RecordKind>(kind))) {
              if (record.value) found.append(py::make_tuple(to_str(record.key), to_bytes(*record.value)));
            }
            return found;
          },
          py::arg("kind"))
      .def(
          "lock",
          [](Storage& s, std::int64_t pid, const std::string& host, const std::string& user, const std::string& program,
             std::int64_t since, bool brief) {
            Owner owner{pid, host, user, program, from_micros(since)};
            owner.brief = brief;
            return s.lock(owner);
          },
          py::arg("pid"), py::arg("host"), py::arg("user"), py::arg("program"), py::arg("since"), py::arg("brief"), Released());

  m.def(
      "open_store",
      [](const std::string& spec, bool reader) { return open_store(spec, reader ? OpenMode::READER : OpenMode::OWNER); },
      py::arg("spec"), py::arg("reader"), Released());
  m.def(
      "python_store",
      [](py::object adapter) -> std::shared_ptr<Storage> { return std::make_shared<PyStorage>(std::move(adapter)); },
      py::arg("adapter"));
  m.def(
      "unpack_row",
      [](const py::tuple& row) {
        const auto history = row_from_python(row);
        return document([&] { return write_changes(unpack_changes(history)); });
      },
      py::arg("row"), "The changes of a row of history, as a document.");
  m.def(
      "chain_link",
      [](const std::string& before, const py::tuple& object) {
        auto row = row_from_python(object);
        std::array<std::uint8_t, 16> link{};
        std::copy_n(before.begin(), std::min<std::size_t>(before.size(), link.size()), link.begin());
        link = chain_link(link, row);
        return to_bytes({reinterpret_cast<const char*>(link.data()), link.size()});
      },
      py::arg("before"), py::arg("row"), "The link that a row must have behind one with the link `before`.");
}

}  // namespace cogwork::bindings
