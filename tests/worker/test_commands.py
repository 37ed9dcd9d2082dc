"""Programs as jobs: how they are started, what of them is on record, what becomes of those that misbehave."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packhorse import Backoff, Job, _ids
from packhorse._record import JobRecord, NewJob
from tests.worker import tasks
from tests.worker.site import Site, eventually, with_argument

#: In a script of the shell: wait for the file that is its first argument; for one beside it.
UNTIL = "until [ -e $0 ]; do sleep 0.02; done"
UNTIL_ON = "until [ -e $0-on ]; do sleep 0.02; done"

#: Signals 32 and 33 belong to glibc, which lets no program say what becomes of them: they stay as they were inherited.
LIBC = 0b11 << 31


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker without an application that runs every program, for all tests of this module."""
    found = Site(tmp_path_factory.mktemp("commands"))
    found.worker(
        "--threads", "4", "--allow-commands", "*", "--workspaces", f"{found.directory}/spaces", app=None
    ).ready()
    yield found
    found.close()


def run(site: Site, *argv: str, **keys: Any) -> JobRecord:
    return site.end(site.queue.command(argv, **keys))


def sh(site: Site, script: str, **keys: Any) -> JobRecord:
    """Run a script of the shell to its end."""
    return run(site, "sh", "-c", script, **keys)


def usage(site: Site, job: JobRecord | Job[Any]) -> dict[str, Any]:
    """Return what the last attempt has on record."""
    found = site.attempts(job)[-1].usage
    assert found is not None
    said: dict[str, Any] = json.loads(found)
    return said


def error(job: JobRecord) -> dict[str, Any]:
    assert job.error is not None, job.reason
    said: dict[str, Any] = json.loads(job.error)
    return said


def test_a_command_in_its_stored_form_runs_and_ends_with_its_status(shared: Site) -> None:
    job = _ids.new_id()
    payload = json.dumps([["sh", "-c", "echo to out; echo to err >&2; exit 3"], {"ok": [3]}])
    shared.store.enqueue([NewJob(id=job, task="$sh", queue="work", payload=payload)])
    ended = shared.end(job)
    assert (ended.state, ended.result) == ("succeeded", "3")
    assert sorted(shared.log(ended).splitlines()) == ["err: to err", "out: to out"]
    assert usage(shared, ended)["exit"] == 3


