"""Zope's ``transaction``: the SQLAlchemy session that has joined it, or a call after its commit."""

from __future__ import annotations

from typing import Any

from ..errors import WrongHandle
from .drivers import Raw
from .handle import Handle, Hook, Waits
from .sqlalchemy import SessionHandle


def zope_handle(manager: Any) -> Handle:
    """Return a handle on ``transaction.manager`` (or another manager)."""
    return ZopeHandle(manager)


class ZopeHandle(Handle):
    """A transaction manager. It has no connection itself; a session joined by ``zope.sqlalchemy`` has."""

    def __init__(self, given: Any) -> None:
        super().__init__(given, "Zope transaction manager")

    def connect(self) -> Raw:
        """Use the session that has joined."""
        return self._session().connect()

    def used(self) -> None:
        """Tell zope.sqlalchemy that there is something to commit."""
        self._session().used()

    def after_commit(self, call: Hook) -> Waits:
        """Use the transaction's own hook; it says whether the commit went well."""
        transaction, waiting = self.given.get(), [call]

        def ended(committed: bool = False) -> None:
            waiting.clear()
            if committed:
                call()

        transaction.addAfterCommitHook(ended)
        transaction.addAfterAbortHook(ended)
        return lambda: bool(waiting)

    def _session(self) -> SessionHandle:
        joined = [getattr(each, "session", None) for each in self.given.get()._resources]
        sessions = [each for each in joined if each is not None]
        if len(sessions) != 1:
            what = "no SQLAlchemy session has" if not sessions else f"{len(sessions)} SQLAlchemy sessions have"
            raise WrongHandle(
                f"{what} joined this transaction (zope.sqlalchemy.register), so it is not known on which connection the job is "
                "to be written. Nothing was stored.\n  Use the session first, or give it to within() instead of the manager; or "
                "enqueue after the commit:  within(transaction.manager, after_commit=True)"
            )
        return SessionHandle(sessions[0])
