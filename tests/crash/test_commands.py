"""Commands that share a content directory, on workers that are killed: never two at once, and nobody leaves it held."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from packhorse import Backoff
from packhorse._record import FINAL
from tests.worker.site import Site, Worker, alive, descendants, eventually, with_argument

LONG = os.environ.get("PACKHORSE_PROOF") == "long"
JOBS, KILLS = (300, 30) if LONG else (24, 3)

#: The kernel gives the lock back when the last process that has it is dead: so it tells of leftovers, too.
SCRIPT = """
exec 9>"$0/lock"
flock -n 9 || { echo "$PACKHORSE_JOB_ID" >>"$0/overlaps"; exit 1; }
setsid sleep 60 &
echo started >>"$0/starts"
sleep 0.2
"""


def worker(site: Site) -> Worker:
    return site.worker("--threads", "3", "--allow-commands", "sh", "--workspaces", f"{site.directory}/spaces", app=None)


def test_two_commands_that_reserve_one_directory_never_overlap(site: Site) -> None:
    rng = random.Random(5)
    books = [site.directory / f"book-{n}" for n in range(2)]
    for book in books:
        book.mkdir()
    queue = site.queue.using(retry=Backoff(5, base=0.01))
    jobs = []
    for number in range(JOBS):
        book = books[number % 2]
        jobs.append(queue.using(reserves=f"dir:{book}").command(["sh", "-c", SCRIPT, str(book)]))
    workers = [worker(site).ready() for _ in range(2)]
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.2, 0.6))  # the pause between two kills: there is nothing to wait for
        kill(workers.pop(rng.randrange(len(workers))), rng)
        workers.append(worker(site))
    ids = [job.id for job in jobs]
    eventually(lambda: all(job.state in FINAL for job in site.store.get(ids)), "all have ended", 120.0)
    for book in books:
        assert not (book / "overlaps").exists(), (book / "overlaps").read_text()
    ended = site.store.get(ids)
    assert {job.state for job in ended} <= {"succeeded", "failed"}
    assert all("poison" in (job.reason or "") for job in ended if job.state == "failed")
    assert not [pid for job in jobs for pid in with_argument(f"PACKHORSE_JOB_ID={job.id}")]


def kill(victim: Worker, rng: random.Random) -> None:
    """Kill a supervisor, or first the child that runs its commands, or both."""
    children = [pid for pid in victim.children() if b"--commands" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if rng.random() < 0.5:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    victim.kill()


def test_a_worker_that_was_killed_leaves_its_directory_to_others(site: Site) -> None:
    """Whoever waits for it runs within seconds on this host; the job that was hit runs again, and nothing of it goes on."""
    book = site.directory / "book"
    book.mkdir()
    first = worker(site).ready()
    held = site.queue.using(reserves="dir:book").command(["sh", "-c", "echo $$ >$0/pid; exec sleep 600", str(book)])
    eventually(lambda: (book / "pid").exists() and (book / "pid").read_text(), "its start")
    pid = int((book / "pid").read_text())
    waiting = site.queue.using(reserves="dir:book", priority=5).command(["sh", "-c", "true"])
    everything = [first.pid, *descendants(first.pid, 1)]
    second = worker(site).ready()
    for each in everything:
        os.kill(each, signal.SIGKILL)
    first.process.wait()
    eventually(lambda: not alive(pid), "the command is dead")
    eventually(
        lambda: site.job(held).worker == second_id(site, second) or site.job(waiting).state in FINAL,
        "a new holder",
        20.0,
    )
    held.cancel()
    assert site.end(waiting, 20.0).state == "succeeded"
    assert site.end(held).state == "cancelled"


def second_id(site: Site, worker: Worker) -> str:
    return next((each.id for each in site.store.workers() if each.pid == worker.pid), "")
