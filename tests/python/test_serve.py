"""Cogs in a process of their own: what `serve_cogs` and `python -m cogwork.worker` say over the Cog protocol (C2)."""

from __future__ import annotations

import os
import pathlib
import select
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from serve_harness import WAIT, CogProgram, environment, execute, frame, texts

import cogwork as cw

PROGRAM = str(pathlib.Path(__file__).with_name("serve_program.py"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[CogProgram]:
    """For what leaves nothing behind."""
    with CogProgram(tmp_path_factory.mktemp("shared"), PROGRAM) as program:
        program.hello()
        yield program


@pytest.fixture
def program(tmp_path) -> Iterator[CogProgram]:
    with CogProgram(tmp_path, PROGRAM, "--exit-hook") as started:
        started.hello()
        yield started


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., CogProgram]]:
    """A program of the test's own: its text, or the words behind `python`."""
    started = []

    def run(source: str = "", *words: str) -> CogProgram:
        if source:
            (tmp_path / "edge.py").write_text("import cogwork as cw\n" + textwrap.dedent(source))
        started.append(CogProgram(tmp_path, *(words or ("edge.py",))))
        return started[-1]

    yield run
    for each in started:
        each.__exit__()


# ---- hello, describe, validate ----


def test_hello_says_what_the_cogs_are(tmp_path):
    with CogProgram(tmp_path, PROGRAM) as program:
        hello = program.hello()
        assert hello.get("version") is None, "it is that of the file"
        offers = {offer["name"]: offer for offer in hello["cogs"]}
        upgrade = offers["upgrade"]
        assert (upgrade["owner"], upgrade["tags"]) == ("net", ["edge"])
        assert upgrade["desc"].splitlines()[0] == "Upgrades one router."
        assert (upgrade["timeout"], upgrade["retries"], upgrade["retry_delay"]) == (30, 2, 1)
        assert "retry_backoff" not in upgrade, "what was not said is for the engine to decide"
        [schema] = upgrade["args"]["$defs"].values()
        assert schema["properties"]["version"]["default"] == "2.1"
        assert schema["required"] == ["host"]
        assert offers["ping"]["concurrency"] > 16
        assert "concurrency" not in upgrade
        assert program.ask("describe", cog="upgrade")["ok"] == upgrade


def test_r2_idempotent_is_what_becomes_of_a_crash(tmp_path):
    with CogProgram(tmp_path, PROGRAM) as program:
        said = {offer["name"]: (offer["idempotent"], offer.get("on_interrupt")) for offer in program.hello()["cogs"]}
    assert said["upgrade"] == (True, None)
    assert said["ping"] == (False, "RETRY")
    assert said["facts"] == (True, "FAIL")
    assert said["echo"] == (False, None), "the engine decides"


def test_an_unknown_cog_is_told(shared):
    assert "there is no cog 'upgrad' here - did you mean 'upgrade'?" in shared.ask("describe", cog="upgrad")["error"]
    assert "there is no cog 'nope'" in shared.ask("validate", cog="nope", args={})["error"]
    assert "names no cog" in shared.ask("validate", args={})["error"]
    result = shared.call("nope")
    assert result["status"] == "FAILURE_NO_RETRIES"
    assert "there is no cog 'nope'" in result["error"]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"host": "10.0.0.1"}, None),
        ({"host": "10.0.0.1", "version": "3"}, None),
        ({}, "args: 'host' is missing"),
        (None, "args: 'host' is missing"),
        ({"host": "10.0.0.1", "versoin": "3"}, "args: there is no parameter 'versoin' - did you mean 'version'?"),
        ({"host": "10.0.0.1", "version": 3}, "args: 'version': expected"),
        ({"host": "ten"}, "args: "),
        (["10.0.0.1"], "args: "),
        ({"host": "127.0.0.1"}, "args: 127.0.0.1 is this machine"),
        ({"host": "10.0.0.1", "version": "leave"}, "args: SystemExit: leaving"),
    ],
)
def test_c1_validate(shared, args, problem):
    answer = shared.ask("validate", cog="upgrade", args=args)
    if problem is None:
        assert "error" not in answer
        assert answer["ok"] is None
    else:
        assert answer["error"].startswith(problem)