# -- how a command is started -----------------------------------------------------------------------------------------
def test_a_command_starts_with_nothing_but_what_it_is_given(shared: Site) -> None:
    """A session of its own, default dispositions, an empty mask, four descriptors, a small environment."""
    job = sh(shared, "env; ls /proc/self/fd; grep ^Sig /proc/$$/status; cut -d' ' -f5,6 /proc/$$/stat; echo $$")
    lines = [line.removeprefix("out: ") for line in shared.log(job).splitlines()]
    environ = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environ["PACKHORSE_JOB_ID"] == job.id
    assert (environ["PACKHORSE_FD"], environ["PACKHORSE_ATTEMPT"]) == ("3", "1")
    assert {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR"} <= environ.keys()
    assert not {"PYTHONPATH", "SITE", "PACKHORSE_URL"} & environ.keys()
    assert [line for line in lines if line.isdigit()][:-1] == ["0", "1", "2", "3", "4"]  # the last is the directory
    masks = [int(line.split()[1], 16) & ~LIBC for line in lines if line.startswith(("SigBlk", "SigIgn"))]
    assert masks == [0, 0]
    group, session = lines[-2].split()
    assert group == session == lines[-1]


def test_its_standard_input_is_empty_or_what_was_given(shared: Site) -> None:
    assert shared.log(run(shared, "cat")) == ""
    assert shared.log(run(shared, "cat", stdin="two\nlines\n")) == "out: two\nout: lines\n"
    whole = sh(shared, "wc -c", stdin=b"\x00\xff" * 300_000)
    assert shared.log(whole).split()[-1] == "600000"


def test_what_it_may_use_is_limited(shared: Site) -> None:
    job = sh(shared, "umask; nice; ulimit -t; pwd", umask="027", nice=7, max_cpu=9, cwd="/usr")
    assert shared.log(job).split()[1::2] == ["0027", str(min(19, os.nice(0) + 7)), "9", "/usr"]


def test_too_much_processor_time_ends_it(shared: Site) -> None:
    job = sh(shared, "while :; do :; done", max_cpu=1)
    assert job.state == "failed"
    assert error(job)["code"] == "E216"
    assert "max_cpu" in error(job)["message"]
    assert usage(shared, job)["signal"] == "SIGXCPU"


def test_too_much_memory_ends_it_with_all_its_processes(shared: Site) -> None:
    hungry = "import time; kept = bytearray(200_000_000); time.sleep(60)"
    job = sh(shared, f'{sys.executable} -c "{hungry}" & wait', max_memory="100M")
    assert job.state == "failed"
    assert "max_memory of 100 MiB" in error(job)["message"] or "max_memory of 95 MiB" in error(job)["message"]
    assert usage(shared, job)["peak"] > 100_000_000
    assert not with_argument(job.id)


def test_steps_run_in_order_until_one_fails(shared: Site) -> None:
    fine = run(shared, "echo", "one", steps=[["echo", "two"], ["sh", "-c", "exit 0"]])
    assert (fine.state, fine.result) == ("succeeded", "0")
    assert shared.log(fine) == "out: one\nout: two\n"
    broken = run(shared, "echo", "one", steps=[["sh", "-c", "exit 9"], ["echo", "three"]])
    assert broken.state == "failed"
    assert "exit status 9 of step 2" in error(broken)["message"]
    assert (usage(shared, broken)["step"], usage(shared, broken)["exit"]) == (2, 9)
    assert "three" not in shared.log(broken)


def test_a_line_for_the_shell(shared: Site) -> None:
    job = run(shared, "echo a | tr a b", shell=True)
    assert shared.log(job) == "out: b\n"


def test_exit_statuses_mean_what_was_said(shared: Site) -> None:
    exits = {"75": "snooze:1h", "69": "retry:1h", "99": "cancel", "65": "fail"}
    wanted = {75: "scheduled", 69: "retrying", 99: "cancelled", 65: "failed"}
    for status, state in wanted.items():
        job = shared.queue.using(retry=3).command(["sh", "-c", f"exit {status}"], exits=exits)
        shared.state(job, state)
    failed = shared.queue.using(retry=Backoff(1, base=0.01)).command(["false"])
    assert shared.end(failed).failures == 2


# -- the record -------------------------------------------------------------------------------------------------------
def test_a_failure_tells_its_status_and_the_end_of_what_it_said(shared: Site) -> None:
    job = sh(shared, "seq 100 >&2; echo the very end >&2; exit 4")
    assert error(job)["type"] == "ExitStatus"
    assert error(job)["message"].startswith("exit status 4 of sh -c")
    assert error(job)["message"].endswith("100\nthe very end")
    assert error(job)["code"] == "E212"


def test_a_signal_is_told_by_its_name(shared: Site) -> None:
    job = sh(shared, "kill -SEGV $$")
    assert "killed by SIGSEGV" in error(job)["message"]
    assert (usage(shared, job)["exit"], usage(shared, job)["signal"]) == (None, "SIGSEGV")


def test_what_it_used_is_on_record_also_of_a_success(shared: Site) -> None:
    job = sh(shared, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done")
    assert usage(shared, job)["cpu"] > 0.005
    assert usage(shared, job)["peak"] > 1_000_000
    assert usage(shared, job)["program"].endswith("/sh")


def test_both_streams_are_one_log_while_it_runs(shared: Site) -> None:
    job = shared.queue.command(["sh", "-c", f"echo one; sleep 0.3; echo two >&2; {UNTIL}", str(shared.mark("on"))])  # fmt: skip
    eventually(lambda: shared.log(job) == "out: one\nerr: two\n", "its log")
    assert shared.job(job).state == "running"
    shared.let("on")
    assert shared.end(job).state == "succeeded"


def test_binary_garbage_is_made_safe(shared: Site) -> None:
    job = sh(shared, "printf '\\000\\377\\033[31mred\\n'; printf 'caf\\303\\251\\r\\n'; printf 'old\\rnew\\n'")
    assert shared.log(job) == "out: \\x00\\xff\\x1b[31mred\nout: café\nout: new\n"


def test_a_flood_costs_little_and_the_end_of_both_streams_is_kept(shared: Site) -> None:
    script = "echo first >&2; head -c 60000000 /dev/zero | tr '\\0' 'x'; echo; echo last"
    job = sh(shared, script)
    log = shared.log(job)
    assert log.endswith("out: last\n")
    assert "err: first" in log
    assert len(log) <= 2 * 64 * 1024 + 1000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to tell how much memory there was")
def test_a_gigabyte_of_output_takes_no_memory(site: Site) -> None:
    worker = site.worker("--allow-commands", "*", app=None).ready()
    job = site.queue.command(
        ["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 1073741824; echo; echo last"]
    )
    site.state(job, "running")
    pids = worker.children()
    (child,) = [pid for pid in pids if b"--commands" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert site.end(job, patience=100).state == "succeeded"
    for pid in (worker.pid, child):
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert peak is not None
        assert int(peak[1]) < 100_000  # KiB
    assert site.log(job).endswith("out: last\n")
    assert worker.stop() == 0


def test_neither_does_it_hold_up_others(shared: Site) -> None:
    flood = shared.queue.command(["sh", "-c", "yes"])
    shared.state(flood, "running")
    for _ in range(3):
        assert shared.log(sh(shared, "echo quick")) == "out: quick\n"
    flood.cancel()
    assert shared.end(flood).state == "cancelled"


def test_the_whole_output_is_kept_in_files_if_wanted(shared: Site) -> None:
    job = sh(shared, "seq 50000; echo no >&2", keep_output=True)
    out, err = usage(shared, job)["output"]
    assert Path(out).read_text() == "".join(f"{n}\n" for n in range(1, 50001))
    assert Path(err).read_text() == "no\n"
    until = float(Path(out).with_name(".until").read_text())
    assert until == pytest.approx(time.time() + 30 * 86400, abs=120)  # [retention] output


# -- progress ---------------------------------------------------------------------------------------------------------
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox", "ksh", "zsh", "perl", "ruby") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_progress_from_any_language(shared: Site, shell: str) -> None:
    """Descriptor 3 is a pipe, also where a shell can redirect to single digits only."""
    lines = "progress 40/100 page 12\\nlog kept\\nnonsense\\n"
    programs = {
        "perl": ["-e", f'open(my $told, ">&=", 3); syswrite $told, "{lines}"'],
        "ruby": ["-e", f'IO.for_fd(3, "w").write("{lines}")'],
        "busybox": ["sh", "-c", f"printf '{lines}' >&3"],
    }
    job = run(shared, shell, *programs.get(shell, ["-c", f"printf '{lines}' >&3"]))
    assert job.state == "succeeded", job.error
    assert json.loads(job.progress or "{}") == {"": {"done": 40, "total": 100, "note": "page 12"}}
    assert shared.log(job) == "log: kept\nlog: nonsense\n"


def test_progress_is_seen_while_it_runs(shared: Site) -> None:
    job = shared.queue.command(["sh", "-c", f"echo 40% >&3; {UNTIL}", str(shared.mark("go"))])
    eventually(lambda: shared.job(job).progress, "its progress")
    assert "40 %" in job.why()
    shared.let("go")
    shared.end(job)


# -- what misbehaves --------------------------------------------------------------------------------------------------
def test_what_it_leaves_running_is_killed_before_it_counts_as_ended(shared: Site) -> None:
    """In its group, in a session of its own, and a daemon twice removed."""
    script = (
        "sleep 1000 & setsid sleep 1001 & (setsid sh -c '(sleep 1002 &) ; exec sleep 1003' &) ; sleep 0.2; echo done"
    )
    job = sh(shared, script)
    assert job.state == "succeeded"
    assert not with_argument(job.id)


def test_a_daemon_is_not_killed_while_its_command_runs(shared: Site) -> None:
    sign = shared.mark("daemon-lives")
    script = (
        f"(setsid sh -c 'sleep 0.4; echo alive; touch {sign}' &); until [ -e {sign} ]; do sleep 0.05; done; echo end"
    )
    assert shared.log(sh(shared, script)) == "out: alive\nout: end\n"


def test_one_that_ignores_term_is_killed_at_its_time_limit(shared: Site) -> None:
    began = time.monotonic()
    job = shared.end(
        shared.queue.using(timeout="300ms").command(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    )
    took = time.monotonic() - began
    assert job.state == "failed"
    assert error(job)["code"] == "E150"
    assert usage(shared, job)["signal"] == "SIGKILL"
    assert 4.5 < took < 20
    assert not with_argument(job.id)


def test_the_whole_group_hears_of_a_cancel(shared: Site) -> None:
    script = "trap 'echo stopped >&2; exit 9' TERM; sleep 600 & wait"
    job = shared.queue.command(["sh", "-c", script])
    shared.state(job, "running")
    eventually(lambda: shared.job(job).started_at, "its start")
    job.cancel()
    ended = shared.end(job)
    assert ended.state == "cancelled"
    assert "err: stopped" in shared.log(job)
    assert not with_argument(job.id)


def test_no_time_limit_holds_unless_one_is_given(shared: Site) -> None:
    job = shared.queue.command(["sleep", "600"])
    eventually(lambda: shared.job(job).started_at, "its start")
    assert "limit" not in job.why()
    job.cancel()
    shared.end(job)


def test_one_that_closes_its_descriptors_is_waited_for(shared: Site) -> None:
    job = sh(shared, "exec 0<&- 1>&- 2>&- 3>&-; sleep 0.3; exit 5")
    assert usage(shared, job)["exit"] == 5


def test_a_program_that_is_not_there_waits_and_says_so(shared: Site) -> None:
    place = shared.directory / "later.sh"
    job = shared.queue.command([str(place)])
    shared.state(job, "blocked")
    assert "no live worker runs this program" in (shared.job(job).reason or "")
    assert "no live worker runs this program" in job.why()
    place.write_text("#!/bin/sh\necho here now\n")
    time.sleep(0.01)
    assert shared.job(job).state == "blocked"
    place.chmod(0o755)
    eventually(lambda: shared.job(job).state == "succeeded", "its run once the program is there")


@pytest.mark.parametrize("text", ["echo no first line\n", "#!/nowhere/interpreter\n"])
def test_what_cannot_be_executed_says_why(shared: Site, text: str) -> None:
    place = shared.directory / "broken.sh"
    place.write_text(text)
    place.chmod(0o755)
    job = run(shared, str(place))
    assert job.state == "failed"
    assert error(job)["code"] == "E213"
    assert "first line" in error(job)["message"]


def test_a_working_directory_that_is_not_there_says_so(shared: Site) -> None:
    job = run(shared, "pwd", cwd="/nowhere/at/all")
    assert "/nowhere/at/all cannot be entered" in error(job)["message"]


def test_what_was_stored_wrongly_fails_once_and_for_all(shared: Site) -> None:
    job = _ids.new_id()
    shared.store.enqueue([NewJob(id=job, task="$x", queue="work", payload='[["x"],{"umsk":1}]')])
    ended = shared.end(job)
    assert ended.state == "failed"
    assert "umsk" in error(ended)["message"]


def test_a_quiet_command_is_shown_as_quiet(site: Site) -> None:
    site.worker(
        "--allow-commands", "sh", "--workspaces", f"{site.directory}/spaces", "--quiet-after", "300ms", app=None
    )
    job = site.queue.command(
        ["sh", "-c", f"echo one; {UNTIL}; while :; do echo two; sleep 0.1; done", str(site.mark("on"))]
    )
    eventually(lambda: "quiet" in job.why(), "that it is quiet")
    site.let("on")
    eventually(lambda: "quiet" not in job.why(), "that it is no longer")
    job.cancel()
    site.end(job)


# -- slots, permission, needs -----------------------------------------------------------------------------------------
def test_commands_take_the_slots_of_the_worker(site: Site) -> None:
    """Two slots: two of the three run, and no function beside them."""
    site.worker("--processes", "2", "--allow-commands", "sh", "--workspaces", f"{site.directory}/spaces").ready()
    script = f"echo >$0; {UNTIL_ON}"
    jobs = [site.queue.command(["sh", "-c", script, str(site.mark(f"c{n}"))]) for n in range(3)]
    site.marked("c0")
    site.marked("c1")
    function = site.enqueue(tasks.add, 1, 2)
    time.sleep(0.5)
    assert not site.mark("c2").exists()
    assert site.job(function).state == "queued"
    site.let("c0-on")
    site.marked("c2")
    site.let("c1-on")
    assert site.end(function).result == "3"
    site.let("c2-on")
    assert {site.end(job).state for job in jobs} == {"succeeded"}


def test_a_command_that_wants_all_slots_waits_until_they_are_free(site: Site) -> None:
    site.worker(
        "--threads", "3", "--allow-commands", "sh", "--workspaces", f"{site.directory}/spaces", app=None
    ).ready()
    script = f"echo >$0; {UNTIL_ON}"
    small = site.queue.command(["sh", "-c", script, str(site.mark("small"))])
    site.marked("small")
    large = site.queue.command(["sh", "-c", script, str(site.mark("large"))], slots="all")
    eventually(lambda: "slots" in large.why(), "why it waits")
    late = site.queue.command(["sh", "-c", "true"])
    time.sleep(0.4)
    assert not site.mark("large").exists()
    site.let("small-on")
    site.end(small)
    site.marked("large")
    assert site.job(late).state == "queued"
    site.let("large-on")
    assert site.end(large).state == site.end(late).state == "succeeded"


def test_only_allowed_programs_run_and_the_others_wait_for_a_worker(site: Site) -> None:
    first = site.worker("--allow-commands", "true", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    job = site.queue.command(["echo", "hello"])
    site.state(job, "blocked")
    why = job.why()
    assert "no live worker runs this program" in why
    assert "--allow-commands" in why
    assert site.end(site.queue.command(["true"])).state == "succeeded"
    assert "runs only the programs true" in first.output
    site.worker("--allow-commands", "echo,/opt/x/*", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    eventually(lambda: site.job(job).state == "succeeded", "its run on a worker that may")


def test_what_a_host_must_have_is_waited_for(site: Site) -> None:
    site.worker("--allow-commands", "*", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    place = site.directory / "mounted"
    place.mkdir()
    job = site.queue.command(["true"], needs=[f"mount:{place}"])
    site.state(job, "blocked")
    assert f"nothing is mounted at {place}" in job.why()
    missing = site.queue.command(["true"], needs=["program:no-such-program"])
    site.state(missing, "blocked")
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        eventually(lambda: site.job(job).state == "succeeded", "its run once that is there")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert site.job(missing).state == "blocked"


def test_a_host_without_what_it_must_have_leaves_commands_to_others(site: Site) -> None:
    place = site.directory / "content"
    where = ("--allow-commands", "true", "--workspaces", f"{site.directory}/spaces")
    site.worker(*where, "--needs", f"mount:{place}", app=None).ready()
    job = site.queue.command(["true"])
    site.state(job, "blocked")
    assert f"{place}: No such file or directory" in job.why()
    site.worker(*where, app=None).ready()
    eventually(lambda: site.job(job).state == "succeeded", "its run on a host that needs nothing")


def test_a_function_waits_at_a_worker_without_an_application(site: Site) -> None:
    site.worker("--allow-commands", "*", "--workspaces", f"{site.directory}/spaces", app=None).ready()
    job = site.enqueue(tasks.add, 1, 2)
    site.state(job, "blocked")
    site.workers[0].until("this worker does not know its task 'tests.worker.tasks:add' (it imported: nothing)")
    site.worker().ready()
    eventually(lambda: site.job(job).result == "3", "its run on a worker that knows it")
