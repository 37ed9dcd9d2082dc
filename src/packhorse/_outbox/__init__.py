"""The outbox: jobs written down in the application's own database, in its transaction, for a relay to bring to the store.

Here is the enqueuer's side, and the form in which a job is written down. The relay is ``_relay``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

from .._inside import Steps, Stored
from .._record import Enqueued, NewJob
from .._retention import kept_for
from ..errors import BadSchema, IdConflict

#: So many rows go into one statement.
_ROWS = 100
#: The target keeps a job of an outbox so long after its end (seconds): a relay that was stopped over it may send it again.
KEPT_FOR = 7 * 86_400

_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class Outbox:
    """The table ``packhorse_outbox`` of whatever database the caller's transaction is in."""

    def enqueue(self, dialect: str, namespace: str, jobs: Sequence[NewJob]) -> Steps[Stored]:
        """Write jobs down. The same id is written once; with another content ``IdConflict`` is raised."""
        try:
            for start in range(0, len(jobs), _ROWS):
                yield from _write(dialect, namespace, jobs[start : start + _ROWS])
        except Exception as error:
            if _is_missing(error):
                raise _no_table() from error
            raise
        now = time.time_ns() // 1000
        return Stored([Enqueued(job.id, "queued", now, None, False) for job in jobs], None)


def _write(dialect: str, namespace: str, jobs: Sequence[NewJob]) -> Steps[None]:
    mark = "?" if dialect == "sqlite" else "%s"
    marks = ", ".join([mark] * len(jobs))
    known = yield f"SELECT id, job FROM packhorse_outbox WHERE id IN ({marks})", [job.id for job in jobs]
    _refuse_conflicts({id: json.loads(text) for id, text in known}, jobs)
    clock = str(time.time_ns() // 1000) if dialect == "sqlite" else _CLOCK
    rows = ", ".join([f"({mark}, {mark}, {mark}, {clock})"] * len(jobs))
    values = list(chain.from_iterable((job.id, namespace, encode(job)) for job in jobs))
    yield (
        f"INSERT INTO packhorse_outbox (id, namespace, job, made_at) VALUES {rows} ON CONFLICT (id) DO NOTHING",
        values,
    )


def _refuse_conflicts(known: dict[str, Any], jobs: Sequence[NewJob]) -> None:
    for job in jobs:
        stored = known.setdefault(job.id, {"task": job.task, "queue": job.queue, "payload": job.payload})
        if (stored["task"], stored["queue"], stored["payload"]) != (job.task, job.queue, job.payload):
            raise IdConflict(
                f"Job {job.id} is in the outbox already with another task, queue or arguments; nothing was stored. "
                "Enqueue it under an id of its own.",
                job.id,
            )


def _is_missing(error: Exception) -> bool:
    return "packhorse_outbox" in str(error) and (
        "no such table" in str(error) or getattr(error, "sqlstate", None) == "42P01" or _pgcode(error) == "42P01"
    )


def _pgcode(error: Exception) -> str | None:
    return getattr(error, "pgcode", None)


def _no_table() -> BadSchema:
    return BadSchema(
        "the table packhorse_outbox is not in the database of this transaction; nothing was stored.\n"
        "  Make it there with the statements that  packhorse db sql --outbox  prints."
    )


def encode(job: NewJob) -> str:
    """Return a job as it is written down: what differs from the default, under its name."""
    defaults = NewJob._field_defaults
    fields = {name: value for name, value in job._asdict().items() if defaults.get(name, ...) != value}
    return json.dumps(fields, separators=(",", ":"))


def decode(text: str, age: float) -> NewJob:
    """Return the job that was written down ``age`` seconds ago, as it is to be enqueued now. Raises ``ValueError``.

    What was asked for as a duration counts from then; both times are of one clock.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    unknown = fields.keys() - set(NewJob._fields)
    if unknown:
        raise ValueError(f"it has unknown fields ({', '.join(sorted(unknown))}): was it written by a newer Packhorse?")
    missing = {"id", "task", "queue", "payload"} - fields.keys()
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    job = _retyped(NewJob(**fields), age)
    expires = None if job.expires is None else max(job.expires - age, 0.0)
    return job._replace(delay=max(job.delay - age, 0.0), expires=expires, options=_kept(job.options))


def _retyped(job: NewJob, age: float) -> NewJob:
    """Make tuples again of what JSON made lists; a time for which a unique key is held counts from then too."""
    until = job.unique_until
    return job._replace(
        holds=tuple((mode, name) for mode, name in job.holds),
        after=tuple(job.after),
        unique_until=until if isinstance(until, str) else max(until - age, 0.0),
    )


def _kept(options: str | None) -> str:
    return kept_for(options, KEPT_FOR)
