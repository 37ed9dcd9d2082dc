"""``packhorse db``: the store's own tables."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import click

from .._closed import note
from .._url import kind_of, mask, parse
from . import _show
from ._group import LazyGroup
from ._session import Session, json_option, with_session

_FOLDERS = {"SQLite": "sqlite", "PostgreSQL": "postgres"}


@click.group("db", cls=LazyGroup)
def db() -> None:
    """The store's own tables: make them, look at them, print them."""


def _steps(url: str) -> list[tuple[str, str]]:
    """Return (name, SQL) of every migration of a store; none for a store without tables."""
    # Read as data: the store itself is opened by _runtime alone.
    folder = files("packhorse").joinpath("_stores", _FOLDERS.get(kind_of(url), "-"), "migrations")
    if not folder.is_dir():
        return []
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [(entry.name.removesuffix(".sql"), entry.read_text("utf-8")) for entry in found]


@db.command()
@with_session
def migrate(session: Session) -> None:
    """Bring the store's tables up to this version. Running it twice does no harm."""
    settings = session.settings()
    with session.open(create=True) as store:
        taken = store.migrate()
        url = store.url
    for name in taken:
        _show.echo(f"✓ {name}")
    steps = len(_steps(settings.url))
    _show.echo(f"{url} is {f'at schema {steps}, ' if steps else ''}current")


@db.command()
@json_option
@with_session
def status(session: Session, as_json: bool) -> None:
    """Show the store, its schema, whether that is current, and what the store promises."""
    settings = session.settings()
    steps = len(_steps(settings.url))
    # A store of another schema refuses to be opened, or to answer, and says both versions (E102).
    with session.open() as store:
        closed = store.frozen()
        about: dict[str, Any] = {
            "store": mask(settings.url),
            "source": settings.source,
            "kind": kind_of(settings.url),
            "namespace": store.namespace,
            "instance": store.instance,
            "durable": store.capabilities.durable,
            **({"promise": store.capabilities.promise} if store.capabilities.promise else {}),
            **({"schema": steps} if steps else {}),
            "current": True,
            **({"closed": note(closed)} if closed is not None else {}),
        }
    if as_json:
        _show.document(about)
        return
    for key, value in about.items():
        _show.echo(f"{key:<10} {'yes' if value is True else 'no' if value is False else _show.clean(value)}")


@db.command()
@click.option("--outbox", is_flag=True, help="Those of the outbox, for the application's own database.")
@click.option(
    "--dialect",
    type=click.Choice(["postgresql", "sqlite"]),
    default="postgresql",
    show_default=True,
    help="With --outbox.",
)
@with_session
def sql(session: Session, outbox: bool, dialect: str) -> None:
    """Print the statements that make the store's tables, in order."""
    if outbox:
        _show.echo(files("packhorse").joinpath("_outbox", f"{dialect}.sql").read_text("utf-8").rstrip("\n"))
        return
    url = session.settings().url
    steps = _steps(url)
    if not steps:
        _show.echo(f"-- a {kind_of(url)} store has no tables", err=True)
    if kind_of(url) == "PostgreSQL":
        steps = _in_schema(steps, parse(url).options.get("schema") or "packhorse")
    for name, text in steps:
        _show.echo(f"-- {name}")
        _show.echo(text.rstrip("\n"))


def _in_schema(steps: list[tuple[str, str]], schema: str) -> list[tuple[str, str]]:
    """Return the steps for a schema, with what makes it and what notes how far it has come: the same as ``migrate`` does."""
    named = f'"{schema.replace(chr(34), "")}"'
    told = [(name, re.sub(r"\bpackhorse\.", lambda _: f"{named}.", text)) for name, text in steps]
    note = (
        f"INSERT INTO {named}.meta VALUES ('schema', '{len(steps)}'), ('instance', gen_random_uuid()::text)\n"
        "    ON CONFLICT (key) DO UPDATE SET value = CASE meta.key WHEN 'schema' THEN excluded.value ELSE meta.value END;"
    )
    return [("schema", f"CREATE SCHEMA IF NOT EXISTS {named};"), *told, ("note", note)]
