"""``packhorse run``: one job from the shell."""

from __future__ import annotations

import difflib
import json
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import click

from .. import _why
from .._command import is_raw, of_payload
from .._job_data import as_data
from .._record import FINAL, JobRecord, WorkerRecord
from .._store import Store
from .._when import clock, distance, parse
from .._why_error import error_line, loads
from ..errors import BadArguments, JobNotFound, StoreUnavailable
from . import _show
from ._command_words import values as values_of
from ._drafting import draft_of, own_queue, parameters_of
from ._inside import joined
from ._job import call_text, error_text, moments, short, value_text, where, worker_names
from ._names import Found, find, known_tasks
from ._options import job_options
from ._session import Session, app_specs, json_option, with_session
from ._values import from_json, words_to_call

T = TypeVar("T")

#: Looked at again at least so often while waiting, seconds; hints only make it sooner.
_LOOK = 0.25
#: Between two looks while the store is away (seconds).
_PAUSE = 0.5


@click.command("run")
@click.argument("task")
@click.argument("values", metavar="[VALUE|K=V|K:=JSON]…", nargs=-1)
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 if the job fails.")
@click.option("--here", is_flag=True, help="Run it in this process, as a worker would, without a store.")
@click.option("-q", "--queue", metavar="QUEUE", help="Default: the task's own, else 'default'.")
@click.option("--delay", metavar="5m", help="Not before so long.")
@click.option("--at", metavar="TIME", help="Not before 15:00, or a date and time.")
@click.option("-o", "--option", "options", metavar="KEY=VALUE", multiple=True, help="Any job option, like retry=5.")
@click.option("--args", "args_json", metavar="JSON", help="All positional arguments, as a list.")
@click.option("--kwargs", "kwargs_json", metavar="JSON", help="All keyword arguments, as an object.")
@json_option
@with_session
def run(
    session: Session, task: str, values: tuple[str, ...], here: bool, wait: bool, as_json: bool, **given: Any
) -> int:
    """Enqueue one job of TASK.

    VALUE is converted by the annotation of its parameter, else it is text. K:=JSON takes any JSON.
    Put -- before values that begin with a dash.
    """
    if here:
        from ._here import run_here

        found = find(task, {}, app_specs(session))
        if found.command is not None:
            raise click.UsageError(
                "--here runs functions; a command is run by a worker: leave --here out, and add --wait."
            )
        args, kwargs = _arguments(found, values, given["args_json"], given["kwargs_json"])
        return run_here(session, found, args, kwargs, _options(given), as_json)
    with session.open(create=True) as store:
        found = find(task, known_tasks(store), app_specs(session))
        args, kwargs = _arguments(found, values, given["args_json"], given["kwargs_json"])
        joined(store)
        job_id = _enqueue(session, found, given["queue"], _options(given), args, kwargs)
        return awaited(store, job_id, as_json) if wait else shown(store, job_id, as_json)


# -- what was asked for -----------------------------------------------------------------------------------------------
def _options(given: dict[str, Any]) -> dict[str, Any]:
    found = job_options(given["options"])
    if given["delay"] is not None:
        found["delay"] = given["delay"]
    if given["at"] is not None:
        found["at"] = parse(given["at"], "--at")
    return found


def _arguments(
    found: Found, values: tuple[str, ...], args_json: str | None, kwargs_json: str | None
) -> tuple[list[Any], dict[str, Any]]:
    if args_json is None and kwargs_json is None:
        if found.command is not None:
            return [], values_of(values, found.name)
        return words_to_call(values, parameters_of(found), found.name)
    if values:
        raise click.UsageError("Give the arguments as words, or with --args and --kwargs; not both.")
    args, kwargs = from_json(args_json or "[]", "--args"), from_json(kwargs_json or "{}", "--kwargs")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise BadArguments("--args takes a JSON list and --kwargs a JSON object. Nothing enqueued.")
    return args, kwargs


# -- storing it -------------------------------------------------------------------------------------------------------
def _enqueue(
    session: Session, found: Found, queue: str | None, options: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
) -> str:
    from .. import _bulk, _runtime
    from .._queue import Queue

    line = Queue(queue or own_queue(found) or "default", app=session.app).using(**options)
    draft = draft_of(line, found, args, kwargs)
    with ExitStack() as stack:
        for around in session.app.around_enqueue if session.app is not None else ():
            stack.enter_context(around(draft))
        return _bulk.put(_runtime.at(session.settings()), [draft], who())[0].id


def who() -> str:
    """Return who enqueues: the person and the program. Our own file and line would tell nothing."""
    from .._by import caller

    about = {key: value for key, value in json.loads(caller()).items() if key not in ("file", "line")}
    return json.dumps({**about, "program": click.get_current_context().command_path})


def _get(store: Store, job_id: str) -> JobRecord:
    found = store.get([job_id])
    if not found:
        raise JobNotFound(f"job {job_id} is gone from {store.url}: it was deleted.")
    return found[0]


def warn(store: Store, record: JobRecord) -> None:
    """Say on stderr what will keep the job from running; it is stored all the same."""
    alive = _why.live(store.workers(), store.now())
    if not alive:
        return
    serving = [worker for worker in alive if _why.serves(worker, record.queue)]
    if not serving:
        _show.echo(_nobody_listens(record.queue, alive), err=True)
    elif is_raw(record.task):
        _warn_of_program(record, serving)
    elif not any(_why.may_know(worker, record.task) for worker in serving):
        unknown = f"no live worker on queue '{record.queue}' knows '{record.task}'; the job waits for one"
        _show.echo(f"Warning: {unknown}.  [E111]", err=True)


