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
from collections.abc import Sequence
from typing import Any

from ._record import Claimed

PERMIT = struct.Struct("<q")
LENGTH = struct.Struct("<I")
CONTROL = struct.Struct("<qq")

#: A permit of this value is an order: read the next frame and obey it.
ORDER = -1

#: Reasons to interrupt, as they cross the control pipe. The last two are told to commands only: to be dead in less than five
#: seconds, and at once.
REASONS = ("timeout", "cancelled", "shutdown", "cut off", "lost")


#: What a claimed job has in these fields when it is an ordinary one at its first attempt; it then travels as text.
_USUAL = (None, False, False, 0, 0, 0, 0, 0)
_NONE = (None, None, None)
_LAST = (None, None, None, None)
_FIELD, _ROW = "\x1f", "\x1e"


def jobs_frame(first: int, jobs: Sequence[Claimed]) -> bytes:
    """Return the frame that gives jobs their indexes from ``first`` on.

    Ordinary jobs travel as joined text: no field of theirs can hold a control character, so nothing needs escaping, which
    is half the cost of JSON here. ``by`` stays behind: no run looks at it.
    """
    rows = []
    token = jobs[0][1]
    for job in jobs:
        if job[5:13] != _USUAL or job[16:19] != _NONE or job[20:] != _LAST or job[1] != token:
            return frame("jobs", [first, [each._replace(by=None) for each in jobs]])
        rows.append(f"{job[0]}\x1f{job[2]}\x1f{job[3]}\x1f{job[13]}\x1f{job[14]}\x1f{job[15]}\x1f{job[4]}")
    data = f'["usual",[{first},"{token}"]]\x1e{_ROW.join(rows)}'.encode("ascii")
    return LENGTH.pack(len(data)) + data


def usual_jobs(token: str, rows: str) -> list[Claimed]:
    """Return the jobs that travelled as text."""
    make, jobs = tuple.__new__, []
    for row in rows.split(_ROW):
        id_, task, queue, fence, priority, created, payload = row.split(_FIELD)
        fields = (
            id_, token, task, queue, payload, None, False, False, 0, 0, 0, 0, 0,
            int(fence), int(priority), int(created), None, None, None, None, *_LAST,
        )  # fmt: skip
        jobs.append(make(Claimed, fields))
    return jobs


def frame(kind: str, body: Any) -> bytes:
    """Return one frame of the payload pipe."""
    data = json.dumps([kind, body], separators=(",", ":")).encode("ascii")
    return LENGTH.pack(len(data)) + data


class SupervisorGone(EOFError):
    """The pipe from the supervisor has ended: it is dead."""


class FrameReader:
    """Reads frames from a blocking descriptor."""

    def __init__(self, fd: int) -> None:
        """Read from ``fd``."""
        self._fd = fd
        self._buffer = bytearray()

    def read(self) -> tuple[str, Any]:
        """Return the next frame; raises ``SupervisorGone`` at the end of the pipe."""
        (size,) = LENGTH.unpack(self._take(LENGTH.size))
        return _parsed(self._take(size))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = os.read(self._fd, max(65536, size - len(self._buffer)))
            if not data:
                raise SupervisorGone
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _parsed(data: bytes) -> tuple[str, Any]:
    head, _, rows = data.decode("ascii").partition(_ROW)
    kind, body = json.loads(head)
    if kind == "usual":
        return "jobs", [body[0], usual_jobs(body[1], rows)]
    return kind, body


class FrameBuffer:
    """Cuts what arrives from the payload pipe into frames, for a reader that must not wait for the rest of one."""

    def __init__(self) -> None:
        """Begin empty."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """Return the frames that are complete now."""
        buffer, found = self._buffer, []
        buffer += data
        while len(buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer)
            if len(buffer) < LENGTH.size + size:
                break
            found.append(_parsed(bytes(buffer[LENGTH.size : LENGTH.size + size])))
            del buffer[: LENGTH.size + size]
        return found


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
