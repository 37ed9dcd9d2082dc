"""The waiting rules in the file: what stands beside a job is what its rows say; nothing hangs on how many wait."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._store import JobFilter
from packhorse._stores.sqlite import SqliteStore, migrate, queries
from packhorse.errors import UniqueConflict, UnknownParent

from .sqlite_checker import problems

WORKER = WorkerRecord("w", "name", "host", 1, "boot")


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(f"sqlite:///{tmp_path}/jobs.db")
    made.register(WORKER)
    return made


def new(**more: Any) -> NewJob:
    return NewJob(str(uuid.uuid4()), "m:f", "q", "[[],{}]")._replace(**more)


def take(store: SqliteStore, count: int = 1000) -> list[Verdict]:
    """Claim jobs; return what ends them well."""
    claimed = store.claim(None, count, 0, "w", 1).jobs
    return [Verdict(job.id, job.token, "succeeded", "succeeded", 0.2, 0.1, True, "1") for job in claimed]


def statements(store: SqliteStore, act: Callable[[], object]) -> int:
    """Return how many statements an act takes."""
    seen: list[str] = []
    store._live().set_trace_callback(seen.append)
    act()
    store._live().set_trace_callback(None)
    return len(seen)


# -- nobody else pays -------------------------------------------------------------------------------------------------
def test_a_plain_job_costs_the_same_beside_thousands_that_wait(store: SqliteStore) -> None:
    def a_life() -> list[int]:
        store.enqueue([new()])
        verdicts: list[Verdict] = []
        return [
            statements(store, lambda: store.enqueue([new()])),
            statements(store, lambda: store.enqueue([new() for _ in range(5)])),
            statements(store, lambda: verdicts.extend(take(store))),
            statements(store, lambda: store.settle("w", verdicts)),
        ]

    a_life()  # which makes queue and task known
    alone = a_life()
    assert alone[0] == 1
    store.enqueue([new(holds=(("x", "a"),), flow="f", unique=f"k{n}") for n in range(500)])
    store.admit()
    take(store, 1)
    assert a_life() == alone
    assert store._live().execute("SELECT count(*) FROM packhorse_rules").fetchone() == (500,)


def test_settling_one_of_many_does_not_take_more_statements_than_one_of_few(store: SqliteStore) -> None:
    def cost(waiters: int) -> tuple[int, int]:
        store.delete(JobFilter(states=("blocked", "queued", "succeeded")))
        store.enqueue([new(holds=(("x", f"a{waiters}"),), queue=f"q{waiters}") for _ in range(waiters)])
        store.admit()
        for _ in range(2):  # the first time makes names known
            verdicts = take(store, 1)
            settled = statements(store, partial(store.settle, "w", verdicts))
            admitted = statements(store, store.admit)
        return settled, admitted

    assert cost(4) == cost(900)


def test_an_admit_with_nothing_to_do_waits_for_nobody(store: SqliteStore, tmp_path: Path) -> None:
    store.enqueue([new(holds=(("x", "a"),)) for _ in range(2)])
    assert store.admit().admitted == 1
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.admit() == (0, 0, False, True, None)
        other.execute("ROLLBACK")


PLANS = [
    ("admit", "idle", "packhorse_rules_waiting"),
    ("admit", "new", "packhorse_rules_waiting"),
    ("admit", "children", "packhorse_edges_parent"),
    ("admit", "followers", "packhorse_rules_follows"),
    ("admit", "flow", "packhorse_flows_name"),
    ("admit", "flow_failure", "packhorse_rules_flow"),
    ("admit", "queues", "packhorse_rules_queue"),
    ("admit", "at", "packhorse_rules_queue"),
    ("admit", "due", "packhorse_rules_behind"),
    ("admit", "due_rates", "packhorse_rates_wakes"),
    ("admit", "next_rates", "packhorse_rates_wakes"),
    ("admit", "unseen", "packhorse_rules_behind"),
    ("admit", "behind", "packhorse_rules_behind"),
    ("admit", "line", "packhorse_holds_line"),
    ("admit", "places_taken", "packhorse_holds_line"),
    ("admit", "first_without", "packhorse_holds_line"),
    ("obstacles", "before", "packhorse_holds_line"),
    ("obstacles", "holders", "packhorse_holds_line"),
    ("obstacles", "oldest", "packhorse_holds_line"),
    ("obstacles", "holding", "packhorse_holds_line"),
    ("rules", "held_by", "packhorse_rules_key"),
    ("rules", "held_by", "packhorse_flows_name"),
    ("rules", "named", "packhorse_edges_parent"),
    ("flows", "newest", "packhorse_flows_created"),
    ("search", "members", "packhorse_rules_flow"),
]


@pytest.mark.parametrize("verb, name, index", PLANS)
def test_a_statement_walks_its_index(store: SqliteStore, verb: str, name: str, index: str) -> None:
    statement = queries.sql(verb, name)
    names = {word.strip(",()") for word in statement.replace(":", " :").split() if word.startswith(":")}
    values = {word[1:].strip(",()"): 1 for word in names}
    plan = [row[3] for row in store._live().execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN packhorse") for step in plan), plan
    if name not in ("before", "named", "oldest", "holding"):  # these are asked by people
        assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("name, index", [("free_names", "behind"), ("free_followers", "follows"), ("let_go_of", "key")])
def test_what_follows_from_an_end_is_looked_up(store: SqliteStore, name: str, index: str) -> None:
    statement = queries.sql("rules", name)
    count = 2 if "?2" in statement or statement.count("?") == 2 else 1
    plan = [row[3] for row in store._live().execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * count)]
    assert any(f"packhorse_rules_{index}" in step for step in plan), plan


# -- the file ---------------------------------------------------------------------------------------------------------
def test_a_file_of_before_keeps_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.db"
    steps = migrate.STEPS
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        monkeypatch.setattr(migrate, "STEPS", steps[:1])
        assert migrate.bring_up(db, str(path)) == ["0001_initial"]
        namespace, _ = migrate.identify(db, "default")
        db.execute(
            "INSERT INTO packhorse_lines (id, ns, name, n_queued, n_blocked) VALUES (1, ?, 'q', 1, 1)", (namespace,)
        )
        db.execute("INSERT INTO packhorse_lines (id, ns, name, side_of) VALUES (2, ?, 'q#m:f', 1)", (namespace,))
        db.execute("INSERT INTO packhorse_kinds (id, ns, queue, task) VALUES (1, ?, 1, 'm:f')", (namespace,))
        add = """INSERT INTO packhorse_jobs (ns, id, kind, line, state, odd, priority, rank, created_at, payload)
                 VALUES (?, ?, 1, ?, ?, ?, 0, 5, 5, '[[],{}]')"""
        db.execute(add, (namespace, "first", 1, 2, 0))
        db.execute(add, (namespace, "parked", 2, 6, 2))
        db.execute("UPDATE packhorse_meta SET value = 2 WHERE key = 'counted'")
    monkeypatch.setattr(migrate, "STEPS", steps)
    store = SqliteStore(f"sqlite:///{path}")
    first, parked = store.get(["first", "parked"])
    assert (first.state, first.holds, parked.state, parked.parked) == ("queued", None, "blocked", True)
    store.register(WORKER)
    child = new(after=("first",), holds=(("l", "n"),))
    store.enqueue([child])
    store.set_limits({"n": "1"})
    assert store.admit().waits
    assert store.settle("w", take(store, 1)) == []
    assert store.admit().admitted == 1
    assert store.resolve(["q#m:f"]) == 1
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert problems(db) == []


class Story:
    """Random things done to a store, under a clock of its own."""

    def __init__(self, path: Path, number: int) -> None:
        self.chance = random.Random(number)
        self.time = 1_800_000_000_000_000
        self.store = SqliteStore(f"sqlite:///{path}", clock=lambda: self.time)
        self.store.register(WORKER)
        self.ids: list[str] = ["unknown"]
        self.queues: dict[str, str] = {}
        self.held: list[Verdict] = []

    def step(self) -> None:
        """Do one thing."""
        act = self.chance.choice(
            [self.enqueue, self.enqueue, self.work, self.work, self.admit, self.operate, self.pass_time]
        )
        with suppress(UniqueConflict, UnknownParent):
            act()

    def job(self) -> NewJob:
        """Return a job with some rules."""
        chance = self.chance
        rules = [
            {"holds": tuple(sorted((chance.choice("xsl"), name) for name in chance.sample("abc", 2)))},
            {"after": tuple(dict.fromkeys(chance.choices(self.ids[1:] or ["none"], k=2))), "after_failed": chance.random() < 0.3},
            {"flow": chance.choice("fg")},
            {"after_flow": "f", "flow": chance.choice([None, "g"])},
            {
                "unique": "k",
                "unique_until": chance.choice(["started", "finished", 20.0]),
                "on_conflict": chance.choice(["return", "replace", "raise"]),
            },
            {"delay": 5.0, "holds": (("x", "a"),)},
            {},
        ]  # fmt: skip
        return new(queue=chance.choice("pq"), **chance.choice(rules))

    def enqueue(self) -> None:
        """Store some."""
        jobs = [self.job() for _ in range(self.chance.randint(1, 4))]
        self.queues.update((job.id, job.queue) for job in jobs)
        self.ids += [answer.id for answer in self.store.enqueue(jobs) if not answer.existing]

    def work(self) -> None:
        """Claim some, and end some of what runs."""
        self.held += take(self.store, self.chance.randint(1, 4))
        self.chance.shuffle(self.held)
        ended, self.held = self.held[:3], self.held[3:]
        for verdict in ended:
            line = f"{self.queues[verdict.job]}#m:f"
            how = self.chance.choice(
                [
                    {},
                    {"outcome": "failed", "state": "failed", "failures": 1, "plain": False, "result": None},
                    {
                        "outcome": "retry",
                        "state": "retrying",
                        "failures": 1,
                        "plain": False,
                        "result": None,
                        "delay": 3.0,
                    },
                    {"outcome": "released", "state": "queued", "plain": False, "result": None, "started": None},
                    {
                        "outcome": "released",
                        "state": "blocked",
                        "plain": False,
                        "result": None,
                        "line": line,
                        "started": None,
                    },
                ]
            )
            self.store.settle("w", [verdict._replace(**how)])

    def admit(self) -> None:
        """Let go what can go."""
        self.store.set_limits({self.chance.choice("abc"): self.chance.choice([None, "1", "2", "2/7s"])})
        while self.store.admit(self.chance.choice([1, 3, 1000])).more:
            assert problems(self.store._live(), whole=False) == []

    def operate(self) -> None:
        """Do as people do."""
        which = JobFilter(ids=tuple(self.chance.choices(self.ids, k=2)))
        self.chance.choice(
            [
                lambda: self.store.cancel(which),
                lambda: self.store.requeue(which),
                lambda: self.store.requeue(which, delay=4.0),
                lambda: self.store.delete(which),
                lambda: self.store.pause("q"),
                lambda: self.store.resume("q"),
                lambda: self.store.resolve(["q#m:f", "p#m:f"]),
                lambda: self.store.beat("w", 1, [(verdict.job, verdict.token) for verdict in self.held]),
                lambda: self.store.import_jobs(self.store.export(0)),
            ]
        )()

    def pass_time(self) -> None:
        """Let time go by."""
        self.time += self.chance.choice([1_000_000, 6_000_000, 4_000_000_000])
        self.store.promote()
        self.store.prune({"succeeded": 0, "failed": 0, "cancelled": 0})


@pytest.mark.parametrize("number", range(8))
def test_whatever_happens_the_file_says_one_thing(tmp_path: Path, number: int) -> None:
    story = Story(tmp_path / "jobs.db", number)
    for step in range(150):
        story.step()
        wrong = problems(story.store._live(), whole=False)
        assert wrong == [], (step, wrong)
    assert problems(story.store._live()) == []
