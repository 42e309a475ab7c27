#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/storage/storage.h"

namespace cogwork {

/// How a store is to be opened. A reader never creates, never changes and never waits for an engine (R1).
enum class OpenMode : std::uint8_t { OWNER, READER };

/// Makes a store from what stands behind its name: "sqlite:labors.db" gives "labors.db".
using StoreFactory = std::function<std::shared_ptr<Storage>(const std::string& where, OpenMode mode)>;

/// T4. Any thread. Throws Error where the name is taken or is no word.
void register_store(const std::string& name, StoreFactory factory);
std::vector<std::string> registered_stores();

/// Opens "name:where", or a path, which is SQLite's. "memory:" is a store of its own each time.
std::shared_ptr<Storage> open_store(const std::string& spec, OpenMode mode);

std::shared_ptr<Storage> make_memory_store();
/// Opens or (as OWNER) makes the file. Throws StorageError: not a database, of a newer schema, cannot be opened.
std::shared_ptr<Storage> open_sqlite_store(const std::string& path, OpenMode mode);

}  // namespace cogwork
