"""Jobs read, locked, and written back: the way of every verb that is not in a great hurry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..._record import LOG_LIMIT, AttemptRecord
from .connection import Connection
from .link import Link
from .records import Row, whole_row
from .states import NUMBER
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
        rows = [_changed(old, new) for old, new in changes]
        if rows:
            self._rows(link, "rows", "put", json.dumps(rows))

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

    def _delete(self, link: Link, seqs: Sequence[int]) -> None:
        """Delete jobs with all that belongs to them."""
        if seqs:
            self._rows(link, "rows", "delete", list(seqs))

    def _news(self, link: Link) -> None:
        """Let others know that something may have become claimable."""
        self._rows(link, "small", "tell")
        self._mine += 1


def _changed(old: Row, new: Row) -> dict[str, Any]:
    job = new.job
    return {
        **{name: getattr(job, name) for name in _SAME},
        "old_state": NUMBER[old.job.state],
        "old_line": old.line,
        "old_rank": old.job.rank,
        "queue": new.queue,
        "state": NUMBER[job.state],
        "line": new.line,
        "solo": job.crash_fails or job.suspect,
        "reason": encoded(job.reason),
        "cancel_by": encoded(job.cancel_by),
        "cancel_reason": encoded(new.cancel_reason),
    }


def _tail(seq: int, token: str, text: str, dropped: int) -> dict[str, Any]:
    over = max(len(text) - LOG_LIMIT, 0)
    return {"job": seq, "token": token, "text": encoded(text[over:]), "dropped": dropped + over}
