"""The testing kit: jobs that run when the test says so, honestly."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest

from packhorse import App, Draft, Interrupted, Queue, current_job, task
from packhorse.errors import BadState, JobFailed, NotImportable, NotSerialisable, PackhorseError
from packhorse.testing import JobsMixin, Kit, memory

mail = Queue("mail")
ran: list[Any] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    ran.clear()


class Colour(Enum):
    RED = "red"


@dataclass
class Money:
    cents: int


class Coins:
    """A class that only an App's types make storable."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coins) and other.cents == self.cents

    __hash__ = None  # type: ignore[assignment]


def note(value: Any, more: int = 1) -> Any:
    ran.append(value)
    return value


def paint(colour: Colour = Colour.RED) -> str:
    return colour.value


def pay(amount: Money) -> None:
    ran.append(amount)


async def anote(value: int) -> int:
    await asyncio.sleep(0)
    ran.append(value)
    return value


def fan_out(depth: int) -> None:
    ran.append(depth)
    if depth:
        mail.enqueue_many(mail.draft(fan_out, depth - 1) for _ in range(2))


def fail() -> None:
    raise KeyError("updated")


@task(retry=1)
def fail_twice() -> None:
    raise KeyError("updated")


def stop() -> None:
    raise Interrupted("timeout")


def keep() -> str:
    current_job().update_meta(page=12)
    current_job().progress(0.5)
    return current_job().id


def test_run_runs_everything_and_returns_the_jobs() -> None:
    with memory() as store:
        first, second = mail.enqueue(note, 1), Queue("other").enqueue(note, 2)
        later = mail.using(delay="1h").enqueue(note, 3)
        assert set(store.run()) == {first, second}
        assert later.refresh().state == "scheduled"
        store.travel("1h")
        assert store.run() == [later]
        assert sorted(ran) == [1, 2, 3]


def test_jobs_that_jobs_enqueue_run_too() -> None:
    with memory() as store:
        mail.enqueue(fan_out, 3)
        assert len(store.run()) == 15
        assert store.jobs[-1].parent is not None


def test_run_one_takes_just_that_one() -> None:
    with memory() as store:
        first, second, third = (mail.enqueue(note, n) for n in range(3))
        assert store.run(second).result() == 1
        assert ran == [1]
        assert store.run() == [first, third]
        assert first.attempts()[0].number == 1
        with pytest.raises(BadState, match="is succeeded"):
            store.run(second)


def test_run_one_does_not_wait_for_its_time() -> None:
    with memory() as store:
        assert store.run(mail.using(delay="1h").enqueue(note, 1)).state == "succeeded"
        mail.pause()
        with pytest.raises(BadState, match="paused"):
            store.run(mail.enqueue(note, 1))


def test_priority_decides_the_order() -> None:
    with memory() as store:
        low, high = mail.using(priority=-5).enqueue(note, "low"), mail.using(priority=5).enqueue(note, "high")
        assert store.run() == [high, low]


def test_a_failure_raises_its_own_exception() -> None:
    with memory() as store:
        job = mail.enqueue(fail)
        mail.enqueue(note, 1)
        with pytest.raises(KeyError, match="updated") as caught:
            store.run()
        assert job.id in caught.value.__notes__[0]
        assert job.refresh().state == "failed"
        assert len(store.run()) == 1


def test_a_failure_that_will_be_retried_is_none_yet() -> None:
    with memory() as store:
        job = mail.enqueue(fail_twice)
        store.run()
        assert job.refresh().state == "retrying"
        store.travel("1m")
        with pytest.raises(KeyError):
            store.run()


def test_raises_false_leaves_it_to_the_test() -> None:
    with memory(raises=False) as store:
        job = mail.enqueue(fail)
        store.run()
        with pytest.raises(JobFailed):
            job.result()


def test_an_interruption_can_be_tried() -> None:
    with memory() as store:
        mail.enqueue(stop)
        with pytest.raises(Interrupted):
            store.run()


def test_an_unknown_task_is_not_passed_over() -> None:
    with memory() as store:
        job = mail.enqueue("no.such.module:task")
        with pytest.raises(NotImportable, match="no.such.module:task"):
            store.run()
        assert job.refresh().state == "blocked"


