"""A server that is away: workers say so once, keep what runs, come back soon and lose nothing; users learn what was stored."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from packhorse.errors import EnqueueUnknown, StoreUnavailable
from tests.outage.outpost import AWAY, BACK, Outpost, away, back
from tests.worker import tasks
from tests.worker.site import eventually
from tests.worker.watch import busy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]

#: A connection that was idle for so long is looked at before it is used (seconds).
IDLE = 1.1
TRY = {
    "postgres": r"Try:  pg_isready -h 127\.0\.0\.1 -p \d+ -d \S+ ",
    "redis": r"Try:  redis-cli -h 127\.0\.0\.1 -p \d+ ping ",
}


# -- workers ----------------------------------------------------------------------------------------------------------
def test_a_server_that_is_down_at_the_start_is_waited_for(outpost: Outpost) -> None:
    job = outpost.enqueue(tasks.add, 1, 2)
    outpost.server.kill()
    worker = outpost.worker()
    away(worker)
    assert "exits 69 with --no-retry)" in worker.output
    assert "cannot reach the job store, nothing is served yet" in worker.output
    impatient = outpost.worker("--no-retry")
    assert impatient.ended(busy(10.0)) == 69
    assert re.search(TRY[outpost.kind], impatient.output)
    assert worker.process.poll() is None
    assert "serves" not in worker.output
    outpost.server.start()
    began = time.monotonic()
    worker.ready()
    assert outpost.end(job).result == "3"
    assert time.monotonic() - began < busy(7)
    assert worker.output.count(AWAY) == 1
    assert worker.stop() == 0


def test_a_server_killed_under_running_jobs(outpost: Outpost) -> None:
    """One job ends while the server is away, another one after it is back. Neither runs twice."""
    worker = outpost.worker("--threads", "3").ready()
    during, after = outpost.enqueue(tasks.held, "during"), outpost.enqueue(tasks.held, "after")
    outpost.marked("during-runs")
    outpost.marked("after-runs")
    outpost.server.kill()
    away(worker)
    outpost.let("during-may-end")
    outpost.server.start()
    began = time.monotonic()
    back(worker, began)
    assert re.search(r"the store is back after \d+\.\d s, [12] jobs? re-checked", worker.output), worker.output
    assert outpost.end(during).state == "succeeded"
    assert outpost.job(after).state == "running"
    outpost.let("after-may-end")
    assert outpost.end(after).state == "succeeded"
    for job in (during, after):
        assert [attempt.outcome for attempt in outpost.attempts(job)] == ["succeeded"]
    assert outpost.end(outpost.enqueue(tasks.add, 1, 2)).result == "3"
    assert worker.stop() == 0


def test_a_server_that_falls_silent(outpost: Outpost) -> None:
    """Half-open: connections stay, nothing answers. The enqueue ends in time, and says that it does not know."""
    worker = outpost.worker().ready()
    first = outpost.enqueue(tasks.add, 0, 0)  # what has to be known of the task and its queue is known now
    job = outpost.enqueue(tasks.held, "job")
    outpost.marked("job-runs")
    outpost.server.pause()
    began = time.monotonic()
    with pytest.raises(EnqueueUnknown) as caught:
        outpost.enqueue(tasks.add, 1, 2)
    assert time.monotonic() - began < busy(5)
    assert caught.value.job_id in str(caught.value)
    assert "may or may not be stored" in str(caught.value)
    with pytest.raises(StoreUnavailable, match="NOT enqueued") as refused:  # not even connected: surely not stored
        outpost.enqueue(tasks.add, 3, 4)
    assert not isinstance(refused.value, EnqueueUnknown)
    outpost.let("job-may-end")
    outpost.server.resume()
    began = time.monotonic()
    assert outpost.end(job).state == "succeeded"
    again = outpost.persist(lambda: outpost.enqueue(tasks.add, 1, 2, id=caught.value.job_id))
    assert outpost.end(again).result == "3"
    assert time.monotonic() - began < busy(7)
    assert len(outpost.attempts(again)) == 1
    assert {each.id for each in outpost.queue.jobs(task=tasks.add)} == {first.id, again.id}
    assert worker.stop() == 0


def test_connections_that_are_cut_again_and_again(outpost: Outpost) -> None:
    """The loop that claims is made anew, never patched: after bursts of resets it still consumes."""
    worker = outpost.worker("--threads", "2").ready()
    jobs = []
    for number in range(12):
        cut_all(outpost)
        jobs.append(outpost.persist(lambda number=number: outpost.enqueue(tasks.add, number, 1)))  # type: ignore[misc]
    assert [outpost.end(job).result for job in jobs] == [str(number + 1) for number in range(12)]
    assert {len(outpost.attempts(job)) for job in jobs} == {1}
    assert worker.output.count(AWAY) == worker.output.count(BACK)
    assert worker.stop() == 0


def cut_all(outpost: Outpost) -> None:
    """Have the server end every connection of the store's users."""
    if outpost.kind == "postgres":
        import psycopg

        with psycopg.connect(outpost.server.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = "
                "'client backend'"
            )
        return
    import redis

    with redis.Redis.from_url(outpost.server.url) as connection:
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_a_worker_stopped_while_its_store_is_away(outpost: Outpost) -> None:
    """Bounded, exit 69, and the jobs that are left to the rescue are named; they run again, and say why."""
    worker = outpost.worker("--grace", "1s", "--name", "first").ready()
    job = outpost.enqueue(tasks.held, "job")
    outpost.marked("job-runs")
    outpost.server.kill()
    outpost.let("job-may-end")
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.ended(busy(20.0)) == 69
    assert time.monotonic() - began < busy(15)
    assert f"left to the rescue: {job.id}" in worker.output


