#include "bindings.h"
#include "cogwork/engine/checkup.h"
#include "cogwork/model/document.h"
#include "cogwork/storage/sqlite_exam.h"

namespace cogwork::bindings {
namespace {

Moment moment(std::optional<std::uint64_t> number, std::optional<std::int64_t> at) {
  if (number) return Moment::change(*number);
  return at ? Moment::time(from_micros(*at)) : Moment::end();
}

/// (kind, number, at, object, what)
py::list to_python(const LaborCheckup& checkup) {
  py::list found;
  for (const auto& f : checkup.findings) {
    found.append(py::make_tuple(static_cast<int>(f.kind), f.number,
                                is_set(f.at) ? py::object(py::int_(to_micros(f.at))) : py::none(),
                                checkup.labor.with_ordinal(f.ordinal).text(), to_str(f.what)));
  }
  return found;
}

}  // namespace

void bind_history(py::module_& m) {
  m.def(
      "read_at",
      [](Storage& store, const std::string& id, std::optional<std::uint64_t> number, std::optional<std::int64_t> at) {
        const auto document = [&] {
          const Unlocked unlocked;
          return write_document(read_at(store, to_id(id), moment(number, at)), true);
        }();
        return to_bytes(document);
      },
      py::arg("store"), py::arg("id"), py::arg("number"), py::arg("at"), "A Labor as it stood, as a document (D7).");
  m.def(
      "check_labor",
      [](Storage& store, const std::string& id, bool tree, std::size_t most) {
        const auto checkup = [&] {
          const Unlocked unlocked;
          return check_labor(store, to_id(id), tree, most);
        }();
        return py::make_tuple(to_str(checkup.name), checkup.rows, checkup.changes, to_python(checkup), checkup.cut);
      },
      py::arg("store"), py::arg("id"), py::arg("tree"), py::arg("most"), "(name, rows, changes, findings, whether there are more)");
  m.def(
      "labor_ids",
      [](Storage& store, const std::string& prefix, std::size_t most) {
        std::vector<std::string> ids;
        for (const auto& id : store.labor_ids(prefix, most)) ids.push_back(id.text());
        return ids;
      },
      py::arg("store"), py::arg("prefix"), py::arg("most"), Released());
  m.def(
      "lost_records",
      [](Storage& store) {
        py::list lost;
        const auto found = [&] {
          const Unlocked unlocked;
          return lost_records(store);
        }();
        for (const auto& what : found) lost.append(to_str(what));
        return lost;
      },
      py::arg("store"));
  m.def(
      "examine_sqlite",
      [](const std::string& path) {
        const auto exam = [&] {
          const Unlocked unlocked;
          return examine_sqlite(path);
        }();
        py::list troubles;
        for (const auto& t : exam.troubles) troubles.append(py::make_tuple(to_str(t.what), to_str(t.remedy)));
        return py::make_tuple(exam.version, exam.bytes, exam.log_bytes, exam.labors, exam.changes, troubles);
      },
      py::arg("path"), "(version, bytes, bytes of the log, labors, changes, [(what, remedy)])");
}

}  // namespace cogwork::bindings
