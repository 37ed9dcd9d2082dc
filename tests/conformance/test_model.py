"""A Hypothesis state machine drives each store side by side with the memory model, through everything that can happen.

``PACKHORSE_PROOF=long`` runs many more and longer stories.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from packhorse._backoff import Backoff
from packhorse._outcome import cancelled, crashed, failed, lost, parked, released, snoozed, succeeded
from packhorse._record import NewJob, State, WorkerRecord
from packhorse._schedule_record import ScheduleRecord
from packhorse._steering import NEVER, Edit
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.memory import MemoryStore, SettableClock

from .making import ERROR, T0
from .pair import Decide, Pair, Run
from .stores import FRESH, chosen

LONG = os.environ.get("PACKHORSE_PROOF") == "long"
#: Stories told to each store; what a call costs there decides. The others are on a server, where it costs most.
STORIES = {"memory": 60, "sqlite": 40, "postgres-pooler": 5}
STORIES_OF_A_SERVER = 10
QUEUES = ("a", "b")
TASKS = ("m:f", "m:g")
LINES = tuple(f"{queue}#{task}" for queue in QUEUES for task in TASKS)
STATES: tuple[State, ...] = (
    "scheduled",
    "queued",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
    "blocked",
)
KEEP: dict[State, float] = {"succeeded": 5000, "failed": 9000, "cancelled": 0, "running": 0}
AGAIN = Backoff(2, base=7, factor=2, jitter=False)

#: What may become of a run. Delays and starts lie off the steps of the clock, so that nothing hangs on a tie.
VERDICTS: dict[str, Decide] = {
    "succeeded": lambda job: succeeded(job, '"done"'),
    "succeeded, result for a while": lambda job: succeeded(job, '"brief"', keep=100)._replace(started=0.5, log="out\n"),
    "succeeded, no result": lambda job: succeeded(job, None, reason="result cannot be stored")._replace(started=0.25),
    "error": lambda job: failed(job, AGAIN, ERROR)._replace(started=1.5, ended=0.5, usage='{"cpu": 1}'),
    "error, no retry": lambda job: failed(job, AGAIN, ERROR, retry=False, reason="gave up"),
    "snoozed": lambda job: snoozed(job, 11, "later")._replace(started=0.5),
    "cancelled": lambda job: cancelled(job, "changed my mind"),
    "released": lambda job: released(job, "busy"),
    "released after its start": lambda job: released(job, "shutdown")._replace(started=1.0),
    "crashed": lambda job: crashed(job, ERROR, "SIGSEGV")._replace(started=2.0, delay=13.0, log="half", log_dropped=4),
    "suspect": lambda job: crashed(job, ERROR, "SIGSEGV", alone=False),
    "lost": lambda job: lost(job, "host gone", started=True),
    "parked": lambda job: parked(job, job.queue),
    "unstorable": lambda job: failed(job, AGAIN, ERROR, reason="\ud800"),
    "ended elsewhere, not committed": lambda job: failed(job, AGAIN, ERROR)._replace(started=0.5, elsewhere=True),
}

jobs = st.fixed_dictionaries(
    {"task": st.sampled_from(TASKS), "queue": st.sampled_from(QUEUES)},
    optional={
        "priority": st.sampled_from((-100, 1, 5)),
        "delay": st.sampled_from((3.0, 61.0)),
        "at": st.sampled_from((0, T0 + 40_000_000)),
        "expires": st.sampled_from((2.0, 31.0)),
        "crash_fails": st.just(True),
        "tags": st.just('["t"]'),
        "meta": st.sampled_from(('{"k": 1}', '{"k": 2, "x": "\\u00e9"}')),
    },
)
indexes = st.integers(0, 1_000)
NAMES = ("p", "q", "lim:1")
HOLDS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("x", "s", "l")), min_size=1).map(
    lambda modes: tuple(sorted((mode, name) for name, mode in modes.items()))
)
FLOWS = st.sampled_from(("f", "g"))
#: What a job may wait for: mostly one thing, sometimes many. ``after`` are indexes of jobs.
RULES: dict[str, Any] = {
    "holds": HOLDS,
    "after": st.lists(indexes, min_size=1, max_size=2),
    "flow": FLOWS,
    "after_flow": FLOWS,
    "unique": st.sampled_from(("k1", "k2")),
}
DETAILS: dict[str, Any] = {
    "after_failed": st.just(True),
    "unique_until": st.sampled_from(("started", 30.0, "flow")),
    "on_conflict": st.sampled_from(("return", "replace", "raise")),
    "priority": st.just(5),
    "delay": st.just(3.0),
    "expires": st.just(31.0),
}
PLACE = {"task": st.sampled_from(TASKS), "queue": st.sampled_from(QUEUES)}
rules = st.one_of(
    *(st.fixed_dictionaries({**PLACE, name: values}) for name, values in RULES.items()),
    st.fixed_dictionaries({**PLACE, "holds": HOLDS}),
    st.fixed_dictionaries(PLACE, optional={**RULES, **DETAILS}),
)
edits = st.builds(
    Edit,
    queue=st.sampled_from((None, None, *QUEUES)),
    priority=st.sampled_from((None, None, -3, 0, 7)),
    delay=st.sampled_from((None, None, None, 0.0, 5.3)),
    at=st.sampled_from((None, None, None, 0, T0 + 45_000_001)),
    expires=st.sampled_from((None, None, None, 33.0)),
    expires_at=st.sampled_from((None, None, None, NEVER, T0 + 50_000_000)),
    options=st.sampled_from((None, None, '{"timeout": 5}', '{"timeout": null}')),
    tags=st.sampled_from((None, None, "[]", '["t", "u"]')),
    meta=st.sampled_from((None, None, '{"k": null, "y": "\u00e9"}')),
    payload=st.sampled_from((None, None, None, "[[2], {}]")),
)
limits = st.dictionaries(
    st.sampled_from(("lim:1", "lim:*", "p", "*")),
    st.sampled_from(("1", "2", "1/7s", "3/1m burst 2", None)),
    min_size=1,
    max_size=2,
)


class Story(RuleBasedStateMachine):
    """One story told to both."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.clock = SettableClock(frozen=T0)
        self.pair = Pair(self.fresh(), MemoryStore(clock=self.clock))
        self.story = uuid.uuid4().hex  #: ids of workers are never used again, by nobody
        self.ids = (str(uuid.UUID(int=number << 32 | number)) for number in range(1, 100_000))
        self.incarnations = 0
        self.workers: dict[str, str] = {}
        self.calls: dict[str, int] = {}
        self.heard: dict[str, int] = {}
        self.held: dict[str, list[Run]] = {}
        for name in ("w1", "w2"):
            self.start(name)
        self.pair.same("set_limits", {"lim:*": "1"}, by="ada")

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.real.store.close()

    def fresh(self) -> Store:
        """Open an empty namespace: beside all the stories told before, which must not be seen."""
        store = open_store(self.url, namespace=f"s{uuid.uuid4().hex}", clock=self.clock)
        store.migrate()
        return store

    def start(self, name: str) -> None:
        """Register a new incarnation of a worker."""
        self.incarnations += 1
        worker = f"{name}-{self.incarnations}-{self.story}"
        self.workers[name] = worker
        self.calls[worker] = self.heard[worker] = 0
        self.held[worker] = []
        queues = '[["b"]]' if name == "w2" else None
        self.pair.same("register", WorkerRecord(worker, worker, f"host of {name}", 1, "boot", queues=queues))

    def pick(self, index: int) -> str:
        return self.pair.ids[index % len(self.pair.ids)] if self.pair.ids else "unknown"

    def which(self, index: int, how: str) -> JobFilter:
        return {
            "one": JobFilter(ids=(self.pick(index),)),
            "two": JobFilter(ids=(self.pick(index), self.pick(index + 1), "unknown")),
            "queue": JobFilter(queue=QUEUES[index % 2]),
            "state": JobFilter(states=(STATES[index % len(STATES)],)),
            "text": JobFilter(tag="t", task=TASKS[index % 2]),
            "flow": JobFilter(flow="f"),
            "empty": JobFilter(),
        }[how]

    # -- producing ------------------------------------------------------------------------------------------------
    @rule(given=st.lists(jobs, min_size=1, max_size=3))
    def enqueue(self, given: list[dict[str, Any]]) -> None:
        new = [NewJob(id=next(self.ids), payload="[[1], {}]", **job) for job in given]
        self.pair.ids += [job.id for job in new]
        self.pair.same("enqueue", new)

    @rule(index=indexes, given=jobs, payload=st.sampled_from(("[[1], {}]", "[[2], {}]")))
    def enqueue_a_known_id(self, index: int, given: dict[str, Any], payload: str) -> None:
        if self.pair.ids:
            self.pair.same("enqueue", [NewJob(id=self.pick(index), payload=payload, **given)])

    @rule(given=st.lists(rules, min_size=1, max_size=4))
    def enqueue_with_rules(self, given: list[dict[str, Any]]) -> None:
        new: list[NewJob] = []
        for job in given:
            after = dict.fromkeys(self.pick(index) for index in job.pop("after", ()))
            self.pair.ids.append(next(self.ids))
            new.append(NewJob(id=self.pair.ids[-1], payload="[[1], {}]", after=tuple(after), **job))
        self.pair.same("enqueue", new)

    @rule()
    def admit(self) -> None:
        self.pair.admit()

    @precondition(lambda self: self.pair.ids)
    @rule(how=st.lists(st.sampled_from(sorted(VERDICTS)), min_size=1, max_size=2))
    def all_that_can_run_runs(self, how: list[str]) -> None:
        """Nothing is closed, paused or unserved; all that is let go is claimed, some ends one way, some another."""
        self.pair.same("thaw")
        for queue in [known.name for known in self.pair.model.store.queues()]:
            self.pair.same("resume", queue)
        self.start("w1")
        self.pair.admit()
        self.claim("w1", None, 1000, 0, LINES, True)
        worker = self.workers["w1"]
        self.pair.settle(worker, [(run, VERDICTS[how[n % len(how)]]) for n, run in enumerate(self.held[worker])])
        self.held[worker] = []
        self.pair.admit()

    @rule(values=limits, app=st.sampled_from((None, "app", "other")))
    def set_limits(self, values: dict[str, str | None], app: str | None) -> None:
        self.pair.same("set_limits", values, by="ada", app=app)

    # -- working --------------------------------------------------------------------------------------------------
    @rule(
        name=st.sampled_from(("w1", "w2")),
        queues=st.sampled_from((["a", "b"], ["b"], ["b", "a"], None)),
        free=st.integers(0, 3),
        ahead=st.integers(0, 3),
        lines=st.sampled_from(((), LINES)),
        arrives=st.sampled_from((True, True, True, False)),
    )
    def claim(
        self, name: str, queues: list[str] | None, free: int, ahead: int, lines: tuple[str, ...], arrives: bool
    ) -> None:
        worker = self.workers[name]
        self.calls[worker] += 1
        number = self.calls[worker]
        free = 1000 if queues is None else free  # which queue comes first is the store's choice
        runs = self.pair.claim(
            queues, free, ahead, worker, number, lines=lines, turn=number, ordered=queues is not None
        )
        if arrives:
            self.heard[worker] = number
            self.held[worker] += runs

    @precondition(lambda self: self.pair.runs)
    @rule(index=indexes, how=st.sampled_from(sorted(VERDICTS)), twice=st.booleans())
    def settle_one(self, index: int, how: str, twice: bool) -> None:
        """Any run there ever was: held, dropped, stale, settled before."""
        run = self.pair.runs[-1 - index % len(self.pair.runs)]
        for _ in range(1 + twice):
            self.pair.settle(self.workers["w1"], [(run, VERDICTS[how])])
        self.drop(run)

    @precondition(lambda self: any(self.held.values()))
    @rule(how=st.lists(st.sampled_from(sorted(VERDICTS)), min_size=1, max_size=4))
    def settle_what_is_held(self, how: list[str]) -> None:
        worker = next(worker for worker, runs in self.held.items() if runs)
        decided = list(zip(self.held[worker], (VERDICTS[name] for name in how), strict=False))
        self.pair.settle(worker, decided)
        for run, _ in decided:
            self.drop(run)

    def drop(self, run: Run) -> None:
        for runs in self.held.values():
            if run in runs:
                runs.remove(run)

    @precondition(lambda self: self.pair.runs)
    @rule(
        index=indexes,
        news=st.fixed_dictionaries(
            {},
            optional={
                "started": st.just(0.75),
                "progress": st.just('{"": {"done": 1}}'),
                "log": st.just("so far\n"),
                "meta": st.just('{"k": null, "page": 3}'),
            },
        ),
    )
    def report(self, index: int, news: dict[str, Any]) -> None:
        self.pair.report(self.pair.runs[-1 - index % len(self.pair.runs)], **news)

    @rule(name=st.sampled_from(("w1", "w2")), forgets=st.booleans())
    def beat(self, name: str, forgets: bool) -> None:
        worker = self.workers[name]
        if forgets:
            self.held[worker] = self.held[worker][1:]
        reply = self.pair.beat(worker, self.heard[worker], self.held[worker])
        gone = set(reply["lost"])
        self.held[worker] = [run for run in self.held[worker] if (run.real.id, run.name) not in gone]
        if not reply["alive"]:
            self.start(name)

    # -- workers come and go --------------------------------------------------------------------------------------
    @rule(name=st.sampled_from(("w1", "w2")), beats=st.sampled_from((0, 0, 1, 2)), proved=st.booleans())
    def condemn(self, name: str, beats: int, proved: bool) -> None:
        self.pair.same("condemn", self.workers[name], beats, proved=proved)

    @rule(name=st.sampled_from(("w1", "w2")), how=st.sampled_from(("leave", "leave", "stopping")))
    def go(self, name: str, how: str) -> None:
        self.pair.same(how, self.workers[name])
        if how == "leave":
            self.start(name)

    @rule(how=st.sampled_from(("lost", "crashed")))
    def rescue(self, how: str) -> None:
        decide: dict[str, Decide] = {
            "lost": lambda orphan: lost(orphan, "host gone", started=orphan.started),
            "crashed": lambda orphan: crashed(orphan, ERROR, "worker killed")._replace(delay=17.0),
        }
        self.pair.rescue(decide[how])

    # -- operating ------------------------------------------------------------------------------------------------
    @rule(
        verb=st.sampled_from(("cancel", "requeue", "delete")),
        index=indexes,
        how=st.sampled_from(("one", "one", "one", "two", "queue", "state", "text", "flow", "empty")),
    )
    def change(self, verb: str, index: int, how: str) -> None:
        options: dict[str, Any] = {
            "cancel": {"by": "ada", "reason": "wrong" if index % 2 else ""},
            "requeue": {"delay": 5.5 if index % 3 == 0 else 0.0, "by": "ada"},
            "delete": {},
        }[verb]
        self.pair.change(verb, self.which(index, how), **options)

    @rule(verb=st.sampled_from(("pause", "resume")), queue=st.sampled_from(QUEUES))
    def switch(self, verb: str, queue: str) -> None:
        if queue in [known.name for known in self.pair.model.store.queues()]:
            self.pair.same(verb, queue)

    @rule(index=indexes, count=st.sampled_from((1, 1, 3)), change=edits, dry=st.sampled_from((False, False, True)))
    def edit(self, index: int, count: int, change: Edit, dry: bool) -> None:
        self.pair.same("edit", [self.pick(index + number) for number in range(count)], change, dry=dry)

    @rule(
        queue=st.sampled_from(QUEUES),
        end=st.sampled_from(({"seconds": 5.0}, {"seconds": 50.0}, {"until": T0 + 70_000_000}, {"until": T0})),
        by=st.sampled_from(("ada", "")),
    )
    def pause_until(self, queue: str, end: dict[str, Any], by: str) -> None:
        if queue in [known.name for known in self.pair.model.store.queues()]:
            self.pair.same("pause", queue, by=by, reason=by and "move", **end)

    @rule(queue=st.sampled_from(QUEUES), step=st.sampled_from((None, 1_000_000, 7_000_001, 3_600_000_000, 5)))
    def set_step(self, queue: str, step: int | None) -> None:
        self.pair.same("set_step", queue, step)

    @rule(verb=st.sampled_from(("promote", "expire")))
    def time_passes_over(self, verb: str) -> None:
        self.pair.same(verb, show=lambda answer: sorted(answer) if verb == "expire" else answer)

    @rule(lines=st.sampled_from((LINES, LINES[:1], ("a#nobody",))))
    def resolve(self, lines: tuple[str, ...]) -> None:
        self.pair.same("resolve", lines)

    @rule()
    def prune(self) -> None:
        self.pair.same("prune", KEEP)

    @rule(how=st.sampled_from(("thaw", "thaw", "thaw", "freeze")))
    def close(self, how: str) -> None:
        self.pair.same(how, *(("redis://elsewhere",) if how == "freeze" else ()))

    @rule(limit=st.sampled_from((1, 3, 1000)), name=st.sampled_from(("w1", "w2")))
    def move(self, limit: int, name: str) -> None:
        """All jobs go to another store; one of the workers begins there, and maybe rescues what the others left."""
        self.pair.move(self.fresh(), MemoryStore(clock=self.clock), limit)
        for other in self.workers:
            self.start(other)

    @rule(seconds=st.sampled_from((0.000001, 1.3, 10.7, 64.1, 4000.9, 90_000.3)))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pair.check("nothing")

    # -- schedules ------------------------------------------------------------------------------------------------
    @rule(
        name=st.sampled_from(("nightly", "hourly")),
        change=st.sampled_from(({"spec": "1"}, {"spec": "2"}, {"paused_at": 5}, {"watermark": T0 + 90_000_000}, None)),
        stale=st.booleans(),
    )
    def put_schedule(self, name: str, change: dict[str, Any] | None, stale: bool) -> None:
        """A schedule is made, changed, or deleted; or somebody else was faster."""
        book = self.pair.model.store.schedules()
        old = [schedule for schedule in book.schedules or () if schedule.name == name]
        fresh = ScheduleRecord(next(self.ids), name, "0", created_at=T0, watermark=T0)
        puts = [(old[0] if old else fresh)._replace(**change)] if change is not None else []
        gone = [schedule.id for schedule in old] if change is None else []
        self.pair.same("put_schedules", book.version - stale, puts, gone=gone, builds=json.dumps([name, str(change)]))

    @precondition(lambda self: self.pair.model.store.schedules().schedules)
    @rule(
        index=indexes, given=st.none() | rules, step=st.sampled_from((-1, 0, 30, 3600)), stale=st.sampled_from((0, 0, 0, 1)),
        missed=st.integers(0, 2),
    )  # fmt: skip
    def fire(self, index: int, given: dict[str, Any] | None, step: int, stale: int, missed: int) -> None:
        """A tick is dealt with, by somebody who knows the schedule or knew it."""
        schedules = self.pair.model.store.schedules().schedules or ()
        schedule = schedules[index % len(schedules)]
        job = None
        if given is not None:
            wanted = {name: value for name, value in given.items() if name not in ("id", "after", "replace")}
            job = NewJob(id=next(self.ids), payload="[[], {}]", **wanted)
            job = job._replace(on_conflict="return")
            self.pair.ids.append(job.id)
        outcome = "fired" if job is not None else "missed"
        known = schedule._replace(watermark=schedule.watermark - stale)
        self.pair.same("fire", known, schedule.watermark + step * 1_000_000, job, outcome, missed)

    # -- looking --------------------------------------------------------------------------------------------------
    @rule(
        index=indexes, how=st.sampled_from(("two", "queue", "state", "text", "flow", "empty")), size=st.integers(1, 3)
    )
    def look(self, index: int, how: str, size: int) -> None:
        self.pair.pages(self.which(index, how), size)


@pytest.mark.timeout(0 if LONG else 300)
@pytest.mark.parametrize("kind", chosen())
def test_a_store_does_in_every_story_what_the_model_does(kind: str, tmp_path: Path) -> None:
    told = type(f"Story_{kind}", (Story,), {"url": FRESH[kind](tmp_path)})
    stories, steps = STORIES.get(kind, STORIES_OF_A_SERVER), 40
    run_state_machine_as_test(
        told,
        settings=settings(
            max_examples=50 * stories if LONG else stories,
            stateful_step_count=2 * steps if LONG else steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
