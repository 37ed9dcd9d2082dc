"""What an enqueue would do, decided before anything is changed: all or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ... import _rules
from ..._record import WAITING, NewJob
from ._tables import Tables
from ._unique import holder


class Step(NamedTuple):
    """What becomes of one new job."""

    job: NewJob
    answers: str | None = None  #: it is not stored; this job is the answer
    replaces: str | None = None  #: it is stored, and this job is cancelled


class Owner(NamedTuple):
    """Who holds a key when a job's turn comes."""

    id: str
    waits: bool


def plan(tables: Tables, now: int, jobs: Sequence[NewJob]) -> list[Step]:
    """Return one step a job, in order, or raise what is wrong with one of them."""
    steps: list[Step] = []
    stored: set[str] = set()
    owners: dict[str, Owner] = {}
    for job in jobs:
        step = Step(job, answers=job.id)
        if job.id not in tables.jobs and job.id not in stored:
            refuse_unknown_parents(tables, job, stored)
            step = _decide(job, _owner(tables, now, job.unique, owners))
        if step.answers is None:
            stored.add(job.id)
            if job.unique is not None:
                owners[job.unique] = Owner(job.id, True)
        steps.append(step)
    return steps


def refuse_unknown_parents(tables: Tables, job: NewJob, stored: set[str]) -> None:
    """Refuse to let a job wait for one that is not there."""
    for parent in job.after:
        if parent not in tables.jobs and parent not in stored:
            raise _rules.unknown_parent(job.id, parent)


def _owner(tables: Tables, now: int, key: str | None, owners: dict[str, Owner]) -> Owner | None:
    if key is None or key in owners:
        return owners.get(key or "")
    found = holder(tables, now, key)
    return found and Owner(found.id, found.state in WAITING)


def _decide(job: NewJob, owner: Owner | None) -> Step:
    if owner is None or job.unique is None:
        return Step(job)
    if job.on_conflict == "raise":
        raise _rules.key_held(job.unique, owner.id)
    if job.on_conflict == "replace" and owner.waits:
        return Step(job, replaces=owner.id)
    return Step(job, answers=owner.id)
