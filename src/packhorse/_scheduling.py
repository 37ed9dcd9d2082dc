"""What a queue can do about schedules: make one by name, change it, delete it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from . import _runtime
from ._by import person
from ._draft import Draft
from ._durations import Duration
from ._names import queue_name
from ._runtime import Connection
from .errors import BadOption

if TYPE_CHECKING:  # whoever only enqueues does not load what schedules need
    from ._schedule import Missed, Overlap, Span


class Scheduling:
    """The part of ``Queue`` that is about recurring jobs."""

    __slots__ = ()

    _transaction: Any
    draft: Callable[..., Draft[Any]]

    @property
    def _connection(self) -> Connection:
        raise NotImplementedError

    def schedule(
        self,
        name: str,
        what: Callable[[], Any] | Draft[Any],
        /,
        *,
        every: Duration | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        missed: Missed = "one",
        overlap: Overlap = "skip",
        span: Span = "job",
        jitter: Duration = 0,
    ) -> None:
        """Have a job made again and again, from now on: ``mail.schedule("digest", send_digest, cron="0 7 * * *")``.

        Stored at once, under its name: the same again changes nothing, something else changes it, so a program may say this
        each time it starts. ``what`` is a task that needs no arguments, or a draft. Exactly one of ``every`` (a duration of a
        second or more, counted from the beginning of 1970) and ``cron`` is given; the rest is as with ``packhorse.every`` and
        ``packhorse.cron``. It takes a worker of this namespace, any, to make the jobs. New times begin now; what is changed
        never makes up for the past. One that the code of an application declares stays as it is said here until ``packhorse
        scheduled reschedule``.

        Raises ``BadSchedule`` with what is wrong, and then nothing is stored; ``StoreUnavailable``.
        """
        from . import _owning

        name, text = self._said(
            name, what, every, cron, timezone, missed=missed, overlap=overlap, span=span, jitter=jitter
        )
        with self._connection as store:
            _owning.apply(store, lambda book: _owning.save(book, name, text, person()))

    def unschedule(self, name: str, /) -> bool:
        """Delete a schedule; return False if there is none of this name. Jobs it has made stay.

        Raises ``BadSchedule`` for one that code declares: it would come back with the next worker.
        """
        from . import _owning

        with self._connection as store:
            return not _owning.apply(store, lambda book: _owning.drop(book, name)).empty

    def aschedule(self, name: str, what: Callable[[], Any] | Draft[Any], /, **how: Any) -> Coroutine[Any, Any, None]:
        """Do what ``schedule`` does, to be awaited."""
        return _runtime.aside(lambda: self.schedule(name, what, **how))

    def aunschedule(self, name: str, /) -> Coroutine[Any, Any, bool]:
        """Do what ``unschedule`` does, to be awaited."""
        return _runtime.aside(lambda: self.unschedule(name))

    def _said(
        self, name: str, what: Any, every: Duration | None, cron: str | None, timezone: str, **how: Any
    ) -> tuple[str, str]:
        """Return name and content of a schedule, checked."""
        from . import _schedule
        from ._recurring import job_of, rule_of

        if self._transaction is not None:
            raise BadOption("schedule() is no part of a transaction: leave within() out.")
        where = "schedule()"
        rule = rule_of(every, cron, timezone, where)
        draft = what if isinstance(what, Draft) else self.draft(what)
        found = _schedule.spec(rule, job_of(draft, where), **how, where=where)
        return queue_name(name, where), _schedule.encode(found)
