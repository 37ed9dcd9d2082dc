"""The handle: a snapshot whose attributes ask nobody, and methods that ask the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from packhorse import Cancel, Job, Queue, Retry, Snooze, _runtime, current_job, task
from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._record import WorkerRecord
from packhorse._settings import Settings
from packhorse._store import JobFilter
from packhorse.errors import (
    BadOption,
    BadState,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTimeout,
    ResultGone,
)
from packhorse.testing import Kit, memory

mail = Queue("mail")


@dataclass
class Receipt:
    number: int


def give(value: int) -> int:
    return value


def receipt(number: int) -> Receipt:
    return Receipt(number)


def nothing() -> None: ...


def fail() -> None:
    raise KeyError("updated")


def give_up() -> Cancel:
    return Cancel("feed not changed")


def unstorable() -> object:
    return object()


@task(retry=3)
def flaky() -> int | Retry:
    job = current_job()
    job.logger.warning("attempt %d", job.attempt)
    job.progress(job.attempt, 3)
    if job.attempt < 3:
        return Retry("1s", "not yet")
    return job.attempt


def nap() -> Snooze:
    return Snooze("1h", "too early")


@pytest.fixture
def store() -> Iterator[Kit]:
    with memory(raises=False) as kit:
        yield kit


# -- results ----------------------------------------------------------------------------------------------------------
def test_the_result_is_what_the_function_returned(store: Kit) -> None:
    jobs = [mail.enqueue(give, 5), mail.enqueue(nothing)]
    store.run()
    assert [job.result() for job in jobs] == [5, None]


def test_a_model_is_rebuilt_from_the_annotation(store: Kit) -> None:
    job = mail.enqueue(receipt, 7)
    store.run()
    assert job.result() == Receipt(7)
    assert mail.job(job.id).result() == {"number": 7}


def test_a_failure_is_raised_with_its_error_as_data(store: Kit) -> None:
    job = mail.enqueue(fail)
    store.run()
    with pytest.raises(JobFailed, match="failed on attempt 1: KeyError") as caught:
        job.result()
    assert caught.value.error["type"] == "KeyError"
    assert "test_job.py" in caught.value.error["traceback"]
    assert job.error == caught.value.error


def test_a_cancelled_job_says_why(store: Kit) -> None:
    job = mail.enqueue(give_up)
    store.run()
    with pytest.raises(JobCancelled, match="feed not changed"):
        job.result()
    assert job.state == "cancelled"


def test_what_is_not_stored_is_never_none(store: Kit) -> None:
    kept = mail.using(keep_result=False).enqueue(give, 1)
    dropped = mail.enqueue(unstorable)
    store.run()
    with pytest.raises(ResultGone):
        kept.result()
    with pytest.raises(ResultGone, match="cannot be stored"):
        dropped.result()
    assert dropped.state == "succeeded"


def test_in_a_test_nobody_waits_for_what_nobody_runs(store: Kit) -> None:
    with pytest.raises(JobTimeout, match=r"run\(\)"):
        mail.enqueue(give, 1).result(timeout=None)


def test_bad_timeouts_are_refused(store: Kit) -> None:
    with pytest.raises(BadOption):
        mail.enqueue(give, 1).result(timeout=-1)


class Elsewhere:
    """A worker in another thread that ends jobs of a SQLite store when it is told to."""

    def __init__(self, url: str) -> None:
        self.store = _runtime.open_store(Settings(url, "the test"))
        self.store.register(WorkerRecord("w", "w", "h", 1, "b"))

    def end(self, *, well: bool = True) -> None:
        (claimed,) = self.store.claim(None, 1, 0, "w", 1).jobs
        verdict = succeeded(claimed, "42") if well else failed(claimed, Backoff(0), '{"type": "E", "message": "m"}')
        assert self.store.settle("w", [verdict]) == []

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield f"sqlite:///{tmp_path}/jobs.db"
    _runtime.forget()


@pytest.mark.parametrize("before", [0.0, 0.2], ids=["soon", "later"])
def test_result_waits_for_another_process(url: str, before: float) -> None:
    job = Queue("mail", store=url).enqueue(give, 1)
    worker = Elsewhere(url)
    timer = threading.Timer(before, worker.end)
    timer.start()
    assert job.result(timeout=20) == 42
    timer.join()
    worker.close()


def test_aresult_waits_without_blocking_the_loop(url: str) -> None:
    job = Queue("mail", store=url).enqueue(give, 1)
    worker = Elsewhere(url)

    async def main() -> int:
        waiting = asyncio.ensure_future(job.aresult(timeout=20))
        while job._record is None:
            await asyncio.sleep(0.001)
        worker.end()
        return await waiting

    assert asyncio.run(main()) == 42
    worker.close()


def test_result_gives_up_and_the_job_goes_on(url: str) -> None:
    job = Queue("mail", store=url).enqueue(give, 1)
    for timeout in (0, 0.01, 0.1):
        with pytest.raises(JobTimeout, match="it goes on") as caught:
            job.result(timeout=timeout)
        assert isinstance(caught.value, TimeoutError)
    assert job.refresh().state == "queued"


def test_a_waiting_connection_is_used_again(url: str) -> None:
    queue = Queue("mail", store=url)
    for _ in range(3):
        with pytest.raises(JobTimeout):
            queue.enqueue(give, 1).result(timeout=0.06)
    assert len(queue._connection._idle) == 1


# -- the snapshot -----------------------------------------------------------------------------------------------------
def test_attributes_ask_nobody(store: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    job = mail.using(tags=["a", "b"], meta={"n": 1}, priority=5).enqueue(give, 5)
    monkeypatch.setattr(_runtime.Connection, "__enter__", lambda _: pytest.fail("asked the store"))
    assert (job.task.rpartition(":")[2], job.queue, job.state) == ("give", "mail", "queued")
    assert (job.args, job.kwargs, job.meta, job.tags, job.priority) == ((5,), {}, {"n": 1}, ("a", "b"), 5)
    assert (job.parent, job.started_at, job.finished_at, job.scheduled_at) == (None, None, None, None)
    assert (job.attempt, job.reason, job.error, job.progress) == (1, None, None, {})
    assert job.created_at.utcoffset() == timedelta(0)
    assert repr(job) == f"<Job {job.task} {job.id} queued>"


def test_refresh_takes_a_new_snapshot_in_place(store: Kit) -> None:
    job = mail.enqueue(give, 5)
    before = job.created_at
    store.run()
    assert job.state == "queued"
    assert job.refresh() is job
    assert job.state == "succeeded"
    assert job.started_at is not None
    assert job.finished_at is not None
    assert before <= job.started_at <= job.finished_at


def test_handles_on_one_job_are_equal(store: Kit) -> None:
    job = mail.enqueue(give, 5)
    assert mail.job(job.id) == job
    assert len({job, mail.job(job.id), mail.enqueue(give, 5)}) == 2
    assert job != job.id


def test_a_job_that_is_gone_is_not_found(store: Kit) -> None:
    job = mail.enqueue(give, 5)
    with mail._connection as opened:
        opened.delete(JobFilter(ids=(job.id,)))
    for ask in (job.refresh, job.result, job.why, job.attempts, job.log, job.cancel, job.requeue):
        with pytest.raises(JobNotFound, match=job.id):
            ask()
    assert job.queue == "mail"


# -- attempts ---------------------------------------------------------------------------------------------------------
def test_attempts_tell_every_run(store: Kit) -> None:
    job = mail.enqueue(flaky)
    store.run()
    assert (job.refresh().state, job.attempt) == ("retrying", 2)
    for _ in range(2):
        store.travel("2s")
        store.run()
    assert job.result() == 3
    runs = job.attempts()
    assert [(run.number, run.outcome) for run in runs] == [(1, "retry"), (2, "retry"), (3, "succeeded")]
    assert runs[0].error is not None
    assert runs[0].error["message"] == "not yet"
    assert runs[0].started_at is not None
    assert runs[0].started_at <= runs[0].ended_at
    assert job.progress == {"": {"done": 3, "total": 3, "note": ""}} or job.progress[""]["done"] == 3
    log = job.log()
    assert log.index("attempt 1") < log.index("attempt 2") < log.index("attempt 3")


def test_a_snooze_is_no_attempt(store: Kit) -> None:
    job = mail.enqueue(nap)
    store.run()
    assert (job.refresh().state, job.attempt, job.reason) == ("scheduled", 1, "too early")


def test_why_is_a_sentence(store: Kit) -> None:
    job = mail.using(delay="1h").enqueue(give, 5)
    assert "1 h" in job.why() or "in " in job.why()
    failing = mail.enqueue(fail)
    store.run()
    assert "KeyError" in failing.why()


# -- acting -----------------------------------------------------------------------------------------------------------
def test_cancel(store: Kit) -> None:
    job = mail.enqueue(give, 5)
    assert job.cancel("no longer needed")
    assert (job.state, job.reason) == ("cancelled", "no longer needed")
    assert not job.cancel()
    assert store.run() == []


def test_requeue(store: Kit) -> None:
    job = mail.enqueue(give, 5)
    with pytest.raises(BadState, match="is queued"):
        job.requeue()
    store.run()
    assert job.requeue().state == "queued"
    store.run()
    assert job.requeue(delay="1h").state == "scheduled"
    assert len(job.attempts()) == 2


def test_every_method_has_a_twin(store: Kit) -> None:
    job = mail.enqueue(give, 5)

    async def main() -> None:
        assert "queue" in await job.awhy() or await job.awhy()
        assert await job.acancel("x")
        assert (await job.arequeue()).state == "queued"
        assert await job.aattempts() == []
        assert await job.alog() == ""
        await asyncio.to_thread(store.run)
        assert await job.aresult() == 5
        assert (await job.arefresh()).state == "succeeded"

    asyncio.run(main())
    public = {name for name in vars(Job) if not name.startswith("_") and callable(getattr(Job, name))}
    plain = {name for name in public if f"a{name}" in public}
    assert public == plain | {f"a{name}" for name in plain}


def test_dropped_log_is_said(store: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    job = mail.enqueue(give, 5)
    store.run()
    with mail._connection as opened:
        monkeypatch.setattr(opened, "log", lambda _: [("t", "the end\n", 1234)])
    assert job.log() == "[… 1,234 characters dropped …]\nthe end\n"
