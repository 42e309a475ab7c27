// The command Cog: args, what is kept of what it prints, what its end means, and that it really ends (C2, G3a, X8a).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <thread>

#include "cogwork/cogs/command.h"
#include "cogwork/cogs/command_executor.h"
#include "cogwork/cogs/json.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;
using A = AttemptStatus;

std::string args_of(const std::vector<std::string>& argv, const std::function<void(WireWriter&)>& more = {},
                    std::size_t count = 0) {
  WireWriter w;
  w.map(1 + count).text("argv").array(argv.size());
  for (const auto& arg : argv) w.text(arg);
  if (more) more(w);
  return w.take();
}
std::string sh(const std::string& text, const std::function<void(WireWriter&)>& more = {}, std::size_t count = 0) {
  WireWriter w;
  w.map(1 + count).text("shell", text);
  if (more) more(w);
  return w.take();
}

// ---- args ----

TEST(CommandArgs, AreReadFieldByField) {
  WireWriter w;
  w.map(8).text("argv").array(2).text("ssh").text("edge-1").text("cwd", "/tmp");
  w.text("env").map(2).text("A", "1").nil("B");
  w.text("stdin").bin("in").text("ok_codes").array(2).integer(0).integer(3).text("no_retry_codes").array(1).integer(4);
  w.integer("output_limit", 100).text("parse", "lines");
  std::string problem;
  const auto command = read_command(w.take(), problem);
  ASSERT_TRUE(command) << problem;
  EXPECT_EQ(command->argv, (std::vector<std::string>{"ssh", "edge-1"}));
  EXPECT_EQ(command->cwd, "/tmp");
  EXPECT_EQ(command->env.at("A"), "1");
  EXPECT_EQ(command->env.at("B"), std::nullopt);
  EXPECT_EQ(command->input, "in");
  EXPECT_EQ(command->ok_codes, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(command->output_limit, 100);
  EXPECT_EQ(command->parse, Command::Parse::LINES);
}

TEST(CommandArgs, S2WhatIsWrongIsSaid) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\x80", "needs argv"},
      {args_of({}), "needs argv"},
      {args_of({""}), "name of the program"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("shell", "ls"); }, 1),
       "not both"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.integer("cwd", 1); }, 1),
       "'cwd': expected a text"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("parse", "xml"); }, 1),
       "'text', 'json' or 'lines'"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("ok_codes").array(1).integer(256); }, 1),
       "exit code"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.integer("output_limit", 0); }, 1),
       "number of bytes"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("env").map(1).text("A=B", "x"); }, 1),
       "variable"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("no_retry_codes").array(1).integer(0); }, 1),
       "in ok_codes and in no_retry_codes"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.text("argvv", "x"); }, 1),
       "has no 'argvv'"},
      {args_of({std::string("a\0b", 3)}), "zero byte"},
      {sh(""), "needs argv"},
      {"\xc1", "no msgpack"},
      {"\x01", "names and values"},
      {[] {
         WireWriter w;
         return w.map(1).text("argv", "ls -l /tmp").take();
       }(),
       "expected a list of texts: the program and its arguments, got the text 'ls -l /tmp'; did you mean ['ls', '-l', '/tmp'] or "
       "shell='ls -l /tmp'?"},
      {[] {
         WireWriter w;
         return w.map(1).text("argv").array(2).text("sleep").integer(5).take();
       }(),
       "expected a text, got the number 5; did you mean '5'?"},
      {[] {
         WireWriter w;
         return w.map(1).text("shell").array(1).text("ls").take();
       }(),
       "a list of words is given as argv"},
      {args_of(
           {"ls"}, [](WireWriter& w) { w.integer("timeout", 5); }, 1),
       "that is an option of the Job: .replace(timeout=...)"},
  };
  for (const auto& [args, words] : cases) {
    std::string problem;
    EXPECT_FALSE(read_command(args, problem)) << words;
    EXPECT_NE(problem.find(words), problem.npos) << problem << " / " << words;
  }
}

// ---- what is kept ----

TEST(Kept, AllOfItWhereItFits) {
  Kept kept(100);
  kept.add("abc");
  kept.add("");
  kept.add(std::string(97, 'x'));
  EXPECT_FALSE(kept.cut());
  EXPECT_EQ(kept.text(), "abc" + std::string(97, 'x'));
}

