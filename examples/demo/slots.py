"""Draw who ran what and when: one lane for each slot, as an SVG that reads well on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, TOP = 1080.0, 70.0, 20.0, 74.0
LANE, GAP, FOOT = 44.0, 18.0, 90.0
CHARACTER = 6.3  #: width of one, in the labels

STYLE = """
  svg { font: 12px ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; }
  .page { fill: #ffffff; } .ink { fill: #1f2328; } .soft { fill: #59636e; } .line { stroke: #d1d9e0; }
  .title { font-size: 16px; font-weight: 600; } .lane { fill: #f2f4f6; } .on { fill: #ffffff; font-size: 11px; }
  .compress { fill: #2f6fb3; } .count { fill: #2a7f62; } .special { fill: #7d55b8; }
  .command { fill: #8a6d1f; }
  .bad { fill: #c4432f; } .edge { stroke: #ffffff; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .ink { fill: #e6edf3; } .soft { fill: #9198a1; } .line { stroke: #3d444d; }
    .lane { fill: #161b22; } .edge { stroke: #0d1117; }
    .compress { fill: #3f83cc; } .count { fill: #32946f; } .special { fill: #9169cf; }
    .command { fill: #b08d2e; } .bad { fill: #d9553f; }
  }
"""
LEGEND = (
    ("compress", "compress a package"),
    ("count", "parse it and count functions"),
    ("command", "a shell script"),
    ("special", "one of three troublemakers (▾)"),
    ("bad", "did not succeed"),
)


@dataclass(frozen=True)
class Bar:
    """One attempt: times in seconds since the worker was started."""

    start: float
    end: float
    kind: str  #: a class of ``STYLE``
    label: str
    good: bool

    @property
    def style(self) -> str:
        return self.kind if self.good else "bad"

    @property
    def told(self) -> str:
        return f"{self.label}: {self.start:.2f} to {self.end:.2f} s" + ("" if self.good else ", did not succeed")


def lanes(bars: Sequence[Bar], slack: float = 0.003) -> list[list[Bar]]:
    """Give each attempt the slot that was free the longest; ``slack`` forgives the clock its last digits."""
    found: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda bar: bar.start):
        free = [lane for lane in found if lane[-1].end <= bar.start + slack]
        if free:
            max(free, key=lambda lane: bar.start - lane[-1].end).append(bar)
        else:
            found.append([bar])
    return found


def draw(bars: Sequence[Bar], title: str) -> str:
    """Return the picture."""
    rows = lanes(bars)
    scale = Scale(max((bar.end for bar in bars), default=1.0))
    height = TOP + len(rows) * (LANE + GAP) + FOOT
    bottom = TOP + len(rows) * (LANE + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img"',
        f' aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH:g}" height="{height:g}"/>',
        f'<text class="ink title" x="{LEFT:g}" y="30">{escape(title)}</text>',
        f'<text class="soft" x="{LEFT:g}" y="50">each bar is one attempt of one job; point at it to see more</text>',
        *grid(scale, bottom),
        *(part for number, row in enumerate(rows) for part in lane(number, row, scale)),
        *legend(bottom + 62),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class Scale:
    """From seconds to the page."""

    seconds: float

    def x(self, second: float) -> float:
        return LEFT + second / self.seconds * (WIDTH - LEFT - RIGHT)

    @property
    def step(self) -> float:
        """Seconds between two marks: a round number that gives at most twelve of them."""
        return next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 600) if self.seconds / step <= 12)


def grid(scale: Scale, bottom: float) -> list[str]:
    parts: list[str] = []
    for number in range(int(scale.seconds / scale.step) + 1):
        second = number * scale.step
        x = scale.x(second)
        parts.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8:g}" y2="{bottom:g}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 18:g}" text-anchor="middle">{second:g} s</text>')
    return parts


def lane(number: int, row: Sequence[Bar], scale: Scale) -> list[str]:
    y = TOP + number * (LANE + GAP)
    parts = [
        f'<rect class="lane" x="{LEFT:g}" y="{y:g}" width="{WIDTH - LEFT - RIGHT:g}" height="{LANE:g}" rx="3"/>',
        f'<text class="ink" x="{LEFT - 10:g}" y="{y + LANE / 2 + 4:g}" text-anchor="end">slot {number + 1}</text>',
    ]
    for bar in row:
        parts += box(bar, y, scale)
    return parts


def box(bar: Bar, y: float, scale: Scale) -> list[str]:
    x, width = scale.x(bar.start), max(2.0, scale.x(bar.end) - scale.x(bar.start))
    told = f"<title>{escape(bar.told)}</title>"
    edge = " edge" if width > 4 else ""
    parts = [
        f'<rect class="{bar.style}{edge}" x="{x:.2f}" y="{y:g}" width="{width:.2f}" height="{LANE:g}" rx="{min(2, width / 4):g}">'
        f"{told}</rect>"
    ]
    if bar.kind == "special":  # most of these are far too short to be seen
        middle = x + width / 2
        corners = f"{middle - 5:.1f},{y - 9:g} {middle + 5:.1f},{y - 9:g} {middle:.1f},{y - 1:g}"
        parts.append(f'<polygon class="{bar.style}" points="{corners}">{told}</polygon>')
    if len(bar.label) * CHARACTER + 8 < width:
        parts.append(f'<text class="on" x="{x + 5:.2f}" y="{y + LANE / 2 + 4:g}">{escape(bar.label)}</text>')
    return parts


def legend(y: float) -> list[str]:
    parts, x = [], LEFT
    for style, words in LEGEND:
        parts.append(f'<rect class="{style}" x="{x:g}" y="{y - 11:g}" width="14" height="14" rx="2"/>')
        parts.append(f'<text class="ink" x="{x + 20:g}" y="{y:g}">{words}</text>')
        x += 20 + len(words) * 6.6 + 34
    return parts
