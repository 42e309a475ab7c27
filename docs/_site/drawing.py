"""Small SVG drawings of boxes and arrows, in colours that follow the reader's choice of light or dark."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Point = tuple[float, float]

LIGHT = {
    "ink": "#24292f", "soft": "#6b7480", "box": "#ffffff", "edge": "#8a939e", "panel": "#f3f5f8",
    "run": "#1f6feb", "user": "#0e7c86", "admin": "#a25b00", "crisis": "#c4314b", "good": "#1a7f37", "stop": "#6e4bb8",
}  # fmt: skip
DARK = {
    "ink": "#e6e9ee", "soft": "#9aa4b1", "box": "#1b2028", "edge": "#7d8794", "panel": "#20262f",
    "run": "#6cb0ff", "user": "#4fc3ce", "admin": "#f0a94e", "crisis": "#ff7a8d", "good": "#5fcf7e", "stop": "#b69cff",
}  # fmt: skip


def style() -> str:
    def colours(selector: str, palette: dict[str, str]) -> str:
        return f"{selector}{{{';'.join(f'--{name}:{value}' for name, value in palette.items())}}}"

    # A page with a switch of its own says data-theme; a picture by itself follows what the system prefers.
    return "\n".join(
        [
            colours(".states", LIGHT),
            f"@media (prefers-color-scheme:dark){{{colours('.states', DARK)}}}",
            colours("[data-theme=light] .states", LIGHT),
            colours("[data-theme=dark] .states", DARK),
            ".states{font:14px system-ui,'Segoe UI',Helvetica,Arial,sans-serif}",
            ".states text{fill:var(--ink)}",
            ".states .name{font-weight:600}",
            ".states .soft{fill:var(--soft)}",
            ".states .middle,.states .name{text-anchor:middle}",
            ".states .start{text-anchor:start}",
            ".states .end{text-anchor:end}",
            ".states path{fill:none;stroke-width:1.6}",
        ]
    )


@dataclass
class Drawing:
    title: str
    width: int
    height: int
    parts: list[str] = field(default_factory=list)
    tips: set[str] = field(default_factory=set)

    def panel(self, x: float, y: float, width: float, height: float, colour: str = "edge") -> None:
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" '
            f'style="fill:var(--panel);stroke:var(--{colour});stroke-dasharray:4 3"/>'
        )

    def box(self, name: str, centre: Point, width: float = 140, colour: str = "edge", height: float = 34) -> None:
        x, y = centre
        self.parts.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="8" '
            f'style="fill:var(--box);stroke:var(--{colour});stroke-width:2"/>'
        )
        self.text(name, (x, y + 5), "name")

    def text(self, words: str, at: Point, kind: str = "middle", colour: str = "") -> None:
        """One line or more; `at` is the baseline of the first."""
        x, y = at
        fill = f' style="fill:var(--{colour})"' if colour else ""
        for row, line in enumerate(words.split("\n")):
            self.parts.append(f'<text x="{x:g}" y="{y + 17 * row:g}" class="{kind}"{fill}>{escape(line)}</text>')

    def arrow(self, *points: Point, colour: str = "edge", tip: bool = True) -> None:
        """Along these points, with round corners."""
        self.tips |= {colour} if tip else set()
        end = f' marker-end="url(#tip-{colour})"' if tip else ""
        self.parts.append(f'<path d="{_rounded(points)}" style="stroke:var(--{colour})"{end}/>')

    def svg(self) -> str:
        tips = [
            f'<marker id="tip-{colour}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0.8L9 5L0 9.2z" style="fill:var(--{colour});stroke:none"/></marker>'
            for colour in sorted(self.tips)
        ]
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="states" viewBox="0 0 {self.width} {self.height}" '
            f'role="img" aria-label="{escape(self.title)}">'
        )
        return "\n".join(
            [head, f"<style>{style()}</style>", f"<defs>{''.join(tips)}</defs>", *self.parts, "</svg>", ""]
        )


def _rounded(points: tuple[Point, ...], radius: float = 9) -> str:
    path = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path.append(
            f"L{_towards(corner, before, radius)}Q{corner[0]:g} {corner[1]:g} {_towards(corner, after, radius)}"
        )
    path.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(path)


def _towards(start: Point, end: Point, distance: float) -> str:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 0.001)
    part = min(distance / length, 0.5)
    return f"{start[0] + dx * part:g} {start[1] + dy * part:g}"
