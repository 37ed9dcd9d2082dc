"""The jobs of the tests: each does one thing that jobs do, or should not do."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from packhorse import Cancel, Interrupted, Queue, Retry, Snooze, current_job, task


def mark(name: str, text: object = "") -> None:
    """Leave a mark for the test."""
    path = Path(os.environ["SITE"], name)
    part = path.with_name(f".{name}.{os.getpid()}")
    part.write_text(f"{text}\n")
    part.rename(path)


def wait_for(name: str) -> None:
    """Wait for a mark of the test."""
    path = Path(os.environ["SITE"], name)
    while not path.exists():
        time.sleep(0.005)


# -- plain ------------------------------------------------------------------------------------------------------------
def add(a: int, b: int) -> int:
    return a + b


def nothing() -> None:
    pass


def pid() -> int:
    return os.getpid()


def nap(seconds: float, name: str = "") -> str:
    if name:
        mark(name, os.getpid())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)
    return "rested"


async def async_nap(seconds: float, name: str = "") -> str:
    if name:
        mark(name, os.getpid())
    await asyncio.sleep(seconds)
    return "rested"


def held(name: str) -> int:
    """Say that it runs, and wait until it may end."""
    mark(f"{name}-runs", os.getpid())
    wait_for(f"{name}-may-end")
    return os.getpid()


async def async_held(name: str) -> int:
    mark(f"{name}-runs", os.getpid())
    while not Path(os.environ["SITE"], f"{name}-may-end").exists():
        await asyncio.sleep(0.005)
    return os.getpid()


def count(name: str) -> int:
    """Count its runs in a file; return how many there were."""
    with open(os.path.join(os.environ["SITE"], name), "a") as file:
        file.write("x")
    return Path(os.environ["SITE"], name).stat().st_size


# -- dying ------------------------------------------------------------------------------------------------------------
def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def exit_zero() -> None:
    sys.exit(0)


def hard_exit() -> None:
    os._exit(0)


def kill_me(name: str = "") -> None:
    if name:
        count(name)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_me_once(name: str) -> str:
    if count(name) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "the second time"


def say_then_die() -> None:
    print("the last words")
    os.kill(os.getpid(), signal.SIGKILL)


def close_everything() -> None:
    os.closerange(3, 256)


def close_everything_and_stay() -> None:
    os.closerange(3, 256)
    time.sleep(60)


def use_up_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
    kept = []
    while True:
        kept.append(bytearray(1 << 22))


def daemon(name: str) -> int:
    """Leave a double-forked daemon behind, in a session of its own."""
    command = [sys.executable, "-c", "import time; time.sleep(300)", name]
    shell = f"import os, subprocess, sys; os.setsid(); print(subprocess.Popen({command!r}, stdout=2, stderr=2).pid)"
    return int(subprocess.run([sys.executable, "-c", shell], stdout=subprocess.PIPE, check=True, timeout=30).stdout)


def daemon_and_die(name: str) -> None:
    mark(name, daemon(name))
    os.kill(os.getpid(), signal.SIGKILL)


_leak: list[bytearray] = []


def leak(megabytes: int) -> int:
    _leak.append(bytearray(os.urandom(1024)) * 1024 * megabytes)
    return os.getpid()


def hang_in_c() -> None:
    """Block in C, with every signal blocked that can be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    mark("hangs", os.getpid())
    libc = ctypes.PyDLL(None)  # keeps the interpreter's lock
    for _ in range(100):
        libc.sleep(60)


# -- stopping ---------------------------------------------------------------------------------------------------------
def catches_limit() -> str:
    try:
        time.sleep(60)
    except Interrupted as stop:
        return f"stopped: {stop.reason}"
    return "never"


def retries_at_limit(name: str) -> str | Retry:
    if count(name) > 1:
        return "done"
    try:
        time.sleep(60)
    except Interrupted:
        return Retry(0.01, "not done in time")
    return "never"


def ignores_limit() -> None:
    mark("ignoring", os.getpid())
    while True:
        try:
            time.sleep(60)
        except Interrupted:
            continue


def looks_at_should_stop() -> str:
    job = current_job()
    mark("looking", os.getpid())
    while not job.should_stop:
        try:
            time.sleep(0.01)
        except Interrupted:
            return "interrupted"
    return "told"


def finally_cleans_up(name: str) -> None:
    try:
        mark(f"{name}-runs", os.getpid())
        time.sleep(60)
    finally:
        mark(f"{name}-cleaned")


async def async_forever(name: str) -> None:
    mark(f"{name}-runs", os.getpid())
    await asyncio.sleep(60)


async def blocks_the_loop() -> None:
    mark("blocking", os.getpid())
    time.sleep(60)


async def cancels_itself() -> None:
    running = asyncio.current_task()
    assert running is not None
    running.cancel()
    await asyncio.sleep(1)


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


def gives_up() -> Cancel:
    return Cancel("nothing to do")


def snooze_once(name: str) -> str | Snooze:
    return Snooze(0.05, "not yet") if count(name) == 1 else "awake"


# -- content ----------------------------------------------------------------------------------------------------------
class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


def hostile() -> None:
    raise Hostile


def huge_message() -> None:
    raise ValueError("x" * 50_000_000)


