"""The lock that proves a worker alive on its host: whoever can take it knows that the worker is dead."""

from __future__ import annotations

import os
import socket
import stat

try:
    import fcntl
except ImportError:  # Windows can enqueue, but runs no worker
    fcntl = None  # type: ignore[assignment]

from .._record import WorkerRecord
from .._store import Store


def place_for(store: Store) -> str | None:
    """Return the directory for the locks of a store's workers: its own, or for a server one of this host, which other workers on
    this host find by the path in the worker's row. None: nobody else can reach the store, or there is no such directory; then
    a worker's death shows by its beats alone."""
    if not store.capabilities.processes:
        return None
    return store.lock_dir() or _of_this_host()


def _of_this_host() -> str | None:
    own = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else "")
    if own and _ours(os.path.join(own, "packhorse")):
        return os.path.join(own, "packhorse")
    from tempfile import gettempdir  # seldom needed, and dear to import

    shared = os.path.join(gettempdir(), f"packhorse-{os.geteuid()}")
    return shared if _ours(shared) else None


def _ours(directory: str) -> bool:
    """Make a directory that nobody else can write to; False if that cannot be had."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        found = os.lstat(directory)
    except OSError:
        return False
    closed = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return closed and os.access(directory, os.W_OK | os.X_OK)


class WorkerLock:
    """Holds an ``flock`` on a file named after the worker's id for as long as the process lives."""

    def __init__(self, directory: str, worker: str) -> None:
        """Create and lock the file. Raises ``OSError``."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.path = os.path.join(directory, f"{worker}.lock")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.inode = os.fstat(self._fd).st_ino

    def release(self, *, remove: bool = True) -> None:
        """Let go, after removing the file."""
        if remove:
            forget(self.path)
        os.close(self._fd)


def proves_dead(worker: WorkerRecord, host: str) -> bool:
    """Tell whether the lock of a worker on this host shows that it is dead.

    The file must be the very one the worker locked (inode), and lockable. A missing file proves nothing.
    """
    return _held(worker, host) is False


def proves_alive(worker: WorkerRecord, host: str) -> bool:
    """Tell whether the lock of a worker on this host shows that it lives, though it may be paused, or cut off from the store."""
    return _held(worker, host) is True


def _held(worker: WorkerRecord, host: str) -> bool | None:
    """Tell whether somebody has the lock; None: that cannot be known."""
    if worker.host != host or worker.lock_path is None:
        return None
    try:
        fd = os.open(worker.lock_path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_ino != worker.lock_inode:
            return None
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
    return False


def forget(path: str | None) -> None:
    """Remove a lock file that nobody needs any more."""
    if path is not None:
        try:
            os.unlink(path)
        except OSError:
            pass


def host_name() -> str:
    """Return the name of this host, as worker rows carry it."""
    return socket.gethostname()


def boot_id() -> str:
    """Return what tells one boot of this host from another; empty where there is no such thing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
