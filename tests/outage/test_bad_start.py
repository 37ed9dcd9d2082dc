"""What cannot work says so, from a worker, a command and an enqueue: the right exit code within ten seconds, one clear message,
no traceback and no password."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from packhorse._stores import open_store
from packhorse.errors import StoreRefused, StoreUnavailable
from tests.outage import certificates
from tests.outage.outpost import KINDS, new_server, new_store_url
from tests.outage.proxy import Proxy
from tests.outage.tls import Front
from tests.worker.watch import busy

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="no worker runs there")]

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-Secret"
OTHER = {"postgres": "redis", "redis": "postgres"}
LIMIT = 10.0
ENQUEUE = """
import json, sys
from packhorse import Queue
from packhorse.errors import PackhorseError
try:
    Queue().enqueue("tasks:add", 1, 2)
except PackhorseError as error:
    print(json.dumps([type(error).__name__, error.code, str(error)]))
    sys.exit(5)
"""
ENQUEUED = 5


class Told(NamedTuple):
    """What the three said."""

    worker: str
    command: str
    enqueue: str
    kind: str  #: class of the error that the enqueue raised


def three(directory: Path, url: str, code: int, **more: str) -> Told:
    """Start a worker, a command and an enqueue on a store that is of no use, all at once; return what they said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PACKHORSE", "PG"))}
    environ = {**kept, "PYTHONPATH": str(ROOT), "PACKHORSE_URL": url, **more}
    (directory / ".git").mkdir(exist_ok=True)
    words = (
        ["-m", "packhorse", "worker", "tests.worker.tasks", *(["--no-retry"] if code == 69 else [])],
        ["-m", "packhorse", "jobs", "list"],
        ["-c", ENQUEUE],
    )
    began = time.monotonic()
    ran = [
        subprocess.Popen(
            [sys.executable, *each], cwd=directory, env=environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for each in words
    ]  # fmt: skip
    try:
        texts = [process.communicate(timeout=busy(30))[0] for process in ran]
    finally:
        for process in ran:
            process.kill()
            process.wait()
    took = time.monotonic() - began
    assert took < busy(LIMIT + 2), f"{took:.1f} s for\n" + "\n".join(
        texts
    )  # three interpreters at once, on whatever machine
    assert [process.returncode for process in ran] == [code, code, ENQUEUED], texts
    for text in texts:
        assert "Traceback" not in text, text
        assert SECRET not in text, text
        assert "Secret" not in text, text
    assert texts[0].count("packhorse worker: ") <= 2, texts[0]
    assert "serves" not in texts[0]
    name, its_code, said = json.loads(texts[2].splitlines()[-1])
    assert f"[{its_code}]" in said
    for text in texts[:2]:
        assert f"[{its_code}]" in text, f"{its_code} in\n{text}"
    return Told(texts[0], texts[1], said, name)


def expect(told: Told, kind: str, *words: str) -> None:
    """Check what all three have to say."""
    assert told.kind == kind, told
    for text in (told.worker, told.command, told.enqueue):
        for word in words:
            assert re.search(word, text), f"{word!r} in\n{text}"


# -- servers ----------------------------------------------------------------------------------------------------------
class Guarded(NamedTuple):
    """A server with users: ada may do everything, bob nothing."""

    kind: str
    server: Any
    url: str

    def as_user(self, name: str, password: str) -> str:
        """Return the URL of the store for another user."""
        return re.sub(r"//[^@/]*@|//", f"//{name}:{password}@", self.url, count=1)

    def at(self, host: str, port: int) -> str:
        """Return the URL with another address."""
        return re.sub(r"127\.0\.0\.1:\d+", f"{host}:{port}", self.url)


@pytest.fixture(scope="module", params=KINDS)
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = new_server(request.param, tmp_path_factory.mktemp(request.param))
    server.start()
    (_users_of_postgres if request.param == "postgres" else _users_of_redis)(server)
    url = new_store_url(request.param, server)
    store = open_store(url)
    store.migrate()
    store.close()
    yield Guarded(request.param, server, url)
    server.stop()


def _users_of_postgres(server: Any) -> None:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE ada LOGIN SUPERUSER PASSWORD 'right-{SECRET}'".encode())
        connection.execute(f"CREATE ROLE bob LOGIN PASSWORD 'bob-{SECRET}'".encode())
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all ada,bob all scram-sha-256\n" + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")


