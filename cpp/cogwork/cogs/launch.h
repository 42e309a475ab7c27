#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/base/descriptor.h"
#include "cogwork/base/error.h"
#include "cogwork/cogs/environment.h"
#include "cogwork/cogs/guardian.h"
#include "cogwork/cogs/user_identity.h"

namespace cogwork {

/// A program to be started, and how.
struct Launch {
  std::string executable;            ///< A path, or a name that is looked up in the PATH of `environment`.
  std::vector<std::string> args;     ///< Without the name of the program itself.
  Variables environment;             ///< All of it.
  std::string cwd;                   ///< Empty: this process's.
  std::optional<UserIdentity> user;  ///< Nothing: this process's.
  std::string input;                 ///< What it reads on its standard input; then that ends.
  bool wants_socket = false;         ///< Descriptor 3 is one end of a socket pair; Launched::socket is the other.
};

/// The program cannot be started, now or later: trying again does not help.
class Unstartable : public Error {
 public:
  using Error::Error;
};

/// Somebody is writing to the program's file, which is soon over.
class FileBusy : public ResourceError {
 public:
  using ResourceError::ResourceError;
};

/// A process that was started, and the ways to it. Where nobody attends to it, it is killed with its group.
struct Launched {
  Launched() = default;
  Launched(const Launched&) = delete;
  ~Launched();

  int pid = -1;
  GuardianPlace* place = nullptr;
  std::uint32_t started = 0;  ///< ProcessRow::started
  Descriptor exit;            ///< The kernel's handle of it (pidfd), readable when it has ended.
  Descriptor output, errors;  ///< What it prints.
  Descriptor input;           ///< Where it reads, if it has anything to.
  Descriptor socket;          ///< The other end of its descriptor 3, if it wanted one.
};

/// Starts a process, as the leader of a session that the guardian knows. Blocks until the program is loaded, so it is called on a
/// thread that does nothing else, and that lives as long as the engine: a process can be made to die with the thread that started
/// it. Throws ResourceError where no process, descriptor or memory is to be had, Unstartable where it can never be started so,
/// Error where it cannot: no such program, not executable, no right to. Nothing of the program was executed then.
std::shared_ptr<Launched> launch(Guardian& guardian, const Launch& launch);

}  // namespace cogwork
