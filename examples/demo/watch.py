"""Show how far the jobs are: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import subprocess
import sys
import time

from packhorse import Queue

FINAL = ("succeeded", "failed", "cancelled")
WIDTH = 32


class Watch:
    """Look at the queue until all its jobs have ended."""

    def __init__(self, jobs: Queue, total: int, worker: subprocess.Popen[bytes]) -> None:
        self.jobs, self.total, self.worker = jobs, total, worker
        self.live = sys.stdout.isatty()
        self.pause = 0.1 if self.live else 0.25
        self._next_line = 0.0

    def until_all_ended(self, patience: float) -> None:
        """Return when all have ended, the worker is gone, or it has taken too long."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and self.worker.poll() is None:
            counts = self.jobs.counts()
            ended = sum(counts[state] for state in FINAL)
            self._show(ended, counts)
            if ended >= self.total:
                break
            time.sleep(self.pause)
        print("\n" if self.live else "")

    def _show(self, ended: int, counts: dict[str, int]) -> None:
        if self.live:
            full = WIDTH * ended // self.total
            line = f"[{'█' * full}{'░' * (WIDTH - full)}] {ended}/{self.total}  {self._now(counts)}"
            print(f"\r\033[K{line[:118]}", end="", flush=True)
        elif time.monotonic() >= self._next_line or ended == self.total:
            self._next_line = time.monotonic() + 2
            print(f"  {ended:>4} of {self.total} ended   {self._now(counts)}", flush=True)

    def _now(self, counts: dict[str, int]) -> str:
        running = [
            f"{job.task.rpartition(':')[2]} {self._share(job.progress)}"
            for job in self.jobs.jobs(state="running", limit=4)
        ]
        waiting = [f"{counts['retrying']} to be retried"] if counts["retrying"] else []
        return " · ".join(text.strip() for text in running + waiting)

    @staticmethod
    def _share(progress: object) -> str:
        match progress:
            case {"": {"done": int() | float() as done, "total": int() | float() as total, "note": note}} if total:
                return f"{done / total:.0%} {note}"
            case _:
                return ""
