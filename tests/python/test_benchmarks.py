"""The benchmarks keep running, and write what they measured in a form that can be compared. How fast it is fails nothing."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).parents[2] / "benchmarks" / "run.py"
BUDGETED = {
    "single_labor_p50",
    "chain",
    "fleet_100",
    "fleet_500",
    "flat_500",
    "memory",
    "file",
    "pause",
    "scheduler",
}
PROCESSES = {
    "commands_memory",
    "commands_sqlite",
    "round_trip_cpp_1",
    "round_trip_cpp_16",
    "round_trip_python_1",
    "start",
}


@pytest.mark.timeout(300)
def test_quick_run(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(RUN), "--quick", "--json", str(file), "--folder", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(file.read_text())
    assert document["quick"] is True
    assert {"cores", "fsync_us", "load", "python", "sqlite"} <= document["machine"].keys()
    figures = {figure["key"]: figure for figure in document["figures"]}
    assert len(figures) == len(document["figures"])
    built = not figures["scheduler"]["note"].startswith("not built")
    processes_built = not figures["start"]["note"].startswith("not built")
    for key in (BUDGETED - (set() if built else {"scheduler"})) | (PROCESSES if processes_built else set()):
        assert figures[key]["budget"] is not None, key
        assert isinstance(figures[key]["met"], bool), key
    for figure in figures.values():
        assert figure["unit"]
        assert figure["what"] in done.stdout or len(figure["what"]) > 60
        if figure["bare"] is not None:
            assert figure["ratio"] == pytest.approx(figure["measured"] / figure["bare"])
    assert not [path for path in tmp_path.iterdir() if path != file], "a benchmark leaves nothing behind"
