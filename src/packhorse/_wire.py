"""How a supervisor and its children talk.

Four descriptors per child: *payload* (pipe, to the child: frames of a length and JSON), *permits* (stream socket pair:
8 bytes each, the right to start one job, or an order to read the next frame), *control* (pipe, to the child: who is to be
interrupted), *results* (pipe, from the child: lines).

Payload and permission are separate so that the right to start can be taken back: the supervisor reads permits from its
own copy of the child's end, and the kernel gives each permit to one reader only.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

PERMIT = struct.Struct("<q")
LENGTH = struct.Struct("<I")
CONTROL = struct.Struct("<qq")

#: A permit of this value is an order: read the next frame and obey it.
ORDER = -1

#: Reasons to interrupt, as they cross the control pipe.
REASONS = ("timeout", "cancelled", "shutdown")


def frame(kind: str, body: Any) -> bytes:
    """Return one frame of the payload pipe."""
    data = json.dumps([kind, body], separators=(",", ":")).encode("ascii")
    return LENGTH.pack(len(data)) + data


class FrameReader:
    """Reads frames from a blocking descriptor."""

    def __init__(self, fd: int) -> None:
        """Read from ``fd``."""
        self._fd = fd
        self._buffer = bytearray()

    def read(self) -> tuple[str, Any]:
        """Return the next frame; raises ``EOFError`` when the supervisor is gone."""
        (size,) = LENGTH.unpack(self._take(LENGTH.size))
        kind, body = json.loads(self._take(size))
        return kind, body

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = os.read(self._fd, max(65536, size - len(self._buffer)))
            if not data:
                raise EOFError
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def line(kind: str, *body: Any) -> bytes:
    """Return one line of the results pipe that is no plain success (those are ``index start end``, in nanoseconds)."""
    return json.dumps([kind, *body], separators=(",", ":")).encode("ascii") + b"\n"


class LineBuffer:
    """Cuts what arrives from the results pipe into lines, without copying a long line again and again."""

    def __init__(self) -> None:
        """Begin empty."""
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now."""
        end = data.rfind(b"\n")
        if end < 0:
            self._parts.append(data)
            return []
        self._parts.append(data[:end])
        lines = b"".join(self._parts).split(b"\n")
        rest = data[end + 1 :]
        self._parts = [rest] if rest else []
        return lines


def write_all(fd: int, data: bytes) -> None:
    """Write to a blocking descriptor until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
