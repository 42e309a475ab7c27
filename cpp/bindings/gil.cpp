#include "gil.h"

#include <unistd.h>

namespace cogwork::bindings {

void park() {
  while (true) pause();
}

Unlocked::~Unlocked() {
  or_park([this] { PyEval_RestoreThread(state_); });
}

Locked::Locked() : state_(or_park([] { return PyGILState_Ensure(); })) {}

}  // namespace cogwork::bindings
