#pragma once

#include <string>

#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/stores.h"

namespace cogwork {

/// Looks at a path before SQLite does, which would say less well what is wrong with it. Throws StorageError.
SqlitePlace look_at_file(const std::string& path, OpenMode mode);

[[noreturn]] void refuse(const std::string& path, const std::string& why);

}  // namespace cogwork
