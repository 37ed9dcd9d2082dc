"""A handle on the caller's transaction, of whatever library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import WrongHandle
from .drivers import Driver, Raw

#: What is to happen once the transaction has been committed; it may be awaited where the handle is async.
Hook = Callable[[], Any]
#: Tells whether a hook may still be called: the transaction is open.
Waits = Callable[[], bool]


class Handle:
    """What the caller gave: a driver's connection by itself, or an object of a library that leads to one.

    ``given`` is that object, ``name`` what it is called in messages. ``colour`` of a call and of the handle must agree.
    """

    is_async = False

    def __init__(self, given: Any, name: str, driver: Driver | None = None) -> None:
        """``driver`` None: known only once the library has given its connection."""
        self.given = given
        self.name = name
        self._driver = driver

    def connect(self) -> Raw:
        """Return the driver's connection, in a transaction or about to begin one by itself. Raises ``WrongHandle``."""
        assert self._driver is not None
        self._driver.refuse(self.given, self.name)
        return Raw(self._driver, self.given)

    async def aconnect(self) -> Raw:
        """Do the same for an async handle."""
        return self.connect()

    def used(self) -> None:
        """Tell the library that its transaction has something to commit, where it would not know."""

    def after_commit(self, call: Hook) -> Waits:
        """Have the library call ``call`` once the transaction is committed, and never if it is rolled back. Raises
        ``WrongHandle`` where there is no such thing."""
        raise WrongHandle(
            f"within(after_commit=True) needs a library that calls back after a commit; a {self.name} does not. Nothing was "
            "stored.\n  It works with a SQLAlchemy Session or AsyncSession, a Django connection and Zope's transaction.manager. "
            "Without it, the job becomes visible with the commit itself."
        )


def wrong_colour(handle: Handle, verb: str) -> WrongHandle:
    """Return the error for a sync handle with an async call, or the other way round."""
    kind, other = ("an async", f"await …a{verb}(…)") if handle.is_async else ("a sync", f"{verb.removeprefix('a')}(…)")
    return WrongHandle(
        f"this {handle.name} is {kind} handle, and {verb}() is the call for the other kind: the statement runs on that very "
        f"connection. Nothing was stored.\n  Use  {other}"
    )
