"""Every example runs, and the demo shows what it promises."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))
DEMO = EXAMPLES / "demo" / "main.py"


def run(
    script: pathlib.Path, *args: str, folder: pathlib.Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *args], capture_output=True, text=True, cwd=folder, timeout=timeout, check=False
    )


def processes_with(marker: str) -> list[str]:
    """Command lines that hold the marker, of processes that still run."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


def test_the_examples_are_numbered_without_gaps() -> None:
    assert [int(script.name[:2]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))
    assert len(SCRIPTS) >= 8


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example(script: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = run(script, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert not done.stderr.strip(), done.stderr
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_says_what_it_shows(script: pathlib.Path) -> None:
    text = script.read_text(encoding="utf-8")
    match = re.match(r'"""(.+?)"""', text, re.DOTALL)
    assert match
    assert 3 <= len(match[1].splitlines()) <= 5


@pytest.mark.timeout(180)
def test_demo(tmp_path: pathlib.Path) -> None:
    db = tmp_path / "labors.db"
    done = run(DEMO, "--fast", "--plain", "--fleet", "20", "--db", str(db), folder=tmp_path, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All that was to be shown has happened." in done.stdout
    assert " NO " not in done.stdout
    assert str(db) in done.stdout
    assert db.exists()
    long = [line for line in done.stdout.splitlines() if len(line) > 110 and str(tmp_path) not in line]
    assert not long, "a terminal of 110 columns shows each line as one"
    assert not processes_with(str(EXAMPLES / "demo" / "service.py")), "a service was left behind"


@pytest.mark.timeout(180)
def test_demo_with_a_shell_script(tmp_path: pathlib.Path) -> None:
    done = run(DEMO, "--fast", "--plain", "--shell", "--fleet", "20", folder=tmp_path, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All that was to be shown has happened." in done.stdout
    assert "lost edge-07: exit status 65: 2.0.0 serves again" in done.stdout
    assert "setting 'legacy_tls' is not known to version 2.1.0" in done.stdout


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_demo_that_is_ended_leaves_no_process(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    service = tmp_path / "service.py"  # a copy, so that its processes can be told from those of other runs
    for source in (EXAMPLES / "demo").glob("*.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), "--fast", "--plain", "--fleet", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Act 1" in line:
            break
    time.sleep(1)
    assert len(processes_with(str(service))) >= 15
    demo.send_signal(number)
    demo.communicate(timeout=60)
    assert demo.returncode != 0
    deadline = time.monotonic() + 20
    while processes_with(str(service)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_with(str(service))
    if number is not signal.SIGKILL:
        assert not list(tmp_path.glob("cogwork-demo-fleet-*")), "the fleet's folder was left behind"
