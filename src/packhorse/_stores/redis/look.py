"""Looking at jobs, attempts, queues and workers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from ..._record import DEFAULT_STEP, AttemptRecord, JobRecord, QueueRecord, State, WorkerRecord
from ...errors import AmbiguousId
from .connection import Connection
from .records import SEP, attempt_of, kind_in, logs_of, number, record_of
from .states import NAMES

_COUNT_LIMIT = 10_000
#: For an id given by its ending, all ids are looked at, for so many seconds.
_ENDING_PATIENCE = 1.0
_ENDING_STEP = 10_000


class Looking(Connection):
    """The verbs that change nothing."""

    def get(self, ids: Sequence[str]) -> list[JobRecord]:
        """Return the stored jobs of these ids, in the order given; 8 characters mean the one job whose id ends so."""
        if not ids:
            return []
        full = [self._full_id(name) if len(name) == 8 else name for name in ids]
        return self._records(self._run("get", *full))

    def _records(self, found: list[str]) -> list[JobRecord]:
        """Return the records of (number, given, state), …."""
        kinds = self._names([kind_in(text) for text in found[1::3]])
        return [record_of(*each, kinds) for each in zip(found[::3], found[1::3], found[2::3], strict=True)]

    def _full_id(self, ending: str) -> str:
        found, all_of_them = self._with_ending(ending)
        if len(found) > 1:
            raise AmbiguousId(
                f"More than one job has an id that ends with {ending}. Give the whole id: {', '.join(sorted(found)[:5])}."
            )
        if not all_of_them:
            raise AmbiguousId(
                f"To look for an id that ends with {ending} among so many jobs would take long. Give the whole id."
            )
        return next(iter(found), ending)

    def _with_ending(self, ending: str) -> tuple[set[str], bool]:
        """Return the ids that end so, and whether all ids were looked at."""
        deadline = time.monotonic() + _ENDING_PATIENCE
        pattern = "*" + "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in ending)
        found: set[str] = set()
        cursor = "0"
        while True:
            link = self._live()
            try:
                cursor, pairs = link.ask(
                    "HSCAN", f"{self._key}:ids", cursor, "MATCH", pattern, "COUNT", _ENDING_STEP, patience=self.patience
                )
            except (RedisError, OSError) as error:
                raise self._failed(error) from error
            found.update(pairs[::2])
            if cursor == "0" or len(found) > 1:
                return found, True
            if time.monotonic() > deadline:
                return found, False

    def attempts(self, job: str) -> list[AttemptRecord]:
        """Return the ended runs, oldest first. A success at the first attempt is made up from the job itself."""
        found = self._run("attempts", job)
        if not found:
            return []
        texts, seq, given, state, host, known = found
        rows = [attempt_of(job, text) for text in texts]
        (record,) = self._records([seq, given, state])
        if record.state == "succeeded" and record.token and record.token not in {row.token for row in rows}:
            rows.append(_made_up(record, host if known else None))
        return rows

    def last_attempts(self, jobs: Sequence[str]) -> list[AttemptRecord]:
        """Return the last attempt row of each of these jobs that has one."""
        found = self._run("last_attempts", *jobs)
        return [attempt_of(job, text) for job, text in zip(jobs, found, strict=True) if text]

    def log(self, job: str, token: str | None = None) -> list[tuple[str, str, int]]:
        """Return (token, text, dropped) of the attempts that logged, oldest first, or of one of them."""
        return [row for row in logs_of(self._run("log", job)) if token in (None, row[0])]

    def workers(self, dead: bool = False) -> list[WorkerRecord]:
        """Return the live (and stopping) workers, and the dead ones too if asked, oldest first."""
        found = [row for row in self._run("workers") if dead or row[0] != "dead"]
        return [_worker(row) for row in sorted(found, key=lambda row: (int(row[2]), int(row[4])))]

    # -- queues -------------------------------------------------------------------------------------------------
    def queues(self, names: Sequence[str] | None = None) -> list[QueueRecord]:
        """Return queues that have or had jobs, are paused or have a step of their own, by name. Cheap at any size."""
        counts, paused, oldest, steps = self._run("queues")
        by_queue: dict[str, dict[State, int]] = {}
        for field, count in zip(counts[::2], counts[1::2], strict=True):
            queue, state = field.split(SEP)
            by_queue.setdefault(queue, {})[NAMES[state]] = int(count)
        switches = dict(zip(paused[::2], map(json.loads, paused[1::2]), strict=True))
        ready = dict(zip(oldest[::2], map(int, oldest[1::2]), strict=True))
        own = dict(zip(steps[::2], map(int, steps[1::2]), strict=True))
        wanted = sorted(by_queue if names is None else by_queue.keys() & set(names))
        return [
            _queue(name, by_queue[name], switches.get(name, {}), ready.get(name), own.get(name, DEFAULT_STEP))
            for name in wanted
        ]

    def ahead(self, job: str) -> int:
        """Return how many queued jobs of the same line would be claimed before this queued one, counting to 10,000."""
        return int(self._run("ahead", job, _COUNT_LIMIT))


def _made_up(job: JobRecord, host: str | None) -> AttemptRecord:
    """Return the row that a success at the first attempt has not written."""
    return AttemptRecord(
        job=job.id,
        token=job.token or "",
        generation=job.generation,
        number=job.attempt,
        worker=job.worker,
        host=host,
        started_at=job.started_at,
        ended_at=job.finished_at or 0,
        outcome="succeeded",
        error=None,
        reason=job.reason,
        usage=None,
        late=None,
    )


def _worker(row: list[Any]) -> WorkerRecord:
    state, beats, started, seen, _, text, catalogue, info, proved, id = row
    described = {**json.loads(text), "id": id, "catalogue": catalogue, "info": info}
    return WorkerRecord(
        **described, state=state, beats=int(beats), started_at=int(started), seen_at=int(seen), proved=bool(proved)
    )


def _queue(name: str, counts: dict[State, int], pause: dict[str, str], ready: int | None, step: int) -> QueueRecord:
    return QueueRecord(
        name=name,
        counts={state: count for state, count in counts.items() if count},
        oldest_ready_at=ready,
        paused_at=number(pause.get("at")),
        paused_by=pause.get("by") or None,
        paused_reason=pause.get("reason") or None,
        paused_until=number(pause.get("till")),
        step=step,
    )