# ---- execute ----


def test_args_arrive_as_the_hinted_types(shared):
    result = shared.call("upgrade", host="10.0.0.1")
    assert result == {"status": "SUCCESS", "output": "IPv4Address 10.0.0.1 2.1", "error": "", "notes": []}


def test_an_async_cog_and_its_target(shared):
    assert shared.call("ping", host="lb")["output"] == "edge-1 pings lb"


def test_x7_the_context_is_the_requests(shared):
    fields = {
        "attempt": 3,
        "real_user": "alice",
        "timeout": 12.5,
        "outputs": [["backup", {"at": "/b"}], ["none", None]],
    }
    assert shared.call("facts", {**fields, "new in version 2": [1]})["output"] == {
        "job_id": "job-1",
        "labor_id": "labor-1",
        "labor_name": "upgrade",
        "target": "edge-1",
        "attempt": 3,
        "real_user": "alice",
        "timeout": 12.5,
        "cancelled": False,
        "outputs": {"backup": {"at": "/b"}, "none": None},
    }


def test_a_field_that_is_nil_is_as_good_as_left_out(shared):
    output = shared.call("facts", dict.fromkeys(("target", "real_user", "outputs", "args")))["output"]
    assert (output["target"], output["real_user"], output["outputs"]) == ("", "", {})


@pytest.mark.parametrize(
    ("what", "status", "output"),
    [
        ("nothing", "SUCCESS", None),
        ("no", "FAILURE", False),
        ("dataclass", "SUCCESS", {"free": 3}),
        ("odd", "SUCCESS", "<odd>"),
        ("unspeakable", "SUCCESS", "<Unspeakable, whose repr raised RuntimeError>"),
        ("huge number", "SUCCESS", str(2**70)),
        ("half a character", "SUCCESS", "'\\udc80'"),
        ("coroutine", "FAILURE_NO_RETRIES", None),
    ],
)
def test_x8_x9_what_a_cog_returns(shared, what, status, output):
    result = shared.call("give", what=what)
    assert (result["status"], result.get("output")) == (status, output)
    assert bool(result["error"]) == (status != "SUCCESS")


def test_x9_what_no_frame_holds_is_cut(shared):
    output = shared.call("give", what="larger than a frame")["output"]
    assert 63 << 20 < len(output) < 64 << 20
    result = shared.call("fail", how="long")
    assert result["status"] == "FAILURE"
    assert result["error"].startswith("RuntimeError: ")
    assert "\n... cut ...\nx" in result["error"][:1100]


@pytest.mark.parametrize("cog", ["fail", "fail_async"])
@pytest.mark.parametrize(
    ("how", "status", "end"),
    [
        ("no retry", "FAILURE_NO_RETRIES", "NoRetry: out of service"),
        ("error", "FAILURE", "ValueError: broken: error"),
        ("exit", "FAILURE", "SystemExit: 3"),
    ],
)
def test_x8_what_a_cog_raises(shared, cog, how, status, end):
    result = shared.call(cog, how=how)
    assert result["status"] == status
    first, *_, last = result["error"].splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.endswith(end)
    assert "serve_program.py" in result["error"].splitlines()[1], "the traceback begins in the user's own lines"


def test_args_that_the_cog_does_not_take_are_no_matter_for_a_retry(shared):
    result = shared.call("upgrade", hots="10.0.0.1")
    assert (result["status"], result["error"].splitlines()) == (
        "FAILURE_NO_RETRIES",
        ["args: there is no parameter 'hots' - did you mean 'host'?"],
    )


# ---- notes ----


def test_notes_come_while_the_call_runs(shared):
    number = shared.begin("tell")
    lines, progress = [], None
    while len(lines) < 2 or progress is None:
        note = shared.next_of(number)
        lines += note["log"].split("\n") if "log" in note else []
        progress = note if "progress" in note else progress
    shared.cancel(number)
    assert lines[0] == "3 copied"
    assert "INFO routers: half \\udc80 done" in lines[1]
    assert progress == {"id": number, "progress": 0.5, "message": "half\\udc80"}
    assert shared.result(number)["error"] == "the cog returned False", "its sleep was cut short"


