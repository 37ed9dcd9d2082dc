"""Jobs to be stored whose ids are known already: what is answered for them, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._record import Enqueued, NewJob
from ...errors import IdConflict
from .states import NAMES


def known_jobs(rows: Sequence[Any]) -> dict[str, tuple[Enqueued, tuple[str, str, str]]]:
    """Return the answer and the content of each stored job by id."""
    return {
        id: (Enqueued(id, NAMES[state], created, scheduled, True), (task, queue, payload))
        for id, state, created, scheduled, task, queue, payload in rows
    }


def new_among(jobs: Sequence[NewJob], known: dict[str, tuple[Enqueued, tuple[str, str, str]]]) -> list[NewJob]:
    """Return the jobs to be stored, each id once. Raises ``IdConflict``."""
    first: dict[str, NewJob] = {}
    for job in jobs:
        content = known[job.id][1] if job.id in known else _content(first.setdefault(job.id, job))
        if content != _content(job):
            raise IdConflict(
                f"Job {job.id} is stored already with another task, queue or arguments; nothing was stored. "
                "Enqueue it under an id of its own.",
                job.id,
            )
    return list(first.values())


def answered(
    jobs: Sequence[NewJob], known: dict[str, tuple[Enqueued, tuple[str, str, str]]], new: Sequence[Enqueued]
) -> list[Enqueued]:
    """Return the answers in the order of the jobs."""
    answers = {answer.id: answer for answer in new}
    found = []
    for job in jobs:
        answer = known[job.id][0] if job.id in known else answers[job.id]
        found.append(answer)
        answers[job.id] = answer._replace(existing=True)
    return found


def _content(job: NewJob) -> tuple[str, str, str]:
    return job.task, job.queue, job.payload
