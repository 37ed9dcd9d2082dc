"""A stored job as people and programs see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from .._durations import spoken
from .._job_data import call_of, options_of, rules_of
from .._record import AttemptRecord, JobRecord, WorkerRecord
from .._reporting.columns import size
from .._store import Store
from .._when import clock, distance
from .._why import bar_text
from .._why_commands import bars_of, quiet
from .._why_error import cause, loads
from ..errors import JobNotFound, PackhorseError
from ._show import STATES, clean, clean_lines, colour, cut, echo, state, table

#: Characters of an id that are shown, and accepted where only one job's id ends so.
SHORT = 8
LOG_LINES = 20
#: Frames of one error that are shown, newest first.
FRAMES = 12
#: Parents, and names of other rules, that are shown of one job.
_PARENTS = 10
#: Files that a command left, of which so many are shown.
_PATHS = 5


def short(job_id: str) -> str:
    """Return the part of an id that people say."""
    return job_id[-SHORT:]


def one(store: Store, job_id: str) -> JobRecord:
    """Return the job of an id, whole or its last 8 characters. Raises ``JobNotFound`` and ``AmbiguousId``."""
    wanted = job_id.strip().lower()
    found = store.get([wanted]) if wanted else []
    if found:
        return found[0]
    hint = "" if len(wanted) in (SHORT, 36) else f" An id has 36 characters, or say its last {SHORT}."
    raise JobNotFound(
        f"no job '{clean(job_id)}' is stored in {store.url} (namespace {store.namespace}).{hint}\n"
        f"  Deleted jobs are gone, and ended ones go after their time.  To see what is there:  packhorse jobs list"
    )


# -- for people -------------------------------------------------------------------------------------------------------
def call_text(record: JobRecord, limit: int = 0) -> str:
    """Return the call as it would be written: ``tasks:add(2, y=3)``."""
    text = call_text_of(record.task, record.payload)
    return cut(text, limit) if limit else text


def call_text_of(task: str, payload: str) -> str:
    """Return the call of a stored payload."""
    args, kwargs = call_of(payload)
    words = [*(value_text(value) for value in args), *(f"{key}={value_text(value)}" for key, value in kwargs.items())]
    return clean(f"{task}({', '.join(words)})")


def value_text(value: Any) -> str:
    """Return stored data as Python would write it; what has a tag as the value it stands for."""
    from .._codec import PLAIN

    try:
        return repr(PLAIN.decode_value(json.dumps(value)))
    except PackhorseError:
        # A type of the App's own: shown as it is stored.
        return repr(value)


def moments(record: JobRecord, now: int) -> tuple[str, str, str]:
    """Return how long a job waited, how long it ran, and when that was."""
    ready = max(record.created_at, record.scheduled_at or 0)
    waited = _span(ready, record.started_at) if record.started_at else ""
    ran = _span(record.started_at, record.finished_at or (now if record.state == "running" else None))
    if record.finished_at or record.started_at:
        when = clock(record.finished_at or record.started_at or now, now)
    else:
        when = distance(record.due_at, now) if record.due_at is not None else clock(record.created_at, now)
    return waited, ran, when


def _span(start: int | None, end: int | None) -> str:
    return spoken(max(0, end - start) / 1e6) if start is not None and end is not None else ""


def worker_names(workers: Iterable[WorkerRecord]) -> dict[str, str]:
    """Return worker id → name."""
    return {worker.id: worker.name for worker in workers}


def tell(store: Store, record: JobRecord, why: str, *, full: bool = False) -> None:
    """Print everything a person may want to know of one job."""
    now = store.now()
    names = worker_names(store.workers(dead=True))
    echo(f"{state(record.state)}  {call_text(record)}")
    echo(f"  {clean(why)}")
    attempts = store.attempts(record.id)
    _facts([*_fact_lines(record, names, now), *_command_lines(attempts)])
    _attempts(attempts, names, now)
    _error(record, full)
    _log(store, record)


def _facts(lines: Iterable[tuple[str, str]]) -> None:
    echo()
    for label, text in lines:
        if text:
            echo(f"  {label:<10}{clean(text)}")


def _fact_lines(record: JobRecord, names: dict[str, str], now: int) -> Iterable[tuple[str, str]]:
    yield "id", record.id
    yield "queue", record.queue + (f"   priority {record.priority}" if record.priority else "")
    yield "enqueued", f"{clock(record.created_at, now)}{by_text(record.by)}"
    yield "parent", record.parent or ""
    if record.due_at is not None:
        yield "due", f"{clock(record.due_at, now)} ({distance(record.due_at, now)})"
    if record.expires_at is not None:
        yield "expires", f"{clock(record.expires_at, now)} ({distance(record.expires_at, now)})"
    if record.started_at is not None:
        waited, ran, _ = moments(record, now)
        yield "started", f"{clock(record.started_at, now)}   waited {waited}" + (f", ran {ran}" if ran else "")
        yield "output", quiet(record, {}, now).removeprefix("; ")
    if record.worker is not None:
        yield "worker", names.get(record.worker, f"{short(record.worker)} (it has left; its name is not kept)")
    if record.finished_at is not None:
        yield "finished", clock(record.finished_at, now)
    yield "tags", ", ".join(loads(record.tags) or [])
    yield from _rule_lines(record)
    yield from _data_lines(record)


def _rule_lines(record: JobRecord) -> Iterable[tuple[str, str]]:
    rules = rules_of(record)
    for name in ("reserves", "shares", "limit", "after"):
        shown = rules[name][:_PARENTS]
        more = f" and {len(rules[name]) - len(shown):,} more" if len(shown) < len(rules[name]) else ""
        yield name, ", ".join(shown) + more
    yield "after", f"flow {record.after_flow}" if record.after_flow else ""
    yield "flow", record.flow or ""
    free = "   (until its flow is over)" if record.unique_until == "flow" else ""
    free = free if record.unique_held else "   (not held any more)"
    yield "unique", f"{rules['unique']}{free}" if rules["unique"] is not None else ""


def _data_lines(record: JobRecord) -> Iterable[tuple[str, str]]:
    # Meta and options are given by name, on the command line too, and are no call: they are shown as the JSON they are.
    yield "meta", _json_text(record.meta)
    yield "options", _json_text(json.dumps(options_of(record)))
    least = (loads(record.options) or {}).get("kept_for")
    yield "kept", f"at least {spoken(least)} after its end" if least else ""
    if record.crash_fails:
        yield "on_crash", "fail"
    for name, bar in bars_of(record.progress).items():
        yield "progress", bar_text(name, bar)
    if record.state == "succeeded":
        yield "result", cut(value_text(loads(record.result)), 2000) if record.result is not None else "not stored"


def _command_lines(attempts: Sequence[AttemptRecord]) -> Iterable[tuple[str, str]]:
    """Return what the last run of a command was, what it used, and which files it left."""
    usage = loads(attempts[-1].usage) if attempts else None
    if not isinstance(usage, dict) or "program" not in usage:
        return
    how = f"killed by {usage['signal']}" if usage.get("signal") else f"exit status {usage.get('exit')}"
    yield "program", f"{usage['program']}   {how}, processor time {spoken(usage['cpu'])}, memory {size(usage['peak'])}"
    for label, name in (("outputs", "outputs"), ("output in", "output"), ("workspace", "workspace")):
        found = usage.get(name) or []
        paths = [found] if isinstance(found, str) else found
        more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
        yield label, ", ".join(map(str, paths[:_PATHS])) + more


def _json_text(text: str | None) -> str:
    data = loads(text)
    return cut(json.dumps(data, ensure_ascii=False), 2000) if data else ""


def by_text(by: str | None) -> str:
    """Return who enqueued a job, and where: ``by ada@web-3, views.py:88``."""
    about = loads(by)
    if not isinstance(about, dict):
        return ""
    if about.get("schedule"):
        return f" by the schedule '{about['schedule']}'"
    user, login = about.get("user", "?"), about.get("login")
    who = user if login in (None, user) else f"{user} ({login})"
    text = f" by {who}@{about.get('host', '?')}"
    if about.get("file"):
        return f"{text}, {about['file']}:{about.get('line', '?')}"
    return f"{text}, {about['program']}" if about.get("program") else text


def _attempts(attempts: Sequence[AttemptRecord], names: dict[str, str], now: int) -> None:
    if not attempts:
        return
    echo("\nAttempts")
    rows = [
        [
            f"  {attempt.number}",
            _outcome(attempt.outcome),
            clock(attempt.started_at, now) if attempt.started_at else "not started",
            _span(attempt.started_at, attempt.ended_at),
            clean(names.get(attempt.worker or "", attempt.host or "")),
            clean(cut(attempt_cause(attempt), 100)),
        ]
        for attempt in attempts
    ]
    table(["  #", "outcome", "started", "ran", "worker", "because"], rows, right=(3,))


def attempt_cause(attempt: AttemptRecord) -> str:
    """Return why an attempt ended so, in one line."""
    late = "a late result came and was not used" if attempt.late else ""
    return "; ".join(part for part in (cause(attempt.reason, attempt.error), late) if part)


def _outcome(outcome: str) -> str:
    symbols = {"retry": "retrying", "crashed": "failed", "lost": "failed", "snoozed": "scheduled", "released": "queued"}
    like = symbols.get(outcome, outcome)
    mark, tint = STATES.get(like, ("?", "white"))
    return colour(f"{mark} {outcome}", tint)


# -- the error --------------------------------------------------------------------------------------------------------
def _error(record: JobRecord, full: bool) -> None:
    error = loads(record.error)
    if not isinstance(error, dict):
        return
    echo("\nError")
    for line in error_text(error, full):
        echo(f"  {line}")


def error_text(error: dict[str, Any], full: bool = False) -> Iterable[str]:
    """Return an error as lines: what it says, then the user's own frames, newest first, libraries folded."""
    if full and error.get("traceback"):
        yield from clean_lines(str(error["traceback"]).rstrip()).split("\n")
        return
    kind, said = clean(error.get("type", "error")), clean_lines(str(error.get("message", "")))
    yield from f"{kind}: {said}".rstrip(": ").split("\n")
    frames = [frame for frame in reversed(error.get("frames") or []) if isinstance(frame, dict)]
    own = [frame for frame in frames if not _library(str(frame.get("file", "")))]
    shown = own or frames
    for frame in shown[:FRAMES]:
        yield f"  {clean(frame.get('file'))}:{frame.get('line')} in {clean(frame.get('function'))}"
        if frame.get("code"):
            yield f"      {clean(frame['code'])}"
    if len(shown) > FRAMES:
        yield f"  … {counted(len(shown) - FRAMES, 'older frame')} (--full-traceback)"
    if own and len(own) < len(frames):
        yield f"  … {counted(len(frames) - len(own), 'frame')} of libraries folded (--full-traceback)"
    before = error.get("cause")
    if isinstance(before, dict):
        yield "caused by"
        yield from error_text(before)


