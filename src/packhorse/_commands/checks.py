"""What is looked at before a command starts, since it may hang: its programs, and what its host must have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from time import monotonic
from typing import Any

from .._programs import HOST, LACKS, RUNS, allowed, located

#: A host that does not answer by then lacks what was asked about (seconds).
PATIENCE = 5.0
#: A program that was there is believed to be there for so long (seconds).
_TRUST = 5.0


class Known:
    """Programs found a moment ago: a thousand jobs of one program are not looked up a thousand times."""

    def __init__(self) -> None:
        """Know nothing."""
        self._found: dict[tuple[str, bool], tuple[str, float]] = {}

    def get(self, programs: Sequence[str], own: bool, workspace: str) -> dict[str, str] | None:
        """Return the files of all these programs; None if one has to be looked up. ``own``: they are of a declared command."""
        found = {}
        for program in programs:
            path, until = self._found.get((program, own), ("", 0.0))
            if until < monotonic():
                return None
            found[program] = os.path.join(workspace, program) if _brought(program) else path
        return found

    def learn(self, found: dict[str, str], own: bool) -> None:
        """Note what was found."""
        if len(self._found) > 1000:
            self._found.clear()
        until = monotonic() + _TRUST
        self._found.update({(program, own): (path, until) for program, path in found.items()})


def look(
    programs: Sequence[str],
    patterns: Sequence[str],
    needs: Sequence[str],
    own: bool,
    workspace: str,
    host: Sequence[str] = (),
) -> dict[str, Any]:
    """Return ``programs`` (name → file), or ``lacks``: the name of a side line and the reason. ``host``: what all need."""
    for need in host:
        if reason := lacking(need):
            return {"lacks": [HOST, reason]}
    for need in needs:
        if reason := lacking(need):
            return {"lacks": [LACKS + need, reason]}
    found = {}
    for program in programs:
        path, reason = runnable(program, patterns, own, workspace)
        if path is None:
            return {"lacks": [RUNS + program, reason]}
        found[program] = path
    return {"programs": found}


def runnable(program: str, patterns: Sequence[str], own: bool, workspace: str = "") -> tuple[str | None, str]:
    """Return the file of a program that may be run here; else None and why not."""
    # What the config file of this very worker says to run, it may run; what is looked up by name must be allowed by name.
    if not (own and program.startswith("/")) and not allowed(program, patterns):
        return None, "it is not allowed here"
    return located(program, workspace)


def lacking(need: str) -> str:
    """Return why this host does not have what is needed; empty if it has."""
    kind, _, name = need.partition(":")
    if kind == "program":
        path, reason = located(name, "/nowhere")
        return "" if path is not None and shutil.which(path) else reason or f"{name} is not executable"
    try:
        os.stat(f"{name}/.")  # what is mounted at the first look is mounted now
    except OSError as error:
        return f"{name}: {error.strerror}"
    return "" if os.path.ismount(name) or name in _mounts() else f"nothing is mounted at {name}"


def _mounts() -> set[str]:
    try:
        with open("/proc/self/mountinfo") as file:
            return {line.split()[4].encode().decode("unicode_escape") for line in file}
    except (OSError, ValueError):
        return set()


def _brought(program: str) -> bool:
    return "/" in program and not program.startswith("/")
