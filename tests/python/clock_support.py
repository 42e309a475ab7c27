"""A process whose system clock is set by its test: a shim below it adds to CLOCK_REALTIME what a file says, in nanoseconds."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct
import subprocess
import sys

import cogwork as cw

PACKAGE = str(pathlib.Path(cw.__file__).parent.parent)

SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *ahead;
__attribute__((constructor)) static void find(void) {
  const char *path = getenv("CLOCK_FILE");
  const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) ahead = at;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
  const int result = syscall(SYS_clock_gettime, clock, t);
  if (result != 0 || !ahead || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  t->tv_sec += *ahead / 1000000000;
  t->tv_nsec += *ahead % 1000000000;
  while (t->tv_nsec < 0) t->tv_nsec += 1000000000, --t->tv_sec;
  while (t->tv_nsec >= 1000000000) t->tv_nsec -= 1000000000, ++t->tv_sec;
  return result;
}
int gettimeofday(struct timeval *t, void *zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""

PRELUDE = """
import mmap, os, struct, sys, time, warnings
import cogwork as cw

_clock = mmap.mmap(os.open(os.environ["CLOCK_FILE"], os.O_RDWR), 8)
def set_clock(seconds):  # ahead of the true time
    _clock[:] = struct.pack("<q", int(seconds * 1e9))

def labor(job, **options):
    return cw.Labor("l", tasks=[cw.Task("t", sequences=[cw.Sequence("s", jobs=[job])], **options)])
"""


class Clock:
    """Compiles the shim into a folder, and runs scripts below it there. A script may `set_clock`; see PRELUDE."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        source, self._shim, self._file = folder / "clock.c", folder / "clock.so", folder / "clock"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self._shim, source], check=True)
        self.set(0)

    @staticmethod
    def is_available() -> bool:
        return sys.platform == "linux" and shutil.which("cc") is not None

    def set(self, seconds: float) -> None:
        with open(self._file, "r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))

    def popen(self, script: str, *args: object) -> subprocess.Popen[str]:
        path = self.folder / "script.py"
        path.write_text(PRELUDE + script)
        environment = {
            **os.environ, "LD_PRELOAD": str(self._shim), "CLOCK_FILE": str(self._file), "PYTHONPATH": PACKAGE,
            "COGWORK_RUNTIME_DIR": str(self.folder / "run"),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, path, *map(str, args)], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, script: str, *args: object) -> str:
        """What it prints."""
        process = self.popen(script, *args)
        try:
            said, errors = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            said, errors = process.communicate()
            raise AssertionError(f"it does not end; it said\n{said}\n{errors}") from None
        assert process.returncode == 0, errors
        return said
