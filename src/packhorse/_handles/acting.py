"""Running what a store does inside a transaction (``_inside``) on the caller's connection: in this thread, or awaited."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from .._inside import Inside, Step, Steps
from ..errors import WrongDatabase
from .drivers import Raw

T = TypeVar("T")

#: Runs a call in a thread.
Aside = Callable[[Callable[[], Any]], Awaitable[Any]]

#: Connections that lead to the store's own database, by store. Only what can be held weakly is remembered.
_seen: weakref.WeakKeyDictionary[Inside, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()


def acting(raw: Raw, steps: Steps[T]) -> T:
    """Run an act to its end, here and now. An error of the driver goes through the act, which may put it into words."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step(raw.connection) if callable(step) else raw.driver.execute(raw.connection, *step)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def aacting(raw: Raw, steps: Steps[T], aside: Aside) -> T:
    """Do the same on a connection that is awaited. What the act does between its statements may take a moment (it may ask its
    store something), so it is done in a thread, by ``aside``."""
    going = _Going(steps)
    while (step := await aside(going.next)) is not None:
        assert not callable(step)
        try:
            going.answer = await raw.driver.aexecute(raw.connection, *step)
        except Exception as error:
            going.error = error
    return going.result  # type: ignore[return-value]


class _Going(Generic[T]):
    """An act under way; its end is a value here, since no thread can hand on a StopIteration."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.answer: Any = None
        self.error: Exception | None = None
        self.result: T | None = None

    def next(self) -> Step | None:
        """Return the next step, None at the end."""
        error, self.error = self.error, None
        try:
            return self._steps.send(self.answer) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self.result = end.value
            return None


def check(raw: Raw, inside: Inside) -> None:
    """Raise ``WrongDatabase`` unless the connection leads to the store's own database; asked once per connection."""
    if not _known(raw, inside):
        acting(raw, inside.check())
        _remember(raw, inside)


async def acheck(raw: Raw, inside: Inside, aside: Aside) -> None:
    """Do the same on a connection that is awaited."""
    if not _known(raw, inside):
        await aacting(raw, inside.check(), aside)
        _remember(raw, inside)


def _known(raw: Raw, inside: Inside) -> bool:
    seen = _seen.get(inside)
    # A SQLite connection cannot be held weakly; asking it is cheap.
    return seen is not None and raw.driver.dialect != "sqlite" and raw.connection in seen


def _remember(raw: Raw, inside: Inside) -> None:
    if raw.driver.dialect != "sqlite":
        _seen.setdefault(inside, weakref.WeakSet()).add(raw.connection)


def usable(raw: Raw, inside: Inside | None, dialect: str | None, store: str) -> Inside:
    """Return the acts, if this store (``store`` describes it) and this connection speak of the same thing at all."""
    if inside is not None and raw.driver.dialect == dialect:
        return inside
    kind = "SQLite" if raw.driver.dialect == "sqlite" else "PostgreSQL"
    raise WrongDatabase(
        f"the transaction is one of {kind} ({raw.driver.name}), and the job store is {store}; nothing was stored.\n"
        "  One transaction cannot hold both. To enqueue, write the job down in the application's database, and let the relay "
        "bring it to the store:  within(x, outbox=True)"
    )
