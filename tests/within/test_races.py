"""The races of a transaction with a worker, on PostgreSQL and SQLite: real connections, real processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from packhorse import Job, Queue
from packhorse._record import FINAL, JobRecord
from packhorse._store import Store
from packhorse._stores import open_store
from packhorse.errors import BadState, JobNotFound
from tests.servers.postgres import database_of
from tests.within.conftest import database
from tests.worker.site import Site, eventually

pytestmark = pytest.mark.slow

APP = """
import os, signal, sys, time
from contextlib import closing, contextmanager
from packhorse import App, current_job

app = App(tasks=["racing"])

@contextmanager
def connect():
    url = os.environ["DATABASE"]
    if url.startswith("postgres"):
        import psycopg
        with closing(psycopg.connect(url)) as db:
            yield db
    else:
        import sqlite3
        with closing(sqlite3.connect(url)) as db:
            yield db

def wait_for(name):
    while not os.path.exists(os.path.join(os.environ["SITE"], name)):
        time.sleep(0.005)

def mark(name):
    open(os.path.join(os.environ["SITE"], name), "w").close()

def work(n):
    return n

def write(db):
    db.cursor().execute(f"INSERT INTO own VALUES ('{current_job().id}')")

def ends(how, wait=""):
    with connect() as db:
        write(db)
        current_job().complete_in(db, how)
        if wait:
            mark("ready")
            wait_for(wait)
        if how == "commit":
            db.commit()
        elif how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "commit and die":
            db.commit()
            os.kill(os.getpid(), signal.SIGKILL)

async def aends(how):
    import psycopg
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE"]) as db:
        await db.execute("INSERT INTO own VALUES (%s)", (current_job().id,))
        await current_job().acomplete_in(db, how)
        if how == "roll back":
            await db.rollback()
"""


class Race:
    """A database that is the application's and the job store, with workers on it."""

    def __init__(self, site: Site, url: str) -> None:
        self.site = site
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self.place = url.removeprefix("sqlite:///") if self.sqlite else database_of(url)
        self.queue = Queue("work", store=url)
        self.store: Store = open_store(url)
        self.store.migrate()
        site.module("racing", APP)

    def worker(self, *more: str) -> Any:
        return self.site.worker("--store", self.url, *more, app="racing:app", DATABASE=self.place).ready()

    def connect(self) -> Any:
        return sqlite3.connect(self.place, timeout=10) if self.sqlite else psycopg.connect(self.place)

    def own(self) -> list[str]:
        with closing(self.connect()) as db:
            return [row[0] for row in db.execute("SELECT text FROM own").fetchall()]

    def job(self, job: Job[Any] | str) -> JobRecord:
        (record,) = self.store.get([job if isinstance(job, str) else job.id])
        return record

    def end(self, job: Job[Any]) -> JobRecord:
        return eventually(lambda: (found := self.job(job)).state in FINAL and found, f"the end of {job!r}")  # type: ignore[return-value]


