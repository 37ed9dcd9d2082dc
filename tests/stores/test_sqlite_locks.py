"""The locks that keep the file whole: SQLite's own, which any careless open or fork would lose."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import packhorse
from packhorse._record import NewJob, Verdict, WorkerRecord
from packhorse._store import JobFilter
from packhorse._stores.sqlite import SqliteStore, forks
from packhorse.errors import StoreUnavailable

linux = pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux shows its locks")


def job() -> NewJob:
    return NewJob(str(uuid.uuid4()), "m:f", "q", "[[],{}]")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


def locks(store: SqliteStore, pid: int) -> set[str]:
    """Return which of the two locked files a process has locks on, as the kernel sees it.

    Its list may leave out a line while other locks on the machine come and go, so a lock is there if it is ever seen.
    """
    return set().union(*(seen(store, pid) for _ in range(10)))


def seen(store: SqliteStore, pid: int) -> set[str]:
    files = {os.stat(store._path + end).st_ino: end or "database" for end in ("", "-shm")}
    held = set()
    with open("/proc/locks") as lines:
        for line in lines:
            words = line.split("POSIX")[-1].split()
            inode = int(words[3].rpartition(":")[2]) if words[0] == "ADVISORY" else 0
            if inode in files and int(words[2]) == pid:
                held.add(files[inode])
    return held


BOTH = {"database", "-shm"}


# -- one process --------------------------------------------------------------------------------------------------
def close_another(store: SqliteStore) -> None:
    SqliteStore(store.url).close()


def refuse_to_open(store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteStore(store.url + "-none", create=False)


def work(store: SqliteStore) -> None:
    worker = WorkerRecord(str(uuid.uuid4()), str(uuid.uuid4()), "h", 1, "b")
    store.register(worker)
    claimed = store.claim(None, 5, 0, worker.id, 1).jobs
    store.settle(worker.id, [Verdict(j.id, j.token, "succeeded", "succeeded", plain=True) for j in claimed])
    store.beat(worker.id, 1, [])
    store.prune({"succeeded": 0.0})
    store.leave(worker.id)


OPERATIONS: dict[str, Callable[[SqliteStore], object]] = {
    "enqueue": lambda store: store.enqueue([job()]),
    "look": lambda store: (store.find(JobFilter()), store.queues(), store.changed()),
    "work": work,
    "wait": lambda store: store.wait(0.0),
    "migrate": lambda store: store.migrate(),
    "checkpoint": lambda store: store._checkpoints.run(),
    "look at the log": lambda store: store._checkpoints._is_large(),
    "open and close another": close_another,
    "open one that is not to be made": lambda store: SqliteStore(store.url, create=False).close(),
    "open one that is not there": refuse_to_open,
    "spawn": lambda store: subprocess.run([sys.executable, "-c", ""], check=True),
}


@linux
@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_we_do_drops_the_locks_of_other_connections(url: str, name: str) -> None:
    other = SqliteStore(url)
    other.enqueue([job()])
    with closing(SqliteStore(url)) as store:
        assert locks(other, os.getpid()) == BOTH
        OPERATIONS[name](store)
        assert locks(other, os.getpid()) == BOTH
    assert locks(other, os.getpid()) == BOTH
    other.enqueue([job()])


@linux
def test_a_file_is_made_without_opening_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads may open a new store at once: what the one closes, the other would lose its locks by."""
    opened: list[object] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **named: opened.append(path) or real(path, *more, **named))
    store = SqliteStore(url)
    assert store._path not in opened
    store.enqueue([job()])
    store._checkpoints.run()
    assert store._path not in opened
    assert store._path + "-shm" not in opened


