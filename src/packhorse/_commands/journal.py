"""What is being put in place, line by line, so that it can be undone: by who did it, or by who finds it after a crash."""

from __future__ import annotations

import json
import os
from typing import Any

from .workspace import remove, told


class Journal:
    """A file with a line for every step, written before the step is taken."""

    def __init__(self, path: str) -> None:
        """Begin it."""
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.replaced: list[str] = []  #: what was set aside, to be removed when all is done

    def say(self, *words: Any) -> None:
        """Note a step."""
        os.write(self._fd, json.dumps(words).encode() + b"\n")

    def remove(self) -> None:
        """Forget it: all is done."""
        os.close(self._fd)
        os.unlink(self._path)


def undo(path: str) -> str:
    """Undo what a journal tells of, the latest step first; one that came to its end only loses what it replaced.

    Returns what could not be undone, for people; empty if all could. Every step may be repeated.
    """
    problems = []
    steps = _steps(path)
    done = ["done"] in steps
    for step in reversed(steps):
        try:
            _finish(step) if done else _undo(step)
        except OSError as error:
            problems.append(told(error))
    if not problems and steps:
        os.unlink(path)
    return "; ".join(problems)


def _steps(path: str) -> list[list[Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("]")]


def _finish(step: list[Any]) -> None:
    if step[0] == "replaced":
        remove(step[1])


def _undo(step: list[Any]) -> None:
    kind, *words = step
    if kind == "staged":
        remove(words[0])
    elif kind == "made":
        try:
            os.rmdir(words[0])
        except OSError:
            pass  # somebody else uses it by now
    elif kind == "put":
        target, source, device, inode = words
        if _is(target, device, inode) and not os.path.lexists(source):
            os.rename(target, source)
    elif kind == "replaced":
        aside, target = words
        if os.path.lexists(aside) and not os.path.lexists(target):
            os.rename(aside, target)


def _is(path: str, device: int, inode: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (device, inode)
