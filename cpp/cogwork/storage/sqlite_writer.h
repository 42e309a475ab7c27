#pragma once

#include <cstdint>
#include <unordered_map>

#include "cogwork/storage/sqlite_connection.h"
#include "cogwork/storage/sqlite_rows.h"
#include "cogwork/storage/storage.h"

namespace cogwork {

/// The connection that writes, with its statements. One thread at a time. After an exception nothing of the batch is stored
/// and the connection can be used again, unless `broken()`: then make another.
class SqliteWriter {
 public:
  explicit SqliteWriter(const SqlitePlace& place);

  /// One transaction, durable when it returns.
  void apply(const Batch& batch);
  bool broken() const { return broken_; }
  SqliteConnection& connection() { return connection_; }

 private:
  void put(const WriteLabor& write);
  void put(const WriteLaborState& write);
  void put(const WriteTask& write);
  void put(const WriteSequence& write);
  void put(const WriteJob& write);
  void put(const HistoryRow& row);
  void put(const Record& record);

  /// Nothing where the Labor is not stored.
  std::int64_t find_key(const Id& labor);
  std::int64_t need_key(const Id& labor, const char* what, std::uint32_t ordinal);
  [[noreturn]] void missing(const Id& labor, const char* what, std::uint32_t ordinal) const;
  void remove_tree(std::int64_t key);
  void roll_back();

  SqliteConnection connection_;
  bool broken_ = false;
  RowScratch scratch_;
  std::unordered_map<Id, std::int64_t> keys_;  ///< Of Labors lately written to.

  SqliteStatement begin_, commit_;
  SqliteStatement find_labor_, next_key_;
  SqliteStatement insert_labor_, insert_task_, insert_sequence_, insert_job_, insert_args_;
  SqliteStatement insert_tag_, insert_cog_, insert_target_;
  SqliteStatement update_labor_, update_task_, update_sequence_, update_job_;
  SqliteStatement insert_history_, put_record_, remove_record_;
};

}  // namespace cogwork
