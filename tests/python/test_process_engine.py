"""Process Cogs in an engine: calls, crashes, lies, stops, new versions (C2, C3, G3a, X8a, X10, R2, R4, S2)."""

from __future__ import annotations

import ast
import contextlib
import gc
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import many, one
from process_support import alive, children_of, descriptors, gone, processes_of, zombies_of

import cogwork as cw
from cogwork import AttemptStatus, State

COGS = """
import asyncio, os, signal, sys, time
import cogwork as cw

@cw.cog(idempotent=True)
def work(ctx: cw.Context, host: str) -> str:
    return f"{host} {os.getpid()} {ctx.target} {ctx.attempt}"

@cw.cog(idempotent=True)
def first(ctx: cw.Context) -> dict[str, list[int]]:
    ctx.log("a line")
    ctx.progress(0.5, "half")
    return {"numbers": [1, 2]}

@cw.cog(idempotent=True)
def second(ctx: cw.Context) -> list[int]:
    return ctx.outputs["first"]["numbers"]

@cw.cog(idempotent=True)
def dies(times: int, file: str) -> str:
    with open(file, "a") as out: out.write("x")
    if os.path.getsize(file) <= times: os.kill(os.getpid(), signal.SIGKILL)
    return "lives"

@cw.cog(idempotent=True)
def waits(ctx: cw.Context, file: str) -> str:
    with open(file, "a") as out: out.write(f"{os.getpid()}\\n")
    while not os.path.exists(file + ".go"):
        if not ctx.sleep(0.01): raise RuntimeError("cancelled")
    return "done"

@cw.cog(idempotent=True)
def deaf(ctx: cw.Context, file: str) -> str:
    ctx.log("deaf began")
    with open(file, "a") as out: out.write(f"{os.getpid()}\\n")
    while not os.path.exists(file + ".go"): time.sleep(0.01)
    return "done"

if __name__ == "__main__":
    cw.serve_cogs()
"""


def write(path: pathlib.Path, body: str, interpreter: str = sys.executable) -> str:
    made = path.with_suffix(".new")
    made.write_text(f"#!{interpreter}\n" + textwrap.dedent(body))
    made.chmod(0o755)
    made.rename(path)  # a file that is running must not be written to
    return str(path)


@pytest.fixture
def cogs(tmp_path) -> str:
    return write(tmp_path / "cogs", COGS)


def outputs(labor: cw.Labor) -> list[object]:
    return [s.jobs[0].output for s in labor.tasks[0].sequences]


def attempts(labor: cw.Labor) -> list[cw.Attempt]:
    return labor.tasks[0].sequences[0].jobs[0].attempts


def pids_in(path: pathlib.Path, count: int = 1) -> list[int]:
    for _ in range(12_000):
        if path.exists() and len(lines := path.read_text().split()) >= count:
            return [int(line) for line in lines]
        threading.Event().wait(0.005)
    raise AssertionError(f"less than {count} in {path}")


# ---- calls ----


def test_c2_one_process_serves_many_calls(engine, cogs):
    done = engine.run(many(lambda n: cw.Job(f"{cogs}:work", {"host": f"h{n}"}), 200, concurrency=16)).raise_for_state()
    assert len({text.split()[1] for text in outputs(done)}) == 1
    assert outputs(done)[7].split()[0::2] == ["h7", "host-7"]


def test_c2_a_pool_grows_to_its_number(engine, cogs, tmp_path):
    pool = cw.process_cog(f"{cogs}:waits", name=f"pool-{tmp_path.name}", processes=3, concurrency=2)
    handle = engine.submit(many(lambda _: pool.job(file=str(tmp_path / "in")), 6, concurrency=6))
    pids = pids_in(tmp_path / "in", 6)
    assert sorted(pids.count(pid) for pid in set(pids)) == [2, 2, 2]
    (tmp_path / "in.go").touch()
    assert handle.wait(30).state is State.COMPLETED


