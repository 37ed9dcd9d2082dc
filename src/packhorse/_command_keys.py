"""What a command takes beside its command line, for type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from ._durations import Duration


class InsideKeys(TypedDict, total=False):
    """The keywords of ``packhorse.command``: those that have a meaning without a workspace."""

    params: Mapping[str, str]  #: values of ``{name}`` fields in the texts below and in the command line
    cwd: (
        str  #: a relative one is within the workspace, which is the default; inside a job, within the working directory
    )
    env: Mapping[str, str]  #: added to a small clean environment; inside a job, to that of its process
    stdin: str | bytes  #: default nothing
    shell: bool  #: the command line is one text, for ``/bin/sh``; fields go in as ``"$1"``, never as code
    ok: Sequence[int]  #: exit statuses that count as success, default only 0
    exits: Mapping[int, str]  #: ``{75: "snooze:5m", 69: "retry", 70: "retry:30s", 99: "cancel", 98: "fail"}``
    umask: int | str  #: text is octal
    nice: int
    max_memory: int | str  #: bytes, or text like "2GiB"
    max_cpu: Duration


class CommandKeys(InsideKeys, total=False):
    """The keywords of ``Queue.command``, and the keys of ``[tasks.NAME]`` and of one job as JSON."""

    inputs: Mapping[str, str]  #: path in the workspace → source, linked read-only; ``copy:`` before it copies
    outputs: Mapping[str, str]  #: path or glob in the workspace → destination, moved there after an accepted exit
    links: Mapping[str, str]  #: path in the workspace → what is linked there and may be written to
    existing: Literal["fail", "merge", "replace"]  #: what becomes of an output that is there already; default "fail"
    overwrite: bool  #: True is ``existing="replace"``
    steps: Sequence[Sequence[str]]  #: command lines that run after the first, in the same workspace
    keep_output: bool | Duration  #: the whole output is kept in files, for so long
    keep_workspace: Literal["never", "failed", "always"]  #: default "never"
    output_limit: int | str  #: bytes of the end of each stream kept in the log, at most and by default 64 KiB
    enqueues: bool  #: it is given the store's URL
    needs: Sequence[str]  #: what its host must have: ``mount:/content``, ``program:ffmpeg``
    slots: int | Literal["all"]  #: slots of a worker that it takes, default 1