def test_a_cog_that_says_much_waits_for_nobody(shared, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stuffing = shared.begin("large", size=8 << 20)  # more than the socket takes while nobody reads
    assert select.select([shared.sock], [], [], WAIT)[0], "it is on its way: what is said from now on waits behind it"
    number = shared.begin("chatter", lines=50_000, fifo=str(fifo))
    assert fifo.read_text() == "said it all"
    assert len(shared.result(stuffing)["output"]) == 8 << 20
    result = shared.result(number)
    assert result["output"] == "done"
    said = texts(result)
    marks = [
        line for line in said if line.endswith(" more lines were dropped")
    ]  # one behind each batch that was too much
    lines = [line for line in said if line not in marks]
    assert "routers: line 0" in lines[0]
    assert said[-1] in marks
    dropped = sum(int(mark.split(" bytes of ")[1].split()[0]) for mark in marks)
    assert dropped + len(lines) - len(marks) == 50_000, "all are kept or counted, and one of each batch is cut"
    assert sum(map(len, lines)) <= 2 * 64 * 1024, "one batch that went before the socket was full, and one that waited"
    assert len(result["notes"]) < 100, "they come in few messages"


def test_what_it_prints_is_nobodys_message(program):
    assert program.call("shout")["notes"] == []
    assert "to all\n" in program.printed(), "and is there when its call has ended"


# ---- many at once ----


def test_plain_calls_run_at_once(shared):
    numbers = [shared.begin("meet") for _ in range(40)]
    names = {shared.result(number)["output"] for number in reversed(numbers)}
    assert len(names) == 40, "each had a thread of its own"


def test_whoever_reads_and_calls_each_call_finds_a_thread(shared):
    """Threads take turns at reading, and wake each other: a call that nobody was woken for would leave its group waiting."""
    random = Random(20261128)
    for round in range(300):
        expected: dict[int, Any] = {}
        for group in range(random.randint(1, 3)):
            count = random.choice((1, 2, 3, 10, 30))
            for _ in range(count):
                expected[shared.begin("meet_of", group=f"{round}.{group}", count=count)] = count
                if random.random() < 0.3:
                    expected[shared.begin("meet_of", group=f"{round}.{group}.{len(expected)}", count=1)] = 1
                if random.random() < 0.2:
                    expected[shared.begin("large", size=round)] = b"x" * round
                if random.random() < 0.1:
                    time.sleep(random.random() * 0.003)
        if random.random() < 0.3:
            assert shared.ask("describe", cog="ping")["ok"]["name"] == "ping"
        for number, output in expected.items():
            assert shared.result(number)["output"] == output, f"round {round}"


def test_async_calls_run_at_once_beside_a_plain_one(program):
    plain = program.begin("rest")
    numbers = [program.begin("meet_async", name=str(n), count=300) for n in range(300)]
    assert {program.result(number)["output"] for number in numbers} == {300}
    program.cancel(plain)
    assert program.result(plain)["status"] == "SUCCESS"


LIMITED = """
    import threading
    lock = threading.Lock()
    inside = most = 0

    @cw.cog
    def count(ctx: cw.Context) -> int:
        global inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        ctx.log("inside")
        ctx.sleep(300)
        with lock:
            inside -= 1
        return most

    @cw.cog
    async def count_async(ctx: cw.Context) -> int:
        return inside

    cw.serve_cogs(concurrency=2)
"""


def test_no_more_run_at_once_than_it_was_told(start):
    program = start(LIMITED)
    assert {offer["concurrency"] for offer in program.hello()["cogs"]} == {2}
    first, second, third, fourth = (program.begin("count") for _ in range(4))
    last = program.begin("count_async")
    for number in (first, second):
        assert program.next_of(number)["log"] == "inside"
    program.cancel(third)
    cancelled = program.result(third)
    assert (cancelled["status"], cancelled["error"], cancelled["notes"]) == ("FAILURE", "cancelled before it began", [])
    assert program.ask("validate", cog="count", args={})["ok"] is None, "that needs no room"
    for number in (first, second, fourth):
        program.cancel(number)
        if number != fourth:
            assert program.result(number)["output"] == 2
    assert program.result(last)["status"] == "SUCCESS"
    program.send({"op": "shutdown"})
    assert program.ends() == 0


# ---- cancel ----


def test_cancel_of_a_plain_call_wakes_it(shared):
    number = shared.begin("rest")
    assert shared.next_of(number)["log"] == "resting"
    shared.cancel(number)
    assert shared.result(number)["output"] == "slept False, cancelled True"
    shared.cancel(number)  # it has ended: nothing comes of it
    shared.cancel(10**6)
    assert shared.call("ping", host="lb")["status"] == "SUCCESS"


def test_cancel_of_an_async_call(shared):
    quiet, stubborn = shared.begin("rest_async"), shared.begin("rest_async", stubborn=True)
    for number in (quiet, stubborn):
        assert shared.next_of(number)["log"] == "resting"
        shared.cancel(number)
    cancelled = shared.result(quiet)
    assert (cancelled["status"], cancelled["error"]) == ("FAILURE", "cancelled")
    assert shared.result(stubborn)["output"] == "stubborn, cancelled True"


def test_a_cancel_right_behind_its_call_is_answered_once(shared):
    numbers = range(1000, 1050)
    for number in numbers:
        cog = ("rest", "rest_async")[number % 2]
        shared.send(execute(number, cog, {}), {"op": "cancel", "of": number})
    for number in numbers:
        result = shared.result(number)
        began = number % 2 == 0 and result["status"] == "SUCCESS"
        if began:
            assert result["output"] == "slept False, cancelled True"
        else:
            assert result["error"] in ("cancelled", "cancelled before it began")
    shared.ask("describe", cog="rest")
    assert not any(message["id"] in numbers for message in shared._unread)


# ---- how it ends ----


def test_shutdown_of_an_idle_one(program):
    program.call("upgrade", host="10.0.0.1")
    program.call("ping", host="lb")
    program.send({"op": "shutdown"})
    assert program.rest() == []
    assert program.ends() == 0
    assert program.printed().splitlines() == ["threads: ['MainThread', 'cogwork-call-1', 'cogwork-call-2']"]


def test_at_shutdown_what_runs_may_end(program):
    number = program.begin("rest")
    assert program.next_of(number)["log"] == "resting"
    program.send({"op": "shutdown"})
    late = program.call("upgrade", host="10.0.0.1")
    assert (late["status"], late["error"]) == ("FAILURE", "the process is ending")
    program.cancel(number)
    assert program.result(number)["status"] == "SUCCESS"
    assert program.ends() == 0


@pytest.mark.parametrize("cog", ["hang", "hang_async"])
@pytest.mark.parametrize("halfway", [b"", b"\x00\x00", b"\x00\x00\x10\x00\x85"])
def test_the_end_of_the_engine_is_its_end(program, cog, halfway):
    number = program.begin(cog)
    assert program.next_of(number)["log"] == "hanging"
    program.send({"op": "shutdown"})
    program.sock.sendall(halfway)
    program.sock.close()
    assert program.ends() == 0
    assert program.printed() == "last words"


def test_the_end_of_an_engine_that_does_not_read(program):
    program.begin("large", size=8 << 20)
    number = program.begin("hang")
    del number
    program.sock.close()
    assert program.ends() == 0


def test_sigterm_cancels_what_runs(program):
    numbers = [program.begin("rest"), program.begin("rest_async")]
    for number in numbers:
        assert program.next_of(number)["log"] == "resting"
    program.process.send_signal(signal.SIGTERM)
    assert program.result(numbers[0])["output"] == "slept False, cancelled True"
    assert program.result(numbers[1])["error"] == "cancelled"
    assert program.ends() == 0


def test_sigterm_ends_an_idle_one(program):
    program.process.send_signal(signal.SIGTERM)
    assert program.ends() == 0


def test_ctrl_c_is_the_engines_affair(program):
    program.process.send_signal(signal.SIGINT)
    assert program.call("upgrade", host="10.0.0.1")["status"] == "SUCCESS"
    program.send({"op": "shutdown"})
    assert program.ends() == 0


# ---- what is not of the protocol ----


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        (struct.pack(">I", 0), "a frame of 0 bytes"),
        (struct.pack(">I", (64 << 20) + 1), "a frame of 67108865 bytes"),
        (struct.pack(">I", 1) + b"\xc1", "does not hold one msgpack map"),
        (struct.pack(">I", 2) + b"\x80\x80", "does not hold one msgpack map"),
        (frame([1, 2]), "a frame holds a value of type list, not a map"),
        (frame(execute(7, "rest", {})) * 2, "the id 7 is in flight already"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes"),
    ],
)
def test_garbage_ends_it(program, garbage, said):
    program.sock.sendall(garbage)
    assert program.ends() == 1
    assert said in program.printed()
    assert "Traceback" not in program.printed()


