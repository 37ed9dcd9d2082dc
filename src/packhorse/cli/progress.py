"""``packhorse progress``: what a shell script that runs as a job tells of how far it is."""

from __future__ import annotations

import os

import click

from .._commands.progress import progress_of

_WAYS = "40/100, 40% or 0.4"


@click.command("progress")
@click.argument("amount")
@click.argument("note", nargs=-1)
def progress(amount: str, note: tuple[str, ...]) -> None:
    """Tell how far the job is that this command runs in.

    AMOUNT is 40/100, 40% or 0.4; NOTE a few words. It writes a line to the descriptor named by PACKHORSE_FD, which is 3: in a
    shell, echo "progress 40/100 page 12" >&3 does the same, and costs less.
    """
    line = " ".join(["progress", amount, *note]).replace("\n", " ")
    if progress_of(line) is None:
        raise click.UsageError(f"'{amount}' is no progress; write {_WAYS}.")
    _write(line)


def _write(line: str) -> None:
    named = os.environ.get("PACKHORSE_FD", "")
    if not named.isdigit():
        raise click.UsageError(
            "this is no job: PACKHORSE_FD is not set. A command that runs as a job has it, "
            "as in  packhorse submit -- sh -c 'packhorse progress 40% \"page 12\"'"
        )
    try:
        os.write(int(named), f"{line}\n".encode())
    except OSError as error:
        raise click.UsageError(
            f"descriptor {named}, named by PACKHORSE_FD, cannot be written to: {error.strerror}. "
            "Whatever started this has closed it; pass it on."
        ) from None
