#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "cogwork/storage/sqlite_reader.h"

namespace cogwork {

class ReaderPool;

/// One database file, as all stores of this process that lie in it share it. SQLite keeps the log and its index open for a file as long as any
/// connection to it is: who wants to begin them anew must be alone. Any thread.
class SqliteFile {
 public:
  static std::shared_ptr<SqliteFile> of(const SqlitePlace& place);

  /// Held while a connection that reads is in use.
  std::shared_lock<std::shared_timed_mutex> read() { return std::shared_lock(use_); }
  /// Nobody reads, and no connection that reads is open. Without it: somebody goes on reading.
  std::unique_lock<std::shared_timed_mutex> alone();
  void close_idle();

 private:
  friend class ReaderPool;
  std::shared_timed_mutex use_;
  std::mutex mutex_;
  std::vector<ReaderPool*> pools_;
};

/// The reading connections of one store that nobody uses just now. Any thread.
class ReaderPool {
 public:
  explicit ReaderPool(std::shared_ptr<SqliteFile> file);
  ~ReaderPool();
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  SqliteFile& file() { return *file_; }
  /// One that reads what the file holds now; null where there is none.
  std::unique_ptr<SqliteReader> take();
  void give_back(std::unique_ptr<SqliteReader> reader);
  void clear();

 private:
  static constexpr std::size_t kMost = 4;
  const std::shared_ptr<SqliteFile> file_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SqliteReader>> idle_;
};

}  // namespace cogwork
