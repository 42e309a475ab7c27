// The guardian's own process: whom it ends when its engine is gone, and whom not (C2, G3a).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "cogwork/base/descriptor.h"
#include "cogwork/cogs/guardian_list.h"
#include "cogwork/cogs/process_table.h"

namespace cogwork::test {
namespace {

/// A process that leads a session and waits.
pid_t start_leader() {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    setsid();
    dup2(ends[1], STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", "echo ready; exec sleep 60", nullptr);
    _exit(127);
  }
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  return pid;
}

/// A guardian over a list, as an engine starts it.
class GuardianProcess : public testing::Test {
 protected:
  GuardianProcess() : memory_(memfd_create("list", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(memory_.get(), sizeof(GuardianList)), 0);
    list = GuardianList::map(memory_.get());
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const Descriptor theirs(ends[0]);
    engine_.reset(ends[1]);
    guardian_ = fork();
    if (guardian_ != 0) return;
    dup2(theirs.get(), STDIN_FILENO);
    const Descriptor copy(fcntl(memory_.get(), F_DUPFD, 10));
    dup2(copy.get(), 3);
    execl(COGWORK_GUARDIAN, COGWORK_GUARDIAN, "200", nullptr);
    _exit(127);
  }
  ~GuardianProcess() override { munmap(list, sizeof(GuardianList)); }

  void enter(std::uint64_t place) { list->places[list->used++] = place; }
  /// The engine dies. Returns the guardian's exit status.
  int end_engine() {
    engine_.reset();
    int status = 0;
    waitpid(guardian_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  GuardianList* list = nullptr;

 private:
  Descriptor memory_, engine_;
  pid_t guardian_ = -1;
};

TEST_F(GuardianProcess, EndsWhatIsOnTheListAndNothingElse) {
  const pid_t known = start_leader(), just_entered = start_leader(), not_ours = start_leader(), other = start_leader();
  const auto started = [](pid_t pid) { return read_process(pid)->started; };
  enter(place_of(known, started(known)));
  enter(0);
  enter(place_of(just_entered, 0));            // its engine died before it could note when it began
  enter(place_of(other, started(other) - 1));  // that number came round: who had it began earlier
  enter(place_of(1, 0));                       // never a program that an engine started
  EXPECT_EQ(end_engine(), 0);
  for (const pid_t ended : {known, just_entered}) {
    int status = 0;
    EXPECT_EQ(waitpid(ended, &status, 0), ended);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  }
  for (const pid_t left : {not_ours, other}) {
    EXPECT_EQ(waitpid(left, nullptr, WNOHANG), 0) << "it goes on";
    kill(left, SIGKILL);
    waitpid(left, nullptr, 0);
  }
}

TEST_F(GuardianProcess, GoesWithNothingToDo) { EXPECT_EQ(end_engine(), 0); }

}  // namespace
}  // namespace cogwork::test
