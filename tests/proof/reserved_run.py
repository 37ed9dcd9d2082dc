"""The reserved run: ``python -m tests.proof.reserved_run --store postgres --jobs 10000 --kills 100 --server-kills 10``.

The random-kill run with jobs that hold things: one name alone, or two in any order; shared readers and rare writers; three places
of a limit; a rate; a parent that must have ended; a unique key. Whether two overlapped is found from the ledger alone, where
each run says when it began and ended with its names, and from the kernel, whose locks on files of these names die with their
process. Exit status 0: nobody did, and the rest is as promised. 1: a violation; each is printed. 2: the run proved too little.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from packhorse._stores import open_store

from . import reserved_jobs
from .checking import FAULTS
from .kill_run import Attack, parser, repeated
from .ledger import Ledger
from .overlaps import Rules, judge_holds
from .pausing import Pauser
from .picture import draw
from .producing import Enqueuer
from .reporting import Run
from .watching import Watch

#: Longer than any outage of the run's server. What waits because of it waits for it twice.
PATIENCE = "20s"
#: When all have ended, a job for each name runs within so long, on a host that is busy with other things too (seconds).
_AT_ONCE = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and say by the exit status how it went."""
    options = parser("reserved_run", __doc__ or "")
    options.set_defaults(jobs=10_000, kills=100, server_kills=10, processes=3)
    options.add_argument(
        "--pauses", type=int, default=3, help="of supervisors, past their death: each takes about a minute"
    )
    return repeated(options.parse_args(argv), ReservedAttack)


class ReservedAttack(Attack):
    """One run; afterwards every name must be free."""

    app, maker = "tests.proof.reserved_jobs:app", "tests.proof.reserved_jobs"
    _killer: Pauser

    def _plan(self, count: int, rng: random.Random) -> list[str]:
        return reserved_jobs.plan(count, rng)

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--exclusive-patience", PATIENCE]

    def _make_killer(self, rng: random.Random) -> Pauser:
        self._watch = Watch(self._workers)
        self._watch.start()
        self._probes: list[str] = []
        self._slowest = 0.0
        opener = lambda: open_store(self._where.url)  # noqa: E731
        enqueuer = Enqueuer(self._where.url, str(self._directory), rng.getrandbits(32), reserved_jobs.made)

        def lasting(mode: str) -> str:
            """Enqueue one that lasts, and some that want what it holds."""
            name = reserved_jobs.STILL[mode]
            return enqueuer.enqueue([f"{reserved_jobs.LASTING}{mode}:{name}", *[f"{reserved_jobs.PROBE}{name}"] * 3])[0]

        return Pauser(self._workers, self._producers, self._store, rng, self._options.pauses, opener, lasting)

    def _afterwards(self) -> None:
        """Reserve every name there is: nothing may be in the way."""
        alone = [*reserved_jobs.TAPES, *reserved_jobs.SHELVES, *reserved_jobs.STILL.values()]
        names = sorted({*alone, *reserved_jobs.POOLS, *reserved_jobs.RATES})
        enqueuer = Enqueuer(self._where.url, str(self._directory), self._rng.getrandbits(32), reserved_jobs.made)
        began = time.monotonic()
        self._probes = enqueuer.enqueue([f"{reserved_jobs.PROBE}{name}" for name in names])
        self._wait_for_the_end()
        self._slowest = time.monotonic() - began

    def _completed(self, book: Ledger, run: Run) -> Run:
        self._watch.finish()
        result = run.judgement
        runs = judge_holds(result, book, self._watch.deaths, Rules(reserved_jobs.POOLS, reserved_jobs.RATES))
        if self._slowest > _AT_ONCE:
            result.wrong(
                f"a job for each name, when all others had ended, took {self._slowest:.1f} s: something was held"
            )
        for job in result.jobs.values():
            if job.state == "cancelled" and job.given_up is None:
                result.wrong(f"{job.id} was cancelled, and nobody cancels here: {job.reason}")
        if self._killer.not_found:
            result.wrong(f"{self._killer.not_found} paused workers were not found dead by the others")
        draw(self._directory / "holders.svg", runs)
        run.rows, run.wanted = self._table(run), self._wanted(run)
        run.verdict = "no two held together what one holds alone, no limit passed, nobody overtaken, nothing still held"
        return run

    def _table(self, run: Run) -> list[tuple[str, str]]:
        counts = run.judgement.counts
        most = " / ".join(str(counts[f"most at once, {mode}"]) for mode in "xsl")
        return [
            ("runs that held names / interrupted / of these exclusive", " / ".join(f"{counts[key]:,}" for key in (
                "runs that held names", "interrupted holders", "interrupted exclusive holders"))),
            ("most at once of a name: alone / shared / limited to 3", most),
            ("times that a limit was full", f"{counts['limit reached']:,}"),
            ("taken back from supervisors that were only paused", f"{self._taken_back(run)}"),
            ("begun while a killed holder was dying, the kernel says no", f"{counts['overlaps in doubt']}"),
            ("holders whose death nobody saw", f"{counts['deaths unseen']}"),
            ("let go by a rate / of these had waited for it", f"{counts['rate let go']:,} / {counts['rate full']:,}"),
            ("places by arrival / served in line / had lost their turn", " / ".join(f"{counts[key]:,}" for key in (
                "places by arrival", "served in line", "lost their turn"))),
            ("jobs for every name at the end, seconds", f"{len(self._probes)}, {self._slowest:.1f}"),
        ]  # fmt: skip

    def _taken_back(self, run: Run) -> int:
        attempts = (row for rows in run.judgement.attempts.values() for row in rows)
        return sum(row.worker in self._killer.condemned and row.outcome in FAULTS for row in attempts)

    def _wanted(self, run: Run) -> dict[str, tuple[int, int]]:
        counts, kills, pauses = run.judgement.counts, self._options.kills, self._options.pauses
        return {
            "late outcomes refused": (run.stale, 0),
            "jobs taken back from paused supervisors": (self._taken_back(run), min(pauses, kills // 24)),
            "paused past their death": (run.killer.did["declared dead alive"], min(pauses, kills // 24)),
            "exclusive holders that were killed": (counts["interrupted exclusive holders"], kills // 12),
            "readers at once": (counts["most at once, s"], 2),
            "times that a limit was full": (counts["limit reached"], 1),
            "jobs that waited for a rate": (counts["rate full"], 1),
            "served in line": (counts["served in line"], self._options.jobs // 2),
            "deaths seen, in a hundred": (
                100 - 100 * counts["deaths unseen"] // max(1, counts["interrupted holders"]),
                90,
            ),
        }


if __name__ == "__main__":
    sys.exit(main())
