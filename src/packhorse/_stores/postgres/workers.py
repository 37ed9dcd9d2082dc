"""Workers: coming, beating, reporting, going, and being declared dead."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from psycopg import errors as pg

from ..._record import BeatReply, Report, WorkerRecord
from ...errors import NameTaken
from .ending import ended
from .link import Link
from .records import Row
from .rows import Rows
from .states import micros
from .words import decoded, encoded

#: The changes of the counts are added up so often (seconds), by whoever beats.
_FOLD_EVERY = 4.0


class Workers(Rows):
    """The verbs of a worker's own life."""

    _folded_at = float("-inf")

    def register(self, worker: WorkerRecord) -> None:
        """Make the worker known and live."""
        try:
            self._write(self._register, worker)
        except pg.UniqueViolation:
            self._write(self._refuse_name, worker)
            self._write(self._register, worker)  # who had the name has just left
        self.freed = True

    def _register(self, link: Link, now: int, worker: WorkerRecord) -> None:
        self._rows(
            link, "workers", "register", worker.id, self._ns, worker.name, worker.host, worker.pid, worker.boot_id,
            encoded(worker.lock_path), worker.lock_inode, worker.queues, worker.slots, worker.version, worker.catalogue,
            worker.info, now,
        )  # fmt: skip

    def _refuse_name(self, link: Link, now: int, worker: WorkerRecord) -> None:
        for pid, host in self._rows(link, "workers", "named", self._ns, worker.name, worker.id):
            raise NameTaken(
                f"Another live worker is named '{worker.name}' (process {pid} on {host}). "
                "Stop it, or start this one with another --name."
            )

    def publish(self, worker: str, catalogue: str, info: str) -> None:
        """Replace the catalogue and the info of a live worker."""
        self._write(lambda link, now: self._rows(link, "workers", "publish", self._ns, worker, catalogue, info))

    def stopping(self, worker: str) -> None:
        """Say that this worker takes no more work."""
        self._write(lambda link, now: self._rows(link, "workers", "stopping", self._ns, worker))
        self.freed = True

    def leave(self, worker: str) -> None:
        """Forget a worker that has ended cleanly. A dead one stays on record."""
        self._write(self._leave, worker)
        self.freed = True

    def _leave(self, link: Link, now: int, worker: str) -> None:
        self._rows(link, "workers", "leave", self._ns, worker)
        self._rows(link, "upkeep", "sweep", self._ns, [worker])

    def condemn(self, worker: str, beats: int, proved: bool = False) -> bool:
        """Declare a worker dead iff its beat count is still ``beats``."""
        found = self._write(
            lambda link, now: self._rows(link, "workers", "condemn", self._ns, worker, beats, proved)[0][0]
        )
        self.freed = True
        return bool(found)

    def workers(self, dead: bool = False) -> list[WorkerRecord]:
        """Return the live (and stopping) workers, and the dead ones too if asked, oldest first."""

        def act(link: Link) -> list[Any]:
            self._require(link)
            return self._rows(link, "workers", "list", self._ns, dead)

        rows = (WorkerRecord(*row) for row in self._attempted(act))
        return [row._replace(lock_path=decoded(row.lock_path)) for row in rows]

    # -- beats --------------------------------------------------------------------------------------------------
    def beat(self, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        """Count one beat of a live worker and bring back orders."""
        reply = self._write(self._beat, worker, claim_no, held)
        if time.monotonic() - self._folded_at > _FOLD_EVERY:
            self._folded_at = time.monotonic()
            self._read("upkeep", "fold")
        return reply

    def _beat(self, link: Link, now: int, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        if self._rows(link, "small", "instance") != [(self.instance,)]:
            from .migrate import look

            raise self._gone(look(link, self._schema))
        if not self._rows(link, "workers", "beat", self._ns, worker, now):
            return BeatReply(False, now, [], [], [], [])
        holding = set(held)
        mine = self._rows(link, "workers", "mine", self._ns, worker)
        ghosts = [row[0] for row in mine if (row[3] or 0) <= claim_no and (row[1], row[2]) not in holding]
        released = self._release(link, now, ghosts)
        orders = {(row[1], row[2]): row[4:] for row in mine}
        self._rows(link, "upkeep", "sweep", self._ns, [worker])
        return BeatReply(
            alive=True,
            now=now,
            cancelled=[
                (*pair, decoded(orders[pair][1]) or "")
                for pair in held
                if pair in orders and orders[pair][0] is not None
            ],
            ghosts=released,
            lost=[pair for pair in held if pair not in orders],
            lines=[row[0] for row in self._rows(link, "workers", "side_lines", self._ns)],
        )

    def _release(self, link: Link, now: int, seqs: list[int]) -> list[str]:
        """Put back jobs that their worker never received; or cancel them, if that was asked for."""
        if not seqs:
            return []
        free = [row[0] for row in self._rows(link, "rows", "lock_free", seqs)]
        ghosts = [row for row in self._whole(link, free) if row.job.state == "running"]
        self._put(link, [(row, _unclaimed(row, now)) for row in ghosts])
        self._news(link)
        return [row.job.id for row in ghosts]

    # -- reports ------------------------------------------------------------------------------------------------
    def report(self, worker: str, reports: Sequence[Report]) -> None:
        """Record news of running attempts; a report whose fence does not hold is ignored."""
        if reports:
            self._write(self._report, reports)

    def _report(self, link: Link, now: int, reports: Sequence[Report]) -> None:
        found = self._rows(link, "upkeep", "report", self._ns, [news.job for news in reports])
        rows = {id: (seq, meta, token) for seq, id, meta, token in found}
        changes: dict[int, dict[str, Any]] = {}
        logs: list[tuple[int, str, str | None, int]] = []
        for news in reports:
            seq, meta, token = rows.get(news.job, (0, None, None))
            if token is None or token != news.token:
                continue
            change = changes.setdefault(seq, {"seq": seq, "started_at": None, "progress": None, "meta": meta})
            if news.started is not None:
                change["started_at"] = now - micros(news.started)
            if news.progress is not None:
                change["progress"] = news.progress
            if news.meta is not None:
                change["meta"] = _merged(change["meta"], news.meta)
            logs.append((seq, news.token, news.log, news.log_dropped))
        if changes:
            self._rows(link, "upkeep", "news", json.dumps(list(changes.values())))
        self._put_logs(link, logs)


def _unclaimed(row: Row, now: int) -> Row:
    if row.job.cancel_at is None:
        return row._replace(job=row.job._replace(state="queued", started_at=None))
    job = ended(row.job._replace(started_at=None), "cancelled", now, row.cancel_reason)
    return row._replace(job=job, cancel_reason=None)


def _merged(old: str | None, new: str) -> str:
    """Return one JSON object with the keys of both; the new values win."""
    return json.dumps({**json.loads(old or "{}"), **json.loads(new)})
