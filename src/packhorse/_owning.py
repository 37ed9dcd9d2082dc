"""Whose a schedule is, and what a deploy, a person or a program may change of it. Pure: a store applies the change or not.

Schedules declared in code belong to an application. Its builds are known in the order in which they first came; only the
newest writes, so that an old container which comes back changes nothing. A build that is known already counts as newest again
if its files were changed after those of the newest: then somebody went back on purpose. What a person changed stays until
``reschedule``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ._schedule import same_time
from ._schedule_record import Book, ScheduleRecord
from ._schedule_store import Schedules
from .errors import BadSchedule, ScheduleNotFound

#: Whose it is what a config file declares: all workers' that read it.
CONFIG = "packhorse.toml"
#: So many builds of an application are remembered.
_REMEMBERED = 500


class Declared(NamedTuple):
    """What one application's code says about schedules."""

    app: str
    build: str
    specs: Mapping[str, str]  #: name → what it says, as JSON
    changed: float = 0.0  #: when the newest of its files was changed, s; 0: the build was named by hand


class Change(NamedTuple):
    """What is to be put into the book."""

    schedules: Sequence[ScheduleRecord] = ()
    gone: Sequence[str] = ()
    builds: str | None = None
    told: Sequence[str] = ()  #: what somebody should know
    created: int = 0
    updated: int = 0
    retired: int = 0

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to put."""
        return not self.schedules and not self.gone and self.builds is None


def apply(store: Schedules, decide: Callable[[Book], Change]) -> Change:
    """Decide on the book as it is and put the change, again if somebody else was faster."""
    while True:
        book = store.schedules()
        change = decide(book)
        if change.empty or store.put_schedules(book.version, change.schedules, gone=change.gone, builds=change.builds):
            return change


# -- applications -----------------------------------------------------------------------------------------------------
def owner(specs: Sequence[str]) -> str:
    """Return the name of an application: what its worker was started with, the same for a file and for its module."""
    return " ".join(os.path.basename(spec).removesuffix(".py") if spec.endswith(".py") else spec for spec in specs)


def outdated(book: Book, declared: Declared) -> bool:
    """Tell whether a newer build of the same application is known, so that this one should declare nothing."""
    known = json.loads(book.builds).get(declared.app)
    return known is not None and _newest(known, declared, force=False) is None


# -- code ---------------------------------------------------------------------------------------------------------------
def publish(book: Book, declared: Declared, *, force: bool = False, only: frozenset[str] | None = None) -> Change:
    """Return what a worker's code changes. ``force``: it is what a person wants (``reschedule``), edits and builds aside;
    ``only`` of the schedules of these names."""
    builds = json.loads(book.builds)
    known = builds.get(declared.app, {"builds": [], "changed": 0.0})
    newest = _newest(known, declared, force)
    change = _published(book, declared, force, only)
    if not newest:
        told = [*change.told, _too_old(declared, known["builds"][-1])] if change.schedules else change.told
        return Change(told=told)
    if not declared.specs and not change.schedules:
        return change  # an application that never had a schedule needs no entry
    builds[declared.app] = newest
    text = json.dumps(builds, sort_keys=True, separators=(",", ":"))
    return change._replace(builds=None if text == book.builds else text)


def _newest(known: Mapping[str, object], declared: Declared, force: bool) -> dict[str, object] | None:
    """Return the builds of an application with this one as the newest; None: it is an older one."""
    builds, changed = list(known["builds"]), float(known["changed"])  # type: ignore[call-overload, arg-type]
    current = not builds or builds[-1] == declared.build
    if not current and declared.build in builds and not force and not declared.changed > changed:
        return None
    rest = [build for build in builds if build != declared.build]
    return {"builds": [*rest, declared.build][-_REMEMBERED:], "changed": max(changed, declared.changed)}


def _too_old(declared: Declared, newest: str) -> str:
    return (
        f"this worker's build {declared.build} is older than {newest}, so its schedules were not written; the stored ones hold. "
        "If you went back to it on purpose:  packhorse scheduled reschedule"
    )


def _published(book: Book, declared: Declared, force: bool, only: frozenset[str] | None) -> Change:
    stored = {schedule.name: schedule for schedule in book.schedules or ()}
    put, told = [], []
    for name, text in declared.specs.items():
        if only is not None and name not in only:
            continue
        old = stored.get(name)
        new = (
            _declared_new(book.now, name, text, declared)
            if old is None
            else _redeclared(old, text, declared, book.now, force)
        )
        if new is None:
            told.append(
                f"the schedule '{name}' is declared by {declared.app} and by {old.app if old else ''}; the second holds."
            )
        elif new != old:
            put.append(new)
    retired = [
        old._replace(retired_at=book.now)
        for old in stored.values()
        if only is None and old.app == declared.app and old.name not in declared.specs and old.retired_at is None
    ]
    created = sum(new.name not in stored for new in put)
    return Change([*put, *retired], told=told, created=created, updated=len(put) - created, retired=len(retired))


def _declared_new(now: int, name: str, text: str, declared: Declared) -> ScheduleRecord:
    return _fresh(now, name, text)._replace(app=declared.app, build=declared.build)


def _fresh(now: int, name: str, text: str) -> ScheduleRecord:
    import uuid

    return ScheduleRecord(str(uuid.uuid4()), name, text, created_at=now, watermark=now)


def _redeclared(old: ScheduleRecord, text: str, declared: Declared, now: int, force: bool) -> ScheduleRecord | None:
    """Return a stored schedule as the code wants it; None: it is another application's."""
    if old.app not in (None, declared.app) and old.retired_at is None and not force:
        return None
    kept = not force and (old.edited_at is not None or old.app is None)
    base = old._replace(app=declared.app, build=declared.build, retired_at=None)
    if kept:
        edited_at = old.edited_at if old.edited_at is not None else now
        new = base._replace(declared=text, edited_at=edited_at)
    else:
        new = _saying(base, text, now)._replace(declared=None, edited_at=None, edited_by=None)
    if old.retired_at is not None:
        new = new._replace(watermark=max(now, old.watermark))
    # A build that says the same leaves no trace: else every start of every worker would write.
    return old if new._replace(build=old.build) == old else new


