"""Recurring jobs: declared in code with ``every`` and ``cron``, in packhorse.toml, or made by ``Queue.schedule``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _declared, _rule, _schedule
from ._declared import Declaration
from ._draft import Draft, contents
from ._durations import Duration, seconds
from ._names import queue_name
from ._options import Unset
from ._record import NewJob
from ._rule import Rule
from ._schedule import Missed, Overlap, Span
from ._task import Task
from .errors import BadArguments, BadOption, BadSchedule

if TYPE_CHECKING:
    from ._queue import Queue

#: Code of ours is never where a schedule was declared.
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: What one job has and a rule for many cannot have.
_NOT_FOR_MANY = {
    "at": "at=",
    "expires_at": "expires= with a time",
    "after": "after=",
    "after_flow": "after=",
}


def every(
    interval: Duration | None,
    what: Callable[[], Any] | Draft[Any],
    /,
    *,
    name: str | None = None,
    queue: str | Queue | None = None,
    missed: Missed = "one",
    overlap: Overlap = "skip",
    span: Span = "job",
    jitter: Duration = 0,
) -> None:
    """Declare that a job is to be made again and again: ``every("5m", clean_up)``.

    ``interval`` is a duration of a second or more, counted from the beginning of 1970, UTC; 0 or None: declared, but off.
    ``what`` is a task that needs no arguments, or a draft of a call: ``every(30, mail.draft(send, "x"))``. ``name`` is the
    task's unless given; no two schedules share one. ``queue`` is the task's own, else "default". ``missed``: when no worker
    looked in time, one job is made for all ticks that were missed ("one"), one for each ("all", at most 1,000), or none
    ("skip"). ``overlap``: while the job of an earlier tick has not ended, none is made ("skip"), it runs beside it ("allow"),
    or it waits for it ("queue"). ``span="flow"``: each opens a flow of its own, and an earlier one has ended when its flow has.
    ``jitter``: each job starts up to so much later, by chance; without it the jobs of an interval of an hour or more start with a
    delay of their own, always the same, of up to a tenth of it and an hour at most.

    This only declares: a worker that starts with this module writes it into the store. Raises ``BadSchedule``.
    """
    rule = None if interval is None or _is_zero(interval) else _rule.every(interval, "every()")
    _declare("every()", rule, what, name, queue, missed=missed, overlap=overlap, span=span, jitter=jitter)


def cron(
    rule: str | None,
    what: Callable[[], Any] | Draft[Any],
    /,
    *,
    name: str | None = None,
    timezone: str = "UTC",
    queue: str | Queue | None = None,
    missed: Missed = "one",
    overlap: Overlap = "skip",
    span: Span = "job",
    jitter: Duration = 0,
) -> None:
    """Declare that a job is to be made at certain times: ``cron("30 2 * * mon-fri", report, timezone="Europe/Berlin")``.

    ``rule`` has five fields (minute, hour, day of month, month, day of week), or six with the second first; None: declared, but
    off. It goes by the wall clock of ``timezone``. A time that the clocks leave out in spring fires once, right after the gap; a
    time that comes twice in autumn fires the first time. Rules for every hour (``*``) go by the time that passes. The rest is as
    with ``every``. Raises ``BadSchedule``, with the place of a mistake in the rule.
    """
    found = None if rule is None else _rule.cron(rule, timezone, "cron()")
    _declare("cron()", found, what, name, queue, missed=missed, overlap=overlap, span=span, jitter=jitter)


def _is_zero(interval: Duration) -> bool:
    try:
        return seconds(interval) == 0
    except BadOption:
        return False  # what is wrong with it is said elsewhere


def _declare(where: str, rule: Rule | None, what: Any, name: str | None, queue: str | Queue | None, **how: Any) -> None:
    """Check what can be checked without the rest of the program, and remember the rest."""
    place = _place()
    if name is not None:
        queue_name(name, f"{where} name=")
    if isinstance(queue, str):
        queue_name(queue, f"{where} queue=")
    if not callable(what) and not isinstance(what, Draft):
        raise BadSchedule(f"{where} takes a task or a draft of one, not {what!r:.80}.")
    if isinstance(what, Draft) and queue is not None:
        raise BadSchedule(f"{where}: the draft has its queue '{what.queue}' already; leave queue= out.")
    _schedule.spec(rule, NewJob("", "", "", ""), **how, where=where)

    def said(app: Any) -> tuple[str, str]:
        draft = what if isinstance(what, Draft) else _on_queue(queue, what, app).draft(what)
        found = _schedule.spec(rule, job_of(draft, where), **how, place=place, where=where)
        return queue_name(name or draft.task, f"{where} name="), _schedule.encode(found)

    _declared.declare(Declaration(place, name, said))


def _on_queue(queue: str | Queue | None, what: Any, app: Any) -> Queue:
    from ._queue import Queue

    if isinstance(queue, Queue):
        return queue
    own = what.options.queue if isinstance(what, Task) else None
    if queue is None and isinstance(own, str):
        queue = own
    return Queue(queue or "default", app=app)


def _place() -> str:
    """Return file and line of the nearest caller that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def job_of(draft: Draft[Any], where: str) -> NewJob:
    """Return the job that a schedule makes, but for what differs from tick to tick. Raises ``BadSchedule``."""
    job = NewJob(*contents([draft], "", (None, None))[0])
    for field, option in _NOT_FOR_MANY.items():
        if getattr(job, field):
            raise BadSchedule(f"{where}: {option} is for one job, and a schedule makes many. Leave it out.")
    if draft._plan.fixed_id is not None:
        raise BadSchedule(f"{where}: id= is for one job, and a schedule makes many. Leave it out.")
    if draft._plan.opens:  # each of its jobs begins a flow
        job = job._replace(flow=None)
    return job._replace(on_conflict="return") if job.on_conflict == "raise" else job


