"""Programs that hold Cogs, in C++ and in Go, keep to the protocol (docs/internals/cog-protocol.md). Each rule is tried on each of them."""

from __future__ import annotations

import http.server
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cog_harness import CogProgram, frame

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "process_cogs"
MEGABYTE = 2**20
COMPILE = [
    "c++",
    "-std=c++17",
    "-pthread",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
    f"-I{ROOT / 'cpp' / 'include'}",
]


class Example(NamedTuple):
    """A program, and what to ask it: calls that end well, that wait until they are cancelled, that give a megabyte."""

    argv: list[str]
    cog: str
    good: dict[str, Any]
    slow: dict[str, Any]
    large: tuple[str, dict[str, Any]]
    megabyte: Callable[[Any], str]
    wrong: dict[str, Any]
    """An arg of a wrong type; its name is in the error."""


def compile_cpp(source: pathlib.Path, to: pathlib.Path, *flags: str) -> str:
    if not shutil.which("c++"):
        pytest.skip("no C++ compiler")
    done = subprocess.run([*COMPILE, *flags, "-o", to, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(to)


def cpp_example(folder: pathlib.Path, *flags: str) -> Example:
    program = compile_cpp(EXAMPLES / "cpp" / "upgrade.cpp", folder / "upgrade", *flags)
    package, place = folder / "package", folder / "service"
    place.mkdir()
    package.write_bytes(b"x" * MEGABYTE)
    args = {"package": str(package), "folder": str(place)}
    return Example(
        [program],
        "upgrade",
        args,
        {**args, "settle": 600},
        ("show", {"path": str(package)}),
        str,
        {**args, "settle": "long"},
    )


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> Example:
    return cpp_example(tmp_path_factory.mktemp("cpp"))


@pytest.fixture(scope="module")
def cpp_sanitized(tmp_path_factory: pytest.TempPathFactory) -> Example:
    flags = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    return cpp_example(tmp_path_factory.mktemp("cpp_sanitized"), *flags)


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory, web: str) -> Example:
    if not shutil.which("go"):
        pytest.skip("no Go")
    program = tmp_path_factory.mktemp("go") / "healthy"
    for words in (["vet", "./..."], ["build", "-o", str(program), "."]):
        done = subprocess.run(["go", *words], cwd=EXAMPLES / "go", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    url = f"{web}/ok"
    return Example(
        [str(program)],
        "healthy",
        {"url": url},
        {"url": f"{web}/slow", "within": 600},
        ("healthy", {"url": f"{web}/large", "content": True}),
        lambda output: output["content"],
        {"url": url, "within": "long"},
    )


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A service that answers, keeps waiting, or says a lot."""
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/slow":
                ended.wait()
                return
            body = b"x" * MEGABYTE if self.path == "/large" else b"ok"
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["cpp", "cpp_sanitized", "go"])
def example(request: pytest.FixtureRequest) -> Example:
    return request.getfixturevalue(request.param)


@pytest.fixture
def program(example: Example) -> Iterator[CogProgram]:
    with CogProgram(example.argv) as made:
        yield made


def start_slow(program: CogProgram, example: Example, count: int) -> list[int]:
    """As many attempts, each of which has said that it runs, and waits."""
    numbers = [program.request("execute", cog=example.cog, args=example.slow) for _ in range(count)]
    for number in numbers:
        program.wait_for_note(number)
    return numbers


def test_hello_and_describe_say_the_same(program: CogProgram, example: Example) -> None:
    assert program.hello["version"]
    for cog in program.hello["cogs"]:
        assert program.ask("describe", cog=cog["name"])["ok"] == cog
        assert cog["desc"]
        assert cog["args"]["type"] == "object"
    assert example.cog in [cog["name"] for cog in program.hello["cogs"]]


def test_validate(program: CogProgram, example: Example) -> None:
    assert program.ask("validate", cog=example.cog, args=example.good)["ok"] is None
    required = next(cog["args"]["required"] for cog in program.hello["cogs"] if cog["name"] == example.cog)
    for name in required:
        less = {key: value for key, value in example.good.items() if key != name}
        assert name in program.ask("validate", cog=example.cog, args=less)["error"]
        assert name in program.ask("validate", cog=example.cog, args={**example.good, name: None})["error"]
    assert "colour" in program.ask("validate", cog=example.cog, args={**example.good, "colour": 1})["error"]


@pytest.mark.parametrize("args", [None, [], ["url"], "text", 5, {1: 2}, {}], ids=repr)
def test_args_that_are_none(program: CogProgram, example: Example, args: object) -> None:
    assert "error" in program.ask("validate", cog=example.cog, args=args)
    assert program.execute(example.cog, args)["status"] == "FAILURE_NO_RETRIES"
    assert program.execute(example.cog, example.good)["status"] == "SUCCESS", "and it goes on"


def test_args_of_wrong_types(program: CogProgram, example: Example) -> None:
    (wrong,) = (name for name, value in example.wrong.items() if example.good.get(name) != value)
    assert wrong in program.ask("validate", cog=example.cog, args=example.wrong)["error"]
    result = program.execute(example.cog, example.wrong)
    assert result["status"] == "FAILURE_NO_RETRIES"
    assert wrong in result["error"]


def test_execute(program: CogProgram, example: Example) -> None:
    number = program.request("execute", cog=example.cog, args=example.good)
    assert program.answer(number)["result"]["status"] == "SUCCESS"
    notes = program.notes_of(number)
    assert any("log" in note for note in notes)
    assert any(note.get("progress") is not None for note in notes)


def test_several_at_once_and_in_any_order(program: CogProgram, example: Example) -> None:
    slow = start_slow(program, example, 10)
    assert program.execute(example.cog, example.good)["status"] == "SUCCESS"
    assert program.ask("validate", cog=example.cog, args=example.good)["ok"] is None
    for number in reversed(slow):
        program.cancel(number)
        assert program.answer(number)["result"]["status"] == "FAILURE"


def test_more_than_it_serves_at_once_wait_and_can_be_cancelled(program: CogProgram, example: Example) -> None:
    count = 40
    numbers = [program.request("execute", cog=example.cog, args=example.slow) for _ in range(count)]
    for number in reversed(numbers):
        program.cancel(number)
    assert {program.answer(number)["result"]["status"] for number in numbers} == {"FAILURE"}


def test_a_cancel_ends_one_attempt(program: CogProgram, example: Example) -> None:
    first, second = start_slow(program, example, 2)
    program.cancel(first)
    assert "cancelled" in program.answer(first)["result"]["error"]
    program.cancel(first)
    program.cancel(4711)
    assert program.execute(example.cog, example.good)["status"] == "SUCCESS"
    program.cancel(second)
    assert "cancelled" in program.answer(second)["result"]["error"]


def test_a_shutdown_lets_attempts_end(program: CogProgram, example: Example) -> None:
    (slow,) = start_slow(program, example, 1)
    program.send({"op": "shutdown"})
    program.cancel(slow)
    assert program.answer(slow)["result"]["status"] == "FAILURE"
    assert program.wait() == 0
    assert program.printed() == ""


def test_a_shutdown_ends_an_idle_program(program: CogProgram) -> None:
    program.send({"op": "shutdown"})
    assert program.wait() == 0


def test_sigterm_cancels_and_ends(program: CogProgram, example: Example) -> None:
    slow = start_slow(program, example, 3)
    os.killpg(program.process.pid, signal.SIGTERM)
    for number in slow:
        assert program.answer(number)["result"]["status"] == "FAILURE"
    assert program.wait() == 0


@pytest.mark.parametrize("rest", [b"", frame({"op": "shutdown"})[:3], frame({"op": "shutdown"})[:-1]], ids=len)
def test_with_the_engine_the_process_ends(program: CogProgram, example: Example, rest: bytes) -> None:
    start_slow(program, example, 2)
    program.send_bytes(rest)
    program.close_socket()
    program.wait()


def test_frames_in_any_pieces(program: CogProgram, example: Example) -> None:
    def asked(number: int) -> bytes:
        program.expect(number, "validate")
        return frame({"op": "validate", "id": number, "cog": example.cog, "args": example.good})

    program.send_pieces(asked(1000), 1)
    assert program.answer(1000)["ok"] is None
    program.send_pieces(b"".join(asked(number) for number in range(1001, 1101)), 1009)
    assert all(program.answer(number)["ok"] is None for number in range(1001, 1101))


def test_what_it_does_not_know_is_passed_over(program: CogProgram, example: Example) -> None:
    program.send({"op": "sing", "song": 1})
    assert "sing" in program.ask("sing", song=[1, {"a": None}])["error"]
    answer = program.ask(
        "execute", cog=example.cog, args=example.good, colour={"b": [1, 2.5]}, real_user=None, outputs=None
    )
    assert answer["result"]["status"] == "SUCCESS"


def test_an_unknown_cog(program: CogProgram, example: Example) -> None:
    assert "nobody" in program.ask("validate", cog="nobody", args={})["error"]
    assert "nobody" in program.ask("describe", cog="nobody")["error"]
    result = program.execute("nobody", {})
    assert result["status"] == "FAILURE_NO_RETRIES"
    assert "nobody" in result["error"]
    assert example.cog in result["error"]


def test_a_large_output_and_large_args(program: CogProgram, example: Example) -> None:
    cog, args = example.large
    for _ in range(3):
        result = program.execute(cog, args)
        assert result["status"] == "SUCCESS"
        assert example.megabyte(result["output"]) == "x" * MEGABYTE
    assert "error" in program.ask("validate", cog=example.cog, args={**example.good, "colour": "y" * MEGABYTE})


@pytest.mark.parametrize(
    "data", [b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\xc1", b"\0\0\0\1\x91", b"\0\0\0\1\x05"], ids=repr
)
def test_an_engine_that_talks_nonsense_ends_it(program: CogProgram, data: bytes) -> None:
    program.send_bytes(data)
    assert program.wait() == 1
    assert "cannot be read" in program.printed()


def test_what_other_msgpack_writers_send(program: CogProgram, example: Example) -> None:
    """Every form of a number, a text and a map, where the protocol has a place for it."""
    forms = [
        b"\x07",
        b"\xcc\x07",
        b"\xcd\0\x07",
        b"\xce\0\0\0\x07",
        b"\xcf" + b"\0" * 7 + b"\x07",
        b"\xd0\x07",
        b"\xd1\0\x07",
    ]
    forms += [b"\xd2\0\0\0\x07", b"\xd3" + b"\0" * 7 + b"\x07"]
    op = b"describe"
    texts = [bytes([0xA0 + len(op)]), b"\xd9\x08", b"\xda\0\x08", b"\xdb\0\0\0\x08"]
    cog = example.cog.encode()
    for head in (b"\x83", b"\xde\0\3", b"\xdf\0\0\0\3"):
        for number in forms:
            for text in texts:
                body = head + b"\xa2id" + number + b"\xa2op" + text + op + b"\xa3cog" + bytes([0xA0 + len(cog)]) + cog
                program.expect(7, "describe")
                program.send_bytes(len(body).to_bytes(4, "big") + body)
                assert program.answer(7)["ok"]["name"] == example.cog


def test_run_by_hand_it_explains_itself(example: Example) -> None:
    for variable in (None, "", "x", "0", "99"):
        env = {key: value for key, value in os.environ.items() if key != "COGWORK_COG_FD"}
        if variable is not None:
            env["COGWORK_COG_FD"] = variable
        done = subprocess.run(
            example.argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 2, variable
        assert example.cog in done.stderr
        assert done.stdout == ""


# ---- what each example does ----


def test_upgrade_changes_what_is_not_as_it_should_be(cpp: Example, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "app"
    package.write_bytes(b"new")
    place = tmp_path / "service"
    place.mkdir()
    args = {"package": str(package), "folder": str(place)}
    with CogProgram(cpp.argv) as program:
        for logged in ("wrote 3 bytes", "as it should be"):
            number = program.request("execute", cog="upgrade", args=args)
            assert program.answer(number)["result"]["output"] == {"path": str(place / "app"), "bytes": 3}
            assert any(logged in note.get("log", "") for note in program.notes_of(number))
        assert [path.name for path in place.iterdir()] == ["app"]
        result = program.execute("upgrade", {**args, "folder": str(tmp_path / "none")})
        assert result["status"] == "FAILURE"
        assert "cannot write" in result["error"]
        assert "0 or more" in program.ask("validate", cog="upgrade", args={**args, "settle": -1})["error"]


def test_healthy_wants_an_answer_in_time(go: Example, web: str) -> None:
    with CogProgram(go.argv) as program:
        assert program.execute("healthy", {"url": f"{web}/ok"})["output"]["status"] == 200
        assert program.execute("healthy", {"url": f"{web}/gone", "expect": 404, "within": None})["status"] == "SUCCESS"
        result = program.execute("healthy", {"url": f"{web}/gone"})
        assert (result["status"], result["output"]["status"]) == ("FAILURE", 404)
        assert "404" in result["error"]
        assert (
            "did not answer within 50ms" in program.execute("healthy", {"url": f"{web}/slow", "within": 0.05})["error"]
        )
        assert "error" in program.ask("validate", cog="healthy", args={"url": "edge-1"})


def test_the_harness_sees_what_breaks_the_protocol(tmp_path: pathlib.Path) -> None:
    """A harness that passes everything would pass these too."""
    hello = {"op": "hello", "protocol": 1, "cogs": [{"name": "a"}]}
    told = [
        [{"op": "hi"}],
        [{**hello, "protocol": 2}],
        [{**hello, "cogs": []}],
        [{**hello, "cogs": [{"name": "two words"}]}],
        [{**hello, "cogs": [{"name": "a", "timeout": "long"}]}],
        [hello, {"id": 2, "ok": None}],
        [hello, {"ok": None}],
        [hello, {"id": 1, "log": "of no attempt"}],
        [hello, {"id": 1, "result": {"status": "SUCCESS"}}],
        [hello, {"id": 1, "error": ""}],
        [hello, []],
    ]
    for messages in told:
        said = tmp_path / "said"
        said.write_bytes(b"".join(frame(message) for message in messages))
        with pytest.raises(AssertionError), CogProgram(["sh", "-c", f"cat {said} >&3; cat <&3 >/dev/null"]) as program:
            program.ask("validate", cog="a", args={})
    with pytest.raises(AssertionError, match=r"closed its socket(.|\n)*no use"):
        CogProgram([sys.executable, "-c", "print('no use')"])
