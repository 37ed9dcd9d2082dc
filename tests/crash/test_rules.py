"""Jobs that wait for others, with real workers: let go at once, never two at a time, whoever is killed or cut off."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

from packhorse._store import JobFilter
from tests.worker import tasks
from tests.worker.site import Site, Worker, eventually
from tests.worker.watch import busy, running_time

#: Everything in beats is so many times faster in the tests of a worker that is cut off.
SCALE = 10.0


def took(site: Site, **options: object) -> float:
    """Return how long an idle worker takes for a job, from the enqueue to the end."""
    before = time.monotonic()
    site.run(tasks.nothing, **options)
    return time.monotonic() - before


def test_an_idle_worker_lets_a_job_go_when_it_is_hinted(site: Site) -> None:
    """Not at its next look of a second later, as all would be without a hint; and its slot is not taken meanwhile. One hint or
    another may come to nothing on a machine that is short of time; a job without rules, taken in turn, tells how short."""
    site.worker().ready()
    took(site)
    longer = sorted(took(site, reserves="disk") - took(site) for _ in range(9))
    assert longer[2] < 0.4, longer


def test_what_waits_takes_no_slot(site: Site) -> None:
    """Two hundred wait for one that runs, and one that waits for nothing starts within a second."""
    site.worker("--processes", "2").ready()
    holder = site.enqueue(tasks.held, "holder", reserves="disk")
    site.marked("holder-runs")
    waiters = [site.enqueue(tasks.nothing, reserves="disk") for _ in range(200)]
    before = running_time()
    site.run(tasks.nothing)
    assert running_time() - before < busy(1.0)
    assert {job.state for job in site.store.get([job.id for job in waiters])} == {"blocked"}
    site.let("holder-may-end")
    assert site.end(holder).state == "succeeded"
    assert all(site.end(job, 60.0).state == "succeeded" for job in waiters)


def test_one_after_the_other_in_the_order_in_which_they_came(site: Site) -> None:
    site.worker("--processes", "2", "--threads", "2").ready()
    jobs = [site.enqueue(tasks.nothing, reserves="disk") for _ in range(20)]
    spans = [(record.started_at or 0, record.finished_at or 0) for record in map(site.end, jobs)]
    assert spans == sorted(spans)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_it_is_never_claimed_ahead_of_a_free_slot(site: Site) -> None:
    """A worker that knows its jobs to be short has many ahead of its slot, but none of these: another may be free for them."""
    site.worker().ready()
    for _ in range(60):
        site.enqueue(tasks.nothing)
    holder = site.enqueue(tasks.held, "holder")
    site.marked("holder-runs")
    job = site.enqueue(tasks.nothing, reserves="disk")
    seen: set[str] = set()
    deadline = time.monotonic() + 2.5  # it is looked for each second
    while time.monotonic() < deadline:
        seen.add(site.job(job).state)
    assert seen - {"blocked"} == {"queued"}
    site.let("holder-may-end")
    assert site.end(holder).state == "succeeded"
    assert site.end(job).state == "succeeded"
    assert site.attempts(job)[0].outcome == "succeeded", "it never went back"


def test_a_limit_and_a_rate_hold_over_all_workers(site: Site) -> None:
    site.store.set_limits({"two": "2", "slow": "10/1s"})
    for _ in range(2):
        site.worker("--threads", "3").ready()
    jobs = [site.enqueue(tasks.nap, 0.05, limit="two") for _ in range(12)]
    edges = []
    for record in map(site.end, jobs):
        edges += [(record.started_at or 0, 1), (record.finished_at or 0, -1)]
    running = [sum(step for _, step in sorted(edges)[:n]) for n in range(1, len(edges) + 1)]
    assert max(running) <= 2
    rated = [site.enqueue(tasks.nothing, limit="slow") for _ in range(8)]
    starts = sorted(site.end(job).started_at or 0 for job in rated)
    assert starts[-1] - starts[0] >= 7 * 100_000 - 50_000  # each was let go on time; its start is a moment later
    assert starts[-1] - starts[0] < 5_000_000


def test_a_limit_that_is_declared_later_lets_them_go(site: Site) -> None:
    site.worker().ready()
    job = site.enqueue(tasks.nothing, limit="smtp")
    eventually(lambda: site.job(job).place is not None, "it stands in its line")
    assert site.job(job).state == "blocked"
    site.store.set_limits({"smtp": "1"})
    assert site.end(job).state == "succeeded"


def test_workers_declare_the_limits_of_their_config_file(site: Site) -> None:
    (site.directory / ".git").mkdir()
    (site.directory / "packhorse.toml").write_text('[limits]\nsmtp = 4\n"tenant:*" = "10/1s"\n')
    site.store.set_limits({"smtp": "2"}, by="ada")
    site.worker().ready()
    found = {limit.name: (limit.value, limit.app) for limit in site.store.limits()}
    assert found == {"smtp": ("2", None), "tenant:*": ("10/1s", "packhorse.toml")}
    (site.directory / "packhorse.toml").write_text("[limits]\n")
    site.worker().ready()
    assert [limit.name for limit in site.store.limits()] == ["smtp"]


def test_a_burst_runs_all_of_a_line(site: Site) -> None:
    """The end of one lets the next go: nothing is left before that has been looked at."""
    first = [site.enqueue(tasks.nothing, reserves="disk") for _ in range(10)]
    last = site.enqueue(tasks.nothing, after=first)
    assert site.worker("--burst", "--processes", "2").ended(60.0) == 0
    assert {record.state for record in site.store.get([job.id for job in [*first, last]])} == {"succeeded"}


def test_parents_that_fail_and_flows_that_end(site: Site) -> None:
    site.worker("--processes", "2").ready()
    bad = site.enqueue(tasks.add, "a", 1)
    child = site.enqueue(tasks.nothing, after=bad)
    grandchild = site.enqueue(tasks.nothing, after=child)
    anyway = site.enqueue(tasks.nothing, after=bad, after_failure="run")
    assert site.end(anyway).state == "succeeded"
    assert [site.end(job).state for job in (child, grandchild)] == ["cancelled", "cancelled"]
    assert (site.job(grandchild).reason or "").startswith(f"parent tests.worker.tasks:add {bad.id} failed")


# -- killed -----------------------------------------------------------------------------------------------------------
def test_a_killed_holder_frees_its_resource_within_two_seconds(site: Site) -> None:
    victim = site.worker().ready()
    holder = site.enqueue(tasks.held, "holder", reserves="disk", on_crash="fail")
    site.marked("holder-runs")
    eventually(lambda: site.job(holder).started_at is not None, "its start is on record")
    site.worker().ready()
    waiter = site.enqueue(tasks.held, "waiter", reserves="disk")
    eventually(lambda: site.job(waiter).place is not None, "it stands in its line")
    killed = running_time()
    victim.kill()
    site.marked("waiter-runs")
    assert running_time() - killed < busy(2.0)
    assert site.job(holder).state == "failed"
    site.let("waiter-may-end")
    assert site.end(waiter).state == "succeeded"


def test_a_killed_holder_that_may_run_again_keeps_its_resource(site: Site) -> None:
    victim = site.worker().ready()
    holder = site.enqueue(tasks.held, "holder", reserves="disk")
    site.marked("holder-runs")
    eventually(lambda: site.job(holder).started_at is not None, "its start is on record")
    site.mark("holder-runs").unlink()
    site.worker("--processes", "2").ready()
    waiter = site.enqueue(tasks.nothing, reserves="disk")
    victim.kill()
    site.marked("holder-runs")
    assert site.job(waiter).state == "blocked"
    site.let("holder-may-end")
    assert (site.end(holder).crashes, site.end(waiter).state) == (1, "succeeded")
    assert (site.job(waiter).started_at or 0) >= (site.job(holder).finished_at or 0)


# -- cut off ----------------------------------------------------------------------------------------------------------
def slowed(site: Site, name: str) -> Worker:
    """Start a worker for which all that is counted in beats goes by faster."""
    return site.launch([sys.executable, "-m", "tests.crash.cut_off", site.url, name, f"{SCALE:g}"]).ready()


def test_an_outage_of_a_minute_stops_nothing(site: Site) -> None:
    worker = slowed(site, "one")
    job = site.enqueue(tasks.held, "job", reserves="disk")
    site.marked("job-runs")
    eventually(lambda: site.job(job).started_at is not None, "its start is on record")
    site.let("away-one")
    worker.until("cannot reach the job store")
    assert "stopping the jobs that reserve" not in worker.output
    time.sleep(60.0 / SCALE)  # the outage itself: there is nothing to see in it
    site.mark("away-one").unlink()
    worker.until("the store is back")
    site.let("job-may-end")
    record = site.end(job)
    assert (record.state, record.attempt, len(site.attempts(job))) == ("succeeded", 1, 1)
    assert "stopping the jobs that reserve" not in worker.output


def test_who_is_cut_off_stops_in_time_and_nobody_begins_before(site: Site) -> None:
    """The worker lives on, and no lock tells of it on another host: there it is found dead by its beats, and waited for."""
    victim, job = slowed(site, "victim"), site.enqueue(tasks.alone, "job", reserves="disk")
    site.marked("job-runs")
    plain = site.enqueue(tasks.held, "plain")
    site.marked("plain-runs")
    eventually(lambda: all(site.job(each).started_at for each in (job, plain)), "their starts are on record")
    other = slowed(site, "other")
    site.mark("job-runs").unlink()
    site.let("away-victim")
    other.until("its beats have stopped; taking its jobs back", 30.0)
    victim.until("stopping the jobs that reserve or share something", 30.0)
    assert site.job(job).worker == _id_of(site, "victim"), "it is not taken back yet"
    site.marked("job-runs", 30.0)
    began, ended, again = (float(line.split()[1]) for line in site.mark("alone").read_text().splitlines())
    assert began < ended < again
    site.let("job-may-end")
    assert site.end(job).state == "succeeded"
    site.let("plain-may-end")
    assert site.end(plain).state == "succeeded"


def _id_of(site: Site, name: str) -> str:
    return next(worker.id for worker in site.store.workers(dead=True) if worker.name == name)


def test_who_comes_back_in_time_goes_on_with_what_it_stopped(site: Site) -> None:
    """Nobody else was there: it is released, uncounted, and runs again on the same worker."""
    worker = slowed(site, "one")
    job = site.enqueue(tasks.alone, "job", reserves="disk")
    site.marked("job-runs")
    waiter = site.enqueue(tasks.nothing, reserves="disk")
    site.mark("job-runs").unlink()
    site.let("away-one")
    worker.until("stopping the jobs that reserve or share something", 30.0)
    eventually(lambda: "ends" in site.mark("alone").read_text(), "it has ended")
    site.mark("away-one").unlink()
    site.marked("job-runs")
    assert site.job(waiter).state == "blocked"
    site.let("job-may-end")
    record = site.end(job)
    assert (record.state, record.attempt) == ("succeeded", 1)
    assert [attempt.outcome for attempt in site.attempts(job)] == ["released", "succeeded"]
    assert (site.attempts(job)[0].reason or "").startswith("stopped: its worker had no answer from the store")
    assert site.end(waiter).state == "succeeded"
    assert not site.store.find(JobFilter(states=("blocked",))).jobs
