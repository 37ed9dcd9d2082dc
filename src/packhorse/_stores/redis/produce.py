"""Storing jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from ..._record import Enqueued, NewJob
from ...errors import EnqueueUnknown, IdConflict, StoreError, StoreUnavailable
from .connection import Connection
from .failures import is_answer
from .records import rest_of
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
        fresh, now, odd, kinds = answer
        self._did(fresh)
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

    def _arguments(self, jobs: Sequence[NewJob]) -> list[str]:
        arguments: list[str] = []
        last = None
        for job in jobs:
            look = (
                job.queue, job.task, job.priority, job.delay, job.at, job.expires, job.expires_at, job.crash_fails,
            )  # fmt: skip
            spec = ""
            if look != last:
                spec, last = self._spec(look), look
            rest = rest_of(job.payload, job.by, job.options, job.tags, job.meta, job.parent)
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
    return all((job[1], job[2], job[4]) == look and job[5:9] == _NOTHING and not job.crash_fails for job in jobs)


#: Delay, at, expires and expires_at where none is given.
_NOTHING = NewJob("", "", "", "")[5:9]


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
    crash_fails: bool,
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
    return json.dumps(found)


def _answers(jobs: Sequence[NewJob], now: int, odd: list[list[Any]]) -> list[Enqueued]:
    """Return an answer for each job; those that are not simply new and queued are told one by one."""
    answers = [Enqueued(job.id, "queued", now, None, False) for job in jobs]
    for place, existing, state, created, scheduled in sorted(odd):
        if isinstance(state, int):  # the same as an earlier one of this call
            answers[place - 1] = answers[-state - 1]._replace(existing=True)
            continue
        answers[place - 1] = Enqueued(
            jobs[place - 1].id, NAMES[state], int(created), int(scheduled) if scheduled else None, bool(existing)
        )
    return answers
