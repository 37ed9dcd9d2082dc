"""Commands with a workspace of their own, under a real worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhorse import Backoff
from packhorse._record import Verdict
from tests.worker.site import Site, eventually, with_argument
from tests.worker.test_commands import UNTIL, UNTIL_ON, error, sh, usage


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker without an application that runs every program, for all tests of this module."""
    found = Site(tmp_path_factory.mktemp("workspaces"))
    found.worker(
        "--threads", "2", "--allow-commands", "*", "--workspaces", f"{found.directory}/spaces", app=None
    ).ready()
    yield found
    found.close()


def spaces(site: Site) -> list[str]:
    """Return the workspaces that are there now."""
    return [str(each) for each in (site.directory / "spaces").glob("run-*/*")]


def content(site: Site, name: str) -> Path:
    """Make a content directory of the shape that a script expects."""
    place = site.directory / "content" / name
    (place / "data").mkdir(parents=True)
    (place / "data" / "page-1").write_text(f"{name} one\n")
    (place / "data" / "page-2").write_text(f"{name} two\n")
    return place


def test_a_script_is_pointed_at_a_directory_of_the_shape_it_expects(shared: Site) -> None:
    book = content(shared, "b1")
    job = sh(
        shared,
        "cat wip/se/b1/data/* > wip/se/b1/aux/all && echo $TMPDIR && pwd && mktemp",
        inputs={"wip/se/b1/data": str(book / "data")},
        outputs={"wip/se/b1/aux": str(book / "aux")},
    )
    assert job.state == "succeeded", job.error
    assert (book / "aux" / "all").read_text() == "b1 one\nb1 two\n"
    tmp, here, made = (line.removeprefix("out: ") for line in shared.log(job).split("\n")[:3])
    assert os.path.dirname(tmp) == os.path.dirname(here)
    assert os.path.dirname(made) == tmp
    assert usage(shared, job)["outputs"] == [str(book / "aux")]
    eventually(lambda: not spaces(shared), "that the workspace is gone")


def test_the_workspace_is_a_field(shared: Site) -> None:
    job = shared.end(shared.queue.command(["sh", "-c", "[ $0 = $(pwd) ]", "{workspace}"]))
    assert job.state == "succeeded"


def test_outputs_are_not_moved_after_a_failure(shared: Site) -> None:
    target = shared.directory / "never"
    job = sh(shared, "echo 1 > out.txt; exit 1", outputs={"out.txt": str(target)})
    assert job.state == "failed"
    assert not target.exists()


def test_an_output_that_exists_fails_the_job_before_it_has_worked(shared: Site) -> None:
    target = shared.directory / "there"
    target.write_text("old")
    job = sh(shared, "echo ran; echo new > out.txt", outputs={"out.txt": str(target)})
    assert error(job)["code"] == "E215"
    assert "exists already" in error(job)["message"]
    assert shared.log(job) == ""
    again = sh(shared, "echo new > out.txt", outputs={"out.txt": str(target)}, existing="replace")
    assert again.state == "succeeded"
    assert target.read_text() == "new\n"


def test_an_input_that_is_gone_fails_the_job(shared: Site) -> None:
    job = sh(shared, "cat in", inputs={"in": str(shared.directory / "gone")})
    assert error(job)["code"] == "E214"
    assert str(shared.directory / "gone") in error(job)["message"]


def test_it_is_tried_again_as_the_job_says(shared: Site) -> None:
    source = shared.directory / "soon"
    job = shared.queue.using(retry=Backoff(50, base=0.1, factor=1)).command(["cat", "in"], inputs={"in": str(source)})
    shared.state(job, "retrying")
    source.write_text("here\n")
    ended = shared.end(job)
    assert ended.state == "succeeded"
    assert shared.log(job).endswith("out: here\n")


def test_a_full_disk_while_outputs_are_moved(shared: Site) -> None:
    place = shared.directory / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        job = sh(
            shared,
            "echo 1 > a.out; head -c 300000 /dev/zero > b.out",
            outputs={"a.out": f"{place}/a", "b.out": f"{place}/b"},
        )
        assert job.state == "failed"
        assert error(job)["code"] == "E215"
        assert "No space left on device" in error(job)["message"]
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_it_is_kept_on_failure_if_wanted(shared: Site) -> None:
    failed = sh(shared, "echo half > out.txt; exit 2", keep_workspace="failed")
    kept = usage(shared, failed)["workspace"]
    assert Path(kept, "out.txt").read_text() == "half\n"
    until = float(Path(kept, "../.until").read_text())
    assert until == pytest.approx(time.time() + 30 * 86400, abs=120)  # [retention] output
    assert "workspace" not in usage(shared, sh(shared, "echo 1 > a", keep_workspace="failed"))
    assert "workspace" in usage(shared, sh(shared, "echo 1 > a", keep_workspace="always"))


