// The processes of one program, whatever groups and sessions they make (G3a).
#include "cogwork/cogs/process_tree.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cogwork/base/descriptor.h"

namespace cogwork::test {
namespace {

using namespace std::chrono_literals;

/// A shell that leads a session, and says on its standard output that it has begun.
class Shell {
 public:
  explicit Shell(const std::string& script) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    output_.reset(ends[0]);
    pid = fork();
    if (pid == 0) {
      setsid();
      dup2(ends[1], STDOUT_FILENO);
      execl("/bin/bash", "bash", "-c", script.c_str(), nullptr);
      _exit(127);
    }
    close(ends[1]);
    EXPECT_EQ(read_line(), "ready");
  }
  ~Shell() {
    ProcessTree tree(pid, 0);
    tree.update(ProcessTable::read());
    tree.signal(SIGKILL);
    reap();
  }
  std::string read_line() {
    std::string line;
    for (char c = 0; read(output_.get(), &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  void reap() {
    if (pid > 0) waitpid(pid, nullptr, 0);
    pid = -1;
  }
  void end_without_reaping(int signal) const {
    kill(pid, signal);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }
  int fd() const { return output_.get(); }

  int pid = -1;

 private:
  Descriptor output_;
};

std::vector<std::string> names_of(ProcessTree& tree) {
  tree.update(ProcessTable::read());
  return tree.names();
}

bool becomes(const std::function<bool()>& holds) {
  for (int i = 0; i < 30'000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

using Names = std::vector<std::string>;

TEST(ProcessTable, ReadsThisProcess) {
  const auto table = ProcessTable::read();
  EXPECT_TRUE(table.complete());
  const auto* me = table.find(getpid());
  ASSERT_TRUE(me);
  EXPECT_EQ(me->parent, getppid());
  EXPECT_EQ(me->group, getpgid(0));
  EXPECT_EQ(me->session, getsid(0));
  EXPECT_TRUE(me->runs());
  EXPECT_GT(me->started, 0u);
  const auto again = read_process(getpid());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->started, me->started);
}

TEST(ProcessTree, G3aLivesAsLongAsOneOfItsProcesses) {
  Shell shell("sleep 60 & echo ready; wait");
  ProcessTree tree(shell.pid, 0);
  EXPECT_TRUE(becomes([&] { return names_of(tree) == Names{"bash", "sleep"}; }));
  EXPECT_TRUE(tree.runs(shell.fd()));
  shell.end_without_reaping(SIGKILL);
  shell.reap();
  EXPECT_EQ(names_of(tree), (Names{"sleep"})) << "in its group still";
  EXPECT_TRUE(tree.may_run(shell.fd()));
}

TEST(ProcessTree, G3aDeadProcessesThatNobodyReapsAreGone) {
  Shell shell("echo ready");
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(shell.pid), &info, WEXITED | WNOWAIT), 0);
  ProcessTree tree(shell.pid, 0);
  tree.update(ProcessTable::read());
  EXPECT_TRUE(tree.may_run(shell.fd())) << "its number is still its own";
  EXPECT_FALSE(tree.runs(shell.fd()));
  shell.reap();
  tree.update(ProcessTable::read());
  EXPECT_FALSE(tree.may_run(shell.fd()));
  EXPECT_FALSE(tree.runs(shell.fd()));
}

TEST(ProcessTree, G3aJobControlMakesGroupsInItsSession) {
  Shell shell("set -m; sleep 60 & timeout 60 sleep 61 & echo ready; wait");
  ProcessTree tree(shell.pid, 0);
  EXPECT_TRUE(becomes([&] { return names_of(tree) == Names{"bash", "sleep", "timeout"}; }));
  tree.signal(SIGKILL);
  EXPECT_TRUE(becomes([&] {
    tree.update(ProcessTable::read());
    return !tree.runs(shell.fd());
  }));
}

TEST(ProcessTree, G3aANumberOfAGroupThatIsLeftIsInUse) {
  Shell shell("set -m; sleep 60 & echo ready");
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(shell.pid), &info, WEXITED | WNOWAIT), 0);
  const int session = std::exchange(shell.pid, -1);
  waitpid(session, nullptr, 0);
  EXPECT_NE(kill(-session, 0), 0) << "its own group is empty";
  EXPECT_TRUE(number_in_use(shell.fd(), session)) << "and the session is not";
  ProcessTree tree(session, 0);
  EXPECT_TRUE(becomes([&] { return names_of(tree) == Names{"sleep"}; }));
  tree.signal(SIGKILL);
  EXPECT_TRUE(becomes([&] {
    tree.update(ProcessTable::read());
    return !tree.runs(shell.fd());
  }));
}

TEST(ProcessTree, G3aWhatMadeASessionOfItsOwnBelongsToItWhileItsParentLives) {
  Shell shell("bash -c 'setsid sleep 60 & wait' & echo ready; wait");
  ProcessTree tree(shell.pid, 0);
  EXPECT_TRUE(becomes([&] { return names_of(tree) == Names{"bash", "sleep"}; }));
  shell.end_without_reaping(SIGKILL);
  EXPECT_EQ(names_of(tree), (Names{"bash", "sleep"})) << "what was seen stays";
  tree.signal(SIGKILL);
  EXPECT_TRUE(becomes([&] {
    tree.update(ProcessTable::read());
    return !tree.runs(shell.fd());
  }));
}

TEST(ProcessTree, ADaemonIsNoneOfIt) {
  Shell shell("echo ready; (setsid bash -c 'echo $$; exec sleep 60' &); sleep 60; true");
  const int daemon = std::stoi(shell.read_line());
  ASSERT_TRUE(becomes([&] {
    const auto row = read_process(daemon);
    return row && row->session == daemon && row->parent != shell.pid;
  })) << "its parent, the subshell, has gone";
  ProcessTree tree(shell.pid, 0);
  tree.update(ProcessTable::read());
  tree.signal(SIGKILL);
  shell.reap();
  EXPECT_EQ(kill(daemon, 0), 0) << "it was left alone";
  kill(daemon, SIGKILL);
}

TEST(ProcessTree, ANumberThatCameRoundIsSomebodyElses) {
  Shell shell("echo ready; sleep 60; true");
  const auto row = read_process(shell.pid);
  ASSERT_TRUE(row);
  ProcessTree earlier(shell.pid, row->started - 1);
  EXPECT_EQ(names_of(earlier), Names{});
  EXPECT_FALSE(earlier.may_run(shell.fd()));
  earlier.signal(SIGKILL);
  ProcessTree same(shell.pid, row->started);
  EXPECT_TRUE(becomes([&] { return names_of(same) == Names{"bash", "sleep"}; })) << "and goes on";
}

}  // namespace
}  // namespace cogwork::test
