"""inside: what a store does in a transaction of somebody else's, on their connection."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from packhorse._backoff import Backoff
from packhorse._handles import acting
from packhorse._handles.drivers import Psycopg, Raw, Sqlite
from packhorse._inside import Inside
from packhorse._outcome import failed, succeeded
from packhorse._record import NewJob, Settled
from packhorse._store import JobFilter, Store
from packhorse._stores.memory import SettableClock
from packhorse.errors import IdConflict, StoreMoved, WrongDatabase
from tests.servers.postgres import database_of, fresh_url

from .conftest import Open
from .making import ERROR, HOUR, SECOND, T0, beat, join, new_job, put, running, settle, state, take, take_one, the

NEVER = Backoff(0)


class Caller:
    """Somebody's connection to a database."""

    def __init__(self, dialect: str, url: str) -> None:
        if dialect == "sqlite":
            self.db: Any = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0], timeout=0.1)
            self.raw = Raw(Sqlite(), self.db)
        else:
            self.db = psycopg.connect(database_of(url))
            self.raw = Raw(Psycopg(), self.db)

    def enqueue(self, inside: Inside, *jobs: NewJob) -> Any:
        return acting(self.raw, inside.enqueue(jobs))

    def complete(self, inside: Inside, job: Any, result: str | None = "1", keep: float | None = None) -> bool:
        return acting(self.raw, inside.complete(job.id, job.token, result, keep))

    def commit(self) -> None:
        self.db.commit()

    def rollback(self) -> None:
        self.db.rollback()


@pytest.fixture
def inside(store: Store) -> Inside:
    found = store.inside
    assert (found is None) is (store.capabilities.dialect is None)
    if found is None:
        pytest.skip("there are no transactions that this store could take part in")
    return found


@pytest.fixture
def callers(store: Store, url: str) -> Iterator[Callable[..., Caller]]:
    opened: list[Caller] = []

    def connect(where: str = url) -> Caller:
        opened.append(Caller(store.capabilities.dialect or "", where))
        return opened[-1]

    yield connect
    for each in opened:
        each.db.close()


@pytest.fixture
def caller(inside: Inside, callers: Callable[..., Caller]) -> Caller:
    return callers()


# -- check --------------------------------------------------------------------------------------------------------------
def test_the_own_database_passes(caller: Caller, inside: Inside) -> None:
    acting(caller.raw, inside.check())
    acting(caller.raw, inside.check())


def test_another_database_does_not(
    store: Store, inside: Inside, callers: Callable[..., Caller], tmp_path: Path
) -> None:
    sqlite = store.capabilities.dialect == "sqlite"
    other = callers(f"sqlite:///{tmp_path}/other.db" if sqlite else fresh_url())
    with pytest.raises(WrongDatabase):
        acting(other.raw, inside.check())


# -- enqueue ------------------------------------------------------------------------------------------------------------
def test_jobs_are_there_from_the_commit_on(store: Store, other: Store, caller: Caller, inside: Inside) -> None:
    jobs, worker = [new_job(priority=n) for n in range(3)], join(store)
    stored = caller.enqueue(inside, *jobs)
    assert [(job.id, job.state, job.existing) for job in stored.jobs] == [(job.id, "queued", False) for job in jobs]
    assert other.get([job.id for job in jobs]) == []
    assert [queue.counts["queued"] for queue in other.queues()] in ([], [0])
    assert other.ahead(jobs[0].id) == 0
    caller.commit()
    assert [record.id for record in store.get([job.id for job in jobs])] == [job.id for job in jobs]
    assert [queue.counts["queued"] for queue in store.queues()] == [3]
    assert [job.id for job in take(store, worker)] == [job.id for job in reversed(jobs)]


def test_a_rollback_leaves_nothing(store: Store, caller: Caller, inside: Inside) -> None:
    job = new_job()
    caller.enqueue(inside, job)
    caller.rollback()
    assert store.get([job.id]) == []
    assert sum(queue.counts.get("queued", 0) for queue in store.queues()) == 0
    assert put(store, id=job.id) == job.id


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"priority": 9, "by": '{"user":"a"}', "parent": "p"},
        {"delay": 90.0, "tags": '["a"]', "meta": '{"k":1}'},
        {"at": T0 + HOUR, "options": '{"retry":{"retries":1}}'},
        {"at": T0 - HOUR},
        {"expires": 5.0, "crash_fails": True},
        {"expires_at": T0 + SECOND},
    ],
)
def test_a_job_is_stored_as_enqueue_stores_it(
    store: Store, caller: Caller, inside: Inside, changes: dict[str, Any]
) -> None:
    one, two = new_job(**changes), new_job(**changes)
    answer = caller.enqueue(inside, one).jobs[0]
    caller.commit()
    plain = store.enqueue([two])[0]
    assert answer._replace(id="") == plain._replace(id="")
    assert the(store, one.id)._replace(id="", seq=0) == the(store, two.id)._replace(id="", seq=0)


