"""Outputs are put in place by rename, all or none.

What lies on another file system than its destination is copied beside the destination first, so that the last step of each output
is one rename. A journal says what is being done, so that whoever finds it after a crash can undo it (``journal``).
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import sys
from typing import Literal, NamedTuple

from .._command import Command, is_glob
from .aside import Unfit
from .journal import Journal, undo
from .workspace import OUTPUT, Workspace, copy, mark, refuse_existing, remove, sync, told

Existing = Literal["fail", "merge", "replace"]

_AT_FDCWD = -100
_NOREPLACE = 1
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform.startswith("linux") else None


class Move(NamedTuple):
    """One rename to be done."""

    source: str
    target: str
    path: str  #: of the output, for people
    replaces: bool


def publish(workspace: Workspace, command: Command, token: str, job: str = "", mine: str = "") -> list[str]:
    """Put all outputs in place, with the mark of their job; return where they are. ``mine``: what bears this mark may be there.

    Raises ``Unfit`` after undoing what was done.
    """
    moves = plan(workspace.work, command, mine)
    journal = Journal(workspace.journal)
    try:
        try:
            staged = _stage(moves, journal, token[:12])
            for move in staged:
                mark(move.source, job)
            journal.say("moving")
            for move in staged:
                _put(move, journal, token[:12])
        except (OSError, shutil.Error) as error:
            raise Unfit(OUTPUT, f"{told(error)}") from None
    except BaseException as error:
        left = undo(workspace.journal)
        text = f"the outputs could not be put in place, and none of them was: {error}"
        if left:
            text = f"the outputs could not be put in place: {error}; and this could not be undone: {left}"
        raise Unfit(OUTPUT, text) from None
    journal.say("done")
    for place in journal.replaced:
        remove(place)
    journal.remove()
    return sorted({move.target for move in moves})


# -- what is to be moved ----------------------------------------------------------------------------------------------
def plan(work: str, command: Command, mine: str = "") -> list[Move]:
    """Return every move. Raises ``Unfit`` for an output that is missing, lies outside, or is there already."""
    moves: list[Move] = []
    for path, target in command.outputs.items():
        found = [(each, f"{target}/{os.path.basename(each)}") for each in _found(work, path)] if is_glob(path) else []
        for source, place in found or [(f"{work}/{path}", target)]:
            _check_source(work, source, path)
            moves += _moves(source, place, path, command.existing, mine)
    twice = (
        {move.target for move in moves if sum(each.target == move.target for each in moves) > 1}
        if len(moves) < 1000
        else set()
    )
    if twice:
        raise Unfit(OUTPUT, f"two outputs have the same destination: {min(twice)}")
    return moves


def _found(work: str, path: str) -> list[str]:
    found = sorted(glob.glob(f"{glob.escape(work)}/{path}", include_hidden=False))
    if not found:
        raise Unfit(OUTPUT, f"the command has left nothing that fits the output '{path}'")
    return found


def _check_source(work: str, source: str, path: str) -> None:
    """Look at each step of the way without following links: the command may have made some."""
    place = work
    for part in os.path.relpath(source, work).split(os.sep):
        place = f"{place}/{part}"
        if os.path.islink(place):
            raise Unfit(OUTPUT, f"the output '{path}' leaves the workspace: {part} is a link to {os.readlink(place)}")
        if not os.path.lexists(place):
            raise Unfit(OUTPUT, f"the command has not made its output '{path}'")
    if not os.path.isdir(source) and not os.path.isfile(source):
        raise Unfit(OUTPUT, f"the output '{path}' is neither a file nor a directory")


def _moves(source: str, target: str, path: str, existing: Existing, mine: str) -> list[Move]:
    is_dir = os.path.isdir(source)
    if is_dir and existing != "merge" and not os.listdir(source):
        raise Unfit(OUTPUT, f"the command has left its output directory '{path}' empty")
    if existing == "fail":
        refuse_existing(target, path, mine)
    if existing == "merge" and is_dir and os.path.isdir(target):
        return [
            move
            for name in sorted(os.listdir(source))
            for move in _moves(f"{source}/{name}", f"{target}/{name}", path, existing, mine)
        ]
    if existing == "merge" and os.path.isdir(target) != is_dir and os.path.lexists(target):
        raise Unfit(OUTPUT, f"the output '{path}' cannot be merged: {target} is {'a' if is_dir else 'no'} file")
    return [Move(source, target, path, replaces=existing != "fail" or bool(mine))]


# -- moving -----------------------------------------------------------------------------------------------------------
def _stage(moves: list[Move], journal: Journal, token: str) -> list[Move]:
    """Bring every source onto its destination's file system."""
    staged = []
    for number, move in enumerate(moves):
        parent = os.path.dirname(move.target)
        _make_parents(parent, journal)
        if os.lstat(move.source).st_dev == os.stat(parent).st_dev:
            staged.append(move)
        else:
            staged.append(_brought(move, journal, f"{parent}/.packhorse-{token}-{number}"))
    return staged


def _make_parents(directory: str, journal: Journal) -> None:
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for each in reversed(missing):
        journal.say("made", each)
        os.mkdir(each)


def _brought(move: Move, journal: Journal, place: str) -> Move:
    journal.say("staged", place)
    copy(move.source, place, durable=True)
    return move._replace(source=place)


def _put(move: Move, journal: Journal, token: str) -> None:
    """Do one move; what it replaces is set aside until all are done."""
    if move.replaces and os.path.lexists(move.target):
        parent, name = os.path.split(move.target)
        aside = f"{parent}/.packhorse-{token}-old-{name}"
        journal.say("replaced", aside, move.target)
        os.rename(move.target, aside)
        journal.replaced.append(aside)
    found = os.lstat(move.source)
    journal.say("put", move.target, move.source, found.st_dev, found.st_ino)
    try:
        _rename(move.source, move.target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The same device by number, and yet another: a bind mount, an exported directory.
        parent, name = os.path.split(move.target)
        move = _brought(move, journal, f"{parent}/.packhorse-{token}-late-{name}")
        found = os.lstat(move.source)
        journal.say("put", move.target, move.source, found.st_dev, found.st_ino)
        _rename(move.source, move.target)
    sync(os.path.dirname(move.target))


def _rename(source: str, target: str) -> None:
    """Rename without ever replacing what somebody else has put there meanwhile."""
    if _renameat2 is not None:
        if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):  # a file system that does not know how, such as NFS
            raise OSError(number, os.strerror(number), source, None, target)
    if os.path.lexists(target):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)
