"""Where the jobs of a run live: a file, or a server of the run's own that can be killed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Server(Protocol):
    """A real server, in a directory of its own: its data are there again after each start."""

    @property
    def url(self) -> str: ...
    def start(self) -> object: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Place:
    """A store's URL, and the server behind it, if it is ours to kill."""

    def __init__(self, url: str, server: Server | None = None, *, tail: float = 0.0) -> None:
        self.url = url
        self.server = server
        #: Of what was acknowledged, the server may lose what is not older than so many seconds when it is killed.
        self.tail = tail

    def close(self) -> None:
        """Stop the server."""
        if self.server is not None:
            self.server.stop()


def place(name: str, directory: Path) -> Place:
    """Return a place by its kind (``KINDS``), or by the URL of an empty store that nobody else uses."""
    if name in KINDS:
        return KINDS[name](directory)
    if "://" not in name:
        raise SystemExit(f"--store is one of {', '.join(KINDS)}, or a URL; not {name!r}")
    return Place(name)


def _sqlite(directory: Path) -> Place:
    return Place(f"sqlite:///{directory}/jobs.db")


def _postgres(directory: Path) -> Place:
    from tests.servers.postgres import Server

    return _started(Server(directory / "server"))


def _redis(directory: Path) -> Place:
    """Every write is on the disk before it is acknowledged: then a kill may lose nothing."""
    from tests.servers.redis import Server

    return _started(Server(directory / "server", appendonly="yes", appendfsync="always"))


def _redis_everysec(directory: Path) -> Place:
    """A write is in the kernel before it is acknowledged, unless the disk is busy with the one before: then after up to 2 s."""
    from tests.servers.redis import Server

    return _started(Server(directory / "server", appendonly="yes", appendfsync="everysec"), tail=2.0)


def _started(server: Server, tail: float = 0.0) -> Place:
    server.start()
    return Place(server.url, server, tail=tail)


KINDS = {"sqlite": _sqlite, "postgres": _postgres, "redis": _redis, "redis-everysec": _redis_everysec}
