from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import packhorse.cli
from packhorse import _origin, _runtime, _settings
from packhorse._backoff import Backoff
from packhorse._ids import new_id
from packhorse._outcome import failed, succeeded
from packhorse._record import Claimed, NewJob, Verdict, WorkerRecord
from packhorse._store import Store

TASKS = """
from __future__ import annotations
import sys
from dataclasses import dataclass
from enum import Enum

class Colour(Enum):
    RED = "red"

def add(x: int, y: int) -> int:
    return x + y

def echo(*words, **named):
    return [list(words), named]

def boom(what="updated"):
    print("about to fail")
    raise KeyError(what)

def paint(colour: Colour, deep: bool = False, size: float | None = None) -> str:
    return f"{colour.name} {deep} {size}"

def sleepy(seconds: float) -> None:
    import time
    time.sleep(seconds)

def _hidden() -> None: ...
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project with a module of tasks, a store URL in the environment, and nothing else of ours in it."""
    for name in list(os.environ):
        if name.startswith("PACKHORSE") or name in ("NO_COLOR", "FORCE_COLOR", "REDIS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACKHORSE_URL", f"sqlite:///{tmp_path}/jobs.db")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("tasks", None)
    with _origin.adopted(lambda: (None, None)):  # a command that is a job's makes itself the parent of all that comes
        yield tmp_path
    sys.modules.pop("tasks", None)
    _runtime.forget()


@pytest.fixture
def cli(place: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in this process, as the program does."""

    def call(*words: str, **more: Any) -> Ran:
        capfd.readouterr()
        code = packhorse.cli.main(list(words), **more)
        return Ran(code, *capfd.readouterr())

    return call


@pytest.fixture
def program(place: Path) -> Callable[..., Ran]:
    """Run the real program in a process of its own."""

    def call(*words: str, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "packhorse", *words],
            cwd=place,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    """The store that the command line will find."""
    opened = _runtime.open_store(_settings.resolve())
    yield opened
    opened.close()


class World:
    """Puts a store into a state, through its protocol."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._claims = 0

    def job(self, task: str = "tasks:add", payload: str = "[[2,3],{}]", **more: Any) -> str:
        new = NewJob(id=new_id(), task=task, queue=more.pop("queue", "default"), payload=payload, **more)
        return self.store.enqueue([new])[0].id

    def worker(self, name: str = "web-1", tasks: tuple[str, ...] = ("tasks:add",), **more: Any) -> WorkerRecord:
        catalogue = {"tasks": {task: {"signature": "add(x: int, y: int)"} for task in tasks}, "build": "9f2c"}
        record = WorkerRecord(id=new_id(), name=name, host="a1", pid=812, boot_id="b", catalogue=json.dumps(catalogue))
        record = record._replace(**more)
        self.store.register(record)
        return record

    def claim(self, worker: WorkerRecord, count: int = 1, queue: str = "default") -> list[Claimed]:
        self._claims += 1
        return self.store.claim([queue], count, 0, worker.id, self._claims).jobs

    def settle(self, worker: WorkerRecord, verdict: Verdict) -> None:
        assert self.store.settle(worker.id, [verdict._replace(started=1.5)]) == []

    def succeed(self, worker: WorkerRecord, result: str = "5", count: int = 1) -> list[str]:
        claimed = self.claim(worker, count)
        for job in claimed:
            self.settle(worker, succeeded(job, result))
        return [job.id for job in claimed]

    def fail(self, worker: WorkerRecord, retries: int = 0, **error: Any) -> str:
        (job,) = self.claim(worker)
        text = json.dumps({"type": "KeyError", "message": "'updated'", **error})
        self.settle(worker, failed(job, Backoff(retries, base=40, jitter=False), text)._replace(log="one\ntwo\n"))
        return job.id


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
