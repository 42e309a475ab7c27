#pragma once

#include "cogwork/base/descriptor.h"
#include "cogwork/cogs/guardian_list.h"
#include "cogwork/cogs/user_identity.h"

namespace cogwork {

/// A process to be made, in the words of the kernel. Everything that it points to must live until spawn() returns.
struct Spawn {
  const char* path;         ///< Of the file to execute.
  const char* const* argv;  ///< Ends with a null, as `environment` does.
  const char* const* environment;
  const char* folder = nullptr;  ///< Null: this process's.
  int streams[4] = {-1, -1, -1,
                    -1};  ///< What becomes descriptors 0 to 3; each is 4 or above. The last may be -1: there is no descriptor 3.
  const UserIdentity* user = nullptr;  ///< Null: this process's.
  GuardianPlace* place = nullptr;      ///< Gets its number before the file is executed. Null: nobody keeps it.
};

struct Spawned {
  int pid = -1;
  Descriptor handle;  ///< The kernel's (pidfd).
  int error = 0;      ///< Else why there is no process: an errno. Nothing was executed then.
};

/// Starts a process that leads a session, with the default of every signal, no signal blocked, and no descriptor of ours but
/// `streams`. Blocks until the file is executed. The handle is made with the process, so nothing is ever executed that then cannot
/// be attended to.
Spawned spawn(const Spawn& what);

}  // namespace cogwork
