"""What people see: tables, symbols, times, JSON. Whatever comes from a job is shown as text and can do nothing."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

#: state → symbol and colour
STATES: dict[str, tuple[str, str]] = {
    "scheduled": ("◷", "blue"),
    "blocked": ("◌", "yellow"),
    "queued": ("…", "cyan"),
    "running": ("▶", "bright_blue"),
    "retrying": ("↻", "yellow"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "bright_black"),
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LINES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def clean(text: object) -> str:
    """Return text of a job for one line of a terminal: control and direction characters are shown, not obeyed."""
    return _LINES.sub(_escape, str(text))


def clean_lines(text: str) -> str:
    """Return text of several lines likewise; line ends and tabs stay."""
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(found[0]) or (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    )


def colour(text: str, name: str, **style: Any) -> str:
    """Return text in a colour, if this output shows colours."""
    return click.style(text, fg=name, **style) if coloured() else text


def bold(text: str) -> str:
    """Return text in bold, if this output shows styles."""
    return click.style(text, bold=True) if coloured() else text


def coloured() -> bool:
    """Tell whether to use colours: ``NO_COLOR`` and ``FORCE_COLOR`` decide, else whether a terminal shows it."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def state(name: str) -> str:
    """Return a state with its symbol."""
    symbol, tint = STATES.get(name, ("?", "white"))
    return colour(f"{symbol} {name}", tint)


def symbol(name: str) -> str:
    """Return the symbol of a state alone."""
    mark, tint = STATES.get(name, ("?", "white"))
    return colour(mark, tint)


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line. Colours were decided before."""
    click.echo(text, err=err, color=True)


def document(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2))


# -- tables -----------------------------------------------------------------------------------------------------------
def width(text: str) -> int:
    """Return how many columns text takes; styles take none, East Asian wide characters two."""
    plain = _STYLE.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print rows under a head, columns aligned; ``right`` names the columns of numbers."""
    every = [[bold(cell) for cell in head], *([*row] for row in rows)]
    widths = [max(width(row[i]) for row in every) for i in range(len(head))]
    flush_right = set(right)
    for row in every:
        cells = [_pad(cell, widths[i], i in flush_right) for i, cell in enumerate(row)]
        echo("  ".join(cells).rstrip())


def _pad(cell: str, wanted: int, right: bool) -> str:
    gap = " " * (wanted - width(cell))
    return gap + cell if right else cell + gap


def cut(text: str, limit: int) -> str:
    """Return text of at most ``limit`` characters, the end of a longer one replaced by ``…``."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count(number: int, what: str) -> str:
    """Return ``1 job``, ``2,000 jobs``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def agree(question: str, *, yes: bool) -> bool:
    """Ask before something that cannot be undone. Without a terminal to ask on, ``--yes`` is required."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on; say --yes.")
    return click.confirm(question, default=False, err=True)
