"""What goes on by itself: promote, expire, prune, the rescue of orphans, side lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..._record import FINAL, Orphan, State
from ..._store import BATCH
from .ending import ended, ready_state
from .link import Link
from .records import Row
from .rows import Rows
from .states import NUMBER, SUCCEEDED, micros

_HOUR = 3600.0
_DAY = 24 * 3600 * 1_000_000
_WINDOW = 5000
#: One call of prune looks at so many stretches of jobs at most.
_WINDOWS = 20


class Upkeep(Rows):
    """The verbs of time."""

    _logs_dropped_to = 0  #: the same, of the jobs that have logs
    _pruned_to = 0  #: number of the job up to which the last call of prune has looked

    # -- promote ------------------------------------------------------------------------------------------------
    def promote(self, limit: int = BATCH) -> tuple[int, float | None]:
        """Make due jobs queued, and end the pauses that are over; return how many, and the seconds until there is more to do."""
        following = _following(self._read("upkeep", "next_due", self._ns_of(), self._time()))
        return (0, following) if following is None or following > 0 else self._write(self._promote, limit)

    def _ns_of(self) -> int:
        """Return the number of the namespace, which is known once there are tables."""
        if not self.instance:
            self._attempted(self._require)
        return self._ns

    def _promote(self, link: Link, now: int, limit: int) -> tuple[int, float | None]:
        seqs = [row[0] for row in self._rows(link, "upkeep", "due", self._ns, now, limit)]
        rows = self._whole(link, seqs)
        self._put(link, [(row, _with(row, state=ready_state(row.job), due_at=None)) for row in rows])
        resumed = self._rows(link, "upkeep", "end_pauses", self._ns, now)
        self.freed = self.freed or bool(resumed)
        if rows or resumed:
            self._news(link)
        return len(rows), _following(self._rows(link, "upkeep", "next_due", self._ns, now))

    # -- expire -------------------------------------------------------------------------------------------------
    def expire(self, limit: int = BATCH) -> list[str]:
        """Cancel waiting jobs whose ``expires_at`` has passed; return their ids."""
        if not self._read("upkeep", "expired", self._ns_of(), self._time(), 1):
            return []
        return self._write(self._expire, limit)

    def _expire(self, link: Link, now: int, limit: int) -> list[str]:
        seqs = [row[0] for row in self._rows(link, "upkeep", "expired", self._ns, now, limit)]
        over = [row for row in self._locked(link, seqs) if _is_over(row, now)]
        self._put(link, [(row, row._replace(job=ended(row.job, "cancelled", now, "expired"))) for row in over])
        return [row.job.id for row in over]

    # -- prune --------------------------------------------------------------------------------------------------
    def prune(self, keep: Mapping[State, float], limit: int = BATCH) -> int:
        """Delete what ended long ago; return how many jobs."""
        if self._read("enqueue", "closed", self._ns_of())[0][0] is not None:
            return 0
        return self._write(self._prune, keep, limit)

    def _prune(self, link: Link, now: int, keep: Mapping[State, float], limit: int) -> int:
        before = {NUMBER[state]: now - micros(max(age, _HOUR)) for state, age in keep.items() if state in FINAL}
        seqs: list[int] = []
        for state, end in before.items():
            room = limit - len(seqs)
            if state == SUCCEEDED:
                seqs += self._old_successes(link, now, end, room)
            elif room:
                seqs += [row[0] for row in self._rows(link, "upkeep", "shelved_old", self._ns, state, end, room, now)]
        held = {row[0] for row in self._rows(link, "rows", "lock_whole_free", seqs)} if seqs else set()
        held -= self._needed(link, now, held, keys=True)
        rows = [row for row in self._whole(link, sorted(held)) if _is_old(row, before)]
        self._delete(link, rows)
        self._drop_results(link, now, limit)
        self._rows(link, "workers", "forget", self._ns, now - _DAY)
        return len(rows)

    def _needed(self, link: Link, now: int, seqs: Collection[int], *, keys: bool) -> set[int]:
        """Return those of some jobs that another one waits for, or that hold a key for a time."""
        return (
            {row[0] for row in self._rows(link, "ties", "needed", self._ns, list(seqs), now, keys)} if seqs else set()
        )

    def _old_successes(self, link: Link, now: int, before: int, limit: int) -> list[int]:
        """Walk along the numbers, oldest first, from where the last call stopped: there is no index on the time of the end,
        which would cost every job a second entry in every index."""
        found: list[int] = []
        place, start = self._pruned_to, self._pruned_to
        for _ in range(_WINDOWS):
            rows = self._rows(link, "upkeep", "window", place, _WINDOW, now)
            old = {row[0] for row in rows if row[1] == self._ns and row[2] == SUCCEEDED and (row[3] or before) < before}
            old -= self._needed(link, now, old, keys=True)
            for seq, _, _, _, created in rows:
                if len(found) == limit:
                    self._pruned_to = place
                    return found
                place = seq
                if seq in old:
                    found.append(seq)
                if created >= before:
                    rows = []
                    break
            if len(rows) < _WINDOW:
                self._pruned_to = 0
                return found if found or not start else self._old_successes(link, now, before, limit)
        self._pruned_to = place
        return found

    def drop_logs(self, age: float, limit: int = BATCH) -> int:
        """Drop the logs of what ended long ago; return of how many jobs."""
        if self._read("enqueue", "closed", self._ns_of())[0][0] is not None:
            return 0
        return self._write(self._drop_logs, age, limit)

    def _drop_logs(self, link: Link, now: int, age: float, limit: int) -> int:
        before = now - micros(age)
        rows = self._rows(link, "upkeep", "logged", self._logs_dropped_to, limit, self._ns, before)
        # Times grow with the numbers: behind one that was stored later, nothing has ended before.
        young = next((place for place, row in enumerate(rows) if row[2] >= before), len(rows))
        seqs = [seq for seq, old, _ in rows[:young] if old]
        if seqs:
            self._rows(link, "upkeep", "drop_logs", seqs)
        self._logs_dropped_to = rows[-1][0] if young == limit else 0
        return len(seqs)

    def _drop_results(self, link: Link, now: int, limit: int) -> None:
        seqs = [row[0] for row in self._rows(link, "upkeep", "over", self._ns, now, limit)]
        if seqs:
            free = {row[0] for row in self._rows(link, "rows", "lock_free", seqs)}
            self._rows(link, "upkeep", "drop_results", sorted(free - self._needed(link, now, free, keys=False)))

    # -- rescue -------------------------------------------------------------------------------------------------
    def orphans(self, limit: int = BATCH) -> list[Orphan]:
        """Return running jobs whose worker is dead or has no row."""
        found = [Orphan(*row) for row in self._read("upkeep", "orphans", self._ns_of(), limit)]
        if len(found) < limit:
            self._sweep_claims_of_the_gone()
        return found

    def _sweep_claims_of_the_gone(self) -> None:
        gone = [row[0] for row in self._read("upkeep", "gone_workers", self._ns)]
        if gone:
            self._read("upkeep", "sweep", self._ns, gone)

    def resolve(self, lines: Sequence[str]) -> int:
        """Make the blocked jobs of these side lines queued there; return how many."""
        if not lines:
            return 0
        return self._write(self._resolve, list(dict.fromkeys(lines)))

    def _resolve(self, link: Link, now: int, names: list[str]) -> int:
        lines = [row[0] for row in self._rows(link, "claim", "lines", self._ns, names)]
        done = 0
        while seqs := [row[0] for row in self._rows(link, "upkeep", "blocked", self._ns, lines)]:
            rows = [row for row in self._locked(link, seqs) if row.job.parked and row.line in lines]
            self._put(link, [(row, _resolved(row)) for row in rows])
            done += len(rows)
            if not rows:
                break
        if done:
            self._news(link)
        return done


def _following(found: Sequence[tuple[int | None, int | None, int]]) -> float | None:
    """Return in how many seconds the next job is due, or the next pause over."""
    times = [max(0, time - now) for *dues, now in found for time in dues if time is not None]
    return min(times) / 1_000_000 if times else None


def _resolved(row: Row) -> Row:
    return _with(row, state=ready_state(row.job), reason=None, parked=False)


def _with(row: Row, **changes: object) -> Row:
    return row._replace(job=row.job._replace(**changes))  # type: ignore[arg-type]


def _is_over(row: Row, now: int) -> bool:
    job = row.job
    return job.state not in FINAL and job.state != "running" and job.expires_at is not None and job.expires_at <= now


def _is_old(row: Row, before: Mapping[int, int]) -> bool:
    end = before.get(NUMBER[row.job.state])
    return end is not None and row.job.finished_at is not None and row.job.finished_at < end