def counted(number: int, word: str) -> str:
    """Return a number with its word, in the plural where it needs one."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def _library(file: str) -> bool:
    return any(part in file for part in ("/site-packages/", "/dist-packages/", "/lib/python", "<frozen"))


def where(error: str | None) -> str:
    """Return the user's newest frame of an error: ``tasks.py:31 in parse``."""
    data = loads(error)
    frames = data.get("frames") if isinstance(data, dict) else None
    own = [frame for frame in frames or [] if not _library(str(frame.get("file", "")))] or frames
    if not own:
        return ""
    last = own[-1]
    return clean(f"{str(last.get('file')).rpartition('/')[2]}:{last.get('line')} in {last.get('function')}")


def _log(store: Store, record: JobRecord) -> None:
    kept = store.log(record.id)
    if not kept:
        return
    _, text, dropped = kept[-1]
    lines = clean_lines(text.rstrip("\n")).split("\n")
    less = len(lines) - LOG_LINES
    more = f" (last {LOG_LINES} of {len(lines)} lines: packhorse jobs logs {short(record.id)})" if less > 0 else ""
    echo(f"\nLog{more}")
    if dropped and less <= 0:
        echo(f"  … {dropped:,} characters before this were not kept")
    for line in lines[-LOG_LINES:]:
        echo(f"  {line}")
