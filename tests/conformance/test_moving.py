"""freeze, thaw, frozen, export, import_jobs: a closed namespace, and jobs that are elsewhere exactly what they were here."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from packhorse._backoff import Backoff
from packhorse._closed import Closed
from packhorse._outcome import cancelled, crashed, failed, lost, released, snoozed, succeeded
from packhorse._record import AttemptRecord, Claimed, JobRecord, Parcel, Report
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.memory import SettableClock
from packhorse.errors import StoreMoved

from .conftest import Open
from .making import (
    ERROR,
    SECOND,
    T0,
    beat,
    die,
    ended,
    ids,
    join,
    new_job,
    park,
    put,
    running,
    settle,
    state,
    take,
    the,
)
from .stores import FRESH
from .test_prune import one_in_each_state
from .test_queues import counted, recount

TO = "redis://queue:***@10.0.0.5:6379/0"


@pytest.fixture
def elsewhere(store: Store, open_another: Open) -> Store:
    """Another namespace beside the store under test."""
    return open_another(namespace="elsewhere")


@pytest.fixture
def apart(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> Iterator[Store]:
    """Another store of the same kind, with data of its own."""
    directory = tmp_path / "apart"
    directory.mkdir()
    opened = open_store(FRESH[request.node.callspec.params["kind"]](directory), namespace="apart", clock=clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def model(clock: SettableClock) -> Store:
    """The memory model."""
    return open_store("memory://", clock=clock)


def everything(store: Store, limit: int = 1000) -> list[Parcel]:
    """Return all jobs with all that belongs to them, oldest first."""
    found: list[Parcel] = []
    while batch := store.export(found[-1].job.seq if found else 0, limit):
        assert len(batch) <= limit
        found += batch
    return found


def bare(parcels: list[Parcel]) -> list[Parcel]:
    """Return parcels in a form in which those of two stores can be compared."""
    return [parcel._replace(job=parcel.job._replace(seq=0)) for parcel in parcels]


def move(source: Store, target: Store, limit: int = 1000) -> int:
    """Import all that there is, and return how many jobs were new."""
    parcels = everything(source, limit)
    return sum(target.import_jobs(parcels[start : start + limit]) for start in range(0, len(parcels), limit))


def newest_first(store: Store) -> list[JobRecord]:
    """Return what can be seen of all jobs, but their numbers."""
    return [job._replace(seq=0) for job in store.find(JobFilter(), 10_000).jobs]


# -- jobs with a life behind them -----------------------------------------------------------------------------------------
def dressed(store: Store) -> None:
    """Store a job with everything that can be said of one at its enqueue."""
    put(
        store,
        "letters",
        task="post:letter",
        payload='[["\\u00e9"], {}]',
        priority=-7,
        delay=90.0,
        expires=900.0,
        options='{"timeout": 5}',
        crash_fails=True,
        tags='["a", "b"]',
        meta='{"order": 17}',
        by='{"host": "ash"}',
        parent=str(uuid.uuid4()),
    )


def tried(store: Store, clock: SettableClock) -> None:
    """Store a job that failed, crashed, was lost, snoozed, and waits for its next try with its error and logs."""
    worker = join(store, uuid.uuid4().hex)
    put(store, "tried", priority=3, meta='{"a": 1}')
    endings: list[Callable[[Claimed], object]] = [
        lambda job: failed(job, Backoff(9, base=5, jitter=False), ERROR)._replace(log="one\n", usage='{"cpu": 1.5}'),
        lambda job: crashed(job, ERROR, "it died", alone=False),
        lambda job: lost(job, "it is gone", started=True),
        lambda job: snoozed(job, 40.0, "not yet"),
    ]
    for number, ending in enumerate(endings, 1):
        (job,) = take(store, worker, queues=["tried"], claim_no=number)
        store.report(worker, [Report(job.id, job.token, 0.5, '{"": {"done": 1, "total": 3}}', "two\n", 4, '{"b": 2}')])
        settle(store, ending(job)._replace(started=1.0, ended=0.25))  # type: ignore[attr-defined]
        clock.advance(7200)
        store.promote()


def late(store: Store) -> None:
    """Store a job whose first run was given up and brought its result after all."""
    job = running(store)
    settle(store, lost(job, "it is gone", started=True)._replace(started=2.0))
    settle(store, succeeded(job, '"after all"'))


def asked(store: Store) -> Claimed:
    """Store a running job that was asked to stop, and return it."""
    job = running(store, queue="asked")
    store.cancel(ids(job.id), by="ada", reason="wrong file")
    return job


def again(store: Store) -> None:
    """Store a job that succeeded and was requeued, and one that ended while its result is kept for a time."""
    first = ended(store, queue="again")
    store.requeue(ids(first.id))
    kept = running(store, queue="kept")
    settle(store, succeeded(kept, "[1, 2]", keep=60.0)._replace(started=0.5, log="said\n"))
    back = running(store, queue="back")
    settle(store, released(back, "stopped by shutdown")._replace(started=1.0))
    gone = running(store, queue="gone")
    settle(store, cancelled(gone, "not needed")._replace(started=1.0))


def fill(store: Store, clock: SettableClock) -> None:
    """Store jobs of every kind and with every kind of past."""
    one_in_each_state(store)
    tried(store, clock)
    dressed(store)
    late(store)
    asked(store)
    again(store)
    park(store, queue="parking")
    doomed = join(store, "doomed")
    running(store, doomed, queue="orphaned")
    die(store, doomed)


# -- closed -----------------------------------------------------------------------------------------------------------------
def test_an_open_store_says_so(store: Store) -> None:
    assert store.frozen() is None
    store.thaw()
    assert store.frozen() is None


def test_a_frozen_store_takes_no_job_in_and_names_the_target(store: Store, other: Store) -> None:
    store.freeze(TO)
    for each in (store, other):
        assert each.frozen() == TO
        with pytest.raises(StoreMoved, match=r"moved to redis://queue:\*\*\*@10\.0\.0\.5:6379/0;.*\[E132\]"):
            put(each)
        with pytest.raises(StoreMoved):
            each.enqueue([new_job() for _ in range(300)])
    assert everything(store) == []


def test_a_password_in_the_target_is_not_told(store: Store) -> None:
    store.freeze("redis://queue:hunter2@10.0.0.5")
    with pytest.raises(StoreMoved, match=r"redis://queue:\*\*\*@10\.0\.0\.5") as refused:
        put(store)
    assert "hunter2" not in str(refused.value)


def test_a_known_job_is_refused_too(store: Store) -> None:
    job = new_job()
    store.enqueue([job])
    store.freeze(TO)
    with pytest.raises(StoreMoved):
        store.enqueue([job])


@pytest.mark.parametrize("how, words", [("moving", "are moving to"), ("filling", "are being moved here")])
def test_the_refusal_says_what_is_going_on(store: Store, how: str, words: str) -> None:
    text = Closed("sqlite:////b.db", how, "17/default").text  # type: ignore[arg-type]
    store.freeze(text)
    assert store.frozen() == text
    with pytest.raises(StoreMoved, match=words) as refused:
        put(store)
    assert "sqlite:////b.db" in str(refused.value)
    assert "17/default" not in str(refused.value)


def test_a_frozen_store_hands_nothing_out(store: Store, other: Store) -> None:
    worker, job = join(store), put(store)
    store.freeze(TO)
    for each in (store, other):
        with pytest.raises(StoreMoved):
            take(each, worker)
        with pytest.raises(StoreMoved):
            take(each, worker, queues=["mail"])
    assert state(store, job) == "queued"


def test_what_runs_goes_on_in_a_frozen_store(store: Store, clock: SettableClock) -> None:
    worker = join(store)
    good, bad, unwanted, waiting = running(store, worker), running(store, worker), running(store, worker), put(store)
    store.freeze(TO)
    store.report(worker, [Report(good.id, good.token, 0.5, '{"": {"done": 1}}')])
    assert the(store, good.id).started_at == T0 - SECOND // 2
    clock.advance(5)
    assert beat(store, worker, [good, bad, unwanted]).alive
    assert store.cancel(ids(unwanted.id, waiting), reason="stop").asked == (unwanted.id,)
    assert beat(store, worker, [good, bad, unwanted]).cancelled == [(unwanted.id, unwanted.token, "stop")]
    verdicts = [succeeded(good, "3"), failed(bad, Backoff(1), ERROR), cancelled(unwanted, None)]
    assert store.settle(worker, verdicts) == []
    assert [state(store, job) for job in (good.id, bad.id, unwanted.id, waiting)] == [
        "succeeded", "retrying", "cancelled", "cancelled",
    ]  # fmt: skip


def test_orphans_of_a_frozen_store_are_rescued(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    store.freeze(TO)
    die(store, worker)
    (orphan,) = store.orphans()
    assert store.settle(None, [lost(orphan, "gone", started=False)]) == []
    assert state(store, job.id) == "queued"


@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_upkeep_rests_in_a_frozen_store(store: Store, clock: SettableClock) -> None:
    due, over, old = put(store, delay=10.0), put(store, expires=10.0), ended(store).id
    store.freeze(TO)
    clock.advance(100_000)
    assert store.promote() == (0, None)
    assert store.expire() == []
    assert store.prune({"succeeded": 3600}) == 0
    assert [state(store, job) for job in (due, over, old)] == ["scheduled", "queued", "succeeded"]
    store.thaw()
    assert store.promote()[0] == 1
    assert store.expire() == [over]
    assert store.prune({"succeeded": 3600}) == 1


def test_a_thawed_store_is_as_before(store: Store, other: Store) -> None:
    worker, job = join(store), put(store)
    store.freeze(TO)
    store.freeze(TO)
    with pytest.raises(StoreMoved):
        put(other)
    other.thaw()
    assert store.frozen() is None
    second = put(store)
    assert [claimed.id for claimed in take(other, worker)] == [job, second]


def test_frozen_again_the_last_target_holds(store: Store) -> None:
    store.freeze(TO)
    store.freeze("sqlite:////b.db")
    assert store.frozen() == "sqlite:////b.db"


def test_who_waits_is_told_of_a_thaw(store: Store, other: Store) -> None:
    store.freeze(TO)
    other.changed()
    store.thaw()
    if store.capabilities.hints:
        assert other.wait(5.0)


def test_a_frozen_store_is_frozen_for_who_comes_later(store: Store, open_another: Open) -> None:
    store.freeze(TO)
    later = open_another()
    assert later.frozen() == TO
    with pytest.raises(StoreMoved):
        put(later)


def test_an_enqueue_under_way_is_in_before_or_refused(store: Store, open_another: Open) -> None:
    """What was acknowledged is seen by whoever froze the store, from the moment it is frozen."""
    acknowledged: list[str] = []
    begun = threading.Barrier(5)

    def produce(mine: Store) -> None:
        begun.wait(20)
        with pytest.raises(StoreMoved):
            while True:
                acknowledged.extend(each.id for each in mine.enqueue([new_job(), new_job()]))

    with ThreadPoolExecutor(4) as pool:
        ended = [pool.submit(produce, open_another()) for _ in range(4)]
        begun.wait(20)
        wait_until(lambda: len(acknowledged) > 20)
        store.freeze(TO)
        seen = {parcel.job.id for parcel in everything(store)}
        for each in ended:
            each.result(20)
    assert set(acknowledged) == seen == {parcel.job.id for parcel in everything(store)}


def test_a_claim_under_way_is_in_before_or_refused(store: Store, open_another: Open) -> None:
    store.enqueue([new_job() for _ in range(2000)])
    claimed: list[str] = []
    begun = threading.Barrier(4)

    def work(mine: Store, worker: str) -> None:
        begun.wait(20)
        with pytest.raises(StoreMoved):
            for number in range(1, 10_000):
                claimed.extend(job.id for job in take(mine, worker, 2, claim_no=number))

    with ThreadPoolExecutor(3) as pool:
        workers = [join(store, f"w{number}") for number in range(3)]
        ended = [pool.submit(work, open_another(), worker) for worker in workers]
        begun.wait(20)
        wait_until(lambda: len(claimed) > 20)
        store.freeze(TO)
        running_then = sum(queue.counts.get("running", 0) for queue in store.queues())
        for each in ended:
            each.result(20)
    assert len(claimed) == running_then == counted(store)["mail"]["running"]


def wait_until(there: Callable[[], bool]) -> None:
    """Wait until something is the case, 20 s at most."""
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_namespaces_are_frozen_apart(store: Store, elsewhere: Store) -> None:
    put(elsewhere)
    store.freeze(TO)
    assert elsewhere.frozen() is None
    put(elsewhere)
    assert len(everything(elsewhere)) == 2
    assert everything(store) == []
    elsewhere.freeze(TO)
    elsewhere.thaw()
    assert store.frozen() == TO


# -- moved --------------------------------------------------------------------------------------------------------------------
def test_an_empty_store_exports_nothing(store: Store) -> None:
    assert store.export(0) == []
    assert store.import_jobs([]) == 0


def test_an_export_has_what_the_store_shows(store: Store, clock: SettableClock) -> None:
    fill(store, clock)
    parcels = everything(store)
    assert [parcel.job for parcel in parcels] == store.find(JobFilter(), 10_000).jobs[::-1]
    for parcel in parcels:
        made_up = parcel.job.state == "succeeded" and parcel.job.token not in {row.token for row in parcel.attempts}
        assert list(parcel.attempts) == store.attempts(parcel.job.id)[: -1 if made_up else None]
        assert list(parcel.logs) == store.log(parcel.job.id)


def test_an_export_goes_on_after_a_number(store: Store, clock: SettableClock) -> None:
    fill(store, clock)
    assert everything(store, 3) == everything(store)
    assert len(store.export(0, 2)) == 2


@pytest.mark.parametrize("target", ["elsewhere", "apart"])
def test_a_moved_job_is_what_it_was(
    store: Store, target: str, clock: SettableClock, request: pytest.FixtureRequest
) -> None:
    to: Store = request.getfixturevalue(target)
    fill(store, clock)
    before = everything(store)
    assert move(store, to, 4) == len(before)
    assert bare(everything(to)) == bare(before)
    assert newest_first(to) == newest_first(store)
    assert counted(to) == recount(to) == counted(store)
    assert everything(store) == before


def test_nothing_gets_lost_between_this_store_and_the_model(store: Store, model: Store, clock: SettableClock) -> None:
    fill(model, clock)
    move(model, store)
    assert bare(everything(store)) == bare(everything(model))
    assert newest_first(store) == newest_first(model)


def test_nothing_gets_lost_between_the_model_and_this_store(store: Store, model: Store, clock: SettableClock) -> None:
    fill(store, clock)
    move(store, model)
    assert bare(everything(model)) == bare(everything(store))


def test_only_a_running_job_has_a_claim_and_a_request(store: Store) -> None:
    held = asked(store)
    job = asked_and_ended(store)
    of = {parcel.job.id: parcel for parcel in everything(store)}
    assert (of[held.id].claim_no, of[held.id].cancel_reason) == (1, "wrong file")
    assert (of[job].claim_no, of[job].cancel_reason) == (None, None)
    assert (of[job].job.cancel_by, of[job].job.reason) == ("ada", "wrong file")


def asked_and_ended(store: Store) -> str:
    """Store a running job that was asked to stop and did so; return its id."""
    job = running(store, queue="stopped")
    store.cancel(ids(job.id), by="ada", reason="wrong file")
    settle(store, cancelled(job, None))
    return job.id


def test_the_order_of_claims_is_the_same(store: Store, elsewhere: Store, clock: SettableClock) -> None:
    jobs = [put(store, priority=priority) for priority in (0, 5, 0, -5, 5, 0)]
    clock.advance(1)
    jobs += [put(store) for _ in range(3)]
    settle(store, *[released(job) for job in take(store, join(store), 4)])
    move(store, elsewhere, 2)
    there = [job.id for job in take(elsewhere, join(elsewhere, "w2"))]
    assert there == [job.id for job in take(store, join(store, "w3"))]
    assert sorted(there) == sorted(jobs)


def test_importing_twice_changes_nothing(store: Store, elsewhere: Store, clock: SettableClock) -> None:
    fill(store, clock)
    assert move(store, elsewhere) > 0
    first = everything(elsewhere)
    assert move(store, elsewhere) == 0
    assert everything(elsewhere) == first
    assert counted(elsewhere) == recount(elsewhere)


def test_a_running_job_that_is_imported_twice_is_one_orphan(store: Store, elsewhere: Store) -> None:
    running(store)
    parcels = store.export(0)
    for _ in range(2):
        elsewhere.import_jobs(parcels)
    assert [orphan.id for orphan in elsewhere.orphans()] == [parcels[0].job.id]


def test_a_changed_job_replaces_the_one_that_is_stored(store: Store, elsewhere: Store) -> None:
    job, other = running(store, queue="mail"), put(store)
    settle(store, failed(job, Backoff(3, base=5, jitter=False), ERROR)._replace(started=1.0, log="first\n"))
    move(store, elsewhere)
    numbers = {parcel.job.id: parcel.job.seq for parcel in everything(elsewhere)}
    store.requeue(ids(job.id))
    worker = join(store)
    (job,) = take(store, worker, 1, queues=["mail"])
    settle(store, succeeded(job, '"at last"')._replace(started=1.0, log="second\n"))
    store.cancel(ids(other), reason="never mind")
    assert move(store, elsewhere) == 0
    assert bare(everything(elsewhere)) == bare(everything(store))
    assert {parcel.job.id: parcel.job.seq for parcel in everything(elsewhere)} == numbers
    assert counted(elsewhere) == recount(elsewhere) == counted(store)


def test_a_job_that_went_back_to_nothing_loses_what_it_had(store: Store, elsewhere: Store) -> None:
    """A replaced job keeps nothing of the one before: no history, no log, no detail."""
    plain = new_job(meta='{"a": 1}')
    store.enqueue([plain])
    (parcel,) = everything(store)
    settle(store, failed(take(store, join(store))[0], Backoff(3), ERROR)._replace(started=1.0, log="first\n"))
    move(store, elsewhere)
    assert elsewhere.import_jobs([parcel._replace(job=parcel.job._replace(meta=None))]) == 0
    (after,) = everything(elsewhere)
    assert after.job == parcel.job._replace(meta=None, seq=after.job.seq)
    assert (after.attempts, after.logs) == ((), ())
    assert not elsewhere.attempts(plain.id)
    assert not elsewhere.log(plain.id)


def test_of_an_id_given_twice_the_last_holds(store: Store, elsewhere: Store) -> None:
    job = put(store)
    (before,) = everything(store)
    store.cancel(ids(job))
    (after,) = everything(store)
    assert elsewhere.import_jobs([before, after]) == 1
    assert bare(everything(elsewhere)) == bare([after])
    assert counted(elsewhere) == {"mail": {"cancelled": 1}}


def test_moved_ids_stay_known(store: Store, elsewhere: Store) -> None:
    job = new_job()
    store.enqueue([job])
    move(store, elsewhere)
    (answer,) = elsewhere.enqueue([job])
    assert answer.existing
    assert [record.id for record in elsewhere.get([job.id, job.id[-8:]])] == [job.id, job.id]
    assert len(everything(elsewhere)) == 1


def test_new_jobs_come_after_the_moved_ones(store: Store, elsewhere: Store) -> None:
    first, second = put(store), put(store)
    move(store, elsewhere)
    third = put(elsewhere)
    assert [parcel.job.id for parcel in everything(elsewhere)] == [first, second, third]


def test_a_closed_store_can_be_filled(store: Store, elsewhere: Store, clock: SettableClock) -> None:
    fill(store, clock)
    elsewhere.freeze(Closed(store.url, "filling", store.instance).text)
    move(store, elsewhere)
    assert bare(everything(elsewhere)) == bare(everything(store))
    elsewhere.thaw()
    put(elsewhere)


@pytest.mark.usefixtures("url")  # prune goes through the tables
def test_moved_jobs_live_on(store: Store, apart: Store, clock: SettableClock) -> None:
    """What is derived from a job (due, expiring, ended, its line, whose it is) is there too."""
    fill(store, clock)
    settle(store, *[released(job) for job in held(store) if job.queue != "orphaned"])
    move(store, apart)
    for each in (store, apart):
        live_on(each)
    clock.advance(100_000)
    for each in (store, apart):
        each.promote()
        each.expire()
    assert newest_first(apart) == newest_first(store)
    assert store.prune({"succeeded": 3600, "failed": 3600}) == apart.prune({"succeeded": 3600, "failed": 3600}) > 0
    assert newest_first(apart) == newest_first(store)
    assert counted(apart) == recount(apart) == counted(store)


def held(store: Store) -> list[Claimed]:
    """Return all running jobs as their workers have them."""
    records = store.find(JobFilter(states=("running",)), 1000).jobs
    return [Claimed(**{name: getattr(record, name) for name in Claimed._fields}) for record in records]


def live_on(store: Store) -> None:
    """Rescue the orphan, resolve the side line, and take away what can be claimed: its tokens differ from store to store."""
    worker = join(store, "later")
    (orphan,) = store.orphans()
    settle(store, lost(orphan, "gone", started=False))
    assert store.resolve(["parking#tasks:unknown"]) == 1
    jobs = take(store, worker, lines=["parking#tasks:unknown"])
    assert {"again", "back", "orphaned", "parking", "tried"} <= {job.queue for job in jobs}
    settle(store, *[failed(job, Backoff(0), ERROR)._replace(started=1.0) for job in jobs])
    store.delete(ids(*[job.id for job in jobs]))


def test_a_moved_running_job_is_held_by_its_token(store: Store, elsewhere: Store) -> None:
    worker = join(store)
    job = running(store, worker, queue="mail")
    store.cancel(ids(job.id), by="ada", reason="wrong file")
    join(elsewhere, "w2")
    move(store, elsewhere)
    assert state(elsewhere, job.id) == "running"
    assert elsewhere.settle(worker, [failed(job, Backoff(3), ERROR)])[0].how == "cancelled"
    assert (the(elsewhere, job.id).state, the(elsewhere, job.id).reason) == ("cancelled", "wrong file")
    assert state(store, job.id) == "running"


def test_a_late_result_is_kept_with_a_moved_attempt(store: Store, elsewhere: Store) -> None:
    job = running(store)
    settle(store, lost(job, "it is gone", started=True)._replace(started=2.0))
    move(store, elsewhere)
    assert settle(elsewhere, succeeded(job, '"after all"'))[0].how == "stale"
    row: AttemptRecord = elsewhere.attempts(job.id)[0]
    assert row.late == '"after all"'
    assert store.attempts(job.id)[0].late is None


def test_two_namespaces_are_independent(store: Store, elsewhere: Store, clock: SettableClock) -> None:
    fill(store, clock)
    before = everything(store)
    move(store, elsewhere)
    elsewhere.delete(JobFilter(queue="mail"))
    elsewhere.delete(JobFilter(states=("succeeded", "failed", "cancelled", "retrying", "scheduled", "blocked")))
    assert everything(store) == before


def test_texts_of_any_kind_come_through(store: Store, elsewhere: Store) -> None:
    odd = '[["a\\u0000b\\u001e\\u2028", "' + "x" * 200_000 + '"], {}]'
    job = put(store, payload=odd, meta=json.dumps({"k" * 300: "\x1e\x1f"}), tags='["\\u001e"]')
    put(store, task="tasks:ünï", by='{"host": "\\u00fc"}')
    move(store, elsewhere)
    assert bare(everything(elsewhere)) == bare(everything(store))
    assert the(elsewhere, job).payload == odd


def test_large_numbers_come_through(store: Store, elsewhere: Store) -> None:
    put(store, priority=100, at=T0 + 40 * 365 * 86_400 * SECOND)
    (parcel,) = everything(store)
    big = parcel._replace(job=parcel.job._replace(fence=2**53 + 1, rank=-(2**53) - 1, seq=0))
    elsewhere.import_jobs([big])
    assert bare(everything(elsewhere)) == [big]


@pytest.mark.timeout(120)
def test_many_jobs_come_through(store: Store, elsewhere: Store) -> None:
    jobs = [new_job(f"q{number % 7}", priority=number % 3, delay=float(number % 2)) for number in range(5000)]
    for start in range(0, 5000, 1000):
        store.enqueue(jobs[start : start + 1000])
    parcels = everything(store)
    assert [parcel.job.id for parcel in parcels] == [job.id for job in jobs]
    assert elsewhere.import_jobs(parcels) == 5000
    assert bare(everything(elsewhere)) == bare(parcels)
    assert counted(elsewhere) == recount_large(elsewhere) == counted(store)


def recount_large(store: Store) -> dict[str, dict[str, int]]:
    """Count all jobs one by one, by their parcels."""
    counts: dict[str, dict[str, int]] = {}
    for parcel in everything(store):
        of_queue = counts.setdefault(parcel.job.queue, {})
        of_queue[parcel.job.state] = of_queue.get(parcel.job.state, 0) + 1
    return counts
