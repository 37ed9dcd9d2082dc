"""report: news of running attempts, fenced like a verdict."""

from __future__ import annotations

import json

from packhorse._outcome import lost, released, succeeded
from packhorse._record import Report
from packhorse._store import Store
from packhorse._stores.memory import SettableClock

from .making import SECOND, T0, join, running, settle, take_one, the


def test_each_part_is_recorded_by_itself(store: Store, clock: SettableClock) -> None:
    job = running(store, meta='{"a": 1, "b": 2}')
    clock.advance(10)
    store.report("w", [Report(job.id, job.token, started=1.5)])
    assert the(store, job.id).started_at == T0 + 8_500_000
    store.report("w", [Report(job.id, job.token, progress='{"": {"done": 1}}')])
    store.report("w", [Report(job.id, job.token, log="half\n", log_dropped=3)])
    store.report("w", [Report(job.id, job.token, meta='{"b": null, "c": "\\u00e9"}')])
    record = the(store, job.id)
    assert (record.started_at, record.progress) == (T0 + 8_500_000, '{"": {"done": 1}}')
    assert store.log(job.id) == [(job.token, "half\n", 3)]
    assert json.loads(record.meta or "") == {"a": 1, "b": None, "c": "é"}
    assert record.state == "running"


def test_meta_of_a_job_that_had_none(store: Store) -> None:
    job = running(store)
    store.report("w", [Report(job.id, job.token, meta='{"page": {"n": 12}}')])
    assert json.loads(the(store, job.id).meta or "") == {"page": {"n": 12}}


def test_meta_is_merged_key_by_key_not_deeper(store: Store) -> None:
    job = running(store, meta='{"page": {"n": 12, "m": 1}}')
    store.report("w", [Report(job.id, job.token, meta='{"page": {"n": 13}}')])
    assert json.loads(the(store, job.id).meta or "") == {"page": {"n": 13}}


def test_meta_survives_the_attempt(store: Store) -> None:
    """It is a checkpoint."""
    worker = join(store)
    job = running(store, worker)
    store.report(worker, [Report(job.id, job.token, meta='{"page": 12}')])
    settle(store, released(job))
    assert json.loads(take_one(store, worker).meta or "") == {"page": 12}


def test_a_log_is_replaced_whole_and_the_settle_has_the_last_word(store: Store) -> None:
    job = running(store)
    store.report("w", [Report(job.id, job.token, log="one\n")])
    store.report("w", [Report(job.id, job.token, log="one\ntwo\n", log_dropped=1)])
    assert store.log(job.id) == [(job.token, "one\ntwo\n", 1)]
    settle(store, succeeded(job, "1")._replace(log="two\nthree\n", log_dropped=2))
    assert store.log(job.id) == [(job.token, "two\nthree\n", 2)]


def test_a_settle_without_a_log_keeps_what_was_reported(store: Store) -> None:
    job = running(store)
    store.report("w", [Report(job.id, job.token, log="one\n")])
    settle(store, succeeded(job, "1"))
    assert store.log(job.id) == [(job.token, "one\n", 0)]


def test_a_report_whose_fence_does_not_hold_is_ignored(store: Store) -> None:
    worker = join(store)
    job, calm = running(store, worker), running(store, worker)
    settle(store, released(job))
    again = take_one(store, worker)
    before = the(store, job.id)
    news = Report(job.id, job.token, started=9, progress="{}", log="x", meta='{"x": 1}')
    store.report(worker, [news, news._replace(job="unknown"), Report(calm.id, calm.token, progress='{"a": {}}')])
    assert the(store, job.id) == before
    assert store.log(job.id) == []
    assert the(store, calm.id).progress == '{"a": {}}'
    assert again.token != job.token


def test_an_ended_job_takes_no_more_news(store: Store) -> None:
    job = running(store)
    settle(store, succeeded(job, "1"))
    before = the(store, job.id)
    store.report("w", [Report(job.id, job.token, progress="{}", log="late")])
    assert the(store, job.id) == before
    assert store.log(job.id) == []


def test_no_news(store: Store) -> None:
    job = running(store)
    before = the(store, job.id)
    store.report("w", [])
    store.report("w", [Report(job.id, job.token)])
    assert the(store, job.id) == before


def test_a_start_survives_to_the_settle(store: Store, clock: SettableClock) -> None:
    job = running(store)
    clock.advance(2)
    store.report("w", [Report(job.id, job.token, started=1.0)])
    clock.advance(5)
    settle(store, succeeded(job, "1"))
    assert the(store, job.id).started_at == T0 + SECOND


def test_a_claim_clears_the_start_of_the_run_before(store: Store) -> None:
    worker = join(store)
    job = running(store, worker)
    settle(store, lost(job, "x", started=True)._replace(started=1.0))
    take_one(store, worker)
    assert the(store, job.id).started_at is None
