#pragma once

#include <Python.h>
#include <cxxabi.h>

namespace cogwork::bindings {

// When Python ends, a thread that asks for the GIL is ended by CPython (before 3.14) in the middle of whatever C++ it is in, by an unwinding
// that no destructor may let through: the process would be terminated. These two let such a thread park instead: it sleeps until the process
// is gone.

/// Sleeps until the process is gone.
[[noreturn]] void park();

/// Calls what may take the GIL, in whatever way, and parks where Python ends meanwhile. The call must leave nothing to be cleaned up in its own frame.
template <typename Call>
auto or_park(Call call) {
  try {
    return call();
  } catch (abi::__forced_unwind&) {
    park();
  }
}

/// The GIL is released while it lives. Made with the GIL held.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked();
  Unlocked(const Unlocked&) = delete;

 private:
  PyThreadState* state_;
};

/// The GIL is held while it lives. In any thread.
class Locked {
 public:
  Locked();
  ~Locked() { PyGILState_Release(state_); }
  Locked(const Locked&) = delete;

 private:
  PyGILState_STATE state_;
};

}  // namespace cogwork::bindings
