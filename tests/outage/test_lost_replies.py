"""What networks do between a store and its users: replies that are lost, late, cut off; connections that are reset or hang."""

from __future__ import annotations

import os
import time

import pytest

from packhorse import Queue, _enqueuing
from packhorse.errors import EnqueueUnknown, StoreUnavailable
from tests.outage.outpost import Through, away, back
from tests.outage.proxy import Proxy
from tests.worker import tasks
from tests.worker.site import eventually
from tests.worker.watch import busy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="no worker runs there")]

Pair = tuple[Through, Proxy]
GHOST = "claimed for us in a reply that was lost"
#: How a request is told from others in what goes over the wire. PostgreSQL's are written out with ``pooler=1``.
_SQL = {
    "claim": b"asked AS MATERIALIZED",
    "settle": b"held AS MATERIALIZED",
    "enqueue": b"made_by, options, tags, meta, payload) SELECT",
}


def lose(site: Through, proxy: Proxy, verb: str) -> None:
    """Lose the reply that tells that a verb is done: in PostgreSQL that to the COMMIT after it."""
    if site.kind == "postgres":
        proxy.lose(_SQL[verb], b"COMMIT")
        return
    from packhorse._stores.redis.scripts import sha_of

    proxy.lose(sha_of(verb).encode())


def test_the_reply_to_a_claim_is_lost(through: Pair) -> None:
    """The ghost: the store says that the job runs, and nobody runs it. It is queued again in no time, uncounted."""
    site, proxy = through
    worker = site.worker().ready()
    site.end(site.enqueue(tasks.nothing))
    direct = Queue("work", store=site.direct)
    for number in range(10):
        proxy.hang = True
        job = direct.enqueue(tasks.count, f"runs-{number}")
        lose(site, proxy, "claim")
        proxy.hang = False
        assert proxy.lost.wait(10)
        lost = time.monotonic()
        record = site.end(job)
        assert time.monotonic() - lost < busy(10)
        assert (record.state, record.losses, record.crashes, record.result) == ("succeeded", 0, 0, "1")
        if GHOST in worker.output:  # else that claim had found nothing yet
            break
    assert GHOST in worker.output
    assert worker.stop() == 0


def test_the_reply_to_a_settle_is_lost(through: Pair) -> None:
    """It is settled again, and the store knows that it was."""
    site, proxy = through
    worker = site.worker().ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    lose(site, proxy, "settle")
    site.let("job-may-end")
    assert proxy.lost.wait(10)
    assert site.end(job).state == "succeeded"
    back(worker, time.monotonic())
    after = site.enqueue(tasks.add, 1, 2)
    assert site.end(after).result == "3"
    assert [attempt.outcome for attempt in site.attempts(job)] == ["succeeded"]
    assert "late outcome" not in worker.output
    assert worker.stop() == 0


def test_the_reply_to_an_enqueue_is_lost(through: Pair) -> None:
    """It is sent again under the same id, and stored once."""
    site, proxy = through
    site.enqueue(tasks.nothing)
    lose(site, proxy, "enqueue")
    job = site.enqueue(tasks.add, 1, 2)
    assert proxy.lost.is_set()
    assert [each.id for each in site.queue.jobs(task=tasks.add)] == [job.id]


def test_the_reply_to_an_enqueue_is_lost_and_the_server_with_it(through: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now nobody knows; the error says so, and has the id under which it can be tried again."""
    monkeypatch.setattr(_enqueuing, "PATIENCE", 1.0)
    site, proxy = through
    site.enqueue(tasks.nothing)
    lose(site, proxy, "enqueue")
    proxy.reject = True
    with pytest.raises(EnqueueUnknown, match="may or may not be stored") as caught:
        site.enqueue(tasks.add, 1, 2)
    proxy.reject = False
    again = site.enqueue(tasks.add, 1, 2, id=caught.value.job_id)
    assert again.existing
    assert [each.id for each in site.queue.jobs(task=tasks.add)] == [again.id]


@pytest.mark.parametrize("bytes_", [0, 1, 7, 40, 300])
def test_a_connection_that_is_cut_in_the_middle_of_a_reply(
    through: Pair, monkeypatch: pytest.MonkeyPatch, bytes_: int
) -> None:
    """Wherever that is: either it is stored, or the error is one that says so or that nobody knows."""
    monkeypatch.setattr(_enqueuing, "PATIENCE", 0.5)
    site, proxy = through
    site.enqueue(tasks.nothing)
    proxy.cut_after = bytes_
    known: set[str] = set()
    unknown: set[str] = set()
    told: list[str] = []
    for number in range(3):
        try:
            known.add(site.enqueue(tasks.add, number, 1).id)
        except EnqueueUnknown as error:
            unknown.add(error.job_id)
        except StoreUnavailable as error:
            told.append(str(error))
    proxy.heal()
    assert all("NOT enqueued" in text for text in told)
    stored = {job.id for job in site.persist(lambda: site.queue.jobs(task=tasks.add))}
    assert known <= stored <= known | unknown


def test_replies_that_are_late(through: Pair) -> None:
    site, proxy = through
    worker = site.worker("--threads", "2").ready()
    proxy.delay = 0.15
    jobs = [site.enqueue(tasks.add, number, 1) for number in range(3)]
    assert [site.end(job).result for job in jobs] == ["1", "2", "3"]
    assert {len(site.attempts(job)) for job in jobs} == {1}
    proxy.heal()
    assert worker.stop() == 0


def test_a_network_that_comes_and_goes(through: Pair) -> None:
    """Connections are reset, new ones too; then all is well. Said once; the running job is kept."""
    site, proxy = through
    worker = site.worker().ready()
    job = site.enqueue(tasks.held, "job")
    site.marked("job-runs")
    for times in (1, 2):
        proxy.reject = True
        proxy.reset()
        away(worker, times)
        proxy.reject = False
        back(worker, time.monotonic(), times)
    site.let("job-may-end")
    assert site.end(job).state == "succeeded"
    assert len(site.attempts(job)) == 1
    assert worker.stop() == 0


def test_a_worker_on_a_store_that_hangs(through: Pair) -> None:
    """Half-open from the start: the worker says that it waits, and serves as soon as the store answers."""
    site, proxy = through
    proxy.hang = True
    worker = site.worker()
    away(worker)
    assert "serves" not in worker.output
    proxy.hang = False
    healed = time.monotonic()
    worker.ready()
    assert time.monotonic() - healed < busy(7)
    eventually(lambda: site.end(site.enqueue(tasks.add, 1, 2)).result == "3", "it works")
    assert worker.stop() == 0
