"""Schedules in a worker: what the code declares is written when it starts, and what is due is fired. Any worker fires; the
store sees to it that each tick is dealt with once."""

from __future__ import annotations

import json
import logging
from typing import Any

from .. import _owning, _schedule
from .._owning import Declared
from .._schedule_record import RUNS_KEPT, Fired, ScheduleRecord
from .._store import Store
from .._when import rfc3339
from ..errors import PackhorseError, StoreError

_log = logging.getLogger("packhorse.schedules")

#: The book is looked at so often (s), so that a new schedule is not late.
_LOOK_EVERY = 1.0
#: So many ticks are dealt with before the worker does something else.
_AT_ONCE = 50


class Firing:
    """The chore: kept by the store thread, and called when ``due`` (monotonic) has come."""

    def __init__(self, host: str) -> None:
        """Nothing is known yet."""
        self.due = 0.0
        self._host = host
        self._version = -1
        self._schedules: dict[str, ScheduleRecord] = {}
        self._ticks: dict[str, int] = {}  #: schedule → its next tick
        self._said: dict[str, str] = {}  #: schedule → what was wrong with it, so that it is said once

    def publish(self, store: Store, catalogue: dict[str, Any]) -> None:
        """Write what the code declares, as far as this build may."""
        self.due, self._version = 0.0, -1
        for said in catalogue.get("schedules", ()):
            declared = declared_of(said)
            change = _owning.apply(store, lambda book, declared=declared: _owning.publish(book, declared))  # type: ignore[misc]
            for line in change.told:
                _log.warning("%s", line)
            if change.created or change.updated or change.retired:
                counts = change.created, change.updated, change.retired
                _log.info("schedules of %s: %d new, %d changed, %d retired", declared.app, *counts)

    def look(self, store: Store, now: float) -> bool:
        """Fire what is due; ``now`` is monotonic. Tell whether something was fired, and may be run."""
        book = store.schedules(self._version)
        if book.schedules is not None:
            self._learn(book.version, book.schedules)
        left, fired = _AT_ONCE, False
        for id in [id for id, tick in self._ticks.items() if tick <= book.now]:
            done, left = self._fire_all(store, id, book.now, left)
            fired = fired or done
        ahead = (min(self._ticks.values(), default=book.now + 10_000_000) - book.now) / 1e6
        self.due = now if left <= 0 else now + min(_LOOK_EVERY, max(0.001, ahead))
        return fired

    def _learn(self, version: int, schedules: Any) -> None:
        self._version = version
        self._schedules = {schedule.id: schedule for schedule in schedules}
        self._ticks.clear()
        for schedule in schedules:
            self._note(schedule)

    def _note(self, schedule: ScheduleRecord) -> None:
        """Remember how far a schedule has come, and what comes next."""
        self._schedules[schedule.id] = schedule
        self._ticks.pop(schedule.id, None)
        try:
            tick = _schedule.next_tick(schedule)
        except Exception as error:
            self._wrong(schedule, error)
            return
        if tick is not None:
            self._ticks[schedule.id] = tick

    def _fire_all(self, store: Store, id: str, now: int, left: int) -> tuple[bool, int]:
        """Deal with the ticks of one schedule that are due; return whether a job was made, and how many more may be."""
        fired = False
        while left > 0:
            schedule = self._schedules[id]
            try:
                answer = self._fire(store, schedule, now)
            except StoreError:
                raise
            except Exception as error:
                self._wrong(schedule, error)
                self._ticks.pop(id, None)
                return fired, left
            if answer is None:
                return fired, left
            left -= 1
            fired = fired or (answer.moved and answer.job is not None)
            if answer.watermark is None:
                self._version = -1
                self._ticks.pop(id, None)
                return fired, left
            self._note(schedule._replace(watermark=answer.watermark))
        return fired, left

    def _fire(self, store: Store, schedule: ScheduleRecord, now: int) -> Fired | None:
        todo = _schedule.firing(schedule, now)
        if todo is None:
            return None
        job = todo.job and todo.job._replace(by=self._by(schedule, todo.watermark))
        if job is not None and _schedule.waits_for_flows(schedule):
            # Whoever deals with a tick meanwhile makes this fire do nothing: what is read here is what came before.
            job = _schedule.behind(job, store.runs(schedule.id, RUNS_KEPT))
        answer = store.fire(schedule, todo.watermark, job, todo.outcome, todo.missed)
        self._said.pop(schedule.id, None)
        if answer.moved and todo.missed:
            _log.warning("schedule '%s': %d ticks were missed and make no job of their own", schedule.name, todo.missed)
        return answer

    def _by(self, schedule: ScheduleRecord, tick: int) -> str:
        about = {"schedule": schedule.name, "tick": rfc3339(tick), "host": self._host, "program": "packhorse worker"}
        return json.dumps(about)

    def _wrong(self, schedule: ScheduleRecord, error: Exception) -> None:
        text = str(error) if isinstance(error, PackhorseError) else f"{type(error).__name__}: {error}"
        if self._said.get(schedule.id) != text:
            self._said[schedule.id] = text
            _log.error(
                "schedule '%s' cannot be fired by this worker: %s  (quiet until it changes)", schedule.name, text
            )


def declared_of(said: dict[str, Any]) -> Declared:
    """Return one entry of a catalogue's ``schedules``."""
    return Declared(said["app"], said["build"], said["schedules"], said["changed"])
