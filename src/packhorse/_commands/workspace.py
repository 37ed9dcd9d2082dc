"""The private directory of one attempt: made, furnished with inputs, links and empty output directories, removed or kept.

::

    ROOT/<id of the commands child>/<job>-<attempt>/work   what the command sees as {workspace}
                                                   /tmp    its TMPDIR
                                                   /moves  what is being put in place (``journal``)
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import NamedTuple

from .._command import Command, fixed_part, is_glob
from .._command_checks import COPY
from .aside import Unfit

INPUT = "E214"
OUTPUT = "E215"
_MARK = "user.packhorse.job"


class Workspace(NamedTuple):
    """Where one attempt has its files."""

    outer: str

    @property
    def work(self) -> str:
        """Return the directory of the shape that the command expects."""
        return f"{self.outer}/work"

    @property
    def tmp(self) -> str:
        """Return its directory for temporary files."""
        return f"{self.outer}/tmp"

    @property
    def journal(self) -> str:
        """Return the file that says what is being put in place."""
        return f"{self.outer}/moves"

    def make(self) -> None:
        """Make it, empty. Raises ``OSError``."""
        os.mkdir(self.outer, 0o700)
        os.mkdir(self.work)
        os.mkdir(self.tmp)

    def remove_empty(self) -> bool:
        """Remove it at once if nothing is in it; tell whether it is gone."""
        try:
            os.rmdir(self.tmp)
            os.rmdir(self.work)
            os.rmdir(self.outer)
        except FileNotFoundError:
            return not os.path.lexists(self.outer)
        except OSError:
            return False
        return True


# -- before the start -------------------------------------------------------------------------------------------------
def furnish(workspace: Workspace, command: Command, mine: str = "") -> None:
    """Put everything where the command expects it. ``mine``: an output that bears this mark may exist. Raises ``Unfit``."""
    for path, source in command.inputs.items():
        _input(workspace.work, path, source)
    for path, target in command.links.items():
        _there(target, f"what the link '{path}' should lead to", INPUT)
        os.symlink(target, _made_room(workspace.work, path))
    for path, target in command.outputs.items():
        _expect(workspace.work, path)
        if command.existing == "fail" and not is_glob(path):
            refuse_existing(target, path, mine)


def _input(work: str, path: str, source: str) -> None:
    copied = source.startswith(COPY)
    source = source.removeprefix(COPY)
    _there(source, f"the input '{path}'", INPUT)
    place = _made_room(work, path)
    if not copied:
        os.symlink(source, place)
        return
    try:
        copy(source, place)
    except (OSError, shutil.Error) as error:
        raise Unfit(INPUT, f"the input '{path}' cannot be copied: {told(error)}") from None


def _there(path: str, what: str, code: str) -> None:
    try:
        os.stat(path)
    except OSError as error:
        raise Unfit(code, f"{what} is not there: {path}: {error.strerror}") from None


def _made_room(work: str, path: str) -> str:
    """Make the directories above a place in the workspace; return the place."""
    place = f"{work}/{path}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    return place


def _expect(work: str, path: str) -> None:
    """Make an output directory, empty; of what has a suffix, and is a file, the directory it will lie in."""
    place = f"{work}/{fixed_part(path)}".rstrip("/")
    if not is_glob(path) and os.path.splitext(path)[1]:
        place = os.path.dirname(place)
    os.makedirs(place, exist_ok=True)


def refuse_existing(target: str, path: str, mine: str) -> None:
    """Raise ``Unfit`` if an output has been put there before, but for one that an attempt of this very job has put there and then
    was not heard of again."""
    if os.path.lexists(target) and not (mine and marked(target) == mine):
        raise Unfit(
            OUTPUT,
            f'the output \'{path}\' exists already: {target}. Remove it, or say existing = "replace" or "merge".',
        )


def mark(path: str, job: str) -> None:
    """Note whose output this is, where the file system takes such notes."""
    with suppress(OSError, AttributeError):
        os.setxattr(path, _MARK, job.encode(), follow_symlinks=False)


def marked(path: str) -> str:
    """Return what was noted."""
    try:
        return os.getxattr(path, _MARK, follow_symlinks=False).decode()
    except (OSError, AttributeError, ValueError):
        return ""


# -- copying ----------------------------------------------------------------------------------------------------------
def copy(source: str, place: str, *, durable: bool = False) -> None:
    """Copy a file or a tree; links in it are copied as links. ``durable``: it is on disk when this returns."""
    if os.path.isdir(source) and not (durable and os.path.islink(source)):
        shutil.copytree(source, place, symlinks=True, copy_function=_durably if durable else shutil.copy2)
    elif durable:
        _durably(source, place)
    else:
        shutil.copy2(source, place)


def _durably(source: str, place: str) -> None:
    shutil.copy2(source, place, follow_symlinks=False)
    if not os.path.islink(place):
        sync(place)


def sync(path: str) -> None:
    """Have a file or directory written to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def told(error: Exception) -> str:
    """Return an error of the file system in words; of a tree, the first."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    if isinstance(error, OSError):
        names = " → ".join(str(name) for name in (error.filename, error.filename2) if name)
        return f"{error.strerror or error}" + (f": {names}" if names else "")
    return str(error)


def remove(path: str) -> None:
    """Remove a tree, also what its owner has made unreadable."""

    def open_up(function: object, name: str, info: object) -> None:
        parent = os.path.dirname(name)
        try:
            os.chmod(parent, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                os.chmod(name, 0o700)
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)
        except OSError:
            pass

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, onerror=open_up)
    elif os.path.lexists(path):
        os.unlink(path)