def test_a_strange_request_is_one_requests_affair(program):
    deep = {}
    for _ in range(200):
        deep = {"x": [deep]}
    program.send(
        {"op": "reboot", "id": 501},
        {"op": "validate", "id": 502, "cog": 7, "args": {}},
        {"op": "execute", "id": 503, "cog": "echo", "args": {"value": 1}, "attempt": "first"},
        {"id": 504},
        {"op": "execute", "id": -1},
        {"op": "cancel"},
        {"op": "cancel", "of": "all"},
        {"op": "execute", "id": 505, "cog": "echo", "args": [1]},
        {},
    )
    program.send(execute(506, "echo", {"value": deep}))
    assert "invalid value 'reboot'" in program.next_of(501)["error"].lower()
    assert "cog" in program.next_of(502)["error"]
    refused = program.result(503)
    assert refused["status"] == "FAILURE_NO_RETRIES"
    assert "attempt" in refused["error"]
    assert "op" in program.next_of(504)["error"]
    assert program.result(505)["status"] == "FAILURE_NO_RETRIES"
    assert program.result(506)["output"] == deep
    assert len(program.printed().splitlines()) == 4, "what names no request is printed"


def test_frames_come_in_any_pieces(shared):
    data = frame(execute(601, "echo", {"value": "a" * 300})) + frame({"op": "describe", "id": 602, "cog": "echo"})
    for n in range(len(data)):
        shared.sock.sendall(data[n : n + 1])
    assert shared.result(601)["output"] == "a" * 300
    assert shared.next_of(602)["ok"]["name"] == "echo"
    assert shared.call("echo", value=b"b" * (20 << 20))["output"] == b"b" * (20 << 20)


