"""What really happened, written outside the store by those who did it: files to which lines are only ever appended.

A line is written by one ``write`` on a descriptor opened with ``O_APPEND``, so lines of many processes do not mix, and what was
written stays when its writer is killed the moment after. The order of the lines in a file is the order of what they tell.
Times are microseconds since the epoch, of this host; those called ``mono`` are of its monotonic clock, which
all its processes share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
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
    mono: int = 0
    names: tuple[str, ...] = ()  #: what it holds, each with its mode: ``x:tape-1``


@dataclass(slots=True)
class Ledger:
    """All that was written."""

    intended: dict[str, str] = field(default_factory=dict)  #: job → kind; written before the enqueue
    acked: dict[str, int] = field(default_factory=dict)  #: job → when the enqueue had returned
    starts: list[Start] = field(default_factory=list)  #: in the order in which they happened
    ends: dict[tuple[str, str], int] = field(default_factory=dict)  #: (job, token) → when the function came to its end
    left: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  #: the same, mono, also of runs that were interrupted
    intended_at: dict[str, int] = field(default_factory=dict)  #: mono
    acked_at: dict[str, int] = field(default_factory=dict)  #: mono
    #: (job, token, name): it began and the kernel saw that another run had not let go of what must be held alone
    clashes: list[tuple[str, str, str]] = field(default_factory=list)


class Writer:
    """Appends lines to the files of a ledger; one per process."""

    def __init__(self, directory: str) -> None:
        self._produced = _append_only(directory, "produced")
        self._runs = _append_only(directory, "runs")

    def intend(self, job: str, kind: str) -> None:
        """A job will be enqueued."""
        os.write(self._produced, f"intend {job} {kind} {mono()}\n".encode())

    def acked(self, *jobs: str) -> None:
        """The enqueue has returned."""
        os.write(self._produced, "".join(f"acked {job} {now()} {mono()}\n" for job in jobs).encode())

    def start(self, job: str, token: str, fence: int, names: Sequence[str] = ()) -> None:
        """The job's function begins, and holds these."""
        words = ["start", job, token, str(fence), str(os.getpid()), str(now()), str(mono()), *names]
        os.write(self._runs, (" ".join(words) + "\n").encode())

    def end(self, job: str, token: str) -> None:
        """The job's function has come to its end."""
        os.write(self._runs, f"end {job} {token} {now()} {mono()}\n".encode())

    def broken(self, job: str, token: str) -> None:
        """The job's function was interrupted, and its process lives."""
        os.write(self._runs, f"broken {job} {token} {mono()}\n".encode())

    def clash(self, job: str, token: str, name: str) -> None:
        """What the job was about to hold was not free."""
        os.write(self._runs, f"clash {job} {token} {name}\n".encode())


def mono() -> int:
    return time.monotonic_ns() // 1000


def now() -> int:
    return time.time_ns() // 1000


def _append_only(directory: str, name: str) -> int:
    return os.open(os.path.join(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read(directory: Path) -> Ledger:
    """Read it all."""
    found = Ledger()
    for what, words in _lines(directory / "produced"):
        if what == "intend":
            found.intended[words[0]], found.intended_at[words[0]] = words[1], int(words[2])
        else:
            found.acked[words[0]], found.acked_at[words[0]] = int(words[1]), int(words[2])
    for what, words in _lines(directory / "runs"):
        _run(found, what, words)
    return found


def _run(found: Ledger, what: str, words: list[str]) -> None:
    run = words[0], words[1]
    if what == "start":
        fence, pid, at, began = map(int, words[2:6])
        found.starts.append(Start(*run, fence, pid, at, began, tuple(words[6:])))
    elif what == "end":
        found.ends[run], found.left[run] = int(words[2]), int(words[3])
    elif what == "broken":
        found.left[run] = int(words[2])
    else:
        found.clashes.append((*run, words[2]))


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    if path.exists():
        for line in path.read_text().splitlines():
            what, *words = line.split(" ")
            yield what, words
