"""The jobs of the reserved run. Each holds names while it runs, and says so in two ways: to the ledger, with the moments of its
beginning and its end, and to the kernel, by a lock on a file of that name, which outlives no process."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from packhorse import App, Backoff, Queue
from packhorse._current import running

from . import jobs, ledger
from .producing import Made

#: Held alone, one or two at a time.
TAPES = tuple(f"tape-{n}" for n in range(8))
#: Many readers, rare writers.
SHELVES = tuple(f"shelf-{n}" for n in range(3))
#: So many at once.
POOLS = {"pool-0": 3, "still-l": 1}
#: What is held while a supervisor stands still, by mode.
STILL = {"x": "still-x", "s": "still-s", "l": "still-l"}
#: So many a second, without a burst.
RATES = {"rate-0": 8}
KEYS = tuple(f"key-{n}" for n in range(6))

app = App(tasks=[jobs.__name__, __name__], limits={**POOLS, **{name: f"{count}/1s" for name, count in RATES.items()}})

#: kind → how many of a thousand
MIX = {
    "tape": 165, "tapes": 150, "reader": 170, "writer": 25, "pooled": 170, "rated": 50, "after": 50, "unique": 25,
    "mixed": 25, "slow": 150, "failing": 20,
}  # fmt: skip
#: A job that reserves this name is enqueued when all others have ended.
PROBE = "probe:"
#: A job that holds this, with its mode, for longer than its supervisor is paused; when it runs again it is short.
LASTING = "lasting:"
_LASTS, _AGAIN = 120_000.0, 20.0


def plan(count: int, rng: random.Random) -> list[str]:
    """Return the kinds of the jobs, shuffled."""
    return rng.choices(list(MIX), list(MIX.values()), k=count)


def hold(names: Sequence[str], milliseconds: float, failures: int = 0) -> None:
    """Hold the names (``x:tape-1``: with the mode) for a while; fail so many times after it."""
    run = running()
    assert run is not None
    if run.job.crashes or run.job.losses:
        milliseconds = min(milliseconds, _AGAIN)
    with _witnessed(run.job.id, run.job.token, names), jobs.on_record(names):
        time.sleep(milliseconds / 1000)
    if run.job.failures < failures:
        raise ValueError(f"failure {run.job.failures + 1} of {failures}")


@contextmanager
def _witnessed(job: str, token: str, names: Sequence[str]) -> Iterator[None]:
    """Have the kernel say whether a living process holds what must be free; it forgets the dead by itself."""
    with ExitStack() as locks:
        for name in names:
            if not any(_locked(locks, name, place) for place in range(POOLS.get(name[2:], 1))):
                jobs.writer().clash(job, token, name)
        yield


def _locked(locks: ExitStack, name: str, place: int) -> bool:
    mode, bare = name.split(":", 1)
    if bare in RATES and mode == "l":
        return True  # as many at once as like
    path = os.path.join(os.environ[ledger.VARIABLE], f"{'key' if mode == 'u' else 'name'}.{bare}.{place}")
    file = open(path, "a")  # noqa: SIM115 - closed with the others, or here
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if mode == "s" else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    locks.enter_context(file)
    return True


def made(queue: Queue, kind: str, rng: random.Random, stored: Sequence[str]) -> Made:
    """Return a job of the reserved run."""
    names, milliseconds = _holds(kind, rng), rng.uniform(1, 25)
    if kind == "slow":
        milliseconds = rng.uniform(80, 400)
    if kind in ("reader", "pooled"):
        milliseconds = rng.uniform(15, 75)
    held = {mode: [name[2:] for name in names if name[0] == mode] for mode in "xslu"}
    queue = queue.using(reserves=held["x"], shares=held["s"], limit=held["l"], retry=Backoff(5, base=0.05))
    if held["u"]:
        queue = queue.using(unique=f"//{held['u'][0]}")
    if kind.startswith(LASTING):
        return queue.using(priority=100), hold, (names, _LASTS)
    if kind == "after" and stored:
        queue = queue.using(after=rng.choice(stored))
    return queue, hold, (names, round(milliseconds, 1), int(kind == "failing"))


def _holds(kind: str, rng: random.Random) -> list[str]:
    tape = f"x:{rng.choice(TAPES)}"
    match kind:
        case "tapes":
            return [f"x:{name}" for name in rng.sample(TAPES, 2)]
        case "reader":
            return [f"s:{rng.choice(SHELVES)}"]
        case "writer":
            return [f"x:{rng.choice(SHELVES)}"]
        case "pooled":
            return ["l:pool-0"]
        case "rated":
            return [f"l:{rng.choice(list(RATES))}"]
        case "unique":
            return [f"u:{rng.choice(KEYS)}"]
        case "mixed":
            return [tape, f"s:{rng.choice(SHELVES)}", "l:pool-0"]
        case _ if kind.startswith(PROBE):
            return [f"x:{kind.removeprefix(PROBE)}"]
        case _ if kind.startswith(LASTING):
            return [kind.removeprefix(LASTING)]
        case _:
            return [tape]
