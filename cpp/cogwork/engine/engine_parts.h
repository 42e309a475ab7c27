#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cogwork/cogs/command_executor.h"
#include "cogwork/cogs/labor_log.h"
#include "cogwork/cogs/process_executor.h"
#include "cogwork/cogs/process_loop.h"
#include "cogwork/cogs/pull_queue.h"
#include "cogwork/engine/control_server.h"
#include "cogwork/engine/core.h"
#include "cogwork/engine/engine.h"
#include "cogwork/engine/feed.h"
#include "cogwork/engine/loop.h"
#include "cogwork/storage/committer.h"

namespace cogwork {

/// The threads for processes, and who calls Cogs in them. Who submits may use it while the engine closes, and holds it.
struct Processes {
  Processes(OutcomeSink& sink, CogRegistry& cogs, const EngineOptions& options);
  ProcessLoop loop;
  CommandExecutor commands;
  ProcessExecutor programs;
};

/// What an engine consists of: the core, the threads around it, and the order in which they begin and end.
struct EngineParts : std::enable_shared_from_this<EngineParts> {
  EngineParts(std::shared_ptr<Storage> store_in, std::shared_ptr<CogRegistry> cogs_in, EngineOptions options_in);
  ~EngineParts();
  EngineParts(const EngineParts&) = delete;

  /// Throws EngineClosed.
  void require_open() const;
  /// The same, also where the close has begun: what is asked for would not be done any more.
  void require_taking();
  /// Runs `call` on the scheduler thread. Throws EngineClosed.
  void post(std::function<void(Core&)> call);
  /// Runs `question` on the scheduler thread and waits for what it returns. Throws EngineClosed, and what it throws.
  template <typename Question>
  std::invoke_result_t<Question, Core&> ask(Question question) {
    using R = std::invoke_result_t<Question, Core&>;
    std::promise<R> promise;
    auto answer = promise.get_future();
    post([&](Core& c) {
      try {
        if constexpr (std::is_void_v<R>) {
          question(c);
          promise.set_value();
        } else {
          promise.set_value(question(c));
        }
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    });
    return answer.get();
  }
  /// Null once it has closed.
  std::shared_ptr<Processes> processes_now();
  // Of the scheduler thread.
  Stats stats(const Core& c) const;
  /// Of a Labor that runs here; with what the store does to it. Nothing: it does not.
  std::optional<Progress> progress(const Core& c, const Id& labor) const;

  /// Says in a Labor's progress that the store holds it up. Any thread.
  void add_trouble(Progress& progress, const StoreHealth& health) const;

  void open_control();
  void begin();
  std::shared_ptr<Completion> begin_close();
  void interrupt_calls();
  CloseReport finish_close();

  const EngineOptions options;
  const std::shared_ptr<Storage> store;
  const std::shared_ptr<CogRegistry> cogs;
  const std::unique_ptr<Clock> clock;
  const Owner owner;
  std::shared_ptr<StoreLock> lock;
  const std::shared_ptr<FeedHub> feeds;
  const std::shared_ptr<LogRoom> logs;
  Loop loop;
  PullQueue jobs, checks, async_calls;
  std::shared_ptr<Processes> processes;  // swapped under `gate`
  std::unique_ptr<Committer> committer;
  Core core;
  std::vector<Id> taken_up;
  std::shared_ptr<ControlServer> control;  // null once it has closed, and where it cannot be reached
  std::shared_ptr<SubmitDesk> submits;     // null where it cannot be reached
  ControlInfo control_info;

  std::mutex gate;  // orders calls against the end of the loop
  std::mutex finishing;
  std::shared_ptr<Completion> quiet;  // set under `gate`
  std::atomic<bool> finished{false};
  CloseReport report;

 private:
  CoreSeams seams();
  void announce(const Owner& told);
  bool flush();
};

}  // namespace cogwork
