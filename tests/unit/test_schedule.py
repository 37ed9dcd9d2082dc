"""What a schedule says, as text and back, and what is to be done when it is due."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhorse import _rule, _schedule
from packhorse._record import NewJob
from packhorse._schedule import MOST_MISSED, Spec, decode, encode, firing, job_of, next_tick, spec, start_of, tick_id
from packhorse._schedule_record import RunRecord, ScheduleRecord
from packhorse.errors import BadSchedule

SECOND = 1_000_000
T0 = 1_800_000_000 * SECOND
MINUTE = _rule.Every(60 * SECOND)
JOB = NewJob("some-id", "tasks:clean", "mail", "[[1],{}]", by="{}", parent="p", at=5)


def said(rule: _rule.Rule | None = MINUTE, job: NewJob = JOB, **how: Any) -> Spec:
    return spec(rule, job, **how)


def record(what: Spec, watermark: int = T0, **more: Any) -> ScheduleRecord:
    return ScheduleRecord(str(uuid.UUID(int=7)), "nightly", encode(what), created_at=T0, watermark=watermark, **more)


# -- text -------------------------------------------------------------------------------------------------------------
def test_what_belongs_to_one_job_is_no_part_of_the_work() -> None:
    assert said().work == {"task": "tasks:clean", "queue": "mail", "payload": "[[1],{}]"}


@pytest.mark.parametrize("rule", [MINUTE, _rule.cron("30 2 * * *", "Europe/Berlin"), None, _rule.every("1500ms")])
def test_a_spec_comes_back_from_its_text(rule: _rule.Rule | None) -> None:
    job = JOB._replace(priority=3, tags='["x"]', holds=(("s", "b"), ("x", "a")), crash_fails=True, delay=2.5)
    what = said(rule, job, missed="all", overlap="queue", jitter="90s", place="tasks.py:7")
    back = decode(encode(what))
    assert encode(back) == encode(what)
    assert (back.missed, back.overlap, back.jitter, back.place) == ("all", "queue", 90 * SECOND, "tasks.py:7")
    assert (back.task, back.queue, back.when) == ("tasks:clean", "mail", "off" if rule is None else str(rule))
    made = _schedule.plain_job(back, "id")
    assert made == job._replace(id="id", at=None, by=None, parent=None)


def test_the_text_does_not_hang_on_the_order_of_words() -> None:
    text = encode(said(jitter=1))
    assert encode(decode(json.dumps(dict(reversed(json.loads(text).items()))))) == text


def test_the_same_times() -> None:
    plain = encode(said())
    assert _schedule.same_time(plain, encode(said(job=JOB._replace(queue="other"), missed="all")))
    assert not _schedule.same_time(plain, encode(said(None)))
    berlin, london = (encode(said(_rule.cron("@daily", name))) for name in ("Europe/Berlin", "Europe/London"))
    assert not _schedule.same_time(berlin, london)


@pytest.mark.parametrize("wrong", [{"missed": "two"}, {"overlap": ""}, {"jitter": -1}, {"jitter": "soon"}])
def test_what_it_cannot_say(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSchedule):
        said(**wrong)


@pytest.mark.parametrize(
    "interval, words", [(30, "every 30 s"), (1.5, "every 1.5 s"), ("5m", "every 5 m"), ("1h30m", "every 1 h 30 m")]
)
def test_when_in_words(interval: Any, words: str) -> None:
    assert said(_rule.every(interval)).when == words


# -- due --------------------------------------------------------------------------------------------------------------
def test_nothing_is_due_before_the_next_tick() -> None:
    assert firing(record(said()), T0 + 60 * SECOND - 1) is None
    assert next_tick(record(said())) == T0 + 60 * SECOND


@pytest.mark.parametrize("asleep", [{"paused_at": T0}, {"retired_at": T0}])
def test_a_schedule_that_sleeps_is_never_due(asleep: dict[str, Any]) -> None:
    schedule = record(said(), **asleep)
    assert firing(schedule, T0 + 3600 * SECOND) is None
    assert next_tick(schedule) is None


def test_one_that_is_off_is_never_due() -> None:
    assert firing(record(said(None)), T0 + 3600 * SECOND) is None
    assert next_tick(record(said(None))) is None


def test_a_tick_makes_a_job_with_an_id_of_its_own() -> None:
    schedule = record(said())
    todo = firing(schedule, T0 + 61 * SECOND, '{"by":1}')
    assert todo is not None
    assert (todo.watermark, todo.outcome, todo.missed) == (T0 + 60 * SECOND, "fired", 0)
    assert todo.job is not None
    assert todo.job.id == str(uuid.uuid5(uuid.UUID(schedule.id), str(T0 + 60 * SECOND)))
    assert (todo.job.at, todo.job.by, todo.job.parent) == (T0 + 60 * SECOND, '{"by":1}', None)


@given(st.integers(0, 40), st.integers(0, 59))
def test_one_job_for_all_that_was_missed(minutes: int, seconds: int) -> None:
    todo = firing(record(said()), T0 + (60 * minutes + seconds) * SECOND)
    if minutes == 0:
        assert todo is None
        return
    assert todo is not None
    assert (todo.watermark, todo.outcome, todo.missed) == (T0 + 60 * minutes * SECOND, "fired", minutes - 1)


@given(st.integers(1, 40))
def test_one_job_for_each_that_was_missed(minutes: int) -> None:
    schedule, made = record(said(missed="all")), []
    while (todo := firing(schedule, T0 + 60 * minutes * SECOND)) is not None:
        assert todo.job is not None
        made.append(todo.job.id)
        schedule = schedule._replace(watermark=todo.watermark)
    assert made == [tick_id(schedule.id, T0 + 60 * n * SECOND) for n in range(1, minutes + 1)]


def test_of_very_many_that_were_missed_only_the_newest_make_jobs() -> None:
    now = T0 + 60 * SECOND * 5000
    first = firing(record(said(missed="all")), now)
    assert first is not None
    assert (first.job, first.outcome, first.missed) == (None, "missed", 5000 - MOST_MISSED)
    schedule, made = record(said(missed="all"), first.watermark), 0
    while (todo := firing(schedule, now)) is not None:
        schedule, made = schedule._replace(watermark=todo.watermark), made + 1
    assert made == MOST_MISSED


def test_late_ticks_may_be_left_out() -> None:
    hourly = record(said(_rule.every("1h"), missed="skip"))
    on_time = firing(hourly, T0 + 3600 * SECOND + 59 * SECOND)
    late = firing(hourly, T0 + 3600 * SECOND + 61 * SECOND)
    assert on_time is not None
    assert on_time.job is not None
    assert late is not None
    assert (late.job, late.outcome, late.missed, late.watermark) == (None, "missed", 1, T0 + 3600 * SECOND)
    three = firing(hourly, T0 + 3 * 3600 * SECOND + 5 * SECOND)
    assert three is not None
    assert (three.job is not None, three.missed) == (True, 2)


# -- the job ----------------------------------------------------------------------------------------------------------
def test_by_default_no_job_is_made_beside_another() -> None:
    schedule = record(said())
    job = job_of(schedule, T0)
    assert (job.unique, job.unique_until, job.on_conflict, job.holds) == (
        f"//schedule:{schedule.id}",
        "finished",
        "return",
        (),
    )


def test_a_key_of_the_work_s_own_stands_in_for_it() -> None:
    job = job_of(record(said(job=JOB._replace(unique="own", unique_until="started"))), T0)
    assert (job.unique, job.unique_until) == ("own", "started")


def test_jobs_may_wait_for_each_other() -> None:
    schedule = record(said(job=JOB._replace(holds=(("s", "db"),)), overlap="queue"))
    job = job_of(schedule, T0)
    assert (job.unique, job.holds) == (None, (("s", "db"), ("x", f"//schedule:{schedule.id}")))


def test_a_run_may_be_over_with_its_flow() -> None:
    schedule = record(said(span="flow"))
    job = job_of(schedule, T0)
    key = f"//schedule:{schedule.id}"
    assert (job.unique, job.unique_until, job.on_conflict, job.flow) == (key, "flow", "return", job.id)
    own = job_of(record(said(job=JOB._replace(unique="own"), span="flow")), T0)
    assert (own.unique, own.unique_until, own.flow) == ("own", "flow", own.id)
    assert decode(encode(said(span="flow"))).span == "flow"


def test_a_run_may_wait_for_the_flow_of_the_one_before() -> None:
    schedule = record(said(overlap="queue", span="flow"))
    job = job_of(schedule, T0)
    assert (job.unique, job.holds, job.flow) == (None, (("x", f"//schedule:{schedule.id}"),), job.id)
    assert _schedule.waits_for_flows(schedule)
    assert not _schedule.waits_for_flows(record(said(span="flow")))
    assert not _schedule.waits_for_flows(record(said(overlap="queue")))
    runs = [RunRecord(3, 3, "skipped"), RunRecord(2, 2, "fired", "two"), RunRecord(1, 1, "fired", "one")]
    behind = _schedule.behind(job, runs)
    assert (behind.after_flow, behind.after_failed) == ("two", True)
    assert _schedule.behind(job, runs[:1]) == job


def test_work_whose_key_spans_a_flow_opens_one_each_time() -> None:
    schedule = record(said(job=JOB._replace(unique="own", unique_until="flow")))
    first, second = job_of(schedule, T0), job_of(schedule, T0 + SECOND)
    assert (first.flow, second.flow) == (first.id, second.id)
    assert _schedule.plain_job(decode(schedule.spec), "now").flow == "now"


@pytest.mark.parametrize(
    "how, job, message",
    [
        ({"span": "all"}, JOB, 'span= must be "job" or "flow", not \'all\''),
        ({"span": "flow", "overlap": "allow"}, JOB, "nobody asks whether a run is over"),
        ({"span": "flow"}, JOB._replace(flow="mine"), "each job opens a flow of its own"),
        ({"span": "flow"}, JOB._replace(unique="own", unique_until=60.0), "both say until when the key is held"),
    ],
)
def test_what_a_span_cannot_go_with(how: dict[str, Any], job: NewJob, message: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        said(job=job, **how)
    assert message in str(caught.value)


def test_jobs_may_run_beside_each_other() -> None:
    job = job_of(record(said(overlap="allow")), T0)
    assert (job.unique, job.holds) == (None, ())


def test_jitter_and_delay_put_the_start_off() -> None:
    schedule = record(said(job=JOB._replace(delay=5.0), jitter=30))
    starts = {job_of(schedule, T0 + n * 60 * SECOND).at - n * 60 * SECOND for n in range(50)}  # type: ignore[operator]
    assert min(starts) >= T0 + 5 * SECOND
    assert max(starts) <= T0 + 35 * SECOND
    assert len(starts) > 40
    assert job_of(schedule, T0).at == start_of(schedule, T0)
    assert job_of(schedule, T0).delay == 0
