"""Each rule of ``within``, for every kind of handle, on the databases themselves."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from packhorse import App, Queue
from packhorse.errors import BadState, IdConflict, JobNotFound, PackhorseError, WrongDatabase, WrongHandle
from tests.within import kinds, tasks
from tests.within.conftest import Begin, another_database, database, rows
from tests.within.kinds import Open, place_of


def test_a_job_appears_with_the_commit(begin: Begin, queue: Queue, url: str) -> None:
    own = begin()
    own.write("mine")
    job = own.enqueue(queue, tasks.add, 1, 2)
    assert "not committed yet" in repr(job)
    assert rows(url) == []
    for ask in (job.refresh, lambda: job.result(0.1), job.cancel):
        with pytest.raises(BadState, match="not committed yet: the transaction it was enqueued in is still open"):
            ask()
    assert "not committed yet" in job.why()
    own.commit()
    assert rows(url) == ["mine"]
    assert job.refresh().state == "queued"
    assert "not committed" not in repr(job)
    assert (job.args, job.task, job.queue) == ((1, 2), "tests.within.tasks:add", queue.name)
    assert job.by["file"] == kinds.__file__
    assert queue.counts()["queued"] == 1


def test_a_job_disappears_with_the_rollback(begin: Begin, queue: Queue, url: str) -> None:
    own = begin()
    own.write("mine")
    job = own.enqueue(queue, tasks.add, 1, 2)
    own.rollback()
    with pytest.raises(JobNotFound):
        job.refresh()
    assert rows(url) == []
    assert queue.counts()["queued"] == 0


def test_a_transaction_that_had_not_begun_begins_with_the_job(begin: Begin, queue: Queue) -> None:
    own = begin()
    job = own.enqueue(queue, tasks.add, 1, 2)
    with pytest.raises(BadState):
        job.refresh()
    own.commit()
    assert job.refresh().state == "queued"


def test_many_jobs_are_one_with_the_transaction(begin: Begin, queue: Queue) -> None:
    drafts = [queue.using(priority=n % 3, tags=f"t{n}").draft(tasks.add, n, n) for n in range(83)]
    own = begin()
    gone = own.enqueue_many(queue, drafts)
    own.rollback()
    again = begin()
    jobs = again.enqueue_many(queue, drafts)
    again.commit()
    assert [job.refresh().tags for job in jobs] == [(f"t{n}",) for n in range(83)]
    assert queue.counts()["queued"] == 83
    with pytest.raises(JobNotFound):
        gone[0].refresh()


def test_options_are_kept(begin: Begin, queue: Queue) -> None:
    own = begin()
    options = queue.using(delay="1h", priority=7, tags=["a", "b"], meta={"k": [1]}, retry=3, on_crash="fail")
    inside = own.enqueue(options, tasks.add, 1, 2)
    own.commit()
    plain = options.enqueue(tasks.add, 1, 2)
    one, two = inside.refresh()._record, plain.refresh()._record
    assert one is not None
    assert two is not None
    differ = {name for name in one._fields if getattr(one, name) != getattr(two, name)}
    assert differ <= {"id", "seq", "rank", "created_at", "scheduled_at", "due_at", "by"}


def test_a_known_id_is_stored_once_and_a_conflict_leaves_the_transaction_usable(begin: Begin, queue: Queue) -> None:
    known = queue.enqueue(tasks.add, 1, 2)
    own = begin()
    own.write("mine")
    assert own.enqueue(queue.using(id=known.id), tasks.add, 1, 2).existing
    with pytest.raises(IdConflict):
        own.enqueue(queue.using(id=known.id), tasks.add, 1, 3)
    new = own.enqueue(queue, tasks.add, 5, 5)
    own.commit()
    assert new.refresh().state == "queued"
    assert rows(own.url) == ["mine"]
    assert queue.counts()["queued"] == 2


def test_the_same_id_twice_in_one_transaction(begin: Begin, queue: Queue) -> None:
    own, fixed = begin(), queue.using(id=str(uuid.uuid4()))
    assert not own.enqueue(fixed, tasks.add, 1, 2).existing
    assert own.enqueue(fixed, tasks.add, 1, 2).existing
    own.commit()
    assert queue.counts()["queued"] == 1


def test_another_database_is_refused(begin: Begin, queue: Queue, kind: type[Open], tmp_path: Path) -> None:
    other = begin(another_database(kind.dialect, tmp_path / "other"))
    other.write("mine")
    with pytest.raises(WrongDatabase, match="outbox=True") as caught:
        other.enqueue(queue, tasks.add, 1, 2)
    assert caught.value.code == "E127"
    other.commit()
    assert rows(other.url) == ["mine"]


def test_a_database_of_another_kind_is_refused(begin: Begin, kind: type[Open], tmp_path: Path) -> None:
    own = begin()
    elsewhere = "memory://x" if kind.dialect == "sqlite" else database("sqlite", tmp_path)
    with pytest.raises(WrongDatabase, match="One transaction cannot hold both"):
        own.enqueue(Queue("q", store=elsewhere), tasks.add, 1, 2)


async def _await(coroutine: object) -> None:
    await coroutine  # type: ignore[misc]


def test_a_call_of_the_other_colour_is_refused(begin: Begin, queue: Queue) -> None:
    import asyncio

    own = begin()
    if own.is_async:
        with pytest.raises(WrongHandle, match=r"is an async handle.*aenqueue|is an async handle") as caught:
            queue.within(own.handle).enqueue(tasks.add, 1, 2)
    else:
        with pytest.raises(WrongHandle, match="is a sync handle") as caught:
            asyncio.run(_await(queue.within(own.handle).aenqueue(tasks.add, 1, 2)))
    assert caught.value.code == "E125"


def test_the_outbox_takes_every_handle(begin: Begin, queue: Queue, url: str, kind: type[Open], tmp_path: Path) -> None:
    from importlib.resources import files
    from threading import Event

    from packhorse._relay import Relay, open_side
    from packhorse._stores import open_store

    ddl = files("packhorse").joinpath("_outbox", f"{kind.dialect}.sql").read_text()
    if kind.dialect == "sqlite":
        import sqlite3

        with sqlite3.connect(place_of(url)) as db:
            db.executescript(ddl)
        db.close()
    else:
        import psycopg

        with psycopg.connect(place_of(url), autocommit=True) as pg:
            pg.execute(ddl)
    outbox = url if kind.dialect == "sqlite" else place_of(url)
    (tmp_path / "elsewhere").mkdir()
    target = f"sqlite:///{tmp_path}/elsewhere/jobs.db"
    far = Queue("mail", store=target)
    open_store(target).close()
    lost = begin()
    lost.enqueue(far, tasks.add, 1, 2, outbox=True)
    lost.rollback()
    own = begin()
    own.write("mine")
    job = own.enqueue(far, tasks.add, 1, 2, outbox=True)
    drafts = [far.draft(tasks.add, n, n) for n in range(120)]
    own.enqueue_many(far, drafts, outbox=True)
    with pytest.raises(BadState, match="written into the outbox"):
        job.refresh()
    own.commit()
    relay = Relay(lambda: open_side(outbox), lambda: open_store(target), "app")
    assert relay.run(Event(), once=True) == 121
    assert job.refresh().args == (1, 2)
    assert far.counts()["queued"] == 121


def test_after_commit_is_for_libraries_that_call_back(begin: Begin, queue: Queue, kind: type[Open]) -> None:
    own = begin()
    if not kind.calls_back:
        with pytest.raises(WrongHandle, match="calls back after a commit"):
            own.enqueue(queue, tasks.add, 1, 2, after_commit=True)
        return
    lost = own.enqueue(queue, tasks.add, 1, 2, after_commit=True)
    own.rollback()
    with pytest.raises(JobNotFound):
        lost.refresh()
    again = begin()
    again.write("mine")
    job = again.enqueue(queue, tasks.add, 3, 4, after_commit=True)
    with pytest.raises(BadState, match="not committed yet"):
        job.refresh()
    again.commit()
    assert job.refresh().args == (3, 4)
    assert queue.counts()["queued"] == 1


def test_after_commit_and_outbox_together_are_refused(begin: Begin, queue: Queue) -> None:
    with pytest.raises(PackhorseError, match="not both"):
        queue.within(begin().handle, outbox=True, after_commit=True)


class Tagging:
    """Middleware around an enqueue."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def around_enqueue(self, draft: object) -> object:
        from contextlib import contextmanager

        @contextmanager
        def around():  # type: ignore[no-untyped-def]
            self.seen.append("before")
            draft.add(tags="from-middleware")  # type: ignore[attr-defined]
            yield
            self.seen.append("behind")

        return around()


def test_middleware_is_honoured(begin: Begin, url: str) -> None:
    tagging = Tagging()
    own, queue = begin(), Queue("mail", app=App(store=url, middleware=[tagging]))
    job = own.enqueue(queue, tasks.add, 1, 2)
    own.enqueue_many(queue, [queue.draft(tasks.add, 3, 4)])
    own.commit()
    assert job.refresh().tags == ("from-middleware",)
    assert tagging.seen == ["before", "behind"] * 2