def test_it_is_claimed_and_settled_like_any(store: Store, caller: Caller, inside: Inside) -> None:
    caller.enqueue(inside, new_job(), new_job(delay=1), new_job(expires=60.0))
    caller.commit()
    claimed = take(store, join(store))
    assert len(claimed) == 2
    assert settle(store, *(succeeded(job, "1") for job in claimed)) == []
    counts = {queue.name: queue.counts for queue in store.queues()}["mail"]
    assert (counts["succeeded"], counts["scheduled"], counts.get("queued", 0), counts.get("running", 0)) == (2, 1, 0, 0)


def test_a_known_id_is_stored_once(store: Store, caller: Caller, inside: Inside) -> None:
    known, new = put(store), new_job()
    twice = caller.enqueue(inside, new_job(id=known), new, new)
    assert [job.existing for job in twice.jobs] == [True, False, True]
    caller.commit()
    assert len(store.find(JobFilter(queue="mail")).jobs) == 2


def test_a_conflict_leaves_the_transaction_as_it_was(store: Store, caller: Caller, inside: Inside) -> None:
    known, before, after = put(store), new_job(), new_job()
    caller.enqueue(inside, before)
    with pytest.raises(IdConflict):
        caller.enqueue(inside, new_job(), new_job(id=known, payload="[[9], {}]"))
    caller.enqueue(inside, after)
    caller.commit()
    assert {job.id for job in store.find(JobFilter(queue="mail")).jobs} == {known, before.id, after.id}


def test_a_closed_namespace_takes_none(store: Store, caller: Caller, inside: Inside) -> None:
    known = new_job()
    store.enqueue([known])
    store.freeze("redis://elsewhere")
    for job in (new_job(), known):
        with pytest.raises(StoreMoved):
            caller.enqueue(inside, job)
        caller.rollback()
    store.thaw()
    caller.enqueue(inside, new_job())
    caller.commit()
    assert len(store.find(JobFilter(queue="mail")).jobs) == 2


def test_two_namespaces_are_apart(
    store: Store, open_another: Open, callers: Callable[..., Caller], inside: Inside
) -> None:
    elsewhere = open_another(namespace="two")
    second = elsewhere.inside
    assert second is not None
    job, caller = new_job(), callers()
    caller.enqueue(inside, job)
    caller.enqueue(second, job)
    caller.commit()
    assert len(store.get([job.id])) == len(elsewhere.get([job.id])) == 1


def test_many_jobs_in_one_transaction(store: Store, caller: Caller, inside: Inside) -> None:
    jobs = [new_job(f"q{n % 7}", task=f"tasks:t{n % 5}", tags=f'["{n}"]' if n % 2 else None) for n in range(1000)]
    caller.enqueue(inside, *jobs[:83])
    caller.enqueue(inside, *jobs[83:])
    caller.commit()
    assert [job.tags for job in store.get([job.id for job in jobs])] == [job.tags for job in jobs]


def test_names_of_a_rolled_back_transaction_are_given_anew(store: Store, caller: Caller, inside: Inside) -> None:
    caller.enqueue(inside, new_job("new-queue", task="new:task"))
    caller.rollback()
    caller.enqueue(inside, new_job("new-queue", task="new:task"))
    caller.commit()
    put(store, "new-queue", task="new:task")
    assert len(take(store, join(store), queues=["new-queue"])) == 2


# -- fate ---------------------------------------------------------------------------------------------------------------
def test_the_fate_of_a_transaction(store: Store, caller: Caller, inside: Inside) -> None:
    stored = caller.enqueue(inside, new_job())
    assert inside.fate(stored.transaction) == "open"
    caller.commit()
    assert inside.fate(stored.transaction) == "committed"
    gone = caller.enqueue(inside, new_job())
    caller.rollback()
    assert inside.fate(gone.transaction) == "rolled back"
    caller.enqueue(inside, new_job())
    assert inside.fate(stored.transaction) != "rolled back"


