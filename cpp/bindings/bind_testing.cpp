#include "bindings.h"
#include "cogwork/storage/faulty_disk.h"

namespace cogwork::bindings {

void bind_testing(py::module_& m) {
  py::class_<FaultyDisk, std::shared_ptr<FaultyDisk>>(m, "FaultyDisk", "The disk below one store, for tests.")
      .def(
          "fail",
          [](FaultyDisk& disk, int fault, std::uint64_t after, std::optional<std::uint64_t> times) {
            disk.fail(static_cast<DiskFault>(fault), after, times.value_or(FaultyDisk::kForever));
          },
          py::arg("fault"), py::arg("after"), py::arg("times"))
      .def(
          "figures",
          [](const FaultyDisk& disk) {
            const auto f = disk.figures();
            return py::make_tuple(f.writes, f.syncs, f.reads, f.failed, f.open);
          },
          "Writes, syncs, reads, how many of them failed, and how many files are open.");
  m.def("faulty_disk", &faulty_disk, py::arg("path"), "The disk below the store of that path.");
}

}  // namespace cogwork::bindings
