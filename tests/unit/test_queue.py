"""The producer's side: what is stored, what is refused, and that nothing happens before its time."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from packhorse import Draft, Queue, _enqueuing, _runtime, task
from packhorse._record import Enqueued, NewJob
from packhorse._settings import Settings
from packhorse._store import JobFilter
from packhorse.errors import (
    AmbiguousId,
    BadArguments,
    BadName,
    BadOption,
    BatchFailed,
    EnqueueUnknown,
    IdConflict,
    JobNotFound,
    NaiveTime,
    NotImportable,
    NotSerialisable,
    StoreUnavailable,
)
from packhorse.testing import Kit, memory

mail = Queue("mail")


def send(to: str, subject: str = "", *, urgent: bool = False) -> str:
    return to


async def asend(to: str) -> str:
    return to


@task(queue="letters", tags=["to:{to}", "plain {{}}"], retry=2)
def letter(to: str, pages: int = 1) -> int:
    return pages


@task(name="queued.charge")
def charge(amount: int) -> int:
    return amount


def parent_job() -> str:
    return mail.enqueue(send, "child").id


@pytest.fixture
def store() -> Iterator[Kit]:
    with memory() as kit:
        yield kit


class Silent:
    """A store that does nothing but fail as it is told."""

    url = "sqlite:///nowhere.db"
    namespace = "default"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.seen: list[list[NewJob]] = []
        self.closed = 0

    def enqueue(self, jobs: list[NewJob]) -> list[Enqueued]:
        self.seen.append(list(jobs))
        if self.errors:
            raise self.errors.pop(0)
        return [Enqueued(job.id, "queued", 1, None, False) for job in jobs]

    def close(self) -> None:
        self.closed += 1


# -- one job ----------------------------------------------------------------------------------------------------------
def test_enqueue_stores_the_call(store: Kit) -> None:
    job = mail.enqueue(send, "ada", subject="hello")
    assert (job.queue, job.state, job.args, job.kwargs) == ("mail", "queued", ("ada",), {"subject": "hello"})
    assert job.task.endswith(":send")
    assert not job.existing
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    (stored,) = store.jobs
    assert stored == job
    assert stored.args == ("ada",)


def test_the_record_names_the_calling_line(store: Kit) -> None:
    job = mail.enqueue(send, "ada")
    assert job.by["file"] == __file__
    assert job.by["line"] == sys._getframe().f_lineno - 2
    assert job.by["host"] == os.uname().nodename


def test_a_task_goes_to_its_queue_with_its_filled_tags(store: Kit) -> None:
    job = letter.enqueue("ada")
    assert (job.queue, job.tags) == ("letters", ("to:ada", "plain {}"))
    assert mail.enqueue(letter, "bob").queue == "mail"
    assert mail.using(tags="to:{to}").enqueue(letter, "ada").tags == ("to:{to}",)


def test_a_field_must_be_an_argument(store: Kit) -> None:
    @task(name="wrong.field", tags="to:{nobody}")
    def wrong(to: str) -> None: ...

    with pytest.raises(BadOption, match=r"\{nobody\}.*is not an argument"):
        mail.enqueue(wrong, "ada")


def test_a_partial_is_flattened(store: Kit) -> None:
    job = mail.enqueue(partial(send, "ada", subject="one"), subject="two")
    assert (job.args, job.kwargs) == (("ada",), {"subject": "two"})


def test_a_coroutine_function_is_a_task(store: Kit) -> None:
    job = mail.enqueue(asend, "ada")
    store.run()
    assert job.result() == "ada"


def test_a_name_will_do(store: Kit) -> None:
    assert mail.enqueue(f"{__name__}:send", "ada").args == ("ada",)
    assert mail.enqueue("queued.charge", 5).task == "queued.charge"
    assert mail.enqueue("elsewhere.tasks:unknown_here", 1, 2).task == "elsewhere.tasks:unknown_here"
    with pytest.raises(NotImportable, match="did you mean 'send'"):
        mail.enqueue(f"{__name__}:sent", "ada")
    with pytest.raises(BadArguments):
        mail.enqueue(f"{__name__}:send")
    with pytest.raises(BadName):
        mail.enqueue("not a name!")


def test_wrong_calls_are_refused_and_not_stored(store: Kit) -> None:
    wrong: Any = send
    with pytest.raises(BadArguments, match="misses 'to'"):
        mail.enqueue(wrong)
    with pytest.raises(BadArguments, match=r"using\(delay='5m'\)"):
        mail.enqueue(wrong, "ada", delay="5m")
    with pytest.raises(NotSerialisable, match="lock"):
        mail.enqueue(wrong, threading.Lock())
    with pytest.raises(NotImportable, match="lambda"):
        mail.enqueue(lambda: None)
    with pytest.raises(NotImportable):
        mail.enqueue([])  # type: ignore[call-overload]
    assert store.jobs == []


def test_a_mock_is_noticed_even_after_the_function_was_enqueued(store: Kit) -> None:
    mail.enqueue(send, "ada")
    original = send
    with mock.patch(f"{__name__}.send"), pytest.raises(NotImportable):
        mail.enqueue(original, "ada")
    assert mail.enqueue(send, "ada").state == "queued"


def test_later_changes_to_arguments_do_not_count(store: Kit) -> None:
    draft_argument: dict[str, Any] = {"a": 1}

    job = mail.enqueue("x.y", draft_argument)
    draft_argument["a"] = 2
    assert job.args == ({"a": 1},)


# -- options ----------------------------------------------------------------------------------------------------------
def test_using_beats_task_beats_queue(store: Kit) -> None:
    queue = Queue("q", priority=1, tags="queue", meta={"from": "queue"})
    assert queue.enqueue(send, "ada").priority == 1
    assert queue.enqueue(letter, "ada").tags == ("to:ada", "plain {}")
    job = queue.using(priority=2).using(priority=3, tags=["t"], meta={"from": "using"}).enqueue(letter, "ada")
    assert (job.priority, job.tags, job.meta) == (3, ("t",), {"from": "using"})
    assert queue.enqueue(send, "bob").meta == {"from": "queue"}


def test_delay_and_at(store: Kit) -> None:
    job = mail.using(delay="1h").enqueue(send, "ada")
    assert job.state == "scheduled"
    assert job.scheduled_at is not None
    assert job.scheduled_at - job.created_at == timedelta(hours=1)
    past = mail.using(at=datetime(2020, 1, 1, tzinfo=UTC)).enqueue(send, "ada")
    assert past.state == "queued"
    with pytest.raises(NaiveTime):
        mail.using(at=datetime(2020, 1, 1))  # noqa: DTZ001


def test_bad_options_are_refused() -> None:
    with pytest.raises(BadOption, match="Did you mean 'delay'"):
        mail.using(dealy=5)  # type: ignore[call-arg]
    with pytest.raises(BadOption):
        mail.using(delay=-1)
    with pytest.raises(BadOption):
        Queue("q", id="x")
    with pytest.raises(BadName):
        Queue("no spaces")


def test_using_changes_nothing_but_its_own_copy(store: Kit) -> None:
    later = mail.using(delay="1h")
    assert mail.enqueue(send, "ada").state == "queued"
    assert later.enqueue(send, "ada").state == "scheduled"
    assert later.name == "mail"


def test_the_same_id_is_never_stored_twice(store: Kit) -> None:
    own = "01890a5d-ac96-774b-bcce-b302099a8057"
    first = mail.using(id=own, meta={"n": 1}).enqueue(send, "ada")
    second = mail.using(id=own, meta={"n": 2}).enqueue(send, "ada")
    assert (first.existing, second.existing) == (False, True)
    # What stands in the store, not what was just passed.
    assert second.meta == {"n": 1}
    assert len(store.jobs) == 1
    with pytest.raises(IdConflict):
        mail.using(id=own).enqueue(send, "bob")


def test_a_job_records_its_parent(store: Kit) -> None:
    outer = mail.enqueue(parent_job)
    store.run()
    assert store.jobs[1].parent == outer.id
    assert outer.parent is None


# -- many jobs --------------------------------------------------------------------------------------------------------
def test_a_draft_is_checked_and_not_stored(store: Kit) -> None:
    draft = mail.using(tags="a").draft(send, "ada")
    assert (draft.queue, draft.args, draft.tags) == ("mail", ("ada",), ("a",))
    assert isinstance(draft, Draft)
    with pytest.raises(BadArguments):
        mail.draft(send)  # type: ignore[call-arg]
    assert store.jobs == []


def test_enqueue_many_keeps_the_order(store: Kit) -> None:
    jobs = mail.enqueue_many((mail.draft(send, str(n)) for n in range(25)), batch=10)
    assert [job.args[0] for job in jobs] == [str(n) for n in range(25)]
    assert store.jobs == jobs


def test_enqueue_many_reads_lazily_and_stores_whole_batches(store: Kit) -> None:
    stored_at_read: list[int] = []

    def drafts() -> Iterator[Draft[str]]:
        for n in range(25):
            stored_at_read.append(len(store.jobs))
            if n == 24:
                raise ValueError("bad line 24")
            yield mail.draft(send, str(n))

    with pytest.raises(BatchFailed) as failed:
        mail.enqueue_many(drafts(), batch=10)
    assert (failed.value.stored, failed.value.index) == (20, 24)
    assert isinstance(failed.value.__cause__, ValueError)
    assert len(store.jobs) == 20
    assert stored_at_read == [0] * 10 + [10] * 10 + [20] * 5


def test_a_batch_that_cannot_be_stored_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_enqueuing, "PATIENCE", 0.0)
    silent = Silent()
    with _runtime.override(silent):  # type: ignore[arg-type]

        def drafts() -> Iterator[Draft[str]]:
            for n in range(30):
                if n == 15:
                    silent.errors = [StoreUnavailable("gone")]
                yield mail.draft(send, str(n))

        with pytest.raises(BatchFailed) as failed:
            mail.enqueue_many(drafts(), batch=10)
    assert (failed.value.stored, failed.value.index) == (10, 10)
    assert isinstance(failed.value.__cause__, StoreUnavailable)


def test_only_drafts_of_this_store_are_taken(store: Kit, tmp_path: Path) -> None:
    other = Queue("mail", store=f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(BatchFailed) as failed:
        mail.enqueue_many([other.draft(send, "ada")])
    assert isinstance(failed.value.__cause__, BadOption)
    with pytest.raises(BatchFailed) as failed:
        mail.enqueue_many([send])  # type: ignore[list-item]
    assert isinstance(failed.value.__cause__, TypeError)
    with pytest.raises(BadOption):
        mail.enqueue_many([], batch=0)


def test_enqueue_iter_yields_ids_as_it_goes(store: Kit) -> None:
    ids = mail.enqueue_iter((mail.draft(send, str(n)) for n in range(5)), batch=2)
    assert store.jobs == []
    assert next(ids) == store.jobs[0].id
    assert len(store.jobs) == 2
    assert len(list(ids)) == 4


def test_a_throttled_producer_never_leaves_more_than_keep_unstarted(
    store: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, me, sleep = 0, threading.get_ident(), time.sleep

    def work(seconds: float) -> None:
        # Stands for a worker: while the producer waits, one job runs. Other threads of this process only sleep.
        nonlocal most
        if threading.get_ident() != me:
            sleep(seconds)
            return
        waiting = [job for job in store.jobs if job.state == "queued"]
        most = max(most, len(waiting))
        if waiting:
            store.run(waiting[0])

    monkeypatch.setattr("packhorse._queue.time.sleep", work)
    ids = list(mail.enqueue_iter((mail.draft(send, str(n)) for n in range(50)), keep=10))
    assert len(ids) == len(set(ids)) == 50
    # Half of it came at once, and it went on only at half.
    assert most == 10
    with pytest.raises(BadOption):
        list(mail.enqueue_iter([], keep=0))
    with pytest.raises(BadOption, match="goes elsewhere"):
        list(mail.enqueue_iter([Queue("other").draft(send, "ada")], keep=5))


# -- looking ----------------------------------------------------------------------------------------------------------
def test_a_job_is_found_by_its_id_or_the_end_of_it(store: Kit) -> None:
    job = mail.enqueue(send, "ada")
    assert mail.job(job.id) == job
    assert mail.job(job.id[-8:]) == job
    with pytest.raises(JobNotFound, match="no job"):
        mail.job("01890a5d-ac96-774b-bcce-b302099a8057")
    for first in ("0", "1"):
        mail.using(id=f"01890a5d-ac96-774b-bcce-{first}30211111111").enqueue(send, "ada")
    with pytest.raises(AmbiguousId):
        mail.job("11111111")


def test_jobs_are_filtered(store: Kit) -> None:
    first = mail.using(tags="vip", meta={"order": 7}).enqueue(send, "ada")
    second = mail.using(delay="1h").enqueue(send, "bob")
    charged = mail.enqueue(charge, 3)
    Queue("other").enqueue(send, "eve")
    assert mail.jobs() == [charged, second, first]
    assert mail.jobs(state="scheduled") == [second]
    assert mail.jobs(state=["scheduled", "queued"], task=send) == [second, first]
    assert mail.jobs(task="queued.charge") == mail.jobs(task=charge) == [charged]
    assert mail.jobs(tag="vip") == mail.jobs(meta={"order": 7}) == [first]
    assert mail.jobs(text="bob") == [second]
    assert mail.jobs(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert mail.jobs(since="1h") == [charged, second, first]
    with pytest.raises(BadOption, match="is not a state"):
        mail.jobs(state="finished")
    with pytest.raises(BadOption):
        mail.jobs(limit=0)


def test_jobs_come_in_pages(store: Kit) -> None:
    every = mail.enqueue_many(mail.draft(send, str(n)) for n in range(5))
    page = mail.jobs(limit=2)
    assert page == [every[4], every[3]]
    assert page.next is not None
    assert mail.jobs(limit=2, after=page.next) == [every[2], every[1]]
    assert mail.jobs(limit=2, after=every[1]) == [every[0]]
    assert mail.jobs(limit=5).next is None or mail.jobs(limit=5, after=mail.jobs(limit=5).next) == []


def test_counts_tell_numbers_and_the_age_of_the_oldest(store: Kit) -> None:
    assert mail.counts()["queued"] == 0
    assert mail.counts().oldest is None
    mail.enqueue(send, "ada")
    mail.using(delay="2h").enqueue(send, "bob")
    store.travel("1h")
    counts = mail.counts()
    assert (counts["queued"], counts["scheduled"], len(counts)) == (1, 1, 8)
    assert counts.oldest == pytest.approx(3600, abs=5)


def test_pause_and_resume(store: Kit) -> None:
    assert mail.pause()
    assert not mail.pause("deploy")
    job = mail.enqueue(send, "ada")
    assert store.run() == []
    counts = mail.counts()
    assert (counts.paused, counts.paused_reason) == (True, "deploy")
    assert mail.resume()
    assert not mail.resume()
    assert store.run() == [job]


def test_a_queue_has_no_length_truth_or_items() -> None:
    with pytest.raises(TypeError, match=r"counts\(\)"):
        len(mail)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(mail)
    with pytest.raises(TypeError, match=r"jobs\(\)"):
        list(mail)


# -- async ------------------------------------------------------------------------------------------------------------
def test_every_method_has_a_twin(store: Kit) -> None:
    async def main() -> None:
        job = await mail.aenqueue(send, "ada")
        assert job.by["file"] == __file__
        assert await mail.ajob(job.id) == job
        assert await mail.ajobs(state="queued") == [job]
        assert (await mail.acounts())["queued"] == 1
        assert await mail.apause()
        assert await mail.aresume()
        many = await mail.aenqueue_many(mail.draft(send, str(n)) for n in range(3))
        assert len(many) == 3
        more = [job_id async for job_id in mail.aenqueue_iter([mail.draft(send, "x")], keep=100)]
        assert len(more) == 1

    asyncio.run(main())
    assert len(store.jobs) == 5


def test_aenqueue_takes_the_arguments_as_they_are_at_the_call(store: Kit) -> None:
    async def main() -> Any:
        argument = {"a": 1}
        waiting = mail.aenqueue("x.y", argument)
        argument["a"] = 2
        return (await waiting).args

    assert asyncio.run(main()) == ({"a": 1},)


def test_aenqueue_does_not_block_the_loop() -> None:
    released = threading.Event()

    class Slow(Silent):
        def enqueue(self, jobs: list[NewJob]) -> list[Enqueued]:
            assert released.wait(10)
            return super().enqueue(jobs)

    async def main() -> None:
        waiting = asyncio.ensure_future(mail.aenqueue(send, "ada"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        released.set()
        assert (await waiting).queue == "mail"

    with _runtime.override(Slow()):  # type: ignore[arg-type]
        asyncio.run(main())


# -- a store in trouble -----------------------------------------------------------------------------------------------
def test_a_transient_error_is_tried_again_with_the_same_id() -> None:
    silent = Silent(StoreUnavailable("locked"), StoreUnavailable("locked"))
    with _runtime.override(silent):  # type: ignore[arg-type]
        job = mail.enqueue(send, "ada")
    assert [group[0].id for group in silent.seen] == [job.id] * 3
    assert silent.closed == 2  # a connection that failed is never used again


def test_after_three_seconds_it_says_that_nothing_was_enqueued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_enqueuing, "PATIENCE", 0.1)
    silent = Silent(*[StoreUnavailable("stayed locked")] * 100)
    with _runtime.override(silent), pytest.raises(StoreUnavailable) as caught:  # type: ignore[arg-type]
        mail.enqueue(send, "ada")
    text = str(caught.value)
    assert "the job was NOT enqueued" in text
    assert "sqlite:///nowhere.db" in text
    assert "stayed locked" in text
    assert text.endswith("[E101]")
    assert isinstance(caught.value, ConnectionError)


def test_a_lost_reply_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_enqueuing, "PATIENCE", 0.1)
    silent = Silent(EnqueueUnknown("reply lost", "?"), *[StoreUnavailable("gone")] * 100)
    with _runtime.override(silent), pytest.raises(EnqueueUnknown) as caught:  # type: ignore[arg-type]
        mail.enqueue(send, "ada")
    assert caught.value.job_id == silent.seen[0][0].id
    assert caught.value.job_id in str(caught.value)


def test_who_waited_for_others_that_failed_does_not_wait_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty coroutines share four threads; none of them waits much longer than one would."""
    monkeypatch.setattr(_enqueuing, "PATIENCE", 0.3)

    async def main() -> list[Any]:
        return await asyncio.gather(*(mail.aenqueue(send, "ada") for _ in range(20)), return_exceptions=True)

    silent = Silent(*[StoreUnavailable("stayed locked")] * 10_000)
    started = time.monotonic()
    with _runtime.override(silent):  # type: ignore[arg-type]
        answers = asyncio.run(main())
    assert time.monotonic() - started < 1.2  # one after the other would take 1.5
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert all("NOT enqueued" in str(answer) for answer in answers)


