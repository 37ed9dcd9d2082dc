"""An exception as data: what is stored as the error of an attempt. Never rebuilt into an exception class."""

from __future__ import annotations

import json
import linecache
import os
import traceback
from types import FrameType, TracebackType
from typing import Any

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
MESSAGE_LIMIT = 8 * 1024
TRACE_LIMIT = 32 * 1024
_FRAMES = 60
_CHAIN = 5


def describe(error: BaseException) -> str:
    """Return the JSON text of an exception; whatever the exception does when it is looked at, this does not raise.

    Keys: ``type``, ``module``, ``message``, ``frames`` (outermost first, ours left out; each ``file line function code``),
    ``traceback`` (text for people, the newest part kept) and ``cause`` (the same, up to five deep).
    """
    data = _data(error, 0)
    data["traceback"] = _text(error)
    return json.dumps(data)


def plain(kind: str, message: str, **more: Any) -> str:
    """Return the JSON text of an error that was no exception: a crash, a time limit."""
    return json.dumps({"type": kind, "message": message, **more})


def message(error: BaseException) -> str:
    """Return ``str(error)``, cut, or a note that it raised."""
    try:
        return _cut(str(error), MESSAGE_LIMIT)
    except Exception as again:
        return f"<the exception's own text could not be had: {type(again).__name__}>"


def _data(error: BaseException, depth: int) -> dict[str, Any]:
    kind = type(error)
    data: dict[str, Any] = {
        "type": str(getattr(kind, "__qualname__", "?")),
        "module": str(getattr(kind, "__module__", "?")),
        "message": message(error),
        "frames": _frames(error.__traceback__),
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < _CHAIN:
        data["cause"] = _data(cause, depth + 1)
    return data


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    found = [(frame, line) for frame, line in traceback.walk_tb(trace) if not _ours(frame)]
    return [_frame(frame, line) for frame, line in _unrepeated(found)[-_FRAMES:]]


def _unrepeated(found: list[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    """Leave out what an endless recursion repeats: of equal neighbours three are enough."""
    kept: list[tuple[FrameType, int]] = []
    for frame, line in found:
        if not all(seen.f_code is frame.f_code and at == line for seen, at in kept[-3:]) or len(kept) < 3:
            kept.append((frame, line))
    return kept


def _ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _frame(frame: FrameType, line: int) -> dict[str, Any]:
    code = frame.f_code
    return {
        "file": code.co_filename,
        "line": line,
        "function": code.co_qualname,
        "code": linecache.getline(code.co_filename, line, frame.f_globals).strip()[:200],
    }


def _text(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and _ours(trace.tb_frame):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace, limit=-_FRAMES)
    except Exception:
        # A hostile __str__ or __notes__: the frames can still be told.
        lines = [*traceback.format_tb(trace, limit=-_FRAMES), f"{type(error).__name__}: {message(error)}\n"]
    text = _printable("".join(lines))
    return text if len(text) <= TRACE_LIMIT else "…" + text[-TRACE_LIMIT:]


def _cut(text: str, limit: int) -> str:
    return _printable(text if len(text) <= limit else text[:limit] + "…")


def _printable(text: str) -> str:
    """Return text that every terminal and file can take: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
