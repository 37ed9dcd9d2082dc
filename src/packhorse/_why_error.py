"""What a stored error says, in one line. Pure."""

from __future__ import annotations

import json
from typing import Any

#: Errors whose first line is what became of a command, and whose last one is what it said itself.
OF_COMMANDS = ("ExitStatus", "ResourceLimit")
_SAID = 200


def error_line(error: str | None) -> str | None:
    """Return ``Type: message`` of a stored error, its first line only; of a command also the last thing that it said."""
    if not error:
        return None
    data = loads(error)
    if not isinstance(data, dict):
        return error.split("\n")[0]
    message, *more = str(data.get("message") or "").strip().split("\n")
    kind = str(data.get("type") or "error")
    if more and kind in OF_COMMANDS:
        message = f"{message} ({more[-1].strip()[:_SAID]})"
    return f"{kind}: {message}" if message else kind


def cause(reason: str | None, error: str | None) -> str:
    """Return why a run or a job ended so, in one line: the reason, and the error unless it says the same."""
    said = error_line(error)
    if reason and said and said.partition(": ")[2] == reason:
        return reason
    return "; ".join(part for part in (reason, said) if part)


def loads(text: str | None) -> Any:
    """Return stored JSON as data; None for nothing, and for text that is not JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
