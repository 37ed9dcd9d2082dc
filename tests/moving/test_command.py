"""What the command says and refuses, and with what exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from packhorse._outcome import succeeded
from packhorse._store import JobFilter, Store
from packhorse._stores import open_store
from packhorse.cli import main
from tests.conformance.making import join, running, settle, take
from tests.conformance.test_moving import everything
from tests.worker.site import Site

from .making import enqueue, how, same


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Here:
    """A directory with a store in it, and the command run in this process."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.source = open_store(f"sqlite:///{folder}/a.db")
        self._capfd = capfd

    def move(self, *words: str) -> Ran:
        self._capfd.readouterr()
        code = main(["move", *words])
        return Ran(code, *self._capfd.readouterr())

    def status(self, url: str) -> dict[str, object]:
        self._capfd.readouterr()
        assert main(["--store", url, "db", "status", "--json"]) == 0
        found: dict[str, object] = json.loads(self._capfd.readouterr()[0])
        return found

    def target(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/b.db")


A, B = "sqlite:///a.db", "sqlite:///b.db"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    for name in list(os.environ):
        if name.startswith("PACKHORSE"):
            monkeypatch.delenv(name)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, capfd)


# -- a move ---------------------------------------------------------------------------------------------------------------
def test_it_says_what_it_does_and_what_to_do_next(here: Here) -> None:
    enqueue(here.source, 1234)
    ran = here.move(A, B, "--yes")
    assert ran.code == 0
    first, second, third, fourth = ran.out.splitlines()
    assert first == f"FROM  sqlite:///{here.folder}/a.db  1,234 jobs: … 1,234 queued"
    assert second == f"TO    sqlite:///{here.folder}/b.db  empty"
    assert third.startswith("✓ 1,234 jobs moved and compared in ")
    assert fourth.endswith(f"PACKHORSE_URL=sqlite:///{here.folder}/b.db")
    assert "copying  1,234 of 1,234" in ran.err
    assert "comparing  1,234 of 1,234" in ran.err


def test_json_is_one_document(here: Here) -> None:
    enqueue(here.source, 30)
    ran = here.move(A, B, "--yes", "--json")
    data = json.loads(ran.out)
    assert (data["jobs"], data["copied"], data["states"], data["already"]) == (30, 30, {"queued": 30}, False)
    assert len(data["sha256"]) == 1
    assert json.loads(here.move(A, B, "--yes", "--json").out)["already"] is True


def test_a_dry_run_counts_and_makes_nothing(here: Here) -> None:
    enqueue(here.source, 3)
    running(here.source)
    here.source.pause("mail")
    ran = here.move(A, B, "--dry-run")
    assert ran.code == 0
    assert "4 jobs: … 3 queued, ▶ 1 running; paused: mail" in ran.out
    assert "FROM would be closed, 1 running job would be waited for" in ran.out
    assert not (here.folder / "b.db").exists()
    assert how(here.source) == "open"
    data = json.loads(here.move(A, B, "--dry-run", "--json").out)
    assert (data["stage"], data["jobs"], data["paused"], data["queues"]["mail"]) == ("new", 4, ["mail"], {"queued": 3})


def test_a_dry_run_knows_what_an_earlier_run_has_left(here: Here) -> None:
    enqueue(here.source, 3)
    running(here.source)
    here.move(A, B, "--yes", "--timeout", "0")
    assert "the move would go on" in here.move(A, B, "--dry-run").out
    assert how(here.target()) == "filling"


def test_without_a_terminal_it_wants_a_yes(here: Here) -> None:
    enqueue(here.source)
    ran = here.move(A, B)
    assert ran.code == 2
    assert "say --yes" in ran.err
    assert how(here.source) == "open"


def test_going_on_needs_no_second_yes(here: Here) -> None:
    job = running(here.source)
    assert here.move(A, B, "--yes", "--timeout", "0").code == 1
    settle(here.source, succeeded(job, "3"))
    assert here.move(A, B).code == 0
    assert same(here.source, here.target())


def test_db_status_tells_of_it(here: Here) -> None:
    assert "closed" not in here.status(A)
    here.move(A, B, "--yes")
    assert here.status(A)["closed"] == f"moved to sqlite:///{here.folder}/b.db"
    assert "closed" not in here.status(B)


def test_nothing_is_requeued_where_nothing_runs_any_more(here: Here, capfd: pytest.CaptureFixture[str]) -> None:
    (job,) = enqueue(here.source)
    here.source.cancel(JobFilter(ids=(job,)))
    here.move(A, B, "--yes")
    assert main(["--store", A, "jobs", "requeue", job]) == 69
    assert "have moved to" in capfd.readouterr().err
    assert main(["--store", B, "jobs", "requeue", job]) == 0


def test_namespaces_move_too(here: Here) -> None:
    enqueue(here.source, 3)
    ran = here.move(A, f"{A}?namespace=new", "--yes")
    assert ran.code == 0
    assert same(here.source, open_store(f"sqlite:///{here.folder}/a.db", namespace="new"))
    said = here.move(f"{A}?namespace=new", B, "--dry-run")
    assert "3 jobs" in said.out


