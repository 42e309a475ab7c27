"""The commands in one process: what they show, how they name things, and what they say to what cannot be."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys

import pytest
from cli_support import Shell, only_labor, shell, write_script
from typer.testing import CliRunner

import cogwork as cw
from cogwork.cli import _ids, app

_numbers = itertools.count(1)
GOOD = """
import cogwork as cw

@cw.cog(name="{cog}", idempotent=True)
def step(host: str, fail: bool = False) -> str:
    if fail:
        raise RuntimeError(f"{{host}}: no space left")
    return f"{{host}} done"

def sequence(n, fail=False):
    return cw.Sequence(f"h{{n}}", jobs=[step.job(host=f"h{{n}}", fail=fail)])

labor = cw.Labor("edge upgrade", desc="new firmware", tags=["edge"], tasks=[
    cw.Task("canary", sequences=[sequence(0)]),
    cw.Task("rest/all", concurrency=2, tolerated_failures=1, sequences=[sequence(n, fail=n == 2) for n in range(1, 4)]),
])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COGWORK_DB", raising=False)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def call(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="cogwork")
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    assert not re.search("^Traceback", result.output, re.MULTILINE)
    return result.output


@pytest.fixture
def ran(folder) -> cw.Labor:
    """A Labor that was run: one of its targets was lost, which is tolerated."""
    write_script(folder, text=GOOD.format(cog=f"shell_step_{next(_numbers)}"))
    call("run", "rollout.py")
    return only_labor(folder / "cogwork.db")


def script(folder, text: str) -> None:
    write_script(folder, text="import cogwork as cw\n" + text)


# ---- run: what is run ----

EMPTY = "cw.Labor('{}', tasks=[cw.Task('t', sequences=[cw.Sequence('s', jobs=[cw.Job('nothing')])])])"


@pytest.mark.parametrize(
    ("text", "what", "said"),
    [
        ("", "rolout.py", "there is no file rolout.py - did you mean 'rollout.py'?"),
        ("", "rollout.py", "has no Labor, and no function `labor` that makes one; there is nothing in it"),
        ("a = cw.Labor('a'); b = cw.Labor('b')", "rollout.py", "has 2 Labors; say which: there is a, b"),
        ("def make() -> cw.Labor: ...", "rollout.py", "there is make"),
        ("def make() -> cw.Labor: ...", "rollout.py:mke", "has no 'mke' (there is make) - did you mean 'make'?"),
        ("def make(): ...", "rollout.py:make", "rollout.py:make returned None; it is to return a cogwork.Labor"),
        ("async def make(): ...", "rollout.py:make", "is async"),
        ("labor = 5", "rollout.py", "is of type int; what is run is a Labor"),
        ("@cw.cog(name='c_a')\ndef labor(): ...", "rollout.py", "is a Cog; what is run is a Labor"),
        ("", "no.such.module", "there is no module 'no.such.module'"),
        ("", "rollout", "has no Labor"),
        ("", "what is this", "is no module's name, and no file"),
        ("", ".", "is no module's name, and no file"),
        ("", "./sub", "is no file"),
    ],
)
def test_run_says_what_it_cannot_run(folder, text, what, said):
    script(folder, text)
    (folder / "sub").mkdir()
    assert said in call("run", what, status=2)
    assert not (folder / "cogwork.db").exists()


def test_errors_while_importing_show_the_users_lines_alone(folder):
    script(folder, "def deep():\n    return 1 / 0\ndeep()\n")
    said = call("run", "rollout.py", status=2)
    assert "rollout.py cannot be imported:" in said
    assert "line 4, in <module>\n    deep()" in said
    assert "ZeroDivisionError: division by zero" in said
    script(folder, "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: list = []\n")
    said = call("run", "rollout.py", status=2)
    assert said.count('File "') == 1
    assert "mutable default" in said
    script(folder, "@cw.cog(timeout=-1)\ndef wrong_one(): ...\n")
    said = call("run", "rollout.py", status=2)
    assert "timeout must be longer than 0" in said
    assert os.path.join("cogwork", "_") not in said
    script(folder, "def broken(:\n")
    assert "SyntaxError" in call("run", "rollout.py", status=2)
    script(folder, "import no_such_thing\n")
    assert "No module named 'no_such_thing'" in call("run", "rollout.py", status=2)
    script(folder, "raise SystemExit('enough')\n")
    assert "ended the program while it was imported (enough)" in call("run", "rollout.py", status=2)


