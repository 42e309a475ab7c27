"""The Cog protocol is the same from a program in Python and from one in C++ (docs/internals/cog-protocol.md): whatever the engine's side says."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from cog_harness import CogProgram, frame
from test_process_examples import compile_cpp

HERE = pathlib.Path(__file__).parent
ALIKE = {
    "python": HERE / "alike_program.py",
    "c++": HERE.parent / "cpp" / "serve" / "alike.cpp",
}


@pytest.fixture(scope="module", params=ALIKE)
def words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What starts the program. Its Cogs: `facts`, `waits` (one at a time), and of `--only` the first alone."""
    source = ALIKE[request.param]
    if source.suffix == ".py":
        return [sys.executable, str(source)]
    return [compile_cpp(source, tmp_path_factory.mktemp("alike") / "alike", "-O0")]


@pytest.fixture
def program(words: list[str]) -> Iterator[CogProgram]:
    with CogProgram(words) as made:
        yield made


@pytest.fixture
def only(words: list[str]) -> Iterator[CogProgram]:
    with CogProgram([*words, "--only"]) as made:
        yield made


FACTS = {
    "job": "j-1", "labor": "l-1", "labor_name": "upgrade", "job_name": "look", "target": "edge-1", "attempt": 3, "check": False,
    "real_user": "ann", "timeout": 2.5, "outputs": [["before", [1]]],
}  # fmt: skip


def test_a_call_knows_the_same(program: CogProgram) -> None:
    result = program.execute("facts", {}, **FACTS)
    assert result["output"] == {**FACTS, "outputs": {"before": [1]}}


@pytest.mark.parametrize("check", [True, False])
def test_a_call_knows_whether_it_is_a_check(program: CogProgram, check: bool) -> None:
    assert program.execute("is_check", {}, **{**FACTS, "check": check})["output"] is check


def test_what_is_nil_is_as_good_as_left_out(program: CogProgram) -> None:
    nothing = dict.fromkeys(FACTS)
    expected = dict.fromkeys(FACTS, "") | {"attempt": 1, "check": False, "timeout": 0, "outputs": {}}
    assert program.ask("execute", **{**nothing, "cog": "facts", "args": None})["result"]["output"] == expected
    number = program.request("execute")
    program.answer(number)
    program.expect(number + 1, "execute")
    program.send({"op": "execute", "id": number + 1, "cog": "facts"})
    assert program.answer(number + 1)["result"]["output"] == expected


@pytest.mark.parametrize("name", [{}, {"cog": None}, {"cog": ""}])
def test_without_a_name_the_only_cog_is_meant(only: CogProgram, name: dict[str, Any]) -> None:
    assert only.ask("execute", args={}, **name)["result"]["status"] == "SUCCESS"
    assert only.ask("validate", args={}, **name)["ok"] is None
    assert only.ask("describe", **name)["ok"]["name"] == "facts"


def test_without_a_name_several_are_an_error_of_that_request(program: CogProgram) -> None:
    result = program.ask("execute", cog=None, args={})["result"]
    assert result["status"] == "FAILURE_NO_RETRIES"
    assert "names no" in result["error"]
    for op in ("validate", "describe"):
        assert "names no" in program.ask(op, cog=None)["error"]
    assert program.execute("facts", {})["status"] == "SUCCESS", "it goes on"


@pytest.mark.parametrize(
    "wrong",
    [
        {"cog": 5},
        {"attempt": "two"},
        {"check": 1},
        {"timeout": "long"},
        {"outputs": {"a": 1}},
        {"outputs": [["a"]]},
        {"outputs": [[1, 2]]},
        {"target": ["edge"]},
    ],
)
def test_what_is_wrong_with_one_request_is_its_own_affair(program: CogProgram, wrong: dict[str, Any]) -> None:
    result = program.ask("execute", **{"cog": "facts", **wrong})["result"]
    assert result["status"] == "FAILURE_NO_RETRIES"
    assert "cannot be read" in result["error"]
    assert program.execute("facts", {})["status"] == "SUCCESS"


def test_an_op_that_is_not_known_is_answered_where_it_can_be(program: CogProgram) -> None:
    assert "cannot be read" in program.ask("dance")["error"]
    program.send({"op": "dance"})
    program.send({"no": "op"})
    program.send({"op": "execute", "id": 0, "cog": "facts"})
    program.send({"op": "execute", "cog": "facts"})
    assert program.execute("facts", {})["status"] == "SUCCESS"


def test_a_call_that_is_cancelled_before_it_began(program: CogProgram) -> None:
    first = program.request("execute", cog="waits", args={})
    program.wait_for_note(first)
    second = program.request("execute", cog="waits", args={})
    program.cancel(second)
    assert program.answer(second)["result"] == {"status": "FAILURE", "error": "cancelled before it began"}
    program.cancel(first)
    assert program.answer(first)["result"]["output"] == "asked to end"


def test_a_call_that_comes_while_it_ends(program: CogProgram) -> None:
    first = program.request("execute", cog="waits", args={})
    program.wait_for_note(first)
    program.send({"op": "shutdown"})
    result = program.ask("execute", cog="facts", args={})["result"]
    assert (result["status"], result["error"]) == ("FAILURE", "the process is ending")
    program.cancel(first)
    program.answer(first)
    assert program.wait() == 0


@pytest.mark.parametrize(
    "broken",
    [
        frame([1, 2]),
        frame("execute"),
        b"\0\0\0\1\xc1",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
    ],
)
def test_what_is_no_request_ends_the_process(program: CogProgram, broken: bytes) -> None:
    program.send_bytes(broken)
    assert program.wait() == 1
    assert "cogwork" in program.printed()


def test_an_id_that_is_in_flight_already_ends_the_process(program: CogProgram) -> None:
    first = program.request("execute", cog="waits", args={})
    program.wait_for_note(first)
    program.send({"op": "execute", "id": first, "cog": "waits"})
    assert program.wait() == 1
    assert "in flight already" in program.printed()
