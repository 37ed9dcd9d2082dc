"""What holds for one command line: which store, which namespace, which App; and the options that say so."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from .._settings import Settings
    from .._store import Store

F = TypeVar("F", bound=Callable[..., Any])
_KEY = "packhorse.session"


@dataclass(slots=True)
class Session:
    """The options that come before or after any command, and the App the program was started with."""

    store: str | None = None
    namespace: str | None = None
    debug: bool = False
    app: Any = None
    command: str = "packhorse"  #: as it was typed: program, group, command

    @classmethod
    def of(cls, ctx: click.Context) -> Session:
        """Return the session of this command line."""
        session = ctx.meta.get(_KEY)
        if session is None:
            session = ctx.meta[_KEY] = cls(app=ctx.find_root().obj)
        return session

    def settings(self, plain_store: str | None = None, plain_namespace: str | None = None) -> Settings:
        """Return which store is meant, and why; what an App says counts after what was typed.

        Raises ``NoStore`` or ``ConfigError``.
        """
        from .._settings import resolve

        store = plain_store or getattr(self.app, "store", None)
        namespace = plain_namespace or getattr(self.app, "namespace", None)
        found = resolve(self.store, store, namespace=namespace)
        if self.store is not None:
            found = found._replace(source="from --store")
        if self.namespace is not None:
            found = found._replace(namespace=_namespace(self.namespace), namespace_source="from --namespace")
        return found

    @contextmanager
    def open(self, *, create: bool = False) -> Iterator[Store]:
        """Give the store to one command, and close it. Looking makes no store; what stores something may, where it was named."""
        settings = self.settings()
        store = open_store(settings, create=create and not settings.guessed)
        try:
            yield store
        finally:
            store.close()


def open_store(settings: Settings, *, create: bool | None = None) -> Store:
    """Open the store of these settings; what goes wrong names its URL and where that came from."""
    from .. import _runtime
    from ..errors import ConfigError, StoreUnavailable

    if settings.url.startswith("memory:"):
        raise ConfigError(
            f"{settings.url}  ({settings.source}) lives in one process only: no other command or worker can see its jobs.\n"
            "  Name a file: PACKHORSE_URL=sqlite:///jobs.db"
        )

    try:
        return _runtime.open_store(settings, create=create)
    except StoreUnavailable as error:
        raise _unreachable(settings, error) from error


def _unreachable(settings: Settings, error: Exception) -> Exception:
    from .._settings import mask
    from ..errors import StoreUnavailable

    reason = str(error).removesuffix("[E101]").strip()
    path = settings.url.removeprefix("sqlite:///").partition("?")[0]
    remedy = f"Try:  ls -l {path}" if settings.url.startswith("sqlite:") else "Try again"
    return StoreUnavailable(
        f"cannot reach the job store; nothing was done.\n"
        f"  {mask(settings.url)}  ({settings.source})  →  {reason}\n"
        f"  {remedy}     Or name another one:  --store sqlite:///jobs.db    "
    )


def _namespace(name: str) -> str:
    from .._names import queue_name

    return queue_name(name, "--namespace")


# -- options ----------------------------------------------------------------------------------------------------------
def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        setattr(Session.of(ctx), param.name or "", value)


def global_options(command: F) -> F:
    """Add ``--store``, ``--namespace`` and ``--debug``; they mean the same before and after a command's name."""
    for option in reversed(_GLOBAL):
        command = option(command)
    return command


_GLOBAL: tuple[Callable[[Any], Any], ...] = (
    # The environment is read with the rest of the settings, so that its place in the order is the same everywhere.
    click.option(
        "--store", metavar="URL", expose_value=False, callback=_keep, allow_from_autoenv=False, help="The job store."
    ),
    click.option(
        "--namespace",
        metavar="NAME",
        expose_value=False,
        callback=_keep,
        allow_from_autoenv=False,
        help="Its part to look at.",
    ),
    click.option(
        "--debug", is_flag=True, envvar="PACKHORSE_DEBUG", expose_value=False, callback=_keep, help="Show tracebacks."
    ),
)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def with_session(command: F) -> F:
    """Hand the session to a command as its first argument, and give it the options that every command takes."""

    @functools.wraps(command)
    def called(*args: Any, **kwargs: Any) -> None:
        ctx = click.get_current_context()
        session = Session.of(ctx)
        session.command = ctx.command_path
        code = command(session, *args, **kwargs)
        if code:
            ctx.exit(code)

    return global_options(called)  # type: ignore[return-value]


def me() -> str:
    """Return who acts, for the record."""
    from .._by import person

    return person()


def app_specs(session: Session, typed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return APP: as typed, else of the App the program is, else from ``PACKHORSE_APP`` or the config file."""
    from .._settings import read_config

    if typed:
        return typed
    if session.app is not None:
        return tuple(session.app.tasks)
    named = os.environ.get("PACKHORSE_APP", "").split() or read_config(os.getcwd()).values.get("app", ())
    return (named,) if isinstance(named, str) else tuple(named)
