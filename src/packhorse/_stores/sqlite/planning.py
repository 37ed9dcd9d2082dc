"""What an enqueue of jobs with rules or keys would do, decided before anything is changed: all or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ... import _rules
from ..._record import WAITING, Enqueued, NewJob
from .queries import sql
from .states import NAMES, NUMBER


class Replaced(NamedTuple):
    """A job that gives its key to another one, and is cancelled."""

    seq: int
    queue: int
    state: int
    by: str


class _Owner(NamedTuple):
    """Who holds a key when a job's turn comes."""

    answer: Enqueued
    seq: int | None = None  #: None: it is stored by this very call
    queue: int = 0


class Plan:
    """What becomes of each job of a call, in order."""

    def __init__(self, db: sqlite3.Connection, ns: int, now: int, known: dict[str, Enqueued]) -> None:
        self._db, self._ns, self._now = db, ns, now
        self._known = known  #: answers for ids that are stored
        self._owners: dict[str, _Owner | None] = {}
        self._ended: set[str] = set()  #: jobs that are stored and replaced by this call
        self._answers: list[tuple[Enqueued | None, str, bool]] = []
        self.new: list[NewJob] = []  #: to be stored, in order
        self.taken: list[str] = []  #: keys that have new holders
        self.replaced: list[Replaced] = []  #: to be cancelled before
        self.replaced_at_once: dict[str, str] = {}  #: new ones that are to be cancelled after: by whom

    def decide(self, jobs: Sequence[NewJob]) -> None:
        """Decide on all, or raise what is wrong with one of them."""
        parents = {parent for job in jobs for parent in job.after}
        found = self._db.execute(sql("enqueue", "stored"), {"ns": self._ns, "ids": json.dumps(sorted(parents))})
        stored = {row[0] for row in found.fetchall()}
        new: set[str] = set()
        for job in jobs:
            if job.id in self._known:
                self._answer(self._known[job.id])
            elif job.id in new:
                self._answers.append((None, job.id, job.id in self._ended))
            else:
                self._refuse_unknown_parents(job, stored, new)
                if self._decide(job):
                    new.add(job.id)

    def _refuse_unknown_parents(self, job: NewJob, stored: set[str], new: set[str]) -> None:
        for parent in job.after:
            if parent not in stored and parent not in new:
                raise _rules.unknown_parent(job.id, parent)

    def _answer(self, answer: Enqueued) -> None:
        self._answers.append((answer._replace(existing=True), answer.id, False))

    def _decide(self, job: NewJob) -> bool:
        """Decide on a job that is not known; tell whether it is to be stored."""
        owner = self._owner(job.unique) if job.unique is not None else None
        if owner is not None and job.unique is not None:
            if job.on_conflict == "raise":
                raise _rules.key_held(job.unique, owner.answer.id)
            if job.on_conflict != "replace" or owner.answer.state not in WAITING:
                self._point_to(owner)
                return False
            self._replace(owner, job)
        self.new.append(job)
        self._answers.append((None, job.id, False))
        if job.unique is not None:
            self.taken.append(job.unique)
            self._owners[job.unique] = _Owner(Enqueued(job.id, "queued", self._now, None, False))
        return True

    def _owner(self, key: str) -> _Owner | None:
        if key not in self._owners:
            values = {"ns": self._ns, "key": key, "now": self._now}
            row = self._db.execute(sql("rules", "held_by"), values).fetchone()
            self._owners[key] = row and _Owner(
                Enqueued(row[2], NAMES[row[3]], row[4], row[5], True), seq=row[0], queue=row[1]
            )
        return self._owners[key]

    def _point_to(self, owner: _Owner) -> None:
        if owner.seq is None:
            self._answers.append((None, owner.answer.id, False))
        else:
            self._answer(owner.answer)

    def _replace(self, owner: _Owner, job: NewJob) -> None:
        id = owner.answer.id
        if owner.seq is None:
            self.replaced_at_once[id] = job.id
            self._ended.add(id)
            return
        self.replaced.append(Replaced(owner.seq, owner.queue, NUMBER[owner.answer.state], job.id))
        if id in self._known:
            self._known[id] = self._known[id]._replace(state="cancelled")

    def answers(self, stored: dict[str, Enqueued]) -> list[Enqueued]:
        """Return the answers, once the new jobs are stored: each tells of the moment when its job's turn came."""
        answers, told = [], set()
        for answer, id, ended in self._answers:
            if answer is None:
                answer = stored[id]._replace(existing=id in told)
                told.add(id)
            answers.append(answer._replace(state="cancelled") if ended else answer)
        return answers
