"""Redis: which servers are refused and why, what persistence means, and what a server does to its scripts, keys and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, lost, released, succeeded
from packhorse._record import Report
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse._stores.redis import server as servers
from packhorse._stores.redis.scripts import sha_of
from packhorse.errors import BadSchema, BadStore, SchemaGone, StoreError, StoreFull, StoreRefused, StoreUnavailable
from tests.conformance.making import beat, die, ids, join, new_job, put, running, settle, state, take, the
from tests.servers.redis import Server


@contextmanager
def configured(server: Server, **settings: object) -> Iterator[None]:
    """Set something on the server for a while."""
    with server.client() as client:
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value)
        yield
        for name, value in before.items():
            client.config_set(name, value)


# -- eviction -----------------------------------------------------------------------------------------------------------
def test_a_server_that_may_delete_jobs_is_refused(server: Server) -> None:
    with configured(server, **{"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}):
        with pytest.raises(BadStore, match=r"maxmemory-policy allkeys-lru will delete jobs.*noeviction.*E104"):
            open_store(server.url)
        with server.client() as client:
            assert client.dbsize() == 0


def test_a_policy_without_a_limit_deletes_nothing(server: Server) -> None:
    with configured(server, **{"maxmemory-policy": "allkeys-lru"}):
        open_store(server.url).close()


def test_the_policy_is_looked_at_again_when_the_connection_is_made_anew(server: Server, store: Store) -> None:
    put(store)
    with configured(server, **{"maxmemory": "100mb", "maxmemory-policy": "volatile-ttl"}):
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StoreError):
            put(store)
        with pytest.raises(BadStore, match="will delete jobs"):
            put(store)
    put(store)


def test_the_policy_is_read_where_config_is_denied(server: Server) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "ada", "on", ">pw", "~*", "+@all", "-config")
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lfu")
        with pytest.raises(BadStore, match="allkeys-lfu will delete jobs"):
            open_store(server.url.replace("//", "//ada:pw@"))
        client.config_set("maxmemory-policy", "noeviction")
    opened = open_store(server.url.replace("//", "//ada:pw@"))
    assert "second" in opened.capabilities.promise
    opened.close()


# -- memory ------------------------------------------------------------------------------------------------------------
def fill_up(store: Store) -> None:
    """Enqueue until there is no room."""
    for _ in range(200):
        try:
            store.enqueue([new_job("fill", payload=f'[["{"x" * 20_000}"], {{}}]') for _ in range(20)])
        except StoreFull:
            return
    raise AssertionError("the memory never became full")


def test_a_full_server_takes_no_job_and_lets_the_others_end(server: Server, store: Store) -> None:
    worker, dead = join(store, "w1"), join(store, "w2")
    good, bad, back, unwanted = (running(store, worker) for _ in range(4))
    orphan, ghost = running(store, dead), running(store, dead)
    waiting, due = put(store), put(store, delay=0.01)
    with configured(server, maxmemory="10mb"):
        fill_up(store)
        before = store.queues()
        with pytest.raises(StoreFull, match=r"memory is full.*nothing was stored.*E107"):
            put(store, "other", payload=f'[["{"x" * 100_000}"], {{}}]')
        assert store.queues() == before
        assert beat(store, worker, [good, bad, back, unwanted]).alive
        store.report(worker, [Report(good.id, good.token, 0.1, '{"": {"done": 1}}')])
        assert store.cancel(ids(unwanted.id, waiting)).asked == (unwanted.id,)
        verdicts = [succeeded(good, '"done"'), failed(bad, Backoff(3), '{"type": "E"}'), released(back)]
        assert settle(store, *verdicts) == []
        assert beat(store, dead, [orphan]).ghosts == [ghost.id]
        die(store, dead)
        assert [each.job for each in store.orphans()] == [orphan.id]
        assert settle(store, lost(store.orphans()[0], "gone", started=False)) == []
        late = time.monotonic() + 10
        while not store.promote()[0]:
            assert time.monotonic() < late
        assert join(store, "w3")
        assert len(take(store, worker, 5, queues=["fill"])) == 5
    states = [state(store, job) for job in (good.id, bad.id, back.id, orphan.id, waiting, due)]
    assert states == ["succeeded", "retrying", "queued", "queued", "cancelled", "queued"]


def test_a_full_server_is_emptied_by_work(server: Server, store: Store) -> None:
    worker = join(store)
    with configured(server, maxmemory="10mb"):
        fill_up(store)
        number = 0
        while jobs := take(store, worker, 100, claim_no=(number := number + 1)):
            assert settle(store, *(succeeded(job, None) for job in jobs)) == []
        assert store.delete(JobFilter(states=("succeeded",))).done
        put(store, payload=f'[["{"x" * 20_000}"], {{}}]')


# -- scripts -----------------------------------------------------------------------------------------------------------
def test_scripts_that_are_flushed_all_the_time(server: Server, store: Store) -> None:
    over = threading.Event()
    flushed = [0]

    def flush() -> None:
        with server.client() as client:
            while not over.wait(0.05):
                client.script_flush()
                flushed[0] += 1

    thread = threading.Thread(target=flush)
    thread.start()
    waiter = open_store(server.url)
    try:
        worker, done, number = join(store), 0, 0
        while flushed[0] < 20:
            number += 1
            store.enqueue([new_job() for _ in range(5)])
            waiter.wait(0.01)
            jobs = take(store, worker, claim_no=number)
            assert settle(store, *(succeeded(job, "1") for job in jobs)) == []
            done += len(jobs)
            assert beat(store, worker, claim_no=number).alive
    finally:
        over.set()
        thread.join()
        waiter.close()
    assert done == number * 5
    assert store.queues()[0].counts == {"succeeded": done}


def test_a_script_is_sent_once(server: Server, store: Store) -> None:
    put(store)
    with server.client() as client:
        client.script_flush()
        put(store)
        assert client.script_exists(sha_of("enqueue_plain")) == [True]
        client.config_resetstat()
        put(store)
        assert "cmdstat_eval" not in client.info("commandstats")


# -- keys that go ------------------------------------------------------------------------------------------------------
def test_a_server_that_was_emptied_is_no_empty_queue(server: Server, store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    with server.client() as client:
        client.flushall()
    calls = [
        lambda: put(store),
        lambda: take(store, worker),
        lambda: beat(store, worker, [job]),
        lambda: settle(store, succeeded(job, "1")),
        lambda: store.queues(),
        lambda: store.find(JobFilter()),
        lambda: store.changed(),
        lambda: store.wait(0.01),
    ]
    for call in calls:
        with pytest.raises(SchemaGone, match=r"are gone.*Nothing was stored.*E133"):
            call()
    with server.client() as client:
        assert client.dbsize() == 0


def test_a_backup_of_something_else_is_noticed(server: Server, store: Store) -> None:
    put(store)
    with server.client() as client:
        client.flushall()
        open_store(server.url).close()
    with pytest.raises(SchemaGone, match="not those that were here before"):
        put(store)


def test_another_format_is_not_touched(server: Server, store: Store) -> None:
    put(store)
    with server.client() as client:
        (key,) = [key for key in client.keys("*") if client.type(key) == "hash" and client.hexists(key, "is")]
        client.hset(key, "is", f"{store.instance}:3")
    with pytest.raises(BadSchema, match=r"format 3.*newer.*E102"):
        open_store(server.url)
    with pytest.raises(BadSchema, match="format 3"):
        put(store)


def test_nothing_is_made_where_nothing_may_be(server: Server) -> None:
    with pytest.raises(BadStore, match="holds no job store"):
        open_store(server.url, create=False)
    with server.client() as client:
        assert client.dbsize() == 0
    open_store(server.url).close()
    open_store(server.url, create=False).close()


def test_all_keys_are_of_the_namespace_and_in_one_slot(server: Server, store: Store) -> None:
    worker = join(store)
    put(store, delay=5, expires=50)
    put(store, priority=3)
    settle(store, failed(running(store, worker), Backoff(0), "{}")._replace(log="x"))
    settle(store, succeeded(running(store, worker), "1", keep=5))
    store.pause("mail")
    store.wait(0.01)
    with server.client() as client:
        keys = client.keys("*")
    assert len(keys) > 15
    assert all(key == "packhorse:{default}" or key.startswith("packhorse:{default}:") for key in keys)


def test_deleted_jobs_leave_no_keys(server: Server, store: Store) -> None:
    worker = join(store)
    with server.client() as client:
        before = set(client.keys("*"))
        settle(store, failed(running(store, worker), Backoff(0), "{}")._replace(log="x"))
        put(store, "mail", expires=50, delay=3, tags='["t"]')
        store.delete(JobFilter(since=0))
        left = set(client.keys("*")) - before
    of_names = {f"packhorse:{{default}}:{name}" for name in ("names", "counts", "ended:f")}
    assert left <= of_names


# -- persistence -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings, words",
    [
        ({"appendonly": "no", "save": ""}, "every job is lost"),
        ({"appendonly": "no", "save": "60 1"}, "since its last snapshot"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, "about the last second"),
        ({"appendonly": "yes", "appendfsync": "always"}, "is on the server's disk"),
        ({"appendonly": "yes", "appendfsync": "no"}, "about 30 s"),
    ],
)
def test_the_promise_says_what_the_persistence_means(server: Server, settings: dict[str, str], words: str) -> None:
    with configured(server, **settings):
        opened = open_store(server.url)
        assert words in opened.capabilities.promise
        opened.close()


def test_fsync_is_kept_or_refused(server: Server) -> None:
    url = f"{server.url}?durability=fsync"
    with server.client() as client:
        waits = tuple(map(int, client.info("server")["redis_version"].split(".")[:2])) >= (7, 2)
    with (
        configured(server, appendonly="no"),
        pytest.raises(BadStore, match=r"durability=fsync cannot be kept: appendonly"),
    ):
        open_store(url)
    with configured(server, appendfsync="always"):
        opened = open_store(url)
        put(opened)
        assert opened.capabilities.promise == "Every acknowledged change is on the server's disk."
        opened.close()
    if not waits:
        with pytest.raises(BadStore, match="appendfsync is everysec"):
            open_store(url)


@pytest.mark.parametrize(
    "info, config, fit",
    [
        ("redis_version:7.2.1\r\naof_enabled:1\r\nrole:master", {"appendfsync": "everysec"}, True),
        ("redis_version:7.0.9\r\naof_enabled:1\r\nrole:master", {"appendfsync": "everysec"}, False),
        ("redis_version:7.2.4\r\nvalkey_version:8.1.1\r\naof_enabled:1\r\nrole:master", {}, True),
        ("redis_version:6.2.0\r\naof_enabled:1\r\nrole:master", {"appendfsync": "always"}, True),
    ],
)
def test_which_servers_can_tell_when_a_change_is_on_disk(info: str, config: dict[str, str], fit: bool) -> None:
    server = servers.read(info, config)
    if fit:
        servers.refuse_unfit(server, "redis://h", cluster=False, fsync=True, first=True)
        assert servers.waits(server, True) == (config.get("appendfsync") != "always")
    else:
        with pytest.raises(BadStore):
            servers.refuse_unfit(server, "redis://h", cluster=False, fsync=True, first=True)


@pytest.mark.parametrize("version", ["6.0.16", "5.0.14", "2.8"])
def test_servers_that_are_too_old_are_refused(version: str) -> None:
    found = servers.read(f"redis_version:{version}\r\nrole:master", {})
    with pytest.raises(BadStore, match=r"6\.2 or newer is needed"):
        servers.refuse_unfit(found, "redis://h", cluster=False, fsync=False, first=True)


# -- many --------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_fifty_thousand_orphans(store: Store) -> None:
    worker = join(store)
    for number in range(50):
        store.enqueue([new_job() for _ in range(1000)])
        assert len(take(store, worker, 1000, claim_no=number + 1)) == 1000
    die(store, worker)
    rescued = 0
    while orphans := store.orphans():
        assert len(orphans) <= 1000
        assert settle(store, *(lost(orphan, "gone", started=False) for orphan in orphans)) == []
        rescued += len(orphans)
    assert rescued == 50_000
    assert store.queues()[0].counts == {"queued": 50_000}


def test_a_beat_that_holds_thousands(store: Store) -> None:
    worker = join(store)
    for _ in range(5):
        store.enqueue([new_job() for _ in range(1000)])
    jobs = [job for number in range(5) for job in take(store, worker, 1000, claim_no=number + 1)]
    reply = beat(store, worker, jobs[:4000], claim_no=5)
    assert (len(reply.ghosts), reply.lost, reply.cancelled) == (1000, [], [])
    assert len(settle(store, *(succeeded(job, "1") for job in jobs))) == 1000


def test_a_line_is_taken_from_under_other_priorities(store: Store) -> None:
    worker = join(store)
    jobs = {put(store, priority=number % 7): number % 7 for number in range(70)}
    taken = [jobs[job.id] for _ in range(10) for job in take(store, worker, 7)]
    assert taken == sorted(jobs.values(), reverse=True)


def test_finding_the_rare_ones_among_many_is_quick(store: Store) -> None:
    worker = join(store)
    for number in range(20):
        store.enqueue([new_job("much", task="m:f") for _ in range(1000)])
        jobs = take(store, worker, 1000, claim_no=number + 1)
        settle(store, *(succeeded(job, "1") for job in jobs))
    bad = running(store, worker, queue="rare", task="m:g")
    settle(store, failed(bad, Backoff(0), "{}"))
    store.enqueue([new_job("much", task="m:f") for _ in range(1000)])
    for which in (JobFilter(states=("failed",)), JobFilter(queue="rare"), JobFilter(task="m:g")):
        page = store.find(which)
        assert ([job.id for job in page.jobs], page.next) == ([bad.id], None)
    assert store.find(JobFilter(states=("succeeded",), queue="much")).next is not None
    assert the(store, bad.id[-8:]).id == bad.id


def test_a_user_who_may_too_little_is_told_what_is_missing(server: Server) -> None:
    open_store(server.url).close()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~packhorse:*", "+@all", "-zadd", "-hincrby")
    opened = open_store(server.url.replace("//", "//bob:pw@"))
    with pytest.raises(StoreRefused, match=r"may not|does not let this user run HINCRBY, ZADD \(NOPERM\)"):
        put(opened)
    opened.close()


def test_a_closed_handle_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        put(store)
