"""In a notebook: handles that show themselves, and `handle.watch()` as a picture that is replaced while the Labor runs."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._display import looking
from ._errors import EngineClosed
from ._html import labor_html, progress_html, remark_html, sequence_html, task_html, task_progress_html
from ._logs import Heard, told
from ._model import Labor
from ._waiting import wait_for

if TYPE_CHECKING:
    from ._handle import Handle, LaborHandle, SequenceHandle, TaskHandle

_LINES = 20  # of what Cogs said, the latest
_REFRESH = 0.25  # seconds between two pictures, at the least
_CLOCK = 1.0  # and at the most: times go on where nothing else changes


def at_hand() -> bool:
    """Whether this is a kernel of Jupyter: what it shows goes to a notebook. Those of VS Code and Colab derive from it."""
    ipython = sys.modules.get("IPython")  # who runs in a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)


def watch(handle: LaborHandle) -> Labor:
    """Shows the Labor until it has ended, and returns it. KeyboardInterrupt ends the display; the Labor goes on."""
    end = handle._engine._core.end_of(handle.id)
    picture = _Picture()
    try:
        while not end.completion.done:
            ready = picture.draw(handle)
            if not wait_for(end.completion, _REFRESH) and ready is not None:
                wait_for(ready, _CLOCK - _REFRESH)
        labor = handle.wait()
        picture.draw(handle, to_the_end=True)
        return labor
    except KeyboardInterrupt:
        picture.show(handle_html(handle, "The display was interrupted. The Labor goes on; watch() shows it again."))
        raise
    except EngineClosed as error:
        picture.show(handle_html(handle, f"No longer watched: {error}."))
        raise


class _Picture:
    """One place in the notebook, whose content is replaced. Where that fails nothing is shown any more, and the Labor is waited for all the same."""

    def __init__(self) -> None:
        self._display: Any = None
        self._shown = ""
        self._lost = False
        self._heard = Heard()
        self._lines = deque[str](maxlen=_LINES)

    def draw(self, handle: LaborHandle, to_the_end: bool = False) -> Any:
        """The Labor as it is now. Returns what is done when there is something new; None where that is not known."""
        with looking(self._give_up):
            news = handle.changes()  # from now: nothing is missed that happens while the picture is made
            progress = handle.progress()
            self._lines += map(told, self._heard.look(handle, to_the_end)[0][-_LINES:])
            self.show(progress_html(progress, lines=self._lines))
            return news._feed.ready()
        return None

    def show(self, html: str) -> None:
        if self._lost or html == self._shown:
            return
        with looking(self._give_up):
            from IPython.display import HTML, DisplayHandle

            self._display = self._display or DisplayHandle()
            publish = self._display.update if self._shown else self._display.display
            publish(HTML(html))
            self._shown = html  # an interrupt in the first publishing may show it twice; better than not at all

    def _give_up(self) -> None:
        self._lost = True


# ---- handles ----


def handle_html(handle: LaborHandle, remark: str = "") -> str:
    """The Labor as it is now; as it is stored, where its engine does not answer. Never raises."""

    def now() -> str:
        progress = handle.progress()
        return labor_html(handle.read(), remark) if progress.state.ended else progress_html(progress, remark)

    return _now_or_stored(handle, now, lambda why: labor_html(handle.read(), remark or why))


def task_handle_html(handle: TaskHandle) -> str:
    """The Task as it is now; as it is stored, where its engine does not answer. Never raises."""

    def now() -> str:
        labor = handle.id[:-8] + "00000000"  # ids end in the object's place in the tree (docs/decisions/0002)
        tasks = handle._engine._progress(labor).tasks
        task = next(task for task in tasks if task.id == handle.id)
        return task_progress_html(task, handle.read().holds)

    return _now_or_stored(handle, now, lambda why: task_html(handle.read(), why))


def sequence_handle_html(handle: SequenceHandle) -> str:
    """The Sequence as it is stored, and whether its engine answers. Never raises."""

    def now() -> str:
        _ = handle.state  # raises where no engine is there
        return sequence_html(handle.read())

    return _now_or_stored(handle, now, lambda why: sequence_html(handle.read(), why))


def _now_or_stored(handle: Handle, now: Callable[[], str], stored: Callable[[str], str]) -> str:
    try:
        return now()
    except Exception as error:
        why = str(error) or type(error).__name__
    try:
        return stored(f"This is what is stored: {why}.")
    except Exception as error:
        return remark_html(f"{type(handle).__name__} {handle.id}: {error}")
