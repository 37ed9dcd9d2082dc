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
    _found: tuple[tuple[str | None, ...], Settings] | None = None

    @classmethod
    def of(cls, ctx: click.Context) -> Session:
        """Return the session of this command line."""
        session = ctx.meta.get(_KEY)
        if session is None:
            session = ctx.meta[_KEY] = cls(app=ctx.find_root().obj)
        return session

    def settings(self, plain_store: str | None = None, plain_namespace: str | None = None) -> Settings:
        """Return which store is meant, and why; what an App says counts after what was typed.

        A guess, and a password that was typed, are said once. Raises ``NoStore`` or ``ConfigError``.
        """
        asked = (self.store, plain_store, plain_namespace, self.namespace)
        if self._found is None or self._found[0] != asked:
            self._found = asked, self._resolved(plain_store, plain_namespace)
            self._remark(self._found[1])
        return self._found[1]

    def _resolved(self, plain_store: str | None, plain_namespace: str | None) -> Settings:
        from .. import _runtime

        store = plain_store or getattr(self.app, "store", None)
        namespace = plain_namespace or getattr(self.app, "namespace", None)
        found = _runtime.resolve(self.store, store, namespace=namespace)
        if self.store is not None:
            found = found._replace(source="from --store")
        if self.namespace is not None:
            found = found._replace(namespace=_namespace(self.namespace), namespace_source="from --namespace")
        return found

    def _remark(self, found: Settings) -> None:
        from .._url import mask

        if self.store is not None:
            warn_of_secret(self.store, "--store")
        if found.guessed and self.command.split()[-1] != "worker":  # whose first lines say it
            click.echo(f"{self.command}: job store {mask(found.url)}  ({found.source})", err=True)

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
        raise _runtime.unreachable(settings.url, settings.source, error, "; nothing was done") from error


def warn_of_secret(url: str, where: str) -> None:
    """Say, in one line, that what stands on a command line can be read by everybody on this machine."""
    from .._url import mask

    if mask(url) != url:
        click.echo(
            f"Warning: everybody on this machine can read the password in {where} (ps, /proc); set PACKHORSE_URL or "
            "PACKHORSE_PASSWORD, or write ?password_file=PATH instead.",
            err=True,
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
