"""E73, E74, E76 to E80, E82: what jobs return, raise, print and change."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from packhorse._worker.crew import resident
from tests.worker import tasks
from tests.worker.site import Site, eventually


def error_of(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.error)
    return found


@pytest.mark.parametrize("name", ["returns_object", "returns_nan", "returns_much", "returns_itself"])
def test_a_result_that_cannot_be_stored_is_dropped_and_the_work_not_done_again(shared: Site, name: str) -> None:
    """E73, E74: succeeded, the value absent, and why."""
    job = shared.run(getattr(tasks, name), retry=3)
    assert (job.state, job.result) == ("succeeded", None)
    assert "cannot be stored and was dropped" in (job.reason or "")
    assert "E122" in (job.reason or "")
    assert len(shared.attempts(job)) == 1


def test_an_exception_whose_text_raises(shared: Site) -> None:
    """E79"""
    job = shared.run(tasks.hostile)
    assert (job.state, error_of(job)["type"]) == ("failed", "Hostile")
    assert "could not be had: RuntimeError" in error_of(job)["message"]


def test_an_exception_with_a_huge_text(shared: Site) -> None:
    """E79"""
    job = shared.run(tasks.huge_message)
    assert (job.state, error_of(job)["type"]) == ("failed", "ValueError")
    assert len(job.error or "") < 200_000


def test_a_recursion_without_end(shared: Site) -> None:
    """E79"""
    job = shared.run(tasks.deep)
    assert (job.state, error_of(job)["type"]) == ("failed", "RecursionError")


def test_a_group_of_exceptions(shared: Site) -> None:
    """E79"""
    job = shared.run(tasks.several)
    assert (job.state, error_of(job)["type"]) == ("failed", "ExceptionGroup")
    assert "KeyError: 'two'" in error_of(job)["traceback"]


def test_an_exception_keeps_its_cause(shared: Site) -> None:
    error = error_of(shared.run(tasks.chained))
    assert (error["type"], error["cause"]["type"]) == ("RuntimeError", "KeyError")


def test_a_hundred_megabytes_of_output(shared: Site) -> None:
    """E80: the newest 64 KiB are kept, the rest is counted, and nothing else notices."""
    job = shared.run(tasks.prints_much, 100)
    assert job.state == "succeeded"
    ((_, text, dropped),) = shared.store.log(job.id)
    assert len(text) <= 64 * 1024
    assert text.endswith("y\nthe end\n")
    assert dropped + len(text) == 100 * 1024 * 1024 + len("the end\n")
    (worker,) = shared.workers
    assert len(worker.output) < 2_000_000
    assert resident(worker.pid) < 150 << 20


def test_bytes_on_the_binary_stream(shared: Site) -> None:
    """E80"""
    job = shared.run(tasks.writes_bytes)
    assert job.state == "succeeded"
    assert shared.log(job) == "\\xff\x00binary\n"


def test_all_streams_are_kept_in_order(shared: Site) -> None:
    job = shared.run(tasks.logs_and_prints)
    lines = shared.log(job).splitlines()
    assert lines[:2] == ["printed", "to stderr"]
    assert (
        lines[2].endswith("warning packhorse.task.tests.worker.tasks.logs_and_prints: logged") or "logged" in lines[2]
    )


def test_closing_stdout_hurts_nobody(shared: Site) -> None:
    """E80"""
    job = shared.run(tasks.closes_stdout)
    assert (job.state, job.result) == ("succeeded", '"still here"')
    texts = [shared.run(tasks.prints, f"after {n}") for n in range(4)]
    assert [shared.log(job) for job in texts] == [f"after {n}\n" for n in range(4)]


@pytest.mark.parametrize("text", ["\x1b[31mred", "nul \0", "\ud800 lone", "\u2028 line", "ünïcödé 🐴"])
def test_any_text_can_be_printed_and_returned(shared: Site, text: str) -> None:
    """E75, E80"""
    printing = shared.run(tasks.prints_escaped, json.dumps(text))
    assert printing.state == "succeeded"
    assert printing.reason is None


def test_a_terminal_that_is_gone_stops_nothing(site: Site) -> None:
    """E80: whoever read the worker's output has gone; it works on."""
    import subprocess
    import sys

    reading, writing = os.pipe()
    command = [sys.executable, "-m", "packhorse", "worker", "tests.worker.tasks", "--store", site.url]
    process = subprocess.Popen(command, cwd=site.directory, env=site.environ(), stdout=writing, stderr=writing)
    try:
        os.close(writing)
        os.close(reading)
        jobs = [site.enqueue(tasks.logs_and_prints) for _ in range(5)]
        assert {site.end(job).state for job in jobs} == {"succeeded"}
        assert "printed" in site.log(jobs[-1])
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_what_a_job_changes_in_its_process_is_put_back(site: Site) -> None:
    """E82: working directory, umask, environment, module path, signal handlers; the warning names the task."""
    worker = site.worker().ready()
    before = site.run(tasks.looks_around).result
    site.run(tasks.changes_everything, "/")
    after = site.run(tasks.looks_around).result
    assert json.loads(after or "") == json.loads(before or "")
    assert "task tests.worker.tasks:changes_everything left its process changed" in worker.output
    for what in ("working directory", "umask", "environment", "sys.path", "handler of SIGALRM"):
        assert what in worker.output


