"""R5 at every write point, in processes that die there."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_r5_a_death_before_and_after_each_write(tmp_path):
    argv = [sys.executable, pathlib.Path(__file__).with_name("write_points.py"), tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    count = re.search(r"(\d+) cases", done.stdout)
    assert count is not None
    assert int(count[1]) > 100
