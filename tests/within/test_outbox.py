"""The outbox and its relay, on SQLite files; ``test_postgres_handles`` has the other database."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from packhorse import App, Queue
from packhorse._outbox import KEPT_FOR, decode, encode
from packhorse._record import Enqueued, NewJob
from packhorse._relay import Relay, open_side, outbox_url
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.errors import BadOption, BadSchema, BadState, ConfigError, IdConflict, StoreUnavailable
from tests.within import tasks
from tests.worker.site import Site, eventually

DAY = 86_400 * 1_000_000


class Two:
    """An application's database with an outbox, and a job store elsewhere."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "app.db"
        self.outbox = f"sqlite:///{self.path}"
        self.url = f"sqlite:///{directory}/jobs.db"
        self.queue = Queue("mail", store=self.url)
        self.db = sqlite3.connect(self.path)
        self.db.executescript(files("packhorse").joinpath("_outbox", "sqlite.sql").read_text())
        open_store(self.url).close()

    def rows(self, what: str = "*") -> list[tuple[object, ...]]:
        return self.db.execute(f"SELECT {what} FROM packhorse_outbox ORDER BY n").fetchall()

    def relay(self, store: Store | None = None) -> Relay:
        return Relay(lambda: open_side(self.outbox), lambda: store or open_store(self.url), "app.db")

    def carry(self) -> int:
        return self.relay().run(threading.Event(), once=True)

    def stored(self) -> list[str]:
        with closing(open_store(self.url)) as store:
            return [job.id for job in reversed(store.find(JobFilter(), 10_000).jobs)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    found = Two(tmp_path)
    yield found
    found.db.close()


# -- writing down -------------------------------------------------------------------------------------------------------
def test_a_job_is_written_down_with_the_callers_rows_and_carried_over(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).using(tags="a", priority=3, meta={"k": 1}).enqueue(tasks.add, 1, b=2)
    with pytest.raises(BadState, match="outbox"):
        job.refresh()
    two.db.commit()
    assert two.carry() == 1
    job.refresh()
    assert (job.args, job.kwargs, job.tags, job.priority, dict(job.meta)) == ((1,), {"b": 2}, ("a",), 3, {"k": 1})
    assert job.by["file"] == __file__
    assert two.rows() == []


def test_nothing_is_written_down_after_a_rollback(two: Two) -> None:
    two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.rollback()
    assert two.carry() == 0
    assert two.stored() == []


def test_many_are_carried_in_their_order(two: Two) -> None:
    drafts = [two.queue.draft(tasks.add, n, 0) for n in range(450)]
    jobs = two.queue.within(two.db, outbox=True).enqueue_many(drafts)
    two.db.commit()
    assert two.carry() == 450
    assert two.stored() == [job.id for job in jobs]


def test_delays_count_from_the_writing_down(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).using(delay="1h", expires="2h").enqueue(tasks.add, 1, 2)
    two.db.execute("UPDATE packhorse_outbox SET made_at = made_at - ?", (40 * 60 * 1_000_000,))
    two.db.commit()
    two.carry()
    job.refresh()
    assert job.scheduled_at is not None
    assert 19 * 60 < (job.scheduled_at - job.created_at).total_seconds() < 20 * 60 + 1
    with closing(open_store(two.url)) as store:
        (record,) = store.get([job.id])
    assert 79 * 60 < ((record.expires_at or 0) - record.created_at) / 1e6 < 80 * 60 + 1


def test_the_same_id_is_written_down_once(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    again = two.queue.within(two.db, outbox=True).using(id=job.id)
    again.enqueue(tasks.add, 1, 2)
    with pytest.raises(IdConflict):
        again.enqueue(tasks.add, 1, 3)
    assert len(two.rows()) == 1


def test_without_the_table_the_error_says_how_to_make_it(two: Two, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as db, pytest.raises(BadSchema, match="db sql --outbox"):
        two.queue.within(db, outbox=True).enqueue(tasks.add, 1, 2)


def test_what_is_written_down_comes_back_as_it_was() -> None:
    job = NewJob("i", "t", "q", "[[],{}]", 5, 2.5, None, 10.0, None, '{"retry":1}', True, '["x"]', '{"m":1}', "{}", "p")
    back = decode(encode(job), 1.0)
    assert back == job._replace(delay=1.5, expires=9.0, options=f'{{"retry":1,"kept_for":{KEPT_FOR}}}')
    assert json.loads(encode(NewJob("i", "t", "q", "[]"))) == {"id": "i", "task": "t", "queue": "q", "payload": "[]"}


# -- carrying -----------------------------------------------------------------------------------------------------------
def test_bad_rows_hold_up_no_others(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    taken = two.queue.enqueue(tasks.add, 9, 9)
    first = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    insert = "INSERT INTO packhorse_outbox (id, namespace, job, made_at) VALUES (?, 'default', ?, 1)"
    two.db.execute(insert, ("bad-1", "not json"))
    two.db.execute(insert, ("bad-2", '{"id": "bad-2", "task": "t", "queue": "q", "payload": "[]", "new": 1}'))
    two.db.execute(insert, (taken.id, json.dumps({"id": taken.id, "task": "t", "queue": "q", "payload": "[]"})))
    last = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 3, 4)
    two.db.commit()
    with caplog.at_level(logging.ERROR):
        two.carry()
        assert two.carry() == 0
    assert two.stored() == [taken.id, first.id, last.id]
    assert [row[0] for row in two.rows("id")] == ["bad-1", "bad-2", taken.id]
    assert all(row[0] for row in two.rows("problem"))
    assert "bad-1" in caplog.text
    assert "unknown fields (new)" in caplog.text
    assert "3 jobs cannot be sent" in caplog.text


def test_a_row_that_was_sent_already_is_only_deleted(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    side = open_side(two.outbox)
    (row,) = side.mark("default", 10)
    with closing(open_store(two.url)) as store:
        store.enqueue([decode(row.job, row.age)])
    # That relay is gone; a minute later another takes its row over.
    two.db.execute("UPDATE packhorse_outbox SET tried_at = tried_at - 61000000")
    two.db.commit()
    assert two.carry() == 1
    assert two.stored() == [job.id]
    assert two.rows() == []
    side.close()


def test_a_row_that_another_relay_has_marked_is_left_to_it_for_a_minute(two: Two) -> None:
    two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    side = open_side(two.outbox)
    assert len(side.mark("default", 10)) == 1
    assert two.carry() == 0
    side.close()


def test_after_six_days_a_row_is_reported_and_not_sent(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.execute("UPDATE packhorse_outbox SET sending_at = made_at - ?, tried_at = made_at - ?", (6 * DAY, 6 * DAY))
    two.db.commit()
    with caplog.at_level(logging.ERROR):
        assert two.carry() == 0
    assert "1 jobs have been under way for over six days" in caplog.text
    assert two.stored() == []
    assert len(two.rows()) == 1


def test_only_the_own_namespace_is_carried(two: Two) -> None:
    Queue(app=App(store=two.url, namespace="other")).within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    assert two.carry() == 0
    assert len(two.rows()) == 1


class Flaky:
    """A store that fails as it is told before it answers."""

    def __init__(self, store: Store, *errors: Exception | None) -> None:
        self._store = store
        self._errors = list(errors)
        self.namespace = store.namespace

    def enqueue(self, jobs: list[NewJob]) -> list[Enqueued]:
        answer = self._store.enqueue(jobs) if self._errors and self._errors[0] is LOST else None
        if self._errors and (error := self._errors.pop(0)) is not None:
            raise error
        return answer or self._store.enqueue(jobs)

    def close(self) -> None:
        """Stay: the test closes it."""


LOST = StoreUnavailable("the answer was lost")


def test_an_outage_of_the_store_is_waited_for(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    with closing(open_store(two.url)) as store, caplog.at_level(logging.INFO):
        flaky = Flaky(store, StoreUnavailable("away"), StoreUnavailable("away"), LOST)
        assert two.relay(flaky).run(threading.Event(), once=True) == 1  # type: ignore[arg-type]
    assert two.stored() == [job.id]
    assert two.rows() == []
    assert caplog.text.count("waits") == 1
    assert "goes on" in caplog.text
    assert "1 job moved" in caplog.text


def test_what_was_surely_not_stored_is_not_counted_as_under_way(two: Two) -> None:
    two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    with closing(open_store(two.url)) as store:
        relay = two.relay(Flaky(store, StoreUnavailable("away")))  # type: ignore[arg-type]
        with pytest.raises(StoreUnavailable):
            relay.turn()
    assert two.rows("sending_at") == [(None,)]


def test_an_outage_of_the_outbox_is_waited_for(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    away = two.path.with_suffix(".away")
    two.path.rename(away)
    stop, seen = threading.Event(), []
    relay = two.relay()
    original = relay._away
    relay._away = lambda error: (original(error), seen.append(error), away.exists() and away.rename(two.path))  # type: ignore[assignment,method-assign,misc]
    assert relay.run(stop, once=True) == 1
    assert seen
    assert two.stored() == [job.id]


def test_two_relays_at_once_do_no_harm(two: Two) -> None:
    drafts = [two.queue.draft(tasks.add, n, 0) for n in range(600)]
    jobs = two.queue.within(two.db, outbox=True).enqueue_many(drafts)
    two.db.commit()
    threads = [threading.Thread(target=two.carry) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(two.stored()) == sorted(job.id for job in jobs)
    assert two.rows() == []


KILLED = """
import os, signal, sys, threading
from packhorse._relay import Relay, open_side
from packhorse._stores import open_store

outbox, url, step = sys.argv[1:]

class Dying:
    def __init__(self, what): self.what = what
    def __getattr__(self, name):
        real = getattr(self.what, name)
        if name != step.partition(" ")[2]:
            return real
        def call(*args):
            if step.startswith("before"):
                os.kill(os.getpid(), signal.SIGKILL)
            real(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        return call

Relay(lambda: Dying(open_side(outbox)), lambda: Dying(open_store(url)), "x").run(threading.Event(), once=True)
"""


@pytest.mark.parametrize(
    "step", ["before mark", "after mark", "before enqueue", "after enqueue", "before delete", "after delete"]
)
def test_a_relay_killed_at_any_step_loses_and_doubles_nothing(two: Two, step: str) -> None:
    drafts = [two.queue.draft(tasks.add, n, 0) for n in range(20)]
    jobs = two.queue.within(two.db, outbox=True).enqueue_many(drafts)
    two.db.commit()
    done = subprocess.run([sys.executable, "-c", KILLED, two.outbox, two.url, step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (two.rows() and step == "after delete")
    two.db.execute("UPDATE packhorse_outbox SET tried_at = tried_at - 61000000")
    two.db.commit()
    two.carry()
    assert two.stored() == [job.id for job in jobs]
    assert two.rows() == []


# -- the command and the worker -----------------------------------------------------------------------------------------
def test_the_command_carries_what_is_there(two: Two) -> None:
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    words = [sys.executable, "-m", "packhorse", "relay", "--store", two.url, "--outbox", "env:APP_DB", "--burst"]
    done = subprocess.run(
        words, env={**os.environ, "APP_DB": two.outbox}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "1 job moved" in done.stderr) == (0, True), done.stderr
    assert two.stored() == [job.id]


def test_the_command_ends_when_it_is_told(two: Two) -> None:
    words = [sys.executable, "-m", "packhorse", "relay", "--store", two.url, "--outbox", two.outbox]
    job = two.queue.within(two.db, outbox=True).enqueue(tasks.add, 1, 2)
    two.db.commit()
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: two.stored() == [job.id], "the relay carries")
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--outbox", "env:NOT_SET"], 78, "NOT_SET"),
        (["--outbox", "redis://user:secret@h/0"], 78, "neither SQLite nor PostgreSQL"),
        ([], 2, "where is the outbox"),
    ],
)
def test_a_wrong_setting_is_said_at_once(two: Two, words: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "packhorse", "relay", "--store", two.url, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, said in done.stderr, "secret" in done.stderr) == (code, True, False), done.stderr


def test_the_table_is_printed() -> None:
    for dialect in ("sqlite", "postgresql"):
        words = [sys.executable, "-m", "packhorse", "db", "sql", "--outbox", "--dialect", dialect]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert "CREATE TABLE IF NOT EXISTS packhorse_outbox" in done.stdout


@pytest.mark.slow
def test_a_worker_whose_app_has_an_outbox_is_a_relay(site: Site, two: Two) -> None:
    site.module(
        "shop",
        'from packhorse import App\napp = App(tasks=["shop"], outbox="env:APP_DB")\ndef add(a, b): return a + b\n',
    )
    worker = site.worker(app="shop:app", APP_DB=two.outbox)
    worker.ready()
    job = Queue("work", store=site.url).within(two.db, outbox=True).enqueue("shop:add", 3, 4)
    two.db.commit()
    eventually(lambda: site.store.get([job.id]), "the relay carries")
    assert site.end(job.id).result == "7"
    worker.until("1 job moved")
    assert worker.stop() == 0


def test_the_setting_of_an_app() -> None:
    assert App(outbox="env:DATABASE_URL").outbox == "env:DATABASE_URL"
    assert App.of_plain(App(outbox="sqlite:///x.db").plain()).outbox == "sqlite:///x.db"
    with pytest.raises(BadOption):
        App(outbox="x.db")
    with pytest.raises(ConfigError):
        outbox_url("env:X", {})
    assert outbox_url("env:X", {"X": "postgresql+psycopg://a@b/c"}) == "postgresql+psycopg://a@b/c"
