"""What keeps the store in order: due and expired jobs, workers and their beats, orphans, pruning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..._record import FINAL, LOG_STORED, BeatReply, Orphan, Report, State, WorkerRecord
from ..._store import BATCH
from ...errors import NameTaken, StoreUnavailable
from .records import given_of, state_of
from .revive import Reviving
from .states import LETTERS, micros

_HOUR = 3600.0
_ENDS: tuple[State, ...] = ("succeeded", "failed", "cancelled")
#: So often a report is merged anew with what somebody else wrote in between.
_TRIES = 20


class Upkeep(Reviving):
    """The verbs of workers that do not touch outcomes."""

    #: How far into the list of each kind of end the last call of ``drop_logs`` has looked.
    _logs_dropped_to: Mapping[State, int] = MappingProxyType({})

    # -- workers ------------------------------------------------------------------------------------------------
    def register(self, worker: WorkerRecord) -> None:
        """Make the worker known and live. Raise ``NameTaken`` if another live worker has the name."""
        row = worker._asdict()
        for name in ("state", "beats", "started_at", "seen_at", "catalogue", "info", "proved"):
            del row[name]
        answer = self._run(
            "register", worker.id, worker.name, worker.host, worker.pid, json.dumps(row), worker.catalogue, worker.info
        )
        if answer[0] == "taken":
            raise NameTaken(
                f"Another live worker is named '{worker.name}' (process {answer[1]} on {answer[2]}). "
                "Stop it, or start this one with another --name."
            )
        self._did(1, 1)

    def publish(self, worker: str, catalogue: str, info: str) -> None:
        """Replace the catalogue and the info of a live worker."""
        self._run("publish", worker, catalogue, info)

    def stopping(self, worker: str) -> None:
        """Say that this worker takes no more work."""
        self._did(0, self._run("stopping", worker))

    def leave(self, worker: str) -> None:
        """Forget a worker that has ended cleanly. Jobs still running for it become orphans."""
        gone = self._run("leave", worker)
        self._did(gone, gone)

    def condemn(self, worker: str, beats: int, proved: bool = False) -> bool:
        """Declare a worker dead iff its beat count is still ``beats``; keep that its lock proved it."""
        dead, news = self._run("condemn", worker, beats, int(proved))
        self._did(news, news)
        return bool(dead)

    # -- beats --------------------------------------------------------------------------------------------------
    def beat(self, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
        """Count one beat of a live worker and bring back orders."""
        words = [word for pair in held for word in pair]
        now, alive, *orders = self._run("beat", worker, claim_no, *words)
        if not alive:
            return BeatReply(False, int(now), [], [], [], [])
        cancelled, ghosts, lost, lines, changed, stirred = orders
        self._did(changed, stirred)
        return BeatReply(
            True,
            int(now),
            [(*held[place], reason) for place, reason in zip(cancelled[::2], cancelled[1::2], strict=True)],
            ghosts,
            [held[place] for place in lost],
            sorted(lines),
        )

    def report(self, worker: str, reports: Sequence[Report]) -> None:
        """Record news of running attempts; a report whose fence does not hold is ignored."""
        left = list(reports)
        for _ in range(_TRIES):
            if not left:
                return
            stored = self._stored_meta([news.job for news in left if news.meta is not None])
            words = [word for news in left for word in (news.job, news.token, _news(news, stored.get(news.job)))]
            left = [left[int(place)] for place in self._run("report", *words)]
        raise StoreUnavailable(f"{self.url}: the meta of job {left[0].job} changes faster than it can be merged.")

    def _stored_meta(self, ids: Sequence[str]) -> dict[str, str]:
        if not ids:
            return {}
        found = self._run("get", *ids)
        metas = {}
        for given_text, state_text in zip(found[1::3], found[2::3], strict=True):
            given = given_of(given_text)
            meta = state_of(state_text).get("meta", given.meta)
            if meta is not None:
                metas[given.id] = meta
        return metas

    # -- time ---------------------------------------------------------------------------------------------------
    def promote(self, limit: int = BATCH) -> tuple[int, float | None]:
        """Make due jobs queued, and resume queues; return how many jobs, and the seconds until there is more to do."""
        count, following, changed, stirred, revives = self._run("promote", limit)
        self._did(changed, stirred)
        if revives and self._revive(limit):
            return count, 0.0
        return count, int(following) / 1_000_000 if following else None

    def expire(self, limit: int = BATCH) -> list[str]:
        """Cancel waiting jobs whose ``expires_at`` has passed; return their ids."""
        ids, stirred = self._run("expire", limit)
        self._did(1 if ids else 0, stirred)
        return list(ids)

    # -- rescue -------------------------------------------------------------------------------------------------
    def orphans(self, limit: int = BATCH) -> list[Orphan]:
        """Return running jobs whose worker is dead or has no row."""
        return [_orphan(row) for row in self._run("orphans", limit)]

    def resolve(self, lines: Sequence[str]) -> int:
        """Make the parked jobs of these side lines queued there; return how many."""
        count, stirred = self._run("resolve", *dict.fromkeys(lines))
        self._did(1 if count else 0, stirred)
        return int(count)

    # -- pruning ------------------------------------------------------------------------------------------------
    def prune(self, keep: Mapping[State, float], limit: int = BATCH) -> int:
        """Delete what ended long ago; return how many jobs."""
        words: list[str | int] = []
        for state, age in keep.items():
            if state in FINAL:
                words += (LETTERS[state], micros(max(age, _HOUR)))
        count, changed, stirred = self._run("prune", limit, *words)
        self._did(changed, stirred)
        return int(count)

    def drop_logs(self, age: float, limit: int = BATCH) -> int:
        """Drop the logs of what ended long ago; return of how many jobs."""
        words = [word for state in _ENDS for word in (LETTERS[state], self._logs_dropped_to.get(state, 0))]
        count, places = self._run("drop_logs", micros(age), limit, *words)
        self._logs_dropped_to = dict(zip(_ENDS, places, strict=True))
        return int(count)


def _news(news: Report, stored: str | None) -> str:
    """Return a report as the script takes it: meta is merged here, since Lua's numbers are not JSON's."""
    over = max(len(news.log) - LOG_STORED, 0) if news.log is not None else 0
    parts: dict[str, Any] = {
        "started": None if news.started is None else micros(news.started),
        "progress": news.progress,
        "log": None if news.log is None else news.log[over:],
        "dropped": news.log_dropped + over,
    }
    if news.meta is not None:
        parts["meta"] = json.dumps({**json.loads(stored or "{}"), **json.loads(news.meta)})
        parts["was"] = stored or ""
    return json.dumps({name: value for name, value in parts.items() if value is not None})


def _orphan(row: list[Any]) -> Orphan:
    job, token, task, worker, host, started, crash_fails, *counters, known, reserves, proved = row
    failures, crashes, losses, generation, snoozes = counters
    return Orphan(
        job=job,
        token=token,
        task=task,
        worker=worker,
        host=host if known else None,
        started=bool(started),
        crash_fails=bool(crash_fails),
        failures=failures,
        crashes=crashes,
        losses=losses,
        generation=generation,
        snoozes=snoozes,
        reserves=bool(reserves),
        proved=bool(proved),
    )
