"""Letting go what waits: one round of admit.

Whoever takes something out of a job's way leaves a note in ``freed``. A round reads the notes, marks the jobs they mean
(``look``), finds out what stands before the lines for each of these, gives places, and goes along the lines of the names that
became free as far as somebody there may go. Nobody else admits in this namespace meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._admission import Admitted
from ..._record import BATCH, JobRecord
from ..._rules import gave_up, goes_at, held_names, parents
from .ending import ended
from .gates import is_served
from .limits import Declared, records_of
from .lines import Lines
from .link import Link
from .records import Row
from .rounds import Notes, Passing, Round, Seen, rates_of
from .ties import AFTER
from .wire import Rows

#: One round reads so many notes, follows so many edges, and looks at so many jobs, at most.
_NOTES, _EDGES, _LOOKS = 5000, 2000, 1000
_NOTHING = Admitted(0, 0, False, False, None)

#: A statement by its verb and name, and its values.
Step = tuple[str, str, tuple[Any, ...]]
#: Gives, at the end of a round, what is done with those who were let go.
Then = Callable[[Round], Step]


class Closed(Exception):
    """The namespace rests."""


class Admitting(Lines):
    """The verb that lets go."""

    def admit(self, limit: int = BATCH) -> Admitted:
        """Make waiting jobs queued that have no obstacle."""
        answer = self._rests() if not self.freed else None
        if answer is None:
            answer = self._admitted(limit)[0]
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

    def _admitted(self, limit: int, then: Then | None = None) -> tuple[Admitted, Rows]:
        """Do one round in one transaction, at whose end ``then`` takes place; return its rows, too."""

        def act(link: Link) -> tuple[Admitted, Rows]:
            self._require(link)
            return self._admit(
                link, limit, then, self._begun(link, ("admit", "alone", (self._ns,)), *self._looks())[1:]
            )

        try:
            return self._attempted(act)
        except Closed:
            return _NOTHING, []

    def _admit(self, link: Link, limit: int, then: Then | None, found: list[Rows]) -> tuple[Admitted, Rows]:
        """Do what follows from what was found, to the end of the transaction."""
        turn, notes, seen = self._looked(link, found)
        cancelled, able = self._examine(link, turn, seen, limit)
        notes |= {hold for one in seen if one.was_done and not one.done for hold in held_names(one.holds)}
        gone = self._going(link, turn, able, notes, limit - cancelled)
        ends = self._ends(turn, gone)
        rows: list[Rows] = []
        if cancelled and not turn.more:
            rows, ends = self._all(link, *ends), []
            turn.more = self._would_do_more(link, turn)
        # Who takes what was let go tells the others of what is left.
        ends += [("small", "tell", ())] if gone and then is None else []
        last = [then(turn)] if then is not None else []
        rows += self._finished(link, *ends, ("admit", "left", (self._ns,)), *last)
        self._mine += bool(gone) and then is None
        following = (min(turn.late) - turn.now) / 1_000_000 if turn.late else None
        admitted, waits = rows[0][0][0] if gone else 0, rows[-1 - len(last)][0][0]
        return Admitted(admitted, cancelled, turn.more, waits, following), rows[-1] if last else []

    def _looks(self) -> list[Step]:
        """Return what a round reads first."""
        number = (self._ns,)
        names = (("enqueue", "closed"), ("limits", "all"), ("admit", "served"), ("admit", "queues"))
        steps: list[Step] = [("small", "now", ()), *((verb, name, number) for verb, name in names)]
        return [*steps, ("admit", "notes", (*number, _NOTES)), ("admit", "looked_at", (*number, _LOOKS))]

    def _looked(self, link: Link, found: list[Rows]) -> tuple[Round, Notes, list[Seen]]:
        """Return the round, the names that became free, and the jobs that are to be looked at."""
        time, closed, limits, served, queues, noted, looked_at = found
        if closed[0][0] is not None:
            raise Closed  # and the notes stay
        notes, opened, turned = self._turn(link, served, queues)
        turn = Round(time[0][0] if self._clock is None else self._clock(), Declared(records_of(limits)), opened)
        names_only = not turned and not any(kind in "jf" for kind, _ in noted)
        notes |= self._follow_notes(link, turn, noted)
        return turn, notes, self._marked(link, turn, looked_at if names_only else None)

    def _ends(self, turn: Round, gone: list[int]) -> list[Step]:
        """Return what is still to be written: who goes first of all."""
        ends: list[Step] = [("admit", "let_go", (self._ns, gone))] if gone else []
        if gone and turn.tats:
            ends.append(("limits", "use_rates", (self._ns, list(turn.tats), list(turn.tats.values()))))
        return [*ends, *self._notes_left(turn)]

    # -- what has changed ---------------------------------------------------------------------------------------
    def _turn(self, link: Link, workers: Rows, rows: Rows) -> tuple[Notes, dict[str, int], bool]:
        """Look at which queues are open; return the names in whose lines fewer stand, since theirs has been closed, the open
        ones, and whether that is other than it was."""
        served = is_served([row[0] for row in workers])
        now_open = {queue: unpaused and served(name) for queue, name, unpaused, _ in rows}
        opened = {name: queue for queue, name, *_ in rows if now_open[queue]}
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

    # -- the next round -----------------------------------------------------------------------------------------
    def _notes_left(self, turn: Round) -> list[Step]:
        """Return what leaves word of what is left for the next round."""
        found: list[Step] = []
        if turn.again:
            found.append(("admit", "look_again", (sorted(turn.again),)))
        if turn.names:
            kinds, names = [list(part) for part in zip(*sorted(turn.names), strict=True)]
            found.append(("admit", "note", (self._ns, kinds, names)))
        return found

    def _would_do_more(self, link: Link, turn: Round) -> bool:
        """Tell whether what became of some jobs lets others go, or give up."""
        following = Round(turn.now, turn.limits, turn.queues)
        notes = self._read_notes(link, following)
        seen = self._marked(link, following)
        due = any(self._is_due(turn, one) for one in seen)
        following.again = {one.seq for one in seen}
        self._note_done(link, following, seen)
        able = [one.seq for one in seen if self._is_ready(turn, one) and one.place is not None]
        passing: Passing = self._passing(link, following, self._wanted(link, following, able))
        passing |= {one.seq: (one.place or 0, []) for one in seen if one.seq in able and one.holds is None}
        passing |= self._go_along(link, following, notes, 0, passing)
        self._learn_rates(link, following, passing.values())
        ready = any(
            all(goes_at(following.tats[name], rate) <= turn.now for name, rate in rates_of(following, wants))
            for _, wants in passing.values()
        )
        following.names |= notes
        self._all(link, *self._notes_left(following))
        return due or ready


def _given_up(row: Row, now: int, parent: JobRecord) -> Row:
    job = ended(row.job, "cancelled", now, gave_up(parent))
    return row._replace(job=job._replace(given_up=parent.id))
