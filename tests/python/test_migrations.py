"""Files that earlier versions wrote: what was in them is in them still."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

import cogwork as cw
from cogwork.cli._json import plain

pytestmark = pytest.mark.filterwarnings("ignore::cogwork.CogworkWarning")  # Labors that are left, as they should be

DATA = pathlib.Path(__file__).parent.parent / "data"
FILES = sorted(DATA.glob("schema-*.db"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def kept(request, tmp_path) -> tuple[pathlib.Path, dict]:
    """A copy of a kept file, and what its script says is in it."""
    path = tmp_path / "labors.db"
    shutil.copy(request.param, path)
    return path, json.loads(request.param.with_suffix(".json").read_text())


def held(store: cw.Storage) -> dict:
    return {
        "labors": [plain(store.read_labor(labor.id)) for labor in store.search()],
        "changes": [plain(change) for change in store.changes()],
        "records": {
            kind.name: {key: value.hex() for key, value in store.records(kind).items()} for kind in cw.RecordKind
        },
    }


def includes(found: object, kept: object) -> bool:
    """A later version may say more of an object than the one that wrote it knew."""
    if isinstance(kept, dict):
        return isinstance(found, dict) and all(key in found and includes(found[key], kept[key]) for key in kept)
    if isinstance(kept, list):
        return isinstance(found, list) and len(found) == len(kept) and all(map(includes, found, kept))
    return found == kept


def version_of(path: pathlib.Path) -> int:
    return cw.doctor(path).version


def test_there_is_a_file_of_each_version(tmp_path):
    with cw.Engine(tmp_path / "new.db"):
        pass
    newest = version_of(tmp_path / "new.db")
    assert [file.stem for file in FILES] == [f"schema-{n}" for n in range(1, newest + 1)]


def test_t5_an_engine_brings_a_file_up_to_date_and_nothing_is_lost(kept, tmp_path):
    path, expected = kept
    with cw.Engine(path, recover="none"):
        pass
    with cw.Engine(tmp_path / "new.db"):
        pass
    assert version_of(path) == version_of(tmp_path / "new.db")
    with cw.open_store(path) as store:
        assert includes(held(store), expected)
        assert store.verify() == []
    assert cw.doctor(path).findings == []


def test_r1_a_reader_reads_it_or_says_what_to_do_and_changes_nothing(kept, tmp_path):
    path, expected = kept
    before = path.read_bytes()
    if before[60:64] != max(FILES).read_bytes()[60:64]:  # user_version, in the header
        with pytest.raises(cw.StorageError, match="open it once with an engine"):
            cw.open_store(path)
    else:
        with cw.open_store(path) as store:
            assert includes(held(store), expected)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["labors.db"]


def test_d7_what_was_can_be_looked_at(kept):
    path, expected = kept
    with cw.Engine(path, recover="none") as engine:
        for labor in expected["labors"]:
            numbers = [c["number"] for c in expected["changes"] if c["labor_id"] == labor["id"]]
            for number in [0, *numbers]:
                assert engine.at(labor["id"], number).id == labor["id"]
            if numbers:
                assert engine.at(labor["id"], numbers[-1]).state.name == labor["state"]
