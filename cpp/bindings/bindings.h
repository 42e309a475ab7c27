#pragma once

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "casters.h"
#include "cogwork/base/error.h"
#include "cogwork/base/id.h"
#include "cogwork/base/text.h"
#include "cogwork/model/wire.h"
#include "gil.h"

namespace py = pybind11;

namespace cogwork::bindings {

/// Without the GIL: for what may wait.
using Released = py::call_guard<Unlocked>;

// One function for each file; module.cpp calls them all.
void bind_errors(py::module_& m);
void bind_waiting(py::module_& m);
void bind_cogs(py::module_& m);
void bind_storage(py::module_& m);
void bind_engine(py::module_& m);
void bind_testing(py::module_& m);
void bind_history(py::module_& m);

/// An id that a user gave. Throws NotFound, so that a mistyped one reads like an unknown one.
inline Id to_id(const std::string& text) {
  if (const auto id = Id::parse(text)) return *id;
  throw NotFound("'" + text + "' is not an id");
}

/// Seconds as a Duration: whatever is longer than any that can be kept is that long, and no number is none.
inline Duration to_duration(double seconds) {
  const double most = std::chrono::duration<double>(kLongestDuration).count();
  if (std::isnan(seconds)) return Duration::zero();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::clamp(seconds, -most, most)));
}

inline py::bytes to_bytes(std::string_view data) { return {data.data(), data.size()}; }

/// Text as Python wants it; what is not UTF-8 (a Cog's raw output in an error) is replaced, never refused.
inline py::str to_str(std::string_view text) {
  PyObject* s = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (!s) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(s);
}

}  // namespace cogwork::bindings
