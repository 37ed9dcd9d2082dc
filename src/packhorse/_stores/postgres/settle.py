"""Applying verdicts, fenced by job, token and running."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from psycopg import Error

from ... import _outcome
from ..._record import Settled, Verdict
from ...errors import StoreError
from . import verdicts as decide
from .claim import Claiming
from .link import Link
from .records import Row
from .rows import Rows
from .states import NAMES, RUNNING, micros

#: Plans flip where a statement takes more rows than this.
_CHUNK = 300
_NO_RESULT = "\x1d"
#: Verdicts, each part of them joined to one text.
Columns = tuple[str, str, str | None, str, str, str | None]
#: A job that another transaction holds is tried again for so long (seconds): a rescue takes less, a user's own may take any time.
_PATIENCE, _PAUSE = 0.1, 0.004


class Settling(Rows, Claiming):
    """The verb that ends attempts."""

    def settle(self, worker: str | None, verdicts: Sequence[Verdict]) -> list[Settled]:
        """Apply verdicts; return only those that were not applied as asked."""
        answers: list[Settled] = []
        for start in range(0, len(verdicts), _CHUNK):
            answers += self._settle_some(verdicts[start : start + _CHUNK])
        return answers

    def _settle_some(self, verdicts: Sequence[Verdict]) -> list[Settled]:
        plain = [verdict for verdict in verdicts if is_plain(verdict)]
        others = [verdict for verdict in verdicts if not is_plain(verdict)]
        if plain:
            others += self._settle_plain(plain)
        return self._settle_others(others) if others else []

    def _settle_others(self, verdicts: Sequence[Verdict]) -> list[Settled]:
        try:
            return self._write(self._settle, verdicts, names=lambda link: self._line_up(link, verdicts))
        except Exception as error:
            if isinstance(error, (StoreError, OSError)):
                raise
            return self._settle_halves(verdicts, error)

    def _settle_halves(self, verdicts: Sequence[Verdict], error: Exception) -> list[Settled]:
        """Find the verdict that cannot be written, so that it holds up no other."""
        if len(verdicts) > 1:
            middle = len(verdicts) // 2
            return self._settle_others(verdicts[:middle]) + self._settle_others(verdicts[middle:])
        words = error.diag.message_primary or str(error) if isinstance(error, Error) else str(error)
        verdict = _outcome.unstorable(verdicts[0], words)
        return self._write(self._settle, [verdict]) or [Settled(verdict.job, verdict.token, "unstorable", "failed")]

    # -- successes at the first attempt ---------------------------------------------------------------------------
    def _settle_plain(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Apply those that change nothing but the job's own row, which are nearly all; return those that were not applied."""
        columns = columns_of(verdicts)
        if columns is None:
            return list(verdicts)

        def act(link: Link) -> list[Any]:
            self._require(link)
            return self._together(link, *self._plain_statements(columns))

        try:
            rows, freed = self._attempted(act)
        except Exception as error:
            if isinstance(error, (StoreError, OSError)):
                raise
            return list(verdicts)  # one of them cannot be written; which one, the slower way finds out
        return self._left(verdicts, rows, freed)

    def _plain_statements(self, columns: Columns) -> list[tuple[str, str, tuple[Any, ...]]]:
        return [
            ("settle", "plain", (self._time(), self._ns, *columns)),
            ("ties", "aftermath", (self._ns, columns[0])),
        ]

    def _left(self, verdicts: Sequence[Verdict], rows: Sequence[Any], freed: Sequence[Any]) -> list[Verdict]:
        """Note what was applied; return what was not."""
        applied = {row[0] for row in rows}
        self.freed = self.freed or bool(freed)
        for token, jobs in Counter(verdict.token for verdict in verdicts if verdict.job in applied).items():
            self._note_settled(token, jobs)
        return [verdict for verdict in verdicts if verdict.job not in applied] if len(applied) < len(verdicts) else []

    # -- all others -----------------------------------------------------------------------------------------------
    def _line_up(self, link: Link, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.state == "blocked" and verdict.line:
                self._names.line(link, self._ns, verdict.line)

    def _settle(self, link: Link, now: int, verdicts: Sequence[Verdict]) -> list[Settled]:
        rows, others = self._hold(link, verdicts)
        outcomes = self._outcomes(link, rows, verdicts)
        work = decide.Work(now, rows, outcomes, self._names)
        answers = [work.settle(verdict) if verdict.job in rows else others[verdict.job] for verdict in verdicts]
        self._put(link, work.changes())
        self._put_attempts(link, work.attempts)
        self._put_logs(link, work.logs)
        for late in work.late:
            self._rows(link, "settle", "late", *late)
        if work.returns:
            self._news(link)
        for token, jobs in work.ended.items():
            self._note_settled(token, jobs)
        return [answer for answer in answers if answer is not None]

    def _hold(self, link: Link, verdicts: Sequence[Verdict]) -> tuple[dict[str, Row], dict[str, Settled | None]]:
        """Lock the jobs and return them by id; and the answers for those that are not stored, or that somebody else holds."""
        tokens = {verdict.job: verdict.token for verdict in verdicts}
        others: dict[str, Settled | None] = {}
        missing, seqs = list(tokens), []
        deadline = time.monotonic() + _PATIENCE
        while missing:
            seqs += [row[0] for row in self._rows(link, "rows", "lock_ids", self._ns, missing)]
            taken = set(seqs)
            seen = self._rows(link, "settle", "seen", self._ns, missing) if len(seqs) < len(tokens) else []
            free = {id for id, seq, _, _ in seen if seq not in taken}
            others |= {
                id: Settled(id, tokens[id], "stale", None) for id in set(missing) - {row[0] for row in seen} if seen
            }
            missing = sorted(free)
            if missing and time.monotonic() > deadline:
                break
            if missing:
                time.sleep(_PAUSE)
        held = {row.job.id: row for row in self._whole(link, seqs)}
        for job in tokens.keys() - held.keys():
            others[job] = (
                self._unheld(link, job, tokens[job]) if job in missing else Settled(job, tokens[job], "stale", None)
            )
        return held, others

    def _unheld(self, link: Link, job: str, token: str) -> Settled:
        """Answer for a job that somebody else's transaction holds."""
        rows = self._rows(link, "settle", "seen", self._ns, [job])
        state = NAMES[rows[0][2]] if rows else None
        mine = bool(rows) and rows[0][2] == RUNNING and rows[0][3] == token
        return Settled(job, token, "locked" if mine else "stale", state)

    def _outcomes(self, link: Link, rows: dict[str, Row], verdicts: Sequence[Verdict]) -> dict[tuple[int, str], str]:
        """Return the outcomes of attempts that verdicts speak of, and that were written before."""
        asked = {
            (rows[verdict.job].job.seq, verdict.token)
            for verdict in verdicts
            if verdict.job in rows and not decide.holds(rows[verdict.job].job, verdict.token)
        }
        if not asked:
            return {}
        seqs, tokens = zip(*sorted(asked), strict=True)
        return {
            (seq, token): outcome
            for seq, token, outcome in self._rows(link, "settle", "outcomes", list(seqs), list(tokens))
        }


def columns_of(verdicts: Sequence[Verdict]) -> Columns | None:
    """Return plain verdicts as a statement takes them; None where a result holds the separator itself."""
    ordered = sorted(verdicts)
    results = "\x1e".join([_NO_RESULT if verdict.result is None else verdict.result for verdict in ordered])
    if results.count("\x1e") >= len(ordered):
        return None
    started = ",".join(["" if v.started is None else str(round(v.started * 1e6)) for v in ordered])
    keeps = ",".join(["" if verdict.keep is None else str(micros(verdict.keep)) for verdict in ordered])
    return (
        "\x1e".join([verdict.job for verdict in ordered]),
        ",".join([verdict.token for verdict in ordered]),
        started if len(ordered) > 1 else started or None,
        ",".join([str(round(verdict.ended * 1e6)) for verdict in ordered]),
        results,
        keeps if len(ordered) > 1 else keeps or None,
    )


def is_plain(verdict: Verdict) -> bool:
    """Tell whether a verdict changes nothing but the job's own row, if it holds."""
    return verdict.plain and verdict.log is None and verdict.reason is None
