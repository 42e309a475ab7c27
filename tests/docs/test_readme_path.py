"""The path of the README, and of the quickstart: a Labor of one's own is run, and paused and resumed from a second terminal."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from test_docs import ROOT, environment, files_of, text_of

# In place of the seconds that an upgrade takes: it goes on when the test says so.
WAITS = 'while not __import__("pathlib").Path("go").exists(): time.sleep(0.01)'


def start(folder: pathlib.Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cogwork", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=folder, env=environment(), text=True, **pipes)


def said(command: subprocess.Popen[str]) -> str:
    """What it says until its end, which is a good one."""
    output, _ = command.communicate(timeout=60)
    assert command.returncode == 0, output
    return output


def read_until(command: subprocess.Popen[str], wanted: str) -> re.Match[str]:
    assert command.stdout is not None
    read = ""
    for line in command.stdout:
        read += line
        if found := re.search(wanted, line):
            return found
    raise AssertionError(f"it never said {wanted!r}:\n{read}")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_run_pause_show_resume(page: str, tmp_path: pathlib.Path) -> None:
    text = text_of(ROOT / page)
    for command in ("cogwork run rollout.py", "cogwork ls", 'cogwork pause ID --note "the phone rings"', "cogwork show ID", "cogwork resume ID"):  # fmt: skip
        assert command in text
    script = files_of(text)["rollout.py"]
    assert "time.sleep(2 / 100)" in script
    tmp_path.joinpath("rollout.py").write_text(script.replace("time.sleep(2 / 100)", WAITS), encoding="utf-8")

    run = start(tmp_path, "run", "rollout.py")
    try:
        labor_id = read_until(run, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")[0][:8]
        assert labor_id in said(start(tmp_path, "ls"))
        pause = start(tmp_path, "pause", labor_id, "--note", "the phone rings")
        read_until(run, "PAUSE by .*the phone rings")
        tmp_path.joinpath("go").touch()  # what executes ends
        assert "PAUSED" in said(pause)
        shown = said(start(tmp_path, "show", labor_id))
        assert "PAUSED" in shown
        assert "the phone rings" in shown
        said(start(tmp_path, "resume", labor_id))
        assert "COMPLETED" in said(run)
    finally:
        if run.poll() is None:
            run.kill()
            run.communicate()
