"""Looking at jobs, attempts and queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from ..._record import DEFAULT_STEP, AttemptRecord, JobRecord, QueueRecord
from ...errors import AmbiguousId
from .link import Link
from .operate import first_success
from .records import job_record
from .rows import Rows
from .states import NAMES
from .words import decoded

T = TypeVar("T")

_COUNT_LIMIT = 10_000
#: For an id given by its ending, all ids are looked at, for so many seconds.
_ENDING_PATIENCE = 1.0
_ENDING_STEP = 100_000
_LOWEST = -(1 << 62)
#: There are no more priorities than this.
_HEADS = 201


class Looking(Rows):
    """The verbs that change nothing."""

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
        """Return queues that have or had jobs, are paused or have a step of their own, by name. Cheap at any size."""
        return self._look(lambda link: self._queues(link, None if names is None else list(names)))

    def _queues(self, link: Link, names: list[str] | None) -> list[QueueRecord]:
        found = []
        rows = self._rows(link, "look", "queues", self._ns, names)
        for (line, name, since, by, reason, until, step), group in groupby(rows, key=lambda row: row[:7]):
            numbers = {state: jobs for *_, state, jobs in group}
            counts = {name: numbers[number] for number, name in enumerate(NAMES) if numbers.get(number)}
            ready = self._oldest_ready(link, line, step) if counts.get("queued") else None
            found.append(QueueRecord(name, counts, ready, since, decoded(by), decoded(reason), until, step))
        return found

    def _oldest_ready(self, link: Link, queue: int, step: int) -> int | None:
        """Return the ready time of the oldest queued job; with a step of the queue's own an estimate, in bounds at least."""
        rows = self._rows(link, "look", "first_ready", queue, _COUNT_LIMIT, step)
        if not rows:
            return None
        ready, seq, count = rows[0]
        if step == DEFAULT_STEP and count < _COUNT_LIMIT:
            return int(ready)
        now = self._now(link)
        if count >= _COUNT_LIMIT:
            ready, seq = min([(ready, seq), *self._heads(link, queue, step, now)])
        if step == DEFAULT_STEP:
            return int(ready)
        created = self._rows(link, "look", "created", seq)
        return max([min(int(ready), now), *(int(row[0]) for row in created)])

    def _heads(self, link: Link, queue: int, step: int, now: int) -> Iterator[tuple[int, int]]:
        """Yield the ready time and the number of the first job of each priority in a long line.

        All of one priority have ranks up to the present time less its steps, so the next rank belongs to a lower one.
        """
        place = _LOWEST
        for _ in range(_HEADS):
            rows = self._rows(link, "look", "head", queue, place)
            if not rows:
                return
            rank, priority, seq = rows[0]
            yield rank + priority * step, seq
            place = max(rank, now - priority * step) + 1

    def ahead(self, job: str) -> int:
        """Return how many queued jobs of the same line would be claimed before this queued one, counting to 10,000."""
        return int(
            self._look(lambda link: self._rows(link, "look", "ahead", self._ns, job, self._time(), _COUNT_LIMIT))[0][0]
        )