def test_an_unknown_task_waits_for_a_worker_that_knows_it(site: Site) -> None:
    """E76: kept, said, and run by itself; nobody behind it waits."""
    first = site.worker().ready()
    name = site.module("newer", "def task():\n    return 'known'\n")
    job = site.queue.enqueue("newer:task")
    assert site.state(job, "blocked") == "blocked"
    assert "no live worker knows the task 'newer:task'" in (site.job(job).reason or "")
    assert "E111" in first.until("parked job")
    assert site.run(tasks.add, 1, 2).result == "3"
    site.worker(app=name).ready()
    record = site.end(job, 15.0) if site.state(job, "queued", "running", "succeeded") else None
    assert record is not None
    assert record.result == '"known"'
    assert (record.failures, record.crashes, record.losses) == (0, 0, 0)


def test_a_renamed_task_still_finds_its_jobs(shared: Site) -> None:
    """E76: by its alias."""
    job = shared.queue.enqueue("tests.worker.tasks:old_name")
    assert shared.end(job).result == '"found"'


def test_arguments_of_an_older_signature_fail_at_once(site: Site) -> None:
    """E77: the difference is told, and 25 retries would not help."""
    name = site.module("older", "def task(a, b):\n    return a\n")
    site.directory.joinpath("newer").mkdir()
    job = site.queue.using(retry=25).enqueue(f"{name}:task", 1, b=2)
    site.module("older", "def task(a, c):\n    return a\n")
    site.worker(app=name).ready()
    record = site.end(job)
    error = error_of(record)
    assert (record.state, record.failures) == ("failed", 1)
    assert error["type"] == "BadArguments"
    assert "b" in error["message"]
    assert "c" in error["message"]


def test_a_child_of_a_job_knows_its_parent(shared: Site) -> None:
    job = shared.run(tasks.enqueues)
    child = shared.end(str(job.result).strip('"'))
    assert (child.parent, child.queue, child.result) == (job.id, "work", "3")


def test_news_of_a_running_job_can_be_read_while_it_runs(shared: Site) -> None:
    job = shared.enqueue(tasks.tells_progress, "news")
    shared.marked("news-runs")
    record = eventually(lambda: (r := shared.job(job)).progress and r.meta and shared.log(r) and r, "its news")
    assert json.loads(record.progress or "")["a"] == {"done": 1.0, "total": 4.0, "note": "first"}
    assert json.loads(record.meta or "")["checkpoint"] == 7
    assert record.started_at is not None
    assert shared.log(record) == "on the way\n"
    shared.let("news-may-end")
    assert shared.end(job).state == "succeeded"
