"""Redis: the ways to a server (sockets, TLS, sentinels, a cluster, users), and URLs that lead nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from packhorse._stores import open_store
from packhorse._stores.redis import address
from packhorse._stores.redis.acl import commands
from packhorse.errors import BadStore, ConfigError, PackhorseError, StoreRefused, StoreUnavailable
from tests.conformance.making import join, put, take, the
from tests.outage import certificates
from tests.outage.tls import Front
from tests.servers.redis import Server, free_port

_LONG = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("redis")
    started = Server(directory, unixsocket=directory / "redis.sock")
    started.start()
    yield started
    started.stop()


# -- URLs ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_the_schemes_mean_the_same(server: Server, scheme: str) -> None:
    store = open_store(server.url.replace("redis", scheme))
    assert store.capabilities.scheme == "redis"
    assert the(store, put(store)).state == "queued"
    store.close()


def test_databases_are_apart_however_they_are_named(server: Server) -> None:
    by_path, by_option = open_store(server.url[:-1] + "3"), open_store(server.url[:-2] + "?db=3")
    other = open_store(server.url[:-1] + "4")
    job = put(by_path)
    assert the(by_option, job).id == job
    assert by_option.instance == by_path.instance != other.instance
    assert other.get([job]) == []
    for store in (by_path, by_option, other):
        store.close()


def test_a_socket(server: Server) -> None:
    store = open_store(f"unix://{server.home}/redis.sock?db=5")
    assert the(store, put(store)).queue == "mail"
    store.close()


def test_a_namespace_in_the_url_wins(server: Server) -> None:
    store = open_store(f"{server.url}?namespace=mine", namespace="other")
    assert store.namespace == "mine"
    put(store)
    with server.client() as client:
        assert client.exists("packhorse:{mine}:ids")
    store.close()


@pytest.mark.parametrize(
    "url, words",
    [
        ("redis://h/x", "the database is a number"),
        ("redis://h/0?dbb=1", "unknown option 'dbb'"),
        ("redis://a,b/0", "several hosts are for sentinel"),
        ("redis://h/1?cluster=1", "database 0 only"),
        ("redis://h/0?cluster=1&sentinel=m", "exclude each other"),
        ("unix://?db=1", "path after three slashes"),
        ("redis://h/0?ssl_ca_certs=/x", "write rediss|is for TLS"),
        ("rediss://h/0?ssl_cert_reqs=optional", "is one of none, required"),
        ("redis://h/0?durability=always", "is one of fsync, server"),
        ("redis://h/0?connect_timeout=soon", "number of seconds"),
    ],
)
def test_a_url_that_cannot_be_meant(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_store(url)


@pytest.mark.parametrize(
    "query, checks",
    [
        ("", ("required", True)),
        ("?ssl_check_hostname=0", ("required", False)),
        ("?ssl_cert_reqs=none", ("none", False)),
        ("?ssl_cert_reqs=required&ssl_check_hostname=1", ("required", True)),
    ],
)
def test_certificates_are_checked_unless_the_url_says_otherwise(query: str, checks: tuple[str, bool]) -> None:
    tls = address.locate(f"rediss://h/0{query}").tls
    assert tls is not None
    assert (tls["ssl_cert_reqs"], tls["ssl_check_hostname"]) == checks


def test_a_password_is_in_no_text(server: Server) -> None:
    for url in (f"redis://ada:s3cret@127.0.0.1:{server.port}/0", "redis://:s3cret@127.0.0.1:1/0"):
        with pytest.raises(PackhorseError) as caught:
            open_store(url)
        assert "s3cret" not in str(caught.value)
        assert "***" in str(caught.value)


# -- TLS ----------------------------------------------------------------------------------------------------------------
def test_tls_with_a_ca_of_our_own(server: Server, tmp_path: Path) -> None:
    ca = certificates.authority(tmp_path)
    front = Front(certificates.signed(tmp_path, ca, "good"), "127.0.0.1", server.port, postgres=False)
    url = f"rediss://localhost:{front.port}/0"
    try:
        store = open_store(f"{url}?ssl_ca_certs={ca.cert}")
        job = put(store)
        assert the(store, job).id == job
        assert not store.wait(0.01) or store.changed() in (True, False)
        store.close()
        with pytest.raises(StoreRefused, match="certificate was not accepted"):
            open_store(url)
        with pytest.raises(StoreRefused, match="(?i)host ?name|certificate"):
            open_store(f"{url.replace('localhost', '127.0.0.1')}?ssl_ca_certs={ca.cert}")
        store = open_store(f"{url}?ssl_cert_reqs=none")
        assert the(store, job).id == job
        store.close()
    finally:
        front.close()


# -- a user -------------------------------------------------------------------------------------------------------------
def test_the_guide_has_the_very_commands_of_the_list() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "redis.md").read_text()
    line = " ".join(f"+{name}" for name in commands())
    assert line in " ".join(guide.replace("\\\n", " ").split())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_suite_passes_for_a_user_who_may_only_what_the_list_says() -> None:
    root = Path(__file__).parents[3]
    names = "model moving wait workers queues find report admit holds limits unique after flows schedules steering"
    files = [f"tests/conformance/test_{name}.py" for name in names.split()]
    environ = {
        **os.environ, "PACKHORSE_TEST_STORES": "redis", "PACKHORSE_TEST_REDIS_ACL": "1",
        "PYTHONPATH": os.pathsep.join((str(root / "src"), str(root))),
    }  # fmt: skip
    for name in ("PACKHORSE_TEST_REDIS_URL", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        environ.pop(name, None)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    done = subprocess.run(words, cwd=root, env=environ, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:]


# -- sentinels ----------------------------------------------------------------------------------------------------------
class Watched:
    """A master with a replica, and a sentinel that changes them over."""

    def __init__(self, directory: Path) -> None:
        self.master = Server(directory / "master", appendonly="yes")
        self.replica = Server(directory / "replica", appendonly="yes", replicaof=f"127.0.0.1 {self.master.port}")
        for each in (self.master, self.replica):
            each.start()
        self.sentinel = Server(directory / "sentinel", "--sentinel")
        self.sentinel.config.write_text(
            f"port {self.sentinel.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor jobs 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds jobs 300\nsentinel failover-timeout jobs 2000\n"
        )
        self.sentinel.start()
        until(lambda: self.replica.client().info("replication")["master_link_status"] == "up")
        until(lambda: self.sentinel.client().execute_command("SENTINEL", "REPLICAS", "jobs"))

    @property
    def url(self) -> str:
        """The URL of the store, by way of a host that is not there, and the sentinel."""
        return f"redis://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}/0?sentinel=jobs&connect_timeout=1"

    def close(self) -> None:
        """Stop all three."""
        for each in (self.sentinel, self.master, self.replica):
            each.stop()


def until(holds: object) -> None:
    """Wait until something holds."""
    assert callable(holds)
    late = time.monotonic() + _LONG
    while True:
        try:
            if holds():
                return
        except (redis.RedisError, StoreUnavailable, KeyError):
            pass
        assert time.monotonic() < late
        time.sleep(0.02)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_the_sentinels_name_the_master_and_then_the_other_one(watched: Watched) -> None:
    store = open_store(watched.url)
    worker, job = join(store), put(store)
    with watched.master.client() as client:
        assert client.execute_command("WAIT", 1, 5000) == 1
    watched.master.kill()
    until(lambda: store.get([job]))
    assert len(take(store, worker)) == 1
    with watched.replica.client() as client:
        assert client.info("replication")["role"] == "master"
    store.close()


def test_a_service_that_no_sentinel_knows(tmp_path: Path) -> None:
    sentinel = Server(tmp_path, "--sentinel")
    sentinel.config.write_text(f"port {sentinel.port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    sentinel.start()
    try:
        with pytest.raises(StoreUnavailable, match="no sentinel named its master.*knows no master of 'jobs'"):
            open_store(f"redis://127.0.0.1:{sentinel.port}/0?sentinel=jobs")
        with pytest.raises(BadStore, match=r"is a Sentinel.*\?sentinel=SERVICE"):
            open_store(sentinel.url)
    finally:
        sentinel.stop()


# -- a cluster ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two nodes, each with half of the slots."""
    made = [
        Server(tmp_path_factory.mktemp(f"node{number}"), cluster_enabled="yes", cluster_node_timeout=2000)
        for number in range(2)
    ]
    if any(node.port > 55_000 for node in made):
        pytest.skip("no port for the cluster's bus")
    for node, slots in zip(made, (range(8192), range(8192, 16384)), strict=True):
        node.start()
        node.client().execute_command("CLUSTER", "ADDSLOTS", *slots)
    made[0].client().execute_command("CLUSTER", "MEET", "127.0.0.1", made[1].port)
    for node in made:
        until(lambda node=node: "cluster_state:ok" in raw(node, "CLUSTER", "INFO"))
        until(lambda node=node: len(node.client().execute_command("CLUSTER", "SLOTS")) == 2)
    yield made
    for node in made:
        node.stop()


