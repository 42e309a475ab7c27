#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace cogwork {

/// Where Labors that come from outside wait for somebody who can look at their args: checking them is the Cogs' affair, and Cogs are
/// Python's. So Python takes them from here, on some threads, and brings an answer. A check may hang: of one client one Labor is looked at at a time,
/// so that it holds up no others. Any thread.
class SubmitDesk {
 public:
  struct Call {
    std::uint64_t token = 0;
    std::uint64_t client = 0;  ///< Who sent it.
    std::string document;
    std::string faults;    ///< What the client found wrong already, as msgpack; may be empty.
    std::string expected;  ///< What the client takes the Labor's Cogs for, as msgpack; may be empty.
    bool start = true;
    std::string by;
  };
  /// ok: `value` is the Labor's id as msgpack; else an error's map.
  using Reply = std::function<void(bool ok, std::string value)>;

  /// attended: somebody will take the calls.
  explicit SubmitDesk(bool attended) : attended_(attended) {}

  /// False where nobody takes calls here; `reply` is not called then.
  bool put(Call call, Reply reply);
  struct Taken {
    Call call;
    bool alone = false;  ///< Nobody is left to take the next one; who took this may bring somebody in.
  };
  /// The next call; waits for it. Nothing: closed.
  std::optional<Taken> take();
  /// That call has been looked at: its answer comes by itself, and its client's next one may be taken.
  void looked_at(std::uint64_t token);
  void answer(std::uint64_t token, bool ok, std::string value);
  /// Whoever takes goes home; what waits is never answered.
  void close();

 private:
  std::deque<Call>::iterator next();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Call> calls_;
  std::map<std::uint64_t, Reply> replies_;
  std::map<std::uint64_t, std::uint64_t> looking_;  // token -> client
  int waiting_ = 0;                                 // takers
  std::uint64_t last_token_ = 0;
  const bool attended_;
  bool closed_ = false;
};

}  // namespace cogwork
