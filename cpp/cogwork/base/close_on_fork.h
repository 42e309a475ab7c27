#pragma once

namespace cogwork {

// A child that is forked off this process has copies of its descriptors, and through them keeps locks held and sockets open when the
// parent is gone. What must end with this process is registered here, and the child closes it as soon as it is there (exec closes
// what is close-on-exec anyway). Any thread.

void close_on_fork(int fd);
/// To be called before this process closes it. False in a forked child, where it is closed already and the number may be another's.
bool forget_close_on_fork(int fd);

}  // namespace cogwork
