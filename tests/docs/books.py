"""What the guide "Without Python" leaves behind: every book on record, and on disk either whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from packhorse import App, Job
from packhorse._runtime import forget

BOOKS = {f"b{number:03}" for number in range(1, 501)}
BAD = {f"b{number:03}" for number in range(50, 501, 50)}


def check(directory: Path) -> None:
    """Look at the records and the files. The first batch is 500 books, the second the ten that failed, with a title given."""
    app = App(store=f"sqlite:///{directory}/jobs.db")
    try:
        first, second = members(app, "batch-1"), members(app, "batch-2")
        assert {book_of(job): job.state for job in first} == {
            book: "failed" if book in BAD else "succeeded" for book in BOOKS
        }
        assert len(first) == len(BOOKS)
        check_failures([job for job in first if job.state == "failed"])
        check_killed(first)
        assert {book_of(job): job.state for job in second} == dict.fromkeys(BAD, "succeeded")
    finally:
        forget()
    check_files(directory)


def members(app: App, flow: str) -> list[Job[object]]:
    found = app.jobs(flow=flow, limit=1000)
    assert found.next is None
    return list(found)


def book_of(job: Job[object]) -> str:
    return str(job.kwargs["book"])


def check_failures(failed: list[Job[object]]) -> None:
    """Each says why."""
    for job in failed:
        attempt = job.attempts()[-1]
        assert attempt.error is not None
        assert attempt.usage is not None
        assert attempt.error["message"].startswith("exit status 3 of ")
        assert attempt.error["message"].endswith(f"\n{book_of(job)} has no title page")
        assert attempt.usage["exit"] == 3


def check_killed(jobs: list[Job[object]]) -> None:
    """Two workers were killed with jobs in hand; each such attempt is on record, and its job ran again."""
    dead: Counter[str | None] = Counter()
    for job in jobs:
        attempts = job.attempts()
        dead.update(attempt.worker for attempt in attempts if attempt.outcome in ("crashed", "lost"))
        assert attempts[-1].outcome == job.state
    assert len(dead) == 2, dead


def check_files(directory: Path) -> None:
    published = directory / "published"
    assert {path.name for path in published.iterdir()} == BOOKS  # and nothing half-moved beside them
    for book in BOOKS:
        number = int(book[1:])
        pages = "".join(f"book {number}, page {page}\n" for page in (1, 2, 3))
        title = "Untitled\n" if book in BAD else f"The Book of {number}\n"
        files = {path.name: path.read_text() for path in (published / book).iterdir()}
        assert files == {"book.txt": pages, "title.txt": title}
    assert os.listdir(directory / "spaces") == []
