"""What the threads of a supervisor say to each other. Values only; each thread owns its own state."""

from __future__ import annotations

import os
from collections import deque
from typing import Any, NamedTuple

from .._record import BeatReply, Claimed, Verdict

#: A run has ended: the job, start (0: it never started) and end in nanoseconds of the monotonic clock, and the verdict (None: a
#: plain success without a value). A bare tuple: there is one per job.
Done = tuple[Claimed, int, int, Verdict | None]


class News(NamedTuple):
    """News of a running job, for ``Store.report``."""

    job: Claimed
    started: int | None
    progress: str | None
    log: str | None
    log_dropped: int
    meta: str | None


class Want(NamedTuple):
    """Main asks for jobs: this many now, so many ahead, as counted when it had received so many claims that brought jobs."""

    free: int
    ahead: int
    received: int


class Ended(NamedTuple):
    """Runs that have ended; ``idle``: nothing runs any more, so settle at once."""

    runs: list[Done]
    idle: bool


class Told(NamedTuple):
    """News to report."""

    news: list[News]


class Resolve(NamedTuple):
    """A child knows the tasks of these side lines."""

    lines: list[str]


class Hint(NamedTuple):
    """Something may have changed in the store."""


class Rescue(NamedTuple):
    """A worker has been declared dead: look for its jobs now."""


class Beaten(NamedTuple):
    """A beat came back with orders."""

    reply: BeatReply


class Drain(NamedTuple):
    """Claim nothing more."""


class Finish(NamedTuple):
    """Settle what is left, leave, and end by this monotonic time."""

    deadline: float


class Reborn(NamedTuple):
    """The worker was declared dead, its children are gone: begin anew under a new id."""


class Jobs(NamedTuple):
    """To main: jobs that were claimed."""

    jobs: list[Claimed]


class Opened(NamedTuple):
    """To main: the store is open and this worker is registered."""

    instance: str
    url: str
    promise: str = ""  #: what the store's own persistence means for an acknowledged job, where that needs to be said
    began: float = 0.0  #: when the answer was asked for, on the clock of ``exclusive``


class Refused(NamedTuple):
    """To main: starting is useless."""

    error: Exception
    code: int


class Nothing(NamedTuple):
    """To main: a claim found nothing that could run now, when so many messages about ended runs had been settled (-1: some had
    not)."""

    settled: int


class Gone(NamedTuple):
    """To main: the store thread has ended; jobs it could not settle are left to the rescue."""

    left: list[str]
    signed_off: bool = True  #: False: the store was away, and has a row of ours still


class Final(NamedTuple):
    """To main: a job has ended for good, by the rescue or in a transaction of the user's; the middleware wants to know."""

    job: Claimed
    verdict: Verdict


class Mailbox:
    """Main's inbox: any thread may put, and wakes main's selector."""

    def __init__(self) -> None:
        """Make the pipe that wakes main."""
        self._items: deque[Any] = deque()
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)

    def put(self, item: Any) -> None:
        """Leave something for main."""
        self._items.append(item)
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            pass  # the pipe is full of wake-ups: main will wake

    def close(self) -> None:
        """Close the pipe; nobody may put anything any more."""
        os.close(self.fd)
        os.close(self._write)

    def take(self) -> list[Any]:
        """Take everything that is there."""
        try:
            os.read(self.fd, 65536)
        except BlockingIOError:
            pass
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items
