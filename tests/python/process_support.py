"""What the tests ask of the kernel about processes and descriptors."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def gone(*pids: int) -> bool:
    for _ in range(6_000):
        if not any(alive(pid) for pid in pids):
            return True
        threading.Event().wait(0.005)
    return False


def descriptors() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # of this very listing
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    return found


def children_of(pid: int, words: str = "") -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()[1])
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid and words in command:
                found.append(int(entry))
    return found


def zombies_of(pid: int) -> list[int]:
    found = []
    for child in children_of(pid):
        try:
            if pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] == "Z":
                found.append(child)
        except FileNotFoundError:
            pass
    return found


def processes_of(words: str) -> list[int]:
    """Whatever runs with these words on its command line, whose child it may be."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.isdigit() and words in pathlib.Path(f"/proc/{entry}/cmdline").read_text():
                found.append(int(entry))
    return found
