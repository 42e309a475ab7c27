#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/base/time.h"

namespace cogwork {

/// Who owns a store (R1): shown to whoever is refused, and read by whoever looks for its engine.
struct Owner {
  std::int64_t pid = 0;
  std::string host;
  std::string user;
  std::string program;
  Time since = never;
  std::string version = {};  ///< Of cogwork.
  /// It only stores something and goes at once: who comes meanwhile waits for it instead of being refused (R1).
  bool brief = false;

  /// Its lock can be asked about (look_at_owner_file); the lock sets it.
  bool marked = false;

  /// Where its process is, so that another one can tell what it may see of it: the user id, the boot id of the kernel, and the namespaces
  /// as /proc names them ("mnt:[4026531841] net:[4026531840] pid:[...] user:[...]"). -1 and empty where that is not known.
  std::int64_t uid = -1;
  std::string boot = {};
  std::string namespaces = {};

  /// Where its engine listens (engine/control_address.h), the preferred address first.
  std::vector<std::string> listens = {};
  /// Why it listens nowhere: it is opening or closing, or it found no place. Empty where `listens` is not.
  std::string silent = {};
};

/// This process as an owner.
Owner this_process(std::string user, std::string program, Time now);

/// An owner as text, one "name: value" a line. What a reader does not know, or meets half written, it passes over.
std::string owner_text(const Owner& owner);
Owner read_owner(std::string_view text);

/// Whether a process id means the same process to both.
bool shares_pids(const Owner& one, const Owner& other);

/// The words of a StoreInUse: who owns `store`, since when, and what to do.
std::string in_use_message(std::string_view store, const Owner& owner);

/// What somebody who does not own a store sees of its owner.
struct OwnerSeen {
  enum class Holds { NO, YES, UNKNOWN };
  Owner owner;
  /// Whether it owns the store now. A process that died leaves its name behind.
  Holds holds = Holds::UNKNOWN;
  /// Where that stands; empty where there is nothing.
  std::string file;
  /// Why the file could not be read; empty where it was.
  std::string problem;
  /// Of the file; -1 where there is none.
  std::int64_t file_uid = -1;
};

}  // namespace cogwork
