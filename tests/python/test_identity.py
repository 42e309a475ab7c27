"""C1, R4: a Cog is who it says: one identity for a module however it was started, and no other function under its name in silence."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import itertools
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
from conftest import one

import cogwork as cw

_numbers = itertools.count(1)

ENV = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def run(cwd: pathlib.Path, *words: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=cwd, env={**ENV, **env}, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- R4: modules ----

MODULE = """
import cogwork as cw

@cw.cog(idempotent=True)
def upgrade(host: str) -> str:
    return host

class Tool:
    @staticmethod
    @cw.cog(name="static")
    def method(host: str) -> str:
        return host

def report():
    print(upgrade.origin, Tool.method.origin)

if __name__ in ("__main__", "__mp_main__", "told"):
    report()
"""

STARTS = {
    "script in its folder": ("pkg", ["rollout.py"]),
    "script by its path": (".", ["pkg/rollout.py"]),
    "script by an absolute path": (".", ["{root}/pkg/rollout.py"]),
    "python -m": (".", ["-m", "pkg.rollout"]),
    "import": (".", ["-c", "import pkg.rollout as r; r.report()"]),
    "import in its folder": ("pkg", ["-c", "import rollout as r; r.report()"]),
    "runpy of the path": (".", ["-c", "import runpy; runpy.run_path('pkg/rollout.py', run_name='__main__')"]),
    "runpy of the path, unnamed": (".", ["-c", "import runpy; runpy.run_path('pkg/rollout.py')['report']()"]),
    "runpy of the module": (
        ".",
        ["-c", "import runpy; runpy.run_module('pkg.rollout', run_name='__main__', alter_sys=True)"],
    ),
    "cogwork's import": (
        ".",
        ["-c", "from cogwork._importing import import_source as i; i('pkg/rollout.py').report()"],
    ),
    "cogwork's import of the module": (
        ".",
        ["-c", "from cogwork._importing import import_source as i; i('pkg.rollout').report()"],
    ),
    "a child of multiprocessing": (".", ["-c", "SPAWN"]),
}


@pytest.mark.parametrize("package", [True, False], ids=["package", "folder"])
@pytest.mark.parametrize("start", STARTS)
def test_r4_a_module_has_one_name_however_it_was_started(tmp_path, start, package):
    folder, words = STARTS[start]
    if not package and folder == "." and ("pkg.rollout" in " ".join(words)):
        pytest.skip("a module of a package")
    (tmp_path / "pkg").mkdir()
    if package:
        (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "rollout.py").write_text(MODULE)
    if words == ["-c", "SPAWN"]:
        (tmp_path / "pkg" / "main.py").write_text(
            MODULE
            + textwrap.dedent("""
            def child():
                report()

            if __name__ == "__main__":
                import multiprocessing
                process = multiprocessing.get_context("spawn").Process(target=child)
                process.start()
                process.join()
                import sys
                sys.exit(process.exitcode)
            """)
        )
        lines = set()
        for started in (["pkg/main.py"], ["-m", "pkg.main"]) if package else (["pkg/main.py"],):
            lines |= set(run(tmp_path, *started).splitlines())
        name = "pkg.main" if package else "main"
        assert lines == {f"{name}:upgrade {name}:Tool.method"}
        return
    name = "pkg.rollout" if package else "rollout"
    out = run(tmp_path / folder, *(word.format(root=tmp_path) for word in words))
    assert out == f"{name}:upgrade {name}:Tool.method"


def test_r4_packages_that_are_run(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(MODULE)
    (tmp_path / "pkg" / "__main__.py").write_text(
        "from pkg import report; report()\n"
        + MODULE.replace('"static"', '"other"').replace("def upgrade", "def drain").replace("upgrade.", "drain.")
    )
    expected = ["pkg:upgrade pkg:Tool.method", "pkg.__main__:drain pkg.__main__:Tool.method"]
    assert run(tmp_path, "-m", "pkg").splitlines() == expected
    assert run(tmp_path, "-c", "import pkg.__main__ as m; m.report()").splitlines() == expected
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(MODULE)
    assert run(tmp_path, "app") == "app:upgrade app:Tool.method"


def test_r4_a_labor_of_python_m_is_taken_up_by_an_import(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "rollout.py").write_text(
        textwrap.dedent(
            """
            import cogwork as cw, os

            @cw.cog(idempotent=True)
            def upgrade(host: str) -> str:
                if os.environ.get("DIE"):
                    os._exit(9)
                return "ok"

            if __name__ == "__main__":
                with cw.Engine("l.db") as e:
                    e.run(cw.Labor("x", tasks=[cw.Task("t", sequences=[cw.Sequence("a", jobs=[upgrade.job("a")])])]))
            """
        )
    )
    died = subprocess.run([sys.executable, "-m", "pkg.rollout"], cwd=tmp_path, env={**ENV, "DIE": "1"}, timeout=100)
    assert died.returncode == 9
    code = """
    import warnings
    import cogwork as cw, pkg.rollout
    warnings.simplefilter("ignore", cw.CogworkWarning)
    with cw.Engine("l.db") as e:
        print(len(e.taken_up), e.stats().waiting, [e.handle(l.id).wait(60).state.name for l in e.search()])
    """
    assert run(tmp_path, "-c", textwrap.dedent(code)) == "1 [] ['COMPLETED']"


# ---- C1: functions ----


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A module of one's own, to be loaded anew."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = []

    def make(name: str, source: str):
        names.append(name)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return importlib.reload(sys.modules[name]) if name in sys.modules else importlib.import_module(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


class Driver:
    def __init__(self, vendor: str) -> None:
        self.vendor = vendor

    def push(self, host: str) -> str:
        return f"{self.vendor} push to {host}"

    async def apush(self, host: str) -> str:
        return f"{self.vendor} push to {host}"

    def __call__(self, host: str) -> str:
        return f"{self.vendor} call of {host}"


def with_connection(function):
    def inner(host: str) -> str:
        return function(host)

    return inner


def drained(host: str) -> str:
    return f"drained {host}"


def wiped(host: str) -> str:
    return f"WIPED {host}"


def factory(vendor):
    def upgrade(host: str) -> str:
        return f"{vendor} on {host}"

    return upgrade


def by_default(vendor):
    def upgrade_by_default(host: str, *, vendor: str = vendor) -> str:
        return f"{vendor} on {host}"

    return upgrade_by_default


def called(cog) -> object:
    made = cog("h")
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


TWINS = {
    "factory": lambda: (factory("ios"), factory("junos")),
    "factory with defaults": lambda: (by_default("ios"), by_default("junos")),
    "bound": lambda: (Driver("ios").push, Driver("junos").push),
    "bound async": lambda: (Driver("ios").apush, Driver("junos").apush),
    "lambdas": lambda: (lambda host: f"A {host}", lambda host: f"B {host}"),
    "decorator without wraps": lambda: (with_connection(drained), with_connection(wiped)),
    "objects": lambda: (Driver("ios"), Driver("junos")),
    "partials": lambda: (functools.partial(Driver.push, Driver("ios")), functools.partial(Driver.push, Driver("x"))),
    "partials of a lambda": lambda: (
        functools.partial(lambda i, host: i, 1),
        functools.partial(lambda i, host: i, 2),
    ),
}


@pytest.mark.parametrize("kind", TWINS)
def test_c1_another_function_of_the_same_name_is_an_error_that_names_both(kind):
    first, second = TWINS[kind]()
    options = {"name": f"twin {kind}"} if kind in ("objects", "partials", "partials of a lambda") else {}
    kept = cw.cog(**options)(first)
    with pytest.raises(cw.CogError, match="made twice") as caught:
        cw.cog(**options)(second)
    assert str(caught.value).count(f"{pathlib.Path(__file__).name}:") >= 2
    assert "@cog(name=...)" in str(caught.value)
    with cw.Engine("memory:") as engine:
        done = engine.run(one(kept.job(host="h")), timeout=60)
        assert done["task"]["host"][0].output == called(kept), "the first is what it was"
    named = cw.cog(name=f"second {kind}")(second)
    with cw.Engine("memory:") as engine:
        done = engine.run(one(kept.job(host="h"), named.job(host="h")), timeout=60)
        assert [job.output for job in done["task"]["host"].jobs] == [called(kept), called(named)]


@pytest.mark.parametrize("kind", TWINS)
def test_c1_when_nobody_uses_the_first_any_more_the_second_has_the_name(kind):
    options = {"name": f"later {kind}"}
    for function in TWINS[kind]():
        cog = cw.cog(**options)(function)
        with cw.Engine("memory:") as engine:
            done = engine.run(one(cog.job(host="h")), timeout=60)
            assert done["task"]["host"][0].output == called(cog)
        del cog, done


@pytest.mark.parametrize("kind", TWINS)
def test_c1_a_job_of_the_first_is_refused_when_the_second_has_the_name(engine, kind):
    first, second = TWINS[kind]()
    job = cw.cog(name=f"refused {kind}")(first).job(host="h")
    gc.collect()
    later = cw.cog(name=f"refused {kind}")(second)
    with pytest.raises(cw.ValidationError, match="not the one that is called") as caught:
        engine.submit(one(later.job(host="h"), job.replace(timeout=5)))
    assert [issue.place for issue in caught.value.errors] == ["Task[0].Sequence[0].Job[1] ('task', 'host')"]
    by_name = cw.Job(later.name, {"host": "h"})
    assert engine.run(one(by_name), timeout=60)["task"]["host"][0].output == called(later)


def test_c1_while_a_labor_of_the_first_goes_on_the_second_is_an_error(engine):
    job = cw.cog(name="goes on")(factory("ios")).job(host="h")
    handle = engine.submit(one(job), start=False)
    gc.collect()
    with pytest.raises(cw.CogError, match="made twice"):
        cw.cog(name="goes on")(factory("junos"))
    handle.start()
    assert handle.wait(60)["task"]["host"][0].output == "ios on h"
    assert cw.cog(name="goes on")(factory("junos"))("h") == "junos on h"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_c1_local_cogs_that_call_each_other_are_made_anew(engine, n):
    """As a test with parameters makes them."""

    @cw.cog
    def local_inner(host: str) -> int:
        return n

    @cw.cog
    def local_outer(host: str) -> int:
        return local_inner(host)

    done = engine.run(one(local_inner.job("h"), local_outer.job("h")), timeout=60)
    assert [job.output for job in done["task"]["host"].jobs] == [n, n]


def test_c1_the_same_function_again_is_fine():
    cell = [1]

    def make():
        def counted(host: str) -> int:
            return len(cell)

        return counted

    driver = Driver("ios")
    kept = [
        cw.cog(name="again")(factory("ios")),
        cw.cog(name="again")(factory("ios")),
        cw.cog(make()),
        cw.cog(make()),
        cw.cog(driver.push),
        cw.cog(driver.push),
        cw.cog(name="of partial")(functools.partial(driver.push)),
        cw.cog(name="of partial")(functools.partial(driver.push)),
        cw.cog(name="drained twice")(drained),
        cw.cog(name="drained twice")(drained),
        cw.cog(name="with wraps")(functools.wraps(drained)(with_connection(drained))),
        cw.cog(name="with wraps")(functools.wraps(drained)(with_connection(drained))),
    ]
    assert len({cog.name for cog in kept}) == 6
    for cog in kept:
        assert cw.cog(cog).origin == cog.origin, "a Cog of a Cog is one of its function"


def test_c1_a_def_of_a_module_anew_replaces_it_though_the_old_one_is_referred_to(engine, scratch):
    source = """
    import functools
    import cogwork as cw

    def noted(function):
        @functools.wraps(function)
        def inner(*args):
            return "noted " + function(*args)
        return inner

    @cw.cog(name="scratch_upgrade")
    def upgrade(host: str) -> str:
        return f"VERSION {host}"

    @cw.cog(name="scratch_noted")
    @noted
    def noted_one(host: str) -> str:
        return f"VERSION {host}"

    class Tool:
        @staticmethod
        @cw.cog(name="scratch_static")
        def upgrade(host: str) -> str:
            return f"VERSION {host}"

    def make(n):
        @cw.cog(name=f"scratch_made_{n}")
        def made(host: str) -> str:
            return f"VERSION {n} {host}"
        return made

    made = [make(1), make(2)]

    class Driver:
        def push(self, host: str) -> str:
            return f"VERSION {host}"

    driver = Driver()
    pushed = cw.cog(name="scratch_pushed")(driver.push)
    short = cw.cog(name="scratch_lambda")(lambda host: f"VERSION {host}")
    """
    source = source.replace("scratch_", f"scratch_{next(_numbers)}_")
    module = scratch("cogwork_scratch", source.replace("VERSION", "first"))
    old = dict(vars(module))
    jobs = [old[name].job("h") for name in ("upgrade", "noted_one", "pushed", "short")]
    jobs += [old["made"][1].job("h"), old["Tool"].upgrade.job("h")]
    module = scratch("cogwork_scratch", "# moved\n" + textwrap.dedent(source.replace("VERSION", "second")))
    new = [module.upgrade, module.noted_one, module.pushed, module.short, module.made[1], module.Tool.upgrade]
    done = engine.run(one(*(cog.job("h") for cog in new)), timeout=60)
    wanted = ["second h", "noted second h", "second h", "second h", "second 2 h", "second h"]
    assert [job.output for job in done["task"]["host"].jobs] == wanted
    # A Job of the old one runs the new one, where that is the same def anew; and is never run by another in silence.
    done = engine.run(one(jobs[0], jobs[1], jobs[5]), timeout=60)
    assert [job.output for job in done["task"]["host"].jobs] == ["second h", "noted second h", "second h"]
    for job in jobs[2:5]:
        with pytest.raises(cw.ValidationError, match="not the one that is called"):
            engine.submit(one(job))


def test_c1_a_cell_of_a_notebook_that_is_run_again(engine):
    main = {"__name__": "__cell__", "cw": cw, "factory": factory}
    cell = "@cw.cog(name='cell_upgrade')\ndef upgrade(host: str) -> str:\n    return 'first ' + host\n"
    made = "ios = cw.cog(name='cell_ios')(factory('ios'))\n"
    for source in (cell, cell, cell.replace("first", "second"), made, made):
        exec(compile(source, "<cell>", "exec"), main)
    done = engine.run(one(main["upgrade"].job("h"), main["ios"].job("h")), timeout=60)
    assert [job.output for job in done["task"]["host"].jobs] == ["second h", "ios on h"]
    made_other = made.replace("'ios')\n", "'junos')\n").replace("factory('ios')", "factory('junos')")
    exec(compile(made_other, "<cell>", "exec"), main)
    assert engine.run(one(main["ios"].job("h")), timeout=60)["task"]["host"][0].output == "junos on h"


# ---- what can be a Cog ----


def run_one(engine: cw.Engine, job: cw.Job) -> cw.Job:
    return engine.run(one(job), timeout=60).tasks[0].sequences[0].jobs[0]


class Device:
    kind = "device"

    @cw.cog(name="device_st")
    @staticmethod
    def st(host: str) -> str:
        return "st " + host

    @staticmethod
    @cw.cog(name="device_st2")
    def st2(host: str) -> str:
        return "st2 " + host

    @classmethod
    def cm(cls, host: str) -> str:
        return cls.kind + host


@functools.lru_cache
def cached(host: str) -> str:
    return "cached " + host


@functools.singledispatch
def dispatched(host) -> str:
    return "dispatched"


CALLABLES = {
    "static inside": (lambda: Device.st, {"host": "h"}, "st h"),
    "static outside": (lambda: Device.st2, {"host": "h"}, "st2 h"),
    "class method": (lambda: cw.cog(name="c_cm")(Device.cm), {"host": "h"}, "deviceh"),
    "bound": (lambda: cw.cog(name="c_bound")(Driver("ios").push), {"host": "h"}, "ios push to h"),
    "object": (lambda: cw.cog(name="c_object")(Driver("ios")), {"host": "h"}, "ios call of h"),
    "lambda": (lambda: cw.cog(name="c_lambda")(lambda host: "l " + host), {"host": "h"}, "l h"),
    "partial": (
        lambda: cw.cog(name="c_partial")(functools.partial(Driver.push, Driver("ios"))),
        {"host": "h"},
        "ios push to h",
    ),
    "partial by name": (
        lambda: cw.cog(name="c_named")(functools.partial(lambda a, host: f"{a}{host}", a=1)),
        {"host": "h"},
        "1h",
    ),
    "builtin": (lambda: cw.cog(name="c_len")(len), {"obj": "abc"}, 3),
    "cached": (lambda: cw.cog(name="c_cached")(cached), {"host": "h"}, "cached h"),
    "single dispatch": (lambda: cw.cog(name="c_dispatched")(dispatched), {"host": "h"}, "dispatched"),
    "a Cog": (lambda: cw.cog(name="c_again")(Device.st), {"host": "h"}, "st h"),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_c2_what_can_be_called_can_be_a_cog(engine, kind):
    make, args, output = CALLABLES[kind]
    cog = make()
    assert run_one(engine, cog.job(**args)).output == output
    assert ":" in cog.origin
    assert "_lru_cache_wrapper" not in cog.origin


class Refused:
    def method(self, host: str) -> str:
        return host

    @classmethod
    def of_class(cls, host: str) -> str:
        return host


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cw.cog(name="n")(None), "decorates a function"),
        (lambda: cw.cog(Device), "decorates a function"),
        (lambda: cw.cog(Driver("ios")), "give it one"),
        (lambda: cw.cog(print), r"\*args"),
        (lambda: cw.cog(lambda *hosts: 1), r"\*hosts"),
        (lambda: cw.cog(lambda **more: 1), r"\*\*more"),
        (lambda: cw.cog(name="./x")(drained), "a program"),
        (lambda: cw.cog(name="a/b")(drained), "a program"),
        (lambda: cw.cog(name="python:x")(drained), "a program"),
        (lambda: cw.cog(name="a\nb")(drained), "shown"),
        (lambda: cw.cog(name="command")(drained), "taken by cogwork:command"),
        (lambda: cw.cog(dict), "decorates a function"),
    ],
)
def test_c2_what_cannot_be_a_cog_says_so(make, words):
    with pytest.raises(cw.CogError, match=words):
        make()


def late_context(host: str, ctx: cw.Context) -> str:
    return ctx.target


def not_annotated(ctx, host: str) -> str:
    return str(ctx)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (Refused.method, "'self'"),
        (Refused.__dict__["of_class"].__func__, "'cls'"),
        (late_context, "must be the first parameter"),
        (not_annotated, "`ctx: cw.Context`"),
    ],
)
def test_s2_first_mistakes_of_cogs_are_told_at_submit_with_the_place(engine, function, words):
    cog = cw.cog(name=f"mistaken {function.__qualname__}")(function)
    with pytest.raises(cw.ValidationError, match=words) as caught:
        engine.submit(one(cw.Job(cog.name, {"host": "h"})))
    assert caught.value.errors[0].place == "Task[0].Sequence[0].Job[0] ('task', 'host')"


def test_c2_a_context_may_have_a_default(engine):
    @cw.cog(name="optional_context")
    def optional(ctx: cw.Context | None = None, host: str = "z") -> str:
        return ctx.target if ctx else "called"

    assert run_one(engine, optional.job("r1")).output == "host"
    assert optional() == "called"
