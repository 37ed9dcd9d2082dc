"""Where workspaces are made; and what is left there by those who died is cleared away.

Every commands child has a directory of its own under the root, and holds a lock on a file beside it while it lives. Whoever can
take that lock knows that its owner is dead, and removes what it left.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

from ..errors import ConfigError
from .journal import undo
from .strays import environ_of, kill
from .workspace import Workspace, remove

_OWN = re.compile(r"run-[0-9a-f]{12}\Z")
KEPT = "kept"
OUTPUT = "output"
_UNTIL = ".until"


def default_root() -> str:
    """Return where workspaces are made unless it is configured: where this user's programs keep what is theirs."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0] or os.environ.get("XDG_STATE_HOME")
    choices = [os.path.join(state, "packhorse")] if state else []
    choices.append("/var/lib/packhorse" if os.geteuid() == 0 else os.path.expanduser("~/.local/state/packhorse"))
    choices.append(os.path.join(tempfile.gettempdir(), f"packhorse-{os.geteuid()}"))
    return os.path.join(next(filter(_usable, choices), choices[-1]), "workspaces")


def _usable(directory: str) -> bool:
    """Make a directory that nobody else can write to; False if that cannot be had."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        found = os.lstat(directory)
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return ours and os.access(directory, os.W_OK | os.X_OK)


class Place:
    """The directory of one commands child, for as long as it lives."""

    def __init__(self, root: str | None) -> None:
        """Make it and lock it. Raises ``ConfigError`` if it cannot be had."""
        self.root = os.path.abspath(root or default_root())
        name = f"run-{secrets.token_hex(6)}"
        self.path = f"{self.root}/{name}"
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.mkdir(self.path, 0o700)
        except OSError as error:
            raise ConfigError(
                f"workspaces cannot be made in {self.root}: {error.strerror}: {error.filename or ''}. Say where else: "
                'workspaces = "/big/disk" in [worker] of packhorse.toml, or --workspaces.'
            ) from error

    def workspace(self, job: str, attempt: int) -> Workspace:
        """Return the workspace of an attempt, not made yet."""
        return Workspace(f"{self.path}/{job}-{attempt}-{secrets.token_hex(3)}")

    def output(self, job: str, attempt: int, until: float | None) -> str:
        """Make and return the directory for the whole output of an attempt; ``until``: seconds it is kept, None: for ever."""
        place = f"{self.root}/{OUTPUT}/{job}-{attempt}-{secrets.token_hex(3)}"
        os.makedirs(place, mode=0o700)
        _say_until(place, until)
        return place

    def keep(self, workspace: Workspace, until: float | None) -> str:
        """Move a workspace to where it stays, for ``until`` seconds, None: for ever; return its new path."""
        os.makedirs(f"{self.root}/{KEPT}", mode=0o700, exist_ok=True)
        place = f"{self.root}/{KEPT}/{os.path.basename(workspace.outer)}"
        _say_until(workspace.outer, until)
        os.rename(workspace.outer, place)
        return f"{place}/work"

    def close(self) -> None:
        """Leave nothing behind but what is to stay."""
        _clear_away(self.path)
        with suppress(OSError):
            os.unlink(f"{self.path}.lock")
        os.close(self._lock)


# -- what the dead have left ------------------------------------------------------------------------------------------
def sweep(root: str) -> list[str]:
    """Remove what dead owners have left under a root; return that. Kept output and workspaces go when their time is over."""
    removed = [name for name in _names(root) if _OWN.match(name.removesuffix(".lock")) and _clear(root, name)]
    for place in (f"{root}/{kind}/{name}" for kind in (OUTPUT, KEPT) for name in _names(f"{root}/{kind}")):
        if _is_over(place):
            remove(place)
    return removed


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def end_of_the_dead(root: str) -> int:
    """Kill what still runs of dead owners, and leave the rest to ``sweep``; return how many owners are dead."""
    return sum(_with_lock(root, name, _end_of) for name in _names(root) if _OWN.match(name.removesuffix(".lock")))


def _clear(root: str, name: str) -> bool:
    def clear(path: str) -> None:
        _end_of(path)
        _clear_away(path)
        os.unlink(f"{path}.lock")

    return _with_lock(root, name, clear)


def _with_lock(root: str, name: str, act: Callable[[str], None]) -> bool:
    """Do something to the directory of an owner that is dead; tell whether it is, and all went well."""
    if not name.endswith(".lock"):
        return False
    try:
        fd = os.open(f"{root}/{name}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        act(f"{root}/{name.removesuffix('.lock')}")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _clear_away(path: str) -> None:
    """Undo what was being put in place, and remove the rest."""
    for each in _names(path):
        undo(Workspace(f"{path}/{each}").journal)
    remove(path)


def _end_of(path: str) -> None:
    """Kill what still runs in a dead owner's directory: nobody else was there to do it."""
    mark = b"TMPDIR=" + os.fsencode(path) + b"/"
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit() and any(word.startswith(mark) for word in environ_of(name)):
            kill(int(name))


def _say_until(place: str, seconds: float | None) -> None:
    if seconds is not None:
        with open(f"{place}/{_UNTIL}", "w") as file:
            file.write(str(time.time() + seconds))


def _is_over(place: str) -> bool:
    try:
        with open(f"{place}/{_UNTIL}") as file:
            return float(file.read()) < time.time()
    except (OSError, ValueError):
        return False