def _warn_of_program(record: JobRecord, serving: list[WorkerRecord]) -> None:
    from .._programs import allowed
    from .._why_commands import patterns_of

    program = of_payload(record.payload, record.task).program
    if not any(allowed(program, patterns_of(worker)) for worker in serving):
        _show.echo(
            f"Warning: no live worker on queue '{record.queue}' may run {_show.clean(program)}; the job waits for one, such as  "
            f"packhorse worker --allow-commands {shlex.quote(_show.clean(program))}  [E217]",
            err=True,
        )


def _nobody_listens(queue: str, alive: list[WorkerRecord]) -> str:
    served = sorted({name for worker in alive for name in _why.queues_of(worker) or ()})
    close = difflib.get_close_matches(queue, served, 1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Live workers listen to {', '.join(served)}."
    return f"Warning: enqueued to '{queue}', but no live worker listens there. {hint}  [E141]"


def shown(store: Store, job_id: str, as_json: bool) -> int:
    """Show the job; that it is stored holds even if the store does not answer any more."""
    try:
        record, now = _found(store, job_id), store.now()
    except StoreUnavailable as error:
        _show.echo(f"job {job_id} is stored; the store does not answer since: {error}", err=True)
        return 0
    if as_json:
        _show.document(as_data(record))
        return 0
    due = f"   due at {clock(record.due_at, now)} ({distance(record.due_at, now)})" if record.due_at is not None else ""
    _show.echo(f"{_show.symbol(record.state)} {call_text(record)}   job {short(record.id)}   queue {record.queue}{due}")
    return 0


def _found(store: Store, job_id: str) -> JobRecord:
    """Return the job just stored, and say what will keep it from running."""
    record = _get(store, job_id)
    warn(store, record)
    return record


# -- waiting for it ---------------------------------------------------------------------------------------------------
def awaited(store: Store, job_id: str, as_json: bool) -> int:
    """Wait for the end. A store that does not answer for a while does not end the wait: the job is stored."""
    try:
        record = _patiently(job_id, lambda: _found(store, job_id))
        while record.state not in FINAL:
            record = _patiently(job_id, lambda: _look(store, job_id))
        return _patiently(job_id, lambda: _waited(store, record, as_json))
    except KeyboardInterrupt:
        _show.echo(f"\nthe job goes on:  packhorse why {short(job_id)}", err=True)
        raise


def _patiently(job_id: str, call: Callable[[], T]) -> T:
    """Call until the store answers; say once that it does not."""
    said = False
    while True:
        try:
            return call()
        except StoreUnavailable as error:
            if not said:
                _show.echo(f"the store does not answer ({error}); still waiting for job {short(job_id)}", err=True)
            said = True
            time.sleep(_PAUSE)


def _look(store: Store, job_id: str) -> JobRecord:
    store.wait(_LOOK)
    return _get(store, job_id)


def _waited(store: Store, record: JobRecord, as_json: bool) -> int:
    code = 0 if record.state == "succeeded" else 1
    if as_json:
        _show.document(as_data(record, worker_names(store.workers(dead=True))))
        return code
    tell_end(record, store.now(), worker_names(store.workers(dead=True)))
    return code


def tell_end(record: JobRecord, now: int, names: dict[str, str]) -> None:
    """Print how a job ended: its result, or what went wrong."""
    if record.state == "succeeded":
        result = value_text(loads(record.result)) if record.result is not None else "(result not stored)"
        waited, ran, _ = moments(record, now)
        head = f"{_show.symbol('succeeded')} {_show.clean(result)}    {call_text(record)}"
        _show.echo(f"{head}   waited {waited or '-'}, ran {ran or '-'}")
        if record.reason:
            _show.echo(f"  {_show.clean(record.reason)}", err=True)
        return
    _show.echo(_failure_head(record, now, names))
    _failure_cause(record)


def _failure_head(record: JobRecord, now: int, names: dict[str, str]) -> str:
    runs = record.failures + record.crashes + record.losses
    _, ran, _ = moments(record, now)
    after = f" after {ran}" if ran else ""
    attempt = f"  attempt {runs}" if record.state == "failed" and runs else " "
    worker = names.get(record.worker or "", "")
    by = f"  worker {_show.clean(worker)}" if worker else ""
    return f"{_show.symbol(record.state)} {call_text(record)}{attempt} {record.state}{after}      job {short(record.id)}{by}"


def _failure_cause(record: JobRecord) -> None:
    code = "E201" if record.state == "cancelled" else "E200"
    error = loads(record.error)
    if record.reason:
        _show.echo(f"  {_show.clean(record.reason)}  [{code}]")
    elif isinstance(error, dict):
        head = _show.clean(error_line(record.error))
        _show.echo(f"  {head}         {where(record.error)}  [{error.get('code') or code}]")
        frames = list(error_text(error))[1:]
        # One frame of the user's own is on the line above already.
        for line in frames if len(frames) > 2 else ():
            _show.echo(f"  {line}")
