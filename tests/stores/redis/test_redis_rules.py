"""Redis: what the waiting rules cost, what they leave behind, and a namespace that is older than they are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.errors import BadSchema, SchemaGone, StoreRefused
from tests.conformance.making import admit, ids, join, new_job, obstacle, park, put, running, settle, state, take, the
from tests.servers.redis import Server

from .test_redis_server import configured, fill_up


def many(store: Store, number: int, **changes: Any) -> list[str]:
    """Enqueue many alike."""
    jobs = [new_job(**changes) for _ in range(number)]
    for start in range(0, number, 1000):
        store.enqueue(jobs[start : start + 1000])
    return [job.id for job in jobs]


def commands(server: Server, act: Callable[[], object]) -> int:
    """Return how many commands the server runs meanwhile, those in scripts counted."""
    with server.client() as client:

        def count() -> int:
            return sum(each["calls"] for each in client.info("commandstats").values())

        before = count()
        act()
        return int(count() - before)


def turn(store: Store, worker: str) -> None:
    """End what can run, and let go who comes next."""
    settle(store, *(succeeded(job, None) for job in take(store, worker, 4)))
    admit(store)


# -- cost ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["x", "l"])
def test_an_end_costs_the_same_however_many_wait_for_the_name(server: Server, store: Store, mode: str) -> None:
    worker = join(store)
    store.set_limits({"a": "1"})
    few, lot = 50, 1500
    many(store, few, holds=((mode, "a"),))
    admit(store)
    turn(store, worker)
    with_few = commands(server, lambda: turn(store, worker))
    many(store, lot, holds=((mode, "a"),))
    admit(store)
    assert commands(server, lambda: turn(store, worker)) <= with_few + 5


def test_sharing_costs_the_same_however_many_share(server: Server, store: Store) -> None:
    worker = join(store)
    store.enqueue([new_job(holds=(("x" if number == 59 else "s", "a"),)) for number in range(60)])
    admit(store)
    with_few = commands(server, lambda: turn(store, worker))
    for start in range(0, 2000, 1000):
        store.enqueue([new_job(holds=(("x" if number == 999 else "s", "a"),)) for number in range(start, start + 1000)])
    admit(store)
    assert commands(server, lambda: turn(store, worker)) <= with_few + 5


def test_the_end_of_a_member_reads_no_other_member(server: Server, store: Store) -> None:
    worker = join(store)
    put(store, "later", after_flow="f")
    many(store, 50, flow="f")
    turn(store, worker)
    with_few = commands(server, lambda: turn(store, worker))
    many(store, 3000, flow="f")
    admit(store)
    assert commands(server, lambda: turn(store, worker)) <= with_few + 5


def test_a_plain_job_costs_no_command_more_where_others_have_rules(server: Server, store: Store) -> None:
    worker = join(store)

    def one() -> None:
        settle(store, *(succeeded(job, None) for job in take(store, worker, 1, queues=["plain"])))

    many(store, 10, queue="plain")
    one()
    before = commands(server, one)
    many(store, 100, holds=(("x", "a"),), flow="f")
    admit(store)
    assert commands(server, one) == before
    assert store.freed is False


def test_one_script_examines_a_bounded_number(server: Server, store: Store) -> None:
    join(store)
    many(store, 1000, holds=(("x", "a"), ("s", "b")))
    with configured(server, **{"slowlog-log-slower-than": "0", "slowlog-max-len": "100000"}), server.client() as client:
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        while store.admit().more:
            pass
        scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert scripts >= 10
    assert store.queues()[0].counts == {"queued": 1, "blocked": 999}


def test_thousands_of_children_are_told_in_parts(store: Store) -> None:
    worker = join(store)
    parent = running(store, worker)
    many(store, 5000, after=(parent.id,))
    settle(store, failed(parent, Backoff(0), "{}"))
    calls, cancelled = 0, 0
    while True:
        answer = store.admit(1000)
        calls, cancelled = calls + 1, cancelled + answer.cancelled
        assert answer.cancelled <= 1000
        if not answer.more:
            break
    assert (calls >= 5, cancelled, answer.waits) == (True, 5000, False)
    assert store.requeue(ids(parent.id)).done == (parent.id,)
    assert store.queues(["mail"])[0].counts["blocked"] == 5000


# -- keys ---------------------------------------------------------------------------------------------------------------
def documented() -> list[re.Pattern[str]]:
    """Return the keys of docs/internals/redis.md, a word in capitals standing for anything."""
    page = (Path(__file__).parents[3] / "docs" / "internals" / "redis.md").read_text()
    names = re.findall(r"^\| `N(:[^`]*)?` \|", page, re.MULTILINE)
    forms = (re.sub(r"\b[A-Z]+\b", ".+", name.replace("\\|", "\x1e")) for name in names)
    return [re.compile(f"packhorse:{{default}}{form}", re.DOTALL) for form in forms]


def all_kinds(store: Store) -> None:
    """Leave something of everything that the rules keep."""
    worker = join(store)
    store.set_limits({"smtp": "1", "tenant:*": "1/1h"})
    parent = put(store, flow="f", unique="k")
    put(store, after=(parent,), flow="f")
    put(store, after_flow="f", holds=(("x", "a"),))
    for _ in range(2):
        put(store, holds=(("l", "smtp"), ("s", "a")))
        put(store, holds=(("l", "tenant:1"),))
        put(store, holds=(("x", "b"),), unique="once", unique_until=60.0)
    put(store, "shut", holds=(("x", "a"),))
    store.pause("shut")
    admit(store)
    lost = running(store, worker, flow="f", queue="bad")
    child = put(store, "bad", after=(lost.id,))
    settle(store, failed(lost, Backoff(0), "{}"))
    admit(store)
    assert state(store, child) == "cancelled"
    put(store)


def test_every_key_is_documented(server: Server, store: Store) -> None:
    forms = documented()
    assert len(forms) > 40
    all_kinds(store)
    with server.client() as client:
        keys = client.keys("*")
    assert [key for key in keys if not any(form.fullmatch(key) for form in forms)] == []
    assert len({key.split(":")[2] for key in keys if key.count(":") > 1}) > 25


def test_deleted_jobs_with_rules_leave_no_keys(server: Server, store: Store) -> None:
    all_kinds(store)
    while store.cancel(JobFilter(since=0)).more or store.delete(JobFilter(since=0)).done:
        pass
    store.set_limits({"smtp": None, "tenant:*": None})
    admit(store)
    with server.client() as client:
        left = {key.removeprefix("packhorse:{default}") for key in client.keys("*")}
        assert client.hget("packhorse:{default}", "waits") == "0"
    expected = {"", ":names", ":counts", ":workers", ":holders", ":named", ":paused"}
    assert {key for key in left if not key.startswith((":worker:", ":ended:"))} <= expected


# -- memory -------------------------------------------------------------------------------------------------------------
def test_a_full_server_lets_those_go_that_wait(server: Server, store: Store) -> None:
    worker = join(store)
    first, second = put(store, holds=(("x", "a"),)), put(store, holds=(("x", "a"),))
    third = put(store, after=(second,))
    admit(store)
    with configured(server, maxmemory="10mb"):
        fill_up(store)
        for job in (first, second, third):
            (claimed,) = take(store, worker, 5, queues=["mail"])
            assert claimed.id == job
            assert settle(store, succeeded(claimed, None)) == []
            assert obstacle(store, job) is None
            admit(store)
    assert [state(store, job) for job in (first, second, third)] == ["succeeded"] * 3


# -- formats ------------------------------------------------------------------------------------------------------------
def make_older(server: Server, store: Store) -> None:
    """Say of a namespace that it has the format before the rules."""
    with server.client() as client:
        client.hset("packhorse:{default}", "is", f"{store.instance}:1")


def test_a_namespace_of_the_format_before_goes_on(server: Server, store: Store) -> None:
    worker = join(store)
    jobs = [put(store), put(store, delay=60), park(store, worker=worker), running(store, worker).id]
    before = [the(store, job) for job in jobs]
    make_older(server, store)
    newer = open_store(server.url)
    assert [the(newer, job) for job in jobs] == before
    assert newer.instance == store.instance
    held = put(newer, holds=(("x", "a"),), after=(jobs[0], jobs[3]))
    assert newer.resolve(["mail#tasks:unknown"]) == 1
    settle(newer, *(succeeded(job, None) for job in take(newer, worker, 9, queues=["mail"], claim_no=2)))
    assert obstacle(newer, held) is not None
    newer.close()


def test_a_connection_that_was_open_meanwhile_brings_it_up_or_is_refused(server: Server, store: Store) -> None:
    make_older(server, store)
    job = put_again(store)
    with server.client() as client:
        assert client.hget("packhorse:{default}", "is") == f"{store.instance}:2"
        client.hset("packhorse:{default}", "is", f"{store.instance}:3")
    with pytest.raises(BadSchema, match="newer"):
        the(store, job)


def put_again(store: Store) -> str:
    """Enqueue a job, once more if the format has just changed."""
    try:
        return put(store)
    except SchemaGone:
        return put(store)


def test_a_user_who_may_too_little_brings_nothing_up(server: Server, store: Store) -> None:
    make_older(server, store)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~packhorse:*", "+@all", "-zscore", "-zrevrank")
        with pytest.raises(StoreRefused, match=r"ZREVRANK, ZSCORE \(NOPERM\)"):
            open_store(server.url.replace("//", "//bob:pw@"))
        assert client.hget("packhorse:{default}", "is") == f"{store.instance}:1"


# -- time ---------------------------------------------------------------------------------------------------------------
def test_one_free_job_starts_at_once_beside_two_hundred_that_wait(store: Store) -> None:
    worker = join(store)
    many(store, 201, holds=(("x", "a"),))
    admit(store)
    free = put(store, holds=(("x", "b"),))
    begun = time.monotonic()
    store.admit()
    assert {job.id for job in take(store, worker, 5)} >= {free}
    assert time.monotonic() - begun < 1.0
