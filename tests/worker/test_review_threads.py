"""What passes between the three threads of a supervisor, in orders that are rare."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from packhorse import _outcome
from packhorse._record import Claimed, Report
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse._worker import child_process, outage
from packhorse._worker import mailbox as m
from packhorse._worker.config import WorkerConfig
from packhorse._worker.hearing import Hearing
from packhorse._worker.held import Held
from packhorse._worker.identity import Identity
from packhorse._worker.news import Unreported
from packhorse._worker.store_thread import StoreThread
from packhorse.errors import StoreUnavailable
from tests.worker import tasks
from tests.worker.site import Site, eventually


class Losing:
    """A store that does the next claim and loses its answer, once ``lose`` is set."""

    def __init__(self, store: Store, lose: list[bool]) -> None:
        self._store, self._lose = store, lose

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def freed(self) -> bool:
        return self._store.freed

    def claim(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._store.claim(*args, **kwargs)
        if self._lose:
            self._lose.clear()
            raise StoreUnavailable("the answer was lost (a test says so).")
        return answer


class Main:
    """Plays the main thread."""

    def __init__(self, site: Site) -> None:
        self.mailbox = m.Mailbox()
        self.held = Held()
        self.got: list[Any] = []
        config = WorkerConfig(name="played")
        self.identity = Identity(config, "0")
        self.lose: list[bool] = []  #: not empty: the answer to the next claim is lost
        self.thread = StoreThread(self._opened(site.url), self.identity, None, self.mailbox, self.held)
        self.thread.start()
        self.next(m.Opened)

    def _opened(self, url: str) -> Callable[[], Store]:
        return lambda: cast(Store, Losing(open_store(url), self.lose))

    def next(self, kind: type[Any]) -> Any:
        """Wait for a message of this kind."""

        def look() -> list[Any]:
            self.got += self.mailbox.take()
            return [each for each in self.got if isinstance(each, kind)]

        (found, *_) = eventually(look, str(kind))
        self.got.remove(found)
        return found

    def put(self, *items: object) -> None:
        for item in items:
            self.thread.inbox.put(item)


@pytest.fixture
def main(site: Site) -> Iterator[Main]:
    site.store.now()
    found = Main(site)
    yield found
    found.put(m.Finish(time.monotonic()))
    found.thread.join(20)
    assert not found.thread.is_alive()


def released(jobs: list[Claimed]) -> m.Ended:
    return m.Ended([(job, 0, time.monotonic_ns(), _outcome.released(job)) for job in jobs], True)


def test_what_a_claim_brought_during_the_stop_goes_back(site: Site, main: Main) -> None:
    job = site.enqueue(tasks.nothing)
    main.put(m.Want(1, 0, 0))
    jobs = main.next(m.Jobs).jobs
    # Main had counted nothing in hand, and asked for the end, before it saw the reply.
    main.put(m.Drain(), m.Finish(time.monotonic() + 10))
    turns = main.thread.turns
    eventually(lambda: main.thread.turns > turns + 3, "turns")
    main.put(released(jobs))
    assert main.next(m.Gone).left == []
    assert (site.job(job).state, site.job(job).losses) == ("queued", 0)


def test_a_wish_that_was_counted_before_jobs_arrived_is_not_granted(site: Site, main: Main) -> None:
    """Else a worker with one slot, asked twice while a claim was under way, would hold two jobs, and an idle worker none."""
    jobs = [site.enqueue(tasks.nothing) for _ in range(2)]
    main.put(m.Want(1, 0, 0))
    (first,) = main.next(m.Jobs).jobs
    turns = main.thread.turns
    main.put(m.Want(1, 0, 0))
    eventually(lambda: main.thread.turns > turns, "it has been looked at")
    assert [site.job(job).state for job in jobs] == ["running", "queued"]
    main.put(m.Want(1, 0, 1))
    (second,) = main.next(m.Jobs).jobs
    assert [first.id, second.id] == [job.id for job in jobs]
    main.put(released([first, second]))


def test_finding_nothing_tells_which_ends_had_been_settled(site: Site, main: Main) -> None:
    main.put(m.Want(1, 0, 0))
    assert main.next(m.Nothing).settled == 0
    main.put(m.Ended([], True), m.Want(1, 0, 0))
    assert main.next(m.Nothing).settled == 1
    site.enqueue(tasks.nothing)
    main.put(m.Want(1, 0, 0))
    jobs = main.next(m.Jobs).jobs
    main.put(released(jobs), m.Want(1, 0, 1))
    assert main.next(m.Jobs).jobs[0].id == jobs[0].id


def test_claims_are_numbered_on_after_a_rebirth(site: Site, main: Main) -> None:
    """A beat that was under way bears the last number: a claim with a smaller one would be taken for a ghost."""
    site.enqueue(tasks.nothing)
    main.put(m.Want(1, 0, 0))
    main.next(m.Jobs)
    before, _ = main.held.snapshot()
    (mine,) = site.store.workers()
    assert site.store.condemn(mine.id, mine.beats), "only who was declared dead is born again"
    main.put(m.Reborn(), m.Want(1, 0, 1))
    main.next(m.Opened)
    main.next(m.Nothing)
    after, held = main.held.snapshot()
    assert after > before
    assert held == []


def test_a_run_that_is_lost_does_not_take_the_next_claim_along() -> None:
    held = Held()
    job = cast(Any, ("id", "second"))
    held.claimed(1, [job])
    held.forget("id", "first")
    held.settled([(cast(Any, ("id", "first")), 0, 0, None)])
    assert held.jobs() == ["id"]
    held.forget("id", "second")
    assert held.jobs() == []


# -- news -------------------------------------------------------------------------------------------------------------
class Deaf:
    """A store that takes reports as a test decides."""

    def __init__(self, take: Callable[[Report], None]) -> None:
        self.take = take
        self.taken: list[Report] = []

    def report(self, worker: str, reports: list[Report]) -> None:
        for each in reports:
            self.take(each)
        self.taken += reports


def news(job: str, progress: int) -> m.News:
    claimed: Any = type("Job", (), {"id": job, "token": "t"})
    return m.News(claimed, 1, json.dumps(progress), None, 0, None)


def away(report: Report) -> None:
    raise StoreUnavailable("away")


def test_an_outage_keeps_the_latest_news_only() -> None:
    unreported, store = Unreported(), Deaf(away)
    for n in range(1000):
        unreported.add([news("a", n), news("b", n)])
        with pytest.raises(StoreUnavailable):
            unreported.report(cast(Store, store), "w")
    store.take = lambda report: None
    unreported.report(cast(Store, store), "w")
    assert [(each.job, each.progress) for each in store.taken] == [("a", "999"), ("b", "999")]
    assert not unreported


def test_news_that_cannot_be_stored_does_not_silence_the_others() -> None:
    def take(report: Report) -> None:
        if report.job == "b":
            raise ValueError("odd")

    unreported, store = Unreported(), Deaf(take)
    unreported.add([news(job, 1) for job in "abc"])
    unreported.report(cast(Store, store), "w")
    assert [each.job for each in store.taken] == ["a", "c"]
    assert not unreported


# -- children ---------------------------------------------------------------------------------------------------------
def learn(hearing: Hearing, child: Any, task: str, options: str | None, timeout: float) -> None:
    hearing.lines(child, [json.dumps(["policy", task, options, timeout, True, {"retries": 2}]).encode()])


def test_a_tasks_own_limit_outlives_thousands_of_others() -> None:
    """A child tells it once: forgotten, the task would have no limit."""
    running: Any = SimpleNamespace(task="tasks:long", options='{"timeout":7}')
    child: Any = SimpleNamespace(jobs={0: running}, observed={})
    hearing = Hearing(cast(Any, SimpleNamespace(crew=SimpleNamespace(children={1: child}))))
    learn(hearing, child, "tasks:plain", None, 5.0)
    learn(hearing, child, running.task, running.options, 7.0)
    for n in range(12_000):
        learn(hearing, child, "tasks:odd", json.dumps({"timeout": n + 0.5}), n + 0.5)
    plain: Any = SimpleNamespace(task="tasks:plain", options=None)
    assert (hearing.policy(plain).timeout, hearing.policy(running).timeout) == (5.0, 7.0)
    assert len(hearing._policies) < 6000


def test_a_child_that_cannot_be_started_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(BlockingIOError):
            child_process.ChildProcess({"coroutines": 0, "threads": 1})
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_stop_right_after_a_lost_answer_leaves_nothing_behind(
    site: Site, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim may have brought jobs: the store is asked once more before the worker says that it is done."""
    monkeypatch.setattr(outage, "pause_after", lambda failures: 1.0)  # the stop comes before the next try
    main.put(m.Want(1, 0, 0))
    assert main.next(m.Nothing) == m.Nothing(0)
    job = site.enqueue(tasks.nothing)
    main.lose.append(True)
    main.put(m.Hint())
    assert main.next(m.Nothing) == m.Nothing(-1), "what was found before holds no more"
    main.put(m.Drain(), m.Finish(time.monotonic() + 10))
    assert main.next(m.Gone) == m.Gone([], True)
    assert (site.job(job).state, site.job(job).losses, site.store.workers()) == ("queued", 0, [])


def test_a_stop_does_not_wait_for_a_store_that_stays_away(site: Site, main: Main) -> None:
    main.put(m.Want(1, 0, 0))
    main.next(m.Nothing)
    main.thread._opener = _away
    site.enqueue(tasks.nothing)
    main.lose.append(True)
    main.put(m.Hint())
    main.next(m.Nothing)
    deadline = time.monotonic() + 60
    main.put(m.Drain(), m.Finish(deadline))
    assert main.next(m.Gone) == m.Gone([], False)
    assert time.monotonic() < deadline - 30


def _away() -> Store:
    raise StoreUnavailable("the store is away (a test says so).")
