"""Looking at jobs, attempts and queues; and the switches of queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

from ..._record import AttemptRecord, JobRecord, QueueRecord
from ...errors import AmbiguousId
from .link import Link
from .operate import first_success
from .records import job_record
from .rows import Rows
from .states import NAMES
from .words import decoded, encoded

T = TypeVar("T")

_COUNT_LIMIT = 10_000
#: For an id given by its ending, all ids are looked at, for so many seconds.
_ENDING_PATIENCE = 1.0
_ENDING_STEP = 100_000
_LOWEST = -(1 << 62)


class Looking(Rows):
    """The verbs that change nothing, and pause and resume."""

    def _look(self, step: Callable[[Link], T]) -> T:
        def act(link: Link) -> T:
            self._require(link)
            return step(link)

        return self._twice(act)

    def get(self, ids: Sequence[str]) -> list[JobRecord]:
        """Return the stored jobs of these ids, in the order given; 8 characters mean the one job whose id ends so."""

        def step(link: Link) -> list[JobRecord]:
            full = [self._full_id(link, name) if len(name) == 8 else name for name in ids]
            return [job_record(row) for row in self._rows(link, "look", "by_id", self._ns, full)]

        return self._look(step)

    def _full_id(self, link: Link, ending: str) -> str:
        found, looked, all_of_them = self._with_ending(link, ending)
        if len(found) > 1:
            raise AmbiguousId(
                f"More than one job has an id that ends with {ending}. Give the whole id: {', '.join(found)}."
            )
        if not all_of_them:
            known = f"only {found[0]}" if found else "no job"
            raise AmbiguousId(
                f"Among the newest {looked:,} jobs, {known} has an id that ends with {ending}; to look at the older ones, too, "
                "would take long. Give the whole id."
            )
        return found[0] if found else ending

    def _with_ending(self, link: Link, ending: str) -> tuple[list[str], int, bool]:
        """Return the ids that end so, newest first, how many were looked at, and whether that were all."""
        deadline = time.monotonic() + _ENDING_PATIENCE
        found: list[str] = []
        looked, below = 0, None
        while True:
            _, below, count, some = self._rows(link, "look", "ending", self._ns, ending, below, _ENDING_STEP)[0]
            found += some or []
            looked += count
            if count < _ENDING_STEP or len(found) > 1:
                return found[:5], looked, True
            if time.monotonic() > deadline:
                return found, looked, False

    def attempts(self, job: str) -> list[AttemptRecord]:
        """Return the ended runs, oldest first. A success at the first attempt is made up from the job itself."""

        def step(link: Link) -> list[AttemptRecord]:
            rows = [AttemptRecord(*row) for row in self._rows(link, "look", "attempts", self._ns, job)]
            rows = [row._replace(reason=decoded(row.reason)) for row in rows]
            stored = self._rows(link, "look", "by_id", self._ns, [job])
            record = job_record(stored[0]) if stored else None
            if (
                record
                and record.state == "succeeded"
                and record.token
                and record.token not in {row.token for row in rows}
            ):
                host = self._rows(link, "look", "host", record.worker, self._ns)
                rows.append(first_success(record, host[0][0] if host else None))
            return rows

        return self._look(step)

    def last_attempts(self, jobs: Sequence[str]) -> list[AttemptRecord]:
        """Return the last attempt row of each of these jobs that has one."""
        rows = self._look(lambda link: self._rows(link, "look", "last_attempts", self._ns, list(jobs)))
        found = (AttemptRecord(*row) for row in rows)
        return [row._replace(reason=decoded(row.reason)) for row in found]

    def log(self, job: str, token: str | None = None) -> list[tuple[str, str, int]]:
        """Return (token, text, dropped) of the attempts that logged, oldest first, or of one of them."""
        rows = self._look(lambda link: self._rows(link, "look", "log", self._ns, job, token))
        return [(name, decoded(text), dropped) for name, text, dropped in rows]

    # -- queues -------------------------------------------------------------------------------------------------
    def queues(self, names: Sequence[str] | None = None) -> list[QueueRecord]:
        """Return queues that have or had jobs, or are paused, by name. Cheap at any size."""
        return self._look(lambda link: self._queues(link, None if names is None else list(names)))

    def _queues(self, link: Link, names: list[str] | None) -> list[QueueRecord]:
        found = []
        rows = self._rows(link, "look", "queues", self._ns, names)
        for (line, name, paused_at, paused_by, reason, step), group in groupby(rows, key=lambda row: row[:6]):
            numbers = {state: jobs for *_, state, jobs in group}
            counts = {name: numbers[number] for number, name in enumerate(NAMES) if numbers.get(number)}
            ready = self._oldest_ready(link, line, step) if counts.get("queued") else None
            found.append(QueueRecord(name, counts, ready, paused_at, decoded(paused_by), decoded(reason), step))
        return found

    def _oldest_ready(self, link: Link, queue: int, step: int) -> int | None:
        """Return the ready time of the oldest queued job.

        In a long line only the first of each priority is looked at: all of one priority have ranks up to the present time less
        its steps, so the next rank belongs to a lower one.
        """
        count, oldest = self._rows(link, "look", "first_ready", queue, _COUNT_LIMIT)[0]
        if count < _COUNT_LIMIT:
            return None if oldest is None else int(oldest)
        now, place, ready = self._now(link), _LOWEST, []
        while rows := self._rows(link, "look", "head", queue, place):
            rank, priority = rows[0]
            ready.append(rank + priority * step)
            place = max(rank, now - priority * step) + 1
        return min(ready, default=None)

    def ahead(self, job: str) -> int:
        """Return how many queued jobs of the same line would be claimed before this queued one, counting to 10,000."""
        return int(
            self._look(lambda link: self._rows(link, "look", "ahead", self._ns, job, self._time(), _COUNT_LIMIT))[0][0]
        )

    # -- switches -----------------------------------------------------------------------------------------------
    def pause(self, queue: str, *, by: str = "", reason: str = "") -> bool:
        """Stop claims from a queue; jobs are not touched. Return False if it was paused already."""

        def step(link: Link, now: int) -> bool:
            line = self._names.line(link, self._ns, queue)
            done = self._rows(link, "look", "pause", line, now, encoded(by) or None, encoded(reason) or None)
            self._rows(link, "look", "known", line)
            return bool(done)

        self.freed = True
        return self._write(step, names=lambda link: self._names.line(link, self._ns, queue))

    def resume(self, queue: str) -> bool:
        """Undo ``pause``. Return False if it was not paused."""

        def step(link: Link, now: int) -> bool:
            done = self._rows(link, "look", "resume", self._ns, queue)
            self._news(link)
            return bool(done)

        self.freed = True
        return self._write(step)
