"""What a command tells of itself on descriptor 3, line by line: ``progress 40/100 page 12``, ``40%``, ``log …``. Pure."""

from __future__ import annotations

import math
import re
from typing import Any

#: A line that grows beyond this without an end is no line of ours.
LINE_LIMIT = 8192
_NOTE_LIMIT = 500

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_PROGRESS = re.compile(rf"(progress\s+)?(?:({_NUMBER})\s*/\s*({_NUMBER})|({_NUMBER})\s*(%?))(?:\s+(.*))?", re.DOTALL)


def progress_of(line: str) -> dict[str, Any] | None:
    """Return the bar that a line tells of, in the form in which bars are stored; None if it tells of none."""
    match = _PROGRESS.fullmatch(line.strip())
    if match is None:
        return None
    word, done, total, alone, percent, note = match.groups()
    if alone is not None and not percent and (not word or float(alone) > 1):
        return None  # a number by itself is a share of 1, and only after the word
    amounts = (float(done), float(total)) if done else (float(alone) / (100 if percent else 1), 1.0)
    if not all(map(math.isfinite, amounts)) or amounts[1] <= 0:
        return None
    return {"done": amounts[0], "total": amounts[1], "note": (note or "")[:_NOTE_LIMIT]}


def log_of(line: str) -> str | None:
    """Return the text of a ``log`` line; None if it is none."""
    word, _, text = line.partition(" ")
    return text if word == "log" else None
