"""How far a move is: a bar on a terminal, lines elsewhere. All of it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import click

from .._durations import spoken
from .._record import JobRecord, WorkerRecord
from . import _show
from ._job import short

#: Lines come at most so often (seconds), except the first and the last of a step.
_EVERY = 5.0
#: A worker that has not beaten for so long (seconds) may be dead.
_SILENT = 30.0


def watcher() -> Lines:
    """Return who shows it here."""
    return Bar() if sys.stderr.isatty() else Lines()


class Lines:
    """Plain lines."""

    def __init__(self) -> None:
        self.began = False
        self._what = ""
        self._total: int | None = None
        self._next = 0.0
        self._since = 0.0
        self._first: int | None = None

    def step(self, what: str, total: int | None = None) -> None:
        """A step begins."""
        self.began = True
        self._what, self._total, self._first = what, total, None
        self._since = time.monotonic()
        self._next = self._since + _EVERY
        if total is None:
            _show.echo(what, err=True)

    def went(self, jobs: int) -> None:
        """So many jobs of this step are done."""
        if self._first is None:
            self._first = jobs
        if time.monotonic() >= self._next or jobs >= (self._total or 0):
            self._next = time.monotonic() + _EVERY
            _show.echo(f"{self._what}  {jobs:,} of {self._total:,}{self._rate(jobs)}", err=True)

    def _rate(self, jobs: int) -> str:
        took = time.monotonic() - self._since
        done = jobs - (self._first or 0)
        if took < 0.5 or done <= 0:
            return ""
        left = max((self._total or 0) - jobs, 0) * took / done
        return f"  {done / took:,.0f}/s" + (f", {spoken(left)} left" if left >= 0.5 else "")

    def waits(self, running: int, some: Sequence[JobRecord], workers: Sequence[WorkerRecord]) -> None:
        """Jobs still run."""
        now = time.monotonic()
        if now < self._next and self._total == running:
            return
        self._total, self._next = running, now + _EVERY
        names = {worker.id: worker for worker in workers}
        shown = ", ".join(
            f"{short(job.id)} {_show.clean(job.task)} ({_who(names.get(job.worker or ''))})" for job in some
        )
        more = f" and {running - len(some):,} more" if running > len(some) else ""
        _show.echo(f"  {_show.count(running, 'job')} still running: {shown}{more}", err=True)

    def close(self) -> None:
        """It is over, one way or the other."""


def _who(worker: WorkerRecord | None) -> str:
    if worker is None or worker.state == "dead":
        return "its worker is dead: --release takes it back"
    silent = time.time() - worker.seen_at / 1e6
    name = _show.clean(worker.name)
    return name if silent < _SILENT else f"{name}, silent for {spoken(silent)}: if it is dead, --release takes it back"


class Bar(Lines):
    """A bar with rate and time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._open = ExitStack()

    def step(self, what: str, total: int | None = None) -> None:
        """A step begins."""
        self.close()
        super().step(what, total)
        if total:
            bar = click.progressbar(
                length=total, label=f"{what:<9}", file=sys.stderr, show_pos=True, item_show_func=lambda rate: rate
            )
            self._bar = self._open.enter_context(bar)

    def went(self, jobs: int) -> None:
        """So many jobs of this step are done."""
        if self._first is None:
            self._first = jobs
        if self._bar is not None:
            done = min(jobs, self._bar.length) - self._bar.pos
            self._bar.update(done, self._rate(jobs).strip().partition(",  ")[0])

    def close(self) -> None:
        """End the line of the bar."""
        self._bar = None
        self._open.close()
