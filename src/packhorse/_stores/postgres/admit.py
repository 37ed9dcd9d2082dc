"""Letting go what waits: one round of admit.

Whoever takes something out of a job's way leaves a note in ``freed``. A round reads the notes, marks the jobs they mean
(``look``), finds out what stands before the lines for each of these, gives places, and goes along the lines of the names that
became free as far as somebody there may go. Nobody else admits in this namespace meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..._admission import Admitted
from ..._record import BATCH, JobRecord
from ..._rules import gave_up, goes_at, held_names, parents, used
from .ending import ended
from .gates import is_served
from .limits import Declared, records_of
from .link import Link
from .obstacles import Obstacles
from .records import Row
from .rounds import PAGE, Notes, Round, Seen, Want, allowed, further, lines_of, rates_of
from .ties import AFTER

#: One round reads so many notes, follows so many edges, and looks at so many jobs, at most.
_NOTES, _EDGES, _LOOKS = 5000, 2000, 1000
_NOTHING = Admitted(0, 0, False, False, None)


class _Closed(Exception):
    """The namespace rests."""


class Admitting(Obstacles):
    """The verb that lets go."""

    def admit(self, limit: int = BATCH) -> Admitted:
        """Make waiting jobs queued that have no obstacle."""
        answer = self._rests() if not self.freed else None
        if answer is None:
            try:
                answer = self._write(self._admit, limit)
            except _Closed:
                answer = _NOTHING
        self.freed = False
        return answer

    def _rests(self) -> Admitted | None:
        """Return the answer if there is nothing to do."""
        closed, waits, freed = self._read("admit", "idle", self._number())[0]
        return _NOTHING if closed is not None or not (waits or freed) else None

    def _number(self) -> int:
        if not self.instance:
            self._attempted(self._require)
        return self._ns

    def _admit(self, link: Link, now: int, limit: int) -> Admitted:
        names = (("enqueue", "closed"), ("limits", "all"), ("admit", "served"), ("admit", "queues"))
        _, closed, limits, served, queues, noted, looked_at = self._all(
            link,
            ("admit", "alone", (self._ns,)),
            *((verb, name, (self._ns,)) for verb, name in names),
            ("admit", "notes", (self._ns, _NOTES)),
            ("admit", "looked_at", (self._ns, _LOOKS)),
        )
        if closed[0][0] is not None:
            raise _Closed  # and the notes stay
        notes, opened, turned = self._turn(link, served, queues)
        turn = Round(now, Declared(records_of(limits)), opened)
        names_only = not turned and not any(kind in "jf" for kind, _ in noted)
        notes |= self._follow_notes(link, turn, noted)
        seen = self._marked(link, turn, looked_at if names_only else None)
        cancelled, able = self._examine(link, turn, seen, limit)
        notes |= {hold for one in seen if one.was_done and not one.done for hold in held_names(one.holds)}
        admitted = self._let_go(link, turn, able, notes, limit - cancelled)
        self._leave_notes(link, turn)
        if cancelled and not turn.more:
            turn.more = self._would_do_more(link, turn)
        left = ("admit", "left", (self._ns,))
        waits = self._all(link, *([("small", "tell", ())] if admitted else []), left)[-1][0][0]
        self._mine += bool(admitted)
        following = (min(turn.late) - now) / 1_000_000 if turn.late else None
        return Admitted(admitted, cancelled, turn.more, waits, following)

    # -- what has changed ---------------------------------------------------------------------------------------
    def _turn(self, link: Link, workers: list[Any], rows: list[Any]) -> tuple[Notes, list[int], bool]:
        """Look at which queues are open; return the names in whose lines fewer stand, since theirs has been closed, the open
        ones, and whether that is other than it was."""
        served = is_served([row[0] for row in workers])
        now_open = {queue: unpaused and served(name) for queue, name, unpaused, _ in rows}
        opened = [queue for queue, is_open in now_open.items() if is_open]
        turned = [(queue, now_open[queue]) for queue, _, _, was in rows if was != now_open[queue]]
        if not turned:
            return set(), opened, False
        queues, opens = [list(part) for part in zip(*turned, strict=True)]
        rows = self._rows(link, "admit", "turn", self._ns, queues, opens)
        return {(mode, name) for mode, name in rows}, opened, True

    def _read_notes(self, link: Link, turn: Round) -> Notes:
        """Read the notes, and mark the jobs that are to be looked at; return the names that became free."""
        return self._follow_notes(link, turn, self._rows(link, "admit", "notes", self._ns, _NOTES))

    def _follow_notes(self, link: Link, turn: Round, rows: list[Any]) -> Notes:
        notes = {(kind, what) for kind, what in rows}
        jobs = sorted(what for kind, what in notes if kind == "j")
        if jobs and self._rows(link, "admit", "parents_ended", self._ns, jobs, _EDGES)[0][0] == _EDGES:
            turn.names |= {("j", job) for job in jobs}
            turn.more = True
        for flow in sorted(what for kind, what in notes if kind == "f"):
            self._judge_flow(link, flow, fresh=False)
        return {note for note in notes if note[0] in "xsl"}

    def _judge_flow(self, link: Link, flow: str, *, fresh: bool) -> None:
        """Find out whether the members of a flow have ended. With ``fresh``, for followers nobody has looked at yet: who ends a
        member just now may know nothing of these, so one that has not ended is held, to end after this."""
        for whole in (False, True):
            rows = self._rows(link, "admit", "witness", self._ns, flow, whole)
            if rows:
                witness = rows[0][0]
                self._rows(link, "admit", "stand_by", self._ns, flow, witness)
                sure = fresh and bool(self._rows(link, "admit", "hold_witness", witness))
                self._rows(link, "admit", "flow_judged", self._ns, flow, 0, sure)
                return
        state = 2 if self._rows(link, "admit", "bad_member", self._ns, flow) else 1
        self._rows(link, "admit", "flow_judged", self._ns, flow, state, True)

    # -- before the lines ---------------------------------------------------------------------------------------
    def _marked(self, link: Link, turn: Round, rows: list[Any] | None = None) -> list[Seen]:
        """Return the jobs that are to be looked at, oldest first; ``rows``: their numbers, where they were read already."""
        if rows is None:
            rows = self._rows(link, "admit", "looked_at", self._ns, _LOOKS)
        seqs = [row[0] for row in rows]
        if not seqs:
            return []
        turn.more = self._look_at_edges(link, seqs) or turn.more
        return [Seen(*row) for row in self._rows(link, "admit", "classify", seqs)]

    def _look_at_edges(self, link: Link, seqs: list[int]) -> bool:
        """Find out about parents and flows that nobody has looked at yet; tell whether there are more than one round follows."""
        unseen = self._rows(link, "admit", "unseen", seqs, _EDGES)
        ids = sorted({target for _, kind, target in unseen if kind == AFTER})
        if ids:
            held = [row[0] for row in self._rows(link, "admit", "hold", self._ns, ids)]
            self._rows(link, "admit", "judge", self._ns, ids, held, seqs)
        for flow in sorted({target for _, kind, target in unseen if kind != AFTER}):
            self._judge_flow(link, flow, fresh=True)
        return len(unseen) == _EDGES

    def _examine(self, link: Link, turn: Round, seen: Sequence[Seen], limit: int) -> tuple[int, list[Seen]]:
        """Cancel what gives up and give places; return how many were cancelled, and who may stand in lines."""
        chosen = [one for one in seen if self._is_due(turn, one)]
        turn.again |= {one.seq for one in chosen[limit:]} | {one.seq for one in seen if one.unsure}
        turn.more = turn.more or len(chosen) > limit or len(seen) == _LOOKS
        free = self._free(link, [one.seq for one in chosen[:limit]])
        turn.again |= {one.seq for one in chosen[:limit] if one.seq not in free}
        chosen = [one for one in chosen[:limit] if one.seq in free]
        cancelled = self._give_up(link, turn, [one.seq for one in chosen if one.hopeless])
        places = self._give_places(link, [one.seq for one in chosen if not one.hopeless])
        self._note_done(link, turn, [one for one in seen if one.seq not in cancelled])
        able = [one._replace(place=places.get(one.seq, one.place)) for one in seen if self._is_ready(turn, one)]
        return len(cancelled), [one for one in able if one.place is not None]

    def _is_ready(self, turn: Round, one: Seen) -> bool:
        return one.done and one.queue in turn.open

    def _is_due(self, turn: Round, one: Seen) -> bool:
        """Tell whether a job gives up or gets a place."""
        return one.hopeless or (one.place is None and self._is_ready(turn, one))

    def _free(self, link: Link, seqs: Collection[int]) -> set[int]:
        """Return those that still wait and that nobody else changes just now."""
        return {row[0] for row in self._rows(link, "admit", "free", sorted(seqs))} if seqs else set()

    def _give_places(self, link: Link, seqs: Sequence[int]) -> dict[int, int]:
        if not seqs:
            return {}
        last = self._rows(link, "admit", "places", self._ns, len(seqs))[0][0]
        places = dict(zip(seqs, range(last - len(seqs) + 1, last + 1), strict=True))
        self._rows(link, "admit", "place", self._ns, list(places), list(places.values()))
        return places

    def _note_done(self, link: Link, turn: Round, seen: Sequence[Seen]) -> None:
        if seen:
            looks = [one.seq in turn.again for one in seen]
            self._rows(link, "admit", "note_done", [one.seq for one in seen], [one.done for one in seen], looks)

    # -- giving up ----------------------------------------------------------------------------------------------
    def _give_up(self, link: Link, turn: Round, seqs: Sequence[int]) -> set[int]:
        """Cancel jobs because of what they waited for; return those of which that is so."""
        changes = []
        for row in self._whole(link, seqs):
            parent = self._in_vain(link, row.job)
            if parent is None:
                turn.again.add(row.job.seq)
            else:
                changes.append((row, _given_up(row, turn.now, parent)))
        self._put(link, changes)
        return {row.job.seq for row, _ in changes}

    def _in_vain(self, link: Link, job: JobRecord) -> JobRecord | None:
        """Return what a job waited for in vain."""
        seqs = {id: seq for id, seq, *_ in self._rows(link, "settle", "seen", self._ns, parents(job.after))}
        rows = {row.job.id: row.job for row in self._whole(link, sorted(seqs.values()))}
        if job.after_flow is not None:
            found = self._rows(link, "admit", "bad_member", self._ns, job.after_flow)
            rows |= {f"flow {row.job.id}": row.job for row in self._whole(link, [row[0] for row in found])}
        first = [rows[parent] for parent in parents(job.after) if parent in rows]
        last = [parent for name, parent in rows.items() if name.startswith("flow ")]
        return next((one for one in (*first, *last) if one.state in ("failed", "cancelled")), None)

    # -- lines --------------------------------------------------------------------------------------------------
    def _let_go(self, link: Link, turn: Round, able: Sequence[Seen], notes: Notes, limit: int) -> int:
        """Make queued what has no obstacle, by place; return how many."""
        passing: dict[int, tuple[int, list[Want]]] = {
            one.seq: (one.place or 0, []) for one in able if one.holds is None
        }
        candidates = [one.seq for one in able if one.holds is not None]
        passing |= self._passing(link, turn, self._wanted(link, turn, candidates))
        passing |= self._go_along(link, turn, notes, limit, passing)
        self._learn_rates(link, turn, passing.values())
        free = self._free(link, passing)
        turn.again |= passing.keys() - free
        gone, late = self._in_turn(
            turn, sorted((wants[0], seq) for seq, wants in passing.items() if seq in free), passing, limit
        )
        if gone:
            self._rows(link, "admit", "let_go", self._ns, gone)
            self._use_rates(link, turn.tats)
        self._leave_late(turn, late, passing)
        return len(gone)

    def _wanted(self, link: Link, turn: Round, seqs: Sequence[int]) -> list[Want]:
        if not seqs:
            return []
        return [Want(*row) for row in self._rows(link, "admit", "wanted", sorted(seqs), turn.open)]

    def _passing(self, link: Link, turn: Round, wants: Sequence[Want]) -> dict[int, tuple[int, list[Want]]]:
        """Return those who can have all names they want, as far as others are in the way: by seq, place and names."""
        if not wants:
            return {}
        rows = [{**want._asdict(), "places": turn.limits.places(want.mode, want.name)} for want in wants]
        out = {row[0] for row in self._rows(link, "admit", "kept_out", self._ns, json.dumps(rows), turn.open)}
        found: dict[int, tuple[int, list[Want]]] = {}
        for want in wants:
            if want.seq not in out:
                found.setdefault(want.seq, (want.place, []))[1].append(want)
        return found

    def _go_along(
        self, link: Link, turn: Round, notes: Notes, limit: int, passing: dict[int, Any]
    ) -> dict[int, tuple[int, list[Want]]]:
        """Go along the lines of names that became free, as far as somebody there may go."""
        found: dict[int, tuple[int, list[Want]]] = {}
        lines = lines_of(notes, turn.limits)
        while lines and len(found) + len(passing) <= limit:
            rows = self._rows(link, "admit", "line_up", self._ns, json.dumps(lines), turn.open, PAGE)
            seqs = {row[3] for row in rows} - passing.keys() - found.keys()
            found |= self._passing(link, turn, self._wanted(link, turn, sorted(seqs)))
            lines = further(lines, rows, self._used_up(link, turn, lines, found))
        if lines:
            turn.names |= {(kind, line["name"]) for line in lines for kind in "xsl"}
            turn.more = True
        return found

    def _used_up(self, link: Link, turn: Round, lines: Sequence[dict[str, Any]], found: dict[int, Any]) -> set[str]:
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
        self, turn: Round, order: Sequence[tuple[int, int]], passing: dict[int, tuple[int, list[Want]]], limit: int
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

    def _leave_late(self, turn: Round, late: Sequence[int], passing: dict[int, tuple[int, list[Want]]]) -> None:
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

    # -- the next round -----------------------------------------------------------------------------------------
    def _leave_notes(self, link: Link, turn: Round) -> None:
        """Leave word of what is left for the next round."""
        if turn.again:
            self._rows(link, "admit", "look_again", sorted(turn.again))
        if turn.names:
            kinds, names = [list(part) for part in zip(*sorted(turn.names), strict=True)]
            self._rows(link, "admit", "note", self._ns, kinds, names)

    def _would_do_more(self, link: Link, turn: Round) -> bool:
        """Tell whether what became of some jobs lets others go, or give up."""
        following = Round(turn.now, turn.limits, turn.open)
        notes = self._read_notes(link, following)
        seen = self._marked(link, following)
        due = any(self._is_due(turn, one) for one in seen)
        following.again = {one.seq for one in seen}
        self._note_done(link, following, seen)
        able = [one.seq for one in seen if self._is_ready(turn, one) and one.place is not None]
        passing = self._passing(link, following, self._wanted(link, following, able))
        passing |= {one.seq: (one.place or 0, []) for one in seen if one.seq in able and one.holds is None}
        passing |= self._go_along(link, following, notes, 0, passing)
        self._learn_rates(link, following, passing.values())
        ready = any(
            all(goes_at(following.tats[name], rate) <= turn.now for name, rate in rates_of(following, wants))
            for _, wants in passing.values()
        )
        following.names |= notes
        self._leave_notes(link, following)
        return due or ready


def _given_up(row: Row, now: int, parent: JobRecord) -> Row:
    job = ended(row.job, "cancelled", now, gave_up(parent))
    return row._replace(job=job._replace(given_up=parent.id))
