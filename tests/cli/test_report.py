"""``packhorse report``, and what ``jobs list`` can look for since there are records of runs."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from html.parser import HTMLParser

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._record import WorkerRecord
from packhorse._reporting.quantiles import ACCURACY, Quantiles
from packhorse._reporting.timeline import MOST, Timeline


def run(
    world,
    name: str,
    exit: int,
    host: str = "ash",
    seconds: float = 2.0,
    used: dict[str, object] | None = None,
    **more: object,
) -> str:
    """Store one command's job that ran and ended so."""
    worker = f"{host}-{len(world.store.workers())}"
    world.store.register(WorkerRecord(id=worker, name=worker, host=host, pid=1, boot_id="b"))
    job = world.job(name, '[[],{"book":"b1"}]', queue=f"q{worker}", **more)
    (claimed,) = world.store.claim([f"q{worker}"], 1, 0, worker, 1).jobs
    usage = json.dumps({"exit": exit, "signal": None, "cpu": 0.5, "peak": 2**20, **(used or {})})
    if exit:
        error = {"type": "ExitStatus", "message": f"exit status {exit} of {name}.sh\nno title <page>", "code": "E212"}
        verdict = failed(claimed, Backoff(0), json.dumps(error))
    else:
        verdict = succeeded(claimed, "0")._replace(plain=False)
    world.store.settle(worker, [verdict._replace(started=seconds, usage=usage)])
    return job


@pytest.fixture
def four(world):
    ada, ben = '{"user":"ada","host":"h"}', '{"user":"root","login":"ben","host":"h"}'
    return [
        run(world, "publish", 0, seconds=1.0, by=ada),
        run(world, "publish", 3, "elm", seconds=3.0, by=ada),
        run(world, "publish", 3, "elm", seconds=5.0, by=ben),
        run(world, "encode", 0, "elm", seconds=60.0, by=ben),
    ]


def found(cli, *words: str) -> list[str]:
    return [job["id"] for job in cli("jobs", "list", "--json", *words).data["jobs"]]


# -- jobs list --------------------------------------------------------------------------------------------------------
def test_jobs_are_found_by_exit_status_and_host(cli, four):
    assert found(cli, "--exit", "3") == [four[2], four[1]]
    assert found(cli, "--exit", "0,3") == four[::-1]
    assert found(cli, "--host", "elm", "--exit", "0") == [four[3]]
    assert found(cli, "--host", "ash") == [four[0]]
    assert found(cli, "--exit", "9") == []


def test_a_list_of_what_was_looked_for_goes_on_where_it_ended(cli, four):
    first = cli("jobs", "list", "--json", "--exit", "3", "--limit", "1").data
    assert [job["id"] for job in first["jobs"]] == [four[2]]
    rest = cli("jobs", "list", "--json", "--exit", "3", "--limit", "1", "--after", str(first["next"])).data
    assert [job["id"] for job in rest["jobs"]] == [four[1]]


def test_json_has_host_and_exit(cli, four):
    jobs = cli("jobs", "list", "--json").data["jobs"]
    assert [(job["host"], job["exit"]) for job in jobs] == [("elm", 0), ("elm", 3), ("elm", 3), ("ash", 0)]


def test_columns(cli, four):
    ran = cli("jobs", "list", "--state", "failed", "--columns", "full-id,host,exit,by,peak,because")
    lines = [re.split(r"\s{2,}", line) for line in ran.out.splitlines()]
    assert lines[0] == ["full-id", "host", "exit", "by", "peak", "because"]
    assert lines[1] == [four[2], "elm", "3", "root (ben)", "1 MiB", "exit status 3 of publish.sh (no title <page>)"]
    assert "there is no column 'x'. There are: id," in cli("jobs", "list", "--columns", "x").err


def test_until_and_zones(cli, four):
    assert found(cli, "--until", "1h") == []
    assert found(cli, "--since", "yesterday", "--tz", "Pacific/Auckland") == four[::-1]
    assert "takes a time zone" in cli("jobs", "list", "--tz", "Mars/Olympus").err
    assert "takes a moment in the past" in cli("jobs", "list", "--since", "some day").err
    assert "--exit takes exit statuses" in cli("jobs", "list", "--exit", "three").err


# -- report -----------------------------------------------------------------------------------------------------------
def test_counts_times_and_who_asked(cli, four):
    data = cli("report", "--json").data
    by_task = {group.pop("task"): group for group in data["groups"]}
    publish = by_task["publish"]
    assert (publish["jobs"], publish["succeeded"], publish["failed"], publish["open"]) == (3, 1, 2, 0)
    assert publish["p50"] == pytest.approx(3.0, rel=0.02)
    assert publish["p95"] == pytest.approx(5.0, rel=0.02)
    assert publish["who"] == {"ada": 2, "root (ben)": 1}
    assert data["all"]["jobs"] == 4
    (cause,) = data["failures"]
    assert cause == {
        "task": "publish",
        "error": "exit status 3",
        "last": "no title <page>",
        "jobs": 2,
        "examples": [four[2], four[1]],
    }


@pytest.mark.parametrize(
    "by, groups",
    [
        ("host", {"elm": 3, "ash": 1}),
        ("exit", {"0": 2, "3": 2}),
        ("by", {"ada": 2, "root (ben)": 2}),
    ],
)
def test_groups(cli, four, by, groups):
    assert {row[by]: int(row["jobs"]) for row in rows(cli("report", "--by", by, "--csv").out)} == groups


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_several_at_once_and_what_has_not_ended(cli, world, four):
    world.job("publish")
    found = rows(cli("report", "--by", "task,day", "--by", "host", "--csv").out)
    assert {(row["task"], row["host"], row["day"] == "-") for row in found} == {
        ("publish", "elm", False), ("publish", "ash", False), ("encode", "elm", False), ("publish", "-", True),
    }  # fmt: skip
    assert next(row for row in found if row["day"] == "-")["open"] == "1"


