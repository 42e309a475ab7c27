"""Arrows between the rooms go one way (CONTRIBUTING.md)."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
ROOMS = {
    "base": set(),
    "model": {"base"},
    "history": {"base", "model"},
    "machine": {"base", "model"},
    "storage": {"base", "model"},
    "cogs": {"base", "model"},
    "simulation": {"base", "model", "machine"},
    "engine": {"base", "model", "history", "machine", "storage", "cogs", "simulation"},
}


def sources(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".h", ".cpp")]


def includes(path: pathlib.Path) -> list[str]:
    return re.findall(r'#include\s+["<]([^">]+)[">]', path.read_text())


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_only_those_below_it(room):
    allowed = ROOMS[room] | {room}
    for path in sources(ROOT / "cpp" / "cogwork" / room):
        for name in includes(path):
            if match := re.match(r"cogwork/(\w+)/", name):
                assert match[1] in allowed, f"{path.relative_to(ROOT)} includes {name}"


def test_every_room_is_named():
    assert {path.name for path in (ROOT / "cpp" / "cogwork").iterdir() if path.is_dir()} == set(ROOMS)


def test_nothing_below_the_bindings_knows_python():
    for path in sources(ROOT / "cpp" / "cogwork"):
        assert not any(re.match(r"(pybind11/|Python\.h)", name) for name in includes(path)), path


def test_third_parties_stay_in_their_rooms():
    homes = {
        "SQLiteCpp/": {"storage"},
        "sqlite3.h": {"storage"},
        "boost/asio": {"cogs", "engine"},
        "boost/process": {"cogs"},
        "msgpack": {"model"},
    }
    for path in sources(ROOT / "cpp" / "cogwork"):
        for name in includes(path):
            for prefix, rooms in homes.items():
                if name.startswith(prefix):
                    assert path.relative_to(ROOT / "cpp" / "cogwork").parts[0] in rooms, f"{path} includes {name}"
