"""Who held what, as a picture: one band per name, a bar per run, for the ten seconds in which the kills hit most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .overlaps import Span

_WINDOW = 10_000_000
_WIDTH, _LEFT, _BAND, _BAR = 1500, 90, 26, 5
_COLOURS = {"x": "#1f4e8c", "s": "#7fb069", "l": "#e0a030", "u": "#8a6fb0"}
_MODES = {"x": "reserved", "s": "shared", "l": "limited", "u": "unique"}


def draw(path: Path, runs: Sequence[Span]) -> None:
    """Write it as SVG. A run whose process was killed is red."""
    if runs:
        path.write_text(picture(runs))


def picture(runs: Sequence[Span]) -> str:
    """Return the SVG."""
    begin = _busiest(runs)
    bands: dict[str, list[tuple[str, Span]]] = {}
    for run in runs:
        if begin <= run.begin < begin + _WINDOW:
            for held in run.names:
                bands.setdefault(held[2:], []).append((held[0], run))
    height = _BAND * (len(bands) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="11">'
    ]
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for number, name in enumerate(sorted(bands)):
        parts += _band(name, number * _BAND + 4, bands[name], begin)
    parts += [_scale(len(bands) * _BAND + 16), _legend(len(bands) * _BAND + 36), "</svg>"]
    return "\n".join(parts)


def _busiest(runs: Sequence[Span]) -> int:
    killed = [run.begin for run in runs if run.interrupted] or [runs[0].begin]
    return max(killed, key=lambda at: sum(at <= other < at + _WINDOW for other in killed)) - _WINDOW // 20


def _band(name: str, top: int, runs: Sequence[tuple[str, Span]], begin: int) -> list[str]:
    """Bars of one name; those at the same time one below the other."""
    parts = [
        f'<text x="4" y="{top + 13}">{name}</text>',
        f'<path d="M{_LEFT} {top + _BAND - 5}H{_WIDTH}" stroke="#ddd"/>',
    ]
    ends: list[int] = []
    for mode, run in runs:
        end = run.last or run.sure
        row = next((n for n, other in enumerate(ends) if other <= run.begin), len(ends))
        ends[row : row + 1] = [end]
        left, right = _x(run.begin, begin), min(_x(end, begin), _WIDTH)
        parts.append(
            f'<rect x="{left:.1f}" y="{top + min(row, 3) * _BAR}" width="{max(0.8, right - left):.1f}" height="{_BAR - 1}" '
            f'fill="{"#d62728" if run.interrupted else _COLOURS[mode]}"/>'
        )
    return parts


def _x(at: int, begin: int) -> float:
    return _LEFT + (at - begin) * (_WIDTH - _LEFT) / _WINDOW


def _scale(top: int) -> str:
    seconds = range(_WINDOW // 1_000_000)
    return "".join(f'<text x="{_x(n * 1_000_000, 0):.0f}" y="{top}" fill="#666">{n} s</text>' for n in seconds)


def _legend(top: int) -> str:
    shown = [*((_COLOURS[mode], text) for mode, text in _MODES.items()), ("#d62728", "its process was killed")]
    return "".join(
        f'<rect x="{_LEFT + n * 150}" y="{top - 8}" width="8" height="8" fill="{colour}"/>'
        f'<text x="{_LEFT + n * 150 + 13}" y="{top}">{text}</text>'
        for n, (colour, text) in enumerate(shown)
    )