def test_a_job_that_was_there_before_says_nothing_of_the_transaction(
    store: Store, caller: Caller, inside: Inside
) -> None:
    known = new_job()
    store.enqueue([known])
    gone = caller.enqueue(inside, known, new_job())
    caller.rollback()
    assert inside.fate(gone.transaction) == "rolled back"
    assert caller.enqueue(inside, known).transaction is None


def test_a_connection_that_is_lost_has_rolled_back(caller: Caller, inside: Inside, store: Store) -> None:
    stored = caller.enqueue(inside, new_job())
    caller.db.close()
    deadline = time.monotonic() + 10
    while (fate := inside.fate(stored.transaction)) == "open":
        assert time.monotonic() < deadline
    assert fate == "rolled back"
    assert store.find(JobFilter(queue="mail")).jobs == []


# -- complete -----------------------------------------------------------------------------------------------------------
def test_a_job_succeeds_with_the_commit(store: Store, other: Store, caller: Caller, inside: Inside) -> None:
    worker = join(store)
    job = running(store, worker)
    assert caller.complete(inside, job, '{"a":1}', 90.0)
    assert state(other, job.id) == "running"
    caller.commit()
    record = the(store, job.id)
    assert (record.state, record.result, record.token) == ("succeeded", '{"a":1}', job.token)
    assert (record.finished_at, record.result_until) == (T0, T0 + 90 * SECOND)
    assert (record.started_at, record.error, record.reason) == (T0, None, None)
    counts = {queue.name: queue.counts for queue in store.queues()}[job.queue]
    assert (counts.get("running", 0), counts["succeeded"]) == (0, 1)
    assert beat(store, worker, [job], 9).lost == [(job.id, job.token)]
    assert [row.outcome for row in store.attempts(job.id)] == ["succeeded"]


def test_a_later_attempt_writes_its_row(store: Store, caller: Caller, inside: Inside) -> None:
    worker = join(store)
    first = running(store, worker, queue="mail")
    settle(store, failed(first, Backoff(3, delays=(0.0,)), ERROR))
    store.promote()
    second = take_one(store, worker)
    assert caller.complete(inside, second)
    caller.commit()
    assert [(row.outcome, row.token) for row in store.attempts(first.id)] == [
        ("retry", first.token), ("succeeded", second.token)
    ]  # fmt: skip
    assert the(store, first.id).error is None


def test_a_rolled_back_end_is_none(store: Store, caller: Caller, inside: Inside) -> None:
    job = running(store)
    assert caller.complete(inside, job)
    caller.rollback()
    assert state(store, job.id) == "running"
    assert settle(store, failed(job, NEVER, ERROR)._replace(elsewhere=True)) == []
    assert state(store, job.id) == "failed"


@pytest.mark.parametrize(
    "how", ["settled", "released and claimed again", "cancel asked for", "another token", "unknown"]
)
def test_only_the_run_that_has_the_job_ends_it(store: Store, caller: Caller, inside: Inside, how: str) -> None:
    worker = join(store)
    job = running(store, worker, queue="mail")
    if how == "settled":
        settle(store, failed(job, NEVER, ERROR))
    elif how == "released and claimed again":
        beat(store, worker, [], 9)
        take_one(store, worker)
    elif how == "cancel asked for":
        store.cancel(JobFilter(ids=(job.id,)))
    elif how == "another token":
        job = job._replace(token="0" * 32)
    else:
        job = job._replace(id=new_job().id)
    before = store.find(JobFilter(queue="mail")).jobs
    assert not caller.complete(inside, job)
    caller.commit()
    assert store.find(JobFilter(queue="mail")).jobs == before


# -- settle meets such ends ---------------------------------------------------------------------------------------------
def test_what_a_run_says_after_its_commit_is_repeated(store: Store, caller: Caller, inside: Inside) -> None:
    job = running(store)
    caller.complete(inside, job, '"mine"')
    caller.commit()
    before = the(store, job.id)
    late = failed(job, NEVER, ERROR)._replace(elsewhere=True, log="its log\n")
    assert settle(store, late) == [Settled(job.id, job.token, "repeated", "succeeded")]
    assert the(store, job.id) == before
    assert [row.outcome for row in store.attempts(job.id)] == ["succeeded"]
    assert store.log(job.id) == [(job.token, "its log\n", 0)]


def test_the_same_without_the_word_is_a_late_outcome(store: Store, caller: Caller, inside: Inside) -> None:
    """A child that died right after its commit tells nothing; the worker finds the job ended."""
    worker = join(store)
    job = running(store, worker)
    settle(store, failed(job, Backoff(1, delays=(0.0,)), ERROR))
    store.promote()
    again = take_one(store, worker, queues=[job.queue])
    caller.complete(inside, again)
    caller.commit()
    assert settle(store, failed(again, NEVER, ERROR)) == [Settled(job.id, again.token, "stale", "succeeded")]
    assert state(store, job.id) == "succeeded"


