#include "cogwork/base/completion.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace cogwork {
namespace {

using namespace std::chrono_literals;

TEST(Completion, TellsWatchersOnceWheneverTheyCome) {
  Completion done;
  int early = 0, late = 0;
  done.on_done([&] { ++early; });
  EXPECT_FALSE(done.done());
  EXPECT_FALSE(done.wait_for(0ms));
  done.set();
  done.set();
  done.on_done([&] { ++late; });
  EXPECT_TRUE(done.done());
  EXPECT_TRUE(done.wait_for(0ms));
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 1);
}

TEST(Completion, ForgetsWhoGivesUp) {
  Completion done;
  const auto held = std::make_shared<int>(0);
  const auto count = [held] { ++*held; };
  const auto first = done.on_done(count);
  const auto second = done.on_done(count);
  EXPECT_NE(first, second);
  EXPECT_EQ(held.use_count(), 4);
  done.forget(first);
  EXPECT_EQ(held.use_count(), 3) << "what it held is let go of";
  done.forget(first);
  done.forget(0);
  done.set();
  EXPECT_EQ(*held, 1);
  done.forget(second);
}

TEST(Completion, AWatcherMayAskTheCompletion) {
  Completion done;
  bool seen = false;
  done.on_done([&] { seen = done.done(); });
  std::thread setter([&] { done.set(); });
  done.wait();
  setter.join();
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace cogwork
