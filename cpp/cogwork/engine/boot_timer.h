#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>

#include "cogwork/base/time.h"

namespace cogwork {

/// A timer by BootClock: unlike those of Asio it goes off in time also after the machine was suspended. One thread, the io_context's.
class BootTimer {
 public:
  /// gone_off: called on that thread each time. Throws ResourceError if there is no descriptor for it.
  BootTimer(boost::asio::io_context& io, std::function<void()> gone_off);
  BootTimer(const BootTimer&) = delete;

  /// Sets it, anew where it was set already. A moment that has passed: at once.
  void set(SteadyTime at);

 private:
  void wait();

  boost::asio::posix::stream_descriptor timer_;
  std::function<void()> gone_off_;
};

}  // namespace cogwork
