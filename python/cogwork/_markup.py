"""What the pictures of a notebook are made of: tags that escape, tables, folds, and one style for all.

Colours of text and lines are the page's own, so that it reads in light and dark; without its style, it reads as plain tables.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import datetime, timedelta

from ._codec import encodable
from ._model import Reason, State
from ._text import date, format_span

CLIP = 160  # characters of a text in a cell
LONG = 4000  # characters of an error or a log in its fold

_STYLE = """
.cw{font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--jp-ui-font-color1,inherit);max-width:76em;margin:2px 0;overflow-x:auto}
.cw *{unicode-bidi:isolate}
.cw .cw-run{--c:var(--jp-info-color1,#1e88e5)}.cw .cw-ok{--c:var(--jp-success-color1,#388e3c)}
.cw .cw-bad{--c:var(--jp-error-color1,#e53935)}.cw .cw-hold{--c:var(--jp-warn-color1,#f57c00)}
.cw .cw-stop{--c:#ab47bc}.cw .cw-idle{--c:#8888}
.cw .cw-badge{border:1px solid var(--c);border-radius:9px;padding:0 7px;font-size:11px;white-space:nowrap}
.cw .cw-badge::before{content:"";display:inline-block;width:7px;height:7px;border-radius:50%;background:var(--c);margin-right:5px}
.cw .cw-name{font-weight:600;font-size:14px;margin-right:8px}
.cw .cw-dim{opacity:.68}.cw .cw-note{border-left:3px solid var(--c);padding-left:8px;margin:4px 0}
.cw .cw-mono{font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:12px;overflow-wrap:anywhere}
.cw table.cw-t{border-collapse:collapse;margin:6px 0;font-size:12px;border:0}
.cw table.cw-t th,.cw table.cw-t td{text-align:left;vertical-align:top;padding:2px 14px 2px 0;border:0;border-bottom:1px solid #8883;background:none;max-width:44em;overflow-wrap:break-word;white-space:normal}
.cw table.cw-t th{white-space:nowrap;font-weight:400;opacity:.68}.cw table.cw-t tr{background:none}
.cw .cw-bar{display:flex;width:150px;height:8px;margin:5px 0;border-radius:4px;overflow:hidden;background:#8883}
.cw .cw-bar span{background:var(--c);min-width:2px}
.cw details{margin:3px 0}.cw summary{cursor:pointer}.cw details>div{margin-left:14px}
.cw pre{margin:4px 0;padding:6px 8px;background:#8881;color:inherit;font:12px/1.4 var(--jp-code-font-family,ui-monospace,monospace);white-space:pre-wrap;overflow-wrap:anywhere}
"""


_LOOKS = {
    State.RUNNING: "run",
    State.PAUSING: "hold",
    State.PAUSED: "hold",
    State.ADMIN_PAUSED: "hold",
    State.CRISIS_PAUSED: "hold",
    State.COMPLETED: "ok",
    State.FAILED: "bad",
    State.STOPPING: "stop",
    State.STOPPED: "stop",
}


class Html(str):
    """Text that is HTML already. All else is escaped where it is put into a tag."""


def tag(name: str, *content: object, cls: str = "", **attributes: str) -> Html:
    """An element. Content that is None is left out."""
    pairs = {"class": cls, **attributes} if cls else attributes
    head = "".join(f' {key}="{_escape(value)}"' for key, value in pairs.items())
    inside = "".join(item if isinstance(item, Html) else _escape(item) for item in content if item is not None)
    return Html(f"<{name}{head}>{inside}</{name}>")


def _escape(value: object) -> str:
    return html.escape(encodable(str(value)))


def clip(value: object, most: int = CLIP) -> str:
    """On one line, and not longer than a cell takes."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text[: most * 4].split())
    return text if len(text) <= most else text[: most - 1] + "…"


def note(look: str, *content: object) -> Html:
    return tag("div", *content, cls=f"cw-note cw-{look}")


def table(heads: tuple[str, ...], rows: Iterable[Iterable[object]], of: int = 0, what: str = "") -> Html | None:
    """Columns in which nothing stands are left out. of: how many rows there are; the others are counted below, as so many more `what`."""
    filled = [list(row) for row in rows]
    if not filled:
        return None
    kept = [n for n in range(len(heads)) if any(row[n] not in ("", None) for row in filled)]
    head = tag("tr", *[tag("th", heads[n]) for n in kept])
    body = [tag("tr", *[tag("td", row[n]) for n in kept]) for row in filled]
    made = tag("table", tag("thead", head), tag("tbody", *body), cls="cw-t")
    more = of - len(filled)
    return Html(made + tag("div", f"and {more} more {what}", cls="cw-dim")) if more > 0 else made


def fold(summary: str, content: Html) -> Html:
    return tag("details", tag("summary", summary), tag("div", content))


def block(*content: Html | None) -> Html:
    return tag("div", *content)


def picture(*content: Html | None) -> str:
    return str(tag("div", tag("style", Html(_STYLE)), *content, cls="cw"))


def badge(state: State) -> Html:
    name = state.name if isinstance(state, State) else state
    return tag("span", name, cls=f"cw-badge cw-{look_of(state)}")


def look_of(state: State) -> str:
    return _LOOKS.get(state, "idle")


def mono(text: str) -> str:
    return tag("span", text, cls="cw-mono") if text else ""


def reason_of(reason: Reason) -> Html:
    return Html("") if reason == Reason.NO_FAILURE else tag("b", Reason(reason).name)


# ---- text ----


def dim(*facts: str, cls: str = "") -> Html | None:
    said = " · ".join(clip(fact) for fact in facts if fact)
    return tag("div", said, cls=f"cw-dim {cls}".strip()) if said else None


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def moment_of(what: str, moment: datetime | None) -> str:
    return f"{what} {date(moment)}" if moment else ""


def took(started: datetime | None, ended: datetime | None, now: datetime) -> str:
    return format_span(max((ended or now) - started, timedelta())).replace(" ", "\u00a0") if started else ""


def end_of(text: str) -> str:
    """The end of a text that may be a megabyte."""
    return text[-LONG:]