# ---- children ----


def test_what_a_cog_starts_is_not_mistaken_for_it(program):
    result = program.call("fork")
    (variable, count), *ends = result["output"][0].splitlines(), *result["output"][1:]
    assert variable == ""
    assert int(count) == 4, "stdin, stdout, stderr and the folder that ls reads"
    assert ends == [-signal.SIGTERM] * 10, "a fork ends as any process does, from its first moment"
    assert "forked" in texts(result)[0]


def test_a_child_that_lives_on_does_not_hold_the_socket(program):
    result = program.call("leave_a_child")
    try:
        assert result["notes"] == []
        program.send({"op": "shutdown"})
        assert program.rest() == []
        assert program.ends() == 0
    finally:
        os.kill(result["output"], signal.SIGKILL)


# ---- programs ----


def test_serve_cogs_serves_those_that_it_is_given(start):
    program = start(
        """
        @cw.cog
        def one() -> int: return 1
        @cw.cog
        def two() -> int: return 2
        cw.serve_cogs(two)
        """
    )
    assert [offer["name"] for offer in program.hello()["cogs"]] == ["two"]
    assert program.call("")["output"] == 2, "the only one may go without its name"
    assert program.call("one")["status"] == "FAILURE_NO_RETRIES"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("cw.serve_cogs()", "there is no Cog to serve"),
        ("cw.serve_cogs(print)", "what is served are Cogs, not <built-in function print>"),
        ("cw.serve_cogs(cw.cog(name='two words')(lambda: 1))", "a Cog's name is one word"),
        ("@cw.cog\ndef odd(host: 'Nothing'): ...\ncw.serve_cogs()", "a hint names what cannot be found"),
        ("@cw.cog\ndef one(): ...\ncw.serve_cogs(concurrency=0)", "concurrency is a whole number from 1 to 10000"),
    ],
)
def test_what_cannot_be_served_is_said_before_any_hello(start, source, said):
    program = start(source)
    assert program.rest() == []
    assert program.ends() == 1
    assert said in program.printed()


