"""The header for process Cogs in C++, cogwork/serve.h: whatever a Cog does, the protocol holds, also under the sanitizers."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from random import Random

import msgspec
import pytest
from cog_harness import CogProgram, frame
from test_process_examples import COMPILE, ROOT, compile_cpp

ODD = ROOT / "tests" / "cpp" / "serve" / "odd.cpp"


@pytest.fixture(scope="module", params=["address,undefined", "thread"])
def odd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    flags = ["-O1", "-g1", "-fno-sanitize-recover=all", f"-fsanitize={request.param}"]
    return compile_cpp(ODD, tmp_path_factory.mktemp("odd") / "odd", *flags)


@pytest.fixture
def program(odd: str) -> Iterator[CogProgram]:
    with CogProgram([odd]) as made:
        yield made
        if made.process.poll() is None:  # a sanitizer has the last word
            made.send({"op": "shutdown"})
            assert made.wait() == 0, made.printed()


@pytest.mark.parametrize("standard", ["c++17", "c++2b"])
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_it_compiles_alone_and_twice(tmp_path: pathlib.Path, compiler: str, standard: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    source = tmp_path / "two.cpp"
    source.write_text("#include <cogwork/serve.h>\n#include <cogwork/serve.h>\ncogwork::Value value() { return 1; }\n")
    words = [compiler, *COMPILE[1:], "-pedantic", f"-std={standard}", "-fsyntax-only"]
    done = subprocess.run([*words, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_cog_says_of_itself(program: CogProgram) -> None:
    cogs = {cog["name"]: cog for cog in program.hello["cogs"]}
    assert cogs["echo"] == {
        "name": "echo", "owner": "ops", "retries": 3, "retry_delay": 1.5, "retry_backoff": 2, "retry_max_delay": 60, "concurrency": 8,
    }  # fmt: skip
    assert (cogs["raise"]["idempotent"], cogs["raise"]["on_interrupt"]) == (True, "FAIL")
    assert "version" not in program.hello
    assert cogs["kinds"]["args"] == {
        "type": "object",
        "properties": {
            "text": {"type": "string"}, "any": {}, "integer": {"type": "integer"}, "number": {"type": "number"},
            "boolean": {"type": "boolean"}, "list": {"type": "array"}, "map": {"type": "object"},
        },
        "required": ["text", "any"],
        "additionalProperties": False,
    }  # fmt: skip


def test_a_call_knows_what_the_engine_says(program: CogProgram) -> None:
    args = {
        "all": [None, True, -1, -33, 127, 128, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, "é", b"\xff", [], {}, {1: [2], None: 3}],
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        "long": "x" * 70000,
    }  # fmt: skip
    result = program.execute(
        "echo", args, job="j", labor="l", job_name="jn", labor_name="ln", target="t", real_user="u", attempt=3, check=True,
        timeout=2.5, outputs=[["before", 1], ["before", {"a": 2}]],
    )  # fmt: skip
    assert result == {
        "status": "SUCCESS",
        "output": {
            "args": args, "ids": ["j", "l"], "names": ["jn", "ln", "t", "u"], "attempt": 3, "check": True, "timeout": 2.5,
            "before": {"a": 2}, "outputs": 2,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("x", "FAILURE", "it broke: x"),
        ("no_retry", "FAILURE_NO_RETRIES", "never again"),
        ("number", "FAILURE", "no std::exception"),
        ("silent", "FAILURE", "without a text"),
        ("failure_without_words", "FAILURE", "without a text"),
        ("nested", "FAILURE", "a.b.c is missing, and should be a whole number"),
        ("type", "FAILURE", "how is the text 'type', and should be a number"),
    ],
)
def test_exceptions(program: CogProgram, how: str, status: str, error: str) -> None:
    result = program.execute("raise", {"how": how})
    assert result["status"] == status
    assert error in result["error"]


def test_x8_a_check_that_succeeds_with_false_says_no(program: CogProgram) -> None:
    """Of any other Job the word stands."""
    assert program.execute("raise", {"how": "false"}) == {"status": "SUCCESS", "output": False}
    result = program.execute("raise", {"how": "false"}, check=True)
    assert (result["status"], result["output"]) == ("FAILURE", False)
    assert "false" in result["error"]


def test_what_is_too_large_is_told_and_what_was_done_stays_done(program: CogProgram) -> None:
    assert "bytes" in program.execute("large", {"what": "output"})["output"]
    assert program.execute("large", {"what": "output"})["status"] == "SUCCESS"
    assert "nested too deep" in program.execute("large", {"what": "nested"})["output"]
    assert len(program.execute("large", {"what": "error"})["error"]) < 2 * 2**20
    number = program.request("execute", cog="large", args={"what": "log"})
    assert program.answer(number)["result"] == {"status": "SUCCESS"}
    assert program.notes_of(number)[0]["log"].endswith(f"cut: it had {65 * 2**20} bytes")


def test_texts_are_made_utf8(program: CogProgram) -> None:
    number = program.request("execute", cog="letters")
    result = program.answer(number)["result"]
    assert result == {"status": "FAILURE", "output": ["��", b"\xff"], "error": "��"}
    notes = program.notes_of(number)
    assert notes[0]["log"] == "caf� ��� é ����"
    assert [(note["progress"], note["message"]) for note in notes[1:]] == [(None, "�"), (1.0, "beyond"), (None, "some")]


def test_notes_of_many_threads(program: CogProgram) -> None:
    numbers = [program.request("execute", cog="crowd") for _ in range(3)]
    for number in numbers:
        assert program.answer(number)["result"] == {"status": "SUCCESS"}
        assert sorted(len(note["log"]) for note in program.notes_of(number)) == sorted(
            n * 60_000 + i for n in range(8) for i in range(10)
        )


def test_whoever_reads_and_calls_each_call_finds_a_thread(program: CogProgram) -> None:
    """Threads take turns at reading, and wake each other: a call that nobody was woken for would leave its group waiting."""
    random = Random(20261128)
    for round in range(100):
        expected = {}
        for group in range(random.randint(1, 4)):
            count = random.choice((1, 2, 3, 8))
            for _ in range(count):
                args = {"group": f"{round}.{group}", "count": count}
                expected[program.request("execute", cog="meet_of", args=args)] = count
        if random.random() < 0.3:
            assert program.ask("validate", cog="picky", args={"word": "please"})["ok"] is None
        for number, output in expected.items():
            assert program.answer(number)["result"]["output"] == output, f"round {round}"


def test_as_many_at_once_as_the_smallest_count_says(program: CogProgram) -> None:
    numbers = [program.request("execute", cog="meet", args={"count": 8}) for _ in range(8)]
    assert [program.answer(number)["result"]["output"] for number in numbers] == [8] * 8
    numbers = [program.request("execute", cog="meet", args={"count": 8 + 9}) for _ in range(9)]
    assert program.ask("validate", cog="meet", args={"count": 1})["ok"] is None, "no submit waits for attempts"
    program.cancel(numbers[-1])
    assert "before it began" in program.answer(numbers[-1])["result"]["error"]
    for number in numbers[:-1]:
        program.cancel(number)
        assert program.answer(number)["result"]["status"] == "SUCCESS"


def test_a_call_that_does_not_hear_keeps_the_program_until_it_ends(program: CogProgram, tmp_path: pathlib.Path) -> None:
    until = tmp_path / "until"
    number = program.request("execute", cog="stubborn", args={"until": str(until)})
    program.wait_for_note(number)
    os.kill(program.process.pid, signal.SIGTERM)
    while (result := program.execute("echo", {}))["status"] == "SUCCESS":  # begun before the signal was heard
        time.sleep(0.005)
    assert result["error"] == "the process is ending"
    program.send({"op": "shutdown"})
    until.touch()
    assert program.answer(number)["result"] == {"status": "SUCCESS", "output": True}
    assert program.wait() == 0


def test_a_second_sigterm_ends_it(program: CogProgram, tmp_path: pathlib.Path) -> None:
    numbers = [program.request("execute", cog=cog, args={"until": str(tmp_path / "never")}) for cog in ("stubborn",)]
    program.wait_for_note(numbers[0])
    quiet = program.request("execute", cog="meet", args={"count": 100})
    os.kill(program.process.pid, signal.SIGTERM)
    assert program.answer(quiet)["result"]["status"] in ("SUCCESS", "FAILURE"), (
        "it was cancelled, so the first one was heard"
    )
    os.kill(program.process.pid, signal.SIGTERM)
    assert program.wait() == -signal.SIGTERM


def test_what_it_starts_has_no_hold_of_the_engine(program: CogProgram) -> None:
    assert program.execute("start", {}, target="edge-1")["output"] == {"sealed": True, "target": "edge-1"}
    assert "printed\n" in program.printed()
    assert "and on error output\n" in program.printed()


def test_validate_of_its_own(program: CogProgram) -> None:
    assert program.ask("validate", cog="picky", args={"word": "please"})["ok"] is None
    assert program.ask("validate", cog="picky", args={})["error"] == "say please"
    assert program.ask("validate", cog="picky", args={"raise": True})["error"] == "it raised"
    assert "no std::exception" in program.ask("validate", cog="picky", args={"number": True})["error"]
    assert program.ask("validate", cog="picky", args={"word": 5})["error"] == "word is 5, and should be a text"
    assert program.ask("validate", cog="echo", args=[1])["ok"] is None, "no arg was declared"


def test_kinds_of_args(program: CogProgram) -> None:
    good = {"text": "a", "any": [1], "integer": 1, "number": 1.5, "boolean": True, "list": [], "map": {}}
    assert program.ask("validate", cog="kinds", args=good)["ok"] is None
    assert (
        program.ask("validate", cog="kinds", args={"text": "a", "any": None, "number": 1, "list": None})["ok"] is None
    )
    wrong = {"text": 1, "integer": 1.5, "number": True, "boolean": 1, "list": {}, "map": []}
    for name, value in wrong.items():
        assert program.ask("validate", cog="kinds", args={**good, name: value})["error"].startswith(f"{name} is ")
    assert "any" in program.ask("validate", cog="kinds", args={"text": "a"})["error"]


def test_deep_and_cut_messages(program: CogProgram) -> None:
    value: object = None
    for _ in range(490):
        value = [value]
    assert program.execute("echo", {"deep": value})["output"]["args"] == {"deep": value}
    body = msgspec.msgpack.encode({"op": "validate", "id": 1})
    program.send_bytes((len(body) - 1).to_bytes(4, "big") + body[:-1])
    assert program.wait() == 1
    assert "cut off" in program.printed()


def test_without_an_engine_it_ends_in_the_middle_of_attempts(program: CogProgram, tmp_path: pathlib.Path) -> None:
    number = program.request("execute", cog="stubborn", args={"until": str(tmp_path / "never")})
    program.wait_for_note(number)
    program.send_bytes(frame({"op": "validate", "id": 99, "cog": "echo", "args": {}})[:7])
    program.close_socket()
    assert program.wait() == 0