def rule_of(every: Duration | None, cron: str | None, timezone: str, where: str) -> Rule:
    """Return the rule of which exactly one form is given. Raises ``BadSchedule``."""
    if (every is None) == (cron is None):
        raise BadSchedule(
            f"{where} takes either every= or cron=, {'not both' if every is not None else 'and got neither'}."
        )
    if cron is not None:
        return _rule.cron(cron, timezone, f"{where} cron=")
    assert every is not None
    return _rule.every(every, f"{where} every=")


# -- packhorse.toml -----------------------------------------------------------------------------------------------------
_RULE = frozenset({"every", "cron", "timezone", "missed", "overlap", "span", "jitter"})
_CALL = frozenset({"task", "queue", "args", "kwargs"})


def from_config(tables: Mapping[str, Any], source: str, app: Any) -> dict[str, str]:
    """Return what ``[schedules.NAME]`` tables say, by name. Raises ``BadSchedule`` and what a wrong call raises, naming the
    table."""
    found = {}
    for name, table in tables.items():
        where = f"[schedules.{name}] {source}"
        try:
            found[queue_name(name, where)] = _from_table(table, where, source, app)
        except (BadOption, BadArguments) as error:
            text = str(error).removesuffix(f"  [{error.code}]")
            raise BadSchedule(text if where in text else f"{where}: {text}") from error
    return found


def _from_table(table: Any, where: str, source: str, app: Any) -> str:
    from ._queue import Queue

    if not isinstance(table, Mapping) or not isinstance(table.get("task"), str):
        raise BadSchedule(f'{where} needs task = "module:function", and every = or cron =.')
    options: Any = {key: value for key, value in table.items() if key not in _RULE and key not in _CALL}
    queue = Queue(table.get("queue") or _queue_of(table["task"]), app=app).using(**options)
    args, kwargs = table.get("args", []), table.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise BadSchedule(f"{where}: args is a list, kwargs a table.")
    # What is declared is not asked of workers: this is one, and may know no store yet.
    draft = queue._draft(table["task"], tuple(args), dict(kwargs), ask=False)
    off = "cron" not in table and "every" in table and _is_zero(table["every"])
    rule = None if off else rule_of(table.get("every"), table.get("cron"), table.get("timezone", "UTC"), where)
    how = {key: table[key] for key in ("missed", "overlap", "span", "jitter") if key in table}
    return _schedule.encode(_schedule.spec(rule, job_of(draft, where), **how, place=source, where=where))


def _queue_of(task: str) -> str:
    """Return the queue that a task names for itself, if its module is here, or the command is declared here."""
    from ._command_draft import find
    from ._draft import Target

    command = find(task, None)
    queue = (Target(task) if command is None else command).options.queue
    return "default" if isinstance(queue, Unset) else queue
