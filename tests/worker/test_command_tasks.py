"""Commands that a config file declares, and commands beside functions, under real workers."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from packhorse import Queue
from packhorse._store import JobFilter
from tests.worker.site import ROOT, Site, Worker, eventually
from tests.worker.test_commands import UNTIL_ON, error

TASKS = """
[tasks.publish-book]
command  = ["{site}/publish.sh", "{{book}}", "{{*extra}}"]
inputs   = {{ "wip/se/{{book}}/data" = "{site}/content/{{book}}/data" }}
outputs  = {{ "wip/se/{{book}}/aux"  = "{site}/content/{{book}}/aux" }}
reserves = ["book:{{book}}"]
ok       = [0, 3]
[tasks.publish-book.params.extra]
many = true
[tasks.tell]
command  = ["sh", "-c", "echo $PACKHORSE_URL $PACKHORSE_NAMESPACE"]
enqueues = true
"""

PUBLISH = """#!/bin/sh
[ "$PWD" = "$(pwd)" ] && cat wip/se/$1/data/* > wip/se/$1/aux/all && echo "$#: $*" && exit 3
"""


@pytest.fixture
def declared(site: Site) -> Site:
    """A directory with a config file that declares commands, a script, and content for it."""
    (site.directory / "packhorse.toml").write_text(TASKS.format(site=site.directory))
    script = site.directory / "publish.sh"
    script.write_text(PUBLISH)
    script.chmod(0o755)
    data = site.directory / "content" / "b1" / "data"
    data.mkdir(parents=True)
    (data / "page").write_text("one\n")
    return site


def test_a_declared_command_runs_by_itself_wherever_it_was_enqueued(declared: Site) -> None:
    """Its own program, named by its absolute path, needs no leave; and the caller has no config file."""
    worker = declared.worker("--workspaces", f"{declared.directory}/spaces", app=None).ready()
    assert "runs only the commands publish-book, tell" in worker.output
    job = declared.end(declared.queue.enqueue("publish-book", book="b1", extra=["--force", "now"]))
    assert (job.state, job.result) == ("succeeded", "3"), job.error
    assert (declared.directory / "content" / "b1" / "aux" / "all").read_text() == "one\n"
    assert declared.log(job) == "out: 3: b1 --force now\n"
    again = declared.end(declared.queue.enqueue("publish-book", book="b1"))
    assert error(again)["code"] == "E215"


def test_a_program_by_its_name_must_be_allowed_and_the_store_is_told_only_to_who_may_enqueue(declared: Site) -> None:
    first = declared.worker("--workspaces", f"{declared.directory}/spaces", app=None).ready()
    job = declared.queue.enqueue("tell")
    declared.state(job, "blocked")
    assert "no live worker runs this program: sh" in job.why()
    first.stop()
    declared.worker("--workspaces", f"{declared.directory}/spaces", "--allow-commands", "sh", app=None).ready()
    eventually(lambda: declared.job(job).state == "succeeded", "its run")
    assert declared.log(job) == f"out: {declared.url} default\n"


def test_a_worker_without_the_declaration_leaves_it_to_one_that_has_it(declared: Site) -> None:
    declared.worker().ready()
    job = Queue("work", store=declared.url).enqueue("publish-book", book="b1")
    declared.state(job, "blocked", "succeeded")
    eventually(lambda: declared.job(job).state == "succeeded", "its run")


def test_the_middleware_is_told_how_commands_end(site: Site) -> None:
    site.module("hooked_commands", HOOKED)
    site.worker("--workspaces", f"{site.directory}/spaces", app="hooked_commands:app").ready()
    fine, bad = site.queue.command(["true"]), site.queue.command(["false"])
    assert site.end(fine).state == "succeeded"
    assert site.end(bad).state == "failed"
    notes = site.mark("notes")
    wanted = {f"{fine.id} succeeded job", f"{bad.id} failed job"}
    eventually(lambda: notes.exists() and set(notes.read_text().splitlines()) == wanted, "what it was told")


HOOKED = """
import os
from packhorse import App
class Middleware:
    def after_job(self, job, outcome):
        with open(os.path.join(os.environ["SITE"], "notes"), "a") as file:
            file.write(f"{job.id} {outcome.kind} {outcome.by}\\n")
app = App(tasks=["hooked_commands"], commands=["true", "false"], middleware=[Middleware()])
def nothing(): ...
"""


def test_many_commands_and_functions_share_a_worker(site: Site) -> None:
    """Neither starves the other, whatever the order; more of both than there are slots."""
    where = ("--allow-commands", "true", "--workspaces", f"{site.directory}/spaces")
    site.worker("--processes", "2", *where).ready()
    jobs = []
    for number in range(60):
        jobs.append(site.queue.command(["true"]) if number % 3 else site.enqueue("tests.worker.tasks:add", number, 1))
    assert {site.end(job, 60.0).state for job in jobs} == {"succeeded"}
    assert all(site.job(job).result == "0" for number, job in enumerate(jobs) if number % 3)


def test_a_second_step_that_is_not_allowed_runs_nothing(site: Site) -> None:
    site.worker("--allow-commands", "touch", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    job = site.queue.command(["touch", str(site.mark("touched"))], steps=[["false"]])
    site.state(job, "blocked")
    assert "runs this program: false" in job.why()
    assert not site.mark("touched").exists()


def test_a_large_command_that_waits_can_be_cancelled(site: Site) -> None:
    site.worker(
        "--threads", "2", "--allow-commands", "sh", "--workspaces", f"{site.directory}/spaces", app=None
    ).ready()
    small = site.queue.command(["sh", "-c", f"echo >$0; {UNTIL_ON}", str(site.mark("a"))])
    site.marked("a")
    large = site.queue.command(["sh", "-c", "true"], slots="all")
    site.state(large, "running")
    large.cancel()
    assert site.end(large).state == "cancelled"
    site.let("a-on")
    assert site.end(small).state == "succeeded"


def test_workspaces_that_cannot_be_made_are_said_at_the_start(site: Site) -> None:
    (site.directory / "file").write_text("")
    worker = site.worker("--allow-commands", "true", "--workspaces", f"{site.directory}/file/spaces", app=None)
    assert worker.ended() == 78
    assert "workspaces cannot be made in" in worker.output
    beside = site.worker("--allow-commands", "true", "--workspaces", f"{site.directory}/file/spaces").ready()
    job = site.queue.command(["true"])
    beside.until("commands cannot be run: workspaces cannot be made in")
    site.state(job, "blocked")
    assert site.run("tests.worker.tasks:add", 1, 2).result == "3"
    site.worker("--allow-commands", "true", "--workspaces", f"{site.directory}/spaces").ready()
    eventually(lambda: site.job(job).state == "succeeded", "its run where commands can be run")
    assert json.loads(site.attempts(job)[-1].usage or "{}")["exit"] == 0


def test_who_may_not_run_it_does_not_take_what_others_lack_something_for(site: Site) -> None:
    """Else the two workers would give the job to each other for ever."""
    place = site.directory / "flag"
    where = ("--workspaces", f"{site.directory}/spaces", "--log-level", "debug")
    site.worker("--allow-commands", "echo", *where, app=None, PATH=f"{os.environ['PATH']}:{place}").ready()
    job = site.queue.command(["echo", "ran"], needs=["program:needed-tool"])
    site.state(job, "blocked")
    line = site.job(job).line
    place.mkdir()
    (site.directory / "bin").mkdir()
    tool = site.directory / "bin" / "needed-tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    other = site.worker(
        "--allow-commands", "true", *where, app=None, PATH=f"{site.directory}/bin:{os.environ['PATH']}"
    ).ready()
    beats = 2
    seen = beats_of(site, other)
    eventually(lambda: beats_of(site, other) >= seen + beats, "that it has looked", 30.0)
    assert (site.job(job).state, site.job(job).line) == ("blocked", line)
    shutil.copy(tool, place / "needed-tool")
    eventually(lambda: site.job(job).state == "succeeded", "its run once the first one has it")


def beats_of(site: Site, worker: Worker) -> int:
    return next((each.beats for each in site.store.workers() if each.pid == worker.pid), 0)


def test_what_a_command_enqueues_has_it_as_its_parent(site: Site) -> None:
    site.worker("--allow-commands", sys.executable, "--workspaces", f"{site.directory}/spaces").ready()
    words = [sys.executable, "-m", "packhorse", "run", "-q", "work", "tests.worker.tasks:add", "1", "2"]
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    job = site.end(site.queue.command(words, enqueues=True, env=environ))
    assert job.state == "succeeded", site.log(job)
    (child,) = site.store.find(JobFilter(task="tests.worker.tasks:add")).jobs
    assert child.parent == job.id
    assert site.end(child.id).result == "3"
    untold = site.end(site.queue.command(words, env=environ))
    assert untold.state == "failed"
    assert "E105" in site.log(untold)
