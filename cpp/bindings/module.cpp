#include "bindings.h"

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The native core of cogwork. Private: use the cogwork package.";
  m.attr("__version__") = COGWORK_VERSION;
  using namespace cogwork::bindings;
  bind_errors(m);
  bind_waiting(m);
  bind_cogs(m);
  bind_storage(m);
  bind_engine(m);
  bind_testing(m);
  bind_history(m);
}
