"""What happens rarely in the SQLite store: each a way in which a job could be lost, doubled or stuck."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from packhorse._handles import acting
from packhorse._handles.drivers import Raw, Sqlite
from packhorse._outcome import succeeded
from packhorse._record import NewJob, WorkerRecord
from packhorse._store import JobFilter
from packhorse._stores import open_store
from packhorse._stores.sqlite import connection, produce, search
from packhorse._stores.sqlite.store import SqliteStore
from packhorse.errors import BadStore, StoreUnavailable
from tests.stores.sqlite_checker import problems


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = open_store(f"sqlite:///{tmp_path}/jobs.db")
    assert isinstance(found, SqliteStore)
    yield found
    found.close()


@pytest.fixture
def user(tmp_path: Path, store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else's to the same file."""
    with closing(sqlite3.connect(tmp_path / "jobs.db", timeout=0.1, isolation_level=None)) as db:
        yield db


def new(**more: Any) -> NewJob:
    return NewJob(**{"id": str(uuid.uuid4()), "task": "m:f", "queue": "q", "payload": "[[], {}]", **more})


def worker(store: SqliteStore) -> str:
    id = uuid.uuid4().hex
    store.register(WorkerRecord(id, id, "host", 1, "boot"))
    return id


def test_a_stored_job_is_not_called_lost_because_it_could_not_be_counted(
    store: SqliteStore, user: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise StoreUnavailable("somebody else writes all the time")

    store.enqueue([new() for _ in range(produce.STRETCH - 3)])
    store.enqueue([new()])
    with monkeypatch.context() as patch:
        patch.setattr(produce, "_count_stretch", refused)
        assert [store.enqueue([new()])[0].state for _ in range(5)] == ["queued"] * 5
    assert store.queues()[0].counts == {"queued": produce.STRETCH + 3}
    assert problems(user) == []
    for _ in range(produce.STRETCH):
        store.enqueue([new()])
    assert user.execute("SELECT n_queued FROM packhorse_lines").fetchone() == (2 * produce.STRETCH,)
    assert problems(user) == []


def test_a_name_from_anothers_open_transaction_is_not_taken_for_known(
    store: SqliteStore, user: sqlite3.Connection, tmp_path: Path
) -> None:
    """Both use one object: in a program with threads, a rollback of one must not leave a wrong number in the job of another."""
    inside = store.inside
    other = sqlite3.connect(tmp_path / "jobs.db", timeout=0.1, isolation_level=None)
    seen: list[str] = []

    def at_the_same_time(statement: str) -> None:
        """Just after the user's first look, and before its first row, somebody else stores a job and takes it back."""
        if not seen and "packhorse_jobs" in statement:
            seen.append(statement)
            other.execute("BEGIN")
            acting(Raw(Sqlite(), other), inside.enqueue([new(queue="other", task="m:g")]))
            acting(Raw(Sqlite(), other), inside.enqueue([new(queue="mine", task="m:h")]))
            other.execute("ROLLBACK")

    mine = new(queue="mine", task="m:h")
    with closing(other):
        user.set_trace_callback(at_the_same_time)
        user.execute("BEGIN")
        acting(Raw(Sqlite(), user), inside.enqueue([mine]))
        user.execute("COMMIT")
        user.set_trace_callback(None)
    assert seen
    assert problems(user) == []
    (job,) = store.get([mine.id])
    assert (job.queue, job.task) == ("mine", "m:h")


def test_many_large_jobs_are_claimed_in_parts(store: SqliteStore, user: sqlite3.Connection) -> None:
    """Together they would be longer than any text of SQLite's, and no claim would ever get further."""
    jobs = [new(payload=f'[["{"x" * 3000}"], {{}}]') for _ in range(40)]
    store.enqueue(jobs)
    me = worker(store)
    assert store._db is not None
    store._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 30_000)
    taken = []
    while True:
        claim = store.claim(None, 40, 0, me, len(taken) + 1)
        taken += [job.id for job in claim.jobs]
        if not claim.more:
            break
    assert taken == [job.id for job in jobs]
    assert problems(user) == []


def test_a_job_that_comes_with_a_fence_alone_counts_as_claimed(store: SqliteStore, user: sqlite3.Connection) -> None:
    store.enqueue([new(), new(tags='["t"]')])
    parcels = [
        parcel._replace(job=parcel.job._replace(id=str(uuid.uuid4()), fence=2**52)) for parcel in store.export(0, 10)
    ]
    store.import_jobs(parcels)
    assert problems(user) == []
    jobs = store.claim(None, 10, 0, worker(store), 1).jobs
    assert sorted(job.fence for job in jobs)[2:] == [2**52 + 1] * 2
    assert problems(user) == []
    assert len(store.find(JobFilter(states=("running",))).jobs) == 4


def test_a_success_is_not_made_a_failure_because_memory_ran_out(
    store: SqliteStore, user: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*args: object) -> None:
        raise MemoryError

    store.enqueue([new()])
    (job,) = store.claim(None, 1, 0, worker(store), 1).jobs
    with monkeypatch.context() as patch:
        patch.setattr(store, "_settle", none_left)
        with pytest.raises(MemoryError):
            store.settle(None, [succeeded(job, "1")])
    assert store.get([job.id])[0].state == "running"
    assert store.settle(None, [succeeded(job, "1")]) == []
    assert problems(user) == []


def test_few_jobs_are_found_beside_very_many_of_another_namespace(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_WINDOW", 5)
    with closing(open_store(f"sqlite:///{tmp_path}/jobs.db", namespace="small")) as small:
        assert isinstance(small, SqliteStore)
        jobs = [new(), new()]
        small.enqueue(jobs[:1])
        store.enqueue([new() for _ in range(3000)])
        small.enqueue(jobs[1:])
        statements: list[str] = []
        assert small._db is not None
        small._db.set_trace_callback(statements.append)
        page = small.find(JobFilter(), 1)
        assert [job.id for job in page.jobs] == [jobs[1].id]
        assert [job.id for job in small.find(JobFilter(), 1, page.next).jobs] == [jobs[0].id]
        small._db.set_trace_callback(None)
        assert len(statements) < 30


@pytest.mark.parametrize(
    "found, json, said",
    [((3, 33, 0), True, "3.34 or newer"), ((3, 37, 2), False, "without its JSON functions"), ((3, 37, 2), True, None)],
)
def test_a_sqlite_that_is_too_old_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[int, ...], json: bool, said: str | None
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", found)
    monkeypatch.setattr(connection, "_understands_json", lambda: json)
    if said is None:
        open_store(f"sqlite:///{tmp_path}/new.db").close()
        return
    with pytest.raises(BadStore, match=said):
        open_store(f"sqlite:///{tmp_path}/new.db")
    assert list(tmp_path.iterdir()) == []
