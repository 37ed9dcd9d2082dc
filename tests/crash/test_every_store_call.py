"""A1, A2, A5, A6: a worker is killed, or loses the store, before and after every kind of store call it makes.

After each: every acknowledged job ends once, no job runs twice without an attempt that says why, and the counts are right.
``PACKHORSE_PROOF=long`` tries every call; else a sample of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from packhorse import Backoff, Job
from packhorse._record import FINAL
from tests.worker import tasks
from tests.worker.site import Site

HOWS = ("killed-before", "killed-after", "away", "answer-lost")
LONG = os.environ.get("PACKHORSE_PROOF") == "long"
#: (method, nth call); the calls that a burst over the scenario makes, as ``test_these_are_the_calls`` finds them.
POINTS = [
    ("register", 1), ("promote", 1), ("expire", 1), ("orphans", 1), ("claim", 1), ("claim", 2), ("claim", 3), ("settle", 1),
    ("settle", 2), ("settle", 3), ("report", 1), ("beat", 1), ("workers", 1), ("stopping", 1), ("leave", 1), ("get", 1),
    ("admit", 1), ("admit", 2), ("admit", 3), ("limits", 1), ("schedules", 1), ("exchange", 1), ("exchange", 2), ("exchange", 3),
]  # fmt: skip
#: Where a death or a lost answer costs most; the others are tried in the long profile.
SAMPLE = [
    ("register", 1, "killed-after"), ("claim", 1, "killed-before"), ("claim", 1, "killed-after"), ("claim", 2, "answer-lost"),
    ("settle", 1, "killed-before"), ("settle", 1, "killed-after"), ("settle", 1, "answer-lost"), ("settle", 2, "away"),
    ("report", 1, "killed-after"), ("beat", 1, "answer-lost"), ("leave", 1, "killed-before"), ("orphans", 1, "away"),
    ("admit", 1, "killed-after"), ("admit", 2, "answer-lost"), ("admit", 2, "killed-after"), ("admit", 3, "away"),
    ("exchange", 1, "killed-before"), ("exchange", 1, "killed-after"), ("exchange", 2, "answer-lost"), ("exchange", 2, "away"),
]  # fmt: skip
CHOSEN = [(*point, how) for point in POINTS for how in HOWS] if LONG else SAMPLE


def scenario(site: Site) -> dict[str, Job[str]]:
    """Store one job of every kind of ending, and some that wait for others."""
    first = site.enqueue(tasks.count, "first", reserves="box")
    return {
        "first": first,
        "second": site.enqueue(tasks.count, "second", reserves="box"),
        "shared": site.enqueue(tasks.count, "shared", shares="box"),
        "child": site.enqueue(tasks.count, "child", after=first),
        "nothing": site.enqueue(tasks.nothing),
        "count": site.enqueue(tasks.count, "count"),
        "nap": site.enqueue(tasks.nap, 0.15),
        "snooze": site.enqueue(tasks.snooze_once, "snooze"),
        "retry": site.enqueue(tasks.fails_once, "retry", retry=Backoff(3, base=0.01)),
        "killed": site.enqueue(tasks.kill_me_once, "killed"),
        "once": site.enqueue(tasks.count, "once", on_crash="fail"),
        "later": site.enqueue(tasks.count, "later", delay=0.3),
    }


def trapped(site: Site, method: str, nth: int, how: str) -> int:
    command = [sys.executable, "-m", "tests.crash.entry", site.url, method, str(nth), how]
    return site.launch(command).ended(30.0)


@pytest.mark.parametrize("method, nth, how", CHOSEN)
def test_whatever_happens_at_a_store_call(site: Site, method: str, nth: int, how: str) -> None:
    jobs = scenario(site)
    code = trapped(site, method, nth, how)
    assert code in ((0, -signal.SIGKILL) if how.startswith("killed") else (0,)), site.workers[0].output
    site.worker("--processes", "2").ready()
    for name, job in jobs.items():
        record = site.end(job)
        attempts = site.attempts(job)
        if name != "once":
            assert record.state == "succeeded", (name, record.reason, record.error)
        assert [a.outcome for a in attempts].count("succeeded") == (record.state == "succeeded")
        assert all(a.reason or a.error for a in attempts if a.outcome != "succeeded"), attempts
        assert len({a.token for a in attempts}) == len(attempts)
        runs = site.mark(name).stat().st_size if site.mark(name).exists() else 0
        assert runs <= len(attempts), (name, attempts)
        if name == "once":
            assert runs <= 1
            assert record.state == "succeeded" or "not retried" in (record.reason or "")
    (queue,) = site.store.queues(["work"])
    assert {s: n for s, n in queue.counts.items() if n} == dict(Counter(site.job(job).state for job in jobs.values()))
    assert set(queue.counts) & {s for s, n in queue.counts.items() if n} <= FINAL


def test_these_are_the_calls(site: Site) -> None:
    """The list above holds every call that a worker makes on this scenario, up to the third of a kind."""
    scenario(site)
    assert trapped(site, "", 0, "count") == 0
    calls = json.loads(Path(site.directory, "CALLS").read_text())
    assert set(calls) - {method for method, _ in POINTS} <= {"prune", "condemn", "resolve", "migrate"}
    assert {"register", "claim", "beat", "leave", "stopping"} <= set(calls)
    assert {"settle", "exchange"} & set(calls), "whatever ends while a slot is free may be settled with a claim"