def test_a_script_that_makes_an_engine_is_told_where_to_put_it(folder):
    script(folder, "engine = cw.Engine('memory:')\n")
    said = call("run", "rollout.py", status=2)
    assert 'if __name__ == "__main__":' in said
    assert "engine = cw.Engine" in said, "its own line"
    assert 'if __name__ == "__main__":' in call("serve", "rollout.py", status=2)
    cw.Engine("memory:").close()  # and only meanwhile


def test_a_script_is_the_module_of_its_files_name(folder):
    """R4."""
    (folder / "sub").mkdir()
    (folder / "sub" / "beside_it.py").write_text("NAME = 'from beside'\n")
    write_script(
        folder / "sub",
        "my-own.py",
        "import cogwork as cw\nimport beside_it\n@cw.cog\ndef own_cog() -> None: ...\n"
        "labor = cw.Labor(beside_it.NAME, tasks=[cw.Task('t', sequences=[cw.Sequence('s', jobs=[own_cog.job()])])])\n",
    )
    call("run", "sub/my-own.py")
    assert only_labor(folder / "cogwork.db").cogs == {"own_cog": "my-own:own_cog"}
    assert only_labor(folder / "cogwork.db").name == "from beside"
    write_script(folder, "json.py", "import cogwork as cw\n")
    assert "there is one of that name already" in call("run", "json.py", status=2)


def test_a_tree_that_may_not_be_submitted(folder):
    script(folder, "labor = " + EMPTY.format("x"))
    said = call("run", "rollout.py", status=2)
    assert "cog 'nothing' is not registered" in said
    assert said.startswith("cogwork: the Labor cannot be submitted")


def test_a_warning_is_a_message_too(folder):
    script(
        folder,
        """
@cw.cog
def nothing(host: str) -> None: ...
labor = cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("h", jobs=[nothing.job("h")])] * 2)])
""",
    )
    with Shell(folder, "run", "rollout.py", "--db", "strict.db", PYTHONWARNINGS="error") as strict:
        assert strict.end() == 2
    assert "fault of cogwork's own" not in strict.text, "a warning that is an error is one, and no fault"
    assert "twice in one Task" in strict.text
    with cw.open_store("strict.db") as store:
        assert list(store.search()) == [], "nothing was begun"
    code, said = shell(folder, "run", "rollout.py")
    warned = [line for line in said.splitlines() if "twice in one Task" in line]
    assert code == 0
    assert warned == ["cogwork: a target stands twice in one Task, and its Sequences may run side by side:"], said
    assert "CogworkWarning" not in said, "nor where in the shell's own code it was said"


# ---- run: key=value ----

