"""Looking at jobs, attempts, queues and workers."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ..._record import DEFAULT_STEP, AttemptRecord, JobRecord, QueueRecord, WorkerRecord
from ...errors import AmbiguousId
from . import records
from .connection import Connection
from .counts import uncounted
from .queries import sql
from .states import ORDER

_COUNT_LIMIT = 10_000
#: For an id given by its ending, all ids are looked at, for so many seconds.
_ENDING_PATIENCE = 1.0
_ENDING_STEP = 100_000


class Looking(Connection):
    """The verbs that change nothing."""

    def get(self, ids: Sequence[str]) -> list[JobRecord]:
        """Return the stored jobs of these ids, in the order given; 8 characters mean the one job whose id ends so."""
        return self._read(self._get, ids)

    def _get(self, db: sqlite3.Connection, ids: Sequence[str]) -> list[JobRecord]:
        full = [self._full_id(db, name) if len(name) == 8 else name for name in ids]
        return records.by_id(db, self._ns, json.dumps(full))

    def _full_id(self, db: sqlite3.Connection, ending: str) -> str:
        found, looked, all_of_them = self._with_ending(db, ending)
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

    def _with_ending(self, db: sqlite3.Connection, ending: str) -> tuple[list[str], int, bool]:
        """Return the ids that end so, newest first, how many were looked at, and whether that were all."""
        deadline = time.monotonic() + _ENDING_PATIENCE
        values: dict[str, Any] = {"ns": self._ns, "ending": ending, "below": None, "size": _ENDING_STEP}
        found: list[str] = []
        looked = 0
        while True:
            start = db.execute(sql("look", "stretch"), values).fetchone()
            values["from"] = start[0] if start else ""
            found += (row[0] for row in db.execute(sql("look", "ending"), values).fetchall())
            if start is None or len(found) > 1:
                return found[:5], looked, True
            looked += _ENDING_STEP
            if time.monotonic() > deadline:
                return found, looked, False
            values["below"] = start[0]

    def attempts(self, job: str) -> list[AttemptRecord]:
        """Return the ended runs, oldest first. A success at the first attempt is made up from the job itself."""
        values = {"ns": self._ns, "id": job}

        def step(db: sqlite3.Connection) -> list[AttemptRecord]:
            rows = db.execute(sql("look", "attempts"), values).fetchall()
            rows += db.execute(sql("look", "first_success"), values).fetchall()
            return [AttemptRecord(*row) for row in rows]

        return self._read(step)

    def last_attempts(self, jobs: Sequence[str]) -> list[AttemptRecord]:
        """Return the last attempt row of each of these jobs that has one."""
        values = {"ns": self._ns, "ids": json.dumps(list(jobs))}
        rows = self._read(lambda db: db.execute(sql("look", "last_attempts"), values).fetchall())
        return [AttemptRecord(*row) for row in rows]

    def log(self, job: str, token: str | None = None) -> list[tuple[str, str, int]]:
        """Return (token, text, dropped) of the attempts that logged, oldest first, or of one of them."""
        values = {"ns": self._ns, "id": job, "token": token}
        return self._read(lambda db: db.execute(sql("look", "log"), values).fetchall())

    def workers(self, dead: bool = False) -> list[WorkerRecord]:
        """Return the live (and stopping) workers, and the dead ones too if asked, oldest first."""
        values = {"ns": self._ns, "dead": dead}
        rows = self._read(lambda db: db.execute(sql("workers", "list"), values).fetchall())
        return [WorkerRecord(*row)._replace(proved=bool(row[-1])) for row in rows]

    # -- queues -------------------------------------------------------------------------------------------------
    def queues(self, names: Sequence[str] | None = None) -> list[QueueRecord]:
        """Return queues that have or had jobs, are paused or have a step of their own, by name. Cheap at any size."""
        wanted = None if names is None else json.dumps(list(names))
        return self._read(self._queues, wanted)

    def _queues(self, db: sqlite3.Connection, names: str | None) -> list[QueueRecord]:
        found = []
        fresh = uncounted(db)
        for row in db.execute(sql("look", "queues"), {"ns": self._ns, "names": names}).fetchall():
            id, name, paused_at, paused_by, reason, until, step, *counts = row
            counts[0] += fresh.get(id, 0)
            ready = self._oldest_ready(db, id, step) if counts[0] else None
            by_state = {state: count for state, count in zip(ORDER, counts, strict=True) if count}
            found.append(QueueRecord(name, by_state, ready, paused_at, paused_by, reason, until, step))
        return found

    def _oldest_ready(self, db: sqlite3.Connection, queue: int, step: int) -> int | None:
        """Return the ready time of the oldest queued job: it is the first one of some priority."""
        lines = db.execute(sql("look", "lines_of"), {"queue": queue}).fetchall()
        heads = [
            (rank + priority * step, {"line": line, "rank": rank, "priority": priority})
            for (line,) in lines
            for rank, priority in db.execute(sql("claim", "heads"), {"line": line}).fetchall()
        ]
        ready: int | None = min((ready for ready, _ in heads), default=None)
        if ready is None or step == DEFAULT_STEP:
            return ready
        # Ranks that stand may come from another step.
        firsts = [db.execute(sql("look", "head"), values).fetchone() for at, values in heads if at == ready]
        created_at = int(min(firsts)[1])
        return max(created_at, min(ready, self.now()))

    def ahead(self, job: str) -> int:
        """Return how many queued jobs of the same line would be claimed before this queued one, counting to 10,000."""
        return self._read(self._ahead, job, self.now())

    def _ahead(self, db: sqlite3.Connection, job: str, now: int) -> int:
        row = db.execute(sql("look", "place"), {"ns": self._ns, "id": job}).fetchone()
        if row is None:
            return 0
        line, rank, seq = row
        count = 0
        for head, priority in db.execute(sql("claim", "heads"), {"line": line}).fetchall():
            if head <= rank and count < _COUNT_LIMIT:
                values = {"line": line, "priority": priority, "rank": rank, "seq": seq, "now": now}
                values["limit"] = _COUNT_LIMIT - count
                count += db.execute(sql("look", "before"), values).fetchone()[0]
        return count
