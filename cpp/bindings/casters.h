#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace cogwork::bindings {

/// Text that somebody's program made up: a note, a log, an error. Whatever a Python str may hold is taken; a surrogate that stands
/// alone has no UTF-8 and is written as its escape.
struct AnyText {
  std::string text;
};

}  // namespace cogwork::bindings

template <>
struct pybind11::detail::type_caster<cogwork::bindings::AnyText> {
  PYBIND11_TYPE_CASTER(cogwork::bindings::AnyText, const_name("str"));

  bool load(handle source, bool) {
    if (!PyUnicode_Check(source.ptr())) return false;
    Py_ssize_t size = 0;
    if (const char* utf8 = PyUnicode_AsUTF8AndSize(source.ptr(), &size)) {
      value.text.assign(utf8, static_cast<std::size_t>(size));
      return true;
    }
    PyErr_Clear();
    const auto bytes = reinterpret_steal<object>(PyUnicode_AsEncodedString(source.ptr(), "utf-8", "backslashreplace"));
    if (!bytes) {
      PyErr_Clear();
      return false;
    }
    value.text.assign(PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr())));
    return true;
  }
};