def test_retries_are_runs_after_the_first(cli, world):
    worker = world.worker().id
    job = world.job("flaky", queue="f")
    for _ in range(2):
        (claimed,) = world.store.claim(["f"], 1, 0, worker, 1).jobs
        world.store.settle(worker, [failed(claimed, Backoff(2, base=0, jitter=False), '{"type":"E"}')])
        world.store.promote()
    (claimed,) = world.store.claim(["f"], 1, 0, worker, 1).jobs
    world.store.settle(worker, [succeeded(claimed, "0")])
    assert world.store.get([job])[0].state == "succeeded"
    assert cli("report", "--json").data["all"]["retries"] == 2


def test_the_same_conditions_as_of_a_list(cli, four):
    assert cli("report", "--exit", "3", "--json").data["all"]["jobs"] == 2
    assert cli("report", "--host", "ash", "--json").data["all"]["jobs"] == 1
    assert cli("report", "--until", "1h", "--json").data["all"]["jobs"] == 0
    assert cli("report", "--until", "1h").out == "no job matches\n"


def test_causes_that_differ_in_numbers_are_one(cli, world):
    worker = world.worker().id
    for number in range(5):
        world.job("f", queue="f")
        (claimed,) = world.store.claim(["f"], 1, 0, worker, 1).jobs
        error = json.dumps({"type": "KeyError", "message": f"'book {number}'"})
        world.store.settle(worker, [failed(claimed, Backoff(0), error)])
    (cause,) = cli("report", "--json").data["failures"]
    assert (cause["error"], cause["jobs"], len(cause["examples"])) == ("KeyError: 'book 4'", 5, 3)


def test_hosts_have_other_names_where_the_config_says_so(cli, four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "packhorse.toml").write_text('[hosts]\nelm = "encoder"\n')
    assert {row["host"] for row in rows(cli("report", "--by", "host", "--csv").out)} == {"ash", "encoder"}
    assert len(found(cli, "--host", "encoder")) == 3


def test_the_table_says_why_jobs_failed(cli, four):
    out = cli("report", "--columns", "jobs,failed,wall").out
    assert out.splitlines()[0].split() == ["task", "jobs", "failed", "wall"]
    assert f"2 × publish: exit status 3  (no title <page>)   such as {four[2][-8:]}" in out


def test_wrong_words(cli, store):
    assert "--by: 'colour' is nothing to group by. There are: task," in cli("report", "--by", "colour").err
    assert "there is no column 'x'" in cli("report", "--columns", "x").err
    assert cli("report", "--json", "--csv").code == 2
    assert "there is no directory" in cli("report", "--html", "/nowhere/x.html").err


# -- the page ---------------------------------------------------------------------------------------------------------
class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "circle", "line", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("circle", "line", "rect"):
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_one_file_that_fetches_and_runs_nothing(cli, world, four, tmp_path):
    run(world, "publish", 1, "<b>oak</b>")
    ran = cli("report", "--by", "host", "--html", str(tmp_path / "report.html"))
    assert (ran.code, ran.out) == (0, "")
    text = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(text)
    page.close()
    tags = {tag for tag, _ in page.tags}
    assert {"svg", "table", "rect"} <= tags
    assert not tags & {"script", "link", "img", "iframe", "object", "b"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in text
    assert "&lt;b&gt;oak" in text
    assert "no title &lt;page&gt;" in text


def test_a_page_of_nothing(cli, store, tmp_path):
    assert cli("report", "--html", str(tmp_path / "r.html")).code == 0
    assert "No job matches" in (tmp_path / "r.html").read_text()


# -- the parts --------------------------------------------------------------------------------------------------------
def test_percentiles_are_right_within_one_in_a_hundred():
    drawn = random.Random(3)
    values = [drawn.lognormvariate(0, 4) for _ in range(20_000)]
    sketch = Quantiles()
    for value in values:
        sketch.add(value)
    values.sort()
    for share in (0.01, 0.5, 0.9, 0.95, 0.999, 1.0):
        true = values[max(1, -(-int(share * 20_000 * 1000) // 1000)) - 1]
        assert sketch.at(share) == pytest.approx(true, rel=ACCURACY * 1.001)
    assert len(sketch._buckets) < 1700


def test_percentiles_of_nothing_and_of_no_time():
    sketch = Quantiles()
    assert sketch.at(0.5) is None
    sketch.add(0.0)
    assert sketch.at(0.5) == 0.0


def test_a_timeline_has_never_many_stretches():
    line = Timeline()
    for second in [0, 3, 7, 500, 100_000, 3, 40_000_000]:
        line.add(second * 1_000_000, "failed")
        assert len(list(line.stretches())) <= MOST
    assert sum(kinds["failed"] for _, kinds in line.stretches()) == 7


def test_a_command_is_shown_with_what_its_last_run_used_said_and_left(cli, world):
    usage = {
        "program": "/opt/publish.sh",
        "workspace": "/spaces/kept/1/work",
        "outputs": [f"/out/{n}" for n in range(7)],
    }
    job = run(world, "publish", 3, used=usage)
    shown = cli("jobs", "show", job).out
    assert "program   /opt/publish.sh   exit status 3, processor time 500 ms, memory 1 MiB" in shown
    assert "workspace /spaces/kept/1/work" in shown
    assert "outputs   /out/0, /out/1, /out/2, /out/3, /out/4 and 2 more" in shown
    assert "ExitStatus: exit status 3 of publish.sh (no title <page>)" in cli("why", job).out
