"""Plots as inline SVG: no script, no font, nothing that is fetched. Colours are classes, so that the page chooses them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from html import escape

from .._durations import spoken
from .._when import local
from .tally import Group
from .timeline import Timeline

#: The parts of every bar, in their order, and what they are called.
PARTS = ("succeeded", "failed", "cancelled", "open")
ENDS = ("succeeded", "failed", "cancelled")
_WIDTH = 960
_LABEL, _RIGHT = 230, 150
_ROW, _BAR = 26, 16
_HEIGHT, _LEFT, _BOTTOM, _TOP = 220, 56, 28, 12
_STEPS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 86400, 864000)

Named = Sequence[tuple[str, Group]]


def legend(names: Iterable[str]) -> str:
    """Return what the colours mean, as HTML."""
    words = {"open": "not ended"}
    items = "".join(f'<li><i class="{name}"></i>{words.get(name, name)}</li>' for name in names)
    return f'<ul class="legend">{items}</ul>'


def _svg(height: float, body: Iterable[str], about: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(about)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str, said: str) -> str:
    shape = f'x="{x:.2f}" y="{y:.2f}" width="{max(width, 0.8):.2f}" height="{height:.2f}"'
    return f'<rect {shape} class="{kind}"><title>{escape(said)}</title></rect>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def _label(name: str, most: int = 34) -> str:
    """Cut a label in its middle: both ends of a name tell more than that."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most // 2 - 1) :]}"


# -- how many ---------------------------------------------------------------------------------------------------------
def bars(groups: Named) -> str:
    """Return how many jobs each group has, and how they ended."""
    most = max((group.jobs for _, group in groups), default=1)
    scale = (_WIDTH - _LABEL - _RIGHT) / most
    body = (_bar(place * _ROW, name, group, scale) for place, (name, group) in enumerate(groups))
    return _svg(len(groups) * _ROW + 4, body, "How many jobs, and how they ended")


def _bar(y: float, name: str, group: Group, scale: float) -> str:
    drawn, x = [_text(_LABEL - 10, y + 16, _label(name), anchor="end")], float(_LABEL)
    for part in PARTS:
        count = group.states[part]
        if count:
            said = f"{name}: {count:,} {part if part != 'open' else 'not ended'}"
            drawn.append(_rect(x, y + 4, count * scale, _BAR, part, said))
            x += count * scale
    return "".join([*drawn, _text(x + 8, y + 16, f"{group.jobs:,}", "soft")])


# -- how long ---------------------------------------------------------------------------------------------------------
def spans(groups: Named) -> str:
    """Return how long the runs of each group took: median, 95 of 100, the longest; on a logarithmic axis."""
    shown = [(name, group) for name, group in groups if group.ran.count]
    if not shown:
        return ""
    low = min(group.ran.at(0.5) or 0 for _, group in shown)
    place, ticks = _logarithmic(low, max(group.ran.largest for _, group in shown))
    height = len(shown) * _ROW + 4
    grid = [_line(place(at), 0, place(at), height) + _text(place(at), height + 16, _short(at), "soft", "middle")
            for at in ticks]  # fmt: skip
    return _svg(height + 24, [*grid, *(_span(row * _ROW, *each, place) for row, each in enumerate(shown))], "How long")


def _span(y: float, name: str, group: Group, place: Callable[[float], float]) -> str:
    middle, high, most = group.ran.at(0.5) or 0.0, group.ran.at(0.95) or 0.0, group.ran.largest
    said = (
        f"{name}: half took no longer than {spoken(middle)}, 95 of 100 than {spoken(high)}; the longest {spoken(most)}"
    )
    return "".join(
        [
            _text(_LABEL - 10, y + 16, _label(name), anchor="end"),
            _rect(place(middle), y + 11, place(most) - place(middle), 2, "far", said),
            _rect(place(middle), y + 7, place(high) - place(middle), 10, "span", said),
            f'<circle cx="{place(middle):.1f}" cy="{y + 12}" r="5" class="dot"><title>{escape(said)}</title></circle>',
            _text(place(most) + 10, y + 16, f"{spoken(middle)} · {spoken(high)}", "soft"),
        ]
    )  # fmt: skip


def _logarithmic(low: float, high: float) -> tuple[Callable[[float], float], list[float]]:
    """Return where a duration stands on an axis from below ``low`` to beyond ``high``, and its ticks."""
    least = max((step for step in _STEPS if step <= max(low, _STEPS[0])), default=_STEPS[0])
    most = min((step for step in _STEPS if step >= high), default=max(high, _STEPS[-1]))
    most = most if most > least else least * 10
    scale = (_WIDTH - _LABEL - _RIGHT) / math.log(most / least)

    def place(value: float) -> float:
        return _LABEL + math.log(min(max(value, least), most) / least) * scale

    return place, [step for step in _STEPS if least <= step <= most]


def _short(value: float) -> str:
    return spoken(value).replace(" 0 ms", "").replace(".0 s", " s")


# -- when -------------------------------------------------------------------------------------------------------------
def columns(ends: Timeline, where: tzinfo | None) -> str:
    """Return how many jobs ended when."""
    stretches = list(ends.stretches())
    if not stretches:
        return ""
    most = _round_up(max(sum(kinds.values()) for _, kinds in stretches))
    wide = (_WIDTH - _LEFT - 8) / max(len(stretches), 12)
    high = _HEIGHT - _BOTTOM - _TOP
    body = [_rung(most * part // 4, high * part / 4) for part in (range(5) if most % 4 == 0 else (0, 4))]
    every = max(1, math.ceil(len(stretches) / 8))
    for place, (begin, kinds) in enumerate(stretches):
        x = _LEFT + place * wide
        body.append(_column(x, wide, begin, kinds, high / most, where))
        if place % every == 0 and x < _WIDTH - 80:
            body.append(_text(x, _HEIGHT - 8, _moment(begin, ends.width, where), "soft"))
    return _svg(_HEIGHT, body, "How many jobs ended when")


def _rung(count: int, up: float) -> str:
    y = _HEIGHT - _BOTTOM - up
    return _line(_LEFT, y, _WIDTH - 8, y) + _text(_LEFT - 8, y + 4, f"{count:,}", "soft", "end")


def _column(x: float, wide: float, begin: int, kinds: Counter[str], scale: float, where: tzinfo | None) -> str:
    drawn, y = [], float(_HEIGHT - _BOTTOM)
    for part in ENDS:
        if kinds[part]:
            y -= kinds[part] * scale
            said = f"{local(begin, where):%Y-%m-%d %H:%M:%S}: {kinds[part]:,} {part}"
            drawn.append(_rect(x + wide * 0.08, y, wide * 0.84, kinds[part] * scale, part, said))
    return "".join(drawn)


def _moment(begin: int, width: int, where: tzinfo | None) -> str:
    return local(begin, where).strftime("%H:%M:%S" if width < 60 else "%d %b %H:%M" if width < 86400 else "%Y-%m-%d")


def _round_up(most: int) -> int:
    """Return the next number that an axis may end with."""
    size: int = 10 ** max(0, len(str(most)) - 1)
    return next(step for step in (size * part for part in (1, 2, 4, 8, 10)) if step >= most)
