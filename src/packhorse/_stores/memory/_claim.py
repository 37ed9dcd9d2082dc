"""What a worker does with running jobs, except ending them: claim, report, beat; and coming and going itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ..._record import BeatReply, Claim, Claimed, JobRecord, Orphan, Report, WorkerRecord
from ..._rules import held_names
from ...errors import NameTaken
from ._clock import micros
from ._ending import ended
from ._enqueue import passed, ready_state
from ._tables import Tables


def claim(
    tables: Tables,
    now: int,
    queues: Sequence[str] | None,
    free: int,
    ahead: int,
    worker: str,
    claim_no: int,
    lines: Sequence[str],
    turn: int,
) -> Claim:
    """Take queued jobs for a live worker."""
    if not may_claim(tables.workers.get(worker)):
        return Claim([], now, False)
    asked = _lines(every_queue(tables, turn) if queues is None else dict.fromkeys(queues), lines)
    taken: list[JobRecord] = []
    more = False
    for job in claimable(tables, now, asked):
        more = len(taken) >= free + ahead or (len(taken) >= free and runs_alone(job))
        if more:
            break
        taken.append(job)
    token = secrets.token_hex(16)
    return Claim([_take(tables, now, job, worker, claim_no, token) for job in taken], now, more)


def may_claim(row: WorkerRecord | None) -> bool:
    """Tell whether this worker may take work."""
    return row is not None and row.state == "live"


def every_queue(tables: Tables, turn: int) -> list[str]:
    """Return all queues, beginning at a place that moves with ``turn``."""
    names = tables.owners("state queued")
    place = turn % len(names) if names else 0
    return names[place:] + names[:place]


def _lines(queues: Iterable[str], side_lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return (queue, line) in the order in which they are asked."""
    served = dict.fromkeys(side_lines)
    return [
        (queue, line)
        for queue in queues
        for line in (queue, *(side for side in served if side.startswith(f"{queue}#")))
    ]


def claimable(tables: Tables, now: int, asked: Sequence[tuple[str, str]]) -> Iterator[JobRecord]:
    """Yield queued jobs in the order in which they are to be taken."""
    for queue, line in asked:
        if not tables.paused(queue):
            yield from (job for job in tables.inside("line", line) if not passed(job.expires_at, now))


def runs_alone(job: JobRecord) -> bool:
    """Tell whether a job is never claimed ahead of a free slot."""
    return job.crash_fails or job.suspect or job.holds is not None


def next_fence(last: int, now: int) -> int:
    """Return the fence of an attempt: larger than any before, and near the time."""
    return max(last + 1, now)


def _take(tables: Tables, now: int, job: JobRecord, worker: str, claim_no: int, token: str) -> Claimed:
    job = job._replace(
        state="running",
        token=token,
        worker=worker,
        fence=next_fence(job.fence, now),
        started_at=None,
        unique_held=job.unique_held and job.unique_until != "started",
    )
    tables.put(job)
    tables.claim_numbers[job.id] = claim_no
    return Claimed(**{name: getattr(job, name) for name in Claimed._fields})


def report(tables: Tables, now: int, reports: Sequence[Report]) -> None:
    """Record news of running attempts."""
    for news in reports:
        job = tables.jobs.get(news.job)
        if job is not None and holds(job, news.token):
            _record(tables, now, job, news)


def holds(job: JobRecord, token: str) -> bool:
    """Tell whether this token is the one the job is running under: the fence of every write by a worker."""
    return same_token(job, token) and is_running(job)


def same_token(job: JobRecord, token: str) -> bool:
    """Tell whether this is the token of the latest claim."""
    return job.token == token


def is_running(job: JobRecord) -> bool:
    """Tell whether the job is running."""
    return job.state == "running"


def _record(tables: Tables, now: int, job: JobRecord, news: Report) -> None:
    tables.put(
        job._replace(
            started_at=job.started_at if news.started is None else now - micros(news.started),
            progress=job.progress if news.progress is None else news.progress,
            meta=job.meta if news.meta is None else merged(job.meta, news.meta),
        )
    )
    tables.put_log(job.id, news.token, news.log, news.log_dropped)


def merged(old: str | None, new: str) -> str:
    """Return one JSON object with the keys of both; the new values win."""
    return json.dumps({**json.loads(old or "{}"), **json.loads(new)})


# -- beats --------------------------------------------------------------------------------------------------------
def beat(tables: Tables, now: int, worker: str, claim_no: int, held: Sequence[tuple[str, str]]) -> BeatReply:
    """Count one beat and bring back orders."""
    row = tables.workers.get(worker)
    if row is None or not may_beat(row):
        return BeatReply(False, now, [], [], [], [])
    tables.workers[worker] = row._replace(beats=row.beats + 1, seen_at=now)
    ghosts = _release_ghosts(tables, now, worker, claim_no, set(held))
    mine = {(job.id, job.token): job for job in tables.inside("held", worker)}
    cancelled = [
        (job, token, tables.cancel_reasons.get(job, ""))
        for job, token in held
        if (job, token) in mine and mine[job, token].cancel_at is not None
    ]
    lost = [pair for pair in held if pair not in mine]
    return BeatReply(True, now, cancelled, ghosts, lost, side_lines(tables))


