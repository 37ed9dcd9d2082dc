"""Why a command is where it is: a program that nobody may run, a mount that is missing, slots it waits for; its silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._durations import spoken
from ._programs import FOR, LACKS, RUNS, allowed
from ._record import JobRecord, WorkerRecord
from ._store import Store
from ._when import distance
from ._why import Why, live, serves
from ._why_error import loads

#: What the worker tells of a command among its bars of progress. No bar of a command's own begins so.
_ABOUT = "$"


# -- in a side line ---------------------------------------------------------------------------------------------------
def lacking(store: Store, record: JobRecord, now: int) -> Why | None:
    """Return why a job waits in the side line of a program, or of what its host must have; None: it waits for a task."""
    name = record.line.partition("#")[2].partition(FOR)[0]
    if name.startswith(RUNS):
        return _program(store, record, name.removeprefix(RUNS), now)
    if name.startswith(LACKS):
        reason = record.reason or f"no live worker has what it needs: {name.removeprefix(LACKS)}"
        return Why(f"{reason}; it runs by itself once a worker has it.", "needs", {"needs": name.removeprefix(LACKS)})
    return None


def _program(store: Store, record: JobRecord, program: str, now: int) -> Why:
    alive = [worker for worker in live(store.workers(), now) if serves(worker, record.queue)]
    allowing = [worker for worker in alive if allowed(program, patterns_of(worker))]
    facts = {"program": program, "allowed_by": [worker.name for worker in allowing]}
    text = f"no live worker runs this program: {program}"
    if allowing:
        # The last one that tried says what it found.
        found = (record.reason or "").removeprefix(text).strip()
        return Why(
            f"{text}; it is allowed on worker {allowing[0].name}, but cannot be run there {found}.", "program", facts
        )
    text += "; to allow it:  packhorse worker --allow-commands '{0}'  or  commands = [\"{0}\"]  in packhorse.toml"
    return Why(text.format(program), "program", facts)


def patterns_of(worker: WorkerRecord) -> tuple[str, ...]:
    """Return the programs a worker may run, as it has told them."""
    told = (loads(worker.catalogue) or {}).get("commands") or ()
    return tuple(map(str, told))


# -- running ----------------------------------------------------------------------------------------------------------
def bars_of(progress: str | None) -> dict[str, Any]:
    """Return the bars that a job itself has told."""
    return {name: bar for name, bar in _told(progress).items() if not name.startswith(_ABOUT)}


def _told(progress: str | None) -> Mapping[str, Any]:
    found = loads(progress)
    return found if isinstance(found, dict) else {}


def slots_wanted(record: JobRecord, facts: dict[str, Any]) -> str | None:
    """Return what a claimed job waits for that takes more than one slot."""
    about = _told(record.progress).get("$slots")
    if not isinstance(about, dict) or record.started_at is not None:
        return None
    facts["slots"] = about
    wants, of, free = (about.get(each, "?") for each in ("wants", "of", "free"))
    return (
        f"it takes {wants} of the worker's {of} slots, of which {free} are free; nothing else is begun there before it"
    )


def quiet(record: JobRecord, facts: dict[str, Any], now: int) -> str:
    """Return since when a running command has said nothing, if that is long."""
    about = _told(record.progress).get("$quiet")
    if record.state != "running" or not isinstance(about, dict) or not isinstance(about.get("since"), (int, float)):
        return ""
    since = int(about["since"] * 1e6)
    if record.started_at is not None and since < record.started_at - 1_000_000:
        return ""  # of the attempt before
    facts["quiet_since"] = about["since"]
    return f"; quiet: no output for {spoken(max(0, now - since) / 1e6)} (the last {distance(since, now)})"
