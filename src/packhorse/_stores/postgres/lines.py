"""Going along the lines of names: who of those that stand there may go now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..._rules import goes_at, used
from .link import Link
from .obstacles import Obstacles
from .rounds import PAGE, Notes, Passing, Round, Seen, Want, allowed, further, lines_of, rates_of


class Lines(Obstacles):
    """Finds out who may go."""

    def _going(self, link: Link, turn: Round, able: Sequence[Seen], notes: Notes, limit: int) -> list[int]:
        """Return who becomes queued, by place: those without an obstacle."""
        passing: Passing = {one.seq: (one.place or 0, []) for one in able if one.holds is None}
        candidates = [one.seq for one in able if one.holds is not None]
        passing |= self._passing(link, turn, self._wanted(link, turn, candidates))
        passing |= self._go_along(link, turn, notes, limit, passing)
        self._learn_rates(link, turn, passing.values())
        if turn.tats:  # who cannot go must not use them up
            free = self._free(link, passing)
            turn.again |= passing.keys() - free
            passing = {seq: passing[seq] for seq in passing if seq in free}
        gone, late = self._in_turn(turn, sorted((place, seq) for seq, (place, _) in passing.items()), passing, limit)
        self._leave_late(turn, late, passing)
        return gone

    def _free(self, link: Link, seqs: Collection[int]) -> set[int]:
        """Return those that still wait and that nobody else changes just now."""
        return {row[0] for row in self._rows(link, "admit", "free", sorted(seqs))} if seqs else set()

    def _wanted(self, link: Link, turn: Round, seqs: Sequence[int]) -> list[Want]:
        if not seqs:
            return []
        return [Want(*row) for row in self._rows(link, "admit", "wanted", sorted(seqs), turn.open)]

    def _passing(self, link: Link, turn: Round, wants: Sequence[Want]) -> Passing:
        """Return those who can have all names they want, as far as others are in the way: by seq, place and names."""
        if not wants:
            return {}
        rows = [{**want._asdict(), "places": turn.limits.places(want.mode, want.name)} for want in wants]
        out = {row[0] for row in self._rows(link, "admit", "kept_out", self._ns, json.dumps(rows), turn.open)}
        found: Passing = {}
        for want in wants:
            if want.seq not in out:
                found.setdefault(want.seq, (want.place, []))[1].append(want)
        return found

    def _go_along(self, link: Link, turn: Round, notes: Notes, limit: int, passing: Passing) -> Passing:
        """Go along the lines of names that became free, as far as somebody there may go."""
        found: Passing = {}
        lines = lines_of(notes, turn.limits)
        while lines and len(found) + len(passing) <= limit:
            rows = self._rows(link, "admit", "line_up", self._ns, json.dumps(lines), turn.open, PAGE)
            new = [row for row in rows if row[3] not in passing and row[3] not in found]
            # Who wants this name alone can have it; of others all names count.
            found |= {seq: (place, [Want(seq, place, mode, name)]) for name, mode, place, seq, alone in new if alone}
            found |= self._passing(link, turn, self._wanted(link, turn, sorted({row[3] for row in new if not row[4]})))
            lines = further(lines, rows, self._used_up(link, turn, lines, found))
        if lines:
            turn.names |= {(kind, line["name"]) for line in lines for kind in "xsl"}
            turn.more = True
        return found

    def _used_up(self, link: Link, turn: Round, lines: Sequence[dict[str, Any]], found: Passing) -> set[str]:
        """Return the names of rates of which more wait than may go now: who stands behind need not be looked at."""
        rates = {line["name"]: rate for line in lines if (rate := turn.limits.rate("l", line["name"])) is not None}
        if not rates:
            return set()
        tats = dict(self._rows(link, "limits", "rates", self._ns, sorted(rates)))
        waiting = dict.fromkeys(rates, 0)
        for _, wants in found.values():
            for want in wants:
                if want.name in waiting:
                    waiting[want.name] += 1
        return {name for name, rate in rates.items() if waiting[name] > allowed(tats.get(name, 0), turn.now, rate)}

    def _learn_rates(self, link: Link, turn: Round, passing: Iterable[tuple[int, list[Want]]]) -> None:
        names = {
            want.name for _, wants in passing for want in wants if turn.limits.rate(want.mode, want.name) is not None
        }
        if names:
            turn.tats = dict.fromkeys(names, 0) | dict(self._rows(link, "limits", "rates", self._ns, sorted(names)))

    def _in_turn(
        self, turn: Round, order: Sequence[tuple[int, int]], passing: Passing, limit: int
    ) -> tuple[list[int], list[int]]:
        """Use the rates, by place; return those who go, and those who do not."""
        gone: list[int] = []
        late: list[int] = []
        for _, seq in order:
            rates = rates_of(turn, passing[seq][1])
            if len(gone) >= limit or any(goes_at(turn.tats[name], rate) > turn.now for name, rate in rates):
                late.append(seq)
                continue
            for name, rate in rates:
                turn.tats[name] = used(turn.tats[name], turn.now, rate)
            gone.append(seq)
        return gone, late

    def _leave_late(self, turn: Round, late: Sequence[int], passing: Passing) -> None:
        """See to those for whom a rate is in the way, or who would have been too many."""
        for seq in late:
            rates = rates_of(turn, passing[seq][1])
            at = max((goes_at(turn.tats[name], rate) for name, rate in rates), default=0)
            if at > turn.now:
                turn.late.append(at)
                turn.names |= {("l", name) for name, _ in rates}
            else:
                turn.again.add(seq)
                turn.more = True
