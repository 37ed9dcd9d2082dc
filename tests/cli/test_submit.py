"""``packhorse submit``, ``run`` of command tasks, and ``jobs copy``."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from packhorse import _runtime
from packhorse._ids import new_id
from packhorse._job_json import line_id
from packhorse._outcome import succeeded
from packhorse._record import NewJob
from packhorse._store import JobFilter

TOML = """
[tasks.publish-book]
command  = ["./publish.sh", "{rstar}", "{book}", "{*extra}"]
inputs   = { "wip/se/{book}/data" = "/content/{book}/data" }
reserves = ["book:{book}"]
tags     = ["{rstar}"]
queue    = "books"
[tasks.publish-book.params]
rstar = { default = "/content" }
"""


@pytest.fixture(autouse=True)
def tasks(place: Path) -> None:
    (place / "packhorse.toml").write_text(TOML)


def lines(place: Path, *asked: Any, name: str = "books.jsonl") -> str:
    (place / name).write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in asked))
    return name


def book(name: str, **more: Any) -> dict[str, Any]:
    return {"task": "publish-book", "kwargs": {"book": name}, **more}


def all_jobs(store: Any, **which: Any) -> list[Any]:
    return store.find(JobFilter(**which) if which else JobFilter(), 1000).jobs[::-1]


def payloads(store: Any, **which: Any) -> list[Any]:
    return [json.loads(job.payload) for job in all_jobs(store, **which)]


# -- one command --------------------------------------------------------------------------------------------------------
def test_a_command_is_submitted(cli, store, place):
    ran = cli("submit", "-o", "nice=5", "-o", "retry=2", "-o", "ok=0,3", "-o", "env.A=b", "-o", "tags=x", "--set", "b=b1",
              "--input", "in=data/{b}", "--output", "out=copies", "--", "bin/p.sh", "-v", "{b}")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "$p.sh('" in ran.out
    assert ran.out.endswith("  batch 1\n")
    (job,) = all_jobs(store)
    assert (job.task, job.tags, job.flow) == ("$p.sh", '["x"]', "batch-1")
    assert json.loads(job.payload) == [
        [f"{place}/bin/p.sh", "-v", "{b}"],
        {"params": {"b": "b1"}, "env": {"A": "b"}, "ok": [0, 3], "inputs": {"in": f"{place}/data/{{b}}"},
         "outputs": {"out": f"{place}/copies"}, "nice": 5},
    ]  # fmt: skip
    by = json.loads(job.by)
    assert (by["program"], by["command"].split()[:1]) == ("packhorse submit", ["packhorse"])


def test_options_after_the_command_are_its_own(cli, store):
    assert cli("submit", "prog", "--wait", "-q", "x").code == 0
    assert payloads(store) == [[["prog", "--wait", "-q", "x"], {}]]


def test_keys_in_all_their_forms(cli, store):
    assert cli(
        "submit", "-o", "shell=true", "-o", "exits.75=snooze:5m", "-o", "umask=022", "-o", "slots=all", "-o", "overwrite=yes",
        "-o", "needs=program:sh,mount:/", "-o", 'steps:=["a"]', "-o", "keep_output=7d", "-o", "enqueues=true", "echo $HOME | wc",
    ).code == 0  # fmt: skip
    assert payloads(store) == [
        [["echo $HOME | wc"], {
            "shell": True, "exits": {"75": "snooze:5m"}, "umask": 0o22, "slots": "all", "existing": "replace",
            "needs": ["program:sh", "mount:/"], "steps": [["a"]], "keep_output": 604800.0, "enqueues": True,
        }],
    ]  # fmt: skip


def test_the_job_is_printed_as_json(cli):
    data = cli("submit", "--json", "prog").data
    assert (data["task"], data["flow"]) == ("$prog", "batch-1")


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "Give a command"),
        (["--task", "a", "prog"], "Give a command, or --task, or --from; not several"),
        (["--from", "x", "prog"], "not several"),
        (["--from", "x", "--each", "y"], "Give --from or --each"),
        (["--from", "none.jsonl"], "--from none.jsonl: No such file or directory"),
        (["--from", "none.csv"], "A .csv file needs --task"),
        (["--resume", "prog"], "--resume goes with --from"),
        (["--task", "publish-book", "-o", "nice=5"], "-o nice does not go with --task"),
        (["--task", "publish-book", "--input", "a=b"], "--input does not go with --task"),
        (["--input", "a", "prog"], "--input takes PATH=TARGET"),
        (["--output", "a=/x", "--output", "a=/y", "prog"], "--output: 'a' is given twice"),
        (["--set", "a", "prog"], "--set takes NAME=VALUE"),
        (["-o", "nice", "prog"], "-o takes KEY=VALUE"),
        (["-o", "nice=much", "prog"], "nice takes a whole number from -20 to 19"),
        (["-o", "nicee=5", "prog"], "'nicee' is not an option of a job, and no key of a command. Did you mean 'nice'?"),
        (["-o", "xyzzy=5", "prog"], "Keys of a command are steps, params, "),
        (["--set", "a=b", "prog"], "the parameter 'a' is used nowhere"),
        (["--output", "../x=/y", "prog"], "leaves the workspace"),
        (["--task", "publish-book"], "BadArguments: publish-book misses 'book'"),
        (["--task", "publish-bok", "--set", "book=b"], "did you mean 'publish-book'?"),
        (["--each", "/nowhere/*", "prog"], "--each /nowhere/*: there is no such path here"),
        (["--each", "*.toml", "--task", "publish-book", "--set", "book=a/{name}"], "stands for one name within a path"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_stored(cli, store, words, message):
    ran = cli("submit", *words)
    assert ran.code == 2
    assert message in ran.err.replace("\n", " ")
    assert all_jobs(store) == []


# -- tasks --------------------------------------------------------------------------------------------------------------
def test_a_command_task_is_submitted_and_run(cli, store):
    assert (
        cli("submit", "--task", "publish-book", "--set", "book=b1", "--set", "extra=-v", "--set", "extra=-w").code == 0
    )
    assert cli("run", "publish-book", "book=b2", "extra=-v", "extra=-w", "-q", "other").code == 0
    first, second = all_jobs(store)
    assert (first.queue, second.queue, first.state) == ("books", "other", "blocked")
    assert [json.loads(job.holds) for job in (first, second)] == [[["x", "book:b1"]], [["x", "book:b2"]]]
    assert json.loads(first.payload) == [[], {"book": "b1", "extra": ["-v", "-w"]}]
    assert (first.flow, second.flow) == ("batch-1", None)


def test_run_tells_how_a_command_task_is_called(cli):
    ran = cli("run", "publish-book", "b1")
    assert (ran.code, "NAME=VALUE" in ran.err) == (2, True)
    assert (
        "publish-book misses 'book' — publish-book(*, rstar: str = '/content', book: str"
        in cli("run", "publish-book").err
    )
    assert "a command is run by a worker" in cli("run", "publish-book", "book=b", "--here").err


def test_functions_can_be_submitted_too(cli, store):
    assert cli("submit", "--task", "tasks:add", "--set", "x=1", "--set", "y:=2").code == 0
    assert payloads(store) == [[[], {"x": 1, "y": 2}]]
    assert "takes int, and 'one' is none" in cli("submit", "--task", "tasks:add", "--set", "x=one", "--set", "y=2").err


def test_one_job_for_each_path(cli, store, place):
    for name in ("b1", "b2"):
        (place / "wip" / name).mkdir(parents=True)
    (place / "wip" / "note.txt").write_text("")
    assert (
        "2 jobs stored in batch 1"
        in cli("submit", "--task", "publish-book", "--each", "wip/*/", "--set", "book={name}").out
    )
    assert "1 job" not in cli("submit", "--each", "wip/*.txt", "--", "sox", "{path}", "{dir}/{stem}.wav").err
    found = payloads(store)
    assert [each[1].get("book") for each in found[:2]] == ["b1", "b2"]
    assert found[2] == [
        ["sox", "{path}", "{dir}/{stem}.wav"],
        {"params": {"path": f"{place}/wip/note.txt", "stem": "note", "dir": f"{place}/wip"}},
    ]


# -- files --------------------------------------------------------------------------------------------------------------
def test_a_file_of_jobs(cli, store, place):
    file = lines(place, book("b1"), book("b2", priority=5, queue="fast"), "", {"command": ["prog"], "tags": ["x"]})
    ran = cli("submit", "--from", file)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "3 jobs stored in batch 1   packhorse flows show batch-1\n"
    one, two, three = all_jobs(store)
    assert [job.queue for job in (one, two, three)] == ["books", "fast", "default"]
    assert [job.flow for job in (one, two, three)] == ["batch-1"] * 3
    assert (two.priority, three.task) == (5, "$prog")
    assert one.id == line_id(json.dumps(book("b1")), 1, "books")
    assert cli("jobs", "list", "--batch", "1", "--json").data["jobs"][0]["id"] == three.id


def test_what_the_command_line_says_holds_where_a_line_says_nothing(cli, store, place):
    file = lines(
        place, {"kwargs": {"book": "b1"}}, {"kwargs": {"book": "b2", "rstar": "/b"}, "priority": 9, "flow": "mine"}
    )
    assert (
        cli("submit", "--from", file, "--task", "publish-book", "--set", "rstar=/a", "-o", "priority=1", "-q", "q").code
        == 0
    )
    one, two = all_jobs(store)
    assert (one.priority, two.priority, one.queue, one.flow, two.flow) == (1, 9, "q", "batch-1", "mine")
    assert [json.loads(job.payload)[1]["rstar"] for job in (one, two)] == ["/a", "/b"]


def test_all_bad_lines_are_told_before_any_is_stored(cli, store, place):
    file = lines(
        place, book("b1"), book("a/b"), "{", {"command": []}, {**book("b3"), "prio": 1}, {"task": "nobody-knows"},
        book("b4", at="2026-11-21T09:00:00"), book("b5"), {"task": "tasks:add", "args": [1, 2, 3]}, "[]",
    )  # fmt: skip
    ran = cli("submit", "--from", file)
    assert ran.code == 2
    assert re.findall(r"^line (\d+): ", ran.err, re.MULTILINE) == ["2", "3", "4", "5", "6", "7", "9", "10"]
    assert "line 5: unknown key 'prio'; did you mean 'priority'?  [E123]" in ran.err
    assert "8 lines of 10 in books.jsonl cannot be stored. Nothing stored." in ran.err
    assert all_jobs(store) == []


def test_many_bad_lines_are_counted(cli, place):
    ran = cli("submit", "--from", lines(place, *["{"] * 70))
    assert ran.err.count("\nline ") == 49
    assert "70 lines of 70 in books.jsonl cannot be stored (the first 50 are above)" in ran.err


def test_lines_that_are_no_text(cli, place):
    (place / "books.jsonl").write_bytes(
        b"\xef\xbb\xbf" + json.dumps(book("b1")).encode() + b"\n\xff\n" + b"x" * 5_000_000 + b"\n{\n"
    )
    ran = cli("submit", "--from", "books.jsonl")
    assert re.findall(r"^line (\d+): (.{16})", ran.err, re.MULTILINE) == [
        ("2", "this is not UTF-"), ("3", "this line has mo"), ("4", "this is not JSON"),
    ]  # fmt: skip


def test_a_file_without_jobs(cli, place):
    assert "books.jsonl asks for no job" in cli("submit", "--from", lines(place, "")).err


def test_a_dry_run_stores_nothing(cli, store, place):
    ran = cli("submit", "--from", lines(place, *(book(f"b{number}") for number in range(9))), "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "9 jobs would be stored; nothing was"
    assert "  publish-book(book='b0')   queue books" in ran.out
    assert "… and 6 more" in ran.out
    assert all_jobs(store) == []
    assert cli("submit", "--dry-run", "--json", "prog").data == {"jobs": 1, "stored": 0, "dry_run": True}


def test_stdin_is_kept_and_read_twice(cli, store, monkeypatch):
    text = "".join(json.dumps(book(f"b{number}")) + "\n" for number in range(3)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert cli("submit", "--from", "-", "--json").data == {
        "batch": 1, "flow": "batch-1", "jobs": 3, "stored": 3, "existing": 0,
    }  # fmt: skip
    assert len(all_jobs(store)) == 3


def test_the_same_file_is_not_stored_twice(cli, store, place):
    file = lines(place, book("b1"), book("b2"))
    assert cli("submit", "--from", file).code == 0
    again = cli("submit", "--from", file)
    assert again.code == 1
    assert "books.jsonl was submitted before as batch 1" in again.err
    assert "--resume stores the lines that are missing" in again.err
    assert "packhorse jobs copy --batch 1" in again.err
    lines(place, book("b1"), book("b2"), book("b3"))
    assert cli("submit", "--from", file, "--resume").out.startswith("1 job stored in batch 1, 2 were stored before")
    assert [job.flow for job in all_jobs(store)] == ["batch-1"] * 3
    assert cli("submit", "--from", file, "-q", "elsewhere").out.startswith("3 jobs stored in batch 2")


def test_what_was_cut_short_is_resumed_in_the_same_batch(cli, store, place, monkeypatch):
    file = lines(place, *(book(f"b{number}") for number in range(2500)))
    put, calls = _runtime.enqueue, []

    def fails(connection: Any, jobs: list[NewJob]) -> Any:
        calls.append(len(jobs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return put(connection, jobs)

    monkeypatch.setattr(_runtime, "enqueue", fails)
    ran = cli("submit", "--from", file)
    assert ran.code == 130
    assert "stored 1,000 of 2,500 jobs, in batch 1; for the rest, the same again with --resume" in ran.err
    monkeypatch.setattr(_runtime, "enqueue", put)
    assert cli("submit", "--from", file, "--resume", "--json").data == {
        "batch": 1, "flow": "batch-1", "jobs": 2500, "stored": 1500, "existing": 1000,
    }  # fmt: skip
    assert sum(store.flows(["batch-1"])[0].counts.values()) == 2500


# -- CSV ----------------------------------------------------------------------------------------------------------------
def test_a_csv_file_has_the_parameters_of_a_task_as_columns(cli, store, place):
    (place / "books.csv").write_text('book,rstar,extra\r\nb1,,\r\n"b,2",/x,"-v\n-w"\r\n')
    assert cli("submit", "--from", "books.csv", "--task", "publish-book").code == 0
    assert payloads(store) == [[[], {"book": "b1"}], [[], {"book": "b,2", "rstar": "/x", "extra": ["-v\n-w"]}]]


def test_a_csv_file_for_a_function_is_converted(cli, store, place):
    (place / "sums").write_text("x,y\n1,2\n")
    assert cli("submit", "--from", "sums", "--format", "csv", "--task", "tasks:add").code == 0
    assert payloads(store) == [[[], {"x": 1, "y": 2}]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "asks for no job"),
        ("book,book\nb1,b2\n", "line 1: the first line names the columns, and the column 'book' is there twice"),
        ("book,\nb1,b2\n", "line 1: the first line names the columns, and a column has no name"),
        ("book\nb1,b2\n", "line 2: 2 values for 1 columns (book)"),
        ("book\nb1\na/b\n", "line 3: publish-book: 'book' stands for one name"),
        ("bok\nb1\n", "line 2: publish-book has no parameter 'bok'; did you mean 'book'?"),
        ('book\nb1\n"b2\n', "line 3: this is not CSV"),
    ],
)
def test_bad_csv_is_told(cli, store, place, text, message):
    (place / "books.csv").write_text(text)
    ran = cli("submit", "--from", "books.csv", "--task", "publish-book")
    assert ran.code == 2
    assert message in ran.err
    assert all_jobs(store) == []


# -- waiting, and inside a job --------------------------------------------------------------------------------------------
def finish(world, count, fail=0):
    """Run what waits as a worker would, once it is there."""
    worker = world.worker(tasks=("$prog",), queues=None)
    deadline = time.monotonic() + 30
    while count and time.monotonic() < deadline:
        for job in world.claim(worker, 1):
            count -= 1
            if fail:
                fail -= 1
                from packhorse._backoff import Backoff
                from packhorse._outcome import failed

                world.settle(worker, failed(job, Backoff(0), '{"type": "ExitStatus", "message": "3"}'))
            else:
                world.settle(worker, succeeded(job, "0"))
        time.sleep(0.01)
    assert count == 0


def test_waiting_for_all_of_them(cli, place, world):
    file = lines(place, *({"command": ["prog", str(number)]} for number in range(3)))
    other = threading.Thread(target=_finish_elsewhere, args=(3, 1))
    other.start()
    ran = cli("submit", "--from", file, "--wait", "--json")
    other.join()
    assert ran.code == 1
    assert {state: count for state, count in ran.data["counts"].items() if count} == {"succeeded": 2, "failed": 1}


def _finish_elsewhere(count: int, fail: int) -> None:
    from packhorse import _settings

    from .conftest import World

    store = _runtime.open_store(_settings.resolve())
    finish(World(store), count, fail)
    store.close()


def test_what_a_command_submits_records_it_as_its_parent(cli, store, monkeypatch, place):
    parent = new_id()
    store.enqueue([NewJob(parent, "$prog", "default", '[["prog"],{}]', flow="mine")])
    monkeypatch.setenv("PACKHORSE_JOB_ID", parent)
    assert cli("submit", "child").code == 0
    assert cli("run", "publish-book", "book=b").code == 0
    assert cli("submit", "--from", lines(place, book("b1"), book("b2"))).out.startswith("2 jobs stored in flow mine")
    children = [job for job in all_jobs(store) if job.id != parent]
    assert [(job.parent, job.flow) for job in children] == [(parent, "mine")] * 4
    assert "would wait for that job itself" in cli("submit", "--wait", "child").err
    monkeypatch.setenv("PACKHORSE_JOB_ID", new_id())
    assert cli("submit", "stranger").out.endswith("batch 1\n")


def test_a_password_on_the_command_line_is_not_kept(place, program, store):
    assert program("submit", "--store", os.environ["PACKHORSE_URL"], "prog", "x://secret").code == 0
    (job,) = all_jobs(store)
    assert json.loads(job.by)["command"] == "packhorse submit --store '***' prog '***'"


def test_the_bar_is_shown_on_a_terminal_only(place, program):
    file = lines(place, *(book(f"b{number}") for number in range(1500)))
    assert program("submit", "--from", file, "--dry-run").err == ""
    inner, outer = pty.openpty()
    done = subprocess.run([sys.executable, "-m", "packhorse", "submit", "--from", file], cwd=place, stderr=outer,
                          stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip
    os.close(outer)
    shown = b""
    with open(inner, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(65536)
            except OSError:
                break
            if not part:
                break
            shown += part
    assert done.returncode == 0
    assert b"storing" in shown
    assert b"100%" in shown


def test_a_submit_that_is_interrupted_says_how_to_go_on(place, store):
    file = lines(place, *({"command": ["prog", str(number)]} for number in range(30_000)))
    submit = subprocess.Popen([sys.executable, "-m", "packhorse", "submit", "--from", file], cwd=place, text=True,
                              stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while not store.flows(["batch-1"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        submit.send_signal(signal.SIGINT)
        _, said = submit.communicate(timeout=20)
    finally:
        submit.kill()
        submit.wait()
    assert submit.returncode == 130
    assert re.search(r"stored [\d,]+ of 30,000 jobs, in batch 1; for the rest, the same again with --resume", said)


# -- copies ---------------------------------------------------------------------------------------------------------------
def test_jobs_are_copied_with_other_values(cli, store, place, world):
    file = lines(place, *(book(f"b{number}", meta={"a": 1}, priority=3) for number in range(3)), {"command": ["prog"]})
    cli("submit", "--from", file)
    ran = cli(
        "jobs", "copy", "--batch", "1", "--task", "publish-book", "--set", "extra+=--force", "--set", "rstar=/new", "-y"
    )
    assert ran.out == "3 jobs stored in batch 2   packhorse flows show batch-2\n"
    old, new = all_jobs(store, flow="batch-1"), all_jobs(store, flow="batch-2")
    assert [json.loads(job.payload)[1]["book"] for job in new] == ["b0", "b1", "b2"]
    assert json.loads(new[0].payload)[1] == {"book": "b0", "rstar": "/new", "extra": ["--force"]}
    assert [json.loads(job.meta) for job in new] == [{"a": 1, "copied_from": job.id} for job in old[:3]]
    assert (new[0].tags, new[0].holds, new[0].queue, new[0].priority) == ('["/new"]', old[0].holds, "books", 3)


def test_raw_commands_are_copied_with_other_values_and_more_words(cli, store):
    cli("submit", "--set", "b=1", "-o", "nice=3", "--", "prog", "{b}")
    assert (
        cli("jobs", "copy", "--batch", "1", "--set", "b=2", "--set", "command+=--force", "-y", "--json").data["stored"]
        == 1
    )
    assert payloads(store, flow="batch-2") == [[["prog", "{b}", "--force"], {"params": {"b": "2"}, "nice": 3}]]
    assert "'c' is used nowhere" in cli("jobs", "copy", "--batch", "1", "--set", "c=2", "-y").err
    assert "misses 'x'" not in cli("jobs", "copy", "--batch", "1-2", "--dry-run").err


def test_functions_are_copied_too(cli, store, world):
    world.job(payload="[[2],{}]")
    assert cli("jobs", "copy", "--task", "tasks:add", "--set", "y:=5", "-y").code == 0
    assert payloads(store, flow="batch-1") == [[[2], {"y": 5}]]


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "Say which jobs to copy"),
        (["--batch", "x"], "--batch takes a number"),
        (["--batch", "1", "--flow", "x"], "Give --batch or --flow"),
        (["--batch", "1", "12345678"], "Give ids or options"),
        (["--batch", "1", "--set", "x", "-y"], "--set takes NAME=VALUE, NAME+=VALUE (one more) or NAME:=JSON"),
        (["--batch", "1", "--set", "bok=1", "-y"], "publish-book has no parameter 'bok'"),
    ],
)
def test_a_wrong_copy_is_refused(cli, store, place, words, message):
    cli("submit", "--from", lines(place, book("b1")))
    ran = cli("jobs", "copy", *words)
    assert ran.code == 2
    assert message in ran.err.replace("\n", " ")
    assert len(all_jobs(store)) == 1


def test_copying_is_asked_about(cli, store, place, monkeypatch):
    cli("submit", "--from", lines(place, book("b1")))
    assert "1 job would be copied" in cli("jobs", "copy", "--batch", "1", "--dry-run").out
    assert "no job matches" in cli("jobs", "copy", "--batch", "9").out
    assert len(all_jobs(store)) == 1
    (job,) = all_jobs(store)
    assert cli("jobs", "copy", job.id[-8:], "--yes").code == 0
    assert len(all_jobs(store)) == 2


# -- what will keep it from running -----------------------------------------------------------------------------------------
def test_a_program_that_nobody_may_run_is_told_at_once(cli, place, world):
    worker = world.worker(queues=None)
    assert "no live worker on queue 'default' may run prog; the job waits" in cli("submit", "prog").err
    assert "[E217]" in cli("submit", "--from", lines(place, {"command": ["prog"]}, {"command": ["prog", "2"]})).err
    assert "knows 'publish-book'" in cli("submit", "--task", "publish-book", "--set", "book=b").err
    world.store.publish(worker.id, json.dumps({"commands": ["prog"]}), "{}")
    assert cli("submit", "prog", "3").err == ""


# -- a file that is wrong, a name with two owners, and how much memory it takes ------------------------------------------------
def test_a_worker_refuses_a_wrong_table(place, program):
    (place / "packhorse.toml").write_text('[tasks.publish-book]\ncomand = ["p"]\n')
    for words in (("worker", "--burst"), ("config",), ("run", "publish-book"), ("submit", "--task", "publish-book")):
        ran = program(*words)
        assert (ran.code, ran.out) == (78, "")
        assert f"{place}/packhorse.toml: [tasks.publish-book]: 'comand' is unknown; did you mean 'command'?" in ran.err


def test_a_worker_refuses_a_name_with_two_owners(place, program):
    (place / "jobs_too.py").write_text(
        "from packhorse import task\n@task(name='publish-book')\ndef publish(book: str) -> None: ...\n"
    )
    ran = program("worker", "--burst", "jobs_too")
    assert ran.code == 78
    assert "the task name 'publish-book' is a function of the application and a command of" in ran.err
    assert "[E112]" in ran.err


def test_a_worker_publishes_its_commands(cli, place, program, store):
    assert program("worker", "--burst").code == 0
    (place / "elsewhere").mkdir()
    from packhorse._catalogue import with_commands
    from packhorse._command_task import read_tasks
    from packhorse._settings import read_config

    tasks = read_tasks(read_config(str(place)).values["tasks"], "f")
    from .conftest import World

    World(store).worker(queues=None)._replace()
    worker = store.workers()[0]
    store.publish(worker.id, json.dumps(with_commands({"tasks": {}}, tasks)), "{}")
    (place / "packhorse.toml").unlink()
    assert cli("run", "publish-book", "book=b1").code == 0
    assert "misses 'book'" in cli("submit", "--task", "publish-book").err
    (job,) = all_jobs(store)
    assert (json.loads(job.holds), job.queue) == ([["x", "book:b1"]], "books")


_PEAK = """
import re, sys
from packhorse import cli
assert cli.main(["submit", "--from", sys.argv[1], "--dry-run"]) == 0
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(place):
    peaks = []
    for count in (2_000, 30_000):
        file = lines(place, *(book(f"b{number}") for number in range(count)))
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, file], cwd=place, capture_output=True, text=True, timeout=100
        )
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < peaks[0] + 2048  # KiB; what stood in the lines alone would take more