def _saying(old: ScheduleRecord, text: str, now: int) -> ScheduleRecord:
    """Return a schedule that says something else. New times begin now: what they would have been before is no tick."""
    if same_time(old.spec, text):
        return old._replace(spec=text)
    return old._replace(spec=text, watermark=max(now, old.watermark))


# -- people and programs ------------------------------------------------------------------------------------------------
def find(book: Book, name: str) -> ScheduleRecord:
    """Return the schedule of this name. Raises ``ScheduleNotFound``."""
    from difflib import get_close_matches

    stored = {schedule.name: schedule for schedule in book.schedules or ()}
    if name in stored:
        return stored[name]
    near = get_close_matches(name, stored, 1)
    hint = f"; did you mean '{near[0]}'?" if near else "; packhorse scheduled list  shows what there is."
    raise ScheduleNotFound(f"there is no schedule '{name}'{hint}")


def save(book: Book, name: str, text: str, by: str) -> Change:
    """Return the change that makes a schedule say this, be it new or not. One that code declares counts as edited."""
    old = next((schedule for schedule in book.schedules or () if schedule.name == name), None)
    if old is None:
        return Change([_fresh(book.now, name, text)._replace(edited_by=by)], created=1)
    new = _saying(old, text, book.now)
    if old.retired_at is not None:  # nobody declares it any more: now it is the caller's
        new = new._replace(app=None, build=None, declared=None, retired_at=None, watermark=max(book.now, old.watermark))
    if new == old:
        return Change()
    if new.app is not None:
        declared = old.declared if old.declared is not None else old.spec
        new = new._replace(declared=declared, edited_at=book.now)
    return Change([new._replace(edited_by=by)], updated=1)


def drop(book: Book, name: str) -> Change:
    """Return the change that deletes a schedule. One that code declares would come back: that is refused."""
    old = next((schedule for schedule in book.schedules or () if schedule.name == name), None)
    if old is None:
        return Change()
    if old.app is not None and old.retired_at is None:
        raise BadSchedule(
            f"the schedule '{name}' is declared by the code of {old.app}, which would write it again; nothing was changed.\n"
            f"  Take it out of the code, or stop it:  packhorse scheduled pause {name}"
        )
    return Change(gone=[old.id])


def pause(book: Book, name: str, by: str, reason: str) -> Change:
    """Return the change that pauses a schedule; empty if it was."""
    old = find(book, name)
    if old.paused_at is not None:
        return Change()
    return Change([old._replace(paused_at=book.now, paused_by=by or None, paused_reason=reason or None)], updated=1)


def resume(book: Book, name: str) -> Change:
    """Return the change that lets a schedule go on from now; what it would have done meanwhile is no tick. Empty if it was not
    paused."""
    old = find(book, name)
    if old.paused_at is None:
        return Change()
    watermark = max(book.now, old.watermark)
    return Change([old._replace(paused_at=None, paused_by=None, paused_reason=None, watermark=watermark)], updated=1)


# -- another store ------------------------------------------------------------------------------------------------------
def carry(source: Schedules, target: Schedules) -> None:
    """Put the schedules of one store into another, each with its id and as far as it has come, so that no tick makes a second
    job there; those of the same names give way. Doing it again does no harm. What became of earlier ticks stays behind."""
    apply(target, lambda book: _carried(source.schedules(), book))


def _carried(here: Book, there: Book) -> Change:
    moving = here.schedules or ()
    names, ids = {schedule.name for schedule in moving}, {schedule.id for schedule in moving}
    gone = [other.id for other in there.schedules or () if other.name in names and other.id not in ids]
    builds = {**json.loads(there.builds), **json.loads(here.builds)}
    text = json.dumps(builds, sort_keys=True, separators=(",", ":"))
    return Change(moving, gone, builds=None if text == there.builds else text)