def test_x13_no_more_at_once_than_there_are_places(engine, cogs, tmp_path):
    few = cw.process_cog(f"{cogs}:waits", name=f"few-{tmp_path.name}", processes=1, concurrency=2)
    handle = engine.submit(many(lambda _: few.job(file=str(tmp_path / "in")), 5, concurrency=5))
    pids_in(tmp_path / "in", 2)
    assert handle.progress().in_flight_count == 2
    assert engine.stats().jobs.executing == 2
    (tmp_path / "in.go").touch()
    assert handle.wait(30).state is State.COMPLETED


def test_x7_outputs_logs_and_the_version(engine, cogs):
    jobs = [cw.Job(f"{cogs}:first", name="first"), cw.Job(f"{cogs}:second")]
    done = engine.run(one(*jobs)).raise_for_state()
    first, second = done.tasks[0].sequences[0].jobs
    assert second.output == [1, 2]
    assert "a line" in first.attempts[0].log
    assert first.attempts[0].version


def test_a_module_is_called_by_its_name(engine, tmp_path, monkeypatch):
    (tmp_path / "fleet_cogs.py").write_text(COGS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = engine.run(one(cw.Job("python:fleet_cogs:work", {"host": "h"}))).raise_for_state()
    assert outputs(done)[0].startswith("h ")


def test_s2_what_cannot_be_called_is_said_at_submit(engine, cogs, tmp_path):
    (tmp_path / "plain").write_text("text")
    write(tmp_path / "exits", "import sys; print('no licence found'); sys.exit(3)")
    labor = one(
        cw.Job(f"{cogs}:work", {"hots": "h"}),
        cw.Job(f"{cogs}:nobody", {}),
        cw.Job(cogs, {}),
        cw.Job("./no/such", {}),
        cw.Job(str(tmp_path / "plain"), {}),
        cw.Job(str(tmp_path / "exits"), {}),
    )
    with pytest.raises(cw.ValidationError) as refused:
        engine.submit(labor)
    said = "\n".join(str(issue) for issue in refused.value.errors)
    for words in (
        "'hots'",
        "no cog 'nobody'",
        "several cogs",
        "no/such",
        "not executable",
        "exit status 3",
        "no licence found",
    ):
        assert words in said, said


# ---- crashes (X10) ----


def test_x8_x10_a_crash_is_a_failure_that_is_tried_again(engine, cogs, tmp_path):
    job = cw.Job(f"{cogs}:dies", {"times": 2, "file": str(tmp_path / "deaths")}).replace(retries=3)
    done = engine.run(one(job)).raise_for_state()
    assert [a.status for a in attempts(done)] == [AttemptStatus.CRASHED, AttemptStatus.CRASHED, AttemptStatus.SUCCESS]
    assert "signal 9" in attempts(done)[0].error
    assert engine.cogs.crashes(f"{cogs}:dies") == 2


def test_x10_too_many_crashes_and_it_is_refused_until_reset(engine, cogs, tmp_path):
    job = cw.Job(f"{cogs}:dies", {"times": 5, "file": str(tmp_path / "deaths")}).replace(retries=9)
    done = engine.run(one(job))
    assert [a.status for a in attempts(done)] == [AttemptStatus.CRASHED] * 4 + [AttemptStatus.FAILURE_NO_RETRIES]
    assert "refused" in attempts(done)[-1].error
    engine.cogs.reset(f"{cogs}:dies")
    done = engine.run(one(job)).raise_for_state()
    assert [a.status for a in attempts(done)] == [AttemptStatus.CRASHED, AttemptStatus.SUCCESS]


# ---- lies ----

LIAR = """
import os, socket, struct, sys, time
sock = socket.socket(fileno=int(os.environ["COGWORK_COG_FD"]))

# The little msgpack that a liar needs.
def pack(value):
    if value is None: return b"\\xc0"
    if isinstance(value, bool): return b"\\xc3" if value else b"\\xc2"
    if isinstance(value, int): return b"\\xd3" + struct.pack(">q", value)
    if isinstance(value, str): return b"\\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, list): return b"\\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    return b"\\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())

def send(value):
    body = pack(value)
    sock.sendall(struct.pack(">I", len(body)) + body)

def receive():
    head = sock.recv(4, socket.MSG_WAITALL)
    if len(head) < 4: os._exit(0)
    return sock.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)

def request():
    \"\"\"The id of the next execute; a validate is answered on the way.\"\"\"
    while True:
        body = receive()
        at = body.index(b"\\xa2id") + 3
        number = body[at] if body[at] < 128 else int.from_bytes(body[at + 1 : at + 1 + (1 << (body[at] - 0xCC))], "big")
        if b"execute" in body: return number
        if b"validate" in body: send({"id": number, "ok": None})
        if b"shutdown" in body: os._exit(0)

def hello(**more):
    send({"op": "hello", "protocol": 1, "cogs": [{"name": "liar"}], **more})
"""


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ('hello(); request(); sock.sendall(b"garbage on the wire")', "frame"),
        ('hello(); request(); sock.sendall(struct.pack(">I", 1 << 30))', "frame of 1073741824 bytes"),
        ('hello(); n = request(); send({"id": n + 7, "result": {"status": "SUCCESS"}}); time.sleep(60)', "never made"),
        ('hello(); n = request(); send({"result": {"status": "SUCCESS"}}); time.sleep(60)', 'no "id"'),
        ('hello(); n = request(); send({"id": n}); time.sleep(60)', "says nothing"),
        ("hello(); request(); sock.close(); time.sleep(60)", "socket was closed"),
        ("hello(); request(); os._exit(0)", "exit status 0"),
        ("hello(); n = request(); send([1, 2]); time.sleep(60)", "not a map"),
    ],
)
def test_a_cog_that_lies_crashes_and_the_engine_goes_on(engine, tmp_path, lie, said):
    liar = write(tmp_path / "liar", LIAR + lie)
    done = engine.run(one(cw.Job(liar, {})))
    assert done.state is State.FAILED
    [attempt] = attempts(done)
    assert attempt.status is AttemptStatus.CRASHED
    assert said in attempt.error
    assert engine.run(one(cw.command.job(["true"]))).state is State.COMPLETED


