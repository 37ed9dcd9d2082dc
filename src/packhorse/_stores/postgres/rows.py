"""Jobs read, locked, and written back: the way of every verb that is not in a great hurry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..._record import LOG_STORED, AttemptRecord
from .connection import Connection
from .link import Link
from .records import Row, whole_row
from .states import NUMBER
from .ties import Ties
from .words import encoded

#: What ``put`` writes of a job as it stands in the record.
_SAME = (
    "seq", "rank", "priority", "scheduled_at", "due_at", "started_at", "finished_at", "expires_at", "suspect", "failures",
    "crashes", "losses", "snoozes", "generation", "result", "result_until", "error", "progress", "meta", "cancel_at",
)  # fmt: skip


class Rows(Connection):
    """Reads and writes whole jobs."""

    def _whole(self, link: Link, seqs: Sequence[int]) -> list[Row]:
        """Return jobs by their numbers, smallest first."""
        return [whole_row(row) for row in self._rows(link, "rows", "read", list(seqs))] if seqs else []

    def _locked(self, link: Link, seqs: Sequence[int]) -> list[Row]:
        """Lock jobs and return them as they then are."""
        if not seqs:
            return []
        self._rows(link, "rows", "lock_ready", list(seqs))
        found = [row[0] for row in self._rows(link, "rows", "lock", list(seqs))]
        return self._whole(link, found)

    def _put(self, link: Link, changes: Iterable[tuple[Row, Row]]) -> None:
        """Write jobs, given as they were and as they are to be, with the queue of the ready and the counts."""
        for name, *values in writes(self._ns, list(changes), self._note_freed):
            rows = self._rows(link, *name, *values)
            self.freed = self.freed or (name == NOTE and bool(rows))

    def _note_freed(self) -> None:
        self.freed = True

    def _put_attempts(self, link: Link, attempts: Sequence[tuple[int, AttemptRecord]]) -> None:
        """Write ended runs, each with the number of its job."""
        if attempts:
            rows = [{**row._asdict(), "job": seq, "reason": encoded(row.reason)} for seq, row in attempts]
            self._rows(link, "rows", "attempts", json.dumps(rows), self._ns)

    def _put_logs(self, link: Link, logs: Sequence[tuple[int, str, str | None, int]]) -> None:
        """Keep the logs of attempts (job's number, token, text, dropped): their newest parts. None leaves what there is."""
        last = {
            (seq, token): _tail(seq, token, text, dropped) for seq, token, text, dropped in logs if text is not None
        }
        if last:
            self._rows(link, "rows", "logs", json.dumps(list(last.values())))

    def _delete(self, link: Link, rows: Sequence[Row]) -> None:
        """Delete jobs with all that belongs to them."""
        if not rows:
            return
        self._rows(link, "rows", "delete", [row.job.seq for row in rows])
        tied = [row.job for row in rows if row.job.has_rules or row.job.flow is not None]
        if tied:
            gone = [{"seq": job.seq, "id": job.id, "flow": job.flow, "at": job.finished_at} for job in tied]
            freed = self._rows(link, "ties", "forget", json.dumps(gone), self._ns)
            self.freed = self.freed or bool(freed)
        flows = sorted({job.flow for job in tied if job.flow is not None})
        noted = self._rows(link, *NOTE, self._ns, [row.job.id for row in rows], flows)
        self.freed = self.freed or bool(noted)
        if flows:
            self._rows(link, "ties", "end_flows", self._ns, flows)

    def _news(self, link: Link) -> None:
        """Let others know that something may have become claimable."""
        self._rows(link, "small", "tell")
        self._mine += 1


NOTE = ("ties", "note")


def writes(ns: int, changes: Sequence[tuple[Row, Row]], frees: Callable[[], None]) -> Iterator[tuple[Any, ...]]:
    """Yield the statements that write jobs, each as ((verb, name), values): the jobs, their lines and edges, and, after that, a
    note for those who wait for one of them."""
    if not changes:
        return
    yield ("rows", "put"), json.dumps([_changed(old, new) for old, new in changes])
    ties = Ties(changes)
    if ties.document is not None:
        yield ("ties", "relink"), ties.document, ns
    if ties.shifted:
        yield ("ties", "shift"), ns, json.dumps(ties.shifted)
    if ties.frees:
        frees()
    if ties.ends:
        yield NOTE, ns, ties.ends, sorted(ties.flows)


def _changed(old: Row, new: Row) -> dict[str, Any]:
    job = new.job
    row = _plain(old, new)
    if job.holds is not None or job.after is not None or job.after_flow is not None or job.unique_key is not None:
        row |= {
            "solo": row["solo"] or job.holds is not None,
            "held_key": job.unique_key if job.unique_held else None,
            "place": job.place,
            "given_up": job.given_up,
            "waiting": True if job.waits else None,
        }
    return row


def _plain(old: Row, new: Row) -> dict[str, Any]:
    """Return what is written of every job."""
    job = new.job
    return {
        **{name: getattr(job, name) for name in _SAME},
        "old_state": NUMBER[old.job.state],
        "old_line": old.line,
        "old_rank": old.job.rank,
        "old_queue": old.queue,
        "queue": new.queue,
        "state": NUMBER[job.state],
        "line": new.line,
        "solo": job.crash_fails or job.suspect,
        "reason": encoded(job.reason),
        "cancel_by": encoded(job.cancel_by),
        "cancel_reason": encoded(new.cancel_reason),
    }


def _tail(seq: int, token: str, text: str, dropped: int) -> dict[str, Any]:
    over = max(len(text) - LOG_STORED, 0)
    return {"job": seq, "token": token, "text": encoded(text[over:]), "dropped": dropped + over}