def test_an_idle_worker_stopped_while_its_store_is_away(outpost: Outpost) -> None:
    worker = outpost.worker().ready()
    outpost.server.kill()
    away(worker)
    began = time.monotonic()
    assert worker.stop() == 69
    assert time.monotonic() - began < busy(5)
    assert "no job was in hand" in worker.output


# -- users ------------------------------------------------------------------------------------------------------------
def test_an_enqueue_while_the_server_is_away_says_that_nothing_was_stored(outpost: Outpost) -> None:
    outpost.enqueue(tasks.add, 1, 2)
    outpost.server.kill()
    used = (
        time.monotonic()
    )  # what was sent a moment ago could still be on its way; an idle connection is looked at first
    eventually(lambda: time.monotonic() - used > IDLE, "the connection is idle")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        outpost.enqueue(tasks.add, 3, 4)
    assert time.monotonic() - began < busy(4.5)
    assert not isinstance(caught.value, EnqueueUnknown)
    first, second, third = str(caught.value).splitlines()
    assert first == "cannot reach the job store, the job was NOT enqueued."
    assert re.fullmatch(r"  \S+  \(from the argument store=\)  →  [^\n]*(refused|closed|reset)[^\n]*", second), second
    assert re.match(
        rf"  {TRY[outpost.kind]}    Or start without (PostgreSQL|Redis):  PACKHORSE_URL=sqlite:///", third
    ), third
    assert third.endswith("[E101]")
    outpost.server.start()
    assert outpost.persist(lambda: outpost.enqueue(tasks.add, 5, 6)).state == "queued"  # the same process goes on
    assert len(outpost.persist(lambda: outpost.queue.jobs())) == 2


def test_waiting_for_a_result_outlives_a_restart(outpost: Outpost) -> None:
    worker = outpost.worker().ready()
    job = outpost.enqueue(tasks.held, "job")
    outpost.marked("job-runs")
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(job.result(timeout=60)))
    waiting.start()
    outpost.server.kill()
    away(worker)
    assert waiting.is_alive()
    outpost.let("job-may-end")
    outpost.server.start()
    waiting.join(20)
    assert len(answers) == 1
    assert worker.stop() == 0


