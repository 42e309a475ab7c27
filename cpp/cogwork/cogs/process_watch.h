#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <vector>

#include "cogwork/cogs/process_table.h"

namespace cogwork {

/// Looks through all processes for those who wait for some of them to go: the kernel tells of one's own children alone. One look
/// serves all who ask meanwhile, and looks take a tenth of the thread's time at most, however many processes there are. One thread.
class ProcessWatch {
 public:
  using Seen = std::function<void(const ProcessTable&)>;

  explicit ProcessWatch(boost::asio::io_context& io) : timer_(io) {}

  /// Calls back once, with a table whose reading began after this call.
  void ask(Seen seen);

 private:
  void look();

  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point next_{};
  std::vector<Seen> asking_;
};

}  // namespace cogwork
