"""What a schedule says, and what is to be done when it is due. Pure: a store only applies it, once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from . import _rule
from ._durations import Duration, seconds
from ._record import NewJob
from ._rule import Every, Rule
from ._schedule_record import RunOutcome, RunRecord, ScheduleRecord
from .errors import BadOption, BadSchedule

#: What becomes of ticks that nobody looked at in time: one job for all of them, one for each, or none.
Missed = Literal["one", "all", "skip"]
#: What becomes of a tick whose predecessor's job has not ended: it runs beside it, it makes no job, or its job waits.
Overlap = Literal["allow", "skip", "queue"]

#: When the run of an earlier tick is over: with its job, or with the flow that its job opened.
Span = Literal["job", "flow"]

MISSED: tuple[Missed, ...] = ("one", "all", "skip")
OVERLAP: tuple[Overlap, ...] = ("allow", "skip", "queue")
SPANS: tuple[Span, ...] = ("job", "flow")

#: With ``missed="skip"`` a tick that is later than this (µs) makes no job.
LATE = 60_000_000
#: With ``missed="all"`` at most so many jobs are made for what was missed, the newest.
MOST_MISSED = 1000

_NOTHING = NewJob("", "", "", "")
#: What differs from tick to tick, and so does not belong to the work.
_OWN = frozenset({"id", "at", "by", "parent"})


class Spec(NamedTuple):
    """What a schedule says."""

    rule: Rule | None  #: None: declared, but off
    work: Mapping[str, Any]  #: fields of ``NewJob`` that are not as ever
    missed: Missed = "one"
    overlap: Overlap = "skip"
    span: Span = "job"
    jitter: int = 0  #: µs
    place: str | None = None  #: file and line that declare it

    @property
    def when(self) -> str:
        """Say when it is due."""
        return "off" if self.rule is None else str(self.rule)

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return str(self.work["task"])

    @property
    def queue(self) -> str:
        """Return the queue its jobs go to."""
        return str(self.work["queue"])


def spec(
    rule: Rule | None,
    job: NewJob,
    *,
    missed: str = "one",
    overlap: str = "skip",
    span: str = "job",
    jitter: Duration = 0,
    place: str | None = None,
    where: str = "schedule",
) -> Spec:
    """Return what a schedule says, checked. Raises ``BadSchedule``."""
    if missed not in MISSED:
        raise BadSchedule(f'{where} missed= must be "one", "all" or "skip", not {missed!r}.')
    if overlap not in OVERLAP:
        raise BadSchedule(f'{where} overlap= must be "allow", "skip" or "queue", not {overlap!r}.')
    try:
        spread = round(seconds(jitter, f"{where} jitter=") * 1_000_000)
    except BadOption as error:
        raise BadSchedule(str(error).removesuffix(f"  [{error.code}]")) from None
    return Spec(rule, _work(job), missed, overlap, _span(span, overlap, job, where), spread, place)


def _span(span: str, overlap: str, job: NewJob, where: str) -> Span:
    if span not in SPANS:
        raise BadSchedule(f'{where} span= must be "job" or "flow", not {span!r}.')
    if span == "job":
        return "job"
    if overlap == "allow":
        raise BadSchedule(f'{where}: with overlap="allow" nobody asks whether a run is over; leave span= out.')
    if job.flow is not None:
        raise BadSchedule(f'{where}: with span="flow" each job opens a flow of its own; leave flow= out.')
    if job.unique is not None and job.unique_until not in ("finished", "flow"):
        raise BadSchedule(f'{where}: span="flow" and unique_until= both say until when the key is held; leave one out.')
    return "flow"


def _work(job: NewJob) -> dict[str, Any]:
    return {
        name: value
        for name, value, nothing in zip(NewJob._fields, job, _NOTHING, strict=True)
        if name not in _OWN and value != nothing
    }


# -- as text ------------------------------------------------------------------------------------------------------------
def encode(said: Spec) -> str:
    """Return it as JSON, the same text for the same meaning."""
    data: dict[str, Any] = {"job": said.work}
    if isinstance(said.rule, Every):
        data["every"] = said.rule.interval / 1_000_000
    elif said.rule is not None:
        data |= {"cron": said.rule.text, "timezone": said.rule.timezone}
    if said.missed != "one":
        data["missed"] = said.missed
    if said.overlap != "skip":
        data["overlap"] = said.overlap
    if said.span != "job":
        data["span"] = said.span
    if said.jitter:
        data["jitter"] = said.jitter / 1_000_000
    if said.place:
        data["place"] = said.place
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=1000)
def decode(text: str) -> Spec:
    """Return what a stored schedule says. Raises ``BadSchedule`` where this host cannot tell, for want of its time zone."""
    data = json.loads(text)
    rule: Rule | None = None
    if "every" in data:
        rule = Every(round(data["every"] * 1_000_000))
    elif "cron" in data:
        rule = _rule.cron(data["cron"], data["timezone"])
    return Spec(
        rule,
        data["job"],
        data.get("missed", "one"),
        data.get("overlap", "skip"),
        data.get("span", "job"),
        round(data.get("jitter", 0) * 1_000_000),
        data.get("place"),
    )


def same_time(one: str, other: str) -> bool:
    """Tell whether two texts are due at the same times."""
    names = ("every", "cron", "timezone")
    first, second = json.loads(one), json.loads(other)
    return all(first.get(name) == second.get(name) for name in names)


# -- what is due --------------------------------------------------------------------------------------------------------
class Firing(NamedTuple):
    """What is to be done next with a schedule; the values of ``Store.fire``."""

    watermark: int
    job: NewJob | None
    outcome: RunOutcome
    missed: int


def sleeps(schedule: ScheduleRecord) -> bool:
    """Tell whether it makes no jobs whatever the time: it is paused or retired."""
    return schedule.paused_at is not None or schedule.retired_at is not None


def next_tick(schedule: ScheduleRecord) -> int | None:
    """Return the next tick that is not dealt with; None: it makes no jobs. Raises ``BadSchedule`` as ``decode`` does."""
    if sleeps(schedule):
        return None
    rule = decode(schedule.spec).rule
    return None if rule is None else rule.next(schedule.watermark)


def start_of(schedule: ScheduleRecord, tick: int) -> int:
    """Return when the job of a tick is to start."""
    said = decode(schedule.spec)
    late: int = round(said.work.get("delay", 0) * 1_000_000)
    return tick + late + (_rule.delay(said.rule, said.jitter, schedule.id, tick) if said.rule is not None else 0)


def firing(schedule: ScheduleRecord, now: int, by: str | None = None) -> Firing | None:
    """Return what is to be done next; None: nothing is due. To be asked again once it is done."""
    said = decode(schedule.spec)
    if sleeps(schedule) or said.rule is None:
        return None
    if said.missed == "all":
        return _oldest(schedule, said, said.rule, now, by)
    last = _rule.last_tick(said.rule, schedule.watermark, now)
    if last is None:
        return None
    missed = _rule.count(said.rule, schedule.watermark, last) - 1
    if said.missed == "skip" and now - last > LATE:
        return Firing(last, None, "missed", missed + 1)
    return Firing(last, job_of(schedule, last, by), "fired", missed)


def _oldest(schedule: ScheduleRecord, said: Spec, rule: Rule, now: int, by: str | None) -> Firing | None:
    start = _rule.latest(rule, schedule.watermark, now, MOST_MISSED)
    if start > schedule.watermark:
        return Firing(start, None, "missed", _rule.count(rule, schedule.watermark, start))
    tick = rule.next(schedule.watermark)
    if tick is None or tick > now:
        return None
    return Firing(tick, job_of(schedule, tick, by), "fired", 0)


def job_of(schedule: ScheduleRecord, tick: int, by: str | None = None) -> NewJob:
    """Return the job of a tick; its id is made from the schedule's and the tick."""
    said = decode(schedule.spec)
    at = start_of(schedule, tick)
    job = plain_job(said, tick_id(schedule.id, tick), by)._replace(at=at, delay=0.0)
    key = f"//schedule:{schedule.id}"
    if said.span == "flow":
        job = job._replace(flow=job.id, unique_until="flow" if job.unique is not None else "finished")
    if said.overlap == "skip" and job.unique is None:
        return job._replace(
            unique=key, unique_until="flow" if said.span == "flow" else "finished", on_conflict="return"
        )
    if said.overlap == "queue":
        return job._replace(holds=tuple(sorted({*job.holds, ("x", key)})))
    return job


def waits_for_flows(schedule: ScheduleRecord) -> bool:
    """Tell whether each of its jobs waits for the flow of the one before."""
    said = decode(schedule.spec)
    return said.overlap == "queue" and said.span == "flow"


def behind(job: NewJob, runs: Iterable[RunRecord]) -> NewJob:
    """Return a job that waits for the flow of the last run that has one, however that ends. ``runs``: newest first."""
    last = next((run.job for run in runs if run.job is not None), None)
    return job if last is None else job._replace(after_flow=last, after_failed=True)


def plain_job(said: Spec, id: str, by: str | None = None) -> NewJob:
    """Return a job with a schedule's work that belongs to no tick."""
    fields = dict(said.work)
    if "holds" in fields:
        fields["holds"] = tuple((mode, name) for mode, name in fields["holds"])
    job = NewJob(id=id, by=by, **fields)
    return job._replace(flow=id) if job.unique_until == "flow" and job.flow is None else job


def tick_id(schedule: str, tick: int) -> str:
    """Return the id of the job of one tick: the same for whoever makes it."""
    from uuid import UUID, uuid5

    return str(uuid5(UUID(schedule), str(tick)))
