"""Redis: what steering costs and leaves behind, and what goes on when the one who began it is gone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, parked
from packhorse._steering import NEVER, Edit
from packhorse._store import JobFilter, Store
from packhorse._stores.redis import revive
from packhorse.errors import StoreUnavailable
from tests.conformance.making import admit, beat, ids, join, new_job, put, running, settle, state, take, the
from tests.servers.redis import Server

from .test_redis_rules import commands, documented, many
from .test_redis_server import configured, fill_up

HOUR = 3_600_000_000


# -- cost ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [1, 5])
def test_a_step_costs_jobs_without_a_priority_nothing(server: Server, store: Store, number: int) -> None:
    def enqueue(**changes: Any) -> Callable[[], object]:
        return lambda: store.enqueue([new_job(**changes) for _ in range(number)])

    for _ in range(2):  # kinds and scripts are known from then on
        enqueue()()
        enqueue(priority=3)()
    plain, urgent = commands(server, enqueue()), commands(server, enqueue(priority=3))
    assert urgent == plain + 1
    store.set_step("mail", HOUR)
    assert commands(server, enqueue()) == plain
    assert commands(server, enqueue(priority=3)) == urgent + 1  # its rank is kept


def test_an_edit_reads_and_writes_once_but_where_something_is_merged(server: Server, store: Store) -> None:
    job = put(store, tags='["t"]', meta='{"a": 1}')
    store.edit([job], Edit(queue="bulk"))
    store.edit([job], Edit(priority=1, meta="{}"))  # kinds and scripts are known from then on

    def calls(edit: Edit) -> int:
        with server.client() as client:
            client.config_resetstat()
            store.edit([job], edit)
            return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

    assert calls(Edit(priority=2, queue="bulk", delay=5, tags="[]")) == 1
    assert calls(Edit(meta='{"b": 2}')) == 2


# -- others at the same time --------------------------------------------------------------------------------------------
def test_what_another_wrote_meanwhile_is_merged(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [put(store, meta='{"a": 1}', options='{"timeout": 5}') for _ in range(2)]
    run: Any = store._run  # type: ignore[attr-defined]
    between = [Edit(meta='{"b": 2}'), Edit(options='{"retry": 0}')]

    def run_late(verb: str, *words: Any) -> Any:
        if verb == "edit" and between:
            other.edit(jobs[1:], between.pop())
        return run(verb, *words)

    monkeypatch.setattr(store, "_run", run_late)
    assert store.edit(jobs, Edit(meta='{"c": 1.50}', options='{"timeout": null}')).done == tuple(jobs)
    first, second = (the(store, job) for job in jobs)
    assert (first.meta, first.options) == ('{"a": 1, "c": 1.5}', '{"timeout": null}')
    assert (second.meta, second.options) == ('{"a": 1, "b": 2, "c": 1.5}', '{"timeout": null, "retry": 0}')


def test_an_edit_that_is_always_outrun_says_so(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = put(store)
    run: Any = store._run  # type: ignore[attr-defined]
    number = iter(range(1000))

    def run_late(verb: str, *words: Any) -> Any:
        if verb == "edit":
            other.edit([job], Edit(meta=f'{{"n": {next(number)}}}'))
        return run(verb, *words)

    monkeypatch.setattr(store, "_run", run_late)
    with pytest.raises(StoreUnavailable, match="faster than they can be merged"):
        store.edit([job], Edit(meta='{"a": 1}'))
    assert the(other, job).meta == f'{{"n": {next(number) - 1}}}'


def test_a_text_that_would_break_the_form_is_refused(store: Store) -> None:
    job = put(store)
    with pytest.raises(ValueError, match="raw control character"):
        store.edit([job], Edit(payload='"\x1e"'))
    assert the(store, job).payload == new_job().payload


# -- keys ---------------------------------------------------------------------------------------------------------------
def stir(store: Store, worker: str, chance: random.Random) -> None:
    """Change jobs of every kind that waits, in every way."""
    jobs = [put(store, "mail", priority=chance.choice((0, 3)), delay=chance.choice((0, 60))) for _ in range(4)]
    jobs += [put(store, "mail", holds=(("x", "a"),), flow="f", after=tuple(jobs[:1])) for _ in range(2)]
    jobs += [put(store, "mail", holds=((mode, "a"),), expires=90, unique=f"k{mode}") for mode in "xsl"]
    jobs += [put(store, "bulk", after_flow="f")]
    admit(store)
    parks = running(store, worker)
    settle(store, parked(parks, parks.queue))
    retries = running(store, worker)
    settle(store, failed(retries, Backoff(5), "{}"))
    jobs += [parks.id, retries.id]
    for _ in range(30):
        change = Edit(
            queue=chance.choice((None, "mail", "bulk", "odd", "shut")),
            priority=chance.choice((None, 0, 3, -7)),
            delay=chance.choice((None, None, 0.0, 60.0)),
            expires_at=chance.choice((None, NEVER)),
            tags=chance.choice((None, "[]", '["u"]')),
            meta=chance.choice((None, '{"a": null}', '{"a": 2}')),
            payload="[[], {}]",
        )
        store.edit(chance.sample(jobs, 3), change)
        chance.choice((lambda: admit(store), lambda: store.pause("shut", seconds=60), lambda: store.resume("shut")))()
        store.set_step("mail", chance.choice((None, HOUR)))


@pytest.mark.parametrize("seed", range(6))
def test_jobs_that_were_changed_leave_nothing_where_they_were(server: Server, store: Store, seed: int) -> None:
    worker = join(store)
    store.set_limits({"a": "1"})
    for _ in range(3):
        stir(store, worker, random.Random(seed))
    forms = documented()
    with server.client() as client:
        assert [key for key in client.keys("*") if not any(form.fullmatch(key) for form in forms)] == []
    while store.cancel(JobFilter(since=0)).more or store.delete(JobFilter(since=0)).done:
        pass
    store.resume("shut")
    store.set_step("mail", None)
    store.set_limits({"a": None})
    admit(store)
    beat(store, worker)  # forgets side lines where nobody is
    with server.client() as client:
        left = {key.removeprefix("packhorse:{default}") for key in client.keys("*")}
        counts = client.hgetall("packhorse:{default}:counts")
        assert client.hget("packhorse:{default}", "waits") == "0"
    assert set(counts.values()) == {"0"}
    expected = {"", ":names", ":counts", ":workers", ":holders", ":named"}
    assert {key for key in left if not key.startswith((":worker:", ":ended:"))} <= expected


# -- memory -------------------------------------------------------------------------------------------------------------
def test_a_full_server_ends_pauses_and_puts_jobs_back(server: Server, store: Store) -> None:
    worker = join(store)
    parent, child = given_up(store, worker)
    store.pause("mail", seconds=0.05)
    cut_off(store, lambda: store.requeue(ids(parent)))
    with configured(server, maxmemory="10mb"):
        fill_up(store)
        while store.queues(["mail"])[0].paused_at is not None:
            store.promote()
        assert state(store, child) == "blocked"
        assert store.edit([child], Edit(queue="other")).done == (child,)
    assert the(store, child).queue == "other"


# -- what a requeue has begun -------------------------------------------------------------------------------------------
class CutOff(Exception):
    """The process that called has ended here."""


def given_up(store: Store, worker: str, **changes: Any) -> tuple[str, str]:
    """Return a job that failed, and one that gave up because of it."""
    parent = running(store, worker, **changes)
    child = put(store, after=(parent.id,))
    settle(store, failed(parent, Backoff(0), "{}"))
    admit(store)
    assert state(store, child) == "cancelled"
    return parent.id, child


def cut_off(store: Store, act: Callable[[], object]) -> None:
    """Do what the caller does until it has told the server to begin, as if it were killed then."""

    def end(limit: int | None = None) -> bool:
        raise CutOff

    store._revive = end  # type: ignore[attr-defined]
    with pytest.raises(CutOff):
        act()
    del store._revive  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["promote", "admit"])
def test_what_a_requeue_has_begun_ends_though_it_was_cut_off(store: Store, other: Store, verb: str) -> None:
    worker = join(store)
    parent, child = given_up(store, worker)
    grandchild = put(store, after=(child,))
    admit(store)
    cut_off(store, lambda: store.requeue(ids(parent)))
    assert [state(store, job) for job in (parent, child, grandchild)] == ["queued", "cancelled", "cancelled"]
    getattr(other, verb)()
    assert [state(store, job) for job in (parent, child, grandchild)] == ["queued", "blocked", "blocked"]
    assert the(store, child).generation == 1
    admit(other)
    assert [state(store, job) for job in (child, grandchild)] == ["blocked", "blocked"]


@pytest.mark.parametrize("verb", ["promote", "admit"])
def test_one_call_puts_a_bounded_number_back_and_asks_to_be_called_again(store: Store, other: Store, verb: str) -> None:
    worker = join(store)
    parent = running(store, worker)
    many(store, 2500, after=(parent.id,))
    settle(store, failed(parent, Backoff(0), "{}"))
    admit(store)
    cut_off(store, lambda: store.requeue(ids(parent.id)))
    calls = 0
    while True:
        calls += 1
        again = other.promote()[1] == 0.0 if verb == "promote" else other.admit().more
        blocked = store.queues(["mail"])[0].counts.get("blocked", 0)
        assert blocked <= 1300 * calls
        if not again:
            break
    assert blocked == 2500
    assert calls > 2


def test_a_frozen_namespace_puts_nobody_back(store: Store, other: Store) -> None:
    worker = join(store)
    parent, child = given_up(store, worker)
    cut_off(store, lambda: store.requeue(ids(parent)))
    store.freeze("elsewhere")
    other.promote()
    other.admit()
    assert state(store, child) == "cancelled"
    store.thaw()
    other.promote()
    assert state(store, child) == "blocked"


def test_one_kept_out_by_its_key_comes_back_with_a_later_requeue(store: Store) -> None:
    worker = join(store)
    parent = running(store, worker, queue="mail")
    child = put(store, after=(parent.id,), unique="k")
    settle(store, failed(parent, Backoff(0), "{}"))
    admit(store)
    rival = put(store, "shut", unique="k")
    store.requeue(ids(parent.id))
    assert state(store, child) == "cancelled"
    store.cancel(ids(rival))
    (again,) = take(store, worker, 9, queues=["mail"])
    settle(store, failed(again, Backoff(0), "{}"))
    store.requeue(ids(parent.id))
    assert state(store, child) == "blocked"


def test_of_two_with_one_key_the_older_comes_back_whatever_the_order_of_their_parents(store: Store) -> None:
    worker = join(store)
    parents = [running(store, worker) for _ in range(2)]
    children = []
    for parent in reversed(parents):
        children.append(put(store, after=(parent.id,), unique="k"))
        settle(store, failed(parent, Backoff(0), "{}"))
        admit(store)
    store.requeue(ids(*(parent.id for parent in parents)))
    assert [state(store, child) for child in children] == ["blocked", "cancelled"]


def test_steps_away_from_a_requeued_job_are_taken_one_after_the_other(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revive, "_PART", 2)
    worker = join(store)
    parent = running(store, worker)
    step = [put(store, after=(parent.id,)) for _ in range(3)]
    first = put(store, after=(step[0],), unique="k")
    settle(store, failed(parent, Backoff(0), "{}"))
    admit(store)
    second = put(store, after=(step[2],), unique="k")
    settle(store, *(failed(job, Backoff(0), "{}") for job in take(store, worker)))
    admit(store)
    rest = put(store, after=(parent.id,), unique="k")
    admit(store)
    assert {state(store, job) for job in (*step, first, second, rest)} == {"cancelled"}
    cut_off(store, lambda: store.requeue(ids(parent.id)))
    for _ in range(30):
        if not other._revive(1):  # type: ignore[attr-defined]
            break
    assert [state(store, job) for job in (*step, first, second, rest)] == [
        *["blocked"] * 3,
        "cancelled",
        "cancelled",
        "blocked",
    ]
