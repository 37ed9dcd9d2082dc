"""The command line. ``entry`` is the program ``packhorse``; ``group`` is the click group behind it, to embed elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

    group: click.Group

__all__ = ["entry", "group", "main"]


def __getattr__(name: str) -> Any:
    """Import the click group when it is asked for: a page of help needs nothing but its text."""
    if name == "group":
        from ._group import group

        return group
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def entry() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str] | None = None, *, prog: str | None = None, app: object = None) -> int:
    """Run one command line and return its exit code: 0 1 2 69 70 73 78 (docs: reference/cli).

    ``argv`` leaves out the program's name (default: that of this process); ``prog`` is the name shown in help and
    messages; ``app`` is the ``App`` whose store, namespace and tasks hold where the command line names none.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = prog or "packhorse"
    if words in ([], ["-h"], ["--help"]) and f"_{shell_name(name)}_COMPLETE" not in os.environ:
        return _help(name)
    from ._group import run

    return run(words, name, app)


def _help(prog: str) -> int:
    from ._page import PAGE

    try:
        sys.stdout.write(PAGE.replace("packhorse", prog))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    return 0


def shell_name(prog: str) -> str:
    """Return a program's name as the variables of shell completion spell it."""
    return prog.replace("-", "_").replace(".", "_").upper()


#: The exit code of a program whose reader went away, as a shell counts it (128 + SIGPIPE).
BROKEN_PIPE = 141
