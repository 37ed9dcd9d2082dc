"""A password goes to the server and nowhere else: not into a message, a log, a command line, an environment or the store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import Queue, _runtime
from packhorse._stores import open_store
from tests.outage.outpost import AWAY, BACK, KINDS, Outpost, new_server, new_store_url
from tests.worker import tasks
from tests.worker.site import descendants, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]
CANARY = "c4n4ry/S3cr@t"  # as a URL has it, and as it is
ESCAPED = "c4n4ry%2FS3cr%40t"
TRACES = ("c4n4ry", "S3cr")


@pytest.fixture(scope="module", params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any, str]]:
    """A server that wants a password."""
    server = new_server(request.param, tmp_path_factory.mktemp(request.param))
    server.start()
    (_postgres if request.param == "postgres" else _redis)(server)
    url = re.sub(r"//[^@/]*@|//", f"//ada:{ESCAPED}@", new_store_url(request.param, server), count=1)
    store = open_store(url)
    store.migrate()
    store.close()
    yield request.param, server, url
    server.stop()


def _postgres(server: Any) -> None:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE ada LOGIN SUPERUSER PASSWORD '{CANARY}'".encode())
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all ada all scram-sha-256\n" + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")


def _redis(server: Any) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "ada", "on", f">{CANARY}", "~*", "&*", "+@all")


def clean(text: str, where: str) -> None:
    found = [trace for trace in TRACES if trace in text]
    assert not found, f"{where} has {found}:\n{text}"


COMMANDS = [
    ["config"],
    ["db", "status"],
    ["db", "migrate"],
    ["db", "sql"],
    ["jobs", "list"],
    ["jobs", "show", "JOB"],
    ["jobs", "show", "JOB", "--json"],
    ["why", "JOB"],
    ["workers", "list", "--json"],
    ["run", "tests.worker.tasks:add", "1", "2"],
    ["--debug", "jobs", "show", "00000000-0000-7000-8000-000000000000"],
    ["--namespace", "not a name", "jobs", "list"],
]


def run(words: list[str], directory: Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "packhorse", *words],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_every_command_while_the_server_is_there_and_while_it_is_not(
    kept: tuple[str, Any, str], tmp_path: Path
) -> None:
    kind, server, url = kept
    (tmp_path / ".git").mkdir()
    job = Queue("work", store=url).enqueue(tasks.add, 1, 2)
    _runtime.forget()
    commands = [[job.id if word == "JOB" else word for word in words] for words in COMMANDS]
    for words in commands:
        clean(run(words, tmp_path, PACKHORSE_URL=url), " ".join(words))
    server.kill()
    try:
        for words in (["jobs", "list"], ["--debug", "db", "status"], ["worker", "--no-retry"], ["config"]):
            clean(run(words, tmp_path, PACKHORSE_URL=url), " ".join(words))
        queue = Queue("work", store=url)
        for text in (_failure(lambda: queue.enqueue(tasks.add, 1, 2)), repr(queue), repr(queue._connection.settings)):
            clean(text, "the library")
    finally:
        _runtime.forget()
        server.start()
        if kind == "redis":
            _redis(server)


def _failure(call: Any) -> str:
    import traceback

    try:
        call()
    except Exception as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("how", ["config", "file", "password"])
def test_a_worker_shows_it_nowhere(kept: tuple[str, Any, str], tmp_path: Path, how: str) -> None:
    """Named in the config file, or in a file of its own: it is in no command line and no environment, of the supervisor or of a
    child, in none of the worker's lines, and not in what the store keeps of the worker."""
    kind, server, url = kept
    site = Outpost(tmp_path, kind, server, url)
    (tmp_path / ".git").mkdir()
    plain = url.replace(f"ada:{ESCAPED}@", "ada@")
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    by_file = f"{plain}{'&' if '?' in plain else '?'}password_file={tmp_path}/secret"
    config = {"config": url, "file": by_file, "password": plain}[how]
    more = {"PACKHORSE_PASSWORD": CANARY} if how == "password" else {}
    (tmp_path / "packhorse.toml").write_text(f'store = "{config}"\n')
    command = [sys.executable, "-m", "packhorse", "worker", "tests.worker.tasks", "--log-level", "debug"]
    worker = site.launch(command, **more)
    try:
        worker.ready()
        job = site.enqueue(tasks.enqueues)
        assert site.end(job).state == "succeeded"
        pids = [worker.pid, *descendants(worker.pid)]
        for pid in pids:
            clean(Path(f"/proc/{pid}/cmdline").read_text(), f"the command line of {pid}")
            environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            clean(environ.replace(f"PACKHORSE_PASSWORD={CANARY}", ""), f"the environment of {pid}")
        assert len(pids) > 1
        (row,) = site.store.workers()
        clean(repr(row), "the worker's row")
        clean(repr(site.store.get([job.id])) + site.log(job), "what is stored of a job")
        cut(server, kind, lambda: eventually(lambda: AWAY in worker.output, "it has lost its store"))
        eventually(lambda: BACK in worker.output, "it has lost its store and is back")
        assert worker.stop() == 0
        clean(worker.output, "the worker's output")
    finally:
        site.close()


def cut(server: Any, kind: str, noticed: Callable[[], object]) -> None:
    """End every connection."""
    if kind == "postgres":
        server.kill()
        noticed()
        server.start()
        return
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_a_password_on_the_command_line_is_warned_of_once(kept: tuple[str, Any, str], tmp_path: Path) -> None:
    _, _, url = kept
    said = run(["--store", url, "db", "status"], tmp_path)
    assert said.count("Warning: everybody on this machine can read the password in --store") == 1
    clean(said, "the warning")
    for harmless in (url.replace(f":{ESCAPED}@", "@"), f"sqlite:///{tmp_path}/jobs.db"):
        assert "Warning" not in run(["--store", harmless, "config"], tmp_path)
