"""What is advised leads on: every command that cogwork prints is typed as it stands, in the order in which it stands, until the Labor has ended."""

from __future__ import annotations

import ast
import inspect
import os
import pathlib
import re
import shlex
import signal
import sqlite3
import warnings
from collections.abc import Callable

import pytest
from cli_support import Shell, shell, write_script

import cogwork as cw
from cogwork import State, _advice

PACKAGE = pathlib.Path(cw.__file__).parent
CORE = PACKAGE.parents[1] / "cpp"
SCRIPT = """
import pathlib
import cogwork as cw

def wait(ctx: cw.Context, host: str) -> str:
    print(f"begun {host}\\n", end="", flush=True)
    while not pathlib.Path("go").exists():
        ctx.sleep(0.01)
        if ctx.cancelled:
            raise RuntimeError("cancelled")
    return host

@cw.cog(idempotent=True)
def step(ctx: cw.Context, host: str) -> str:
    return wait(ctx, host)

@cw.cog
def flash(ctx: cw.Context, host: str) -> str:
    return wait(ctx, host)

def made(cog, hosts: int) -> cw.Labor:
    then = cw.command.job(["true"])
    return cw.Labor(cog.name, tasks=[cw.Task("all", concurrency=8, sequences=[cw.Sequence(f"h{n}", jobs=[cog.job(host=f"h{n}"), then]) for n in range(hosts)])])

def labor(hosts: int = 2) -> cw.Labor:
    return made(step, hosts)

def risky(hosts: int = 2) -> cw.Labor:
    return made(flash, hosts)

def commands() -> cw.Labor:
    return cw.Labor("commands", tasks=[cw.Task("all", sequences=[cw.Sequence("h", jobs=[cw.command.job(shell="while [ ! -e go ]; do sleep 0.02; done")])])])
"""
OTHER = "import cogwork as cw\n@cw.cog\ndef other() -> None: ...\n"
_COMMANDS = "run|submit|serve|ls|show|watch|logs|history|doctor|start|pause|resume|stop|decide|crisis"
_ADVISED = re.compile(rf"(?:^ *|: |JOB )((?:cogwork (?:{_COMMANDS})\b[^\n]*)|kill \d+)$", re.MULTILINE)

followed: dict[str, list[str]] = {}


def follows(*advised: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Of a test that types what these functions of `_advice` make."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        for name in advised:
            followed.setdefault(name, []).append(test.__name__)
        return test

    return note


# A name with a space, and another one than a shell would take: who leaves --db out, or does not quote it, leads nowhere.
@pytest.fixture(params=["my labors.db"])
def folder(tmp_path, monkeypatch, request):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))
    write_script(tmp_path, text=SCRIPT)
    write_script(tmp_path, "other.py", OTHER)
    tmp_path.joinpath("name").write_text(request.param)
    return tmp_path