def test_waiting_for_a_result_ends_when_its_time_is_over(outpost: Outpost) -> None:
    job = outpost.enqueue(tasks.add, 1, 2)
    outpost.server.kill()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        job.result(timeout=2)
    assert 1.5 < time.monotonic() - began < busy(7)


def test_a_command_that_waits_for_its_job_says_once_that_the_store_is_away(outpost: Outpost) -> None:
    worker = outpost.worker().ready()
    command = [sys.executable, "-m", "packhorse", "run", "tests.worker.tasks:held", "job", "--wait", "-q", "work"]
    ran = subprocess.Popen(
        command, cwd=outpost.directory, env={**outpost.environ(), "PACKHORSE_URL": outpost.url},
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        outpost.marked("job-runs")
        outpost.server.kill()
        away(worker)
        outpost.let("job-may-end")
        outpost.server.start()
        out, err = ran.communicate(timeout=30)
    finally:
        ran.kill()
        ran.wait()
    assert ran.returncode == 0, err
    assert err.count("still waiting for job") == 1
    assert "held('job')" in out
    assert worker.stop() == 0


# -- a password that changes ------------------------------------------------------------------------------------------
def test_a_password_that_is_changed_under_a_worker(outpost: Outpost) -> None:
    """Unhealthy, told every ten seconds, tried again; it recovers by itself once its file has the new one."""
    file = outpost.directory / "password"
    file.write_text("first-Secret\n")
    set_password(outpost, "first-Secret")
    try:
        outpost.use(with_user(outpost, f"password_file={file}"))
        worker = outpost.worker().ready()
        job = outpost.enqueue(tasks.held, "job")
        outpost.marked("job-runs")
        set_password(outpost, "second-Secret")
        cut_all_as(outpost, "second-Secret")
        worker.until("unhealthy for 0 s: the job store refuses this worker")
        outpost.let("job-may-end")
        began = time.monotonic()
        file.write_text("second-Secret\n")
        eventually(lambda: BACK in worker.output, "it is back", 25.0)
        assert time.monotonic() - began < busy(13)
        outpost._store = None
        assert outpost.end(job).state == "succeeded"
        assert len(outpost.attempts(job)) == 1
        assert "Secret" not in worker.output
        assert worker.stop() == 0
    finally:
        set_password(outpost, "")


def with_user(outpost: Outpost, option: str) -> str:
    url = outpost.url if outpost.kind == "redis" else outpost.url.replace("//postgres@", "//worker@")
    return url + ("&" if "?" in url else "?") + option


def set_password(outpost: Outpost, password: str) -> None:
    """Set it; Redis for everybody ("" for none), PostgreSQL for a user of its own."""
    if outpost.kind == "postgres":
        import psycopg

        rules = outpost.server.data / "pg_hba.conf"
        with psycopg.connect(outpost.server.url, autocommit=True) as connection:
            if password and "worker" not in rules.read_text():
                connection.execute("CREATE ROLE worker LOGIN SUPERUSER")
                rules.write_text("host all worker all scram-sha-256\n" + rules.read_text())
                connection.execute("SELECT pg_reload_conf()")
            if password:
                connection.execute(f"ALTER ROLE worker PASSWORD '{password}'".encode())
        return
    import redis

    for known in ("", "first-Secret", "second-Secret"):
        try:
            with redis.Redis.from_url(outpost.server.url, password=known or None) as connection:
                connection.config_set("requirepass", password)
                return
        except redis.exceptions.AuthenticationError:
            continue
        except redis.exceptions.ResponseError:
            continue


def cut_all_as(outpost: Outpost, password: str) -> None:
    if outpost.kind == "postgres":
        cut_all(outpost)
        return
    import redis

    with redis.Redis.from_url(outpost.server.url, password=password) as connection:
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
