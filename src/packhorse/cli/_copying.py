"""``packhorse jobs copy``: the same again as new jobs, in a batch of their own, with other values where that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from .._batches import flow_of, next_number
from .._codec import PLAIN
from .._command import command_of, filled, is_raw, stored
from .._command_draft import Known, find, task_draft, told_command
from .._command_task import TRIED_IN
from .._draft import Draft
from .._ids import new_id
from .._job_rules import Rules
from .._looking import Meant, look
from .._record import BATCH, JobRecord, NewJob
from .._store import Store
from ..errors import BadArguments, BadOption
from . import _show
from ._job import short
from ._names import known_tasks
from ._session import Session
from ._values import from_json

_HELD = ("reserves", "shares", "limit")
#: What words are added to in a command without parameters.
_COMMAND = "command"


class Setting(NamedTuple):
    """One value that the copies get."""

    name: str
    value: Any
    added: bool  #: beside those that are there


def settings(words: Iterable[str]) -> list[Setting]:
    """Return what ``NAME=VALUE``, ``NAME:=JSON`` and ``NAME+=VALUE`` say. Raises ``BadArguments``."""
    return [_setting(word) for word in words]


def _setting(word: str) -> Setting:
    head, mark, value = word.partition("=")
    name = head.rstrip("+:")
    if not mark or not name.isidentifier() or head[len(name) :] not in ("", "+", ":"):
        raise BadArguments(
            f"--set takes NAME=VALUE, NAME+=VALUE (one more) or NAME:=JSON, not {word!r}. Nothing stored."
        )
    return Setting(name, from_json(value, f"'{word}'") if head.endswith(":") else value, head.endswith("+"))


def copied(session: Session, store: Store, meant: Meant, sets: Sequence[str], **how: Any) -> int:
    """Copy all jobs that match, oldest first, after asking. Returns the exit code."""
    changes = settings(sets)
    ids = [seen.job.id for part in look(store, meant) for seen in part.found][::-1]
    if not ids or how["dry_run"]:
        return _counted(len(ids), how["as_json"])
    if not _show.agree(f"{_show.count(len(ids), 'job')} will be stored again, as new jobs. Go on?", yes=how["yes"]):
        _show.echo("nothing done")
        return 0
    made = Copies(store, changes)
    for record in _records(store, ids):
        made.of(record, "")  # all are tried before one is stored
    number = next_number(store)
    done = sum(_put(session, group) for group in _groups(made, _records(store, ids), flow_of(number)))
    _told(done, number, how["as_json"])
    return 0


def _records(store: Store, ids: Sequence[str]) -> Iterator[JobRecord]:
    for start in range(0, len(ids), BATCH):
        yield from store.get(ids[start : start + BATCH])


def _groups(made: Copies, records: Iterator[JobRecord], flow: str) -> Iterator[list[NewJob]]:
    group: list[NewJob] = []
    for record in records:
        group.append(made.of(record, flow))
        if len(group) == BATCH:
            yield group
            group = []
    if group:
        yield group


def _put(session: Session, jobs: list[NewJob]) -> int:
    from .. import _runtime
    from .run import who

    by = who()
    answers = _runtime.enqueue(_runtime.at(session.settings()), [job._replace(by=by) for job in jobs])
    return sum(not answer.existing for answer in answers)


def _counted(number: int, as_json: bool) -> int:
    if as_json:
        _show.document({"jobs": number, "stored": 0})
    else:
        _show.echo(f"{_show.count(number, 'job')} would be copied" if number else "no job matches")
    return 0


def _told(done: int, number: int, as_json: bool) -> None:
    if as_json:
        _show.document({"batch": number, "flow": flow_of(number), "stored": done})
    else:
        _show.echo(f"{_show.count(done, 'job')} stored in batch {number}   packhorse flows show {flow_of(number)}")


# -- one copy -------------------------------------------------------------------------------------------------------------
class Copies:
    """Makes new jobs of stored ones."""

    def __init__(self, store: Store, changes: Sequence[Setting]) -> None:
        """``changes`` are the values that they get."""
        self._store = store
        self._changes = changes
        self._found: dict[str, Known | None] = {}

    def of(self, record: JobRecord, flow: str) -> NewJob:
        """Return a copy of one job, a member of this flow. Raises ``BadArguments`` where a value does not fit."""
        same = _same(record, flow)
        if not self._changes:
            return same
        if is_raw(record.task):
            return same._replace(payload=_raw(record, self._changes))
        args, kwargs = PLAIN.decode_call(record.payload)
        changed = _changed(kwargs, self._changes)
        known = self._command(record.task)
        if known is None:
            return same._replace(payload=PLAIN.encode_call(tuple(args), changed, record.task))
        return _refilled(same, known, changed)

    def _command(self, task: str) -> Known | None:
        if task not in self._found:
            known = find(task, None)
            self._found[task] = known or told_command(task, known_tasks(self._store).get(task))
        return self._found[task]


def _same(record: JobRecord, flow: str) -> NewJob:
    meta = {**json.loads(record.meta or "{}"), "copied_from": record.id}
    holds = tuple((mode, name) for mode, name in json.loads(record.holds or "[]"))
    scope = record.unique_until
    return NewJob(
        id=new_id(),
        task=record.task,
        queue=record.queue,
        payload=record.payload,
        priority=record.priority,
        options=record.options,
        crash_fails=record.crash_fails,
        tags=record.tags,
        meta=json.dumps(meta, separators=(",", ":")),
        holds=holds,
        flow=flow,
        unique=record.unique_key,
        unique_until=cast(Literal["started", "finished", "flow"], "finished" if scope in (None, "time") else scope),
    )


def _changed(given: Mapping[str, Any], changes: Sequence[Setting]) -> dict[str, Any]:
    found = dict(given)
    for name, value, added in changes:
        before = found.get(name, [])
        found[name] = [*(before if isinstance(before, list) else [before]), value] if added else value
    return found


def _raw(record: JobRecord, changes: Sequence[Setting]) -> str:
    """Return the payload of a raw command with other parameters, or with more words."""
    args, keys = PLAIN.decode_call(record.payload)
    words = [*args, *(value for name, value, added in changes if added and name == _COMMAND)]
    rest = [each for each in changes if not (each.added and each.name == _COMMAND)]
    if rest:
        keys = {**keys, "params": _changed(keys.get("params", {}), rest)}
    try:
        command = command_of(words, keys, record.task)
        filled(command, command.params, TRIED_IN)
    except (BadArguments, BadOption) as error:
        raise type(error)(
            f"job {short(record.id)}: {str(error).removesuffix(f'  [{error.code}]')} Nothing stored."
        ) from None
    return PLAIN.encode_call(*stored(command), record.task)


def _refilled(same: NewJob, known: Known, kwargs: Mapping[str, Any]) -> NewJob:
    """Return a copy with what its task's templates say of the new values; the rest is as it was."""
    from .._queue import Queue

    draft: Draft[int] = task_draft(Queue(same.queue), known, (), kwargs)
    filled_in = draft._plan.fields
    tags, _, rules = draft._own
    new = same._replace(payload=draft._payload)
    if "tags" in filled_in:
        new = new._replace(tags=tags)
    if any(name in filled_in for name in _HELD):
        new = new._replace(holds=rules.holds)
    return new._replace(unique=rules.unique) if _has_own_key(draft, rules) else new


def _has_own_key(draft: Draft[int], rules: Rules) -> bool:
    return rules.unique is not None and ("unique" in draft._plan.fields or draft._plan.waiting.unique is True)
