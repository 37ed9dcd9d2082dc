"""Jobs that reserve and share a few names, on workers that are killed all the time: no two that must not run together do."""

from __future__ import annotations

import os
import random
import signal
import time

from packhorse import Backoff
from packhorse._record import FINAL
from tests.worker import tasks
from tests.worker.site import Site, Worker, eventually

LONG = os.environ.get("PACKHORSE_PROOF") == "long"
JOBS, KILLS = (2000, 60) if LONG else (120, 8)
NAMES = ("disk", "tape", "oven")


def test_nobody_overlaps_whoever_is_killed(site: Site) -> None:
    rng = random.Random(JOBS)
    jobs = [one(site, rng) for _ in range(JOBS)]
    workers = [site.worker("--processes", "2").ready() for _ in range(2)]
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.1, 0.5))  # the pause between two kills: there is nothing to wait for
        kill(workers.pop(rng.randrange(len(workers))), rng)
        workers.append(site.worker("--processes", "2"))
    ids = [job.id for job in jobs]
    eventually(lambda: all(job.state in FINAL for job in site.store.get(ids)), "all have ended", 120.0)
    assert not site.mark("overlaps").exists(), site.mark("overlaps").read_text()
    ended = site.store.get(ids)
    assert {job.state for job in ended} <= {"succeeded", "failed"}
    assert all("poison" in (job.reason or "") for job in ended if job.state == "failed")
    assert sum(job.crashes + job.losses for job in ended) > 0, "some were hit"


def one(site: Site, rng: random.Random):  # type: ignore[no-untyped-def]
    name, shared = rng.choice(NAMES), rng.random() < 0.4
    how = {"shares": name} if shared else {"reserves": name}
    return site.enqueue(tasks.flocked, name, shared, retry=Backoff(5, base=0.01), **how)


def kill(worker: Worker, rng: random.Random) -> None:
    """Kill a supervisor, or one of its children, or all of them."""
    children = worker.children()
    victims = rng.choice(([worker.pid], children[:1], [worker.pid, *children]))
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if worker.pid not in victims:
        worker.kill()
    worker.process.wait()
