#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cogwork/engine/engine.h"

namespace cogwork::test {

/// Calls wait in it until the test opens it.
class Gate {
 public:
  void enter() {
    std::unique_lock lock(mutex_);
    ++entered_;
    most_ = std::max(most_, ++inside_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --inside_;
    changed_.notify_all();
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_for(int entered) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entered_ >= entered; });
  }
  int entered() const {
    const std::lock_guard lock(mutex_);
    return entered_;
  }
  int most() const {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0, inside_ = 0, most_ = 0;
  bool open_ = false;
};

using Function = std::function<Outcome(const Call&)>;

inline Outcome answer(AttemptStatus status, std::string error = {}) {
  Outcome outcome;
  outcome.status = status;
  outcome.error = Text(error);
  return outcome;
}

/// An engine with Cogs in C++: threads that pull calls and run functions by name, as Python's workers do.
class EngineWorld {
 public:
  explicit EngineWorld(std::shared_ptr<Storage> store, EngineOptions options = {}, std::map<std::string, Function> functions = {})
      : functions_(std::move(functions)) {
    functions_.emplace("ok", [](const Call&) { return Outcome{}; });
    functions_.emplace("fail", [](const Call&) { return answer(AttemptStatus::FAILURE, "it failed"); });
    for (const auto& [name, function] : functions_) {
      CogInfo info;
      info.name = name;
      info.origin = "test:" + name;
      info.defaults.idempotent = true;
      cogs->add(std::move(info));
    }
    engine = std::make_unique<Engine>(std::move(store), cogs, std::move(options));
    for (const auto& queue : {engine->jobs(), engine->checks()}) start_thread(queue);
  }
  ~EngineWorld() {
    engine.reset();
    while (true) {
      std::vector<std::thread> threads;
      {
        const std::lock_guard lock(mutex_);
        threads.swap(threads_);
      }
      if (threads.empty()) return;
      for (auto& thread : threads) thread.join();
    }
  }

  std::shared_ptr<CogRegistry> cogs = std::make_shared<CogRegistry>();
  std::unique_ptr<Engine> engine;

  Id submit(Labor labor, bool start = true, std::string fingerprint = {}) {
    Submission s;
    s.labor = std::move(labor);
    s.start = start;
    s.by = "tester";
    s.fingerprint = std::move(fingerprint);
    return engine->submit(std::move(s));
  }
  Labor wait(const Id& id) {
    engine->end_of(id)->completion().wait();
    return engine->store()->read_labor(id, true);
  }
  std::shared_ptr<Ack> signal(const Id& id, Signal signal, bool interrupt = false) {
    return engine->signal({id, signal, interrupt, "ann", "why"});
  }

 private:
  void start_thread(const std::shared_ptr<PullQueue>& queue) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, queue] {
      queue->enter();
      while (true) {
        auto taken = queue->try_take();
        if (!taken) taken = queue->take();
        if (!taken->call) break;
        if (taken->grow) start_thread(queue);
        const auto& function = functions_.at(taken->call->request().cog->name);
        queue->finish(taken->call, function(*taken->call));
      }
      queue->leave();
    });
  }

  std::map<std::string, Function> functions_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

/// One Task of `count` Sequences of one Job each, as read_submitted would give it.
inline Labor tree_of(std::uint32_t count, const std::string& cog = "ok", std::uint32_t concurrency = 1) {
  Labor labor;
  labor.name = "tree";
  Task task;
  task.name = "task";
  task.sequence_count = count;
  task.concurrency.number = concurrency;
  labor.tasks.push_back(task);
  for (std::uint32_t i = 0; i < count; ++i) {
    Sequence sequence;
    sequence.target = "host" + std::to_string(i);
    sequence.first_job = i;
    sequence.job_count = 1;
    labor.sequences.push_back(sequence);
    Job job;
    job.sequence = i;
    job.cog_path = cog;
    job.args = Text("\x80");
    labor.jobs.push_back(job);
  }
  return labor;
}

}  // namespace cogwork::test
