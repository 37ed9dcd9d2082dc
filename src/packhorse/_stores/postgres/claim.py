"""Handing jobs to workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..._closed import refusal
from ..._record import Claim, Claimed
from .connection import Connection
from .floors import MANY
from .link import Link

#: ``Claimed._make`` without its check of the length, for columns whose number is known.
_CLAIMED: Callable[[Iterable[Any]], Claimed] = partial(tuple.__new__, Claimed)
#: Plans flip where a statement takes more rows than this.
MOST = 250
_LINE, _RANK, _ID, _KIND, _PAYLOAD = 3, 4, 5, 6, 7


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
        who = (worker, claim_no, os.urandom(16).hex())
        return self._attempted(lambda link: self._claim(link, queues, free, free + ahead, who, lines, turn))

    def _claim(
        self, link: Link, queues: Sequence[str] | None, free: int, room: int, who: tuple[str, int, str],
        sides: Sequence[str], turn: int,
    ) -> Claim:  # fmt: skip
        self._require(link)
        asked = self._asked(link, queues, sides, turn)
        taken: list[Claimed] = []
        while True:
            # Each is a transaction: if the call is cut off in between, the jobs taken are ghosts, which the beat puts back.
            size = min(room - len(taken), MOST)
            jobs, now, found = self._take(link, asked, max(free - len(taken), 0), size, who)
            taken += jobs
            if len(jobs) < size or len(taken) == room:
                return Claim(taken, now, found >= size or found > len(jobs))

    # -- lines --------------------------------------------------------------------------------------------------
    def _asked(self, link: Link, queues: Sequence[str] | None, sides: Sequence[str], turn: int) -> list[int]:
        """Return the lines in the order in which they are asked."""
        return in_order(queues, sides, turn, self._known(link, queues, sides))

    def _known(self, link: Link, queues: Sequence[str] | None, sides: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the lines that may be asked; where no queue is named, of those that have something."""
        if queues is None:
            return {name: line for line, name in self._rows(link, "claim", "every", self._ns)}
        return self._known_lines(link, [*queues, *sides])

    def _known_lines(self, link: Link, names: Sequence[str]) -> dict[str, int]:
        known = self._names.lines
        missing = [name for name in names if name not in known]
        if missing:
            known.update((name, line) for line, name in self._rows(link, "claim", "lines", self._ns, missing))
        return known

    # -- taking -------------------------------------------------------------------------------------------------
    def _take(
        self, link: Link, asked: list[int], free: int, size: int, who: tuple[str, int, str]
    ) -> tuple[list[Claimed], int, int]:
        """Return the jobs taken, the time, and how many there were to choose from."""
        started, whole = time.monotonic(), self._floors.whole()
        verb, name, values = self._take_statement(asked, free, size, who)
        rows = self._rows(link, verb, name, *values)
        return self._taken(link, rows, who[2], time.monotonic() - started, whole)

    def _take_statement(
        self, asked: list[int], free: int, size: int, who: tuple[str, int, str]
    ) -> tuple[str, str, tuple[Any, ...]]:
        worker, claim_no, token = who
        floors = self._floors.of(asked)
        values = self._time(), self._ns, asked, worker, free, size, token, claim_no, self._ended, floors
        return "claim", "take", values

    def _taken(
        self, link: Link, rows: list[Any], token: str, took: float, whole: bool
    ) -> tuple[list[Claimed], int, int]:
        """Return what rows of the statement mean, which took so long; ``whole``: it looked at whole lines."""
        self._ended = []
        found, now, closed = rows[0][:3]
        if closed is not None:
            raise refusal(self.url, self.namespace, closed)
        if rows[0][_ID] is not None:
            self._floors.saw({row[_LINE]: row[_RANK] for row in reversed(rows)})
        if whole and self._floors.took(took) and self._dead(link) >= MANY:
            self._floors.begin(took)
        if rows[0][_ID] is None:
            return [], now, found
        names = self._called(link, {row[_KIND] for row in rows})
        self._open_jobs[token] = self._open_jobs.get(token, 0) + len(rows)
        return [_CLAIMED((row[_ID], token, *names[row[_KIND]], *row[_PAYLOAD:])) for row in rows], now, found

    def _dead(self, link: Link) -> int:
        """Return how many entries of jobs long gone there are to wade through, as the server reckons."""
        return int(self._rows(link, "claim", "dead", self._schema)[0][0])

    def _called(self, link: Link, kinds: set[int]) -> dict[int, tuple[str, str]]:
        """Return task and queue of kinds."""
        known = self._names.called
        missing = [kind for kind in kinds if kind not in known]
        if missing:
            known.update((kind, (task, queue)) for kind, task, queue in self._rows(link, "claim", "called", missing))
        return known

    def _note_settled(self, token: str, jobs: int) -> None:
        """Note that so many jobs of a claim were settled here: the row of a claim with none left goes with the next claim."""
        left = self._open_jobs.get(token)
        if left is not None and left > jobs:
            self._open_jobs[token] = left - jobs
        elif left is not None:
            del self._open_jobs[token]
            self._ended.append(token)


def in_order(queues: Sequence[str] | None, sides: Sequence[str], turn: int, known: Mapping[str, int]) -> list[int]:
    """Return lines in the order in which they are asked: a queue, then its side lines that are served."""
    served = dict.fromkeys(sides)
    if queues is None:
        names = sorted({name.partition("#")[0] for name in known})
        start = turn % len(names) if names else 0
        names = names[start:] + names[:start]
    else:
        names = list(dict.fromkeys(queues))
    asked = [line for name in names for line in (name, *(side for side in served if side.startswith(f"{name}#")))]
    return [known[line] for line in asked if line in known]
