#include "cogwork/base/close_on_fork.h"

#include <pthread.h>
#include <unistd.h>

#include <mutex>
#include <vector>

namespace cogwork {
namespace {

class Registered {
 public:
  static Registered& instance() {
    static auto* registered = new Registered;  // never destroyed: a fork may come late
    return *registered;
  }
  void add(int fd) {
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
  }
  bool remove(int fd) {
    const std::lock_guard lock(mutex_);
    return std::erase(fds_, fd) != 0;
  }

 private:
  Registered() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     for (const int fd : instance().fds_) close(fd);
                     instance().fds_.clear();
                     instance().mutex_.unlock();
                   });
  }
  std::mutex mutex_;
  std::vector<int> fds_;
};

}  // namespace

void close_on_fork(int fd) { Registered::instance().add(fd); }
bool forget_close_on_fork(int fd) { return Registered::instance().remove(fd); }

}  // namespace cogwork