def test_x8_a_cog_that_never_answers_is_timed_out(engine, tmp_path):
    liar = write(
        tmp_path / "liar",
        LIAR + f"hello(); request(); open({str(tmp_path / 'in')!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(600)",
    )
    done = engine.run(one(cw.Job(liar, {}).replace(timeout=1)))
    [attempt] = attempts(done)
    assert (done.state, attempt.status) == (State.FAILED, AttemptStatus.TIMED_OUT)
    assert "timed out" in attempt.error
    assert gone(*pids_in(tmp_path / "in")), "it ignored its cancel"
    assert engine.cogs.crashes(liar) == 0


def test_an_answer_that_comes_twice_is_a_lie(engine, tmp_path):
    liar = write(
        tmp_path / "liar",
        LIAR
        + 'hello()\nn = request()\nfor _ in range(2): send({"id": n, "result": {"status": "SUCCESS"}})\ntime.sleep(60)',
    )
    assert engine.run(one(cw.Job(liar, {}))).state is State.COMPLETED
    for _ in range(6000):
        if engine.cogs.crashes(liar):
            break
        threading.Event().wait(0.005)
    assert engine.cogs.crashes(liar) == 1


def test_x8_a_status_that_is_none_fails_the_job(engine, tmp_path):
    liar = write(
        tmp_path / "liar", LIAR + 'hello()\nwhile True: send({"id": request(), "result": {"status": "MAYBE"}})'
    )
    done = engine.run(one(cw.Job(liar, {}).replace(retries=3)))
    assert [a.status for a in attempts(done)] == [AttemptStatus.FAILURE_NO_RETRIES]
    assert "MAYBE" in attempts(done)[0].error


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("hello(protocol=2)", "version 2"),
        ('send({"op": "good day", "protocol": 1})', "no hello"),
        ("hello(cogs=[])", "no Cogs"),
        ('hello(cogs="many")', '"cogs"'),
        ('sock.sendall(b"HTTP/1.1 200 OK\\r\\n")', "frame"),
        ('sys.exit("cannot find the licence")', "cannot find the licence"),
    ],
)
def test_a_hello_that_is_none_is_said_at_submit(engine, tmp_path, lie, said):
    liar = write(tmp_path / "liar", LIAR + lie + "\ntime.sleep(60)")
    with pytest.raises(cw.ValidationError) as refused:
        engine.submit(one(cw.Job(liar, {})))
    assert said.replace('"', "'") in str(refused.value).replace('"', "'")


