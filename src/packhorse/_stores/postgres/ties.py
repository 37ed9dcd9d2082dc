"""What a change of jobs means for the tables of the waiting rules: who waits, who stands in a line, who holds a name, who follows
whom. Pure: rows in, one document out, which a single statement takes apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..._record import FINAL, JobRecord
from ..._rules import held_names, parents
from .records import Row

#: Kinds of edges.
AFTER, FOLLOWS, GAVE_UP = 0, 1, 2


class Ties:
    """The links that some changes make and take away."""

    def __init__(self, changes: Iterable[tuple[Row, Row]]) -> None:
        self._document: dict[str, list[Any]] = {}
        self.ends: list[str] = []  #: ids of jobs that have ended, or run again
        self.flows: set[str] = set()  #: theirs
        self.shifted: list[dict[str, int]] = []  #: those who wait in another queue
        self.frees = False  #: somebody gave up what it held or a place in a line, or waits anew
        for old, new in changes:
            self._add(old, new)

    @property
    def document(self) -> str | None:
        """Return what is to be written, None if that is nothing."""
        return json.dumps(self._document) if self._document else None

    def _add(self, old: Row, new: Row) -> None:
        if is_final(old.job) != is_final(new.job):
            self.ends.append(new.job.id)
            if new.job.flow is not None:
                self.flows.add(new.job.flow)
                self._keep_end(old.job, new.job)
        if new.job.has_rules:
            self._move(old, new)
            self._follow(old.job, new.job)

    def _keep_end(self, old: JobRecord, new: JobRecord) -> None:
        """Keep the time of an end of which nothing is left in the job's row."""
        if old.finished_at is not None and new.finished_at is None:
            self._note("ended", {"flow": new.flow, "at": old.finished_at})

    def _move(self, old: Row, new: Row) -> None:
        """See to the lines and to the holders."""
        seq, waits = new.job.seq, new.job.waits
        if old.job.waits and not waits:
            self._note("waits_out", seq)
            self._note("wants_out", seq)
        elif waits and not old.job.waits:
            self._note("waits_in", {"seq": seq, "place": new.job.place, "queue": new.queue})
            if new.job.place is not None:
                self._stand(new)
        elif waits and new.queue != old.queue:
            self.shifted.append({"seq": seq, "queue": new.queue})
        if is_holder(old.job) and not is_holder(new.job):
            self._note("held_out", seq)
        elif is_holder(new.job) and not is_holder(old.job):
            for mode, name in held_names(new.job.holds):
                self._note("held_in", {"seq": seq, "mode": mode, "name": name})
        self.frees = self.frees or waits or old.job.waits or is_holder(old.job) != is_holder(new.job)

    def _stand(self, row: Row) -> None:
        for mode, name in held_names(row.job.holds):
            want = {"seq": row.job.seq, "place": row.job.place, "queue": row.queue, "mode": mode, "name": name}
            self._note("wants_in", want)

    def _follow(self, old: JobRecord, new: JobRecord) -> None:
        """See to the edges: a job has them as long as it has not ended, and one to that for which it gave up."""
        if is_final(new) and not is_final(old):
            self._note("edges_out", new.seq)
        elif is_final(old) and not is_final(new):
            self._note("edges_out", new.seq)
            for kind, target in edges(new):
                self._note("edges_in", {"child": new.seq, "kind": kind, "target": target})
        if new.given_up is not None and old.given_up is None:
            self._note("edges_in", {"child": new.seq, "kind": GAVE_UP, "target": new.given_up})

    def _note(self, what: str, entry: Any) -> None:
        self._document.setdefault(what, []).append(entry)


def is_final(job: JobRecord) -> bool:
    """Tell whether a job has ended."""
    return job.state in FINAL


def is_holder(job: JobRecord) -> bool:
    """Tell whether a job has what it must hold."""
    return job.holds is not None and job.state in ("queued", "running")


def edges(job: JobRecord) -> list[tuple[int, str]]:
    """Return whom a job waits for, as kind and target."""
    found = [(AFTER, parent) for parent in dict.fromkeys(parents(job.after))]
    return found if job.after_flow is None else [*found, (FOLLOWS, job.after_flow)]


def entered(row: Row) -> dict[str, list[Any]]:
    """Return all links of a job that has come from another store, as a part of a document."""
    document: dict[str, list[Any]] = {}
    job = row.job
    if job.waits and job.has_rules:
        document["waits_in"] = [{"seq": job.seq, "place": job.place, "queue": row.queue}]
    for mode, name in held_names(job.holds):
        if job.waits and job.place is not None:
            want = {"seq": job.seq, "place": job.place, "queue": row.queue, "mode": mode, "name": name}
            document.setdefault("wants_in", []).append(want)
        elif is_holder(job):
            document.setdefault("held_in", []).append({"seq": job.seq, "mode": mode, "name": name})
    links = [] if is_final(job) else edges(job)
    if job.given_up is not None:
        links.append((GAVE_UP, job.given_up))
    for kind, target in links:
        document.setdefault("edges_in", []).append({"child": job.seq, "kind": kind, "target": target})
    return document
