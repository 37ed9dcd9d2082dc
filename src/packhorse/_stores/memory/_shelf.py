"""What a memory store holds of schedules."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..._schedule_record import RunRecord, ScheduleRecord


@dataclass
class Shelf:
    """The schedules of one namespace."""

    version: int = 0
    builds: str = "{}"
    schedules: dict[str, ScheduleRecord] = field(default_factory=dict)
    runs: dict[str, list[RunRecord]] = field(default_factory=dict)  #: schedule → runs, oldest first