def test_a_file_is_private_too_where_it_cannot_be_made_without_opening_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mknod", refuse)
    SqliteStore(url).close()
    SqliteStore(url).close()
    assert [(file.name, file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == [("jobs.db", 0o600)]


def test_every_place_where_the_store_opens_a_file_is_known() -> None:
    """A new one has to be thought about: does it ever open the database or its index?"""
    found: Counter[str] = Counter()
    for file in (Path(packhorse.__file__).parent / "_stores" / "sqlite").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.rpartition(".")[2] in ("open", "read_bytes", "read_text", "copyfile", "copy"):
                found[file.name] += 1
    # The log and the lock of checkpoints; a new file before it has its name; the kernel's list of mounts.
    assert found == {"checkpoint.py": 2, "connection.py": 1, "network.py": 1}


# -- forks --------------------------------------------------------------------------------------------------------
def in_child(act: Callable[[], object]) -> int:
    """Fork, act in the child, and return its exit code: 0 if all went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@linux
def test_a_child_has_locks_of_its_own(url: str) -> None:
    store = SqliteStore(url)
    store.enqueue([job()])

    def child() -> None:
        store.enqueue([job()])
        assert locks(store, os.getpid()) == BOTH

    assert in_child(child) == 0
    store.enqueue([job()])
    assert locks(store, os.getpid()) == BOTH
    assert store.queues()[0].counts == {"queued": 3}


def test_what_a_child_stores_is_there_even_if_its_parent_went_away_meanwhile(url: str) -> None:
    """The parent's close takes the log with it, unless the child's lock shows that somebody uses it."""
    store = SqliteStore(url)
    store.enqueue([job()])
    (ready, say_ready), (gone, say_gone) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            store.enqueue([job()])
            os.write(say_ready, b"!")
            os.read(gone, 1)
            store.enqueue([job()])
            os._exit(0)
        finally:
            os._exit(1)
    os.read(ready, 1)
    store.close()
    os.write(say_gone, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert SqliteStore(url).queues()[0].counts == {"queued": 3}


def test_a_fork_waits_for_a_transaction_in_another_thread(url: str) -> None:
    store = SqliteStore(url)
    inside, go_on = threading.Event(), threading.Event()

    def step(db: sqlite3.Connection, now: int) -> None:
        inside.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: store._write(step))
    thread.start()
    inside.wait(30)
    threading.Timer(0.2, go_on.set).start()
    assert in_child(lambda: store.enqueue([job()])) == 0
    thread.join()
    store.enqueue([job()])
    assert store.queues()[0].counts == {"queued": 2}


def test_a_child_forked_within_a_transaction_is_refused_and_harms_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_PATIENCE", 0.05)
    store = SqliteStore(url)
    codes: list[int] = []

    def child() -> None:
        for use in (lambda: store.enqueue([job()]), lambda: SqliteStore(url)):
            with pytest.raises(StoreUnavailable, match=r"forked while another thread was at work.*E101"):
                use()

    def step(db: sqlite3.Connection, now: int) -> None:
        thread = threading.Thread(target=lambda: codes.append(in_child(child)))
        thread.start()
        thread.join()
        db.execute("INSERT INTO packhorse_namespaces (name) VALUES ('kept')")

    store._write(step)
    assert codes == [0]
    store.enqueue([job()])
    with closing(sqlite3.connect(store._path)) as db:
        assert db.execute("SELECT count(*) FROM packhorse_namespaces WHERE name = 'kept'").fetchone() == (1,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_hints_still_come_after_a_fork(url: str) -> None:
    store, other = SqliteStore(url), SqliteStore(url)
    store.wait(0.0)
    assert in_child(lambda: None) == 0
    other.close()
    store.wait(0.0)
    store.changed()
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(store.wait(30.0)))
    thread.start()
    SqliteStore(url).enqueue([job()])
    thread.join(10)
    assert got == [True]


def test_a_call_within_a_call_is_refused_and_the_first_goes_on(url: str) -> None:
    """As a signal handler that enqueues may do it."""
    store = SqliteStore(url)

    def step(db: sqlite3.Connection, now: int) -> None:
        with pytest.raises(StoreUnavailable, match="signal handler"):
            store.enqueue([job()])
        db.execute("INSERT INTO packhorse_namespaces (name) VALUES ('kept')")

    store._write(step)
    assert store._live().execute("SELECT count(*) FROM packhorse_namespaces WHERE name = 'kept'").fetchone() == (1,)