def test_what_nobody_may_read_is_removed_too(shared: Site) -> None:
    sh(shared, "mkdir -p a/b; echo 1 > a/b/c; chmod 000 a/b; chmod 500 a")
    eventually(lambda: not spaces(shared), "that the workspace is gone")


def test_a_link_may_be_written_through(shared: Site) -> None:
    book = content(shared, "b2")
    (book / "aux").mkdir()
    job = sh(shared, "echo more > wip/aux/new", links={"wip/aux": str(book / "aux")})
    assert job.state == "succeeded", job.error
    assert (book / "aux" / "new").read_text() == "more\n"
    assert (book / "data" / "page-1").exists()


def test_a_cancel_while_inputs_are_copied(shared: Site) -> None:
    """What copies is ended; nothing has started, nothing is left."""
    ours, theirs = os.openpty()  # a file from which nothing ever comes
    job = shared.queue.command(["true"], inputs={"in": f"copy:{os.ttyname(theirs)}"})
    eventually(lambda: shared.job(job).started_at, "its start")
    job.cancel()
    assert shared.end(job).state == "cancelled"
    assert shared.attempts(job)[-1].outcome == "cancelled"
    eventually(lambda: not spaces(shared), "that the workspace is gone")
    os.close(ours)
    os.close(theirs)


