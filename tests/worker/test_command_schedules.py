"""A worker without an application: commands of the config file, and schedules of them, are all it needs."""

from __future__ import annotations

import json

from packhorse._store import JobFilter
from tests.worker.site import Site, eventually

TOML = """
[tasks.tick]
command = ["/bin/echo", "{x}"]
queue = "ticks"
reserves = ["clock:{x}"]

[schedules.often]
task = "tick"
kwargs = { x = "1" }
every = "1s"
"""


def test_schedules_of_commands_need_no_python(site: Site) -> None:
    site.mark("packhorse.toml").write_text(TOML)
    site.worker(app=None).ready()
    job = eventually(lambda: next(iter(site.store.find(JobFilter(task="tick"), 1).jobs), None), "a job of the schedule")
    ended = site.end(job.id)
    assert (ended.state, ended.task, ended.queue) == ("succeeded", "tick", "ticks")
    assert json.loads(str(ended.holds)) == [["x", "clock:1"]]
    assert site.log(ended) == "out: 1\n"


def test_a_schedule_that_is_wrong_stops_the_worker(site: Site) -> None:
    site.mark("packhorse.toml").write_text(TOML.replace('x = "1"', 'y = "1"'))
    worker = site.worker(app=None)
    assert worker.ended() == 78
    assert "[schedules.often]" in worker.output
    assert "tick has no parameter 'y'" in worker.output
