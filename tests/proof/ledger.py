"""What really happened, written outside the store by those who did it: files to which lines are only ever appended.

A line is written by one ``write`` on a descriptor opened with ``O_APPEND``, so lines of many processes do not mix, and what was
written stays when its writer is killed the moment after. The order of the lines in a file is the order of what they tell.
Times are microseconds since the epoch, of this host.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

#: Names the ledger's directory to whoever writes.
VARIABLE = "PACKHORSE_PROOF_LEDGER"


class Start(NamedTuple):
    """A job began to run."""

    job: str
    token: str
    fence: int
    pid: int
    at: int = 0


@dataclass(slots=True)
class Ledger:
    """All that was written."""

    intended: dict[str, str] = field(default_factory=dict)  #: job → kind; written before the enqueue
    acked: dict[str, int] = field(default_factory=dict)  #: job → when the enqueue had returned
    starts: list[Start] = field(default_factory=list)  #: in the order in which they happened
    ends: dict[tuple[str, str], int] = field(default_factory=dict)  #: (job, token) → when the function came to its end


class Writer:
    """Appends lines to the files of a ledger; one per process."""

    def __init__(self, directory: str) -> None:
        self._produced = _append_only(directory, "produced")
        self._runs = _append_only(directory, "runs")

    def intend(self, job: str, kind: str) -> None:
        """A job will be enqueued."""
        os.write(self._produced, f"intend {job} {kind}\n".encode())

    def acked(self, *jobs: str) -> None:
        """The enqueue has returned."""
        os.write(self._produced, "".join(f"acked {job} {now()}\n" for job in jobs).encode())

    def start(self, job: str, token: str, fence: int) -> None:
        """The job's function begins."""
        os.write(self._runs, f"start {job} {token} {fence} {os.getpid()} {now()}\n".encode())

    def end(self, job: str, token: str) -> None:
        """The job's function has come to its end."""
        os.write(self._runs, f"end {job} {token} {now()}\n".encode())


def now() -> int:
    return time.time_ns() // 1000


def _append_only(directory: str, name: str) -> int:
    return os.open(os.path.join(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read(directory: Path) -> Ledger:
    """Read it all."""
    found = Ledger()
    for what, words in _lines(directory / "produced"):
        if what == "intend":
            found.intended[words[0]] = words[1]
        else:
            found.acked[words[0]] = int(words[1])
    for what, words in _lines(directory / "runs"):
        if what == "start":
            found.starts.append(Start(words[0], words[1], int(words[2]), int(words[3]), int(words[4])))
        else:
            found.ends[words[0], words[1]] = int(words[2])
    return found


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    if path.exists():
        for line in path.read_text().splitlines():
            what, *words = line.split(" ")
            yield what, words
