"""The click group: commands imported when they are used, errors turned into one message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..errors import (
    AmbiguousId,
    BadSchema,
    BadState,
    BadStore,
    BatchFailed,
    ConfigError,
    IdConflict,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobTimeout,
    LogNotWritable,
    MoveRefused,
    PackhorseError,
    ResultGone,
    ScheduleNotFound,
    SchemaGone,
    StoreError,
    StoreRefused,
)
from . import BROKEN_PIPE
from ._page import PAGE
from ._session import Session, global_options

INTERNAL = 70
INTERRUPTED = 130

#: The first class that fits decides. What is left (a wrong option, argument, name) is a mistake in what was typed: 2.
_EXITS: tuple[tuple[tuple[type[PackhorseError], ...], int], ...] = (
    ((LogNotWritable,), 73),
    ((ConfigError, BadSchema, SchemaGone, BadStore, StoreRefused), 78),
    ((StoreError,), 69),
    (
        (
            JobFailed,
            JobCancelled,
            JobTimeout,
            ResultGone,
            JobNotFound,
            AmbiguousId,
            BadState,
            ScheduleNotFound,
            IdConflict,
            BatchFailed,
            MoveRefused,
        ),
        1,
    ),
)


def exit_code(error: PackhorseError) -> int:
    """Return the exit code of the program for an error."""
    return next((code for classes, code in _EXITS if isinstance(error, classes)), 2)


class Refusal(click.ClickException):
    """An error of ours, as click prints it and exits with it, also inside another program's group."""

    def __init__(self, error: PackhorseError, command: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.command = command
        self.exit_code = exit_code(error)  # type: ignore[misc]  # click's own subclasses do the same

    def show(self, file: Any = None) -> None:
        """Print the message: what · its source · the consequence · what to do · code."""
        # What is wrong with the set-up is said by the program that cannot start; what happened to a job, by its class.
        told_by_program = isinstance(self.error, ConfigError)
        head = self.command if told_by_program else type(self.error).__name__
        click.echo(f"{head}: {self.message}", file=file or sys.stderr)


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own. ``lazy`` maps a name to (module, attribute, one-line help)."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order they are written down."""
        return [*self.lazy, *(name for name in super().list_commands(ctx) if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name in self.lazy and cmd_name not in self.commands:
            module, attribute, _ = self.lazy[cmd_name]
            self.add_command(getattr(importlib.import_module(module, __package__), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none names the nearest that is one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(self._unknown(ctx, args[0]), ctx)
        return super().resolve_command(ctx, args)

    def _unknown(self, ctx: click.Context, name: str) -> str:
        from difflib import get_close_matches  # a command that was spelt right does without

        close = get_close_matches(name, self.list_commands(ctx), 1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(self._shown(ctx))}."
        return f'no command "{name}"; {hint}'

    def _shown(self, ctx: click.Context) -> list[str]:
        known = [name for name in self.list_commands(ctx) if not getattr(self.commands.get(name), "hidden", False)]
        # One that has no line on the page of help, and is not imported yet, is hidden too.
        return [name for name in known if self.lazy.get(name, ("", "", name))[2]]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = [(name, about) for name, (_, _, about) in self.lazy.items() if about]
        if not rows:
            return super().format_commands(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        return None


class RootGroup(LazyGroup):
    """The program itself."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the page that is written by hand."""
        return PAGE.replace("packhorse", ctx.command_path or "packhorse").rstrip("\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes its message and exit code."""
        with _refusals(ctx):
            return super().invoke(ctx)


@contextmanager
def _refusals(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _look_away()
        raise click.exceptions.Exit(BROKEN_PIPE) from None
    except PackhorseError as error:
        session = Session.of(ctx)
        if session.debug:
            import traceback

            traceback.print_exception(error)
        raise Refusal(error, session.command) from error


_LAZY = {
    "worker": ("packhorse.cli.worker", "worker", "Run jobs."),
    "run": ("packhorse.cli.run", "run", "Enqueue one job."),
    "submit": ("packhorse.cli.submit", "submit", "Enqueue commands, or all jobs of a file."),
    "jobs": ("packhorse.cli.jobs", "jobs", "Find jobs and act on them."),
    "queues": ("packhorse.cli.queues", "queues", "Look at queues, pause them, set limits."),
    "flows": ("packhorse.cli.flows", "flows", "How far sets of jobs are."),
    "workers": ("packhorse.cli.workers", "workers", "Who is alive, where, doing what."),
    "scheduled": ("packhorse.cli.scheduled", "scheduled", "Recurring jobs."),
    "report": ("packhorse.cli.report", "report", "Jobs by task, queue, host, day: counts, times, failures."),
    "why": ("packhorse.cli.why", "why", "Why a job is where it is."),
    "config": ("packhorse.cli.config", "config", "Every setting and its source."),
    "move": ("packhorse.cli.move", "move", "Move all jobs to another store."),
    "db": ("packhorse.cli.db", "db", "The store's own tables."),
    "explain": ("packhorse.cli.explain", "explain", "What an error code means."),
    "relay": ("packhorse.cli.relay", "relay", "Bring jobs from an outbox to the store."),
    "progress": ("packhorse.cli.progress", "progress", ""),
    "completion": ("packhorse.cli.completion", "completion", ""),
}


@click.group(
    "packhorse",
    cls=RootGroup,
    lazy=_LAZY,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@global_options
@click.version_option(package_name="packhorse", message="%(prog)s %(version)s")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Run Python functions later, and say why any job is where it is."""
    _see_working_directory()


def _see_working_directory() -> None:
    """Let modules of the working directory be imported, whatever way the program was started."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def run(words: Sequence[str], prog: str, app: object) -> int:
    """Run one command line and return its exit code; nothing but an internal error shows a traceback."""
    try:
        return _called(lambda: group.main(list(words), prog_name=prog, standalone_mode=False, obj=app))
    except click.ClickException as error:
        return _shown(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _look_away()
        return BROKEN_PIPE
    except Exception:
        return _internal(prog)


def _look_away() -> None:
    """Send what is still to be written nowhere: at exit the interpreter would complain that nobody reads it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _called(call: Callable[[], Any]) -> int:
    """Return what a command returned as its exit code; most return nothing."""
    try:
        code = call()
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return code if isinstance(code, int) else 0


def _shown(error: click.ClickException) -> int:
    error.show()
    if isinstance(error, click.NoSuchOption) and error.option_name[1:2].isdigit():
        click.echo(f"For a negative number put -- before the arguments:  … -- {error.option_name}", err=True)
    return error.exit_code


def _internal(prog: str) -> int:
    import traceback

    traceback.print_exc()
    click.echo(f"{prog}: internal error; this is a mistake in Packhorse, not in your code.  [E000]", err=True)
    return INTERNAL
