"""``packhorse run``: what words become, where the job goes, what is printed."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from packhorse._backoff import Backoff
from packhorse._outcome import failed, succeeded
from packhorse._store import JobFilter


def only(store):
    (record,) = store.find(JobFilter()).jobs
    return record


@pytest.mark.parametrize("name", ["tasks:add", "tasks.add"])
def test_words_are_converted_by_annotation(cli, store, name):
    ran = cli("run", name, "2", "y=3")
    assert (ran.code, ran.err) == (0, "")
    record = only(store)
    assert (record.task, json.loads(record.payload)) == ("tasks:add", [[2], {"y": 3}])
    assert ran.out == f"… tasks:add(2, y=3)   job {record.id[-8:]}   queue default\n"


@pytest.mark.parametrize(
    "words, payload",
    [
        (["2", "a", "true"], [["2", "a", "true"], {}]),
        (["n:=3", ":=[1, null]"], [[[1, None]], {"n": 3}]),
        (["url=http://x/?a=b"], [[], {"url": "http://x/?a=b"}]),
        (["--", "-5", "--x"], [["-5", "--x"], {}]),
        (["--args", '[1, {"a": 2}]', "--kwargs", '{"k": null}'], [[1, {"a": 2}], {"k": None}]),
        (["--args", '[{"$date": "2026-11-20"}]'], [[{"$date": "2026-11-20"}], {}]),
    ],
)
def test_words_without_annotation_are_text_and_json_is_json(cli, store, words, payload):
    assert cli("run", "tasks:echo", *words).code == 0
    assert json.loads(only(store).payload) == payload


def test_enums_booleans_and_optional_numbers(cli, store):
    assert cli("run", "tasks:paint", "red", "deep=yes", "size=none").code == 0
    assert json.loads(only(store).payload) == [["red"], {"deep": True, "size": None}]


def test_task_only_a_worker_knows_takes_its_signature_and_its_short_name(cli, store, world):
    world.worker(tasks=("elsewhere.billing:add",))
    assert cli("run", "add", "2", "3").code == 0
    record = only(store)
    assert (record.task, json.loads(record.payload)) == ("elsewhere.billing:add", [[2, 3], {}])


def test_short_name_of_two_tasks_is_a_question(cli, world):
    world.worker(tasks=("a:add", "b:add"))
    ran = cli("run", "add", "2", "3")
    assert ran.code == 2
    assert ran.err == "BadArguments: 'add' can mean a:add, b:add; say which, with its module. Nothing done.  [E121]\n"


@pytest.mark.parametrize(
    "words, message",
    [
        (["tasks:ad"], "NotImportable: tasks has no 'ad'; did you mean 'add'?"),
        (["nowhere"], "NotImportable: no task 'nowhere': it cannot be imported here, and no live worker knows it."),
        (["tasks:add", "2"], "BadArguments: enqueue(add, …) misses 'y' — add(x: int, y: int). Not enqueued.  [E121]"),
        (["tasks:add", "2", "x"], "BadArguments: argument 2, 'y' of tasks:add takes int, and 'x' is none."),
        (
            ["tasks:paint", "blue"],
            "BadArguments: argument 1, 'colour' of tasks:paint takes Colour, and 'blue' is none.",
        ),
        (["tasks:echo", ":={"], "BadArguments: ':={' is not JSON:"),
        (["tasks:echo", ":=NaN"], "BadArguments: ':=NaN' is not JSON:"),
        (["tasks:echo", "a=1", "a=2"], "BadArguments: 'a' is given twice. Nothing enqueued.  [E121]"),
        (["tasks:echo", "--args", "{}"], "BadArguments: --args takes a JSON list and --kwargs a JSON object."),
        (["tasks:echo", "-o", "dely=5m"], "'dely' is not an option. Did you mean 'delay'?"),
        (["tasks:echo", "-o", "retry=x"], "BadOption: -o retry takes a whole number, not 'x'.  [E123]"),
        (["tasks:echo", "-o", "retry"], "BadOption: -o takes KEY=VALUE, like -o retry=5; not 'retry'.  [E123]"),
        (["tasks:echo", "--at", "soon"], 'BadOption: --at takes a time, like "15:00"'),
        (["tasks:echo", "--delay", "-5"], "delay must be between 0 and 100 years"),
        (["tasks:echo", "-q", "my queue"], "BadName: Queue: 'my queue' is not a name."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(cli, store, words, message):
    ran = cli("run", *words)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert store.find(JobFilter()).jobs == []


def test_negative_number_gets_the_hint(cli):
    ran = cli("run", "tasks:add", "-5", "3")
    assert ran.code == 2
    assert "For a negative number put -- before the arguments" in ran.err


def test_options_reach_the_job(cli, store):
    words = ["-o", "priority=7", "-o", "tags=a", "-o", "tags=b,c", "-o", "meta.who=ada", "-o", "retry=5", "-o",
             "timeout=none", "-o", "on_crash=fail", "-o", "expires=2h", "-q", "mail", "--delay", "5m"]  # fmt: skip
    ran = cli("run", "tasks:add", "2", "3", *words)
    assert ran.code == 0, ran.err
    record = only(store)
    assert (record.queue, record.priority, record.crash_fails, record.state) == ("mail", 7, True, "scheduled")
    assert json.loads(record.tags) == ["a", "b,c"]
    assert json.loads(record.meta) == {"who": "ada"}
    options = json.loads(record.options)
    assert options["timeout"] is None
    assert options["retry"]["retries"] == 5
    assert record.due_at - record.created_at == 300_000_000
    assert "   due at " in ran.out


def test_at_is_local_time(cli, store):
    soon = (datetime.now() + timedelta(hours=2)).replace(microsecond=0)  # noqa: DTZ005  (as a person types it)
    assert cli("run", "tasks:add", "2", "3", "--at", soon.isoformat(" ")).code == 0
    assert datetime.fromtimestamp(only(store).due_at / 1e6, UTC) == soon.astimezone()


def test_json_is_the_job_and_by_is_the_program(cli, store):
    data = cli("run", "tasks:add", "2", "3", "--json").data
    record = only(store)
    assert (data["id"], data["state"], data["args"], data["kwargs"]) == (record.id, "queued", [2, 3], {})
    assert data["by"]["program"] == "packhorse run"
    assert "file" not in data["by"]


def test_namespace_option_wins(cli, store):
    assert cli("run", "tasks:add", "2", "3", "--namespace", "tests").code == 0
    assert store.find(JobFilter()).jobs == []
    assert cli("--namespace", "tests", "jobs", "list", "--json").data["jobs"][0]["task"] == "tasks:add"


def test_nobody_listens_is_a_warning_with_the_nearest_queue(cli, world):
    world.worker(queues='[["default", "mail"]]')
    ran = cli("run", "tasks:add", "2", "3", "-q", "defautl")
    assert ran.code == 0
    assert ran.err == (
        "Warning: enqueued to 'defautl', but no live worker listens there. Did you mean 'default'?  [E141]\n"
    )


def test_unknown_task_is_a_warning(cli, world):
    world.worker()
    ran = cli("run", "elsewhere:thing")
    assert ran.code == 0
    assert "no live worker on queue 'default' knows 'elsewhere:thing'; the job waits for one.  [E111]" in ran.err


# -- waiting ----------------------------------------------------------------------------------------------------------
def answering(world, decide):
    """Start a thread that is the worker: it claims the one job that comes, and settles it."""
    worker = world.worker(tasks=("tasks:add", "tasks:boom"))

    def work():
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            claimed = world.claim(worker)
            if claimed:
                world.settle(worker, decide(claimed[0]))
                return
            world.store.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_wait_prints_the_result(cli, world):
    thread = answering(world, lambda job: succeeded(job, "5"))
    ran = cli("run", "tasks:add", "2", "3", "--wait")
    thread.join()
    assert ran.code == 0
    assert ran.out.startswith("✓ 5    tasks:add(2, 3)   waited ")
    assert ", ran 1.5 s\n" in ran.out


def test_wait_exits_1_if_the_job_fails(cli, world):
    error = json.dumps({"type": "KeyError", "message": "'updated'", "frames": [
        {"file": "/app/tasks.py", "line": 31, "function": "parse", "code": "x"}]})  # fmt: skip
    thread = answering(world, lambda job: failed(job, Backoff(0), error))
    ran = cli("run", "tasks:boom", "--wait")
    thread.join()
    assert ran.code == 1
    first, second = ran.out.splitlines()
    assert first.startswith("✗ tasks:boom()  attempt 1 failed after 1.5 s      job ")
    assert first.endswith("  worker web-1")
    assert second == "  KeyError: 'updated'         tasks.py:31 in parse  [E200]"


def test_wait_json_prints_one_document_at_the_end(cli, world):
    thread = answering(world, lambda job: succeeded(job, "5"))
    ran = cli("run", "tasks:add", "2", "3", "--wait", "--json")
    thread.join()
    assert (ran.data["state"], ran.data["result"], ran.data["worker"]) == ("succeeded", 5, "web-1")


# -- here -------------------------------------------------------------------------------------------------------------
def test_here_needs_no_store(program):
    ran = program("run", "--here", "tasks:add", "2", "3", PACKHORSE_URL="sqlite:////nowhere/at/all.db")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("✓ 5    tasks:add(2, 3)   ran ")


def test_here_shows_the_failure_and_exits_1(program):
    ran = program("run", "--here", "tasks:boom")
    assert ran.code == 1
    assert "about to fail" in ran.out
    assert "KeyError: 'updated'" in ran.out
    assert "in boom" in ran.out


def test_here_json_is_alone_on_stdout(program):
    ran = program("run", "--here", "tasks:boom", "--json", "-o", "retry=2")
    assert (ran.data["state"], ran.data["error"]["type"]) == ("retrying", "KeyError")
    assert "about to fail" in ran.err


def test_here_has_the_time_limit(program):
    ran = program("run", "--here", "tasks:sleepy", "30", "-o", "timeout=0.2s")
    assert ran.code == 1
    assert "TimeLimit: stopped at its time limit of 0.2 s" in ran.out


def test_here_runs_only_what_a_worker_would_run(program):
    ran = program("run", "--here", "tasks:_hidden")
    assert ran.code == 2
    assert "NotImportable: a worker would not run 'tasks:_hidden'" in ran.err


def test_here_has_the_app(program, place):
    (place / "shop.py").write_text(
        "from contextlib import contextmanager\nfrom packhorse import App\n"
        "class Noisy:\n"
        "    @contextmanager\n    def around_job(self, job):\n        print('around', job.task)\n        yield\n"
        "app = App(tasks=['tasks'], middleware=[Noisy()])\n"
    )
    ran = program("run", "--here", "tasks:add", "2", "3", PACKHORSE_APP="shop:app")
    assert ran.code == 0, ran.err
    assert "around tasks:add" in ran.out


@pytest.mark.parametrize("name", ["add", "billing.charge"])
@pytest.mark.parametrize("here", [True, False])
def test_names_of_the_application_are_known_without_a_worker(program, place, name, here):
    (place / "shop.py").write_text(
        "from packhorse import task\n@task(name='billing.charge')\ndef charge(x: int, y: int) -> int:\n    return x * y\n"
    )
    ran = program("run", name, "2", "3", "--json", *(["--here"] if here else []), PACKHORSE_APP="shop tasks")
    assert ran.code == 0, ran.err
    assert (ran.data["task"], ran.data["args"]) == ("tasks:add" if name == "add" else name, [2, 3])


@pytest.mark.parametrize("name", ["add_up", "old.add", "house.sums.add_up"])
@pytest.mark.parametrize("app", ["house", "house.sums"])
def test_names_below_a_package_and_former_names_are_known_too(program, place, name, app):
    (place / "house").mkdir()
    (place / "house" / "__init__.py").write_text("")
    (place / "house" / "sums.py").write_text(
        "from packhorse import task\n@task(aliases=['old.add'])\ndef add_up(x: int) -> int:\n    return x\n"
    )
    ran = program("run", name, "2", "--json", PACKHORSE_APP=app)
    assert ran.code == 0, ran.err
    assert (ran.data["task"], ran.data["args"]) == ("house.sums:add_up", [2])


def test_a_former_name_is_known_from_a_live_worker(cli, world):
    about = {"signature": "add(x: int)", "aliases": ["old.add"]}
    world.worker(catalogue=json.dumps({"tasks": {"far.away:add": about}}))
    ran = cli("run", "old.add", "2", "--json")
    assert ran.code == 0, ran.err
    assert ran.data["task"] == "far.away:add"
