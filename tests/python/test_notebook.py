"""In a real kernel: the live view, an interrupt of it, and the example notebook from top to bottom."""

from __future__ import annotations

import os
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

import cogwork as cw
from cogwork import _notebook

ROOT = pathlib.Path(__file__).parents[2]
INSPECT = ROOT / "examples" / "notebooks" / "inspect.ipynb"

SETUP = """
import signal, threading
import cogwork as cw

go = threading.Event()
pictures = []
on_first = [go.set]

def count(message):  # called with each message that this kernel publishes
    if "text/html" in message["content"].get("data", {}):
        pictures.append(message["msg_type"])
        if len(pictures) == 1:
            on_first[0]()
    return message

get_ipython().display_pub.register_hook(count)

@cw.cog
def wait(host: str) -> str:
    assert go.wait(60)
    return host

def labor() -> cw.Labor:
    return cw.Labor("edge upgrade", tasks=[cw.Task("rest", sequences=[cw.Sequence(h, jobs=[wait.job(host=h)]) for h in ("a", "b")])])

engine = cw.Engine("memory:", grace=0.1)
"""


def run(notebook: nbformat.NotebookNode, folder: pathlib.Path, **environment: str) -> nbformat.NotebookNode:
    """Executes it in a kernel of its own, that imports the cogwork which is tested here."""
    package = pathlib.Path(cw.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(package), **environment}
    client = NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute(env=env)


def run_cells(folder: pathlib.Path, *cells: str) -> list[list[nbformat.NotebookNode]]:
    """The outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return [cell.outputs for cell in run(notebook, folder).cells]


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).replace("\u00a0", " ").split())


def test_here_is_no_kernel():
    assert not _notebook.at_hand()


def test_watch_shows_one_picture_that_is_replaced_and_stays(tmp_path):
    _, watched, after = run_cells(
        tmp_path,
        SETUP,
        "done = engine.submit(labor()).watch()",
        "print(done.state.name, pictures[0], set(pictures[1:])); done",
    )
    (picture,) = watched
    assert picture.output_type == "display_data"
    text = text_of(picture.data["text/html"])
    assert "edge upgrade COMPLETED" in text, "the last picture stays in the saved notebook"
    assert "ok 2 of 2" in text
    printed, labor = after
    assert printed.text == "COMPLETED display_data {'update_display_data'}\n"
    assert "edge upgrade COMPLETED" in text_of(labor.data["text/html"])
    assert labor.data["text/plain"].startswith("Labor(name='edge upgrade'")


def test_a_notebook_that_shows_nothing_any_more_does_not_end_the_watch(tmp_path):
    broken = """
import IPython.display
def broken(*_, **__):
    raise ValueError("the front end is gone")
IPython.display.DisplayHandle.display = broken
go.set()
print(engine.submit(labor()).watch().state.name)
"""
    _, watched = run_cells(tmp_path, SETUP, broken)
    said = "".join(output.text for output in watched)
    assert "COMPLETED" in said
    assert said.count("the display failed (ValueError: the front end is gone); what runs goes on") == 1


def test_an_interrupt_ends_the_display_and_the_labor_goes_on(tmp_path):
    interrupt = """
on_first[0] = lambda: threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,)).start()
handle = engine.submit(labor())
try:
    handle.watch()
except KeyboardInterrupt:
    print("interrupted;", handle.state.name)
"""
    _, watched, after, again = run_cells(
        tmp_path, SETUP, interrupt, "go.set(); print(handle.wait().state.name)", "engine.close(); handle"
    )
    *pictures, printed = watched
    text = text_of(pictures[-1].data["text/html"])
    assert "edge upgrade RUNNING" in text
    assert "The display was interrupted. The Labor goes on; watch() shows it again." in text
    assert printed.text == "interrupted; RUNNING\n"
    assert after[0].text == "COMPLETED\n"
    assert "This is what is stored: the engine is closed" in text_of(again[0].data["text/html"])


def test_watch_says_when_its_engine_closes(tmp_path):
    close = """
on_first[0] = lambda: threading.Thread(target=engine.close, kwargs={"interrupt": True}).start()
handle = engine.submit(labor())
try:
    handle.watch()
except cw.EngineClosed as error:
    print(error)
go.set()
"""
    _, watched = run_cells(tmp_path, SETUP, close)
    pictures = [output for output in watched if "data" in output]
    assert len(pictures) == 1
    assert "edge upgrade" in text_of(pictures[0].data["text/html"])
    assert re.search(r"the engine (is )?closed", text_of(pictures[0].data["text/html"]))


def test_the_example_has_no_outputs_and_tells_what_happened(tmp_path):
    notebook = nbformat.read(INSPECT, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells), (
        "stored without outputs"
    )
    done = run(notebook, INSPECT.parent, COGWORK_DB=str(tmp_path / "night.db"))
    assert (tmp_path / "night.db").exists(), "without a file it makes one"
    told = []
    for cell in done.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "stream", output
            told.append(text_of(output.data.get("text/html", output.data.get("image/svg+xml", ""))))
    everything = "\n".join(told)
    for words in (
        "fleet to 2.1.0 COMPLETED",
        "fleet to 2.1.1 FAILED CONT_CHECK_FAILURE",
        "no Labor found",
        "the limit is 3.0%",
        "setting 'legacy_tls' is not known to version 2.1.0",
        "INC-4711",
        "check: errors_below",
    ):
        assert words in everything.replace("&#x27;", "'"), words


@pytest.mark.parametrize("path", sorted(INSPECT.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_small(path):
    assert path.stat().st_size < 20_000