def run_by_hand(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], env=environment(**env), capture_output=True, text=True, timeout=60)


def test_run_by_hand_it_says_what_it_is():
    said = run_by_hand(PROGRAM)
    assert said.returncode == 2
    assert said.stderr.startswith("serve_program.py holds Cogs.")
    assert "  upgrade(host: ipaddress.IPv4Address, version: str = '2.1')\n      Upgrades one router.\n" in said.stderr
    assert "  ping(host: str)\n" in said.stderr, "the Context is no arg"
    assert f"cogwork.process_cog('{PROGRAM}:upgrade')" in said.stderr


@pytest.mark.parametrize("number", ["three", "-1", "999", "0", "9" * 30])
def test_a_descriptor_that_is_none_is_said(number):
    said = run_by_hand(PROGRAM, COGWORK_COG_FD=number)
    assert said.returncode == 1
    assert f"COGWORK_COG_FD is {number!r}, which is no socket to an engine" in said.stderr


# ---- python -m cogwork.worker ----

MODULE = """
    @cw.cog
    def drain(host: str) -> str:
        return f"{host} drained, {__name__}"
"""


@pytest.mark.parametrize("source", ["edge", "edge.py", "./edge.py"])
def test_a_worker_serves_a_module(start, source):
    program = start(MODULE, "-m", "cogwork.worker", source)
    hello = program.hello()
    assert [offer["name"] for offer in hello["cogs"]] == ["drain"]
    assert len(hello["version"]) == 12
    assert program.call("drain", host="e1")["output"] == "e1 drained, edge"
    program.send({"op": "shutdown"})
    assert program.ends() == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def f():\n    return 1 / 0\nf()\n",
            ['edge.py", line 4, in <module>', 'edge.py", line 3, in f', "ZeroDivisionError"],
        ),
        ("import not_there_at_all\n", ["edge cannot be imported", "No module named 'not_there_at_all'"]),
        ("x = (\n", ["edge cannot be imported", "SyntaxError"]),
        ("x = 1\n", ["there is no Cog to serve"]),
        ("import sys\nsys.exit(0)\n", ["edge ended the program while it was imported"]),
        ("cw.Engine('memory:')\n", ["edge makes a cogwork.Engine while it is imported"]),
    ],
)
def test_a_worker_whose_module_cannot_be_imported(start, source, said):
    program = start(source, "-m", "cogwork.worker", "edge")
    assert program.rest() == []
    assert program.ends() == 1
    for words in said:
        assert words in program.printed()
    assert "_importing.py" not in program.printed(), "the user's own lines only"


def test_a_worker_without_its_module():
    assert run_by_hand("-m", "cogwork.worker").returncode == 2
    missing = run_by_hand("-m", "cogwork.worker", "not.there")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "there is no module 'not.there'" in missing.stderr


def test_serve_cogs_speaks_from_the_main_thread(start):
    program = start(
        """
        import threading
        @cw.cog
        def one() -> int: return 1
        threading.Thread(target=cw.serve_cogs).start()
        """
    )
    assert program.rest() == []
    assert "Cogs are served from the main thread" in program.printed()


def test_serving_is_a_matter_of_programs():
    with pytest.raises(cw.CogError, match="what is served are Cogs"):
        cw.serve_cogs(msgspec)  # type: ignore[arg-type]