class Typed:
    """A shell of its user: COGWORK_DB says which store, as long as nothing is followed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.db = folder.joinpath("name").read_text()
        self._open: list[Shell] = []

    def __call__(self, *words: str, status: int | None = 0) -> str:
        code, said = shell(self.folder, *words, "--db", self.db)
        assert status is None or code == status, (words, code, said)
        return said

    def begin(self, *words: str, db: bool = True, **more) -> Shell:
        self._open.append(Shell(self.folder, *words, *(["--db", self.db] if db else []), **more))
        return self._open[-1]

    def killed(self, *words: str, begun: str = "begun h1") -> str:
        """The id of a Labor whose engine was killed in the middle."""
        run = self.begin("run", *words)
        run.wait_for(begun)
        run.kill()
        return self.labors()[-1].id

    def labors(self) -> list[cw.Labor]:
        with cw.open_store(self.folder / self.db) as store:
            return list(store.search())

    def go(self) -> None:
        (self.folder / "go").touch()

    def follow(self, text: str, decision: str = "completed", replace: dict[str, str] | None = None) -> list[list[str]]:
        """Types what stands in the text, line by line. What stays up does, until the test ends."""
        typed = []
        for line in _ADVISED.findall(text):
            for what, by in {_advice.DECISIONS: decision, **(replace or {})}.items():
                line = line.replace(what, by)
            words = shlex.split(line)
            if "JOB" in words:  # one of them is to be chosen
                continue
            typed.append(words)
            if words[0] == "kill":
                os.kill(int(words[1]), signal.SIGTERM)
            elif words[1] == "serve":
                server = self.begin(*words[1:], db=False)
                server.wait_for("serves ")
            else:
                code, said = shell(self.folder, *words[1:])
                assert code == 0, (line, code, said)
                self.said = said
        assert typed, f"nothing is advised:\n{text}"
        return typed

    def ended(self, *states: State) -> None:
        """All Labors end so."""
        with cw.connect(self.folder / self.db) as client:
            for labor in client.search():
                if not labor.state.ended:
                    client.handle(labor.id).wait(40)
        assert {labor.state for labor in self.labors()} <= set(states or [State.COMPLETED]), self.labors()

    def close(self) -> None:
        for one in reversed(self._open):
            one.__exit__()


@pytest.fixture
def typed(folder):
    made = Typed(folder)
    yield made
    made.close()


# ---- after Ctrl-C, and after a crash ----


@follows("go_on")
def test_after_ctrl_c(typed):
    run = typed.begin("run", "rollout.py")
    run.wait_for("begun h1")
    run.ctrl_c()
    run.wait_for("pausing")
    typed.go()
    assert run.end() == 4
    assert len(typed.follow(run.text)) == 1
    typed.ended()


@follows("decide_all", "go_on")
@pytest.mark.parametrize("decision", ["completed", "rerun"])
def test_after_two_ctrl_c_and_what_may_not_run_again(typed, decision):
    run = typed.begin("run", "rollout.py:risky")
    run.wait_for("begun h1")
    run.ctrl_c()
    run.wait_for("pausing")
    run.ctrl_c()
    assert run.end() == 4
    assert "a person has to decide about 2, whose Cogs are not idempotent: look at the targets first" in run.text
    typed.go()
    assert [words[1] for words in typed.follow(run.text, decision)] == ["decide", "run"]
    typed.ended()


@follows("decide_all", "go_on")
@pytest.mark.parametrize("words", [["show", "last"], ["watch", "last"]], ids=["show", "watch"])
@pytest.mark.parametrize("what", ["rollout.py", "rollout.py:risky", "rollout.py:commands"])
def test_after_a_crash(typed, words, what):
    run = typed.begin("run", what)
    run.wait_for("begun h1" if what != "rollout.py:commands" else "Task 'all': RUNNING")
    settle(typed, what)
    run.kill()
    typed.go()
    said = typed(*words, status=None)
    assert f"no engine runs on {typed.db}" in said
    typed.follow(said)
    typed.ended()


def settle(typed: Typed, what: str) -> None:
    """Until the attempts are recorded."""
    if what == "rollout.py:commands":
        with cw.connect(typed.folder / typed.db) as client:
            labor = typed.labors()[-1]
            while not client.handle(labor.id).progress().in_flight:
                pass


@follows("serve")
def test_a_signal_that_is_stored(typed):
    typed.killed("rollout.py")
    typed.go()
    typed("pause")
    said = typed("resume", "last")
    assert "RESUME is stored; the next engine applies it, or records why not:\n  cogwork serve rollout.py" in said
    typed.follow(said)
    typed.ended()


@follows("decide", "decide_all", "go_on")
def test_one_decision_after_the_other(typed):
    typed.killed("rollout.py:risky")
    typed.go()
    said = typed("decide", "last/all/h0", "rerun")
    typed.follow(said)
    typed.follow(typed.said)
    typed.ended()


@follows("decide", "resume")
def test_serve_says_what_is_held(typed):
    typed.killed("rollout.py:risky")
    typed.go()
    serve = typed.begin("serve", "rollout.py")
    serve.wait_for("goes on with:\n.*\n.*resume --admin")
    one_by_one = [line for line in serve.text.splitlines() if line.startswith("held: ")]
    typed.follow("\n".join(one_by_one))
    typed.follow(typed.said)
    typed.ended()


@follows("decide_all", "resume")
def test_serve_says_how_all_of_it_goes_on(typed):
    typed.killed("rollout.py:risky")
    typed.go()
    serve = typed.begin("serve", "rollout.py")
    text = serve.wait_for("goes on with:\n.*\n.*resume --admin [^\n]*\n")
    typed.follow(text.partition("goes on with:")[2])
    typed.ended()


@follows("decide", "decide_all", "resume")
@pytest.mark.parametrize("all", [True, False])
def test_the_picture_says_what_is_held(typed, all):
    typed.killed("rollout.py:risky")
    typed.go()
    typed.begin("serve", "rollout.py").wait_for("resume --admin")
    said = typed("show", "last")
    head, each, jobs = re.search(
        r"([\s\S]*)or, .* of each JOB\n  (cogwork decide JOB .*)\n((?:  .*: .*\n)+)", said
    ).groups()
    if all:
        typed.follow(said)
    else:
        for job in re.findall(r": ([^:\n]*/[^:\n]*)$", jobs, re.MULTILINE):
            typed.follow(each, replace={"JOB": job})
        typed.follow("\n".join(line for line in head.splitlines() if "--all" not in line))
    typed.ended()


@follows("decide")
def test_one_target_says_how_it_is_decided(typed):
    typed.killed("rollout.py:risky", "hosts=1", begun="begun h0")
    typed.go()
    typed.begin("serve", "rollout.py").wait_for("resume --admin")
    typed.follow(typed("show", "last/all/h0"))
    typed.follow(typed.said)
    typed.ended()


@follows("go_on")
def test_what_another_run_leaves_alone(typed):
    typed.killed("rollout.py")
    run = typed.begin("run", "rollout.py:risky")
    text = run.wait_for("left alone: 'step' .*\n[^\n]*\n")
    typed.go()
    assert run.end() == 0
    assert typed.follow(text[text.index("left alone") :])[0][1:3] == ["run", "rollout.py"]
    typed.ended()


@follows("go_on")
def test_a_program_that_is_run_again(typed):
    typed.killed("rollout.py")
    again = typed.begin("run", "rollout.py")
    text = again.wait_for("CAREFUL: 'step' [\\s\\S]*?and type\n[^\n]*\n")
    again.wait_for("begun h1")
    again.ctrl_c()
    again.wait_for("pausing")
    typed.go()
    assert again.end() == 4
    typed.follow(text[text.index("CAREFUL") : text.index("\n", text.index("and type\n") + 9) + 1])
    assert sorted(labor.state.name for labor in typed.labors()) == ["COMPLETED", "PAUSED"]


@follows("go_on", "resume")
@pytest.mark.parametrize(
    "pause",
    [["pause", "--by", "ann"], ["pause", "--admin"], ["pause", "--crisis", "--by", "ann"]],
    ids=["user", "admin", "crisis"],
)
def test_a_pause_of_somebody_else_is_released_first(typed, pause):
    run = typed.begin("run", "rollout.py")
    run.wait_for("begun h1")
    typed(*pause, "--no-wait")
    run.ctrl_c()
    typed.go()
    assert run.end() == 4
    assert [words[1] for words in typed.follow(run.text)] == ["resume", "run"]
    typed.ended()


@follows("lift", "go_on")
def test_under_a_latch(typed):
    run = typed.begin("run", "rollout.py")
    run.wait_for("begun h1")
    typed("crisis", "pause", "--all", "--no-wait")
    run.ctrl_c()
    typed.go()
    assert run.end() == 4
    assert [words[1] for words in typed.follow(run.text)] == ["crisis", "run"]
    typed.ended()


@follows("lift")
def test_run_says_what_lifts_a_latch(typed):
    cw.Engine(typed.folder / typed.db).close()
    typed("crisis", "pause", "--all")
    typed.go()
    run = typed.begin("run", "rollout.py")
    typed.follow(run.wait_for("to lift that:\n[^\n]*\n"))
    assert run.end() == 0
    typed.ended()


# ---- refusals, beside an engine ----


@pytest.fixture
def serve(typed):
    server = typed.begin("serve", "rollout.py")
    server.wait_for("serves ")
    return server


@follows("resume")
@pytest.mark.parametrize("rank", ["--admin", "--crisis"])
def test_a_resume_of_the_wrong_rank(typed, serve, rank):
    typed("submit", "rollout.py")
    serve.wait_for("begun h1")
    typed("pause", "--no-wait")
    typed("pause", rank, "--no-wait")
    typed.go()
    said = typed("resume", status=1)
    assert "So:" in said
    typed.follow(said)
    typed.ended()


@follows("lift")
def test_a_resume_under_a_latch(typed, serve):
    typed("submit", "rollout.py")
    serve.wait_for("begun h1")
    typed("crisis", "pause", "--all", "--no-wait")
    typed.go()
    said = typed("resume", "--crisis", status=1)
    assert "engine." not in said, "a shell has no such object"
    typed.follow(said)
    typed.ended()


@follows("decide_all", "resume")
def test_an_admin_resume_before_all_is_decided(typed):
    typed.killed("rollout.py:risky")
    typed.go()
    typed.begin("serve", "rollout.py").wait_for("resume --admin")
    said = typed("resume", "--admin", status=1)
    assert "engine." not in said
    typed.follow(said)
    typed.ended()


@follows("start")
@pytest.mark.parametrize("words", [["resume"], ["pause"]])
def test_what_waits_to_be_started(typed, serve, words):
    said = typed("submit", "rollout.py", "--no-start")
    typed.go()
    if words == ["resume"]:
        said = typed(*words, status=1)
    typed.follow(said)
    typed.ended()


@follows("watch")
def test_what_is_not_done_in_time(typed, serve):
    typed("submit", "rollout.py")
    serve.wait_for("begun h1")
    said = typed("pause", "--timeout", "0", status=5)
    typed("resume")
    typed.go()
    typed.follow(said)
    typed.ended()


@follows("watch")
def test_submit_says_how_to_see_it(typed, serve):
    typed.go()
    typed.follow(typed("submit", "rollout.py"))
    typed.ended()


@follows("crises")
def test_a_crisis_that_is_not_done_in_time(typed, serve):
    typed("submit", "rollout.py")
    serve.wait_for("begun h1")
    typed.follow(typed("crisis", "pause", "--all", "--timeout", "0", status=5))
    assert "holds 1 Labor" in typed.said
    typed.follow(typed("crisis", "resume", status=2))
    assert "holds 1 Labor" in typed.said


@follows("run", "serve")
@pytest.mark.parametrize("which", [0, 1])
def test_submit_without_an_engine(typed, which):
    said = typed("submit", "rollout.py", "hosts=3", status=2)
    typed.go()
    words = typed.follow(_ADVISED.findall(said)[which])
    if words[0][1] == "serve":
        typed("submit", "rollout.py", "hosts=3")
    typed.ended()
    assert len(typed.labors()) == 1


@follows("restart")
@pytest.mark.parametrize("words", [["run", "rollout.py"], ["submit", "rollout.py"]])
def test_an_engine_without_its_cogs(typed, words):
    server = typed.begin("serve", "other.py")
    server.wait_for("serves ")
    said = typed(*words, status=2)
    typed.go()
    assert [words[0] for words in typed.follow(said)] == ["kill", "cogwork"]
    typed(*words)
    typed.ended()


@follows("restart")
def test_a_second_serve(typed):
    server = typed.begin("serve", "other.py")
    server.wait_for("serves ")
    typed.go()
    typed.follow(typed("serve", "rollout.py", status=2))
    typed("run", "rollout.py")
    typed.ended()


@follows("restart", "serve")
@pytest.mark.parametrize(
    "how",
    [["pause"], ["show"], ["watch"], ["run", "rollout.py", "--resume", "last"], ["serve"]],
    ids=lambda how: how[0],
)
def test_a_labor_that_waits_for_its_cogs(typed, how):
    typed.killed("rollout.py")
    typed.go()
    server = typed.begin("serve", "other.py")
    text = server.wait_for("to take them up, end this one, and:\n[^\n]*\n")
    if how == ["serve"]:
        server.ctrl_c()
        assert server.end() == 0
    else:
        text = typed(*how, status=None)
    typed.follow(text.partition("to go on:")[0])
    if how == ["pause"]:
        typed("resume")
    typed.ended()


@follows("decide_all", "go_on")
@pytest.mark.parametrize(
    ("left", "other", "leads_on"),
    [("rollout.py", "rollout.py:risky", ["run"]), ("rollout.py:risky", "rollout.py", ["decide", "run"])],
)
def test_a_labor_that_an_engine_was_not_opened_for(typed, left, other, leads_on):
    id = typed.killed(left)
    run = typed.begin("run", other)
    run.wait_for("begun h1")
    said = typed("show", id[:8])
    assert "was opened for other Labors" in said
    typed.go()
    assert [words[1] for words in typed.follow(said)] == leads_on
    assert run.end() == 0
    typed.ended()


@follows("go_on")
def test_its_engine_is_gone(typed):
    server = typed.begin("serve", "rollout.py")
    server.wait_for("serves ")
    run = typed.begin("run", "rollout.py")
    server.wait_for("begun h1")
    server.kill()
    text = run.wait_for("is gone; waits for the next one.*\n[^\n]*\n")
    typed.go()
    typed.follow(text)
    assert run.end() == 0
    typed.ended()


@follows("serve")
def test_serve_says_how_to_go_on(typed):
    server = typed.begin("serve", "rollout.py")
    server.wait_for("serves ")
    typed("submit", "rollout.py")
    server.wait_for("begun h1")
    typed("pause", "--no-wait")
    server.ctrl_c()
    server.wait_for("closes")
    typed.go()
    assert server.end() == 0
    typed.follow(server.text[server.text.index("closed;") :])
    typed("resume")
    typed.ended()


# ---- slips ----


@follows("ls")
def test_a_wrong_id(typed):
    cw.Engine(typed.folder / typed.db).close()
    typed.go()
    typed("run", "rollout.py")
    typed.follow(typed("show", "zz", status=2))
    assert "COMPLETED" in typed.said


@follows("doctor")
def test_a_damaged_row(typed):
    typed.go()
    typed("run", "rollout.py")
    with sqlite3.connect(typed.folder / typed.db) as db:
        db.execute("UPDATE labors SET state = 77")
    db.close()
    (line,) = _ADVISED.findall(typed("ls"))
    code, said = shell(typed.folder, *shlex.split(line)[1:])
    assert code == 1
    assert "77" in said


@follows("show")
def test_nothing_to_decide(typed):
    typed.go()
    typed("run", "rollout.py")
    typed.follow(typed("decide", "last", "rerun", status=2))
    assert "COMPLETED" in typed.said


@follows("decide")
def test_no_decision(typed):
    typed.killed("rollout.py:risky", "hosts=1", begun="begun h0")
    typed.go()
    typed.follow(typed("decide", "last", status=2))
    typed.follow(typed.said)
    typed.ended()


@follows("run")
@pytest.mark.parametrize("words", [["ls"], ["run"], ["rollout.py"]])
def test_nothing_there_yet(typed, words):
    typed.go()
    said = shell(typed.folder, *words)[1] if words == ["rollout.py"] else typed(*words, status=2)
    typed.follow(said, replace={"FILE.py": "rollout.py"})
    with_db = typed.db if words != ["rollout.py"] else "cogwork.db"
    with cw.open_store(typed.folder / with_db) as store:
        assert [labor.state for labor in store.search()] == [State.COMPLETED]


# ---- in a script ----


@pytest.fixture
def script(typed, monkeypatch):
    """This process is the script, in the folder of its store."""
    monkeypatch.chdir(typed.folder)
    return typed


@follows("serve")
def test_the_errors_of_a_client_without_an_engine(script):
    script.killed("rollout.py")
    script.go()
    with cw.connect(script.db) as client:
        for call in (
            client.stats,
            lambda: client.submit(cw.Labor("x")),
            lambda: client.handle(script.labors()[0].id).wait(1),
        ):
            with pytest.raises(cw.EngineClosed, match=r"FILE\.py") as error:
                call()
    script.follow(str(error.value), replace={"FILE.py": "rollout.py"})
    script.ended()


@follows("decide_all", "resume")
def test_opening_warns_of_what_is_held(script, make_cog, gate):
    cog = make_cog(lambda: gate() or "done")
    jobs = [cog.job(), cw.command.job(["true"])]
    labor = cw.Labor("held", tasks=[cw.Task("all", sequences=[cw.Sequence("h", jobs=jobs)])])
    engine = cw.Engine(script.db, grace=0.1)
    handle = engine.submit(labor)
    gate.wait_for(1)
    with pytest.warns(cw.CogworkWarning) as closing:
        engine.close(interrupt=True)
    gate.open()
    opened = re.search(r"open an engine on it again: (cogwork\.Engine\(.*\))", str(closing[-1].message)).group(1)
    with pytest.warns(cw.CogworkWarning) as opening:
        engine = eval(opened, {"cogwork": cw})
    with engine:
        script.follow(next(str(w.message) for w in opening if "is held" in str(w.message)))
        assert engine.handle(handle.id).wait(30).state is State.COMPLETED


def test_what_is_said_of_held_jobs_can_be_called(script, make_cog, gate):
    cog = make_cog(lambda: gate() or "done")
    jobs = [cog.job(), cw.command.job(["true"])]
    labor = cw.Labor("held", tasks=[cw.Task("all", sequences=[cw.Sequence("h", jobs=jobs)])])
    engine = cw.Engine(script.db, grace=0.1)
    handle = engine.submit(labor)
    gate.wait_for(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine.close(interrupt=True)
        gate.open()
        engine = cw.Engine(script.db)
    with engine:
        with pytest.raises(cw.SignalNotAllowed) as error:
            engine.handle(handle.id).admin_resume()
        call = re.search(r"(engine\.decide\(.*?\))", str(error.value)).group(1)
        id = re.search(r"\(([0-9a-f-]{36})\)", str(error.value)).group(1)
        eval(
            call.replace("ID", repr(id)).replace('"rerun" | "completed" | "failed"', '"completed"'), {"engine": engine}
        )
        engine.handle(handle.id).admin_resume()
        assert engine.handle(handle.id).wait(30).state is State.COMPLETED


def test_what_is_said_of_latches_can_be_called(script, make_cog):
    cog = make_cog(lambda: "done")
    labor = cw.Labor("latched", tasks=[cw.Task("all", sequences=[cw.Sequence("h", jobs=[cog.job()])])])
    with cw.Engine(script.db) as engine:
        engine.crisis_pause()
        handle = engine.submit(labor)
        with pytest.raises(cw.SignalNotAllowed) as error:
            handle.crisis_resume()
        eval(re.search(r"(engine\.crisis_resume\(.*?\))", str(error.value)).group(1), {"engine": engine})
        assert handle.wait(30).state is State.COMPLETED


# ---- that these are all ----


def test_commands_and_programs_need_no_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollout.py").touch()
    cogs = {
        "command": "cogwork:command", "step": "rollout:step", "other": "rollout:other", "deep": "package.module:deep", "./tools/agent": "/srv/tools/agent",
        "python:fleet:drain": "python:fleet:drain", "cogwork_like": "cogworks.own:f",
    }  # fmt: skip
    labor = cw.Labor("x", cogs=cogs)
    assert _advice.sources(labor) == ["rollout.py", "package.module", "cogworks.own"]
    assert _advice.serve_it(cw.Labor("x", cogs={"command": "cogwork:command"}), _advice.DB) == "cogwork serve"


@pytest.mark.parametrize(
    ("variable", "db", "said"),
    [
        (None, "cogwork.db", "cogwork ls"), (None, "a b.db", "cogwork ls --db 'a b.db'"), ("x.db", "x.db", "cogwork ls --db x.db"),
        ("x.db", "cogwork.db", "cogwork ls --db cogwork.db"), ("cogwork.db", "cogwork.db", "cogwork ls"),
    ],
)  # fmt: skip
def test_the_store_is_named_where_another_shell_would_take_another(monkeypatch, variable, db, said):
    monkeypatch.delenv("COGWORK_DB", raising=False)
    if variable:
        monkeypatch.setenv("COGWORK_DB", variable)
    assert _advice.ls(db) == said


def test_every_advice_is_followed():
    """By a test of this file that types it."""
    made = {
        name for name, function in inspect.getmembers(_advice, inspect.isfunction)
        if function.__module__ == _advice.__name__ and not name.startswith("_") and "db" in inspect.signature(function).parameters
    }  # fmt: skip
    helpers = {"command", "serve_it", "way_back", "releases", "released"}  # they put the others together
    assert made - helpers == set(followed)
    assert all(tests for tests in followed.values())


def test_no_command_is_advised_elsewhere():
    """Else it lacks the --db, or was never typed. Names of programs, and notes of why a signal was sent, advise nothing."""
    allowed = {" in cogwork run", "cogwork run --resume"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)}  # fmt: skip
        docs |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # of fields
        docs |= {
            id(leaf)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword) and node.arg == "help"
            for leaf in ast.walk(node)
        }
        texts = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ]
        found += [
            f"{path.name}:{node.lineno}: {node.value}" for node in texts
            if path.name != "_advice.py" and re.search(rf"cogwork (?:{_COMMANDS})\b", node.value) and node.value not in allowed
        ]  # fmt: skip
    for path in CORE.rglob("*.cpp"):
        for n, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(rf'"[^"]*cogwork (?:{_COMMANDS})\b[^"]*"', line) and '"; cogwork decide"' not in line:
                found.append(f"{path.name}:{n}: {line.strip()}")
    assert found == []