@pytest.mark.slow
def test_a_locked_file_keeps_nobody_longer_than_three_seconds(tmp_path: Path) -> None:
    queue = Queue(store=f"sqlite:///{tmp_path}/jobs.db")
    queue.enqueue(send, "ada")
    other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="NOT enqueued"):
        queue.enqueue(send, "bob")
    assert time.monotonic() - started < 8
    other.close()
    assert queue.counts()["queued"] == 1


def test_other_errors_are_not_tried_again() -> None:
    silent = Silent(IdConflict("other content"))
    with _runtime.override(silent), pytest.raises(IdConflict):  # type: ignore[arg-type]
        mail.enqueue(send, "ada")
    assert len(silent.seen) == 1


# -- connections ------------------------------------------------------------------------------------------------------
def test_making_a_queue_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", None)
        Queue("mail", store="sqlite:///jobs.db").using(delay="5m")
    assert list(tmp_path.iterdir()) == []


def test_an_explicit_store_is_used_in_tests_too(store: Kit, tmp_path: Path) -> None:
    own = Queue("mail", store=f"sqlite:///{tmp_path}/own.db")
    own.enqueue(send, "ada")
    assert store.jobs == []
    assert len(own.jobs()) == 1


def test_threads_share_the_connection(tmp_path: Path) -> None:
    queue = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    failures: list[BaseException] = []

    def produce() -> None:
        try:
            for n in range(25):
                queue.enqueue(send, str(n))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert queue.counts()["queued"] == 100


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_opens_its_own_connection(tmp_path: Path) -> None:
    queue = Queue("mail", store=f"sqlite:///{tmp_path}/jobs.db")
    queue.enqueue(send, "before")
    mine = queue._connection
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = [queue.enqueue(send, "child").id, queue._connection is not mine]
        except BaseException as error:
            answer = [repr(error), False]
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        job_id, fresh = json.load(file)
    os.waitpid(child, 0)
    assert fresh, job_id
    assert queue.job(job_id).args == ("child",)
    queue.enqueue(send, "after")
    assert queue.counts()["queued"] == 3