def may_beat(row: WorkerRecord) -> bool:
    """Tell whether this worker is still one."""
    return row.state != "dead"


def _release_ghosts(tables: Tables, now: int, worker: str, claim_no: int, held: set[tuple[str, str]]) -> list[str]:
    ghosts = [
        job
        for job in tables.inside("held", worker)
        if is_ghost(tables.claim_numbers.get(job.id, 0), claim_no) and (job.id, job.token) not in held
    ]
    for job in ghosts:
        tables.put(_unclaimed(tables, now, job))
    return [job.id for job in ghosts]


def is_ghost(went_out_with: int, completed: int) -> bool:
    """Tell whether a job that is not held went out with a claim call whose end the worker has seen."""
    return went_out_with <= completed


def _unclaimed(tables: Tables, now: int, job: JobRecord) -> JobRecord:
    reason = tables.cancel_reasons.pop(job.id, None)
    if job.cancel_at is None:
        return job._replace(state="queued", started_at=None)
    return ended(job._replace(started_at=None), "cancelled", now, reason)


def side_lines(tables: Tables) -> list[str]:
    """Return the side lines with blocked or queued jobs."""
    return sorted({line for line in tables.owners("blocked") + tables.owners("line") if "#" in line})


# -- workers ------------------------------------------------------------------------------------------------------
def register(tables: Tables, now: int, worker: WorkerRecord) -> None:
    """Make a worker known."""
    for other in tables.workers.values():
        if other.name == worker.name and other.id != worker.id and may_beat(other):
            raise NameTaken(
                f"Another live worker is named '{worker.name}' (process {other.pid} on {other.host}). "
                "Stop it, or start this one with another --name."
            )
    old = tables.workers.get(worker.id)
    if old is None:
        row = worker._replace(state="live", beats=0, started_at=now, seen_at=now, proved=False)
    else:
        kept = {name: getattr(old, name) for name in ("state", "beats", "started_at", "seen_at", "proved")}
        row = worker._replace(**kept)
    tables.workers[worker.id] = row
    tables.stir()


def publish(tables: Tables, worker: str, catalogue: str, info: str) -> None:
    """Replace what a worker tells of itself."""
    row = tables.workers.get(worker)
    if row is not None and may_beat(row):
        tables.workers[worker] = row._replace(catalogue=catalogue, info=info)


def stopping(tables: Tables, worker: str) -> None:
    """Mark a worker that takes no more work."""
    row = tables.workers.get(worker)
    if row is not None and may_beat(row):
        tables.workers[worker] = row._replace(state="stopping")
        tables.stir()


def leave(tables: Tables, worker: str) -> None:
    """Forget a worker, unless it was declared dead."""
    row = tables.workers.get(worker)
    if row is not None and may_beat(row):
        del tables.workers[worker]
        tables.stir()


def condemn(tables: Tables, worker: str, beats: int, proved: bool) -> bool:
    """Declare a worker dead if it has not beaten since."""
    row = tables.workers.get(worker)
    if row is None or not still_at(row, beats):
        return False
    if may_beat(row):
        tables.stir()
    tables.workers[worker] = row._replace(state="dead", proved=row.proved or proved)
    return True


def still_at(row: WorkerRecord, beats: int) -> bool:
    """Tell whether the beat count is still the observed one."""
    return row.beats == beats


def orphans(tables: Tables, limit: int) -> list[Orphan]:
    """Return running jobs without a live worker."""
    gone = [worker for worker in tables.owners("held") if is_gone(tables.workers.get(worker))]
    jobs = (job for worker in gone for job in tables.inside("held", worker))
    return [_orphan(tables, job) for job in islice(jobs, limit)]


def is_gone(row: WorkerRecord | None) -> bool:
    """Tell whether nobody of this row is left to end its jobs."""
    return row is None or row.state == "dead"


def _orphan(tables: Tables, job: JobRecord) -> Orphan:
    row = tables.workers.get(job.worker or "")
    return Orphan(
        job=job.id,
        token=job.token or "",
        task=job.task,
        worker=job.worker or "",
        host=tables.host(job.worker),
        started=job.started_at is not None,
        crash_fails=job.crash_fails,
        failures=job.failures,
        crashes=job.crashes,
        losses=job.losses,
        generation=job.generation,
        snoozes=job.snoozes,
        reserves=any(mode != "l" for mode, _ in held_names(job.holds)),
        proved=row is not None and row.proved,
    )


def resolve(tables: Tables, lines: Sequence[str]) -> int:
    """Make the parked jobs of side lines queued there; those with rules wait."""
    jobs = [job for line in dict.fromkeys(lines) for job in tables.inside("blocked", line) if job.parked]
    for job in jobs:
        tables.put(job._replace(state=ready_state(job), reason=None, parked=False))
    return len(jobs)
