// How fast calls go through a PullQueue: what it costs beside the Cogs themselves.
#include <benchmark/benchmark.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cogwork/cogs/pull_queue.h"

namespace cogwork {
namespace {

class CountingSink : public OutcomeSink {
 public:
  void ended(AttemptKey, Outcome) override {
    ended_.fetch_add(1, std::memory_order_release);
    ended_.notify_one();
  }
  void progressed(AttemptKey, double, Text) override {}
  /// Waits until at most `open` of `started` calls have not ended.
  void wait(std::uint64_t started, std::uint64_t open) {
    for (auto ended = ended_.load(std::memory_order_acquire); started - ended > open;
         ended = ended_.load(std::memory_order_acquire)) {
      ended_.wait(ended, std::memory_order_acquire);
    }
  }

 private:
  std::atomic<std::uint64_t> ended_{0};
};

AttemptRequest request(AttemptKey key, const std::shared_ptr<const CogInfo>& cog) {
  AttemptRequest r;
  r.key = key;
  r.cog = cog;
  return r;
}

std::shared_ptr<const CogInfo> no_op() {
  auto info = std::make_shared<CogInfo>();
  info->name = "no_op";
  return info;
}

/// One thread: start, take, finish. The bare cost of a call.
void start_take_finish(benchmark::State& state) {
  CountingSink sink;
  PullQueue queue(sink, 64);
  const auto cog = no_op();
  AttemptKey key = 0;
  for (auto _ : state) {
    queue.start(request(++key, cog));
    const auto taken = queue.try_take();
    queue.finish(taken->call, Outcome{});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(start_take_finish);

/// A scheduler thread that keeps so many calls open, and threads that take them and grow as they are told. Every call is made
/// under one mutex, which stands for the GIL.
void scheduler_and_takers(benchmark::State& state) {
  const auto open = static_cast<std::uint64_t>(state.range(0));
  CountingSink sink;
  PullQueue queue(sink, 64);
  const auto cog = no_op();
  std::mutex gil, threads_mutex;
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> passes{0};  // how often the GIL changed hands

  std::function<void()> add = [&] {
    const std::lock_guard lock(threads_mutex);
    threads.emplace_back([&] {
      queue.enter();
      std::unique_lock hold(gil);
      while (true) {
        auto taken = queue.try_take();
        if (!taken) {
          hold.unlock();
          taken = queue.take();
          passes.fetch_add(1, std::memory_order_relaxed);
          hold.lock();
        }
        if (!taken->call) break;
        if (taken->grow) add();
        taken->call->begun();
        queue.finish(taken->call, Outcome{});
      }
      queue.leave();
    });
  };
  add();
  std::uint64_t key = 0;
  for (auto _ : state) {
    queue.start(request(++key, cog));
    sink.wait(key, open - 1);
  }
  sink.wait(key, 0);
  state.SetItemsProcessed(state.iterations());
  state.counters["waits_per_call"] = static_cast<double>(passes) / static_cast<double>(key);
  state.counters["threads"] = queue.figures().threads;
  queue.close();
  for (std::size_t i = 0;; ++i) {
    std::thread thread;
    {
      const std::lock_guard lock(threads_mutex);
      if (i == threads.size()) break;
      thread = std::move(threads[i]);
    }
    thread.join();
  }
}
BENCHMARK(scheduler_and_takers)->Arg(1)->Arg(16)->Arg(64)->UseRealTime();

/// An event loop drains what has come.
void drain(benchmark::State& state) {
  const auto batch = state.range(0);
  CountingSink sink;
  PullQueue queue(sink, 64);
  const auto cog = no_op();
  AttemptKey key = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < batch; ++i) queue.start(request(++key, cog));
    for (auto& call : queue.drain().calls) queue.finish(call, Outcome{});
  }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(drain)->Arg(1)->Arg(100);

}  // namespace
}  // namespace cogwork
