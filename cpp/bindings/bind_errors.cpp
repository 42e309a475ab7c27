// C++ errors become the classes of cogwork/_errors.py, which carry the same data.
#include "bindings.h"

namespace cogwork::bindings {
namespace {

PyObject* errors = nullptr;  // kept: where Python ends nothing can be imported any more

template <typename... Args>
void raise(const char* name, Args&&... args) {
  const auto type = py::handle(errors).attr(name);
  const py::object error = type(std::forward<Args>(args)...);
  PyErr_SetObject(type.ptr(), error.ptr());
}

}  // namespace

void bind_errors(py::module_&) {
  errors = py::module_::import("cogwork._errors").release().ptr();
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const ValidationError& e) {
      py::list issues;
      for (const auto& issue : e.issues()) issues.append(py::make_tuple(to_str(issue.place), to_str(issue.message), issue.count));
      raise("ValidationError", issues);
    } catch (const SignalNotAllowed& e) {
      raise("SignalNotAllowed", to_str(e.what()), e.signal(), e.state());
    } catch (const StorageError& e) {
      raise("StorageError", to_str(e.what()), e.temporary());
    } catch (const NotFound& e) {
      raise("NotFound", to_str(e.what()));
    } catch (const StoreInUse& e) {
      raise("StoreInUse", to_str(e.what()));
    } catch (const CogError& e) {
      raise("CogError", to_str(e.what()));
    } catch (const ResourceError& e) {
      raise("ResourceError", to_str(e.what()));
    } catch (const EngineClosed& e) {
      raise("EngineClosed", to_str(e.what()));
    } catch (const Error& e) {
      raise("CogworkError", to_str(e.what()));
    }
  });
}

}  // namespace cogwork::bindings