def test_x9_a_line_without_end_is_bounded(tmp_path):
    """A line of 1 GB, and an output beyond max_output."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    liar = write(
        tmp_path / "liar",
        LIAR
        + 'hello()\nn = request()\nfor _ in range(1024): sys.stdout.write("x" * (1 << 20))\nsys.stdout.flush()\n'
        + 'send({"id": n, "result": {"status": "SUCCESS", "output": "y" * (3 << 20)}})\nrequest()',
    )
    with cw.Engine("memory:") as engine:
        done = engine.run(one(cw.Job(liar, {})))
    [attempt] = attempts(done)
    assert attempt.status is AttemptStatus.SUCCESS
    assert len(attempt.log) < 1 << 17
    assert attempt.cut
    assert len(attempt.output) == 1 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "kilobytes: it is never held whole"


def test_processes_killed_at_random_lose_nothing(tmp_path, figure):
    """A thousand calls over eight processes, of which a random one is killed every 50 ms: each Job ends as its rules say; no process,
    child of one, zombie or descriptor is left."""
    quick = write(
        tmp_path / "quick",
        LIAR
        + "if os.fork() == 0: time.sleep(600)\nhello()\nwhile True:\n"
        + '  n = request(); time.sleep(0.01)\n  send({"id": n, "result": {"status": "SUCCESS", "output": "done"}})',
    )
    before = descriptors()
    children = set(children_of(os.getpid()))
    chance = random.Random(5)
    kills = 0
    retries = (0, 1, 50)
    # Counted are all deaths, and here there are many.
    with cw.Engine(tmp_path / "labors.db", max_crashes=10_000, grace=0.3) as engine:
        pool = cw.process_cog(quick, name=f"hit-{tmp_path.name}", processes=8, concurrency=4)
        handle = engine.submit(
            many(lambda n: pool.job(n=n).replace(retries=retries[n % 3]), 1000, concurrency=32, tolerated_failures=-1)
        )
        ended = threading.Event()
        threading.Thread(target=lambda wait: (wait(), ended.set()), args=(handle.wait,)).start()
        while not ended.wait(0.05):
            processes = children_of(os.getpid(), quick)
            if processes and kills < 100:  # a machine that starts them more slowly than they are killed would never end
                with contextlib.suppress(ProcessLookupError):  # it was dying, and is gone since
                    os.kill(chance.choice(processes), signal.SIGKILL)
                    kills += 1
        done = handle.read()
        assert done.state is State.COMPLETED
        crashed = 0
        for n, sequence in enumerate(done.tasks[0].sequences):
            [job] = sequence.jobs
            *lost, last = job.attempts
            # FAILURE: its process was killed before it had said hello, so the Cog was never called.
            assert {a.status for a in lost} <= {AttemptStatus.CRASHED, AttemptStatus.FAILURE}
            if job.state is State.COMPLETED:
                assert (last.status, last.output) == (AttemptStatus.SUCCESS, "done")
            else:
                assert job.state is State.FAILED
                assert len(job.attempts) == 1 + retries[n % 3], "it was tried as often as it may be"
                assert last.status in {AttemptStatus.CRASHED, AttemptStatus.FAILURE}
            crashed += sum(a.status is AttemptStatus.CRASHED for a in job.attempts)
        assert kills >= 1, "a loaded machine comes to few"
        assert engine.stats().process_calls == 0
    assert gone(*processes_of(quick)), "neither the processes nor what they had started"
    assert zombies_of(os.getpid()) == []
    del engine, handle
    for _ in range(1000):  # its threads let go of the engine one after another
        gc.collect()
        if not (left := descriptors() - before):
            break
        threading.Event().wait(0.01)
    assert left == set()
    assert set(children_of(os.getpid())) <= children
    failed = done.tasks[0].failures
    figure(
        f"1,000 calls over 8 processes, {kills} of them killed: {crashed} attempts crashed, {failed} Jobs failed, nothing is left"
    )


# ---- stops (G3a, X8a) ----


def test_g3a_a_cancelled_call_ends_and_its_process_goes_on(patient, cogs, tmp_path):
    file = tmp_path / "in"
    handle = patient.submit(one(cw.Job(f"{cogs}:waits", {"file": str(file)})))
    [pid] = pids_in(file)
    assert handle.stop(interrupt=True).wait(30)
    assert attempts(handle.wait(30))[0].status is AttemptStatus.STOPPED
    assert alive(pid)
    done = patient.run(one(cw.Job(f"{cogs}:work", {"host": "h"}))).raise_for_state()
    assert str(pid) in outputs(done)[0]


def test_g3a_a_deaf_call_costs_its_process_where_nothing_else_runs_in_it(engine, cogs, tmp_path):
    file = tmp_path / "in"
    handle = engine.submit(one(cw.Job(f"{cogs}:deaf", {"file": str(file)}).replace(timeout=1)))
    [pid] = pids_in(file)
    [attempt] = attempts(handle.wait(30))
    assert attempt.status is AttemptStatus.TIMED_OUT
    assert not attempt.still_running
    assert gone(pid)
    assert engine.cogs.crashes(f"{cogs}:deaf") == 0, "a death that the engine caused is no crash"


def test_x8a_a_deaf_call_among_others_is_closed_and_the_others_go_on(engine, cogs, tmp_path):
    file = tmp_path / "in"
    waits = engine.submit(one(cw.Job(f"{cogs}:waits", {"file": str(file)}), name="waits"))
    [pid] = pids_in(file)
    deaf = engine.submit(one(cw.Job(f"{cogs}:deaf", {"file": str(tmp_path / "deaf")}).replace(timeout=1, retries=2)))
    assert pids_in(tmp_path / "deaf") == [pid]
    [attempt] = attempts(deaf.wait(30))
    assert (attempt.status, attempt.still_running) == (AttemptStatus.TIMED_OUT, True)
    assert alive(pid), "it still serves the other"
    (tmp_path / "in.go").touch()
    assert waits.wait(30).state is State.COMPLETED
    assert gone(pid), "and then it is ended"


# ---- what an engine says of them ----


def test_stats_count_processes_their_calls_and_commands(engine, cogs, tmp_path):
    file = tmp_path / "in"
    pool = cw.process_cog(f"{cogs}:waits", name=f"counted-{tmp_path.name}", processes=2, concurrency=2)
    calls = engine.submit(many(lambda _: pool.job(file=str(file)), 3, concurrency=3))
    pids_in(file, 3)
    script = f"echo $$ >> {tmp_path}/commands; while ! test -e {file}.go; do sleep 0.01; done"
    commands = engine.submit(many(lambda _: cw.command.job(shell=script), 2, concurrency=2))
    pids_in(tmp_path / "commands", 2)
    stats = engine.stats()
    assert (stats.processes, stats.process_calls, stats.commands) == (2, 3, 2)
    (tmp_path / "in.go").touch()
    assert {calls.wait(30).state, commands.wait(30).state} == {State.COMPLETED}
    stats = engine.stats()
    assert (stats.processes, stats.process_calls, stats.commands) == (2, 0, 0), "the processes stay up"


# ---- what a program says of its Jobs ----


@pytest.mark.parametrize(
    ("says", "given", "then"),
    [
        ({}, {}, "HOLD"),
        ({"idempotent": True}, {}, "RETRY"),
        ({"idempotent": True, "on_interrupt": "FAIL"}, {}, "FAIL"),
        ({"on_interrupt": "RETRY"}, {}, "RETRY"),
        ({"on_interrupt": "RETRY"}, {"on_interrupt": "HOLD"}, "HOLD"),
        ({"on_interrupt": "FAIL"}, {"idempotent": True}, "RETRY"),
        ({"idempotent": True}, {"idempotent": False}, "HOLD"),
    ],
)
def test_r2_a_program_says_what_becomes_of_an_interrupted_job(engine, tmp_path, says, given, then):
    program = write(tmp_path / "cogs", LIAR + f'hello(cogs=[{{"name": "liar", **{says!r}}}])\nwhile True: request()')
    cog = cw.process_cog(program, name=f"r2-{tmp_path.name}", **given)
    handle = engine.submit(one(cog.job()), start=False)
    assert handle.read().tasks[0].sequences[0].jobs[0].on_interrupt is cw.OnInterrupt(then)


def test_a_hello_with_an_on_interrupt_that_is_none(engine, tmp_path):
    program = write(tmp_path / "cogs", LIAR + 'hello(cogs=[{"name": "liar", "on_interrupt": "WAIT"}]); time.sleep(60)')
    with pytest.raises(cw.ValidationError, match="on_interrupt"):
        engine.submit(one(cw.Job(program, {})))


# ---- new versions (C3) ----


def test_c3_a_changed_file_serves_new_calls_and_running_ones_end_on_the_old(engine, cogs, tmp_path):
    file = tmp_path / "in"
    old = engine.submit(one(cw.Job(f"{cogs}:waits", {"file": str(file)}), name="old"))
    [pid] = pids_in(file)
    write(pathlib.Path(cogs), COGS.replace('return f"{host}', 'return f"new {host}'))
    new = engine.run(one(cw.Job(f"{cogs}:work", {"host": "h"}))).raise_for_state()
    assert outputs(new)[0].startswith("new h ")
    assert alive(pid)
    (tmp_path / "in.go").touch()
    done = old.wait(30)
    assert done.state is State.COMPLETED
    assert attempts(done)[0].version != attempts(new)[0].version
    assert gone(pid)


def test_c3_x10_a_new_version_forgets_the_crashes(engine, tmp_path, cogs):
    job = cw.Job(f"{cogs}:dies", {"times": 99, "file": str(tmp_path / "deaths")}).replace(retries=9)
    assert engine.run(one(job)).state is State.FAILED
    write(pathlib.Path(cogs), COGS.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass"))
    assert engine.run(one(job)).state is State.COMPLETED


# ---- the engine ends ----


def test_closing_ends_its_processes(tmp_path, cogs):
    with cw.Engine(tmp_path / "labors.db", grace=0.3) as engine:
        done = engine.run(one(cw.Job(f"{cogs}:work", {"host": "h"}))).raise_for_state()
        pid = int(outputs(done)[0].split()[1])
        assert alive(pid)
    assert not alive(pid)


def test_r2_r4_the_next_engine_goes_on_with_it(tmp_path, cogs):
    file, db = tmp_path / "in", tmp_path / "labors.db"
    engine = cw.Engine(db, grace=0.3)
    handle = engine.submit(one(cw.Job(f"{cogs}:waits", {"file": str(file)})))
    [pid] = pids_in(file)
    with pytest.warns(cw.CogworkWarning):
        engine.close(interrupt=True)
    assert not alive(pid)
    (tmp_path / "in.go").touch()
    with cw.Engine(db) as engine:
        done = engine.handle(handle.id).wait(30)
        assert [a.status for a in attempts(done)] == [AttemptStatus.INTERRUPTED, AttemptStatus.SUCCESS]


def test_no_process_outlives_an_engine_that_is_killed(tmp_path, cogs):
    code = f"""
