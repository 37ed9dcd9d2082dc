"""Draw the table as bars, an SVG that reads well on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.report import TITLES, Line

WIDTH, LEFT, TOP, ROW = 1000.0, 250.0, 78.0, 52.0
LONGEST = 400.0
STYLE = """
  svg { font: 12px ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; }
  .page { fill: #ffffff; } .ink { fill: #1f2328; } .soft { fill: #59636e; }
  .title { font-size: 16px; font-weight: 600; } .ours { fill: #2f6fb3; } .peer { fill: #9aa4af; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .ink { fill: #e6edf3; } .soft { fill: #9198a1; }
    .ours { fill: #3f83cc; } .peer { fill: #59636e; }
  }
"""


def draw(store: str, lines: Sequence[Line], note: str) -> str:
    """Return the picture: for each measure the two values, scaled to the larger one."""
    title = f"Packhorse and the fastest peer on {TITLES[store]}, equally durable"
    height = TOP + len(lines) * ROW + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img"',
        f' aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH:g}" height="{height:g}"/>',
        f'<text class="ink title" x="20" y="30">{title}</text>',
        f'<text class="soft" x="20" y="50">{escape(note)}</text>',
        *(part for number, line in enumerate(lines) for part in pair(line, TOP + number * ROW)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def pair(line: Line, y: float) -> list[str]:
    top = max(line.ours, line.peer or 0.0) or 1.0
    better = "less is better" if line.measure.less else "more is better"
    parts = [
        f'<text class="ink" x="{LEFT - 12:g}" y="{y + 14:g}" text-anchor="end">{escape(line.measure.words)}</text>',
        f'<text class="soft" x="{LEFT - 12:g}" y="{y + 31:g}" text-anchor="end">{better}</text>',
        *bar("ours", "packhorse", line.ours, top, y, line.measure.digits),
    ]
    if line.peer is not None:
        parts += bar("peer", line.peer_name, line.peer, top, y + 19, line.measure.digits)
    return parts


def bar(style: str, name: str, value: float, top: float, y: float, digits: int) -> list[str]:
    width = max(1.5, value / top * LONGEST)
    return [
        f'<rect class="{style}" x="{LEFT:g}" y="{y:g}" width="{width:.1f}" height="17" rx="2"/>',
        f'<text class="ink" x="{LEFT + width + 7:.1f}" y="{y + 13:g}">{value:,.{digits}f}'
        f'<tspan class="soft"> {escape(name)}</tspan></text>',
    ]