# -- refused --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words, code, said",
    [
        ((A,), 2, "Missing argument 'TO'"),
        ((A, A, "--yes"), 1, "are the same store"),
        ((A, "memory://", "--yes"), 2, "a memory store lives in one process only"),
        (("memory://x", B, "--yes"), 2, "a memory store lives in one process only"),
        (("sqlite:///nowhere.db", B, "--yes"), 69, "cannot reach the job store; nothing was done."),
        ((A, "b.db", "--yes"), 78, "that is no URL"),
        ((A, B, "--yes", "--force"), 2, "--force goes with --reopen"),
        ((A, B, "--yes", "--timeout", "soon"), 2, "--timeout"),
        (("env:NO_SUCH_URL", B, "--yes"), 2, "the environment variable NO_SUCH_URL is not set"),
        (("--reopen", A, B), 2, "--reopen takes one store"),
    ],
)
def test_what_cannot_be_is_refused(here: Here, words: tuple[str, ...], code: int, said: str) -> None:
    enqueue(here.source)
    ran = here.move(*words)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert "Traceback" not in ran.err
    assert how(here.source) == "open"
    assert not (here.folder / "nowhere.db").exists()


def test_jobs_of_another_are_not_mixed_in(here: Here) -> None:
    enqueue(here.source)
    enqueue(here.target(), 2)
    ran = here.move(A, B, "--yes")
    assert ran.code == 1
    assert "MoveRefused: TO has 2 jobs of its own; nothing was moved." in ran.err
    assert ran.err.rstrip().endswith("[E134]")
    assert "stopped before its end" not in ran.err


# -- what runs ------------------------------------------------------------------------------------------------------------
def test_running_jobs_are_named(here: Here) -> None:
    worker = join(here.source, "web-1")
    job = running(here.source, worker)
    ran = here.move(A, B, "--yes", "--timeout", "0.2s")
    assert ran.code == 1
    assert f"1 job still running: {job.id[-8:]} tasks:add (web-1)" in ran.err
    assert "1 job runs still in FROM after 0.2 s, and nothing was copied" in ran.err
    assert "Run the same command again to go on" in ran.err
    assert (how(here.source), everything(here.target())) == ("moving", [])


# -- undone ---------------------------------------------------------------------------------------------------------------
def test_a_move_is_given_up(here: Here) -> None:
    job = running(here.source)
    here.move(A, B, "--yes", "--timeout", "0")
    ran = here.move("--reopen", A)
    assert ran.code == 0
    assert f"▶ sqlite:///{here.folder}/a.db is open again" in ran.out
    assert f"sqlite:///{here.folder}/b.db keeps the copies made so far, and stays closed" in ran.out
    settle(here.source, succeeded(job, "3"))
    enqueue(here.source)
    assert "was open; nothing changed" in here.move("--reopen", A).out


def test_a_move_that_is_done_is_not_given_up_by_the_way(here: Here) -> None:
    enqueue(here.source)
    here.move(A, B, "--yes")
    ran = here.move("--reopen", A)
    assert ran.code == 1
    assert f"packhorse move sqlite:///{here.folder}/b.db sqlite:///{here.folder}/a.db" in ran.err
    assert how(here.source) == "moved"
    assert here.move("--reopen", A, "--force").code == 0
    assert len(take(here.source, join(here.source))) == 1


# -- secrets --------------------------------------------------------------------------------------------------------------
SECRET = "postgresql://jobs:hunter2@127.0.0.1:9/jobs"


def test_a_password_on_the_command_line_is_warned_of(here: Here) -> None:
    ran = here.move(A, SECRET, "--dry-run")
    assert ran.code != 0
    assert "the password in TO can be read by everybody on this host" in ran.err
    assert "env:NAME" in ran.err
    assert "hunter2" not in ran.err + ran.out


def test_a_url_in_the_environment_is_not(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW_STORE", SECRET)
    ran = here.move(A, "env:NEW_STORE", "--dry-run")
    assert ran.code != 0
    assert "can be read" not in ran.err
    assert "hunter2" not in ran.err + ran.out
    monkeypatch.setenv("NEW_STORE", B)
    assert here.move(A, "env:NEW_STORE", "--dry-run").code == 0


# -- in a process of its own ------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(site: Site) -> None:
    running(site.store, join(site.store))
    moving = site.launch(
        [sys.executable, "-m", "packhorse", "move", site.url, f"sqlite:///{site.directory}/to.db", "-y"]
    )
    moving.until("1 job still running")
    moving.signal(signal.SIGINT)
    assert moving.ended() == 130
    assert "Run the same command again to go on" in moving.output
    assert "packhorse move --reopen FROM" in moving.output
    assert "Traceback" not in moving.output
    assert how(site.store) == "moving"


@pytest.mark.slow
def test_a_terminal_shows_a_bar(site: Site) -> None:
    enqueue(site.store, 1000)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "packhorse", "move", site.url, f"sqlite:///{site.directory}/to.db", "-y"]
    with subprocess.Popen(
        command, env=site.environ(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=child
    ) as moving:
        os.close(child)
        shown = b"".join(iter(lambda: read_on(parent), b""))
    os.close(parent)
    assert moving.returncode == 0
    text = shown.decode()
    assert "copying" in text
    assert "1000/1000" in text
    assert "####" in text


def read_on(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other side is closed
        return b""
