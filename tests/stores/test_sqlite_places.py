"""Which files the SQLite store takes, and what it says of those it does not."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from packhorse._record import NewJob, WorkerRecord
from packhorse._store import JobFilter
from packhorse._stores import open_store
from packhorse._stores.sqlite import migrate, network
from packhorse.errors import BadSchema, BadStore, ConfigError, StoreFull, StoreUnavailable


def url_of(path: Path, query: str = "") -> str:
    return f"sqlite:///{path}{query}"


def job() -> NewJob:
    return NewJob(str(uuid.uuid4()), "m:f", "q", "[[],{}]")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def test_a_relative_url_means_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///jobs.db").close()
    assert (tmp_path / "jobs.db").exists()


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    store = open_store(url_of(path))
    store.enqueue([job()])
    modes = {stat.S_IMODE(os.stat(file).st_mode) for file in path.parent.glob("jobs.db*")}
    assert modes == {0o600}


def test_what_does_not_exist_is_not_created_unless_asked(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"no job store at .*jobs\.db.*E101"):
        open_store(url_of(path), create=False)
    assert list(path.parent.iterdir()) == []


def test_a_missing_directory(path: Path) -> None:
    with pytest.raises(BadStore, match=r"directory .*nowhere does not exist.*mkdir -p .*E104"):
        open_store(url_of(path.parent / "nowhere" / "jobs.db"))


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match=r"is a directory.*must name a file.*E104"):
        open_store(url_of(tmp_path))


def test_another_kind_of_file(path: Path) -> None:
    path.write_text("dear diary, " * 500)
    with pytest.raises(BadStore, match=r"jobs\.db is not a SQLite database.*Nothing was changed.*E104"):
        open_store(url_of(path))
    assert path.read_text().startswith("dear diary")


@pytest.mark.parametrize("refused", ["jobs.db", ""], ids=["file", "directory"])
def test_what_may_not_be_written(path: Path, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(url_of(path)).close()
    target = str(path.parent / refused).rstrip("/")
    real = os.access
    # root may write anywhere, so the refusal is played
    monkeypatch.setattr(os, "access", lambda name, mode: name != target and real(name, mode))
    with pytest.raises(BadStore) as caught:
        open_store(url_of(path))
    text = str(caught.value)
    assert f"{target} is not writable by uid {os.geteuid()}" in text
    assert "belongs to uid" in text
    assert f"mode {stat.S_IMODE(os.stat(target).st_mode):04o}" in text


def test_a_newer_schema(path: Path) -> None:
    open_store(url_of(path)).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE packhorse_meta SET value = 9999 WHERE key = 'schema'")
    with pytest.raises(BadSchema, match=r"schema 9999.*understands up to \d+.*E102"):
        open_store(url_of(path))


def test_a_schema_that_vanished(path: Path) -> None:
    store = open_store(url_of(path))
    with sqlite3.connect(path) as db:
        db.execute("DROP VIEW packhorse_records")
        db.execute("DROP TABLE packhorse_jobs")
    with pytest.raises(BadSchema, match=r"lacks a part of its schema.*E102"):
        store.enqueue([job()])


def test_the_application_may_have_tables_of_its_own(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY)")
        db.execute("PRAGMA user_version = 41")
    store = open_store(url_of(path))
    store.enqueue([job()])
    with sqlite3.connect(path) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert db.execute("PRAGMA user_version").fetchone() == (41,)
    assert {name for name in tables if not name.startswith(("packhorse_", "sqlite_"))} == {"jobs"}


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = os.stat(path.parent).st_dev
    mounts = path.parent / "mountinfo"
    mounts.write_text(
        "21 1 0:5 / /proc rw - proc proc rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /data rw,noatime master:1 - {kind} host:/data rw\n"
    )
    monkeypatch.setattr(network, "_MOUNTS", str(mounts))
    with pytest.raises(BadStore, match=rf"network file system \({kind}\).*\?network=allow.*E104"):
        open_store(url_of(path))
    assert not path.exists()
    open_store(url_of(path, "?network=allow")).enqueue([job()])


def test_a_local_file_system_is_told_from_a_network_one(tmp_path: Path) -> None:
    assert network.network_file_system(str(tmp_path)) is None


@pytest.mark.parametrize(
    "url, said",
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///a.db?mode=ro", "unknown option 'mode'; known are: namespace, network, synchronous"),
        ("sqlite:///a.db?synchronous=off", "synchronous is one of: full, normal"),
        ("mysql://root:secret@db/jobs", "unknown scheme 'mysql'; known are: memory, "),
    ],
)
def test_urls_that_mean_nothing(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("query, level", [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1)])
def test_durability_is_as_the_url_says(path: Path, query: str, level: int) -> None:
    store = open_store(url_of(path, query))
    assert store._db.execute("PRAGMA synchronous").fetchone() == (level,)  # type: ignore[attr-defined]
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)  # type: ignore[attr-defined]


# -- while it is open ---------------------------------------------------------------------------------------------
def test_a_deleted_file_is_noticed_before_a_job_is_lost_in_it(path: Path) -> None:
    store = open_store(url_of(path))
    store.enqueue([job()])
    path.unlink()
    with pytest.raises(StoreUnavailable, match=r"deleted or moved while it was open; nothing was stored.*E101"):
        store.enqueue([job()])
    with pytest.raises(StoreUnavailable):
        store.enqueue([job()])
    assert not path.exists()


def test_a_replaced_file_is_noticed(path: Path) -> None:
    store = open_store(url_of(path))
    other = path.with_name("other.db")
    open_store(url_of(other)).close()
    other.rename(path)
    for _ in range(2):  # it is not taken for the same store later either
        with pytest.raises(BadStore, match=r"replaced by another file while it was open.*E104"):
            store.enqueue([job()])


def test_a_file_that_is_put_back_is_used_again(path: Path) -> None:
    store = open_store(url_of(path))
    store.enqueue([job()])
    for file in list(path.parent.glob("jobs.db*")):
        file.rename(file.with_name("away-" + file.name))
    with pytest.raises(StoreUnavailable, match="deleted or moved"):
        store.enqueue([job()])
    for file in list(path.parent.glob("away-*")):
        file.rename(file.with_name(file.name.removeprefix("away-")))
    store.enqueue([job()])
    assert store.queues()[0].counts == {"queued": 2}


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_500_000)
    store = open_store(url_of(small_disk / "jobs.db"))
    store.register(WorkerRecord("w", "w", "h", 1, "b"))
    stored = set()
    with pytest.raises(StoreFull, match="E107"):
        for _ in range(2000):
            new = job()._replace(payload='"' + "x" * 3000 + '"')
            store.enqueue([new])
            stored.add(new.id)
    assert len(stored) > 10
    with pytest.raises(StoreFull):
        store.claim(None, 10, 0, "w", 1)
    assert {found.id for found in store.find(JobFilter(), 2000).jobs} == stored
    assert store._checkpoints.run() is False  # type: ignore[attr-defined]
    with pytest.raises(StoreFull):
        open_store(url_of(small_disk / "another.db"))
    ballast.unlink()
    store.enqueue([job()])
    assert len(store.claim(None, 10, 0, "w", 2).jobs) == 10
    assert store._checkpoints.run() is True  # type: ignore[attr-defined]
    assert store._live().execute("PRAGMA integrity_check").fetchone() == ("ok",)  # type: ignore[attr-defined]
    store.close()


def test_a_full_disk(path: Path) -> None:
    store = open_store(url_of(path))
    before = job()
    store.enqueue([before])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]
    with pytest.raises(StoreFull, match=r"disk of the job store .* is full; nothing was stored.*E107"):
        store.enqueue([job()._replace(payload='"' + "x" * 100_000 + '"')])
    assert [found.id for found in store.find(JobFilter()).jobs] == [before.id]
    store._db.execute("PRAGMA max_page_count = 1000000")  # type: ignore[attr-defined]
    store.enqueue([job()])
    assert store.find(JobFilter()).total == 2


@pytest.mark.parametrize("number, kind", [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable)])
def test_a_file_that_cannot_be_made(
    path: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mknod", fail)
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(kind, match=r"jobs\.db .*othing was stored"):
        open_store(url_of(path))
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_never_goes_away(path: Path) -> None:
    store = open_store(url_of(path))
    assert store.patience == 30.0  # type: ignore[attr-defined]
    store.patience = 0.05  # type: ignore[attr-defined]
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"stayed locked by another program; nothing was stored.*E101"):
        store.enqueue([job()])
    assert time.monotonic() - started < 10
    holder.execute("ROLLBACK")
    assert len(store.enqueue([job()])) == 1


def test_who_was_paused_has_not_waited_for_the_lock(path: Path) -> None:
    """A stopped process finds much time gone by when it is woken, and the lock perhaps taken at that moment."""
    store = open_store(url_of(path))
    store.patience = 3.0  # type: ignore[attr-defined]
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    real, jumps = time.monotonic, iter([0.0, 3600.0])
    paused = [0.0]

    def monotonic() -> float:
        paused[0] = next(jumps, paused[0])
        return real() + paused[0]

    with ThreadPoolExecutor() as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", monotonic)
        stored = pool.submit(store.enqueue, [job()])
        while paused[0] == 0.0:
            time.sleep(0.001)
        holder.execute("ROLLBACK")
        assert len(stored.result(10)) == 1


def test_a_file_without_our_tables_is_left_as_it_is_unless_it_may_be_made_a_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (x)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(BadStore, match=r"holds no job store; it was left as it is.*packhorse db migrate.*E104"):
        open_store(url_of(path), create=False)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before
    open_store(url_of(path)).close()
    open_store(url_of(path), create=False).close()


def test_the_url_may_name_the_namespace(path: Path) -> None:
    store = open_store(url_of(path, "?namespace=team"))
    store.enqueue([job()])
    assert store.namespace == "team"
    assert open_store(url_of(path)).find(JobFilter()).total == 0
    assert open_store(url_of(path), namespace="team").find(JobFilter()).total == 1


def test_after_close_nothing_can_be_called(path: Path) -> None:
    store = open_store(url_of(path))
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="has been closed"):
        store.enqueue([job()])


def test_the_identity_is_that_of_the_data(path: Path) -> None:
    first, again = open_store(url_of(path)), open_store(url_of(path), namespace="other")
    assert first.instance == again.instance
    assert open_store(url_of(path.with_name("other.db"))).instance != first.instance
    assert first.lock_dir() == f"{path}-locks"


def test_every_step_of_the_schema_is_listed_in_order() -> None:
    directory = Path(migrate.__file__).parent / "migrations"
    assert tuple(sorted(file.stem for file in directory.glob("*.sql"))) == migrate.STEPS
    assert [int(name[:4]) for name in migrate.STEPS] == list(range(1, len(migrate.STEPS) + 1))