TYPED = """
import dataclasses, datetime, enum, ipaddress, pathlib
class Ring(enum.Enum):
    INNER = "inner"
    OUTER = 2
@dataclasses.dataclass
class Window:
    begin: int
    end: int = 5
def show(value):
    raise LookupError(repr(value))
def number(v: int): show(v)
def share(v: float = 1.0): show(v)
def flag(v: bool): show(v)
def words(v: list[str]): show(v)
def numbers(v: set[int]): show(sorted(v))
def length(v: datetime.timedelta): show(v.total_seconds())
def either(v: float | datetime.timedelta): show(v)
def ring(v: Ring): show(v)
def rings(v: list[Ring]): show(v)
def maybe(v: int | None): show(v)
def window(v: Window): show(v)
def table(v: dict[str, int]): show(v)
def when(v: datetime.datetime): show(v.isoformat())
def address(v: ipaddress.IPv4Address): show(v)
def path(v: pathlib.Path): show(v)
def bare(v): show(v)
def by_default(v=3): show(v)
def rest(a, /, *, b: int = 2, **more: int): show((a, b, more))
def two(a, b): show((a, b))
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("number v=12", "12"),
        ("number v=x", "rollout.py:number: v='x': expected int"),
        ("number v=1 v=2", "is given 2 times"),
        ("number", "needs 'v': add v=..."),
        ("two", "needs 'a' and 'b': add a=... b=..."),
        ("number v=1 vv=2", "has no parameter 'vv' (it takes v) - did you mean 'v'?"),
        ("number v", "'v' is no key=value"),
        ("share v=0.5", "0.5"),
        ("flag v=yes", "True"),
        ("flag v=off", "False"),
        ("flag v=perhaps", "expected true or false"),
        ("words v=a,b", "['a', 'b']"),
        ("words v=a v=b,c", "['a', 'b,c']"),
        ('words v=["a,b"]', "['a,b']"),
        ("words v=", "[]"),
        ("numbers v=3,1", "[1, 3]"),
        ("numbers v=3,x", "expected int"),
        ("length v=90", "90.0"),
        ("length v=1h30m", "5400.0"),
        ("length v=250ms", "0.25"),
        ("length v=soon", "v='soon'"),
        ("either v=5m", "datetime.timedelta(seconds=300)"),
        ("either v=soon", "expected a length of time"),
        ("ring v=INNER", "<Ring.INNER: 'inner'>"),
        ("ring v=inner", "<Ring.INNER: 'inner'>"),
        ("ring v=2", "<Ring.OUTER: 2>"),
        ("ring v=iner", "expected one of INNER, OUTER - did you mean 'INNER'?"),
        ("rings v=inner,outer", "[<Ring.INNER: 'inner'>, <Ring.OUTER: 2>]"),
        ("maybe v=none", "None"),
        ("maybe v=3", "3"),
        ('window v={"begin":1}', "Window(begin=1, end=5)"),
        ("window v={", "v='{'"),
        ('table v={"a":1}', "{'a': 1}"),
        ("when v=2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("address v=10.0.0.1", "IPv4Address('10.0.0.1')"),
        ("address v=10.0.0", "v='10.0.0'"),
        ("path v=/etc", "Path('/etc')"),
        ("bare v=12", "'12'"),
        ("by_default v=4", "4"),
        ("rest a=x b=1 c=7", "('x', 1, {'c': 7})"),
    ],
)
def test_values_are_typed_by_the_functions_hints(folder, words, said):
    script(folder, TYPED)
    name, *values = words.split(" ")
    assert said in call("run", f"rollout.py:{name}", *values, status=2)


def test_a_labor_takes_no_values(ran):
    assert "is a Labor, and takes no values: 'x=1'" in call("run", "rollout.py", "x=1", status=2)


# ---- stores ----


@pytest.mark.parametrize(
    "command", ["ls", "show x", "watch x", "history x", "start x", "pause x", "resume x", "stop x"]
)
def test_a_store_that_is_not_there_is_not_made(folder, command):
    said = call(*command.split(), "--db", "nope.db", status=2)
    assert said.startswith("cogwork: there is no store nope.db")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "command", ["ls", "show x", "watch x", "history x", "pause x", "serve rollout.py", "run rollout.py"]
)
def test_a_file_that_is_no_store(folder, command):
    write_script(folder, text=GOOD.format(cog=f"shell_step_{next(_numbers)}"))
    (folder / "x.db").write_text("this is no database, but long enough to look like a file of something else " * 30)
    said = call(*command.split(), "--db", "x.db", status=2)
    assert said.startswith("cogwork: ")
    assert "x.db" in said


def test_the_store_may_be_named_by_the_environment(folder, monkeypatch):
    write_script(folder, text=GOOD.format(cog=f"shell_step_{next(_numbers)}"))
    monkeypatch.setenv("COGWORK_DB", "other.db")
    call("run", "rollout.py")
    assert only_labor(folder / "other.db").id[:8] in call("ls")


def test_nothing_can_be_seen_of_a_store_in_memory(folder):
    assert "in memory" in call("ls", "--db", "memory:", status=2)


# ---- ids ----


def test_any_unique_beginning_of_an_id_will_do(ran, folder):
    for id in (ran.id, ran.id.upper(), ran.id[:1], ran.id[:30]):
        assert "edge upgrade  COMPLETED" in call("show", id)
    beginning = "x" if ran.id[0] != "x" else "y"
    assert f"begins with '{beginning}'" in call("show", beginning, status=2)
    assert "begins with ''" in call("show", "", status=2)


def test_an_ambiguous_id_says_which_there_are(folder, monkeypatch):
    labors = [cw.Labor(f"l{n}", id=f"abcd{n}") for n in range(3)]

    class Reads:
        def ids(self, prefix):
            return [labor.id for labor in labors if labor.id.startswith(prefix)]

        def read_labor(self, id, full=True):
            return next(labor for labor in labors if labor.id == id)

    with pytest.raises(cw.CogworkError, match="beginning of 3 ids; type more of it:\n  abcd0  NOT_STARTED  l0\n"):
        _ids.find(Reads(), "abc", "x.db")
    assert _ids.find(Reads(), "abcd1", "x.db").labor is labors[1]


def test_tasks_and_targets_are_named_behind_a_slash(ran):
    short = ran.id[:6]
    assert "/canary  COMPLETED" in call("show", f"{short}/canary")
    assert "/rest/all  COMPLETED" in call("show", f"{short}/rest/all"), "a name may have a slash"
    said = call("show", f"{short}/rest/all/h2")
    assert "attempt 1  FAILURE" in said
    assert "RuntimeError: h2: no space left" in said
    assert call("show", ran["rest/all"]["h2"].id) == said
    assert call("show", ran["rest/all"]["h2"][0].id).startswith("'edge upgrade'")
    said = call("show", f"{short}/rst", status=2)
    assert "has no Task 'rst'" in said
    assert "'canary', 'rest/all'" in said
    assert "Task 'rest/all' has no Sequence 'h22' - did you mean 'h2'?" in call(
        "show", f"{short}/rest/all/h22", status=2
    )
    assert "is no Labor's id" in call("show", f"{ran['canary'].id}/h0", status=2)
    assert "has no object" in call("show", ran.id[:-8] + "0000ffff", status=2)


def test_what_completion_proposes(ran, folder):
    class Ctx:
        params = {"db": "cogwork.db"}  # noqa: RUF012

    def names(text):
        return [name for name, _help in _ids.complete(Ctx, text)]

    assert _ids.complete(Ctx, "") == [(ran.id, "COMPLETED edge upgrade")]
    assert names(ran.id[:3] + "/") == [f"{ran.id[:3]}/canary", f"{ran.id[:3]}/rest/all"]
    assert names(ran.id[:3] + "/can") == [f"{ran.id[:3]}/canary"]
    assert names(ran.id[:3] + "/rest/all/h") == [f"{ran.id[:3]}/rest/all/h{n}" for n in (1, 2, 3)]
    assert names("zz") == []
    Ctx.params["db"] = "nope.db"
    assert names("") == []


def test_completion_in_a_shell(ran):
    environment = {"_COGWORK_COMPLETE": "complete_bash", "COMP_WORDS": "cogwork show ", "COMP_CWORD": "2"}
    result = CliRunner().invoke(app, [], prog_name="cogwork", env=environment)
    assert ran.id in result.output
    environment |= {"COMP_WORDS": "cogwork pa", "COMP_CWORD": "1"}
    assert "pause" in CliRunner().invoke(app, [], prog_name="cogwork", env=environment).output


# ---- looking ----


def test_ls_lists_the_latest_first_and_filters(ran, folder):
    call("run", "rollout.py")
    rows = [json.loads(line) for line in call("ls", "--json").splitlines()]
    assert [row["state"] for row in rows] == ["COMPLETED", "COMPLETED"]
    assert rows[1]["id"] == ran.id
    assert rows[0]["submitted"] > rows[1]["submitted"]
    assert "tasks" not in rows[0]
    lines = call("ls").splitlines()
    assert len(lines) == 3
    assert "edge upgrade" in lines[1]
    assert "#edge" in lines[1]
    assert "there are more" in call("ls", "-n", 1)
    assert len(call("ls", "-n", 0).splitlines()) == 3
    for words in (["--state", "running"], ["--tag", "x"], ["--name", "nope"], ["--target", "h9"]):
        assert "no Labors in cogwork.db that pass" in call("ls", *words)
    for words in (["--state", "completed"], ["--tag", "edge"], ["--name", "edge"], ["--target", "h1"]):
        assert len(call("ls", *words).splitlines()) == 3
    assert "there is no state 'gone'; there is NOT_STARTED" in call("ls", "--state", "gone", status=2)


def test_show_tells_all_of_a_labor(ran):
    said = call("show", ran.id[:4])
    for word in (
        "edge upgrade  COMPLETED",
        "canary",
        "rest/all",
        "lost 1",
        "h2",
        "no space left",
        ran.id,
        "new firmware",
    ):
        assert word in said, word
    assert "\x1b" not in said, "no escapes in a pipe"
    shown = json.loads(call("show", ran.id[:4], "--json"))
    assert shown["tasks"][1]["sequences"][1]["state"] == "FAILED"
    assert shown["tasks"][1]["sequences"][0]["jobs"][0]["output"] == "h1 done"
    shown = json.loads(call("show", f"{ran.id[:4]}/rest/all/h2", "--json"))
    assert shown["jobs"][0]["attempts"][0]["status"] == "FAILURE"
    assert re.search(r"h2 +FAILED +\d.* no space left", call("show", f"{ran.id[:4]}/rest/all"))


def test_history_tells_who_and_when(ran, folder):
    said = call("history", ran.id[:4])
    assert re.search(r"RUNNING +Labor 'edge upgrade'", said)
    assert re.search(r"FAILED +rest/all/h2\n", said)
    rows = [json.loads(line) for line in call("history", ran.id[:4], "--json").splitlines()]
    assert [row["number"] for row in rows] == sorted(row["number"] for row in rows)
    assert rows[-1]["to_state"] == "COMPLETED"
    assert rows[-1]["name"] == "Labor 'edge upgrade'"
    assert len(call("history", ran.id[:4], "--json", "--since", rows[-2]["number"]).splitlines()) == 1
    part = [json.loads(line)["name"] for line in call("history", f"{ran.id[:4]}/rest/all/h2", "--json").splitlines()]
    assert set(part) == {"rest/all/h2", f"rest/all/h2 {ran['rest/all']['h2'][0].cog_path}"}
    call("pause", ran.id[:4], "--by", "eve", "--note", "late", status=1)
    said = call("history", ran.id[:4], "--signals")
    assert re.search(r'PAUSE +Labor .edge upgrade.  by eve "late" \(refused\)', said), "refused ones too (G9)"
    assert "RUNNING" not in said


def test_watching_what_has_ended(ran):
    assert "Labor 'edge upgrade': COMPLETED" in call("watch", ran.id[:4])
    rows = [json.loads(line) for line in call("watch", ran.id[:4], "--json").splitlines()]
    assert rows[-1]["to_state"] == "COMPLETED"
    assert "is a part of a Labor" in call("watch", f"{ran.id[:4]}/canary", status=2)


def test_what_a_labor_holds_is_shown_as_text(folder):
    evil = "a\x1b[31m[bold]b\nc\u202e\x07"
    write_script(
        folder,
        text=f"import cogwork as cw\n@cw.cog\ndef evil_one(x: str) -> str:\n    return x\nlabor = cw.Labor({evil!r}, tasks=[cw.Task({evil!r}, "
        f"sequences=[cw.Sequence({evil!r}, jobs=[evil_one.job(x={evil!r}).replace(name={evil!r})])])])\n",
    )
    said = call("run", "rollout.py")
    labor = only_labor(folder / "cogwork.db")
    said += call("ls") + call("show", labor.id) + call("history", labor.id) + call("show", labor.tasks[0].id)
    said += call("show", labor.tasks[0].sequences[0].id) + call("watch", labor.id)
    assert "[bold]b" in said
    for char in ("\x1b", "\u202e", "\x07"):
        assert char not in said
    assert json.loads(call("ls", "--json"))["name"] == evil


# ---- signals ----


@pytest.fixture
def waiting(folder) -> cw.Labor:
    """A Labor that waits to be started, in a store that no engine owns."""
    name = f"shell_step_{next(_numbers)}"
    write_script(folder, text=GOOD.format(cog=name))
    cog = cw.cog(name=name)(lambda: None)
    with pytest.warns(cw.CogworkWarning), cw.Engine(folder / "cogwork.db") as engine:
        tasks = [cw.Task("t", sequences=[cw.Sequence("s", jobs=[cog.job()])])]
        engine.submit(cw.Labor("waits", tasks=tasks), start=False)
    return only_labor(folder / "cogwork.db")


def test_without_an_engine_a_signal_is_stored(waiting, folder):
    said = call("start", waiting.id[:5], "--by", "alice")
    assert "no engine runs on cogwork.db, so START is stored" in said
    assert "cogwork serve" in said
    answer = json.loads(call("stop", waiting.id[:5], "--json"))
    assert answer == {
        "id": waiting.id, "signal": "STOP", "stored": True, "done": False, "applied": False, "state": answer["state"],
    }  # fmt: skip


def test_an_engine_of_this_process_takes_signals(folder, make_cog, gate):
    def blocked() -> None:
        gate()

    cog = make_cog(blocked)
    with cw.Engine(folder / "cogwork.db") as engine:
        tasks = [cw.Task("t", concurrency=2, sequences=[cw.Sequence(f"s{n}", jobs=[cog.job()]) for n in range(3)])]
        handle = engine.submit(cw.Labor("held", tasks=tasks))
        gate.wait_for(2)
        id = handle.id[:6]
        said = call("pause", id, "--timeout", "0", "--note", "lunch", status=5)
        assert "PAUSE is taken, and not done yet" in said
        gate.open()
        said = call("pause", id, "--crisis")
        assert "CRISIS_PAUSED" in said
        assert "crisis-paused by" in call("ls")
        assert "crisis_resume" in call("resume", id, status=1)
        assert "PAUSED" in call("resume", id, "--crisis")
        assert "two ranks" in call("pause", id, "--admin", "--crisis", status=2)
        assert "a signal is sent to a Labor, a Task or a Sequence" in call(
            "stop", handle.read()["t"]["s0"][0].id, status=2
        )
        assert "STOP did nothing" in call("stop", f"{id}/t/s0", status=1), "it has ended"
        assert "a Labor is started as a whole" in call("start", f"{id}/t", status=2)
        assert "PAUSED" in call("ls")
        assert "STOPPED" in call("stop", id)
        assert handle.wait(20).state == cw.State.STOPPED


def test_errors_are_one_message_on_stderr(folder):
    result = CliRunner().invoke(app, ["ls"], prog_name="cogwork")
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    result = CliRunner().invoke(app, ["pause"], prog_name="cogwork")
    assert result.exit_code == 2
    assert "there is no store cogwork.db" in result.stderr
    assert CliRunner().invoke(app, ["plan", "x"], prog_name="cogwork").exit_code == 2


def test_the_version():
    assert call("--version") == f"cogwork {cw.__version__}\n"


# ---- looking back ----


def test_d7_show_at_is_the_labor_as_it_stood(ran):
    short = ran.id[:8]
    first = ran["canary"].sequences[0]
    attempt = first[0].attempts[0]
    at = (attempt.started + (attempt.ended - attempt.started) / 2).isoformat()
    said = call("show", short, "--at", at)
    assert "as it stood at" in said
    assert "RUNNING" in said
    assert "COMPLETED" not in said
    assert f"{first.target}" in said, "what was in flight"
    told = json.loads(call("show", short, "--at", at, "--json"))
    assert (told["state"], told["tasks"][1]["state"]) == ("RUNNING", "NOT_STARTED")
    told = json.loads(call("show", f"{short}/canary", "--at", "0", "--json"))
    assert told["state"] == "NOT_STARTED"
    part = call("show", f"{short}/canary/{first.target}", "--at", at)
    assert "executing" in part
    assert call("show", short, "--at", "0").count("NOT_STARTED") > 0
    assert "is no moment" in call("show", short, "--at", "soon", status=2)
    assert "was not there yet" in call("show", short, "--at", "2001-01-01", status=2)
    assert "there is no change 999999" in call("show", short, "--at", "999999", status=2)


def test_history_in_colours_has_the_words_of_the_plain_one(ran):
    import io

    from rich.console import Console

    from cogwork.cli._console import Lines

    parts = [("10:02:11.000  ", "dim"), ("RUNNING  ", "cyan"), ("h[0]-1", ""), ("", "yellow")]
    plain, coloured = io.StringIO(), io.StringIO()
    Lines(Console(file=plain)).put(parts)
    Lines(Console(file=coloured, force_terminal=True, color_system="standard")).put(parts)
    assert plain.getvalue() == "10:02:11.000  RUNNING  h[0]-1\n"
    assert "\x1b[36mRUNNING  \x1b[0m" in coloured.getvalue()
    assert "h[0]-1" in coloured.getvalue()