@pytest.fixture(params=["sqlite", "postgresql"])
def race(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Iterator[Race]:
    found = Race(site, database(request.param, tmp_path))
    yield found
    found.store.close()


# -- enqueue ------------------------------------------------------------------------------------------------------------
def test_a_worker_runs_what_is_committed_and_nothing_else(race: Race) -> None:
    race.worker("--processes", "2")
    committed, rolled_back = [], []
    with closing(race.connect()) as db:
        for n in range(60):
            job = race.queue.within(db).enqueue("racing:work", n)
            if n % 3:
                db.commit()
                committed.append(job)
            else:
                db.rollback()
                rolled_back.append(job)
    for job in committed:
        assert race.end(job).state == "succeeded"
        assert race.store.attempts(job.id)[0].outcome == "succeeded"
    for job in rolled_back:
        with pytest.raises(JobNotFound):
            job.refresh()


def test_a_worker_is_not_held_up_by_an_open_transaction(race: Race) -> None:
    """On PostgreSQL not at all; on SQLite until it ends, and then it goes on by itself."""
    race.worker()
    with closing(race.connect()) as db:
        mine = race.queue.within(db).enqueue("racing:work", 1)
        if not race.sqlite:
            assert race.end(race.queue.enqueue("racing:work", 2)).state == "succeeded"
        db.commit()
        started = time.monotonic()
        assert race.end(mine).state == "succeeded"
        assert time.monotonic() - started < 10


def test_a_connection_lost_before_the_commit_stores_nothing(race: Race) -> None:
    with closing(race.connect()) as db:
        job = race.queue.within(db).enqueue("racing:work", 1)
    eventually(lambda: _is_gone(job), "the rollback")
    assert race.queue.counts()["queued"] == 0


KILLED = """
import os, signal, sqlite3, sys
import psycopg
from packhorse import Queue

url, place = sys.argv[1:]
db = psycopg.connect(place) if url.startswith("postgres") else sqlite3.connect(place)
print(Queue("work", store=url).within(db).enqueue("racing:work", 1).id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_before_its_commit_stores_nothing(race: Race) -> None:
    words = [sys.executable, "-c", KILLED, race.url, race.place]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip(), done.stderr
    eventually(lambda: race.queue.counts()["queued"] == 0, "the rollback")
    assert race.store.get([done.stdout.strip()]) == []


def _is_gone(job: Job[Any]) -> bool:
    try:
        job.refresh()
    except JobNotFound:
        return True
    except BadState:
        return False  # the server has not noticed yet
    raise AssertionError("it is stored")


# -- complete_in ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "how, state, written",
    [("commit", "succeeded", True), ("forget", "failed", False), ("commit and die", "succeeded", True)],
)
def test_the_job_and_the_row_are_one(race: Race, how: str, state: str, written: bool) -> None:
    race.worker()
    job = race.queue.using(on_crash="fail").enqueue("racing:ends", how)
    record = race.end(job)
    assert record.state == state
    assert race.own() == ([job.id] if written else [])
    if how == "forget":
        assert record.reason == "the transaction was not committed"
    assert [row.outcome for row in race.store.attempts(job.id)] == [state]


def test_a_child_killed_before_its_commit_has_written_nothing(race: Race) -> None:
    race.worker()
    job = race.queue.using(on_crash="fail").enqueue("racing:ends", "die")
    assert (race.end(job).state, race.own()) == ("failed", [])


def test_a_supervisor_killed_between_commit_and_settle_changes_nothing(race: Race) -> None:
    """The commit is what counts: the rescue finds nothing to do."""
    first = race.worker()
    job = race.queue.enqueue("racing:ends", "commit", "go")
    eventually(lambda: race.site.mark("ready").exists(), "the job is about to commit")
    if race.sqlite:
        first.kill()  # its child dies with it, and with the child its transaction
        race.worker()
        race.site.let("go")
        record = race.end(job)
        assert (record.state, record.crashes + record.losses) == ("succeeded", 1)
    else:
        race.site.let("go")
        eventually(lambda: race.job(job).state == "succeeded", "the commit")
        first.kill()
        race.worker()
        after = race.queue.enqueue("racing:work", 1)
        race.end(after)
        assert race.job(job).state == "succeeded"
    assert race.own() == [job.id]


def test_a_retry_waits_for_the_transaction_that_still_holds_the_job(race: Race) -> None:
    """A row that is locked by a transaction of the user's is settled once that is over; the others at once."""
    race.worker("--processes", "2")
    job = race.queue.enqueue("racing:ends", "commit", "go")
    eventually(lambda: race.site.mark("ready").exists(), "the job holds its row")
    if not race.sqlite:
        for n in range(5):
            assert race.end(race.queue.enqueue("racing:work", n)).state == "succeeded"
        assert race.job(job).state == "running"
    race.site.let("go")
    assert race.end(job).state == "succeeded"


def test_cancelling_a_job_that_is_about_to_commit(race: Race) -> None:
    """One of the two wins, and both sides agree."""
    race.worker()
    job = race.queue.enqueue("racing:ends", "commit", "go")
    eventually(lambda: race.site.mark("ready").exists(), "the job is about to commit")
    race.site.let("go")
    asked = job.cancel()
    record = race.end(job)
    assert (record.state == "succeeded") is (race.own() == [job.id])
    assert asked or record.state == "succeeded"


@pytest.mark.parametrize("mode", [("--threads", "2"), ("--coroutines", "4"), ()])
def test_an_async_job_ends_in_a_transaction_that_is_awaited(site: Site, tmp_path: Path, mode: tuple[str, ...]) -> None:
    race = Race(site, database("postgresql", tmp_path))
    race.worker(*mode)
    jobs = [race.queue.enqueue("racing:aends", "commit") for _ in range(5)]
    lost = race.queue.enqueue("racing:aends", "roll back")
    assert [race.end(job).result for job in jobs] == ['"commit"'] * 5
    assert (race.end(lost).state, race.end(lost).reason) == ("failed", "the transaction was not committed")
    assert sorted(race.own()) == sorted(job.id for job in jobs)
    race.store.close()


@pytest.mark.parametrize("race", ["postgresql"], indirect=True)
def test_locked_rows_are_settled_later(race: Race) -> None:
    """Somebody holds the row of a job that has ended; the worker keeps the outcome and tries again."""
    race.worker()
    job = race.queue.enqueue("racing:ends", "forget", "go")
    eventually(lambda: race.site.mark("ready").exists(), "the job runs")
    with psycopg.connect(race.place) as db:
        schema = race.url.partition("schema=")[2].partition("&")[0]
        # Waits until the job's own transaction is over, and holds the row from then on.
        race.site.let("go")
        db.execute(f"SELECT 1 FROM {schema}.jobs WHERE id = %s FOR UPDATE", (job.id,))
        for n in range(3):
            assert race.end(race.queue.enqueue("racing:work", n)).state == "succeeded"
        held = race.job(job).state
        db.rollback()
    assert held in ("running", "failed")
    assert race.end(job).reason == "the transaction was not committed"
