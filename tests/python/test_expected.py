"""What a submitter takes the Cogs of an engine for (C1, R4): the same functions, with the same code."""

from __future__ import annotations

import types

import pytest
from conftest import one

import cogwork as cw
from cogwork._expected import digest, expected, require

ORIGINAL = """
def helper(host):
    return host.upper()

def step(host: str) -> str:
    return helper(host) + "2.1"
"""


def coded(source: str, name: str = "step") -> str:
    module = types.ModuleType("of_a_test")
    exec(compile(source, "of_a_test.py", "exec"), module.__dict__)
    return digest(cw.cog(name=f"digested_{name}")(module.__dict__[name]))


@pytest.mark.parametrize(
    "edit",
    [
        ("2.1", "2.2"),
        ("upper()", "lower()"),
        ("helper(host) +", "host +"),
        ("(host: str)", "(host: str, more: int = 1)"),
    ],
)
def test_c1_other_code_has_another_digest_also_in_what_it_calls(edit):
    assert coded(ORIGINAL) != coded(ORIGINAL.replace(*edit))


@pytest.mark.parametrize("edit", [("def helper", "# a comment\n\n\ndef helper"), ("def step", "other = 5\n\ndef step")])
def test_lines_and_what_it_does_not_call_do_not_count(edit):
    assert coded(ORIGINAL) == coded(ORIGINAL.replace(*edit))


def test_recursion_and_what_is_no_function_have_an_end(make_cog):
    def counts(n: int) -> int:
        return n and counts(n - 1)

    class Caller:
        def __call__(self, host: str) -> None: ...

    assert digest(make_cog(counts))
    assert digest(cw.cog(name="called_by_an_object")(Caller())) == ""


def test_c1_what_is_meant_must_be_there(make_cog):
    def step(host: str) -> str:
        return host

    cog = make_cog(step)
    meant = expected(one(cog.job("a"), cw.Job("never heard of", {}), cw.command.job(["true"])))
    assert list(meant) == [cog.name]
    require(meant)
    [origin, code] = meant[cog.name]
    for other, said in [
        ({"nowhere": ["some.module:nowhere", ""]}, r"'nowhere' \(some.module:nowhere\) is not known to it"),
        ({cog.name: ["other:step", code]}, f"is {origin} there, and other:step is meant"),
        ({cog.name: [origin, code[:-1] + "?"]}, "before its code was changed"),
    ]:
        with pytest.raises(cw.CogError, match=said):
            require(other)
    require({cog.name: [origin, "another-python:" + code]})
    require({cog.name: [origin, ""]})


def test_c1_a_client_may_say_what_it_means(tmp_path, monkeypatch, make_cog):
    monkeypatch.setenv("COGWORK_RUNTIME_DIR", str(tmp_path / "run"))

    def step(host: str) -> str:
        return host

    cog = make_cog(step)
    labor = one(cog.job("a"))
    with cw.Engine(tmp_path / "l.db") as engine, cw.connect(tmp_path / "l.db") as client:
        pending = client._submit(labor, True, None, {cog.name: ["other:step", ""]})
        assert pending.completion.wait(30)
        with pytest.raises(cw.CogError, match="is meant"):
            pending.result()
        assert list(engine.search()) == [], "nothing is stored"
        pending = client._submit(labor, True, None, expected(labor))
        assert pending.completion.wait(30)
        assert engine.handle(pending.result()).wait(30).state is cw.State.COMPLETED
