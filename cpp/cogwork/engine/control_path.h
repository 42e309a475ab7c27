#pragma once

#include <string>
#include <vector>

#include "cogwork/engine/control_address.h"

namespace cogwork {

// Where the control sockets of a store are. Their names follow from the store's identity, so that a client which finds nothing in the
// owner's record can look for them; but an engine and its clients need not have the same environment, and the record (owner.h) says
// where the engine listens in truth.

/// Every place where this user's control socket of a store may be, the preferred one first: in
///   $COGWORK_RUNTIME_DIR, cogwork and cogwork-<uid> below it, $XDG_RUNTIME_DIR/cogwork, /run/user/<uid>/cogwork, /tmp/cogwork-<uid>,
/// and .cogwork-<uid> in `folder`, that of the store, where there is one. An engine takes the first that can be used.
std::vector<ControlAddress> control_paths(const std::string& identity, const std::string& folder = "");

/// The abstract socket of a store, which is there beside one that is a file. Any user may take its name first, or knock at it.
ControlAddress abstract_control(const std::string& identity);

/// Makes the folder of a socket's path where it is missing, and makes sure that it is a real folder, this user's, and closed to all
/// others: one that is not is left as it is. Throws Error, saying what is wrong with it.
void prepare_control_folder(const std::string& socket_path);

/// Removes the socket; and its folder, where that is one beside a store and nothing else is in it.
void remove_control_file(const std::string& socket_path);

}  // namespace cogwork
