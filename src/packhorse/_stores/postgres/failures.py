"""What PostgreSQL's errors, and those of the way to it, mean to the caller of a store."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors as pg

from ...errors import BadStore, PackhorseError, StoreFull, StoreRefused, StoreUnavailable

#: Another transaction was in the way: the whole may be done again at once.
CONFLICTS = (pg.SerializationFailure, pg.DeadlockDetected)
#: A prepared statement is not there, or there already: somebody stands between who gives each transaction another session.
STRAYED = (pg.InvalidSqlStatementName, pg.DuplicatePreparedStatement)
#: A table, or the schema, is not there.
MISSING = (pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedColumn)
_FULL = (pg.DiskFull,)
_PASSING = (
    pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow, pg.TooManyConnections, pg.ReadOnlySqlTransaction,
    pg.QueryCanceled, pg.LockNotAvailable, pg.OutOfMemory, pg.IdleInTransactionSessionTimeout, *CONFLICTS, *STRAYED,
)  # fmt: skip
_REFUSALS = (
    pg.InvalidPassword, pg.InvalidAuthorizationSpecification, pg.InvalidCatalogName, pg.InsufficientPrivilege,
)  # fmt: skip
#: libpq's words where there is no code: (what they hold, what failed).
_REFUSED_WORDS = re.compile(
    r"password authentication failed|no password supplied|role \".*\" does not exist|database \".*\" does not exist|"
    r"pg_hba\.conf|Peer authentication failed|permission denied|is not permitted to log in|authentication failed|"
    r"user name .* does not match|no such user|no such database|auth failed",
    re.IGNORECASE,
)
_TLS_WORDS = re.compile(
    r"certificate|SSL error|does not support SSL|server certificate|root certificate|does not match host name|"
    r"private key|tlsv1|ssl negotiation|SSL was required",
    re.IGNORECASE,
)
_PASSING_WORDS = re.compile(
    r"starting up|shutting down|recovery mode|too many (clients|connections)|remaining connection slots|"
    r"not yet accepting connections|max_client_conn|connection limit exceeded",
    re.IGNORECASE,
)
_STRANGE_WORDS = re.compile(
    r"unsupported frontend protocol|expected authentication request|invalid response to SSL|received invalid response|"
    r"server sent data|protocol",
    re.IGNORECASE,
)


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the session is gone, or must not be used again."""
    if isinstance(error, (pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow, *STRAYED)):
        return True
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def is_the_stores(error: psycopg.Error) -> bool:
    """Tell whether the store is to blame, and not a value or a row that was given to it."""
    return is_lost(error) or isinstance(error, (*_PASSING, *_REFUSALS, *MISSING, *_FULL)) or _class_of(error) in (
        "08", "42", "53", "57", "58", "XX",
    )  # fmt: skip


def translated(error: psycopg.Error, shown: str, consequence: str = "Nothing was stored.") -> PackhorseError:
    """Return the error of the tree that tells the caller what happened and what to do."""
    words = said(error)
    if isinstance(error, _FULL):
        return StoreFull(f"The disk of the job store {shown} is full ({words}). {consequence} Make room and try again.")
    if isinstance(error, pg.InsufficientPrivilege):
        return _not_allowed(words, shown)
    if isinstance(error, _PASSING) or _class_of(error) in ("08", "53", "57", "58"):
        return StoreUnavailable(f"The job store {shown} cannot be used at present: {words}. {consequence}")
    if error.sqlstate is None or isinstance(error, _REFUSALS):
        return _of_the_way(error, words, shown, consequence)
    return BadStore(f"The job store {shown} refused what was asked: {words} ({error.sqlstate}). {consequence}")


def _of_the_way(error: psycopg.Error, words: str, shown: str, consequence: str) -> PackhorseError:
    """Sort what went wrong before the server knew us: there is often no code, only words."""
    if _PASSING_WORDS.search(words):
        return StoreUnavailable(f"cannot use the job store {shown}: {words}. {consequence}")
    if isinstance(error, _REFUSALS) or _REFUSED_WORDS.search(words):
        return StoreRefused(
            f"{shown}: the server refused: {words}; nothing was opened. The password may stand in the URL, in the file of "
            "?password_file=, or in PACKHORSE_PASSWORD."
        )
    if "invalid response" not in words and _TLS_WORDS.search(words) and "server closed the connection" not in words:
        return StoreRefused(
            f"{shown}: TLS failed: {words}; nothing was opened. sslmode=, sslrootcert=, sslcert= and sslkey= in the URL say what "
            "is asked of the server's certificate and which one is shown to it."
        )
    if _STRANGE_WORDS.search(words):
        return BadStore(f"{shown}: no PostgreSQL answers there ({words}); nothing was opened. Is it the right port?")
    return StoreUnavailable(f"cannot reach the job store {shown}: {words}. {consequence}")


def _not_allowed(words: str, shown: str) -> StoreRefused:
    return StoreRefused(
        f"{shown}: this role may not do what is needed: {words}. Nothing was stored. docs/guides/postgresql.md has the GRANTs of "
        "a role that runs workers and enqueues; packhorse db migrate needs the role that owns the schema."
    )


def _class_of(error: psycopg.Error) -> str:
    return (error.sqlstate or "")[:2]


def said(error: psycopg.Error) -> str:
    """Return the server's or libpq's own words in one line. They hold no password: libpq never prints it."""
    words = error.diag.message_primary or str(error) or type(error).__name__
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    short = "; ".join(lines[:4]).removeprefix("connection failed: ").rstrip(".")
    if "Connection refused" in short:
        return "connection refused"
    return "no answer in time" if "timeout expired" in short or "timed out" in short else short
