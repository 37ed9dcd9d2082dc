"""Closing a namespace, and taking jobs with all that belongs to them from one store to another."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..._record import AttemptRecord, Parcel
from ..._store import BATCH
from ...errors import StoreUnavailable
from .link import Link
from .records import Row
from .rows import NOTE, Rows
from .states import NUMBER
from .ties import entered
from .words import decoded, encoded

_LOOK_EVERY = 0.02


class Moving(Rows):
    """The verbs of a move."""

    # -- the switch ---------------------------------------------------------------------------------------------
    def freeze(self, to: str) -> None:
        """Close this namespace: its jobs are going elsewhere. Wait for who is storing or claiming just now."""
        self._write(lambda link, now: self._rows(link, "moving", "close", self._ns, to))
        self._await_writers()

    def _await_writers(self) -> None:
        """Wait for the transactions that may not have seen that the namespace is closed: whoever begins now, does."""
        deadline = time.monotonic() + self.patience
        left = self._writers()
        while left:
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{self.url}: the namespace {self.namespace} is closed, but {len(left)} transaction(s) that may have stored "
                    "jobs before are still open. Look for them in pg_stat_activity, end them, and try again."
                )
            time.sleep(_LOOK_EVERY)
            left &= self._writers()

    def _writers(self) -> set[str]:
        return {row[0] for row in self._read("moving", "writers")}

    def thaw(self) -> None:
        """Open it again."""

        def step(link: Link, now: int) -> None:
            self._rows(link, "moving", "close", self._ns, None)
            self._news(link)

        self._write(step)

    def frozen(self) -> str | None:
        """Return where the jobs are going, None if this namespace is open."""

        def act(link: Link) -> str | None:
            self._require(link)
            rows = self._rows(link, "enqueue", "closed", self._ns)
            return rows[0][0] if rows else None

        return self._attempted(act)

    # -- out ----------------------------------------------------------------------------------------------------
    def export(self, after: int, limit: int = BATCH) -> list[Parcel]:
        """Return jobs with all that belongs to them, oldest first."""
        return self._write(self._export, after, limit)

    def _export(self, link: Link, now: int, after: int, limit: int) -> list[Parcel]:
        seqs = [row[0] for row in self._rows(link, "moving", "next", self._ns, after, limit)]
        attempts: dict[int, list[AttemptRecord]] = defaultdict(list)
        logs: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
        rows = {row.job.seq: row for row in self._whole(link, seqs)}
        for seq, *values in self._rows(link, "moving", "attempts", seqs):
            record = AttemptRecord(rows[seq].job.id, *values)
            attempts[seq].append(record._replace(reason=decoded(record.reason)))
        for seq, token, text, dropped in self._rows(link, "moving", "logs", seqs):
            logs[seq].append((token, decoded(text), dropped))
        return [
            Parcel(
                row.job,
                row.cancel_reason if row.job.state == "running" else None,
                row.claim_no if row.job.state == "running" else None,
                tuple(attempts[seq]),
                tuple(logs[seq]),
            )
            for seq, row in rows.items()
        ]

    # -- in -----------------------------------------------------------------------------------------------------
    def import_jobs(self, parcels: Sequence[Parcel]) -> int:
        """Store jobs as they were elsewhere."""
        last = list({parcel.job.id: parcel for parcel in parcels}.values())
        if not last:
            return 0

        def names(link: Link) -> None:
            for parcel in last:
                self._names.kind(link, self._ns, parcel.job.queue, parcel.job.task)
                self._names.line(link, self._ns, parcel.job.line)

        return self._write(self._import, last, names=names)

    def _import(self, link: Link, now: int, parcels: Sequence[Parcel]) -> int:
        ids = [parcel.job.id for parcel in parcels]
        known = dict(self._rows(link, "moving", "stored", self._ns, ids))
        self._rows(link, "admit", "alone", self._ns)
        self._delete(link, self._locked(link, list(known.values())))
        rows = [self._placed(link, place, parcel, known.get(parcel.job.id)) for place, parcel in enumerate(parcels)]
        seqs = dict(self._rows(link, "moving", "place", json.dumps(rows), self._ns))
        attempts = [(seqs[parcel.job.id], attempt) for parcel in parcels for attempt in parcel.attempts]
        self._enter(link, seqs)
        self._put_attempts(link, attempts)
        self._put_logs(link, [(seqs[parcel.job.id], *log) for parcel in parcels for log in parcel.logs])
        return len(parcels) - len(known)

    def _enter(self, link: Link, seqs: dict[str, int]) -> None:
        """Let jobs stand in the lines, hold and follow as they did elsewhere; what waits is looked at again."""
        rows = self._whole(link, list(seqs.values()))
        document: dict[str, list[Any]] = {}
        for row in rows:
            for part, entries in entered(row).items():
                document.setdefault(part, []).extend(entries)
        if document:
            self._rows(link, "ties", "relink", json.dumps(document), self._ns)
        members = [_member(row) for row in rows if row.job.flow is not None]
        if members:
            self._rows(link, "ties", "place", json.dumps(members), self._ns)
        places = [row.job.place for row in rows if row.job.place is not None]
        if places:
            self._rows(link, "ties", "reach", self._ns, max(places))
        flows = sorted({member["flow"] for member in members})
        self._rows(link, *NOTE, self._ns, list(seqs), flows)
        self.freed = True

    def _placed(self, link: Link, place: int, parcel: Parcel, known: int | None) -> dict[str, Any]:
        job = parcel.job
        kind, queue = self._names.kind(link, self._ns, job.queue, job.task)
        return {
            **job._asdict(),
            "place": place,
            "known": known,
            "kind": kind,
            "queue": queue,
            "line": self._names.line(link, self._ns, job.line),
            "state": NUMBER[job.state],
            "made_by": job.by,
            "reason": encoded(job.reason),
            "cancel_by": encoded(job.cancel_by),
            "cancel_reason": encoded(parcel.cancel_reason),
            "claim_no": parcel.claim_no,
            "held_key": job.unique_key if job.unique_held else None,
            "place_in_line": job.place,
            "waiting": True if job.waits else None,
        }


def _member(row: Row) -> dict[str, Any]:
    job = row.job
    return {
        "seq": job.seq,
        "flow": job.flow,
        "follows": job.after_flow == job.flow,
        "created_at": job.created_at,
        "at": job.finished_at,
    }
