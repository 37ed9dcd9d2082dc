"""From every kind of store to every other: what a job is in one it is in the next, and no kind loses a part of it."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from itertools import pairwise, product
from pathlib import Path

import pytest

from packhorse._move import reopen
from packhorse._outcome import succeeded
from packhorse._record import STATES, Parcel
from packhorse._store import JobFilter
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from tests.conformance.making import join, settle, take
from tests.conformance.stores import FRESH, chosen
from tests.conformance.test_moving import bare, everything

from .conftest import Command
from .making import enqueue, fill_with_ended_lives, how, mover, same

KINDS = [kind for kind in chosen() if kind != "memory"]
#: Each kind once on either side: processes that die cost seconds, and which pair it is makes no difference to the steps.
RING = [*zip(KINDS, [*KINDS[1:], *KINDS[:1]], strict=True)] if len(KINDS) > 1 else []


def fresh(kind: str, folder: Path) -> str:
    """Return the URL of an empty store of this kind, with its tables."""
    folder.mkdir(exist_ok=True)
    url = FRESH[kind](folder)
    with closing(open_store(url)) as store:
        store.migrate()
    return url


def filled(kind: str, folder: Path, clock: SettableClock) -> tuple[str, list[Parcel]]:
    url = fresh(kind, folder)
    with closing(open_store(url, clock=clock)) as store:
        fill_with_ended_lives(store, clock)
        enqueue(store, 120)
        store.pause("mail", by="ada", reason="the printer burns")
        return url, everything(store)


@pytest.mark.parametrize("kinds", [*product(KINDS, repeat=2)], ids="-".join)
def test_a_job_is_what_it_was(kinds: tuple[str, str], tmp_path: Path, clock: SettableClock) -> None:
    url, before = filled(kinds[0], tmp_path / "from", clock)
    with (
        closing(open_store(url, clock=clock)) as source,
        closing(open_store(fresh(kinds[1], tmp_path / "to"), clock=clock)) as target,
    ):
        done = mover(source, target).run()
        assert done.jobs == len(before)
        assert bare(everything(target)) == bare(before)
        assert (how(source), how(target)) == ("moved", "open")
        assert [(queue.name, queue.paused_reason) for queue in target.queues() if queue.paused_at] == [
            ("mail", "the printer burns")
        ]
        target.resume("mail")
        jobs = take(target, join(target), 1000)
        assert {"mail", "tried"} <= {job.queue for job in jobs}
        assert settle(target, *[succeeded(job, "1") for job in jobs]) == []


@pytest.mark.skipif(len(KINDS) < 2, reason="one kind of store alone")
def test_once_around_and_back(tmp_path: Path, clock: SettableClock) -> None:
    """Through every kind in turn, and back into the first, which has been closed ever since."""
    first, before = filled(KINDS[0], tmp_path / "0", clock)
    urls = [first, *[fresh(kind, tmp_path / kind) for kind in KINDS[1:]]]
    for here, there in pairwise(urls):
        with closing(open_store(here, clock=clock)) as source, closing(open_store(there, clock=clock)) as target:
            mover(source, target).run()
            assert same(source, target)
    with closing(open_store(urls[-1], clock=clock)) as last, closing(open_store(first, clock=clock)) as home:
        assert bare(everything(last)) == bare(before)
        reopen(home, force=True)
        home.delete(JobFilter(states=STATES))
        assert everything(home) == []
        mover(last, home).run()
        assert bare(everything(home)) == bare(before)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", RING, ids="-".join)
def test_killed_again_and_again_it_ends(
    kinds: tuple[str, str], command: Command, tmp_path: Path, clock: SettableClock
) -> None:
    url, before = filled(kinds[0], tmp_path / "from", clock)
    to = fresh(kinds[1], tmp_path / "to")
    words = ("move", url, to, "--yes", "--json")
    for nth in (2, 5, 6):
        died = command(str(nth), "after", *words, module="tests.moving.entry")
        assert died.returncode == -signal.SIGKILL, died.stderr
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"] == len(before)
    with closing(open_store(url)) as source, closing(open_store(to)) as target:
        assert bare(everything(source)) == bare(before)
        assert bare(everything(target)) == bare(before)
        assert (how(source), how(target)) == ("moved", "open")
