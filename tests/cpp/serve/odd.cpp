// A program whose Cogs do what Cogs should not: tests/python/test_serve_header.py starts it, and asks that the protocol holds.
#include <cogwork/serve.h>

#include <cstdlib>
#include <limits>
#include <mutex>

using cogwork::Call;
using cogwork::Kind;
using cogwork::Value;

namespace {

cogwork::Result echo(Call& call) {
  return cogwork::success(Value::Map{{"args", call.args},
                                     {"ids", Value::List{call.job, call.labor}},
                                     {"names", Value::List{call.job_name, call.labor_name, call.target, call.real_user}},
                                     {"attempt", call.attempt},
                                     {"check", call.check},
                                     {"timeout", call.timeout},
                                     {"before", call.output("before")},
                                     {"outputs", call.outputs.size()}});
}

cogwork::Result throws(Call& call) {
  const auto how = call.args["how"].text();
  if (how == "no_retry") throw cogwork::NoRetry("never again");
  if (how == "number") throw 5;
  if (how == "silent") throw std::runtime_error("");
  if (how == "false") return cogwork::success(false);
  if (how == "failure_without_words") return cogwork::failure("");
  if (how == "nested") return cogwork::success(call.args["a"]["b"]["c"].integer());
  if (how == "type") return cogwork::success(call.args["how"].number());
  throw std::runtime_error("it broke: " + how);
}

cogwork::Result large(Call& call) {
  const auto what = call.args["what"].text();
  if (what == "output") return cogwork::success(std::string(65u << 20, 'x'));
  if (what == "error") return cogwork::failure(std::string(65u << 20, 'x'));
  if (what == "log") call.log(std::string(65u << 20, 'x'));
  if (what == "nested") {
    Value value;
    for (int i = 0; i < 2000; ++i) {
      Value::List around;
      around.push_back(std::move(value));
      value = std::move(around);
    }
    return cogwork::success(std::move(value));
  }
  return cogwork::success();
}

cogwork::Result letters(Call& call) {
  call.log("caf\xe9 \xed\xa0\x80 \xc3\xa9 \xf4\x90\x80\x80");
  call.progress(std::numeric_limits<double>::quiet_NaN(), "\xff");
  call.progress(7, "beyond");
  call.progress(std::nullopt, "some");
  return cogwork::failure("\xff\xfe", Value::List{"\xc0\x80", Value::Bytes{"\xff"}});
}

/// Notes from many threads at once, of one attempt; most are larger than what a socket takes at once.
cogwork::Result crowd(Call& call) {
  std::vector<std::thread> threads;
  for (int n = 0; n < 8; ++n) {
    threads.emplace_back([&call, n] {
      for (int i = 0; i < 10; ++i) call.log(std::string(static_cast<std::size_t>(n * 60'000 + i), 'x'));
    });
  }
  for (auto& thread : threads) thread.join();
  return cogwork::success();
}

/// Ends when so many of the group are there at once.
cogwork::Result meet_of(Call& call) {
  static std::mutex mutex;
  static std::condition_variable changed;
  static std::map<std::string, std::int64_t> groups;
  const auto count = call.args["count"].integer();
  std::unique_lock lock(mutex);
  auto& there = groups[call.args["group"].text()];
  ++there;
  changed.notify_all();
  changed.wait(lock, [&] { return there == count; });
  return cogwork::success(count);
}

/// Waits until as many calls are in here as are wanted; so that they are is seen by the one that asked.
cogwork::Result meet(Call& call) {
  static std::mutex mutex;
  static std::condition_variable changed;
  static std::int64_t inside = 0;
  std::unique_lock lock(mutex);
  ++inside;
  changed.notify_all();
  while (inside < call.args["count"].integer() && !call.cancelled()) changed.wait_for(lock, std::chrono::milliseconds(20));
  return cogwork::success(inside);
}

/// Never looks whether it is cancelled, until what it waits for is there.
cogwork::Result stubborn(Call& call) {
  call.progress(0, "deaf");
  while (::access(call.args["until"].text().c_str(), F_OK) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return cogwork::success(call.cancelled());
}

cogwork::Result start(Call& call) {
  std::puts("printed");
  std::fputs("and on error output\n", stderr);
  const int code = std::system("test -z \"$COGWORK_COG_FD\" && ! (: >&3) 2>/dev/null");
  return cogwork::success(Value::Map{{"sealed", code == 0}, {"target", call.target}});
}

}  // namespace

int main() {
  cogwork::Program program;
  program.cog("echo", echo).owner("ops").retries(3).retry_delay(1.5).retry_backoff(2).retry_max_delay(60).concurrency(8);
  program.cog("raise", throws).idempotent().on_interrupt(cogwork::OnInterrupt::FAIL);
  program.cog("large", large).arg("what", Kind::TEXT);
  program.cog("letters", letters);
  program.cog("crowd", crowd);
  program.cog("meet", meet).arg("count", Kind::INTEGER);
  program.cog("meet_of", meet_of).arg("group", Kind::TEXT).arg("count", Kind::INTEGER);
  program.cog("stubborn", stubborn).arg("until", Kind::TEXT);
  program.cog("start", start);
  program.cog("picky", echo).validate([](const Value& args) -> std::string {
    if (args["raise"].boolean_or(false)) throw std::runtime_error("it raised");
    if (args["number"].boolean_or(false)) throw 5;
    return args["word"].text_or("") == "please" ? "" : "say please";
  });
  program.cog("kinds", echo)
      .arg("text", Kind::TEXT)
      .arg("any", Kind::ANY)
      .optional_arg("integer", Kind::INTEGER)
      .optional_arg("number", Kind::NUMBER)
      .optional_arg("boolean", Kind::BOOLEAN)
      .optional_arg("list", Kind::LIST)
      .optional_arg("map", Kind::MAP);
  for (const char* wrong : {"", "two words", "echo"}) {
    try {
      program.cog(wrong, echo);
      return 3;
    } catch (const std::invalid_argument&) {
    }
  }
  return program.serve();
}
