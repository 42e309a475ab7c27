#include "cogwork/storage/sqlite_file.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace cogwork {
namespace {

constexpr auto kLongestRead = std::chrono::seconds(2);

}  // namespace

std::shared_ptr<SqliteFile> SqliteFile::of(const SqlitePlace& place) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<SqliteFile>> files;
  const std::lock_guard lock(mutex);
  std::erase_if(files, [](const auto& file) { return file.second.expired(); });
  auto& known = files[place.real];
  auto file = known.lock();
  if (!file) known = file = std::make_shared<SqliteFile>();
  return file;
}

std::unique_lock<std::shared_timed_mutex> SqliteFile::alone() {
  std::unique_lock lock(use_, std::defer_lock);
  if (lock.try_lock_for(kLongestRead)) close_idle();
  return lock;
}

void SqliteFile::close_idle() {
  const std::lock_guard lock(mutex_);
  for (auto* pool : pools_) pool->clear();
}

ReaderPool::ReaderPool(std::shared_ptr<SqliteFile> file) : file_(std::move(file)) {
  const std::lock_guard lock(file_->mutex_);
  file_->pools_.push_back(this);
}

ReaderPool::~ReaderPool() {
  const std::lock_guard lock(file_->mutex_);
  std::erase(file_->pools_, this);
}

std::unique_ptr<SqliteReader> ReaderPool::take() {
  std::vector<std::unique_ptr<SqliteReader>> stale;  // closed without the lock
  const std::lock_guard lock(mutex_);
  while (!idle_.empty()) {
    auto reader = std::move(idle_.back());
    idle_.pop_back();
    if (reader->likely_current()) return reader;
    stale.push_back(std::move(reader));
  }
  return nullptr;
}

void ReaderPool::give_back(std::unique_ptr<SqliteReader> reader) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMost) idle_.push_back(std::move(reader));
}

void ReaderPool::clear() {
  std::vector<std::unique_ptr<SqliteReader>> idle;
  const std::lock_guard lock(mutex_);
  idle.swap(idle_);
}

}  // namespace cogwork
