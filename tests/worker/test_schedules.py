"""Real workers write what their code declares, and fire what is due, each tick once."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from packhorse import _owning, _schedule
from packhorse._schedule_record import RunRecord, ScheduleRecord
from packhorse._store import JobFilter

from .site import Site, eventually

TICKING = """
from packhorse import every
def tick(): pass
every({interval}, tick, name="ticking")
"""


def schedules(site: Site) -> dict[str, ScheduleRecord]:
    return {schedule.name: schedule for schedule in site.store.schedules().schedules or ()}


def runs(site: Site, name: str) -> list[RunRecord]:
    found = schedules(site).get(name)
    return site.store.runs(found.id, 100) if found else []


def says(site: Site, name: str) -> Any:
    return json.loads(schedules(site)[name].spec)


def start(site: Site, app: str, **environ: str) -> None:
    """Start a worker and stop it once it serves."""
    worker = site.worker(app=app, **environ).ready()
    worker.stop()


def test_what_the_code_declares_is_written_and_fired(site: Site) -> None:
    site.module("ticks", TICKING.format(interval=1))
    site.worker(app="ticks").ready()
    eventually(lambda: len(runs(site, "ticking")) >= 3, "three ticks")
    first = runs(site, "ticking")[-1]
    schedule = schedules(site)["ticking"]
    assert (schedule.app, first.outcome) == ("ticks", "fired")
    assert first.job == _schedule.tick_id(schedule.id, first.tick)
    job = site.end(first.job)
    assert (job.state, job.task) == ("succeeded", "ticks:tick")
    about = json.loads(job.by or "")
    assert (about["schedule"], about["program"]) == ("ticking", "packhorse worker")
    assert 0 <= first.at - first.tick < 5_000_000


def test_several_workers_make_one_job_a_tick(site: Site) -> None:
    site.module("ticks", TICKING.format(interval=1))
    for _ in range(3):
        site.worker(app="ticks").ready()
    eventually(lambda: len(runs(site, "ticking")) >= 4, "four ticks")
    done = runs(site, "ticking")
    jobs = {job.id for job in site.store.find(JobFilter(task="ticks:tick"), 100).jobs}
    assert {run.job for run in done if run.outcome == "fired"} <= jobs
    assert len({run.tick for run in done}) == len(done)
    assert len(schedules(site)) == 1


def test_a_deploy_updates_and_an_old_worker_never_writes_back(site: Site) -> None:
    site.module("ticks", TICKING.format(interval=3600) + "every(60, tick, name='gone')\n")
    start(site, "ticks", PACKHORSE_BUILD="1")
    first = schedules(site)
    site.module("ticks", TICKING.format(interval=7200))
    start(site, "ticks", PACKHORSE_BUILD="2")
    assert says(site, "ticking")["every"] == 7200
    assert schedules(site)["ticking"].id == first["ticking"].id
    assert schedules(site)["gone"].retired_at is not None
    site.module("ticks", TICKING.format(interval=3600) + "every(60, tick, name='gone')\n")
    old = site.worker(app="ticks", PACKHORSE_BUILD="1").ready()
    old.until("packhorse scheduled reschedule")
    old.stop()
    assert says(site, "ticking")["every"] == 7200
    assert schedules(site)["gone"].retired_at is not None


def test_schedules_of_the_config_file(site: Site) -> None:
    site.module("plain", "def hello(name): return f'hello {name}'\n")
    (site.directory / "packhorse.toml").write_text(
        '[schedules.greeting]\ntask = "plain:hello"\nevery = "1s"\nargs = ["ada"]\nqueue = "mail"\n'
    )
    site.worker(app="plain").ready()
    eventually(lambda: runs(site, "greeting"), "a tick")
    job = site.end(runs(site, "greeting")[-1].job or "")
    assert (job.queue, job.result) == ("mail", '"hello ada"')
    assert schedules(site)["greeting"].app == "packhorse.toml"


def test_a_package_s_schedules_are_found_though_nothing_was_imported(site: Site) -> None:
    package = site.directory / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nightly.py").write_text("from packhorse import cron\ndef tidy(): pass\ncron('@daily', tidy)\n")
    start(site, "shop")
    assert set(schedules(site)) == {"shop.nightly:tidy"}


def test_a_declaration_that_is_wrong_stops_the_worker(site: Site) -> None:
    site.module("wrong", TICKING.format(interval=5) + "every(7, tick, name='ticking')\n")
    worker = site.worker(app="wrong")
    assert worker.ended() == 78
    assert "two schedules are called 'ticking'" in worker.output
    assert "wrong.py:4" in worker.output
    assert "wrong.py:5" in worker.output
    assert schedules(site) == {}


def test_one_that_cannot_be_fired_here_is_told_once_and_holds_up_no_other(site: Site) -> None:
    site.module("ticks", TICKING.format(interval=1))
    _owning.apply(
        site.store, lambda book: _owning.save(book, "odd", '{"cron":"* * * * * *","timezone":"Moon/X","job":{}}', "ada")
    )
    worker = site.worker(app="ticks").ready()
    eventually(lambda: len(runs(site, "ticking")) >= 3, "three ticks")
    assert worker.output.count("schedule 'odd' cannot be fired by this worker") == 1
    assert runs(site, "odd") == []


def test_pause_and_resume_under_a_worker(site: Site) -> None:
    site.module("ticks", TICKING.format(interval=1))
    site.worker(app="ticks").ready()
    eventually(lambda: runs(site, "ticking"), "a tick")
    _owning.apply(site.store, lambda book: _owning.pause(book, "ticking", "ada", ""))
    paused = len(runs(site, "ticking"))
    # A worker that looks once a second has seen it when it has fired another one that is newer.
    _owning.apply(site.store, lambda book: _owning.save(book, "other", _like(site, "ticking"), "ada"))
    eventually(lambda: len(runs(site, "other")) >= 2, "two ticks of the other")
    assert len(runs(site, "ticking")) == paused
    _owning.apply(site.store, lambda book: _owning.resume(book, "ticking"))
    eventually(lambda: len(runs(site, "ticking")) > paused, "another tick")


def _like(site: Site, name: str) -> str:
    return schedules(site)[name].spec


def test_jobs_that_wait_for_each_other_run_one_after_the_other(site: Site) -> None:
    site.module(
        "slow",
        "import time\nfrom packhorse import every\n"
        "def tick(): time.sleep(1.6)\n"
        "every(1, tick, name='ticking', overlap='queue')\n",
    )
    site.worker("--processes", "3", app="slow").ready()
    eventually(lambda: len(runs(site, "ticking")) >= 5, "five ticks")
    first = [run.job or "" for run in runs(site, "ticking")[:1:-1]][:3]
    done = [site.end(job, 30) if job else None for job in first]
    times = [(job.started_at or 0, job.finished_at or 0) for job in done if job is not None]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(times)))
    assert [run.outcome for run in runs(site, "ticking")] == ["fired"] * len(runs(site, "ticking"))


def test_a_tick_makes_no_job_while_the_last_one_runs(site: Site) -> None:
    site.module(
        "slow",
        "import time\nfrom packhorse import every\ndef tick(): time.sleep(2.5)\nevery(1, tick, name='ticking')\n",
    )
    site.worker("--processes", "2", app="slow").ready()
    eventually(lambda: len(runs(site, "ticking")) >= 5, "five ticks")
    done = runs(site, "ticking")[::-1]
    assert {run.outcome for run in done} == {"fired", "overlap"}
    made = [run.job for run in done if run.outcome == "fired"]
    assert len(set(made)) == len(made)
    for run, before in zip(done[1:], done, strict=False):
        assert run.outcome == "fired" or run.job == before.job


FLOWING = """
import time
from packhorse import Queue, every
jobs = Queue()
def part(): time.sleep(1.2)
def tick():
    jobs.enqueue(part)
    jobs.enqueue(part)
every(1, tick, name="flowing", overlap="{overlap}", span="flow")
"""


def _flows_apart(site: Site) -> None:
    """Check that every job of a run ended before the first one of the next began."""
    jobs = site.store.find(JobFilter(), 1000).jobs
    flows: dict[str, list[Any]] = {}
    for job in jobs:
        flows.setdefault(job.flow or "", []).append(job)
    whole = [flow for flow in flows.values() if len(flow) == 3 and all(job.finished_at for job in flow)]
    spans = sorted((min(job.started_at for job in flow), max(job.finished_at for job in flow)) for flow in whole)
    assert len(spans) >= 2
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_is_over_when_its_flow_is(site: Site, overlap: str) -> None:
    site.module("flowing", FLOWING.format(overlap=overlap))
    worker = site.worker("--processes", "3", app="flowing").ready()
    site.worker("--processes", "3", app="flowing", name="second").ready()

    def done() -> bool:
        flows = site.store.flows()
        return sum(flow.finished_at is not None and flow.counts.get("succeeded") == 3 for flow in flows) >= 3

    eventually(done, "three whole flows", 60)
    worker.stop()
    _flows_apart(site)