def test_settle_does_not_wait_for_a_transaction_of_the_users(
    store: Store, caller: Caller, inside: Inside, clock: SettableClock
) -> None:
    """Where a row can be locked alone, its verdict is put off and the others are applied; where the whole file is, the call waits
    as long as it may and nothing is lost."""
    worker = join(store)
    held, free = running(store, worker), running(store, worker)
    caller.complete(inside, held)
    store.patience = 0.3
    verdicts = [failed(held, NEVER, ERROR)._replace(elsewhere=True), succeeded(free, "1")]
    if store.capabilities.dialect == "sqlite":
        from packhorse.errors import StoreUnavailable

        with pytest.raises(StoreUnavailable):
            settle(store, *verdicts)
    else:
        assert settle(store, *verdicts) == [Settled(held.id, held.token, "locked", "running")]
        assert state(store, free.id) == "succeeded"
    caller.commit()
    store.patience = 10.0
    answers = {answer.job: answer for answer in settle(store, *verdicts)}
    assert answers[held.id] == Settled(held.id, held.token, "repeated", "succeeded")
    assert [state(store, each.id) for each in (held, free)] == ["succeeded", "succeeded"]


# -- races --------------------------------------------------------------------------------------------------------------
def test_a_commit_and_a_claim_at_the_same_moment(
    store: Store, open_another: Open, caller: Caller, inside: Inside
) -> None:
    """Every job is claimed exactly once, and none before its commit."""
    worker, claimer = join(store), open_another()
    claimer.patience = 30.0
    taken: list[str] = []
    over = threading.Event()

    def claim() -> None:
        while not over.is_set():
            taken.extend(job.id for job in take(claimer, worker, 5))

    thread = threading.Thread(target=claim)
    thread.start()
    wanted = []
    try:
        for n in range(60):
            job = new_job()
            _patiently(lambda job=job: caller.enqueue(inside, job), caller)  # type: ignore[misc]
            if n % 3:
                assert job.id not in taken
                caller.commit()
                wanted.append(job.id)
            else:
                caller.rollback()
        deadline = time.monotonic() + 20
        while len(taken) < len(wanted) and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        over.set()
        thread.join()
    assert sorted(taken) == sorted(wanted)


def _patiently(act: Callable[[], Any], caller: Caller) -> None:
    """Try again while another writer has the file: a transaction of SQLite's own rule."""
    from packhorse.errors import StoreUnavailable

    deadline = time.monotonic() + 20
    while True:
        try:
            act()
            return
        except StoreUnavailable:
            caller.rollback()
            assert time.monotonic() < deadline


def test_two_open_transactions_with_one_id(store: Store, callers: Callable[..., Caller], inside: Inside) -> None:
    """One of them stores it, whoever commits first; the other finds it, or is refused because the file is locked."""
    one, two, job = callers(), callers(), new_job()
    one.enqueue(inside, job)
    answers: list[Any] = []

    def second() -> None:
        try:
            answers.append(two.enqueue(inside, job).jobs[0].existing)
            two.commit()
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=second)
    if store.capabilities.dialect == "sqlite":
        from packhorse.errors import StoreUnavailable

        with pytest.raises(StoreUnavailable, match="locked"):
            two.enqueue(inside, job)
        two.rollback()
        one.commit()
        second_free = two.enqueue(inside, job).jobs[0].existing
        assert second_free
        two.commit()
    else:
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits to see what becomes of the first
        one.commit()
        thread.join(10)
        assert answers == [True]
    assert len(store.find(JobFilter(queue="mail")).jobs) == 1


def test_the_second_of_two_stores_the_id_when_the_first_gives_up(
    store: Store, callers: Callable[..., Caller], inside: Inside
) -> None:
    one, two, job = callers(), callers(), new_job()
    one.enqueue(inside, job)
    answers: list[bool] = []
    if store.capabilities.dialect == "sqlite":
        one.rollback()
        answers.append(two.enqueue(inside, job).jobs[0].existing)
    else:
        thread = threading.Thread(target=lambda: answers.append(two.enqueue(inside, job).jobs[0].existing))
        thread.start()
        thread.join(0.3)
        one.rollback()
        thread.join(10)
    two.commit()
    assert answers == [False]
    assert len(store.find(JobFilter(queue="mail")).jobs) == 1
