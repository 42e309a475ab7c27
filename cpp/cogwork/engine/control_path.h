#pragma once

#include <string>
#include <vector>

namespace cogwork {

// Where the control socket of a store is: in a folder of this user's own, under a short name that follows from the store's identity. Not
// beside the store, since a socket's path holds about a hundred bytes, and since whoever may write there could take its place.

/// Every place where this user's control socket of a store may be, the preferred one first:
///   $COGWORK_RUNTIME_DIR, $XDG_RUNTIME_DIR/cogwork, /run/user/<uid>/cogwork, /tmp/cogwork-<uid>
/// An engine takes the first that can be used; whoever looks for it tries them all, since a shell under sudo, cron or ssh may not
/// have the environment that the engine had. Paths that are too long for a socket are left out.
std::vector<std::string> control_paths(const std::string& identity);

/// Makes the folder of a socket's path where it is missing, and makes sure that it is a real folder, this user's, and closed to all
/// others. Throws Error, saying what is wrong with it.
void prepare_control_folder(const std::string& socket_path);

}  // namespace cogwork
