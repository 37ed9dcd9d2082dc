"""Bugs seeded into the memory store, one at a time, to prove that the suite notices.

Each is one small function replaced by a wrong one. ``python -m conformance.mutations``, with ``tests`` on the path and
``PACKHORSE_TEST_STORES=memory``, tries them all and says which survived.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from packhorse._record import DEFAULT_STEP, FINAL
from packhorse._store import JobFilter
from packhorse._stores.memory import (
    MemoryStore,
    _admit,
    _claim,
    _ending,
    _enqueue,
    _limits,
    _lines,
    _links,
    _moving,
    _operate,
    _planning,
    _prune,
    _requeue,
    _scheduling,
    _settle,
    _steering,
    _tables,
    _unique,
)

Seed = tuple[str, list[Any], str, Callable[..., Any]]

#: name → (the beginning of the name of the tests that must notice, modules that know the function, its name, the wrong one)
BUGS: dict[str, Seed] = {
    "no token check": ("settle", [_claim, _settle], "holds", lambda job, token: _claim.is_running(job)),
    "no state check": ("settle", [_claim, _settle], "holds", lambda job, token: _claim.same_token(job, token)),
    "ghosts stay": ("beat", [_claim], "is_ghost", lambda went_out_with, completed: False),
    "a claim under way is a ghost": ("beat", [_claim], "is_ghost", lambda went_out_with, completed: True),
    "release is counted": (
        "settle",
        [_settle],
        "_counted",
        lambda job, verdict, right=_settle._counted: right(
            job, verdict._replace(losses=1) if verdict.outcome == "released" else verdict
        ),
    ),
    "condemned without looking at its beats again": ("rescue", [_claim], "still_at", lambda row, beats: True),
    "the dead may beat": ("rescue", [_claim], "may_beat", lambda row: True),
    "a stopping worker claims": ("claim", [_claim], "may_claim", lambda row: row is not None and row.state != "dead"),
    "an unknown job is swallowed": ("settle", [_settle], "unknown", lambda verdict: None),
    "a repeat is stale": ("settle", [_settle], "was_applied", lambda tables, job, verdict: False),
    "what is stale counts as repeated": ("settle", [_settle], "was_applied", lambda tables, job, verdict: True),
    "a late result is dropped": ("settle", [_settle], "keep_late", lambda tables, verdict: None),
    "prune takes what runs": (
        "prune",
        [_prune],
        "prune",
        lambda tables, now, keep, limit: len([tables.drop(job) for job in list(tables.jobs.values())]),
    ),
    "prune forgets the hour": (
        "prune",
        [_prune],
        "prunable",
        lambda job, now, keep: job.state in keep and (job.finished_at or now) < now - keep[job.state] * 1_000_000,
    ),
    "a requested cancel is forgotten at the end": ("settle", [_settle], "takes_precedence", lambda job, verdict: False),
    "a cancel undoes a success": (
        "settle",
        [_settle],
        "takes_precedence",
        lambda job, verdict: job.cancel_at is not None,
    ),
    "a retry loses its place": (
        "settle",
        [_settle],
        "next_rank",
        lambda job, verdict, due_at, step: due_at if due_at is not None else job.rank,
    ),
    "a snooze keeps its place": ("settle", [_settle], "next_rank", lambda job, verdict, due_at, step: job.rank),
    "a pause is ignored": (
        "claim",
        [_claim],
        "claimable",
        lambda tables, now, asked: (
            job for _, line in asked for job in tables.inside("line", line) if not _enqueue.passed(job.expires_at, now)
        ),
    ),
    "expired jobs are claimed": ("claim", [_claim], "passed", lambda expires_at, now: False),
    "work that must not run twice is claimed ahead": ("claim", [_claim], "runs_alone", lambda job: False),
    "the first queue always comes first": (
        "claim",
        [_claim],
        "every_queue",
        lambda tables, turn: tables.owners("state queued"),
    ),
    "the fence does not grow": ("claim", [_claim], "next_fence", lambda last, now: now),
    "a known id is stored whatever its content": ("enqueue", [_enqueue], "refuse_conflicts", lambda tables, jobs: None),
    "one bad verdict holds up the batch": (
        "settle",
        [_settle],
        "unstorable",
        lambda verdict: [v.encode() for v in _texts(verdict)] and None,
    ),
    "every release leaves an attempt": (
        "settle",
        [_settle],
        "writes_row",
        lambda verdict, started_at: not verdict.plain,
    ),
    "the first success is lost at requeue": (
        "requeue",
        [_operate, _requeue],
        "first_success",
        lambda tables, job: None,
    ),
    "a running job is deleted": ("delete", [_operate], "may_delete", lambda job: True),
    "a running job is requeued": ("requeue", [_requeue], "may_requeue", lambda job: True),
    "who leaves takes the jobs along": (
        "rescue",
        [_claim],
        "is_gone",
        lambda row: row is not None and row.state == "dead",
    ),
    "counters are kept over a requeue": (
        "requeue",
        [_requeue],
        "_renewed",
        lambda job, right=_requeue._renewed: right(job)._replace(failures=job.failures),
    ),
    "a resolved side line is forgotten": ("beat", [_claim], "side_lines", lambda tables: tables.owners("blocked")),
    "meta is replaced whole": ("report", [_claim], "merged", lambda old, new: new),
    "a filter ignores its time": (
        "find",
        [JobFilter],
        "fits",
        lambda which, job, right=JobFilter.fits: right(which._replace(until=None), job),
    ),
    "upkeep goes on in a closed store": ("moving", [_moving], "rests", lambda tables: False),
    "logs stay behind": (
        "moving",
        [_moving],
        "_parcel",
        lambda tables, job, right=_moving._parcel: right(tables, job)._replace(logs=()),
    ),
    "a moved job keeps what it had there": (
        "moving",
        [_moving],
        "_place",
        lambda tables, parcel, right=_moving._place: None if parcel.job.id in tables.jobs else right(tables, parcel),
    ),
    "who ended elsewhere is told to be stale": ("settle", [_settle], "ended_elsewhere", lambda job, verdict: False),
    "who ended elsewhere need not be the one": (
        "settle",
        [_settle],
        "ended_elsewhere",
        lambda job, verdict: verdict.elsewhere and job.state in FINAL,
    ),
    "a closed store takes jobs and hands them out": (
        "moving",
        [MemoryStore],
        "_refuse_closed",
        lambda store, tables: None,
    ),
    "a moved claim loses its number": (
        "moving",
        [_moving],
        "_parcel",
        lambda tables, job, right=_moving._parcel: right(tables, job)._replace(claim_no=None),
    ),
    "a moved job loses its history": (
        "moving",
        [_moving],
        "_parcel",
        lambda tables, job, right=_moving._parcel: right(tables, job)._replace(attempts=()),
    ),
    "a moved job takes its old number along": (
        "moving",
        [_moving],
        "_place",
        lambda tables, parcel, right=_moving._place: right(tables, parcel) or tables.put(parcel.job),
    ),
    "what waits is let go unasked": ("admit", [_enqueue, _claim, _requeue], "ready_state", lambda job: "queued"),
    "a running job has given up what it reserved": (
        "holds",
        [_links, _tables],
        "is_holder",
        lambda job: job.holds is not None and job.state == "queued",
    ),
    "later ones pass one who waits for more": ("holds", [_lines.Lines], "stands", lambda lines, job: None),
    "one who cannot run holds up those behind": (
        "admit",
        [_admit],
        "_able",
        lambda tables, seen: sorted(
            (job for one in seen if (job := tables.jobs[one.job.id]).place is not None and one.parent is None),
            key=lambda job: job.place or 0,
        ),
    ),
    "places are forgotten": (
        "admit",
        [_admit],
        "_queued",
        lambda tables, now, lines, job, right=_admit._queued: right(tables, now, lines, job)._replace(place=None),
    ),
    "reserved work is claimed ahead": ("holds", [_claim], "runs_alone", lambda job: job.crash_fails or job.suspect),
    "rates are never used up": (
        "limits",
        [_admit],
        "_queued",
        lambda tables, now, lines, job: job._replace(state="queued"),
    ),
    "code overrules a person": (
        "limits",
        [_limits],
        "changes",
        lambda old, value, app: value is not None if old is None else (old.value, old.app) != (value, app),
    ),
    "any beginning wins": (
        "limits",
        [_lines],
        "declared",
        lambda names, name: next((each for each in sorted(names) if _limits.meant(each, name)), None),
    ),
    "an unknown parent is waited for": (
        "after",
        [_planning],
        "refuse_unknown_parents",
        lambda tables, job, stored: None,
    ),
    "children of a failed parent run": ("after", [_admit], "made_it_give_up", lambda tables, job: None),
    "children stay away when their parent comes back": (
        "after",
        [_requeue],
        "bring_back",
        lambda tables, now, parents: [],
    ),
    "a parent is deleted under its child": ("after", [_operate], "is_named", lambda tables, job: False),
    "a parent is pruned under its child": ("after", [_prune], "is_waited_for", lambda tables, job: False),
    "members that wait for their flow are waited for": (
        "flows",
        [_lines],
        "others",
        lambda tables, flow: [] if flow is None else tables.linked("member", flow),
    ),
    "a flow is judged before it has ended": (
        "flows",
        [_admit],
        "made_it_give_up",
        lambda tables, job: (
            None
            if job.after_failed
            else next(
                (one for one in _lines.others(tables, job.after_flow) if one.state in ("failed", "cancelled")), None
            )
        ),
    ),
    "a key is held after the end": ("unique", [_ending], "keeps_key", lambda job: job.unique_held),
    "a key for a time goes with the job": ("unique", [_ending], "keeps_key", lambda job: False),
    "a key for a time is held for ever": (
        "unique",
        [_unique],
        "holds_still",
        lambda job, now: job.unique_held,
    ),
    "a key is not held again": ("unique", [_requeue], "holds_again", lambda job: False),
    "a key has two holders": ("unique", [_enqueue], "let_go", lambda tables, key: None),
    "the scope of a death is forgotten": (
        "holds",
        [_claim],
        "_orphan",
        lambda tables, job, right=_claim._orphan: right(tables, job)._replace(reserves=False),
    ),
    "a put takes the watermark back": ("schedules", [_scheduling], "furthest", lambda old, new: new.watermark),
    "who has not seen a change fires": ("schedules", [_scheduling], "is_known", lambda stored, read: True),
    "a tick is dealt with twice": ("schedules", [_scheduling], "is_dealt_with", lambda stored, read, watermark: False),
    "a watermark goes back": (
        "schedules",
        [_scheduling],
        "is_dealt_with",
        lambda stored, read, watermark: stored.watermark != read.watermark,
    ),
    "an overlap looks like a job": ("schedules", [_scheduling], "is_another", lambda made, job: False),
    "a snooze is ranked by the usual step": (
        "switches",
        [_settle],
        "next_rank",
        lambda job, verdict, due_at, step, right=_settle.next_rank: right(job, verdict, due_at, DEFAULT_STEP),
    ),
    "a new job is ranked by the usual step": (
        "switches",
        [_enqueue],
        "new_record",
        lambda seq, now, job, step, right=_enqueue.new_record: right(seq, now, job, DEFAULT_STEP),
    ),
    "no pause ends": ("switches", [_enqueue], "end_pauses", lambda tables, now: None),
    "nobody is told when a pause ends": ("switches", [_enqueue], "next_end", lambda tables: None),
    "a pause drops the step": (
        "switches",
        [_steering],
        "resume",
        lambda tables, queue: tables.paused(queue) and (tables.flip(queue, _tables.Switches()) or True),
    ),
    "what runs is edited": ("steering", [_steering], "may_edit", lambda job: True),
    "an edit keeps the side line": (
        "steering",
        [_steering],
        "edited",
        lambda job, change, now, steps, right=_steering.edited: right(job, change, now, steps)._replace(line=job.line),
    ),
    "an edit takes the step of the queue that is left": (
        "switches",
        [_steering],
        "edited",
        lambda job, change, now, steps, right=_steering.edited: right(job, change, now, (steps[0], steps[0])),
    ),
    "an edit takes the key": (
        "steering",
        [_steering],
        "edited",
        lambda job, *how, right=_steering.edited: right(job, *how)._replace(unique_held=False),
    ),
    "everything counts as applied": (
        "settle",
        [_settle],
        "settle",
        lambda tables, now, verdicts, right=_settle.settle: right(tables, now, verdicts) and [],
    ),
}


def _texts(verdict: Any) -> list[str]:
    return [value for value in verdict if isinstance(value, str)]


@contextmanager
def seeded(name: str) -> Iterator[None]:
    """Put one bug in, and take it out again."""
    _, modules, function, wrong = BUGS[name]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, function, wrong)
        yield


def noticed(name: str) -> bool:
    """Run the file of tests that must notice, with the bug in."""
    files = sorted(str(path) for path in Path(__file__).parent.glob(f"test_{BUGS[name][0]}*.py"))
    # A bug may make a loop endless; then the time limit is what notices. What the first run has imported the next ones
    # find imported, which is meant.
    options = "-x -q -p no:cacheprovider -p no:xdist --timeout=20 --timeout-method=signal"
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with seeded(name), redirect_stdout(io.StringIO()) as output:
        code = pytest.main([*options.split(), *quiet, *files])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"the tests could not be run with the bug '{name}':\n{output.getvalue()}")
    return code == pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    for bug in BUGS:
        print("noticed" if noticed(bug) else "SURVIVED", bug, sep="\t", flush=True)