def test_a_tester_s_interrupt_is_passed_on() -> None:
    with memory() as store:
        mail.enqueue(interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.run()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_arguments_and_results_go_through_the_codec() -> None:
    with memory() as store:
        value = {"list": [1, (2, 3)]}
        job = mail.enqueue(note, value)
        store.run()
        assert ran == [value]
        assert ran[0] is not value
        assert job.result() is not ran[0]
        mail.enqueue(pay, Money(5))
        store.run()
        assert ran[1] == Money(5)
        with pytest.raises(NotSerialisable):
            mail.enqueue(note, object())


def test_coroutine_functions_run_inside_and_outside_a_loop() -> None:
    with memory() as store:
        mail.enqueue(anote, 1)
        store.run()

        async def main() -> None:
            await mail.aenqueue(anote, 2)
            await mail.aenqueue(note, 3)
            store.run()

        asyncio.run(main())
        assert sorted(ran) == [1, 2, 3]


def test_meta_and_progress_are_stored() -> None:
    with memory() as store:
        job = mail.enqueue(keep)
        store.run()
        assert job.result() == job.id
        assert job.meta == {"page": 12}
        assert job.progress[""]["done"] == 0.5


# -- eager ------------------------------------------------------------------------------------------------------------
def test_eager_runs_at_enqueue() -> None:
    with memory(eager=True) as store:
        job = mail.enqueue(note, 1)
        assert (job.state, job.result(), ran) == ("succeeded", 1, [1])
        mail.enqueue(fan_out, 2)
        assert len(store.jobs) == 8
        assert {each.state for each in store.jobs} == {"succeeded"}
        assert mail.using(delay="1h").enqueue(note, 2).state == "scheduled"
        with pytest.raises(KeyError):
            mail.enqueue(fail)

        async def main() -> int:
            return await (await mail.aenqueue(anote, 5)).aresult()

        assert asyncio.run(main()) == 5


# -- time -------------------------------------------------------------------------------------------------------------
def test_travel_goes_forward_only() -> None:
    with memory() as store:
        before = store.now
        store.travel("1h")
        assert store.now - before >= timedelta(hours=1)
        store.travel(datetime.now(UTC) + timedelta(days=1))
        assert store.now - before >= timedelta(hours=24)
        with pytest.raises(ValueError, match="forward"):
            store.travel(datetime(2020, 1, 1, tzinfo=UTC))


def test_expired_jobs_end_cancelled() -> None:
    with memory() as store:
        job = mail.using(expires="1m").enqueue(note, 1)
        store.travel("2m")
        assert store.run() == []
        assert (job.refresh().state, job.reason) == ("cancelled", "expired")


# -- assertions -------------------------------------------------------------------------------------------------------
def test_assert_enqueued() -> None:
    with memory() as store:
        job = mail.enqueue(note, 5, more=2)
        assert store.assert_enqueued(note) == job
        assert store.assert_enqueued(note, value=5, more=2, queue="mail") == job
        assert store.assert_enqueued(job.task, 5, more=2) == job
        with pytest.raises(
            AssertionError, match=r"note\(6\) was enqueued; there are:\n  .*note\(5, more=2\) in 'mail'"
        ):
            store.assert_enqueued(note, 6)
        with pytest.raises(AssertionError, match="in queue 'other'"):
            store.assert_enqueued(note, queue="other")
        painted = mail.enqueue(paint)
        assert store.assert_enqueued(paint, Colour.RED) == painted
        paid = mail.enqueue(pay, Money(3))
        assert store.assert_enqueued(pay, Money(3)) == paid
        with pytest.raises(AssertionError):
            store.assert_enqueued(pay, Money(4))


def test_assert_enqueued_when_nothing_was() -> None:
    with memory() as store, pytest.raises(AssertionError, match="none"):
        store.assert_enqueued(note)


# -- the app ----------------------------------------------------------------------------------------------------------
def test_the_app_s_types_middleware_and_defaults_hold() -> None:
    seen: list[str] = []

    class Hooks:
        def child_started(self, worker: Any) -> None:
            seen.append(f"started {worker.name}")

        def child_stopping(self, worker: Any) -> None:
            seen.append("stopping")

        @contextmanager
        def around_enqueue(self, draft: Draft[Any]) -> Iterator[None]:
            seen.append("enqueue")
            yield

        @contextmanager
        def around_job(self, job: Any) -> Iterator[None]:
            seen.append("job")
            yield

        def after_job(self, job: Any, outcome: Any) -> None:
            seen.append(outcome.kind)

    app = App(middleware=[Hooks()], types={Coins: (lambda c: c.cents, Coins)}, retry=2)
    queue = Queue("coins", app=app)
    with memory(app=app, raises=False) as store:
        job = queue.enqueue(note, Coins(5))
        store.run()
        assert job.result() == Coins(5)
        assert store.assert_enqueued(note, Coins(5)) == job
        failing = queue.enqueue(fail)
        store.run()
        assert failing.refresh().state == "retrying"
    assert seen == ["enqueue", "started packhorse.testing", "job", "succeeded", "enqueue", "job", "stopping"]


def test_each_memory_is_fresh_and_gone() -> None:
    with memory() as first:
        mail.enqueue(note, 1)
        with memory() as second:
            assert second.jobs == []
        mail.enqueue(note, 2)
        assert len(first.jobs) == 2
    kit = Kit()
    with pytest.raises(RuntimeError, match="with packhorse"):
        _ = kit.run()
        _ = kit.jobs
        kit._where  # noqa: B018


def test_jobs_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packhorse._inplace._MOST", 10)
    with memory() as store:
        mail.enqueue(fan_out, 30)
        with pytest.raises(PackhorseError, match="without end|each other"):
            store.run()


# -- pytest and unittest ----------------------------------------------------------------------------------------------
class WithMixin(JobsMixin, unittest.TestCase):
    packhorse_raises = False

    def test_a_fresh_store(self) -> None:
        job = mail.enqueue(fail)
        self.jobs.run()
        self.assertEqual(job.refresh().state, "failed")
        self.assertEqual(len(self.jobs.jobs), 1)

    def test_another_fresh_store(self) -> None:
        self.assertEqual(self.jobs.jobs, [])


pytest_plugins = ["pytester"]


def test_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        helped="def add(a, b): return a + b",
        test_it="""
            import pytest, sys
            from packhorse import Queue
            from helped import add

            def test_run(jobs):
                job = Queue().enqueue(add, 1, 2)
                jobs.run()
                assert job.result() == 3

            @pytest.mark.packhorse(eager=True)
            def test_eager(jobs):
                assert Queue().enqueue(add, 1, 2).result() == 3
        """,
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=2)


def test_the_plugin_imports_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_it_is_there():
            assert "packhorse.testing" not in sys.modules
            assert "packhorse._queue" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess("-W", "error")
    result.assert_outcomes(passed=1)
