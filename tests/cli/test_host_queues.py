"""The queue of a host that is gone: what why says to do does it."""

from __future__ import annotations

import shlex

from .conftest import World


def test_the_command_that_why_names_moves_the_jobs(cli, store):
    world = World(store)
    world.worker("four", host="web-4", queues='[["host.web-4"]]')
    jobs = [world.job(queue="host.web-2"), world.job(queue="host.web-2", holds=(("x", "disk"),))]
    other = world.job(queue="host.web-3")
    said = cli("why", jobs[0], "--json").data
    assert (said["kind"], said["facts"]["host"]) == ("no-worker", "web-2")
    command = shlex.split(said["why"].partition("run elsewhere:  ")[2])
    assert command == ["packhorse", "jobs", "edit", "queue:host.web-2", "--queue", "host.web-4"]
    ran = cli(*command[1:], "-y")
    assert ran.code == 0, ran.err
    assert [job.queue for job in store.get([*jobs, other])] == ["host.web-4", "host.web-4", "host.web-3"]
    while store.admit().more:
        pass
    assert cli("why", jobs[1], "--json").data["kind"] == "ahead"
