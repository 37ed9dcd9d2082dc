"""The hooks of an App's middleware in real children, and how an App travels to a worker."""

from __future__ import annotations

import sys

import pytest

from tests.worker.site import Site, eventually

APP = """
import os, signal, sys
from contextlib import contextmanager
from packhorse import App, Queue, current_job

def note(*words):
    with open(os.path.join(os.environ["SITE"], "notes"), "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")

class Middleware:
    def child_started(self, worker): note("started", worker.name, os.getpid())
    def child_stopping(self, worker): note("stopping", worker.name, os.getpid())
    @contextmanager
    def around_job(self, job):
        note("before", job.id)
        try:
            yield
        except KeyError as error:
            raise ValueError("replaced") from error
        finally:
            note("behind", job.id)
    def after_job(self, job, outcome): note("after", job.id, outcome.kind, outcome.by, outcome.attempt)

app = App(tasks=["hooked"], middleware=[Middleware()], retry=0)

def fine(): return 1
def fails(): raise KeyError("x")
def flaky():
    if current_job().attempt == 1: raise ValueError("once")
def dies(): os.kill(os.getpid(), signal.SIGKILL)
"""


def notes(site: Site) -> list[list[str]]:
    path = site.mark("notes")
    return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def hooked(site: Site) -> Site:
    site.module("hooked", APP)
    site.worker("--name", "the-worker", "--processes", "2", app="hooked:app").ready()
    return site


def test_hooks_surround_the_life_of_a_child(hooked: Site) -> None:
    hooked.end(hooked.queue.enqueue("hooked:fine"))
    children = {str(pid) for pid in hooked.workers[0].children()}
    eventually(lambda: {rest[1] for what, *rest in notes(hooked) if what == "started"} == children, "both have started")
    assert hooked.workers[0].stop() == 0
    found = notes(hooked)
    assert {pid for what, *rest in found if what == "stopping" for _, pid in [rest]} == children
    assert {rest[0] for what, *rest in found if what in ("started", "stopping")} == {"the-worker"}


def test_hooks_surround_a_job(hooked: Site) -> None:
    job = hooked.queue.enqueue("hooked:fine")
    hooked.end(job)
    mine = [(what, *rest[1:]) for what, *rest in notes(hooked) if rest[0] == job.id]
    assert mine == [("before",), ("behind",), ("after", "succeeded", "job", "1")]


def test_an_exception_may_be_replaced(hooked: Site) -> None:
    record = hooked.end(hooked.queue.enqueue("hooked:fails"))
    assert '"type": "ValueError"' in (record.error or "")
    assert "replaced" in (record.error or "")


def test_the_end_of_the_job_is_told_not_that_of_an_attempt(hooked: Site) -> None:
    job = hooked.queue.using(retry=1).enqueue("hooked:flaky")
    hooked.end(job)
    assert [rest[1:] for what, *rest in notes(hooked) if what == "after" and rest[0] == job.id] == [
        ["succeeded", "job", "2"]
    ]


def test_the_end_of_a_killed_job_is_told_by_another_child(hooked: Site) -> None:
    job = hooked.queue.using(on_crash="fail").enqueue("hooked:dies")
    hooked.end(job)

    def told() -> list[list[str]]:
        return [rest[1:] for what, *rest in notes(hooked) if what == "after" and rest[0] == job.id]

    eventually(told, "after_job of the killed job")
    assert told()[0][:2] == ["failed", "worker"]


SCRIPT = """
import sys
from packhorse import App
if __name__ == "__main__":
    app = App(store=sys.argv[1], tasks=["tests.worker.tasks"]{more})
    sys.exit(app.main(["worker", *sys.argv[2:]], prog="mine"))
"""


def test_an_app_built_in_a_script_is_its_worker(site: Site) -> None:
    """Its plain part travels by itself; the script is not imported by the children."""
    script = site.mark("script.py")
    script.write_text(SCRIPT.format(more=""))
    worker = site.launch([sys.executable, str(script), site.url, "--processes", "2"]).ready()
    from tests.worker import tasks

    assert site.run(tasks.add, 1, 2).result == "3"
    assert worker.stop() == 0


def test_an_app_with_middleware_must_be_importable(site: Site) -> None:
    """E113, before anything starts."""
    script = site.mark("script.py")
    script.write_text(SCRIPT.format(more=", middleware=[type('M', (), dict(child_started=print))()]"))
    worker = site.launch([sys.executable, str(script), site.url])
    assert worker.ended(10.0) != 0
    assert "E113" in worker.output
    assert "module" in worker.output
    assert not site.mark("jobs.db").exists()
