#pragma once

#include <string>

#include "cogwork/storage/owner_lock.h"
#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_guard.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

// What a store does about somebody who has been at its files while an engine owned it. docs/internals/stored-format.md has the table.

/// What was found, what it means and what to do. `written_out`: the file that the store was written to.
std::string said_of(Tampering found, const SqlitePlace& place, const std::string& written_out = {});

/// Everything that the log holds is in the database then, and durable, and the log is empty. Throws StorageError, temporary where somebody
/// reads what is in the log.
void move_log_into_file(SqliteConnection& writer);

/// Whether whoever opens the store now finds that row of the history. `thoroughly`: and a sound database.
bool holds_row(const SqlitePlace& place, const LastCommit& row, bool thoroughly);
/// That it does not, although an owner that died had committed it: what that means and what to do.
std::string missing_commit(const SqlitePlace& place, const LastCommit& last);

/// Writes a database that has lost its name, and its log, out to a new file beside where it was, whose path it returns. Throws StorageError.
std::string write_out(SqliteConnection& writer);
/// Gives that file the database's name where nothing has it. Returns what it is called now.
std::string put_in_place(const SqlitePlace& place, const std::string& written_out);

}  // namespace cogwork
