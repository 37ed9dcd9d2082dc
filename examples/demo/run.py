"""The demo: real work on real files by a real worker, with a failure, a crash and a run-away among it.

``make demo`` takes the standard library of the Python it runs with; ``make demo DIR=…`` another folder of packages.
Everything it makes is in ``demo-out``, the job store too; ``make demo URL=…`` (or PACKHORSE_URL) takes a store that is there
already, on PostgreSQL, Redis or in a file. The exit status is 0 if every job ended as it should, else 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import demo_tasks
from report import Attempt, Expected, Finding, attempts_table, examine, jobs_table, summary
from slots import Bar, draw
from watch import Watch

from packhorse import Backoff, Queue

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "demo-out"
PACKHORSE = (sys.executable, "-m", "packhorse")
SCRIPT = str(HERE / "checksums.sh")
CHILDREN = 2
PATIENCE = 300.0  #: seconds until the demo gives up


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for everything it makes; emptied first")
    given = parser.parse_args()
    folder, out = given.folder.resolve(), given.out.resolve()
    packages = find_packages(folder)
    if not packages:
        print(
            f"{folder} holds no Python files; nothing was done. Name a folder that does: make demo DIR=…",
            file=sys.stderr,
        )
        return 2
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    store = Store.of(os.environ.get("PACKHORSE_URL", ""), out)
    if not store.prepared():
        return 2
    jobs = Queue(store.queue, store=store.url)
    expected = [enqueue_command(jobs, *each, out) for each in small_packages(packages)[:1]] + enqueue(jobs, packages)
    print(f"{folder}: {len(packages)} packages; {len(expected)} jobs are stored in {store.told}")
    began = time.time()
    with worker(out, store) as process:
        Watch(jobs, len(expected), process).until_all_ended(PATIENCE)
        status = stop(process)
    return tell(out, expected, began, status, title(folder, len(expected)))


@dataclass(frozen=True)
class Store:
    """Where the jobs go: all that changes with it is the URL."""

    url: str
    told: str  #: what it is called in the output; a URL may hold a password
    queue: str

    @staticmethod
    def of(url: str, out: Path) -> Store:
        """Take the store of this URL, with a queue of its own for this run; without one a new file."""
        if not url:
            return Store(f"sqlite:///{out / 'jobs.db'}", short(out / "jobs.db"), "demo")
        return Store(url, f"the {url.partition(':')[0]} store of PACKHORSE_URL", f"demo-{time.time_ns() // 10**6:x}")

    def prepared(self) -> bool:
        """Make its tables where there are none, as one would before the first worker."""
        env = os.environ | {"PACKHORSE_URL": self.url}
        return subprocess.run([*PACKHORSE, "db", "migrate"], env=env, stdout=subprocess.DEVNULL).returncode == 0


def find_packages(folder: Path) -> list[tuple[str, Path, bool]]:
    """Return (name, folder, whether deep) of each package; the largest first, so that none is left to the end."""
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name not in demo_tasks.NOT_OURS]
    found = [(path.name, path, True) for path in folders] + [("(single modules)", folder, False)]
    sizes = {
        name: sum(file.stat().st_size for file in demo_tasks.sources(str(path), deep)) for name, path, deep in found
    }
    return sorted((each for each in found if sizes[each[0]]), key=lambda each: -sizes[each[0]])


def enqueue(jobs: Queue, packages: list[tuple[str, Path, bool]]) -> list[Expected]:
    """Store all jobs, and note what is to become of each."""
    work = [
        (kind, name, jobs.draft(function, str(path), deep))
        for name, path, deep in packages
        for kind, function in (("count", demo_tasks.count_functions), ("compress", demo_tasks.compress))
    ]
    trouble = enqueue_trouble(jobs.using(priority=1))
    stored = jobs.enqueue_many(draft for _, _, draft in work)
    return trouble + [Expected(job, kind, name) for job, (kind, name, _) in zip(stored, work, strict=True)]


def small_packages(packages: list[tuple[str, Path, bool]]) -> list[tuple[str, Path, bool]]:
    return [each for each in packages if each[2] and len(demo_tasks.sources(str(each[1]), deep=True)) <= 200]


def enqueue_command(jobs: Queue, name: str, folder: Path, deep: bool, out: Path) -> Expected:
    """Store a job that is a shell script: it finds a package in its directory, and what it makes there is put in place."""
    made = out / "sums.txt"
    job = jobs.command([SCRIPT], inputs={"package": str(folder)}, outputs={"sums.txt": str(made)})
    return Expected(job, "command", name, leaves=(made, len(demo_tasks.sources(str(folder), deep))))


def enqueue_trouble(jobs: Queue) -> list[Expected]:
    """Store three jobs that do not just succeed."""
    failing = jobs.using(retry=Backoff(delays=("200ms", "400ms"))).enqueue(demo_tasks.fail_twice)
    dying = jobs.enqueue(demo_tasks.die_once)
    running_away = jobs.using(timeout="2s").enqueue(demo_tasks.run_away)
    return [
        Expected(failing, "special", "fail_twice", "succeeded", ("retry", "retry", "succeeded")),
        Expected(dying, "special", "die_once", "succeeded", ("crashed", "succeeded")),
        Expected(running_away, "special", "run_away", "failed", ("failed",)),
    ]


@contextmanager
def worker(out: Path, store: Store) -> Iterator[subprocess.Popen[bytes]]:
    """Start a real worker, as one would in a terminal, and make sure that it is gone in the end."""
    command = [*PACKHORSE, "worker", "demo_tasks", "-q", store.queue, "--processes", str(CHILDREN)]
    command += ["--allow-commands", SCRIPT, "--workspaces", str(out / "workspaces")]
    env = os.environ | {"PACKHORSE_URL": store.url, "PYTHONDONTWRITEBYTECODE": "1"}
    print(f"$ packhorse {' '.join(map(told, command[3:]))}        (its log: {short(out / 'worker.log')})\n")
    with (out / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=HERE, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask the worker to end, as a service manager would, and return its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        return -1


def tell(out: Path, expected: list[Expected], began: float, status: int, heading: str) -> int:
    """Print tables, write the plot, and return the exit status of the demo."""
    findings = [examine(each) for each in expected]
    (out / "jobs.txt").write_text(jobs_table(findings) + "\n", encoding="utf-8")
    (out / "slots.svg").write_text(draw(bars(findings, began), heading), encoding="utf-8")
    print(attempts_table([each for each in findings if each.expected.kind == "special"]), end="\n\n")
    print("the script, and the ten longest of the others:")
    scripts = [each for each in findings if each.expected.kind == "command"]
    others = sorted(
        (each for each in findings if each.expected.kind in ("count", "compress")), key=lambda each: -each.ran
    )
    print(jobs_table(scripts + others[:10]), end="\n\n")
    print(summary(findings))
    print(f"all jobs: {short(out / 'jobs.txt')}   who ran what when: {short(out / 'slots.svg')}\n")
    wrong = [problem for each in findings for problem in each.problems]
    if status != 0:
        wrong.append(
            f"the worker ended with status {status} when it was asked to stop; see {short(out / 'worker.log')}"
        )
    for problem in wrong[:20]:
        print(f"NOT AS IT SHOULD BE: {problem}")
    print("everything ended as it should." if not wrong else f"{len(wrong)} things are not as they should be.")
    return 1 if wrong else 0


def bars(findings: list[Finding], began: float) -> list[Bar]:
    """Return one bar for each attempt that ran."""
    return [bar(each, run, began) for each in findings for run in each.runs if run.started_at is not None]


def bar(finding: Finding, run: Attempt, began: float) -> Bar:
    start, end = (moment.timestamp() - began for moment in (run.started_at or run.ended_at, run.ended_at))
    return Bar(start, end, finding.expected.kind, finding.expected.label, run.outcome == "succeeded")


def title(folder: Path, count: int) -> str:
    library = folder == Path(sysconfig.get_path("stdlib")).resolve()
    what = f"the standard library of Python {platform.python_version()}" if library else folder.name
    return f"{count} jobs over {what}, one worker with {CHILDREN} children"


def told(word: str) -> str:
    return short(Path(word)) if word.startswith("/") else word


def short(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
