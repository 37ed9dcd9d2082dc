"""Storing jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from redis.exceptions import RedisError

from ..._record import Enqueued, NewJob
from ..._rules import key_held, unknown_parent
from ...errors import EnqueueUnknown, IdConflict, StoreError, StoreUnavailable
from .connection import Connection
from .failures import is_answer
from .records import rest_of, rules_text
from .states import NAMES, micros

_REMEMBERED = 1000
_SPECS: dict[tuple[Any, ...], str] = {}


class Producing(Connection):
    """The verb that takes jobs in."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs, all or none, in the order given."""
        if not jobs:
            return []
        kind = self._plain_kinds.get((jobs[0].queue, jobs[0].task, jobs[0].priority))
        if kind is not None and _is_plain(jobs):
            answer = self._send(jobs, "enqueue_plain", _plain_arguments(jobs, kind))
            if isinstance(answer, str):
                self._did(len(jobs))
                now = int(answer)
                return [Enqueued(job.id, "queued", now, None, False) for job in jobs]
            if answer[0] == "closed":
                raise self._closed_by(answer[1])
        return self._enqueue(jobs)

    def _enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Store jobs of any kind."""
        answer = self._send(jobs, "enqueue", self._arguments(jobs))
        self._refuse(answer)
        fresh, now, odd, kinds, stirred = answer
        self._did(fresh, stirred)
        for queue, task, priority, kind in kinds:
            self._plain_kinds[queue, task, int(priority)] = kind
        return _answers(jobs, int(now), odd)

    def _refuse(self, answer: list[Any]) -> None:
        """Raise why nothing was stored, if that is the answer."""
        if answer[0] == "closed":
            raise self._closed_by(answer[1])
        if answer[0] == "conflict":
            raise IdConflict(
                f"Job {answer[1]} is stored already with another task, queue or arguments; nothing was stored. "
                "Enqueue it under an id of its own.",
                answer[1],
            )
        if answer[0] == "parent":
            raise unknown_parent(answer[1], answer[2])
        if answer[0] == "held":
            raise key_held(answer[1], answer[2])

    def _arguments(self, jobs: Sequence[NewJob]) -> list[str]:
        arguments: list[str] = []
        last = None
        for job in jobs:
            look = (
                job.queue, job.task, job.priority, job.delay, job.at, job.expires, job.expires_at, job.crash_fails,
                None if job[15:] == _NO_RULES else (job.on_conflict, _lifetime(job)),
            )  # fmt: skip
            spec = ""
            if look != last:
                spec, last = self._spec(look), look
            rules = None if look[8] is None else rules_text(job)
            rest = rest_of(job.payload, job.by, job.options, job.tags, job.meta, job.parent, rules)
            arguments += (job.id, spec, rest)
        return arguments

    def _spec(self, look: tuple[Any, ...]) -> str:
        """Return what the script needs to know of a job beside its text; the same for most."""
        found = _SPECS.get(look)
        if found is None:
            if len(_SPECS) > _REMEMBERED:
                _SPECS.clear()
            found = _SPECS[look] = _spec(*look)
        return found

    def _send(self, jobs: Sequence[NewJob], verb: str, arguments: list[str]) -> Any:
        """Run the script. From the moment it is sent, a lost answer means that the jobs may be stored."""
        self._live()
        try:
            answer = self._run(verb, *arguments)
            self._wait_for_disk()
        except StoreUnavailable as error:
            if _may_be_stored(error):
                raise EnqueueUnknown(
                    f"{self.url}: the answer was lost; the job may have been stored. Enqueue it again with the same id "
                    f"({jobs[0].id}): it is never stored twice.",
                    jobs[0].id,
                ) from error
            raise
        return answer


def _is_plain(jobs: Sequence[NewJob]) -> bool:
    """Tell whether all are of one task and priority, wanted now, and nothing else is said of them."""
    first = jobs[0]
    look = (first.task, first.queue, first.priority)
    return all(
        (job[1], job[2], job[4]) == look and job[5:9] == _NOTHING and not job.crash_fails and job[15:] == _NO_RULES
        for job in jobs
    )


#: Delay, at, expires and expires_at where none is given.
_NOTHING = NewJob("", "", "", "")[5:9]
#: All that is about rules, where there are none.
_NO_RULES = NewJob("", "", "", "")[15:]


def _lifetime(job: NewJob) -> int | None:
    """Return for how long a job holds its unique key, if for a time, µs."""
    return None if job.unique is None or isinstance(job.unique_until, str) else micros(job.unique_until)


def _plain_arguments(jobs: Sequence[NewJob], kind: str) -> list[str]:
    first = jobs[0]
    arguments = [first.queue, kind, str(first.priority)]
    for job in jobs:
        arguments += (job.id, rest_of(job.payload, job.by, job.options, job.tags, job.meta, job.parent))
    return arguments


def _may_be_stored(error: StoreError) -> bool:
    """Tell whether it failed after it was sent, without an answer."""
    cause = error.__cause__
    return isinstance(cause, (RedisError, OSError)) and not is_answer(cause) and not _was_answered(cause)


def _was_answered(error: BaseException) -> bool:
    from redis.exceptions import BusyLoadingError, ResponseError

    return isinstance(error, (ResponseError, BusyLoadingError))


def _spec(
    queue: str, task: str, priority: int, delay: float, at: int | None, expires: float | None, expires_at: int | None,
    crash_fails: bool, rules: tuple[str, int | None] | None,
) -> str:  # fmt: skip
    found: dict[str, Any] = {"queue": queue, "task": task, "priority": priority}
    if at is not None:
        found["at"] = str(at)
    elif delay:
        found["delay"] = micros(delay)
    if expires_at is not None:
        found["expires_at"] = str(expires_at)
    elif expires is not None:
        found["expires"] = micros(expires)
    if crash_fails:
        found["solo"] = True
    if rules is not None:
        found.update({"R": True, "on_conflict": rules[0], "for": rules[1]})
    return json.dumps(found)


def _answers(jobs: Sequence[NewJob], now: int, odd: list[list[Any]]) -> list[Enqueued]:
    """Return an answer for each job; those that are not simply new and queued are told one by one."""
    answers = [Enqueued(job.id, "queued", now, None, False) for job in jobs]
    for place, existing, state, created, scheduled, *id in sorted(odd, key=itemgetter(0)):
        if isinstance(state, int):  # the same as an earlier one of this call, or that one holds the key
            earlier = answers[-state - 1]
            answers[place - 1] = earlier._replace(existing=True, state=NAMES[created] if created else earlier.state)
            continue
        answers[place - 1] = Enqueued(
            id[0] if id else jobs[place - 1].id,
            NAMES[state],
            int(created),
            int(scheduled) if scheduled else None,
            bool(existing),
        )
    return answers
