"""Jobs that tell of the ends of others: which ends, once each, and never of themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from packhorse._notify import NAME, notify_of
from packhorse._record import JobRecord
from packhorse._store import JobFilter
from packhorse.errors import ConfigError
from tests.worker.site import Site, eventually

TELL = 'cat > "$1"; echo "$2" >> "$1"'


@pytest.fixture
def site(tmp_path: Path) -> Any:
    found = Site(tmp_path)
    yield found
    found.close()


def configure(site: Site, on: list[str], command: list[str], more: str = "") -> None:
    (site.directory / "packhorse.toml").write_text(
        f'workspaces = "{site.directory}/spaces"\ncommands = ["sh"]\n'
        f"[notify]\non = {json.dumps(on)}\ncommand = {json.dumps(command)}\n{more}"
    )


def telling(site: Site, *, ended: bool = True) -> list[JobRecord]:
    """Return the jobs that tell, once all jobs there are have ended."""
    page = site.store.find(JobFilter(), 100)
    assert not ended or all(job.state in ("succeeded", "failed", "cancelled") for job in page.jobs)
    return [job for job in page.jobs if job.task == NAME]


def test_who_failed_is_told_of_once_with_all_that_is_known(site: Site) -> None:
    configure(site, ["failed"], ["/bin/sh", "-c", TELL, "sh", f"{site.directory}/{{id}}", "{user} {state} {because}"])
    good = site.queue.command(["sh", "-c", "exit 0"])
    bad = site.queue.using(retry=1).command(["sh", "-c", "echo dear me >&2; exit 4"])
    worker = site.worker(app=None)
    assert site.end(bad).attempt == 3
    (told,) = eventually(lambda: telling(site, ended=False), "the job that tells")
    told = site.end(told.id)
    assert worker.stop() == 0
    assert [job.id for job in telling(site)] == [told.id]
    assert (told.state, told.queue, told.priority, told.parent) == ("succeeded", "work", -100, bad.id)
    assert json.loads(told.meta or "") == {"notifies": bad.id}
    lines = (site.directory / bad.id).read_text()
    data, end = json.JSONDecoder().raw_decode(lines)
    assert lines[end:].split()[1:4] == ["failed", "exit", "status"]
    assert (data["id"], data["state"], data["exit"], data["attempt"]) == (bad.id, "failed", 4, 2)
    assert data["error"]["message"].endswith("dear me")
    assert data["host"]
    assert not os.path.exists(site.directory / good.id)


def test_what_tells_is_never_told_of(site: Site) -> None:
    configure(site, ["failed", "succeeded"], ["/bin/sh", "-c", "exit 1"])
    site.queue.command(["sh", "-c", "exit 0"])
    assert site.worker("--burst", app=None).ended() == 0
    (told,) = telling(site)
    assert told.state == "failed"


def test_jobs_that_expired_and_those_of_certain_tasks(site: Site) -> None:
    configure(site, ["cancelled"], ["/bin/true"], 'tasks = ["$sh"]\npriority = 7\nqueue = "news"\n')
    late = site.queue.using(expires=0.01).command(["sh", "-c", "exit 0"])
    other = site.queue.using(expires=0.01).command(["true"])
    worker = site.worker(app=None).ready()
    site.state(late, "cancelled")
    site.state(other, "cancelled")
    told = eventually(lambda: telling(site, ended=False), "the job that tells")
    assert [(job.parent, job.priority, job.queue) for job in told] == [(late.id, 7, "news")]
    assert worker.stop() == 0


def test_the_same_end_has_the_same_news(site: Site) -> None:
    configure(site, ["failed"], ["/bin/true"])
    bad = site.queue.command(["sh", "-c", "exit 4"])
    assert site.worker("--burst", app=None).ended() == 0
    notify = notify_of({"command": ["/bin/true"]}, None, "x")
    assert notify is not None
    record = site.job(bad)
    again = notify.job(record, {})
    assert [job.id for job in telling(site)] == [again.id]
    assert notify.job(record._replace(generation=1), {}).id != again.id


def test_a_large_job_is_told_of_without_its_arguments(site: Site) -> None:
    notify = notify_of({"command": ["/bin/true"]}, None, "x")
    assert notify is not None
    record = site.job(site.queue.command(["true"]))
    made = notify.job(record, {"id": record.id, "args": ["x" * 300_000], "error": None})
    _, values = json.loads(made.payload)
    assert json.loads(values["job"]) == {
        "id": record.id, "args": None, "error": None, "kwargs": None, "meta": None, "result": None, "truncated": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "table, said",
    [
        ({"command": ["/bin/true"], "on": ["ended"]}, "on takes cancelled, failed, succeeded; not 'ended'"),
        ({"on": ["failed"]}, 'it takes command = ["/path/of/a/program", …]'),
        ({"command": ["/bin/true"], "mail": "ada"}, "'mail' is unknown. There are: on, tasks, command,"),
        ({"command": ["/bin/echo", "{colour}"]}, "{colour} is nothing that is known of a job. There are: job, id,"),
        ({"command": ["/bin/true"], "tasks": 3}, "tasks takes a list of names, not 3"),
        ({"command": 3}, "command"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        notify_of(table, "/x/packhorse.toml", "from /x/packhorse.toml")
    assert said in str(refused.value)
