"""``packhorse.command``: a program run by a Python job, as part of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import packhorse
from packhorse import Cancel, Queue, Retry, Snooze, current_job
from packhorse.errors import BadArguments, BadOption, CommandFailed
from packhorse.testing import memory

SH = "/bin/sh"


def sh(line: str, *args: str, **keys: Any) -> int:
    return packhorse.command([SH, "-c", line, "sh", *args], **keys)


def gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


def test_its_output_is_marked_and_its_status_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert sh("echo one; echo two >&2; printf 'a\rb\\nhalf'; exit 3", ok=(0, 3)) == 3
    assert sorted(capsys.readouterr().out.splitlines()) == ["err: two", "out: b", "out: half", "out: one"]


def test_what_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = 'pwd; cat; echo "$A$OURS $1"; umask; nice'
    monkeypatch.setenv("OURS", "-ours")
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert sh(line, "{x}{y}", params={"x": "1"}, env={"A": "a"}, stdin=b"\xff\n", umask="027", cwd="/") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == ["out: /", "out: \\xff", "out: a-ours 1{y}", "out: 0027"]
    sh("sleep 0.3; nice; pwd", nice=3)
    assert capsys.readouterr().out.splitlines() == [f"out: {min(19, nice + 3)}", f"out: {tmp_path}"]
    assert packhorse.command("echo $0 {x}", shell=True, params={"x": "a; b"}) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == "out: sh a; b\n"


def test_a_status_that_is_not_accepted() -> None:
    with pytest.raises(CommandFailed, match=r"/bin/sh: exit status 3.\n  why\n  really") as caught:
        sh("echo why >&2; echo really >&2; exit 3")
    assert caught.value.status == 3
    assert str(caught.value).endswith("[E212]")


@pytest.mark.parametrize(
    "meaning, kind",
    [("snooze:5m", Snooze), ("retry:30s", Retry), ("retry", Retry), ("cancel", Cancel), ("fail", CommandFailed)],
)
def test_what_a_status_means(meaning: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="exit status 75"):
        sh("exit 75", exits={75: meaning})


def test_one_that_is_killed_or_cannot_be_started(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    with pytest.raises(CommandFailed, match="was killed by SIGSEGV"):
        sh("kill -SEGV $$")
    with pytest.raises(CommandFailed, match="/nowhere/prog cannot be started: there is no such program"):
        packhorse.command(["/nowhere/prog"])
    with pytest.raises(CommandFailed, match="plain cannot be started: it is not executable"):
        packhorse.command([str(plain)])


def test_limits_of_its_own() -> None:
    before = time.monotonic()
    with pytest.raises(CommandFailed, match="was stopped at its time limit of 0.2 s"):
        sh("sleep 60", timeout=0.2)
    assert time.monotonic() - before < 20
    with pytest.raises(CommandFailed, match="was killed by SIGXCPU|was killed by SIGKILL"):
        sh("while :; do :; done", max_cpu=1)
    with pytest.raises(CommandFailed, match="for using more than 50,000,000 bytes of memory"):
        packhorse.command(
            [sys.executable, "-c", "x = b'x' * 300_000_000; import time; time.sleep(60)"], max_memory="50M"
        )


def test_its_whole_group_ends_with_it(tmp_path: Path) -> None:
    """A helper in the background, and one that ignores being asked."""
    assert sh("(trap '' TERM; echo $$; sleep 60; sleep 60) & echo $! > $1; :", str(tmp_path / "pid")) == 0
    assert eventually(lambda: gone(int((tmp_path / "pid").read_text())))


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    def strike() -> None:
        assert eventually((tmp_path / "pid").exists)
        os.kill(os.getpid(), signal.SIGUSR1)

    def raises(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, raises)
    other = threading.Thread(target=strike)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            sh("echo $$ > $1.new; mv $1.new $1; sleep 60", str(tmp_path / "pid"))
    finally:
        signal.signal(signal.SIGUSR1, before)
        other.join()
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("step", ["_must_be_there", "_start", "_limit", "_Guard.watch"])
def test_an_interrupt_in_the_midst_of_its_start_ends_it(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from packhorse import _command_inside

    owner, name = (_command_inside._Guard, "watch") if "." in step else (_command_inside, step)
    whole = getattr(owner, name)
    begun: list[int] = []
    takes = _command_inside._Run._takes

    def noted(run: _command_inside._Run, process: _command_inside._Process) -> None:
        takes(run, process)
        begun.append(0)

    def interrupted(*words: object) -> None:
        whole(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(_command_inside._Run, "_takes", noted)
    monkeypatch.setattr(owner, name, interrupted)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        sh("sleep 60.25")
    assert len(begun) == (step != "_must_be_there")
    assert len(os.listdir("/proc/self/fd")) == before
    assert eventually(lambda: "sleep\x0060.25" not in everything_that_runs())


def everything_that_runs() -> str:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                found.append(Path(f"/proc/{name}/cmdline").read_text())
    return "\n".join(found)


def test_no_descriptor_is_left_open() -> None:
    sh(":")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        sh("echo x; echo y >&3 2>/dev/null || :")
    assert len(os.listdir("/proc/self/fd")) == before


def test_much_output_does_not_fill_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; head -c 300000 /dev/zero >&2") == 0
    assert len(capsys.readouterr().out) > 3_000_000


Refused = [
    (lambda: packhorse.command([]), BadOption, "command is empty"),
    (lambda: packhorse.command(["bin/x"]), BadOption, "is a relative path"),
    (
        lambda: packhorse.command(["x"], outputs={"a": "/b"}),
        BadOption,
        "'outputs' belongs to a command that is a job of its own",
    ),  # type: ignore[call-arg]
    (lambda: packhorse.command(["x"], oks=[1]), BadOption, "Did you mean 'ok'"),  # type: ignore[call-arg]
    (lambda: packhorse.command(["x"], params={"a": "1"}), BadArguments, "used nowhere"),
]


@pytest.mark.parametrize("number", range(len(Refused)))
def test_a_wrong_call_is_refused(number: int) -> None:
    call, kind, message = Refused[number]
    with pytest.raises(kind, match=message):
        call()


# -- inside a job -------------------------------------------------------------------------------------------------------
def encode(line: str) -> int:
    status = packhorse.command([SH, "-c", line])
    current_job().progress(1)
    return status


@pytest.fixture
def kit() -> Iterator[Any]:
    with memory(raises=False) as found:
        yield found


def test_a_job_knows_of_its_progress_and_itself(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    job = Queue().enqueue(
        encode,
        'echo "progress 40/100 page 12" >&$PACKHORSE_FD; echo "log hello" >&$PACKHORSE_FD; echo $PACKHORSE_JOB_ID',
    )
    kit.run()
    assert job.refresh().state == "succeeded"
    assert {f"out: {job.id}", "log: hello"} <= set(capsys.readouterr().out.splitlines())


def test_it_is_the_same_where_there_are_threads(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        assert sh("echo 'log told' >&3; echo $PACKHORSE_FD; exit 4", ok=[4]) == 4
        with pytest.raises(CommandFailed, match="there is no such program"):
            packhorse.command(["/nowhere/prog"])
    finally:
        end.set()
        other.join()
    assert sorted(capsys.readouterr().out.splitlines()) == ["log: told", "out: 3"]


def test_what_it_says_ends_the_job(kit: Any) -> None:
    job = Queue().enqueue(encode, "echo why >&2; exit 9")
    kit.run()
    assert job.refresh().state == "failed"
    assert job._record is not None
    assert "exit status 9" in str(job._record.error)