def test_the_worker_s_store_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKHORSE_URL", f"sqlite:///{tmp_path}/environment.db")
    code = (
        "from packhorse import Queue, _origin, _runtime\n"
        f"_runtime.adopt('sqlite:///{tmp_path}/worker.db', 'team')\n"
        "_origin.adopt(lambda: ('the-parent', None))\n"
        "job = Queue().enqueue('x.y')\n"
        "print(job.id, job.parent)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    job_id, parent = done.stdout.split()
    assert parent == "the-parent"
    assert not (tmp_path / "environment.db").exists()
    with _runtime.use(Settings(f"sqlite:///{tmp_path}/worker.db", "the test", "team")) as opened:
        assert [record.id for record in opened.find(JobFilter()).jobs] == [job_id]


def test_a_pause_may_end_by_itself(store: Kit) -> None:
    assert mail.pause("deploy", until="2h")
    job = mail.enqueue(send, "ada")
    until = mail.counts().paused_until
    assert until is not None
    assert until.utcoffset() == timedelta(0)
    assert not mail.pause(until=until + timedelta(hours=1))
    assert mail.counts().paused_until == until + timedelta(hours=1)
    store.travel("2h")
    assert store.run() == []
    store.travel("1h")
    assert store.run() == [job]
    assert (mail.counts().paused, mail.counts().paused_until) == (False, None)


def test_ends_of_a_pause_that_are_none(store: Kit) -> None:
    for until, error in (("0s", BadOption), ("soon", BadOption), (datetime(2031, 1, 1), NaiveTime)):  # noqa: DTZ001
        with pytest.raises(error):
            mail.pause(until=until)
    assert not mail.counts().paused


def test_ageing_is_told(store: Kit) -> None:
    mail.enqueue(send, "ada")
    assert mail.counts().ageing is None
    store._store.set_step("mail", 3_600_000_000)
    assert mail.counts().ageing == 3600