def _users_of_redis(server: Any) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "ada", "on", f">right-{SECRET}", "~*", "&*", "+@all")
        client.execute_command("ACL", "SETUSER", "bob", "on", f">bob-{SECRET}", "~*", "+ping", "+info", "+hello")


# -- the way there ----------------------------------------------------------------------------------------------------
def test_a_port_where_nobody_listens(guarded: Guarded, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = re.sub(r"//(postgres@)?", f"//u:{SECRET}@", guarded.at("127.0.0.1", port), count=1)
    told = three(tmp_path, url, 69)
    source, remedy = r"\(from PACKHORSE_URL\)", "Try:  (redis-cli|pg_isready)"
    expect(told, "StoreUnavailable", r"u:\*\*\*@127\.0\.0\.1", source, "→  .*refused", remedy)
    assert "cannot reach the job store, the job was NOT enqueued." in told.enqueue
    assert "cannot reach the job store; nothing was done." in told.command


def test_a_host_that_does_not_exist(guarded: Guarded, tmp_path: Path) -> None:
    told = three(tmp_path, guarded.at("nowhere.invalid", 5432), 69)
    expect(told, "StoreUnavailable", r"nowhere\.invalid", "→  ")


def test_a_server_that_accepts_and_says_nothing(guarded: Guarded, tmp_path: Path) -> None:
    proxy = Proxy("127.0.0.1", guarded.server.port)
    proxy.hang = True
    told = three(tmp_path, guarded.at(proxy.host, proxy.port), 69)
    proxy.close()
    expect(told, "StoreUnavailable", "no answer|time")


def test_another_kind_of_server_on_the_port(guarded: Guarded, tmp_path: Path) -> None:
    """Redis waits for more of what PostgreSQL's clients say, and PostgreSQL hangs up on those of Redis without a word: so would a
    proxy whose server is away. That is waited for, or 69."""
    other = new_server(OTHER[guarded.kind], tmp_path / "other")
    other.start()
    try:
        told = three(tmp_path, guarded.at("127.0.0.1", other.port), 69)
    finally:
        other.stop()
    expect(told, "StoreUnavailable", "no answer in time|closed", "Try:  ")


def test_a_web_server_on_the_port(guarded: Guarded, tmp_path: Path) -> None:
    with Chatter(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as chatter:
        told = three(tmp_path, guarded.at("127.0.0.1", chatter.port), 78)
    expect(told, "BadStore", "PostgreSQL" if guarded.kind == "postgres" else "Redis")


class Chatter:
    """Answers everything with the same words, and hangs up."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Chatter:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                with client:
                    client.recv(100)
                    client.sendall(self._words)
            except OSError:
                if self._listener.fileno() < 0:
                    return


# -- who asks ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["url", "variable", "file"])
def test_a_wrong_password(guarded: Guarded, tmp_path: Path, how: str) -> None:
    file = tmp_path / "password"
    file.write_text(f"wrong-{SECRET}\n")
    plain = guarded.as_user("ada", "").replace("ada:@", "ada@")
    url, more = {
        "url": (guarded.as_user("ada", f"wrong-{SECRET}"), {}),
        "variable": (plain, {"PACKHORSE_PASSWORD": f"wrong-{SECRET}"}),
        "file": (f"{plain}{'&' if '?' in plain else '?'}password_file={file}", {}),
    }[how]
    expect(three(tmp_path, url, 78, **more), "StoreRefused", "password", "ada")


def test_the_right_password_from_each_place(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"right-{SECRET}\nand nothing of the second line\n")
    plain = guarded.as_user("ada", "").replace("ada:@", "ada@")
    for url, more in (
        (guarded.as_user("ada", f"right-{SECRET}"), {}),
        (plain, {"PACKHORSE_PASSWORD": f"right-{SECRET}"}),
        (f"{plain}{'&' if '?' in plain else '?'}password_file={file}", {"PACKHORSE_PASSWORD": "not this one"}),
    ):
        environ = {**os.environ, "PACKHORSE_URL": url, **more}
        done = subprocess.run(
            [sys.executable, "-m", "packhorse", "db", "status"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "Secret" not in done.stdout + done.stderr


def test_a_password_file_that_cannot_be_read(guarded: Guarded, tmp_path: Path) -> None:
    url = f"{guarded.url}{'&' if '?' in guarded.url else '?'}password_file={tmp_path}/nowhere"
    expect(three(tmp_path, url, 78), "ConfigError", "cannot read the password file .*nowhere: No such file")


def test_a_database_that_does_not_exist(guarded: Guarded, tmp_path: Path) -> None:
    url = (
        guarded.url.replace("/postgres?", "/nowhere?")
        if guarded.kind == "postgres"
        else f"{guarded.server.url[:-1]}99999"
    )
    told = three(tmp_path, url, 78)
    assert told.kind in ("StoreRefused", "BadStore")
    expect(told, told.kind, "nowhere|99999")


def test_a_user_who_may_not_do_what_is_needed(guarded: Guarded, tmp_path: Path) -> None:
    told = three(tmp_path, guarded.as_user("bob", f"bob-{SECRET}"), 78)
    expect(told, "StoreRefused", "permission|may not|does not let this user")


# -- what stands there ------------------------------------------------------------------------------------------------
@pytest.fixture
def replica(guarded: Guarded, tmp_path: Path) -> Iterator[str]:
    """The URL of a server that follows another one."""
    other = new_server(guarded.kind, tmp_path / "replica")
    if guarded.kind == "postgres":
        (other.data / "standby.signal").touch()
        shutil.copystat(other.data / "postgresql.conf", other.data / "standby.signal")
        if os.geteuid() == 0:
            owner = (other.data / "postgresql.conf").stat()
            os.chown(other.data / "standby.signal", owner.st_uid, owner.st_gid)
    other.start()
    if guarded.kind == "redis":
        with other.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", guarded.server.port)
    yield str(other.url)
    other.stop()


def test_a_replica(replica: str, tmp_path: Path) -> None:
    expect(three(tmp_path, replica, 78), "BadStore", "replica|standby", "nothing was opened|Nothing")


@pytest.mark.parametrize("version, words", [("99", "newer"), ("0", r"packhorse db migrate|older")])
def test_a_schema_of_another_version(guarded: Guarded, tmp_path: Path, version: str, words: str) -> None:
    url = new_store_url(guarded.kind, guarded.server)
    store = open_store(url)
    store.migrate()
    store.close()
    if guarded.kind == "postgres":
        import psycopg

        schema = url.rpartition("schema=")[2]
        with psycopg.connect(guarded.server.url, autocommit=True) as connection:
            connection.execute(f"UPDATE {schema}.meta SET value = '{version}' WHERE key = 'schema'".encode())
    else:
        with guarded.server.client(db=int(url.rpartition("/")[2])) as client:
            (key,) = [key for key in client.keys("*") if client.type(key) == "hash" and client.hexists(key, "is")]
            client.hset(key, "is", f"{client.hget(key, 'is').partition(':')[0]}:{version}")
    expect(three(tmp_path, url, 78), "BadSchema", words)


def test_a_database_without_tables(guarded: Guarded, tmp_path: Path) -> None:
    """Tables in PostgreSQL are made by ``db migrate`` and by nothing else; Redis needs none."""
    if guarded.kind == "postgres":
        expect(three(tmp_path, new_store_url(guarded.kind, guarded.server), 78), "BadSchema", "packhorse db migrate")


# -- TLS --------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, certificates.Certificate]:
    folder = tmp_path_factory.mktemp("certificates")
    ours, strange = certificates.authority(folder, "ca"), certificates.authority(folder, "strange")
    return {
        "ca": ours,
        "good": certificates.signed(folder, ours, "good"),
        "expired": certificates.signed(folder, ours, "expired", days=-1),
        "other host": certificates.signed(folder, ours, "other-host", host="elsewhere.example"),
        "strange": certificates.signed(folder, strange, "by-strange"),
    }


def tls_url(guarded: Guarded, port: int, ca: Path) -> str:
    url = guarded.at("localhost", port)
    if guarded.kind == "postgres":
        return f"{url}&sslmode=verify-full&sslrootcert={ca}"
    return f"{url.replace('redis://', 'rediss://')}?ssl_ca_certs={ca}"


@pytest.mark.parametrize(
    "shown, words",
    [
        ("expired", "expired|certificate verify failed"),
        ("other host", "(?i)host ?name"),
        ("strange", "(?i)certificate"),
    ],
)
def test_a_certificate_that_is_wrong(
    guarded: Guarded, tmp_path: Path, papers: dict[str, certificates.Certificate], shown: str, words: str
) -> None:
    front = Front(papers[shown], "127.0.0.1", guarded.server.port, postgres=guarded.kind == "postgres")
    told = three(tmp_path, tls_url(guarded, front.port, papers["ca"].cert), 78)
    front.close()
    expect(told, "StoreRefused", words, "nothing was opened")


def test_a_certificate_that_is_right(
    guarded: Guarded, tmp_path: Path, papers: dict[str, certificates.Certificate]
) -> None:
    front = Front(papers["good"], "127.0.0.1", guarded.server.port, postgres=guarded.kind == "postgres")
    store = open_store(tls_url(guarded, front.port, papers["ca"].cert))
    assert store.now() > 0
    store.close()
    front.close()


def test_a_server_without_tls_that_is_asked_for_it(
    guarded: Guarded, tmp_path: Path, papers: dict[str, certificates.Certificate]
) -> None:
    """Redis takes the greeting for the beginning of a command, and mostly waits for the rest of it."""
    url = tls_url(guarded, guarded.server.port, papers["ca"].cert)
    if guarded.kind == "postgres":
        expect(three(tmp_path, url, 78), "StoreRefused", "SSL|TLS")
        return
    with pytest.raises((StoreRefused, StoreUnavailable), match="no answer in time|TLS failed"):
        open_store(url)


# -- without any server -----------------------------------------------------------------------------------------------
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("redis", "psycopg"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.parametrize(
    "url, extra", [("redis://127.0.0.1:1/0", "redis"), ("postgresql://127.0.0.1:1/db", "postgres")]
)
def test_a_library_that_is_not_installed(tmp_path: Path, url: str, extra: str) -> None:
    blocking = tmp_path / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text(BLOCKER)
    told = three(tmp_path, url, 78, PYTHONPATH=os.pathsep.join((str(blocking), str(ROOT))))
    expect(told, "MissingExtra", rf'pip install "packhorse\[{extra}\]"', "E160")


BLOCKED_LIBPQ = """
import ctypes.util, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("psycopg_binary", "psycopg_c"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
ctypes.util.find_library = lambda name: None
"""


def test_a_driver_that_finds_no_c_library(tmp_path: Path) -> None:
    blocking = tmp_path / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text(BLOCKED_LIBPQ)
    told = three(tmp_path, "postgresql://127.0.0.1:1/db", 78, PYTHONPATH=os.pathsep.join((str(blocking), str(ROOT))))
    expect(told, "MissingExtra", "'libpq'", r'pip install "packhorse\[postgres\]"', "E160")


@pytest.mark.parametrize(
    "url, words",
    [
        (f"mysql://u:{SECRET}@h/db", "unknown scheme 'mysql'"),
        (f"redsi://u:{SECRET}@h/0", "did you mean 'redis'"),
        (f"redis://u:{SECRET}@h/0?sheme=x", "unknown option 'sheme'"),
        (f"postgresql://u:{SECRET}@h/db?shcema=x", "unknown option 'shcema'.*Did you mean 'schema'"),
        (f"postgresql://u:{SECRET}@h:port/db", "host:6379"),
        (f"redis://u:{SECRET}@h/notanumber", "the database is a number"),
        (f"redis://u:what?{SECRET}@h/0", "%3F"),
    ],
)
def test_a_url_that_is_wrong(tmp_path: Path, url: str, words: str) -> None:
    expect(three(tmp_path, url, 78), "ConfigError", words)
