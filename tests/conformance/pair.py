"""A store and the memory model, side by side: the same calls, the same clock, answers that must be the same.

Tokens are random in each store; they are compared by the name they get when a claim hands them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from packhorse._record import AttemptRecord, BeatReply, Claimed, JobRecord, Orphan, Parcel, Report, Settled, Verdict
from packhorse._store import Changed, JobFilter, Store
from packhorse.errors import PackhorseError

from .laws import Ledger, Look, look_at

Decide = Callable[[Any], Verdict]


class Run(NamedTuple):
    """One claimed job, as each store handed it out."""

    name: str  #: of the token
    real: Claimed
    model: Claimed


@dataclass
class Side:
    """One of the two stores, and the names of its tokens."""

    store: Store
    names: dict[str, str]

    def job(self, job: JobRecord) -> dict[str, Any]:
        """Return a job in a form that can be compared."""
        plain = job._replace(seq=0, token=self.names.get(job.token or ""))._asdict()
        objects = {"meta": json.loads(job.meta or "null"), "options": json.loads(job.options or "null")}
        return {**plain, **objects, "reason": _reason(job.reason)}

    def seen(self, ids: Sequence[str], look: Look) -> dict[str, Any]:
        """Return all that can be seen of the store."""
        return {
            "jobs": [self.job(job) for job in in_line(look.jobs)],
            "obstacles": dict(zip(ids, self.store.obstacles(ids), strict=True)),
            "limits": self.store.limits(),
            "flows": [self.queue(flow) for flow in self.store.flows()],
            "settings": self.store.export_settings(),
            "same by get": self.store.get([job.id for job in look.jobs]) == look.jobs,
            "stored": [job.id for job in self.store.get(ids)],
            "attempts": {job: [self.attempt(row) for row in rows] for job, rows in look.attempts.items()},
            "logs": {job.id: [(self.names[t], *rest) for t, *rest in self.store.log(job.id)] for job in look.jobs},
            "queues": [self.queue(queue) for queue in self.store.queues()],
            "workers": sorted((row._asdict() for row in self.store.workers(dead=True)), key=lambda row: row["id"]),
            "ahead": {job.id: self.store.ahead(job.id) for job in look.jobs if job.state == "queued"},
            "frozen": self.store.frozen(),
            "schedules": (book := self.store.schedules()),
            "runs": {schedule.id: self.store.runs(schedule.id) for schedule in book.schedules or ()},
        }

    def attempt(self, row: AttemptRecord) -> dict[str, Any]:
        """Return an attempt in a form that can be compared."""
        return {**row._asdict(), "token": self.names[row.token], "reason": _reason(row.reason)}

    def parcel(self, parcel: Parcel) -> dict[str, Any]:
        """Return a job with all that belongs to it in a form that can be compared."""
        return {
            **parcel._asdict(),
            "job": self.job(parcel.job),
            "attempts": [self.attempt(row) for row in parcel.attempts],
            "logs": [(self.names[token], *rest) for token, *rest in parcel.logs],
        }

    def queue(self, queue: Any) -> dict[str, Any]:
        """Return a queue, or a flow, without zeros."""
        return {**queue._asdict(), "counts": {state: count for state, count in queue.counts.items() if count}}

    def settled(self, answers: list[Settled]) -> list[tuple[str, ...]]:
        """Return what was not applied as asked."""
        return sorted((a.job, self.names[a.token], a.how, a.state or "") for a in answers)

    def beat(self, reply: BeatReply) -> dict[str, Any]:
        """Return what a beat brought."""
        return {
            "alive": reply.alive,
            "now": reply.now,
            "cancelled": sorted((job, self.names[token], why) for job, token, why in reply.cancelled),
            "ghosts": sorted(reply.ghosts),
            "lost": sorted((job, self.names[token]) for job, token in reply.lost),
            "lines": reply.lines,
        }

    def orphans(self) -> list[Orphan]:
        """Return the orphans, oldest id first."""
        return sorted(self.store.orphans())


class Pair:
    """Drives both, and raises at the first difference."""

    def __init__(self, real: Store, model: Store) -> None:
        """Begin with two empty stores on one clock."""
        self.real, self.model = Side(real, {}), Side(model, {})
        self.runs: list[Run] = []
        self.ids: list[str] = []
        self._ledger = Ledger(real)

    def same(self, verb: str, *arguments: Any, show: Callable[[Any], Any] = lambda answer: answer, **more: Any) -> Any:
        """Make the same call on both; answers, or errors, must be the same."""
        answers = []
        for side in (self.real, self.model):
            try:
                answers.append(show(getattr(side.store, verb)(*arguments, **more)))
            except PackhorseError as error:
                # Which one, where several things are wrong with a call, is not said.
                answers.append(PackhorseError if verb == "enqueue" else type(error))
        assert answers[0] == answers[1], f"{verb} answers {answers[0]}, the model {answers[1]}"
        self.check(verb)
        return answers[0]

    def check(self, verb: str) -> None:
        """Compare all that can be seen, and hold the store to the laws."""
        look = look_at(self.real.store)
        seen, expected = self.real.seen(self.ids, look), self.model.seen(self.ids, look_at(self.model.store))
        for part in expected:
            assert seen[part] == expected[part], f"after {verb}, {part}: {seen[part]}, the model {expected[part]}"
        self._ledger.check(verb, set(self.ids), look)

    # -- verbs with tokens ----------------------------------------------------------------------------------------
    def claim(self, *arguments: Any, ordered: bool = True, **more: Any) -> list[Run]:
        """Claim on both and give the tokens a name."""
        if self.model.store.frozen() is not None:
            self.same("claim", *arguments, **more)
            return []
        real = self.real.store.claim(*arguments, **more)
        model = self.model.store.claim(*arguments, **more)
        if not ordered:
            real.jobs.sort(key=lambda job: job.id)
            model.jobs.sort(key=lambda job: job.id)
        assert [_bare(job) for job in real.jobs] == [_bare(job) for job in model.jobs]
        assert not model.more or real.more
        name = f"token {len(self.runs)}"
        runs = [Run(name, mine, other) for mine, other in zip(real.jobs, model.jobs, strict=True)]
        for run in runs:
            self.real.names[run.real.token] = self.model.names[run.model.token] = name
        self.runs += runs
        self.check("claim")
        return runs

    def settle(self, worker: str | None, decided: Sequence[tuple[Run, Decide]]) -> None:
        """Settle on both."""
        real = self.real.store.settle(worker, [decide(run.real) for run, decide in decided])
        model = self.model.store.settle(worker, [decide(run.model) for run, decide in decided])
        assert self.real.settled(real) == self.model.settled(model)
        self.check("settle")

    def rescue(self, decide: Decide) -> None:
        """Give every orphan its outcome on both."""
        real, model = self.real.orphans(), self.model.orphans()
        assert [orphan._replace(token="") for orphan in real] == [orphan._replace(token="") for orphan in model]
        self.real.store.settle(None, [decide(orphan) for orphan in real])
        self.model.store.settle(None, [decide(orphan) for orphan in model])
        self.check("settle")

    def report(self, run: Run, **news: Any) -> None:
        """Report on both."""
        self.real.store.report("w", [Report(run.real.id, run.real.token, **news)])
        self.model.store.report("w", [Report(run.model.id, run.model.token, **news)])
        self.check("report")

    def beat(self, worker: str, claim_no: int, held: Sequence[Run]) -> dict[str, Any]:
        """Beat on both."""
        real = self.real.store.beat(worker, claim_no, [(run.real.id, run.real.token) for run in held])
        model = self.model.store.beat(worker, claim_no, [(run.model.id, run.model.token) for run in held])
        answer, expected = self.real.beat(real), self.model.beat(model)
        assert answer == expected, f"beat answers {answer}, the model {expected}"
        self.check("beat")
        return answer

    def admit(self) -> None:
        """Admit on both until there is no more to do."""
        real, model = _admitted(self.real.store), _admitted(self.model.store)
        assert real == model, f"admit answers {real}, the model {model}"
        self.check("admit")
        self._ledger.after_admit()

    def change(self, verb: str, which: JobFilter, **more: Any) -> None:
        """Cancel, requeue or delete on both: first dry, then in earnest, with the same answer."""
        dry = self.same(verb, which, dry=True, show=_sorted, **more)
        assert self.same(verb, which, show=_sorted, **more) == dry

    def move(self, real: Store, model: Store, limit: int) -> None:
        """Go on in two other stores, with the jobs of these. Workers stay behind, so what they run becomes orphans."""
        self.same("freeze", "elsewhere")
        for store in (real, model):
            store.freeze("filling")
        mine, others = (_exported(side, limit) for side in (self.real, self.model))
        assert _shown(self.real, mine) == _shown(self.model, others)
        for side, store, parcels in ((self.real, real, mine), (self.model, model, others)):
            assert sum(store.import_jobs(parcels[n : n + limit]) for n in range(0, len(parcels), limit)) == len(parcels)
            assert store.import_jobs(parcels[:1]) == 0  # interrupted, and begun again
            store.import_settings(side.store.export_settings())
            store.thaw()
            side.store.close()
            side.store = store
        self._ledger.follow(real)
        self.check("move")

    def pages(self, which: JobFilter, size: int) -> None:
        """Walk through all pages on both."""
        walked = [list(_walk(side, which, size)) for side in (self.real, self.model)]
        assert walked[0] == walked[1]


def in_line(jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """Return jobs with their places counted from 0: a store may leave some numbers out."""
    order = {place: number for number, place in enumerate(sorted(job.place for job in jobs if job.place is not None))}
    return [job if job.place is None else job._replace(place=order[job.place]) for job in jobs]


def _admitted(store: Store) -> tuple[int, int, bool, float | None]:
    """Admit until there is no more to do; return what became of all, and what waits still."""
    admitted = cancelled = 0
    for _ in range(100):
        answer = store.admit()
        admitted, cancelled = admitted + answer.admitted, cancelled + answer.cancelled
        if not answer.more:
            return admitted, cancelled, answer.waits, answer.next
    raise AssertionError("admit has always more to do")


def _shown(side: Side, parcels: Sequence[Parcel]) -> list[dict[str, Any]]:
    jobs = in_line([parcel.job for parcel in parcels])
    return [side.parcel(parcel._replace(job=job)) for parcel, job in zip(parcels, jobs, strict=True)]


def _reason(reason: str | None) -> str | None:
    """What a store has against a text is told in its own words."""
    before, unstorable, _ = (reason or "").partition("outcome cannot be stored: ")
    return before + unstorable if unstorable else reason


def _exported(side: Side, limit: int) -> list[Parcel]:
    found: list[Parcel] = []
    while batch := side.store.export(found[-1].job.seq if found else 0, limit):
        found += batch
    return found


def _walk(side: Side, which: JobFilter, size: int) -> Any:
    after: int | None = None
    while True:
        page = side.store.find(which, size, after)
        yield from (job.id for job in page.jobs)
        after = page.next
        if after is None:
            return


def _bare(job: Claimed) -> Claimed:
    meta, options = (json.dumps(json.loads(text)) if text else None for text in (job.meta, job.options))
    return job._replace(token="", meta=meta, options=options)


def _sorted(changed: Changed) -> Any:
    return (sorted(changed.done), sorted(changed.asked), sorted(changed.refused), changed.more)
