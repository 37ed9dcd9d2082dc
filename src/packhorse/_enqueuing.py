"""Storing jobs although the store may not answer: trying again under the same ids, for about 3 s, and then telling what was
stored from what may have been."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ._record import Enqueued, NewJob
from ._settings import Settings
from ._store import Store
from ._url import kind_of, mask, remedy
from .errors import EnqueueUnknown, PackhorseError, StoreError, StoreMoved, StoreUnavailable

if TYPE_CHECKING:
    from ._runtime import Connection

#: An enqueue gives up after so many seconds.
PATIENCE = 3.0
#: Who had to wait for its turn does not try again what failed so many seconds ago.
_JUST_NOW = 1.0
#: When a call was asked for (monotonic) that had to wait for a thread to run it.
asked_at: ContextVar[float | None] = ContextVar("packhorse_asked_at", default=None)


def enqueue(where: Connection, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Store jobs, all or none, trying again under the same ids for about 3 s when the store does not answer.

    Raises ``StoreUnavailable`` when nothing was stored, ``EnqueueUnknown`` when the last word is missing.
    """
    started = asked_at.get() or time.monotonic()
    _not_again(where, jobs, started)
    try:
        with where as store:
            return store.enqueue(jobs)
    except StoreUnavailable as error:
        return _enqueue_again(where, jobs, error, started + PATIENCE)


def _not_again(where: Connection, jobs: Sequence[NewJob], started: float) -> None:
    """Refuse at once who has waited long enough for those before it, when they have just found the store away."""
    now = time.monotonic()
    if where.failed is not None and now - started >= PATIENCE and now - where.failed[0] < _JUST_NOW:
        raise _not_enqueued(where, jobs, where.failed[1])


def _enqueue_again(
    where: Connection, jobs: Sequence[NewJob], error: StoreUnavailable, give_up: float
) -> list[Enqueued]:
    unknown = isinstance(error, EnqueueUnknown)
    pause = 0.02
    while time.monotonic() + pause < give_up:
        time.sleep(pause * random.uniform(0.5, 1.0))
        try:
            with where as store, _patience(store, give_up - time.monotonic()):
                return store.enqueue(jobs)
        except StoreUnavailable as later:
            error, unknown = later, unknown or isinstance(later, EnqueueUnknown)
        except StoreError as other:
            if unknown:
                raise _unknown(where, jobs, other) from other
            raise
        pause = min(pause * 2, 0.5)
    raise (_unknown if unknown else _not_enqueued)(where, jobs, error) from error


@contextmanager
def _patience(store: Store, seconds: float) -> Iterator[None]:
    """Let a store wait no longer than this for the answer to one call. The memory store waits for nobody."""
    before = getattr(store, "patience", None)
    if before is not None:
        store.patience = max(0.1, min(before, seconds))
    try:
        yield
    finally:
        if before is not None:
            store.patience = before


def _not_enqueued(where: Connection, jobs: Sequence[NewJob], error: StoreUnavailable) -> StoreUnavailable:
    what = ", the job was NOT enqueued" if len(jobs) == 1 else f", these {len(jobs)} jobs were NOT enqueued"
    return unreachable(where.settings.url, where.settings.source, error, what)


def unreachable(url: str, source: str, error: PackhorseError, consequence: str) -> StoreUnavailable:
    """Return the error of a store that does not answer: what, where and its source, why, and what to do."""
    kind = kind_of(url)
    other = f"Or start without {kind}:  PACKHORSE_URL=sqlite:///packhorse.db"
    if kind == "SQLite":
        other = "Or another file:  PACKHORSE_URL=sqlite:///jobs.db"
    return StoreUnavailable(
        f"cannot reach the job store{consequence}.\n  {mask(url)}  ({source})  →  {reason(error)}\n"
        f"  Try:  {remedy(url)}     {other}    "
    )


def _unknown(where: Connection, jobs: Sequence[NewJob], error: StoreError) -> EnqueueUnknown:
    return EnqueueUnknown(
        f"the job store did not confirm: job {jobs[0].id} may or may not be stored.\n  {where.describe()}  →  {reason(error)}\n"
        f'  Enqueue it again with  using(id="{jobs[0].id}"): the same id is never stored twice.',
        jobs[0].id,
    )


def sourced(error: StoreError, settings: Settings) -> StoreError:
    """Return the same error, telling where the URL came from."""
    if isinstance(error, StoreMoved):
        return error
    told = type(error)(f"{plain(error)}\n  {described(settings)}")
    told.__dict__.update(error.__dict__)
    return told


def described(settings: Settings) -> str:
    """Return URL (secrets masked) and where it came from."""
    return f"{mask(settings.url)}  ({settings.source})"


#: What an error of a store says that the message around it says anyway.
_FRAME = re.compile(r"^(?:cannot (?:reach|use) the job store )?\S+://\S*?: |[.;,]? ?[Nn]othing was stored\.?$")


def reason(error: PackhorseError) -> str:
    """Return why a store did not answer: its message without the URL before it and the consequence after it."""
    return _FRAME.sub("", plain(error))


def plain(error: PackhorseError) -> str:
    """Return the message of an error without its code."""
    return str(error).removesuffix(f"  [{error.code}]").rstrip()
