"""Jobs that end themselves in a transaction of their own, under real workers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.site import Site, eventually

pytestmark = pytest.mark.slow

APP = """
import os, signal, sqlite3, time
from contextlib import closing, contextmanager
from packhorse import App, Cancel, Retry, current_job

def note(*words):
    with open(os.path.join(os.environ["SITE"], "notes"), "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")

class Middleware:
    def after_job(self, job, outcome): note(job.id, outcome.kind, outcome.by)

app = App(tasks=["ending"], middleware=[Middleware()])

@contextmanager
def connect():
    with closing(sqlite3.connect(os.path.join(os.environ["SITE"], "jobs.db"))) as db:
        db.execute("INSERT INTO done VALUES (?)", (current_job().id,))
        yield db

def commits(value):
    with connect() as db:
        current_job().complete_in(db, {"value": value})
        db.commit()
    return "this does not count"

def rolls_back():
    with connect() as db:
        current_job().complete_in(db)
        db.rollback()

def forgets():
    with connect() as db:
        current_job().complete_in(db)

def second_time():
    with connect() as db:
        current_job().complete_in(db)
        db.commit() if current_job().attempt == 2 else db.rollback()

def commits_then_raises():
    commits(1)
    raise ValueError("too late")

def commits_then_dies():
    commits(1)
    os.kill(os.getpid(), signal.SIGKILL)

def dies_before_commit():
    with connect() as db:
        current_job().complete_in(db)
        if current_job().attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        db.commit()

def bad_result():
    with connect() as db:
        current_job().complete_in(db, object())

def was_cancelled():
    job = current_job()
    note("runs")
    while not os.path.exists(os.path.join(os.environ["SITE"], "go")):
        time.sleep(0.005)
    with connect() as db:
        try:
            job.complete_in(db)
        except Exception as error:
            note(type(error).__name__)
            raise
"""


@pytest.fixture
def ending(site: Site) -> Iterator[Site]:
    site.module("ending", APP)
    with sqlite3.connect(site.mark("jobs.db")) as db:
        db.execute("CREATE TABLE done (job TEXT)")
    site.worker(app="ending:app").ready()
    return site


def done(site: Site) -> list[str]:
    with sqlite3.connect(site.mark("jobs.db")) as db:
        return [row[0] for row in db.execute("SELECT job FROM done")]


def notes(site: Site) -> list[list[str]]:
    path = site.mark("notes")
    return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


def test_a_job_ends_with_its_transaction(ending: Site) -> None:
    job = ending.queue.enqueue("ending:commits", 7)
    record = ending.end(job)
    assert (record.state, record.result) == ("succeeded", '{"value":7}')
    assert record.started_at is not None
    assert record.finished_at is not None
    assert done(ending) == [job.id]
    assert eventually(lambda: notes(ending), "after_job") == [[job.id, "succeeded", "job"]]
    assert ending.attempts(job)[0].outcome == "succeeded"


def test_without_the_commit_the_run_has_failed(ending: Site) -> None:
    for task in ("ending:rolls_back", "ending:forgets"):
        job = ending.queue.enqueue(task)
        record = ending.end(job)
        assert (record.state, record.reason) == ("failed", "the transaction was not committed")
        assert done(ending) == []
        eventually(lambda: [job.id, "failed", "job"] in notes(ending), "after_job")  # noqa: B023


def test_a_retry_may_commit(ending: Site) -> None:
    job = ending.queue.using(retry=2).enqueue("ending:second_time")
    record = ending.end(job)
    assert (record.state, record.failures) == ("succeeded", 1)
    assert [each.outcome for each in ending.attempts(job)] == ["retry", "succeeded"]
    assert done(ending) == [job.id]


@pytest.mark.parametrize("task", ["ending:commits_then_raises", "ending:commits_then_dies"])
def test_what_happens_after_the_commit_changes_nothing(ending: Site, task: str) -> None:
    job = ending.queue.enqueue(task, *([] if "raises" in task or "dies" in task else [1]))
    record = ending.end(job)
    assert record.state == "succeeded"
    # Another job goes through the same worker: whatever came of the late verdict has been settled by then.
    assert ending.end(ending.queue.enqueue("ending:commits", 1)).state == "succeeded"
    assert [each.outcome for each in ending.attempts(job)] == ["succeeded"]
    assert done(ending).count(job.id) == 1


def test_a_job_killed_before_its_commit_runs_again(ending: Site) -> None:
    job = ending.queue.enqueue("ending:dies_before_commit")
    record = ending.end(job)
    assert (record.state, record.crashes) == ("succeeded", 1)
    assert done(ending) == [job.id]


def test_a_result_that_cannot_be_stored_is_refused_in_the_job(ending: Site) -> None:
    record = ending.end(ending.queue.enqueue("ending:bad_result"))
    assert record.state == "failed"
    assert "NotSerialisable" in (record.error or "")
    assert done(ending) == []


def test_a_cancelled_job_is_not_completed(ending: Site) -> None:
    job = ending.queue.enqueue("ending:was_cancelled")
    eventually(lambda: ["runs"] in notes(ending), "the job runs")
    with sqlite3.connect(ending.mark("jobs.db"), isolation_level=None) as db:
        # As a cancel does whose order has not reached the worker yet.
        seq = db.execute("SELECT seq FROM packhorse_jobs WHERE id = ?", (job.id,)).fetchone()[0]
        db.execute(
            "INSERT INTO packhorse_details (seq, ns, cancel_at, cancel_reason) SELECT seq, ns, 1, 'no more' FROM packhorse_jobs"
            " WHERE seq = ? ON CONFLICT (seq) DO UPDATE SET cancel_at = 1, cancel_reason = 'no more'",
            (seq,),
        )
        db.execute("UPDATE packhorse_jobs SET odd = 2 WHERE seq = ?", (seq,))
    Path(ending.mark("go")).touch()
    record = ending.end(job)
    assert (record.state, record.reason) == ("cancelled", "no more")
    assert ["BadState"] in notes(ending)
    assert done(ending) == []
