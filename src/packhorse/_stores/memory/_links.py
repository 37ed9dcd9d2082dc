"""Which jobs have to do with a name, a key, a flow or another job: what the waiting rules look up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..._record import FINAL, JobRecord
from ..._rules import held_names, parents

#: Kind of link, and whose: ("holder", NAME), ("waiter", NAME), ("child", ID), ("member", FLOW), …
Link = tuple[str, str]


class Links:
    """The seqs of jobs by link. A job without rules, flow and key has none, and costs nothing."""

    def __init__(self) -> None:
        """Begin empty."""
        self._seqs: dict[Link, set[int]] = {}

    def enter(self, job: JobRecord) -> None:
        """Note the links of a job."""
        for link in _links(job):
            self._seqs.setdefault(link, set()).add(job.seq)

    def leave(self, job: JobRecord) -> None:
        """Forget them."""
        for link in _links(job):
            seqs = self._seqs[link]
            seqs.discard(job.seq)
            if not seqs:
                del self._seqs[link]

    def of(self, kind: str, whose: str = "") -> list[int]:
        """Return the seqs of the jobs with this link, oldest first."""
        return sorted(self._seqs.get((kind, whose), ()))

    def any(self, kind: str, whose: str) -> bool:
        """Tell whether a job has this link."""
        return (kind, whose) in self._seqs


def _links(job: JobRecord) -> Iterable[Link]:
    if job.has_rules:
        yield from _of_rules(job)
    if job.flow is not None:
        yield "member", job.flow
    if job.unique_held and job.unique_key is not None:
        yield "key", job.unique_key
    if job.given_up is not None:
        yield "gave up", job.given_up


def _of_rules(job: JobRecord) -> Iterator[Link]:
    if job.waits:
        yield "waits", ""
    if job.state not in FINAL:
        yield from (("child", parent) for parent in dict.fromkeys(parents(job.after)))
        if job.after_flow is not None:
            yield "follower", job.after_flow
    if is_holder(job) or job.waits:
        yield from (("holder" if is_holder(job) else "waiter", name) for _, name in held_names(job.holds))


def is_holder(job: JobRecord) -> bool:
    """Tell whether a job has what it must hold."""
    return job.holds is not None and job.state in ("queued", "running")