def deep(depth: int = 0) -> int:
    return deep(depth + 1)


def several() -> None:
    raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])


def chained() -> None:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise RuntimeError("second") from error


def returns_object() -> Any:
    return object()


def returns_nan() -> Any:
    return float("nan")


def returns_much() -> str:
    return "x" * 3_000_000


def returns_itself() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


def prints(text: str) -> None:
    print(text)


def prints_much(megabytes: int) -> None:
    line = "y" * 1023 + "\n"
    for _ in range(megabytes * 1024):
        sys.stdout.write(line)
    print("the end")


def writes_bytes() -> None:
    sys.stdout.buffer.write(b"\xff\x00binary\n")


def logs_and_prints() -> None:
    print("printed")
    print("to stderr", file=sys.stderr)
    current_job().logger.warning("logged")


def closes_stdout() -> str:
    sys.stdout.close()
    sys.stderr.close()
    return "still here"


def changes_everything(directory: str) -> None:
    os.chdir(directory)
    os.umask(0o000)
    os.environ["CHANGED_BY_A_JOB"] = "1"
    sys.path.insert(0, "/nowhere")
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


def looks_around() -> dict[str, Any]:
    umask = os.umask(0)
    os.umask(umask)
    return {
        "cwd": os.getcwd(),
        "umask": umask,
        "environ": os.environ.get("CHANGED_BY_A_JOB"),
        "path": sys.path[0],
        "handler": str(signal.getsignal(signal.SIGALRM)),
    }


def enqueues() -> str:
    return Queue("work").enqueue(add, 1, 2).id


def tells_progress(name: str) -> None:
    job = current_job()
    job.progress(1, 4, "first", name="a")
    job.update_meta(checkpoint=7)
    print("on the way")
    held(name)


def continues() -> Any:
    job = current_job()
    if "checkpoint" not in job.meta:
        job.update_meta(checkpoint=1)
        os.kill(os.getpid(), signal.SIGKILL)
    return job.meta["checkpoint"]


def tells_of_itself() -> dict[str, Any]:
    job = current_job()
    return {"id": job.id, "attempt": job.attempt, "left": job.attempts_left, "fence": job.fence}


def forks() -> int:
    """Fork as libraries do, and let the other one end without a word."""
    other = os.fork()
    if other == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])


@task(timeout=0.3)
def limited() -> None:
    time.sleep(60)


@task(name="tests.renamed", aliases=["tests.worker.tasks:old_name"])
def renamed() -> str:
    return "found"


def terminates_others() -> list[int]:
    """Start a program and fork a process, and terminate both as one does."""
    program = subprocess.Popen(["sleep", "300"])
    program.terminate()
    reading, writing = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.write(writing, b"x")
        time.sleep(300)
        os._exit(0)
    os.read(reading, 1)
    os.kill(fork, signal.SIGTERM)
    return [program.wait(20), os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])]


def leaves_orphans(count: int) -> None:
    """Start processes whose parents end before them."""
    for _ in range(count):
        subprocess.run(["sh", "-c", "sleep 0.05 &"], check=True, timeout=30)


def held_then_fails(name: str) -> None:
    try:
        mark(f"{name}-runs")
        time.sleep(60)
    except Interrupted as stop:
        raise ValueError("failed while it cleaned up") from stop


def prints_slowly(text: str) -> None:
    for _ in range(5):
        print(text)
        time.sleep(0.002)


async def async_prints(text: str) -> None:
    for _ in range(5):
        print(text)
        await asyncio.sleep(0.002)


def stamp() -> float:
    return time.monotonic()


def prints_escaped(text: str) -> Any:
    found = json.loads(text)
    print(found)
    return [found.encode("utf-8", "surrogatepass").hex()]


def fails_once(name: str) -> str:
    if count(name) == 1:
        raise ValueError("the first time")
    return "done"


_left: list[Any] = []


async def leaves_a_task(name: str) -> str:
    async def later() -> None:
        while not Path(os.environ["SITE"], f"{name}-go").exists():
            await asyncio.sleep(0.005)
        try:
            print("after the end")
        except Exception as error:
            mark(f"{name}-done", repr(error))
        else:
            mark(f"{name}-done", "fine")

    _left.append(asyncio.create_task(later()))
    return "left"


def held_counting(name: str) -> int:
    held(name)
    runs = count(name)
    mark(f"{name}-ended")
    return runs


# -- alone ------------------------------------------------------------------------------------------------------------
def _note(name: str, text: str) -> None:
    with open(os.path.join(os.environ["SITE"], name), "a") as file:
        file.write(f"{text}\n")


def alone(name: str) -> int:
    """Note when it begins and when it has surely ended, as the only one that may: ``held``, told in one file by all runs."""
    _note("alone", f"begins {time.time()}")
    try:
        return held(name)
    finally:
        _note("alone", f"ends {time.time()}")


def flocked(name: str, shared: bool = False) -> None:
    """Hold a file as the job holds the name; the kernel knows whether another living process has it, and forgets the dead."""
    with open(os.path.join(os.environ["SITE"], f"{name}.flock"), "a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            _note("overlaps", name)
        time.sleep(0.06)