# -- deaths -----------------------------------------------------------------------------------------------------------
def commands_child(pids: list[int]) -> int:
    (found,) = [pid for pid in pids if b"--commands" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_a_killed_worker_takes_its_commands_along_and_leaves_no_workspace(site: Site) -> None:
    where = ("--allow-commands", "*", "--workspaces", f"{site.directory}/spaces")
    victim = site.worker("--threads", "2", *where, app=None).ready()
    script = f"setsid sleep 1000 & echo 1 > half; echo >$0; {UNTIL_ON}"
    jobs = [site.queue.command(["sh", "-c", script, str(site.mark(f"j{n}"))]) for n in range(2)]
    site.marked("j0")
    site.marked("j1")
    eventually(lambda: all(site.job(job).started_at for job in jobs), "their start is on record")
    victim.kill()
    eventually(lambda: not any(with_argument(f"PACKHORSE_JOB_ID={job.id}") for job in jobs), "that all are dead")
    eventually(lambda: not spaces(site), "that the workspaces are gone")
    site.let("j0-on")
    site.let("j1-on")
    site.worker(*where, app=None).ready()
    for job in jobs:
        assert site.end(job).state == "succeeded"
        assert [attempt.outcome for attempt in site.attempts(job)] == ["crashed", "succeeded"]


def test_everything_killed_at_once_is_cleared_by_the_next_worker(site: Site) -> None:
    """Supervisor and commands child: neither could kill the command, nor clear its workspace."""
    where = ("--allow-commands", "*", "--workspaces", f"{site.directory}/spaces")
    victim = site.worker(*where, app=None).ready()
    script = f"setsid sleep 1000 & echo 1 > half; echo >$0; {UNTIL_ON}"
    job = site.queue.command(["sh", "-c", script, str(site.mark("j"))])
    site.marked("j")
    child = commands_child(victim.children())
    os.kill(victim.pid, signal.SIGSTOP)
    os.kill(child, signal.SIGKILL)
    victim.kill()
    (left,) = spaces(site)
    site.let("j-on")
    site.worker(*where, app=None).ready()
    assert site.end(job).state == "succeeded"
    eventually(lambda: not os.path.exists(left), "that it is gone")
    eventually(lambda: not with_argument("sleep\x001000"), "that nothing of it runs")


def test_the_death_of_the_commands_child_alone(site: Site) -> None:
    """Its commands are killed, and run again under the next; nobody is suspected, and functions go on."""
    worker = site.worker(
        "--processes", "3", "--allow-commands", "*", "--workspaces", f"{site.directory}/spaces"
    ).ready()
    script = f"sleep 1000 & echo >$0; {UNTIL_ON}"
    jobs = [site.queue.command(["sh", "-c", script, str(site.mark(f"j{n}"))]) for n in range(2)]
    site.marked("j0")
    site.marked("j1")
    for n in range(2):
        site.mark(f"j{n}").unlink()
    os.kill(commands_child(worker.children()), signal.SIGKILL)
    for n in range(2):
        site.marked(f"j{n}")
        site.let(f"j{n}-on")
    for job in jobs:
        ended = site.end(job)
        assert (ended.state, ended.crashes, ended.losses, ended.suspect) == ("succeeded", 0, 1, False)
        assert len(with_argument(f"PACKHORSE_JOB_ID={job.id}")) == 0
    assert worker.process.poll() is None


def test_a_stop_waits_for_commands_and_a_forced_one_ends_them(site: Site) -> None:
    where = ("--allow-commands", "*", "--workspaces", f"{site.directory}/spaces")
    patient = site.worker(*where, "--grace", "none", app=None).ready()
    job = site.queue.command(["sh", "-c", f"echo >$0; {UNTIL_ON}", str(site.mark("a"))])
    site.marked("a")
    patient.signal(signal.SIGTERM)
    patient.until("stopping")
    site.let("a-on")
    assert patient.ended() == 0
    assert site.job(job).state == "succeeded"
    hasty = site.worker(*where, "--grace", "200ms", app=None).ready()
    job = site.queue.command(["sh", "-c", f"trap 'echo told' TERM; echo >$0; {UNTIL_ON}; {UNTIL}", str(site.mark("b"))])
    site.marked("b")
    assert hasty.stop() == 0
    assert (site.job(job).state, site.job(job).crashes, site.job(job).losses) == ("queued", 0, 0)
    assert not with_argument(f"PACKHORSE_JOB_ID={job.id}")
    assert not spaces(site)


def test_a_commands_child_that_hangs_is_killed_and_only_the_job_at_its_limit_is_to_blame(site: Site) -> None:
    where = ("--threads", "2", "--allow-commands", "*", "--workspaces", f"{site.directory}/spaces")
    worker = site.worker(*where, app=None).ready()
    late = site.queue.using(timeout="500ms").command(["sh", "-c", f"echo >$0; {UNTIL_ON}", str(site.mark("late"))])
    other = site.queue.command(["sh", "-c", f"echo >$0; {UNTIL_ON}", str(site.mark("other"))])
    site.marked("late")
    site.marked("other")
    eventually(lambda: site.job(late).started_at and site.job(other).started_at, "their start is on record")
    os.kill(commands_child(worker.children()), signal.SIGSTOP)
    site.let("other-on")
    ended = site.end(late, 30.0)
    assert error(ended)["code"] == "E150"
    fine = site.end(other)
    assert (fine.state, fine.crashes, fine.losses) == ("succeeded", 0, 0)
    assert not with_argument(f"PACKHORSE_JOB_ID={late.id}")


def test_a_run_that_is_another_s_by_now_is_ended_at_once_and_its_neighbour_goes_on(site: Site) -> None:
    """As after an outage: somebody else has settled the job. Nothing of it is put in place."""
    where = ("--threads", "2", "--allow-commands", "*", "--workspaces", f"{site.directory}/spaces")
    site.worker(*where, app=None).ready()
    script = f"trap 'sleep 60' TERM; echo 1 > out.txt; echo >$0; {UNTIL_ON}"
    target = site.directory / "target"
    lost = site.queue.command(["sh", "-c", script, str(site.mark("lost"))], outputs={"out.txt": str(target)})
    other = site.queue.command(["sh", "-c", f"echo >$0; {UNTIL_ON}", str(site.mark("other"))])
    site.marked("lost")
    site.marked("other")
    record = site.job(lost)
    assert record.token is not None
    assert record.worker is not None
    taken = Verdict(record.id, record.token, "released", "scheduled", reason="taken away", delay=3600.0)
    assert site.store.settle(record.worker, [taken]) == []
    eventually(lambda: not with_argument(f"PACKHORSE_JOB_ID={lost.id}"), "that it is ended")
    assert with_argument(f"PACKHORSE_JOB_ID={other.id}")
    site.let("other-on")
    fine = site.end(other)
    assert (fine.state, fine.losses, fine.crashes) == ("succeeded", 0, 0)
    assert (site.job(lost).state, site.job(lost).reason) == ("scheduled", "taken away")
    assert not target.exists()
    eventually(lambda: not spaces(site), "that the workspaces are gone")
