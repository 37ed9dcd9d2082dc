"""Handing jobs to workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ..._exchange import Ask
from ..._record import Claim, Claimed
from .connection import Argument, Connection
from .records import SEP, given_of, kind_in, number, rules_of, state_of

#: ``Claimed._make`` without its check of the length, for columns whose number is known.
_CLAIMED: Callable[[Iterable[Any]], Claimed] = partial(tuple.__new__, Claimed)


class Claiming(Connection):
    """The verb that makes queued jobs running."""

    def claim(
        self,
        queues: Sequence[str] | None,
        free: int,
        ahead: int,
        worker: str,
        claim_no: int,
        *,
        lines: Sequence[str] = (),
        turn: int = 0,
    ) -> Claim:
        """Take up to ``free + ahead`` queued jobs by rank and make them running for this live worker."""
        token, words = words_for(worker, Ask(queues, free, ahead, claim_no, lines, turn))
        return self._brought(self._run("claim", *words), token)

    def _brought(self, answer: list[Any], token: str) -> Claim:
        """Return what the script's answer means."""
        if answer[0] == "closed":
            raise self._closed_by(answer[1])
        now, more, texts, odd = answer
        if not texts:
            return Claim([], int(now), bool(more))
        return Claim(self._claimed(texts, odd, token, int(now)), int(now), bool(more))

    def _claimed(self, texts: list[str], odd: list[Any], token: str, now: int) -> list[Claimed]:
        kinds = self._kinds
        jobs = []
        for text in texts:
            created, kind, priority, id, payload, *rest = text.split(SEP)
            found = kinds.get(kind)
            if found is None:
                found = self._names([kind_in(each) for each in texts])[kind]
            if len(rest) > 1:
                jobs.append(_dressed(text, found, token, now))
                continue
            jobs.append(
                _CLAIMED(
                    (
                        id, token, found[1], found[0], payload, None, False, False, 0, 0, 0, 0, 0, now, int(priority),
                        int(created), None, None, None, rest[0] if rest else None, None, None, None, None,
                    )
                )
            )  # fmt: skip
        for place, text in zip(odd[::2], odd[1::2], strict=True):
            jobs[place] = _tried(jobs[place], state_of(text))
        return jobs


def words_for(worker: str, ask: Ask) -> tuple[str, list[Argument]]:
    """Return the token of a claim, and what the script is told."""
    token = os.urandom(16).hex()
    named = -1 if ask.queues is None else len(ask.queues)
    room = ask.free + ask.ahead
    return token, [worker, ask.free, room, token, ask.claim_no, ask.turn, named, *(ask.queues or ()), *ask.lines]


def _dressed(text: str, kind: tuple[str, str], token: str, now: int) -> Claimed:
    """Return a job with everything that can be given at its enqueue."""
    given = given_of(text)
    rules = rules_of(given.rules)
    return Claimed(
        given.id, token, kind[1], kind[0], given.payload, given.options, False, False, 0, 0, 0, 0, 0, now, given.priority,
        given.created, None, given.tags, given.meta, given.by, given.parent, None, rules.holds, rules.flow,
    )  # fmt: skip


def _tried(job: Claimed, d: dict[str, Any]) -> Claimed:
    """Return a job of which something is not as at its enqueue."""
    get = d.get
    return job._replace(
        crash_fails=bool(get("solo")),
        suspect=bool(get("sus")),
        failures=get("f", 0),
        crashes=get("c", 0),
        losses=get("l", 0),
        snoozes=get("n", 0),
        generation=get("g", 0),
        fence=int(d["fence"]),
        scheduled_at=number(get("sch")),
        meta=get("meta", job.meta),
        error=get("error"),
    )