TEST(Kept, BothEndsOfWhatIsTooMuchHoweverItComes) {
  std::string all;
  for (int i = 0; i < 1000; ++i) all += std::to_string(i) + " ";
  for (const std::size_t piece : {1u, 3u, 50u, 5000u}) {
    Kept kept(100);
    for (std::size_t at = 0; at < all.size(); at += piece) kept.add(std::string_view(all).substr(at, piece));
    EXPECT_TRUE(kept.cut());
    EXPECT_EQ(kept.text(), all.substr(0, 75) + "\n[... " + std::to_string(all.size() - 100) + " bytes are left out ...]\n" +
                               all.substr(all.size() - 25))
        << piece;
  }
}

TEST(Kept, IsAlwaysText) {
  Kept kept(40);
  for (int i = 0; i < 50; ++i) kept.add("\xe2\x82\xac");
  EXPECT_TRUE(is_utf8(kept.text()));
  Kept noise(40);
  noise.add("\xff\xfe\x00 ok");
  EXPECT_TRUE(is_utf8(noise.text()));
}

TEST(Json, BecomesMsgpack) {
  std::string problem;
  const auto value = json_to_msgpack(R"( {"a": [1, -2, 18446744073709551615, 1.5, true, null, "\u00e9\n"], "b": {}} )", problem);
  ASSERT_TRUE(value) << problem;
  EXPECT_FALSE(value->repr);
  WireWriter w;
  w.map(2).text("a").array(7).integer(1).integer(-2).unsigned_integer(UINT64_MAX).number(1.5).boolean(true).nil();
  w.text("\xc3\xa9\n").text("b").map(0);
  EXPECT_EQ(value->value, w.take());
  for (const char* broken : {"", " \n", "{", "nul", "[1] 2", "{'a': 1}", "NaN"}) {
    EXPECT_FALSE(json_to_msgpack(broken, problem)) << broken;
    EXPECT_FALSE(problem.empty());
  }
  EXPECT_FALSE(json_to_msgpack(std::string(100'000, '['), problem));
}

TEST(Json, X9WholeNumbersThatMsgpackHasNotKeepTheirDigits) {
  std::string problem;
  const auto value = json_to_msgpack("[123456789012345678901234567890, -99999999999999999999, 1e30]", problem);
  ASSERT_TRUE(value) << problem;
  EXPECT_TRUE(value->repr);
  WireWriter w;
  w.array(3).text("123456789012345678901234567890").text("-99999999999999999999").number(1e30);
  EXPECT_EQ(value->value, w.take());
}

// ---- real processes ----

class Sink final : public OutcomeSink {
 public:
  void ended(AttemptKey key, Outcome outcome) override {
    const std::lock_guard lock(mutex_);
    outcomes_.emplace(key, std::move(outcome));
    changed_.notify_all();
  }
  void progressed(AttemptKey, double, Text) override {}
  Outcome wait(AttemptKey key) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, 60s, [&] { return outcomes_.contains(key); })) ADD_FAILURE() << "no outcome";
    return outcomes_[key];
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return outcomes_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<AttemptKey, Outcome> outcomes_;
};

std::shared_ptr<const Variables> our_environment() { return std::make_shared<const Variables>(process_environment()); }

class Commands : public testing::Test {
 protected:
  Commands() : loop(COGWORK_GUARDIAN, 200, our_environment()), executor(sink, loop, 200ms) {
    static int next = 0;
    folder =
        std::filesystem::temp_directory_path() / ("cogwork-command-" + std::to_string(getpid()) + "-" + std::to_string(next++));
    std::filesystem::create_directories(folder);
  }
  ~Commands() override {
    loop.stop();
    std::filesystem::remove_all(folder);
  }

  AttemptKey start(std::string args, const std::string& real_user = {}) {
    AttemptRequest request;
    request.key = ++last;
    request.args = Text(args);
    request.target = "edge-1";
    request.number = 2;
    request.real_user = Text(real_user);
    executor.start(std::move(request));
    return last;
  }
  Outcome run(std::string args, const std::string& real_user = {}) { return sink.wait(start(std::move(args), real_user)); }
  static std::string text(const Text& output) {
    WireReader reader(output);
    return std::string(reader.text().value_or("(no text)"));
  }
  std::string file(const std::string& name) const { return (folder / name).string(); }
  /// Waits until the file holds a line, and returns it as a number.
  static int pid_in(const std::string& path) {
    for (int i = 0; i < 10'000; ++i) {
      std::ifstream in(path);
      std::string line;
      if (std::getline(in, line) && !in.eof()) return std::stoi(line);
      std::this_thread::sleep_for(2ms);
    }
    ADD_FAILURE() << "nothing in " << path;
    return -1;
  }
  static bool alive(int pid) {
    if (kill(pid, 0) != 0) return false;
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(in, line);
    const auto state = line.find(") ");
    return state == line.npos || line[state + 2] != 'Z';
  }

  std::filesystem::path folder;
  Sink sink;
  ProcessLoop loop;
  CommandExecutor executor;
  AttemptKey last = 0;
};

TEST_F(Commands, C2AProgramsOutputIsTheOutput) {
  const auto done = run(args_of({"echo", "hello", "$HOME"}));
  EXPECT_EQ(done.status, A::SUCCESS);
  EXPECT_EQ(text(done.output), "hello $HOME");
  EXPECT_EQ(text(run(sh("echo $COGWORK_TARGET $COGWORK_ATTEMPT")).output), "edge-1 2");
}

TEST_F(Commands, X8ExitCodesMeanWhatTheArgsSay) {
  const auto codes = [](WireWriter& w) {
    w.text("ok_codes").array(2).integer(0).integer(3).text("no_retry_codes").array(1).integer(4);
  };
  EXPECT_EQ(run(sh("exit 3", codes, 2)).status, A::SUCCESS);
  EXPECT_EQ(run(sh("exit 4", codes, 2)).status, A::FAILURE_NO_RETRIES);
  const auto failed = run(sh("echo out; echo it hurts >&2; exit 5", codes, 2));
  EXPECT_EQ(failed.status, A::FAILURE);
  EXPECT_EQ(failed.error, "exit status 5: it hurts\nits output ended:\nout");
  EXPECT_EQ(text(failed.output), "out");
  EXPECT_EQ(run(sh("exit 5")).error, "exit status 5");
  EXPECT_EQ(run(sh("echo only this; exit 5")).error, "exit status 5: only this");
  EXPECT_EQ(run(sh("printf '1\\n2\\n3\\n' >&2; exit 5")).error, "exit status 5: 3\nits error output ended:\n1\n2\n3");
  const auto much = run(sh("yes failing | head -c 50000; exit 5"));
  EXPECT_LT(much.error.size(), 3000u);
  EXPECT_TRUE(much.error.view().starts_with("exit status 5: failing\n"));
  EXPECT_EQ(run(sh("kill -9 $$")).error, "ended by signal 9 (Killed)");
}

TEST_F(Commands, ErrorOutputIsTheLog) {
  const auto done = run(sh("echo careful >&2; echo fine"));
  EXPECT_EQ(done.status, A::SUCCESS);
  EXPECT_EQ(done.log, "careful");
  EXPECT_EQ(text(done.output), "fine");
}

TEST_F(Commands, InputCwdAndEnvironment) {
  const auto all = [&](WireWriter& w) {
    w.text("stdin", "from here").text("cwd", folder.string()).text("env").map(2).text("COLOUR", "red").nil("HOME");
  };
  EXPECT_EQ(text(run(sh("cat; echo \" $COLOUR ${HOME-none} $(pwd)\"", all, 3)).output), "from here red none " + folder.string());
  EXPECT_EQ(text(run(sh("cat | wc -c")).output), "0") << "without stdin it is at its end";
  const auto large = [](WireWriter& w) { w.text("stdin", std::string(1 << 20, 'x')); };
  EXPECT_EQ(text(run(sh("wc -c", large, 1)).output), "1048576");
  EXPECT_EQ(run(sh("true", large, 1)).status, A::SUCCESS) << "who does not want to read need not";
}

TEST_F(Commands, ParseLinesAndJson) {
  const auto lines = [](WireWriter& w) { w.text("parse", "lines"); };
  WireReader found(run(sh("printf 'a\\r\\nb\\n\\nc'", lines, 1)).output);
  EXPECT_EQ(found.array(), 4u);
  const auto json = [](WireWriter& w) { w.text("parse", "json"); };
  WireReader object(run(sh("echo '{\"up\": true}'", json, 1)).output);
  EXPECT_EQ(object.map(), 1u);
  const auto broken = run(sh("echo up", json, 1));
  EXPECT_EQ(broken.status, A::FAILURE);
  EXPECT_NE(broken.error.view().find("json"), std::string_view::npos);
  EXPECT_NE(broken.error.view().find("'up"), std::string_view::npos) << "and what it said there: " << broken.error.view();
  EXPECT_EQ(text(broken.output), "up") << "what it printed is kept";
  const auto large = run(sh("echo 123456789012345678901234567890", json, 1));
  EXPECT_EQ(large.status, A::SUCCESS);
  EXPECT_TRUE(large.marks & Attempt::REPR);
  EXPECT_EQ(text(large.output), "123456789012345678901234567890");
}

TEST_F(Commands, X9TooMuchOutputIsCutAndMarked) {
  const auto limit = [](WireWriter& w) { w.integer("output_limit", 1000); };
  const auto done = run(sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end", limit, 1));
  EXPECT_EQ(done.status, A::SUCCESS);
  EXPECT_TRUE(done.marks & Attempt::CUT);
  EXPECT_LT(done.output.size(), 1200u);
  EXPECT_NE(text(done.output).find("bytes are left out"), std::string::npos);
  EXPECT_NE(text(done.output).find("end"), std::string::npos);
}

TEST_F(Commands, WhatCannotBeRunSaysWhy) {
  std::ofstream(file("plain")) << "text";
  std::ofstream(file("script")) << "#!/no/such/interpreter\n";
  std::ofstream(file("windows")) << "#!/bin/sh\r\necho hi\r\n";
  std::ofstream(file("nothing")) << "echo hi\n";
  std::ofstream(file("empty"));
  for (const char* name : {"script", "windows", "nothing", "empty"}) {
    std::filesystem::permissions(file(name), std::filesystem::perms::owner_all);
  }
  const std::vector<std::pair<std::string, std::string>> cases = {
      {args_of({"no-such-program-here"}), "no program 'no-such-program-here'"},
      {args_of({"/no/such"}), "/no/such"},
      {args_of({folder.string()}), "it is a folder"},
      {args_of({file("plain")}), "not executable"},
      {args_of({file("script")}), "its first line names the interpreter '/no/such/interpreter', which is not there"},
      {args_of({file("windows")}), "the lines of the file end as Windows ends them"},
      {args_of({file("nothing")}), "has no first line that names its interpreter"},
      {args_of({file("empty")}), "the file is empty"},
      {args_of({"ls -l"}), "did you mean ['ls', '-l'] or shell='ls -l'?"},
      {args_of({"/bin/echo", std::string(300'000, 'x')}), "hand over what is larger with stdin=, or in a file"},
      {args_of(
           {"true"}, [](WireWriter& w) { w.text("cwd", "/no/such/folder"); }, 1),
       "/no/such/folder"},
  };
  for (const auto& [args, words] : cases) {
    const auto done = run(args);
    EXPECT_EQ(done.status, words.find("stdin=") == words.npos ? A::FAILURE : A::FAILURE_NO_RETRIES) << words;
    EXPECT_NE(done.error.view().find(words), std::string_view::npos) << done.error.view();
  }
  EXPECT_LE(waitpid(-1, nullptr, WNOHANG), 0) << "the guardian alone is left: no zombie, else this would be its pid";
}

TEST_F(Commands, TheChildHasNothingOfOursButItsStreams) {
  const auto lines = [](WireWriter& w) { w.text("parse", "lines"); };
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (const int ignored : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGTTOU, SIGRTMIN + 3}) signal(ignored, SIG_IGN);
  const auto done = run(sh("ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o sid= -p $$; echo $$", lines, 1));
  for (const int ignored : {SIGXFSZ, SIGUSR1, SIGTTOU, SIGRTMIN + 3}) signal(ignored, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const auto said = std::string(done.output.view());
  EXPECT_NE(said.find("SigBlk:\t0000000000000000"), said.npos) << said;
  EXPECT_NE(said.find("SigIgn:\t0000000000000000"), said.npos) << said;
  EXPECT_EQ(said.find("\xa1"
                      "4"),
            said.npos)
      << said;  // 0-2, and what ls itself has open
}

TEST_F(Commands, AHostThatHasClosedItsOwnStreamsMayStartThem) {
  const int saved[] = {fcntl(0, F_DUPFD_CLOEXEC, 10), fcntl(2, F_DUPFD_CLOEXEC, 10)};
  close(0);
  close(2);
  const auto done = run(sh("cat; echo out; echo err >&2"));
  dup2(saved[0], 0);
  dup2(saved[1], 2);
  for (const int fd : saved) close(fd);
  EXPECT_EQ(done.status, A::SUCCESS) << done.error.view();
  EXPECT_EQ(text(done.output), "out");
  EXPECT_EQ(done.log, "err");
}

TEST_F(Commands, AFolderOfItsOwnMayBeRelative) {
  const auto before = std::filesystem::current_path();
  std::filesystem::create_directories(folder / "sub" / "bin");
  for (const char* name : {"sub/here", "sub/bin/there"}) {
    std::ofstream(file(name)) << "#!/bin/sh\npwd\n";
    std::filesystem::permissions(file(name), std::filesystem::perms::owner_all);
  }
  std::filesystem::current_path(folder);
  const auto in = [](WireWriter& w) { w.text("cwd", "sub"); };
  const auto path = [](WireWriter& w) { w.text("cwd", "sub").text("env").map(1).text("PATH", "bin:/usr/bin:/bin"); };
  EXPECT_EQ(text(run(args_of({"./here"}, in, 1)).output), file("sub"));
  EXPECT_EQ(text(run(args_of({"there"}, path, 2)).output), file("sub"));
  std::filesystem::current_path(before);
}

TEST_F(Commands, X8OneThatHadExitedBeforeItWasAskedToEndHasAnswered) {
  std::promise<void> release;
  const auto key = start(sh("echo $$ > " + file("pid") + "; sleep 0.2; echo done"));
  const int pid = pid_in(file("pid"));
  EXPECT_TRUE(executor.called(key));
  loop.post([released = release.get_future().share()] { released.wait(); });  // nobody looks, as if the engine were stopped
  for (int i = 0; alive(pid) && i < 30'000; ++i) std::this_thread::sleep_for(2ms);
  executor.interrupt(key);
  release.set_value();
  const auto done = sink.wait(key);
  EXPECT_EQ(done.status, A::SUCCESS);
  EXPECT_TRUE(done.unasked);
  EXPECT_EQ(text(done.output), "done");
  EXPECT_FALSE(executor.called(key)) << "it has ended";
  const auto ended = start(sh("exec sleep 60"));
  for (int i = 0; !executor.called(ended) && i < 30'000; ++i) std::this_thread::sleep_for(2ms);
  executor.interrupt(ended);
  EXPECT_FALSE(sink.wait(ended).unasked);
}

TEST_F(Commands, X8OneThatWaitsToBeStartedWasNotCalled) {
  std::promise<void> release;
  loop.begin();
  loop.start(
      [released = release.get_future().share()]() -> std::optional<Launch> {
        released.wait();
        return std::nullopt;
      },
      {});
  const auto key = start(sh("echo hello"));
  EXPECT_FALSE(executor.called(key));
  release.set_value();
  EXPECT_EQ(sink.wait(key).status, A::SUCCESS);
}

TEST_F(Commands, G3aTermEndsIt) {
  const auto key = start(sh("echo $$ > " + file("pid") + "; exec sleep 60"));
  const int pid = pid_in(file("pid"));
  executor.interrupt(key);
  const auto done = sink.wait(key);
  EXPECT_EQ(done.status, A::FAILURE);
  EXPECT_NE(done.error.view().find("Terminated"), std::string_view::npos);
  EXPECT_FALSE(alive(pid));
}

TEST_F(Commands, G3aWhatIgnoresTermIsKilledWithItsGrandchildren) {
  const auto key =
      start(sh("trap '' TERM; (trap '' TERM; echo $BASHPID 2>/dev/null; sh -c 'trap \"\" TERM; echo $$ > " + file("child") +
               "; while :; do sleep 1; done') & echo $$ > " + file("pid") + "; while :; do sleep 1; done"));
  const int pid = pid_in(file("pid")), child = pid_in(file("child"));
  const auto begin = std::chrono::steady_clock::now();
  executor.interrupt(key);
  const auto done = sink.wait(key);
  RecordProperty("milliseconds", std::to_string((std::chrono::steady_clock::now() - begin) / 1ms));
  EXPECT_NE(done.error.view().find("Killed"), std::string_view::npos) << done.error.view();
  EXPECT_FALSE(alive(pid));
  EXPECT_FALSE(alive(child));
}

TEST_F(Commands, WhatACommandLeavesBehindEndsWithIt) {
  const auto done = run(sh("sh -c 'echo $$ > " + file("child") + "; exec sleep 60' & while ! test -s " + file("child") +
                           "; do sleep 0.01; done; echo done"));
  EXPECT_EQ(done.status, A::SUCCESS);
  EXPECT_EQ(text(done.output), "done");
  EXPECT_FALSE(alive(pid_in(file("child"))));
}

TEST_F(Commands, WhatIsEndedWithItIsSaidInItsLog) {
  const auto done = run(sh("sleep 60 & while ! grep -q sleep /proc/$!/comm; do sleep 0.01; done; echo done"));
  EXPECT_EQ(text(done.output), "done");
  EXPECT_NE(done.log.view().find("left processes running, which were ended with it (sleep)"), std::string_view::npos)
      << done.log.view();
}

TEST_F(Commands, AGrandchildThatLeavesTheSessionIsNotWaitedFor) {
  const auto done = run(sh("setsid sleep 3 & echo done"));
  EXPECT_EQ(text(done.output), "done");
  EXPECT_TRUE(done.log.empty()) << done.log.view();
}

TEST_F(Commands, ADaemonThatWritesForEverIsNotReadForEver) {
  const auto done = run(sh("setsid yes & echo done"));
  EXPECT_EQ(done.status, A::SUCCESS) << done.error.view();
  EXPECT_EQ(text(run(sh("echo next")).output), "next");
}

struct Escape {
  const char* name;
  const char* script;  ///< It writes the pid of what escapes to $1.
};

class Escapes : public Commands, public testing::WithParamInterface<Escape> {
 protected:
  AttemptKey begin() { return start(args_of({"/bin/bash", "-c", GetParam().script, "bash", file("child")})); }
};

TEST_P(Escapes, G3aX8aNothingOfItSurvivesAnInterrupt) {
  const auto key = begin();
  const int child = pid_in(file("child"));
  EXPECT_TRUE(alive(child));
  executor.interrupt(key);
  const auto done = sink.wait(key);
  EXPECT_FALSE(done.marks & Attempt::STILL_RUNNING);
  EXPECT_FALSE(alive(child));
}

TEST_P(Escapes, NothingOfItSurvivesTheEngine) {
  const pid_t engine = fork();
  if (engine == 0) {
    Sink theirs;
    ProcessLoop their_loop(COGWORK_GUARDIAN, 100, our_environment());
    CommandExecutor their_executor(theirs, their_loop, 100ms);
    AttemptRequest request;
    request.key = 1;
    request.args = Text(args_of({"/bin/bash", "-c", GetParam().script, "bash", file("child")}));
    their_executor.start(std::move(request));
    pause();
    _exit(0);
  }
  const int child = pid_in(file("child"));
  kill(engine, SIGKILL);
  waitpid(engine, nullptr, 0);
  for (int i = 0; i < 15'000 && alive(child); ++i) std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(alive(child));
}

INSTANTIATE_TEST_SUITE_P(
    All, Escapes,
    testing::Values(Escape{"Timeout", "timeout 300 sh -c 'echo $$ > \"$0\"; exec sleep 300' \"$1\"; echo done"},
                    Escape{"JobControl", "set -m; sh -c 'echo $$ > \"$0\"; exec sleep 300' \"$1\" & wait"},
                    Escape{"JobControlDeafToTerm",
                           "set -m; bash -c 'trap \"\" TERM; echo $$ > \"$0\"; while :; do sleep 1; done' \"$1\" & wait"},
                    Escape{"SessionWhoseParentWaits", "setsid sh -c 'echo $$ > \"$0\"; exec sleep 300' \"$1\" & wait"},
                    Escape{"SessionInASession",
                           "setsid bash -c 'setsid sh -c \"echo \\$\\$ > \\$0; exec sleep 300\" \"$0\" & wait' \"$1\" & wait"},
                    Escape{"LeaderEndsFirst",
                           "set -m; sh -c 'trap \"\" HUP; echo $$ > \"$0\"; exec sleep 300' \"$1\" & trap 'exit 0' TERM; wait"},
                    Escape{"Stopped", "set -m; sh -c 'echo $$ > \"$0\"; kill -STOP $$' \"$1\" & wait; sleep 300"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST_F(Commands, X8aWhatJobControlLeftIsEndedBeforeTheAttemptIs) {
  const auto done = run(sh("exec bash -c 'set -m; sh -c \"echo \\$\\$ > " + file("child") +
                           "; exec sleep 300\" & while ! test -s " + file("child") + "; do sleep 0.01; done; exit 3'"));
  EXPECT_EQ(done.status, A::FAILURE);
  EXPECT_FALSE(alive(pid_in(file("child")))) << "a retry would run beside it";
}

TEST_F(Commands, AStoppedOneEndsToo) {
  const auto key = start(sh("echo $$ > " + file("pid") + "; kill -STOP $$; sleep 60"));
  pid_in(file("pid"));
  executor.interrupt(key);
  EXPECT_EQ(sink.wait(key).status, A::FAILURE);
}

TEST_F(Commands, ManyAtOnce) {
  for (int i = 0; i < 300; ++i) start(sh("echo " + std::to_string(i)));
  for (AttemptKey key = 1; key <= 300; ++key) {
    const auto done = sink.wait(key);
    EXPECT_EQ(done.status, A::SUCCESS) << done.error.view();
    EXPECT_EQ(text(done.output), std::to_string(key - 1));
  }
  EXPECT_EQ(executor.running(), 0);
}

// ---- as whom, and with what ----

TEST_F(Commands, RealUserIsThatUserOrAnErrorThatSaysWhy) {
  EXPECT_NE(why_not_as("no-such-user").find("no user"), std::string::npos);
  EXPECT_NE(run(sh("true"), "no-such-user").error.view().find("no user"), std::string_view::npos);
  if (geteuid() != 0) {
    EXPECT_NE(why_not_as("root").find("root only"), std::string::npos);
    return;
  }
  const auto done = run(sh("id -un; id -Gn; echo $HOME"), "nobody");
  EXPECT_EQ(done.status, A::SUCCESS) << done.error.view();
  EXPECT_EQ(text(done.output).substr(0, 6), "nobody");
  EXPECT_EQ(geteuid(), 0u) << "this process is who it was";
}

TEST_F(Commands, RealUserHasTheEnvironmentOfALoginAndNoSecretOfOurs) {
  loop.set_environment(std::make_shared<const Variables>(
      Variables{"SECRET=hush", "HOME=/elsewhere", "USER=else", "LANG=de_DE.UTF-8", "LC_ALL=C", "PATH=/elsewhere"}));
  const auto own = find_user(std::string(getpwuid(geteuid())->pw_name));
  ASSERT_TRUE(own);
  for (const auto& name : geteuid() == 0 ? std::vector<std::string>{own->name, "nobody"} : std::vector<std::string>{own->name}) {
    const auto given = [](WireWriter& w) { w.text("env").map(2).text("COLOUR", "red").text("LANG", "C"); };
    const auto printed = text(run(args_of({"/usr/bin/env"}, given, 1), name).output);
    const auto user = find_user(name);
    EXPECT_EQ(printed.find("hush"), printed.npos) << printed;
    EXPECT_EQ(printed.find("elsewhere"), printed.npos) << printed;
    EXPECT_EQ(printed.find("LC_ALL"), printed.npos) << printed;
    for (const auto& variable :
         {"HOME=" + user->home, "USER=" + name, "LOGNAME=" + name, "SHELL=" + user->shell, std::string("COLOUR=red"),
          std::string("LANG=C\n"), std::string("COGWORK_TARGET=edge-1"), std::string("PATH=/usr/local")}) {
      EXPECT_NE((printed + "\n").find(variable), printed.npos) << variable << " in\n" << printed;
    }
  }
}

TEST_F(Commands, RealUserMayBeTheEnginesOwnWithoutRoot) {
  // A user who may not set groups, as an engine that is not run by root.
  if (geteuid() != 0) GTEST_SKIP() << "it is tried by every other test then";
  for (const auto& parent : {folder, std::filesystem::path(COGWORK_GUARDIAN).parent_path()}) {
    if (access(parent.c_str(), X_OK) != 0) GTEST_SKIP();
  }
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const auto nobody = find_user("nobody");
  ASSERT_TRUE(nobody);
  const std::string guardian = file("guardian");
  std::filesystem::copy_file(COGWORK_GUARDIAN, guardian);
  std::filesystem::permissions(folder, std::filesystem::perms::all);
  std::filesystem::permissions(guardian, std::filesystem::perms::all);
  const pid_t engine = fork();
  if (engine == 0) {
    if (setgid(nobody->gid) != 0 || setuid(nobody->uid) != 0) _exit(2);
    Sink theirs;
    ProcessLoop their_loop(guardian, 100, our_environment());
    CommandExecutor their_executor(theirs, their_loop, 100ms);
    AttemptRequest request;
    request.key = 1;
    request.args = Text(args_of({"id", "-un"}));
    request.real_user = "nobody";
    their_executor.start(std::move(request));
    const auto done = theirs.wait(1);
    const auto said = done.status == A::SUCCESS ? text(done.output) : done.error.str();
    [[maybe_unused]] const auto written = write(ends[1], said.data(), said.size());
    their_loop.stop();
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char buffer[512];
  for (ssize_t size = 0; (size = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<std::size_t>(size));
  close(ends[0]);
  waitpid(engine, nullptr, 0);
  EXPECT_EQ(said, "nobody");
}

TEST_F(Commands, TheEnvironmentIsTheOneThatWasSetLast) {
  loop.set_environment(std::make_shared<const Variables>(Variables{"PATH=/usr/bin:/bin", "STAGE=one"}));
  EXPECT_EQ(text(run(sh("echo $STAGE")).output), "one");
  setenv("STAGE", "not looked at", 1);
  loop.set_environment(std::make_shared<const Variables>(Variables{"PATH=/usr/bin:/bin", "STAGE=two"}));
  EXPECT_EQ(text(run(sh("echo $STAGE")).output), "two");
  unsetenv("STAGE");
}

// ---- no room ----

TEST_F(Commands, WithoutDescriptorsTheyWaitForThoseThatRun) {
  run(args_of({"true"}));  // the guardian has its own
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  int lowest = dup(0);
  close(lowest);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(lowest) + 12;
  setrlimit(RLIMIT_NOFILE, &few);
  std::vector<AttemptKey> keys;
  for (int i = 0; i < 30; ++i) keys.push_back(start(sh("echo run >> " + file("runs") + "; sleep 0.05")));
  for (const auto key : keys) {
    const auto done = sink.wait(key);
    EXPECT_EQ(done.status, A::SUCCESS) << done.error.view();
  }
  setrlimit(RLIMIT_NOFILE, &before);
  std::ifstream in(file("runs"));
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(in), {}, '\n'), 30) << "each ran once";
}

TEST_F(Commands, WithoutAnyDescriptorItFailsInWordsAndLaterOnesRun) {
  run(args_of({"true"}));
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  const auto done = run(sh("echo run >> " + file("runs")));
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(done.status, A::FAILURE) << "it is tried again by its rules";
  EXPECT_NE(done.error.view().find("as many descriptors open as the limit allows"), std::string_view::npos) << done.error.view();
  EXPECT_FALSE(std::filesystem::exists(file("runs"))) << "nothing of it ran";
  EXPECT_EQ(run(sh("true")).status, A::SUCCESS);
}

// ---- the engine dies ----

TEST_F(Commands, NoOrphanSurvivesTheEngine) {
  const pid_t engine = fork();
  if (engine == 0) {  // an engine's process, which is killed
    Sink theirs;
    ProcessLoop their_loop(COGWORK_GUARDIAN, 100, our_environment());
    CommandExecutor their_executor(theirs, their_loop, 100ms);
    AttemptRequest request;
    request.key = 1;
    request.args = Text(sh("trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > " + file("child") +
                           "; while :; do sleep 1; done' & echo $$ > " + file("pid") + "; while :; do sleep 1; done"));
    their_executor.start(std::move(request));
    pause();
    _exit(0);
  }
  const int pid = pid_in(file("pid")), child = pid_in(file("child"));
  EXPECT_TRUE(alive(pid));
  EXPECT_TRUE(alive(child));
  kill(engine, SIGKILL);
  waitpid(engine, nullptr, 0);
  for (int i = 0; i < 5'000 && (alive(pid) || alive(child)); ++i) std::this_thread::sleep_for(2ms);
  EXPECT_FALSE(alive(pid));
  EXPECT_FALSE(alive(child));
}

TEST_F(Commands, AGuardianThatWasKilledIsReplacedAtOnce) {
  const auto key = start(sh("echo $$ > " + file("pid") + "; exec sleep 60"));
  pid_in(file("pid"));
  const int before = loop.guardian().pid();
  kill(before, SIGKILL);
  for (int i = 0; i < 15'000 && (loop.guardian().pid() == before || loop.guardian().pid() < 0); ++i) {
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_NE(loop.guardian().pid(), before) << "nobody has started anything since";
  EXPECT_TRUE(alive(loop.guardian().pid()));
  executor.interrupt(key);
  sink.wait(key);
}

TEST_F(Commands, AStoppedGuardianDoesNotHoldUpTheEnd) {
  EXPECT_EQ(run(args_of({"true"})).status, A::SUCCESS);
  const int guardian = loop.guardian().pid();
  kill(guardian, SIGSTOP);
  loop.stop();
  EXPECT_EQ(loop.guardian().pid(), -1);
  EXPECT_FALSE(alive(guardian)) << "it ends with the loop, not with the object";
}

TEST(WithoutAGuardian, NothingIsStarted) {
  Sink sink;
  ProcessLoop loop("/no/such/guardian", 100, our_environment());
  CommandExecutor executor(sink, loop, 100ms);
  AttemptRequest request;
  request.key = 1;
  request.args = Text(args_of({"true"}));
  executor.start(std::move(request));
  const auto done = sink.wait(1);
  EXPECT_EQ(done.status, A::FAILURE);
  EXPECT_NE(done.error.view().find("guardian"), std::string_view::npos);
  loop.stop();
}

}  // namespace
}  // namespace cogwork::test
