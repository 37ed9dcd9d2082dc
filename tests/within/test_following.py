"""The testing kit follows every kind of transaction: what was enqueued in one counts from its commit on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packhorse import Queue, current_job
from packhorse.errors import BadState, JobFailed, JobNotFound, WrongHandle
from packhorse.testing import Kit, memory
from tests.within import tasks
from tests.within.kinds import Open

mail = Queue("mail")


@pytest.fixture
def kit() -> Iterator[Kit]:
    with memory() as found:
        yield found


def test_a_job_appears_with_the_commit(kit: Kit, kind: type[Open], url: str) -> None:
    own = kind(url)
    own.write("mine")
    job = own.enqueue(mail, tasks.add, 1, 2)
    assert kit.jobs == []
    assert kit.run() == []
    with pytest.raises(BadState, match="not committed yet"):
        job.refresh()
    own.commit()
    own.close()
    assert kit.assert_enqueued(tasks.add, 1, 2).id == job.id
    assert [each.result() for each in kit.run()] == [3]
    assert job.result() == 3


def test_a_job_disappears_with_the_rollback(kit: Kit, kind: type[Open], url: str) -> None:
    own = kind(url)
    own.write("mine")
    job = own.enqueue(mail, tasks.add, 1, 2)
    own.rollback()
    assert kit.jobs == []
    with pytest.raises(JobNotFound):
        job.refresh()
    own.close()
    assert kit.jobs == []


def test_a_transaction_that_is_given_up_is_rolled_back(kit: Kit, kind: type[Open], url: str) -> None:
    if "Django" in kind.__name__:
        pytest.skip("leaving atomic() commits")
    own = kind(url)
    own.write("mine")
    own.enqueue(mail, tasks.add, 1, 2)
    own.close()
    assert kit.run() == []


def test_transactions_follow_one_another(kit: Kit, kind: type[Open], url: str) -> None:
    if kind.__name__.startswith(("Django", "Zope")):
        pytest.skip("each begins in a way of its own")
    own = kind(url)
    jobs = []
    for n, end in enumerate((own.commit, own.rollback, own.commit)):
        jobs.append(own.enqueue(mail, tasks.add, n, n))
        end()
    assert [job.id for job in kit.run()] == [jobs[0].id, jobs[2].id]
    own.close()


def test_eager_jobs_run_once_they_are_committed(kind: type[Open], url: str) -> None:
    with memory(eager=True) as kit:
        own = kind(url)
        job = own.enqueue(mail, tasks.add, 1, 2)
        own.commit()
        assert job.refresh().state == "succeeded"
        assert job.result() == 3
        own.close()
        assert kit.run() == []


def test_the_same_handles_are_refused_as_ever(kit: Kit, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        with pytest.raises(WrongHandle, match="autocommit"):
            mail.within(db).enqueue(tasks.add, 1, 2)
        with pytest.raises(WrongHandle):
            mail.within(object())


def test_a_savepoint_that_is_rolled_back_takes_its_jobs_along(kit: Kit, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as db:
        db.execute("BEGIN")
        mail.within(db).enqueue(tasks.add, 1, 2)
        db.execute("SAVEPOINT inner")
        mail.within(db).enqueue(tasks.add, 3, 4)
        db.execute("ROLLBACK TO inner")
        db.execute("COMMIT")
        assert [job.args for job in kit.run()] == [(1, 2)]


# -- complete_in ----------------------------------------------------------------------------------------------------------
_place: list[str] = []


def completes(commit: bool) -> str:
    with closing(sqlite3.connect(_place[0])) as db:
        db.execute("CREATE TABLE IF NOT EXISTS done (x)")
        db.execute("INSERT INTO done VALUES (1)")
        current_job().complete_in(db, "in the transaction")
        if commit:
            db.commit()
    return "returned"


def test_a_job_may_end_in_a_transaction(kit: Kit, tmp_path: Path) -> None:
    _place[:] = [str(tmp_path / "x.db")]
    job = mail.enqueue(completes, True)
    kit.run()
    assert job.result() == "in the transaction"


def test_without_the_commit_it_has_failed(kit: Kit, tmp_path: Path) -> None:
    _place[:] = [str(tmp_path / "x.db")]
    job = mail.using(retry=0).enqueue(completes, False)
    with pytest.raises(JobFailed, match="the transaction was not committed"):
        kit.run()
    assert job.refresh().state == "failed"


def test_outside_a_job_it_does_nothing() -> None:
    current_job().complete_in(object(), "x")
