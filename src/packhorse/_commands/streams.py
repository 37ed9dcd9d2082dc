"""The log of a running command: both its streams in the order in which they came, and of each the newest part."""

from __future__ import annotations

import re
from collections import deque

#: A stream's mark stands before each of its lines.
OUT, ERR, TOLD = 1, 2, 3
_MARKS = {OUT: "out: ", ERR: "err: ", TOLD: "log: "}
#: So much without an end of line is a line.
_LINE_LIMIT = 8192
#: What waits for the end of its line is shown after so many seconds.
_PATIENCE = 1.0

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
#: What a terminal would have written over: all of a line before its last carriage return.
_OVERWRITTEN = re.compile(rb"[^\n]*\r(?=[^\n])")


class Log:
    """Takes bytes as they come and keeps ``limit`` of the newest of each stream; costs no more, whatever comes."""

    def __init__(self, limit: int) -> None:
        """Begin empty."""
        self._limit = limit
        self._entries: deque[tuple[int, bytes]] = deque()
        self._sizes = dict.fromkeys(_MARKS, 0)
        self._rests: dict[int, bytes] = {}
        self._since: dict[int, float] = {}
        self._new: list[tuple[int, bytes]] = []
        self.dropped = 0  #: bytes that are not kept any more
        self.whole = True  #: nothing has been dropped yet
        self.seen = 0  #: bytes that ever came

    # -- taking in ----------------------------------------------------------------------------------------------------
    def feed(self, stream: int, data: bytes, now: float) -> None:
        """Take what a stream brought."""
        self.seen += len(data)
        held = self._rests.pop(stream, b"")
        if held:
            data = held + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > _LINE_LIMIT:
            end = len(data)
        if end < len(data):
            self._rests[stream] = data[end:]
            if not held or end:
                self._since[stream] = now
        if end:
            self._add(stream, data[:end])

    def flush(self, before: float) -> None:
        """Take as lines what has waited since before this moment for the end of its line."""
        for stream in [each for each in self._rests if self._since[each] <= before]:
            self._add(stream, self._rests.pop(stream))

    @property
    def due(self) -> float | None:
        """Return when something is to be flushed, on the clock of ``feed``; None: nothing waits."""
        return min((self._since[each] for each in self._rests), default=None)

    def flush_old(self, now: float) -> None:
        """Flush what has waited long enough."""
        self.flush(now - _PATIENCE)

    def _add(self, stream: int, data: bytes) -> None:
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
            data = data[:-1] + b"\n" if data.endswith(b"\r") else data
            data = _OVERWRITTEN.sub(b"", data)
        if len(data) > self._limit:
            self._drop(len(data) - self._limit)
            data = data[-self._limit :]
        self._entries.append((stream, data))
        self._sizes[stream] += len(data)
        if self._sizes[stream] > self._limit:
            self._shorten(stream)
        if self.whole:
            self._new.append((stream, data))

    def _shorten(self, stream: int) -> None:
        """Drop the oldest of a stream that has too much; what the other one said stays."""
        spared: list[tuple[int, bytes]] = []
        while self._sizes[stream] > self._limit:
            entry = self._entries.popleft()
            if entry[0] != stream:
                spared.append(entry)
                continue
            keep = min(len(entry[1]), max(0, self._limit - (self._sizes[stream] - len(entry[1]))))
            cut = len(entry[1]) - keep
            self._sizes[stream] -= cut
            self._drop(cut)
            if keep:
                spared.append((stream, entry[1][cut:]))
        self._entries.extendleft(reversed(spared))

    def _drop(self, count: int) -> None:
        self.dropped += count
        self.whole = False
        self._new.clear()

    # -- telling ------------------------------------------------------------------------------------------------------
    def news(self) -> str:
        """Return the lines that are new since the last call, while nothing has been dropped."""
        new, self._new = self._new, []
        return "".join(_marked(stream, data) for stream, data in new)

    def text(self) -> str:
        """Return all that is kept."""
        self._new.clear()
        return "".join(_marked(stream, data) for stream, data in _joined(self._entries))

    def last_lines(self, stream: int, count: int, limit: int) -> str:
        """Return the last lines of one stream, without marks, at most ``limit`` characters."""
        found = b"".join(data for each, data in self._entries if each == stream)[-4 * limit :]
        lines = [line for line in _safe(found).split("\n") if line.strip()]
        return "\n".join(lines[-count:])[-limit:]


def _joined(entries: deque[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Put together what follows each other of one stream, so that a cut line is one."""
    found: list[tuple[int, list[bytes]]] = []
    for stream, data in entries:
        if found and found[-1][0] == stream:
            found[-1][1].append(data)
        else:
            found.append((stream, [data]))
    return [(stream, b"".join(parts)) for stream, parts in found]


def _marked(stream: int, data: bytes) -> str:
    mark = _MARKS[stream]
    lines = _safe(data).removesuffix("\n").split("\n")
    return "".join(f"{mark}{line}\n" for line in lines)


def _safe(data: bytes) -> str:
    """Return text that every store and terminal can take, whatever the bytes were."""
    text = data.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
