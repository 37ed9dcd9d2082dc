"""Closing a namespace, and taking jobs with all that belongs to them from one store to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..._record import AttemptRecord, JobRecord, Parcel
from ..._rules import held_names
from ..._store import BATCH
from .connection import Connection
from .migrate import FIRST
from .records import attempt_of, kind_in, logs_of, record_of, rest_of, rules_again, state_of
from .states import LETTERS


class Moving(Connection):
    """The verbs of a move, and what is done inside a transaction of the caller's: nothing, here."""

    @property
    def inside(self) -> None:
        """Return None: there are no transactions of the caller's here; the outbox is the way."""
        return None

    def freeze(self, to: str) -> None:
        """Close this namespace: ``enqueue`` and ``claim`` are refused from now on."""
        self._did(self._run("freeze", to))

    def thaw(self) -> None:
        """Undo ``freeze``."""
        self._did(self._run("thaw"), 1)

    def frozen(self) -> str | None:
        """Return what ``freeze`` was told, None if this namespace is open."""
        told: str | None = self._run("frozen")
        return told

    def export(self, after: int, limit: int = BATCH) -> list[Parcel]:
        """Return jobs with all that belongs to them, oldest first, those with a ``seq`` above ``after``."""
        found: list[Any] = []
        after, more = max(after, FIRST), True
        while more and len(found) < limit:
            last, more, part = self._run("export", after, limit - len(found))
            after = int(last)
            found += part
        kinds = self._names([kind_in(one[1]) for one in found])
        return [_parcel(one, record_of(one[0], one[1], one[2], kinds)) for one in found]

    def import_jobs(self, parcels: Sequence[Parcel]) -> int:
        """Store jobs exactly as they were elsewhere; return how many were new."""
        if not parcels:
            return 0
        words = [word for parcel in parcels for word in _words(parcel)]
        fresh, changes, stirred = self._run("import", *words)
        self._did(changes, stirred)
        return int(fresh)


def _parcel(one: list[Any], job: JobRecord) -> Parcel:
    _, _, text, rows, logs = one
    d = state_of(text)
    runs = job.state == "running"
    return Parcel(
        job=job,
        cancel_reason=d.get("cr") if runs else None,
        claim_no=d.get("cn") if runs else None,
        attempts=tuple(attempt_of(job.id, row) for row in rows),
        logs=tuple(logs_of(logs)),
    )


def _words(parcel: Parcel) -> list[str]:
    """Return a job as the script takes it."""
    job = parcel.job
    rest = rest_of(job.payload, job.by, job.options, job.tags, None, job.parent, rules_again(job))
    of = {
        "queue": job.queue,
        "task": job.task,
        "priority": job.priority,
        "created": str(job.created_at),
        "d": _state(parcel),
    }
    rows = [json.dumps(_row(row)) for row in parcel.attempts]
    logs: list[object] = [part for log in parcel.logs for part in log]
    return [job.id, json.dumps(of), rest, json.dumps(rows), json.dumps(logs)]


def _state(parcel: Parcel) -> dict[str, Any]:
    """Return all that can change of a job, by the names under which it is kept."""
    job = parcel.job
    runs = job.state == "running"
    found: dict[str, Any] = {
        "s": LETTERS[job.state],
        "rank": str(job.rank),
        "due": _text(job.due_at),
        "sch": _text(job.scheduled_at),
        "exp": _text(job.expires_at),
        "st": _text(job.started_at),
        "fin": _text(job.finished_at),
        "fence": str(job.fence) if job.fence else None,
        "tok": job.token,
        "w": job.worker,
        "cn": parcel.claim_no if runs else None,
        "line": None if job.line == job.queue else job.line,
        "f": job.failures or None,
        "c": job.crashes or None,
        "l": job.losses or None,
        "n": job.snoozes or None,
        "g": job.generation or None,
        "sus": job.suspect or None,
        "solo": job.crash_fails or None,
        "meta": job.meta,
        "res": job.result,
        "ru": _text(job.result_until),
        "error": job.error,
        "reason": job.reason,
        "progress": job.progress,
        "ca": _text(job.cancel_at),
        "cb": job.cancel_by,
        "cr": (parcel.cancel_reason or None) if runs else None,
        **_of_rules(job),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_rules(job: JobRecord) -> dict[str, Any]:
    if rules_again(job) is None:
        return {"gu": job.given_up}
    modes = [mode for mode, _ in held_names(job.holds)]
    return {
        "R": 1,
        "aw": 1 if job.has_rules else None,
        "h": ("r" if {"x", "s"} & set(modes) else "l") if modes else None,
        "fl": job.flow,
        "uk": job.unique_key if job.unique_held else None,
        "us": 1 if job.unique_until == "started" else None,
        "ut": 1 if job.unique_until == "time" else None,
        "uf": 1 if job.unique_until == "flow" else None,
        "ue": _text(job.unique_end),
        "pl": job.place,
        "wt": 1 if job.waits else None,
        "gu": job.given_up,
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _row(row: AttemptRecord) -> dict[str, Any]:
    found = {
        "token": row.token,
        "generation": row.generation,
        "number": row.number,
        "worker": row.worker,
        "host": row.host,
        "started": _text(row.started_at),
        "ended": str(row.ended_at),
        "outcome": row.outcome,
        "error": row.error,
        "reason": row.reason,
        "usage": row.usage,
        "late": row.late,
    }
    return {name: value for name, value in found.items() if value is not None}
