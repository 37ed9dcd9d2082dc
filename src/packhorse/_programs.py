"""Which programs a worker may run, and where they are.

A pattern is a name (``ffmpeg``: as found on the worker's own PATH) or an absolute path, in which ``*`` stands for anything but a
slash (``/opt/rstar/bin/*``); ``*`` alone allows every program. A job's own PATH decides nothing.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence

#: Allows every program.
ANY = "*"
#: How the side line of what a host lacks begins, behind the queue and the ``#``; that of a program begins with ``$``.
LACKS = "?"
RUNS = "$"
#: What the worker itself was told that its host must have for commands.
HOST = f"{LACKS}host"
#: Behind that may stand for whom it is, a declared task or ``$`` and a program: who does not run that either must not take it.
FOR = "\x1f"


def allowed(program: str, patterns: Iterable[str]) -> bool:
    """Tell whether a program, as the job names it, may be run. One relative to the workspace: by ``*`` or its very text."""
    return any(_allows(pattern, program) for pattern in patterns)


def _allows(pattern: str, program: str) -> bool:
    if pattern in (ANY, program):
        return True
    if pattern.startswith("/"):
        path = program if program.startswith("/") else _on_path(program)
        return path is not None and _fits(path, pattern)
    return program.startswith("/") and "/" not in pattern and not _magic(pattern) and _on_path(pattern) == program


def _fits(path: str, pattern: str) -> bool:
    """Match part by part, so that no ``*`` reaches into another directory."""
    if os.path.normpath(path) != path:
        return False
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _magic(pattern: str) -> bool:
    return any(mark in pattern for mark in "*?[")


def _on_path(name: str) -> str | None:
    if "/" in name:
        return None
    from shutil import which  # dear to import, and a worker of functions looks for no program

    return which(name)


def located(program: str, workspace: str) -> tuple[str | None, str]:
    """Return the file of a program, None if it cannot be run here; and what is wrong with it."""
    if program.startswith("/"):
        path = program
    elif "/" in program:
        return os.path.join(workspace, program), ""  # the command brings it along
    else:
        found = _on_path(program)
        return found, "" if found else f"'{program}' is not on the worker's PATH"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return None, f"{path}: {error.strerror}"
    if not os.access(path, os.X_OK) or not mode & 0o100000:
        return None, f"{path} is not executable for uid {os.geteuid()} (mode {mode & 0o7777:04o})"
    return path, ""


def split(given: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of what was given, each of which may be several with commas between."""
    return tuple(dict.fromkeys(word.strip() for each in given for word in each.split(",") if word.strip()))
