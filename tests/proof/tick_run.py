"""Many processes fire one schedule, and are killed while they do: every tick must have made exactly one job.

``python -m tests.proof.tick_run --store redis --firers 20 --ticks 10000 --kills 200`` in a checkout. The firers run the chore of
a worker, ``Firing``, on a clock of their own that goes faster than time. Exits 1 if a tick has no job, or more than one, or a job
no tick.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from packhorse import _schedule
from packhorse._record import NewJob
from packhorse._rule import Every
from packhorse._schedule_record import ScheduleRecord
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._worker.firing import Firing
from packhorse.errors import StoreUnavailable
from tests.conformance.stores import FRESH

_SECOND = 1_000_000
#: The first tick is one second after this, µs.
_BEGIN = 1_800_000_000 * _SECOND
#: A slow store is waited for, so that no ticks are missed: the clock is never so many further than what is done.
_AHEAD = 500


class Run(NamedTuple):
    """How large, and how hard."""

    store: str
    firers: int = 20
    ticks: int = 10_000
    kills: int = 200
    speed: float = 50.0  #: ticks in a second of ours
    seed: int = 1


class Found(NamedTuple):
    """What came of it."""

    jobs: int
    runs_on_record: int
    kills: int
    seconds: float
    wrong: list[str]


def clock_of(started: float, speed: float, ticks: int) -> int:
    """Return the time of the firers; it stops with the last tick, so that none comes after it."""
    passed = (time.clock_gettime(time.CLOCK_MONOTONIC) - started) * speed
    return _BEGIN + min(round(passed * _SECOND), ticks * _SECOND + _SECOND // 2)


def fire(url: str, started: float, speed: float, ticks: int) -> None:
    """Be one firer, until the last tick is dealt with."""

    done = _BEGIN

    def clock() -> int:
        return min(clock_of(started, speed, ticks), done + _AHEAD * _SECOND)

    store, firing = _opened(url, clock), Firing("host")
    while True:
        try:
            firing.look(store, time.monotonic())
            (schedule,) = store.schedules().schedules or ()
            done = schedule.watermark
            if done >= _BEGIN + ticks * _SECOND:
                return
        except StoreUnavailable:
            store.close()
            store, firing = _opened(url, clock), Firing("host")
        time.sleep(random.uniform(0, 1 / speed))


def _opened(url: str, clock: object) -> Store:
    return open_store(url, clock=clock)  # type: ignore[arg-type]


def run(plan: Run) -> Found:
    """Do it all and judge it."""
    dice = random.Random(plan.seed)
    with tempfile.TemporaryDirectory(prefix="packhorse-ticks-") as folder:
        url = FRESH[plan.store](Path(folder))
        store = open_store(url)
        store.migrate()
        schedule = _put(store)
        began = time.monotonic()
        kills = _kill_while_they_fire(plan, url, dice)
        seconds = time.monotonic() - began
        found = _judge(store, schedule, plan, kills, seconds)
        store.close()
        return found


def _put(store: Store) -> ScheduleRecord:
    job = NewJob("", "tasks:tick", "ticks", "[[],{}]")
    text = _schedule.encode(_schedule.spec(Every(_SECOND), job, missed="all", overlap="allow"))
    record = ScheduleRecord(str(uuid.uuid4()), "each-second", text, created_at=_BEGIN, watermark=_BEGIN)
    assert store.put_schedules(0, [record])
    (stored,) = store.schedules().schedules or ()
    return stored


def _kill_while_they_fire(plan: Run, url: str, dice: random.Random) -> int:
    """Start the firers, kill one now and then and start another in its place; return how many were killed."""
    started = time.clock_gettime(time.CLOCK_MONOTONIC) + 1.0
    words = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--fire", url, str(started)]
    words += [str(plan.speed), str(plan.ticks)]
    firers = [subprocess.Popen(words) for _ in range(plan.firers)]
    pause, killed = plan.ticks / plan.speed / (plan.kills + 1), 0
    deadline = time.monotonic() + 60 + 20 * plan.ticks / plan.speed
    while any(firer.poll() is None for firer in firers):
        assert time.monotonic() < deadline, "the ticks were not dealt with in time"
        time.sleep(dice.uniform(0, 2 * pause))
        place = dice.randrange(len(firers))
        if killed < plan.kills and firers[place].poll() is None:
            os.kill(firers[place].pid, signal.SIGKILL)
            firers[place].wait()
            firers[place] = subprocess.Popen(words)
            killed += 1
    assert all(firer.returncode == 0 for firer in firers), "a firer failed"
    return killed


def _judge(store: Store, schedule: ScheduleRecord, plan: Run, kills: int, seconds: float) -> Found:
    from .checking import all_jobs

    ticks = [_BEGIN + number * _SECOND for number in range(1, plan.ticks + 1)]
    wanted = {_schedule.tick_id(schedule.id, tick): tick for tick in ticks}
    jobs = all_jobs(store, "ticks")
    wrong = [f"tick {tick} has no job" for id, tick in wanted.items() if id not in jobs]
    wrong += [f"job {id} belongs to no tick" for id in jobs if id not in wanted]
    queued = store.queues(["ticks"])[0].counts["queued"]
    if queued != plan.ticks:
        wrong.append(f"{queued} jobs are counted, not {plan.ticks}")
    runs = store.runs(schedule.id, 1000)
    if [run.tick for run in runs] != ticks[::-1][: len(runs)] or {run.outcome for run in runs} != {"fired"}:
        wrong.append("the last runs on record are not those of the last ticks")
    return Found(len(jobs), len(runs), kills, seconds, wrong)


def main() -> int:
    """Read the command line, run, and say what was found."""
    if sys.argv[1:2] == ["--fire"]:
        url, started, speed, ticks = sys.argv[2:6]
        fire(url, float(started), float(speed), int(ticks))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="sqlite", choices=["sqlite", "postgres", "redis"])
    for name, kind in (("firers", int), ("ticks", int), ("kills", int), ("speed", float), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, default=Run._field_defaults[name])
    plan = Run(**vars(parser.parse_args()))
    found = run(plan)
    for line in found.wrong[:20]:
        print(line, file=sys.stderr)
    print(
        f"{plan.store}: {plan.ticks:,} ticks, {plan.firers} firers, {found.kills} kills, {found.seconds:.0f} s: "
        f"{found.jobs:,} jobs, {len(found.wrong)} violations"
    )
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
