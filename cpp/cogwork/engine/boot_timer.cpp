#include "cogwork/engine/boot_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "cogwork/base/descriptor.h"
#include "cogwork/base/error.h"

namespace cogwork {
namespace {

Descriptor make_timer() {
  Descriptor fd(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!fd) throw ResourceError(std::string("no file descriptor for the engine's timer: ") + std::strerror(errno));
  return fd;
}

}  // namespace

BootTimer::BootTimer(boost::asio::io_context& io, std::function<void()> gone_off) : timer_(io), gone_off_(std::move(gone_off)) {
  auto fd = make_timer();
  timer_.assign(fd.get());  // it does not take it where it throws
  fd.release();
  wait();
}

void BootTimer::set(SteadyTime at) {
  const auto us = std::max<std::int64_t>(at.time_since_epoch().count(), 1);  // zero would switch it off
  itimerspec when{};
  when.it_value.tv_sec = us / 1'000'000;
  when.it_value.tv_nsec = us % 1'000'000 * 1000;
  timerfd_settime(timer_.native_handle(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void BootTimer::wait() {
  timer_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    std::uint64_t times = 0;
    const bool gone_off = read(timer_.native_handle(), &times, sizeof times) > 0;
    wait();
    if (gone_off) gone_off_();
  });
}

}  // namespace cogwork