def raw(node: Server, *words: str) -> str:
    """Return the answer to a command as it is."""
    connection = redis.Connection(port=node.port, decode_responses=True)  # type: ignore[no-untyped-call]
    try:
        connection.send_command(*words)
        return str(connection.read_response())
    finally:
        connection.disconnect()


def test_each_namespace_lives_on_the_node_of_its_slot(nodes: list[Server]) -> None:
    used = set()
    for name in ("a", "b", "c", "d", "e"):
        store = open_store(f"redis://127.0.0.1:{nodes[0].port}/0?cluster=1", namespace=name)
        worker, job = join(store), put(store)
        put(store, delay=5, priority=4)
        assert [claimed.id for claimed in take(store, worker)] == [job]
        assert store.wait(0.01) in (True, False)
        used |= {node.port for node in nodes if node.client().keys(f"packhorse:{{{name}}}*")}
        store.close()
    assert used == {node.port for node in nodes}


def test_a_slot_that_moves_to_another_node(nodes: list[Server]) -> None:
    url = f"redis://127.0.0.1:{nodes[0].port}/0?cluster=1"
    store = open_store(url, namespace="mover")
    job = put(store)
    slot = nodes[0].client().execute_command("CLUSTER", "KEYSLOT", "packhorse:{mover}")
    held = [bool(node.client().keys("packhorse:{mover}*")) for node in nodes]
    source, target = nodes[held.index(True)], nodes[held.index(False)]
    move_slot(slot, source, target)
    until(lambda: put(store))
    assert the(store, job).state == "queued"
    assert target.client().keys("packhorse:{mover}*")
    store.close()


def move_slot(slot: int, source: Server, target: Server) -> None:
    """Move a slot as an operator would."""
    names = {node.port: raw(node, "CLUSTER", "MYID") for node in (source, target)}
    with source.client() as one, target.client() as other:
        other.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
        one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])
        keys = one.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        one.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for client in (one, other):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target.port])


def test_a_node_is_not_taken_for_a_server_nor_a_server_for_a_node(nodes: list[Server], server: Server) -> None:
    with pytest.raises(BadStore, match=r"node of a cluster.*\?cluster=1"):
        open_store(nodes[0].url)
    with pytest.raises(BadStore, match="is no cluster"):
        open_store(f"{server.url}?cluster=1")