import cogwork as cw
with cw.Engine({str(tmp_path / "l.db")!r}, grace=0.2) as engine:
    job = cw.Job({cogs + ":deaf"!r}, {{"file": {str(tmp_path / "in")!r}}})
    engine.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[job])])]))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    [pid] = pids_in(tmp_path / "in")
    process.kill()
    process.wait(30)
    assert gone(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_real_user_has_a_process_of_its_own(engine, tmp_path):
    program = write(
        tmp_path / "liar",
        LIAR
        + 'hello()\nwhile True: send({"id": request(), "result": {"status": "SUCCESS", "output": str(os.geteuid())}})',
        interpreter="/usr/bin/python3",  # that user may not enter everybody's home
    )
    for folder in tmp_path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    labor = one(cw.Job(program, {}))
    assert outputs(engine.run(labor)) == ["0"]
    labor.real_user = "nobody"
    assert outputs(engine.run(labor).raise_for_state()) == ["65534"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_real_user_is_given_no_variable_of_ours(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cr3t")
    program = write(
        tmp_path / "liar",
        LIAR
        + 'hello()\nwhile True: send({"id": request(), "result": {"status": "SUCCESS", "output": repr(dict(os.environ))}})',
        interpreter="/usr/bin/python3",
    )
    for folder in tmp_path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    labor = one(cw.Job(program, {}))
    assert "s3cr3t" in outputs(engine.run(labor).raise_for_state())[0]
    labor.real_user = "nobody"
    seen = ast.literal_eval(outputs(engine.run(labor).raise_for_state())[0])
    assert set(seen) <= {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_CTYPE", "COGWORK_COG_FD"}
    assert (seen["USER"], seen["HOME"]) == ("nobody", "/nonexistent")


def test_without_threads_a_submit_is_refused_as_no_fault_of_the_labor(tmp_path, cogs):
    code = f"""
import resource, cogwork as cw
labor = cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[cw.Job({cogs + ":work"!r}, {{"host": "h"}})])])])
with cw.Engine("memory:") as engine:
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, limit[1]))  # a thread's stack is larger
    try:
        engine.submit(labor)
    except cw.ResourceError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_AS, limit)
    print(engine.run(labor).state.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("no thread could be started for")
    assert second == "COMPLETED"


def test_what_it_printed_before_a_call_was_given_up_is_kept(engine, cogs, tmp_path):
    file = tmp_path / "in"
    waits = engine.submit(one(cw.Job(f"{cogs}:waits", {"file": str(file)}), name="waits"))
    pids_in(file)
    deaf = engine.submit(one(cw.Job(f"{cogs}:deaf", {"file": str(tmp_path / "deaf")}).replace(timeout=1)))
    [attempt] = attempts(deaf.wait(30))
    assert attempt.still_running
    assert "deaf began" in attempt.log
    (tmp_path / "in.go").touch()
    waits.wait(30)


def test_a_submit_to_a_closed_engine_says_so_at_once(tmp_path, cogs):
    engine = cw.Engine("memory:")
    engine.run(one(cw.Job(f"{cogs}:work", {"host": "h"}))).raise_for_state()
    engine.close()
    with pytest.raises(cw.EngineClosed):
        engine.submit(one(cw.Job(f"{cogs}:work", {"host": "h"})))
